"""`flipsync keys`: the keys that secrets are sealed with, changed for new ones."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from flipsync.cli.console import AsJson, Home, err, out, print_json
from flipsync.embedded.instance import home_folder

keys_app = typer.Typer(no_args_is_help=True, help="Keys that secrets at rest are sealed with: look, rotate, drop.")


@keys_app.command("list")
def list_keys(home: Home = None, as_json: AsJson = False) -> None:
    """Which keys there are, by their names, and how many secrets each of them seals."""
    with err.status("looking through the books"):
        view = _books().look(home_folder(home))
    if as_json:
        print_json(_told(view))
    else:
        _show(view)


@keys_app.command("rotate")
def rotate(home: Home = None, as_json: AsJson = False) -> None:
    """Make a new key and seal everything with it: credentials, second factors, destinations, labels.

    FlipSync must not run meanwhile. Cut off, it goes on when called again. Earlier keys stay: `flipsync keys drop`.
    """
    number = 0
    with err.status("sealing anew") as status:

        def tell(more: int) -> None:
            nonlocal number
            number += more
            status.update(f"sealing anew: {number:,}")

        view = _books().rotate(home_folder(home), tell)
    told = _told(view) | {
        "made": view.made,
        "resealed": dict(view.resealed.done),
        "unreadable": view.resealed.unreadable,
    }
    if as_json:
        print_json(told)
    else:
        out.print(f"{'a new key, ' if view.made else 'gone on with '}{view.names[0]}: {number:,} secrets sealed anew")
        for each in view.resealed.unreadable:
            out.print(f"[red]not opened[/]: {escape(each)}")
        _show(view)
    if view.resealed.unreadable:
        raise typer.Exit(1)


@keys_app.command("drop")
def drop(home: Home = None, as_json: AsJson = False) -> None:
    """Let the keys go that seal nothing any more. Backups from before bring their own, if they have a passphrase."""
    with err.status("looking through the books"):
        gone, view = _books().drop(home_folder(home))
    if as_json:
        print_json(_told(view) | {"dropped": gone})
    else:
        out.print(f"dropped {', '.join(gone)}" if gone else "every key seals something, or is the newest")


def _books() -> Any:
    return importlib.import_module("flipsync.keys_on_books")


def _told(view: Any) -> dict[str, Any]:
    held = {kind: dict(counted) for kind, counted in view.held.items() if counted}
    return {"keys": [{"name": name, "seals": view.under(name)} for name in view.names], "secrets": held}


def _show(view: Any) -> None:
    table = Table("key", "seals", "of them")
    for place, name in enumerate(view.names):
        kinds = ", ".join(f"{counted[name]:,} {kind}" for kind, counted in view.held.items() if counted[name])
        table.add_row(name if place else f"{name} (newest)", f"{view.under(name):,}", kinds)
    known = set(view.names)
    for kind, counted in view.held.items():
        for name in counted.keys() - known:
            table.add_row(f"[red]{name}, which is not here[/]", f"{counted[name]:,}", kind)
    out.print(table)
