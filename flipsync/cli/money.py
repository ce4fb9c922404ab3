"""`flipsync refund`: money that leaves the house because a person says so."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated

import typer
from rich.markup import escape

from flipsync.cli.console import AsJson, Home, err, out, print_json
from flipsync.domain.errors import InvalidInput
from flipsync.embedded.instance import home_folder

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]
_STATES = {
    "issued": "given back; the channel shows it",
    "asked": "asked for, and not done yet: above your limit it waits for an approval",
    "refused": "not given back",
    "unknown": "nobody can tell whether it was given: look at the channel, then say --settled given or not-given",
}


def refund(
    order: Annotated[str, typer.Argument(help="its number, its id on the channel, or its id here")],
    amount: Annotated[str | None, typer.Option(help="e.g. 12.50 (default: all that is left)")] = None,
    reason: Annotated[str, typer.Option(help="the buyer may read it")] = "",
    restock: Annotated[bool, typer.Option("--restock", help="put the order's units back on sale")] = False,
    settled: Annotated[str | None, typer.Option(help="of a refund in doubt: given or not-given")] = None,
    wait: Annotated[float, typer.Option(min=0, help="seconds to look what becomes of it")] = 15.0,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Give money back to a buyer: once, and never more than was paid."""
    if settled not in (None, "given", "not-given"):
        raise InvalidInput(f"{settled!r} says nothing", hint="given or not-given")
    graph = importlib.import_module("flipsync.runtime.graph")
    roster = importlib.import_module("flipsync.runtime.assembly").load_roster("agents:ROSTER")
    books = importlib.import_module("flipsync.commands_on_books")
    view = books.refund(
        home_folder(home),
        graph.Graph(roster).routing(),
        order,
        amount=amount,
        reason=reason,
        restock=restock,
        settled=None if settled is None else settled == "given",
        patience=wait,
        tenant=tenant,
        asked=lambda wish: err.print(f"asked for {wish.amount} back, {wish.reference}"),
    )
    if as_json:
        print_json(view.model_dump(mode="json"))
    else:
        detail = f" ({escape(view.detail)})" if view.detail else ""
        out.print(f"{view.amount} {view.reference}: {_STATES[view.state]}{detail}")
    sys.exit(0 if view.state in ("issued", "asked") else 1)


def add_to(app: typer.Typer) -> None:
    app.command()(refund)
