"""`flipsync forecast`: the demand to come, and how far it can be trusted."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flipsync.cli.console import AsJson, Home, err, out, print_json
from flipsync.embedded.instance import home_folder


def forecast(
    sku: Annotated[str | None, typer.Argument(help="default: all goods for sale")] = None,
    tenant: Annotated[str | None, typer.Option(help="business (default: the newest)")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Units a week that goods will be wanted on each channel, and how the method did on the weeks before."""
    books = importlib.import_module("flipsync.training_on_books")
    with err.status("reading orders and shelves, comparing methods"):
        told = books.forecast(home_folder(home), sku, tenant)
    if as_json:
        print_json(asdict(told))
        return
    table = Table("SKU", "channel", "a week", "four weeks in five", "own sales count", "weeks on shelf", "sold")
    for each in told.items:
        interval = f"{each.low:.0f}-{each.high:.0f}"
        figures = (f"{each.own_share:.0%}", f"{each.weeks_on_shelf:.1f}", str(each.units_sold))
        table.add_row(escape(each.sku), escape(each.channel), f"{each.weekly:.2f}", interval, *figures)
    out.print(table)
    out.print(f"{told.method}: {told.why}")
    if told.rmsse:
        out.print("RMSSE " + "  ".join(f"{name} {error:.3f}" for name, error in told.rmsse.items()))
    if told.coverage is not None:
        out.print(f"{told.coverage:.0%} of the last weeks were inside such an interval")
