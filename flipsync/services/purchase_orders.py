"""Orders with suppliers: written, placed, called off. What arrives of them is booked by services.goods_in.

An order leaves by mail where the supplier has an address and an owner a mail account that works; else the owner places
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, InvalidInput, NotFound, OverBudget, VersionMismatch
from flipsync.domain.money import MAX_MINOR, Money
from flipsync.domain.purchase_commands import PlacePurchaseOrder
from flipsync.domain.purchase_events import PurchaseEnded, PurchaseOrdered, PurchasePlaced
from flipsync.services import lead_times, stock
from flipsync.services.tenant_settings import profile
from flipsync.store.models import PurchaseOrder, Supplier, SupplierOffer
from flipsync.store.repositories import purchase_orders as rows
from flipsync.store.repositories import suppliers as supplier_rows
from flipsync.store.unit_of_work import UnitOfWork

MOST_LINES = 500
#: no order, line or delivery costs more
MOST_MINOR = MAX_MINOR // 1_000_000


@dataclass(frozen=True)
class Wanted:
    """Units of goods; `cost_minor` is for all of them, None for what the supplier's offer says."""

    units: int
    cost_minor: int | None = None


def wanted(lines: Iterable[tuple[UUID, Wanted]]) -> dict[UUID, Wanted]:
    """By variant. Raises InvalidInput for goods that are on two lines: which is meant would be a guess."""
    found: dict[UUID, Wanted] = {}
    for variant_id, each in lines:
        if variant_id in found:
            raise InvalidInput(f"{variant_id} is on two lines", hint="add them up")
        found[variant_id] = each
    return found


async def draft(
    unit: UnitOfWork,
    supplier_id: UUID,
    goods_wanted: Mapping[UUID, Wanted],
    *,
    freight_minor: int = 0,
    duty_minor: int = 0,
    note: str = "",
    by: UUID | None = None,
    decision_id: UUID | None = None,
) -> PurchaseOrder:
    """Write an order down, by variant. Raises NotFound, InvalidInput, and Conflict where nothing is bought any more."""
    await rows.hold(unit.session, unit.tenant_id)
    supplier = await _supplier(unit, supplier_id)
    if not 0 < len(goods_wanted) <= MOST_LINES:
        raise InvalidInput(f"an order has 1 to {MOST_LINES} lines, not {len(goods_wanted)}")
    goods = await supplier_rows.goods(unit.session, goods_wanted)
    offers = await supplier_rows.offers_of(unit.session, supplier_id, goods_wanted)
    lines = [
        _line(unit.now, supplier, variant_id, goods.get(variant_id), each, offers.get(variant_id))
        for variant_id, each in goods_wanted.items()
    ]
    if sum(line["cost_minor"] for line in lines) + freight_minor + duty_minor > MOST_MINOR:
        raise InvalidInput("an order of that size is a mistake")
    order, _ = await rows.add(
        unit,
        lines,
        supplier_id=supplier_id,
        currency=supplier.currency,
        freight_minor=freight_minor,
        duty_minor=duty_minor,
        note=note,
        created_by=by,
        decision_id=decision_id,
    )
    return order


def _line(
    now: datetime,
    supplier: Supplier,
    variant_id: UUID,
    goods: tuple[str, str] | None,
    wanted: Wanted,
    offer: SupplierOffer | None,
) -> dict[str, Any]:
    if goods is None:
        raise NotFound(f"no variant {variant_id}")
    sku, currency = goods
    if not 0 < wanted.units <= stock.MAX_UNITS:
        raise InvalidInput(f"{wanted.units} units of {sku} cannot be ordered", hint=f"give 1 to {stock.MAX_UNITS:,}")
    if currency != supplier.currency:
        raise InvalidInput(f"{sku} is kept in {currency} and {supplier.name} asks {supplier.currency}")
    cost = wanted.cost_minor
    if cost is None:
        if offer is None or not offered(offer, now):
            raise InvalidInput(
                f"{supplier.name} offers no {sku} now", hint="enter their offer, or say what the units cost"
            )
        if wanted.units % offer.pack_units or wanted.units < offer.least_units:
            raise InvalidInput(
                f"{supplier.name} sells {sku} in packs of {offer.pack_units}, {offer.least_units} units or more",
                hint="order whole packs, or say what the units cost",
            )
        cost = wanted.units // offer.pack_units * offer.pack_cost_minor
    if not 0 < cost <= MOST_MINOR:
        raise InvalidInput(f"{wanted.units} units of {sku} do not cost {cost}")
    known = "" if offer is None else offer.supplier_sku
    return {"variant_id": variant_id, "supplier_sku": known, "units": wanted.units, "cost_minor": cost}


def offered(offer: SupplierOffer, at: datetime) -> bool:
    """Whether they ask that then."""
    begun = offer.valid_from is None or offer.valid_from <= at
    return begun and (offer.valid_until is None or at < offer.valid_until)


async def place(unit: UnitOfWork, purchase_order_id: UUID, *, by_hand: bool = False) -> PurchaseOrder:
    """Send a draft on its way: by mail where that can be, else it is put to the owner. Raises NotFound, Conflict."""
    order = await locked(unit, purchase_order_id)
    if order.state != "draft":
        raise Conflict(f"order {order.number} is {words(order)} already")
    supplier = await _supplier(unit, order.supplier_id)
    lead = (await lead_times.of_suppliers(unit.session, unit.now, [supplier]))[supplier.id]
    mailed = not by_hand and supplier.email is not None and await rows.owners_mail(unit.session) is not None
    order.state, order.placed_at = "placing", unit.now
    order.expected_at, order.latest_at = lead_times.due(unit.now, lead.mean), lead_times.due(unit.now, lead.latest)
    if mailed:
        order.mail, order.mail_about, order.mail_not_before = "waiting", "order", utc_now()
    await changed(unit, order)
    cost = await _cost(unit, order)
    unit.emit(
        PurchasePlaced(purchase_order_id=order.id, supplier_id=order.supplier_id, cost=cost, by_mail=bool(mailed))
    )
    unit.audit("purchasing.placed", "purchase_order", order.id, number=order.number, by_mail=bool(mailed))
    return order


async def ordered(
    unit: UnitOfWork,
    purchase_order_id: UUID,
    *,
    expected_at: datetime | None = None,
    freight_minor: int | None = None,
    duty_minor: int | None = None,
) -> PurchaseOrder:
    """The supplier has it: somebody placed it, or asked whether the mail arrived. Raises NotFound, Conflict."""
    order = await locked(unit, purchase_order_id)
    if order.state not in ("draft", "placing"):
        raise Conflict(f"order {order.number} is {words(order)} already")
    if order.mail == "sending":
        raise Conflict(f"order {order.number} is being mailed", hint="try again in a moment")
    if order.state == "draft":
        order.placed_at = unit.now
    if freight_minor is not None:
        order.freight_minor = freight_minor
    if duty_minor is not None:
        order.duty_minor = duty_minor
    order.mail = "sent" if order.mail == "unknown" else "none" if order.mail == "waiting" else order.mail
    await has_it(unit, order, expected_at)
    unit.audit("purchasing.ordered", "purchase_order", order.id, number=order.number)
    return order


async def has_it(unit: UnitOfWork, order: PurchaseOrder, expected_at: datetime | None = None) -> None:
    """The supplier has the order from now on."""
    supplier = await supplier_rows.get(unit.session, order.supplier_id)
    assert supplier is not None, "its order points to it"
    lead = (await lead_times.of_suppliers(unit.session, unit.now, [supplier]))[supplier.id]
    order.state, order.ordered_at = "ordered", unit.now
    order.expected_at = expected_at or lead_times.due(unit.now, lead.mean)
    order.latest_at = max(order.expected_at, lead_times.due(unit.now, lead.latest))
    await changed(unit, order)
    unit.emit(PurchaseOrdered(purchase_order_id=order.id, supplier_id=order.supplier_id, expected_at=order.expected_at))


async def charge(
    unit: UnitOfWork, purchase_order_id: UUID, *, freight_minor: int, duty_minor: int, expected_version: int
) -> PurchaseOrder:
    """Freight and duty of the whole, before any of it is on the shelf. Raises NotFound, Conflict, VersionMismatch."""
    order = await locked(unit, purchase_order_id)
    VersionMismatch.check("the order", order.version, expected_version)
    if order.state not in ("draft", "placing", "ordered"):
        raise Conflict(
            f"order {order.number} is {words(order)}: what arrived has its cost",
            hint="tell freight and duty before the first goods are booked",
        )
    order.freight_minor, order.duty_minor = freight_minor, duty_minor
    await changed(unit, order)
    return order


async def cancel(unit: UnitOfWork, purchase_order_id: UUID, reason: str) -> PurchaseOrder:
    """Call it off; of one that arrived in part, what is still to come is closed. A supplier who was mailed is told;
    where that mail failed, doing it again says that a person has told them. Raises NotFound, Conflict.
    """
    order = await locked(unit, purchase_order_id)
    if order.state == "cancelled" and order.mail in ("rejected", "unknown"):
        order.mail, order.mail_detail = "none", "told by a person"
        await changed(unit, order)
        return order
    if order.state in ("received", "cancelled"):
        raise Conflict(f"order {order.number} is {words(order)} already")
    if order.mail == "sending":
        raise Conflict(f"order {order.number} is being mailed", hint="try again in a moment")
    partly = order.state == "partly_received"
    order.reason = reason
    if partly:
        order.state, order.closed_at = "received", unit.now
        order.received_at = order.received_at or unit.now
    else:
        order.state, order.cancelled_at = "cancelled", unit.now
    if order.mail == "waiting" and order.mail_about == "order":
        order.mail, order.mail_not_before = "none", None
    elif order.mail in ("sent", "unknown") and not partly:
        order.mail, order.mail_about, order.mail_not_before = "waiting", "cancellation", utc_now()
        order.mail_detail = ""
    await changed(unit, order)
    unit.emit(PurchaseEnded(purchase_order_id=order.id, supplier_id=order.supplier_id, partly=partly, reason=reason))
    unit.audit("purchasing.cancelled", "purchase_order", order.id, number=order.number, partly=partly)
    return order


async def carry_out(unit: UnitOfWork, command: PlacePurchaseOrder) -> PurchaseOrder:
    """An agent's order: written and placed, if the books are still as it was decided on.

    Raises NotFound, Conflict, and OverBudget for more than the supplier's share of the cash.
    """
    await rows.hold(unit.session, unit.tenant_id)
    supplier = await _supplier(unit, command.supplier_id)
    since = await rows.placed_since(unit.session, supplier.id, command.origin)
    if since is not None:
        raise Conflict(f"order {since} was placed with {supplier.name} since: this would be bought twice")
    offers = await supplier_rows.offers_of(unit.session, supplier.id, [line.variant_id for line in command.lines])
    for line in command.lines:
        offer = offers.get(line.variant_id)
        if offer is None or not offered(offer, unit.now):
            raise Conflict(f"{supplier.name} does not offer all of it any more")
        packs, rest = divmod(line.units, offer.pack_units)
        if rest or packs * offer.pack_cost_minor != line.cost_minor:
            raise Conflict(f"{supplier.name} asks another price now")
    choices = (await profile(unit.session, unit.tenant_id)).settings.purchasing
    cost = sum(line.cost_minor for line in command.lines)
    if choices.cash_minor is not None:
        out = (await rows.committed(unit.session)).get(supplier.currency, {})
        free = choices.cash_minor - sum(out.values())
        if cost > free:
            left = Money(amount_minor=max(0, free), currency=supplier.currency)
            raise Conflict(f"only {left} of the cash for goods still to come is left")
        share = choices.cash_of(supplier.id)
        if share is not None and not command.owner_decides:  # whoever asked the owner goes by the owner's word
            free = share - out.get(supplier.id, 0)
            if cost > free:
                left = Money(amount_minor=max(0, free), currency=supplier.currency)
                raise OverBudget(f"only {left} of {supplier.name}'s share of the cash is left")
    try:
        lines = wanted((line.variant_id, Wanted(line.units, line.cost_minor)) for line in command.lines)
        order = await draft(unit, supplier.id, lines, decision_id=unit.cause.causation_id)
    except InvalidInput as error:
        raise Conflict(error.message) from error
    return await place(unit, order.id)


async def _cost(unit: UnitOfWork, order: PurchaseOrder) -> Money:
    lines = await rows.lines_of(unit.session, [order.id])
    minor = sum(line.cost_minor for line, _ in lines) + order.freight_minor + order.duty_minor
    return Money(amount_minor=minor, currency=order.currency)


async def _supplier(unit: UnitOfWork, supplier_id: UUID) -> Supplier:
    row = await supplier_rows.lock(unit.session, supplier_id)
    if row is None:
        raise NotFound(f"no supplier {supplier_id}")
    if not row.active:
        raise Conflict(f"nothing is bought from {row.name} any more")
    return row


async def locked(unit: UnitOfWork, purchase_order_id: UUID) -> PurchaseOrder:
    """Nobody else moves it meanwhile. Raises NotFound."""
    await unit.session.flush()
    order = await rows.lock(unit.session, purchase_order_id)
    if order is None:
        raise NotFound(f"no purchase order {purchase_order_id}")
    return order


async def changed(unit: UnitOfWork, order: PurchaseOrder) -> None:
    """It is another version from now on."""
    order.version += 1
    await unit.session.flush()


def words(order: PurchaseOrder) -> str:
    """How it is, in a sentence."""
    return order.state.replace("_", " ") if order.state != "draft" else "a draft"
