"""What cash that is bound in orders brings by supplier, so that it can be divided among them. Pure; arrays as in
services.buying.

The owner limits what goods still to come may cost together. Whatever is ordered binds its cost for the lead time, so
the same money buys again T / lead times within T weeks: cash is scarce by what it costs and by how long it is away. A
step of a supplier is more of its goods over the coming weeks; it brings the margin of the units that would be asked for
and not there without them (normal loss function), less a share of a year's holding for those that would be left, and
binds cost * lead / T on average (J. D. C. Little, "A proof for the queuing formula L = λW", 1961).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flipsync.intelligence.sharing import Step
from flipsync.services.buying import Array, Goods, Terms, ahead, expected_short

#: weeks that a division looks ahead; up to so much of what is asked for in them, in such steps
WEEKS = 8.0
_COVERS = (0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5)
#: steps of one supplier
MOST_STEPS = 16
CASH = "cash"


def cash_steps(goods: Goods, terms: Terms, suppliers: int) -> list[list[Step]]:
    """By supplier: what more cash brings, in minor units over WEEKS, and how much of it is bound on average."""
    lead = np.maximum(goods.lead_days / 7, 1 / 7)
    mean, variance = ahead(goods, replace(terms, review_days=7 * WEEKS))
    mean, spread = np.where(goods.weekly > 0, mean, 0.0), np.sqrt(variance)
    keeping = goods.cost * terms.holding * WEEKS / (365 / 7)
    bought, worth = np.zeros(len(mean)), _worth(goods, mean, spread, keeping, np.zeros(len(mean)))
    values: list[Array] = []
    bound: list[Array] = []
    for cover in _COVERS:
        units = np.maximum(mean * cover - goods.position, bought)
        then = _worth(goods, mean, spread, keeping, units)
        values.append(then - worth)
        bound.append((units - bought) * goods.cost * lead / WEEKS)
        bought, worth = units, then
    value, cash = np.concatenate(values), np.concatenate(bound)
    owner = np.tile(goods.supplier, len(_COVERS))
    return [_steps(value[owner == at], cash[owner == at]) for at in range(suppliers)]


def _worth(goods: Goods, mean: Array, spread: Array, keeping: Array, units: Array) -> Array:
    there = goods.position + units
    short = expected_short(there, mean, spread)
    left = np.maximum(there - (mean - short), 0.0)
    return np.asarray(-goods.margin * short - keeping * left)


def _steps(value: Array, cash: Array) -> list[Step]:
    """The best first, what is alike together; as intelligence.sharing.best_first, for a hundred thousand at once."""
    kept = (value > 0) & (cash > 0)
    value, cash = value[kept], cash[kept]
    order = np.argsort(-value / cash, kind="stable")
    parts = np.array_split(order, min(MOST_STEPS, len(order))) if len(order) else []
    return [Step(1.0, float(value[part].sum()), {CASH: float(cash[part].sum())}) for part in parts]
