"""What happens to an order: accepted against the shelf, cancelled, refunded, shipped. All inside a transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flipsync.sandbox.books import Books
from flipsync.sandbox.buyers import Buyer
from flipsync.sandbox.records import MARKETPLACES, Channel, Line, Listing, Order, Refund

#: What the marketplace keeps of a sale, and what the web shop charges for postage (minor units).
MARKETPLACE_FEE = 0.12
SHOP_SHIPPING_MINOR = 499


@dataclass(frozen=True)
class Refused:
    """Why an order was not accepted."""

    reason: str


class OrderBook:
    """Order life cycle shared by all channels; keeps shelf and order in step."""

    def __init__(self, books: Books, currency: str) -> None:
        self.books = books
        self.currency = currency

    def place(
        self, channel: Channel, sku: str, quantity: int, buyer: Buyer, *, paid: bool = True, ad_rate: float = 0.0
    ) -> Order | Refused:
        """Accept the order if the shelf has the units, else say why not. Unpaid shop orders take no stock yet.

        `ad_rate` (per cent) is that of the ad the buyer came by: it is charged on all that they pay.
        """
        listing = self.books.listing_by_sku(channel, sku)
        if listing is None:
            return self._refuse(channel, sku, quantity, "not listed")
        shelf = self.books.shelf_of(listing)
        if not listing.sellable(quantity) or (shelf is not listing and (shelf.quantity or 0) < quantity):
            on_sale = listing.sellable(0)
            return self._refuse(channel, sku, quantity, "not enough units" if on_sale else "not on sale")
        assert listing.price_minor is not None
        line = Line(
            id=self.books.next_id(),
            listing_id=listing.id,
            sku=sku,
            title=listing.title,
            quantity=quantity,
            total_minor=listing.price_minor * quantity,
        )
        now = self.books.clock.now_ms()
        woo = channel == "woo"
        order = Order(
            id=self.books.next_id(),
            channel=channel,
            status=("processing" if paid else "pending") if woo else "paid",
            currency=self.currency,
            placed_ms=now,
            modified_ms=now,
            lines=[line],
            shipping_minor=0 if channel in MARKETPLACES else SHOP_SHIPPING_MINOR,
            fee_minor=round(line.total_minor * MARKETPLACE_FEE) if channel in MARKETPLACES else 0,
            doc=_shop_details(buyer, now if paid else None) if woo else _ship_to(buyer),
        )
        if ad_rate:
            order.doc["ad_fee_minor"] = round(order.total_minor * ad_rate / 100)
        if paid:
            self.take_stock(order)
        self.books.save_order(order, new=True)
        return order

    def _refuse(self, channel: Channel, sku: str, quantity: int, reason: str) -> Refused:
        self.books.db.execute(
            "INSERT INTO refused_order (channel, sku, quantity, reason, at_ms) VALUES (?,?,?,?,?)",
            (channel, sku, quantity, reason, self.books.clock.now_ms()),
        )
        return Refused(reason)

    def _counted(self, line: Line) -> Listing | None:
        listing = None if line.listing_id is None else self.books.listing(line.listing_id)
        shelf = None if listing is None else self.books.shelf_of(listing)
        return shelf if shelf is not None and shelf.quantity is not None else None

    def shelf_covers(self, order: Order) -> bool:
        """Whether every counted line can be taken now."""
        wanted: dict[int, int] = {}
        for line in order.lines:
            if line.listing_id is not None:
                wanted[line.listing_id] = wanted.get(line.listing_id, 0) + line.quantity
        for listing_id, units in wanted.items():
            listing = self.books.listing(listing_id)
            shelf = None if listing is None else self.books.shelf_of(listing)
            if shelf is not None and shelf.quantity is not None and shelf.quantity < units:
                return False
        return True

    def take_stock(self, order: Order) -> None:
        """Take the order's units off the shelf, once. Does not look whether they are there: see `shelf_covers`."""
        if order.holds_stock:
            return
        for line in order.lines:
            listing = self._counted(line)
            if listing is not None:
                self.books.move_stock(listing, -line.quantity, "sale", str(order.id))
            line.counted = listing is not None
            line.restocked = 0
        order.holds_stock = True

    def give_back(self, order: Order, cause: str) -> None:
        """Put everything the order still holds back on the shelf."""
        if not order.holds_stock:
            return
        for line in order.lines:
            listing = self._counted(line)
            units = line.quantity - line.restocked
            if listing is not None and units:
                self.books.move_stock(listing, units, cause, str(order.id))
        order.holds_stock = False

    def refund(
        self, order: Order, lines: Mapping[int, tuple[int, int]], amount_minor: int, reason: str, *, restock: bool
    ) -> Refund:
        """Give `amount_minor` back for `lines` (line id to units and minor amount); the caller checks the limit."""
        refund = Refund(
            id=self.books.next_id(),
            amount_minor=amount_minor,
            reason=reason,
            created_ms=self.books.clock.now_ms(),
            lines=dict(lines),
        )
        for line in order.lines:
            units, minor = lines.get(line.id, (0, 0))
            line.refunded_minor += minor
            units = min(units, line.quantity - line.restocked)
            if restock and units > 0 and order.holds_stock:
                listing = self._counted(line)
                if listing is not None:
                    self.books.move_stock(listing, units, "refund", str(order.id))
                line.restocked += units
                refund.restocked[line.id] = units
        order.refunds.append(refund)
        return refund

    def record_shipment(self, order: Order, carrier: str, tracking_number: str, key: str) -> None:
        self.books.db.execute(
            "INSERT INTO shipment (order_id, channel, carrier, tracking_number, key, at_ms) VALUES (?,?,?,?,?,?)",
            (order.id, order.channel, carrier, tracking_number, key, self.books.clock.now_ms()),
        )


def _ship_to(buyer: Buyer) -> dict[str, Any]:
    return {
        "ship_to": {
            "name": buyer.name,
            "company": "",
            "line1": buyer.street,
            "line2": "",
            "city": buyer.city,
            "region": buyer.region,
            "postal_code": buyer.postal_code,
            "country": "US",
            "phone": "",
            "email": buyer.email,
        },
        "note": "",
    }


def _shop_details(buyer: Buyer, paid_ms: int | None) -> dict[str, Any]:
    first, _, last = buyer.name.partition(" ")
    address = {
        "first_name": first,
        "last_name": last,
        "company": "",
        "address_1": buyer.street,
        "address_2": "",
        "city": buyer.city,
        "state": buyer.region,
        "postcode": buyer.postal_code,
        "country": "US",
    }
    return {
        "created_via": "checkout",
        "billing": {**address, "email": buyer.email, "phone": ""},
        "shipping": {**address, "phone": ""},
        "payment_method": "stripe",
        "payment_method_title": "Credit card",
        "paid_ms": paid_ms,
        "shipping_lines": [{"method_title": "Flat rate", "method_id": "flat_rate", "total_minor": SHOP_SHIPPING_MINOR}],
    }
