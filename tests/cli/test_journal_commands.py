"""`flipsync replay` and `flipsync undo` as processes, on decisions agents made."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from command import Flipsync
from sqlalchemy import create_engine, text

from agents import ROSTER
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.runner import AgentRunner
from flipsync.services.pricing.firewall import Firewall
from flipsync.store.bootstrap import WORKER_ROLE, role_url
from flipsync.store.database import Database, driver_url
from flipsync.store.unit_of_work import Store

CUPS = "sku,title,price,quantity\nCUP-1,Cup,12.50,4\nCUP-2,Saucer,6.00,3\n"


async def let_agents_decide(worker_url: str) -> None:
    graph = Graph(ROSTER)
    store = Store(Database(worker_url, pool_size=2), graph.routing())
    path = DecisionPath(graph, Gate(Firewall(b"f" * 32, clock=store.clock)))
    for name in ("market", "inventory", "pricing"):
        runner = AgentRunner(graph.agents[name](), store, path)
        await runner.begin()
        while await runner.step():
            continue
    await store.aclose()


@pytest.fixture(scope="module")
def decided(
    flipsync: Flipsync, roles: tuple[str, str], books: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The owner's address of the database in which agents have decided on an import."""
    file: Path = tmp_path_factory.mktemp("goods") / "cups.csv"
    file.write_text(CUPS)
    assert flipsync("import", str(file)).returncode == 0
    owner = driver_url(books["DATABASE_URL"])
    worker = role_url(owner, WORKER_ROLE, roles[1])
    asyncio.run(let_agents_decide(worker.render_as_string(hide_password=False)))
    return owner.render_as_string(hide_password=False)


def test_replay_says_alike_and_fails_on_a_difference(flipsync: Flipsync, decided: str) -> None:
    done = flipsync("replay", "--since", "1h", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] and told["identical"] == told["decisions"] > 0
    assert json.loads(flipsync("replay", "--agent", "market", "--limit", "1", "--json").stdout)["decisions"] == 1
    engine = create_engine(decided)
    with engine.begin() as connection:
        connection.execute(text("UPDATE agent_decision SET rationale = 'forged' WHERE agent = 'market'"))
    engine.dispose()
    done = flipsync("replay", "--agent", "market")
    assert done.returncode == 1 and "differs" in done.stdout and "forged" in done.stdout
    assert flipsync("replay", "--agent", "inventory").returncode == 0


def test_settings_are_tried_on_what_was_decided(flipsync: Flipsync, decided: str) -> None:
    done = flipsync("settings", "dry-run", "auto_list=false", "goals.risk=careful", "--since", "1h", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["change"] == {"auto_list": False, "goals.risk": "careful"} and told["complete"]
    assert told["decisions"] == told["unchanged"] + told["changed"] + sum(told["cannot"].values()) > 0
    words = flipsync("goals", "dry-run", "--horizon", "cash now", "--since", "1h")
    assert words.returncode == 0 and words.stdout.rstrip().endswith("Nothing was changed."), words.stderr
    assert f"{told['decisions']} decisions since" in words.stdout


def test_undo_says_what_it_cannot_do(flipsync: Flipsync, decided: str) -> None:
    done = flipsync("undo", "--last", "1h", "--dry-run", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["dry_run"] and all(part["why"] for part in told["parts"])
    assert "undone" not in {part["outcome"] for part in told["parts"]}
    assert flipsync("undo", "--last", "1h").returncode == 0


def test_a_setting_is_changed_and_put_back(flipsync: Flipsync, decided: str) -> None:
    done = flipsync("settings", "set", "pricing.min_margin_bps=800", "stock.pooled_reserve=1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pricing.min_margin_bps"] == 800
    (change,) = json.loads(flipsync("undo", "changes", "--json").stdout)
    assert change["before"] == {"pricing.min_margin_bps": 500, "stock.pooled_reserve": 0}
    done = flipsync("undo", "change", change["id"])
    assert done.returncode == 0 and "2 undone" in done.stdout, done.stdout + done.stderr
    assert "pricing.min_margin_bps = 500" in flipsync("settings", "list").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("undo",), "what to take back"),
        (("undo", "decision", "x"), "is no id"),
        (("undo", "order", "x"), "cannot be taken back"),
        (("undo", "decision", "01890000-0000-7000-8000-000000000000"), "no decision"),
        (("undo", "--last", "soon"), "no length of time"),
        (("replay", "--agent", "nobody"), "nobody is called"),
        (("undo", "change", "01890000-0000-7000-8000-000000000000"), "no change"),
        (("settings", "set", "pricing.no=1"), "no setting"),
        (("settings", "dry-run", "stock.modes=pooled"), "cannot be tried on the past"),
        (("settings", "dry-run", "pricing.min_margin_bps"), "is no change"),
        (("settings", "dry-run", "pricing.min_margin_bps=high"), "valid integer"),
        (("goals", "dry-run"), "no goal is given"),
        (("models", "dry-run", "v0"), "no price policy"),
    ],
)
def test_bad_words_end_in_one_line_and_a_hint(flipsync: Flipsync, words: tuple[str, ...], said: str) -> None:
    done = flipsync(*words)
    assert done.returncode == 1 and said in done.stderr
