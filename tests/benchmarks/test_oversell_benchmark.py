"""The oversell benchmark measures what it says: its faults do harm, its market keeps count, its odds have a source."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import oversell, oversell_escrow, oversell_market
from flipsync.learning.bench.picture import draw


def test_escrow_keeps_every_unit_for_one_buyer_and_the_same_faults_harm_who_does_not() -> None:
    kept = oversell_escrow.play(4000, 3, fenced=True)
    assert (kept["oversold"], kept["short"]) == (0, 0) and kept["orders"] >= 4000
    assert all(
        kept["faults"][name] for name in ("write lost", "answer lost", "writer killed", "told twice", "cancelled")
    )
    assert oversell_escrow.play(1000, 3, fenced=False)["oversold"] > 50


def shop() -> oversell_market.Shop:
    delay = oversell_market.Delay(60.0, 0.5, 0.01, 1800.0)
    return oversell_market.Shop(1 / 7200.0, 0.8, (1.0, 0.5), (delay, delay), (delay, delay))


def test_a_market_that_knows_at_once_sells_nothing_twice_and_one_that_does_not_does() -> None:
    stories = oversell_market.stories(shop(), np.random.default_rng(2), 400)
    everything = oversell.buffer(2, 0)
    at_once = [oversell_market.play(each, 2, everything, late=False) for each in stories]
    late = [oversell_market.play(each, 2, everything) for each in stories]
    assert sum(each.oversold for each in at_once) == 0
    assert sum(each.oversold for each in late) > 0
    assert sum(each.kept for each in late) <= sum(each.kept for each in at_once)
    assert all(each.kept <= story.units for each, story in zip(at_once, stories, strict=True))


def test_what_was_learned_from_sales_states_the_odds_of_new_goods() -> None:
    rng = np.random.default_rng(5)
    known = [(shop(), oversell_market.learned(shop(), rng))]
    rows = oversell.reliability(known, rng, 60_000)
    for row in rows:
        if row["seen"]["hits"] >= 200:
            assert row["seen"]["share"] == pytest.approx(row["stated"], rel=0.3)
    assert max(row["seen"]["hits"] for row in rows) >= 200


def test_limits_and_peers_become_a_picture() -> None:
    rng = np.random.default_rng(6)
    rows = oversell.frontier([(shop(), oversell_market.learned(shop(), rng, goods=500, sales=200))], rng, 30)
    strict = next(row for row in rows if row["policy"] == "ours" and row["setting"] == 0.0)
    assert strict["oversold"]["hits"] == 0
    assert draw(oversell.curves(rows)).count("<polyline") == 4
    assert {each["policy"] for each in oversell.beside(rows)} == {"buffer", "last hour", "buffer, last unit shown"}
