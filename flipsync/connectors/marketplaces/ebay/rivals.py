"""Other sellers' fixed-price offers for our goods (Browse API): by barcode or catalogue number, else by title."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from pydantic import Field, WrapValidator

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces.ebay import limits, wire
from flipsync.connectors.marketplaces.ebay.api import EbayApi
from flipsync.connectors.marketplaces.ebay.listings import BULK, Listings
from flipsync.connectors.marketplaces.ebay.skus import spell
from flipsync.connectors.request import Params
from flipsync.connectors.unread import Aside, one_by_one
from flipsync.domain.channel import RivalOffer
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Money

_SEARCH = "/buy/browse/v1/item_summary/search"
_MOST = "50"
_WORD = re.compile(r"\w+")
_QUERY = 100


class _Seller(wire.Shape):
    username: str = ""


class Summary(wire.Shape):
    title: str = ""
    legacy_item_id: str = ""
    price: wire.Amount | None = None
    seller: _Seller = _Seller()


class _Summaries(wire.Shape):
    item_summaries: Annotated[list[Summary], WrapValidator(one_by_one)] = Field(default_factory=list)
    next: str | None = None


class Rivals:
    """Leaves our own offers out: by name (the option `seller`, else what eBay says), else by the listing's number."""

    def __init__(self, api: EbayApi, config: AccountConfig, listings: Listings) -> None:
        self._api = api
        self._listings = listings
        self._currency = config.currency
        self._seller = config.options.get("seller", "")
        self._nameless = False

    async def of(self, skus: Sequence[str]) -> AsyncIterator[RivalOffer]:
        """The cheapest 50 of each SKU that is listed; nothing for SKUs eBay does not have."""
        named = list(dict.fromkeys(skus))
        for start in range(0, len(named), BULK):
            ours = {spell(sku): sku for sku in named[start : start + BULK]}
            for spelled, row in (await self._listings.items(list(ours))).items():
                if isinstance(row, wire.Item):
                    for rival in await self._search(ours[spelled], spelled, row):
                        yield rival

    async def _search(self, sku: str, spelled: str, item: wire.Item) -> list[RivalOffer]:
        what = _question(item)
        if what is None:
            return []
        own = (await self._name()).casefold()
        offer = None if own else await self._listings.offer(spelled)
        number = "" if offer is None or offer.listing is None else offer.listing.listing_id
        by_title = what[0][0] == "q"
        return [
            RivalOffer(
                sku=sku,
                seller=each.seller.username,
                price=Money.parse(each.price.value, each.price.currency),
                in_stock=True,
                seen_at=utc_now(),
            )
            for each in await self._offers(what, own)
            if each.price is not None
            and (not number or each.legacy_item_id != number)
            and (not by_title or _same_goods(item.product.title, each.title))
        ]

    async def search(self, what: Params) -> list[Summary]:
        """Others' fixed-price offers under a barcode or words, cheapest first, whether or not the goods are ours."""
        return await self._offers(what, (await self._name()).casefold())

    async def search_words(self, title: str) -> list[Summary]:
        """The same of whatever has all words of the title."""
        words = " ".join(_WORD.findall(title))[:_QUERY]
        found = await self.search([("q", words)]) if words else []
        return [each for each in found if _same_goods(title, each.title)]

    async def _offers(self, what: Params, own: str) -> list[Summary]:
        only = "buyingOptions:{FIXED_PRICE}" + (f",excludeSellers:{{{own}}}" if own else "")
        found = await self._api.read(
            _SEARCH,
            _summaries,
            limits.BROWSE,
            [*what, ("filter", only), ("sort", "price"), ("limit", _MOST)],
            application=True,
            headers={"X-EBAY-C-MARKETPLACE-ID": self._api.site.id},
        )
        return [
            each
            for each in found.item_summaries
            if each.price is not None
            and each.price.currency == self._currency
            and each.seller.username
            and each.seller.username.casefold() != own
        ]

    async def _name(self) -> str:
        """Our own name, or "" where this account's consent does not let eBay say it."""
        if self._nameless:
            return ""
        try:
            return await self.seller()
        except Rejected:
            self._nameless = True
            return ""

    async def seller(self) -> str:
        """Our own name on eBay. Raises Rejected where neither the account nor eBay says it."""
        if not self._seller:
            self._seller = (await self.account()).username
        if not self._seller:
            raise Rejected("eBay does not say who the seller is", hint="give the name as the option seller")
        return self._seller

    async def account(self) -> wire.User:
        """The account behind the consent. Its `user_id` stays when the name is changed."""
        return await self._api.call(
            "GET", "/commerce/identity/v1/user/", wire.User.model_validate, limits.IDENTITY, other_host=True
        )


def _question(item: wire.Item) -> Params | None:
    """How to ask for the same goods: eBay takes a barcode or a catalogue number, or else words."""
    if item.product.epid:
        return [("epid", item.product.epid)]
    if item.barcode and item.barcode.isalnum():
        return [("gtin", item.barcode)]
    words = " ".join(_WORD.findall(item.product.title))
    return [("q", words[:_QUERY])] if words else None


def _same_goods(ours: str, theirs: str) -> bool:
    """Whether their title has every word of ours: a title alone proves little, so none may be missing."""
    return set(_WORD.findall(ours.casefold())) <= set(_WORD.findall(theirs.casefold()))


def _summaries(data: Any) -> _Summaries:
    # an offer that cannot be read is nobody's rival
    return _Summaries() if data is None else _Summaries.model_validate(data, context=Aside().context)
