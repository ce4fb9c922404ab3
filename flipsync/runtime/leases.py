"""Leases of work under way are put off until it ends, however long a vendor takes; a dead worker's run out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import structlog

from flipsync.store.database import BROKEN_OFF
from flipsync.store.repositories import bulk_effects
from flipsync.store.repositories.effects import ClaimedEffect
from flipsync.store.unit_of_work import Store

log = structlog.get_logger()


class Leases:
    """The leases of one worker, `seconds` long: renewed when a third of that has passed.

    One that another worker has taken meanwhile (this one was cut off for too long) stays that worker's: its epoch is
    another, and nothing that is written down under the old one counts.
    """

    def __init__(self, store: Store, seconds: float) -> None:
        self._store, self._seconds = store, seconds
        self._kept: dict[UUID, ClaimedEffect] = {}
        self._task: asyncio.Task[None] | None = None

    def keep(self, effects: Sequence[ClaimedEffect]) -> None:
        """From now on these are renewed."""
        for effect in effects:
            self._kept[effect.id] = effect
        if self._kept and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._renew(), name="leases")

    def release(self, effects: Sequence[ClaimedEffect]) -> None:
        for effect in effects:
            if self._kept.get(effect.id) is effect:
                del self._kept[effect.id]

    @contextmanager
    def kept(self, effects: Sequence[ClaimedEffect]) -> Iterator[None]:
        """Keeps these while the block runs."""
        self.keep(effects)
        try:
            yield
        finally:
            self.release(effects)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / 3)
            if not self._kept:
                return
            ours = list(self._kept.values())
            try:
                async with self._store.database.unbound() as session:
                    still = await bulk_effects.renew(session, ours, self._seconds)
            except BROKEN_OFF as error:
                log.warning("leases wait for the database", error=str(error).splitlines()[0])
                continue
            lost = [effect for effect in ours if effect.id not in still and self._kept.get(effect.id) is effect]
            for effect in lost:
                del self._kept[effect.id]
            if lost:
                log.warning("leases are another worker's now", effects=len(lost))

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
