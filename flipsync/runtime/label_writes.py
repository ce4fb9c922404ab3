"""How labels are bought, once each: a second one is money lost.

Amazon sells labels without a key and lists none that were bought. So the purchase is marked as sent just before it
is; an attempt that finds the mark of another does not buy, and a person is asked. Before the mark nothing was bought.
"""

from __future__ import annotations

from flipsync.domain import commands as c
from flipsync.domain.channel import Address, ChannelLabel, LabelOrder, LabelService, Parcel
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable
from flipsync.domain.money import Money
from flipsync.runtime.channel_writes import Done, Job
from flipsync.services import labels
from flipsync.store.models import LabelPurchase, Order
from flipsync.store.repositories import labels as rows
from flipsync.store.unit_of_work import UnitOfWork


async def buy_label(job: Job, command: c.BuyLabel) -> Done:
    async with job.store.reader(job.effect.tenant_id) as session:
        wish = await rows.get(session, command.label_id)
        order = await session.get(Order, command.order_id)
    if wish is None or order is None:
        raise Rejected("the label is not in our books any more", missing=True)
    if wish.state != "asked":
        raise Rejected(f"the label is {wish.state} already")
    label = await _bought_before(job, wish, order) or await _buy(job, wish, order)
    bought = label

    async def book(unit: UnitOfWork) -> None:
        await labels.bought(unit, job.ref, job.box, wish, bought)

    return Done(f"{label.carrier} {label.tracking_number} bought for {label.price}", book)


async def _bought_before(job: Job, wish: LabelPurchase, order: Order) -> ChannelLabel | None:
    """The label a person found on the channel. Raises OutcomeUnknown when an earlier attempt may have bought one."""
    if wish.external_id is not None:
        found = await job.connector.read_label(wish.external_id)
        if found is None or found.order_external_id != order.external_id or not found.live:
            raise Rejected(f"{wish.external_id} is no label of order {order.number} on the channel")
        return found
    if wish.sent_at is not None and job.connector.capabilities.labels != "key":
        raise OutcomeUnknown(
            "a label may have been bought, and the channel lists none",
            for_person=True,
            hint="look at the order on the channel's own page, then settle it",
        )
    return None


async def _buy(job: Job, wish: LabelPurchase, order: Order) -> ChannelLabel:
    told = await job.connector.read_order(order.external_id)
    if told is None or told.status != "paid":
        raise Rejected(f"the order is {told.vendor_status if told else 'unknown'} on its channel: it gets no label")
    asked = LabelOrder(
        order_external_id=order.external_id,
        items={line.external_id: line.quantity for line in told.lines if line.quantity},
        ship_from=Address.model_validate(wish.ship_from),
        parcel=Parcel.model_validate(wish.parcel),
    )
    service = _choose(wish, await job.connector.label_services(asked))
    await _mark(job, wish, started=True)
    try:
        return await job.connector.buy_label(asked, service, f"label:{wish.id}")
    except (Rejected, Retryable):
        if wish.sent_at is None:
            await _mark(job, wish, started=False)  # surely nothing was bought
        raise


def _choose(wish: LabelPurchase, offered: list[LabelService]) -> LabelService:
    """The service that was asked for, else the cheapest. Raises Rejected for one above what it may cost."""
    fitting = [each for each in offered if not wish.service or wish.service in (each.id, each.name)]
    if not fitting:
        names = ", ".join(each.id for each in offered) or "none"
        raise Rejected(
            f"the channel does not sell {wish.service or 'a label'} for this parcel", hint=f"it sells {names}"
        )
    cheapest = min(fitting, key=lambda each: each.price.amount_minor)
    most = Money(amount_minor=wish.most_minor, currency=wish.currency)
    if cheapest.price.currency != most.currency or cheapest.price > most:
        raise Rejected(f"{cheapest.name} costs {cheapest.price}, which is more than {most}")
    return cheapest


async def _mark(job: Job, wish: LabelPurchase, *, started: bool) -> None:
    async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
        ours = await rows.mark_sent(unit, wish.id, job.effect, utc_now() if started else None)
    if started and not ours:
        raise Retryable("somebody else took over")


async def cancel_label(job: Job, command: c.CancelLabel) -> Done:
    """Looks before it asks: giving back twice is then asking once."""
    async with job.store.reader(job.effect.tenant_id) as session:
        row = await rows.get(session, command.label_id)
    if row is None or row.external_id is None:
        raise Rejected("the label is not in our books any more", missing=True)
    if row.state != "cancelling":
        raise Rejected(f"the label is {row.state}")
    label = await job.connector.read_label(row.external_id)
    if label is None:
        raise Rejected("the channel does not know the label", missing=True)
    if label.live:
        label = await job.connector.cancel_label(row.external_id)
    if label.live:
        raise Rejected("the channel does not take the label back")
    label_id = row.id

    async def book(unit: UnitOfWork) -> None:
        await labels.given_back(unit, label_id)

    return Done(f"{row.external_id} given back", book)
