"""`flipsync memory`: what was tried before and what came of it."""

from __future__ import annotations

import importlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from flipsync.cli.console import AsJson, Home, out, print_json
from flipsync.domain.errors import InvalidInput
from flipsync.embedded.instance import home_folder

memory_app = typer.Typer(no_args_is_help=True, help="What was tried before, and what came of it.")

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]


@memory_app.command("list")
def list_memories(
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    agent: Annotated[str | None, typer.Option(help="only what this agent tried")] = None,
    kind: Annotated[str | None, typer.Option(help="only attempts of this kind, such as price-move")] = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What was learned last, newest first."""

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.reader(tenant_id) as session:
            return await _services().newest(session, limit, agent, kind)

    found = importlib.import_module("flipsync.commands_on_books").in_books(home_folder(home), {}, tenant, work)
    if as_json:
        print_json({"items": [each.model_dump(mode="json") for each in found]})
        return
    if not found:
        out.print("nothing is remembered yet: what is decided is graded when its time has come")
    for each in found:
        _tell(each)


@memory_app.command("recall")
def recall(
    words: Annotated[str, typer.Argument(help="a situation in your own words")] = "",
    about: Annotated[str | None, typer.Option(help="a SKU, SKU@account, an order's number, or an id")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=50, help="how many at most")] = 5,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What was tried before in a situation like this, or about a thing, and what came of it; each with its row."""
    if not words.strip() and about is None:
        raise InvalidInput("nothing was asked about", hint="say some words, or --about a SKU")
    folder = home_folder(home)

    async def work(store: Any, tenant_id: UUID) -> Any:
        find = importlib.import_module("flipsync.services.why").find
        async with _index(folder) as index, store.reader(tenant_id) as session:
            subjects = [] if about is None else [await find(session, about)]
            return await _services().recall(session, tenant_id, subjects, words, k, index=index)

    found = importlib.import_module("flipsync.commands_on_books").in_books(folder, {}, tenant, work)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    for each in found.items:
        _tell(each)
    if not found.items:
        out.print("nothing like it is remembered")
    if found.why_not:
        how = "not all was looked at" if found.by == "meaning" else "looked for by the words as they stand"
        out.print(f"[dim]{how}: {escape(found.why_not)}[/]")


@memory_app.command("rebuild")
def rebuild(home: Home = None, as_json: AsJson = False) -> None:
    """Make the index of meanings again from the books, of all businesses."""
    folder = home_folder(home)
    began = time.monotonic()

    async def work(_: Any, __: UUID) -> Any:
        async with _index(folder) as index:
            return await index.rebuild()

    count = importlib.import_module("flipsync.commands_on_books").in_books(folder, {}, None, work)
    seconds = time.monotonic() - began
    if as_json:
        print_json({"episodes": count, "seconds": round(seconds, 3)})
    else:
        out.print(f"{count:,} episodes are in the index again, after {seconds:.1f} s")


@asynccontextmanager
async def _index(home: Path) -> AsyncIterator[Any]:
    """The running system's, else opened for the time being. Books are open meanwhile."""
    remembering = importlib.import_module("flipsync.runtime.remembering")
    system = importlib.import_module("flipsync.system")
    state = system.live_state(home)
    if "ray" in state.parts:
        yield remembering.RedisIndex(state.url("redis"))
        return
    settings = importlib.import_module("flipsync.settings").MemorySettings()
    if not settings.memory_folder:
        settings = settings.model_copy(update={"memory_folder": str(home / "memory")})
    with system.open_worker_books(home) as database:
        meanings = remembering.open_meanings(settings, database)
        try:
            yield meanings
        finally:
            await meanings.aclose()
            await database.aclose()


def _tell(each: Any) -> None:
    became = {True: "[green]right[/]", False: "[red]wrong[/]", None: "[yellow]stopped[/]"}[each.right]
    alike = "" if each.similarity is None else f", alike {each.similarity:.2f}"
    brought = "" if each.money is None else f"; {each.money} {each.money_is}"
    out.print(f"{became}  [bold]{each.agent}[/] {escape(each.tried)}  [dim]{each.decided_at:%Y-%m-%d}{alike}[/]")
    out.print(f"  {escape(each.situation)}")
    out.print(f"  {escape(each.came)}{escape(brought)} [dim](gate: {escape(each.gate)})[/]")
    proof = "" if each.proof is None else f", {each.proof.kind} {each.proof.id}"
    out.print(f"  [dim]episode {each.id}, decision {each.decision_id}{proof}[/]")


def _services() -> Any:
    return importlib.import_module("flipsync.services.memory")
