"""Merchant Fulfillment v0: labels sold for the seller's own parcels. No key, and no list of what was bought."""

from __future__ import annotations

import base64
import gzip
import hashlib
from typing import Any
from uuid import uuid4

from flipsync.sandbox.amazon.orders import Orders
from flipsync.sandbox.amazon.world import World, encode, invalid, refuse
from flipsync.sandbox.clock import rfc3339
from flipsync.sandbox.exchange import Answer, Call, parse_object
from flipsync.sandbox.records import Order

_DETAILS = {"AmazonOrderId", "ItemList", "ShipFromAddress", "PackageDimensions", "Weight", "ShippingServiceOptions"}
_SENDER = {"Name", "AddressLine1", "City", "PostalCode", "CountryCode", "Email", "Phone"}
#: service, carrier, minor units for the parcel and for each further kilogram begun
_SERVICES = (
    ("USPS_PTP_PRI", "USPS Priority Mail", "USPS", 795, 310),
    ("UPS_PTP_GND", "UPS Ground", "UPS", 1140, 120),
    ("UPS_PTP_NEXT_DAY_AIR", "UPS Next Day Air", "UPS", 4875, 640),
)


class Labels:
    """What is sold, and what was."""

    def __init__(self, world: World, orders: Orders) -> None:
        self.world = world
        self.orders = orders

    def eligible(self, call: Call) -> Answer:
        details = self._details(parse_object(call.body))
        self._order(details)
        rows = [self._service(details, row) for row in _SERVICES]
        return Answer(200, encode({"payload": {"ShippingServiceList": rows}}))

    def create(self, call: Call) -> Answer:
        body = parse_object(call.body)
        details = self._details(body)
        order = self._order(details)
        chosen = next((row for row in _SERVICES if row[0] == (body or {}).get("ShippingServiceId")), None)
        if chosen is None:
            raise invalid("ShippingServiceId is not one that is offered for this parcel.")
        service = self._service(details, chosen)
        offer = (body or {}).get("ShippingServiceOfferId")
        if offer is not None and offer != service["ShippingServiceOfferId"]:
            raise invalid("ShippingServiceOfferId is not of this parcel.")
        number = self.world.books.next_id()
        now = self.world.books.clock.now_ms()
        cost, shipment_id = self._cost(details, chosen), str(uuid4())
        self.world.books.db.execute(
            "INSERT INTO label (id, order_id, channel, external_id, cost_minor, status, at_ms) VALUES (?,?,?,?,?,?,?)",
            (number, order.id, "amazon", shipment_id, cost, "Purchased", now),
        )
        shipment = {
            "ShipmentId": shipment_id,
            "AmazonOrderId": details["AmazonOrderId"],
            "ItemList": details["ItemList"],
            "ShipFromAddress": details["ShipFromAddress"],
            "ShipToAddress": self._recipient(order),
            "PackageDimensions": details["PackageDimensions"],
            "Weight": details["Weight"],
            "Insurance": {"CurrencyCode": order.currency, "Amount": 0},
            "ShippingService": service,
            "Label": self._label(number),
            "Status": "Purchased",
            "TrackingId": f"1Z{number:016d}",
            "CreatedDate": rfc3339(now),
            "LastUpdatedDate": rfc3339(now),
        }
        self.world.put("shipment", shipment_id, {"number": number, "shipment": shipment})
        return Answer(200, encode({"payload": shipment}))

    def get(self, call: Call, shipment_id: str) -> Answer:
        return Answer(200, encode({"payload": self._find(shipment_id)["shipment"]}))

    def cancel(self, call: Call, shipment_id: str) -> Answer:
        kept = self._find(shipment_id)
        shipment = kept["shipment"]
        if shipment["Status"] == "Purchased":
            shipment["Status"] = "RefundPending"
            self.world.put("shipment", shipment_id, kept)
            self.world.books.db.execute("UPDATE label SET status = 'RefundPending' WHERE id = ?", (kept["number"],))
        return Answer(200, encode({"payload": shipment}))

    def _find(self, shipment_id: str) -> dict[str, Any]:
        kept = self.world.get("shipment", shipment_id)
        if kept is None:
            raise refuse(404, "ResourceNotFound", f"Shipment {shipment_id} was not found.")
        return kept

    @staticmethod
    def _details(body: dict[str, Any] | None) -> dict[str, Any]:
        details = (body or {}).get("ShipmentRequestDetails")
        if not isinstance(details, dict) or not set(details) >= _DETAILS:
            raise invalid("ShipmentRequestDetails lacks a required field.")
        if not set(details["ShipFromAddress"]) >= _SENDER:
            raise invalid("ShipFromAddress lacks a required field.")
        if details["Weight"].get("Unit") not in ("g", "oz") or not details["Weight"].get("Value", 0) > 0:
            raise invalid("Weight is above zero, in g or oz.")
        return details

    def _order(self, details: dict[str, Any]) -> Order:
        order = self.orders.find(str(details["AmazonOrderId"]))
        units = {str(line.id): line.quantity for line in order.lines}
        told = {str(row.get("OrderItemId")): row.get("Quantity", 0) for row in details["ItemList"]}
        if any(not 0 < told[item] <= units.get(item, 0) for item in told) or not told:
            raise invalid("ItemList is not of the order.")
        if order.status != "paid":
            raise invalid("The order is not unshipped.")
        return order

    @staticmethod
    def _cost(details: dict[str, Any], row: tuple[str, str, str, int, int]) -> int:
        grams = details["Weight"]["Value"] * (1 if details["Weight"]["Unit"] == "g" else 28.35)
        return row[3] + row[4] * int(max(0, grams - 1) // 1000)

    def _service(self, details: dict[str, Any], row: tuple[str, str, str, int, int]) -> dict[str, Any]:
        price = {"CurrencyCode": self.world.currency, "Amount": self._cost(details, row) / 100}
        of_parcel = f"{row[0]}|{details['AmazonOrderId']}|{details['Weight']}|{details['PackageDimensions']}"
        now = rfc3339(self.world.books.clock.now_ms())
        return {
            "ShippingServiceName": row[1],
            "CarrierName": row[2],
            "ShippingServiceId": row[0],
            "ShippingServiceOfferId": hashlib.sha256(of_parcel.encode()).hexdigest()[:32],
            "ShipDate": now,
            "Rate": price,
            "RateWithAdjustments": price,
            "ShippingServiceOptions": {
                "DeliveryExperience": "DeliveryConfirmationWithoutSignature",
                "CarrierWillPickUp": False,
            },
            "RequiresAdditionalSellerInputs": False,
        }

    @staticmethod
    def _recipient(order: Order) -> dict[str, Any]:
        to = order.doc["ship_to"]
        return {
            "Name": to["name"],
            "AddressLine1": to["line1"],
            "City": to["city"],
            "PostalCode": to["postal_code"],
            "CountryCode": to["country"],
            "Email": to["email"],
            "Phone": to["phone"],
        }

    @staticmethod
    def _label(number: int) -> dict[str, Any]:
        packed = gzip.compress(f"%PDF-1.4 label {number}".encode(), mtime=0)
        return {
            "Dimensions": {"Length": 6, "Width": 4, "Unit": "inches"},
            "FileContents": {
                "Contents": base64.b64encode(packed).decode(),
                "FileType": "application/pdf",
                "Checksum": base64.b64encode(hashlib.md5(packed, usedforsecurity=False).digest()).decode(),
            },
            "LabelFormat": "PDF",
        }
