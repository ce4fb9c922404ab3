"""A grocer's weeks, drawn: what the tests know the truth of."""

from __future__ import annotations

import numpy as np

from flipsync.learning.grocer import FIRST_WEEK, LAST_WEEK, Panel

WEEKS = LAST_WEEK - FIRST_WEEK + 1


def drawn(goods: int = 60, seed: int = 1, *, noise: float = 8.0, elasticity: tuple[float, float] = (2.0, 0.8)) -> Panel:
    """Goods whose prices drop now and then, whatever demand does, with buyers as P14 has them."""
    rng = np.random.default_rng(seed)
    usual = rng.uniform(150, 900, goods)[:, None]
    cut = rng.choice([1.0, 1.0, 1.0, 0.9, 0.75], (goods, WEEKS))
    e = np.clip(rng.normal(*elasticity, goods), 0.2, None)[:, None]
    traffic = rng.poisson(300, (goods, WEEKS)).astype(np.float64)
    mean = traffic / 300 * rng.uniform(4, 40, goods)[:, None] * cut**-e * rng.gamma(noise, 1 / noise, (goods, WEEKS))
    units = rng.poisson(mean).astype(np.float64)
    return Panel(np.arange(goods), units, usual * cut, traffic, np.zeros(goods, dtype=np.int64))
