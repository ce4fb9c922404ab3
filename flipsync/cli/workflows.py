"""`flipsync workflows`: automations, tried on the past, put in force, stopped; and their runs."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer
from rich.markup import escape

from flipsync.cli.console import AsJson, Home, out, print_json
from flipsync.cli.journal import span
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.embedded.instance import home_folder

workflows_app = typer.Typer(no_args_is_help=True, help="Automations: what is done when something happens.")

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]
What = Annotated[str, typer.Argument(help="a JSON file, or the name of one that comes with FlipSync")]
Which = Annotated[str, typer.Argument(help="its name or id: `flipsync workflows list`")]
#: a file beyond this is no automation
_MOST_BYTES = 200_000


@workflows_app.command("list")
def list_all(tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """All automations (100 at most), what each does, and its runs by state; and what comes with FlipSync."""

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.reader(tenant_id) as session:
            return await _services().list_workflows(session, _page())

    found = _in_books(home, tenant, work)
    off = sorted(set(_services().BUILT_IN) - {each.name for each in found.items})
    if as_json:
        print_json({"items": [each.model_dump(mode="json") for each in found.items], "not_switched_on": off})
        return
    for each in found.items:
        _tell(each)
    for name in off:
        out.print(f"[dim]{name}: comes with FlipSync; `flipsync workflows start {name}` switches it on[/]")


@workflows_app.command("fields")
def fields(
    event: Annotated[str | None, typer.Argument(help="only this kind of fact")] = None, as_json: AsJson = False
) -> None:
    """What may trigger an automation, and what its conditions can ask."""
    known = importlib.import_module("flipsync.domain.workflow_fields")
    if event is not None and event not in known.TRIGGERS:
        raise NotFound(f"{event} triggers nothing", hint=", ".join(sorted(known.TRIGGERS)))
    told = {
        name: {
            "about": known.subject_of(name),
            "fields": known.fields_of(name) | known.ABOUT.get(known.subject_of(name), {}),
        }
        for name in sorted(known.TRIGGERS)
        if event in (None, name)
    }
    if as_json:
        print_json(told)
        return
    for name, each in told.items():
        out.print(f"[bold]{name}[/] (about a {each['about']})")
        out.print("  " + ", ".join(f"{field}: {kind}" for field, kind in each["fields"].items()))


@workflows_app.command("dry-run")
def dry_run(
    what: What,
    since: Annotated[str, typer.Option(help="how far back: 12h, 7d, 90d")] = "90d",
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What would have triggered it, and what it would have come to. Changes nothing."""
    running = importlib.import_module("flipsync.services.workflow_dry_run")
    written, begin = _read(what), utc_now() - span(since)

    async def work(store: Any, tenant_id: UUID) -> Any:
        return await running.dry_run(store, tenant_id, written, since=begin, seconds=600.0)

    found = _in_books(home, tenant, work)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    out.print(escape(found.in_words))
    out.print(
        f"{found.facts} facts since {found.since:%Y-%m-%d %H:%M}: {found.runs} runs on {len(found.by_day)} days, "
        f"{found.not_meant} not meant, {found.quiet} too soon after another"
    )
    for step, times in found.would_do.items():
        out.print(f"  {times} × {escape(step)}")
    for each in found.examples[:5]:
        out.print(f"  {each.at:%Y-%m-%d %H:%M}  {each.subject_kind} {each.subject_id}")
    for warning in (*found.warnings, *([f"stopped {found.stopped}"] if found.stopped else [])):
        out.print(f"[yellow]{escape(warning)}[/]")
    if not found.complete:
        out.print("[yellow]not all of it: give a later --since[/]")
    out.print("Nothing was changed.")


@workflows_app.command("start")
def start(what: What, tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """Put one in force: new, or a new version of the one of that name."""
    written = _read(what)

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.unit(tenant_id) as unit:
            put = _services().switch_on if isinstance(written, str) else _services().write
            return await put(unit, written, by=None)

    _tell(_in_books(home, tenant, work), as_json)


@workflows_app.command("pause")
def pause(which: Which, tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """No new runs; those under way go on."""
    _move("pause", which, tenant, home, as_json)


@workflows_app.command("resume")
def resume(which: Which, tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """One that was paused, or stopped because it triggered itself or ran too often."""
    _move("resume", which, tenant, home, as_json)


@workflows_app.command("remove")
def remove(which: Which, tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """For good; its runs stay to be seen."""
    _move("remove", which, tenant, home, as_json)


@workflows_app.command("runs")
def runs(
    which: Which,
    state: Annotated[str | None, typer.Option(help="running, undoing, done, failed, cancelled, quarantined")] = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Its runs, newest first (200 at most)."""

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.reader(tenant_id) as session:
            found = await _named(session, which)
            return await _services().list_runs(session, found.id, _page(), state)

    found = _in_books(home, tenant, work)
    if as_json:
        print_json({"items": [each.model_dump(mode="json") for each in found.items]})
        return
    for each in found.items:
        out.print(
            f"[bold]{each.id}[/]  {each.started_at:%Y-%m-%d %H:%M}  {each.state} at step {each.step}  "
            f"{each.subject_kind} {each.subject_id}  {escape(each.why)}"
        )


@workflows_app.command("run")
def show_run(
    run: Annotated[str, typer.Argument(help="its id: `flipsync workflows runs`")],
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """One run with its steps, and why each ended as it did."""
    run_id = _id(run)

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.reader(tenant_id) as session:
            return await _services().run(session, run_id)

    _tell_run(_in_books(home, tenant, work), as_json)


@workflows_app.command("cancel")
def cancel(
    run: Annotated[str, typer.Argument(help="its id: `flipsync workflows runs`")],
    undo: Annotated[bool, typer.Option("--undo", help="take back what it did, where that can be")] = False,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """End a run; the running system does so as soon as it hears of it."""
    run_id = _id(run)
    graph = importlib.import_module("flipsync.runtime.graph").Graph
    roster = importlib.import_module("flipsync.runtime.assembly").load_roster("agents:ROSTER")

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.unit(tenant_id) as unit:
            return await _services().cancel(unit, run_id, undo=undo)

    found = importlib.import_module("flipsync.commands_on_books").in_books(
        home_folder(home), graph(roster).routing(), tenant, work
    )
    _tell_run(found, as_json)


def _move(verb: str, which: str, tenant: str | None, home: Path | None, as_json: bool) -> None:
    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.unit(tenant_id) as unit:
            found = await _named(unit.session, which)
            return await getattr(_services(), verb)(unit, found.id)

    _tell(_in_books(home, tenant, work), as_json)


def _read(what: str) -> Any:
    """The automation in a file, or the name of one that comes with FlipSync."""
    if what in _services().BUILT_IN:
        return what
    path = Path(what)
    if not path.is_file():
        raise NotFound(f"there is no file {what}", hint=f"or one of: {', '.join(_services().BUILT_IN)}")
    if path.stat().st_size > _MOST_BYTES:
        raise InvalidInput(f"{what} is longer than any automation")
    try:
        return orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"{what} is not JSON: {error}") from None


async def _named(session: Any, which: str) -> Any:
    """By name or id. Raises NotFound."""
    page = await _services().list_workflows(session, _page())
    found = next((each for each in page.items if which in (each.name, str(each.id))), None)
    if found is None:
        raise NotFound(f"no automation {which}", hint="`flipsync workflows list` names them")
    return found


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not the id of a run", hint="flipsync workflows runs NAME") from None


def _services() -> Any:
    return importlib.import_module("flipsync.services.workflows")


def _page() -> Any:
    return importlib.import_module("flipsync.services.reading_page").SortedRequest(limit=200)


def _in_books(home: Path | None, tenant: str | None, work: Callable[[Any, UUID], Awaitable[Any]]) -> Any:
    return importlib.import_module("flipsync.commands_on_books").in_books(home_folder(home), {}, tenant, work)


def _tell(view: Any, as_json: bool = False) -> None:
    if as_json:
        print_json(view.model_dump(mode="json"))
        return
    told = ", ".join(f"{count} {state}" for state, count in sorted(view.runs.items())) or "no runs"
    out.print(f"[bold]{view.name}[/] (version {view.version}, {view.state}): {told}")
    out.print(f"  {escape(view.in_words)}")
    if view.note:
        out.print(f"  [yellow]{escape(view.note)}[/]")


def _tell_run(view: Any, as_json: bool) -> None:
    if as_json:
        print_json(view.model_dump(mode="json"))
        return
    out.print(f"[bold]{view.name}[/], version {view.version}: {view.state}  {escape(view.why)}")
    for step in view.steps:
        back = "taking back: " if step.undo else ""
        words = escape(view.in_words[step.number]) if view.in_words else step.do
        out.print(f"  {step.number + 1}. {back}{words}: {step.state}  {escape(step.why)}")
