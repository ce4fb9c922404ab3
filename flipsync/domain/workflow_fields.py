"""Which facts may trigger an automation, and what can be asked of each: ids, figures and our own words, no buyer's."""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from flipsync.domain import events as e
from flipsync.domain.money import Money

Kind = Literal["number", "text", "flag"]

TRIGGERS: Final[dict[str, type[e.Event]]] = {
    each.type_name(): each
    for each in (
        e.AccountHealthChanged,
        e.ChannelFaultCleared,
        e.ChannelFaultFound,
        e.CostChanged,
        e.CredentialsExpiring,
        e.ListingPublished,
        e.ListingRefused,
        e.ListingVanished,
        e.OfferChanged,
        e.OrderChanged,
        e.OrderReceived,
        e.PriceSet,
        e.ProductImported,
        e.QuantityDrifted,
        e.RivalsMoved,
        e.ShipmentConfirmed,
        e.StockMoved,
    )
}
_SUBJECTS: Final[tuple[tuple[type[e.Event], str], ...]] = (
    (e.ListingEvent, "listing"),
    (e.OrderEvent, "order"),
    (e.ProductImported, "product"),
    (e.CostChanged, "variant"),
    (e.StockMoved, "stock_item"),
    (e.AccountEvent, "account"),
)
#: what can be asked of the thing itself, as it is then
ABOUT: Final[dict[str, dict[str, Kind]]] = {
    "listing": {
        "listing.status": "text",
        "listing.price_minor": "number",
        "listing.quantity_shown": "number",
        "listing.sku": "text",
        "product.category": "text",
        "product.brand": "text",
        "variant.cost_minor": "number",
        "variant.price_minor": "number",
    },
    "stock_item": {
        "listings.active": "number",
        "product.category": "text",
        "product.brand": "text",
        "variant.cost_minor": "number",
        "variant.price_minor": "number",
    },
    "product": {"listings.active": "number", "product.category": "text", "product.brand": "text"},
    "order": {
        "order.total_minor": "number",
        "order.currency": "text",
        "order.state": "text",
        "order.units": "number",
    },
}


def subject_of(event: str) -> str:
    """What kind of thing facts of this kind are about."""
    return next(kind for base, kind in _SUBJECTS if issubclass(TRIGGERS[event], base))


@cache
def fields_of(event: str) -> dict[str, Kind]:
    """The fields of a fact that can be compared. Money is its `amount_minor` and its `currency`."""
    found: dict[str, Kind] = {}
    for name, hint in get_type_hints(TRIGGERS[event]).items():
        if name in TRIGGERS[event].model_fields:
            if hint is Money:
                found |= {f"{name}.amount_minor": "number", f"{name}.currency": "text"}
            elif (kind := _kind(hint)) is not None:
                found[name] = kind
    return found


def _kind(hint: Any) -> Kind | None:
    if get_origin(hint) is Literal:
        return "text"
    if get_origin(hint) in (Union, UnionType):
        kinds = {_kind(each) for each in get_args(hint) if each is not type(None)}
        return kinds.pop() if len(kinds) == 1 else None
    if hint is bool:
        return "flag"
    if hint in (int, float):
        return "number"
    return "text" if hint in (str, UUID) else None


def plain_fields(event: str, payload: dict[str, Any]) -> dict[str, Any]:
    """A fact's fields as conditions know them."""
    found: dict[str, Any] = {}
    for name in fields_of(event):
        whole, _, part = name.partition(".")
        value = payload.get(whole)
        found[name] = value.get(part) if part and isinstance(value, dict) else value
    return found
