"""`flipsync source`: what a thing is, whether to buy it, and for how much at most."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from flipsync.cli.console import AsJson, Home, err, out, print_json
from flipsync.embedded.instance import home_folder

source_app = typer.Typer(no_args_is_help=True, help="Goods before they are bought: what they are, and what to pay.")
Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]
Wait = Annotated[float, typer.Option(min=0, help="seconds to wait for the verdict")]


def _books() -> Any:
    return importlib.import_module("flipsync.sourcing_on_books")


def _routing() -> Any:
    graph = importlib.import_module("flipsync.runtime.graph")
    roster = importlib.import_module("flipsync.runtime.assembly").load_roster("agents:ROSTER")
    return graph.Graph(roster).routing()


@source_app.command()
def ask(
    what: Annotated[str, typer.Argument(help="barcode, ISBN, ASIN or title")],
    cost: Annotated[str | None, typer.Option(help="what a unit costs, e.g. 12.50")] = None,
    units: Annotated[int, typer.Option(min=1, help="how many would be bought")] = 1,
    title: Annotated[str, typer.Option(help="what it says, beside a code")] = "",
    wait: Wait = 5.0,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """One article: buy up to a price, pass, or find something out first."""
    found = _books().ask(
        home_folder(home),
        _routing(),
        what,
        title=title,
        cost=cost,
        units=units,
        patience=wait,
        tenant=tenant,
    )
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    if found.verdict is None:
        err.print("nobody has looked at it yet: `flipsync up` starts the agents")
        raise typer.Exit(1)
    out.print(f"[bold]{found.verdict}[/]  {escape(found.why)}")
    if found.waiting:
        out.print(f"not answered yet: {escape(', '.join(found.waiting))}")
    if found.channels:
        table = Table("channel", "sells for", "pay at most", "a unit earns", "chance", "sold in time", "days", "rivals")
        for each in found.channels:
            figures = (str(each.price), str(each.most), f"{each.low} to {each.high}", f"{each.chance:.0%}")
            more = (f"{each.sold_share:.0%}", f"{each.days_to_sell:.0f}", str(each.rivals))
            table.add_row(escape(each.channel), *figures, *more)
        out.print(table)


@source_app.command("list")
def send_list(
    file: Annotated[Path, typer.Argument(help="CSV with a cost, and barcode, ASIN or title; units where told")],
    wait: Wait = 120.0,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """A supplier's list: every row judged; what to buy of it, the best first."""
    with err.status("judging the list") as status:
        view, buy = _books().send_list(
            home_folder(home),
            _routing(),
            file,
            patience=wait,
            told=lambda so_far: status.update(f"judging the list: {so_far.decided:,} of {so_far.lines:,}"),
            tenant=tenant,
        )
    if as_json:
        print_json(view.model_dump(mode="json") | {"to_buy": [each.model_dump(mode="json") for each in buy]})
        return
    _show(buy)
    out.print(
        f"{view.decided:,} of {view.lines:,} rows judged: {view.buy:,} to buy, {view.leave:,} to leave,"
        f" {view.ask:,} to find something out about"
    )
    for each in view.problems[:10]:
        out.print(f"row {each.row}: {escape(each.why)}")


@source_app.command()
def past(
    q: Annotated[str | None, typer.Argument(help="a part of what was asked, or of the product")] = None,
    verdict: Annotated[Literal["buy", "pass", "ask"] | None, typer.Option(help="only these")] = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What was asked about, newest first (50 at most)."""
    found = _books().past(home_folder(home), q, verdict, tenant)
    if as_json:
        print_json({"items": [each.model_dump(mode="json") for each in found]})
    else:
        _show(found)


@source_app.command()
def reliability(tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """How often goods that were bought and sold earned what the interval told."""
    found = _books().reliability(home_folder(home), tenant)
    if as_json:
        print_json(found.model_dump(mode="json"))
    elif not found.outcomes:
        out.print("nothing that was advised on was bought and sold yet")
    else:
        out.print(
            f"{found.inside} of {found.outcomes} inside the interval ({found.inside / found.outcomes:.0%}, told"
            f" {found.told:.0%}); {found.below} earned less, {found.above} more"
        )


def _show(found: list[Any]) -> None:
    if not found:
        out.print("nothing")
        return
    table = Table("verdict", "asked", "product", "costs", "pay at most", "a unit earns", "chance")
    for each in found:
        earns = f"{each.low} to {each.high}" if each.low is not None else ""
        costs, most = str(each.cost or ""), str(each.most or "")
        chance = f"{each.chance:.0%}" if each.chance is not None else ""
        table.add_row(each.verdict or "", escape(each.asked), escape(each.product), costs, most, earns, chance)
    out.print(table)
