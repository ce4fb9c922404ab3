"""`flipsync payouts`: what channels paid out to the bank, and where that differs from the books."""

from __future__ import annotations

import importlib
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Column, Table

from flipsync.cli.console import AsJson, Home, out, print_json
from flipsync.embedded.instance import home_folder

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]


def payouts(
    payout: Annotated[UUID | None, typer.Argument(help="one of them, by its id: what it is made of")] = None,
    differences: Annotated[bool, typer.Option("--differences", help="where payouts and books differ")] = False,
    limit: Annotated[int, typer.Option(min=1, max=200, help="so many, the latest first")] = 50,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What channels paid out to your bank; what one payout is made of; or what does not agree with the books."""
    books: Any = importlib.import_module("flipsync.reports_on_books")
    if payout is not None:
        detail, lines = books.payout(home_folder(home), payout, limit, tenant)
        told = [each.model_dump(mode="json") for each in lines]
        print_json({"payout": detail.model_dump(mode="json"), "lines": told}) if as_json else _show_one(detail, lines)
        return
    found = (books.payment_differences if differences else books.payouts)(home_folder(home), limit, tenant)
    if as_json:
        name = "differences" if differences else "payouts"
        print_json({name: [each.model_dump(mode="json") for each in found]})
    elif differences:
        _show_differences(found)
    else:
        _show(found)


def _whole(title: str) -> Column:
    """Of amounts, which are never broken."""
    return Column(title, no_wrap=True, justify="right")


def _show(found: Any) -> None:
    if not found:
        out.print("no payout is known yet: channels that tell what they pay out are asked once a day")
        return
    table = Table("sent", "account", "state", *map(_whole, ("amount", "lines", "differs by")), "id")
    for each in found:
        beyond = "several currencies" if each.difference is None else str(each.difference)
        differs = beyond if each.difference is None or each.difference.amount_minor else ""
        told = (each.account, each.state, str(each.amount), str(each.lines), differs, str(each.id))
        table.add_row(f"{each.sent_at:%Y-%m-%d}", *map(escape, told))
    out.print(table)


def _show_one(detail: Any, lines: Any) -> None:
    bank = f" to {escape(detail.bank)}" if detail.bank else ""
    out.print(f"{detail.amount} from {escape(detail.account)}, {detail.state}, sent {detail.sent_at:%Y-%m-%d}{bank}")
    table = Table("booked", "kind", "order", *map(_whole, ("amount", "fee")), "the channel's word")
    for each in lines:
        order = each.order_number or each.order_external_id or ""
        told = (each.kind, order, str(each.amount), str(each.fee), each.vendor_kind)
        table.add_row(f"{each.booked_at:%Y-%m-%d}", *map(escape, told))
    out.print(table)
    if len(lines) < detail.lines:
        out.print(f"{detail.lines - len(lines)} more lines (--limit)")


def _show_differences(found: Any) -> None:
    if not found:
        out.print("nothing that is known of payouts differs from the books")
        return
    table = Table("at", "account", "order", *map(_whole, ("expected", "told")), "why")
    for each in found:
        amounts = ["" if amount is None else str(amount) for amount in (each.expected, each.told)]
        told = (each.account, each.order_external_id or "", *amounts, each.why)
        table.add_row(f"{each.at:%Y-%m-%d}", *map(escape, told))
    out.print(table)
