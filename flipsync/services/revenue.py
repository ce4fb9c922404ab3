"""What came in over a span, against as many days before it, by currency and channel."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.money import Money
from flipsync.services.analytics import Span, counted_at, net_of
from flipsync.services.reading_page import Moment, View
from flipsync.store.repositories import sales_reading as rows


class Income(View):
    """Before tax."""

    revenue: Money = Field(description="goods after discounts, and shipping")
    refunds: Money
    net: Money
    net_before: Money = Field(description="net of as many days before the span")
    change: float | None = Field(description="of net, as a share of what it was before; null where there was none")


class ChannelIncome(Income):
    account_id: str
    account: str
    vendor: str | None


class CurrencyIncome(Income):
    currency: str
    channels: list[ChannelIncome]


class RevenueView(View):
    """One entry for each currency: nothing is converted."""

    first: date
    last: date
    before_first: date
    before_last: date
    currencies: list[CurrencyIncome]
    counted_at: Moment | None


async def revenue(session: AsyncSession, where: Span, today: date) -> RevenueView:
    """Raises InvalidInput for a span that is none."""
    first, last = where.days(today)
    before_last = first - timedelta(days=1)
    before_first = before_last - (last - first)
    now = await _by_channel(session, first, last)
    before = await _by_channel(session, before_first, before_last)
    found: dict[str, list[ChannelIncome]] = {}
    for currency, key in sorted(now.keys() | before.keys()):
        current, past = now.get((currency, key)), before.get((currency, key))
        named: Any = current if current is not None else past
        found.setdefault(currency, []).append(
            ChannelIncome(
                account_id=key,
                account=named.label,
                vendor=named.vendor,
                **_income(currency, [current] if current else [], [past] if past else []),
            )
        )
    return RevenueView(
        first=first,
        last=last,
        before_first=before_first,
        before_last=before_last,
        currencies=[
            CurrencyIncome(
                currency=currency,
                channels=channels,
                **_income(
                    currency,
                    [row for (its, _), row in now.items() if its == currency],
                    [row for (its, _), row in before.items() if its == currency],
                ),
            )
            for currency, channels in found.items()
        ],
        counted_at=await counted_at(session),
    )


async def _by_channel(session: AsyncSession, first: date, last: date) -> dict[tuple[str, str], Any]:
    found = await rows.by_channel(session, first, last)
    return {(row.currency, row.key): row for row in found}


def _income(currency: str, now: Sequence[Any], before: Sequence[Any]) -> dict[str, Any]:
    """The fields of an Income."""
    net, net_before = sum(net_of(row) for row in now), sum(net_of(row) for row in before)

    def money(minor: int) -> Money:
        return Money(amount_minor=minor, currency=currency)

    return {
        "revenue": money(sum(row.goods + row.shipping for row in now)),
        "refunds": money(sum(row.refunds_before_tax for row in now)),
        "net": money(net),
        "net_before": money(net_before),
        "change": round((net - net_before) / abs(net_before), 4) if net_before else None,
    }
