"""Grades decisions by what came of them: so many a run, beside the clock of the house and never in an order's way.

Of each agent's proposals of a kind a bounded number an hour is drawn by lot, independent of how they turned out, and
looked at when its prediction is due. How many there were in all is counted.
"""

from __future__ import annotations

import importlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain import predictions as told
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import FlipSyncError
from flipsync.domain.money import Money
from flipsync.domain.predictions import Prediction, prediction
from flipsync.services import episodes, recalibrating
from flipsync.services.graders import GRADERS, Earned, EarnedByAd, Grade, Mended, Parts, look_again
from flipsync.services.tenant_settings import profile
from flipsync.store.repositories import grades as rows
from flipsync.store.repositories import grading_facts as seen
from flipsync.store.repositories import listing_care, plans, sourcing_facts
from flipsync.store.repositories.grades import Drawn, DueRow
from flipsync.store.unit_of_work import Store

log = structlog.get_logger()
#: decisions of a page and pages of a run; of each agent and command so many of a page are drawn
PAGE, PAGES, MOST_DRAWN = 10_000, 100, 20
#: graded at once, and such batches of a run
BATCH, BATCHES = 200, 20
#: a decision is written within this of getting its id (wall clock): what is younger may still come out of order
_SETTLED = timedelta(seconds=60)
#: at first nothing older is looked at; outcomes are kept this long
FIRST_LOOK, KEPT = timedelta(days=30), timedelta(days=180)
#: what reading another version's record may raise; and the facts of such a one
_UNREADABLE, _UNREAD = (FlipSyncError, ArithmeticError, LookupError, TypeError, ValueError), object()
#: an endorsement may let another one go ahead, and that one too
_LEVELS = 3


@dataclass
class Done:
    """What a run did: proposals counted, enrolled, and found right or wrong, never to be known, or not known yet; and
    episodes that are remembered from now on."""

    counted: int = 0
    enrolled: int = 0
    known: int = 0
    never: int = 0
    waiting: int = 0
    remembered: int = 0


async def run(store: Store, tenant_id: UUID) -> Done:
    """One bounded run for a business."""
    done = Done()
    for _ in range(PAGES):
        if not await _enrol_page(store, tenant_id, done):
            break
    for _ in range(BATCHES):
        if not await _grade_batch(store, tenant_id, done):
            break
    async with store.unit(tenant_id) as unit:
        await rows.forget_before(unit.session, tenant_id, utc_now() - KEPT, BATCH * BATCHES)
    async with store.unit(tenant_id) as unit:
        await recalibrating.refit(unit)
    return done


async def _enrol_page(store: Store, tenant_id: UUID, done: Done) -> bool:
    """Go one page on through the journal; False at its end."""
    now = utc_now()
    async with store.unit(tenant_id) as unit:
        after = await rows.begin(unit.session, tenant_id, now - FIRST_LOOK)
        until, more = await rows.page_end(unit.session, tenant_id, after, now - _SETTLED, PAGE)
        drawn = await rows.draw(unit.session, tenant_id, after, until, told.TELLING, MOST_DRAWN)
        made: Counter[tuple[str, str]] = Counter()
        for (agent, command, fact), number in {
            (each.agent, each.command, each.fact): each.made for each in drawn
        }.items():
            made[agent, prediction(command, fact).kind] += number
        await rows.count(unit.session, tenant_id, made)
        enrolled = _to_enrol(drawn, drawn=True)
        await rows.enrol(unit.session, tenant_id, enrolled)
        endorsements = _endorsements(drawn)
        for _ in range(_LEVELS):  # what they let go ahead is graded too, whether or not it was drawn
            if not endorsements:
                break
            below = await rows.endorsed(unit.session, endorsements, told.TELLING)
            await rows.enrol(unit.session, tenant_id, _to_enrol(below, drawn=False))
            endorsements = _endorsements(below)
        await rows.went_through(unit.session, tenant_id, until, now)
    done.counted += made.total()
    done.enrolled += len(enrolled)
    return more


def _to_enrol(found: Sequence[Drawn], *, drawn: bool) -> list[dict[str, Any]]:
    enrolled = []
    for each in found:
        known = prediction(each.command, each.fact)
        if isinstance(known, Prediction) and each.proposal_id is not None:
            due = each.decided_at + known.within
            enrolled.append(
                {
                    "decision_id": each.decision_id,
                    "proposal_id": each.proposal_id,
                    "agent": each.agent,
                    "kind": known.kind,
                    "confidence": each.confidence,
                    "drawn": drawn,
                    "decided_at": each.decided_at,
                    "due_at": due,
                    "look_at": due,
                }
            )
    return enrolled


def _endorsements(found: Sequence[Drawn]) -> list[UUID]:
    kinds = ((each.proposal_id, prediction(each.command, each.fact)) for each in found)
    return [proposal for proposal, known in kinds if known is told.ENDORSE and proposal is not None]


async def _grade_batch(store: Store, tenant_id: UUID, done: Done) -> bool:
    """Look at what is due; False when there was nothing."""
    async with store.unit(tenant_id) as unit:
        due = await rows.due(unit.session, tenant_id, unit.now, BATCH)
        by_kind: defaultdict[str, list[DueRow]] = defaultdict(list)
        for row in due:
            by_kind[row.kind].append(row)
        for kind in sorted(
            by_kind, key=lambda each: each == told.ENDORSE.kind
        ):  # what they let go ahead is before them
            alike, changes, known = by_kind[kind], [], []
            facts = await _readable(unit.session, tenant_id, kind, alike, unit.now)
            for row in alike:
                grade = _grade(row, facts.get(row.id), unit.now)
                changes.append(_change(row, grade, unit.now))
                known += [(row, grade)] if grade is not None else []
                done.waiting += grade is None
                done.known += grade is not None and grade.outcome is not None
                done.never += grade is not None and grade.outcome is None
            await rows.settle(unit.session, changes)
            done.remembered += await episodes.remember(unit, known)
    return bool(due)


def _grade(row: DueRow, facts: Any, now: datetime) -> Grade | None:
    grader = GRADERS.get(row.kind)
    if grader is None:
        return Grade(None, "this version knows no such prediction")
    if facts is _UNREAD:
        return Grade(None, "its record cannot be read")
    try:
        return grader.grade(row, facts, now)
    except _UNREADABLE as error:
        log.warning("a decision cannot be graded", decision_id=str(row.decision_id), kind=row.kind, error=str(error))
        return Grade(None, "its record cannot be read")


def _change(row: DueRow, grade: Grade | None, now: datetime) -> dict[str, Any]:
    unknown = {"outcome": None, "why": "", "evidence_kind": None, "evidence_id": None, "graded_at": None}
    if grade is None:
        return {"id": row.id, "state": "waiting", "look_at": look_again(row, now), **unknown}
    kind, evidence_id = grade.evidence or (None, None)
    return {
        "id": row.id,
        "state": "never" if grade.outcome is None else "known",
        "look_at": now,
        "outcome": grade.outcome,
        "why": grade.why,
        "evidence_kind": kind,
        "evidence_id": evidence_id,
        "graded_at": utc_now(),
    }


async def _readable(
    session: AsyncSession, tenant_id: UUID, kind: str, due: Sequence[DueRow], now: datetime
) -> Mapping[UUID, Any]:
    """The facts of those whose records can be read: one that another version wrote holds nobody else up."""
    try:
        return await _facts(session, tenant_id, kind, due, now)
    except _UNREADABLE as error:
        if len(due) == 1:
            log.warning("a decision cannot be graded", decision_id=str(due[0].decision_id), kind=kind, error=str(error))
            return {due[0].id: _UNREAD}
    found: dict[UUID, Any] = {}
    for row in due:
        found |= await _readable(session, tenant_id, kind, [row], now)
    return found


async def _facts(
    session: AsyncSession, tenant_id: UUID, kind: str, due: Sequence[DueRow], now: datetime
) -> Mapping[UUID, Any]:
    """What the kind's grader has to know, by row."""
    match kind:
        case told.STOCK.kind:
            return await seen.shortages(session, due)
        case told.PUBLISH.kind:
            return await seen.vanished(session, due)
        case told.MEND.kind:
            return await seen.mended(session, [row for row in due if "fault_id" in row.event_payload])
        case told.ALARM.kind:
            return await seen.rivals(session, due)
        case told.POLICY.kind:
            return await seen.retired(session, due)
        case told.PRICE.kind:
            return await _earned(session, tenant_id, due, now)
        case told.AD.kind:
            return await _advertised(session, tenant_id, due, now)
        case told.PLACEMENT.kind:
            return await _placed(session, tenant_id, due, now)
        case told.TARGET.kind:
            return await _targets(session, due)
        case told.PURCHASE.kind:
            return await seen.bought(session, due, now)
        case told.MENDED.kind:
            return await _mended(session, due, now)
        case told.ENDORSE.kind:
            return await _parts(session, due)
        case told.ADVICE.kind:
            return await _advised(session, tenant_id, due, now)
    return {}


async def _earned(session: AsyncSession, tenant_id: UUID, due: Sequence[DueRow], now: datetime) -> dict[UUID, Earned]:
    found = await seen.prices(session, due, now)
    net = await _net(session, tenant_id, now)
    return {
        each: Earned(
            facts,
            net(facts.vendor, facts.currency, facts.cost_minor, facts.new_minor),
            net(facts.vendor, facts.currency, facts.cost_minor, facts.old_minor),
        )
        for each, facts in found.items()
    }


async def _advertised(
    session: AsyncSession, tenant_id: UUID, due: Sequence[DueRow], now: datetime
) -> dict[UUID, EarnedByAd]:
    net = await _net(session, tenant_id, now)
    return {
        each: EarnedByAd(facts, net(facts.vendor, facts.currency, facts.cost_minor, facts.price_minor))
        for each, facts in (await seen.ads(session, due)).items()
    }


async def _placed(session: AsyncSession, tenant_id: UUID, due: Sequence[DueRow], now: datetime) -> dict[UUID, Money]:
    found = await seen.placed(session, due)
    net = await _net(session, tenant_id, now)
    earned = {}
    for each, sold in found.items():
        units = [(net(s.vendor, s.currency, s.cost_minor, round(s.revenue_minor / s.units)), s.units) for s in sold]
        if all(a_sale is not None for a_sale, _ in units):
            minor = sum(a_sale * count for a_sale, count in units if a_sale is not None)
            earned[each] = Money(amount_minor=minor, currency=sold[0].currency)
    return earned


async def _mended(session: AsyncSession, due: Sequence[DueRow], now: datetime) -> dict[UUID, Mended]:
    """Listings that were seen to: how good they are now, and what sold on either side of the day."""
    desk = importlib.import_module("flipsync.services.listing_care_desk")  # not for a clock that only ticks
    scores: dict[UUID, tuple[str, float]] = await desk.scores(session, {row.subject_id for row in due}, now)
    asked = [(row.id, row.subject_id, row.decided_at.date()) for row in due]
    sold = await listing_care.sold_around(session, asked, told.MENDED.within.days)
    return {row.id: Mended(*scores[row.subject_id], sold.get(row.id)) for row in due if row.subject_id in scores}


async def _advised(
    session: AsyncSession, tenant_id: UUID, due: Sequence[DueRow], now: datetime
) -> dict[UUID, tuple[Money, int]]:
    """What a unit of goods advised to buy earned at the cost that was told, and what the owner asks of it."""
    choices = (await profile(session, tenant_id)).settings
    by_line = {row.subject_id: row.id for row in due if row.payload["verdict"] == "buy"}
    found = await sourcing_facts.outcomes(session, now, list(by_line), most=len(by_line)) if by_line else []
    labels = await sourcing_facts.parcels(session, found[0].currency) if found else []
    parcel = sum(labels) / len(labels) if labels else choices.pricing.shipping_cost_minor
    wants = choices.sourcing
    return {
        by_line[each.line_id]: (
            Money(amount_minor=round(each.earned(parcel)), currency=each.currency),
            max(wants.min_profit_minor, -(-wants.min_roi_bps * each.cost_minor // 10_000)),
        )
        for each in found
    }


async def _parts(session: AsyncSession, due: Sequence[DueRow]) -> dict[UUID, Parts]:
    wanted = {row.id: UUID(str(row.payload["decision_id"])) for row in due}
    found = await rows.of_decisions(session, set(wanted.values()))
    return {
        each: Parts(
            target,
            right=sum(part.outcome == 1 for part in parts),
            wrong=sum(part.outcome == 0 for part in parts),
            waiting=sum(part.state == "waiting" for part in parts),
        )
        for each, target in wanted.items()
        # a target says itself how likely it is: missing one makes letting a plan go ahead no mistake
        if (parts := [part for part in found.get(target, ()) if part.kind != told.TARGET.kind])
    }


async def _targets(session: AsyncSession, due: Sequence[DueRow]) -> dict[UUID, plans.TargetFacts]:
    found = await plans.targets(session, {row.decision_id for row in due})
    named = ((row.id, found.get((row.decision_id, str(row.payload["title"])))) for row in due)
    return {each: facts for each, facts in named if facts is not None}


Net = Callable[[str, str, int | None, int | None], int | None]


async def _net(session: AsyncSession, tenant_id: UUID, now: datetime) -> Net:
    """What a sale earns after fees, cost and shipping: (vendor, currency, unit cost, price) → minor units."""
    choices = (await profile(session, tenant_id)).settings.pricing
    quotes = importlib.import_module("flipsync.services.quotes")  # the pricing policy: not for a clock that only ticks
    economics = importlib.import_module("flipsync.services.pricing.economics").UnitEconomics

    def net(vendor: str, currency: str, cost: int | None, price: int | None) -> int | None:
        fees = quotes.fee_schedule(vendor, currency, choices)
        if fees is None or not cost or price is None:
            return None
        sale = economics(
            terms=fees.terms(now),
            unit_cost=cost,
            shipping_cost=choices.shipping_cost_minor,
            shipping_charged=choices.shipping_charged_minor,
            tax_bps=choices.tax_bps,
            min_margin=0,
            margin_bps=0,
        )
        return int(sale.net(price))

    return net
