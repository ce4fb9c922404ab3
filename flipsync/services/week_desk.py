"""The last whole week of a business beside the one before, from days that are counted already."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.services.analytics import net_of, profit_of
from flipsync.store.repositories import report, sales_reading

_DAYS = 7
#: channels that are told of, those that took in most
_MOST = 6


@dataclass(frozen=True)
class ChannelWeek:
    """One account's week in one currency; money in minor units, `_before` in the week before."""

    account_id: UUID
    currency: str
    orders: int
    orders_before: int
    net: int
    net_before: int
    profit: int
    profit_before: int


@dataclass(frozen=True)
class Week:
    """`decisions` of agents within the last seven days, those of them that went `up`, and questions that are open."""

    first: datetime
    last: datetime
    channels: tuple[ChannelWeek, ...]
    left_out: int
    decisions: int
    up: int
    questions: int


class WeekDesk:
    def __init__(self, session: AsyncSession, now: datetime) -> None:
        self._session = session
        self._now = now

    async def week(self) -> Week:
        """The seven days before today (UTC) beside the seven before those."""
        last = self._now.date() - timedelta(days=1)
        first = last - timedelta(days=_DAYS - 1)
        now = await sales_reading.by_channel(self._session, first, last)
        before = await sales_reading.by_channel(self._session, first - timedelta(days=_DAYS), first - timedelta(days=1))
        present, past = ({(row.key, row.currency): row for row in rows} for rows in (now, before))
        channels = []
        for key, currency in sorted(present.keys() | past.keys()):
            figures = [
                (row.orders, net_of(row), profit_of(row)) if row is not None else (0, 0, 0)
                for row in (present.get((key, currency)), past.get((key, currency)))
            ]
            (orders, net, profit), (orders_before, net_before, profit_before) = figures
            channels.append(
                ChannelWeek(UUID(key), currency, orders, orders_before, net, net_before, profit, profit_before)
            )
        channels.sort(key=lambda each: (-each.net, str(each.account_id), each.currency))
        counts = await report.decision_counts(self._session, self._now - timedelta(days=_DAYS))
        questions, _ = await report.open_approvals(self._session, 0)
        return Week(
            first=self._now - timedelta(days=_DAYS),
            last=self._now,
            channels=tuple(channels[:_MOST]),
            left_out=max(0, len(channels) - _MOST),
            decisions=sum(count for _, _, count, _ in counts),
            up=sum(count for _, state, count, _ in counts if state in ("escalated", "awaiting")),
            questions=questions,
        )
