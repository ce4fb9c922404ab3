"""How a business's work goes over time, from its own journal: decisions with their latency, what waits, effects."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Final

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.services.reading_page import Moment, View
from flipsync.store.repositories import monitoring_reading as rows

#: rows that a look reads at most: of more, the newest
_MOST: Final = 100_000
_LATENCY = "seconds; of half of them it was less"
_HIGH = "seconds; of nineteen in twenty it was less"


class DecisionDay(View):
    """What one agent decided on one day (UTC), and how long after the fact."""

    day: date
    agent: str = Field(examples=["pricing"])
    decisions: int
    held: int = Field(description="decided to do nothing")
    overruled: int
    median_seconds: float = Field(description=_LATENCY, examples=[0.4])
    p95_seconds: float = Field(description=_HIGH, examples=[2.1])


class Backlog(View):
    """Facts that wait for an agent now."""

    agent: str = Field(examples=["pricing"])
    waiting: int
    oldest_at: Moment = Field(description="when the oldest of them came")


class AgentTrends(View):
    days: list[DecisionDay] = Field(description="newest first")
    backlog: list[Backlog]
    complete: bool = Field(description=f"false: there was more than the newest {_MOST:,} that are looked at")


class EffectDay(View):
    """What was asked of one vendor's channels on one day (UTC), by what it was, and what has come of it."""

    day: date
    vendor: str = Field(examples=["ebay"])
    command: str = Field(examples=["ChangePrice"])
    effects: int
    confirmed: int
    rejected: int
    superseded: int = Field(description="not needed any more")
    under_way: int
    attempts: int = Field(description="of all of them together: more than `effects` where some were tried again")
    error_rate: float = Field(ge=0, le=1, description="rejected, as a share of what was carried out or rejected")
    median_seconds: float | None = Field(description=f"until it ended; {_LATENCY}; null while none has", examples=[1.2])
    p95_seconds: float | None = Field(description=_HIGH, examples=[9.0])


class EffectTrends(View):
    days: list[EffectDay] = Field(description="newest first")
    complete: bool = Field(description=f"false: there was more than the newest {_MOST:,} that are looked at")


async def agent_trends(session: AsyncSession, now: datetime, days: int) -> AgentTrends:
    """`now` is wall clock: a decision's id tells when it was made."""
    found = await rows.decisions(session, now - timedelta(days=days), _MOST)
    waiting = await rows.waiting(session, _MOST)
    return AgentTrends(
        days=[DecisionDay.model_validate(row, from_attributes=True) for row in found],
        backlog=[Backlog(agent=row.agent, waiting=row.waiting, oldest_at=row.since) for row in waiting],
        complete=max(sum(row.decisions for row in found), sum(row.waiting for row in waiting)) < _MOST,
    )


async def effect_trends(session: AsyncSession, now: datetime, days: int) -> EffectTrends:
    """`now` is wall clock."""
    found = await rows.effects(session, now - timedelta(days=days), _MOST)
    return EffectTrends(
        days=[EffectDay.model_validate({**row._mapping, "error_rate": _error_rate(row)}) for row in found],
        complete=sum(row.effects for row in found) < _MOST,
    )


def _error_rate(row: Any) -> float:
    ended = row.confirmed + row.rejected
    return round(row.rejected / ended, 4) if ended else 0.0
