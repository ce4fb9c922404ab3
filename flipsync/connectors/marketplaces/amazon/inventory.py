"""Units in Amazon's warehouses (FBA Inventory v1): a pool apart from our own stock, read and never written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import partial

from flipsync.connectors.marketplaces.amazon import wire_market
from flipsync.connectors.marketplaces.amazon.api import SellerApi
from flipsync.connectors.marketplaces.amazon.rows import pages
from flipsync.connectors.unread import Rows
from flipsync.domain.channel import WarehouseUnits

#: SKUs one call may name.
BATCH = 50


async def warehouse_stock(api: SellerApi, skus: Sequence[str] = ()) -> AsyncIterator[WarehouseUnits]:
    """Stock of these SKUs (at most 50), or of all that Amazon stores. Raises Unreadable for SKUs whose figures cannot
    be, once all others were told."""
    query = [
        ("details", "true"),
        ("granularityType", "Marketplace"),
        ("granularityId", api.marketplace_id),
        *api.here,
        *([("sellerSkus", ",".join(skus))] if skus else []),
    ]
    aside = Rows("SKUs in the warehouses", "sellerSku")
    decode = partial(wire_market.InventoryPage.model_validate, context=aside.context)

    async def ask(token: str | None) -> wire_market.InventoryPage:
        params = [*query, *([("nextToken", token)] if token else [])]
        return await api.call("getInventorySummaries", decode, params=params)

    async for page in pages(ask, lambda page: page.pagination.next_token):
        for row in page.payload.inventory_summaries:
            if row.seller_sku and (units := aside.read(_stock, row)) is not None:
                yield units
    aside.tell()


def _stock(row: wire_market.InventorySummary) -> WarehouseUnits:
    """What is being moved, measured or looked for is neither on sale nor sold: it comes back as available, or never."""
    details = row.inventory_details or wire_market.InventoryDetails()
    return WarehouseUnits(
        sku=row.seller_sku,
        catalogue_id=row.asin or None,
        available=details.fulfillable_quantity,
        sold=details.reserved_quantity.pending_customer_order_quantity,
        inbound=details.inbound_working_quantity
        + details.inbound_shipped_quantity
        + details.inbound_receiving_quantity,
    )
