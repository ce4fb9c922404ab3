"""`flipsync channels`: connect a sales channel, with keys or in a browser, look at it, try it, let it go.

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
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import InvalidInput
from flipsync.embedded.instance import home_folder

channels_app = typer.Typer(no_args_is_help=True, help="Sales channels: connect, reconnect, list, probe, disconnect.")

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


Browser = Annotated[bool, typer.Option("--browser", help="the seller says yes in a browser; no keys are typed in")]


def _config(vendor: str, base_url: str | None, currency: str, choices: list[str] | None, **more: Any) -> Any:
    """An AccountConfig, or InvalidInput that says which option is wrong."""
    base = importlib.import_module("flipsync.connectors.base")
    _known_vendor(vendor)
    if base_url is None:
        raise InvalidInput("the channel's address is missing", hint="give it with --base-url")
    options = _options(choices)
    given = {name: value for name, value in more.items() if value is not None}
    try:
        return base.AccountConfig(vendor=vendor, base_url=base_url, currency=currency.upper(), options=options, **given)
    except ValidationError as error:
        first = error.errors()[0]
        field = "-".join(str(part) for part in first["loc"]).replace("_", "-")
        raise InvalidInput(f"--{field}: {first['msg']}") from None


def _known_vendor(vendor: str) -> None:
    known = importlib.import_module("flipsync.connectors.marketplaces").vendors()
    if vendor not in known:
        raise InvalidInput(f"{vendor!r} is not a vendor", hint=f"one of: {', '.join(known)}")


def _options(choices: list[str] | None) -> dict[str, str]:
    options = {}
    for choice in choices or []:
        name, sign, value = choice.partition("=")
        if not sign or not name:
            raise InvalidInput(f"--option {choice!r} is not NAME=VALUE")
        options[name] = value
    return options


def _given(source: str | None) -> dict[str, str]:
    """Credentials from the environment, and from a file or standard input."""
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
    return known


def _credentials(vendor: str, source: str | None) -> dict[str, str]:
    """What the vendor's connector needs, from wherever it was given; asks for the rest when somebody is there."""
    known = _given(source)
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
        mark = "[green]ok[/]" if check.ok else "[yellow]cannot[/]" if check.optional else "[red]failed[/]"
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
    browser: Browser = False,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Try the channel, and when it can be read, put it in the books: the agents take it from there.

    With --browser it prints an address, and waits until the seller has granted access there (--json: one object with
    the address, one with the end). The application at the vendor is the one given as credentials, or this
    installation's own.
    """
    if stock_mode not in ("escrow", "pooled"):
        raise InvalidInput(f"{stock_mode!r} is not a stock mode", hint="escrow or pooled")
    more = {
        "token_url": token_url,
        "notification_url": notification_url,
        "ca_file": None if ca_file is None else str(ca_file.resolve()),
        "requests_per_second": requests_per_second,
    }
    if browser:
        _known_vendor(vendor)
        place = more | {"base_url": base_url, "currency": currency.upper(), "options": _options(option)}
        given = _given(credentials)
        wish = {"vendor": vendor, "name": name, "place": place, "credentials": given, "stock_mode": stock_mode}
        _consent(wish, None, tenant, home, as_json=as_json)
        return
    config = _config(vendor, base_url, currency, option, **more)
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


@channels_app.command("reconnect")
def reconnect(
    channel: Annotated[str, typer.Argument(help="name or id of a connected channel")],
    credentials: Credentials = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Renew its access in a browser, before it ends or after. Another seller than the one connected is refused."""
    _consent({"credentials": _given(credentials)}, channel, tenant, home, as_json=as_json)


def _consent(
    wish: dict[str, Any], channel: str | None, tenant: str | None, home: Path | None, *, as_json: bool
) -> None:
    """Start a consent, show where to go, wait. Exit code 1 unless it ends in a connected channel."""
    books = importlib.import_module("flipsync.commands_on_books")
    assembly = importlib.import_module("flipsync.runtime.assembly")
    graph = importlib.import_module("flipsync.runtime.graph").Graph(assembly.load_roster("agents:ROSTER"))
    wanted = importlib.import_module("flipsync.services.consent_wish").Wish(**wish)

    def started(view: Any, url: str) -> None:
        if as_json:
            told = {"consent_id": str(view.id), "url": url, "redirect_uri": view.redirect_uri}
            print_json(told | {"status": view.status, "expires_at": view.expires_at.isoformat()})
            sys.stdout.flush()
            return
        out.print(f"Open this address in a browser, and grant access to {escape(view.name)}:")
        out.print(escape(url), soft_wrap=True)
        out.print(f"[dim]The application at {view.vendor} must know {escape(view.redirect_uri)}[/]", soft_wrap=True)
        sys.stdout.flush()

    with err.status("waiting for the vendor") if err.is_terminal else _quiet() as line:

        def waiting(view: Any) -> None:
            if line is not None:
                line.update(f"{view.status}, until {view.expires_at:%H:%M:%S} UTC")

        done = books.ask_consent(
            home_folder(home), graph.routing(), wanted, channel=channel, tenant=tenant, started=started, waiting=waiting
        )
    connected = done.status == "connected"
    if as_json:
        account_id = None if done.account_id is None else str(done.account_id)
        told = {"consent_id": str(done.id), "status": done.status, "account_id": account_id, "detail": done.detail}
        print_json(told | {"hint": done.hint})
    elif connected:
        out.print(f"{escape(done.name)} is connected as {done.account_id}")
    else:
        out.print(f"{escape(done.name)} is not connected ({done.status}): {escape(done.detail)}")
        out.print(f"  {escape(done.hint)}")
    raise typer.Exit(0 if connected else 1)


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
        for end in channel.ends:
            days = (end.ends_at - utc_now()).days
            colour = "red" if days < 7 else "yellow" if days < 30 else "dim"
            cure = " (flipsync channels reconnect)" if days < 30 else ""
            out.print(f"  [{colour}]{end.what} ends {end.ends_at:%Y-%m-%d}{cure}[/]")
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
    """Check credentials, permissions, every read, webhooks and limits; changes nothing that stays. Exit code 1 when one
    fails that selling needs."""
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
