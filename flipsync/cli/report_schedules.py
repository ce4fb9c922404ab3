"""`flipsync reports`: reports that are made by themselves, and go to where you are told of things."""

from __future__ import annotations

import importlib
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from flipsync.cli.console import AsJson, Home, err, out, print_json
from flipsync.embedded.instance import home_folder

reports_app = typer.Typer(no_args_is_help=True, help="Reports that are made by themselves: schedule, list, end.")

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]
Email = Annotated[str | None, typer.Option("--for", help="mail address of the user it is for (default: an owner)")]


@reports_app.command("schedule")
def schedule(
    kind: Annotated[str, typer.Argument(help="sales, profit, stock, tax, customers or cohorts")],
    rhythm: Annotated[str, typer.Option("--every", help="daily, weekly or monthly")] = "weekly",
    at: Annotated[str, typer.Option("--at", help="time of day in the business's time zone")] = "07:00",
    form: Annotated[str, typer.Option("--format", help="csv, xlsx or pdf")] = "pdf",
    weekday: Annotated[str | None, typer.Option(help="of a weekly one (default: monday)")] = None,
    day: Annotated[int | None, typer.Option(help="of the month, of a monthly one (default: the first)")] = None,
    email: Email = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Have a report made by itself. It goes by mail with its file, elsewhere as a word that it is there."""
    wish = {"kind": kind, "rhythm": rhythm, "at": at, "format": form, "weekday": weekday, "day": day}
    with err.status("writing it down"):
        view = _books().schedule(home_folder(home), wish, email, tenant)
    if as_json:
        print_json(view.model_dump(mode="json"))
    else:
        out.print(f"{escape(view.title)} for {escape(view.email)}: next {view.next_at:%Y-%m-%d %H:%M} UTC ({view.id})")


@reports_app.command("schedules")
def schedules(tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """Everybody's, newest first, with the newest report of each."""
    with err.status("looking through the books"):
        found, runs = _books().schedules(home_folder(home), tenant)
    if as_json:
        print_json([each.model_dump(mode="json") | {"newest": runs.get(each.id)} for each in found])
        return
    table = Table(box=None, pad_edge=False)
    for title in ("id", "report", "for", "when", "next (UTC)", "newest"):
        table.add_column(title)
    for each in found:
        when = " ".join(str(word) for word in (each.rhythm, each.weekday or each.day, each.at) if word is not None)
        following = each.why_ended if each.next_at is None else f"{each.next_at:%Y-%m-%d %H:%M}"
        newest = runs.get(each.id)
        state = "" if newest is None else f"{newest['last']} {newest['state']} {newest['detail']}".strip()
        told = (f"{each.kind} ({each.format})", each.email, when, following, state)
        table.add_row(str(each.id), *(escape(text) for text in told))
    out.print(table if found else "nobody has scheduled a report")


@reports_app.command("end")
def end(
    schedule_id: Annotated[UUID, typer.Argument(help="as `flipsync reports schedules` shows it")],
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """No more of it is made; what was made is kept for its time."""
    view = _books().end(home_folder(home), schedule_id, tenant)
    print_json(view.model_dump(mode="json")) if as_json else out.print(f"{escape(view.title)}: {view.why_ended}")


def _books() -> Any:
    return importlib.import_module("flipsync.reports_on_books")
