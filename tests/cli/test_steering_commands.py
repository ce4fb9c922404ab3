"""`flipsync plan` and `flipsync directives` as processes."""

from __future__ import annotations

import json

import pytest
from command import Flipsync


def test_a_directive_is_given_shown_explained_and_ended(flipsync: Flipsync) -> None:
    assert "no directive binds anybody" in flipsync("directives", "list").stdout
    given = flipsync(
        "directives",
        "give",
        "clear-stock",
        "--category",
        "lamps",
        "--patience-days",
        "7",
        "--days",
        "3",
        "--reason",
        "[b]the season[/]",
        "--json",
    )
    assert given.returncode == 0, given.stderr
    directive = json.loads(given.stdout)
    assert directive["binds"] == ["pricing", "auto_pricing"] and directive["decision_id"] is None
    listed = flipsync("directives", "list")
    assert "clear stock in lamps" in listed.stdout and "[b]the season[/]" in listed.stdout
    assert "agents were bound for 3 days" in flipsync("why", directive["id"]).stdout
    ended = flipsync("directives", "end", directive["id"], "--reason", "it is over")
    assert ended.returncode == 0 and "over since" in ended.stdout
    again = flipsync("directives", "end", directive["id"], "--reason", "it is over")
    assert again.returncode == 1 and "over already" in again.stderr
    assert json.loads(flipsync("directives", "list", "--json").stdout) == {"directives": []}
    assert len(json.loads(flipsync("directives", "list", "--all", "--json").stdout)["directives"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("clear-stock", "--reason", "x"), "patience_days is for clear-stock"),
        (("hold-prices", "--reason", "x", "--days", "0"), "days"),
        (("hold-prices", "--reason", "x", "--account", "no such"), "no account is called"),
        (("sell-all", "--reason", "x"), "kind"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(flipsync: Flipsync, words: tuple[str, ...], said: str) -> None:
    done = flipsync("directives", "give", *words)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr


def test_a_directive_is_tried_before_it_is_given(flipsync: Flipsync) -> None:
    before = flipsync("directives", "list", "--all", "--json").stdout
    told = flipsync("directives", "dry-run", "clear-stock", "--patience-days", "7", "--category", "lamps", "--json")
    assert told.returncode == 0, told.stderr
    terms = {"kind": "clear-stock", "category": "lamps", "patience_days": 7}
    assert json.loads(told.stdout)["change"] == {"directives.give": [terms]}
    assert flipsync("directives", "list", "--all", "--json").stdout == before
    given = json.loads(flipsync("directives", "give", "hold-prices", "--reason", "a test", "--json").stdout)
    without = flipsync("directives", "dry-run", "--end", given["id"])
    assert without.returncode == 0 and "Nothing was changed." in without.stdout
    for words, said in (
        ((), "no directive is given"),
        (("clear-stock",), "patience_days is for clear-stock"),
        (("hold-prices", "--account", "no such"), "no account is called"),
        (("--end", "018f0000-0000-7000-8000-000000000000"), "no directive 018f"),
    ):
        done = flipsync("directives", "dry-run", *words)
        assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr


def test_without_forecasts_there_is_no_plan_yet(flipsync: Flipsync) -> None:
    assert "no plan yet" in flipsync("plan").stdout
    assert json.loads(flipsync("plan", "--json").stdout) == {"plans": []}


def test_ads_are_off_until_they_are_allowed(flipsync: Flipsync) -> None:
    told = flipsync("advertising")
    assert told.returncode == 0, told.stderr
    assert "mode off, rates up to 10.0 %, no budget a month; nothing spent" in told.stdout
    assert "nothing was advertised yet" in told.stdout
    assert json.loads(flipsync("advertising", "--json").stdout)["ads"] == []
