"""`flipsync replay` and `flipsync undo`: decisions of the journal made again, and taken back."""

from __future__ import annotations

import importlib
import re
import sys
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from flipsync.cli.console import AsJson, Home, counting, out, print_json
from flipsync.domain.errors import InvalidInput
from flipsync.embedded.instance import home_folder

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SHOWN = 20


def span(words: str) -> timedelta:
    """30m, 1h, 2d as a length of time. Raises InvalidInput."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", words.strip())
    if found is None:
        raise InvalidInput(f"{words!r} is no length of time", hint="say for example 30m, 12h or 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def replay(
    since: Annotated[str, typer.Option(help="how far back: 30m, 1h, 7d")] = "1h",
    agent: Annotated[str | None, typer.Option(help="only of this agent")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many decisions, oldest first")] = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make decisions again from what they read, and compare to the byte. Exit code 1 when one comes out otherwise."""
    graph = importlib.import_module("flipsync.runtime.graph")
    known = graph.Graph(importlib.import_module("flipsync.runtime.assembly").load_roster("agents:ROSTER")).agents
    if agent is not None and agent not in known:
        raise InvalidInput(f"nobody is called {agent!r}", hint="`flipsync agents list` names them")
    with counting("replaying", as_json=as_json) as progress:
        found = importlib.import_module("flipsync.commands_on_books").replay(
            home_folder(home), known, since=span(since), agent=agent, limit=limit, tenant=tenant, progress=progress
        )
    if as_json:
        print_json(found.as_dict())
    else:
        _tell(found)
    sys.exit(0 if found.ok else 1)


def _tell(found: Any) -> None:
    out.print(f"{found.decisions} decisions: {found.identical} came out alike, {found.different} otherwise")
    others = {
        f"of another version of their agent, {found.other_version_identical} alike": found.other_version,
        "read more than is kept": found.too_large,
        "whose reads are not kept (any more)": found.not_kept,
        "of agents that are gone": found.gone,
    }
    for words, count in others.items():
        if count:
            out.print(f"  {count} {words}")
    for each in found.differences[:_SHOWN]:
        told = f"{each.agent} {each.decision_id}, {each.part}: {each.then!r} then, {each.now!r} now"
        out.print(f"  [red]differs[/] {escape(told)}")
    if len(found.differences) > _SHOWN:
        out.print(f"  … and {len(found.differences) - _SHOWN} more; --json lists all")


_COLOURS = {
    "undone": "green",
    "asked": "green",
    "undoable": "green",
    "refused": "red",
    "moved-on": "yellow",
    "impossible": "yellow",
}


def undo(
    kind: Annotated[str | None, typer.Argument(help="decision or effect")] = None,
    subject: Annotated[str | None, typer.Argument(help="its id")] = None,
    last: Annotated[str | None, typer.Option(help="instead: all that was decided so lately, e.g. 30m")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would happen, change nothing")] = False,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Take back what agents did, as far as that can be, and once; the rest is listed with the reason."""
    if (last is None) == (kind is None):
        raise InvalidInput("say what to take back", hint="decision ID, effect ID, or --last 30m")
    row_id = None
    if kind is not None:
        if kind not in ("decision", "effect"):
            raise InvalidInput(f"{kind!r} cannot be taken back", hint="decision or effect, and its id")
        try:
            row_id = UUID(subject or "")
        except ValueError:
            raise InvalidInput(f"{subject!r} is no id", hint="`flipsync why` shows them") from None
    graph = importlib.import_module("flipsync.runtime.graph")
    routing = graph.Graph(importlib.import_module("flipsync.runtime.assembly").load_roster("agents:ROSTER")).routing()
    report = importlib.import_module("flipsync.commands_on_books").undo(
        home_folder(home), routing, kind, row_id, span(last) if last else None, dry_run=dry_run, tenant=tenant
    )
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    for part in report.parts:
        told = f"{part.command} of {part.subject_kind} {part.subject_id}: {part.why}"
        out.print(f"[{_COLOURS.get(part.outcome, 'dim')}]{part.outcome}[/] {escape(told)}")
    counts = {outcome: report.count(outcome) for outcome in (*_COLOURS, "already-undone")}
    out.print(", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count) or "nothing to take back")


def add_to(app: typer.Typer) -> None:
    app.command()(replay)
    app.command()(undo)
