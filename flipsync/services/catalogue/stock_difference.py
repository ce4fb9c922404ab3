"""What a file's quantities mean for the shelf: which units to book for which variant. Pure.

A file's quantity is not the shelf's: sales happen between an export and an import. So "difference" books what the owner
changed in the file since the last one. A variant's `imported_quantity` is what files account for so far, hence

    on hand = imported quantity - sold + everything booked by hand

whatever files were imported in whatever order, and the same file again books nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from flipsync.services.catalogue.difference import VariantPlan
from flipsync.services.catalogue.report import ImportReport
from flipsync.services.stock import MAX_UNITS
from flipsync.store.repositories.catalogue import KnownStock

#: What the quantity of a known variant means. "difference": units came or went as the figure changed since the last
#: file (5 → 8: three more). "count": it is what lies on the shelf now. "first": nothing, only new variants get stock.
Quantities = Literal["difference", "count", "first"]


@dataclass(frozen=True, slots=True)
class Booking:
    """One movement of one variant's stock: by `units`, to `target` units in all. Without `stock` its item is made."""

    variant_id: UUID
    stock: KnownStock | None
    kind: Literal["receive", "count"]
    units: int
    target: int


@dataclass(slots=True)
class StockPlan:
    """`without_item` are variants to make an empty stock item for, `imported` figures to note for known ones."""

    bookings: list[Booking] = field(default_factory=list)
    without_item: list[UUID] = field(default_factory=list)
    imported: dict[UUID, int] = field(default_factory=dict)


def may_move(variant: VariantPlan, quantities: Quantities) -> bool:
    """Whether the stock of a known variant has to be looked at."""
    quantity = variant.draft.quantity
    if not variant.known or quantity is None or quantities == "first":
        return False
    return quantities == "count" or quantity != variant.imported_quantity


def plan_stock(
    variants: Sequence[VariantPlan], stock: Mapping[UUID, KnownStock], quantities: Quantities, report: ImportReport
) -> StockPlan:
    """`stock` holds what is known of the variants that `may_move`. What cannot be booked is a warning."""
    plan = StockPlan()
    for variant in variants:
        quantity, known = variant.draft.quantity, stock.get(variant.id)
        if variant.known and not may_move(variant, quantities):
            continue
        if known is None:
            if not variant.known or quantity:
                plan.without_item.append(variant.id)
            if quantity:
                plan.bookings.append(Booking(variant.id, None, "receive", quantity, quantity))
            if variant.known and quantity is not None:
                plan.imported[variant.id] = quantity
        elif quantity is not None:
            _plan_known(plan, variant, quantity, known, quantities, report)
    return plan


def _plan_known(
    plan: StockPlan,
    variant: VariantPlan,
    quantity: int,
    known: KnownStock,
    quantities: Quantities,
    report: ImportReport,
) -> None:
    item, last = known.item, variant.imported_quantity
    # A count that channels still stand in the way of is the truth already.
    booked = item.on_hand if item.pending_count is None else item.pending_count

    def warn(reason: str) -> None:
        report.warn(variant.draft.line, "", reason, str(quantity))

    if quantities == "count":
        target = quantity
    elif last is None and known.moved:
        if quantity != booked:
            warn(f"stock left as it is ({booked}): it is not from a file; from now on the file's changes are booked")
        plan.imported[variant.id] = quantity
        return
    else:
        target = booked + quantity - (last or 0)
        if target < booked:
            lowest = min(booked, item.reserved)
            if target < lowest:
                warn(f"{lowest - target} of {booked - target} fewer units were sold before: they cannot be taken off")
                target = lowest
    if target != booked and target < item.reserved:
        warn(f"stock left as it is: it would be {target} units, but {item.reserved} belong to buyers")
        return
    if target > MAX_UNITS:
        warn(f"stock left as it is: {target:,} units are more than the {MAX_UNITS:,} a shelf can hold")
        return
    plan.imported[variant.id] = quantity if quantities == "count" else (last or 0) + target - booked
    if target != booked:
        kind: Literal["receive", "count"] = "receive" if quantities != "count" and target > booked else "count"
        plan.bookings.append(Booking(variant.id, known, kind, target - booked, target))
