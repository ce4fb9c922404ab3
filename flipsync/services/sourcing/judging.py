"""From rows to judgements: gathers what is known of each line on each channel, and works out all of them at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import log
from uuid import UUID

import numpy as np

from flipsync.domain.sourcing import ChannelScore
from flipsync.services.quotes import fee_schedule
from flipsync.services.sourcing.desk import Assessed
from flipsync.services.sourcing.identity import Identity
from flipsync.services.sourcing.lessons import GoodsSold, Lessons, learn
from flipsync.services.sourcing.profit import Known, Wishes, outlook
from flipsync.services.tenant_settings import PricingChoices
from flipsync.store.models import CatalogueFind, SourcingLine
from flipsync.store.repositories.listings import AccountRow
from flipsync.store.repositories.sourcing_facts import OutcomeRow, SoldRow

_NAN = float("nan")
#: days that are told at most
_LONGEST = 3_650.0


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


@dataclass
class _Case:
    """A line on one channel. Logarithms; None where nothing is known."""

    line: int
    account: AccountRow
    own: float = _NAN
    units: int = 0
    market: float = _NAN
    rivals: int = 0
    listed: float = _NAN
    sold: float = 0.0
    days: float = 0.0


def lessons_of(books: Books, choices: PricingChoices) -> Lessons:
    """What these books teach about goods that are not in them."""
    usual = choices.shipping_cost_minor
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


def judge(
    lines: Sequence[Line],
    accounts: Sequence[AccountRow],
    books: Books,
    wishes: Wishes,
    choices: PricingChoices,
    now: datetime,
) -> list[Assessed]:
    """Every line on every channel whose fees are known; all lines are of the books' currency."""
    lessons = lessons_of(books, choices)
    cases = [case for place, line in enumerate(lines) for case in _cases(place, line, accounts, books)]
    scores: dict[int, list[ChannelScore]] = defaultdict(list)
    by_vendor: dict[str, list[_Case]] = defaultdict(list)
    for case in cases:
        by_vendor[case.account.vendor].append(case)
    unknown_fees = set()
    for vendor, alike in by_vendor.items():
        fees = fee_schedule(vendor, alike[0].account.currency, choices)
        terms = fees.terms(now) if fees is not None else ()
        if not terms:
            unknown_fees.add(vendor)
            continue
        known = Known(
            own=np.array([case.own for case in alike]),
            units=np.array([float(case.units) for case in alike]),
            market=np.array([case.market for case in alike]),
            listed=np.array([case.listed for case in alike]),
            sold=np.array([case.sold for case in alike]),
            days=np.array([case.days for case in alike]),
            lot=np.array([lines[case.line].row.units for case in alike], dtype=np.int64),
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
        told = [lines[case.line].row.cost_minor for case in alike]
        cost = np.array([float(each) if each is not None else paid for each, paid in zip(told, most, strict=True)])
        low, likely, high = seen.interval(cost)
        chance, worth = seen.chance(cost, wishes), seen.worth(cost)
        for place, case in enumerate(alike):
            if not seen.known[place]:
                continue
            scores[case.line].append(
                ChannelScore(
                    account_id=case.account.id,
                    channel=case.account.name,
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
    return [_assessed(line, scores[place], lessons, unknown_fees) for place, line in enumerate(lines)]


def _cases(place: int, line: Line, accounts: Sequence[AccountRow], books: Books) -> list[_Case]:
    cases = {account.id: _Case(place, account) for account in accounts}
    article = line.identity.article
    if article is not None and not article.source:
        variant = UUID(article.key)
        for row in books.of_goods:
            case = cases.get(row.account_id)
            if row.variant_id != variant or case is None:
                continue
            case.units, case.rivals = row.units, row.rivals
            case.own = row.mean_log if row.mean_log is not None else _NAN
            case.market = log(row.market_minor) if row.market_minor else _NAN
            case.listed = log(row.listed_minor) if row.listed_minor else _NAN
            case.days = row.days
            case.sold = row.rate * row.days if row.rate is not None else float(row.ever_sold)
    for find in line.finds:
        case = cases.get(find.account_id)
        if find.line_id != line.row.id or case is None or not find.offers or not _is(find, line):
            continue
        cheapest = log(min(find.offers))
        case.market = cheapest if case.market != case.market else min(case.market, cheapest)
        case.rivals = max(case.rivals, len(find.offers))
    return list(cases.values())


def _is(find: CatalogueFind, line: Line) -> bool:
    """Whether what a catalogue has is the article that was recognised: its code, its number, or its very page."""
    if line.row.gtin and line.row.gtin in find.codes:
        return True
    if line.row.asin and line.row.asin == find.external_id:
        return True
    article = line.identity.article
    return article is not None and (article.key == find.external_id or bool(set(article.codes) & set(find.codes)))


def _assessed(line: Line, scores: Sequence[ChannelScore], lessons: Lessons, unknown_fees: set[str]) -> Assessed:
    row, identity = line.row, line.identity
    missing = []
    if row.gtin and row.gtin[0] != "0":
        missing.append("how many articles the case holds")
    if not scores:
        missing.append("a price: nobody is seen to sell it")
    elif scores and all(each.own_units == 0 for each in scores) and "prices" in lessons.unknown:
        missing.append("how near offers come to what is paid (too little of your own was sold)")
    if "time to sell" in lessons.unknown and all(each.own_units == 0 for each in scores):
        missing.append("how fast goods like it sell (too little of your own was sold)")
    if unknown_fees and not scores:
        missing.append(f"the fees of {', '.join(sorted(unknown_fees))}")
    best_first = sorted(
        scores, key=lambda each: (-each.worth if row.cost_minor is not None else -each.most_minor, each.channel)
    )
    return Assessed(
        line_id=row.id,
        text=row.text,
        currency=row.currency,
        cost_minor=row.cost_minor,
        units=row.units,
        product=identity.article.title[:500] if identity.article is not None else "",
        variant_id=UUID(identity.article.key) if identity.article and not identity.article.source else None,
        by=identity.by,
        identity=identity.confidence,
        identity_why=_why(identity),
        scores=tuple(best_first),
        missing=tuple(missing),
    )


def _why(identity: Identity) -> str:
    others = ", ".join(f"“{each.title[:80]}”" for each in identity.rivals[:3])
    return f"{identity.why}; or is it {others}?"[:500] if others else identity.why[:500]
