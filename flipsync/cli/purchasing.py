"""`flipsync suppliers` and `flipsync purchasing`: who sells to you, and what is on its way."""

from __future__ import annotations

import importlib
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from flipsync.cli.console import AsJson, Home, out, print_json
from flipsync.embedded.instance import home_folder

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]
_MOST = 200


def suppliers(tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """Who sells to you and how long they take, newest first (200 at most)."""
    reading = importlib.import_module("flipsync.services.reading_purchasing")

    async def work(store: Any, session: Any) -> Any:
        return await reading.list_suppliers(session, _page(), reading.SupplierFilter(), store.clock.now())

    found = _read(home, tenant, work)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    table = Table("supplier", "orders go", "days", "nine in ten", "seen in", "takes at least")
    for each in found.items:
        lead = each.lead_time
        days = (f"{lead.mean_days:.1f}", f"{lead.nine_in_ten_days:.1f}", f"{lead.orders} orders")
        way = escape(each.email) if each.email else "by your hand"
        name = escape(each.name) if each.active else f"[dim]{escape(each.name)} (not any more)[/]"
        table.add_row(name, way, *days, str(each.least_order))
    out.print(table)


def purchasing(
    every: Annotated[bool, typer.Option("--every", help="also what arrived or was called off")] = False,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Orders with suppliers that are not done yet, newest first (of the newest 200); `flipsync why PO-1` says why."""
    reading = importlib.import_module("flipsync.services.reading_purchasing")

    async def work(store: Any, session: Any) -> Any:
        return await reading.list_orders(session, _page(), reading.OrderFilter(), costs=True)

    found = _read(home, tenant, work)
    shown = [each for each in found.items if every or each.state not in ("received", "cancelled")]
    if as_json:
        print_json({"items": [each.model_dump(mode="json") for each in shown]})
        return
    if not shown:
        out.print("nothing is on its way")
        return
    table = Table("order", "supplier", "state", "mail", "expected", "goods", "what")
    for each in shown:
        expected = "" if each.expected_at is None else f"{each.expected_at:%Y-%m-%d}"
        what = ", ".join(f"{line.received}/{line.units} {line.sku}" for line in each.lines[:3])
        more = f", {len(each.lines) - 3} more" if len(each.lines) > 3 else ""
        state = (each.state.replace("_", " "), "" if each.mail == "none" else each.mail, expected)
        table.add_row(f"PO-{each.number}", escape(each.supplier), *state, str(each.goods), escape(what + more))
    out.print(table)


def _page() -> Any:
    return importlib.import_module("flipsync.services.reading_page").SortedRequest(limit=_MOST)


def _read(home: Any, tenant: str | None, work: Any) -> Any:
    async def reading(store: Any, tenant_id: UUID) -> Any:
        async with store.reader(tenant_id) as session:
            return await work(store, session)

    return importlib.import_module("flipsync.commands_on_books").in_books(home_folder(home), {}, tenant, reading)
