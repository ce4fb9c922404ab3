"""A wrapper stands in for whom it wraps: one of the two decides, no hop is added, and a model is waited for outside."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from model_server import hangs_up, model_server, refuses, says
from shop import ROUTING, Shop, dollars
from test_graph import agent, faults

from agents import ROSTER
from agents.executive.ai_executive import AIExecutiveAgent
from flipsync.domain.commands import EndorseDecision
from flipsync.domain.decisions import Decision
from flipsync.domain.errors import Retryable
from flipsync.domain.events import DecisionEscalated
from flipsync.domain.ids import new_id
from flipsync.intelligence.language import Claim, Price, ScriptedModel, Step
from flipsync.runtime.agent import Context
from flipsync.runtime.asking import Asker, asker
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.replaying import replay
from flipsync.runtime.runner import AgentRunner
from flipsync.services.counsel import Counsel
from flipsync.services.desk import Services
from flipsync.services.settings_changes import set_settings
from flipsync.store.unit_of_work import Subscription

GRAPH = Graph(ROSTER)
FREE = Price(Decimal(0), Decimal(0))


class Office:
    """Decisions of the market agent that go up, and whoever is asked to judge them."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.path = DecisionPath(GRAPH, Gate(shop.firewall))

    async def goes_up(self, stake: int, agent: str = "market") -> UUID:
        """Something of the agent's that is above its authority; what it would let go ahead is not there any more."""
        async with self.shop.unit() as unit:
            event_id = unit.emit(
                DecisionEscalated(decision_id=new_id(), from_agent="pricing", to_agent="nobody", reason="r")
            )
            await unit.flush()
            services = Services(unit.session, self.shop.tenant_id, unit.now)
            context = Context(self.shop.tenant_id, unit.now, services, event_id, event_id)
            decision: Decision[Any] = Decision.propose(
                EndorseDecision(decision_id=new_id()), why="worth it", confidence=0.9, stake=dollars(stake)
            )
            spec = GRAPH.agents[agent].spec
            spec = replace(spec, authority=replace(spec.authority, max_stake=dollars(100)))
            return await self.path.record(unit, context, spec, decision)

    async def run(self, agent: str, model: Any = "") -> int:
        runner = AgentRunner(GRAPH.agents[agent](), self.shop.store, self.path, model=model)
        await runner.begin()
        return await runner.step()

    async def decided(self) -> list[tuple[str, str, str]]:
        found = await self.shop.rows("SELECT agent, state, source FROM agent_decision ORDER BY id")
        return [(row.agent, row.state, row.source) for row in found]


@pytest.fixture
async def office(shop: Shop) -> Office:
    assert shop.store.routing is ROUTING
    async with shop.unit() as unit:
        await set_settings(unit, {"language.enabled": True})
    return Office(shop)


@pytest.mark.parametrize(
    ("stake", "decides", "waits"), [(60_000, "ai_executive", "executive"), (30_000, "executive", "ai_executive")]
)
async def test_exactly_one_of_the_two_decides_at_once(office: Office, stake: int, decides: str, waits: str) -> None:
    await office.goes_up(stake)
    assert await office.run(waits) == 0
    assert await office.run(decides) == 1
    assert await office.run(waits) == 0, "nothing is handed on"
    assert [each[0] for each in await office.decided()] == ["market", decides]


async def test_a_wrappers_own_decision_goes_up_to_whom_it_wraps(office: Office) -> None:
    await office.goes_up(90_000, agent="ai_executive")
    assert await office.run("ai_executive") == 0
    assert await office.run("executive") == 1


def said(text: str) -> Step:
    return Step("ai_executive", Counsel(narrative=[Claim(text=text, cites=[])]))


async def test_a_model_is_asked_with_no_transaction_open_and_the_decision_replays_without_it(office: Office) -> None:
    await office.goes_up(60_000)

    class Watching(ScriptedModel):
        async def ask(self, question: Any) -> Any:
            idle = await office.shop.rows(
                "SELECT count(*) AS n FROM pg_stat_activity"
                " WHERE state LIKE 'idle in transaction%' AND datname = current_database()"
            )
            assert idle[0].n == 0
            return await super().ask(question)

    before = office.shop.store.clock.now()
    with Watching(said("Rivals may follow.")) as model:
        assert await office.run("ai_executive", Asker(office.shop.store, model, FREE)) == 1
    assert (await office.decided())[-1][::2] == ("ai_executive", "model")
    found = await replay(office.shop.store, office.shop.tenant_id, GRAPH.agents, since=before, agent="ai_executive")
    assert (found.decisions, found.identical) == (1, 1), found.differences


@pytest.mark.parametrize(
    ("answering", "source"),
    [
        (
            says('{"narrative": [{"text": "Rivals may follow.", "cites": []}], "against": [], "alternatives": []}'),
            "model",
        ),
        (refuses(429, retry_after="60"), "rules"),
        (hangs_up, "rules"),
        (says("Certainly!"), "rules"),
    ],
    ids=["answers", "too many", "cut off", "prose"],
)
async def test_over_a_real_connection_it_decides_whatever_comes_back(
    office: Office, answering: Any, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.goes_up(60_000)
    with model_server(answering) as (address, server):
        for name, value in {"MODEL": "small-1", "BASE_URL": address, "API_KEY": "k", "PRICES": "small-1=1/2"}.items():
            monkeypatch.setenv(f"FLIPSYNC_LANGUAGE_{name}", value)
        found = asker(office.shop.store)
        assert not isinstance(found, str)
        assert await office.run("ai_executive", found) == 1
        await found.model.aclose()
    assert len(server.asked) == 1
    assert (await office.decided())[-1] == ("ai_executive", "applied", source)


async def test_a_process_that_dies_with_the_answer_in_hand_does_not_pay_for_it_again(office: Office) -> None:
    await office.goes_up(60_000)

    class Dying(AgentRunner):
        async def _write(self, tenant_id: UUID, decided: Any) -> None:
            raise OSError("killed")

    with ScriptedModel(said("Rivals may follow.")) as model:
        asker = Asker(office.shop.store, model, FREE)
        runner = Dying(AIExecutiveAgent(), office.shop.store, office.path, model=asker)
        await runner.begin()
        with pytest.raises(OSError, match="killed"):
            await runner.step()
        assert [each[0] for each in await office.decided()] == ["market"]
        assert await office.run("ai_executive", asker) == 1
        assert await office.run("ai_executive", asker) == 0
    assert [each[::2] for each in await office.decided()] == [("market", "rules"), ("ai_executive", "model")]


async def test_a_model_that_is_down_holds_nothing_up(office: Office) -> None:
    for _ in range(3):
        await office.goes_up(60_000)
    with ScriptedModel(*(Step("ai_executive", Retryable("down")) for _ in range(3))) as model:
        assert await office.run("ai_executive", Asker(office.shop.store, model, FREE)) == 3
    assert [each[::2] for each in await office.decided()][3:] == [("ai_executive", "rules")] * 3


async def test_what_a_model_breaks_in_its_runner_breaks_one_task_and_not_the_runner(office: Office) -> None:
    await office.goes_up(60_000)
    strayed = ScriptedModel()  # asked without a script: an error of the program, not of the provider
    assert await office.run("ai_executive", Asker(office.shop.store, strayed, FREE)) == 1
    assert [each[0] for each in await office.decided()] == ["market"]
    waiting = await office.shop.rows(
        "SELECT state, error FROM agent_task WHERE tenant_id = :tenant AND agent = 'ai_executive'"
    )
    assert [row.state for row in waiting] == ["pending"] and "OutOfScript" in waiting[0].error


def test_wrappers_that_do_not_fit_are_faults_at_boot() -> None:
    def wrapper(name: str, reports_to: str, wraps: str) -> Any:
        found = agent(name, reports_to)
        found.spec = replace(found.spec, wraps=wraps)
        return found

    message = faults(
        wrapper("a", "market", "executive"), wrapper("b", "executive", "executive"), agent("c", "ai_executive")
    )
    for fault in (
        "a wraps executive and does not report to it",
        "b wraps executive and may not propose all that it proposes",
        "c reports to ai_executive, which only stands in for executive",
        "b and ai_executive both wrap executive",
    ):
        assert fault in message


def test_the_picture_shows_who_stands_in_for_whom() -> None:
    assert "ai_executive -->|stands in for| executive" in GRAPH.mermaid()


def test_who_is_wrapped_by_nobody_is_routed_as_before() -> None:
    plain = [each for table in GRAPH.routing().values() for each in table if not each.takes and not each.leaves]
    assert all(each == Subscription(each.agent, each.vendors) for each in plain)
