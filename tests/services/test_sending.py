"""How much of the shelf goes to a warehouse: unit by unit to where it is likelier asked for, checked by sums."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import nbinom
from test_buying import goods

from flipsync.services.buying import Goods, Terms, ahead, plan
from flipsync.services.sending import send

_FREE = Terms(line_cost=0.0)


def lost(place: Goods, stock: float) -> float:
    """Expected units asked for and not there, by summing the distribution."""
    mean, variance = (float(each[0]) for each in ahead(place, _FREE))
    chance = mean / variance
    asked = np.arange(0, 2000)
    return float((np.maximum(asked - stock, 0) * nbinom.pmf(asked, mean * chance / (1 - chance), chance)).sum())


def test_plenty_fills_the_warehouse_to_its_level() -> None:
    there, here = goods(weekly=6.0), goods(weekly=2.0, position=500.0)
    told = send(there, here, np.array([500.0]), Terms())
    assert told.units[0] == plan(there, Terms(), least_order=np.zeros(1)).units[0] > 0 and not told.scarce[0]
    assert told.short_with[0] < told.short_without[0] / 4


def test_nothing_is_sent_where_nothing_is_asked_for_or_enough_lies_or_the_shelf_is_empty() -> None:
    there = goods(4, weekly=[0.0, 4.0, 4.0, 4.0], position=[0.0, 60.0, 0.0, 0.0], margin=[1000.0, 1000.0, 1000.0, -1.0])
    told = send(there, goods(4, weekly=0.0), np.array([50.0, 50.0, -3.0, 50.0]), Terms())
    assert told.units.tolist() == [0, 0, 0, 0]


@settings(max_examples=80, deadline=None)
@given(
    spare=st.integers(0, 40),
    there=st.floats(0.2, 12.0),
    here=st.floats(0.0, 12.0),
    lies=st.integers(0, 20),
)
def test_no_other_number_of_units_loses_fewer_sales(spare: int, there: float, here: float, lies: int) -> None:
    place = goods(weekly=there, spread=(2 * there) ** 0.5, position=float(lies))
    shelf = goods(weekly=here, spread=(2 * here) ** 0.5 + 0.01, position=float(spare))
    most = min(spare, int(plan(place, _FREE, least_order=np.zeros(1)).units[0]))
    sent = int(send(place, shelf, np.array([float(spare)]), _FREE).units[0])
    losses: dict[int, float] = {x: lost(place, lies + x) + lost(shelf, spare - x) for x in range(most + 1)}
    assert sent in losses
    assert losses[sent] <= min(losses.values()) + 1e-6


def test_many_at_once_are_as_each_alone() -> None:
    rng = np.random.default_rng(5)
    columns: dict[str, Any] = {"weekly": rng.uniform(0.0, 9.0, 300), "position": rng.integers(0, 30, 300).astype(float)}
    there, here = goods(300, **columns), goods(300, weekly=rng.uniform(0.0, 9.0, 300))
    spare = rng.integers(0, 60, 300).astype(float)
    together = send(there, here, spare, Terms()).units
    for at in range(0, 300, 17):
        one = [Goods(**{name: values[at : at + 1] for name, values in vars(each).items()}) for each in (there, here)]
        assert send(one[0], one[1], spare[at : at + 1], Terms()).units[0] == together[at]
