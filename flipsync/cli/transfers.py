"""`flipsync transfers`: units that go from the shelf to a channel's own warehouse."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from flipsync.cli.console import AsJson, Home, out, print_json, roster_routing
from flipsync.domain.errors import NotFound
from flipsync.embedded.instance import home_folder

transfers_app = typer.Typer(no_args_is_help=True, help="Units on their way to a channel's own warehouse (Amazon FBA).")
Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]
Which = Annotated[str, typer.Argument(help="number (TR-3) or id")]
_MOST = 200


@transfers_app.command("list")
def list_(
    every: Annotated[bool, typer.Option("--every", help="also what arrived or was called off")] = False,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What is planned or on its way, newest first, 200 at most."""
    reading = _service("reading_transfers")

    async def work(store: Any, tenant_id: UUID) -> Any:
        page = _service("reading_page").SortedRequest(limit=_MOST)
        async with store.reader(tenant_id) as session:
            return await reading.list_transfers(session, page, reading.TransferFilter(open=None if every else True))

    found = _in_books(home, {}, tenant, work)
    if as_json:
        print_json({"items": [each.model_dump(mode="json") for each in found.items]})
        return
    if not found.items:
        out.print("nothing is on its way")
        return
    table = Table("transfer", "goods", "to", "state", "planned", "sent", "received", "missing", "due")
    for each in found.items:
        due = "" if each.due_at is None else f"{each.due_at:%Y-%m-%d}"
        figures = [str(number) for number in (each.planned, each.sent, each.received, each.missing)]
        table.add_row(f"TR-{each.number}", escape(each.sku), each.to_pool, each.state, *figures, due)
    out.print(table)


@transfers_app.command()
def show(which: Which, tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """One transfer."""
    reading = _service("reading_transfers")

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.reader(tenant_id) as session:
            return await reading.get_transfer(session, await reading.named(session, which))

    _tell(_in_books(home, {}, tenant, work), as_json)


@transfers_app.command()
def plan(
    sku: Annotated[str, typer.Argument(help="the goods")],
    units: Annotated[int, typer.Argument(help="how many", min=1)],
    channel: Annotated[str, typer.Argument(help="name or id of the channel whose warehouse they go to")],
    note: Annotated[str, typer.Option(help="for whoever packs them")] = "",
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Set units aside: channels are given fewer of them. `send` says that they left."""
    accounts, suppliers = _service("accounts"), importlib.import_module("flipsync.store.repositories.suppliers")
    books = importlib.import_module("flipsync.commands_on_books")

    async def change(unit: Any) -> UUID:
        goods = (await suppliers.by_sku(unit.session, [sku])).get(sku)
        if goods is None:
            raise NotFound(f"no goods have the SKU {sku!r}")
        account = books.channel_named(await accounts.list_accounts(unit.session), channel)
        made = await _service("transfers").plan(unit, goods[0], units, account.id, note=note)
        return UUID(str(made.id))

    _tell(_change(home, tenant, change), as_json)


@transfers_app.command()
def send(
    which: Which,
    units: Annotated[int | None, typer.Option(help="how many (default: all that was planned)", min=1)] = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """They are on their way: off the shelf, and received when the channel has them for sale."""

    async def change(unit: Any) -> UUID:
        found = await _service("reading_transfers").named(unit.session, which)
        return UUID(str((await _service("transfers").send(unit, found, units=units)).id))

    _tell(_change(home, tenant, change), as_json)


@transfers_app.command()
def cancel(
    which: Which,
    reason: Annotated[str, typer.Option(help="why")] = "",
    came_back: Annotated[int, typer.Option(help="of what was sent, on the shelf again", min=0)] = 0,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Call it off; of one that was sent, what has not arrived is given up."""

    async def change(unit: Any) -> UUID:
        found = await _service("reading_transfers").named(unit.session, which)
        ended = await _service("transfers").cancel(unit, found, reason, came_back=came_back)
        return UUID(str(ended.id))

    _tell(_change(home, tenant, change), as_json)


def _tell(view: Any, as_json: bool) -> None:
    if as_json:
        print_json(view.model_dump(mode="json"))
        return
    out.print(f"[bold]TR-{view.number}[/]  {escape(view.sku)} from {view.from_pool} to {view.to_pool}: {view.state}")
    out.print(f"planned {view.planned}, sent {view.sent}, received {view.received}", end="")
    more = (("under way", view.under_way), ("came back", view.came_back), ("missing", view.missing))
    out.print("".join(f", {name} {units}" for name, units in more if units))
    if view.due_at is not None and view.state == "sent":
        out.print(f"told as missing after {view.due_at:%Y-%m-%d}")
    for text in (view.note, view.reason):
        if text:
            out.print(escape(text))


def _service(name: str) -> Any:
    return importlib.import_module(f"flipsync.services.{name}")


def _change(home: Any, tenant: str | None, change: Callable[[Any], Awaitable[UUID]]) -> Any:
    """Do it, and the transfer as it is then."""

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.unit(tenant_id) as unit:
            return await _service("reading_transfers").get_transfer(unit.session, await change(unit))

    return _in_books(home, roster_routing(), tenant, work)


def _in_books(home: Any, routing: Any, tenant: str | None, work: Any) -> Any:
    books = importlib.import_module("flipsync.commands_on_books")
    return books.in_books(home_folder(home), routing, tenant, work)
