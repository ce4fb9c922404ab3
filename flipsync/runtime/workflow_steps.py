"""The steps of automations: each sets something going by a fact, and looks later what came of it.

A step writes to no channel and decides nothing: the facts are those by which a person would ask for the same, so that
an agent proposes it and the gate, the price firewall and the owner have their say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from flipsync.domain import workflow as w
from flipsync.domain.channel import Vendor
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, NotFound
from flipsync.domain.events import ChannelCheckDue, Event, ListingCheckDue, ListingUnwanted, PriceUnwanted, PriceWished
from flipsync.domain.ids import first_id_at
from flipsync.domain.money import Money
from flipsync.domain.workflow_fields import plain_fields
from flipsync.domain.workflow_messages import StockToList, WorkflowAsked
from flipsync.services import listings
from flipsync.store.models import Workflow, WorkflowRun, WorkflowStep
from flipsync.store.repositories import workflows as rows
from flipsync.store.repositories.workflows import Trace
from flipsync.store.unit_of_work import UnitOfWork

#: listings that one step deals with at most: more is a change of the whole catalogue, which is a person's
MOST_LISTINGS = 20
#: business time after which nobody waits for a receipt any more
_PATIENCE = timedelta(days=14)
#: a fact may be written down this much (wall clock) after one that was made later: until then it is looked at again
_LATE = timedelta(seconds=10)
#: the steps that can be taken back
UNDOABLE = ("set-price", "end-listing", "relist")


@dataclass(frozen=True)
class Done:
    why: str


@dataclass(frozen=True)
class Failed:
    why: str


@dataclass(frozen=True)
class Waits:
    """`until` is business time; without it the engine looks again by itself."""

    why: str
    until: datetime | None = None


Outcome = Done | Failed | Waits


@dataclass
class At:
    """A run that has come to a step. `payload` is the fact that triggered it."""

    unit: UnitOfWork
    workflow: Workflow
    run: WorkflowRun
    step: w.Step
    row: WorkflowStep
    payload: dict[str, Any]

    def emit(self, *facts: Event) -> None:
        self.row.facts = [*self.row.facts, *(str(self.unit.emit(fact)) for fact in facts)]


async def come_to(at: At) -> Outcome:
    """Set the step going. Called once: its row is written in the same transaction."""
    match at.step:
        case w.Wait():
            return Waits(at.step.in_words(), at.row.began_at + timedelta(hours=at.step.hours))
        case w.Await():
            await rows.watch(at.unit, at.step.event, of_run=at.run.id, about=at.run.subject_id)
            return Waits(at.step.in_words(), at.row.began_at + timedelta(hours=at.step.within_hours))
        case w.Tell():
            return Done(at.step.message)
        case w.Ask():
            at.emit(WorkflowAsked(run_id=at.run.id, name=at.workflow.name, question=at.step.question))
        case w.ListingWork(part="read-back"):
            return await _read_back(at)
        case w.ListingWork(part=part):
            assert part != "read-back"
            at.emit(StockToList(product_id=at.run.subject_id, run_id=at.run.id, part=part))
        case w.CheckChannel():
            about = {"account_id": UUID(at.payload["account_id"]), "vendor": at.payload["vendor"]}
            at.emit(ChannelCheckDue(**about), ListingCheckDue(**about))
        case w.EndListing() | w.Relist() | w.SetPrice():
            return await _to_listings(at)
    return Waits(at.step.in_words())


async def look(at: At) -> Outcome:
    """What has come of it so far."""
    match at.step:
        case w.Wait():
            until = at.row.began_at + timedelta(hours=at.step.hours)
            return Done("waited") if at.unit.now >= until else Waits(at.step.in_words(), until)
        case w.Await():
            return await _listen(at, at.step)
        case w.ListingWork(part="read-back"):
            return await _read_back(at)
    found = await receipt(at)
    if isinstance(found, Done) and isinstance(at.step, w.SetPrice):
        now = {str(row.id): row.price_minor for row in await _listings(at)}
        at.row.detail = [each | {"now": now.get(each["listing_id"])} for each in at.row.detail]
    return found


async def take_back(at: At, done: WorkflowStep) -> Outcome:
    """Set going what takes a step back, whose row is `done`. `at.row` is the taking back's own."""
    told = []
    for each in done.detail:
        listing = UUID(each["listing_id"])
        try:
            if done.kind == "set-price":
                if each.get("now") not in (None, each["was"]):
                    at.emit(_price_back(each))
            elif done.kind == "end-listing":
                async with at.unit.part():
                    await listings.relist(at.unit, listing)
            elif done.kind == "relist":
                async with at.unit.part():
                    await listings.take_off(at.unit, listing, f"the automation {at.workflow.name} takes it back")
        except (Conflict, NotFound) as error:
            told.append(error.message)
    if at.row.facts:
        return Waits("taking it back")
    return Done("; ".join(told)[:500] or "taken back")


async def receipt(at: At) -> Outcome:
    """What agents, gate and channels have made of the facts of this step."""
    found = settle(await rows.traces(at.unit.session, [UUID(each) for each in at.row.facts]))
    if isinstance(found, Waits) and at.unit.now > at.row.began_at + _PATIENCE:
        return Failed(f"nothing came of it in {_PATIENCE.days} days: {found.why}")
    return found


def settle(traces: Sequence[Trace]) -> Outcome:
    """All of it done, some of it failed, or still under way."""
    each = [_outcome(trace) for trace in traces] or [Failed("the fact it began with is gone")]
    waiting = next((one for one in each if isinstance(one, Waits)), None)
    if waiting is not None:
        return waiting
    failed = [one.why for one in each if isinstance(one, Failed)]
    if failed:
        return Failed("; ".join(dict.fromkeys(failed))[:500])
    return Done("; ".join(dict.fromkeys(one.why for one in each))[:500])


def _outcome(trace: Trace) -> Outcome:
    if trace.open_tasks:
        return Waits("an agent is to decide")
    if trace.task_error:
        return Failed(f"set aside by {trace.task_error}"[:300])
    match trace.decision_state:
        case None:
            return Failed("no agent took it up")
        case "held":
            return Done(f"left as it is: {trace.rationale}"[:300])
        case "escalated":
            return Waits("an agent's superior is to decide")
        case "awaiting":
            return Waits("a person is to answer")
        case "overruled":
            return Failed((trace.reason or trace.rationale or "overruled")[:300])
    if trace.verdict in (None, "ask"):
        return Waits("the gate is to judge")
    if trace.verdict == "deny":
        return Failed((trace.reason or "denied")[:300])
    match trace.effect_state:
        case None:
            return Done((trace.reason or "done")[:300])
        case "confirmed":
            return Done("the channel has confirmed it")
        case "superseded":
            return Done("a newer one took its place")
        case "rejected":
            return Failed(f"the channel refused: {trace.detail}"[:300])
    return Waits("the channel is to confirm")


async def _listen(at: At, step: w.Await) -> Outcome:
    kind, subject = at.run.subject_kind, at.run.subject_id
    about = await rows.about(at.unit.session, kind, subject)
    after = UUID(at.row.detail[0]["heard"]) if at.row.detail else at.row.id
    settled = first_id_at(utc_now() - _LATE)
    while facts := await rows.heard(at.unit, step.event, kind, subject, after):
        for fact_id, payload in facts:
            after = fact_id
            if step.where.holds(plain_fields(step.event, payload) | about):
                await rows.unwatch_run(at.unit.session, at.run.id)
                return Done(f"{step.event} came")
            if fact_id < settled:
                at.row.detail = [{"heard": str(fact_id)}]
    until = at.row.began_at + timedelta(hours=step.within_hours)
    if at.unit.now < until:
        return Waits(step.in_words(), until)
    await rows.unwatch_run(at.unit.session, at.run.id)
    late = f"no {step.event} within {step.within_hours:g} h"
    return Done(late) if step.otherwise == "go-on" else Failed(late)


async def _read_back(at: At) -> Outcome:
    """Whether the channels show what was put on them."""
    found = await _listings(at)
    refused = [f"{row.vendor} refused {row.sku}" for row in found if row.status == "refused"]
    live = [row for row in found if row.status == "active"]
    if any(row.status == "requested" for row in found) and at.unit.now < at.row.began_at + timedelta(hours=24):
        return Waits("channels are to show it")
    if refused or not live:
        return Failed("; ".join(refused)[:500] or "it is on no channel")
    return Done(f"{len(live)} listings are live")


async def _to_listings(at: At) -> Outcome:
    found = await _listings(at)
    if len(found) > MOST_LISTINGS:
        return Failed(f"more than {MOST_LISTINGS} listings: change them by hand")
    for row in found:
        about = {"listing_id": row.id, "account_id": row.account_id, "vendor": cast(Vendor, row.vendor)}
        kept = {"listing_id": str(row.id), "account_id": str(row.account_id), "vendor": row.vendor}
        match at.step:
            case w.EndListing() if row.status == "active":
                at.emit(ListingUnwanted(**about, reason=f"{at.step.reason} (automation {at.workflow.name})"))
                at.row.detail = [*at.row.detail, kept]
            case w.Relist() if row.status in listings.RELISTABLE:
                async with at.unit.part():
                    await listings.relist(at.unit, row.id)
                at.row.detail = [*at.row.detail, kept]
            case w.SetPrice() if row.status == "active" and row.price_minor:
                price = _wished(at.step, row.price_minor, row.currency)
                if price is not None and price.amount_minor != row.price_minor:
                    seen = Money(amount_minor=row.price_minor, currency=row.currency)
                    at.emit(PriceWished(**about, price=price, seen=seen))
                    at.row.detail = [*at.row.detail, kept | {"was": row.price_minor, "currency": row.currency}]
    if at.row.facts:
        return Waits(at.step.in_words())
    return Done("asked for" if at.row.detail else "there was nothing to do")


def _wished(step: w.SetPrice, now_minor: int, currency: str) -> Money | None:
    if step.price is not None:
        return step.price if step.price.currency == currency else None
    moved = round(now_minor * (10_000 + (step.change_bps or 0)) / 10_000)
    return Money(amount_minor=max(1, moved), currency=currency)


def _price_back(each: dict[str, Any]) -> PriceUnwanted:
    return PriceUnwanted(
        listing_id=UUID(each["listing_id"]),
        account_id=UUID(each["account_id"]),
        vendor=each["vendor"],
        price=Money(amount_minor=each["was"], currency=each["currency"]),
        replaces=Money(amount_minor=each["now"], currency=each["currency"]),
    )


async def _listings(at: At) -> Sequence[Any]:
    return await rows.listings_of(at.unit.session, at.run.subject_kind, at.run.subject_id, MOST_LISTINGS + 1)
