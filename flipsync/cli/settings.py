"""`flipsync settings`: what the owner has chosen, changed, and tried on the past before it is."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from flipsync.cli.console import AsJson, Home, agent_graph, out, print_json
from flipsync.cli.dry_run import Limit, Since, Tenant, try_on_past
from flipsync.domain.errors import InvalidInput
from flipsync.embedded.instance import home_folder

settings_app = typer.Typer(no_args_is_help=True, help="Settings: shown, changed, and tried on the past before that.")

Change = Annotated[list[str], typer.Argument(help="KEY=VALUE, for example pricing.min_margin_bps=800")]


@settings_app.command("list")
def list_settings(tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """All settings, as they are, and what they are for."""
    found = importlib.import_module("flipsync.changes_on_books").settings(home_folder(home), None, tenant)
    if as_json:
        print_json(found)
        return
    meant = importlib.import_module("flipsync.services.tenant_settings").SETTINGS
    for name, value in found.items():
        out.print(
            f"[bold]{name}[/] = {escape(json.dumps(value))}"
            + (f"  [dim]{escape(meant[name])}[/]" if meant[name] else "")
        )


@settings_app.command("set")
def set_settings(change: Change, tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """Change settings, from the next decision on; `flipsync undo change` puts back what was there before."""
    wanted, graph = _read(change), agent_graph()
    importlib.import_module("flipsync.services.tenant_settings").refuse_unknown_agents(wanted, graph.agents)
    found = importlib.import_module("flipsync.changes_on_books").settings(
        home_folder(home), wanted, tenant, graph.routing()
    )
    if as_json:
        print_json(found)
        return
    for name in wanted:
        out.print(f"[bold]{name}[/] = {escape(json.dumps(found[name]))}")


@settings_app.command("dry-run")
def settings_dry_run(
    change: Change,
    since: Since = "90d",
    limit: Limit = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What agents would have decided with other settings, and what that means in money. Changes nothing."""
    try_on_past(_read(change), since=since, limit=limit, tenant=tenant, home=home, as_json=as_json)


def _read(words: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in words:
        key, equals, value = each.partition("=")
        if not key or not equals:
            raise InvalidInput(f"{each!r} is no change", hint="write KEY=VALUE, for example stock.oversell_limit=0.005")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found
