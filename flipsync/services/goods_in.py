"""Goods of an order that arrive: on the shelf once, with freight and duty in their cost.

Freight and duty are shared over the lines by what they cost, and each delivery books its part by cumulative rounding:
in however many parts it comes, every cent of what came is in the cost of something.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from flipsync.domain.errors import Conflict, InvalidInput
from flipsync.domain.money import Money
from flipsync.domain.purchase_events import PurchaseReceived
from flipsync.services import landed, purchase_orders, stock
from flipsync.services.fees.landed_cost import Receipt
from flipsync.services.fees.landed_cost import landed as shared
from flipsync.services.pricing.fees import divide
from flipsync.store.models import PurchaseOrder, PurchaseOrderLine
from flipsync.store.repositories import purchase_orders as rows
from flipsync.store.unit_of_work import UnitOfWork

#: goods that are new on the shelf are shared out as most are
_MODE = "escrow"
_OPEN = frozenset(rows.OPEN)


async def receive(
    unit: UnitOfWork,
    purchase_order_id: UUID,
    arrived: Mapping[UUID, int],
    *,
    key: str,
    note: str = "",
    more_than_ordered: bool = False,
) -> PurchaseOrder:
    """Goods of an order arrive: units by variant. They are on the shelf with their landed cost, once for each `key`.

    All of it or nothing. `more_than_ordered` books what is above the order at the line's own unit cost. Raises
    NotFound, InvalidInput, and Conflict for more than was ordered, or an order that nothing comes of.
    """
    order = await purchase_orders.locked(unit, purchase_order_id)
    found = await rows.lines_of(unit.session, [order.id])
    lines = {line.variant_id: (line, sku) for line, sku in found}
    if not arrived:
        raise InvalidInput("nothing arrived")
    for variant_id, units in arrived.items():
        if variant_id not in lines:
            ours = ", ".join(sku for _, sku in list(lines.values())[:10])
            raise InvalidInput(f"order {order.number} has no line of {variant_id}", hint=f"it is of {ours}")
        if not 0 < units <= stock.MAX_UNITS:
            raise InvalidInput(f"{units} units of {lines[variant_id][1]} cannot arrive")
    known = await rows.receipts_with_key(unit.session, [lines[each][0].id for each in arrived], key)
    fresh = {variant_id: units for variant_id, units in arrived.items() if lines[variant_id][0].id not in known}
    for variant_id in set(arrived) - set(fresh):
        line, sku = lines[variant_id]
        if known[line.id].units != arrived[variant_id]:
            raise Conflict(
                f"{known[line.id].units} units of {sku} are booked under this key, not {arrived[variant_id]}"
            )
    if not fresh:
        return order
    if order.state not in _OPEN and not (order.state == "received" and more_than_ordered):
        hint = "book goods that came all the same with POST /inventory/receipts"
        raise Conflict(f"order {order.number} is {purchase_orders.words(order)}: nothing comes of it", hint=hint)
    for variant_id, units in fresh.items():
        line, sku = lines[variant_id]
        if line.received + units > line.units and not more_than_ordered:
            raise Conflict(
                f"{line.units} units of {sku} were ordered and {line.received} arrived: {units} more are too many",
                hint="count again, or say more_than_ordered",
            )
    if order.ordered_at is None:  # they had it, whoever told them
        order.ordered_at = order.placed_at
    if order.mail_about == "order" and order.mail in ("waiting", "unknown"):
        order.mail = "none" if order.mail == "waiting" else "sent"
    await _book(unit, order, [line for line, _ in found], fresh, key, note)
    return order


async def _book(
    unit: UnitOfWork,
    order: PurchaseOrder,
    lines: Sequence[PurchaseOrderLine],
    arrived: Mapping[UUID, int],
    key: str,
    note: str,
) -> None:
    layers = {each.key: each for each in _layers(order, lines, unit.now)}
    most = max(_landed(line, layers[str(line.id)], line.received + arrived.get(line.variant_id, 0)) for line in lines)
    if most > purchase_orders.MOST_MINOR:
        raise InvalidInput("a delivery of that cost is a mistake", hint="count again")
    landed_minor = 0
    for line in sorted(lines, key=lambda each: each.variant_id):  # two deliveries at once lock shelves in one order
        units = arrived.get(line.variant_id, 0)
        if not units:
            continue
        minor = _landed(line, layers[str(line.id)], line.received + units) - _landed(
            line, layers[str(line.id)], line.received
        )
        cost = Money(amount_minor=minor, currency=order.currency)
        moved = f"purchase:{line.id}:{key}"
        told = note or f"order {order.number}"
        if minor > 0:
            await landed.receive(unit, line.variant_id, units, cost, key=moved, mode=_MODE, note=told)
        else:  # so cheap that this part of it costs nothing yet
            await stock.receive(unit, line.variant_id, units, key=moved, mode=_MODE, note=told)
        await rows.add_receipt(unit, line_id=line.id, key=key, units=units, landed_minor=minor, note=note)
        line.received += units
        landed_minor += minor
    complete = all(line.received >= line.units for line in lines) or order.state == "received"
    order.state = "received" if complete else "partly_received"
    if complete:
        order.received_at = order.received_at or unit.now
    await purchase_orders.changed(unit, order)
    unit.emit(
        PurchaseReceived(
            purchase_order_id=order.id,
            supplier_id=order.supplier_id,
            units=sum(arrived.values()),
            landed=Money(amount_minor=landed_minor, currency=order.currency),
            complete=complete,
        )
    )


def _layers(order: PurchaseOrder, lines: Sequence[PurchaseOrderLine], at: datetime) -> tuple[Receipt, ...]:
    """Each line's cost with its share of freight and duty."""
    goods = [(str(line.id), line.units, line.cost_minor) for line in sorted(lines, key=lambda each: each.id)]
    return shared(goods, order.freight_minor + order.duty_minor, at)


def _landed(line: PurchaseOrderLine, layer: Receipt, units: int) -> int:
    """What the first `units` of a line cost landed; those above the order cost what the goods do, without charges."""
    above = max(0, units - line.units)
    return layer.first(units - above) + divide(line.cost_minor * above, line.units, "half_up")
