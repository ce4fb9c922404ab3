"""`flipsync memory`: what was tried before and what came of it."""

from __future__ import annotations

import importlib
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from flipsync.cli.console import AsJson, Home, out, print_json
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
