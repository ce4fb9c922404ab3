"""The replays of famous failures hold, and notice when the rule against each is taken away."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import firewall as benchmark
from benchmarks import price_failures
from benchmarks.intervals import wilson
from flipsync.services.pricing import Firewall, FirewallLimits


@pytest.mark.parametrize("name", list(price_failures.FAILURES))
def test_no_famous_failure_gets_through(name: str) -> None:
    told = price_failures.replay(name, runs=3, seed=1)
    assert told.proposals > 200
    assert (told.escapes, told.worst) == (0, "")


def test_without_the_rule_against_circles_the_price_goes_round(monkeypatch: pytest.MonkeyPatch) -> None:
    loose = FirewallLimits(max_cycle_bps=1_000_000)
    monkeypatch.setattr(price_failures, "Firewall", lambda key, clock: Firewall(key, clock=clock, limits=loose))
    assert price_failures.replay("$12-$17 oscillation", runs=3, seed=1).escapes > 0


def _obey(seller: price_failures.Seller, wanted: int, **more: Any) -> str:
    """A shop without a firewall."""
    seller.price = max(1, wanted)
    return "allow"


@pytest.mark.parametrize("name", ["1p hour", "blank minimum", "$23.7M book spiral"])
def test_without_a_firewall_the_failures_happen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_failures.Seller, "ask", _obey)
    assert price_failures.replay(name, runs=2, seed=1).escapes > 0


def test_careful_sellers_are_not_in_the_way() -> None:
    told = benchmark.legitimate_moves(60, seed=3)
    assert told["pass"]["share"] > 0.99, told["held_by"]


def test_intervals_are_wilsons() -> None:
    """Figures of Newcombe (1998), table I: 81 of 263, and 0 of 20."""
    some, none = wilson(81, 263), wilson(0, 20)
    assert (round(some["low"], 4), round(some["high"], 4)) == (0.2553, 0.3662)
    assert (round(none["low"], 4), round(none["high"], 4)) == (0.0, 0.1611)


@pytest.mark.slow
def test_the_benchmark_runs_and_finds_no_escape(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--quick", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fuzz"]["escapes"] == 0 and told["fuzz"]["rules_exercised"] == told["fuzz"]["rules"]
    assert told["seed"] and told["legitimate"]["pass"]["low"] > 0.98
