"""Roles that a business defines itself: what each may, who has them, and that nobody gives what they do not hold.

A change holds at once: access tokens name the version of the role they were made for, every request asks whether it is
still that, and the next refresh brings a token of the new one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import Conflict, Forbidden, InvalidInput, NotFound, VersionMismatch
from flipsync.domain.ids import new_id
from flipsync.security.roles import (
    CUSTOM,
    FOR_ONESELF,
    GRANTS,
    OWNERS_ONLY,
    PERMISSIONS,
    ROLES,
    AnyRole,
    OwnRole,
    Permission,
    Role,
    as_role,
    granted,
    kind_of,
)
from flipsync.services.reading_page import Moment, View
from flipsync.store.database import SessionReader
from flipsync.store.models import CustomRole
from flipsync.store.reading import Reader
from flipsync.store.repositories import own_roles as rows
from flipsync.store.repositories.notices import Person
from flipsync.store.unit_of_work import UnitOfWork

#: roles of a business, and characters of a name
MOST, LONGEST = 100, 60
_TAKEN = frozenset({*ROLES, CUSTOM})


def _name(text: str) -> str:
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name or not name.isprintable():
        raise ValueError("a name is made of visible characters")
    if name.casefold() in _TAKEN:
        raise ValueError("a role that every business has is called so")
    return name


RoleName = Annotated[str, Field(min_length=1, max_length=LONGEST, examples=["packer"]), AfterValidator(_name)]
Granted = Annotated[
    list[Permission],
    Field(
        min_length=1,
        max_length=len(PERMISSIONS),
        description="what it may; self:read and self:manage everybody may anyway",
        examples=[["orders:read", "orders:ship", "inventory:read"]],
    ),
]


class RoleForm(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: RoleName
    permissions: Granted


class RoleEdit(BaseModel):
    """What is given is changed."""

    model_config = ConfigDict(extra="forbid")

    name: RoleName | None = None
    permissions: Granted | None = None


class RoleWish(BaseModel):
    """Which role somebody is to have: one that every business has by its name, or one of its own by its id."""

    model_config = ConfigDict(extra="forbid")

    role: Role | None = Field(default=None, examples=["clerk"])
    role_id: UUID | None = Field(default=None, description="one of GET /users/roles, in place of `role`")

    @model_validator(mode="after")
    def _one(self) -> RoleWish:
        if self.role is not None and self.role_id is not None:
            raise ValueError("give role or role_id, not both")
        return self


class RoleView(View):
    id: UUID
    name: str = Field(examples=["packer"])
    permissions: list[Permission] = Field(
        examples=[["inventory:read", "orders:read", "orders:ship", "self:manage", "self:read"]]
    )
    people: int = Field(description="how many have it, invited and disabled ones too", examples=[3])
    version: int
    created_at: Moment
    updated_at: Moment


class BuiltInRole(View):
    name: Role = Field(examples=["read-only"])
    permissions: list[Permission] = Field(examples=[["orders:read", "self:manage", "self:read"]])


class RoleList(View):
    """`items` are the business's own, by name; `built_in` every business has, and nobody changes."""

    items: list[RoleView]
    built_in: list[BuiltInRole]
    owners_only: list[Permission] = Field(
        description="what no role of your own may have", examples=[sorted(OWNERS_ONLY)]
    )


# -- who has which ----------------------------------------------------------------------------------------------------


async def held_by(session: AsyncSession, user_id: UUID, role: str) -> AnyRole:
    """What the person is, by the role that is written down of them. Raises ValueError for one that does not exist."""
    if role != CUSTOM:
        return as_role(role)
    row = await rows.role_held_by(session, user_id)
    if row is None:  # changed since it was read
        raise Conflict("this person's role was changed meanwhile", hint="try again")
    return _own(row)


def role_of(person: Person) -> AnyRole:
    return as_role(person.role) if person.own is None else OwnRole.of(*person.own)


async def to_give(unit: UnitOfWork, holds: Collection[Permission], wish: RoleWish) -> AnyRole:
    """The wished role, which stays as it is until the unit is done. Raises NotFound, InvalidInput, Forbidden."""
    role: AnyRole
    if wish.role_id is not None:
        row = await rows.lock_role(unit.session, wish.role_id, to_give=True)
        if row is None:
            raise _none(wish.role_id)
        role = _own(row)
    elif wish.role is not None:
        role = wish.role
    else:
        raise InvalidInput("which role?", hint="give role, or role_id of one of your own")
    require_holds(holds, granted(role))
    return role


def columns(role: AnyRole) -> dict[str, Any]:
    """As it is written down of a person."""
    return {"role": kind_of(role), "role_id": role.id if isinstance(role, OwnRole) else None}


def require_holds(holds: Collection[Permission], given: Collection[Permission]) -> None:
    """Raises Forbidden when somebody who may `holds` would give, change or take what they do not hold."""
    if beyond := sorted(set(given).difference(holds)):
        raise Forbidden("nobody gives or takes what they may not do themselves", hint=f"it is: {', '.join(beyond)}")


# -- defining them ----------------------------------------------------------------------------------------------------


async def list_roles(reader: Reader) -> RoleList:
    """All of them: there are few."""
    (found,) = await reader.ask(rows.ROLES())
    return RoleList(
        items=[_view(row) for row in found],
        built_in=[BuiltInRole(name=role, permissions=sorted(GRANTS[role])) for role in ROLES],
        owners_only=sorted(OWNERS_ONLY),
    )


async def get_role(reader: Reader, role_id: UUID) -> RoleView:
    """Raises NotFound."""
    (found,) = await reader.ask(rows.ROLES(role_id=role_id))
    if not found:
        raise _none(role_id)
    return _view(found[0])


async def create(unit: UnitOfWork, holds: Collection[Permission], form: RoleForm) -> RoleView:
    """Raises InvalidInput, Forbidden, and Conflict when the name is taken or there are enough."""
    permissions = _allowed(holds, form.permissions)
    if await rows.count_roles(unit.session) >= MOST:
        raise Conflict(f"a business has no more than {MOST} roles of its own", hint="delete one that nobody has")
    role_id = new_id()
    values = {"id": role_id, "tenant_id": unit.tenant_id, "name": form.name, "permissions": permissions}
    if not await rows.add_role(unit.session, values):
        raise _taken(form.name)
    unit.audit("role.created", "role", role_id, name=form.name, permissions=permissions)
    return await get_role(SessionReader(unit.session), role_id)


async def change(
    unit: UnitOfWork, holds: Collection[Permission], role_id: UUID, edit: RoleEdit, expected_version: int
) -> RoleView:
    """Of everybody who has it, at once. Raises NotFound, VersionMismatch, InvalidInput, Forbidden, Conflict."""
    row = await _locked(unit, holds, role_id, expected_version)
    name = edit.name or row.name
    before = sorted(row.permissions)
    after = before if edit.permissions is None else _allowed(holds, edit.permissions)
    if (name, after) != (row.name, before):
        values = {"name": name, "permissions": after, "version": row.version + 1}
        if not await rows.update_role(unit.session, role_id, values):
            raise _taken(name)
        unit.audit(
            "role.changed",
            "role",
            role_id,
            name=name,
            name_before=row.name,
            added=sorted(set(after) - set(before)),
            removed=sorted(set(before) - set(after)),
        )
    return await get_role(SessionReader(unit.session), role_id)


async def remove(unit: UnitOfWork, holds: Collection[Permission], role_id: UUID, expected_version: int) -> None:
    """Raises NotFound, VersionMismatch, Forbidden, and Conflict while anybody has it."""
    row = await _locked(unit, holds, role_id, expected_version)
    if people := await rows.people_with(unit.session, role_id):
        count, off = len(people), sum(people)
        has = f"{count:,} {'person has' if count == 1 else 'people have'} the role {row.name}"
        away = f" ({off:,} of them cannot sign in any more)" if off else ""
        raise Conflict(f"{has}{away}", hint="give them another role first: GET /users?role_id=… lists them")
    await rows.delete_role(unit.session, role_id)
    unit.audit("role.deleted", "role", role_id, name=row.name, permissions=sorted(row.permissions))


async def _locked(unit: UnitOfWork, holds: Collection[Permission], role_id: UUID, expected_version: int) -> CustomRole:
    row = await rows.lock_role(unit.session, role_id)
    if row is None:
        raise _none(role_id)
    VersionMismatch.check("the role", row.version, expected_version)
    require_holds(holds, _own(row).permissions)
    return row


def _allowed(holds: Collection[Permission], wanted: Collection[Permission]) -> list[Permission]:
    if owners := sorted(OWNERS_ONLY.intersection(wanted)):
        raise InvalidInput(f"only an owner may: {', '.join(owners)}", hint="leave it out, or make them an owner")
    permissions = FOR_ONESELF.union(wanted)
    require_holds(holds, permissions)
    return sorted(permissions)


def _own(row: CustomRole) -> OwnRole:
    return OwnRole.of(row.id, row.version, row.name, row.permissions)


def _view(row: Any) -> RoleView:
    own = OwnRole.of(row.id, row.version, row.name, row.permissions)
    values = {name: getattr(row, name) for name in RoleView.model_fields if name != "permissions"}
    return RoleView.model_validate(values | {"permissions": sorted(own.permissions)})


def _none(role_id: UUID) -> NotFound:
    return NotFound(f"no role {role_id}", hint="GET /users/roles lists them")


def _taken(name: str) -> Conflict:
    return Conflict(f"there is a role named {name} already", hint="choose another name")
