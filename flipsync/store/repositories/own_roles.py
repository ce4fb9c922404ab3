"""Rows of the roles a business defined itself, and who has which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import CustomRole, User
from flipsync.store.reading import Question, where

_PEOPLE = select(func.count()).where(User.role_id == CustomRole.id).correlate(CustomRole).scalar_subquery()


def _roles(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    query = select(*CustomRole.__table__.c, _PEOPLE.label("people")).order_by(func.lower(CustomRole.name))
    return where(query, given, role_id=CustomRole.id == bindparam("role_id"))


#: all of a business, or role_id; by name, with how many people have each
ROLES = Question(_roles)


async def role_held_by(session: AsyncSession, user_id: UUID) -> CustomRole | None:
    """The business's own role that the person has."""
    query = select(CustomRole).join(User, User.role_id == CustomRole.id).where(User.id == user_id)
    return (await session.execute(query)).scalar_one_or_none()


async def role_named(session: AsyncSession, name: str) -> CustomRole | None:
    """However it is capitalised."""
    query = select(CustomRole).where(func.lower(CustomRole.name) == func.lower(name))
    return (await session.execute(query)).scalar_one_or_none()


async def lock_role(session: AsyncSession, role_id: UUID, *, to_give: bool = False) -> CustomRole | None:
    """As it is now. Nobody else changes or deletes it before we are done; `to_give`: others may give it meanwhile."""
    query = select(CustomRole).where(CustomRole.id == role_id).with_for_update(read=to_give)
    return (await session.execute(query.execution_options(populate_existing=True))).scalar_one_or_none()


async def count_roles(session: AsyncSession) -> int:
    return (await session.execute(select(func.count()).select_from(CustomRole))).scalar_one()


async def people_with(session: AsyncSession, role_id: UUID) -> Sequence[bool]:
    """Whether each who has it is disabled."""
    found = await session.execute(select(User.disabled_at.is_not(None)).where(User.role_id == role_id))
    return found.scalars().all()


async def add_role(session: AsyncSession, values: dict[str, Any]) -> bool:
    """False when another role has this name."""
    try:
        async with session.begin_nested():
            session.add(CustomRole(**values))
            await session.flush()
    except IntegrityError:
        return False
    return True


async def update_role(session: AsyncSession, role_id: UUID, values: dict[str, Any]) -> bool:
    """False when another role has this name."""
    try:
        async with session.begin_nested():
            await session.execute(update(CustomRole).where(CustomRole.id == role_id).values(values))
    except IntegrityError:
        return False
    return True


async def delete_role(session: AsyncSession, role_id: UUID) -> None:
    await session.execute(delete(CustomRole).where(CustomRole.id == role_id))
