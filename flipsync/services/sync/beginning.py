"""Sync begins for a business with its first phone: until then nothing is noted for it, and its orders pay nothing.

In steps that may be cut off and repeated, by several at once as well: the row that has changes noted; the end of all
transactions that may not have seen it; what is there already, a batch at a time; the mark that all of it is noted.
"""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Unavailable
from flipsync.services.sync.merging import AWAY
from flipsync.store.repositories import sync_begun as rows
from flipsync.store.unit_of_work import Cause, Store

#: for changes under way when sync begins; for noting what is there
WAIT_SECONDS, FILL_SECONDS = 5.0, 20.0
BATCH = 1_000
_PAUSE_SECONDS, _LONGEST_PAUSE = 0.005, 0.25
#: classes and states of SQLSTATE: waited too long for others, or in a circle
_BUSY = ("40", "55P03")
_HINT = "register the device again in a moment: it goes on from there"


async def begin(store: Store, tenant_id: UUID, cause: Cause | None = None) -> None:
    """Have the business's changes noted; at once when they are. Raises Unavailable: then calling again goes on."""
    async with store.reader(tenant_id) as session:
        if await rows.is_filled(session):
            return
    async with store.unit(tenant_id) as unit:
        await rows.announce(unit.session, tenant_id)
    async with store.unit(tenant_id) as unit:
        barrier = await rows.raise_barrier(unit.session)
    await _pass(store, tenant_id, barrier)
    give_up = time.monotonic() + FILL_SECONDS
    for kind in rows.KINDS:
        last: UUID | None = UUID(int=0)
        while last is not None:
            last = await _fill(store, tenant_id, kind, last, give_up)
    async with store.unit(tenant_id, cause) as unit:
        if await rows.set_filled(unit.session, unit.now):
            unit.audit("sync.begun", "tenant", tenant_id)


async def _pass(store: Store, tenant_id: UUID, barrier: int) -> None:
    """Wait until nobody is under way who may not have seen that changes are noted."""
    give_up, pause = time.monotonic() + WAIT_SECONDS, _PAUSE_SECONDS
    while True:
        async with store.reader(tenant_id) as session:
            if await rows.is_passed(session, barrier):
                return
        if time.monotonic() > give_up:
            raise Unavailable("changes that began before sync did are still under way", hint=_HINT)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _fill(store: Store, tenant_id: UUID, kind: str, after: UUID, give_up: float) -> UUID | None:
    """A batch, in a transaction of its own; again when somebody else has to go first."""
    while True:
        if time.monotonic() > give_up:
            raise Unavailable("there is much to note before phones can sync", hint=_HINT)
        try:
            async with store.unit(tenant_id) as unit:
                await rows.yield_to_others(unit.session)
                return await rows.fill(unit.session, kind, after, utc_now() - AWAY, BATCH)
        except DBAPIError as error:
            if not (getattr(error.orig, "sqlstate", None) or "").startswith(_BUSY):
                raise
        await asyncio.sleep(_PAUSE_SECONDS)
