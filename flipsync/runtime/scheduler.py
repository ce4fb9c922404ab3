"""The clock of the house: turns passing time into facts ("it is time to …"). The only thing that polls, slowly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, cast, get_args
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError

from flipsync.domain.channel import Vendor
from flipsync.domain.commands import CheckChannel
from flipsync.domain.events import ChannelCheckDue, CycleStarted, Event, ListingCheckDue, RepricingDue, TrendsDue
from flipsync.domain.listing_care import ListingsDue
from flipsync.domain.payouts import PAYERS, PullPayouts
from flipsync.domain.steering_events import PlanDue
from flipsync.services import (
    competitor_desk,
    consents,
    credential_ends,
    directives,
    episodes,
    grading,
    language_desk,
    listing_care,
    recorded_desk,
    retention,
    sales_facts,
    trend_desk,
)
from flipsync.services.advertising import books as ad_books
from flipsync.services.sourcing import scans
from flipsync.services.sync import pushing
from flipsync.settings import Cadence
from flipsync.store.repositories import listing_leases, tenants
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.unit_of_work import Store

log = structlog.get_logger()
#: real seconds between two counts of what was sold, when nothing was left over
_COUNT_EVERY = 15.0
Rhythm = Literal["orders", "rivals", "listings", "prices", "hourly", "daily", "weekly", "monthly", "watch"]
_RHYTHMS: tuple[Rhythm, ...] = get_args(Rhythm)


@dataclass
class Scheduler:
    """Emits due facts for every tenant. Two schedulers at once do no harm: each fact has a key of its period."""

    store: Store
    cadence: Cadence
    speed: float = 1.0
    _last: dict[Rhythm, int] = field(default_factory=dict)
    #: the run that forgets what has had its time and grades what was decided, while there is one
    beside: asyncio.Task[None] | None = None
    #: the run that counts what was sold, while there is one
    counting: asyncio.Task[None] | None = None
    _counted: float = float("-inf")

    def seconds(self, rhythm: Rhythm) -> float:
        """Real seconds between two beats."""
        if rhythm == "watch":
            return self.cadence.watch  # channels' troubles and limits are of real time
        return max(self.cadence.floor, float(getattr(self.cadence, rhythm)) / self.speed)

    async def run(self) -> None:
        pause = min(self.seconds(rhythm) for rhythm in _RHYTHMS)
        try:
            while True:
                try:
                    await self.beat()
                except (DBAPIError, OSError) as error:
                    log.warning("the scheduler waits for the database", error=str(error).splitlines()[0])
                await asyncio.sleep(pause / 2)
        finally:
            self.stop()

    def stop(self) -> None:
        """End what runs beside the beat; it is done the next time."""
        for task in (self.beside, self.counting):
            if task is not None:
                task.cancel()

    async def beat(self) -> int:
        """Emit what has become due since the last beat; returns how many tenants were told."""
        if (self.counting is None or self.counting.done()) and time.monotonic() - self._counted >= _COUNT_EVERY:
            self._counted = time.monotonic()
            self.counting = asyncio.create_task(self._count_sales())
        now = self.store.clock.now()
        due: dict[Rhythm, int] = {}
        for rhythm in _RHYTHMS:
            period = int(now.timestamp() / (self.seconds(rhythm) * self.speed))
            if self._last.get(rhythm) != period:
                due[rhythm] = period
        if not due:
            return 0
        async with self.store.database.unbound() as session:
            tenant_ids = await tenants.all_ids(session)
        for tenant_id in tenant_ids:
            await self._tell(tenant_id, due)
        self._last.update(due)
        if "hourly" in due and (self.beside is None or self.beside.done()):
            self.beside = asyncio.create_task(self._beside(tenant_ids))
        return len(tenant_ids)

    async def _beside(self, tenant_ids: Sequence[UUID]) -> None:
        """Beside the beat, which waits for nobody. What could not be done now is in the next hour; one business's
        trouble is not another's."""
        for tenant_id in tenant_ids:
            for name, work in (("retention", retention.run), ("grading", grading.run)):
                try:
                    await work(self.store, tenant_id)
                except Exception as error:
                    log.error(
                        f"{name} failed",
                        tenant_id=str(tenant_id),
                        error=f"{type(error).__name__}: {error}".splitlines()[0],
                    )

    async def _count_sales(self) -> None:
        """Beside the beat, a batch at a time and as long idle as busy: orders on their way are not to wait for it."""
        try:
            async with self.store.database.unbound() as session:
                waiting = await tenants.all_ids(session)
        except (DBAPIError, OSError) as error:
            log.warning("counting waits for the database", error=str(error).splitlines()[0])
            return
        while waiting:
            more = []
            for tenant_id in waiting:
                began = time.monotonic()
                try:
                    if (await sales_facts.run(self.store, tenant_id, batches=1)).more:
                        more.append(tenant_id)
                except (DBAPIError, OSError) as error:
                    log.error("counting failed", tenant_id=str(tenant_id), error=str(error).splitlines()[0])
                await asyncio.sleep(time.monotonic() - began)
            waiting = more

    async def _tell(self, tenant_id: UUID, due: dict[Rhythm, int]) -> None:
        async with self.store.unit(tenant_id) as unit:
            if "daily" in due:
                await credential_ends.warn(unit)
                await consents.forget_old(unit)
                await recorded_desk.forget_old(unit)
                await language_desk.forget_old(unit)
                await episodes.forget_old(unit)
                await competitor_desk.forget_old(unit)
                await trend_desk.forget_old(unit)
                await listing_care.forget_old(unit)
                await ad_books.forget_old(unit)
                await scans.forget_old(unit)
                await pushing.forget_old(unit)
                await listing_leases.forget_before(unit.session, unit.now - timedelta(days=1))
            if "hourly" in due:
                await directives.end_overdue(unit)
            accounts = [row for row in await listing_rows.accounts(unit.session) if row.status != "disconnected"]
            if not accounts:
                return
            facts: list[tuple[Event, Rhythm]] = []
            for account in accounts:
                vendor = cast(Vendor, account.vendor)
                if "orders" in due or "rivals" in due:
                    rhythm: Rhythm = "rivals" if "rivals" in due else "orders"
                    due_now = ChannelCheckDue(account_id=account.id, vendor=vendor, rivals="rivals" in due)
                    facts.append((due_now, rhythm))
                if "listings" in due:
                    facts.append((ListingCheckDue(account_id=account.id, vendor=vendor), "listings"))
            if "prices" in due:
                facts.append((RepricingDue(tenant_id=tenant_id), "prices"))
            if "hourly" in due:
                facts.append((CycleStarted(tenant_id=tenant_id, cycle="hourly"), "hourly"))
            if "daily" in due:
                facts.append((CycleStarted(tenant_id=tenant_id, cycle="daily"), "daily"))
            if "weekly" in due:
                facts.append((TrendsDue(tenant_id=tenant_id), "weekly"))
                facts.append((ListingsDue(tenant_id=tenant_id), "weekly"))
                facts.append((CycleStarted(tenant_id=tenant_id, cycle="weekly"), "weekly"))
            if "monthly" in due:
                facts.append((PlanDue(tenant_id=tenant_id), "monthly"))
            for account in accounts if "watch" in due else ():
                check = CheckChannel(account_id=account.id)
                unit.enqueue(check, account_id=account.id, key=f"watch:{account.id}:{due['watch']}", supersede=True)
            for account in accounts if "daily" in due else ():
                if account.vendor in PAYERS:
                    read = PullPayouts(account_id=account.id)
                    key = f"payouts:{account.id}:{due['daily']}:{self.seconds('daily'):g}"
                    unit.enqueue(read, account_id=account.id, key=key, supersede=True)
            for event, rhythm in facts:
                key = f"due:{event.type_name()}:{rhythm}:{event.subject()[1]}:{due[rhythm]}:{self.seconds(rhythm):g}"
                unit.emit(event, dedup_key=key)
