"""Units in Amazon's warehouses (FBA Inventory v1): a pool apart from our own stock, read and never written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from flipsync.connectors.marketplaces.amazon import wire_market
from flipsync.connectors.marketplaces.amazon.api import SellerApi
from flipsync.domain.channel import WarehouseUnits

#: SKUs one call may name.
BATCH = 50


async def warehouse_stock(api: SellerApi, skus: Sequence[str] = ()) -> AsyncIterator[WarehouseUnits]:
    """Stock of these SKUs (at most 50), or of all that Amazon stores."""
    query = [
        ("details", "true"),
        ("granularityType", "Marketplace"),
        ("granularityId", api.marketplace_id),
        *api.here,
        *([("sellerSkus", ",".join(skus))] if skus else []),
    ]
    token: str | None = None
    seen: set[str] = set()
    while True:
        params = [*query, *([("nextToken", token)] if token else [])]
        page = await api.call("getInventorySummaries", wire_market.InventoryPage.model_validate, params=params)
        for row in page.payload.inventory_summaries:
            yield _stock(row)
        token = page.pagination.next_token if page.pagination else None
        if not token or token in seen:
            return
        seen.add(token)


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
