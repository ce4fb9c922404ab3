"""What buying policies' choices came to: what goods earned, less what keeping them cost, canary against the rest.

Suppliers stay in one arm for a block (`order_choice.BLOCK`); an observation is what the goods of one earned a day over
the block's end, when what lies on the shelf is of the block's own orders, less what they earned a day before the canary
began, which the draw knows nothing of. The draw can be made again, so suppliers of whom nothing was bought count as
well: to buy nothing is a choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.learning.evaluation.drift import Adwin
from flipsync.learning.evaluation.sequential import PeekableTest
from flipsync.services.model_checks import Check, Judged, canary_check
from flipsync.services.order_choice import BLOCK, WASHOUT, is_canary
from flipsync.services.pricing.fees import BPS
from flipsync.services.tenant_settings import PurchasingChoices, profile
from flipsync.store.models import PolicyVersion
from flipsync.store.repositories import policies as rows
from flipsync.store.repositories.policies import GoodsDays
from flipsync.store.unit_of_work import UnitOfWork

#: so long before a canary began says what goods usually earn
BEFORE = timedelta(days=56)
#: lines at which a shadow has to have looked on before it may act
LEAST_LINES = 30
#: drift is looked for in the last half year, against what a supplier's goods earned in the first weeks of it
WATCHED, USUAL_WEEKS = timedelta(days=182), 6
UNIT = "minor units a supplier and day"
_DAY = timedelta(days=1)


def rates(goods: GoodsDays, days: int, holding: float) -> np.ndarray:
    """What the good earned each day less its keeping, minor units, (days,); `holding`: a year's, as a share of cost."""
    moved, earned = np.zeros(days), np.zeros(days)
    for day, units in goods.moved.items():
        if 0 <= day < days:
            moved[day] += units
    for day, minor in goods.earned.items():
        if 0 <= day < days:
            earned[day] += minor
    on_hand = np.maximum(goods.began + np.cumsum(moved), 0.0)
    return np.asarray(earned - on_hand * goods.unit_cost_minor * holding / 365)


def canary_test(
    found: Sequence[GoodsDays], version: str, began: datetime, now: datetime, *, share: float, holding: float
) -> PeekableTest:
    """Canary against the rest, from `BEFORE` the moment it began. Each block counts by the inverse of the chance it had
    to be where it was; blocks that are not over do not count yet, nor goods that were not there before."""
    test = PeekableTest(tuned_for=300.0)
    start, before, length, wash = began - BEFORE, BEFORE // _DAY, BLOCK // _DAY, WASHOUT // _DAY
    days = max(0, (now - start) // _DAY)
    told: dict[UUID, np.ndarray] = {}
    for each in found:
        if each.first_moved <= start:
            told[each.supplier_id] = told.get(each.supplier_id, 0.0) + rates(each, days, holding)
    for block in range(max(0, (now - began) // BLOCK)):
        first = before + block * length
        for supplier_id, earned in told.items():
            beyond = float(earned[first + wash : first + length].mean() - earned[:before].mean())
            here = is_canary(version, supplier_id, block, share)
            test.observe(beyond / share if here else -beyond / (1 - share))
    return test


def drifted(found: Sequence[GoodsDays], start: datetime, days: int, holding: float) -> bool:
    """Whether what goods earn has moved in these days (ADWIN): each supplier's weeks against its first
    `USUAL_WEEKS`, in units of how far those were apart. Goods that came later do not count."""
    weekly: dict[UUID, np.ndarray] = {}
    weeks = days // 7
    for each in found:
        if each.first_moved <= start:
            told = rates(each, weeks * 7, holding).reshape(weeks, 7).mean(axis=1)
            weekly[each.supplier_id] = weekly.get(each.supplier_id, 0.0) + told
    usual = {
        supplier: (told[:USUAL_WEEKS].mean(), max(float(told[:USUAL_WEEKS].std()), 1e-9))
        for supplier, told in weekly.items()
    }
    watch, moved = Adwin(delta=0.001), False
    for week in range(USUAL_WEEKS, weeks):
        for supplier, (mean, spread) in usual.items():
            moved |= watch.update(float(np.clip((weekly[supplier][week] - mean) / spread, -3, 3)))
    return moved


async def _moved(session: AsyncSession, now: datetime, since: datetime | None, choices: PurchasingChoices) -> bool:
    start = max(since or now - WATCHED, now - WATCHED)
    found = await rows.goods_days(session, start, now)
    return drifted(found, start, (now - start) // _DAY, choices.holding_bps / BPS)


async def _canary(session: AsyncSession, row: PolicyVersion, now: datetime, choices: PurchasingChoices) -> PeekableTest:
    began = row.staged_at
    found = await rows.goods_days(session, began - BEFORE, now)
    share, holding = choices.canary_bps / BPS, choices.holding_bps / BPS
    return canary_test(found, row.version, began, now, share=share, holding=holding)


async def _looked_on(session: AsyncSession, policy_id: UUID) -> tuple[bool, str]:
    told = await rows.looked_on(session, policy_id)
    words = f"looked on at {told.lines} lines: {told.units} units where the rule as shipped buys {told.shipped_units}"
    return told.lines >= LEAST_LINES, words


async def judged(
    session: AsyncSession, tenant_id: UUID, now: datetime, acting: Mapping[str, PolicyVersion], since: datetime | None
) -> Judged:
    """Of the versions on stage; drift is looked for from `since` on. What a shadow would have earned nobody knows:
    having looked on often enough, in bounds, it may act on a share, which tells."""
    choices = (await profile(session, tenant_id)).settings.purchasing
    test = await _canary(session, acting["canary"], now, choices) if "canary" in acting else None
    ready, words = await _looked_on(session, acting["shadow"].id) if "shadow" in acting else (False, "")
    return Judged(UNIT, test, ready, words, await _moved(session, now, since, choices))


async def checks(unit: UnitOfWork, row: PolicyVersion, target: str) -> list[Check]:
    """What there is to see before a policy buys of a share of the suppliers, or of all."""
    if target == "canary":
        ready, words = await _looked_on(unit.session, row.id)
        return [Check("looked-on", ready, words, still_open=not ready)]
    choices = (await profile(unit.session, unit.tenant_id)).settings.purchasing
    return [canary_check(await _canary(unit.session, row, unit.now, choices), UNIT, "suppliers")]
