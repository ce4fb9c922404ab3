"""Quantities of pooled stock, many in one call where the channel takes them so; each effect still has its own outcome.

What is claimed of an account is topped up with what else waits there, up to what one call takes. Escrow goes one by
one: its fence and its compare-and-set are a conversation about one listing. What is urgent goes alone as well, and
passes a call under way even when that is about the same listing. When a call is over the ledger is asked again: what
has moved past what was written comes back at once, urgent itself. Where a vendor lets a call be read back for minutes,
what it has shown by then is concluded meanwhile.

An outcome nobody knows is read back, many listings a call, before anything is written again. Work that the vendor took
under a name (a feed) is noted with its effects: whoever takes over waits for it instead of sending it once more.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

import structlog
from pydantic import ValidationError

from flipsync.connectors.base import MarketplaceConnector, QuantityChange, QuantityOutcome, leaves_reserve
from flipsync.domain import commands as c
from flipsync.domain.channel import ListingState
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import ChannelError, FlipSyncError, OutcomeUnknown, Rejected, Retryable
from flipsync.runtime import knowing
from flipsync.runtime.channel_reads import SharedPull
from flipsync.runtime.channel_writes import Done, PooledGrants
from flipsync.runtime.early import Early
from flipsync.runtime.leases import Leases
from flipsync.runtime.quantity_writes import may_read_first, overwrites, tell_overwritten
from flipsync.services.accounts import ConnectedAccount
from flipsync.store.database import AWAY, BROKEN_OFF
from flipsync.store.repositories import bulk_effects
from flipsync.store.repositories.effects import SET_QUANTITY, ClaimedEffect
from flipsync.store.repositories.stock import PooledGrant
from flipsync.store.unit_of_work import Cause, Store

log = structlog.get_logger()

#: listings that are read together before they are written: one call of any vendor's
READ_FIRST = 20


class Link(Protocol):
    """An account that is talked to."""

    @property
    def account(self) -> ConnectedAccount: ...

    @property
    def connector(self) -> MarketplaceConnector: ...

    @property
    def pulls(self) -> SharedPull: ...


L = TypeVar("L", bound=Link)


@dataclass(eq=False)
class Lot:
    """What one task of the worker has under way: `weight` of the worker's places, or a bulk call's one."""

    account_id: UUID
    weight: int = 1
    urgent: bool = False
    bulk: bool = False


@dataclass(frozen=True)
class Desk(Generic[L]):
    """What a bulk call needs of the worker it belongs to."""

    owner: str
    lease_seconds: float
    link: Callable[[ClaimedEffect], Awaitable[L]]
    waits: Callable[[L, c.Command], float]
    alone: Callable[[ClaimedEffect, PooledGrants], None]
    confirm: Callable[[ClaimedEffect, datetime, Done], Awaitable[None]]
    fail: Callable[[ClaimedEffect, datetime, ChannelError, ConnectedAccount], Awaitable[None]]
    give_back: Callable[[Sequence[ClaimedEffect]], Awaitable[None]]
    note_failure: Callable[[L, ChannelError], Awaitable[None]]
    note_success: Callable[[L], Awaitable[None]]


def divide(claimed: Sequence[ClaimedEffect]) -> tuple[list[ClaimedEffect], list[list[ClaimedEffect]]]:
    """Those that go alone, and the quantities that may go together: of one account, and in the same vendor's hands."""
    alone: list[ClaimedEffect] = []
    together: dict[tuple[UUID, str], list[ClaimedEffect]] = defaultdict(list)
    for effect in claimed:
        if effect.command == SET_QUANTITY and not effect.urgent:
            together[effect.account_id, effect.taken].append(effect)
        else:
            alone.append(effect)
    return alone, list(together.values())


class BulkWrites(Generic[L]):
    """Carries out groups of quantities for one worker."""

    def __init__(self, store: Store, leases: Leases, desk: Desk[L]) -> None:
        self._store, self._leases, self._desk = store, leases, desk
        self._all_at_once = knowing.AllAtOnce(store)

    async def carry_out(self, lot: Lot, group: Sequence[ClaimedEffect], grants: PooledGrants) -> None:
        """Effects of one account, leased: hands back to the worker what has to go alone, and writes the rest."""
        leaves_reserve.set(True)
        ours = _Responsible(self._leases)
        with ours.kept():
            try:
                ours.take(group)
                await self._carry_out(lot, ours, group, grants)
            except BROKEN_OFF as error:
                log.warning("bulk interrupted by the database", error=str(error).splitlines()[0])
                await self._desk.give_back(ours.effects)

    async def _carry_out(
        self, lot: Lot, ours: _Responsible, group: Sequence[ClaimedEffect], grants: PooledGrants
    ) -> None:
        link = await self._open(group[0])
        if link is not None and await self._learnt_all(lot, link, group, grants):
            grants = PooledGrants(self._store, group[0].tenant_id, [effect.subject_id for effect in group])
        fit: list[ClaimedEffect] = []
        for effect in group:
            if link is not None and await grants.of(effect.subject_id) is not None:
                fit.append(effect)
            else:
                self._alone(ours, effect, grants)
        if link is None or not fit:
            return
        lot.weight = 1
        more = await self._claim_more(link, fit)
        ours.take(more)
        if len(fit) + len(more) == 1 and not fit[0].taken:
            self._alone(ours, fit[0], grants)
            return
        granted = {effect.id: shown for effect in fit if (shown := await grants.of(effect.subject_id)) is not None}
        if more:
            wider = PooledGrants(self._store, more[0].tenant_id, [effect.subject_id for effect in more])
            for effect in more:
                shown = await wider.of(effect.subject_id)
                if shown is None:
                    self._alone(ours, effect, wider)
                else:
                    granted[effect.id] = shown
        await _Call(self._store, self._desk, link, ours, granted).make()

    async def _open(self, effect: ClaimedEffect) -> L | None:
        """The account, where it takes many quantities at once; None when each effect has to see for itself."""
        try:
            link = await self._desk.link(effect)
            command = c.Command.from_store(effect.command, effect.payload)
        except (FlipSyncError, ValidationError, KeyError):
            return None
        if link.connector.capabilities.bulk_quantity < 2 or self._desk.waits(link, command):
            return None
        return link

    async def _learnt_all(self, lot: Lot, link: L, group: Sequence[ClaimedEffect], grants: PooledGrants) -> bool:
        """Whether time has passed since the grants, because much was unknown of many listings."""
        granted = [grant for effect in group if (grant := await grants.of(effect.subject_id)) is not None]
        known = [grant.external_id for grant in granted]
        whole, lot.weight = lot.weight, 1  # others' work goes on meanwhile
        learnt = await self._all_at_once.learn(link.account, link.connector, known)
        lot.weight = whole
        return learnt

    def _alone(self, ours: _Responsible, effect: ClaimedEffect, grants: PooledGrants) -> None:
        ours.drop([effect])
        self._desk.alone(effect, grants)

    async def _claim_more(self, link: L, fit: Sequence[ClaimedEffect]) -> list[ClaimedEffect]:
        async with self._store.database.session(fit[0].tenant_id) as session:
            return await bulk_effects.claim_bulk(
                session,
                fit,
                owner=self._desk.owner,
                limit=link.connector.capabilities.bulk_quantity - len(fit),
                lease_seconds=self._desk.lease_seconds,
            )


class _Responsible:
    """Effects whose outcome is still to be written down, and whose leases are kept until it is."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._effects: dict[UUID, ClaimedEffect] = {}

    @contextmanager
    def kept(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._leases.release(self.effects)

    @property
    def effects(self) -> list[ClaimedEffect]:
        return list(self._effects.values())

    def has(self, effect: ClaimedEffect) -> bool:
        return effect.id in self._effects

    def take(self, effects: Sequence[ClaimedEffect]) -> None:
        self._effects |= {effect.id: effect for effect in effects}
        self._leases.keep(effects)

    def drop(self, effects: Sequence[ClaimedEffect]) -> None:
        for effect in effects:
            del self._effects[effect.id]
        self._leases.release(effects)


class _Call(Generic[L]):
    """One bulk call: `granted` is, by effect, the listing's id on the channel and the units to show."""

    def __init__(
        self,
        store: Store,
        desk: Desk[L],
        link: L,
        ours: _Responsible,
        granted: Mapping[UUID, PooledGrant],
    ) -> None:
        self._store, self._desk, self._link, self._ours, self._granted = store, desk, link, ours, granted
        self._started_at = utc_now()
        #: units that may be somebody's edit and were written over, by the effect that did
        self._replaced: dict[ClaimedEffect, int] = {}

    async def make(self) -> None:
        try:
            await self._make(self._ours.effects)
        except ChannelError as error:
            await self._desk.note_failure(self._link, error)
            await self._fail(dict.fromkeys(self._ours.effects, error))
        except AWAY:
            raise
        except Exception as error:
            log.exception("bulk call failed in our own code", effects=len(self._ours.effects))
            unknown = OutcomeUnknown(f"{type(error).__name__}: {error}")
            await self._fail(dict.fromkeys(self._ours.effects, unknown))

    async def _make(self, effects: Sequence[ClaimedEffect]) -> None:
        connector = self._link.connector
        if effects[0].taken:
            await connector.finished(effects[0].taken)
        shown: set[ClaimedEffect] = set()
        if uncertain := [effect for effect in effects if effect.uncertain]:
            seen = await connector.read_listings([self._external_id(effect) for effect in uncertain])
            shown = {
                effect for effect in uncertain if _quantity(seen, self._external_id(effect)) == self._units(effect)
            }
        failed: dict[ClaimedEffect, ChannelError] = {}
        if to_write := [effect for effect in effects if effect not in shown]:
            await knowing.recall(self._store, self._link.account, connector, [*map(self._external_id, to_write)])
            failed = await self._write(to_write)
            failed |= await self._write_anew(failed)
        worst = next((error for error in failed.values() if not isinstance(error, OutcomeUnknown)), None)
        if len(failed) < len(effects):
            await self._desk.note_success(self._link)
        else:
            await self._desk.note_failure(self._link, worst or next(iter(failed.values())))
        await self._fail(failed)
        await self._conclude([effect for effect in effects if effect not in failed and self._ours.has(effect)])
        await knowing.keep(self._store, self._link.account, connector)
        if told := {effect: units for effect, units in self._replaced.items() if effect not in failed}:
            await self._tell_overwritten(told)

    async def _tell_overwritten(self, replaced: Mapping[ClaimedEffect, int]) -> None:
        first = next(iter(replaced))
        await tell_overwritten(
            self._store,
            self._link.account,
            self._link.connector,
            self._link.pulls,
            Cause(first.id, first.correlation_id, first.traceparent),
            {effect.subject_id: self._granted[effect.id] for effect in replaced},
            {effect.subject_id: units for effect, units in replaced.items()},
        )

    def _would_know(self, effect: ClaimedEffect) -> bool:
        """An earlier try of ours would look like somebody's edit, and so would units before our first write."""
        return effect.attempts == 1 and not effect.uncertain and self._granted[effect.id].explained is not None

    async def _before(self, effects: Sequence[ClaimedEffect]) -> dict[str, int | None]:
        """What few listings show before they are written, where the write would not tell. A full call is not read
        first: it would take the same calls once more (a look at the listings tells of edits then)."""
        connector = self._link.connector
        known = [self._external_id(effect) for effect in effects if self._would_know(effect)]
        if connector.capabilities.tells_replaced or not 0 < len(known) <= READ_FIRST:
            return {}
        if not may_read_first(self._link.account.id):
            return {}
        try:
            seen = await connector.read_listings(known)
        except ChannelError:
            return {}
        return {external_id: state.quantity for external_id, state in seen.items()}

    async def _write_anew(self, failed: dict[ClaimedEffect, ChannelError]) -> dict[ClaimedEffect, ChannelError]:
        """Those that were refused by what an earlier process knew of the listing, once more by what it is now: takes
        them out of `failed`, and returns what failed again."""
        refused = {self._external_id(effect): effect for effect, e in failed.items() if isinstance(e, Rejected)}
        again = [refused[one] for one in self._link.connector.doubt(refused)]
        for effect in again:
            del failed[effect]
        return await self._write(again) if again else {}

    async def _write(self, effects: Sequence[ClaimedEffect]) -> dict[ClaimedEffect, ChannelError]:
        """Send, and read back what is not sure; the effects that the channel does not show, and why."""
        by_key = {f"{effect.key}:{effect.epoch}": effect for effect in effects}
        changes = [
            QuantityChange(self._external_id(effect), self._units(effect), key) for key, effect in by_key.items()
        ]
        before = await self._before(effects)

        def shown(outcomes: Sequence[QuantityOutcome]) -> list[ClaimedEffect]:
            """Those of them that are as they should be."""
            for outcome in outcomes:
                self._note_replaced(by_key[outcome.change.key], outcome, before)
            return [by_key[each.change.key] for each in outcomes if self._shows(by_key[each.change.key], each)]

        async def taken(name: str, part: Sequence[QuantityChange]) -> None:
            async with self._store.database.unbound() as session:
                await bulk_effects.note_taken(session, [by_key[change.key] for change in part], name)

        async with Early(self._conclude, shown) as early:
            try:
                outcomes = await self._link.connector.push_quantities(changes, taken, early.tell)
            except OutcomeUnknown as error:
                outcomes = [QuantityOutcome(change, None, error) for change in changes]
        silent = OutcomeUnknown("the answer leaves this listing out", hint="read back before trying again")
        left = [effect for effect in effects if self._ours.has(effect)]  # the others are concluded
        failed: dict[ClaimedEffect, ChannelError] = dict.fromkeys(left, silent)
        lower: set[ClaimedEffect] = set()
        for outcome in outcomes:
            effect = by_key[outcome.change.key]
            self._note_replaced(effect, outcome, before)
            if effect not in failed:
                continue
            if self._shows(effect, outcome):
                del failed[effect]
            elif outcome.error is not None:
                failed[effect] = outcome.error
            else:
                told = outcome.state.quantity if outcome.state is not None else None
                failed[effect] = OutcomeUnknown(f"the channel shows {told} units instead of {self._units(effect)}")
                lower.add(effect)  # it was written: what is missing was sold since
        unsure = [effect for effect, error in failed.items() if isinstance(error, OutcomeUnknown)]
        if unsure:
            for effect, units in (await self._read_back(unsure)).items():
                if units == self._units(effect) or (effect in lower and units < self._units(effect)):
                    del failed[effect]
        return failed

    def _shows(self, effect: ClaimedEffect, outcome: QuantityOutcome) -> bool:
        shown = None if outcome.error is not None or outcome.state is None else outcome.state.quantity
        return shown == self._units(effect)

    def _note_replaced(self, effect: ClaimedEffect, outcome: QuantityOutcome, before: Mapping[str, int | None]) -> None:
        replaced = before.get(outcome.change.external_id)
        if replaced is None and outcome.state is not None:
            replaced = outcome.state.shown_before
        if replaced is not None and self._would_know(effect) and overwrites(self._granted[effect.id], replaced):
            self._replaced[effect] = replaced

    async def _read_back(self, effects: Sequence[ClaimedEffect]) -> dict[ClaimedEffect, int]:
        try:
            seen = await self._link.connector.read_listings([self._external_id(effect) for effect in effects])
        except ChannelError:
            return {}  # still unknown: the next attempt reads before it writes
        quantities = {effect: _quantity(seen, self._external_id(effect)) for effect in effects}
        return {effect: units for effect, units in quantities.items() if units is not None}

    async def _conclude(self, effects: Sequence[ClaimedEffect]) -> None:
        """Confirm what the ledger still grants; the rest is written again, at once where there is less than shown."""
        if not effects:
            return
        now = PooledGrants(self._store, effects[0].tenant_id, [effect.subject_id for effect in effects])
        moved: dict[ClaimedEffect, ChannelError] = {}
        less: list[ClaimedEffect] = []
        for effect in effects:
            grant = await now.of(effect.subject_id)
            if grant is None or grant.units != self._units(effect):
                units = "no share of the pool" if grant is None else f"{grant.units} units"
                moved[effect] = Retryable(
                    f"{self._units(effect)} units shown, and the ledger grants {units} by now", after=0.0
                )
                if grant is None or grant.units < self._units(effect):
                    less.append(effect)
        if less:
            async with self._store.database.unbound() as session:
                await bulk_effects.make_urgent(session, less)
        await self._fail(moved)
        await self._each([effect for effect in effects if effect not in moved], self._confirm)

    async def _confirm(self, effect: ClaimedEffect) -> None:
        units = self._units(effect)
        await self._desk.confirm(effect, self._started_at, Done(f"{units} on offer", shown=(effect.subject_id, units)))

    async def _fail(self, failed: Mapping[ClaimedEffect, ChannelError]) -> None:
        async def fail(effect: ClaimedEffect) -> None:
            await self._desk.fail(effect, self._started_at, failed[effect], self._link.account)

        await self._each(list(failed), fail)

    async def _each(self, effects: Sequence[ClaimedEffect], write: Callable[[ClaimedEffect], Awaitable[None]]) -> None:
        """Receipts are written together; what was written is no longer ours, whatever becomes of the others."""
        outcomes = await asyncio.gather(*(write(effect) for effect in effects), return_exceptions=True)
        self._ours.drop([effect for effect, told in zip(effects, outcomes, strict=True) if told is None])
        for told in outcomes:
            if told is not None:
                raise told

    def _external_id(self, effect: ClaimedEffect) -> str:
        return self._granted[effect.id].external_id

    def _units(self, effect: ClaimedEffect) -> int:
        return self._granted[effect.id].units


def _quantity(seen: Mapping[str, ListingState], external_id: str) -> int | None:
    state = seen.get(external_id)
    return None if state is None else state.quantity
