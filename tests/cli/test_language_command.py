"""`flipsync language probe`: asks a real server, and says what is wrong in words a person can use."""

from __future__ import annotations

import json
from typing import Any

import pytest
from command import Flipsync
from model_server import model_server, refuses, says
from typer.testing import CliRunner

from flipsync.cli import app


def probe(monkeypatch: pytest.MonkeyPatch, address: str, **more: str) -> Any:
    named = {"MODEL": "small-1", "BASE_URL": address, "API_KEY": "sk-hidden", "PRICES": "small-1=1/2", **more}
    for name, value in named.items():
        monkeypatch.setenv(f"FLIPSYNC_LANGUAGE_{name}", value)
    return CliRunner().invoke(app, ["language", "probe", "--json"])


def test_a_model_that_answers_as_asked_is_named_with_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    with model_server(says('{"number": 417}')) as (address, _):
        done = probe(monkeypatch, address)
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert (found["model"], found["tokens"], found["usd"]) == ("small-1", 250, 0.00029)


@pytest.mark.parametrize("prices", ["small-1=1/2", ""])
def test_what_does_not_work_is_an_error_without_the_key(monkeypatch: pytest.MonkeyPatch, prices: str) -> None:
    with model_server(refuses(401)) as (address, _):
        done = probe(monkeypatch, address, PRICES=prices)
    assert done.exit_code != 0
    assert "sk-hidden" not in done.output and "sk-hidden" not in str(done.exception)
    assert ("401" if prices else "price") in str(done.exception)


def test_what_a_business_spent_and_read_is_told_beside_what_it_may(flipsync: Flipsync) -> None:
    done = flipsync("language", "spent")
    assert done.returncode == 0 and "does not read along" in done.stdout, done.stderr
    flipsync("settings", "set", "language.enabled=true", "language.tokens_per_day=5000")
    found = json.loads(flipsync("language", "spent", "--json").stdout)
    assert (found["enabled"], found["tokens"], found["tokens_per_day"], found["calls"]) == (True, 0, 5000, [])
    assert json.loads(flipsync("language", "readings", "--json").stdout) == {"items": []}
    assert "nothing was read" in flipsync("language", "readings").stdout
