"""`flipsync demo`: starts the system, runs the demo with progress, prints the report."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from flipsync.demo.run import CADENCE, Demo, DemoPlan, DemoResult
from flipsync.domain.clock import ScaledClock
from flipsync.runtime.assembly import load_roster
from flipsync.runtime.graph import Graph
from flipsync.security.secrets import SecretBox, parse_keys
from flipsync.services.report import BusinessReport, business_report
from flipsync.store.unit_of_work import Store
from flipsync.system import System

_ROSTER = "agents:ROSTER"
_PHASES = {"start": "start", "import": "import", "list": "list goods", "trade": "trade", "settle": "settle books"}


def run_demo(plan: DemoPlan, home: Path, port: int, clock: ScaledClock, console: Console, as_json: bool) -> int:
    """Run it; returns the exit code: 0 when the books came out even."""
    # what parts have to say must not get between a machine and its object
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        result, report, told = _run_whole(plan, home, port, clock, console)
    if as_json:
        sys.stdout.write(json.dumps(told, default=str) + "\n")
    else:
        show(console, result, report, told, plan)
    lost = told["effects"]["unknown"] or report.failed_tasks
    return 0 if result.reconciliation.clean and not lost else 1


def _run_whole(
    plan: DemoPlan, home: Path, port: int, clock: ScaledClock, console: Console
) -> tuple[DemoResult, BusinessReport, dict[str, Any]]:
    began = time.monotonic()
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<13}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
        console=console,
        transient=False,
        disable=not console.is_terminal,
    ) as progress:
        bars: dict[str, TaskID] = {}
        last: dict[str, float] = {}

        def tell(phase: str, share: float, detail: str) -> None:
            if not console.is_terminal:
                if time.monotonic() - last.get(phase, -99.0) > 10:
                    last[phase] = time.monotonic()
                    console.print(f"{time.monotonic() - began:6.1f}s  {_PHASES[phase]:<13} {share:4.0%}  {detail}")
                return
            if phase not in bars:
                for earlier in bars.values():
                    progress.update(earlier, completed=1.0)
                bars[phase] = progress.add_task(_PHASES[phase], total=1.0, detail="")
            progress.update(bars[phase], completed=share, detail=detail)

        steps = {"postgres": 0.1, "redis": 0.15, "books": 0.2, "sandbox": 0.3, "ray": 0.6, "api": 1.0}
        with System(
            home,
            port=port,
            clock=clock,
            say=lambda part, detail: tell("start", steps.get(part, 0.05), f"{part} {detail}"),
            extra_environment=CADENCE,
        ) as system:
            system.start_books()
            system.start_sandbox(
                *("--mode", "real", "--speed", str(plan.speed), "--seed", str(plan.seed)),
                *("--start", clock.now().isoformat()),
            )
            system.start_runtime()
            started_s = time.monotonic() - began
            result, report = asyncio.run(_run(system, plan, tell))
            tell("settle", 1.0, "done")
    duration = round(time.monotonic() - began, 1)
    told = summary(result, report, duration, len(load_roster(_ROSTER)))
    told |= {"start_s": round(started_s, 1), "phases_s": result.phases}
    return result, report, told


async def _run(system: System, plan: DemoPlan, tell: Any) -> tuple[DemoResult, BusinessReport]:
    assert system.sandbox is not None and system.keys is not None
    store: Store = system.store(Graph(load_roster(system.environment["FLIPSYNC_ROSTER"])).routing())
    box = SecretBox(parse_keys(system.keys.secret))
    try:
        demo = Demo(store, box, system.sandbox, system.api_url, system.clock, tell)
        result = await demo.run(plan)
        async with store.reader(result.tenant_id) as session:
            return result, await business_report(session)
    finally:
        await store.aclose()


def summary(result: DemoResult, report: BusinessReport, duration: float, agents: int) -> dict[str, Any]:
    """The one JSON object of `--json`."""
    checked = result.reconciliation
    told = report.to_json()
    return {
        "orders_placed": checked.orders_placed,
        "orders_ingested": checked.orders_ingested,
        "orders_duplicated": checked.orders_duplicated,
        "oversold_units": checked.oversold_units,
        "stock_mismatches": checked.stock_mismatches,
        "price_floor_breaches": checked.price_floor_breaches,
        "effects": {state: told["effects"]["totals"].get(state, 0) for state in ("confirmed", "rejected", "unknown")},
        "decisions": told["decisions"]["total"],
        "agents": agents,
        "revenue": told["money"]["revenue"],
        "profit": told["money"]["profit"],
        "duration_s": duration,
        "clean": checked.clean,
        "tasks_failed": sum(each.tasks for each in report.failed_tasks),
        "problems": checked.problems,
        "rejected_rows": result.imported.report.rejected,
        "tenant_id": str(result.tenant_id),
        "report": told,
    }


def show(console: Console, result: DemoResult, report: BusinessReport, told: dict[str, Any], plan: DemoPlan) -> None:
    """The report for people."""
    console.print()
    console.print(report.to_text(width=min(console.width, 110)), markup=False)
    checks = Table(box=None, pad_edge=False, show_header=False)
    for name in ("orders_placed", "orders_ingested", "orders_duplicated", "oversold_units", "stock_mismatches"):
        checks.add_row(name.replace("_", " "), str(told[name]))
    checks.add_row("price floor breaches", str(told["price_floor_breaches"]))
    console.print("\nOur books against the channels' own:")
    console.print(checks)
    for problem in result.reconciliation.problems[:20]:
        console.print(f"  • {problem}", markup=False)
    verdict = "[green]even: nothing lost, doubled, oversold or mismatched[/]"
    if not result.reconciliation.clean:
        verdict = "[red]NOT even[/]"
    console.print(f"The books are {verdict} after {plan.days:g} days of market time in {told['duration_s']} s.")
    if plan.cost_ratio and result.imported.report.costs_assumed:
        console.print(
            f"Costs of {result.imported.report.costs_assumed} variants were not in the file and taken as "
            f"{plan.cost_ratio:.0%} of the price (--cost-ratio)."
        )
    command = sys.argv[0] if sys.argv[0].endswith("flipsync") else "flipsync"
    console.print(f"\nKeep it running:  {command} up --sandbox")
    console.print(f"Ask it why:       {command} why SKU-OR-ORDER-NUMBER")
