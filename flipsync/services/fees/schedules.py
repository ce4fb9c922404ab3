"""The tables as the price floor needs them: every fee a sale may meet, never falling as the price rises.

Where a fee falls at a higher price (eBay's jewellery above 5,000), the higher rate is taken for all; fees on fees make
the others dearer, rounded up. So a floor price is never lower than the fees of the order will prove.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from itertools import accumulate, groupby, pairwise
from typing import cast

from flipsync.domain.channel import Vendor
from flipsync.domain.money import Money
from flipsync.services.fees.profile import HOME, FeeProfile, default_profile
from flipsync.services.fees.tariff import BY_ORDER, Tariff, choose, missing, rows_of
from flipsync.services.pricing.fees import Basis, FeeBracket, FeeRule, FeeSchedule

_CENT = Decimal("0.01")


@lru_cache(maxsize=256)
def published_schedule(vendor: str, currency: str, profile: FeeProfile | None = None) -> FeeSchedule | None:
    """All fees of one order of the account by the tables; None where the tables know nothing of it.

    A change of tariff begins a new rule of the same kind, which takes the old one's place.
    """
    profile = profile or default_profile(vendor)
    rows = [
        row
        for row in rows_of(vendor, profile.country or HOME.get(currency, ""))
        if row.per in BY_ORDER and row.currency == currency
    ]
    scopes = tuple(filter(None, (profile.category, profile.plan, profile.size)))
    starts = sorted({row.since for row in rows} | {row.until for row in rows if row.until is not None})
    dated: list[tuple[str, datetime, FeeRule | None]] = []
    for start in starts:
        chosen = choose([row for row in rows if row.holds(start)], profile.flags, scopes)
        levies = [row for row in chosen.values() if row.basis == "fees"]
        dearer = Decimal(1)
        for levy in levies:
            dearer *= 1 + Decimal(levy.rate.at(0)) / 1_000_000
        kinds = {row.kind for row in rows if row.basis != "fees"}
        for kind in sorted(kinds):
            row = chosen.get(kind)
            dated.append((kind, start, None if row is None else _rule(row, start, profile, dearer)))
    by_kind = groupby(sorted(dated, key=lambda each: (each[0], each[1])), key=lambda each: each[0])
    rules = tuple(rule for _, group in by_kind for rule in _with_ends((start, rule) for _, start, rule in group))
    if not rules or missing({rule.kind for rule in rules}, profile.flags):
        return None
    return FeeSchedule(vendor=cast(Vendor, vendor), currency=currency, rules=rules)


def _with_ends(dated: Iterable[tuple[datetime, FeeRule | None]]) -> list[FeeRule]:
    """The rules of one kind: each ends where the kind is not charged any more, and repeats are left out."""
    told: list[FeeRule] = []
    for start, rule in dated:
        last = told[-1] if told else None
        running = last is not None and last.valid_until is None
        if rule is None:
            if last is not None and running:
                told[-1] = last.model_copy(update={"valid_until": start})
        elif last is None or not running or rule.model_copy(update={"valid_from": last.valid_from}) != last:
            told.append(rule)
    return told


def _rule(row: Tariff, start: datetime, profile: FeeProfile, dearer: Decimal) -> FeeRule:
    def money(minor: Decimal | int | None) -> Money | None:
        if minor is None:
            return None
        amount = (Decimal(minor) * dearer).to_integral_value(rounding=ROUND_CEILING)
        return Money(amount_minor=int(amount), currency=row.currency)

    def bps(ppm: int) -> Decimal:
        return (Decimal(ppm) / 100 * dearer).quantize(_CENT, rounding=ROUND_CEILING)

    rates = [profile.ad_rate_bps * 100] if row.by_ad_rate else [value for _, value in row.rate.steps]
    if not row.rate.portions and any(after < before for before, after in pairwise(rates)):
        rates = [max(rates)]
    limits = [upto for upto, _ in row.rate.steps] if len(rates) > 1 else [None]
    fixed = [value for _, value in row.fixed.steps]
    if len(fixed) > 1:
        assert len(rates) == 1, "a row has brackets of the rate or of the fixed amount"
        # an amount that falls as the base grows (eBay's order fee of dear sneakers) is taken as if it did not
        fixed = list(accumulate(fixed, max))
        limits, rates = [upto for upto, _ in row.fixed.steps], rates * len(fixed)
    else:
        fixed = fixed * len(rates)
    brackets = tuple(
        FeeBracket(
            upto=None if upto is None else Money(amount_minor=upto, currency=row.currency),
            rate_bps=bps(rate),
            fixed=money(Decimal(amount) / 1_000_000),
        )
        for upto, rate, amount in zip(limits, rates, fixed, strict=True)
    )
    plain = len(brackets) == 1
    return FeeRule(
        kind=row.kind,
        rate_bps=brackets[0].rate_bps if plain else Decimal(0),
        fixed=brackets[0].fixed if plain and fixed[0] else None,
        minimum=money(row.least),
        maximum=money(row.most),
        basis=cast(Basis, row.basis),
        rounding=row.rounding if dearer == 1 else "up",
        brackets=() if plain else brackets,
        portions=row.rate.portions and not plain,
        valid_from=start,
        source=f"{row.source} ({row.confidence})",
    )


def stripe_us(*, international: bool = False) -> FeeSchedule:
    """A WooCommerce shop paid through Stripe's US standard pricing: 2.9 % + 30¢ of all the card is charged.

    `international` adds the 1.5 % for cards issued abroad, for shops that sell there.
    """
    profile = default_profile("woocommerce")
    if international:
        profile = profile.model_copy(update={"flags": profile.flags | {"international"}})
    schedule = published_schedule("woocommerce", "USD", profile)
    assert schedule is not None
    return schedule
