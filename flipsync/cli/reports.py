"""`flipsync report`: sales, profit, stock, tax or customers as a table, or as a file to keep."""

from __future__ import annotations

import importlib
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from flipsync.cli.console import AsJson, Home, err, out, print_json
from flipsync.embedded.instance import home_folder

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]


def report(
    kind: Annotated[
        Literal["sales", "profit", "stock", "tax", "customers", "cohorts"], typer.Argument(help="what it is about")
    ],
    first: Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="day")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="day, with it")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="file to write")] = None,
    xlsx: Annotated[Path | None, typer.Option("--xlsx", help="file to write")] = None,
    pdf: Annotated[Path | None, typer.Option("--pdf", help="file to write")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="hold the figures against a slow recount of every order; exit code 1")
    ] = False,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Sales by day and channel, profit after fees by SKU, stock by age, tax by month, customers by segment or
    by the month of their first order; the last 28 days unless told."""
    books: Any = importlib.import_module("flipsync.reports_on_books")
    files: Any = importlib.import_module("flipsync.services.report_files")
    days = (None if first is None else first.date(), None if last is None else last.date())
    if check:
        with err.status("counting every order anew"):
            compared, wrong = books.check(home_folder(home), *days, tenant)
        print_json({"compared": compared, "differences": wrong}) if as_json else out.print(
            f"{compared:,} days by channel and SKU, customers and cohorts recounted from the books: {wrong:,} differ"
        )
        sys.exit(1 if wrong else 0)
    with err.status("looking through the books"):
        found = books.report(home_folder(home), kind, *days, tenant)
    wanted = {form: path for form, path in (("csv", csv), ("xlsx", xlsx), ("pdf", pdf)) if path is not None}
    for form, path in wanted.items():
        _write(path, files.write(found, form))
    if as_json:
        print_json(
            found.model_dump(mode="json") | ({"files": [str(path) for path in wanted.values()]} if wanted else {})
        )
    elif wanted:
        out.print(f"{len(found.rows):,} rows written to {escape(', '.join(str(path) for path in wanted.values()))}")
    else:
        _show(found, files)


def _show(found: Any, files: Any) -> None:
    span = found.last if found.first is None else f"{found.first} to {found.last}"
    table = Table(title=escape(f"{found.title}, {span}"), box=None, pad_edge=False, title_justify="left")
    for column in found.columns:
        table.add_column(column.title, justify="left" if column.kind in ("text", "date") else "right")
    for row in files.cells(found):
        table.add_row(*(escape(cell) for cell in row))
    out.print(table)
    if not found.rows:
        out.print("nothing in these days")


def _write(path: Path, content: bytes) -> None:
    """A file only its owner reads: it is what the business earns."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def add_to(app: typer.Typer) -> None:
    app.command()(report)
