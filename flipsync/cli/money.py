"""`flipsync refund`, `flipsync label`, `flipsync ship`: money and parcels that leave because a person says so."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from flipsync.cli.console import AsJson, Home, err, out, print_json
from flipsync.domain.channel import Address, Parcel
from flipsync.domain.errors import InvalidInput
from flipsync.embedded.instance import home_folder

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]
_STATES = {
    "issued": "given back; the channel shows it",
    "asked": "asked for, and not done yet: above your limit it waits for an approval",
    "refused": "not given back",
    "unknown": "nobody can tell whether it was given: look at the channel, then say --settled given or not-given",
}

_LABEL_STATES = {
    "asked": "asked for, and not bought yet",
    "bought": "bought",
    "refused": "not bought",
    "unknown": "nobody can tell whether it was bought: look at the channel, then say --settled ID or not-bought",
    "cancelling": "the channel is asked to take it back",
    "cancelled": "given back",
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
    books = importlib.import_module("flipsync.commands_on_books")
    view = books.refund(
        home_folder(home),
        _routing(),
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


def label(
    order: Annotated[str, typer.Argument(help="its number, its id on the channel, or its id here")],
    weight: Annotated[int, typer.Option(min=0, help="of the packed parcel, in grams; buys a label")] = 0,
    size: Annotated[str, typer.Option(help="length x width x height of the parcel in millimetres")] = "300x200x100",
    service: Annotated[str, typer.Option(help="the channel's name of it (default: the cheapest)")] = "",
    most: Annotated[str | None, typer.Option(help="the most it may cost, e.g. 9.50")] = None,
    ship_from: Annotated[
        Path | None, typer.Option("--from", help="JSON file with the sender's address (default: the last one's)")
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", help="file to write the label to")] = None,
    give_back: Annotated[bool, typer.Option("--give-back", help="ask the channel to take it back")] = False,
    settled: Annotated[
        str | None, typer.Option(help="of one in doubt: the shipment's id on the channel, or not-bought")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="seconds to look what becomes of it")] = 20.0,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Buy a label for a packed order on a channel that sells them (Amazon), look at it, or give it back."""
    books = importlib.import_module("flipsync.commands_on_books")
    sender = None
    try:
        sides = [int(side) for side in size.lower().split("x")]
        length, width, height = sides
        parcel = Parcel(weight_grams=weight, length_mm=length, width_mm=width, height_mm=height) if weight else None
        if ship_from is not None:
            sender = Address.model_validate_json(ship_from.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        told = "write the size as 300x200x100, and the address as a JSON object (name, line1, city, …)"
        raise InvalidInput(str(error).splitlines()[0], hint=told) from error
    view, file = books.label(
        home_folder(home),
        _routing(),
        order,
        parcel=parcel,
        most=most,
        service=service,
        ship_from=sender,
        give_back=give_back,
        settled="" if settled == "not-bought" else settled,
        patience=wait,
        tenant=tenant,
    )
    if to is not None and file is not None:
        _write(to, file)
    if as_json:
        print_json(view.model_dump(mode="json"))
    else:
        detail = f" ({escape(view.detail)})" if view.detail else ""
        cost = f", {view.cost}" if view.cost is not None else ""
        number = f": {escape(view.carrier)} {escape(view.tracking_number)}{cost}" if view.tracking_number else ""
        out.print(f"{_LABEL_STATES[view.state]}{number}{detail}")
    sys.exit(1 if view.state in ("refused", "unknown") else 0)


def ship(
    order: Annotated[str, typer.Argument(help="its number, its id on the channel, or its id here")],
    carrier: Annotated[str, typer.Argument(help="who carries it, e.g. USPS")],
    tracking_number: Annotated[str, typer.Argument(help="by which it is followed")],
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say that a packed order left with a label of your own; its channel is told."""
    parcels = importlib.import_module("flipsync.services.parcels")
    try:
        parcel = parcels.HandedOver(carrier=carrier, tracking_number=tracking_number)
    except ValueError as error:
        told = "a carrier's name, and 4 to 60 letters, digits, spaces or hyphens of its number"
        raise InvalidInput("this is no parcel that can be followed", hint=told) from error
    books = importlib.import_module("flipsync.commands_on_books")
    view = books.ship(home_folder(home), _routing(), order, parcel, tenant)
    if as_json:
        print_json(view.model_dump(mode="json"))
    else:
        known = "the channel knows" if view.confirmed_at else "the channel is told next"
        out.print(f"handed over: {escape(view.carrier)} {escape(view.tracking_number)}; {known}")


def _write(path: Path, content: bytes) -> None:
    """A file only its owner reads: a label shows where the buyer lives."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def _routing() -> Any:
    graph = importlib.import_module("flipsync.runtime.graph")
    roster = importlib.import_module("flipsync.runtime.assembly").load_roster("agents:ROSTER")
    return graph.Graph(roster).routing()


def add_to(app: typer.Typer) -> None:
    app.command()(refund)
    app.command()(label)
    app.command()(ship)
