"""The benchmarks of a whole running system, each at a tiny size."""

from __future__ import annotations

import pytest
from quick import run
from whole_system import WholeSystem

pytestmark = pytest.mark.starts_ray


@pytest.mark.slow
def test_cold_start_compares_start_memory_and_idleness_with_bare_ray() -> None:
    result = run("cold_start")
    for stage in ("api", "agents"):
        assert result["start_seconds"]["first"][stage]["median"] > 0
        assert result["start_seconds"]["bare"][stage]["median"] > 0
    ours, bare = result["memory_mb"]["ours"], result["memory_mb"]["bare"]
    assert {"postgres", "redis-server", "ray::AgentActor"} <= set(ours)
    assert not {"postgres", "redis-server"} & set(bare)
    assert result["processes"]["bare"]["ray::Bare"] == result["actors"]["bare"]
    assert result["idle_ratio"] > 0 and 0 < result["bare_actor_mb"] < result["agent_mb"] * 10


@pytest.mark.slow
@pytest.mark.whole_system(2)
def test_agent_hop_is_timed_by_the_database_and_beside_a_raw_call(whole_system: WholeSystem) -> None:
    result = run("agent_hop", whole_system)
    assert 0 < result["killed"]["began_seconds"]["median"] < result["killed"]["decided_seconds"]["median"] < 60
    for part in ("sequential", "proposed", "in_flight", "proposed_in_flight"):
        assert 0 < result[part]["hop_p50_seconds"]["median"] < 30
        assert result[part]["hop_p50_seconds"]["median"] <= result[part]["hop_p95_seconds"]["median"]
        assert 0 < result[part]["call_p50_seconds"]["median"] < 30


@pytest.mark.slow
@pytest.mark.whole_system(2)
def test_every_order_placed_is_shown_by_the_other_channel(whole_system: WholeSystem) -> None:
    result = run("orders_per_hour", whole_system)
    assert result["steady"]["orders"] == 20
    assert result["burst"]["orders"] == 40
    assert set(result["burst"]["by_channel"]) == {"custom", "woo"}
    for phase in ("steady", "burst"):
        assert 0 < result[phase]["seconds"]["p50"] <= result[phase]["seconds"]["p99"]
        assert result[phase]["processor_ms_per_order"]["agent inventory"] > 0
    assert result["limit"]["orders_placed_and_told_per_second"] > result["burst"]["through_per_second"]


@pytest.mark.slow
@pytest.mark.whole_system(2)
def test_a_steady_trade_is_kept_up_with_and_the_books_agree(whole_system: WholeSystem) -> None:
    result = run("endurance", whole_system)
    assert result["failures"] == [] and result["books_agree"] and result["undecided"] == []
    assert result["facts"] >= 0.99 * 30 * result["asked_per_second"]
    assert result["orders"] > 0 and {"OrderReceived", "StockMoved"} <= set(result["facts_per_second_by_kind"])
    assert 0 < result["decided_seconds"]["p50"] <= result["decided_seconds"]["p95"]
    assert result["memory_mb"]["postgres"]["end"] > 0
    assert 0 <= result["processor_idle_share"] <= 1


@pytest.mark.slow
@pytest.mark.whole_system(2)
def test_api_reads_are_compared_with_a_noop_under_the_same_load(whole_system: WholeSystem) -> None:
    result = run("api_read", whole_system)
    assert result["per_second"]["generator"]["median"] > result["per_second"]["noop_uvicorn"]["median"]
    assert result["share_of_noop"]["order_serve"]["median"] > 0
    used = result["processor_ms_per_request"]["order_serve"]
    assert 0 < used["haproxy"] < used["ray::ServeReplica:api:flipsync-api"]
    assert used["postgres"] > 0


@pytest.mark.slow
@pytest.mark.whole_system(2)
def test_devices_read_write_and_renew_without_an_error(whole_system: WholeSystem) -> None:
    result = run("api_load", whole_system)
    assert set(result["answers"]) == {"success"} and result["failed_for_good"] == {}
    assert {"dashboard", "sign in"} <= set(result["by_request"])
    assert result["memory_mb"][0]["ray::ServeReplica:api:flipsync-api"] > 0
