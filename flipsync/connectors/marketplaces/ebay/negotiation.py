"""Offers to buyers who watch a listing (Sell Negotiation API): which listings have them, and one offer to all of one's.

Listings are named by eBay's listing number here, not by SKU.
"""

from __future__ import annotations

from typing import Any

from flipsync.connectors.marketplaces.ebay import limits
from flipsync.connectors.marketplaces.ebay.api import EbayApi
from flipsync.connectors.marketplaces.ebay.mapping import amount
from flipsync.connectors.marketplaces.ebay.pages import walk
from flipsync.connectors.marketplaces.ebay.wire import Page, Shape
from flipsync.connectors.request import Params
from flipsync.domain.money import Money

_ROOT = "/sell/negotiation/v1"
_PAGE = "200"


class _Eligible(Shape):
    listing_id: str = ""


class _EligiblePage(Page):
    eligible_items: tuple[_Eligible, ...] = ()


class _Sent(Shape):
    offer_id: str


class _SentOffers(Shape):
    offers: tuple[_Sent, ...] = ()


class Negotiation:
    """Seller-initiated offers of one account."""

    def __init__(self, api: EbayApi) -> None:
        self._api = api
        self._headers = {"X-EBAY-C-MARKETPLACE-ID": api.site.id}

    async def listings_with_interest(self) -> list[str]:
        """Listing numbers that buyers watch and that an offer can be made for."""

        async def fetch(params: Params) -> _EligiblePage:
            return await self._api.read(
                f"{_ROOT}/find_eligible_items", _page, limits.NEGOTIATION, params, headers=self._headers
            )

        pages = [page async for page in walk(fetch, [("limit", _PAGE), ("offset", "0")])]
        return list(dict.fromkeys(item.listing_id for page in pages for item in page.eligible_items if item.listing_id))

    async def offer(
        self, listing_id: str, price: Money, *, quantity: int = 1, message: str = "", counter_offers: bool = False
    ) -> list[str]:
        """Offer the listing at `price` for each unit to everybody who is eligible; the ids of the offers made.

        eBay sets how long it stands. Raises Rejected when nobody is eligible any more, or `price` is no discount.
        """
        item: dict[str, Any] = {"listingId": listing_id, "price": amount(price), "quantity": quantity}
        body: dict[str, Any] = {"offeredItems": [item], "allowCounterOffer": counter_offers}
        if message:
            body["message"] = message
        sent = await self._api.call(
            "POST",
            f"{_ROOT}/send_offer_to_interested_buyers",
            _SentOffers.model_validate,
            limits.NEGOTIATION,
            body=body,
            headers=self._headers,
        )
        return [each.offer_id for each in sent.offers]


def _page(data: Any) -> _EligiblePage:
    # 204: no listing has any
    return _EligiblePage() if data is None else _EligiblePage.model_validate(data)
