"""Beside the scheduler: finds what is worth telling, in one business after the other, and waits for nobody."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from flipsync.domain.errors import FlipSyncError
from flipsync.services.notices import matters
from flipsync.store.database import BROKEN_OFF
from flipsync.store.repositories import tenants
from flipsync.store.unit_of_work import Store

log = structlog.get_logger()


@dataclass
class Notifier:
    """Two at once do no harm: nobody is told a matter twice (store.repositories.notices)."""

    store: Store
    #: real seconds from the end of a pass to the next
    pause: float

    async def run(self) -> None:
        while True:
            try:
                await self.beat()
            except BROKEN_OFF as error:
                log.warning("the notifier waits for the database", error=str(error).splitlines()[0])
            await asyncio.sleep(self.pause)

    async def beat(self) -> int:
        """One pass over every business; how many notifications are new. One business's trouble is not another's."""
        async with self.store.database.unbound() as session:
            tenant_ids = await tenants.all_ids(session)
        fresh = 0
        for tenant_id in tenant_ids:
            try:
                fresh += await matters.look(self.store, tenant_id)
            except (*BROKEN_OFF, FlipSyncError, ValueError) as error:
                log.error("nobody was told", tenant_id=str(tenant_id), error=str(error).splitlines()[0])
        return fresh
