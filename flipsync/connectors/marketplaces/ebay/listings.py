"""Reading listings: an inventory item with its offer, one at a time, 25 at a time, or all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from functools import partial

from flipsync.connectors.knowledge import Facts, Recalled, Remembered
from flipsync.connectors.marketplaces.ebay import errors, limits, mapping, wire
from flipsync.connectors.marketplaces.ebay.api import INVENTORY, EbayApi, segment
from flipsync.connectors.marketplaces.ebay.pages import walk
from flipsync.connectors.request import Params
from flipsync.connectors.unread import Aside
from flipsync.domain.channel import ListingState
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable, Unreadable

BULK = 25
_PAGE = "100"
_AT_ONCE = 10
_REMEMBERED_SECONDS = 3600.0
#: seconds for which what an earlier process has left is relied on: each comparison of all listings reads it anew
LASTS = 86_400.0


class Listings:
    """What eBay has for a SKU; SKUs are in eBay's spelling."""

    def __init__(self, api: EbayApi) -> None:
        self._api = api
        self._items = Remembered(_pack_item, _unpack_item, lasts=LASTS, seconds=_REMEMBERED_SECONDS)
        self._live = Remembered(_pack_offer, _unpack_offer, lasts=LASTS, seconds=_REMEMBERED_SECONDS)

    async def item(self, sku: str) -> wire.Item | None:
        if not sku:
            return None
        path = f"{INVENTORY}/inventory_item/{segment(sku)}"
        return await self._api.read_known(path, wire.Item.model_validate, limits.INVENTORY)

    async def offer(self, sku: str) -> wire.Offer | None:
        """The SKU's fixed-price offer on the account's marketplace."""
        params = [("sku", sku), ("marketplace_id", self._api.site.id), ("format", "FIXED_PRICE")]
        found = await self._api.read_known(f"{INVENTORY}/offer", wire.Offers.model_validate, limits.INVENTORY, params)
        return None if found is None else mapping.choose(found.offers, self._api.site.id)

    async def group(self, key: str) -> wire.Group | None:
        path = f"{INVENTORY}/inventory_item_group/{segment(key)}"
        return await self._api.read_known(path, wire.Group.model_validate, limits.INVENTORY)

    async def state(self, sku: str) -> ListingState | None:
        item = await self.item(sku)
        return None if item is None else mapping.listing_state(item, sku, await self.offer(sku))

    async def states(self, skus: Sequence[str]) -> dict[str, ListingState]:
        """Those that there are. Raises what reading an offer raises."""
        found: dict[str, ListingState] = {}
        asked = [sku for sku in dict.fromkeys(skus) if sku]
        for start in range(0, len(asked), BULK):
            items: dict[str, wire.Item] = {}
            for sku, row in (await self.items(asked[start : start + BULK])).items():
                if isinstance(row, wire.Item):
                    items[sku] = row
                elif not (isinstance(row, Rejected) and row.missing):
                    raise row
            for sku, offer in (await self.offers(list(items))).items():
                if isinstance(offer, ChannelError):
                    raise offer
                found[sku] = mapping.listing_state(items[sku], sku, offer)
        return found

    async def items(self, skus: Sequence[str]) -> dict[str, wire.Item | ChannelError]:
        """Up to 25 inventory items in one call, each found or refused by itself; of a SKU that is not in the answer
        nobody knows anything."""
        body = {"requests": [{"sku": sku} for sku in skus]}
        decode = partial(wire.BulkItems.model_validate, context=Aside().context)
        try:
            answer = await self._api.inventory("POST", "/bulk_get_inventory_item", decode, body, reads=True)
        except Rejected as refused:
            if len(skus) == 1 and refused.missing and refused.vendor_status == 400:
                return {skus[0]: refused}
            if refused.vendor_status != 400 or len(skus) == 1:
                raise
            return {sku: await self._alone(sku) for sku in skus}  # one of them spoiled it for all
        told: dict[str, wire.Item | ChannelError] = {row.sku: _item_or_error(row) for row in answer.responses}
        for sku, row in told.items():
            if isinstance(row, wire.Item):
                self._items.keep(sku, row)
        return {sku: told.get(sku) or Unreadable("eBay did not say what it has of it") for sku in skus}

    async def _alone(self, sku: str) -> wire.Item | ChannelError:
        try:
            return (await self.items([sku]))[sku]
        except ChannelError as error:
            return error

    def remembered(self, sku: str) -> wire.Item | None:
        """The item as it was within the last hour, its quantity may have moved since; or what an earlier process left
        of it, without a quantity."""
        return self._items.get(sku)

    def remembered_offer(self, sku: str) -> wire.Offer | None:
        """Its live offer without a quantity of its own, as it was within the last hour or as a report told it."""
        return self._live.get(sku)

    def forget(self, sku: str | None = None) -> None:
        """It is about to change, or what was seen of it proved wrong; all of them when none is named."""
        if sku is None:
            self._items.forget_all()
            self._live.forget_all()
        else:
            self._items.forget(sku)
            self._live.forget(sku)

    def refuted(self, sku: str) -> None:
        """A write that rested on what is remembered was refused; what was recalled stays for `doubt`."""
        self._items.refuted(sku)
        self._live.refuted(sku)

    # What outlives the process (see connectors.knowledge)

    def lacks(self, skus: Sequence[str]) -> list[str]:
        return [sku for sku in skus if self._items.get(sku) is None or self._live.get(sku) is None]

    def recall(self, known: Mapping[str, Recalled]) -> None:
        for part, remembered in (("item", self._items), ("offer", self._live)):
            told = {sku: Recalled(row.facts[part], row.age) for sku, row in known.items() if part in row.facts}
            remembered.recall(told)

    def learnt(self) -> dict[str, Facts | None]:
        items, offers = self._items.learnt(), self._live.learnt()
        news: dict[str, Facts | None] = {}
        for sku in {**items, **offers}:
            item, offer = self._items.get(sku), self._live.get(sku)
            whole = item is not None and offer is not None
            news[sku] = {"item": _pack_item(item), "offer": _pack_offer(offer)} if whole else None  # type: ignore[arg-type]
        return news

    def doubt(self, skus: Collection[str]) -> set[str]:
        return self._items.doubt(skus) | self._live.doubt(skus)

    def reported(self, sku: str, price: wire.Amount | None) -> bool:
        """It is live, and nothing else is known of it; whether that is news."""
        if self._items.get(sku) is not None and self._live.get(sku) is not None:
            return False
        summary = wire.PriceSummary(price=price)
        offer = wire.Offer(offer_id="", marketplace_id=self._api.site.id, status="PUBLISHED", pricing_summary=summary)
        self._live.keep(sku, offer)
        if self._items.get(sku) is None:
            self._items.keep(sku, wire.Item())
        return True

    def unreported(self, skus: Sequence[str]) -> None:
        """What the report tells of their offers is not enough: they are asked for."""
        for sku in skus:
            self._live.forget(sku)

    async def known_offers(self, skus: Sequence[str]) -> dict[str, wire.Offer | ChannelError | None]:
        """The offers of many SKUs. Those that were live within the last hour and have no quantity of their own are not
        asked for again: a quantity is the item's then, whatever else has changed."""
        known = {sku: offer for sku in skus if (offer := self._live.get(sku)) is not None}
        return known | await self.offers([sku for sku in skus if sku not in known])

    async def offers(self, skus: Sequence[str]) -> dict[str, wire.Offer | ChannelError | None]:
        """The offers of many SKUs, a few calls at a time: eBay has no bulk call for them."""
        found: dict[str, wire.Offer | ChannelError | None] = {}

        async def ask(sku: str) -> None:
            try:
                found[sku] = offer = await self.offer(sku)
            except ChannelError as error:
                found[sku] = error
                self._live.forget(sku)
            else:
                if offer is not None and offer.available_quantity is None and mapping.is_live(offer):
                    self._live.keep(sku, offer)
                else:
                    self._live.forget(sku)

        for start in range(0, len(skus), _AT_ONCE):
            await asyncio.gather(*(ask(sku) for sku in skus[start : start + _AT_ONCE]))
        return found

    async def all(self) -> AsyncIterator[ListingState]:
        """Every inventory item of the account with its offer. Raises Unreadable after all others where some cannot be
        read: what is not shown must not be taken for gone."""

        async def fetch(params: Params) -> wire.Items:
            return await self._api.read(f"{INVENTORY}/inventory_item", decode, limits.INVENTORY, params)

        aside = Aside()
        decode = partial(wire.Items.model_validate, context=aside.context)
        seen: set[str] = set()
        async for page in walk(fetch, [("limit", _PAGE), ("offset", "0")]):
            for nameless in (item for item in page.inventory_items if not item.sku):
                aside.keep(nameless, Unreadable("it has no SKU"))
            fresh = [item for item in page.inventory_items if item.sku and item.sku not in seen]
            seen.update(item.sku for item in fresh)
            offers = await self.offers([item.sku for item in fresh])
            for item in fresh:
                offer = offers[item.sku]
                if isinstance(offer, ChannelError):
                    raise offer
                self._items.keep(item.sku, item)
                yield mapping.listing_state(item, item.sku, offer)
        if aside.unread:
            raise Unreadable(f"{len(aside.unread)} listings cannot be read: {aside.unread[0].reason}")


def _pack_item(item: wire.Item) -> Facts:
    """Without words and quantity, which the answer to a write tells anew."""
    return {"title": item.product.title, "groups": list(item.groups)}


def _unpack_item(facts: Facts) -> wire.Item:
    return wire.Item.model_validate(
        {"product": {"title": facts["title"]}, "inventoryItemGroupKeys": list(facts["groups"])}
    )


def _pack_offer(offer: wire.Offer) -> Facts:
    """Of an offer that is live and has no quantity of its own."""
    price = offer.pricing_summary.price
    return {
        "id": offer.offer_id,
        "site": offer.marketplace_id,
        "price": None if price is None else [price.value, price.currency],
    }


def _unpack_offer(facts: Facts) -> wire.Offer:
    price = facts["price"]
    told = {} if price is None else {"price": {"value": price[0], "currency": price[1]}}
    return wire.Offer.model_validate(
        {
            "offerId": facts["id"],
            "marketplaceId": facts["site"],
            "status": "PUBLISHED",
            "pricingSummary": told,
        }
    )


def _item_or_error(row: wire.BulkItem) -> wire.Item | ChannelError:
    if row.status_code < 300 and row.inventory_item is not None:
        return row.inventory_item
    if row.status_code < 300 and not row.errors:
        return Unreadable("eBay says that it has it, and does not tell what")
    failed = errors.of_item(row.status_code, row.errors)
    if isinstance(failed, OutcomeUnknown):  # only read so far
        return Retryable(failed.message, vendor_code=failed.vendor_code, vendor_status=failed.vendor_status)
    assert failed is not None
    return failed
