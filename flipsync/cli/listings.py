"""`flipsync listings`: how good they are, and what would help most."""

from __future__ import annotations

import importlib
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from flipsync.cli.console import AsJson, Home, out, print_json
from flipsync.embedded.instance import home_folder

listings_app = typer.Typer(no_args_is_help=True, help="What is on sale, and what it lacks.")


@listings_app.command()
def quality(
    sku: Annotated[str | None, typer.Argument(help="its listings in full; default: all, what helps most first")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 30,
    tenant: Annotated[str | None, typer.Option(help="business (default: the newest)")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """How good listings are from 0 to 1, by which checks, and what is done about it by whom."""
    reading = importlib.import_module("flipsync.services.reading_quality")

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.reader(tenant_id) as session:
            now = store.clock.now()
            found = await reading.worst(session, now, limit, sku)
            return found, [await reading.quality(session, each.listing_id, now) for each in found if sku is not None]

    books = importlib.import_module("flipsync.commands_on_books")
    found, whole = books.in_books(home_folder(home), {}, tenant, work)
    if as_json:
        shown = [each.model_dump(mode="json") for each in (whole if sku is not None else found)]
        print_json({"items": shown})
        return
    if not found:
        out.print(
            "nothing is for sale under that SKU" if sku else "nothing lacks anything that can be seen in the books"
        )
        return
    table = Table("SKU", "channel", "status", "score", "what helps most", "by whom", "minutes", "sales a week")
    for each in found:
        step = ("", "", "") if each.step is None else (each.step.says, each.step.by, str(each.step.minutes))
        gain = "" if each.gain_a_week is None else f"+{each.gain_a_week}"
        figures = (each.status, f"{each.score:.2f}")
        table.add_row(escape(each.sku), escape(each.account), *figures, escape(step[0]), *step[1:], gain)
    out.print(table)
    for each in whole:
        for check in each.checks:
            mark = "[green]ok[/]" if check.value >= 1 else f"[yellow]{check.value:.1f}[/]"
            out.print(
                f"{mark} {check.check} (weight {check.weight:g}) {escape(check.says)} [dim]{escape(check.source)}[/]"
            )
