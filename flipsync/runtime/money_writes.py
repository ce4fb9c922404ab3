"""How money leaves the house: refunds, once each as the channel's own books show.

A wish is marked as sent before the channel is asked. An attempt that finds the mark looks among the order's refunds
first. With a key of the vendor's the same call is then made again; without, only where refunds bear our reference, and
only once the lost call cannot land any more (`landing_seconds`). What stays unclear is for a person.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from flipsync.connectors.base import MarketplaceConnector
from flipsync.domain import commands as c
from flipsync.domain.channel import ChannelOrder, ChannelRefund, RefundOrder
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable
from flipsync.domain.money import Money
from flipsync.runtime.channel_writes import Done, Job
from flipsync.services import orders, refunds
from flipsync.store.models import RefundRequest
from flipsync.store.repositories import refunds as rows
from flipsync.store.repositories.refunds import RefundedOrder
from flipsync.store.unit_of_work import UnitOfWork


async def issue_refund(job: Job, command: c.IssueRefund) -> Done:
    async with job.store.reader(job.effect.tenant_id) as session:
        wish = await rows.get(session, command.refund_id)
        known = await rows.order_with_refunds(session, command.order_id)
    if wish is None or known is None:
        raise Rejected("the refund is not in our books any more", missing=True)
    if wish.state != "asked":
        raise Rejected(f"the refund is {wish.state} already")
    order = await _order(job, known)
    found = await _given_before(job, wish, known, order)
    if found is None:
        _require_left(wish, order)
        external_id = await _give(job, wish, known)
        order = await _after_writing(job, known)
        found = _shown(order, external_id) or _match(job.connector, wish, known, order)
        if found is None:
            if external_id:  # from here on it is waited for, and never asked for again
                async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
                    await rows.note_answer(unit, wish.id, job.effect, external_id)
            raise OutcomeUnknown("the channel took the refund and does not show it yet")
    given, told = found, order

    async def book(unit: UnitOfWork) -> None:
        await orders.ingest_order(unit, job.ref, told)
        await refunds.issued(unit, job.account.vendor, known.order, wish.id, given.external_id)

    return Done(f"{given.amount} given back as {given.external_id}", book)


async def _given_before(
    job: Job, wish: RefundRequest, known: RefundedOrder, order: ChannelOrder
) -> ChannelRefund | None:
    """What an earlier attempt may have given. Waits until it could not come any more, where no key protects."""
    if wish.sent_at is None:
        return None
    found = _shown(order, wish.external_id) or _match(job.connector, wish, known, order)
    how = job.connector.capabilities.refunds
    if found is None and wish.external_id is not None:
        raise OutcomeUnknown(f"the channel took the refund as {wish.external_id} and does not show it yet")
    if found is not None or how == "key":
        return found
    lands_until = wish.sent_at + timedelta(seconds=job.connector.config.landing_seconds)
    if (wait := (lands_until - utc_now()).total_seconds()) > 0:
        await asyncio.sleep(wait)
        found = _match(job.connector, wish, known, await _order(job, known))
    if found is None and how == "amount":
        told = "a refund was asked for without an answer, and the channel shows none of that amount"
        raise OutcomeUnknown(told, for_person=True, hint="look at the order on the channel's own page, then settle it")
    return found


async def _give(job: Job, wish: RefundRequest, known: RefundedOrder) -> str:
    before = wish.sent_at
    await _mark(job, wish, started=True)
    amount = Money(amount_minor=wish.amount_minor, currency=wish.currency)
    asked = RefundOrder(
        order_external_id=known.order.external_id,
        amount=amount,
        reason=wish.reason,
        reference=wish.reference,
        units={line: int(count) for line, count in wish.units.items()},
        restock=wish.restock,
    )
    try:
        # the wish's own key: whoever asks again asks for the same
        return await job.connector.issue_refund(asked, f"refund:{wish.id}")
    except (Rejected, Retryable) as error:
        if before is None:
            await _mark(job, wish, started=False)  # surely nothing happened
            raise
        if _match(job.connector, wish, known, await _after_writing(job, known)) is not None:
            raise OutcomeUnknown(f"given by an earlier attempt: {error.message}") from error  # found by the next
        raise


async def _mark(job: Job, wish: RefundRequest, *, started: bool) -> None:
    async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
        ours = await rows.mark_sent(unit, wish.id, job.effect, utc_now() if started else None)
    if started and not ours:
        raise Retryable("somebody else took over")


async def _order(job: Job, known: RefundedOrder) -> ChannelOrder:
    order = await job.connector.read_order(known.order.external_id)
    if order is None:
        raise Rejected("the channel does not know the order", missing=True)
    return order


async def _after_writing(job: Job, known: RefundedOrder) -> ChannelOrder:
    try:
        return await _order(job, known)
    except (Retryable, Rejected) as error:
        raise OutcomeUnknown(f"asked for, and not yet read back: {error.message}") from error


def _shown(order: ChannelOrder, external_id: str | None) -> ChannelRefund | None:
    return next((each for each in order.refunds if external_id and each.external_id == external_id), None)


def _match(
    connector: MarketplaceConnector, wish: RefundRequest, known: RefundedOrder, order: ChannelOrder
) -> ChannelRefund | None:
    return refunds.matching(connector.capabilities.refunds, wish, known.booked, order.refunds)


def _require_left(wish: RefundRequest, order: ChannelOrder) -> None:
    """Against what the channel says now: somebody may have given money back on its own page."""
    if order.status in ("pending", "cancelled", "failed"):
        raise Rejected(f"the order is {order.vendor_status} on its channel: nothing is left to give back")
    left = order.total.amount_minor - sum(refund.amount.amount_minor for refund in order.refunds)
    if order.currency != wish.currency or left < wish.amount_minor:
        rest = Money(amount_minor=left, currency=order.currency)
        raise Rejected(f"on its channel only {rest} of the order is left to give back")
