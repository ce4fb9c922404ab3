"""How the business is doing: orders, money, prices, decisions, effects, what was blocked, and the stock.

Money: revenue is goods and shipping of paid, shipped and refunded orders, before tax. Fees are the channel's own figure
where it tells one, else exact by the account's fee schedule. Profit is revenue less refunds (before tax), fees, landed
cost of what did not come back, and shipping (a parcel at the owner's estimate).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import require_utc
from flipsync.domain.money import Money
from flipsync.services.pricing.fees import FeeSchedule, FeeTerm, term_fee
from flipsync.services.quotes import fee_schedule
from flipsync.services.reading_page import Moment, View
from flipsync.services.report_text import report_lines
from flipsync.services.tenant_settings import PricingChoices, profile
from flipsync.store.database import SessionReader
from flipsync.store.repositories import report as rows
from flipsync.store.repositories.why import Subject, labels

_EXAMPLES = 10
_REASONS = 8
_APPROVALS = 20


class ChannelOrders(View):
    """`status` is the channel's word, `state` is how far we are."""

    account: str
    vendor: str
    status: str
    state: str
    orders: int
    units: int
    short_units: int


class Orders(View):
    """Orders in our books; `earning` ones are paid, shipped or refunded."""

    total: int
    units: int
    earning: int
    short_units: int
    by_channel: list[ChannelOrders]


class Figures(View):
    """The money of one currency. Fees of `orders_without_fees` are not known and not in `fees`."""

    currency: str
    orders: int
    parcels: int
    goods: Money
    shipping_charged: Money
    revenue: Money = Field(description="goods and shipping charged, before tax")
    tax: Money = Field(description="collected for others")
    refunds: Money = Field(description="as paid back, tax included")
    refunds_before_tax: Money
    fees: Money
    fees_told_by_channels: Money = Field(description="part of fees")
    cost_of_goods: Money
    shipping_cost: Money
    profit: Money
    orders_without_fees: int
    units_without_cost: int


class PriceReason(View):
    agent: str
    reason: str
    moves: int
    example: str


class Breach(View):
    """A price that a channel showed below the floor it was held against."""

    listing: str
    price: Money
    floor: Money
    at: Moment
    effect_id: UUID


class Prices(View):
    first_prices: int
    unchanged: int = Field(description="writes of the price the channel showed already")
    moves: int
    up: int
    down: int
    reasons: list[PriceReason]
    floor_breaches: int
    breaches: list[Breach]


class AgentDecisions(View):
    agent: str
    state: str
    decisions: int
    mean_confidence: float


class Decisions(View):
    total: int
    agents: int
    by_agent: list[AgentDecisions]


class CommandEffects(View):
    command: str
    state: str
    finished: bool
    effects: int
    attempts: int
    most_attempts: int


class Effects(View):
    """Totals are effects by how they stand: what is not finished counts as pending."""

    totals: dict[str, int]
    attempts: int
    by_command: list[CommandEffects]


class Blocked(View):
    """Proposals that were not let through as they were: denied, put to the owner, or changed (mutate)."""

    verdict: Literal["deny", "ask", "mutate"]
    rule: str
    command: str
    proposals: int
    example: str
    example_subject: str
    decision_id: UUID


class OpenApproval(View):
    id: UUID
    agent: str
    question: str
    asked_at: Moment
    expires_at: Moment


class FailedTasks(View):
    """Work that was set aside because it failed every time."""

    agent: str
    event: str
    error: str
    tasks: int
    event_id: UUID


class Stock(View):
    """Units now. `free` belong to nobody; `short` were sold and do not exist."""

    items: int
    on_hand: int
    reserved: int
    allocated: int
    free: int
    short: int


class BusinessReport(View):
    """One tenant's business since a time, or since ever. `money` is in the currency the books are kept in."""

    since: Moment | None
    orders: Orders
    money: Figures
    other_currencies: list[Figures]
    prices: Prices
    decisions: Decisions
    effects: Effects
    blocked: list[Blocked]
    approvals_open: int
    approvals: list[OpenApproval]
    failed_tasks: list[FailedTasks]
    stock: Stock

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; times ISO 8601 in UTC, money as amount_minor and currency."""
        return self.model_dump(mode="json")

    def to_text(self, width: int = 100) -> str:
        """Plain text, no line longer than `width` columns (60 at least)."""
        return "\n".join(report_lines(self.to_json(), width)) + "\n"


async def business_report(session: AsyncSession, since: datetime | None = None) -> BusinessReport:
    """The report of the tenant the session is bound to. `since` is business time; stock and approvals are as of now.

    Raises ValueError for a time without a zone.
    """
    since = None if since is None else require_utc(since)
    # decisions and effects carry the wall clock's time, which a market that runs fast does not share
    recorded = since
    if since is not None:
        recorded = await rows.recorded_since(session, since) or since
    books = await profile(session, await rows.tenant_id(session))
    counts = await rows.order_counts(session, since)
    figures = await _figures(session, since, books.settings.pricing, books.currency)
    open_count, questions = await rows.open_approvals(session, _APPROVALS)
    shelf = await rows.shelf(session)
    return BusinessReport(
        since=since,
        orders=Orders(
            total=sum(each.orders for each in counts),
            units=sum(each.units for each in counts),
            earning=sum(each.orders for each in counts if each.status in rows.EARNING),
            short_units=sum(each.short_units for each in counts),
            by_channel=[ChannelOrders.model_validate(each, from_attributes=True) for each in counts],
        ),
        money=figures.pop(books.currency),
        other_currencies=[figures[currency] for currency in sorted(figures)],
        prices=await _prices(session, since),
        decisions=await _decisions(session, recorded),
        effects=await _effects(session, recorded),
        blocked=await _blocked(session, recorded),
        approvals_open=open_count,
        approvals=[
            OpenApproval(
                id=row.id, agent=agent, question=row.question, asked_at=row.asked_at, expires_at=row.expires_at
            )
            for row, agent in questions
        ],
        failed_tasks=[
            FailedTasks(agent=agent, event=event, error=error, tasks=tasks, event_id=event_id)
            for agent, event, error, tasks, event_id in await rows.failed_tasks(session, recorded, _EXAMPLES)
        ],
        stock=Stock(
            items=shelf.items,
            on_hand=shelf.on_hand,
            reserved=shelf.reserved,
            allocated=shelf.allocated,
            free=shelf.on_hand - shelf.reserved - shelf.allocated,
            short=shelf.short,
        ),
    )


async def _figures(
    session: AsyncSession, since: datetime | None, choices: PricingChoices, currency: str
) -> dict[str, Figures]:
    """By currency; the books' own is always there."""
    earned = {each.currency: each for each in await rows.earned(session, since)}
    costs = {each.currency: each for each in await rows.costs(session, since)}
    refunds = {each.currency: each for each in await rows.refunds(session, since)}
    fees, unknown = _fees(await rows.fee_bases(session, since), choices)
    found = {}
    for here in {currency, *earned}:
        sums = earned.get(here, rows.Earned(here, 0, 0, 0, 0, 0, 0))
        cost = costs.get(here, rows.Cost(here, 0, 0, 0))
        back = refunds.get(here, rows.Refunded(here, 0, 0, 0))
        fee = sums.fees_told + fees[here]
        shipping_cost = sums.parcels * choices.shipping_cost_minor
        revenue = sums.goods + sums.shipping

        def money(minor: int, here: str = here) -> Money:
            return Money(amount_minor=minor, currency=here)

        found[here] = Figures(
            currency=here,
            orders=sums.orders,
            parcels=sums.parcels,
            goods=money(sums.goods),
            shipping_charged=money(sums.shipping),
            revenue=money(revenue),
            tax=money(sums.tax),
            refunds=money(back.amount),
            refunds_before_tax=money(back.before_tax),
            fees=money(fee),
            fees_told_by_channels=money(sums.fees_told),
            cost_of_goods=money(cost.cost),
            shipping_cost=money(shipping_cost),
            profit=money(revenue - back.before_tax - fee - cost.cost - shipping_cost),
            orders_without_fees=unknown[here],
            units_without_cost=cost.units_without_cost,
        )
    return found


class _DatedTerms:
    """A schedule's terms, worked out once for each stretch of time in which no rule begins or ends."""

    def __init__(self, schedule: FeeSchedule | None) -> None:
        self._schedule = schedule
        rules = () if schedule is None else schedule.rules
        ends = {rule.valid_until for rule in rules if rule.valid_until is not None}
        self._edges = sorted({rule.valid_from for rule in rules} | ends)
        self._known: dict[int, tuple[FeeTerm, ...]] = {}

    def at(self, moment: datetime) -> tuple[FeeTerm, ...]:
        """Empty where no rule is in force."""
        stretch = bisect_right(self._edges, moment)
        if self._schedule is not None and stretch not in self._known:
            self._known[stretch] = self._schedule.terms(moment)
        return self._known.get(stretch, ())


def _fees(bases: Sequence[rows.FeeBase], choices: PricingChoices) -> tuple[dict[str, int], dict[str, int]]:
    """Exact fees by currency in minor units, and how many orders have no schedule in force."""
    schedules: dict[tuple[str, str], _DatedTerms] = {}
    total: dict[str, int] = defaultdict(int)
    unknown: dict[str, int] = defaultdict(int)
    for base in bases:
        key = (base.vendor, base.currency)
        if key not in schedules:
            schedules[key] = _DatedTerms(fee_schedule(*key, choices))
        terms = schedules[key].at(base.placed_at)
        if not terms:
            unknown[base.currency] += base.orders
        total[base.currency] += base.orders * sum(term_fee(term, base.goods, base.shipping, base.tax) for term in terms)
    return total, unknown


async def _prices(session: AsyncSession, since: datetime | None) -> Prices:
    moves = await rows.price_moves(session, since)
    below = await rows.breaches(session, since, _EXAMPLES) if moves.breaches else []
    return Prices(
        first_prices=moves.first,
        unchanged=moves.unchanged,
        moves=moves.up + moves.down,
        up=moves.up,
        down=moves.down,
        reasons=[
            PriceReason(agent=each.agent, reason=each.reason, moves=each.moves, example=each.example)
            for each in await rows.move_reasons(session, since, _REASONS)
        ],
        floor_breaches=moves.breaches,
        breaches=[
            Breach(
                listing=f"{sku}@{account}",
                price=Money(amount_minor=change.new_minor, currency=change.currency),
                floor=Money(amount_minor=change.floor_minor, currency=change.currency),
                at=change.at,
                effect_id=change.effect_id,
            )
            for change, sku, account in below
        ],
    )


async def _decisions(session: AsyncSession, since: datetime | None) -> Decisions:
    counts = await rows.decision_counts(session, since)
    return Decisions(
        total=sum(count for _, _, count, _ in counts),
        agents=len({agent for agent, _, _, _ in counts}),
        by_agent=[
            AgentDecisions(agent=agent, state=state, decisions=count, mean_confidence=round(float(sure), 4))
            for agent, state, count, sure in counts
        ],
    )


async def _effects(session: AsyncSession, since: datetime | None) -> Effects:
    counts = await rows.effect_counts(session, since)
    totals = dict.fromkeys(("confirmed", "rejected", "unknown", "superseded", "pending"), 0)
    for _, state, finished, effects, _, _ in counts:
        totals[state if finished else "pending"] += effects
    return Effects(
        totals=totals,
        attempts=sum(attempts for *_, attempts, _ in counts),
        by_command=[
            CommandEffects(
                command=command,
                state=state,
                finished=finished,
                effects=effects,
                attempts=attempts,
                most_attempts=most,
            )
            for command, state, finished, effects, attempts, most in counts
        ],
    )


async def _blocked(session: AsyncSession, since: datetime | None) -> list[Blocked]:
    found = await rows.blocked(session, since)
    subjects: set[Subject] = {(each.subject_kind, each.subject_id) for each in found}
    names = await labels(SessionReader(session), subjects)
    return [
        Blocked.model_validate(
            {
                "verdict": each.verdict,
                "rule": each.rule,
                "command": each.command,
                "proposals": each.proposals,
                "example": each.example,
                "example_subject": names.get(
                    (each.subject_kind, each.subject_id), f"{each.subject_kind} {each.subject_id}"
                ),
                "decision_id": each.decision_id,
            }
        )
        for each in found
    ]
