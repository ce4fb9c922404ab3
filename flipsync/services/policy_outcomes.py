"""What policies' choices came to: decisions joined with sales, judged with intervals.

A stretch is one choice that acted, with its listing's profit until the next, at most a day. What is drawn for a listing
is drawn once a block of days (`policy_choice.BLOCK`), so evidence is counted by block: stretches of one are not
independent. Canary against the rest is a randomised trial that may be looked at as often as one likes. With exploration
on, what a shadow would have earned follows from the log by inverse propensity. What a canary costs (`spent`) bounds how
many listings it prices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.learning.budget import ConservativeBudget
from flipsync.learning.evaluation.drift import Adwin
from flipsync.learning.evaluation.off_policy import Estimate, Log, doubly_robust, ips, snips
from flipsync.learning.evaluation.sequential import PeekableTest
from flipsync.learning.protocol import Interval
from flipsync.services.canary_budget import Spending
from flipsync.services.model_checks import Check, Judged, canary_check
from flipsync.services.policy_choice import BLOCK, RUNGS, block_start
from flipsync.services.pricing.economics import UnitEconomics
from flipsync.services.pricing.fees import BPS, FeeTerm
from flipsync.services.quotes import fee_schedule
from flipsync.services.tenant_settings import PricingChoices, profile
from flipsync.store.models import PolicyVersion
from flipsync.store.repositories import policies as rows
from flipsync.store.repositories.policies import ChoiceRow
from flipsync.store.unit_of_work import UnitOfWork

WINDOW = timedelta(days=60)
#: rows of evidence below which a log says nothing
LEAST_ROWS = 50
UNIT = "minor units a listing and hour"


@dataclass(frozen=True)
class OffPolicy:
    """What a shadow would have earned a listing and hour, beside what was earned; minor units."""

    rows: int
    explored: float
    acted: Interval
    ips: Estimate
    snips: Estimate
    doubly_robust: Estimate

    @property
    def better(self) -> bool:
        """Whether the careful end of the estimate is above what was earned."""
        return self.doubly_robust.effective_rows >= LEAST_ROWS and self.doubly_robust.value.low > self.acted.mean


def gathered(found: list[ChoiceRow]) -> list[ChoiceRow]:
    """Stretches put together to blocks, in the order they began: what was drawn at the beginning, what came of all."""
    made: dict[tuple[object, ...], ChoiceRow] = {}
    for row in found:
        key = (row.listing_id, block_start(row.at), row.role, row.policy_id)
        first = made.get(key)
        if first is not None:
            profit, hours = first.profit_minor + row.profit_minor, first.hours + row.hours
            row = replace(first, profit_minor=profit, hours=hours)
        made[key] = row
    return list(made.values())


def off_policy(found: list[ChoiceRow], shadow_id: UUID) -> OffPolicy | None:
    """From the log in which that shadow looked on; None when the log shows too few of them, or no exploration."""
    seen = [row for row in gathered(found) if row.shadow_id == shadow_id and row.shadow_rung is not None]
    explored = float(np.mean([row.chance < 1.0 for row in seen])) if seen else 0.0
    if len(seen) < LEAST_ROWS or explored == 0.0:
        return None
    reward = np.array([row.profit_minor / max(row.hours, 1e-6) for row in seen], dtype=np.float64)
    action = np.array([row.rung for row in seen], dtype=np.int64)
    log = Log(action, np.array([row.chance for row in seen], dtype=np.float64), reward)
    wants = np.zeros((len(seen), RUNGS))
    wants[np.arange(len(seen)), np.array([row.shadow_rung for row in seen], dtype=np.int64)] = 1.0
    if not log.weights(wants).any():
        return None
    taken = [reward[action == rung] for rung in range(RUNGS)]
    mean = np.array([each.mean() if len(each) else reward.mean() for each in taken])
    model = np.broadcast_to(mean, wants.shape)
    spread = 1.96 * float(reward.std()) / len(reward) ** 0.5
    acted = Interval(float(reward.mean()), float(reward.mean()) - spread, float(reward.mean()) + spread)
    return OffPolicy(
        len(seen), explored, acted, ips(log, wants), snips(log, wants), doubly_robust(log, wants, np.array(model))
    )


def canary_test(found: list[ChoiceRow], canary_id: UUID, share: float) -> PeekableTest:
    """Canary against the rest. Each block counts by the inverse of the chance it had to be where it was, less what its
    listing usually earned before, which the draw knows nothing of. That chance is the one kept with the choice, `share`
    where none was; where it was none, nothing was compared. Blocks that are not over do not count yet."""
    test = PeekableTest(tuned_for=300.0)
    usual: dict[UUID, tuple[float, int]] = {}
    began = min((row.at for row in found if row.policy_id == canary_id and row.role == "canary"), default=None)
    open_since = block_start(found[-1].at) if found else None
    for row in gathered(found):
        if block_start(row.at) == open_since:
            continue
        rate = row.profit_minor / max(row.hours, 1e-6)
        total, count = usual.get(row.listing_id, (0.0, 0))
        chance = share if row.canary_share is None else row.canary_share
        if began is not None and row.at >= began and chance > 0:
            here = row.role == "canary" and row.policy_id == canary_id
            beyond = rate - (total / count if count else 0.0)
            test.observe(beyond / chance if here else -beyond / (1 - chance))
        usual[row.listing_id] = (total + rate, count + 1)
    return test


def spent(found: list[ChoiceRow], canary_id: UUID, since: datetime, now: datetime) -> Spending:
    """What a canary that began at `since` cost in the blocks that were over at `now`, from the one in which it began.

    What its listings would have earned is what the incumbent earned with each before, an hour, times how the
    incumbent's own listings did in the block against what is usual for them; of a listing the incumbent never priced,
    what the others earned in the block. Where there are no others, what it earned: nothing can be said.
    """
    first, open_since = block_start(since), block_start(now)
    usual: dict[UUID, tuple[float, float]] = {}
    currencies: dict[UUID, str] = {}
    budgets: dict[str, ConservativeBudget] = {}
    by_block: dict[datetime, list[ChoiceRow]] = {}
    for row in gathered(found):
        by_block.setdefault(block_start(row.at), []).append(row)
    for block, held in sorted(by_block.items()):
        if block >= open_since:
            break
        mine: list[ChoiceRow] = []
        theirs: list[ChoiceRow] = []
        for row in held:
            (mine if row.role == "canary" and row.policy_id == canary_id else theirs).append(row)
        currencies |= {row.listing_id: row.currency for row in held}
        for currency in sorted({row.currency for row in held}) if block >= first else ():
            budget = budgets.setdefault(currency, ConservativeBudget(0.0))
            others = [row for row in theirs if row.currency == currency]
            for row in others:
                budget.record(row.profit_minor)
            pace, shown = _pace(others, usual), sum(row.hours for row in others)
            an_hour = sum(row.profit_minor for row in others) / shown if shown > 0 else None
            for row in mine:
                if row.currency == currency:
                    budget.record(_without(row, pace, an_hour, usual.get(row.listing_id)), row.profit_minor)
        for row in theirs:
            profit, hours = usual.get(row.listing_id, (0.0, 0.0))
            usual[row.listing_id] = profit + row.profit_minor, hours + row.hours
    sums = {}
    for currency in sorted(set(currencies.values())):
        rates = [told[0] / max(told[1], 1e-6) for each, told in usual.items() if currencies[each] == currency]
        told = budgets.get(currency, ConservativeBudget(0.0))
        uneven = min(sum(rate**2 for rate in rates) / max(sum(rates), 1e-9) ** 2, 1.0)
        sums[currency] = (told.earned, told.due, uneven)
    return Spending(max(0, (open_since - first) // BLOCK), sums)


def _pace(others: list[ChoiceRow], usual: dict[UUID, tuple[float, float]]) -> float:
    """How the block went for the incumbent, as a multiple of what is usual for the same listings."""
    known = [(row.profit_minor, usual[row.listing_id], row.hours) for row in others if row.listing_id in usual]
    expected = sum(profit / max(hours, 1e-6) * here for _, (profit, hours), here in known)
    return sum(earned for earned, _, _ in known) / expected if expected > 0 else 1.0


def _without(row: ChoiceRow, pace: float, an_hour: float | None, usual: tuple[float, float] | None) -> float:
    """What the incumbent is estimated to have earned in a canary's stretch, minor units. `usual` is what it earned with
    the listing before and in how many hours, `an_hour` what the others earned in the block."""
    if usual is not None:
        return pace * usual[0] / max(usual[1], 1e-6) * row.hours
    return row.profit_minor if an_hour is None else an_hour * row.hours


def drifted(found: list[ChoiceRow]) -> bool:
    """Whether what listings earn has moved (ADWIN), each against what it usually earned before."""
    watch, usual, moved = Adwin(delta=0.001), dict[UUID, tuple[float, float, int]](), False
    for row in found:
        rate = row.profit_minor / max(row.hours, 1e-6)
        total, squares, count = usual.get(row.listing_id, (0.0, 0.0, 0))
        if count >= 10:
            mean = total / count
            spread = max((squares / count - mean**2) ** 0.5, 1e-9)
            moved |= watch.update(float(np.clip((rate - mean) / spread, -3, 3)))
        else:  # what is usual is what it was at first: a mean that follows would hide a move
            usual[row.listing_id] = (total + rate, squares + rate**2, count + 1)
    return moved


async def stretches(
    session: AsyncSession, tenant_id: UUID, now: datetime, since: datetime | None = None
) -> list[ChoiceRow]:
    """Stretches from `since` (the window's begin) to `now`, oldest first, with profit after the channel's fees and
    shipping."""
    choices = (await profile(session, tenant_id)).settings.pricing
    found = await rows.outcomes(session, since=since or now - WINDOW, now=now)
    terms = {}
    for place in {(row.vendor, row.currency) for row in found}:
        fees = fee_schedule(*place, choices)
        terms[place] = fees.terms(now) if fees is not None else ()
    return [replace(row, profit_minor=_net(row, terms[row.vendor, row.currency], choices)) for row in found]


def _net(row: ChoiceRow, terms: Sequence[FeeTerm], choices: PricingChoices) -> float:
    """What the stretch's units earned, each at their mean price."""
    if not row.units:
        return 0.0
    economics = UnitEconomics(
        terms=terms,
        unit_cost=row.unit_cost_minor,
        shipping_cost=choices.shipping_cost_minor,
        shipping_charged=choices.shipping_charged_minor,
        tax_bps=choices.tax_bps,
        min_margin=0,
        margin_bps=0,
    )
    return float(economics.net(round(row.revenue_minor / row.units)) * row.units)


async def spending(session: AsyncSession, tenant_id: UUID, canary: PolicyVersion, now: datetime) -> Spending:
    """What the canary cost in the blocks that are over; what listings usually earn, from the window before it began."""
    until = block_start(now)
    found = await stretches(session, tenant_id, until, canary.staged_at - WINDOW)
    return spent(found, canary.id, canary.staged_at, until)


async def judged(
    session: AsyncSession, tenant_id: UUID, now: datetime, acting: Mapping[str, PolicyVersion], since: datetime | None
) -> Judged:
    """Of the versions on stage; drift is looked for from `since` on."""
    found = await stretches(session, tenant_id, now)
    test, told, cost, cost_words = None, None, None, ""
    if "canary" in acting:
        choices = (await profile(session, tenant_id)).settings.pricing
        test = canary_test(found, acting["canary"].id, choices.canary_bps / BPS)
        cost = await spending(session, tenant_id, acting["canary"], now)
        cost_words = cost.words(choices)
    if "shadow" in acting:
        told = off_policy(found, acting["shadow"].id)
    words = ""
    if told is not None:
        value = told.doubly_robust.value
        words = f"{value.mean:.4g} [{value.low:.4g}, {value.high:.4g}] against {told.acted.mean:.4g}"
    moved = drifted([row for row in found if since is None or row.at >= since])
    return Judged(UNIT, test, told is not None and told.better, words, moved, told, cost, cost_words)


async def checks(unit: UnitOfWork, row: PolicyVersion, target: str) -> list[Check]:
    """What outcomes say before a policy acts on a share of the listings, or on all."""
    found = await stretches(unit.session, unit.tenant_id, unit.now)
    if target == "canary":
        return [_looked_on(off_policy(found, row.id))]
    choices = (await profile(unit.session, unit.tenant_id)).settings.pricing
    return [canary_check(canary_test(found, row.id, choices.canary_bps / BPS), UNIT, "listings")]


def _looked_on(told: OffPolicy | None) -> Check:
    if told is None:
        return Check("off-policy", True, "no exploration in the log to judge it by: simulation decides")
    estimate = told.doubly_robust
    value = f"{estimate.value.mean:.4g} [{estimate.value.low:.4g}, {estimate.value.high:.4g}]"
    evidence = f"{estimate.effective_rows:.0f} rows' worth"
    words = f"off-policy {value} a listing and hour, {told.acted.mean:.4g} earned, {evidence}"
    return Check("off-policy", told.better, words, still_open=estimate.value.high > told.acted.mean)
