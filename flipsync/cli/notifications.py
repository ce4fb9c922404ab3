"""`flipsync notifications`: what a person was told, and how they want to be told."""

from __future__ import annotations

import importlib
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

from flipsync.cli.console import AsJson, Home, out, print_json
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.embedded.instance import home_folder

notifications_app = typer.Typer(no_args_is_help=True, help="What people are told, and how they want to be told.")

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]
User = Annotated[str | None, typer.Option("--user", help="whose, by mail address (default: the owner's)")]
_COLOURS = {"urgent": "red", "warning": "yellow", "info": "dim"}


@notifications_app.command("list")
def list_notifications(
    user: User = None,
    every: Annotated[bool, typer.Option("--every", help="also what was read or is settled")] = False,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What a person has not read and still is the matter, newest first (200 at most)."""
    inbox = importlib.import_module("flipsync.services.notices.inbox")
    kinds = importlib.import_module("flipsync.services.notices.kinds")
    roles = importlib.import_module("flipsync.services.own_roles")
    page = importlib.import_module("flipsync.services.reading_page").SortedRequest(limit=200)
    where = inbox.NotificationFilter() if every else inbox.NotificationFilter(settled=False, read=False)

    reader = importlib.import_module("flipsync.store.database").SessionReader

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.reader(tenant_id) as session:
            person = await _person(session, user)
            return await inbox.list_for(reader(session), person.id, kinds.heard_by(roles.role_of(person)), page, where)

    found = _in_books(home, tenant, work)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    if not found.items:
        out.print("nothing to tell")
    for each in found.items:
        state = "settled" if each.settled_at else "read" if each.read_at else each.severity
        out.print(f"[{_COLOURS.get(state, 'dim')}]{state:8}[/] {each.raised_at:%Y-%m-%d %H:%M}  {escape(each.title)}")


@notifications_app.command("preferences")
def preferences(
    changes: Annotated[
        list[str] | None, typer.Argument(help="name=value, e.g. time_zone=Europe/Berlin quiet_from=22:00")
    ] = None,
    user: User = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """How a person wants to be told; with name=value, change it. An empty value is none, a list is `email,chat`."""
    services = importlib.import_module("flipsync.services.notices.preferences")
    given = dict(_pair(each) for each in changes or [])

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.unit(tenant_id) as unit:
            person = await _person(unit.session, user)
            view = await services.get(unit.session, person.id)
            if given:
                chosen = _changed(services, view.choices, given)
                view = await services.put(unit, person.id, chosen, view.version)
            return view

    view = _in_books(home, tenant, work)
    if as_json:
        print_json(view.model_dump(mode="json"))
        return
    for name, value in view.choices.model_dump(mode="json").items():
        out.print(f"{name:14} {escape(_shown(value))}")


@notifications_app.command("destinations")
def list_destinations(user: User = None, tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """Where a person is told outside the app, as much of it as may be seen."""
    services = importlib.import_module("flipsync.services.notices.destinations")

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.reader(tenant_id) as session:
            return await services.list_for(session, (await _person(session, user)).id)

    found = _in_books(home, tenant, work)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    if not found.items:
        out.print("nowhere but in the app")
    for each in found.items:
        out.print(f"[bold]{each.id}[/]  {each.channel}: {escape(each.shown)}  {each.state} {escape(each.detail)}")


@notifications_app.command("test")
def test(
    destination: Annotated[str | None, typer.Argument(help="its id (default: all of the person's)")] = None,
    user: User = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Have a test sent, by the running system; `flipsync notifications destinations` shows what came of it."""
    services = importlib.import_module("flipsync.services.notices.destinations")
    try:
        wanted = None if destination is None else UUID(destination)
    except ValueError:
        raise InvalidInput(
            f"{destination!r} is not the id of a destination", hint="notifications destinations"
        ) from None

    async def work(store: Any, tenant_id: UUID) -> Any:
        async with store.unit(tenant_id) as unit:
            person = await _person(unit.session, user)
            known = (await services.list_for(unit.session, person.id)).items
            asked = [each.id for each in known] if wanted is None else [wanted]
            return [await services.test(unit, person.id, each) for each in asked]

    tested = _in_books(home, tenant, work)
    if as_json:
        print_json({"items": [each.model_dump(mode="json") for each in tested]})
        return
    for each in tested:
        out.print(f"a test goes to {escape(each.shown)}")
    if not tested:
        out.print("there is nowhere to test: add a destination in the app")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidInput(f"{text!r} is not name=value", hint="e.g. quiet_from=22:00")
    return name.strip(), value.strip()


def _changed(services: Any, before: Any, given: dict[str, str]) -> Any:
    stored = before.model_dump(mode="json")
    for name, value in given.items():
        table, dot, key = name.partition(".")
        if dot and isinstance(stored.get(table), dict):  # by_severity.warning=email,chat
            stored[table][key] = [each.strip() for each in value.split(",") if each.strip()]
        else:
            stored[name] = value or None
    try:
        return services.Preferences.model_validate(stored)
    except ValueError as error:
        first = error.errors()[0] if hasattr(error, "errors") else {"loc": (), "msg": str(error)}
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{where}: {first['msg']}", hint="flipsync notifications preferences") from None


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {', '.join(each) or 'nowhere'}" for key, each in value.items()) or "-"
    return "-" if value is None else str(value)


async def _person(session: Any, email: str | None) -> Any:
    """Raises NotFound."""
    people = await importlib.import_module("flipsync.store.repositories.notices").people(session)
    for person in people:
        if person.email.lower() == email.lower() if email else person.role == "owner":
            return person
    raise NotFound(f"nobody here signs in as {email}" if email else "this business has no owner", hint="flipsync user")


def _in_books(home: Any, tenant: str | None, work: Any) -> Any:
    return importlib.import_module("flipsync.commands_on_books").in_books(home_folder(home), {}, tenant, work)
