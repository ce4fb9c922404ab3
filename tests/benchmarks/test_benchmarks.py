"""Every benchmark runs at a tiny size, measures its limit or peer beside itself, and leaves its JSON behind."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from quick import run

from benchmarks.endurance import failures
from benchmarks.intervals import slope
from benchmarks.listener import noop_listener
from benchmarks.load import hammer, http_request, pace
from benchmarks.measuring import Report, percentile, quantiles, spread
from benchmarks.processes import processor_time, proportional_memory, spent, tree


def _endured(**changes: Any) -> dict[str, Any]:
    steady = {"mean": 0.0, "low": -0.1, "high": 0.1}
    result = {"problems": [], "undecided": [], "asked_per_second": 12.0, "facts_per_second": 12.0, "seconds": 600.0}
    return result | {"open": {"a_second": steady}, "books_agree": True} | changes


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, ""),
        ({"facts_per_second": 11.0}, "were to come"),
        ({"open": {"a_second": {"mean": 0.5, "low": 0.3, "high": 0.7}}}, "open work grows"),
        ({"open": {"a_second": {"mean": 0.5, "low": -0.3, "high": 1.3}}}, ""),
        ({"undecided": ["3 times pricing on CostChanged, failed"]}, "never decided: 3 times pricing"),
        ({"books_agree": False}, "books differ"),
        ({"books_agree": False, "problems": ["order 7 of woo was never taken in"]}, "order 7 of woo"),
    ],
)
def test_endurance_names_what_was_not_kept(changes: dict[str, Any], named: str) -> None:
    found = failures(_endured(**changes))
    assert bool(found) == bool(named) and all(named in each for each in found)


def test_a_slope_is_told_with_an_honest_interval() -> None:
    """Of 300 straight lines with drawn errors that hang together, the true slope lies in nine of ten intervals."""
    rng, inside = Random(5), 0
    for _ in range(300):
        error, points = 0.0, []
        for x in range(40):
            error = 0.5 * error + rng.gauss(0, 1)
            points.append((float(x), 0.3 * x + error))
        found = slope(points)
        inside += found["low"] <= 0.3 <= found["high"]
    assert inside > 0.85 * 300
    assert slope([(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)])["mean"] == pytest.approx(2.0)
    with pytest.raises(ValueError, match="three points"):
        slope([(0.0, 1.0), (1.0, 3.0)])


def test_percentiles_are_nearest_rank() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.99) == 7
    assert quantiles(values)["p95"] == 95
    assert spread([3.0, 1.0, 2.0]) == {"median": 2, "min": 1, "max": 3, "n": 3}
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_the_report_warns_about_a_busy_machine(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("benchmarks.measuring.OUT", tmp_path)
    report = Report("sample")
    report.machine.load_before = (99.0, 1.0, 1.0)
    report.row("thing", "1 s", "0.5×")
    path = report.finish(as_json=False)
    assert "WARNING" in capsys.readouterr().out
    assert json.loads(path.read_text(encoding="utf-8"))["machine"]["busy"] is True


async def test_the_generator_counts_what_the_server_heard() -> None:
    async with noop_listener() as (url, heard):
        request = http_request("POST", url, {"X-Some": "thing"}, b'{"a": 1}')
        done = await hammer(url, lambda: request, width=3, count=50)
        done.require(200)
        assert len(done.latencies) == heard.count == 50
        paced = await pace(url, lambda: request, rate=100, seconds=0.2)
        assert heard.count == 70
        assert 0.15 < paced.seconds < 2
        await asyncio.wait_for(heard.reached(70), 1)


async def test_another_status_than_expected_is_an_error() -> None:
    async with noop_listener() as (url, _):
        request = http_request("GET", url)
        done = await hammer(url, lambda: request, width=1, count=1)
        with pytest.raises(RuntimeError, match="unexpected"):
            done.require(201)


def test_processor_time_of_children_is_counted() -> None:
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        before = processor_time(tree())
        time.sleep(0.6)
        used = spent(before, processor_time(tree()))
        assert burner.pid in tree()
        assert sum(used.values()) > 0.05
    finally:
        burner.kill()
        burner.wait()


@pytest.mark.skipif(not os.access("/proc/self/smaps_rollup", os.R_OK), reason="the kernel tells no proportional memory")
def test_proportional_memory_is_in_megabytes() -> None:
    found = proportional_memory({os.getpid()})
    assert 5 < sum(sum(each) for each in found.values()) < 5000


@pytest.mark.slow
def test_a_stock_push_is_held_against_the_least_its_limits_allow() -> None:
    result = run("stock_push")
    assert set(result["channels"]) == {"amazon", "ebay", "shopify", "woocommerce"}
    for told in result["channels"].values():
        least = told["minimum"]["tokens"]
        assert least <= told["again"]["tokens"][told["bucket"]] <= told["first"]["tokens"][told["bucket"]]
        assert max(told["one_by_one"]["tokens"].values()) > 2 * least
        assert told["again"]["seconds"] > 0


@pytest.mark.slow
def test_last_units_are_timed_on_the_three_channels_that_did_not_sell_them() -> None:
    result = run("urgent_stock")
    for phase in ("quiet", "backlog"):
        told = result[phase]
        assert told["updates"] == 3 * result["orders"]
        assert set(told["pushed_by_vendor"]) == {"amazon", "ebay", "shopify"}
        for quantile in ("p50", "p99"):
            assert 0 < told["decided"][quantile] <= told["dispatched"][quantile] <= told["pushed"][quantile]


@pytest.mark.slow
def test_sync_state_is_measured_on_disk_and_in_memory() -> None:
    result = run("sync_state")
    disk = result["disk"]
    assert disk["listings"] == 2000
    assert disk["state_bytes_per_listing"] > disk["least_bytes_per_listing"] > 0
    assert all(each["rows"] > 0 and each["indexes"] > 0 for each in disk["bytes"].values())
    memory = result["memory"]["bytes_per_listing"]
    assert memory["ebay"] > memory["amazon"] > memory["woocommerce"] == 0


@pytest.mark.slow
def test_decisions_are_replayed_after_the_world_has_changed() -> None:
    result = run("replay")
    assert result["replayed"] == result["without_notes"] == result["decisions"] / 2
    assert result["identical"]["hits"] == result["replayed"] and result["replayed_per_second"] > 0
    tried = result["dry_run"]
    assert tried["decisions"] == result["replayed"] and tried["per_second"] > 0
    assert 0 < tried["changed"] < tried["decisions"], "prices moved by less, stock did not"
    assert tried["cannot"] == {"what it read is not kept (any more)": result["without_notes"]}
    assert 0 < result["bytes"]["p50"] <= result["bytes"]["most"] < 8_000
    assert set(result["ms_per_decision"]) == {"pricing", "amazon", "inventory"}


@pytest.mark.slow
def test_a_catalogue_is_repriced_alike_over_arrays_one_by_one_and_with_pandas() -> None:
    result = run("repricing")
    assert set(result["differ"].values()) == {0} and len(result["differ"]) == 4
    assert 0 < result["denied"] + result["moves"] < result["listings"] == 20_000
    assert result["one_by_one"]["seconds_for_all"] > result["pandas"]["seconds_for_all"] > result["seconds"]["one core"]
    assert result["agent"]["moves"] > 0 and result["peak_gb"] > 0


def test_agents_beat_what_is_simpler() -> None:
    report = run("agents")
    result = report["competitor"]
    for kind in ("price-war", "hijack"):
        ours, baseline = result[f"{kind} ours"], result[f"{kind} baseline"]
        assert ours["recall"]["share"] >= baseline["recall"]["share"]
        assert ours["precision"]["share"] > baseline["precision"]["share"]
    for kind in ("now and then", "seasonal"):
        told = report["demand"][kind]
        assert told["agent"] <= min(told[name] for name in ("zero", "seasonal naive", "IMAPA"))
        assert 0.7 < told["inside"] < 0.95
    ads = report["advertising"]
    assert ads["all known"]["profit"] > ads["agent"]["profit"] > ads["no ads"]["profit"] > ads["fixed 10 %"]["profit"]
    trend = report["trend"]
    bought = report["auto_inventory"]
    for name in ("fixed reorder point", "up to the last 28 days"):
        assert bought["agent"]["profit"] > bought[name]["profit"]
    assert trend["ours"]["f1"] > max(trend[rule]["f1"] for rule in ("week over week", "crossing means"))
    for world in ("costs around our weights", "costs without regard to them"):
        mended = report["listing"][world]
        assert mended["ours"]["precision"] > mended["checklist"]["precision"]
        assert mended["ours over checklist"]["low"] > 0 and mended["gain for a minute over oldest first"]["low"] > 0
    listed = report["auto_listing"]
    assert listed["right"]["agent"]["low"] > listed["right"]["baseline"]["high"]
    assert listed["gain priced"]["mean"] > 0 and listed["hours_to_live"]["p90"] < 48
    for name in ("equal split", "last month's", "no split"):
        assert report["resource"][f"over {name}"]["mean"] > 0
    for name in ("equal shares", "shares by revenue"):
        assert report["resource cash"][f"over {name}"]["mean"] > 0
    for world in ("accounts alike", "accounts unlike"):  # a quick run is too short to tell who is better
        assert report["resource ads"][world].keys() >= {"agent", "over equal shares", "over shares by revenue"}
    told = report["recalibration"]
    for agent in ("too sure", "too high by a fifth", "always 80 %, right 60 %"):
        assert told[agent]["Brier over stated"]["high"] < 0 and told[agent]["error over stated"]["high"] < 0
    assert told["calibrated"]["Brier over stated"]["mean"] < 0.002
    pricing = report["pricing"]
    for world in ("the sandbox's market", "nobody else sells", "list prices a third off"):
        assert len(pricing[world]["profit"]["agent"]) == 2 and pricing[world]["tally"]["price changed"] > 0
        for name in (each for each in pricing[world] if each.startswith("over ")):  # too short to tell who is better
            assert pricing[world][name]["low"] <= pricing[world][name]["mean"] <= pricing[world][name]["high"]
    fleet = report["fleet"]
    for name in ("rules", "rules with ads at 5 %"):
        assert fleet[f"over {name}"]["low"] <= fleet[f"over {name}"]["mean"] <= fleet[f"over {name}"]["high"]
    for agent in ("pricing", "auto_inventory", "advertising"):
        assert fleet["tally"][f"{agent}: went ahead"] > 0, f"{agent} had its part"
    strategy = report["strategy"]
    assert strategy["brier"]["agent"] < strategy["brier"]["base rate"] and strategy["off"] < 0.2


@pytest.mark.slow
def test_the_served_forecast_is_measured_against_its_baselines() -> None:
    result = run("served_forecast")
    assert result["seeds"] == 3
    for name in ("on zero", "on seasonal naive", "on IMAPA", "by censoring"):
        assert result[name]["low"] <= result[name]["mean"] <= result[name]["high"]
    assert 0 < result["coverage"]["mean"] < 1


@pytest.mark.slow
def test_the_dashboard_is_timed_and_its_figures_are_those_of_the_books() -> None:
    result = run("dashboard")
    assert result["check"] == result["check"] | {"differences": 0, "sums_of_everything_differ": False}
    assert result["check"]["recounted_orders"] >= 100
    assert result["count"]["orders"] == result["orders"] == 1_500
    assert result["milliseconds"]["dashboard"]["p95"] > 0 and result["heaviest"] in result["milliseconds"]


@pytest.mark.slow
def test_the_price_rule_meets_itself_and_does_not_go_towards_monopoly() -> None:
    found = run("self_play")
    assert all(len(values) == 2 for values in found["price"].values())
    assert max(way for values in found["way to monopoly"].values() for way in values) <= 0.1
    assert min(price for values in found["price"].values() for price in values) > 1.0, "never below cost"


@pytest.mark.slow
def test_what_is_said_of_single_goods_stands_beside_an_optimum_nothing_exceeds() -> None:
    found = run("price_services")
    for task in ("best offers", "bundles", "being first"):
        for name, values in found[task].items():
            assert len(values) == 2 and max(values) <= 1 + 1e-6, f"{task}, {name}: more than the optimum"
    assert min(found["best offers"]["service"]) > max(found["best offers"]["any bid above cost"])
    assert np.mean(found["bundles"]["service"]) > np.mean(found["bundles"]["no discount"])
    assert min(found["being first"]["service"]) == pytest.approx(1.0, abs=1e-3)
    scarce = ("one left", "three left", "eight left, unsold for 90 days")
    for task in scarce:  # of two seeds no more can be said: twenty are in the README
        assert all(0.2 < share < 1.3 for share in found[task]["service"]), f"{task}: {found[task]}"
