"""Beside every agent is its page, as it is declared now, and nobody else has one."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents import ROSTER
from flipsync.domain.errors import NotFound
from flipsync.runtime.agent_page import page, place
from flipsync.runtime.graph import Graph

FOLDER = Path(__file__).parents[2] / "agents"
GRAPH = Graph(ROSTER)


@pytest.mark.parametrize("name", sorted(GRAPH.agents))
def test_the_page_says_what_the_agent_is_declared_to_do(name: str) -> None:
    written = (FOLDER / place(GRAPH, name)).read_text(encoding="utf-8")
    assert written == page(GRAPH, name), "run: flipsync agents pages agents"
    for kind in GRAPH.agents[name].handles | GRAPH.agents[name].proposes:
        assert f"- `{kind.__name__}`: " in written and f"- `{kind.__name__}`: \n" not in written


def test_nobody_else_has_a_page() -> None:
    pages = {path for path in FOLDER.rglob("*.md") if not path.name.endswith(".prompt.md")}
    assert pages == {FOLDER / place(GRAPH, name) for name in GRAPH.agents}


def test_an_unknown_agent_is_answered_with_those_there_are() -> None:
    with pytest.raises(NotFound) as raised:
        page(GRAPH, "astrologer")
    assert "pricing" in raised.value.hint
