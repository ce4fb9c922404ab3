"""The seller's funds (Sell Finances): movements of the balance as the books have them, and a payout for each day.

What a day (UTC) brought is paid out as it ends, and is in the bank a day later. A balance that is not above zero waits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flipsync.sandbox.clock import milliseconds, rfc3339
from flipsync.sandbox.ebay.beside import here, page_of
from flipsync.sandbox.ebay.problems import encode, refuse
from flipsync.sandbox.ebay.shop import Shop
from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.records import Order, order_external_id

_API = "API_FINANCES"
_PART = re.compile(r"(\w+):(?:\[([^\]]*?)\.\.([^\]]*)\]|\{(\w+)\})(?:,|$)")
_DAY_MS = 86_400_000
_FIRST_ID = 6_000_000_000


@dataclass(slots=True)
class _Movement:
    at_ms: int
    minor: int
    row: dict[str, Any]


@dataclass(slots=True)
class _Payout:
    id: str
    at_ms: int
    movements: list[_Movement] = field(default_factory=list)

    @property
    def minor(self) -> int:
        return sum(each.minor for each in self.movements)


class Funds:
    """What the API tells follows from the orders in the books."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.books = shop.books

    def transactions(self, call: Call) -> Answer:
        wanted = _filter(call, {"transactionDate", "transactionType", "payoutId"}, 135008, "transaction date")
        begin, end = _range(wanted.get("transactionDate", ("", "")), 135008, "transaction date")
        movements, payouts = self._all()
        for payout in payouts:
            for each in payout.movements:
                each.row |= {"transactionStatus": "PAYOUT", "payoutId": payout.id}
        kind, of = wanted.get("transactionType"), wanted.get("payoutId")
        rows = [
            each.row
            for each in movements
            if begin <= each.at_ms <= (end or each.at_ms)
            and kind in (None, each.row["transactionType"])
            and of in (None, each.row.get("payoutId"))
        ]
        return self._page(call, "transactions", rows, "transactionDate", 1000)

    def payouts(self, call: Call) -> Answer:
        wanted = _filter(call, {"payoutDate", "payoutStatus"}, 135004, "payout date")
        begin, end = _range(wanted.get("payoutDate", ("", "")), 135004, "payout date")
        status = wanted.get("payoutStatus")
        found = [each for each in self._all()[1] if begin <= each.at_ms <= (end or each.at_ms)]
        rows = [row for row in map(self._payout, found) if status in (None, row["payoutStatus"])]
        return self._page(call, "payouts", rows, "payoutDate", 200)

    def _page(self, call: Call, name: str, rows: list[dict[str, Any]], sort: str, most: int) -> Answer:
        """A page of `rows`, which are oldest first; the newest come first unless it is asked otherwise."""
        limit, offset = page_of(call, most)
        if call.first("sort") != sort:
            rows.reverse()
        if not rows:
            return Answer(204, b"")
        body: dict[str, Any] = {
            "href": here(call),
            "limit": limit,
            "offset": offset,
            "total": len(rows),
            name: rows[offset : offset + limit],
        }
        if offset + limit < len(rows):
            kept = "".join(f"&{key}={value}" for key, value in call.query if key not in ("limit", "offset"))
            body["next"] = f"{here(call)}?limit={limit}&offset={offset + limit}{kept}"
        return Answer(200, encode(body))

    def _payout(self, payout: _Payout) -> dict[str, Any]:
        done = payout.at_ms + _DAY_MS <= self.books.clock.now_ms()
        return {
            "payoutId": payout.id,
            "payoutStatus": "SUCCEEDED" if done else "INITIATED",
            "payoutStatusDescription": "Funds sent" if done else "Funds are on the way",
            "amount": self._amount(payout.minor),
            "totalAmount": self._amount(payout.minor),
            "totalFee": self._amount(0),
            "payoutDate": rfc3339(payout.at_ms),
            "payoutInstrument": {
                "instrumentType": "BANK",
                "nickname": "Checking account",
                "accountLastFourDigits": "6789",
            },
            "transactionCount": len(payout.movements),
        }

    def _all(self) -> tuple[list[_Movement], list[_Payout]]:
        """Both oldest first."""
        now = self.books.clock.now_ms()
        movements = [
            each
            for order in self.books.orders("channel = 'ebay' ORDER BY placed_ms, id", ())
            for each in self._movements(order)
            if each.at_ms <= now
        ]
        movements.sort(key=lambda each: each.at_ms)
        days: dict[int, list[_Movement]] = {}
        for each in movements:
            days.setdefault(each.at_ms // _DAY_MS + 1, []).append(each)
        payouts: list[_Payout] = []
        waiting: list[_Movement] = []
        for day, brought in days.items():
            payout = _Payout(str(_FIRST_ID + day), day * _DAY_MS, waiting + brought)
            if payout.at_ms > now:
                break
            waiting = [] if payout.minor > 0 else payout.movements
            payouts += [payout] if payout.minor > 0 else []
        return movements, payouts

    def _movements(self, order: Order) -> list[_Movement]:
        """The sale without eBay's fee, and what was given back. What is cancelled on the day it is sold never moved."""
        id = order_external_id("ebay", order.id)
        cancelled = order.status == "cancelled"
        if cancelled and order.modified_ms // _DAY_MS == order.placed_ms // _DAY_MS:
            return []

        def movement(at_ms: int, number: str, kind: str, minor: int, fee: int) -> _Movement:
            more = {"totalFeeAmount": self._amount(abs(fee)), "orderId": id}
            return self._movement(at_ms, number, kind, minor, more)

        kept = order.total_minor - order.fee_minor
        return [
            movement(order.placed_ms, id, "SALE", kept, order.fee_minor),
            *([movement(order.modified_ms, f"c{order.id}", "REFUND", -kept, -order.fee_minor)] if cancelled else ()),
            *self._ad_fees(order, id),
            *(
                movement(refund.created_ms, str(refund.id), "REFUND", -refund.amount_minor, 0)
                for refund in order.refunds
            ),
        ]

    def _ad_fees(self, order: Order, id: str) -> list[_Movement]:
        """What the ad that sold it costs, apart from the sale; given back with the whole price."""
        minor = int(order.doc.get("ad_fee_minor", 0))
        if not minor:
            return []
        line = order.lines[0]
        listing = None if line.listing_id is None else self.books.listing(line.listing_id)
        number = "0" if listing is None else str(listing.doc.get("listing_id") or "0")
        more = {
            "feeType": "AD_FEE",
            "references": [
                {"referenceId": number, "referenceType": "ITEM_ID"},
                {"referenceId": id, "referenceType": "ORDER_ID"},
            ],
        }
        charged = [self._movement(order.placed_ms, f"ad{order.id}D", "NON_SALE_CHARGE", -minor, more)]
        if order.status == "refunded":
            back = order.refunds[-1].created_ms
            charged.append(self._movement(back, f"ad{order.id}C", "NON_SALE_CHARGE", minor, more))
        return charged

    def _movement(self, at_ms: int, number: str, kind: str, minor: int, more: dict[str, Any]) -> _Movement:
        row = {
            "transactionId": number,
            "transactionType": kind,
            "transactionStatus": "FUNDS_AVAILABLE_FOR_PAYOUT",
            "bookingEntry": "DEBIT" if minor < 0 else "CREDIT",
            "amount": self._amount(abs(minor)),
            "transactionDate": rfc3339(at_ms),
            "salesRecordReference": "0",
            **more,
        }
        return _Movement(at_ms, minor, row)

    def _amount(self, minor: int) -> dict[str, str]:
        return {"value": f"{minor // 100}.{minor % 100:02d}", "currency": self.shop.currency}


def _filter(call: Call, known: set[str], id: int, what: str) -> dict[str, Any]:
    """The filter's parts by name: a range's ends, or a set's only word."""
    text = call.first("filter") or ""
    found: dict[str, Any] = {}
    at = 0
    for part in _PART.finditer(text):
        if part.start() != at or part[1] not in known:
            break
        found[part[1]] = (part[2], part[3]) if part[4] is None else part[4]
        at = part.end()
    if at != len(text):
        raise refuse(400, id, f"The value of {what} filter is invalid.", _API)
    return found


def _range(ends: tuple[str, str], id: int, what: str) -> tuple[int, int]:
    """0 for an end that is open."""
    try:
        begin, end = (milliseconds(datetime.fromisoformat(text)) if text else 0 for text in ends)
    except ValueError as wrong:
        raise refuse(400, id, f"The value of {what} filter is invalid.", _API) from wrong
    return begin, end
