"""Receipts are written together: whatever is finished while a transaction commits goes into the next one.

What also changes books that others lock (stock, orders) has a transaction of its own, so that no two wait for each
other crosswise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import OperationalError

from flipsync.store.repositories import effects as effect_rows
from flipsync.store.repositories.effects import ClaimedEffect, Outcome
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

_MOST = 64
Book = Callable[[UnitOfWork], Awaitable[None]]


@dataclass(frozen=True)
class _Finished:
    effect: ClaimedEffect
    outcome: Outcome
    written: asyncio.Future[None]


class Receipts:
    """Writes what came of attempts, each once, in the order of their ends."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[UUID, list[_Finished]] = {}
        self._writers: dict[UUID, asyncio.Task[None]] = {}

    async def write(self, effect: ClaimedEffect, outcome: Outcome, book: Book | None = None) -> None:
        """Returns when the receipt is committed, together with `book`. Nothing is written when the lease is lost.

        Raises what the database raises.
        """
        if book is not None:
            await self._alone(effect, outcome, book)
            return
        finished = _Finished(effect, outcome, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(effect.tenant_id, []).append(finished)
        if effect.tenant_id not in self._writers:
            self._writers[effect.tenant_id] = asyncio.create_task(self._work(effect.tenant_id))
        await finished.written

    async def _alone(self, effect: ClaimedEffect, outcome: Outcome, book: Book) -> None:
        cause = Cause(effect.id, effect.correlation_id, effect.traceparent)
        async with self._store.unit(effect.tenant_id, cause) as unit:
            if await effect_rows.finish(unit.session, unit.tenant_id, [(effect, outcome)]):
                await book(unit)

    async def _work(self, tenant_id: UUID) -> None:
        try:
            while waiting := self._waiting.pop(tenant_id, None):
                for start in range(0, len(waiting), _MOST):
                    await self._together(tenant_id, waiting[start : start + _MOST])
        finally:
            del self._writers[tenant_id]

    async def _together(self, tenant_id: UUID, batch: Sequence[_Finished]) -> None:
        try:
            async with self._store.database.session(tenant_id) as session:
                await effect_rows.finish(session, tenant_id, [(each.effect, each.outcome) for each in batch])
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, (OperationalError, OSError)):
                for each in batch:  # find the one that spoils the batch
                    await self._together(tenant_id, [each])
                return
            for each in batch:
                if not each.written.done():
                    each.written.set_exception(error)
            return
        for each in batch:
            if not each.written.done():
                each.written.set_result(None)
