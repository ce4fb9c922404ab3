"""`flipsync goals`: what the owner wants of the business, in plain words."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from flipsync.cli.console import AsJson, Home, out, print_json, roster_routing
from flipsync.cli.dry_run import Limit, Since, try_on_past
from flipsync.domain.errors import InvalidInput
from flipsync.embedded.instance import home_folder

goals_app = typer.Typer(no_args_is_help=True, help="What the owner wants: cash now or growth, risk, questions.")

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]


@goals_app.command("show")
def show(tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """The goals, and what each criterion weighs by them."""
    _tell(_books().goals(home_folder(home), {}, tenant, None), as_json)


@goals_app.command("set")
def set_goals(
    horizon: Annotated[str | None, typer.Option(help="cash now, balanced or growth")] = None,
    risk: Annotated[str | None, typer.Option(help="careful, balanced or bold")] = None,
    questions: Annotated[str | None, typer.Option(help="few, balanced or many")] = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say what matters; what is left out stays. It counts from the next decision on, within the limits."""
    service = importlib.import_module("flipsync.services.goals")
    given = {"horizon": horizon, "risk": risk, "questions": questions}
    if not any(given.values()):
        raise InvalidInput("no goal is given", hint="for example: flipsync goals set --risk careful")
    try:
        change = service.GoalsChange(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"--{first['loc'][0]} {first['input']!r}: {first['msg']}") from None
    _tell(_books().goals(home_folder(home), roster_routing(), tenant, change), as_json)


@goals_app.command("dry-run")
def dry_run(
    horizon: Annotated[str | None, typer.Option(help="cash now, balanced or growth")] = None,
    risk: Annotated[str | None, typer.Option(help="careful, balanced or bold")] = None,
    questions: Annotated[str | None, typer.Option(help="few, balanced or many")] = None,
    since: Since = "90d",
    limit: Limit = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What agents would have decided by other goals. Changes nothing."""
    given = {"goals.horizon": horizon, "goals.risk": risk, "goals.questions": questions}
    change = {name: value for name, value in given.items() if value is not None}
    if not change:
        raise InvalidInput("no goal is given", hint="for example: flipsync goals dry-run --risk careful")
    try_on_past(change, since=since, limit=limit, tenant=tenant, home=home, as_json=as_json)


def _books() -> Any:
    return importlib.import_module("flipsync.commands_on_books")


def _tell(view: Any, as_json: bool) -> None:
    if as_json:
        print_json(view.model_dump(mode="json"))
        return
    out.print(view.in_words)
    out.print("  ".join(f"{name} {share:.0%}" for name, share in view.weights.items()))
