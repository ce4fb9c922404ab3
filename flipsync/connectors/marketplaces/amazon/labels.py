"""Labels bought from Amazon for our own parcels (Merchant Fulfillment v0).

Labels show where buyers live, so each call on a shipment carries a Restricted Data Token.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from flipsync.connectors.marketplaces.amazon import wire_money
from flipsync.connectors.marketplaces.amazon.api import SellerApi
from flipsync.connectors.unpacking import gunzip
from flipsync.connectors.unread import Rows, reason_of
from flipsync.domain.channel import Address, ChannelLabel, LabelOrder
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
    aside = Rows("services", "ShippingServiceId")
    answer = await api.call(
        "getEligibleShipmentServices",
        partial(wire_money.EligibleAnswer.model_validate, context=aside.context),
        body={"ShipmentRequestDetails": _details(parcel)},
    )
    read = [aside.read(_service, row) for row in answer.payload.shipping_service_list]
    found = [service for service in read if service is not None]
    if not found:
        aside.tell()
    return sorted(found, key=lambda service: service.price.amount_minor)


async def buy(api: SellerApi, parcel: Parcel, service: Service) -> BoughtLabel:
    """Buy a label. Amazon has no key for it: after OutcomeUnknown look in Seller Central before buying again."""
    body = {
        "ShipmentRequestDetails": _details(parcel),
        "ShippingServiceId": service.id,
        "ShippingServiceOfferId": service.offer,
    }
    return await api.call("createShipment", _label, body=body, restricted=True)


async def read(api: SellerApi, shipment_id: str) -> BoughtLabel | None:
    return await api.known("getShipment", _label, path={"shipmentId": shipment_id}, restricted=True)


async def cancel(api: SellerApi, shipment_id: str) -> BoughtLabel:
    """Ask for the money back; Amazon answers with the label as it is then (RefundPending, RefundApplied, …), of which
    the file is left out: nobody prints it any more."""
    return await api.call("cancelShipment", _cancelled, path={"shipmentId": shipment_id}, restricted=True)


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


def _label(data: Any, *, printed: bool = True) -> BoughtLabel:
    """Raises ValueError for one that cannot be read; it names the shipment, which may be paid for."""
    row = wire_money.ShipmentAnswer.model_validate(data).payload
    try:
        return _bought(row, printed)
    except ValueError as error:
        raise ValueError(f"shipment {row.shipment_id}: {reason_of(error)}") from error


def _cancelled(data: Any) -> BoughtLabel:
    return _label(data, printed=False)


def _bought(row: wire_money.Shipment, printed: bool) -> BoughtLabel:
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
        content=_file(file.contents) if printed else b"",
    )


def _file(text: str) -> bytes:
    """Amazon packs a label's file with gzip and writes it in Base64. Raises ValueError."""
    try:
        return gunzip(base64.b64decode(text, validate=True))
    except ValueError as error:
        raise ValueError("its label cannot be read") from error
