"""What an agent asks about ads: which listings should have another rate, and what became of the goods behind them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.advertising import AdCause
from flipsync.domain.money import Money
from flipsync.services.advertising.judging import BETWEEN
from flipsync.services.fees.profile import default_profile
from flipsync.services.grounds import AdGround
from flipsync.services.money_shares import MoneyReview, taker
from flipsync.services.tenant_settings import AdvertisingChoices, PricingChoices, TenantProfile
from flipsync.store.repositories import advertising as rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories.advertising import AdRow, AdStand

if TYPE_CHECKING:
    from flipsync.intelligence.sharing import Step
    from flipsync.services.advertising.choosing import Candidate, Choice
    from flipsync.services.advertising.response import Seen

#: whose connectors have `capabilities.ads`
VENDORS: Final = ("ebay",)
#: changes of one look, those that bring most
MOST: Final = 100
#: days of ads that are learned from, days of sales before the first one, and how long a refused rate is not asked again
_LEARNED, _BEFORE, _REFUSED = timedelta(days=90), timedelta(days=28), timedelta(days=7)
_TENTH = 1_000
#: why a listing is not advertised
NO_UNITS, OFF_SALE, UNKNOWN, THIN, BUSY = (
    "nothing to ship",
    "not on sale",
    "cost, price or fees unknown",
    "margin too thin for the least rate",
    "a change is on its way, or was refused lately",
)


@dataclass(frozen=True)
class UnitAd:
    """What one sale leaves without an ad, what it has to leave with one, and what an ad of 100 % would cost."""

    margin: int
    least: int
    fee: int

    @property
    def most_bps(self) -> int:
        """The highest rate that leaves what a sale has to leave."""
        return max(0, (self.margin - self.least) * 10_000 // self.fee) if self.fee > 0 else 0


@dataclass(frozen=True)
class AdMove:
    """Another rate for a listing. Figures are minor units a day; `curve` is the expected profit by rate."""

    listing_id: UUID
    sku: str
    was_bps: int
    rate_bps: int
    resume_bps: int
    cause: AdCause
    gain: float
    fees: float
    chance: float
    drawn: bool
    why: str
    curve: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class AdReview:
    """One look at an account. `unfit` counts listings by why they cannot be advertised, `left` the changes not told."""

    account_id: UUID
    currency: str
    looked: int
    advertised: int
    tried: int
    moves: list[AdMove]
    left: int
    unfit: dict[str, int]
    spent_minor: int
    budget_minor: int | None


class AdvertisingDesk:
    """Questions about ads, from one read-only transaction."""

    def __init__(
        self,
        session: AsyncSession,
        now: datetime,
        profile: Callable[[], Awaitable[TenantProfile]],
        note: Callable[[AdGround], None] = lambda _: None,
    ) -> None:
        """`note` is told what a review is worked out from."""
        self._session, self._now, self._profile, self._note = session, now, profile, note

    async def accounts(self) -> list[UUID]:
        """Connected accounts that have ads paid by the sale."""
        return list(await rows.accounts(self._session, VENDORS))

    async def own(self) -> list[AdStand]:
        """Listings that FlipSync advertises now."""
        return await rows.own_ads(self._session)

    async def goods(self, stock_item_id: UUID) -> list[AdStand]:
        """Listings of these goods that are advertised, or wait for units to be."""
        return await rows.of_item(self._session, stock_item_id)

    async def review(self, account_id: UUID) -> AdReview:
        """Every listing of the account is looked at."""
        settings = (await self._profile()).settings
        now = self._now
        found, seen, currency = await self._look(account_id)
        spent = await rows.spent(self._session, account_id, now.date().replace(day=1), currency)
        ground = AdGround(settings.pricing, settings.advertising, found, seen, currency, spent)
        told = await asyncio.to_thread(review_of, account_id, ground, ground.pricing, ground.limits, now)
        self._note(ground)
        return told

    async def returns(self) -> list[MoneyReview]:
        """By currency, what a month's money for ads brings on each account; nothing where the owner sets no total."""
        settings, now = (await self._profile()).settings, self._now
        limits = settings.advertising
        if limits.total_budget_minor is None or limits.mode == "off":
            return []
        names = {account.id: account.name for account, _ in await listing_rows.paced_accounts(self._session)}
        spent = {
            (account, money): int(fees)
            for account, money, fees in await rows.spent_by_account(self._session, now.date().replace(day=1))
        }
        found: dict[str, MoneyReview] = {}
        for account_id in await self.accounts():
            listings, seen, currency = await self._look(account_id)
            steps = await asyncio.to_thread(returns, listings, seen, settings.pricing, limits, currency, now)
            gone = spent.get((account_id, currency), 0)
            place = found.setdefault(currency, MoneyReview(currency, limits.total_budget_minor, days_left(now), []))
            place.takers.append(taker(account_id, names.get(account_id, str(account_id)), gone, steps))
        return [found[each] for each in sorted(found)]

    async def _look(self, account_id: UUID) -> tuple[list[AdRow], dict[UUID, list[tuple[int, int, int, int]]], str]:
        """Listings, what came of their days by rate, and the currency of most."""
        now = self._now
        found = await rows.review(self._session, account_id, now, now - _BEFORE, now - _REFUSED)
        seen = await rows.days_seen(self._session, account_id, (now - _LEARNED).date(), now.date())
        return found, seen, Counter(row.currency for row in found).most_common(1)[0][0] if found else "USD"


def unit_ads(choices: PricingChoices, currency: str, now: datetime) -> Callable[[AdRow], UnitAd | None]:
    """What an ad costs and may cost, by row; None where price, cost or fees are not known."""
    from flipsync.services.pricing.economics import UnitEconomics
    from flipsync.services.quotes import fee_schedule

    vendor = VENDORS[0]
    told = choices.fees.get(vendor) or default_profile(vendor)
    plain = told.model_copy(update={"flags": told.flags - {"promoted"}, "ad_rate_bps": 0})
    dear = told.model_copy(update={"flags": told.flags | {"promoted"}, "ad_rate_bps": _TENTH})
    terms = []
    for profile in (plain, dear):
        schedule = fee_schedule(vendor, currency, choices.model_copy(update={"fees": {vendor: profile}}))
        terms.append(schedule.terms(now) if schedule is not None else ())

    def of(row: AdRow) -> UnitAd | None:
        if row.price_minor is None or not row.cost_minor or row.currency != currency or not all(terms):
            return None
        without, with_ad = (
            UnitEconomics(
                terms=each,
                unit_cost=row.cost_minor,
                shipping_cost=choices.shipping_cost_minor,
                shipping_charged=choices.shipping_charged_minor,
                tax_bps=choices.tax_bps,
                margin_bps=choices.min_margin_bps,
            )
            for each in terms
        )
        fee = (with_ad.fees(row.price_minor) - without.fees(row.price_minor)) * (10_000 // _TENTH)
        return UnitAd(without.net(row.price_minor), without.required(row.price_minor), fee)

    return of


def review_of(
    account_id: UUID, ground: AdGround, pricing: PricingChoices, limits: AdvertisingChoices, now: datetime
) -> AdReview:
    """The look from what is kept of one, under these choices."""
    return reviewed(account_id, ground.listings, ground.seen, pricing, limits, ground.currency, ground.spent, now)


def reviewed(
    account_id: UUID,
    found: Sequence[AdRow],
    seen: Mapping[UUID, Sequence[tuple[int, int, int, int]]],
    pricing: PricingChoices,
    limits: AdvertisingChoices,
    currency: str,
    spent: int,
    now: datetime,
) -> AdReview:
    """The look, from what the books say. `seen`: by listing, (rate, days, units, units by ads)."""
    from flipsync.services.advertising.choosing import choose, within

    of = unit_ads(pricing, currency, now)
    unfit: Counter[str] = Counter()
    moves: list[AdMove] = []
    candidates: list[tuple[AdRow, Candidate]] = []
    for row in found:
        unit = of(row)
        if row.busy:
            unfit[BUSY] += 1
        elif row.status != "active" or row.available <= 0 or row.shown <= 0:
            why = OFF_SALE if row.status != "active" else NO_UNITS
            unfit[why] += 1
            if row.rate_bps:
                moves.append(stop(row, "stock", why))
        elif unit is None:
            unfit[UNKNOWN] += 1
            if row.rate_bps and row.changed_at is not None:  # what others set without asking is theirs to know
                moves.append(stop(row, "review", UNKNOWN))
        else:
            unfit[THIN] += unit.most_bps < rows.LEAST_BPS
            candidates.append((row, _candidate(row, unit, seen.get(row.listing_id, ()))))
    choices = choose([candidate for _, candidate in candidates], limits.max_rate_bps, _week(now))
    allowed = [True] * len(choices)
    month = limits.month_of(account_id)
    if month is not None:
        allowed = within(choices, max(0, month - spent) / days_left(now))
    for (row, candidate), choice, runs in zip(candidates, choices, allowed, strict=True):
        if not runs and row.rate_bps:
            moves.append(stop(row, "budget", "the month's money for ads goes where it brings more"))
        elif runs and choice.rate_bps != row.rate_bps and (not choice.rate_bps or _rested(row, now)):
            moves.append(_move(row, candidate, choice, currency))
    moves.sort(key=lambda move: (move.rate_bps > 0, -move.gain, move.sku))
    return AdReview(
        account_id=account_id,
        currency=currency,
        looked=len(found),
        advertised=sum(row.rate_bps > 0 for row in found),
        tried=len(seen),
        moves=moves[:MOST],
        left=len(moves[MOST:]),
        unfit={why: count for why, count in unfit.items() if count},
        spent_minor=spent,
        budget_minor=month,
    )


def returns(
    found: Sequence[AdRow],
    seen: Mapping[UUID, Sequence[tuple[int, int, int, int]]],
    pricing: PricingChoices,
    limits: AdvertisingChoices,
    currency: str,
    now: datetime,
) -> list[Step]:
    """What each ad that an account could have brings a day after all fees, for what it costs, without a limit."""
    from flipsync.services.advertising.choosing import choose
    from flipsync.services.advertising.money import ad_steps

    of = unit_ads(pricing, currency, now)
    candidates = [
        _candidate(row, unit, seen.get(row.listing_id, ()))
        for row in found
        if row.status == "active" and row.available > 0 and row.shown > 0 and (unit := of(row)) is not None
    ]
    return ad_steps(choose(candidates, limits.max_rate_bps, _week(now))) if candidates else []


def _candidate(row: AdRow, unit: UnitAd, days: Sequence[tuple[int, int, int, int]]) -> Candidate:
    from flipsync.services.advertising.choosing import Candidate
    from flipsync.services.advertising.response import Seen

    return Candidate(
        key=str(row.listing_id),
        seen=_history(row, days, Seen),
        margin=unit.margin,
        most_bps=unit.most_bps,
        fee=unit.fee,
        units=min(row.available, row.shown),
        rate_bps=row.rate_bps,
    )


def _week(now: datetime) -> str:
    year, week, _ = now.isocalendar()
    return f"{year}-W{week}"


def _history(row: AdRow, days: Sequence[tuple[int, int, int, int]], seen: type[Seen]) -> tuple[Seen, ...]:
    before = (seen(0, row.days, row.sold),) if row.days > 0 else ()
    return (*before, *(seen(*each) for each in days))


def _rested(row: AdRow, now: datetime) -> bool:
    return row.changed_at is None or now - row.changed_at >= BETWEEN


def days_left(now: datetime) -> int:
    following = (now.replace(day=1) + timedelta(days=32)).replace(day=1)
    return max(1, (following.date() - now.date()).days)


def stop(row: AdRow, cause: AdCause, why: str) -> AdMove:
    """An ad that has to end, whatever it would bring. For want of units it comes back with them."""
    resume = row.rate_bps if why == NO_UNITS else 0
    return AdMove(row.listing_id, row.sku, row.rate_bps, 0, resume, cause, 0.0, 0.0, 1.0, False, why)


def _move(row: AdRow, candidate: Candidate, choice: Choice, currency: str) -> AdMove:
    def money(minor: float) -> Money:
        return Money(amount_minor=round(minor), currency=currency)

    if choice.rate_bps:
        why = (
            f"{money(choice.profit)} a day expected at {choice.rate_bps / 100:.1f} %, {money(choice.before)} at"
            f" {row.rate_bps / 100:.1f} %; a sale leaves {money(candidate.margin)} before an ad of"
            f" {money(candidate.fee * choice.rate_bps / 10_000)}"
        )
        if choice.drawn:
            why += "; tried to learn"
    else:
        why = f"{money(choice.idle)} a day expected without an ad, {money(choice.before)} at {row.rate_bps / 100:.1f} %"
    return AdMove(
        row.listing_id,
        row.sku,
        row.rate_bps,
        choice.rate_bps,
        0,
        "review",
        round(choice.profit - choice.before, 2),
        round(choice.fees, 2),
        round(choice.chance, 4),
        choice.drawn,
        why,
        choice.curve,
    )
