"""Forgetting a person of the business: what lets them in is gone, and their address stands nowhere in the books.

The database does the blanking (store/migrations/guards_0062.sql), of the audit log as well (services/audit.py says why
its chain holds). What they did stays, under an id that names nobody any more. A tombstone keeps it so when an older
backup is put back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, NotFound
from flipsync.security.roles import Permission, granted
from flipsync.services import erasure, own_roles
from flipsync.store.audit import Actor
from flipsync.store.repositories import identity
from flipsync.store.repositories import privacy as rows
from flipsync.store.unit_of_work import UnitOfWork

_TOMBSTONE = ("user_id", "erased_at")


async def erase(unit: UnitOfWork, holds: Collection[Permission], user_id: UUID, *, email: str) -> dict[str, int]:
    """Forget them, for good, by who may all that they may (`holds`) and says their address; rows changed by table.

    Raises NotFound, Forbidden, and Conflict for another address than theirs, for the last owner who can sign in, and
    for who was forgotten before.
    """
    owners = await identity.lock_owners(unit.session)
    row = await identity.lock_user(unit.session, user_id)
    if row is None:
        raise NotFound(f"no user {user_id}")
    await require_remembered(unit, user_id)
    own_roles.require_holds(holds, granted(await own_roles.held_by(unit.session, user_id, row.role)))
    if row.email.lower() != email.strip().lower():
        raise Conflict("this user has another e-mail address", hint="read them again: it cannot be taken back")
    if owners == [user_id]:
        raise Conflict("this is the last owner", hint="make another user an owner first")
    changed = await _blank(unit, user_id)
    await rows.lay_user_tombstones(
        unit.session, [{"tenant_id": unit.tenant_id, "user_id": user_id, "erased_at": utc_now()}]
    )
    # who forgets themselves leaves no address of theirs with it
    actor = Actor("user", user_id) if unit.cause.actor.id == user_id else None
    unit.audit("user.erased", "user", user_id, actor=actor, why="asked")
    return changed


async def require_remembered(unit: UnitOfWork, user_id: UUID) -> None:
    """Raises Conflict for who was forgotten."""
    if await rows.is_erased(unit.session, user_id):
        raise Conflict("this user was forgotten", hint="invite them anew, should they come back")


async def lay_again(unit: UnitOfWork, tombstones: Sequence[Mapping[str, Any]]) -> int:
    """Tombstones that books put back may not know; forgets whom they and the books' own name, and returns how many.
    The last owner too: `flipsync user add --role owner` lets another one in."""
    await rows.lay_user_tombstones(
        unit.session,
        [{"tenant_id": unit.tenant_id} | {name: each[name] for name in _TOMBSTONE} for each in tombstones],
    )
    waiting = await rows.users_waiting(unit.session)
    for user_id in waiting:
        await _blank(unit, user_id)
        unit.audit("user.erased", "user", user_id, why="a tombstone")
    return len(waiting)


async def tombstones(session: AsyncSession) -> list[dict[str, Any]]:
    """All there are, as `lay_again` takes them."""
    return [{name: getattr(row, name) for name in _TOMBSTONE} for row in await rows.user_tombstones(session)]


async def _blank(unit: UnitOfWork, user_id: UUID) -> dict[str, int]:
    words = await rows.user_words(unit.session, user_id)
    notes = await erasure.blank_notes(unit, (), re.compile(r"(?!)"), _pattern(words), everywhere=True) if words else 0
    changed = await rows.erase_user(unit.session, user_id)
    return changed | ({"decision_notes": notes} if notes else {})


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    """As `address_pattern` of the database: an address, where it is not a part of a longer one."""
    spelt = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.compile(rf"(?<![^\W_])(?<![._%+@-])(?:{spelt})(?![^\W_]|[@-])(?!\.[^\W_])", re.IGNORECASE)
