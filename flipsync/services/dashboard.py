"""The business at a glance: key figures of today, 7 and 28 days against the days before, the shelf's worth, what waits
for a person, what is wrong with channels, and what the agents did. Each says what it is and where its rows are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID

from pydantic import Field

from flipsync.domain.clock import local_day, utc_now
from flipsync.domain.ids import first_id_at
from flipsync.domain.money import Money
from flipsync.services.analytics import ratio
from flipsync.services.reading_page import Moment, View
from flipsync.store.models.sales import FIGURES
from flipsync.store.reading import Asked, Reader, Rows
from flipsync.store.repositories import sales_facts, sales_reading, shelf_reading, tenants

_API = "/api/v1"
Window = Literal["today", "7d", "28d"]
#: window → its days
WINDOWS: dict[Window, int] = {"today": 1, "7d": 7, "28d": 28}
_MOST_FAULTS, _MOST_DECISIONS = 20, 10_000
Sums = Mapping[str, int]


class Definition(View):
    """What a key figure is."""

    name: str
    title: str
    meaning: str
    unit: Literal["money", "count", "share"]


class KpiValue(View):
    """A figure now and before. Counts and shares are in `value`, money in `amount`."""

    amount: Money | None = None
    amount_before: Money | None = None
    value: float | None = None
    value_before: float | None = None
    change: float | None = Field(description="as a share of what was before; null where there was nothing to compare")


class Kpi(View):
    """`rows` is where the orders behind it are."""

    name: str
    window: Window
    currency: str
    first: date
    last: date
    now: KpiValue
    rows: str


class StockWorth(View):
    currency: str
    units: int
    worth: Money = Field(description="units on the shelf at their landed unit cost")
    units_without_cost: int
    rows: str


class FaultView(View):
    account_id: UUID
    account: str
    cause: str
    since: Moment
    hint: str


class Deeds(View):
    """What one agent decided in the last 24 hours, by what became of it."""

    agent: str
    decisions: int
    states: dict[str, int]
    rows: str


class Questions(View):
    open: int
    rows: str


class Dashboard(View):
    """Windows are whole days of the business's time zone that end today, and are held against as many days before:
    today against all of yesterday. Key figures come once for each currency; nothing is ever converted. What the asking
    role may not see is null. `counted_at`: until when changes are in the figures."""

    today: date
    time_zone: str
    counted_at: Moment | None
    definitions: list[Definition]
    kpis: list[Kpi]
    stock: list[StockWorth]
    questions: Questions | None
    faults: list[FaultView] | None
    agents: list[Deeds] | None = Field(description=f"of the newest {_MOST_DECISIONS:,} decisions of the last 24 hours")


def _net(sums: Sums) -> int:
    return sums["goods"] + sums["shipping"] - sums["refunds_before_tax"]


def _profit(sums: Sums) -> int:
    return _net(sums) - sums["fees"] - sums["cost"]


def _average(sums: Sums) -> int | None:
    return (sums["goods"] + sums["shipping"]) // sums["orders"] if sums["orders"] else None


#: definition and how it is worked out; None: there is nothing to work it out from
_KPIS: tuple[tuple[Definition, Callable[[Sums], int | float | None]], ...] = (
    (
        Definition(
            name="revenue",
            title="Revenue",
            meaning="goods after discounts and shipping, before tax, of orders that are paid, shipped or refunded",
            unit="money",
        ),
        lambda sums: sums["goods"] + sums["shipping"],
    ),
    (
        Definition(
            name="net_revenue", title="Net revenue", meaning="revenue less refunds, both before tax", unit="money"
        ),
        _net,
    ),
    (
        Definition(
            name="profit",
            title="Profit after fees",
            meaning="net revenue less channel fees (told, else exact by the tables) and landed cost of what was kept;"
            " postage and overheads are not in it",
            unit="money",
        ),
        _profit,
    ),
    (
        Definition(name="margin", title="Margin", meaning="profit as a share of net revenue", unit="share"),
        lambda sums: ratio(_profit(sums), _net(sums)),
    ),
    (
        Definition(name="orders", title="Orders", meaning="orders that are paid, shipped or refunded", unit="count"),
        lambda sums: sums["orders"],
    ),
    (
        Definition(
            name="units", title="Units", meaning="units of those orders, returned ones among them", unit="count"
        ),
        lambda sums: sums["units"],
    ),
    (
        Definition(name="average_order", title="Average order", meaning="revenue by order, rounded down", unit="money"),
        _average,
    ),
    (
        Definition(
            name="refund_rate", title="Refunds", meaning="refunds before tax as a share of revenue", unit="share"
        ),
        lambda sums: ratio(sums["refunds_before_tax"], sums["goods"] + sums["shipping"]),
    ),
    (
        Definition(name="cancelled", title="Called off", meaning="orders that were cancelled or failed", unit="count"),
        lambda sums: sums["cancelled"],
    ),
)


async def dashboard(reader: Reader, now: datetime, *, questions: bool, faults: bool, agents: bool) -> Dashboard:
    """`questions`, `faults` and `agents`: whether whoever asks may see them."""
    zones, counted = await reader.ask(tenants.ZONE(), sales_facts.COUNTED())
    today = local_day(now, zones[0].zone)
    first = today - timedelta(days=2 * max(WINDOWS.values()) - 1)
    # decisions carry the wall clock's time, whatever the business's clock says
    lately = first_id_at(utc_now() - timedelta(days=1))
    seen: dict[str, Asked] = {
        "days": sales_reading.DAYS(first=first, last=today),
        "worth": shelf_reading.WORTH(),
    }
    if questions:
        seen["questions"] = shelf_reading.OPEN_QUESTIONS()
    if faults:
        seen["faults"] = shelf_reading.OPEN_FAULTS(most=_MOST_FAULTS)
    if agents:
        seen["agents"] = shelf_reading.DECIDED(after=lately, most=_MOST_DECISIONS)
    rows = dict(zip(seen, await reader.ask(*seen.values()), strict=True))
    return Dashboard(
        today=today,
        time_zone=zones[0].zone,
        counted_at=counted[0].counted_at if counted else None,
        definitions=[definition for definition, _ in _KPIS],
        kpis=kpis({(row.day, row.currency): row._asdict() for row in rows["days"]}, today),
        stock=[
            StockWorth(
                currency=row.currency,
                units=row.units,
                worth=Money(amount_minor=row.worth, currency=row.currency),
                units_without_cost=row.units_without_cost,
                rows=f"{_API}/analytics/ageing",
            )
            for row in rows["worth"]
        ],
        questions=Questions(open=rows["questions"][0].open, rows=f"{_API}/approvals?state=open") if questions else None,
        faults=[
            FaultView(account_id=row.account_id, account=row.name, cause=row.cause, since=row.since, hint=row.hint)
            for row in rows["faults"]
        ]
        if faults
        else None,
        agents=_deeds(rows["agents"]) if agents else None,
    )


def kpis(days: Mapping[tuple[date, str], Sums], today: date) -> list[Kpi]:
    """All key figures of all windows, by currency; `days` are figures by day and currency."""
    found = []
    for currency in sorted({currency for _, currency in days}):
        for window, length in WINDOWS.items():
            first = today - timedelta(days=length - 1)
            now = _sum(days, currency, first, today)
            before = _sum(days, currency, first - timedelta(days=length), first - timedelta(days=1))
            rows = f"{_API}/analytics/rows?from={first}&to={today}&currency={currency}"
            found += [
                Kpi(
                    name=definition.name,
                    window=window,
                    currency=currency,
                    first=first,
                    last=today,
                    now=_value(definition, currency, work_out(now), work_out(before)),
                    rows=rows,
                )
                for definition, work_out in _KPIS
            ]
    return found


def _sum(days: Mapping[tuple[date, str], Sums], currency: str, first: date, last: date) -> Sums:
    total = Counter(dict.fromkeys(FIGURES, 0))
    for (day, its), figures in days.items():
        if its == currency and first <= day <= last:
            total.update({name: figures[name] for name in FIGURES})
    return total


def _value(definition: Definition, currency: str, now: int | float | None, before: int | float | None) -> KpiValue:
    change = None
    if now is not None and before:
        change = round((now - before) / abs(before), 4)
    if definition.unit != "money":
        return KpiValue(value=now, value_before=before, change=change)
    return KpiValue(amount=_money(now, currency), amount_before=_money(before, currency), change=change)


def _money(minor: int | float | None, currency: str) -> Money | None:
    return None if minor is None else Money(amount_minor=int(minor), currency=currency)


def _deeds(decided: Rows) -> list[Deeds]:
    states: dict[str, dict[str, int]] = {}
    for row in decided:
        states.setdefault(row.agent, {})[row.state] = row.decisions
    return [
        Deeds(agent=agent, decisions=sum(each.values()), states=each, rows=f"{_API}/decisions?agent={agent}")
        for agent, each in states.items()
    ]
