"""Sums for the business report. All counting and adding is done by the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, SQLColumnExpression, case, cast, func, or_, select, text, true
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import BigInteger, Numeric

from flipsync.store.models import (
    AgentDecision,
    AgentTask,
    Approval,
    Effect,
    EventRecord,
    Listing,
    MarketplaceAccount,
    Order,
    OrderLine,
    PriceChange,
    Proposal,
    Refund,
    StockItem,
)

#: the channel's words for orders that earn money; what was paid back is subtracted
EARNING = ("paid", "shipped", "refunded")
#: the worker role sees every tenant's queues: here only the bound tenant's rows count
_OUR_EFFECTS = text("effect.tenant_id = current_tenant()")
_OUR_TASKS = text("agent_task.tenant_id = current_tenant()")


async def tenant_id(session: AsyncSession) -> UUID:
    """The tenant the session is bound to."""
    found: UUID = (await session.execute(text("SELECT current_tenant()"))).scalar_one()
    return found


async def recorded_since(session: AsyncSession, since: datetime) -> datetime | None:
    """The wall-clock time of the first fact at or after a business time; None when nothing happened since."""
    query = select(func.min(EventRecord.recorded_at)).where(EventRecord.occurred_at >= since)
    return (await session.execute(query)).scalar_one()


# -- orders and money -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OrderCount:
    account: str
    vendor: str
    status: str
    state: str
    orders: int
    units: int
    short_units: int


async def order_counts(session: AsyncSession, since: datetime | None) -> list[OrderCount]:
    lines = (
        select(
            OrderLine.order_id, func.sum(OrderLine.quantity).label("units"), func.sum(OrderLine.short).label("short")
        )
        .group_by(OrderLine.order_id)
        .subquery()
    )
    query = (
        select(
            MarketplaceAccount.name,
            MarketplaceAccount.vendor,
            Order.status,
            Order.state,
            func.count(),
            cast(func.coalesce(func.sum(lines.c.units), 0), BigInteger),
            cast(func.coalesce(func.sum(lines.c.short), 0), BigInteger),
        )
        .join(MarketplaceAccount, MarketplaceAccount.id == Order.account_id)
        .outerjoin(lines, lines.c.order_id == Order.id)
        .where(_placed(since))
        .group_by(MarketplaceAccount.name, MarketplaceAccount.vendor, Order.status, Order.state)
        .order_by(MarketplaceAccount.name, Order.status, Order.state)
    )
    return [OrderCount(*row) for row in await session.execute(query)]


@dataclass(frozen=True)
class Earned:
    """Sums of the earning orders of one currency, in its minor units."""

    currency: str
    orders: int
    parcels: int
    goods: int
    shipping: int
    tax: int
    fees_told: int


async def earned(session: AsyncSession, since: datetime | None) -> list[Earned]:
    """By currency. A parcel is an order that was shipped, or whose units are set aside to be."""
    goods = select(OrderLine.order_id, func.sum(OrderLine.total_minor).label("goods")).group_by(OrderLine.order_id)
    lines = goods.subquery()
    query = (
        select(
            Order.currency,
            func.count(),
            func.count().filter(or_(Order.state == "shipped", Order.holds_stock)),
            _total(lines.c.goods),
            _total(Order.shipping_minor),
            _total(Order.tax_minor),
            _total(Order.fee_minor),
        )
        .outerjoin(lines, lines.c.order_id == Order.id)
        .where(_placed(since), Order.status.in_(EARNING))
        .group_by(Order.currency)
    )
    return [Earned(*row) for row in await session.execute(query)]


@dataclass(frozen=True)
class Cost:
    """Landed cost of what was sold and did not come back; units whose cost nobody knows are counted apart."""

    currency: str
    cost: int
    units: int
    units_without_cost: int


async def costs(session: AsyncSession, since: datetime | None) -> list[Cost]:
    tracked = OrderLine.reserved + OrderLine.shipped + OrderLine.short
    # a line the ledger never touched is not of our stock: its whole quantity was sold
    units = case((tracked + OrderLine.returned > 0, tracked), else_=OrderLine.quantity)
    query = (
        select(
            Order.currency,
            _total(OrderLine.cost_minor * units),
            _total(units),
            cast(func.coalesce(func.sum(units).filter(OrderLine.cost_minor.is_(None)), 0), BigInteger),
        )
        .join(OrderLine, OrderLine.order_id == Order.id)
        .where(_placed(since), Order.status.in_(EARNING))
        .group_by(Order.currency)
    )
    return [Cost(*row) for row in await session.execute(query)]


@dataclass(frozen=True)
class Refunded:
    """Money given back on earning orders; `before_tax` leaves out the tax in it, by the order's own share of tax."""

    currency: str
    refunds: int
    amount: int
    before_tax: int


async def refunds(session: AsyncSession, since: datetime | None) -> list[Refunded]:
    share = cast(Order.total_minor - Order.tax_minor, Numeric) / func.nullif(Order.total_minor, 0)
    query = (
        select(
            Order.currency,
            func.count(),
            _total(Refund.amount_minor),
            _total(func.round(Refund.amount_minor * func.coalesce(share, 1))),
        )
        .join(Order, Order.id == Refund.order_id)
        .where(_placed(since), Order.status.in_(EARNING))
        .group_by(Order.currency)
    )
    return [Refunded(*row) for row in await session.execute(query)]


@dataclass(frozen=True)
class FeeBase:
    """What fees are taken from where the channel did not tell them; `orders` have these amounts and this time."""

    vendor: str
    currency: str
    goods: int
    shipping: int
    tax: int
    placed_at: datetime
    orders: int


async def fee_bases(session: AsyncSession, since: datetime | None) -> list[FeeBase]:
    """Earning orders without a told fee; those with the same amounts and time together."""
    goods = select(OrderLine.order_id, func.sum(OrderLine.total_minor).label("goods")).group_by(OrderLine.order_id)
    lines = goods.subquery()
    amounts = (
        MarketplaceAccount.vendor,
        Order.currency,
        cast(func.coalesce(lines.c.goods, 0), BigInteger),
        Order.shipping_minor,
        Order.tax_minor,
        Order.placed_at,
    )
    query = (
        select(*amounts, func.count())
        .join(MarketplaceAccount, MarketplaceAccount.id == Order.account_id)
        .outerjoin(lines, lines.c.order_id == Order.id)
        .where(_placed(since), Order.status.in_(EARNING), Order.fee_minor.is_(None))
        .group_by(*amounts)
    )
    return [FeeBase(*row) for row in await session.execute(query)]


# -- prices -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PriceMoves:
    first: int
    unchanged: int
    up: int
    down: int
    breaches: int


async def price_moves(session: AsyncSession, since: datetime | None) -> PriceMoves:
    old, new = PriceChange.old_minor, PriceChange.new_minor
    query = select(
        func.count().filter(old.is_(None)),
        func.count().filter(new == old),
        func.count().filter(new > old),
        func.count().filter(new < old),
        func.count().filter(new < PriceChange.floor_minor),
    ).where(_at(PriceChange.at, since))
    return PriceMoves(*(await session.execute(query)).one())


async def breaches(session: AsyncSession, since: datetime | None, limit: int) -> Sequence[Row[PriceChange, str, str]]:
    """(price change, SKU, account name) of prices below their floor, newest first."""
    query = (
        select(PriceChange, Listing.sku, MarketplaceAccount.name)
        .join(Listing, Listing.id == PriceChange.listing_id)
        .join(MarketplaceAccount, MarketplaceAccount.id == Listing.account_id)
        .where(PriceChange.new_minor < PriceChange.floor_minor, _at(PriceChange.at, since))
        .order_by(PriceChange.id.desc())
        .limit(limit)
    )
    return (await session.execute(query)).all()


@dataclass(frozen=True)
class MoveReason:
    agent: str
    reason: str
    moves: int
    example: str


async def move_reasons(session: AsyncSession, since: datetime | None, limit: int) -> list[MoveReason]:
    """Why prices moved, most frequent first; reasons that differ only in their figures are one."""
    pattern = func.regexp_replace(AgentDecision.rationale, r"[-+]?[0-9][0-9.,]*", "…", "g")
    query = (
        select(AgentDecision.agent, pattern, func.count(), func.min(AgentDecision.rationale))
        .select_from(PriceChange)
        .join(Effect, Effect.id == PriceChange.effect_id)
        .join(Proposal, Proposal.id == Effect.proposal_id)
        .join(AgentDecision, AgentDecision.id == Proposal.decision_id)
        .where(PriceChange.old_minor != PriceChange.new_minor, _at(PriceChange.at, since))
        .group_by(AgentDecision.agent, pattern)
        .order_by(func.count().desc(), AgentDecision.agent, pattern)
        .limit(limit)
    )
    return [MoveReason(*row) for row in await session.execute(query)]


# -- decisions and effects --------------------------------------------------------------------------------------------


async def decision_counts(session: AsyncSession, since: datetime | None) -> Sequence[Row[str, str, int, float]]:
    """(agent, state, decisions, mean confidence)."""
    query = (
        select(AgentDecision.agent, AgentDecision.state, func.count(), func.avg(AgentDecision.confidence))
        .where(_at(AgentDecision.decided_at, since))
        .group_by(AgentDecision.agent, AgentDecision.state)
        .order_by(AgentDecision.agent, AgentDecision.state)
    )
    return (await session.execute(query)).all()


async def effect_counts(session: AsyncSession, since: datetime | None) -> Sequence[Row[str, str, bool, int, int, int]]:
    """(command, state, finished, effects, attempts, most attempts of one)."""
    finished = Effect.finished_at.is_not(None)
    query = (
        select(Effect.command, Effect.state, finished, func.count(), _total(Effect.attempts), func.max(Effect.attempts))
        .where(_OUR_EFFECTS, _at(Effect.created_at, since))
        .group_by(Effect.command, Effect.state, finished)
        .order_by(Effect.command, Effect.state)
    )
    return (await session.execute(query)).all()


@dataclass(frozen=True)
class Blocked:
    """Proposals the gate or the books did not let through as they were, by rule; with the newest as an example."""

    verdict: str
    rule: str
    command: str
    proposals: int
    example: str
    decision_id: UUID
    subject_kind: str
    subject_id: UUID


async def blocked(session: AsyncSession, since: datetime | None) -> list[Blocked]:
    """Verdicts deny, ask and mutate; most frequent first."""
    about = select(Proposal).where(Proposal.verdict.in_(("deny", "ask", "mutate")))
    if since is not None:
        about = about.join(AgentDecision, AgentDecision.id == Proposal.decision_id).where(
            AgentDecision.decided_at >= since
        )
    rows = about.subquery()
    newest = (rows.c.id.desc(),)
    query = (
        select(
            rows.c.verdict,
            rows.c.rule,
            rows.c.command,
            func.count(),
            *(
                func.array_agg(aggregate_order_by(column, *newest))[1]
                for column in (rows.c.reason, rows.c.decision_id, rows.c.subject_kind, rows.c.subject_id)
            ),
        )
        .group_by(rows.c.verdict, rows.c.rule, rows.c.command)
        .order_by(func.count().desc(), rows.c.rule, rows.c.command)
    )
    return [Blocked(*row) for row in await session.execute(query)]


async def open_approvals(session: AsyncSession, limit: int) -> tuple[int, Sequence[Row[Approval, str]]]:
    """How many questions are open, and the oldest of them with the agent that asks."""
    count = (
        await session.execute(select(func.count()).select_from(Approval).where(Approval.state == "open"))
    ).scalar_one()
    query = (
        select(Approval, AgentDecision.agent)
        .join(AgentDecision, AgentDecision.id == Approval.decision_id)
        .where(Approval.state == "open")
        .order_by(Approval.id)
        .limit(limit)
    )
    return count, (await session.execute(query)).all()


async def failed_tasks(
    session: AsyncSession, since: datetime | None, limit: int
) -> Sequence[Row[str, str, str, int, UUID]]:
    """(agent, event type, error, tasks, an event) of work that was set aside."""
    example = func.array_agg(aggregate_order_by(AgentTask.event_id, AgentTask.id.desc()))[1]
    query = (
        select(AgentTask.agent, EventRecord.type, AgentTask.error, func.count(), example)
        .join(EventRecord, EventRecord.id == AgentTask.event_id)
        .where(_OUR_TASKS, AgentTask.state == "failed", _at(EventRecord.recorded_at, since))
        .group_by(AgentTask.agent, EventRecord.type, AgentTask.error)
        .order_by(func.count().desc(), AgentTask.agent)
        .limit(limit)
    )
    return (await session.execute(query)).all()


@dataclass(frozen=True)
class Shelf:
    items: int
    on_hand: int
    reserved: int
    allocated: int
    short: int


async def shelf(session: AsyncSession) -> Shelf:
    """All stock now; short units were sold by orders that still want them, and do not exist."""
    items = (
        await session.execute(
            select(
                func.count(), _total(StockItem.on_hand), _total(StockItem.reserved), _total(StockItem.allocated)
            ).select_from(StockItem)
        )
    ).one()
    short = (
        await session.execute(
            select(_total(OrderLine.short)).join(Order, Order.id == OrderLine.order_id).where(Order.holds_stock)
        )
    ).scalar_one()
    return Shelf(*items, short)


def _placed(since: datetime | None) -> ColumnElement[bool]:
    return _at(Order.placed_at, since)


def _at(column: SQLColumnExpression[datetime], since: datetime | None) -> ColumnElement[bool]:
    return true() if since is None else column >= since


def _total(column: SQLColumnExpression[Any]) -> ColumnElement[int]:
    return cast(func.coalesce(func.sum(column), 0), BigInteger)
