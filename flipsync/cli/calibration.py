"""`flipsync agents calibration` and `authority`: how sure agents were and how right, and what they may do by it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from flipsync.cli.console import AsJson, Home, out, print_json
from flipsync.domain.errors import InvalidInput
from flipsync.embedded.instance import home_folder


def calibration(
    agent: Annotated[str | None, typer.Argument(help="of this agent only, with its reliability table")] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="draw reliability diagrams into this .svg or .png file")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="business (default: the newest)")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What agents predicted, how sure they were, what came of it, and what their confidence counts as, by kind."""
    if picture is not None and picture.suffix not in (".svg", ".png"):
        raise InvalidInput(f"{picture} is neither .svg nor .png")
    services = importlib.import_module("flipsync.services.calibration")

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.reader(tenant_id) as session:
            return await services.of_agents(session, tenant_id, agent)

    found = importlib.import_module("flipsync.commands_on_books").in_books(home_folder(home), {}, tenant, work)
    if picture is not None:
        importlib.import_module("flipsync.cli.reliability_picture").write(found.graded, picture)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    if not found.graded and not found.ungraded:
        out.print("nothing was graded yet: the clock of a running system goes through the journal once an hour")
        return
    out.print(_scores(found.graded))
    if found.ungraded:
        told = ", ".join(f"{each.agent} {each.kind} {each.made:,}" for each in found.ungraded)
        out.print(f"[dim]predict nothing that could be checked: {told}[/]")
    for each in found.graded if agent is not None else ():
        _tell_one(each)
    if picture is not None:
        out.print(f"drawn: {picture}")


def _scores(graded: Any) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("agent", "kind", "made", "known", "open", "never", "says", "counts", "right", "Brier", "error", "z"):
        table.add_column(title, justify="left" if title in ("agent", "kind") else "right")
    for each in graded:
        score = each.score
        row = [each.agent, each.kind, f"{each.made:,}", f"{each.known:,}", f"{each.waiting:,}", f"{each.never:,}"]
        if score is None:
            table.add_row(*row, *["–"] * 6)
            continue
        says = f"always {score.stated:.2f}" if score.constant else f"{score.stated:.2f}"
        z = "–" if score.z is None else f"{score.z:+.1f}"
        error = f"{_range(score.calibration_error)} ({score.calibration_error_by_chance:.2f} by chance)"
        table.add_row(*row, says, _counts(each), _range(score.came_true), f"{score.brier:.3f}", error, z)
    return table


def _counts(each: Any) -> str:
    """What the mean confidence counts as, over the decisions that were looked at."""
    bins = each.score.bins
    return f"{sum(one.counts_as * one.count for one in bins) / sum(one.count for one in bins):.2f}"


def _tell_one(each: Any) -> None:
    out.print(f"\n[bold]{each.kind}[/]: {each.predicts}; known after {each.checked_after_hours:g} h")
    for reason in each.never_because:
        out.print(f"  never known, {reason.count:,} times: {reason.why}")
    if (fitted := each.recalibration) is not None:
        told = f"log-odds × {fitted.slope:.2f} {fitted.shift:+.2f}, by {fitted.decisions:,} decisions"
        held = "what it lowers is held against limits so" if fitted.in_force else "shown only: it holds nothing back"
        out.print(f"  confidence counts as {told} ({fitted.fitted_at:%Y-%m-%d %H:%M}); {held}")
    if (score := each.score) is None:
        return
    parts = f"reliability {score.reliability:.4f} − resolution {score.resolution:.4f}"
    parts += f" + uncertainty {score.uncertainty:.4f} + within bins {score.within_bins:.4f}"
    out.print(f"  Brier {score.brier:.4f} = {parts}; log score {score.log_score:.3f}")
    table = Table(box=None, pad_edge=False)
    for title in ("  says", "counts", "right", "of"):
        table.add_column(title, justify="right")
    for step in score.bins:
        table.add_row(f"{step.stated:.2f}", f"{step.counts_as:.2f}", _range(step.came_true), f"{step.count:,}")
    out.print(table)


def _range(figure: Any) -> str:
    return f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"


def authority(
    follow: Annotated[
        bool | None, typer.Option("--on/--off", help="whether agents that prove too sure decide less alone")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="business (default: the newest)")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What outcomes have changed of agents' authority, and why. Never above what an agent declares."""
    services = importlib.import_module("flipsync.services.standing_desk")

    async def work(store: Any, tenant_id: UUID) -> Any:
        if follow is not None:
            async with store.unit(tenant_id) as unit:
                return await services.switch(unit, on=follow)
        async with store.reader(tenant_id) as session:
            return await services.look(session, tenant_id)

    found = importlib.import_module("flipsync.commands_on_books").in_books(home_folder(home), {}, tenant, work)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    out.print("agents that prove too sure decide less alone" if found.move_authority else "authority does not move")
    for each in found.standings:
        told = f"[bold]{each.agent}[/], {each.kind}: {each.level} since {each.since:%Y-%m-%d %H:%M}"
        out.print(told + (f", its confidence counts {each.trusted:.0%}" if each.trusted < 1 else ""))
        out.print(f"  {escape(each.reason)}")
    if not found.standings:
        out.print("every agent has the authority it declares")
