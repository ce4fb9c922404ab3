"""Finances 2024-06-19: what was given back, as movements of the seller's balance."""

from __future__ import annotations

from typing import Any

from flipsync.sandbox.amazon.world import MARKETPLACE, World, encode, invalid, moment
from flipsync.sandbox.clock import milliseconds, rfc3339
from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.records import Order, Refund, order_external_id

_PAGE = 100


class Payments:
    """Refunds of the seller's orders. Shipments are not told: nothing here asks for them."""

    def __init__(self, world: World) -> None:
        self.world = world

    def transactions(self, call: Call) -> Answer:
        since, named = call.first("postedAfter"), call.first("relatedIdentifierValue")
        if since is None and named is None:
            raise invalid("Give postedAfter or a related identifier.")
        if named is not None and call.first("relatedIdentifierName") != "ORDER_ID":
            raise invalid("relatedIdentifierName is not one that can be filtered by.")
        from_ms = milliseconds(moment(since)) if since is not None else 0
        rows = [
            self._row(order, refund)
            for order in self.world.books.orders("channel = 'amazon' ORDER BY id", ())
            for refund in order.refunds
            if refund.created_ms >= from_ms and named in (None, order_external_id("amazon", order.id))
        ]
        start = int(call.first("nextToken") or 0)
        payload: dict[str, Any] = {"transactions": rows[start : start + _PAGE]}
        if start + _PAGE < len(rows):
            payload["nextToken"] = str(start + _PAGE)
        return Answer(200, encode({"payload": payload}))

    @staticmethod
    def _row(order: Order, refund: Refund) -> dict[str, Any]:
        amount = {"currencyCode": order.currency, "currencyAmount": -refund.amount_minor / 100}
        return {
            "transactionId": f"refund-{refund.id}",
            "transactionType": "Refund",
            "transactionStatus": "RELEASED",
            "description": "Refund Order",
            "postedDate": rfc3339(refund.created_ms),
            "totalAmount": amount,
            "marketplaceDetails": {"marketplaceId": MARKETPLACE, "marketplaceName": "Amazon.com"},
            "relatedIdentifiers": [
                {
                    "relatedIdentifierName": "ORDER_ID",
                    "relatedIdentifierValue": order_external_id("amazon", order.id),
                }
            ],
        }
