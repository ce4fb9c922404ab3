"""Computes the trainings that agents asked for, in a Ray task of its own, one after the other."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any
from uuid import UUID

import structlog

from flipsync.runtime.mailbox import Mailbox
from flipsync.settings import from_environment
from flipsync.store.database import AWAY, Database
from flipsync.store.repositories import tenants
from flipsync.store.unit_of_work import Store

log = structlog.get_logger()
TRAINER = "trainer"
#: looked for now and then, should a wake-up be lost
_LOOK_SECONDS = 600.0


class Trainer:
    """Waits in the supervisor. What it runs is in the books, so nothing is lost when it dies: the next one goes on."""

    def __init__(self, store: Store, mailbox: Mailbox) -> None:
        self._store = store
        self._mailbox = mailbox

    async def run(self) -> None:
        loop, looked = asyncio.get_running_loop(), float("-inf")
        while True:
            woken = await self._mailbox.wait()
            if not woken and loop.time() - looked < _LOOK_SECONDS:
                continue
            looked = loop.time()
            try:
                await self.look()
            except AWAY as error:
                log.warning("the trainer waits for the database", error=str(error).splitlines()[0])

    async def look(self) -> int:
        """Compute what is asked for; returns how many trainings that were."""
        async with self._store.database.unbound() as session:
            known = await tenants.all_ids(session)
        done = 0
        for tenant_id in known:
            if not await _asked(self._store, tenant_id):
                continue
            ray = importlib.import_module("ray")
            task = ray.remote(train_requested).options(num_cpus=0, max_retries=1)
            try:
                done += await task.remote(str(tenant_id))
            except ray.exceptions.RayError as error:
                log.warning("a training failed", tenant=str(tenant_id), error=str(error).splitlines()[0][:300])
        return done


async def _asked(store: Store, tenant_id: UUID) -> bool:
    rows: Any = importlib.import_module("flipsync.store.repositories.experiments")
    async with store.reader(tenant_id) as session:
        return bool(await rows.asked_for(session))


def train_requested(tenant: str) -> int:
    """All trainings a business asked for; in a process that may import what it likes."""
    requests: Any = importlib.import_module("flipsync.training.requests")
    tenant_id, url = UUID(tenant), from_environment().worker_database_url.get_secret_value()

    def store() -> Store:
        return Store(Database(url, pool_size=1, name=TRAINER), {})

    async def wanted() -> Any:
        books = store()
        try:
            return await requests.open_requests(books, tenant_id)
        finally:
            await books.aclose()

    found = asyncio.run(wanted())
    for each in found:
        outcome = requests.compute(store(), each)
        log.info("trained", problem=each.name, learned=outcome.learned, policy=outcome.policy.version)
    return len(found)
