"""The executive graph: the roster fits together, and each kind of misfit is named at boot."""

from __future__ import annotations

from typing import Any

import pytest

from agents import ROSTER
from flipsync.domain.commands import ChangePrice, PauseAccount, PullRivals
from flipsync.domain.decisions import Decision
from flipsync.domain.errors import InvalidInput
from flipsync.domain.events import CostChanged, DecisionEscalated, OrderReady
from flipsync.runtime.agent import Agent, AgentSpec, Context
from flipsync.runtime.carrying_out import CARRIED_OUT
from flipsync.runtime.graph import RECORDED_ONLY, Graph


def agent(name: str, reports_to: str | None, events: Any = DecisionEscalated) -> type[Agent[Any]]:
    """An agent class that handles `events` and holds."""

    async def decide(self: Agent[Any], event: Any, ctx: Context) -> Decision[PauseAccount]:
        return Decision.hold("no")

    decide.__annotations__ = {"event": events, "ctx": Context, "return": Decision[PauseAccount]}
    spec = AgentSpec(name=name, ecosystem="market", reports_to=reports_to)
    return type(name.title(), (Agent,), {"spec": spec, "decide": decide, "__doc__": "For a test."})


def faults(*agents: type[Agent[Any]]) -> str:
    """What the graph says about the roster with these added."""
    with pytest.raises(InvalidInput) as raised:
        Graph([*ROSTER, *agents])
    return raised.value.message


def test_the_roster_fits_together() -> None:
    graph = Graph(ROSTER)
    assert set(graph.agents) == {cls.spec.name for cls in ROSTER}
    assert graph.superior("pricing") == "market"
    assert graph.superior("market") == "executive"
    assert graph.superior("executive") is None


def test_every_fault_is_named_at_once() -> None:
    message = faults(
        agent("pricing", "market"),
        agent("orphan", "nobody-here"),
        agent("deaf", "auto_pricing"),
        agent("first", "second"),
        agent("second", "first"),
        agent("king", None),
        agent("archivist", "market", OrderReady),
    )
    for fault in (
        "two agents are called 'pricing'",
        "orphan reports to 'nobody-here', who is not here",
        "deaf reports to auto_pricing, who does not handle DecisionEscalated",
        "reporting goes in a circle: first → second → first",
        "exactly one agent reports to nobody; here: executive, king",
        "OrderReady is handled and marked recorded-only",
    ):
        assert fault in message


def test_an_event_that_nobody_handles_is_a_fault() -> None:
    without_pricing = [cls for cls in ROSTER if cls.spec.name != "pricing"]
    with pytest.raises(InvalidInput, match="nobody handles CostChanged"):
        Graph(without_pricing)
    with pytest.raises(InvalidInput, match="nobody handles CostChanged"):
        Graph([])


def test_whatever_is_proposed_to_the_outside_has_somebody_who_carries_it_out() -> None:
    Graph(ROSTER, CARRIED_OUT)
    with pytest.raises(InvalidInput) as raised:
        Graph(ROSTER, CARRIED_OUT - {ChangePrice, PullRivals})
    for proposer, command in (
        ("pricing", "ChangePrice"),
        ("auto_pricing", "ChangePrice"),
        ("base_market", "PullRivals"),
        ("woocommerce", "PullRivals"),
        ("shopify", "PullRivals"),
    ):
        assert f"{proposer} proposes {command}, which no effect worker carries out" in raised.value.message
    assert "PauseAccount" not in raised.value.message, "internal commands stay in the house"


def test_reporting_to_oneself_is_a_circle() -> None:
    assert "reporting goes in a circle: narcissus → narcissus" in faults(agent("narcissus", "narcissus"))


def test_an_agent_must_say_what_it_handles() -> None:
    with pytest.raises(TypeError, match="which events"):
        agent("mute", "market", str)


def test_events_are_routed_to_whom_they_concern() -> None:
    routing = Graph(ROSTER).routing()
    assert [each.agent for each in routing["CostChanged"]] == ["pricing"]
    assert {each.agent for each in routing["DecisionEscalated"]} == {"executive", "ai_executive", "market"}
    by_vendor = {each.agent: each.vendors for each in routing["ListingRequested"]}
    assert by_vendor == {
        "amazon": frozenset({"amazon"}),
        "base_market": frozenset({"custom", "medusa", "python", "vendure"}),
        "ebay": frozenset({"ebay"}),
        "shopify": frozenset({"shopify"}),
        "woocommerce": frozenset({"woocommerce"}),
    }
    assert not RECORDED_ONLY & set(routing)


def test_types_are_read_from_the_declaration_of_decide() -> None:
    quoter = agent("quoter", "market", CostChanged | DecisionEscalated)
    assert quoter.handles == {CostChanged, DecisionEscalated}
    assert quoter.proposes == {PauseAccount}


def test_the_graph_can_be_drawn_and_listed() -> None:
    graph = Graph(ROSTER)
    drawing = graph.mermaid()
    listed = graph.as_dict()["agents"]
    assert drawing.startswith("flowchart TD")
    assert len(listed) == len(ROSTER)
    for row in listed:
        assert f'{row["name"]}["{row["class"]}"]' in drawing
        assert row["reports_to"] is None or f"{row['name']} -->|reports to| {row['reports_to']}" in drawing
        assert row["summary"].endswith(".")
