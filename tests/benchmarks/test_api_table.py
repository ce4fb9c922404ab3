"""What the API's table calls met and missed; the benchmarks it runs are tried one by one elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import api

GOOD: dict[str, dict[str, Any]] = {
    "load": {
        "devices": 1000,
        "per_second": 190.0,
        "all": {"p50": 0.02, "p95": 0.15, "p99": 0.3},
        "by_request": {"sign in": {"p95": 0.4}},
        "answers": {"success": 57_000},
        "replicas": 1,
        "kills": 0,
        "sent_again": 0,
        "failed_for_good": {},
        "memory_mb": [{"postgres": 300.0}, {"postgres": 350.0}, {"postgres": 352.0}],
    },
    "read": {"share_of_noop": {"order_serve": {"median": 0.3}}, "per_second": {"order_serve": {"median": 2_000.0}}},
    "dashboard": {"milliseconds": {"dashboard": {"p95": 9.0}}, "orders": 1_000_000, "aim_ms": 200, "met": True},
    "live": {
        "connections": {"open": 5_000, "wanted": 5_000},
        "fan_out": {"missing": 0, "milliseconds": {"p99": 80.0}},
        "killed": {"missing": 0},
    },
}
GOOD["killed"] = GOOD["load"] | {"replicas": 2, "kills": 3, "sent_again": 200, "answers": {"success": 9, "0 orders": 2}}
GOOD["soak"] = GOOD["load"]
TELLS: dict[str, Callable[[Any], list[api.Line]]] = {
    "load": api._load,
    "read": api._read,
    "dashboard": api._dashboard,
    "live": api._live,
    "killed": api._killed,
    "soak": api._soak,
}


def _missed(lines: list[api.Line]) -> int:
    return sum(line.met is False for line in lines)


@pytest.mark.parametrize("part", TELLS)
def test_what_holds_is_met(part: str) -> None:
    lines = TELLS[part](GOOD[part])
    assert _missed(lines) == 0 and any(line.met for line in lines)


@pytest.mark.parametrize(
    ("part", "worse"),
    [
        ("load", {"all": {"p50": 0.02, "p95": 0.21, "p99": 0.3}}),
        ("load", {"answers": {"success": 1, "500 products": 1}}),
        ("read", {"share_of_noop": {"order_serve": {"median": 0.2}}}),
        ("dashboard", {"met": False}),
        ("live", {"connections": {"open": 4_999, "wanted": 5_000}}),
        ("live", {"killed": {"missing": 1}}),
        ("killed", {"failed_for_good": {"orders": 1}}),
        ("killed", {"kills": 0}),
        ("soak", {"memory_mb": [{"postgres": 300.0}, {"postgres": 300.0}, {"postgres": 330.0}]}),
    ],
)
def test_what_does_not_is_missed(part: str, worse: dict[str, Any]) -> None:
    assert _missed(TELLS[part](GOOD[part] | worse)) == 1


def test_a_benchmark_without_a_result_fails_with_what_it_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(api, "OUT", tmp_path)
    with pytest.raises(RuntimeError, match="No module named"):
        api._run("none_of_that_name")
