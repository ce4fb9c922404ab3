"""What the command line does to who may sign in, and to the roles a business defines itself; in the owner's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from pydantic import ValidationError

from flipsync.commands_on_books import in_books
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.security.passwords import Passwords
from flipsync.security.roles import GRANTS, ROLES, as_role
from flipsync.services import identity, own_roles, users
from flipsync.services.own_roles import RoleEdit, RoleForm, RoleList, RoleView, RoleWish
from flipsync.services.users import UserEdit, UserView
from flipsync.store.database import SessionReader
from flipsync.store.repositories import identity as user_rows
from flipsync.store.repositories import own_roles as rows
from flipsync.store.unit_of_work import Store, UnitOfWork

Form = TypeVar("Form", RoleForm, RoleEdit)
_OWNER = GRANTS["owner"]


def add_user(home: Path, email: str, password: str, role: str, tenant: str | None) -> UUID:
    """Let somebody sign in to a business, with a role by its name."""

    async def work(store: Store, tenant_id: UUID) -> UUID:
        passwords = Passwords()
        try:
            async with store.unit(tenant_id) as unit:
                given = await own_roles.to_give(unit, _OWNER, await _wish(unit, role))
                return await identity.add_user(unit, passwords, email=email, password=password, role=given)
        finally:
            passwords.close()

    return in_books(home, {}, tenant, work)


def put_password(home: Path, email: str, password: str, tenant: str | None) -> UUID:
    """Another password for somebody who has forgotten theirs, the last owner too; their sessions end."""

    async def work(store: Store, tenant_id: UUID) -> UUID:
        passwords = Passwords()
        try:
            async with store.unit(tenant_id) as unit:
                found = await user_rows.sign_in_candidate(unit.session, email)
                row = None if found is None else await user_rows.lock_user(unit.session, found.id)
                if row is None or row.tenant_id != tenant_id:
                    raise NotFound(f"nobody here signs in as {email}", hint="flipsync user add")
                await passwords.require_strong(password, (row.email,))
                await users.put_password(unit, row, await passwords.hash(password))
                return row.id
        finally:
            passwords.close()

    return in_books(home, {}, tenant, work)


def give_role(home: Path, email: str, role: str, tenant: str | None) -> UserView:
    """Another role for somebody who is there; holds at once."""

    async def work(store: Store, tenant_id: UUID) -> UserView:
        async with store.unit(tenant_id) as unit:
            found = await user_rows.sign_in_candidate(unit.session, email)
            if found is None or found.tenant_id != tenant_id:
                raise NotFound(f"nobody here signs in as {email}", hint="flipsync user add")
            wish = await _wish(unit, role)
            version = (await users.get_user(SessionReader(unit.session), found.id)).version
            edit = UserEdit(role=wish.role, role_id=wish.role_id)
            return await users.edit_user(unit, _OWNER, found.id, edit, version)

    return in_books(home, {}, tenant, work)


def list_roles(home: Path, tenant: str | None) -> RoleList:
    async def work(store: Store, tenant_id: UUID) -> RoleList:
        async with store.reader(tenant_id) as session:
            return await own_roles.list_roles(SessionReader(session))

    return in_books(home, {}, tenant, work)


def create_role(home: Path, name: str, permissions: Sequence[str], tenant: str | None) -> RoleView:
    form = _read(RoleForm, {"name": name, "permissions": list(permissions)})

    async def work(store: Store, tenant_id: UUID) -> RoleView:
        async with store.unit(tenant_id) as unit:
            return await own_roles.create(unit, _OWNER, form)

    return in_books(home, {}, tenant, work)


def change_role(
    home: Path,
    name: str,
    *,
    new_name: str | None,
    grant: Sequence[str],
    revoke: Sequence[str],
    tenant: str | None,
) -> RoleView:
    """Holds at once for everybody who has it."""

    async def work(store: Store, tenant_id: UUID) -> RoleView:
        async with store.unit(tenant_id) as unit:
            role_id = await _named(unit, name)
            before = await own_roles.get_role(SessionReader(unit.session), role_id)
            if unknown := set(revoke).difference(before.permissions):
                raise InvalidInput(f"it does not have: {', '.join(sorted(unknown))}", hint="flipsync user role list")
            given = {"permissions": sorted({*before.permissions, *grant}.difference(revoke))} if grant or revoke else {}
            edit = _read(RoleEdit, given | ({"name": new_name} if new_name is not None else {}))
            return await own_roles.change(unit, _OWNER, role_id, edit, before.version)

    return in_books(home, {}, tenant, work)


def delete_role(home: Path, name: str, tenant: str | None) -> UUID:
    async def work(store: Store, tenant_id: UUID) -> UUID:
        async with store.unit(tenant_id) as unit:
            role_id = await _named(unit, name)
            version = (await own_roles.get_role(SessionReader(unit.session), role_id)).version
            await own_roles.remove(unit, _OWNER, role_id, version)
            return role_id

    return in_books(home, {}, tenant, work)


async def _wish(unit: UnitOfWork, role: str) -> RoleWish:
    return RoleWish(role=as_role(role)) if role in ROLES else RoleWish(role_id=await _named(unit, role))


async def _named(unit: UnitOfWork, name: str) -> UUID:
    row = await rows.role_named(unit.session, name)
    if row is None:
        raise NotFound(
            f"{name[:80]!r} is not a role", hint=f"one of: {', '.join(ROLES)}, or of your own (user role list)"
        )
    return row.id


def _read(form: type[Form], given: Mapping[str, Any]) -> Form:
    try:
        return form.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{where}: {first['msg']}", hint="flipsync user role list shows what there is") from None
