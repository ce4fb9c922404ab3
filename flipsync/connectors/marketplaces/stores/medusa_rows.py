"""Medusa's rows: stock and prices of a variant, and what a product is called by. Pure."""

from __future__ import annotations

import hashlib
import re

from flipsync.connectors.marketplaces.store import Row
from flipsync.domain.channel import Offer, OfferGroup

#: The option that Medusa demands of goods that come in one form.
ALONE = "Default"


def same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def values_of(group: OfferGroup, offer: Offer, name: str) -> list[str]:
    chosen = dict(zip(group.options, offer.choices, strict=True))[name]
    return list(dict.fromkeys([*group.values.get(name, ()), chosen]))


def handle(offer: Offer) -> str:
    """The product's address in the shop, with a mark of our own name for it: made once, and found again."""
    name = f"group {offer.group.key}" if offer.group else offer.sku
    plain = re.sub(r"[^a-z0-9]+", "-", (offer.group.title if offer.group else offer.title).lower()).strip("-")[:60]
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:10]}".lstrip("-")


def levels_of(row: Row) -> list[tuple[Row, Row | None]]:
    """The inventory items a variant is counted by, each with its level at the account's location. A kit has several."""
    return [
        (linked, next((level for level in _levels(linked) if level["location_id"] == row["place"]), None))
        for linked in row["inventory_items"] or []
    ]


def _levels(linked: Row) -> list[Row]:
    return (linked.get("inventory") or {}).get("location_levels") or []


def on_offer(row: Row) -> int:
    """As many as the scarcest of its inventory items is enough for."""
    return min((_units(linked, level) for linked, level in levels_of(row)), default=0)


def _units(linked: Row, level: Row | None) -> int:
    if level is None:
        return 0
    free = int(level["stocked_quantity"]) - int(level["reserved_quantity"])
    return free // int(linked.get("required_quantity") or 1)


def kept(price: Row) -> Row:
    """A price as it must be sent to stay as it is."""
    names = ("id", "currency_code", "amount", "min_quantity", "max_quantity", "rules")
    return {name: price[name] for name in names if price.get(name) not in (None, {})}
