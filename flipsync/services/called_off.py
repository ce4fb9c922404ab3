"""Orders that come to nothing once their goods were set aside or packed: what becomes of the units.

A channel that cancels puts units back on its own shelf, one that gives the money back may not, and neither knows
whether a parcel has left. What may not lie on the shelf is not put on sale by itself: it leaves the books, and the
owner is asked (the fulfilment agent, of `UnitsInDoubt`).
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from flipsync.domain.called_off import PutBackUnits, Shelf, UnitsInDoubt
from flipsync.domain.channel import Vendor
from flipsync.domain.decisions import Decision, Evidence
from flipsync.domain.errors import Conflict
from flipsync.services import stock
from flipsync.store.models import Order, OrderLine
from flipsync.store.repositories import orders as rows
from flipsync.store.unit_of_work import UnitOfWork


def is_over(order: Order, status: str, lines: Sequence[OrderLine]) -> bool:
    """Whether an order that the channel counts as sold has nothing to ship: all the money, or all units, went back."""
    if order.state == "shipped":
        return False
    return status == "refunded" or (bool(lines) and all(_is_back(line) for line in lines))


def _is_back(line: OrderLine) -> bool:
    return line.returned >= line.quantity and not (line.reserved or line.short or line.shipped)


async def close(
    unit: UnitOfWork, vendor: Vendor, order: Order, lines: list[OrderLine], items: dict[UUID, UUID]
) -> None:
    """Nothing is shipped any more; what the channel did not put back leaves the books."""
    parcel = await rows.is_handed_over(unit.session, order.id)
    gone = {}
    for line in stock.by_item(lines, items):
        if line.listing_id not in items:
            continue
        item = items[line.listing_id]
        if line.short:
            await stock.forgo(unit, line, item, line.short)
        gone[line.id] = await stock.ship(unit, line, item)
    order.state = "shipped" if parcel else "cancelled"
    _doubt(unit, vendor, order, gone, parcel=parcel, shelf="kept")


async def without_parcel(
    unit: UnitOfWork,
    vendor: Vendor,
    order: Order,
    lines: list[OrderLine],
    items: dict[UUID, UUID],
    restocked: dict[UUID, int],
) -> None:
    """The channel put these units (by line) back on its shelf, and the books followed: those in a parcel are not there.

    They are counted away, so that the channel is lowered before anybody else is promised them.
    """
    if not any(restocked.values()) or not await rows.is_handed_over(unit.session, order.id):
        return
    for line in stock.by_item(lines, items):
        if (units := restocked.get(line.id, 0)) and line.listing_id in items:
            key, note = f"in-parcel:{line.id}:{line.returned}", f"in the parcel of order {order.number}"
            await stock.lose(unit, items[line.listing_id], units, key=key, note=note)
    _doubt(unit, vendor, order, restocked, parcel=True, shelf="restocked")


def _doubt(
    unit: UnitOfWork, vendor: Vendor, order: Order, units: dict[UUID, int], *, parcel: bool, shelf: Shelf
) -> None:
    in_doubt = {line: count for line, count in units.items() if count}
    if in_doubt and order.pool == "own":  # a channel counts its own warehouse
        who = {"order_id": order.id, "account_id": order.account_id, "vendor": vendor}
        unit.emit(UnitsInDoubt(**who, units=in_doubt, parcel=parcel, shelf=shelf))


def question(event: UnitsInDoubt, number: str, status: str, evidence: Sequence[Evidence]) -> Decision[PutBackUnits]:
    """Whether the units may be sold again is put to the owner."""
    count = sum(event.units.values())
    units = "its 1 unit is" if count == 1 else f"its {count} units are"
    if event.parcel:
        was = f"order {number} was {status} when its parcel was handed over already: call it back"
    else:
        was = f"order {number} was refunded before it left, and the channel put nothing back on sale"
    return Decision.propose(
        PutBackUnits(order_id=event.order_id, units=event.units, shelf=event.shelf),
        why=f"{was}; {units} off the books. Back on the shelf, to be sold again",
        confidence=0.9,
        evidence=evidence,
    )


async def put_back(unit: UnitOfWork, command: PutBackUnits) -> None:
    """The owner found them: they are on sale again. Raises Conflict where that is booked already."""
    order = await rows.lock_order_by_id(unit.session, command.order_id)
    if order is None:
        raise Conflict("the order is not in the books any more")
    lines = [line for line in await rows.lines_of(unit.session, order.id) if line.id in command.units]
    items = await rows.stock_items_of_lines(unit.session, lines)
    found = 0
    for line in stock.by_item(lines, items):
        if line.listing_id not in items:
            continue
        item, units = items[line.listing_id], command.units[line.id]
        if command.shelf == "kept":
            found += await stock.take_back(unit, line, item, units, given_back_to=None)
        else:
            key, note = f"out-of-parcel:{line.id}:{line.returned}", f"of order {order.number}, back on the shelf"
            found += await stock.come_home(unit, item, units, key=key, note=note)
    if not found:
        raise Conflict(f"the units of order {order.number} are back already, or their listing is gone")
