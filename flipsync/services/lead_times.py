"""How long a supplier takes: what the owner expects, and what orders have shown since.

Both are weighed as a normal mean with unknown variance (the conjugate update, Gelman et al., "Bayesian Data Analysis",
3.3): the owner's word counts as `PRIOR_ORDERS` orders. Days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import erf, sqrt
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import Supplier
from flipsync.store.repositories import suppliers as rows
from flipsync.store.repositories.suppliers import Shown

PRIOR_ORDERS = 3
#: nine in ten orders are there within so many spreads above the mean
_NINE_IN_TEN = 1.2816


@dataclass(frozen=True)
class LeadTime:
    """`orders` have shown it; with none it is the owner's word."""

    mean: float
    spread: float
    orders: int

    @property
    def latest(self) -> float:
        """By when nine in ten orders are there."""
        return self.mean + _NINE_IN_TEN * self.spread

    def chance_within(self, days: float) -> float:
        """That an order is there after so many days."""
        if self.spread <= 0:
            return float(days >= self.mean)
        return 0.5 * (1 + erf((days - self.mean) / self.spread / sqrt(2)))


def lead_time(mean_days: float, spread_days: float, shown: Shown | None) -> LeadTime:
    """From the owner's word and what was shown."""
    if shown is None or not shown.orders:
        return LeadTime(mean_days, spread_days, 0)
    n, k = shown.orders, PRIOR_ORDERS
    mean = (k * mean_days + n * shown.mean) / (k + n)
    apart = k * n / (k + n) * (shown.mean - mean_days) ** 2
    variance = (k * spread_days**2 + n * shown.variance + apart) / (k + n)
    return LeadTime(mean, sqrt(variance), n)


async def of_suppliers(session: AsyncSession, now: datetime, suppliers: Sequence[Supplier]) -> dict[UUID, LeadTime]:
    """By supplier, as it is known now."""
    shown = await rows.lead_days(session, now, [each.id for each in suppliers])
    return {each.id: lead_time(each.lead_mean_days, each.lead_spread_days, shown.get(each.id)) for each in suppliers}


def due(at: datetime, days: float) -> datetime:
    """So many days later, to the minute."""
    return (at + timedelta(days=days)).replace(second=0, microsecond=0)
