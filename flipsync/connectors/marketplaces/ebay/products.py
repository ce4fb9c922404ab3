"""Articles as eBay's own catalogue has them (Catalog API v1_beta): by barcode, or by words."""

from __future__ import annotations

import re
from typing import Any

from flipsync.connectors.marketplaces.ebay import limits, wire
from flipsync.connectors.marketplaces.ebay.api import EbayApi
from flipsync.connectors.request import Params
from flipsync.domain.errors import Rejected

_SEARCH = "/commerce/catalog/v1_beta/product_summary/search"
#: marketplaces that have one, by the name it has for them
_PLACES = {
    **{f"EBAY_{place}": f"EBAY_{place}" for place in ("AU", "CA", "DE", "ES", "FR", "GB", "IT", "US")},
    "EBAY_MOTORS": "EBAY_MOTORS_US",
}
_MOST = "10"
#: refusals that stay: the marketplace has no catalogue; it is not for this application
_CLOSED = frozenset({"75007", "75015"})
_WORD = re.compile(r"\w+")


class Product(wire.Shape):
    """An article: `epid` is eBay's number of it."""

    epid: str = ""
    title: str = ""
    brand: str = ""
    gtin: tuple[str, ...] = ()
    ean: tuple[str, ...] = ()
    upc: tuple[str, ...] = ()
    isbn: tuple[str, ...] = ()

    @property
    def codes(self) -> frozenset[str]:
        """GTINs of 14 digits. An ISBN of ten is none."""
        told = (*self.gtin, *self.ean, *self.upc, *self.isbn)
        return frozenset(
            code.zfill(14) for code in told if code.isascii() and code.isdigit() and len(code) in (8, 12, 13, 14)
        )


class _Found(wire.Shape):
    product_summaries: tuple[Product, ...] = ()


class Products:
    """Knows of nothing where the marketplace has no catalogue, or eBay does not let this account look into it: what is
    on sale tells of goods as well."""

    def __init__(self, api: EbayApi) -> None:
        self._api = api
        self._place = _PLACES.get(api.site.id)

    async def of_code(self, code: str, gtin: str) -> Product | None:
        """The one article with this barcode (`code` as printed, `gtin` in 14 digits); None where it is not one."""
        found = {product.epid: product for product in await self._search([("gtin", code)]) if gtin in product.codes}
        return next(iter(found.values())) if len(found) == 1 else None

    async def of_words(self, title: str) -> list[Product]:
        """Articles that have all words of the title in theirs, the likeliest first."""
        words = list(dict.fromkeys(_WORD.findall(title)))
        # with commas all of them must be there, with spaces one is enough
        found = await self._search([("q", ",".join(words))]) if words else []
        wanted = {word.casefold() for word in words}
        return [each for each in found if wanted <= set(_WORD.findall(each.title.casefold()))]

    async def _search(self, what: Params) -> list[Product]:
        if self._place is None:
            return []
        try:
            found = await self._api.read(
                _SEARCH,
                _summaries,
                limits.CATALOG,
                [*what, ("limit", _MOST)],
                headers={"X-EBAY-C-MARKETPLACE-ID": self._place},
            )
        except Rejected as refused:
            if refused.auth or refused.vendor_status == 403 or refused.vendor_code in _CLOSED:
                self._place = None
            return []
        return [product for product in found.product_summaries if product.epid and product.title]


def _summaries(data: Any) -> _Found:
    return _Found() if data is None else _Found.model_validate(data)
