"""The effect worker: claims the outbox, paces each account, carries effects out, and writes receipts.

Plain asyncio, no Ray. A call ends in one of three ways: done (or Rejected) is final; Retryable comes back after a
jittered delay that doubles; OutcomeUnknown comes back as uncertain, so that its handler reads before it writes.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, OperationalError

from flipsync.connectors.base import Limiter, MarketplaceConnector, leaves_reserve
from flipsync.connectors.http import current_traceparent
from flipsync.connectors.marketplaces import connect
from flipsync.connectors.signed_prices import PriceGuard
from flipsync.domain import commands as c
from flipsync.domain.clock import utc_now
from flipsync.domain.commands import PRIORITY_LAST_UNIT
from flipsync.domain.errors import (
    ChannelError,
    Conflict,
    FlipSyncError,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Retryable,
    UnreadOrders,
)
from flipsync.domain.events import AccountHealthChanged, EffectFailed, ListingRefused
from flipsync.domain.ids import new_id
from flipsync.domain.listing_care import RevisionRefused
from flipsync.runtime import channel_reads
from flipsync.runtime.bulk_writes import BulkWrites, Desk, Lot, divide
from flipsync.runtime.carrying_out import carry_out
from flipsync.runtime.channel_check import ChannelCheck, watch_of
from flipsync.runtime.channel_writes import Done, Job, PooledGrants
from flipsync.runtime.leases import Leases
from flipsync.runtime.mailbox import Mailbox
from flipsync.runtime.receipts import Receipts
from flipsync.runtime.watched import WatchedConnector, WatchedLimiter
from flipsync.security.secrets import SecretBox
from flipsync.services import accounts, money_out
from flipsync.services.account_vault import AccountVault, same_access
from flipsync.services.accounts import ConnectedAccount
from flipsync.services.orders import AccountRef
from flipsync.services.pricing.firewall import Firewall
from flipsync.services.watch import ChannelWatch
from flipsync.store.repositories import effects as effect_rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories.effects import ClaimedEffect, Outcome
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

log = structlog.get_logger()

LEASE_SECONDS = 90.0
#: places of a worker that only urgent effects take, once the others are full
URGENT_WIDTH = 8
MAX_ATTEMPTS = 12
PATIENCE_HOURS = 24.0
BREAKER_FAILURES = 5
_ACCOUNT_TTL = 10.0
#: (first delay, longest delay) in seconds
_BACKOFF = (0.4, 60.0)
_PAUSED_LOOK = 30.0
_RECONCILING_LOOK = 1.0


def backoff(attempt: int) -> float:
    """Seconds before the next attempt: doubling, full jitter above half (AWS "Exponential Backoff and Jitter")."""
    ceiling = min(_BACKOFF[1], _BACKOFF[0] * 2 ** min(attempt - 1, 16))
    return float(ceiling) * (0.5 + random.random() / 2)  # noqa: S311 - jitter, not a secret


@dataclass
class _Link:
    """An account that is talked to: its connector, kept while the settings stay, and its circuit breaker."""

    account: ConnectedAccount
    connector: WatchedConnector
    pulls: channel_reads.SharedPull
    check: ChannelCheck
    loaded_at: float
    failures: int = 0
    open_until: float = 0.0


class EffectWorker:
    """Carries out effects until cancelled. `slot` is this worker's place: a new life takes what the old one held."""

    def __init__(
        self,
        store: Store,
        box: SecretBox,
        limiter: Limiter,
        firewall: Firewall,
        mailbox: Mailbox | None = None,
        *,
        slot: str = "effects-0",
        width: int = 16,
    ) -> None:
        self._store = store
        self._box = box
        self._limiter = limiter
        self._firewall = firewall
        self._mailbox = mailbox
        self._slot = slot
        self._owner = f"{slot}:{new_id()}"
        self._width = width
        self._links: dict[UUID, _Link] = {}
        self._running: dict[asyncio.Task[None], Lot] = {}
        self._receipts = Receipts(store)
        self._leases = Leases(store, LEASE_SECONDS)
        self._bulk = BulkWrites(
            store,
            self._leases,
            Desk(
                owner=self._owner,
                lease_seconds=LEASE_SECONDS,
                link=self._link,
                waits=self._must_wait,
                alone=self._begin_alone,
                confirm=self._confirm,
                fail=self._fail,
                give_back=self._give_back,
                note_failure=self._note_failure,
                note_success=self._note_success,
            ),
        )
        #: seconds until something is due that the last claim could not take
        self._due: float | None = 0.0
        #: something is due and waits until one of those under way has ended
        self._more = False
        self._ending = False

    async def run(self) -> None:
        """Work until it is to end, and what was begun is carried out."""
        assert self._mailbox is not None, "a worker that waits needs a mailbox"
        begun = False
        while not self._ending:
            try:
                if not begun:
                    await self.begin()
                    begun = True
                self._mailbox.heard()
                await self._start_some()
                await self._mailbox.wait(self._due)
            except asyncio.CancelledError:
                raise
            except (OperationalError, DBAPIError, OSError) as error:
                log.warning("effects wait for the database", error=str(error).splitlines()[0])
                await asyncio.sleep(0.5)
        while self._running:
            await asyncio.wait(self._running)

    def end(self) -> None:
        """Have `run` return: it takes nothing new."""
        self._ending = True
        if self._mailbox is not None:
            self._mailbox.ring()

    async def begin(self) -> None:
        async with self._store.database.unbound() as session:
            await effect_rows.release_earlier_lives(session, self._slot, self._owner)

    async def step(self) -> int:
        """Claim a batch and carry all of it out; returns how many. For tests and tools without a mailbox."""
        started = await self._start_some()
        while self._running:
            await asyncio.gather(*self._running)
        return started

    async def aclose(self) -> None:
        self._leases.close()
        for task in self._running:
            task.cancel()
        for link in self._links.values():
            await link.connector.aclose()

    async def _start_some(self) -> int:
        """Claim as many as there is room for and begin them; returns how many."""
        self._more = True  # whatever ends from here on may make room for what this claim leaves
        lots = list(self._running.values())
        room, up_to = self._width - sum(lot.weight for lot in lots if not lot.urgent), effect_rows.LEAST_URGENT
        if room <= 0:  # what is urgent has places of its own
            room, up_to = URGENT_WIDTH - sum(lot.urgent for lot in lots), PRIORITY_LAST_UNIT
        if room <= 0:
            self._due = None
            return 0
        async with self._store.database.unbound() as session:
            claim = await effect_rows.claim(
                session,
                owner=self._owner,
                limit=room,
                lease_seconds=LEASE_SECONDS,
                up_to=up_to,
                held=self._held(lots),
                busy=Counter(lot.account_id for lot in lots),
            )
        self._due, self._more = claim.due, claim.more
        pooled = self._pooled(claim.effects)
        alone, together = divide(claim.effects)
        for effect in alone:
            self._begin_alone(effect, pooled[effect.tenant_id])
        for group in together:
            lot = Lot(group[0].account_id, weight=len(group), bulk=True)
            self._begin(lot, self._bulk.carry_out(lot, group, pooled[group[0].tenant_id]))
        return len(claim.effects)

    def _held(self, lots: Sequence[Lot]) -> list[UUID]:
        """Accounts that have as many bulk calls under way as are worth having."""
        calls = Counter(lot.account_id for lot in lots if lot.bulk)
        links = {account_id: self._links.get(account_id) for account_id in calls}
        return [
            account_id
            for account_id, link in links.items()
            if calls[account_id] >= (1 if link is None else link.connector.capabilities.bulk_at_once)
        ]

    def _begin_alone(self, effect: ClaimedEffect, pooled: PooledGrants) -> None:
        self._begin(Lot(effect.account_id, urgent=effect.urgent), self._safely(effect, pooled))

    def _begin(self, lot: Lot, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running[task] = lot
        task.add_done_callback(self._one_less)

    def _pooled(self, claimed: Sequence[ClaimedEffect]) -> dict[UUID, PooledGrants]:
        listings: dict[UUID, list[UUID]] = {effect.tenant_id: [] for effect in claimed}
        for effect in claimed:
            if effect.command == c.SetChannelQuantity.type_name():
                listings[effect.tenant_id].append(effect.subject_id)
        return {tenant_id: PooledGrants(self._store, tenant_id, ids) for tenant_id, ids in listings.items()}

    def _one_less(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("effect left to its lease", error=repr(task.exception()))
        if self._more and self._mailbox is not None:
            self._mailbox.ring()

    async def _safely(self, effect: ClaimedEffect, pooled: PooledGrants) -> None:
        """Carry out; when the database goes away meanwhile, give the effect back as uncertain once it is back."""
        try:
            with self._leases.kept([effect]):
                await self._carry_out(effect, pooled)
        except (OperationalError, DBAPIError, OSError) as error:
            log.warning("effect interrupted by the database", effect=str(effect.id), error=str(error).splitlines()[0])
            await self._give_back([effect])

    async def _give_back(self, effects: Sequence[ClaimedEffect]) -> None:
        while True:
            try:
                async with self._store.database.unbound() as session:
                    for effect in effects:
                        await effect_rows.put_back(session, effect, 0.1, uncertain=True)
                self._look_again(0.1)
                return
            except (OperationalError, DBAPIError, OSError):
                await asyncio.sleep(0.5)

    # -- one effect ---------------------------------------------------------------------------------------------------

    async def _carry_out(self, effect: ClaimedEffect, pooled: PooledGrants) -> None:
        started_at = utc_now()
        current_traceparent.set(effect.traceparent or None)
        leaves_reserve.set(not effect.urgent)
        try:
            command = c.Command.from_store(effect.command, effect.payload)
        except (KeyError, ValidationError) as error:
            await self._fail(effect, started_at, Rejected(f"not a command of this version: {error}"), None)
            return
        try:
            link = await self._link(effect)
        except (NotFound, Conflict) as error:
            await self._fail(effect, started_at, Rejected(error.message), None)
            return
        except (FlipSyncError, ValidationError) as error:
            await self._fail(effect, started_at, Retryable(f"the account cannot be used: {error}"), None)
            return
        wait = self._must_wait(link, command)
        if wait:
            async with self._store.database.unbound() as session:
                await effect_rows.put_back(session, effect, wait)
            self._look_again(wait)
            return
        job = Job(
            effect, link.account, link.connector, self._store, self._firewall, link.pulls, pooled, link.check, self._box
        )
        try:
            done = await carry_out(job, command)
        except ChannelError as error:
            await self._note_failure(link, error)
            await self._fail(effect, started_at, error, link.account)
            return
        except (OperationalError, OSError):
            raise
        except Exception as error:
            log.exception("effect failed in our own code", effect=str(effect.id), command=effect.command)
            unknown = OutcomeUnknown(f"{type(error).__name__}: {error}")
            await self._fail(effect, started_at, unknown, link.account)
            return
        if not isinstance(command, c.CheckChannel):  # which ends well however the channel is
            await self._note_success(link)
        await self._confirm(effect, started_at, done)

    async def _confirm(self, effect: ClaimedEffect, started_at: datetime, done: Done) -> None:
        outcome = Outcome(
            "confirmed", "confirmed", started_at, detail=done.detail, result={"detail": done.detail}, shown=done.shown
        )
        await self._receipts.write(effect, outcome, done.book)

    async def _fail(
        self, effect: ClaimedEffect, started_at: datetime, error: ChannelError, account: ConnectedAccount | None
    ) -> None:
        # what is known not to have happened can wait out a long outage; what is not known needs a person before long
        patience = effect.created_at + timedelta(hours=PATIENCE_HOURS)
        unsure = effect.uncertain or isinstance(error, OutcomeUnknown)
        last = effect.attempts >= MAX_ATTEMPTS and (unsure or utc_now() > patience)
        last = last or (isinstance(error, OutcomeUnknown) and error.for_person)
        if effect.command == c.ReconcileRestored.type_name():
            last = False  # everything waits for it
        retry_in: float | None = None
        if isinstance(error, Rejected):
            state, outcome_word = "rejected", "rejected"
        elif isinstance(error, Retryable):
            state, outcome_word = ("rejected" if last else "pending"), "retryable"
            if effect.uncertain:
                state = "unknown"  # this try did nothing, an earlier one may have
            if not last:
                retry_in = max(error.after or 0.0, backoff(effect.attempts))
        else:
            state, outcome_word = "unknown", "unknown"
            if not last:
                retry_in = backoff(effect.attempts)
        outcome = Outcome(
            state,
            outcome_word,
            started_at,
            detail=error.message,
            vendor_code=error.vendor_code,
            result={"detail": error.message, "vendor_code": error.vendor_code},
            retry_in=retry_in,
        )
        if retry_in is not None:
            await self._receipts.write(effect, outcome)
            self._look_again(retry_in)
            return

        async def tell(unit: UnitOfWork) -> None:
            await money_out.ended(unit, effect.command, effect.payload, error.message, in_doubt=state == "unknown")
            if account is not None:
                await self._tell_failed(unit, effect, account, error, state)

        await self._receipts.write(effect, outcome, tell)

    def _look_again(self, seconds: float | None) -> None:
        """An effect comes back: the last claim knows nothing of it."""
        if seconds is not None and self._mailbox is not None:
            asyncio.get_running_loop().call_later(seconds, self._mailbox.ring)

    async def _tell_failed(
        self, unit: UnitOfWork, effect: ClaimedEffect, account: ConnectedAccount, error: ChannelError, state: str
    ) -> None:
        if effect.command == "PublishListing" and state == "rejected":
            await listing_rows.set_status(unit, effect.subject_id, "refused", error.message)
            unit.emit(
                ListingRefused(
                    listing_id=effect.subject_id, account_id=account.id, vendor=account.vendor, reason=error.message
                )
            )
        if effect.command == "ReviseListing" and state == "rejected" and isinstance(error, Rejected):
            refused = RevisionRefused(
                listing_id=effect.subject_id, account_id=account.id, vendor=account.vendor, reason=error.message
            )
            unit.emit(refused)
        unit.emit(
            EffectFailed(
                effect_id=effect.id,
                command=effect.command,
                outcome="unknown" if state == "unknown" else "rejected",
                auth=isinstance(error, Rejected) and error.auth,
                account_id=account.id,
                vendor=account.vendor,
                subject_kind=effect.subject_kind,
                subject_id=effect.subject_id,
                detail=error.message,
            )
        )

    # -- accounts -----------------------------------------------------------------------------------------------------

    async def _link(self, effect: ClaimedEffect) -> _Link:
        link = self._links.get(effect.account_id)
        if link is not None and time.monotonic() - link.loaded_at < _ACCOUNT_TTL:
            return link
        async with self._store.reader(effect.tenant_id) as session:
            account = await accounts.load_account(session, self._box, effect.account_id)
        if link is not None:
            same = link.account.config == account.config and same_access(link.account, account)
            link.account, link.loaded_at = account, time.monotonic()
            if same:
                return link
            link.connector = self._connect(account, link.check.watch)
            link.pulls = self._pulls(account, link.connector)
            link.check = ChannelCheck(self._store, account, link.check.watch, link.connector)
            return link
        watch = watch_of(self._store)
        connector = self._connect(account, watch)
        check = ChannelCheck(self._store, account, watch, connector)
        fresh = _Link(account, connector, self._pulls(account, connector), check, time.monotonic())
        return self._links.setdefault(effect.account_id, fresh)

    def _connect(self, account: ConnectedAccount, watch: ChannelWatch) -> WatchedConnector:
        vault = AccountVault(self._store, self._box, account.tenant_id, account.id)
        limiter = WatchedLimiter(self._limiter, watch.memory, time.monotonic)
        inner = connect(account.config, account.credentials, limiter, str(account.id), vault)
        inner.price_guard = PriceGuard(self._store.clock)
        return WatchedConnector(inner, watch.memory)

    def _pulls(self, account: ConnectedAccount, connector: MarketplaceConnector) -> channel_reads.SharedPull:
        ref = AccountRef(account.id, account.vendor)

        async def pull(cause: Cause) -> int:
            if connector.has_queue:
                return await channel_reads.take_notices(self._store, account, connector, cause)
            return await channel_reads.pull_orders(self._store, account.tenant_id, ref, connector, cause)

        return channel_reads.SharedPull(pull)

    def _must_wait(self, link: _Link, command: c.Command) -> float:
        """Seconds to wait before trying: the account is paused (reads go on), its circuit is open, or the books were
        put back from a backup and have not caught up with the channels."""
        if link.account.status == "paused" and command.scope == "external":
            return _PAUSED_LOOK
        if isinstance(command, c.CheckChannel):
            return 0.0
        account = link.account
        if (account.unreconciled and not isinstance(command, c.ReconcileRestored)) or (
            account.books_wait and isinstance(command, c.SetChannelQuantity)
        ):
            link.loaded_at = float("-inf")  # the next look is at the books
            return _RECONCILING_LOOK
        return max(0.0, link.open_until - time.monotonic())

    async def _note_failure(self, link: _Link, error: ChannelError) -> None:
        if isinstance(error, Rejected | UnreadOrders):
            return
        if isinstance(error, Retryable) and error.vendor_status == 429:
            return  # the limiter handles pace; the vendor is well
        link.failures += 1
        if link.failures % BREAKER_FAILURES == 0:
            pause = min(30.0, 0.5 * 2 ** (link.failures // BREAKER_FAILURES))
            link.open_until = time.monotonic() + pause
            if link.failures == 4 * BREAKER_FAILURES:
                await self._tell_health(link, healthy=False, cause=error.message)

    async def _note_success(self, link: _Link) -> None:
        was_down = link.failures >= 4 * BREAKER_FAILURES
        link.failures, link.open_until = 0, 0.0
        if was_down:
            await self._tell_health(link, healthy=True, cause="the channel answers again")

    async def _tell_health(self, link: _Link, *, healthy: bool, cause: str) -> None:
        async with self._store.unit(link.account.tenant_id) as unit:
            unit.emit(
                AccountHealthChanged(
                    account_id=link.account.id, vendor=link.account.vendor, healthy=healthy, cause=cause
                )
            )
