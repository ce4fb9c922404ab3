"""Units in Amazon's warehouses (FBA Inventory v1): a pool apart from our own stock, read and never written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from flipsync.connectors.marketplaces.amazon import wire_market
from flipsync.connectors.marketplaces.amazon.api import SellerApi

#: SKUs one call may name.
BATCH = 50


@dataclass(frozen=True, slots=True)
class WarehouseStock:
    """Units of one SKU with Amazon: those buyers can have now, those on their way there, and all of them."""

    sku: str
    asin: str
    fulfillable: int
    inbound: int
    total: int


async def warehouse_stock(api: SellerApi, skus: Sequence[str] = ()) -> AsyncIterator[WarehouseStock]:
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


def _stock(row: wire_market.InventorySummary) -> WarehouseStock:
    details = row.inventory_details or wire_market.InventoryDetails()
    inbound = details.inbound_working_quantity + details.inbound_shipped_quantity + details.inbound_receiving_quantity
    return WarehouseStock(row.seller_sku, row.asin, details.fulfillable_quantity, inbound, row.total_quantity)
