"""An order with a supplier explained: why it was placed, how it left, and what came of it; and a supplier's orders."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import NotFound
from flipsync.services.reading_page import money
from flipsync.services.why_chain import Teller, origins_of, read
from flipsync.services.why_explanation import Chain, Explanation, Line, Named, clock
from flipsync.services.why_goods import lately
from flipsync.services.why_words import units
from flipsync.store.models import PurchaseOrder
from flipsync.store.repositories import purchase_orders, suppliers
from flipsync.store.repositories import why as rows

_FACTS = 50
_MAIL = {
    "none": "no mail was sent",
    "waiting": "a mail waits to be sent",
    "sending": "a mail is being sent",
    "sent": "the mail was taken",
    "rejected": "the mail was refused: place it yourself",
    "unknown": "nobody can tell whether the mail arrived: ask the supplier",
}


async def explain_purchase_order(session: AsyncSession, purchase_order_id: UUID) -> Explanation:
    """One that exists: from the decision, where an agent made it, to the goods on the shelf."""
    found = await purchase_orders.with_supplier(session, purchase_order_id)
    if found is None:
        raise NotFound(f"no purchase order {purchase_order_id}")
    order, supplier = found[0], found[1]
    lines = await purchase_orders.lines_of(session, [order.id])
    facts = await rows.events_about(session, [("purchase_order", order.id)], _FACTS)
    origins = await origins_of(session, facts[0]) if facts else []
    journal = await read(
        session, event_ids=[each.id for each in facts], focus=[("purchase_order", order.id)], origins=origins
    )
    teller = Teller(journal)
    for origin in origins:
        teller.origin(origin)
    for fact in facts:
        teller.fact(fact.id)
    by = "an agent proposed it" if order.decision_id is not None else "a person wrote it"
    total = money(sum(line.cost_minor for line, _ in lines), order.currency)
    came, ordered = sum(line.received for line, _ in lines), sum(line.units for line, _ in lines)
    now = [Line(name="state", text=_state(order)), Line(name="mail", text=_mail(order))]
    now += [
        Line(
            name=sku,
            text=f"{units(line.units)} for {money(line.cost_minor, order.currency)}, {line.received} arrived",
        )
        for line, sku in lines
    ]
    return Explanation(
        subject=Named(kind="purchase_order", id=order.id, label=f"purchase order {order.number}"),
        title=f"Purchase order {order.number} with {supplier}",
        summary=f"{units(ordered)} for {total}; {by}. {_state(order)}. {came} of {ordered} units arrived.",
        now=now,
        chains=[Chain(title="From the decision to the shelf", steps=teller.steps)] if teller.steps else [],
        notes=[f"Only the newest {_FACTS} facts are shown."] if len(facts) == _FACTS else [],
    )


async def explain_supplier(session: AsyncSession, supplier_id: UUID, decisions: int) -> Explanation:
    """One that exists: what was decided about buying there lately."""
    supplier = await suppliers.get(session, supplier_id)
    if supplier is None:
        raise NotFound(f"no supplier {supplier_id}")
    orders = await purchase_orders.page(session, purchase_orders.SORTS.first(10), supplier_id=supplier_id)
    _, chains = await lately(session, [("supplier", supplier_id)], decisions)
    where = f"orders are mailed to {supplier.email}" if supplier.email else "you place its orders yourself"
    return Explanation(
        subject=Named(kind="supplier", id=supplier_id, label=supplier.name),
        title=f"Supplier {supplier.name}",
        summary=f"{'Active' if supplier.active else 'Nothing is bought there any more'}; {where}.",
        now=[Line(name=f"order {row[0].number}", text=_state(row[0])) for row in orders],
        chains=chains,
        notes=[f"The newest {len(chains)} decisions are shown."] if len(chains) == decisions else [],
    )


def _state(order: PurchaseOrder) -> str:
    told = order.state.replace("_", " ")
    if order.state in ("placing", "ordered", "partly_received") and order.expected_at is not None:
        told += f", expected on {order.expected_at:%Y-%m-%d}"
    if order.received_at is not None:
        told += f" at {clock(order.received_at)}"
    return told + (f" ({order.reason})" if order.reason else "")


def _mail(order: PurchaseOrder) -> str:
    about = " (its cancellation)" if order.mail_about == "cancellation" else ""
    return _MAIL[order.mail] + about + (f": {order.mail_detail}" if order.mail_detail else "")
