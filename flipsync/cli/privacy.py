"""`flipsync privacy`: what is held about a person, handed over or forgotten, and how long it is kept."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from flipsync.cli.console import AsJson, Home, err, out, print_json
from flipsync.domain.errors import InvalidInput
from flipsync.embedded.instance import home_folder
from flipsync.embedded.secret_file import write_private

privacy_app = typer.Typer(no_args_is_help=True, help="Personal data: hand over, forget, keep no longer than wanted.")

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]
Order = Annotated[str | None, typer.Option("--order", help="the id here of an order of the buyer's")]
Email = Annotated[str | None, typer.Option("--email", help="the buyer's mail address, as on an order")]
BuyerId = Annotated[str | None, typer.Option("--buyer-id", help="the channel's name for the buyer")]
Vendor = Annotated[str | None, typer.Option("--vendor", help="whose name --buyer-id is")]


@privacy_app.command("export")
def export(
    to: Annotated[Path, typer.Option("--to", help="file to write: .json, or .zip with labels as files")],
    order: Order = None,
    email: Email = None,
    buyer_id: BuyerId = None,
    vendor: Vendor = None,
    user: Annotated[str | None, typer.Option("--user", help="a user's mail address, in place of a buyer")] = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Write down all that is held about a buyer, or about a user. Only you can read the file."""
    if to.suffix not in (".json", ".zip"):
        raise InvalidInput(f"{to.name} is neither .json nor .zip")
    books = _books()
    with err.status("looking through the books"):
        found = (
            books.export_user(home_folder(home), user, tenant)
            if user is not None
            else books.export_buyer(home_folder(home), _whom(order, email, buyer_id, vendor), tenant)
        )
    if to.suffix == ".zip":
        write_private(to, "")
        to.write_bytes(importlib.import_module("flipsync.services.privacy_export").as_zip(found))
    else:
        write_private(to, found.model_dump_json(indent=2) + "\n")
    if as_json:
        print_json({"file": str(to), "records": {kind: len(rows) for kind, rows in found.records.items()}})
    else:
        out.print(f"written to {escape(str(to))}")


@privacy_app.command("erase")
def erase(
    order: Order = None,
    email: Email = None,
    buyer_id: BuyerId = None,
    vendor: Vendor = None,
    user: Annotated[str | None, typer.Option("--user", help="a user's mail address, in place of a buyer")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask: it cannot be taken back")] = False,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Forget a buyer, or a user, for good and everywhere. Of a buyer sums, taxes and goods stay, and orders under way
    wait for their end; of a user what they did, under an id that names nobody."""
    if user is not None:
        _erase_user(user, yes, tenant, home, as_json)
        return
    whom = _whom(order, email, buyer_id, vendor)
    if not yes:
        typer.confirm("Forget this buyer for good?", abort=True)
    with err.status("looking through the books"):
        done = _books().erase(home_folder(home), whom, tenant)
    if as_json:
        print_json({"orders_erased": done.orders, "orders_waiting": done.waiting, "rows": done.rows})
    else:
        out.print(f"forgotten in {done.orders} orders; {done.waiting} wait until they are over")


def _erase_user(email: str, yes: bool, tenant: str | None, home: Path | None, as_json: bool) -> None:
    if not yes:
        typer.confirm(f"Forget {email} for good?", abort=True)
    with err.status("looking through the books"):
        changed = _books().erase_user(home_folder(home), email, tenant)
    if as_json:
        print_json({"rows": changed})
    else:
        out.print(
            f"forgotten in {sum(changed.values())} rows, {changed.get('audit_entry', 0)} of them of the audit log"
        )


@privacy_app.command("retention")
def retention(
    run: Annotated[bool, typer.Option("--run", help="do one bounded run now; a running system does each hour")] = False,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """How long buyers are remembered, and what is due. Amazon's are forgotten within 30 days after delivery."""
    books = _books()
    told: dict[str, Any] = {}
    if run:
        with err.status("forgetting what has had its time"):
            done = books.run_retention(home_folder(home), tenant)
        told = {"orders_erased": done.orders, "pruned": done.pruned, "more": done.more}
    view = books.look_at_retention(home_folder(home), tenant)
    if as_json:
        print_json(view.model_dump(mode="json") | told)
        return
    if run:
        out.print(f"buyers of {done.orders} orders forgotten; pruned {done.pruned or 'nothing'}")
    others = f"{view.choices.buyer_days} days" if view.choices.buyer_days else "until somebody asks"
    out.print(f"kept after an order is over: Amazon {view.choices.amazon_days} days, others {others}")
    out.print(f"due: {view.orders_due} orders; {view.orders_waiting} more were asked for")


@privacy_app.command("tombstones")
def tombstones(
    to: Annotated[
        Path, typer.Option("--to", help="file to write, one order or user a line; keep it apart from the books")
    ],
    tenant: Tenant = None,
    home: Home = None,
) -> None:
    """Who was forgotten, without names: `flipsync restore --erasures FILE` forgets them again in older books."""
    known = _books().read_tombstones(home_folder(home), tenant)
    write_private(to, "".join(f"{json.dumps(each, default=_plain)}\n" for each in known))
    out.print(f"{len(known)} tombstones in {escape(str(to))}")


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _whom(order: str | None, email: str | None, buyer_id: str | None, vendor: str | None) -> Any:
    if not (order or email or buyer_id):
        raise InvalidInput("whom is it about?", hint="give --order, --email or --buyer-id")
    try:
        order_id = UUID(order) if order else None
    except ValueError:
        raise InvalidInput(f"{order!r} is not the id of an order") from None
    return importlib.import_module("flipsync.services.erasure").Buyer(order_id, email, buyer_id, vendor)


def _books() -> Any:
    return importlib.import_module("flipsync.privacy_on_books")
