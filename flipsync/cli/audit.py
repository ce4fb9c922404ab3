"""`flipsync audit`: whether the audit log is as it was written."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from flipsync.cli.console import AsJson, Home, out, print_json
from flipsync.embedded.instance import home_folder

audit_app = typer.Typer(no_args_is_help=True, help="The audit log.")


@audit_app.callback()
def _group() -> None:
    """A group even while it has one command."""


@audit_app.command("verify")
def verify(
    tenant: Annotated[str | None, typer.Option(help="business (default: all of them)")] = None,
    anchor: Annotated[
        str | None, typer.Option(help="SEQ:HASH, the head of an earlier run; needs --tenant", metavar="SEQ:HASH")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Check every line against the hash chain; exit code 1 names the lines that were changed or are missing.

    Who owns the database could write the whole log anew: keep the printed head elsewhere, and give it as --anchor.
    """
    books = importlib.import_module("flipsync.commands_on_books")
    verdicts = books.verify_audit(home_folder(home), tenant, anchor)
    intact = all(verdict.intact for verdict in verdicts.values())
    if as_json:
        told = [
            {"tenant_id": str(tenant_id), "intact": verdict.intact, **asdict(verdict)}
            for tenant_id, verdict in verdicts.items()
        ]
        print_json({"intact": intact, "businesses": told})
    else:
        for tenant_id, verdict in verdicts.items():
            out.print(f"{tenant_id}  {verdict.entries} entries, head {verdict.head_seq}:{verdict.head}")
            for fault in verdict.faults:
                out.print(f"  [red]line {fault.seq}[/] {fault.entry_id or ''}: {escape(fault.what)}")
        out.print("intact" if intact else "[red]not intact[/]")
    if not intact:
        raise typer.Exit(1)
