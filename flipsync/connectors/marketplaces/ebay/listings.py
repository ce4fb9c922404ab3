"""Reading listings: an inventory item with its offer, one at a time, 25 at a time, or all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from flipsync.connectors.marketplaces.ebay import limits, mapping, wire
from flipsync.connectors.marketplaces.ebay.api import INVENTORY, EbayApi, segment
from flipsync.connectors.marketplaces.ebay.pages import walk
from flipsync.connectors.request import Params
from flipsync.domain.channel import ListingState
from flipsync.domain.errors import ChannelError

BULK = 25
_PAGE = "100"
_AT_ONCE = 10


class Listings:
    """What eBay has for a SKU; SKUs are in eBay's spelling."""

    def __init__(self, api: EbayApi) -> None:
        self._api = api

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

    async def items(self, skus: Sequence[str]) -> dict[str, wire.BulkItem]:
        """Up to 25 inventory items in one call, each found or refused by itself."""
        body = {"requests": [{"sku": sku} for sku in skus]}
        found = await self._api.inventory(
            "POST", "/bulk_get_inventory_item", wire.BulkItems.model_validate, body, reads=True
        )
        return {row.sku: row for row in found.responses}

    async def offers(self, skus: Sequence[str]) -> dict[str, wire.Offer | ChannelError | None]:
        """The offers of many SKUs, a few calls at a time: eBay has no bulk call for them."""
        found: dict[str, wire.Offer | ChannelError | None] = {}

        async def ask(sku: str) -> None:
            try:
                found[sku] = await self.offer(sku)
            except ChannelError as error:
                found[sku] = error

        for start in range(0, len(skus), _AT_ONCE):
            await asyncio.gather(*(ask(sku) for sku in skus[start : start + _AT_ONCE]))
        return found

    async def all(self) -> AsyncIterator[ListingState]:
        """Every inventory item of the account with its offer."""

        async def fetch(params: Params) -> wire.Items:
            return await self._api.read(f"{INVENTORY}/inventory_item", _items, limits.INVENTORY, params)

        seen: set[str] = set()
        async for page in walk(fetch, [("limit", _PAGE), ("offset", "0")]):
            fresh = [item for item in page.inventory_items if item.sku and item.sku not in seen]
            seen.update(item.sku for item in fresh)
            offers = await self.offers([item.sku for item in fresh])
            for item in fresh:
                offer = offers[item.sku]
                if isinstance(offer, ChannelError):
                    raise offer
                yield mapping.listing_state(item, item.sku, offer)


def _items(data: Any) -> wire.Items:
    return wire.Items() if data is None else wire.Items.model_validate(data)
