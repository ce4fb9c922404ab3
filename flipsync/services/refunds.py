"""Money given back to buyers: what people ask for, checked against what was paid, and what became of it.

A person asks, the fulfilment agent proposes, the gate judges, the effect worker does it (runtime.money_writes). The
database itself refuses a second open wish for one order, and more than was paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, cast
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.connectors.marketplaces import connector_class
from flipsync.domain.channel import ChannelRefund, Vendor
from flipsync.domain.commands import IssueRefund
from flipsync.domain.decisions import Verdict
from flipsync.domain.errors import Conflict, InvalidInput, NotFound
from flipsync.domain.events import RefundIssued, RefundRequested
from flipsync.domain.money import Money
from flipsync.services.reading_page import Moment, View
from flipsync.store.models import Order, RefundRequest
from flipsync.store.models.orders import refund_reference
from flipsync.store.reading import Reader
from flipsync.store.repositories import orders as order_rows
from flipsync.store.repositories import reading_selling as selling
from flipsync.store.repositories import refunds as rows
from flipsync.store.unit_of_work import UnitOfWork

RefundState = Literal["asked", "issued", "refused", "unknown"]
MAX_REASON = 200
#: how far a channel's clock may be behind ours
_CLOCK_SKEW = timedelta(minutes=5)


class RefundRequestView(View):
    """`unknown`: nobody can tell whether the channel did it; a person looks there and settles it."""

    id: UUID
    order_id: UUID
    amount: Money
    reason: str
    restock: bool
    state: RefundState
    detail: str = Field(description="what the channel, the gate or the owner said")
    reference: str = Field(description="written on the refund, where the channel keeps it")
    external_id: str | None
    created_at: Moment


def view(row: RefundRequest | Any) -> RefundRequestView:
    """Of a row of the table, or of an answer with its columns."""
    return RefundRequestView(
        id=row.id,
        order_id=row.order_id,
        amount=Money(amount_minor=row.amount_minor, currency=row.currency),
        reason=row.reason,
        restock=row.restock,
        state=cast(RefundState, row.state),
        detail=row.detail,
        reference=refund_reference(row.id),
        external_id=row.external_id,
        created_at=row.created_at,
    )


async def request(
    unit: UnitOfWork,
    order_id: UUID,
    *,
    amount: Money | None = None,
    reason: str = "",
    units: Mapping[UUID, int] | None = None,
    restock: bool = False,
    by: UUID | None = None,
) -> RefundRequestView:
    """Ask for a refund: of `amount`, else of these units of order lines, else of all that is left.

    `restock` puts the units (without `units`: all of the order) back on sale. Raises NotFound, InvalidInput, and
    Conflict when another refund of the order is on its way, when it is more than is left, or when the channel's
    connector gives no money back.
    """
    if await order_rows.lock_order_by_id(unit.session, order_id) is None:
        raise NotFound(f"no order {order_id}")
    found = await rows.order_with_refunds(unit.session, order_id)
    assert found is not None, "locked above"
    order = found.order
    can = connector_class(cast(Vendor, found.vendor)).capabilities
    if can.refunds == "none":
        raise Conflict(
            f"FlipSync gives no money back on {found.vendor}",
            hint=f"give it back on {found.vendor}'s own page: it is booked when the channel tells of it",
        )
    if restock and not can.refund_restocks:
        raise Conflict(
            f"{found.vendor} puts nothing back on its shelf with a refund",
            hint="give the money back, and book the goods when they arrive",
        )
    if (open_one := await rows.open_of(unit.session, order_id)) is not None:
        told = "nobody can tell whether a refund was given" if open_one.state == "unknown" else "a refund is on its way"
        raise Conflict(f"{told} already for order {order.number}: {view(open_one).amount} {open_one.reference}")
    if order.status in ("pending", "cancelled", "failed"):
        raise Conflict(f"order {order.number} is {order.status}: nothing was paid, or all was given back")
    left = order.total_minor - found.given_minor
    wanted, worth = await _units(unit, order, units)
    if amount is not None and amount.currency != order.currency:
        raise InvalidInput(f"order {order.number} was paid in {order.currency}, not {amount.currency}")
    minor = amount.amount_minor if amount is not None else min(worth, left) if units else left
    if minor <= 0:
        raise (InvalidInput("a refund is above zero") if left > 0 else Conflict("all that was paid was given back"))
    if minor > left:
        rest = Money(amount_minor=left, currency=order.currency)
        raise Conflict(f"of order {order.number} only {rest} is left to give back")
    if restock and not units:
        wanted = {line.external_id: line.quantity for line in await order_rows.lines_of(unit.session, order_id)}
    row = RefundRequest(
        tenant_id=unit.tenant_id,
        order_id=order_id,
        amount_minor=minor,
        currency=order.currency,
        reason=" ".join(reason.split())[:MAX_REASON],
        units=wanted,
        restock=restock,
        requested_by=by,
    )
    unit.session.add(row)
    await unit.session.flush()
    told_amount = Money(amount_minor=minor, currency=order.currency)
    unit.emit(
        RefundRequested(
            order_id=order_id,
            account_id=order.account_id,
            vendor=cast(Vendor, found.vendor),
            refund_id=row.id,
            amount=told_amount,
            reason=row.reason,
        )
    )
    return view(row)


async def _units(unit: UnitOfWork, order: Order, units: Mapping[UUID, int] | None) -> tuple[dict[str, int], int]:
    """Lines' external ids to units, and what they cost the buyer, rounded down to the minor unit."""
    wanted, worth = {}, Decimal(0)
    if units:
        lines = {line.id: line for line in await order_rows.lines_of(unit.session, order.id)}
        for line_id, count in units.items():
            line = lines.get(line_id)
            if line is None or not 0 < count <= line.quantity:
                raise InvalidInput(f"order {order.number} has no line {line_id} with {count} units")
            wanted[line.external_id] = count
            worth += Decimal(line.total_minor + line.tax_minor) * count / line.quantity
    return wanted, int(worth)


async def list_requests(session: AsyncSession, order_id: UUID) -> list[RefundRequestView]:
    """Oldest first."""
    return [view(row) for row in await rows.of_order(session, order_id)]


async def currency_of(session: AsyncSession, order_id: UUID) -> str:
    found = await rows.order_with_refunds(session, order_id)
    if found is None:
        raise NotFound(f"no order {order_id}")
    return found.order.currency


async def get(session: AsyncSession, request_id: UUID) -> RefundRequestView:
    row = await rows.get(session, request_id)
    if row is None:
        raise NotFound(f"no refund {request_id}")
    return view(row)


async def requests_of(reader: Reader, order_id: UUID) -> list[RefundRequestView]:
    """Oldest first. Raises NotFound."""
    order, found = await reader.ask(selling.ORDER(order_id=order_id), selling.REFUND_REQUESTS(order_id=order_id))
    if not order:
        raise NotFound(f"no order {order_id}")
    return [view(row) for row in found]


async def named_order(session: AsyncSession, name: str) -> UUID:
    """The order with this id, number or id on its channel. Raises NotFound, and Conflict when there are several."""
    try:
        return UUID(name)
    except ValueError:
        found = await rows.order_ids(session, name)
    if not found:
        raise NotFound(f"no order {name!r}", hint="give its number, its id on the channel, or its id here")
    if len(found) > 1:
        raise Conflict(f"{len(found)} orders are called {name!r}", hint="give its id: " + ", ".join(map(str, found)))
    return found[0]


async def judge_refund(unit: UnitOfWork, command: IssueRefund, limit_minor: int, *, approved: bool) -> Verdict:
    """What the gate says to a refund: what is open and within what was paid may go, above the limit a person says."""
    row = await rows.lock(unit.session, command.refund_id)
    found = await rows.order_with_refunds(unit.session, command.order_id)
    if row is None or found is None or row.state != "asked":
        return Verdict.deny("refund", "the refund is not open")
    if row.amount_minor != command.amount.amount_minor or row.currency != command.amount.currency:
        return Verdict.deny("refund", "it is not what was asked for")
    if found.given_minor > found.order.total_minor:  # counts this one
        return Verdict.deny("refund", "more than was paid would be given back")
    if row.amount_minor > limit_minor and not approved:
        limit = Money(amount_minor=limit_minor, currency=row.currency)
        return Verdict.ask("refund", f"{command.amount} back for order {found.order.number}: above {limit}. Give it?")
    return Verdict.proceed("refund", "asked for by a person, within what was paid")


async def issued(unit: UnitOfWork, vendor: Vendor, order: Order, request_id: UUID, external_id: str) -> None:
    """The channel shows it: the wish is done. Once."""
    row = await rows.settle(unit, request_id, "issued", "", external_id=external_id)
    if row is not None:
        amount = Money(amount_minor=row.amount_minor, currency=row.currency)
        unit.emit(
            RefundIssued(
                order_id=order.id, account_id=order.account_id, vendor=vendor, refund_id=request_id, amount=amount
            )
        )


async def refuse(unit: UnitOfWork, request_id: UUID, why: str) -> None:
    """It will not happen: another may be asked for."""
    await rows.settle(unit, request_id, "refused", why)


async def doubt(unit: UnitOfWork, request_id: UUID, why: str) -> None:
    """Nobody can tell whether it happened: nothing else is given back for the order until that is settled."""
    await rows.settle(unit, request_id, "unknown", why)


def matching(
    how: str, wish: RefundRequest, booked: Mapping[str, datetime], told: Sequence[ChannelRefund]
) -> ChannelRefund | None:
    """The wish's refund among those the channel tells of: by our reference, else (`how` is "amount") by its amount,
    among those that were not in the books before the wish.

    One given by hand on the channel's page meanwhile is taken for ours where only the amount tells: the buyer has the
    money, and gets it once.
    """
    if how != "amount":
        return next((each for each in told if wish.reference in each.reference), None)
    earliest, never = wish.created_at - _CLOCK_SKEW, datetime.max.replace(tzinfo=UTC)
    return next(
        (
            each
            for each in told
            if booked.get(each.external_id, never) >= wish.created_at
            and each.amount.amount_minor == wish.amount_minor
            and each.created_at >= earliest
        ),
        None,
    )


async def recognise(unit: UnitOfWork, vendor: Vendor, order: Order, told: tuple[ChannelRefund, ...]) -> None:
    """The channel tells of refunds: the one that was in doubt is settled by it."""
    doubted = await rows.open_of(unit.session, order.id)
    if doubted is None or doubted.state != "unknown":
        return
    known = await rows.order_with_refunds(unit.session, order.id)
    assert known is not None
    found = matching(connector_class(vendor).capabilities.refunds, doubted, known.booked, told)
    if found is not None:
        await issued(unit, vendor, order, doubted.id, found.external_id)


async def settle(unit: UnitOfWork, request_id: UUID, *, given: bool) -> RefundRequestView:
    """A person has looked at the channel: the refund in doubt was given there, or it was not. Raises NotFound, and
    Conflict unless it is in doubt."""
    row = await rows.lock(unit.session, request_id)
    if row is None:
        raise NotFound(f"no refund {request_id}")
    if row.state != "unknown":
        raise Conflict(f"the refund is {row.state}: only one in doubt is settled by hand")
    found = await rows.order_with_refunds(unit.session, row.order_id)
    assert found is not None
    if given:
        await issued(unit, cast(Vendor, found.vendor), found.order, request_id, row.external_id or row.reference)
    else:
        await refuse(unit, request_id, "a person saw on the channel that it was not given")
    after = await rows.get(unit.session, request_id)
    assert after is not None
    return view(after)


async def settle_doubted(unit: UnitOfWork, order_id: UUID, *, given: bool) -> None:
    """`settle` the one that is in doubt. Raises Conflict when none is any more."""
    doubted = await rows.open_of(unit.session, order_id)
    if doubted is None or doubted.state != "unknown":
        raise Conflict("no refund of the order is in doubt any more")
    await settle(unit, doubted.id, given=given)
