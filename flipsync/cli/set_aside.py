"""`flipsync agents set-aside` and `release`: work that failed every time and orders that cannot be read, looked at and
tried again."""

from __future__ import annotations

import importlib
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from flipsync.cli.console import AsJson, Home, out, print_json
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.embedded.instance import home_folder

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]


def set_aside(
    agent: Annotated[str | None, typer.Option(help="only of this agent")] = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What an agent could not deal with, and orders of channels that cannot be read; newest first (200 at most of
    each), with the error. Everything else went on without them."""
    services = importlib.import_module("flipsync.services.set_aside")
    held = importlib.import_module("flipsync.services.held_orders")
    page = importlib.import_module("flipsync.services.reading_page").PageRequest(limit=200)

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.reader(tenant_id) as session:
            orders = await held.list_held(session, page, held.HeldOrderFilter()) if agent is None else None
            return await services.list_set_aside(session, page, services.SetAsideFilter(agent=agent)), orders

    found, orders = importlib.import_module("flipsync.commands_on_books").in_books(home_folder(home), {}, tenant, work)
    unread = [] if orders is None else orders.items
    if as_json:
        print_json(
            {
                "items": [each.model_dump(mode="json") for each in found.items],
                "orders": [each.model_dump(mode="json") for each in unread],
            }
        )
        return
    if not found.items and not unread:
        out.print("nothing is set aside")
    for each in found.items:
        out.print(f"[bold]{each.id}[/]  {each.agent}: {each.event}, tried {each.attempts} times")
        out.print(f"  {escape(each.error)}")
    for each in unread:
        named = each.external_id or "without a readable id"
        out.print(f"[bold]{each.id}[/]  {escape(each.account)}: order {escape(named)} cannot be read")
        out.print(f"  {escape(each.reason)}")
        out.print(f"  {escape(each.told)}")


def release(
    item: Annotated[str, typer.Argument(metavar="ID", help="`flipsync agents set-aside` lists them")],
    by_hand: Annotated[
        bool, typer.Option("--by-hand", help="of an unread order: you booked it, its units are counted")
    ] = False,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Let the agent try it again, as if for the first time; an order that cannot be read is asked for once more."""
    try:
        item_id = UUID(item)
    except ValueError:
        raise InvalidInput(f"{item!r} is not the id of what is set aside", hint="flipsync agents set-aside") from None
    services = importlib.import_module("flipsync.services.set_aside")
    held = importlib.import_module("flipsync.services.held_orders")

    async def work(store: Any, tenant_id: UUID) -> None:
        async with store.unit(tenant_id) as unit:
            try:
                await held.answer(unit, item_id, held.HeldOrderAnswer(booked_by_hand=by_hand))
            except NotFound:
                if by_hand:
                    raise
                await services.release(unit, item_id)

    importlib.import_module("flipsync.commands_on_books").in_books(home_folder(home), {}, tenant, work)
    if as_json:
        print_json({"released": item, "by_hand": by_hand})
        return
    out.print(f"{item_id} is dealt with" if by_hand else f"{item_id} is tried again")
