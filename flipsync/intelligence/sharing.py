"""Scarce resources divided among channels by a linear programme on marginal values; its duals are their prices.

Each channel offers steps: so many uses of a kind, each worth so much and costing so much of every resource. Values fall
from step to step, so the best division takes the best steps first and the relaxation is exact but for one step a
resource. HiGHS by scipy; dual values: Dantzig, "Linear Programming and Extensions", Princeton 1963, chapter 12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """`count` uses within the period, each worth `value` and taking `uses` of each resource by name."""

    count: float
    value: float
    uses: Mapping[str, float]


@dataclass(frozen=True)
class Division:
    """Who takes how much of each resource, what it is worth in all, and what one more unit of each would bring.

    `at_limit` is by channel: what one more unit of the channel's own limits would bring.
    """

    taken: dict[str, dict[str, float]]
    value: float
    prices: dict[str, float]
    at_limit: dict[str, dict[str, float]] = field(default_factory=dict)


def divide(
    channels: Mapping[str, Sequence[Step]],
    totals: Mapping[str, float],
    limits: Mapping[str, Mapping[str, float]] | None = None,
) -> Division:
    """The division worth most. `limits` are channels' own, of resources that no other channel can use.

    Steps that are worth nothing are left out. Raises ValueError for a negative total, limit, count or use.
    """
    limits = limits or {}
    numbers = [*totals.values(), *(each for of in limits.values() for each in of.values())]
    numbers += [n for steps in channels.values() for each in steps for n in (each.count, *each.uses.values())]
    if any(each < 0 for each in numbers):
        raise ValueError("totals, limits, counts and uses are at least 0")
    steps = [(name, each) for name, of in channels.items() for each in of if each.value > 0 and each.count > 0]
    rows: list[tuple[str | None, str, float]] = [(None, name, total) for name, total in totals.items()]
    rows += [(channel, name, most) for channel, of in limits.items() for name, most in of.items()]
    if not steps or not rows:
        value = sum(each.value * each.count for _, each in steps)
        return Division(_taken(channels, steps, [each.count for _, each in steps]), value, dict.fromkeys(totals, 0.0))
    import numpy as np
    from scipy.optimize import linprog

    matrix = np.array(
        [
            [each.uses.get(name, 0.0) if channel in (None, of) else 0.0 for of, each in steps]
            for channel, name, _ in rows
        ]
    )
    bounds = np.array([most for _, _, most in rows], dtype=np.float64)
    scale = np.maximum(bounds, 1.0)  # minor units and calls differ by orders of magnitude
    found = linprog(
        [-each.value for _, each in steps],
        A_ub=matrix / scale[:, None],
        b_ub=bounds / scale,
        bounds=[(0.0, each.count) for _, each in steps],
        method="highs",
    )
    if found.x is None:
        raise ValueError(f"no division was found: {found.message}")
    duals = [max(0.0, -float(each)) / float(by) for each, by in zip(found.ineqlin.marginals, scale, strict=True)]
    prices = {name: price for (channel, name, _), price in zip(rows, duals, strict=True) if channel is None}
    own: dict[str, dict[str, float]] = {}
    for (channel, name, _), price in zip(rows, duals, strict=True):
        if channel is not None:
            own.setdefault(channel, {})[name] = price
    return Division(_taken(channels, steps, list(map(float, found.x))), -float(found.fun), prices, own)


def _taken(
    channels: Mapping[str, Sequence[Step]], steps: Sequence[tuple[str, Step]], amounts: Sequence[float]
) -> dict[str, dict[str, float]]:
    taken: dict[str, dict[str, float]] = {name: {} for name in channels}
    for (name, each), amount in zip(steps, amounts, strict=True):
        for resource, use in each.uses.items():
            taken[name][resource] = taken[name].get(resource, 0.0) + use * amount
    return taken


def best_first(steps: Sequence[Step], resource: str, most: int) -> list[Step]:
    """Steps that use one resource, those first that are worth most for it; what is alike together, `most` at most."""
    kept = [each for each in steps if each.count > 0 and each.value > 0 and each.uses.get(resource, 0.0) > 0]
    kept.sort(key=lambda each: -each.value / each.uses[resource])
    size, rest = divmod(len(kept), most)
    found, at = [], 0
    for place in range(min(most, len(kept))):
        part = kept[at : at + size + (place < rest)]
        at += len(part)
        value = sum(each.value * each.count for each in part)
        found.append(Step(1.0, value, {resource: sum(each.uses[resource] * each.count for each in part)}))
    return found


def shares(taken: Mapping[str, float], least_bps: int) -> dict[str, int]:
    """What each took as basis points of all, none below `least_bps`; they add up to 10,000. Empty for nobody."""
    if not taken:
        return {}
    least = min(least_bps, 10_000 // len(taken))
    whole = sum(taken.values())
    free = 10_000 - least * len(taken)
    exact = {name: least + free * (each / whole if whole else 1 / len(taken)) for name, each in taken.items()}
    told = {name: int(each) for name, each in exact.items()}
    left = 10_000 - sum(told.values())
    for name in sorted(exact, key=lambda each: (told[each] - exact[each], each))[:left]:
        told[name] += 1
    return told
