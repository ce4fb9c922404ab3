"""`flipsync agents set-aside` and `release`: work that failed every time, looked at and tried again."""

from __future__ import annotations

import importlib
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from flipsync.cli.console import AsJson, Home, out, print_json
from flipsync.domain.errors import InvalidInput
from flipsync.embedded.instance import home_folder

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]


def set_aside(
    agent: Annotated[str | None, typer.Option(help="only of this agent")] = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What an agent could not deal with, newest first (200 at most), with its error. The agent went on without it."""
    services = importlib.import_module("flipsync.services.set_aside")
    page = importlib.import_module("flipsync.services.reading_page").PageRequest(limit=200)

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.reader(tenant_id) as session:
            return await services.list_set_aside(session, page, services.SetAsideFilter(agent=agent))

    found = importlib.import_module("flipsync.commands_on_books").in_books(home_folder(home), {}, tenant, work)
    if as_json:
        print_json({"items": [each.model_dump(mode="json") for each in found.items]})
        return
    if not found.items:
        out.print("nothing is set aside")
    for each in found.items:
        out.print(f"[bold]{each.id}[/]  {each.agent}: {each.event}, tried {each.attempts} times")
        out.print(f"  {escape(each.error)}")


def release(
    task: Annotated[str, typer.Argument(help="its id: `flipsync agents set-aside` lists them")],
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Let the agent try it again, as if for the first time."""
    try:
        task_id = UUID(task)
    except ValueError:
        raise InvalidInput(f"{task!r} is not the id of a task", hint="flipsync agents set-aside") from None
    services = importlib.import_module("flipsync.services.set_aside")

    async def work(store: Any, tenant_id: UUID) -> None:
        async with store.unit(tenant_id) as unit:
            await services.release(unit, task_id)

    importlib.import_module("flipsync.commands_on_books").in_books(home_folder(home), {}, tenant, work)
    if as_json:
        print_json({"released": task})
        return
    out.print(f"{task_id} is tried again")
