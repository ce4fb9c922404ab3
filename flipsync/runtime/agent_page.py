"""The page of one agent, from its declaration: what wakes it, what it may do, and how far by itself.

Written from what the program runs by, so that it cannot say otherwise.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flipsync.domain.errors import NotFound
from flipsync.runtime.agent import Agent
from flipsync.runtime.graph import Graph

#: the gate's default: nobody reads it as a limit
_UNBOUNDED = 100_000


def page(graph: Graph, name: str) -> str:
    """In Markdown. Raises NotFound."""
    agent = graph.agents.get(name)
    if agent is None:
        raise NotFound(f"no agent is called {name!r}", hint=f"there are: {', '.join(sorted(graph.agents))}")
    spec = agent.spec
    boss = spec.reports_to
    below = sorted(other for other, each in graph.agents.items() if each.spec.reports_to == name)
    lines = [f"# {agent.__name__}", "", _told(agent), ""]
    lines += [f"- **Ecosystem:** {spec.ecosystem}"]
    lines += [f"- **Reports to:** {graph.agents[boss].__name__ if boss else 'the owner'}"]
    if spec.wraps is not None:
        lines += [f"- **Stands in for:** {graph.agents[spec.wraps].__name__}. {_first(agent.takes.__doc__)}"]
    if below:
        lines += [f"- **Reporting to it:** {', '.join(graph.agents[each].__name__ for each in below)}"]
    if spec.vendors is not None:
        lines += [f"- **Channels:** {', '.join(sorted(spec.vendors))} only"]
    lines += ["", "## Watches", "", *_each(agent.handles), "", "## May", ""]
    lines += [*_each(agent.proposes)] if agent.proposes else ["Nothing: it looks and tells."]
    lines += ["", "## How far by itself", "", _reach(agent, graph), ""]
    lines += [f"Code: `{agent.__module__.replace('.', '/')}.py`, version {spec.version} of its rules.", ""]
    return "\n".join(lines)


def place(graph: Graph, name: str) -> Path:
    """Where the page belongs: beside the agent's module, from its package on."""
    return Path(*graph.agents[name].__module__.split(".")[1:]).with_suffix(".md")


def _told(agent: type[Agent[Any]]) -> str:
    own = inspect.cleandoc(agent.__doc__ or "")
    of_module = inspect.cleandoc(sys.modules[agent.__module__].__doc__ or "").partition("\n\n")[2]
    return f"{own}\n\n{of_module}".strip()


def _each(kinds: Iterable[type]) -> list[str]:
    """One line each, with the first sentence of what it says of itself."""
    told = []
    for kind in sorted(kinds, key=lambda each: each.__name__):
        told.append(f"- `{kind.__name__}`: {_first(kind.__doc__)}")
    return told


def _first(words: str | None) -> str:
    """The first paragraph in one line."""
    return " ".join(inspect.cleandoc(words or "").partition("\n\n")[0].split())


def _reach(agent: type[Agent[Any]], graph: Graph) -> str:
    spec = agent.spec
    above = f"`{spec.reports_to}`" if spec.reports_to else "the owner"
    words = [
        f"What it is at least {spec.authority.auto_above:.0%} sure of, with at most {spec.authority.max_stake} at stake"
        f" (in whatever currency), it may propose itself; the rest goes up to {above}.",
        f"The owner may say otherwise: `agents.{spec.name}.auto_above`, and `agents.{spec.name}.max_stake_minor` above"
        " which the owner is asked.",
    ]
    if spec.budget.effects_per_hour != _UNBOUNDED:
        words.append(f"It sets at most {spec.budget.effects_per_hour:,} things in motion an hour for one business.")
    words.append("Everything goes through the gate, and what costs money or tells a channel leaves a receipt.")
    return " ".join(words)
