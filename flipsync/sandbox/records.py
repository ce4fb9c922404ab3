"""What the sandbox's books hold: listings, orders, lines and refunds, the same for every channel."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast

Channel = Literal["woo", "custom", "shopify", "ebay", "amazon"]
CHANNELS: tuple[Channel, ...] = ("woo", "custom", "shopify", "ebay", "amazon")
#: Where other sellers offer the same goods, and the channel keeps a fee; the rest are shops of one's own.
MARKETPLACES: frozenset[Channel] = frozenset({"custom", "ebay", "amazon"})
#: Where returned units are the seller's to put on sale again: a refund puts nothing back on the shelf.
RETURNS_TO_SELLER: frozenset[Channel] = frozenset({"ebay", "amazon"})
#: How each channel writes the number of an order.
_ORDER_IDS: dict[Channel, str] = {
    "woo": "{}",
    "custom": "o{}",
    "shopify": "gid://shopify/Order/{}",
    "ebay": "27-{:05d}-70193",
    "amazon": "111-0000000-{:07d}",
}

#: Listing states in which buyers see the goods, whatever the channel calls them.
ON_SALE = frozenset({"active", "publish"})


@dataclass(slots=True)
class Listing:
    """One offer of ours on one channel. `quantity` is None where the channel does not count; `doc` is vendor detail."""

    id: int
    channel: Channel
    sku: str
    title: str
    status: str
    price_minor: int | None
    quantity: int | None
    stock_version: int
    created_ms: int
    modified_ms: int
    doc: dict[str, Any] = field(default_factory=dict)

    def sellable(self, units: int) -> bool:
        """Whether a buyer can have `units` now."""
        if self.doc.get("parent_status", self.status) not in ON_SALE:
            return False
        if self.status not in ON_SALE or self.price_minor is None or self.price_minor <= 0:
            return False
        if self.quantity is None:
            return bool(self.doc.get("stock_status", "instock") == "instock")
        return self.quantity >= units


@dataclass(slots=True)
class Line:
    """One article of an order; `counted` says whether its units came off a counted shelf."""

    id: int
    listing_id: int | None
    sku: str
    title: str
    quantity: int
    total_minor: int
    restocked: int = 0
    refunded_minor: int = 0
    counted: bool = False


@dataclass(slots=True)
class Refund:
    """Money given back. `lines` maps a line id to [units, minor amount]; `restocked` a line id to units put back."""

    id: int
    amount_minor: int
    reason: str
    created_ms: int
    lines: dict[int, tuple[int, int]] = field(default_factory=dict)
    restocked: dict[int, int] = field(default_factory=dict)
    reference: str = ""


@dataclass(slots=True)
class Order:
    """One order. `holds_stock` says whether its units are off the shelf now."""

    id: int
    channel: Channel
    status: str
    currency: str
    placed_ms: int
    modified_ms: int
    lines: list[Line]
    shipping_minor: int = 0
    fee_minor: int = 0
    holds_stock: bool = False
    refunds: list[Refund] = field(default_factory=list)
    doc: dict[str, Any] = field(default_factory=dict)

    @property
    def total_minor(self) -> int:
        return sum(line.total_minor for line in self.lines) + self.shipping_minor

    @property
    def refunded_minor(self) -> int:
        return sum(refund.amount_minor for refund in self.refunds)

    def held_units(self) -> dict[str, int]:
        """Units per SKU that left the shelf for this order and have not been put back."""
        held: dict[str, int] = {}
        if self.holds_stock:
            for line in self.lines:
                held[line.sku] = held.get(line.sku, 0) + line.quantity - line.restocked
        return held


def sandbox_channel(vendor: str) -> Channel:
    """What the sandbox calls the channel that speaks a vendor's protocol. Raises ValueError for one it does not."""
    return CHANNELS[CHANNELS.index("woo" if vendor == "woocommerce" else cast(Channel, vendor))]


def order_external_id(channel: Channel, order_id: int) -> str:
    """The order's id as its channel tells it."""
    return _ORDER_IDS[channel].format(order_id)


def lines_to_json(lines: list[Line]) -> list[dict[str, Any]]:
    return [asdict(line) for line in lines]


def lines_from_json(rows: list[dict[str, Any]]) -> list[Line]:
    return [Line(**row) for row in rows]


def refunds_to_json(refunds: list[Refund]) -> list[dict[str, Any]]:
    return [asdict(refund) for refund in refunds]


def refunds_from_json(rows: list[dict[str, Any]]) -> list[Refund]:
    return [
        Refund(
            id=row["id"],
            amount_minor=row["amount_minor"],
            reason=row["reason"],
            created_ms=row["created_ms"],
            lines={int(k): (v[0], v[1]) for k, v in row["lines"].items()},
            restocked={int(k): v for k, v in row["restocked"].items()},
            reference=row.get("reference", ""),
        )
        for row in rows
    ]
