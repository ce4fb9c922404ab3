"""`flipsync user`: who may sign in, and the roles a business defines itself."""

from __future__ import annotations

import importlib
import secrets
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from flipsync.cli.console import AsJson, Home, out, print_json
from flipsync.domain.errors import InvalidInput
from flipsync.embedded.instance import home_folder

user_app = typer.Typer(no_args_is_help=True, help="People who may sign in.")
role_app = typer.Typer(no_args_is_help=True, help="Roles of your own: list, create, change, delete, give.")
user_app.add_typer(role_app, name="role")

Tenant = Annotated[str | None, typer.Option(help="business (default: the newest)")]
Password = Annotated[str | None, typer.Option(envvar="FLIPSYNC_PASSWORD", help="default: a new one, shown once")]
RoleName = Annotated[str, typer.Argument(help="what the role is called")]
_ROLES = "owner, manager, clerk, analyst, read-only, or one of your own by its name"


@user_app.command("add")
def user_add(
    email: str,
    role: Annotated[str, typer.Option(help=_ROLES)] = "manager",
    password: Password = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Let somebody sign in."""
    chosen = password or secrets.token_urlsafe(15)
    user_id: UUID = _books().add_user(home_folder(home), email, chosen, role, tenant)
    if as_json:
        print_json(
            {"user_id": str(user_id), "email": email, "role": role, **({} if password else {"password": chosen})}
        )
    else:
        shown = "" if password else f" with password [bold]{escape(chosen)}[/] (shown once)"
        out.print(f"{escape(email)} may sign in as {escape(role)}{shown}")


@user_app.command("password")
def user_password(
    email: str,
    password: Password = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Another password for somebody who has forgotten theirs. Whoever is signed in as them is signed out."""
    chosen = password or secrets.token_urlsafe(15)
    user_id: UUID = _books().put_password(home_folder(home), email, chosen, tenant)
    if as_json:
        print_json({"user_id": str(user_id), "email": email, **({} if password else {"password": chosen})})
    else:
        shown = "what was given" if password else f"[bold]{escape(chosen)}[/] (shown once)"
        out.print(f"{escape(email)} signs in with {shown}")


@role_app.command("list")
def list_roles(tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """What each role may: those every business has, and your own."""
    found = _books().list_roles(home_folder(home), tenant)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("role", "people", "may"):
        table.add_column(title, overflow="fold")
    for each in found.built_in:
        table.add_row(each.name, "", ", ".join(each.permissions))
    for each in found.items:
        table.add_row(f"[bold]{escape(each.name)}[/]", f"{each.people:,}", ", ".join(each.permissions))
    out.print(table)


@role_app.command("create")
def create_role(
    name: RoleName,
    permissions: Annotated[list[str], typer.Argument(help="what it may, e.g. orders:read orders:ship")],
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Define a role. What is the owner's alone it cannot have."""
    _show(_books().create_role(home_folder(home), name, permissions, tenant), as_json=as_json)


@role_app.command("change")
def change_role(
    name: RoleName,
    new_name: Annotated[str | None, typer.Option("--name", help="another name")] = None,
    grant: Annotated[list[str] | None, typer.Option(help="it may this too; may be repeated")] = None,
    revoke: Annotated[list[str] | None, typer.Option(help="it may this no more; may be repeated")] = None,
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Change a role for everybody who has it, at once."""
    if new_name is None and not grant and not revoke:
        raise InvalidInput("nothing to change", hint="--name, --grant or --revoke")
    changed = _books().change_role(
        home_folder(home), name, new_name=new_name, grant=grant or (), revoke=revoke or (), tenant=tenant
    )
    _show(changed, as_json=as_json)


@role_app.command("delete")
def delete_role(name: RoleName, tenant: Tenant = None, home: Home = None, as_json: AsJson = False) -> None:
    """Delete a role that nobody has."""
    role_id = _books().delete_role(home_folder(home), name, tenant)
    if as_json:
        print_json({"role_id": str(role_id), "deleted": True})
    else:
        out.print(f"the role {escape(name)} is deleted")


@role_app.command("give")
def give_role(
    email: str,
    role: Annotated[str, typer.Argument(help=_ROLES)],
    tenant: Tenant = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Give somebody another role, at once."""
    user = _books().give_role(home_folder(home), email, role, tenant)
    if as_json:
        print_json(user.model_dump(mode="json"))
    else:
        out.print(f"{escape(user.email)} is {escape(user.role_name)} now")


def _show(role: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(role.model_dump(mode="json"))
    else:
        out.print(f"[bold]{escape(role.name)}[/] may: {', '.join(role.permissions)}")


def _books() -> Any:
    return importlib.import_module("flipsync.people_on_books")
