"""`dry-run` of settings, goals, models and directives: a change tried on past decisions, and what came of it told."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from flipsync.cli.console import counting, out, print_json
from flipsync.cli.journal import span
from flipsync.domain.clock import utc_now
from flipsync.domain.money import Money
from flipsync.embedded.instance import home_folder

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]
Since = Annotated[str, typer.Option(help="how far back: 12h, 7d, 90d")]
Limit = Annotated[int | None, typer.Option(min=1, help="at most so many decisions, oldest first")]
_SHOWN = 10


def try_on_past(
    change: Mapping[str, Any], *, since: str, limit: int | None, tenant: str | None, home: Path | None, as_json: bool
) -> None:
    """Run it and tell what came of it."""
    graph = importlib.import_module("flipsync.runtime.graph")
    agents = graph.Graph(importlib.import_module("flipsync.runtime.assembly").load_roster("agents:ROSTER")).agents
    checked = importlib.import_module("flipsync.services.dry_run_change").change_of(change, agents)
    running = importlib.import_module("flipsync.runtime.dry_running")
    begin = utc_now() - span(since)
    with counting("trying it on the past", as_json=as_json) as progress:

        async def work(store: Any, tenant_id: UUID) -> Any:
            return await running.dry_run(store, tenant_id, agents, checked, since=begin, limit=limit, progress=progress)

        found = importlib.import_module("flipsync.commands_on_books").in_books(home_folder(home), {}, tenant, work)
    if as_json:
        print_json(found.as_dict())
    else:
        _tell(found)


def _tell(found: Any) -> None:
    for key, what in found.decides_nothing.items():
        out.print(f"[bold]{key}[/] decides nothing: it is {escape(what)}")
    changed = ", ".join(f"{each.changed} by {name}" for name, each in found.by_agent.items() if each.changed)
    out.print(
        f"{found.decisions} decisions since {found.since:%Y-%m-%d %H:%M}: {found.unchanged} as they were, "
        f"{found.changed} otherwise{f' ({changed})' if changed else ''}"
    )
    if found.reworded:
        out.print(f"  {found.reworded} of those as they were with other words or odds")
    for why, count in found.cannot.items():
        out.print(f"  [yellow]{count} cannot be made again[/]: {escape(why)}")
    if not found.complete:
        out.print(f"  [yellow]not all of them[/]: up to {found.looked_to:%Y-%m-%d %H:%M}" if found.looked_to else "")
    for each in found.differences[:_SHOWN]:
        worth = f" [dim]({_money(each.worth, each.currency)} a day, estimated)[/]" if each.worth else ""
        out.print(f"{each.at:%Y-%m-%d %H:%M} {each.agent}{worth}")
        out.print(f"  then: {escape(each.then)}")
        out.print(f"  now:  {escape(each.now)}")
    if len(found.differences) > _SHOWN:
        out.print(f"… {found.changed - _SHOWN} more; --json lists the biggest {len(found.differences)}")
    for each in found.figures:
        if each.then or each.now:
            of = f" on {each.of}" if each.of else ""
            then, now, by = (_amount(value, each.unit) for value in (each.then, each.now, each.difference))
            sign = "+" if each.difference > 0 else ""
            out.print(f"[bold]{each.name}{of}[/]: {then} then, {now} now ({sign}{by})")
            out.print(f"  [dim]{escape(each.means)}. {escape(each.limit)}[/]")
    out.print("Nothing was changed.")


def _amount(value: float, unit: str) -> str:
    return f"{value:.6g}" if unit in ("count", "units") else _money(round(value), unit)


def _money(minor: int, currency: str) -> str:
    return str(Money(amount_minor=minor, currency=currency))
