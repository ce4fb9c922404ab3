"""The `flipsync` command. Errors are one line and a hint; `--debug` shows the trace, `--json` prints one object."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from flipsync.cli import agent_lives, backups, journal, money, reports
from flipsync.cli.agent_pages import pages, show
from flipsync.cli.approvals import approvals_app
from flipsync.cli.audit import audit_app
from flipsync.cli.bench import bench_app
from flipsync.cli.calibration import authority, calibration
from flipsync.cli.channels import channels_app
from flipsync.cli.console import AsJson, Home, agent_graph, err, out, print_json
from flipsync.cli.forecast import forecast
from flipsync.cli.goals import goals_app
from flipsync.cli.interfaces import mcp, openapi
from flipsync.cli.keys import keys_app
from flipsync.cli.language import language_app
from flipsync.cli.listings import listings_app
from flipsync.cli.memory import memory_app
from flipsync.cli.models import models_app, train
from flipsync.cli.notifications import notifications_app
from flipsync.cli.payouts import payouts
from flipsync.cli.people import user_app
from flipsync.cli.pricing import pricing_app
from flipsync.cli.privacy import privacy_app
from flipsync.cli.purchasing import purchasing, suppliers
from flipsync.cli.report_schedules import reports_app
from flipsync.cli.set_aside import release, set_aside
from flipsync.cli.settings import settings_app
from flipsync.cli.sourcing import source_app
from flipsync.cli.steering import advertising, directives_app, plan
from flipsync.cli.transfers import transfers_app
from flipsync.cli.workflows import workflows_app
from flipsync.domain.clock import ScaledClock, utc_now
from flipsync.domain.errors import FlipSyncError, InvalidInput, NotFound
from flipsync.embedded.instance import home_folder

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
agents_app = typer.Typer(no_args_is_help=True, help="The agents and their graph.")
app.add_typer(agents_app, name="agents")
app.add_typer(user_app, name="user")
app.add_typer(channels_app, name="channels")
app.add_typer(bench_app, name="bench")
app.command("backup")(backups.backup)
app.command("restore")(backups.restore)
money.add_to(app)
journal.add_to(app)
reports.add_to(app)
app.add_typer(models_app, name="models")
app.add_typer(language_app, name="language")
app.add_typer(memory_app, name="memory")
app.add_typer(listings_app, name="listings")
app.add_typer(pricing_app, name="pricing")
app.command()(train)
app.command()(forecast)
app.command()(suppliers)
app.command()(purchasing)
app.command()(openapi)
app.command()(mcp)
agents_app.command("list")(agent_lives.agents_list)
agents_app.command()(agent_lives.limit)
agents_app.command()(agent_lives.drain)
agents_app.command()(agent_lives.resume)
agents_app.command()(agent_lives.restart)
agents_app.command("set-aside")(set_aside)
agents_app.command()(release)
agents_app.command()(show)
agents_app.command()(pages)
agents_app.command()(calibration)
agents_app.command()(authority)
app.add_typer(audit_app, name="audit")
app.add_typer(keys_app, name="keys")
app.add_typer(goals_app, name="goals")
app.command("plan")(plan)
app.command("advertising")(advertising)
app.command()(payouts)
app.add_typer(directives_app, name="directives")
app.add_typer(settings_app, name="settings")
app.add_typer(approvals_app, name="approvals")
app.add_typer(notifications_app, name="notifications")
app.add_typer(privacy_app, name="privacy")
app.add_typer(reports_app, name="reports")
app.add_typer(source_app, name="source")
app.add_typer(transfers_app, name="transfers")
app.add_typer(workflows_app, name="workflows")

T = TypeVar("T")
_CATALOGUE = Path(__file__).parents[1] / "catalogues" / "default.csv"
_TWO_CHANNELS = "woocommerce,custom"
_debug = False


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="show stack traces")] = False) -> None:
    global _debug
    _debug = debug


@cache
def command() -> Callable[[], Any]:
    """All commands, put together; whoever forks processes that are commands does it once for them."""
    return typer.main.get_command(app)


def main() -> None:
    """Entry point: every expected error ends as one line and a hint, exit code 1."""
    try:
        command()()
    except FlipSyncError as error:
        if _debug or "--debug" in sys.argv:
            raise
        err.print(f"[red]error:[/] {escape(error.message)}")
        if error.hint:
            err.print(f"[dim]hint:[/] {escape(error.hint)}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if _debug or "--debug" in sys.argv:
            raise
        first = str(error).strip().splitlines()
        err.print(f"[red]error:[/] {type(error).__name__}: {escape(first[0] if first else '')}")
        err.print("[dim]hint:[/] this was not expected; `flipsync --debug …` shows where it happened")
        sys.exit(70)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


# -- running ----------------------------------------------------------------------------------------------------------


@app.command()
def up(
    home: Home = None,
    port: Annotated[int, typer.Option(help="of the API")] = 8000,
    host: Annotated[str, typer.Option(help="address to listen on; others than 127.0.0.1 open the API")] = "127.0.0.1",
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="a market to sell in, with two connected channels")
    ] = False,
    channels: Annotated[
        str, typer.Option(help="which of the sandbox's channels to connect, with commas between; all: every one")
    ] = _TWO_CHANNELS,
    effect_workers: Annotated[int, typer.Option(min=1, max=64)] = 1,
) -> None:
    """Start everything and stay: PostgreSQL, Redis, Ray, agents, API. Ctrl-C stops it cleanly."""
    starting = importlib.import_module("flipsync.starting")
    system_module = importlib.import_module("flipsync.system")
    began = time.monotonic()

    def say(part: str, detail: str) -> None:
        out.print(f"[dim]{time.monotonic() - began:6.1f}s[/]  {part:<10} {escape(detail)}")

    wanted = starting.replicas_wanted(agent_graph().agents)
    stop = _signals()
    folder = home_folder(home)
    with system_module.System(folder, port=port, host=host, say=say, effect_workers=effect_workers) as system:
        system.start_books()
        login = run(starting.ensure_owner(system))
        if sandbox:
            starting.start_sandbox(system)
        system.start_runtime()
        if sandbox:
            run(starting.connect_sandbox(system, say, _vendors(channels)))
        if login is not None:
            out.print(f"\n  Sign in as [bold]{login.email}[/] with password [bold]{escape(login.password)}[/]")
            out.print("  [dim](shown once; `flipsync user add` makes more)[/]\n")
        say("ready", f"{system.api_url}/api/v1 – Ctrl-C stops")
        ready = -1
        while not stop.is_set() and ready < wanted:
            stop.wait(1.0)
            if system.agents_ready() != ready:
                ready = system.agents_ready()
                say("agents", f"{ready} of {wanted} ready")
        while not stop.wait(3600):
            pass
        say("stopping", "")
    say("stopped", "")


def _vendors(words: str) -> tuple[Any, ...]:
    """The vendors named, each once. Raises InvalidInput for one that the sandbox does not serve."""
    records = importlib.import_module("flipsync.sandbox.records")
    served = ["woocommerce" if channel == "woo" else channel for channel in records.CHANNELS]
    chosen = served if words.strip() == "all" else [word.strip() for word in words.split(",") if word.strip()]
    if not chosen or not set(chosen) <= set(served):
        raise InvalidInput(f"{words!r} does not name channels of the sandbox", hint=f"of: {', '.join(served)}, or all")
    return tuple(dict.fromkeys(chosen))


def _signals() -> Any:
    threading = importlib.import_module("threading")
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    return stop


@app.command()
def demo(
    catalog: Annotated[
        Path | None, typer.Option("--catalog", help="catalogue file (default: the one that ships)")
    ] = None,
    days: Annotated[float, typer.Option(min=0.01, help="days of market time")] = 2.0,
    seed: Annotated[int, typer.Option(help="of the market")] = 7,
    speed: Annotated[float, typer.Option(min=1, help="market seconds a second")] = 1920.0,
    faults: Annotated[bool, typer.Option(help="make the channels misbehave as real ones do")] = True,
    traffic: Annotated[float, typer.Option(min=0, help="buyers, as a multiple of the usual")] = 2.0,
    mode: Annotated[str, typer.Option(help="escrow (never oversold) or pooled")] = "escrow",
    cost_ratio: Annotated[
        float, typer.Option(min=0, max=0.99, help="assumed cost / price where the file has no cost; 0: none")
    ] = 0.5,
    channels: Annotated[str, typer.Option(help="where to sell, with commas between; all: every one")] = _TWO_CHANNELS,
    home: Home = None,
    port: Annotated[int, typer.Option(help="of the API; 0 takes a free one")] = 0,
    as_json: AsJson = False,
) -> None:
    """The main job: import, list on the channels, sell for some days of market time, reconcile to the unit.

    Exit code 0 only when nothing was lost, doubled, oversold (escrow) or mismatched.
    """
    if mode not in ("escrow", "pooled"):
        raise InvalidInput(f"{mode!r} is not a stock mode", hint="escrow or pooled")
    module = importlib.import_module("flipsync.demo.command")
    plan_class = importlib.import_module("flipsync.demo.run").DemoPlan
    plan = plan_class(
        catalogue=catalog or _CATALOGUE,
        days=days,
        seed=seed,
        speed=speed,
        faults=faults,
        traffic=traffic,
        stock_mode=mode,
        cost_ratio=Decimal(str(cost_ratio)) if cost_ratio else None,
        channels=_vendors(channels),
    )
    if not plan.catalogue.is_file():
        raise NotFound(f"there is no file {plan.catalogue}", hint="give a catalogue with --catalog FILE")
    clock = ScaledClock(utc_now(), utc_now(), speed)
    sys.exit(module.run_demo(plan, home_folder(home), port, clock, out if not as_json else err, as_json))


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 0,
    seed: int = 7,
    data: Annotated[str, typer.Option(help="SQLite file that keeps the market over restarts")] = ":memory:",
    mode: Annotated[str, typer.Option(help="virtual (moves when told) or real")] = "real",
    speed: Annotated[float, typer.Option(help="market seconds a second in real mode")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Serve a market to sell in, speaking the channels' own protocols."""
    words = ["--port", str(port), "--seed", str(seed), "--data", data, "--mode", mode, "--speed", str(speed)]
    os.execv(  # noqa: S606
        sys.executable, [sys.executable, "-m", "flipsync.sandbox", *words, *(["--json"] if as_json else [])]
    )


@app.command()
def doctor(home: Home = None, as_json: AsJson = False) -> None:
    """Every part, its version, whether it can be reached, and what to do."""
    doctor_module = importlib.import_module("flipsync.doctor")
    checks = doctor_module.checks(home_folder(home), migrations=_migrations)
    if as_json:
        print_json({"ok": all(check.ok for check in checks), "checks": [check.as_dict() for check in checks]})
    else:
        table = Table(box=None, pad_edge=False)
        for title in ("part", "version", "status", "detail", "what to do"):
            table.add_column(title, overflow="fold")
        for check in checks:
            colour = {"ok": "green", "not-running": "dim", "warning": "yellow"}.get(check.status, "red")
            table.add_row(
                check.name, check.version, f"[{colour}]{check.status}[/]", escape(check.detail), escape(check.hint)
            )
        out.print(table)
    sys.exit(0 if not any(check.status in ("missing", "unreachable") for check in checks) else 1)


def _migrations(url: str) -> Any:
    doctor_module = importlib.import_module("flipsync.doctor")
    bootstrap = importlib.import_module("flipsync.store.bootstrap")
    sqlalchemy = importlib.import_module("sqlalchemy")
    database = importlib.import_module("flipsync.store.database")
    engine = sqlalchemy.create_engine(database.driver_url(url))
    try:
        with engine.connect() as connection:
            current = bootstrap.current_revision(connection)
    finally:
        engine.dispose()
    return doctor_module.MigrationState(head=bootstrap.newest_revision(), current=current)


# -- books ------------------------------------------------------------------------------------------------------------


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="Shopify or WooCommerce product export, or a CSV with named columns")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would happen, write nothing")] = False,
    shelf_count: Annotated[
        bool, typer.Option("--shelf-count", help="the file's quantities are what lies on the shelf now")
    ] = False,
    cost_ratio: Annotated[float, typer.Option(min=0, max=0.99, help="assumed cost / price; 0: unknown")] = 0.0,
    currency: Annotated[str | None, typer.Option(help="of the file's prices (default: the books')")] = None,
    tenant: Annotated[str | None, typer.Option(help="business (default: the newest)")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Bring a catalogue file into the books; a second time it updates instead of doubling."""
    if not file.is_file():
        raise NotFound(f"there is no file {file}")
    books = importlib.import_module("flipsync.commands_on_books")
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} rows"),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=as_json or not err.is_terminal,
    ) as progress:
        bar = progress.add_task(file.name, total=None)
        outcome = books.import_file(
            home_folder(home),
            agent_graph().routing(),
            file,
            dry_run=dry_run,
            shelf_count=shelf_count,
            cost_ratio=Decimal(str(cost_ratio)) if cost_ratio else None,
            currency=currency,
            tenant=tenant,
            progress=lambda done: progress.update(bar, completed=done),
        )
    if as_json:
        print_json(outcome.as_dict())
        return
    told = outcome.as_dict()
    rows = told["report"]
    verb = "would be " if dry_run else ""
    out.print(
        f"{told['format']}: {rows['rows']} rows → {told['products_created']} products {verb}new, "
        f"{told['products_updated']} {verb}updated, {told['products_unchanged']} unchanged; "
        f"{told['variants_created']} variants {verb}new, {told['units_received']} units"
    )
    for problem in rows["problems"][:50]:
        colour = "red" if problem["severity"] == "rejected" else "yellow"
        where = f"line {problem['line']}" + (f", {problem['column']}" if problem.get("column") else "")
        out.print(f"  [{colour}]{problem['severity']}[/] {where}: {escape(str(problem['reason']))}")
    if len(rows["problems"]) > 50:
        out.print(f"  … and {len(rows['problems']) - 50} more; --json lists all")


@app.command()
def why(
    subject: Annotated[str, typer.Argument(help="an id, a SKU, SKU@account, or an order number")],
    tenant: Annotated[str | None, typer.Option(help="business (default: the newest)")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """The chain from fact to receipt behind a listing, an order, a decision or an effect."""
    books = importlib.import_module("flipsync.commands_on_books")
    explanation = books.why(home_folder(home), subject, tenant)
    if as_json:
        print_json(explanation.to_json())
    else:
        sys.stdout.write(explanation.to_text(width=min(out.width, 110)) + "\n")


# -- agents -----------------------------------------------------------------------------------------------------------


@agents_app.command("graph")
def agents_graph(
    as_json: AsJson = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="a Mermaid flowchart")] = False,
) -> None:
    """Who reports to whom."""
    graph = agent_graph()
    if as_json:
        print_json(graph.as_dict())
    elif mermaid:
        sys.stdout.write(graph.mermaid() + "\n")
    else:
        tree_module = importlib.import_module("rich.tree")
        out.print(_branch(graph.as_dict()["agents"], None, tree_module.Tree("owner")), soft_wrap=False)


def _branch(agents: list[dict[str, Any]], boss: str | None, tree: Any) -> Any:
    for agent in agents:
        if agent["reports_to"] == boss:
            _branch(agents, agent["name"], tree.add(f"{agent['name']} [dim]{escape(agent['summary'])}[/]"))
    return tree
