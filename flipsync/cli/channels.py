"""`flipsync channels`: connect a sales channel, look at it, try it, let it go.

Secrets come from a JSON file, from standard input, from the environment (FLIPSYNC_CHANNEL_<NAME>) or from a hidden
prompt; never from the command line, which other processes can read.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from flipsync.cli.console import AsJson, Home, err, out, print_json
from flipsync.domain.errors import InvalidInput
from flipsync.embedded.instance import home_folder

channels_app = typer.Typer(no_args_is_help=True, help="Sales channels: connect, list, probe, disconnect.")

_ENVIRONMENT = "FLIPSYNC_CHANNEL_"

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]
BaseUrl = Annotated[str | None, typer.Option(help="where the channel's API is")]
TokenUrl = Annotated[str | None, typer.Option(help="where access tokens come from, if not the vendor's own")]
NotificationUrl = Annotated[str | None, typer.Option(help="where notifications are fetched or managed, if elsewhere")]
CaFile = Annotated[Path | None, typer.Option(help="PEM file of a private certificate authority")]
Currency = Annotated[str, typer.Option(help="the channel sells in")]
Choices = Annotated[list[str] | None, typer.Option("--option", help="NAME=VALUE, a setting of the vendor's; repeat it")]
Credentials = Annotated[
    str | None, typer.Option("--credentials", help="JSON file of names to secrets, or - for standard input")
]
Pace = Annotated[float, typer.Option(min=0.01, help="requests a second, where the vendor has no documented limits")]


def _config(vendor: str, base_url: str | None, currency: str, choices: list[str] | None, **more: Any) -> Any:
    """An AccountConfig, or InvalidInput that says which option is wrong."""
    marketplaces = importlib.import_module("flipsync.connectors.marketplaces")
    base = importlib.import_module("flipsync.connectors.base")
    if vendor not in marketplaces.vendors():
        raise InvalidInput(f"{vendor!r} is not a vendor", hint=f"one of: {', '.join(marketplaces.vendors())}")
    if base_url is None:
        raise InvalidInput("the channel's address is missing", hint="give it with --base-url")
    options = {}
    for choice in choices or []:
        name, sign, value = choice.partition("=")
        if not sign or not name:
            raise InvalidInput(f"--option {choice!r} is not NAME=VALUE")
        options[name] = value
    given = {name: value for name, value in more.items() if value is not None}
    try:
        return base.AccountConfig(vendor=vendor, base_url=base_url, currency=currency.upper(), options=options, **given)
    except ValidationError as error:
        first = error.errors()[0]
        field = "-".join(str(part) for part in first["loc"]).replace("_", "-")
        raise InvalidInput(f"--{field}: {first['msg']}") from None


def _credentials(vendor: str, source: str | None) -> dict[str, str]:
    """What the vendor's connector needs, from wherever it was given; asks for the rest when somebody is there."""
    known = {
        name.removeprefix(_ENVIRONMENT).lower(): value
        for name, value in os.environ.items()
        if name.startswith(_ENVIRONMENT) and value
    }
    if source is not None:
        try:
            text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
            told = json.loads(text)
        except (OSError, ValueError) as error:
            raise InvalidInput(f"the credentials cannot be read: {error}", hint="a JSON object of texts") from None
        if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
            raise InvalidInput("the credentials are not a JSON object of texts")
        known |= told
    needed = importlib.import_module("flipsync.connectors.marketplaces").connector_class(vendor).needs
    missing = [name for name in needed if not known.get(name)]
    if missing and (source is not None or not sys.stdin.isatty()):
        variables = " ".join(f"{_ENVIRONMENT}{name.upper()}" for name in missing)
        raise InvalidInput(
            f"credentials are missing: {', '.join(missing)}", hint=f"give --credentials FILE, or set {variables}"
        )
    for name in missing:
        known[name] = typer.prompt(name, hide_input=True, err=True)
    return known


def _show_faults(faults: Any) -> None:
    """What the channel watch found, and what to do about it."""
    for fault in faults:
        since = fault.since.isoformat(timespec="seconds")
        out.print(f"  [red]{fault.cause}[/] {escape(fault.says)}, since {since}")
        for line in fault.evidence:
            out.print(f"    [dim]{escape(line)}[/]")
        out.print(f"    what to do: {escape(fault.hint)}")


def _show(told: Any) -> None:
    """One probe, for people."""
    channel = told.channel
    if channel is not None:
        out.print(f"{escape(channel.name)} {escape(channel.version)}  sells in {channel.currency}, {channel.timezone}")
        for note in channel.notes:
            out.print(f"  [yellow]note[/] {escape(note)}")
    table = Table(box=None, pad_edge=False)
    for title in ("check", "", "ms", "detail", "what to do"):
        table.add_column(title, overflow="fold")
    for check in told.checks:
        mark = "[green]ok[/]" if check.ok else "[red]failed[/]"
        table.add_row(check.name, mark, str(check.milliseconds), escape(check.detail), escape(check.hint))
    out.print(table)


@channels_app.command("connect")
def connect(
    vendor: Annotated[str, typer.Argument(help="which protocol the channel speaks")],
    name: Annotated[str, typer.Option(help="what you call it")],
    base_url: BaseUrl = None,
    currency: Currency = "USD",
    credentials: Credentials = None,
    token_url: TokenUrl = None,
    notification_url: NotificationUrl = None,
    ca_file: CaFile = None,
    option: Choices = None,
    requests_per_second: Pace = 25.0,
    stock_mode: Annotated[str, typer.Option(help="escrow (never oversold) or pooled")] = "escrow",
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Try the channel, and when it can be read, put it in the books: the agents take it from there."""
    if stock_mode not in ("escrow", "pooled"):
        raise InvalidInput(f"{stock_mode!r} is not a stock mode", hint="escrow or pooled")
    config = _config(
        vendor,
        base_url,
        currency,
        option,
        token_url=token_url,
        notification_url=notification_url,
        ca_file=None if ca_file is None else str(ca_file.resolve()),
        requests_per_second=requests_per_second,
    )
    secrets = _credentials(vendor, credentials)
    books = importlib.import_module("flipsync.commands_on_books")
    assembly = importlib.import_module("flipsync.runtime.assembly")
    graph = importlib.import_module("flipsync.runtime.graph").Graph(assembly.load_roster("agents:ROSTER"))
    with err.status(f"trying {escape(str(config.base_url))}") if err.is_terminal else _quiet():
        account_id, told = books.connect_channel(
            home_folder(home), graph.routing(), config, secrets, name=name, stock_mode=stock_mode, tenant=tenant
        )
    if as_json:
        print_json({"account_id": str(account_id), "name": name, "vendor": vendor, "probe": told.as_dict()})
        return
    _show(told)
    out.print(f"{escape(name)} is connected as {account_id}")


@channels_app.command("list")
def list_channels(tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """The connected channels and how they are."""
    books = importlib.import_module("flipsync.commands_on_books")
    found = books.list_channels(home_folder(home), tenant)
    if as_json:
        print_json({"channels": [channel.as_dict() for channel in found]})
        return
    if not found:
        out.print("no channel is connected: `flipsync channels connect --help`")
        return
    for channel in found:
        colour = {"connected": "green", "paused": "yellow"}.get(channel.status, "dim")
        state = channel.status + (f": {channel.status_reason}" if channel.status_reason else "")
        last = "never" if channel.last_ok_at is None else channel.last_ok_at.isoformat(timespec="seconds")
        out.print(
            f"[bold]{escape(channel.name)}[/]  {channel.vendor}  [{colour}]{escape(state)}[/]  {channel.stock_mode}"
        )
        out.print(f"  [dim]{channel.config.base_url}  orders looked at {last}  {channel.id}[/]")
        _show_faults(channel.faults)


@channels_app.command("probe")
def probe(
    channel: Annotated[str, typer.Argument(help="name or id of a connected channel; or a vendor, with --base-url")],
    base_url: BaseUrl = None,
    currency: Currency = "USD",
    credentials: Credentials = None,
    token_url: TokenUrl = None,
    notification_url: NotificationUrl = None,
    ca_file: CaFile = None,
    option: Choices = None,
    requests_per_second: Pace = 25.0,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Check credentials, permissions and every read; changes nothing that stays. Exit code 1 when one fails."""
    books = importlib.import_module("flipsync.commands_on_books")
    with err.status("asking the channel") if err.is_terminal else _quiet():
        if base_url is None:
            told, faults = books.probe_channel(home_folder(home), channel, tenant)
        else:
            config = _config(
                channel,
                base_url,
                currency,
                option,
                token_url=token_url,
                notification_url=notification_url,
                ca_file=None if ca_file is None else str(ca_file.resolve()),
                requests_per_second=requests_per_second,
            )
            told, faults = books.try_channel(config, _credentials(channel, credentials)), []
    if as_json:
        print_json(told.as_dict() | {"faults": [fault.as_dict() for fault in faults]})
    else:
        _show(told)
        _show_faults(faults)
    raise typer.Exit(0 if told.healthy else 1)


@channels_app.command("disconnect")
def disconnect(
    channel: Annotated[str, typer.Argument(help="name or id of a connected channel")],
    reason: Annotated[str, typer.Option(help="for the books")] = "disconnected on the command line",
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Forget its credentials for good. Orders and history stay; goods stay on sale there until somebody ends them."""
    books = importlib.import_module("flipsync.commands_on_books")
    account, changed = books.disconnect_channel(home_folder(home), channel, reason, tenant)
    if as_json:
        print_json({"account_id": str(account.id), "name": account.name, "disconnected": changed})
    else:
        out.print(f"{escape(account.name)} is disconnected" + ("" if changed else " already"))


def _quiet() -> Any:
    return importlib.import_module("contextlib").nullcontext()
