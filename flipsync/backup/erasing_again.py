"""Buyers and users who were forgotten stay forgotten when older books are put back.

Tombstones come from the books that are replaced, where they still open, and from a file kept elsewhere
(`flipsync privacy tombstones`). They are forgotten again before anybody works with the restored books; an order that
came after the backup finds its tombstone when its channel tells it again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError

from flipsync.domain.errors import FlipSyncError, InvalidInput
from flipsync.embedded.postgres import EmbeddedPostgres
from flipsync.services import erasure, user_erasure
from flipsync.store import restored
from flipsync.store.database import Database
from flipsync.store.repositories import tenants
from flipsync.store.unit_of_work import Store
from flipsync.system import DATABASE

_BATCH = 50


class Tombstone(BaseModel):
    """One order whose buyer was forgotten, or is to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant_id: UUID
    account_id: UUID
    order_external_id: str
    reason: str
    asked_at: AwareDatetime
    erased_at: AwareDatetime | None


class UserTombstone(BaseModel):
    """One person of a business who was forgotten."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tenant_id: UUID
    user_id: UUID
    erased_at: AwareDatetime


AnyTombstone = Tombstone | UserTombstone
_TOMBSTONE: TypeAdapter[AnyTombstone] = TypeAdapter(AnyTombstone)


def of_database(url: str) -> list[AnyTombstone]:
    """None of them where the books are older than tombstones."""
    return [_TOMBSTONE.validate_python(row) for row in restored.tombstones(url)]


def of_server(directory: Path) -> list[AnyTombstone] | None:
    """Of an embedded server's data folder that is about to be replaced; None where it does not start any more."""
    server = EmbeddedPostgres(directory)
    try:
        return of_database(server.start().url(database=DATABASE))
    except (FlipSyncError, OSError):
        return None
    finally:
        server.stop()


def of_file(path: Path) -> list[AnyTombstone]:
    """As `flipsync privacy tombstones` wrote it: one a line. Raises InvalidInput."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [_TOMBSTONE.validate_json(line) for line in lines if line.strip()]
    except (OSError, ValueError, ValidationError) as error:
        raise InvalidInput(f"{path} holds no tombstones: {str(error).splitlines()[0]}") from None


def erase_again(worker_url: str, known: Sequence[AnyTombstone]) -> tuple[int, int]:
    """Lay these tombstones in restored books and forget whom they and the books' own name; orders and users
    concerned."""
    return asyncio.run(_erase_again(worker_url, known))


async def _erase_again(worker_url: str, known: Sequence[AnyTombstone]) -> tuple[int, int]:
    store = Store(Database(worker_url, pool_size=1, name="flipsync-restore"), {})
    orders: defaultdict[UUID, list[dict[str, Any]]] = defaultdict(list)
    users: defaultdict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for each in known:
        laid = users if isinstance(each, UserTombstone) else orders
        laid[each.tenant_id].append(each.model_dump(exclude={"tenant_id"}))
    count = people = 0
    try:
        async with store.database.unbound() as session:
            there = await tenants.all_ids(session)
        for tenant_id in there:
            async with store.unit(tenant_id) as unit:
                await erasure.lay_again(unit, orders[tenant_id])
                people += await user_erasure.lay_again(unit, users[tenant_id])
            while True:
                async with store.unit(tenant_id) as unit:
                    done = await erasure.forget_waiting(unit, _BATCH)
                count += done
                if done < _BATCH:
                    break
    finally:
        await store.aclose()
    return count, people
