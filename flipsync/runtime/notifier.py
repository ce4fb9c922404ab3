"""Beside the scheduler: finds what is worth telling, in one business after the other, and sends it on its way; and the
mails that orders with suppliers leave by, and the reports people have scheduled.

The pass waits for no message: each is sent by a task of its own, so many at once, and so many of one business.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from flipsync.connectors.notices.reach import Reach
from flipsync.connectors.notices.sending import Sender
from flipsync.domain.errors import FlipSyncError
from flipsync.security.secrets import SecretBox
from flipsync.services import purchase_mail, report_making
from flipsync.services.notices import delivering, matters, planning
from flipsync.services.notices.delivering import Ready
from flipsync.services.purchase_mail import ReadyMail
from flipsync.services.report_making import Due
from flipsync.store.database import BROKEN_OFF
from flipsync.store.repositories import tenants
from flipsync.store.unit_of_work import Store

log = structlog.get_logger()
#: messages under way at once, and those of one business
_AT_ONCE, _OF_ONE = 16, 4
#: reports being made at once: each keeps a core busy
_MAKING = 1


@dataclass
class Notifier:
    """Two at once do no harm: no matter is told twice, and each message is one's alone to send."""

    store: Store
    box: SecretBox
    #: real seconds from the end of a pass to the next
    pause: float
    #: where the app is, for links; "" for none
    base: str = ""
    inside: Collection[str] = ()
    sender: Sender | None = None
    _under_way: dict[asyncio.Task[None], UUID] = field(default_factory=dict)
    _making: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        try:
            while True:
                try:
                    await self.beat()
                except BROKEN_OFF as error:
                    log.warning("the notifier waits for the database", error=str(error).splitlines()[0])
                await asyncio.sleep(self.pause)
        finally:
            for task in (*self._under_way, *self._making):
                task.cancel()

    async def beat(self) -> int:
        """One pass over every business; how many notifications are new. One business's trouble is not another's."""
        async with self.store.database.unbound() as session:
            tenant_ids = await tenants.all_ids(session)
        fresh = 0
        for tenant_id in tenant_ids:
            try:
                fresh += await self.look(tenant_id)
            except (*BROKEN_OFF, FlipSyncError, ValueError) as error:
                log.error("nobody was told", tenant_id=str(tenant_id), error=str(error).splitlines()[0])
        return fresh

    async def look(self, tenant_id: UUID) -> int:
        """One business: what is new is told, what is to go out is planned, and what may go is sent on its way."""
        of_one = Counter(self._under_way.values())[tenant_id]
        room = max(0, min(_AT_ONCE - len(self._under_way), _OF_ONE - of_one))
        async with self.store.unit(tenant_id) as unit:
            reports = await report_making.claim(unit, _MAKING - len(self._making))
        for report in reports:
            made = asyncio.create_task(self._make(report))
            self._making.add(made)
            made.add_done_callback(self._making.discard)
        async with self.store.unit(tenant_id) as unit:
            fresh = await matters.tell(unit)
            await planning.plan_all(unit)
            ordered = await purchase_mail.claim(unit, self.box, room) if room else []
            room -= len(ordered)
            ready = await delivering.claim(unit, self.box, room, self.base) if room else []
        going: list[Ready | ReadyMail] = [*ordered, *ready]
        for each in going:
            task = asyncio.create_task(self._send(each))
            self._under_way[task] = tenant_id
            task.add_done_callback(self._arrived)
        return fresh

    async def settle(self) -> None:
        """Wait for what is under way."""
        while under_way := [*self._under_way, *self._making]:
            await asyncio.wait(under_way)

    async def _make(self, due: Due) -> None:
        try:
            await report_making.make(self.store, due)
        except BROKEN_OFF as error:  # its lease ends, and it is made again
            log.warning("what came of a report is not written down", error=str(error).splitlines()[0])
        except Exception as error:
            log.error("a report failed", report_id=str(due.claimed.id), error=type(error).__qualname__)

    async def _send(self, ready: Ready | ReadyMail) -> None:
        if self.sender is None:
            self.sender = Sender(Reach(self.inside))
        try:
            if isinstance(ready, ReadyMail):
                await purchase_mail.deliver(self.store, self.sender, ready)
            else:
                await delivering.deliver(self.store, self.sender, ready)
        except BROKEN_OFF as error:  # its lease ends, and it is tried again
            log.warning("what came of a message is not written down", error=str(error).splitlines()[0])
        except Exception as error:  # a fault of ours must end one message and not the pass; no URL is in the log
            log.error("a message failed", delivery_id=str(ready.claimed.id), error=type(error).__qualname__)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)
