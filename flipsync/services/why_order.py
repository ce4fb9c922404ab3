"""An order explained: how we learned of it, what was reserved, decided and told the channel, until the parcel left."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.services.reading_page import money
from flipsync.services.why_chain import Origin, Teller, origins_of, read
from flipsync.services.why_explanation import Chain, Explanation, Line, Named, Step, business_time, clock, made_at
from flipsync.services.why_words import units
from flipsync.store.database import SessionReader
from flipsync.store.models import Effect, StockMovement
from flipsync.store.repositories import reading_selling
from flipsync.store.repositories import why as rows
from flipsync.store.repositories.why import Subject

_FACTS = 100
_MOVEMENTS = 50


async def explain_order(session: AsyncSession, order_id: UUID) -> Explanation:
    """The whole chain of one order that exists. The buyer's name and address are not told."""
    questions = (reading_selling.ORDER, reading_selling.LINES, reading_selling.REFUNDS, reading_selling.SHIPMENT)
    found, lines, refunds, shipments = await SessionReader(session).ask(
        *(each(order_id=order_id) for each in questions)
    )
    order, shipment = found[0], next(iter(shipments), None)
    vendor, account = order.vendor, order.account_name
    moved = await rows.movements_of_order(session, order_id, _MOVEMENTS)
    facts = await rows.events_about(session, [("order", order_id)], _FACTS)
    around: set[Subject] = {("listing", line.listing_id) for line in lines if line.listing_id}
    around |= {("stock_item", movement.stock_item_id) for movement, _ in moved}
    first = next((each for each in facts if each.type == "OrderReceived"), facts[0] if facts else None)
    beside = [] if first is None or not around else list(await rows.beside(session, first, around, 10))
    origins = [] if not facts else await origins_of(session, facts[0])
    focus: set[Subject] = {("order", order_id), *around}
    journal = await read(session, event_ids=[each.id for each in [*facts, *beside]], focus=focus, origins=origins)
    teller = Teller(journal)
    for origin in origins:
        teller.origin(origin)
    steps = [movement_step(movement, line.sku) for movement, line in moved]
    for row_id in sorted([*(each.id for each in facts), *(each.id for each in beside), *(step.id for step in steps)]):
        step = next((each for each in steps if each.id == row_id), None)
        if step is None:
            teller.fact(row_id)
        else:
            teller.stock(step)
    total = money(order.total_minor, order.currency)
    label = f"order {order.number} of {account}"
    bought = units(sum(line.quantity for line in lines))
    told = [f"{bought} for {total}, placed on {account} ({vendor}) at {clock(order.placed_at)}."]
    if first is not None:
        pushed = not origins and await rows.came_by_webhook(session, order.account_id, first)
        told.append(f"We learned of it {_how(origins, pushed)} at {clock(first.recorded_at)}.")
    short = sum(line.short for line in lines)
    told.append(f"{units(short)} could not be reserved." if short else _progress(order.state))
    if shipment is not None:
        parcel = f"{shipment.carrier} {shipment.tracking_number}".strip() or "a parcel"
        known = "the channel does not know yet"
        if shipment.confirmed_at is not None:
            known = f"the channel confirmed it at {clock(shipment.confirmed_at)}"
        told.append(f"It left with {parcel}; {known}.")
    now = [Line(name="state", text=f"{order.state}; the channel says {order.status} ({order.vendor_status})")]
    now += [
        Line(
            name=line.sku or line.title,
            text=f"{units(line.quantity)} for {money(line.total_minor, order.currency)}: {line.reserved} reserved, "
            f"{line.short} short, {line.shipped} shipped, {line.returned} returned",
        )
        for line in lines
    ]
    now += [
        Line(name="refund", text=f"{money(each.amount_minor, each.currency)} at {clock(each.created_at)}")
        for each in refunds
    ]
    if order.fee_minor is not None:
        now.append(Line(name="fee", text=f"the channel keeps {money(order.fee_minor, order.currency)}"))
    return Explanation(
        subject=Named(kind="order", id=order_id, label=label),
        title=f"{label[0].upper()}{label[1:]}",
        summary=" ".join(told),
        now=now,
        chains=[Chain(title="From the sale to the parcel", steps=teller.steps)] if teller.steps else [],
        notes=[f"Only the newest {_FACTS} facts are shown."] if len(facts) == _FACTS else [],
    )


def _how(origins: Sequence[Origin], pushed: bool) -> str:
    if pushed:
        return "by webhook"
    effects = [each for each in origins if isinstance(each, Effect)]
    if not effects or effects[-1].command == "PullOrders":
        return "by asking the channel for its orders"
    return "by asking the channel for its orders on the way to another write"


def _progress(state: str) -> str:
    return {
        "received": "It waits for its units or its payment.",
        "reserved": "Every unit is reserved.",
        "ready": "Every unit is reserved and it is ready to pack.",
        "shipped": "It was shipped.",
        "cancelled": "It is cancelled and nothing will be sent.",
    }[state]


def movement_step(movement: StockMovement, sku: str) -> Step:
    """A line of the stock ledger as a step."""
    changes = []
    if movement.on_hand_delta:
        changes.append(f"{movement.on_hand_delta:+d} on hand")
    if movement.reserved_delta:
        changes.append(f"{movement.reserved_delta:+d} reserved")
    recorded = made_at(movement.id)
    return Step(
        kind="stock",
        id=movement.id,
        depth=0,
        at=recorded,
        business_at=business_time(recorded, movement.at),
        text=f"ledger: {movement.kind} of {sku}: {', '.join(changes)}"
        + (f" – {movement.note}" if movement.note else ""),
        subject=Named(kind="stock_item", id=movement.stock_item_id, label=f"stock of {sku}"),
        data={
            "kind": movement.kind,
            "on_hand_delta": movement.on_hand_delta,
            "reserved_delta": movement.reserved_delta,
            "key": movement.key,
        },
    )
