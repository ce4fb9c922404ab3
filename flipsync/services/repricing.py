"""What of a whole catalogue should move: arrays find it, and only the surest moves are worked out with their reasons.

The same prices as `quotes.quotes_from` gives one by one, which is asked where policies of the registry look on or try
things, where a directive binds a listing, and for figures that arrays cannot hold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from flipsync.domain.decisions import PolicyChoice
from flipsync.domain.directives import Directive, bearing
from flipsync.domain.money import Money
from flipsync.services.policy_choice import Staged
from flipsync.services.pricing.fees import MAX_AMOUNT
from flipsync.services.quotes import (
    ListingQuote,
    ceiling_of,
    fee_schedule,
    is_priced,
    quotes_from,
)
from flipsync.services.tenant_settings import PricingChoices
from flipsync.store.repositories.pricing import PriceRow

if TYPE_CHECKING:
    from flipsync.services.pricing.batch import QuoteArrays
    from flipsync.services.pricing.batch_economics import Ints

#: so many moves are told with their reasons
TOLD = 50
#: columns are as wide as the longest past among so many listings
_AT_ONCE = 10_000


@dataclass(frozen=True)
class PriceMove:
    """A price that should change, and the chance that this earns more than staying. `why` is empty where many are
    surer."""

    listing_id: UUID
    account_id: UUID
    sku: str
    current: Money
    best: Money
    confidence: float
    units_on_offer: int
    why: str = ""

    @classmethod
    def of(cls, each: ListingQuote) -> PriceMove:
        told = each.quote
        return cls(
            each.listing_id,
            each.account_id,
            each.sku,
            told.current,
            told.best,
            told.confidence,
            each.units_on_offer,
            told.reason,
        )


@dataclass(frozen=True)
class Repricing:
    """`looked_at` counts the listings that prices are chosen for; `choices` are what policies of the registry made of
    them, `directives` what binds some."""

    looked_at: int
    moves: list[PriceMove]
    choices: tuple[PolicyChoice, ...] = ()
    directives: tuple[Directive, ...] = ()


def repricing_from(
    rows: Sequence[PriceRow],
    choices: PricingChoices,
    now: datetime,
    staged: Staged,
    directives: Sequence[Directive] = (),
) -> Repricing:
    """What should move of those of the listings that are on sale, have a price, and are not priced by hand.

    Raises what `quotes_from` raises for a listing whose amounts are in several currencies, or higher than a price may
    be.
    """
    priced = [
        row
        for row in rows
        if row.current_minor is not None and row.published_at is not None and is_priced(row, choices, now)
    ]
    plain = staged.plain and not choices.exploration_bps
    one_by_one = [row for row in priced if not plain or _is_odd(row, choices) or _is_bound(row, now, directives)]
    quotes = quotes_from(one_by_one, choices, now, staged, directives)
    moves = [PriceMove.of(each) for each in quotes if each.quote.best != each.quote.current]
    apart = {row.listing_id for row in one_by_one}
    alike: defaultdict[tuple[str, str], list[PriceRow]] = defaultdict(list)
    for row in priced:
        if row.listing_id not in apart:
            alike[row.vendor, row.currency].append(row)
    for together in alike.values():
        for first in range(0, len(together), _AT_ONCE):
            moves += _moves_of(together[first : first + _AT_ONCE], choices, now, staged)
    place = {row.listing_id: number for number, row in enumerate(priced)}
    moves.sort(key=lambda move: place[move.listing_id])
    return Repricing(
        len(priced),
        _with_reasons(moves, {row.listing_id: row for row in priced}, choices, now, staged),
        tuple(choice for each in quotes for choice in each.choices),
        tuple({each.directive.id: each.directive for each in quotes if each.directive is not None}.values()),
    )


def columns_of(rows: Sequence[PriceRow], choices: PricingChoices, now: datetime) -> QuoteArrays:
    """`quotes.request_for` of each row, as arrays; rows of one vendor and currency that have a price."""
    import numpy as np  # heavy, and wanted once an hour

    from flipsync.services.pricing.batch import BLANK, QuoteArrays
    from flipsync.services.pricing.batch_history import padded, past_of

    def known(amounts: Sequence[int | None]) -> Ints:
        return np.array([BLANK if each is None else each for each in amounts], dtype=np.int64)

    def alike(amount: int) -> Ints:
        return np.full(len(rows), amount, dtype=np.int64)

    return QuoteArrays(
        current=known([row.current_minor for row in rows]),
        unit_cost=known([row.cost_minor for row in rows]),
        shipping_cost=alike(choices.shipping_cost_minor),
        shipping_charged=alike(choices.shipping_charged_minor),
        tax_bps=alike(choices.tax_bps),
        floor=known([row.floor_minor for row in rows]),
        ceiling=known([ceiling_of(row, choices) for row in rows]),
        min_margin=alike(0),
        margin_bps=alike(choices.min_margin_bps),
        step_up_bps=alike(choices.max_step_up_bps),
        step_down_bps=alike(choices.max_step_down_bps),
        stock=known([row.entitled for row in rows]),
        restock_days=np.array([row.restock_days or np.inf for row in rows], dtype=np.float64),
        rivals=padded(
            [[rival.price_minor for rival in row.rivals if rival.in_stock and rival.price_minor > 0] for row in rows],
            BLANK,
            np.int64,
        ),
        **past_of(rows, now),
    )


def _moves_of(rows: Sequence[PriceRow], choices: PricingChoices, now: datetime, staged: Staged) -> list[PriceMove]:
    """Of rows of one vendor and currency, under the one live rule."""
    from flipsync.services.pricing.batch import quote_batch

    fees = fee_schedule(rows[0].vendor, rows[0].currency, choices)
    quotes = quote_batch(columns_of(rows, choices, now), fees, staged.live.rule.settings, now)
    moves = []
    for place in quotes.moves.nonzero()[0].tolist():
        row, best = rows[place], int(quotes.best[place])
        assert row.current_minor is not None
        if best != row.current_minor:
            moves.append(
                PriceMove(
                    row.listing_id,
                    row.account_id,
                    row.sku,
                    Money(amount_minor=row.current_minor, currency=row.currency),
                    Money(amount_minor=best, currency=row.currency),
                    float(quotes.confidence[place]),
                    row.entitled,
                )
            )
    return moves


def _with_reasons(
    moves: list[PriceMove], rows: dict[UUID, PriceRow], choices: PricingChoices, now: datetime, staged: Staged
) -> list[PriceMove]:
    """The surest that have no reason yet are looked at one by one, which also has the last word about them."""
    surest = sorted(moves, key=lambda move: -move.confidence)[:TOLD]
    wanted = [rows[move.listing_id] for move in surest if not move.why]
    told = {each.listing_id: PriceMove.of(each) for each in quotes_from(wanted, choices, now, staged)}
    final = [told.get(move.listing_id, move) for move in moves]
    return [move for move in final if move.best != move.current]


def _is_odd(row: PriceRow, choices: PricingChoices) -> bool:
    amounts = (row.current_minor, row.cost_minor, row.floor_minor, ceiling_of(row, choices))
    return row.variant_currency != row.currency or any(each is not None and abs(each) > MAX_AMOUNT for each in amounts)


def _is_bound(row: PriceRow, now: datetime, directives: Sequence[Directive]) -> bool:
    return any(
        bearing(directives, now, kind, row.account_id, row.category) is not None
        for kind in ("hold-prices", "clear-stock")
    )
