"""From rows to judgements: gathers what is known of each line on each channel, and works out all of them at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import log
from uuid import UUID

import numpy as np

from flipsync.domain.sourcing import ChannelScore
from flipsync.services.grounds import Case, JudgeGround
from flipsync.services.pricing.fees import FeeTerm
from flipsync.services.quotes import fee_schedule
from flipsync.services.sourcing.desk import CHANCES, Assessed
from flipsync.services.sourcing.identity import Identity
from flipsync.services.sourcing.lessons import FEWEST_OUTCOMES, GoodsSold, learn
from flipsync.services.sourcing.profit import Known, Wishes, outlook
from flipsync.services.sourcing.taught import Lessons
from flipsync.services.tenant_settings import PricingChoices, TenantSettings
from flipsync.store.models import CatalogueFind, SourcingLine
from flipsync.store.repositories.listings import AccountRow
from flipsync.store.repositories.sourcing_facts import OutcomeRow, SoldRow

#: days that are told at most
_LONGEST = 3_650.0
#: decimals of what is known, finer than anything that is told of it: more are only more to keep
_PLACES = 6
#: what is missing of a line whatever else is known of it
_CASE = "how many articles the case holds"


@dataclass(frozen=True)
class Books:
    """What a business knows, in one currency: of the newest goods, of those asked about, of parcels, of past advice."""

    sold: Sequence[SoldRow]
    of_goods: Sequence[SoldRow]
    parcels: Sequence[int]
    outcomes: Sequence[OutcomeRow]


@dataclass(frozen=True)
class Line:
    """A line, which article it is, and what catalogues have of it."""

    row: SourcingLine
    identity: Identity
    finds: Sequence[CatalogueFind] = field(repr=False)

    def unjudged(self) -> Assessed:
        """The line as it is told before any channel is looked at."""
        row, identity, article = self.row, self.identity, self.identity.article
        return Assessed(
            line_id=row.id,
            text=row.text,
            currency=row.currency,
            cost_minor=row.cost_minor,
            units=row.units,
            product=article.title[:500] if article is not None else "",
            variant_id=UUID(article.key) if article is not None and not article.source else None,
            by=identity.by,
            identity=identity.confidence,
            identity_why=_why(identity),
            scores=(),
            missing=(_CASE,) if row.gtin and row.gtin[0] != "0" else (),
        )


def ground_of(
    lines: Sequence[Line], accounts: Sequence[AccountRow], books: Mapping[str, Books], settings: TenantSettings
) -> JudgeGround:
    """What the lines are judged from; `books` are by currency."""
    usual = settings.pricing.shipping_cost_minor
    return JudgeGround(
        pricing=settings.pricing,
        sourcing=settings.sourcing,
        risk=settings.goals.risk,
        accounts=[account for account in accounts if account.currency in books],
        lessons={currency: lessons_of(of, usual) for currency, of in books.items()},
        cases=[
            case
            for place, line in enumerate(lines)
            for case in _cases(place, line, accounts, books[line.row.currency])
            if any(each is not None for each in (case.own, case.market, case.listed))
        ],
        by_usual_parcel=any(not of.parcels and len(of.outcomes) >= FEWEST_OUTCOMES for of in books.values()),
    )


def lessons_of(books: Books, usual: int) -> Lessons:
    """What these books teach about goods that are not in them; `usual` is what a parcel costs by the owner's word, in
    minor units."""
    parcel = sum(books.parcels) / len(books.parcels) if books.parcels else usual
    return learn(
        [
            GoodsSold(
                units=row.units,
                mean_log=row.mean_log or 0.0,
                square=row.square or 0.0,
                goods_minor=row.goods_minor,
                refunded_minor=row.refunded_minor,
                restocked=row.restocked,
                shown_days=row.days,
                ever_sold=row.ever_sold,
                market_minor=row.market_minor,
                listed_minor=row.listed_minor,
            )
            for row in books.sold
        ],
        parcels_minor=books.parcels,
        usual_parcel_minor=usual,
        errors=[error_of(row, parcel) for row in books.outcomes],
    )


def error_of(row: OutcomeRow, parcel_minor: float) -> float:
    """How far the outcome was from the middle told, in halves of the interval on that side: 1 is its edge."""
    apart = row.earned(parcel_minor) - row.likely_minor
    half = row.high_minor - row.likely_minor if apart > 0 else row.likely_minor - row.low_minor
    return apart / max(half, 1)


def judged(
    lines: Sequence[Assessed], ground: JudgeGround, settings: TenantSettings, now: datetime
) -> tuple[Assessed, ...]:
    """Every line on every channel whose fees are known, under these settings; judged before or not."""
    choices, wishes = settings.pricing, _wishes(settings)
    lessons = {currency: _with_usual_parcel(each, choices) for currency, each in ground.lessons.items()}
    scores: dict[int, list[ChannelScore]] = defaultdict(list)
    unknown_fees: dict[str, set[str]] = defaultdict(set)
    outlets: dict[tuple[str, str], dict[UUID, AccountRow]] = defaultdict(dict)
    for account in ground.accounts:
        outlets[account.currency, account.vendor][account.id] = account
    for (currency, vendor), here in outlets.items():
        fees = fee_schedule(vendor, currency, choices)
        terms = fees.terms(now) if fees is not None else ()
        if not terms:
            unknown_fees[currency].add(vendor)
        elif alike := [case for case in ground.cases if case.account_id in here]:
            _score(scores, lines, alike, here, lessons[currency], terms, choices, wishes)
    return tuple(
        _with_scores(line, scores[place], lessons[line.currency], unknown_fees[line.currency])
        for place, line in enumerate(lines)
    )


def _wishes(settings: TenantSettings) -> Wishes:
    choices = settings.sourcing
    return Wishes(
        profit_minor=choices.min_profit_minor,
        roi=choices.min_roi_bps / 10_000,
        chance=CHANCES[settings.goals.risk],
        turn_days=float(choices.turn_days),
        turn_share=choices.turn_share,
    )


def _with_usual_parcel(lessons: Lessons, choices: PricingChoices) -> Lessons:
    """Where too few labels teach what a parcel costs, it is what the owner says."""
    if "parcels" not in lessons.unknown:
        return lessons
    return replace(lessons, shipping_minor=float(choices.shipping_cost_minor))


def _score(
    scores: dict[int, list[ChannelScore]],
    lines: Sequence[Assessed],
    alike: Sequence[Case],
    accounts: Mapping[UUID, AccountRow],
    lessons: Lessons,
    terms: Sequence[FeeTerm],
    choices: PricingChoices,
    wishes: Wishes,
) -> None:
    """Adds the scores of cases with the same fees, by line."""
    known = Known(
        own=np.array([case.own for case in alike], dtype=np.float64),
        units=np.array([float(case.units) for case in alike]),
        market=np.array([_log(case.market) for case in alike]),
        listed=np.array([_log(case.listed) for case in alike]),
        sold=np.array([case.sold for case in alike]),
        days=np.array([case.days for case in alike]),
        lot=np.array([lines[case.line].units for case in alike], dtype=np.int64),
    )
    seen = outlook(
        known,
        lessons,
        terms,
        charged=choices.shipping_charged_minor,
        tax_bps=choices.tax_bps,
        turn_days=wishes.turn_days,
    )
    most = seen.most(wishes)
    told = [lines[case.line].cost_minor for case in alike]
    cost = np.array([float(each) if each is not None else paid for each, paid in zip(told, most, strict=True)])
    low, likely, high = seen.interval(cost)
    chance, worth = seen.chance(cost, wishes), seen.worth(cost)
    for place, case in enumerate(alike):
        account = accounts[case.account_id]
        scores[case.line].append(
            ChannelScore(
                account_id=account.id,
                channel=account.name,
                price_minor=round(float(seen.price[place])),
                most_minor=int(most[place]),
                low_minor=round(float(low[place])),
                likely_minor=round(float(likely[place])),
                high_minor=round(float(high[place])),
                chance=round(float(chance[place]), 3),
                gone=round(float(min(seen.gone[place], 1.0)), 3),
                days_to_sell=round(float(min(seen.days[place], _LONGEST)), 1),
                worth=round(float(worth[place]), 4),
                rivals=case.rivals,
                own_units=case.units,
            )
        )


def _log(minor: int | None) -> float:
    return float("nan") if minor is None else log(minor)


def _cases(place: int, line: Line, accounts: Sequence[AccountRow], books: Books) -> list[Case]:
    cases = {account.id: Case(place, account.id) for account in accounts if account.currency == line.row.currency}
    article = line.identity.article
    if article is not None and not article.source:
        variant = UUID(article.key)
        for row in books.of_goods:
            if row.variant_id != variant or row.account_id not in cases:
                continue
            sold = row.rate * row.days if row.rate is not None else float(row.ever_sold)
            cases[row.account_id] = Case(
                place,
                row.account_id,
                own=None if row.mean_log is None else round(row.mean_log, _PLACES),
                units=row.units,
                market=row.market_minor or None,
                rivals=row.rivals,
                listed=row.listed_minor or None,
                sold=round(sold, _PLACES),
                days=round(row.days, _PLACES),
            )
    for find in line.finds:
        case = cases.get(find.account_id)
        offers = [each for each in find.offers if each > 0]  # nothing is sold for nothing
        if find.line_id != line.row.id or case is None or not offers or not _is(find, line):
            continue
        cheapest = min(offers) if case.market is None else min(case.market, *offers)
        cases[find.account_id] = case._replace(market=cheapest, rivals=max(case.rivals, len(offers)))
    return list(cases.values())


def _is(find: CatalogueFind, line: Line) -> bool:
    """Whether what a catalogue has is the article that was recognised: its code, its number, or its very page."""
    if line.row.gtin and line.row.gtin in find.codes:
        return True
    if line.row.asin and line.row.asin == find.external_id:
        return True
    article = line.identity.article
    return article is not None and (article.key == find.external_id or bool(set(article.codes) & set(find.codes)))


def _with_scores(line: Assessed, scores: Sequence[ChannelScore], lessons: Lessons, unknown_fees: set[str]) -> Assessed:
    missing = [_CASE] if _CASE in line.missing else []
    if not scores:
        missing.append("a price: nobody is seen to sell it")
    elif scores and all(each.own_units == 0 for each in scores) and "prices" in lessons.unknown:
        missing.append("how near offers come to what is paid (too little of your own was sold)")
    if "time to sell" in lessons.unknown and all(each.own_units == 0 for each in scores):
        missing.append("how fast goods like it sell (too little of your own was sold)")
    if unknown_fees and not scores:
        missing.append(f"the fees of {', '.join(sorted(unknown_fees))}")
    best_first = sorted(
        scores, key=lambda each: (-each.worth if line.cost_minor is not None else -each.most_minor, each.channel)
    )
    return replace(line, scores=tuple(best_first), missing=tuple(missing))


def _why(identity: Identity) -> str:
    others = ", ".join(f"“{each.title[:80]}”" for each in identity.rivals[:3])
    return f"{identity.why}; or is it {others}?"[:500] if others else identity.why[:500]
