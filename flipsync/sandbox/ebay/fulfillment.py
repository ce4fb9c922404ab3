"""Orders and their shipments: getOrders, getOrder, shipping fulfillments."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from flipsync.domain.money import Money
from flipsync.sandbox.clock import milliseconds, rfc3339
from flipsync.sandbox.ebay import bodies
from flipsync.sandbox.ebay.problems import encode, refuse
from flipsync.sandbox.ebay.shop import Shop, counted
from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.records import Line, Order, order_external_id

_DOMAIN = "API_FULFILLMENT"
_ORDER_ID = re.compile(r"27-(\d{5,15})-70193")
_DATES = re.compile(r"(creationdate|lastmodifieddate):\[([^\]]*?)\.\.([^\]]*)\]")
_DAY_MS = 86_400_000
_YEARS = 2
_MOST_NAMED = 50
_ALPHANUMERIC = re.compile(r"[A-Za-z0-9]+")


class Fulfillment:
    """The resources order and shipping_fulfillment."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.books = shop.books

    def search(self, call: Call) -> Answer:
        named = call.first("orderIds")
        if named is not None:
            return self._named(call, named)
        limit, offset = call.first("limit") or "50", call.first("offset") or "0"
        if not limit.isdigit() or not 1 <= int(limit) <= 200:
            raise refuse(400, 31100, f"Invalid limit: {limit}", _DOMAIN)
        if not offset.isdigit():
            raise refuse(400, 31000, f"Invalid offset: {offset}", _DOMAIN)
        field_groups(call)
        where, params = self._filter(call)
        there = self.books.count("orders", where, params)
        rows = self.books.orders(
            f"{where} ORDER BY placed_ms DESC, id DESC LIMIT ? OFFSET ?", (*params, int(limit), int(offset))
        )
        age = self.shop.faults.stale_age("ebay")
        shown = [older for row in rows if (older := self.books.order_as_of(row, age) if age else row) is not None]

        def href(place: int) -> str:
            kept = "".join(f"&{name}={value}" for name, value in call.query if name not in ("limit", "offset"))
            return f"{call.origin}{call.full_path}?limit={limit}&offset={place}{kept}"

        body: dict[str, Any] = {
            "href": href(int(offset)),
            "total": counted(there, int(limit), int(offset), len(shown)),
            "limit": int(limit),
            "offset": int(offset),
            "orders": [self.view(order, whole=False) for order in shown],
        }
        if int(offset) + int(limit) < there:
            body["next"] = href(int(offset) + int(limit))
        return Answer(200, encode(body))

    def _named(self, call: Call, text: str) -> Answer:
        """The orders of these ids that there are; whatever else was asked for does not count then."""
        ids = text.split(",")
        if len(ids) > _MOST_NAMED:
            text = f"Exceeded maximum number of order IDs (the current limit is {_MOST_NAMED})"
            raise refuse(400, 30900, text, _DOMAIN)
        found = [self.books.order(int(match[1])) for id in ids if (match := _ORDER_ID.fullmatch(id))]
        rows = [self.view(each, whole=False) for each in found if each is not None and each.channel == "ebay"]
        href = f"{call.origin}{call.full_path}"
        body = {"href": href, "total": len(rows), "limit": _MOST_NAMED, "offset": 0, "orders": rows}
        return Answer(200, encode(body))

    def _filter(self, call: Call) -> tuple[str, tuple[Any, ...]]:
        text = call.first("filter")
        if text is None:
            return "channel = 'ebay' AND placed_ms >= ?", (self.books.clock.now_ms() - 90 * _DAY_MS,)
        found = _DATES.findall(text)
        if not found or _DATES.sub("", text).strip(","):
            raise refuse(400, 30700, f"Invalid filter name: {text.partition(':')[0]}", _DOMAIN)
        # with both, only the creation date counts
        name, begin, end = min(found, key=lambda row: str(row[0]))
        column = {"creationdate": "placed_ms", "lastmodifieddate": "modified_ms"}[name]
        if not begin:
            raise refuse(400, 30820, "Start date is missing", _DOMAIN)
        now = self.books.clock.now_ms()
        first, last = self._moment(begin), self._moment(end) if end else now
        if first > now or last > now:
            raise refuse(400, 30850, "Start and end dates can't be in the future", _DOMAIN)
        if last < first:
            raise refuse(400, 30840, "Start date should be before end date", _DOMAIN)
        if last - first > _YEARS * 366 * _DAY_MS:
            text = f"Time range between start date and end date must be within '{_YEARS}' years."
            raise refuse(400, 30830, text, _DOMAIN)
        return f"channel = 'ebay' AND {column} BETWEEN ? AND ?", (first, last)

    def _moment(self, text: str) -> int:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise refuse(400, 30810, "Invalid date format", _DOMAIN) from error
        if moment.tzinfo is None:
            raise refuse(400, 30810, "Invalid date format", _DOMAIN)
        return milliseconds(moment)

    def _order(self, text: str) -> Order:
        match = _ORDER_ID.fullmatch(text)
        if match is None:
            raise refuse(400, 32100, f"Invalid order ID: {text}", _DOMAIN, orderId=text)
        order = self.books.order(int(match[1]))
        if order is None or order.channel != "ebay":
            raise refuse(404, 32100, f"Invalid order ID: {text}", _DOMAIN, orderId=text)
        return order

    def get(self, call: Call, text: str) -> Answer:
        field_groups(call)
        order = self._order(text)
        age = self.shop.faults.stale_age("ebay")
        shown = self.books.order_as_of(order, age) if age else order
        if shown is None:
            raise refuse(404, 32100, f"Invalid order ID: {text}", _DOMAIN, orderId=text)
        return Answer(200, encode(self.view(shown, whole=True)))

    def shipments(self, call: Call, text: str) -> Answer:
        rows = self._order(text).doc.get("shipments", [])
        return Answer(200, encode({"total": len(rows), "fulfillments": rows, "warnings": []}))

    def ship(self, call: Call, text: str) -> Answer:
        body = bodies.parse(call, bodies.ShipmentBody, _DOMAIN, 32600)
        order = self._order(text)
        number, carrier = body.tracking_number, body.shipping_carrier_code
        if (number is None) != (carrier is None) or (number is not None and not _ALPHANUMERIC.fullmatch(number)):
            raise refuse(400, 32300, "Invalid shipment tracking number or carrier", _DOMAIN)
        lines = {str(line.id): line for line in order.lines}
        named = [each.line_item_id for each in body.line_items]
        if len(set(named)) < len(named):
            raise refuse(400, 32210, "Duplicate line item in the request", _DOMAIN)
        for each in body.line_items:
            line = lines.get(each.line_item_id)
            if line is None or each.quantity > line.quantity:
                raise refuse(400, 32200, f"Invalid line item id: {each.line_item_id}", _DOMAIN)
        shipments = order.doc.setdefault("shipments", [])
        if order.status in ("cancelled", "refunded") or any(row["fulfillmentId"] == number for row in shipments):
            raise refuse(400, 32600, "Invalid input data", _DOMAIN)
        sent = [{"lineItemId": id, "quantity": lines[id].quantity} for id in (named or lines)]
        row: dict[str, Any] = {
            "fulfillmentId": number or "999",
            "lineItems": sent,
            "shippedDate": rfc3339(self.books.clock.now_ms()),
        }
        if number is not None and carrier is not None:
            row |= {"shipmentTrackingNumber": number, "shippingCarrierCode": carrier}
        shipments.append(row)
        self.shop.orders.record_shipment(order, carrier or "", number or "", "")
        if _shipped(order) == set(lines):
            order.status = "shipped"
        self.books.save_order(order)
        where = f"{call.origin}{call.full_path}/{row['fulfillmentId']}"
        return Answer(201, encode({}), {"Location": where})

    def issue_refund(self, call: Call, text: str) -> Answer:
        """Worked off at once here, though eBay answers that it is pending. No key: twice is twice."""
        body = bodies.parse(call, bodies.RefundBody, _DOMAIN, 34907)
        order = self._order(text)
        given = body.order_level_refund_amount
        if given.currency != order.currency:
            raise refuse(400, 34909, "The amount currency isn't correct.", _DOMAIN)
        minor = Money.parse(given.value, given.currency).amount_minor
        if minor <= 0:
            raise refuse(400, 34907, "The amount value must be positive and within two decimals.", _DOMAIN)
        if order.status == "cancelled":
            raise refuse(400, 34923, "Refund cannot be issued for this type of order.", _DOMAIN)
        if minor > order.total_minor - order.refunded_minor:
            raise refuse(400, 34915, "The refund amount exceeds order amount.", _DOMAIN)
        refund = self.shop.orders.refund(order, {}, minor, body.comment, restock=False)
        if order.refunded_minor >= order.total_minor:
            order.status = "refunded"
        self.books.save_order(order)
        return Answer(200, encode({"refundId": str(refund.id), "refundStatus": "PENDING"}))

    # What an order looks like

    def view(self, order: Order, *, whole: bool) -> dict[str, Any]:
        amount = self._amount
        id = order_external_id("ebay", order.id)
        goods = sum(line.total_minor for line in order.lines)
        shipped = _shipped(order)
        body: dict[str, Any] = {
            "orderId": id,
            "creationDate": rfc3339(order.placed_ms),
            "lastModifiedDate": rfc3339(order.modified_ms),
            "orderFulfillmentStatus": _progress(len(shipped), len(order.lines)),
            "orderPaymentStatus": self._payment_status(order),
            "sellerId": self.shop.seller,
            "buyer": self._buyer(order),
            "pricingSummary": {
                "priceSubtotal": amount(goods),
                "deliveryCost": amount(order.shipping_minor),
                "total": amount(order.total_minor),
            },
            "cancelStatus": self._cancelled(order, whole=whole),
            "paymentSummary": {
                "totalDueSeller": amount(max(0, order.total_minor - order.fee_minor - order.refunded_minor)),
                "payments": [
                    {
                        "paymentMethod": "EBAY",
                        "paymentStatus": "PAID",
                        "amount": amount(order.total_minor),
                        "paymentDate": rfc3339(order.placed_ms),
                    }
                ],
                "refunds": [
                    {
                        "refundId": str(refund.id),
                        "refundDate": rfc3339(refund.created_ms),
                        "refundStatus": "REFUNDED",
                        "amount": amount(refund.amount_minor),
                    }
                    for refund in order.refunds
                ],
            },
            "fulfillmentStartInstructions": [
                {
                    "fulfillmentInstructionsType": "SHIP_TO",
                    "shippingStep": {
                        "shipTo": self._contact(order),
                        "shippingCarrierCode": "USPS",
                        "shippingServiceCode": "USPSGroundAdvantage",
                    },
                }
            ],
            "lineItems": [self._line(order, line, str(line.id) in shipped) for line in order.lines],
            "totalFeeBasisAmount": amount(order.total_minor),
            "totalMarketplaceFee": amount(order.fee_minor),
            "fulfillmentHrefs": [],
        }
        if order.doc.get("note"):
            body["buyerCheckoutNotes"] = order.doc["note"]
        return body

    def _amount(self, minor: int) -> dict[str, str]:
        return {"value": f"{minor // 100}.{minor % 100:02d}", "currency": self.shop.currency}

    def _payment_status(self, order: Order) -> str:
        if not order.refunds:
            return "PAID"
        return "FULLY_REFUNDED" if order.refunded_minor >= order.total_minor else "PARTIALLY_REFUNDED"

    def _cancelled(self, order: Order, *, whole: bool) -> dict[str, Any]:
        if order.status != "cancelled":
            return {"cancelState": "NONE_REQUESTED", "cancelRequests": []}
        moment = rfc3339(order.modified_ms)
        request = {
            "cancelRequestId": str(order.id),
            "cancelRequestState": "COMPLETED",
            "cancelInitiator": "BUYER",
            "cancelReason": "BUYER_ASKED_CANCEL",
            "cancelRequestedDate": moment,
            "cancelCompletedDate": moment,
        }
        # getOrders leaves the requests out
        return {"cancelState": "CANCELED", "cancelledDate": moment, "cancelRequests": [request] if whole else []}

    def _contact(self, order: Order) -> dict[str, Any]:
        to = order.doc["ship_to"]
        address = {
            "addressLine1": to["line1"],
            "city": to["city"],
            "stateOrProvince": to["region"],
            "postalCode": to["postal_code"],
            "countryCode": to["country"],
        }
        return {"fullName": to["name"], "contactAddress": address, "email": to["email"]}

    def _buyer(self, order: Order) -> dict[str, Any]:
        contact = self._contact(order)
        address = contact["contactAddress"]
        tax = {name: address[name] for name in ("stateOrProvince", "postalCode", "countryCode")}
        name = re.sub(r"\W+", "_", contact["fullName"].lower())
        return {"username": name, "taxAddress": tax, "buyerRegistrationAddress": contact}

    def _line(self, order: Order, line: Line, shipped: bool) -> dict[str, Any]:
        listing = None if line.listing_id is None else self.books.listing(line.listing_id)
        number = "0" if listing is None else str(listing.doc.get("listing_id") or "0")
        refunded = [
            {"amount": self._amount(refund.lines[line.id][1]), "refundDate": rfc3339(refund.created_ms)}
            for refund in order.refunds
            if line.id in refund.lines
        ]
        later = rfc3339(order.placed_ms + 5 * _DAY_MS)
        return {
            "lineItemId": str(line.id),
            "legacyItemId": number,
            "sku": line.sku,
            "title": line.title,
            "quantity": line.quantity,
            "lineItemCost": self._amount(line.total_minor),
            "total": self._amount(line.total_minor),
            "deliveryCost": {"shippingCost": self._amount(0)},
            "soldFormat": "FIXED_PRICE",
            "listingMarketplaceId": self.shop.marketplace_id,
            "purchaseMarketplaceId": self.shop.marketplace_id,
            "lineItemFulfillmentStatus": "FULFILLED" if shipped else "NOT_STARTED",
            "lineItemFulfillmentInstructions": {
                "guaranteedDelivery": False,
                "minEstimatedDeliveryDate": rfc3339(order.placed_ms + 2 * _DAY_MS),
                "maxEstimatedDeliveryDate": later,
            },
            "appliedPromotions": [],
            "taxes": [],
            "refunds": refunded,
            "properties": {"buyerProtection": True} | ({"soldViaAdCampaign": True} if _by_ad(order) else {}),
        }


def _by_ad(order: Order) -> bool:
    return bool(order.doc.get("ad_fee_minor"))


def field_groups(call: Call) -> None:
    given = call.first("fieldGroups")
    if given not in (None, "TAX_BREAKDOWN"):
        raise refuse(400, 32800, f"Invalid field group: {given}", _DOMAIN)


def _shipped(order: Order) -> set[str]:
    """Ids of the lines that are in a package."""
    return {each["lineItemId"] for row in order.doc.get("shipments", []) for each in row["lineItems"]}


def _progress(done: int, of: int) -> str:
    return "NOT_STARTED" if not done else "FULFILLED" if done >= of else "IN_PROGRESS"
