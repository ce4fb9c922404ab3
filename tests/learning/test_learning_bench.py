"""`flipsync bench`: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flipsync.cli import app
from flipsync.learning.bench import BENCHES, forecast
from flipsync.learning.protocol import Curve, Report, Row


def small(quick: bool, say: object = None) -> Report:
    curve = Curve("A curve", "ours", (1.0, 2.0), (0.5, 1.0))
    rows = [Row("P0", "easy", "ours", 99.5, "%", target=99.0), Row("P0", "hard", "ours", 1.5, "%", target=99.0)]
    return Report("forecast", quick, rows, [curve], 1.25)


def test_every_bench_is_a_module_that_runs() -> None:
    for module in BENCHES.values():
        assert callable(importlib.import_module(module).run)


def test_bench_prints_a_table_or_one_object_and_ends_badly_only_when_strict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(forecast, "run", small)
    table = CliRunner().invoke(app, ["bench", "forecast", "--quick", "--pictures", str(tmp_path / "p")])
    assert table.exit_code == 0
    assert "1 of 2 targets met" in table.stdout and "≥ 99" in table.stdout
    assert [path.name for path in (tmp_path / "p").iterdir()] == ["a-curve.svg"]
    told = CliRunner().invoke(app, ["bench", "forecast", "--json"])
    whole = json.loads(told.stdout)
    assert (whole["targets"], whole["missed"], whole["quick"]) == (2, 1, False)
    assert [row["met"] for row in whole["rows"]] == [True, False]
    assert CliRunner().invoke(app, ["bench", "forecast", "--strict", "--json"]).exit_code == 1
    assert CliRunner().invoke(app, ["bench", "weather"]).exit_code != 0


@pytest.mark.slow
def test_the_forecast_bench_runs_for_real() -> None:
    told = CliRunner().invoke(app, ["bench", "forecast", "--quick", "--json"])
    whole = json.loads(told.stdout)
    ours = [row for row in whole["rows"] if row["method"] == "ours, pooled"]
    assert told.exit_code == 0 and ours and ours[0]["met"] is True
    assert {row["source"] for row in whole["rows"]} == {"re-run here", "published"}
