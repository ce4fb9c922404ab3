"""The command line as people use it: on books of their own and on managed servers, with good input and with bad."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Flipsync, found_business

from agents import ROSTER
from flipsync.domain.ids import new_id


@pytest.mark.slow
def test_books_that_nobody_runs_are_opened_for_the_moment(tmp_path_factory: pytest.TempPathFactory) -> None:
    """On embedded servers, started and stopped by each command."""
    folder = tmp_path_factory.mktemp("alone")
    assert found_business(folder, {}) == "owner@flipsync.local"
    flipsync = Flipsync(folder, {}, warm=False)
    file = folder / "goods.csv"
    file.write_text("sku,title,price,cost,quantity\nA-1,Lamp,25.00,9.00,3\n", encoding="utf-8")
    assert json.loads(flipsync("import", str(file), "--json").stdout)["variants_created"] == 1
    assert "3 units on hand" in flipsync("why", "a-1").stdout
    states = {check["name"]: check["status"] for check in json.loads(flipsync("doctor", "--json").stdout)["checks"]}
    assert states["postgres"] == states["redis"] == "not-running"


def test_importing_twice_updates_instead_of_doubling(flipsync: Flipsync, tmp_path: Path) -> None:
    file = tmp_path / "goods.csv"
    file.write_text("sku,title,price,cost,quantity\nA-1,Lamp,25.00,9.00,3\nA-2,Chair,,20.00,1\n", encoding="utf-8")
    dry = json.loads(flipsync("import", str(file), "--dry-run", "--json").stdout)
    assert (dry["dry_run"], dry["variants_created"]) == (True, 1)
    first = json.loads(flipsync("import", str(file), "--json").stdout)
    assert first["variants_created"] == 1
    problem = first["report"]["problems"][0]
    assert (problem["line"], problem["severity"]) == (3, "rejected")
    second = json.loads(flipsync("import", str(file), "--json").stdout)
    assert (second["variants_created"], second["variants_unchanged"]) == (0, 1)
    told = flipsync("why", "a-1")
    assert told.returncode == 0
    assert "Lamp" in told.stdout and "3 units on hand" in told.stdout
    assert json.loads(flipsync("why", "A-1", "--json").stdout)["subject"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("import", "/no/such/file.csv"), "there is no file"),
        (("why", "nothing-like-this"), "nothing is called"),
        (("user", "add", "x@example.com", "--role", "king"), "is not a role"),
        (("why", "A-1", "--tenant", "not-an-id"), "is not the id of a business"),
        (("train", "shop-prices"), "there is no problem 'shop-prices' to train on"),
        (("models", "show", "0123456789ab"), "there is no policy 0123456789ab"),
        (("models", "rollback", "shop-price"), "the rule as shipped decides already"),
        (("agents", "restart"), "name agents, or give --all"),
        (("agents", "drain", "nobody"), "no agent nobody"),
        (("agents", "resume", "pricing"), "no FlipSync runs"),
    ],
)
def test_bad_input_ends_in_one_line_and_a_hint(flipsync: Flipsync, words: tuple[str, ...], said: str) -> None:
    done = flipsync(*words)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_a_broken_file_changes_nothing(flipsync: Flipsync, tmp_path: Path) -> None:
    file = tmp_path / "broken.csv"
    file.write_bytes(b"\x00\xff\xfe garbage \x01")
    done = flipsync("import", str(file))
    assert done.returncode == 1
    assert "error:" in done.stderr and "Traceback" not in done.stderr


def test_users_are_added_once_and_their_password_is_shown_once(flipsync: Flipsync) -> None:
    first = json.loads(flipsync("user", "add", "clerk@example.com", "--role", "clerk", "--json").stdout)
    assert len(first["password"]) >= 16
    again = flipsync("user", "add", "clerk@example.com", "--role", "clerk")
    assert again.returncode == 1 and "error:" in again.stderr


def test_the_agents_and_their_graph_are_told(flipsync: Flipsync) -> None:
    told = json.loads(flipsync("agents", "list", "--json").stdout)
    assert len(told["agents"]) == len(ROSTER)
    assert sum(agent["reports_to"] is None for agent in told["agents"]) == 1
    assert flipsync("agents", "graph", "--mermaid").stdout.startswith("flowchart TD")
    assert "executive" in flipsync("agents", "graph").stdout


def test_doctor_knows_what_does_not_run(tmp_path: Path) -> None:
    told = json.loads(Flipsync(tmp_path, {})("doctor", "--json").stdout)
    states = {check["name"]: check["status"] for check in told["checks"]}
    assert states["postgres"] == "not-running" and states["python"] == "ok"


def test_the_owner_says_what_matters_in_plain_words(flipsync: Flipsync) -> None:
    told = flipsync("goals", "set", "--horizon", "cash now", "--risk", "careful")
    assert told.returncode == 0 and "cash now, careful" in told.stdout
    shown = json.loads(flipsync("goals", "show", "--json").stdout)
    assert shown["goals"] == {"horizon": "cash now", "risk": "careful", "questions": "balanced"}
    wrong = flipsync("goals", "set", "--risk", "reckless")
    assert wrong.returncode == 1 and "'careful', 'balanced' or 'bold'" in wrong.stderr
    assert "no goal is given" in flipsync("goals", "set").stderr


def test_listings_say_how_good_they_are(flipsync: Flipsync) -> None:
    assert json.loads(flipsync("listings", "quality", "--json").stdout) == {"items": []}
    assert "nothing is for sale under that SKU" in flipsync("listings", "quality", "NO-SUCH-SKU").stdout


def test_a_price_of_goods_that_are_not_there_is_an_error(flipsync: Flipsync) -> None:
    for asked in (("explain", "NO-SUCH-SKU"), ("offer", "NO-SUCH-SKU", "12.50")):
        told = flipsync("pricing", *asked)
        assert told.returncode == 1 and "no variant has the SKU NO-SUCH-SKU" in told.stderr


def test_a_forecast_says_what_it_rests_on(flipsync: Flipsync) -> None:
    told = json.loads(flipsync("forecast", "--json").stdout)
    assert {"method", "why", "coverage", "items"} <= told.keys()
    stranger = flipsync("forecast", "NO-SUCH-SKU")
    assert stranger.returncode == 1 and "not for sale" in stranger.stderr


def test_set_aside_work_is_listed_and_released_by_id(flipsync: Flipsync) -> None:
    assert json.loads(flipsync("agents", "set-aside", "--json").stdout) == {"items": [], "orders": []}
    assert "not the id of what is set aside" in flipsync("agents", "release", "x").stderr
    nothing = flipsync("agents", "release", "0192a4c1-0000-7000-8000-000000000000")
    assert nothing.returncode == 1 and "set aside" in nothing.stderr


def test_calibration_is_told_before_there_is_any(flipsync: Flipsync) -> None:
    assert {"graded", "ungraded"} == json.loads(flipsync("agents", "calibration", "--json").stdout).keys()
    assert "neither .svg nor .png" in flipsync("agents", "calibration", "--picture", "x.gif").stderr
    assert flipsync("agents", "calibration", "pricing").returncode == 0


def test_authority_is_switched_off_and_on(flipsync: Flipsync) -> None:
    assert json.loads(flipsync("agents", "authority", "--json").stdout) == {"move_authority": True, "standings": []}
    assert json.loads(flipsync("agents", "authority", "--off", "--json").stdout)["move_authority"] is False
    assert "decide less alone" in flipsync("agents", "authority", "--on").stdout
    listed = json.loads(flipsync("agents", "list", "--json").stdout)["agents"]
    assert listed and not any("standings" in each for each in listed), "told of a running system only: none is started"


def test_an_agents_limit_is_set_told_and_taken_back(flipsync: Flipsync) -> None:
    given = flipsync("agents", "limit", "pricing", "--max-stake-minor", "5000", "--json")
    told = json.loads(given.stdout)
    assert told["limits"] == {"auto_above": None, "max_stake_minor": 5000} and told["declares"]["auto_above"] > 0
    assert "has to ask with more at stake than 5000: the owner's limit" in flipsync("agents", "limit", "pricing").stdout
    assert "no agent" in flipsync("agents", "limit", "nobody", "--auto-above", "1").stderr
    assert "no agent is called" in flipsync("settings", "set", "agents.nobody.auto_above=1").stderr
    assert "0.9" in flipsync("settings", "set", "agents.pricing.auto_above=0.9").stdout
    free = json.loads(flipsync("agents", "limit", "pricing", "--none", "--json").stdout)
    assert free["limits"] == {"auto_above": None, "max_stake_minor": None}


def test_answering_says_what_it_needs(flipsync: Flipsync) -> None:
    assert json.loads(flipsync("approvals", "list", "--json").stdout) == {"items": []}
    assert "the answer is missing" in flipsync("approvals", "answer", "--every").stderr
    assert "say which questions" in flipsync("approvals", "answer", "--yes").stderr
    assert "not the id of a question" in flipsync("approvals", "answer", "x", "--yes").stderr
    stranger = str(new_id())
    told = json.loads(flipsync("approvals", "answer", stranger, "--no", "--json").stdout)
    assert told == {"answered": [], "left": [{"id": stranger, "reason": f"no approval {stranger}"}]}


def test_a_person_says_how_they_want_to_be_told(flipsync: Flipsync) -> None:
    assert json.loads(flipsync("notifications", "list", "--json").stdout) == {
        "items": [],
        "next_cursor": None,
        "unread": 0,
    }
    done = flipsync("notifications", "preferences", "quiet_from=22:00", "quiet_until=07:00", "by_severity.info=email")
    assert done.returncode == 0, done.stderr
    shown = json.loads(flipsync("notifications", "preferences", "--json").stdout)
    assert (shown["choices"]["quiet_from"], shown["choices"]["by_severity"]["info"]) == ("22:00:00", ["email"])
    assert flipsync("notifications", "preferences", "quiet_from=", "quiet_until=").returncode == 0
    wrong = flipsync("notifications", "preferences", "time_zone=Mars")
    assert (wrong.returncode, "time_zone" in wrong.stderr, len(wrong.stderr.splitlines()) <= 3) == (1, True, True)
    assert "nowhere to test" in flipsync("notifications", "test").stdout
    assert "nowhere but in the app" in flipsync("notifications", "destinations").stdout
    unknown = flipsync("notifications", "test", str(new_id()))
    assert unknown.returncode == 1 and "no destination" in unknown.stderr
    assert flipsync("notifications", "list", "--user", "nobody@nowhere.example").returncode == 1
