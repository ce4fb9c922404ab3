"""Tries a change on past decisions: each is decided again, as it was and as it would have been.

It changes nothing.

A decision counts only if it comes out as it did when nothing is changed: what differs then is the change's doing, not
that of newer code. What cannot be made again is counted apart, with the reason.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from pydantic import TypeAdapter

from flipsync.domain import commands as c
from flipsync.domain.advertising import SetAdRate
from flipsync.domain.clock import utc_now
from flipsync.domain.decisions import Decision
from flipsync.domain.directives import bearing as binding
from flipsync.domain.errors import FlipSyncError, NotFound
from flipsync.domain.events import Event
from flipsync.domain.ids import first_id_at
from flipsync.domain.money import Money
from flipsync.domain.predictions import prediction
from flipsync.domain.purchase_commands import OfferPurchaseOrder, PlacePurchaseOrder
from flipsync.domain.sourcing import RecordSourcingVerdict
from flipsync.runtime.agent import AgentSpec, Context
from flipsync.runtime.graph import AgentClass
from flipsync.runtime.reach import above_authority, authority_of, beyond, lost, owners_limits, reads_only
from flipsync.runtime.replaying import as_decided, as_kept, canonical
from flipsync.services import order_choice
from flipsync.services.channel_pace import Pace, paces
from flipsync.services.dry_run import ChangedDesk
from flipsync.services.dry_run_books import count_books
from flipsync.services.dry_run_change import Change, looked_up
from flipsync.services.dry_run_money import Figure, Ledger, permitted
from flipsync.services.learned_buying import ShopOrder
from flipsync.services.learned_pricing import ShopPrice
from flipsync.services.policy_choice import Version, read_version
from flipsync.services.recalibrating import lowest, read_kept
from flipsync.services.recorded_desk import RecordedDesk
from flipsync.services.standing import Bearing, movable
from flipsync.services.standing_past import PastStandings, past
from flipsync.services.tenant_settings import AgentLimits, profile
from flipsync.store.repositories import policies as policy_rows
from flipsync.store.repositories import replay as rows
from flipsync.store.repositories import trial_books
from flipsync.store.repositories.replay import KeptDecision
from flipsync.store.unit_of_work import Store

V = TypeVar("V")
_PAGE = 200
_MOST_VERSIONS = 10_000
#: differences that are listed; all are counted
MOST_LISTED = 100
#: decisions from one word on how far it is to the next
_TOLD_EVERY = 50
#: commands of which a decision's words tell
_NAMED = 5
_ORDERS = frozenset(each.type_name() for each in (OfferPurchaseOrder, PlacePurchaseOrder))
_ADVICE = RecordSourcingVerdict.type_name()
#: parts of a decision that have to come out as they did before a change is tried on it
_HAS_TO_AGREE = ("commands", "confidence", "stake", "source")


@dataclass(frozen=True)
class Differing:
    """A decision that would have come out otherwise. `worth` is the difference in expected profit a day, an estimate in
    minor units of `currency`; 0 where it is about no price."""

    decision_id: UUID
    agent: str
    at: datetime
    then: str
    now: str
    worth: int = 0
    currency: str = ""


@dataclass
class ByAgent:
    decisions: int = 0
    changed: int = 0


@dataclass
class DryRun:
    """`decisions` = unchanged + changed + all of `cannot`. `reworded`: unchanged in deed, with other words or odds."""

    change: dict[str, Any]
    since: datetime
    until: datetime
    #: settings of it by which nothing is decided, and what they change instead
    decides_nothing: dict[str, str] = field(default_factory=dict)
    #: False when it ended early: then `looked_to` says up to when
    complete: bool = True
    looked_to: datetime | None = None
    decisions: int = 0
    unchanged: int = 0
    reworded: int = 0
    changed: int = 0
    #: what could not be made again, by why
    cannot: dict[str, int] = field(default_factory=dict)
    by_agent: dict[str, ByAgent] = field(default_factory=dict)
    #: the biggest first
    differences: list[Differing] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = TypeAdapter(DryRun).dump_python(self, mode="json")
        return told


async def dry_run(
    store: Store,
    tenant_id: UUID,
    agents: Mapping[str, AgentClass],
    change: Change,
    *,
    since: datetime,
    limit: int | None = None,
    seconds: float | None = None,
    progress: Callable[[DryRun], None] = lambda _: None,
) -> DryRun:
    """Try `change` on what was decided since then (wall clock), oldest first; `limit` decisions or `seconds` at most.

    Raises NotFound for a policy that is not in the registry, and as `looked_up` does.
    """
    began = time.monotonic()
    found = DryRun(change.as_dict(), since, store.clock.now(), change.decides_nothing)
    async with store.reader(tenant_id) as session:
        change = await looked_up(session, change)
        newest = policy_rows.SORTS.first(_MOST_VERSIONS)
        versions = _versions(await policy_rows.page(session, newest, name=ShopPrice.kind), read_version)
        buying = _versions(await policy_rows.page(session, newest, name=ShopOrder.kind), order_choice.read_version)
        settings = (await profile(session, tenant_id)).settings
        standings = await past(session, settings)
        ledger = Ledger()
        await count_books(session, ledger, change, settings, since, utc_now())
    for kind, wanted, known in (("price", change.policy, versions), ("buying", change.buying, buying)):
        if wanted is not None and wanted not in known:
            raise NotFound(f"no {kind} policy {wanted!r}", hint="`flipsync models list` names them")
    trial = _Trial(store, tenant_id, agents, change, versions, buying, standings, found, ledger)
    after = first_id_at(since)
    while limit is None or found.decisions < limit:
        most = _PAGE if limit is None else min(_PAGE, limit - found.decisions)
        async with store.reader(tenant_id) as session:
            page = await rows.kept(session, after, None, most)
        for row in page:
            await trial.look(row)
            after = row.id
            if found.decisions % _TOLD_EVERY == 0:
                progress(found)
            await asyncio.sleep(0)  # others of this process have their turn
            if seconds is not None and time.monotonic() - began > seconds:
                break
        else:
            if page:
                continue
            trial.finish()
            return found
        break
    async with store.reader(tenant_id) as session:
        found.complete = not await rows.kept(session, after, None, 1)
    trial.finish()
    return found


def _versions(policies: Any, read: Callable[[UUID, str, str], V | None]) -> dict[str, V]:
    """By id and by version, as far as they can be read."""
    found: dict[str, V] = {}
    for row, *_ in policies:  # newest first: of two alike the newer one is meant
        version = read(row.id, row.digest, row.artefact)
        if version is not None:
            found[str(row.id)] = version
            found.setdefault(row.version, version)
    return found


@dataclass(frozen=True)
class _Deed:
    """What would come of a decision: commands as the gate lets them through, and who has to agree."""

    commands: list[list[Any]]
    words: list[str]
    #: what is said of it without a command, and whom it goes to
    nothing: str
    goes: str
    up: bool
    asks: bool
    prices: dict[UUID, int]

    @property
    def same(self) -> bytes:
        return canonical([self.commands, self.up, self.asks])

    def told(self, other: _Deed) -> str:
        """In words, what is not so in the other one first."""
        apart = sorted(self.words, key=set(other.words).__contains__)
        more = f"; and {len(apart) - _NAMED} more" if len(apart) > _NAMED else ""
        return ("; ".join(apart[:_NAMED]) + more or self.nothing) + self.goes


@dataclass(frozen=True)
class _Then:
    """What was sold as the books had it when that was decided; how fast accounts are, as it is known now."""

    store: Store
    tenant_id: UUID
    decision_id: UUID

    async def sold(self, listings: Sequence[UUID], since: datetime) -> Mapping[UUID, int]:
        async with self.store.reader(self.tenant_id) as session:
            return await trial_books.sold(session, listings, since, self.decision_id)

    async def paces(self) -> Mapping[UUID, Pace]:
        async with self.store.reader(self.tenant_id) as session:
            return await paces(session)


class _Trial:
    def __init__(
        self,
        store: Store,
        tenant_id: UUID,
        agents: Mapping[str, AgentClass],
        change: Change,
        versions: Mapping[str, Version],
        buying: Mapping[str, order_choice.Version],
        standings: PastStandings,
        found: DryRun,
        ledger: Ledger,
    ) -> None:
        self._store, self._tenant_id, self._agents, self._change = store, tenant_id, agents, change
        self._versions, self._buying = versions, buying
        self._standings, self._found = standings, found
        self._ledger = ledger
        self._cannot: Counter[str] = Counter()
        self._biggest: list[tuple[int, int, Differing]] = []

    async def look(self, row: KeptDecision) -> None:
        found = self._found
        found.decisions += 1
        try:
            then, now, desk = await self._decide_twice(row)
            bearing_then, bearing_now = self._bearing(row, then), self._bearing_with_change(row, now)
        except _Cannot as reason:
            self._cannot[str(reason)] += 1
            return
        found.looked_to = desk.now
        spec = self._agents[row.agent].spec
        limits = self._standings.limits(row.id)
        before, after = (owners_limits(spec, each, row.event_type) for each in (limits, self._change.limits(limits)))
        was = self._deed(spec, then, bearing_then, desk, before, changed=False)
        would = self._deed(spec, now, bearing_now, desk, after, changed=True)
        worth, currency = self._count(was, would, desk)
        by = found.by_agent.setdefault(row.agent, ByAgent())
        by.decisions += 1
        if was.same == would.same:
            found.unchanged += 1
            found.reworded += canonical(as_decided(then)) != canonical(as_decided(now))
            return
        found.changed += 1
        by.changed += 1
        told = Differing(row.id, row.agent, desk.now, was.told(would), would.told(was), round(worth), currency)
        entry = (abs(told.worth), -found.decisions, told)
        (heapq.heappush if len(self._biggest) < MOST_LISTED else heapq.heappushpop)(self._biggest, entry)

    def finish(self) -> None:
        self._found.cannot = dict(self._cannot.most_common())
        self._found.differences = [
            told for _, _, told in sorted(self._biggest, key=lambda each: each[:2], reverse=True)
        ]
        end = self._found.until if self._found.complete else self._found.looked_to
        self._found.figures = self._ledger.figures(end or self._found.until)

    async def _decide_twice(self, row: KeptDecision) -> tuple[Decision[Any], Decision[Any], ChangedDesk]:
        if (agent := self._agents.get(row.agent)) is None:
            raise _Cannot("its agent is gone")
        if row.packed is None:
            raise _Cannot(
                "it read more than is kept" if row.size is not None else "what it read is not kept (any more)"
            )
        try:
            event = Event.from_journal(row.event_type, row.event_payload)
            plain = RecordedDesk(self._tenant_id, row.packed)
            then = await agent().decide(event, self._context(row, plain))
            books = _Then(self._store, self._tenant_id, row.id)
            desk = ChangedDesk(self._tenant_id, row.packed, self._change, self._versions, self._buying, books)
        except Exception:
            raise _Cannot("it cannot be replayed as it was: `flipsync replay` says why") from None
        kept, again = as_kept(row), as_decided(then)
        if any(canonical(kept[part]) != canonical(again[part]) for part in _HAS_TO_AGREE):
            raise _Cannot("its agent decides otherwise by now, without any change")
        try:
            return then, await agent().decide(event, self._context(row, desk)), desk
        except FlipSyncError as error:
            if error.code == "asked-otherwise":
                raise _Cannot("with the change it would have read what it did not read then") from None
            raise _Cannot(error.message) from None
        except Exception as error:
            raise _Cannot(f"with the change its agent fails: {type(error).__name__}") from None

    def _context(self, row: KeptDecision, desk: RecordedDesk) -> Context:
        return Context(self._tenant_id, desk.now, desk.as_services(), row.event_id, row.correlation_id)

    def _bearing(self, row: KeptDecision, decision: Decision[Any]) -> Bearing:
        """What outcomes had taken away of the agent's authority over such a decision when it was made; a hold has kept
        no map."""
        if decision.is_hold or (row.trusted is None and row.proposals):
            return Bearing()  # also while the owner had it switched off
        kinds = _kinds(row, decision)
        standing = self._standings.of(row.agent, kinds, row.id)
        try:
            used = None if row.recalibration is None else read_kept(row.agent, row.recalibration)[0]
        except FlipSyncError as error:
            raise _Cannot(error.message) from None
        if standing is None and used is None and row.trusted is not None:
            raise _Cannot("what its agent might decide alone then is not on record")
        maps = [used] if used is not None and used.kind in kinds else []
        return Bearing(standing, lowest(maps, decision.confidence))

    def _bearing_with_change(self, row: KeptDecision, decision: Decision[Any]) -> Bearing:
        on = self._change.settings.get("grades.move_authority")
        if on is False:
            return Bearing()
        if on and self._standings.were_off(row.id) and any(map(movable, _kinds(row, decision))):
            raise _Cannot("what outcomes would have left of its confidence was not worked out while that was off")
        return self._bearing(row, decision)

    def _deed(
        self,
        spec: AgentSpec,
        decision: Decision[Any],
        bearing: Bearing,
        desk: ChangedDesk,
        limits: AgentLimits,
        *,
        changed: bool,
    ) -> _Deed:
        authority = authority_of(spec, limits)
        stake = None if decision.stake is None or reads_only(decision) else decision.stake.amount_minor
        owners = bool(beyond(spec.name, limits, stake))
        up = not owners and bool(above_authority(authority, decision) or lost(authority, decision, bearing))
        commands: list[list[Any]] = []
        words, prices = [], {}
        for command in decision.proposals:
            payload = command.model_dump(mode="json")
            priced = desk.priced.get(command.listing_id) if isinstance(command, c.ChangePrice) else None
            if isinstance(command, c.ChangePrice) and priced is not None:
                row, choices = (priced.would, priced.now) if changed else (priced.row, priced.then)
                allowed = permitted(row, command.price, choices, desk.now)
                words.append(_price_words(priced.row.sku, command, allowed))
                if allowed is None:
                    continue
                prices[command.listing_id] = payload["price"]["amount_minor"] = allowed
            elif isinstance(command, c.ListOnChannel) and binding(
                desk.directives[changed], desk.now, "list-nothing", command.account_id
            ):
                words.append(f"no {_words(command)}: a directive says to list nothing new there")
                continue
            else:
                words.append(_words(command))
            commands.append([command.type_name(), payload])
        asks = any(isinstance(each, c.AskOwner) or bool(each.owner_decides) for each in decision.proposals)
        asks = asks or (desk.asks_for_ads[changed] and any(map(_spends_on_ads, decision.proposals)))
        owners = owners or (up and spec.reports_to is None)
        goes = " (asks the owner)" if owners else " (goes up)" if up else ""
        return _Deed(commands, words, f"nothing: {decision.rationale}", goes, up, asks or owners, prices)

    def _count(self, was: _Deed, would: _Deed, desk: ChangedDesk) -> tuple[float, str]:
        ledger, worth, currency = self._ledger, 0.0, ""
        ledger.count("sent up", was.up, would.up)
        ledger.count("questions", was.asks, would.asks)
        for listing_id, priced in desk.priced.items():
            current = priced.row.current_minor
            if priced.row.status != "active" or current is None:
                continue
            then, now = was.prices.get(listing_id, current), would.prices.get(listing_id, current)
            worth += ledger.price(priced, then, now, desk.now)
            currency = priced.row.currency
        for side, deed in enumerate((was, would)):
            for kind, payload in deed.commands:
                if kind in _ORDERS:
                    cost = payload["cost"]
                    both = (0, cost["amount_minor"]) if side else (cost["amount_minor"], 0)
                    ledger.count("goods ordered", *both, unit=cost["currency"])
                elif kind == _ADVICE:
                    buy = int(payload["verdict"] == "buy")
                    ledger.count("goods to buy", *((0, buy) if side else (buy, 0)))
        for before, after in desk.pictures:
            ledger.shelf(before, after)
        return worth, currency


class _Cannot(Exception):
    """A decision that cannot be made again, in words that many share."""


def _kinds(row: KeptDecision, decision: Decision[Any]) -> set[str]:
    return {prediction(command.type_name(), row.event_type).kind for command in decision.proposals}


def _spends_on_ads(command: c.Command) -> bool:
    """More than before; an ad that comes back with its goods is no new one."""
    return isinstance(command, SetAdRate) and command.rate_bps > command.was_bps and command.cause != "stock"


def _price_words(sku: str, command: c.ChangePrice, allowed: int | None) -> str:
    if allowed is None:
        return f"{sku} stays at {command.previous}: the firewall refuses {command.price}"
    to = Money(amount_minor=allowed, currency=command.price.currency)
    bounded = f", bounded from {command.price}" if to != command.price else ""
    return f"{sku} from {command.previous} to {to}{bounded}"


def _words(command: c.Command) -> str:
    if isinstance(command, c.SetChannelQuantity):
        return f"listing {command.listing_id} shows {command.quantity}"
    if isinstance(command, RecordSourcingVerdict):
        worth = "" if command.worth is None else f" ({command.worth:.1%} of the money earned by the time asked)"
        return f"{command.verdict}: {command.why}{worth}"
    kind, subject = command.subject()
    return f"{command.type_name()} of {kind} {subject}"
