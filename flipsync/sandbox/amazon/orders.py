"""Orders 2026-01-01, and the confirmation of shipments of Orders v0."""

from __future__ import annotations

import base64
import re
from typing import Any

from flipsync.sandbox.amazon.world import MARKETPLACE, World, encode, invalid, moment, refuse
from flipsync.sandbox.clock import milliseconds, rfc3339
from flipsync.sandbox.exchange import Answer, Call, parse_object
from flipsync.sandbox.records import Order, order_external_id

_ID = re.compile(r"111-0000000-(\d{7,})")
_STATUS = {"paid": "UNSHIPPED", "shipped": "SHIPPED", "refunded": "SHIPPED", "cancelled": "CANCELLED"}
_PACKAGE = {"packageReferenceId", "carrierCode", "trackingNumber", "shipDate", "orderItems"}
_PACKAGE_TOO = {"carrierName", "shippingMethod", "shipFromSupplySourceId"}


class Orders:
    """The seller's orders."""

    def __init__(self, world: World) -> None:
        self.world = world

    def search(self, call: Call) -> Answer:
        since = call.first("lastUpdatedAfter")
        created = call.first("createdAfter")
        if (since is None) == (created is None):
            raise invalid("Give exactly one of createdAfter and lastUpdatedAfter.")
        column = "modified_ms" if since is not None else "placed_ms"
        from_ms = milliseconds(moment(since or created or ""))
        size = int(call.first("maxResultsPerPage") or 100)
        if not 1 <= size <= 100:
            raise invalid("maxResultsPerPage is between 1 and 100.")
        until, after = self._place(call.first("paginationToken"))
        found = self.world.books.orders(
            f"channel = 'amazon' AND {column} >= ? AND modified_ms <= ? AND id > ? ORDER BY id LIMIT ?",
            (from_ms, until, after, size + 1),
        )
        age = self.world.faults.stale_age("amazon")
        seen = [self.world.books.order_as_of(row, age) if age else row for row in found[:size]]
        body: dict[str, Any] = {"orders": [self._view(row, call) for row in seen if row is not None], "pagination": {}}
        if len(found) > size:
            place = f"{until}|{found[size - 1].id}"
            body["pagination"]["nextToken"] = base64.urlsafe_b64encode(place.encode()).decode()
        body["lastUpdatedBefore" if since is not None else "createdBefore"] = rfc3339(until)
        return Answer(200, encode(body))

    def _place(self, token: str | None) -> tuple[int, int]:
        """Until when the search is true, and the order its page comes after."""
        if token is None:
            return self.world.books.clock.now_ms(), 0
        try:
            until, _, after = base64.urlsafe_b64decode(token.encode()).decode().partition("|")
            return int(until), int(after)
        except ValueError:
            raise invalid("The pagination token is not valid.") from None

    def find(self, order_id: str) -> Order:
        match = _ID.fullmatch(order_id)
        order = self.world.books.order(int(match[1])) if match else None
        if order is None or order.channel != "amazon":
            raise refuse(404, "NotFound", f"Order {order_id} was not found.")
        return order

    def get(self, call: Call, order_id: str) -> Answer:
        order = self.find(order_id)
        age = self.world.faults.stale_age("amazon")
        older = self.world.books.order_as_of(order, age) if age else order
        if older is None:
            raise refuse(404, "NotFound", f"Order {order_id} was not found.")
        return Answer(200, encode({"order": self._view(older, call)}))

    def _view(self, order: Order, call: Call) -> dict[str, Any]:
        wanted = (call.first("includedData") or "").split(",")
        by_amazon = any(self._from_warehouse(line.listing_id) for line in order.lines)
        status = _STATUS[order.status]
        view: dict[str, Any] = {
            "orderId": order_external_id("amazon", order.id),
            "createdTime": rfc3339(order.placed_ms),
            "lastUpdatedTime": rfc3339(order.modified_ms),
            "salesChannel": {"channelName": "AMAZON", "marketplaceId": MARKETPLACE, "marketplaceName": "Amazon.com"},
            "orderItems": [self._item(order, line, wanted) for line in order.lines],
        }
        address = order.doc["ship_to"]
        if "BUYER" in wanted:
            view["buyer"] = {"buyerName": address["name"], "buyerEmail": address["email"]}
        if "RECIPIENT" in wanted:
            view["recipient"] = {
                "deliveryAddress": {
                    "name": address["name"],
                    "companyName": address["company"],
                    "addressLine1": address["line1"],
                    "addressLine2": address["line2"],
                    "city": address["city"],
                    "stateOrRegion": address["region"],
                    "postalCode": address["postal_code"],
                    "countryCode": address["country"],
                    "phone": address["phone"],
                    "addressType": "RESIDENTIAL",
                }
            }
        if "PROCEEDS" in wanted:
            view["proceeds"] = {"grandTotal": self._money(order.total_minor, order.currency)}
        if "FULFILLMENT" in wanted:
            view["fulfillment"] = {
                "fulfillmentStatus": status,
                "fulfilledBy": "AMAZON" if by_amazon else "MERCHANT",
                "fulfillmentServiceLevel": "STANDARD",
            }
        if "PACKAGES" in wanted and "shipment" in order.doc:
            view["packages"] = [order.doc["shipment"]]
        return view

    def _from_warehouse(self, listing_id: int | None) -> bool:
        listing = self.world.books.listing(listing_id) if listing_id is not None else None
        return listing is not None and listing.doc.get("warehouse") is not None

    def _item(self, order: Order, line: Any, wanted: list[str]) -> dict[str, Any]:
        listing = self.world.books.listing(line.listing_id) if line.listing_id is not None else None
        unit = self._money(line.total_minor // line.quantity, order.currency)
        item: dict[str, Any] = {
            "orderItemId": str(line.id),
            "quantityOrdered": line.quantity,
            "product": {
                "asin": listing.doc["asin"] if listing else "",
                "title": line.title,
                "sellerSku": line.sku,
                "price": {"unitPrice": unit},
            },
        }
        if "PROCEEDS" in wanted:
            total = self._money(line.total_minor, order.currency)
            item["proceeds"] = {"proceedsTotal": total, "breakdowns": [{"type": "ITEM", "subtotal": total}]}
        if "FULFILLMENT" in wanted:
            done = line.quantity if _STATUS[order.status] == "SHIPPED" else 0
            item["fulfillment"] = {"quantityFulfilled": done, "quantityUnfulfilled": line.quantity - done}
        return item

    @staticmethod
    def _money(minor: int, currency: str) -> dict[str, str]:
        return {"amount": f"{minor / 100:.2f}", "currencyCode": currency}

    def confirm(self, call: Call, order_id: str) -> Answer:
        order = self.find(order_id)
        body = parse_object(call.body)
        package = (body or {}).get("packageDetail")
        if body is None or not {"marketplaceId", "packageDetail"} <= set(body) or not isinstance(package, dict):
            raise invalid("marketplaceId and packageDetail are required.")
        if (
            set(body) - {"marketplaceId", "packageDetail", "codCollectionMethod"}
            or body["marketplaceId"] != MARKETPLACE
        ):
            raise invalid("The marketplace is not that of the order, or a field is unknown.")
        if not _PACKAGE <= set(package) <= _PACKAGE | _PACKAGE_TOO:
            raise invalid("A field of packageDetail is missing or unknown.")
        if not str(package["packageReferenceId"]).isdigit() or int(package["packageReferenceId"]) < 1:
            raise invalid("packageReferenceId is a positive number.")
        if package["carrierCode"] == "Other" and not package.get("carrierName"):
            raise invalid("carrierName is required when carrierCode is Other.")
        shipped_at = moment(str(package["shipDate"]))
        units = {str(line.id): line.quantity for line in order.lines}
        told = {str(row.get("orderItemId")): row.get("quantity") for row in package["orderItems"]}
        if told != units:
            raise invalid("orderItems are not those of the order.")
        if order.status == "cancelled" or any(self._from_warehouse(line.listing_id) for line in order.lines):
            raise invalid("The order cannot be shipped by the seller.")
        carrier = package.get("carrierName") or package["carrierCode"]
        self.world.orders.record_shipment(order, carrier, package["trackingNumber"], "")
        order.doc["shipment"] = {
            "packageReferenceId": package["packageReferenceId"],
            "packageStatus": {"status": "SHIPPED"},
            "carrier": carrier,
            "shipTime": rfc3339(milliseconds(shipped_at)),
            "trackingNumber": package["trackingNumber"],
            "packageItems": [{"orderItemId": name, "quantity": count} for name, count in units.items()],
        }
        if order.status == "paid":
            order.status = "shipped"
        self.world.books.save_order(order)
        return Answer(204, b"")
