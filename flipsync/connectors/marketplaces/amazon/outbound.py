"""Orders of other channels sent from Amazon's warehouses (Fulfillment Outbound 2020-07-01).

Our order's id is the key: Amazon makes no second fulfilment order under the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from flipsync.connectors.marketplaces.amazon import wire_work
from flipsync.connectors.marketplaces.amazon.api import SellerApi, done
from flipsync.domain.channel import Address
from flipsync.domain.clock import require_utc

Speed = Literal["Standard", "Expedited", "Priority"]


@dataclass(frozen=True, slots=True)
class Consignment:
    """How far Amazon is with an order; `tracking` has every parcel that left, as (carrier, number)."""

    order_id: str
    status: str
    tracking: tuple[tuple[str, str], ...]


async def send(
    api: SellerApi,
    order_id: str,
    items: Mapping[str, int],
    ship_to: Address,
    placed_at: datetime,
    *,
    speed: Speed = "Standard",
    note: str = "Thank you for your order!",
) -> None:
    """Have Amazon send these units (SKU to units), all of them or none. `order_id`: at most 40 characters."""
    body = {
        "marketplaceId": api.marketplace_id,
        "sellerFulfillmentOrderId": order_id,
        "displayableOrderId": order_id,
        "displayableOrderDate": require_utc(placed_at).isoformat().replace("+00:00", "Z"),
        "displayableOrderComment": note,
        "shippingSpeedCategory": speed,
        "fulfillmentPolicy": "FillOrKill",
        "destinationAddress": _address(ship_to),
        "items": [
            {"sellerSku": sku, "sellerFulfillmentOrderItemId": str(number), "quantity": units}
            for number, (sku, units) in enumerate(items.items(), start=1)
        ],
    }
    await api.call("createFulfillmentOrder", done, body=body)


async def read(api: SellerApi, order_id: str) -> Consignment | None:
    path = {"sellerFulfillmentOrderId": order_id}
    answer = await api.known("getFulfillmentOrder", wire_work.FulfillmentOrderAnswer.model_validate, path=path)
    if answer is None:
        return None
    parcels = [
        (parcel.carrier_code, parcel.tracking_number)
        for shipment in answer.payload.fulfillment_shipments
        for parcel in shipment.fulfillment_shipment_package
        if parcel.tracking_number
    ]
    order = answer.payload.fulfillment_order
    return Consignment(order.seller_fulfillment_order_id, order.fulfillment_order_status, tuple(parcels))


async def cancel(api: SellerApi, order_id: str) -> None:
    """Take back what has not left yet. Raises Rejected once Amazon is packing."""
    await api.call("cancelFulfillmentOrder", done, path={"sellerFulfillmentOrderId": order_id})


def _address(given: Address) -> dict[str, str]:
    told = {
        "name": given.name,
        "addressLine1": given.line1,
        "addressLine2": given.line2,
        "city": given.city,
        "stateOrRegion": given.region,
        "postalCode": given.postal_code,
        "countryCode": given.country,
        "phone": given.phone,
    }
    required = ("name", "addressLine1", "postalCode", "countryCode")
    return {name: value for name, value in told.items() if value or name in required}
