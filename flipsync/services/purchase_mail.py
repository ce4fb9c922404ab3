"""How orders leave: a mail to the supplier from an owner's mail account, once, with one of three outcomes.

The order itself is the outbox row: it is marked as being sent before the mail goes, so that a try that was cut off is
known as one of which nobody can tell. That one is not sent again, since a doubled order is paid twice: a person asks
the supplier. A mail that was refused is put to the owner, who places the order some other way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from html import escape
from uuid import UUID

from flipsync.connectors.notices.destination import Destination, parse
from flipsync.connectors.notices.sending import Message, Sender
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import FlipSyncError, OutcomeUnknown, Retryable
from flipsync.domain.money import Money
from flipsync.domain.purchase_events import PurchaseMailFailed
from flipsync.security.secrets import SecretBox
from flipsync.services import purchase_orders
from flipsync.services.notices import destinations
from flipsync.services.notices.wording import clean
from flipsync.services.tenant_settings import profile
from flipsync.store.models import PurchaseOrder, Supplier
from flipsync.store.repositories import purchase_orders as rows
from flipsync.store.repositories import suppliers as supplier_rows
from flipsync.store.repositories.purchase_orders import ClaimedMail
from flipsync.store.unit_of_work import Store, UnitOfWork

#: half a minute, then twice as long each time: an hour and more
MOST_ATTEMPTS = 8
#: longer than any try takes (connectors.notices.sending)
LEASE = timedelta(seconds=90)
_FIRST_PAUSE, _LONGEST_PAUSE = 30, 3600
_GONE = "there is no mail account to send it from"


@dataclass(frozen=True)
class ReadyMail:
    """A mail to be sent now."""

    tenant_id: UUID
    claimed: ClaimedMail
    to: Destination
    message: Message


async def claim(unit: UnitOfWork, box: SecretBox, most: int) -> list[ReadyMail]:
    """Mails whose turn it is. What is pointless by now, or has no way any more, ends here."""
    now = utc_now()
    ready = []
    for each in await rows.claim_mail(unit.session, now, now + LEASE, most):
        made = await _ready(unit, box, each)
        if isinstance(made, ReadyMail):
            ready.append(made)
        else:
            await _end(unit, each, *made)
    return ready


async def _ready(unit: UnitOfWork, box: SecretBox, each: ClaimedMail) -> ReadyMail | tuple[str, str]:
    if each.cut_off:
        return "unknown", "it was cut off while it was sent"
    order = await rows.lock(unit.session, each.id)
    assert order is not None, "just claimed"
    supplier = await supplier_rows.get(unit.session, order.supplier_id)
    assert supplier is not None, "its order points to it"
    if each.about == "order" and order.state != "placing":
        return "none", "the supplier has it already"
    account = await rows.owners_mail(unit.session)
    if supplier.email is None or account is None:
        return "rejected", "the supplier has no mail address" if supplier.email is None else _GONE
    try:
        opened = box.open(account.sealed, tenant_id=unit.tenant_id, purpose=destinations.purpose(account.id))
        to = replace(parse(opened["url"]), to=supplier.email)
    except FlipSyncError as error:
        return "rejected", error.message
    return ReadyMail(unit.tenant_id, each, to, await message(unit, order, supplier))


async def message(unit: UnitOfWork, order: PurchaseOrder, supplier: Supplier) -> Message:
    """What the supplier reads. Names come from the books: each is one line and nothing but words."""
    business = (await profile(unit.session, unit.tenant_id)).name
    lines = await rows.lines_of(unit.session, [order.id])
    if order.mail_about == "cancellation":
        title = f"Cancelled: order {order.number} of {clean(business)}"
        head = f"Please do not deliver order {order.number}: we have cancelled it."
    else:
        title = f"Order {order.number} of {clean(business)}"
        head = f"We order the following as number {order.number}; please confirm it by answering this mail."
    goods = [
        f"{line.units} × {clean(line.supplier_sku or sku)}"
        + (f" (our {clean(sku)})" if line.supplier_sku else "")
        + f": {Money(amount_minor=line.cost_minor, currency=order.currency)}"
        for line, sku in lines
    ]
    total = Money(amount_minor=sum(line.cost_minor for line, _ in lines), currency=order.currency)
    wanted = "" if order.expected_at is None else f"We expect it on {order.expected_at:%Y-%m-%d}."
    note = clean(order.note, 500)
    parts = [f"To {clean(supplier.name)}", head, "\n".join(goods), f"In all {total}, without freight and duty."]
    parts += [wanted if order.mail_about == "order" else "", note, clean(business)]
    text = "\n\n".join(part for part in parts if part) + "\n"
    html = "".join(f"<p>{escape(part).replace(chr(10), '<br>')}</p>" for part in parts if part)
    # the same at every try, and another for its cancellation
    return Message(f"{order.id}-{order.mail_about}", title, text, html, title, mark="")


async def deliver(store: Store, sender: Sender, ready: ReadyMail) -> str:
    """Send it and write down what came of it; the state it is in then."""
    error: FlipSyncError | None = None
    try:
        await sender.send(ready.to, ready.message)
    except FlipSyncError as failed:
        error = failed
    async with store.unit(ready.tenant_id) as unit:
        return await record(unit, ready.claimed, error)


async def record(unit: UnitOfWork, claimed: ClaimedMail, error: FlipSyncError | None) -> str:
    """Sent, to be tried again, refused, or nobody knows."""
    if error is None:
        order = await rows.lock(unit.session, claimed.id)
        if order is not None and await _end(unit, claimed, "sent", "") and order.state == "placing":
            order = await purchase_orders.locked(unit, claimed.id)
            await purchase_orders.has_it(unit, order)
        return "sent"
    if isinstance(error, Retryable) and claimed.attempts < MOST_ATTEMPTS:
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (claimed.attempts - 1))
        again = {
            "mail": "waiting",
            "mail_detail": error.message,
            "mail_not_before": utc_now() + timedelta(seconds=pause),
        }
        await rows.write_mail(unit.session, claimed.id, claimed.attempts, **again)
        return "waiting"
    state = "unknown" if isinstance(error, OutcomeUnknown) else "rejected"
    await _end(unit, claimed, state, error.message)
    return state


async def _end(unit: UnitOfWork, claimed: ClaimedMail, state: str, why: str) -> bool:
    values = {"mail": state, "mail_detail": why, "mail_not_before": None, "mail_lease_until": None}
    if not await rows.write_mail(unit.session, claimed.id, claimed.attempts, **values):
        return False
    order = await rows.lock(unit.session, claimed.id)
    if order is not None and state in ("rejected", "unknown"):
        unit.emit(
            PurchaseMailFailed(
                purchase_order_id=order.id,
                supplier_id=order.supplier_id,
                outcome="unknown" if state == "unknown" else "rejected",
                detail=why,
            )
        )
    return True
