"""The index of meanings: episodes' words as vectors, kept up with the books and made again from them at any time.

What the books have and the index does not is put in; what the index has and the books do not is taken out. Losing the
index, or being killed anywhere in between, costs work and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar
from uuid import UUID

from flipsync.domain.clock import utc_now
from flipsync.intelligence.memory.port import Embedder, Near, Vectors
from flipsync.store.database import Database
from flipsync.store.repositories import episodes as rows
from flipsync.store.repositories import tenants

P = ParamSpec("P")
T = TypeVar("T")
#: episodes put in at once
BATCH = 1_000
#: batches that a question waits for, so that what was learned just now is found
_WAITED_FOR = 2


@dataclass
class Tidied:
    """Vectors taken out, since nobody remembers what they are of; and businesses whose vectors were lost."""

    gone: int = 0
    lost: int = 0


class Meanings:
    """One process's. `opened` opens the vectors when they are first needed; they and the model run in one thread.

    Everything raises Unavailable where the vectors cannot be had.
    """

    def __init__(self, database: Database, opened: Callable[[], Vectors], embedder: Embedder) -> None:
        self._database = database
        self._opened = opened
        self._embedder = embedder
        self._vectors: Vectors | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="meanings")
        #: vectors and what the books say of them are changed together
        self._changing = asyncio.Lock()

    async def nearest(self, tenant_id: UUID, words: str, k: int, among: Collection[UUID] | None = None) -> list[Near]:
        for _ in range(_WAITED_FOR):
            if await self._put_batch(tenant_id) < BATCH:
                break
        return await self._within(self._nearest, tenant_id, words, k, among)

    async def keep_up(self) -> int:
        """Put in all that is not there yet; how many."""
        count = 0
        for tenant_id in await self._tenants():
            while put := await self._put_batch(tenant_id):
                count += put
        return count

    async def tidy(self) -> Tidied:
        """Compare with the books. What was lost is put in by the next `keep_up`."""
        done = Tidied()
        known = await self._tenants()
        for stranger in await self._within(lambda: self._open().tenants()) - set(known):
            await self._within(lambda whose: self._open().forget_all(whose), stranger)
        for tenant_id in known:
            async with self._changing:
                done.gone += await self._take_out(tenant_id)
                there = await self._within(lambda whose: self._open().count(whose), tenant_id)
                async with self._database.session(tenant_id) as session:
                    _, indexed = await rows.counts(session)
                    if there < indexed:
                        done.lost += 1
                        await rows.index_anew(session)
        return done

    async def rebuild(self) -> int:
        """Forget all vectors and make them again; how many."""
        async with self._changing:
            await self._within(lambda: self._open().clear())
            for tenant_id in await self._tenants():
                async with self._database.session(tenant_id) as session:
                    await rows.index_anew(session)
        return await self.keep_up()

    async def aclose(self) -> None:
        vectors, self._vectors = self._vectors, None
        if vectors is not None:
            await self._within(vectors.close)
        self._thread.shutdown()

    def _open(self) -> Vectors:
        if self._vectors is None:
            self._vectors = self._opened()
        return self._vectors

    async def _within(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*arguments, **named))

    async def _tenants(self) -> Sequence[UUID]:
        async with self._database.unbound() as session:
            return await tenants.all_ids(session)

    def _nearest(self, tenant_id: UUID, words: str, k: int, among: Collection[UUID] | None) -> list[Near]:
        vector = self._embedder.embed([words])[0]
        return self._open().nearest(tenant_id, vector, k, among) if any(vector) else []

    def _put(self, tenant_id: UUID, told: Sequence[tuple[UUID, str]]) -> None:
        vectors = self._embedder.embed([words for _, words in told])
        self._open().put(tenant_id, [(each[0], vector) for each, vector in zip(told, vectors, strict=True)])

    async def _put_batch(self, tenant_id: UUID) -> int:
        """They are on disk before the books say that they are: a kill in between has them put in once more."""
        async with self._changing, self._database.session(tenant_id) as session:
            told = await rows.unindexed(session, BATCH)
            if told:
                await self._within(self._put, tenant_id, told)
                await rows.set_indexed(session, [each for each, _ in told], utc_now())
        return len(told)

    async def _take_out(self, tenant_id: UUID) -> int:
        """Vectors of episodes that were forgotten."""
        pages = await self._within(lambda: list(self._open().episodes(tenant_id)))
        count = 0
        for page in pages:
            async with self._database.session(tenant_id) as session:
                gone = set(page) - await rows.still_there(session, page)
            await self._within(lambda whose, which: self._open().forget(whose, which), tenant_id, gone)
            count += len(gone)
        return count
