"""Advice on goods to buy as people see it: one article, past questions, a list under way, how far advice came true."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import NotFound
from flipsync.domain.money import Money
from flipsync.domain.sourcing import ChannelScore, Verdict
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, cut, money, sorted_by
from flipsync.services.sourcing.desk import CHANCES
from flipsync.services.tenant_settings import profile
from flipsync.store.models import SourcingLine, SourcingScan
from flipsync.store.repositories import sourcing as rows
from flipsync.store.repositories import sourcing_facts as facts
from flipsync.store.unit_of_work import Store

AdviceSort = Annotated[str | None, sorted_by(rows.SORTS)]


class ChannelAdviceView(View):
    """What goods would do on one channel of yours; the most to pay, and a unit's profit at the cost (else the most)."""

    account_id: UUID
    channel: str
    price: Money
    most: Money
    low: Money
    likely: Money
    high: Money
    chance: float = Field(description="of earning what you ask")
    sold_share: float = Field(description="of the lot, expected to be sold by your time")
    days_to_sell: float
    profit_per_money: float
    rivals: int
    own_units: int


class AdviceView(View):
    """One article that was asked about. Without a verdict yet, nobody has looked at it.

    `low` to `high` holds a unit's net profit four times in five: at the cost that was told, else at `most`.
    """

    id: UUID
    list_id: UUID = Field(description="the question or list it is of")
    asked: str
    gtin: str | None
    asin: str | None
    cost: Money | None
    units: int
    verdict: Verdict | None
    why: str
    product: str
    variant_id: UUID | None = Field(description="goods of yours that it is")
    identified_by: str
    identity: float = Field(description="how sure it is which article this is")
    most: Money | None = Field(description="the highest cost of a unit at which to buy")
    low: Money | None
    likely: Money | None
    high: Money | None
    chance: float | None
    days_to_sell: float | None
    channels: list[ChannelAdviceView]
    waiting: list[str] = Field(description="channels whose catalogue has not answered; the verdict may change")
    decision_id: UUID | None
    decided_at: Moment | None


class UnreadableRow(View):
    """A row of a supplier's list that says nothing we can look up."""

    row: int
    why: str


class ListView(View):
    """A supplier's list, or one question, and how far it is."""

    id: UUID
    kind: Literal["query", "list"]
    name: str
    lines: int
    decided: int
    buy: int
    leave: int = Field(description="pass")
    ask: int
    problems: list[UnreadableRow] = Field(description="rows that could not be read, and why")
    asked_at: Moment


class ReliabilityView(View):
    """Advice whose goods came in and were sold since: how often a unit's profit fell inside the interval told."""

    told: float = Field(description="the share that the interval is to hold")
    outcomes: int
    inside: int
    below: int
    above: int
    chance_asked: float = Field(description="with which chance purchases are to earn what you ask")


class AdviceFilter(View):
    list_id: UUID | None = None
    verdict: Verdict | None = None
    q: str | None = Field(default=None, max_length=100, description="a part of what was asked, or of the product")


async def list_advice(session: AsyncSession, page: SortedRequest, where: AdviceFilter) -> Page[AdviceView]:
    """Newest first by default. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.SORTS)
    found = await rows.page(
        session,
        place,
        scan_id=where.list_id,
        verdict=where.verdict,
        q=where.q,
    )
    return cut(found, page.limit, lambda row: view(row[0]), place.cursor_of)


async def get_advice(session: AsyncSession, line_id: UUID) -> AdviceView:
    """Raises NotFound."""
    row = await rows.line(session, line_id)
    if row is None:
        raise NotFound(f"nobody asked {line_id}")
    return view(row)


async def first_advice(session: AsyncSession, scan: SourcingScan) -> AdviceView:
    """The advice on a scan of one line."""
    row = await rows.line_of(session, scan.id)
    assert row is not None, "a scan has lines"
    return view(row)


async def get_list(session: AsyncSession, scan_id: UUID) -> ListView:
    """Raises NotFound."""
    scan = await rows.scan(session, scan_id)
    if scan is None:
        raise NotFound(f"no list {scan_id}")
    verdicts = await rows.verdicts(session, scan_id)
    return ListView(
        id=scan.id,
        kind="list" if scan.kind == "list" else "query",
        name=scan.name,
        lines=scan.lines,
        decided=scan.lines - verdicts.get(None, 0),
        buy=verdicts.get("buy", 0),
        leave=verdicts.get("pass", 0),
        ask=verdicts.get("ask", 0),
        problems=[UnreadableRow(row=row, why=why) for row, why in scan.problems],
        asked_at=scan.asked_at,
    )


async def reliability(store: Store, tenant_id: UUID) -> ReliabilityView:
    """How far past advice came true."""
    async with store.reader(tenant_id) as session:
        known = await profile(session, tenant_id)
        found = await facts.outcomes(session, store.clock.now())
        labels = {row.currency: await facts.parcels(session, row.currency) for row in found}
    usual = float(known.settings.pricing.shipping_cost_minor)
    inside = below = above = 0
    for row in found:
        paid = labels[row.currency]
        earned = row.earned(sum(paid) / len(paid) if paid else usual)
        below += earned < row.low_minor
        above += earned > row.high_minor
        inside += row.low_minor <= earned <= row.high_minor
    return ReliabilityView(
        told=0.8,
        outcomes=len(found),
        inside=inside,
        below=below,
        above=above,
        chance_asked=CHANCES[known.settings.goals.risk],
    )


def view(row: SourcingLine) -> AdviceView:
    def amount(minor: int | None) -> Money | None:
        return money(minor, row.currency)

    return AdviceView.model_validate(
        {
            "id": row.id,
            "list_id": row.scan_id,
            "asked": row.text,
            "gtin": row.gtin,
            "asin": row.asin,
            "cost": amount(row.cost_minor),
            "units": row.units,
            "verdict": row.verdict,
            "why": row.why,
            "product": row.product,
            "variant_id": row.variant_id,
            "identified_by": row.identified_by,
            "identity": row.identity,
            "most": amount(row.most_minor),
            "low": amount(row.low_minor),
            "likely": amount(row.likely_minor),
            "high": amount(row.high_minor),
            "chance": row.chance,
            "days_to_sell": row.days_to_sell,
            "channels": [_score(ChannelScore.model_validate(each), row.currency) for each in row.scores],
            "waiting": row.waiting,
            "decision_id": row.decision_id,
            "decided_at": row.decided_at,
        }
    )


def _score(score: ChannelScore, currency: str) -> dict[str, Any]:
    def amount(minor: int) -> Money:
        return Money(amount_minor=minor, currency=currency)

    return {
        "account_id": score.account_id,
        "channel": score.channel,
        "price": amount(score.price_minor),
        "most": amount(score.most_minor),
        "low": amount(score.low_minor),
        "likely": amount(score.likely_minor),
        "high": amount(score.high_minor),
        "chance": score.chance,
        "sold_share": score.gone,
        "days_to_sell": score.days_to_sell,
        "profit_per_money": score.worth,
        "rivals": score.rivals,
        "own_units": score.own_units,
    }
