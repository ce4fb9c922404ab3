"""The people of a business: who they are, inviting them, their roles, letting them in no more, their passwords."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, InvalidInput, NotFound, Unauthenticated, VersionMismatch
from flipsync.security.passwords import Passwords
from flipsync.security.roles import Permission, RoleKind, granted
from flipsync.security.tokens import AccessTokens
from flipsync.services import identity, own_roles, user_erasure
from flipsync.services.own_roles import RoleWish
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, cut, sorted_by
from flipsync.store.database import SessionReader
from flipsync.store.models import User
from flipsync.store.reading import Reader
from flipsync.store.repositories import identity as rows
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

INVITATION_LIFETIME, RESET_LIFETIME = timedelta(days=7), timedelta(days=1)
UserSort = Annotated[str | None, sorted_by(rows.USER_SORTS)]

Status = Literal["active", "invited", "disabled", "erased"]


class UserView(View):
    id: UUID
    email: str
    role: RoleKind = Field(examples=["clerk"])
    role_id: UUID | None = Field(description="which of your own roles, where `role` is custom")
    role_name: str = Field(description="what the role is called", examples=["clerk"])
    status: Status = Field(description="invited: has not chosen a password yet; erased: forgotten, for good")
    version: int
    created_at: Moment
    updated_at: Moment


class UserFilter(View):
    role: RoleKind | None = None
    role_id: UUID | None = Field(default=None, description="who has this role of your own")


class UserEdit(RoleWish):
    """What is given is changed."""

    disabled: bool | None = None


async def list_users(reader: Reader, page: SortedRequest, where: UserFilter) -> Page[UserView]:
    """Newest first by default. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.USER_SORTS)
    (found,) = await reader.ask(rows.USERS(place, role=where.role, role_id=where.role_id))
    return cut(found, page.limit, _view, place.cursor_of)


async def get_user(reader: Reader, user_id: UUID) -> UserView:
    """Raises NotFound."""
    (found,) = await reader.ask(rows.USERS(rows.USER_SORTS.first(1), user_id=user_id))
    if not found:
        raise NotFound(f"no user {user_id}")
    return _view(found[0])


async def invite(unit: UnitOfWork, holds: Collection[Permission], *, email: str, wish: RoleWish) -> UserView:
    """A user who chooses a password by an invitation (see `invitation`), invited by somebody who may `holds`.

    Raises Conflict when the address is taken, NotFound for a role that does not exist, InvalidInput, Forbidden.
    """
    role = await own_roles.to_give(unit, holds, wish)
    user_id = await identity.insert_user(unit, identity.clean_email(email), "", role)
    return await get_user(SessionReader(unit.session), user_id)


def invitation(tokens: AccessTokens, tenant_id: UUID, user_id: UUID, encoded: str = "") -> str:
    """What the user brings to `accept_invitation`, once: it goes with the password they had (`encoded`; none yet)."""
    note = {"tenant": str(tenant_id), "user": str(user_id), "instead": _instead_of(encoded)}
    return tokens.issue_note("invitation", note, RESET_LIFETIME if encoded else INVITATION_LIFETIME)


def _instead_of(encoded: str) -> str:
    """Names a password, without a way back to it."""
    return hashlib.sha256(encoded.encode()).hexdigest()[:32] if encoded else ""


async def accept_invitation(
    store: Store, passwords: Passwords, tokens: AccessTokens, *, invitation: str, password: str, cause: Cause
) -> None:
    """Choose the first password, or another instead of one that was forgotten: then all sessions end.

    Raises Unauthenticated when the invitation is over, InvalidInput for a weak password.
    """
    note = tokens.read_note("invitation", invitation)
    tenant_id, user_id = UUID(note["tenant"]), UUID(note["user"])
    async with store.reader(tenant_id) as session:
        user = await rows.get_user(session, user_id)
        tenant = await rows.get_tenant(session)
    if user is None or tenant is None:
        raise _used_up()
    await passwords.require_strong(password, (user.email, tenant.name))
    encoded = await passwords.hash(password)
    async with store.unit(tenant_id, cause) as unit:
        row = await rows.lock_user(unit.session, user_id)
        if row is None or _instead_of(row.password_hash) != note.get("instead", "") or row.disabled_at is not None:
            raise _used_up()
        await put_password(unit, row, encoded)


async def put_password(unit: UnitOfWork, row: User, encoded: str) -> None:
    """A password, hashed, that was not changed by who knew the old one: whoever is signed in is so no more."""
    await rows.revoke_sessions(unit.session, row.id, utc_now())
    await rows.update_user(unit.session, row.id, {"password_hash": encoded, "version": row.version + 1})
    done = "password.reset" if row.password_hash else "user.accepted-invitation"
    unit.audit(done, "user", row.id, email=row.email)


async def edit_user(
    unit: UnitOfWork, holds: Collection[Permission], user_id: UUID, edit: UserEdit, expected_version: int
) -> UserView:
    """Change role, disable or enable a user still at `expected_version`; their tokens end at once. Only who may all
    that they may, and are to may, can (`holds`).

    Raises NotFound, VersionMismatch, Forbidden, and Conflict when no owner who can sign in would be left, or they were
    forgotten.
    """
    owners = await rows.lock_owners(unit.session)
    row = await rows.lock_user(unit.session, user_id)
    if row is None:
        raise NotFound(f"no user {user_id}")
    if row.version != expected_version:
        raise VersionMismatch(
            f"the user is at version {row.version}, not {expected_version}", hint="read them again, then change them"
        )
    await user_erasure.require_remembered(unit, user_id)
    before = await own_roles.held_by(unit.session, user_id, row.role)
    own_roles.require_holds(holds, granted(before))
    named = edit.role is not None or edit.role_id is not None
    role = await own_roles.to_give(unit, holds, edit) if named else before
    disabled = (row.disabled_at is not None) if edit.disabled is None else edit.disabled
    if owners == [user_id] and (role != "owner" or disabled):
        raise Conflict("this is the last owner", hint="make another user an owner first")
    if role != before:
        unit.audit("user.role-changed", "user", user_id, email=row.email, before=str(before), after=str(role))
        await rows.update_user(unit.session, user_id, own_roles.columns(role) | {"version": row.version + 1})
    if disabled and row.disabled_at is None:
        await identity.disable_user(unit, user_id)
    elif not disabled and row.disabled_at is not None:
        unit.audit("user.enabled", "user", user_id, email=row.email)
        await rows.update_user(unit.session, user_id, {"disabled_at": None, "version": row.version + 1})
    return await get_user(SessionReader(unit.session), user_id)


async def change_password(
    store: Store,
    passwords: Passwords,
    tenant_id: UUID,
    *,
    user_id: UUID,
    session_id: UUID,
    old: str,
    new: str,
    cause: Cause,
) -> None:
    """Needs the old one; the user's other sessions end. Raises InvalidInput for a wrong old one or a weak new one."""
    async with store.reader(tenant_id) as session:
        user = await rows.get_user(session, user_id)
        tenant = await rows.get_tenant(session)
    if user is None or tenant is None:
        raise NotFound("no such user")
    if not await passwords.verify(user.password_hash or None, old):
        async with store.unit(tenant_id, cause) as unit:
            unit.audit("password.refused", "user", user_id)
        raise InvalidInput("the old password is wrong")
    await passwords.require_strong(new, (user.email, tenant.name))
    encoded = await passwords.hash(new)
    async with store.unit(tenant_id, cause) as unit:
        row = await rows.lock_user(unit.session, user_id)
        if row is None or row.password_hash != user.password_hash:
            raise Conflict("the password was changed meanwhile", hint="try again with the newer one")
        await rows.update_user(unit.session, user_id, {"password_hash": encoded})
        await rows.revoke_sessions(unit.session, user_id, utc_now(), but=session_id)
        unit.audit("password.changed", "user", user_id)


async def invite_again(
    unit: UnitOfWork, holds: Collection[Permission], tokens: AccessTokens, tenant_id: UUID, user_id: UUID
) -> str:
    """An invitation for who has lost theirs, or has forgotten their password, which serves until another is chosen.
    Only who may all that they may can give one (`holds`). A second factor stays.

    Raises NotFound, Forbidden, Conflict for a disabled user.
    """
    row = await rows.lock_user(unit.session, user_id)
    if row is None:
        raise NotFound(f"no user {user_id}")
    if row.disabled_at is not None:
        raise Conflict("this user is disabled", hint="enable them first")
    own_roles.require_holds(holds, granted(await own_roles.held_by(unit.session, user_id, row.role)))
    done = "password.reset-offered" if row.password_hash else "user.invited-again"
    unit.audit(done, "user", user_id, email=row.email)
    return invitation(tokens, tenant_id, user_id, row.password_hash)


def _view(row: Any) -> UserView:
    """Of a row of USERS."""
    left: Status = "erased" if row.erased else "disabled"
    status: Status = left if row.disabled_at is not None else "invited" if row.invited else "active"
    names = ("id", "email", "role", "role_id", "role_name", "version", "created_at", "updated_at")
    return UserView.model_validate({name: getattr(row, name) for name in names} | {"status": status})


def _used_up() -> Unauthenticated:
    return Unauthenticated("the invitation was used or withdrawn", hint="ask for another one, or sign in")
