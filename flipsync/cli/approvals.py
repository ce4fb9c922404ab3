"""`flipsync approvals`: what the agents ask, and the answers."""

from __future__ import annotations

import importlib
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from flipsync.cli.console import AsJson, Home, out, print_json
from flipsync.domain.errors import InvalidInput
from flipsync.embedded.instance import home_folder

approvals_app = typer.Typer(no_args_is_help=True, help="Questions of the agents to you: list them, answer them.")

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]


@approvals_app.command("list")
def list_approvals(tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """The questions that wait, newest first, with what happens either way."""
    found = _books().open_approvals(home_folder(home), tenant)
    if as_json:
        print_json({"items": [each.model_dump(mode="json") for each in found]})
        return
    if not found:
        out.print("nothing waits for an answer")
    for each in found:
        out.print(f"[bold]{each.id}[/]  {escape(each.question)}")
        out.print(f"  yes: {escape('; '.join(each.if_approved) or 'the decision goes ahead')}")
        out.print(f"  no, or no answer until {each.expires_at:%Y-%m-%d %H:%M} UTC: {each.if_refused}")


@approvals_app.command("answer")
def answer(
    ids: Annotated[list[str] | None, typer.Argument(help="questions, by id")] = None,
    every: Annotated[bool, typer.Option("--every", help="all that wait (200 at most)")] = False,
    yes: Annotated[bool | None, typer.Option("--yes/--no", help="let it go ahead, or do not")] = None,
    note: Annotated[str, typer.Option(help="kept with the answer")] = "",
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Answer one question, several, or all that wait, as the owner; what cannot be answered any more is told."""
    if yes is None:
        raise InvalidInput("the answer is missing", hint="--yes or --no")
    if bool(ids) == every:
        raise InvalidInput("say which questions", hint="ids, or --every for all that wait")
    assembly = importlib.import_module("flipsync.runtime.assembly")
    graph = importlib.import_module("flipsync.runtime.graph").Graph(assembly.load_roster("agents:ROSTER"))
    wanted = None if every else [_id(each) for each in ids or []]
    outcome = _books().answer_approvals(home_folder(home), graph.routing(), wanted, yes, note, tenant)
    if as_json:
        print_json(outcome.model_dump(mode="json"))
        return
    out.print(f"{len(outcome.answered)} answered, {len(outcome.left)} left")
    for each in outcome.left:
        out.print(f"  {each.id}: {escape(each.reason)}")


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not the id of a question", hint="flipsync approvals list") from None


def _books() -> Any:
    return importlib.import_module("flipsync.commands_on_books")
