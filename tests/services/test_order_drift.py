"""Whether it is seen that goods earn otherwise than when the last buying policy was trained."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import numpy as np

from flipsync.services.order_outcomes import BEFORE, drifted
from flipsync.store.repositories.policies import GoodsDays

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


def weeks_of(suppliers: int, weeks: int, factor: float, seed: int) -> list[GoodsDays]:
    """Goods that sell some a week each, `factor` times as many from half-time on, and never lack."""
    rng, made = np.random.default_rng(seed), []
    for number in range(suppliers):
        supplier, wanted = UUID(int=rng.integers(1, 2**62).item()), rng.uniform(0.5, 4.0)
        rates_a_day = np.where(np.arange(weeks * 7) < weeks * 7 // 2, wanted, wanted * factor)
        earned = rng.poisson(rates_a_day) * rng.uniform(200, 2_000)
        figures = dict(enumerate(earned.tolist()))
        made.append(GoodsDays(UUID(int=number + 1), supplier, 100, MONDAY - BEFORE, 5, {}, figures))
    return made


def test_drift_of_what_goods_earn_is_seen_and_seldom_where_there_is_none() -> None:
    def seen(factor: float, seed: int) -> bool:
        return drifted(weeks_of(12, 26, factor, seed), MONDAY, 26 * 7, 0.3)

    assert sum(seen(0.5, seed) for seed in range(20)) >= 19
    assert sum(seen(1.8, seed) for seed in range(20)) >= 19
    assert sum(seen(1.0, seed) for seed in range(40)) <= 2
    assert not drifted(weeks_of(12, 5, 0.1, 1), MONDAY, 5 * 7, 0.3), "nobody knows yet what is usual"
    young = [replace(each, first_moved=MONDAY + BEFORE) for each in weeks_of(12, 26, 0.2, 1)]
    assert not drifted(young, MONDAY, 26 * 7, 0.3), "goods that came later"
