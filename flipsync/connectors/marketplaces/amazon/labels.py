"""Labels bought from Amazon for our own parcels (Merchant Fulfillment v0).

Labels show where buyers live, so each call on a shipment carries a Restricted Data Token.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flipsync.connectors.marketplaces.amazon import wire_money
from flipsync.connectors.marketplaces.amazon.api import SellerApi
from flipsync.connectors.unpacking import gunzip
from flipsync.domain.channel import Address, ChannelLabel, LabelOrder
from flipsync.domain.errors import OutcomeUnknown
from flipsync.domain.money import Money


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent: items as order item id to units; lengths in centimetres, weight in grams."""

    order_id: str
    items: Mapping[str, int]
    ship_from: Address
    length: int
    width: int
    height: int
    weight: int


@dataclass(frozen=True, slots=True)
class Service:
    """A way to send a parcel. `offer` is good for this parcel only."""

    id: str
    offer: str
    name: str
    carrier: str
    price: Money
    arrives_by: datetime | None


@dataclass(frozen=True, slots=True)
class BoughtLabel:
    """A label that was paid for; `content` is the file to print."""

    shipment_id: str
    order_id: str
    status: str
    carrier: str
    service: str
    tracking_number: str
    price: Money
    media_type: str
    content: bytes


async def services(api: SellerApi, parcel: Parcel) -> list[Service]:
    """Every way Amazon offers for this parcel, cheapest first."""
    answer = await api.call(
        "getEligibleShipmentServices",
        wire_money.EligibleAnswer.model_validate,
        body={"ShipmentRequestDetails": _details(parcel)},
    )
    return sorted(
        (_service(row) for row in answer.payload.shipping_service_list), key=lambda row: row.price.amount_minor
    )


async def buy(api: SellerApi, parcel: Parcel, service: Service) -> BoughtLabel:
    """Buy a label. Amazon has no key for it: after OutcomeUnknown look in Seller Central before buying again."""
    body = {
        "ShipmentRequestDetails": _details(parcel),
        "ShippingServiceId": service.id,
        "ShippingServiceOfferId": service.offer,
    }
    answer = await api.call("createShipment", wire_money.ShipmentAnswer.model_validate, body=body, restricted=True)
    return _label(answer.payload)


async def read(api: SellerApi, shipment_id: str) -> BoughtLabel | None:
    answer = await api.known(
        "getShipment", wire_money.ShipmentAnswer.model_validate, path={"shipmentId": shipment_id}, restricted=True
    )
    return None if answer is None else _label(answer.payload)


async def cancel(api: SellerApi, shipment_id: str) -> BoughtLabel:
    """Ask for the money back; Amazon answers with the label as it is then (RefundPending, RefundApplied, …)."""
    path = {"shipmentId": shipment_id}
    answer = await api.call("cancelShipment", wire_money.ShipmentAnswer.model_validate, path=path, restricted=True)
    return _label(answer.payload)


def parcel_of(wish: LabelOrder) -> Parcel:
    """Rounded up to whole centimetres: a parcel that is declared too small is charged again."""
    size = wish.parcel
    return Parcel(
        order_id=wish.order_external_id,
        items=wish.items,
        ship_from=wish.ship_from,
        length=-(-size.length_mm // 10),
        width=-(-size.width_mm // 10),
        height=-(-size.height_mm // 10),
        weight=size.weight_grams,
    )


def as_told(label: BoughtLabel) -> ChannelLabel:
    return ChannelLabel(
        external_id=label.shipment_id,
        order_external_id=label.order_id,
        carrier=label.carrier,
        service=label.service,
        tracking_number=label.tracking_number,
        price=label.price,
        live=label.status in ("Purchased", "RefundRejected"),
        media_type=label.media_type,
        content=label.content,
    )


def _details(parcel: Parcel) -> dict[str, Any]:
    sender = parcel.ship_from
    address = {
        "Name": (sender.name or sender.company)[:30],
        "AddressLine1": sender.line1,
        "AddressLine2": sender.line2,
        "City": sender.city,
        "StateOrProvinceCode": sender.region,
        "PostalCode": sender.postal_code,
        "CountryCode": sender.country,
        "Email": sender.email,
        "Phone": sender.phone,
    }
    optional = ("AddressLine2", "StateOrProvinceCode")
    return {
        "AmazonOrderId": parcel.order_id,
        "ItemList": [{"OrderItemId": item, "Quantity": units} for item, units in parcel.items.items()],
        "ShipFromAddress": {name: value for name, value in address.items() if value or name not in optional},
        "PackageDimensions": {
            "Length": parcel.length,
            "Width": parcel.width,
            "Height": parcel.height,
            "Unit": "centimeters",
        },
        "Weight": {"Value": parcel.weight, "Unit": "g"},
        "ShippingServiceOptions": {
            "DeliveryExperience": "DeliveryConfirmationWithoutSignature",
            "CarrierWillPickUp": False,
        },
    }


def _service(row: wire_money.ShippingService) -> Service:
    return Service(
        id=row.shipping_service_id,
        offer=row.shipping_service_offer_id,
        name=row.shipping_service_name,
        carrier=row.carrier_name,
        price=row.rate.money(),
        arrives_by=row.latest_estimated_delivery_date,
    )


def _label(row: wire_money.Shipment) -> BoughtLabel:
    file = row.label.file_contents
    return BoughtLabel(
        shipment_id=row.shipment_id,
        order_id=row.amazon_order_id,
        status=row.status,
        service=row.shipping_service.shipping_service_name,
        carrier=row.shipping_service.carrier_name,
        tracking_number=row.tracking_id,
        price=row.shipping_service.rate.money(),
        media_type=file.file_type,
        content=_file(file.contents, row.shipment_id),
    )


def _file(text: str, shipment_id: str) -> bytes:
    """Amazon packs a label's file with gzip and writes it in Base64."""
    try:
        return gunzip(base64.b64decode(text, validate=True))
    except ValueError as error:
        raise OutcomeUnknown(
            f"shipment {shipment_id} has a label that cannot be read", hint="read the shipment again"
        ) from error
