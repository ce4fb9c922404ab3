"""Writing listings: publish, relist, revise and end, alone or as one of a group's variations."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable
from typing import Any, TypeVar

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces.ebay import mapping, wire
from flipsync.connectors.marketplaces.ebay.api import EbayApi, nothing, segment
from flipsync.connectors.marketplaces.ebay.categories import Categories
from flipsync.connectors.marketplaces.ebay.listings import Listings
from flipsync.connectors.marketplaces.ebay.revisions import Revisions
from flipsync.connectors.marketplaces.ebay.settings import SellerSettings, Terms
from flipsync.domain.channel import ListingState, Offer, OfferGroup
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable

T = TypeVar("T")
#: "The eBay listing … has an invalid quantity": nothing to sell, so nothing to publish yet
NO_QUANTITY = "25004"
#: "This Offer is not available", "No offer found" (of a group), and no such thing
_ENDED_ALREADY = frozenset({"25713", "25725", "25710"})
#: "Offer entity already exists"
_EXISTS = "25002"


class Writer:
    """Several calls make one change: each step finds what an earlier, broken try has done already."""

    def __init__(self, api: EbayApi, config: AccountConfig, listings: Listings, revisions: Revisions) -> None:
        self._api = api
        self._listings = listings
        self._revisions = revisions
        self._categories = Categories(api, config)
        self._settings = SellerSettings(api, config)
        self._groups: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def publish(self, offer: Offer, sku: str) -> ListingState:
        """Raises Rejected before anything is written where eBay would refuse the listing at the end."""
        item = await self._listings.item(sku)
        existing = None if item is None else await self._listings.offer(sku)
        if item is not None and mapping.is_live(existing):
            return mapping.listing_state(item, sku, existing)
        if not offer.images:
            raise Rejected(
                "eBay publishes no listing without a picture", hint="add a picture to the product", vendor_code="images"
            )
        category = await self._categories.category_of(offer)
        await self._categories.check(offer, category)
        terms = await self._settings.terms(category)
        await self._api.inventory("PUT", _item(sku), nothing, mapping.item_body(offer, terms))
        return await begun(self._publish_item(offer, sku, terms, existing))

    async def _publish_item(self, offer: Offer, sku: str, terms: Terms, existing: wire.Offer | None) -> ListingState:
        offer_id = await self._put_offer(offer, sku, terms, existing)
        try:
            if offer.group is not None:
                await self._publish_in_group(offer, offer.group, sku)
            else:
                await self.put_on_sale(offer_id)
        except Rejected as refused:
            if refused.vendor_code != NO_QUANTITY or offer.quantity:
                raise
        return await self.shown(sku)

    async def _put_offer(self, offer: Offer, sku: str, terms: Terms, existing: wire.Offer | None) -> str:
        body = mapping.offer_body(offer, sku, terms, self._api.site.id)
        if existing is None:
            try:
                made = await self._api.inventory("POST", "/offer", _made, body)
                if not made.offer_id and (there := await self._listings.offer(sku)) is not None:
                    return there.offer_id
                if not made.offer_id:
                    raise OutcomeUnknown("eBay does not show the offer that was just made")
                return made.offer_id
            except Rejected as refused:
                existing = await self._listings.offer(sku) if refused.vendor_code == _EXISTS else None
                if existing is None:
                    raise
        body["availableQuantity"] = None if existing.available_quantity is None else offer.quantity
        changes = {name: value for name, value in body.items() if value is not None}
        path = f"/offer/{segment(existing.offer_id)}"
        await self._api.inventory("PUT", path, nothing, mapping.revised_offer(existing, changes))
        return existing.offer_id

    async def put_on_sale(self, offer_id: str) -> None:
        path = f"/offer/{segment(offer_id)}/publish"
        await self._api.inventory("POST", path, nothing)

    async def _publish_in_group(self, offer: Offer, group: OfferGroup, sku: str) -> None:
        key = mapping.group_key(group)
        async with self._groups[key]:
            before = await self._listings.group(key)
            body = mapping.group_body(offer, group, sku, before)
            if before is None or body != mapping.group_fields(before):
                await self._revisions.write(
                    key, lambda: self._api.inventory("PUT", f"/inventory_item_group/{segment(key)}", nothing, body)
                )
            await self.put_group_on_sale(key)
            after = await self._listings.group(key)
        if after is None or sku not in after.variant_sku_s:
            raise Retryable("another variation was added to the eBay group at the same moment", after=1.0)

    async def put_group_on_sale(self, key: str) -> None:
        body = {"inventoryItemGroupKey": key, "marketplaceId": self._api.site.id}
        await self._api.inventory("POST", "/offer/publish_by_inventory_item_group", nothing, body)

    async def revise(self, sku: str, offer: Offer) -> ListingState:
        """Only what differs is written: an item's texts and pictures, the listing's description, the group's.

        An inventory item is replaced with its quantity, which eBay lowers by itself at a sale: it is read immediately
        before, but a sale in between is overwritten. No call of eBay's changes a title alone.
        """
        item = await self._listings.item(sku)
        if item is None:
            raise missing()
        existing = await self._listings.offer(sku)
        written = False
        before = "" if existing is None else existing.listing_description or ""
        rest = offer.description_html or mapping.without_head(before, item.product.title)
        text = mapping.description_of(offer.title, rest)
        if existing is not None and (rest or before) and before != text:
            body = mapping.revised_offer(existing, {"listingDescription": text})
            path = f"/offer/{segment(existing.offer_id)}"
            await self._revise(sku, existing, "PUT", path, body)
            written = True
            item = await begun(self._known_item(sku))
        body = mapping.revised_item(item, offer)
        if body != mapping.writable(item):
            await self._revise(sku, existing, "PUT", _item(sku), body, begun_already=written)
            written = True
        if offer.group is not None:
            written = await self._revise_group(offer, offer.group, sku, written) or written
        return await self.shown(sku) if written else mapping.listing_state(item, sku, existing)

    async def _known_item(self, sku: str) -> wire.Item:
        item = await self._listings.item(sku)
        if item is None:
            raise missing()
        return item

    async def _revise(
        self, sku: str, live: wire.Offer | None, method: str, path: str, body: Any, *, begun_already: bool = False
    ) -> None:
        async def send() -> None:
            await self._api.inventory(method, path, nothing, body)

        work = self._revisions.write(sku, send) if mapping.is_live(live) else send()
        await (begun(work) if begun_already else work)

    async def _revise_group(self, offer: Offer, group: OfferGroup, sku: str, written: bool) -> bool:
        key = mapping.group_key(group)
        async with self._groups[key]:
            before = await self._listings.group(key)
            if before is None or sku not in before.variant_sku_s:
                return False  # it was listed alone: a listing cannot become a variation while it is on sale
            body = mapping.group_body(offer, group, sku, before)
            if body == mapping.group_fields(before):
                return False
            path = f"/inventory_item_group/{segment(key)}"
            work = self._revisions.write(key, lambda: self._api.inventory("PUT", path, nothing, body))
            await (begun(work) if written else work)
        return True

    async def end(self, sku: str) -> None:
        """A listing alone is withdrawn, its offer stays; the last variation ends its group's listing.

        Raises Rejected for a variation that has been sold: eBay keeps it in its listing, and its quantity is 0 then.
        """
        item = await self._listings.item(sku)
        offer = None if item is None else await self._listings.offer(sku)
        if item is None or offer is None or not mapping.is_live(offer):
            return
        for key in item.groups:
            await self._end_variation(key, sku, offer)
            return
        await self._withdraw(f"/offer/{segment(offer.offer_id)}/withdraw")

    async def _end_variation(self, key: str, sku: str, offer: wire.Offer) -> None:
        async with self._groups[key]:
            group = await self._listings.group(key)
            others = [] if group is None else [each for each in group.variant_sku_s if each != sku]
            live = list((await self._listings.offers(others)).values())
            for each in live:
                if isinstance(each, ChannelError):
                    raise each  # one that may be live keeps the listing
            if group is None or not any(mapping.is_live(each) for each in live if isinstance(each, wire.Offer)):
                body = {"inventoryItemGroupKey": key, "marketplaceId": self._api.site.id}
                await self._withdraw("/offer/withdraw_by_inventory_item_group", body)
                return
            path, body = f"/inventory_item_group/{segment(key)}", mapping.group_without(group, sku)
            try:
                await self._revisions.write(key, lambda: self._api.inventory("PUT", path, nothing, body))
            except Rejected as refused:
                row: dict[str, Any] = {"sku": sku, "shipToLocationAvailability": {"quantity": 0}}
                if offer.available_quantity is not None:
                    row["offers"] = [{"offerId": offer.offer_id, "availableQuantity": 0}]
                await self._api.inventory("POST", "/bulk_update_price_quantity", nothing, {"requests": [row]})
                refused.hint = "eBay keeps a variation that was sold in its listing: its quantity is 0 now"
                raise

    async def _withdraw(self, path: str, body: Any = None) -> None:
        try:
            await self._api.inventory("POST", path, nothing, body)
        except Rejected as refused:
            # somebody else ended it a moment ago
            if refused.auth or refused.vendor_code not in _ENDED_ALREADY:
                raise

    async def shown(self, sku: str) -> ListingState:
        """What eBay says after a write; what cannot be read then is unknown, not refused."""
        state = await begun(self._listings.state(sku))
        if state is None:
            raise OutcomeUnknown("eBay does not know the listing that was just written")
        return state


async def begun(work: Awaitable[T]) -> T:
    """A step after the first write: a failure of it leaves a part done, which nobody may take for nothing done.

    A refusal stays one: what was written before it is not on sale, and the next try goes on from there.
    """
    try:
        return await work
    except Retryable as failed:
        raise OutcomeUnknown(
            f"a part was written: {failed.message}",
            hint=failed.hint or "read back before trying again",
            vendor_code=failed.vendor_code,
            vendor_status=failed.vendor_status,
        ) from failed


def missing() -> Rejected:
    return Rejected("eBay knows no such listing", vendor_code="25710", missing=True)


def _made(data: Any) -> wire.OfferMade:
    return wire.OfferMade.model_validate(data or {})


def _item(sku: str) -> str:
    return f"/inventory_item/{segment(sku)}"
