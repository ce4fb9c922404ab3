"""Adapters to other people's packages: each gives a valid answer, and the classics equal ours. Left out where a package
is not installed: `pip install 'flipsync[peers]'`."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flipsync.cli import app
from flipsync.learning import peers
from flipsync.learning.bench import fulfilment
from flipsync.learning.forecast import intermittent
from flipsync.learning.fulfilment import packing, tours
from flipsync.learning.inventory.lost_sales import LostSales
from flipsync.learning.peers import bandits, deep, forecasts, routing
from flipsync.learning.pricing import buyers_differ, stock_and_demand, unknown_line
from flipsync.learning.protocol import Report


def needs(module: str) -> pytest.MarkDecorator:
    reason = f"{peers.PACKAGES[module]} is not installed: it comes with the peers extra"
    return pytest.mark.skipif(not peers.installed(module), reason=reason)


def test_the_extra_names_every_package_there_is_an_adapter_to() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = {each.split(">=")[0].split("==")[0] for each in project["optional-dependencies"]["peers"]}
    assert set(peers.PACKAGES.values()) <= named


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda name: None)
    assert peers.missing("ortools", "stable_baselines3") == ["ortools", "stable-baselines3"]
    with pytest.raises(KeyError):
        peers.installed("anything")
    monkeypatch.setattr(
        fulfilment, "run", lambda quick, say: Report("fulfilment", quick, left_out=["ortools", "pyvrp"])
    )
    table = CliRunner().invoke(app, ["bench", "fulfilment", "--quick"])
    assert "Rows left out, not installed: ortools, pyvrp (pip install 'flipsync[peers,data]')" in table.stdout


@needs("statsforecast")
@pytest.mark.parametrize("method", ["TSB", "Croston-SBA"])
def test_our_classics_equal_statsforecasts(method: str) -> None:
    history = intermittent.Market.draw(80, 52, 5).sold
    assert intermittent.PEERS[method](history) == pytest.approx(forecasts.forecast(method, history), abs=1e-9)


@needs("statsforecast")
def test_our_imapa_equals_statsforecasts_over_its_range_of_paces() -> None:
    market = intermittent.Market.draw(150, 52, 5)
    past, actual = market.sold[:, :-12], market.sold[:, -12:]
    theirs = forecasts.forecast("IMAPA", past)
    ours = intermittent.imapa(past, np.linspace(0.1, 0.3, 201), to_last_sale=True)
    # the rest are series whose error has two valleys: a search for one minimum may end in the other
    assert (np.abs(ours - theirs) < 2e-3).mean() >= 0.93
    errors = [intermittent.rmsse(each, actual, past).mean() for each in (ours, theirs)]
    assert errors[0] == pytest.approx(errors[1], abs=1e-3)


@needs("mabwiser")
def test_mabwiser_meets_the_customers_the_others_meet() -> None:
    limit = float(stock_and_demand.optimum(stock_and_demand.PAPER, 60, 15))
    sim = stock_and_demand.StockAndDemand(stock_and_demand.PAPER, 60)
    earned = bandits.stock_while_it_lasts(sim, runs=4, customers=30, seed=3)
    assert earned.shape == (4,) and (earned > 0).all() and earned.mean() < 1.2 * limit
    again = bandits.stock_while_it_lasts(sim, runs=4, customers=30, seed=3)
    assert (earned == again).all()
    lines = bandits.unknown_demand(unknown_line.UnknownLine(200), runs=2, customers=9, seed=3)
    assert lines.shape == (2, 200) and (lines >= -1e-12).all() and lines[:, -50:].sum() < lines[:, :50].sum()
    asked = bandits.buyers(buyers_differ.BuyersDiffer(60), runs=2, customers=4, seed=3)
    assert asked.shape == (2, 60) and (asked >= -1e-12).all()


@needs("pyvrp")
def test_pyvrp_walks_through_every_place() -> None:
    d = tours.distances(tours.BERLIN52)
    tour = routing.pyvrp_tour(d, seed=1, cpu_seconds=0.5)
    assert sorted(tour.tolist()) == list(range(52)) and 7542 <= tours.length(tour, d) <= 1.05 * 7542


@needs("ortools")
def test_ortools_walks_through_every_place_and_packs_no_worse_than_it_began() -> None:
    d = tours.distances(tours.BERLIN52)
    tour = routing.ortools_tour(d, cpu_seconds=0.5)
    assert sorted(tour.tolist()) == list(range(52)) and 7542 <= tours.length(tour, d) <= 1.2 * 7542
    sizes = packing.draw(1, 20)
    plain = packing.best_fit(sizes)
    needed = routing.cp_sat_boxes(sizes, plain, work=0.1)
    assert np.ceil(packing.bound(sizes) - 1e-6) <= needed <= len(plain)


@needs("stable_baselines3")
@pytest.mark.slow
def test_deep_learners_give_orders_for_every_state_and_repeat_the_shape() -> None:
    problem = LostSales(4, 1)
    for algorithm in deep.ALGORITHMS:
        early, late = deep.learn_orders(problem, algorithm, seed=1, cpu_seconds=[0.3, 1.0], runs=16)
        for orders in (early, late):
            assert orders.shape == problem.shape
            assert orders.min() >= 0 and orders.max() <= problem.order_cap
