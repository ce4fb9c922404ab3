"""How good listings are and what can be done about them, as people see it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import NotFound
from flipsync.domain.money import Money
from flipsync.services.listing_care_desk import PAGE, Work, assess
from flipsync.services.listing_fixes import Action, goods_of
from flipsync.services.listing_rules import Finding, Quality
from flipsync.services.reading_page import View
from flipsync.store.repositories import listing_care as rows
from flipsync.store.repositories import listings as listing_rows

#: listings that the worst are looked for among
_LOOKED = 2_000


class CheckView(View):
    """One check: `value` 1 is as it should be, `weight` its part of the score, `source` where the rule is from."""

    check: str
    weight: float
    value: float
    says: str = Field(description="what is the matter; empty where nothing is")
    source: str


class QualityStepView(View):
    """Something to do about it, the most worth first."""

    check: str
    by: Literal["flipsync", "flipsync, when you say yes", "you"]
    says: str
    minutes: int = Field(description="a person's")
    score_after: float


class QualityView(View):
    """How good a listing is, from 0 to 1; null for one that is not on sale. `idle`: why nothing is done now."""

    listing_id: UUID
    account_id: UUID
    sku: str
    score: float | None
    checks: list[CheckView]
    steps: list[QualityStepView]
    idle: str


class ListingStanding(View):
    """A listing among others, with what would help it most."""

    listing_id: UUID
    sku: str
    account: str
    status: str
    score: float
    step: QualityStepView | None
    gain_a_week: Money | None = Field(description="sales that the step is thought to bring")


async def quality(session: AsyncSession, listing_id: UUID, now: datetime) -> QualityView:
    """Raises NotFound."""
    listing = await listing_rows.get(session, listing_id)
    if listing is None:
        raise NotFound(f"no listing {listing_id}")
    about = {"listing_id": listing_id, "account_id": listing.account_id, "sku": listing.sku}
    told = await assess(session, await rows.some(session, [listing_id]), now)
    if not told:
        idle = f"the listing is {listing.status}, or its account is not connected"
        return QualityView.model_validate(about | {"score": None, "checks": [], "steps": [], "idle": idle})
    _, work, found = told[0]
    return QualityView(
        listing_id=listing_id,
        account_id=listing.account_id,
        sku=listing.sku,
        score=found.score,
        checks=[_check(each) for each in sorted(found, key=_lost, reverse=True)],
        steps=[_step(each) for each in work.actions],
        idle=work.idle,
    )


async def worst(session: AsyncSession, now: datetime, limit: int, sku: str | None = None) -> list[ListingStanding]:
    """Of the first so many listings, those where something can be done, the most worth first; or all of one SKU."""
    goods = goods_of(await rows.goods(session))
    found: list[tuple[ListingStanding, Work, Quality]] = []
    after, looked = None, 0
    while looked < _LOOKED and (page := await rows.page(session, after, PAGE, sku=sku)):
        after, looked = page[-1][0].id, looked + len(page)
        for seen, work, held in await assess(session, page, now, goods):
            found.append((_standing(seen.sku, work), work, held))
        session.expunge_all()
    if sku is None:
        found = [each for each in found if each[1].actions]
    found.sort(key=lambda each: each[1].actions[0].worth if each[1].actions else (False, -1.0, 0.0), reverse=True)
    return [standing for standing, _, _ in found[:limit]]


def _lost(found: Finding) -> float:
    return found.weight * (1 - found.value)


def _check(found: Finding) -> CheckView:
    says = found.says if found.value < 1 else ""
    return CheckView(check=found.check, weight=found.weight, value=found.value, says=says, source=found.source)


def _step(action: Action) -> QualityStepView:
    by: Literal["flipsync", "flipsync, when you say yes", "you"] = "you"
    if action.alone:
        by = "flipsync"
    elif action.kind != "need":
        by = "flipsync, when you say yes"
    return QualityStepView(
        check=action.check, by=by, says=action.says, minutes=action.minutes, score_after=action.expected
    )


def _standing(sku: str, work: Work) -> ListingStanding:
    first = work.actions[0] if work.actions else None
    return ListingStanding(
        listing_id=work.listing_id,
        sku=sku,
        account=work.account,
        status=work.status,
        score=work.score,
        step=None if first is None else _step(first),
        gain_a_week=None if first is None else Money(amount_minor=first.gain_minor, currency=work.currency),
    )
