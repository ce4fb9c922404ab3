"""Which ad rate each listing should have: the one that is expected to leave most, within the owner's limits. Pure.

Profit a day at rate r: units sold * margin after all fees - units sold by ads * fee of the ad. Sales are limited by the
units there are for the days ahead: what sells out anyway needs no ad. To learn, a week's choice of a listing that has
had few days of ads is the best rate of one draw of what it may be like (Thompson, Biometrika 25, 1933), as long as
that is not expected to cost more than a small share of what the listing earns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flipsync.services.advertising.response import Learned, Seen, Shop, posterior, shop_of
from flipsync.store.repositories.advertising import LEAST_BPS

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

#: listings whose curves are in memory at a time
_AT_ONCE = 1_000
#: steps above the channel's least rate
STEP_BPS = 50
#: days that the units in hand are looked at for
AHEAD_DAYS = 7.0
#: what a draw may be expected to cost, as a share of what the listing earns without ads; and until it has had so many
#: days of ads: what differs between listings is soon seen, and to go on trying costs more than it teaches
_CURIOSITY, _TRIED_DAYS = 0.005, 21.0
#: what is too little to change a rate for: steps, and share of what it earns
_WORTH_BPS, _WORTH = 100, 0.01


@dataclass(frozen=True)
class Candidate:
    """A listing to choose a rate for; amounts in minor units for one unit sold.

    `margin` is what a sale leaves without an ad, `fee` what an ad of 100 % would cost, `most_bps` the highest rate that
    leaves what a sale has to leave. `units` there are to sell.
    """

    key: str
    seen: tuple[Seen, ...]
    margin: int
    most_bps: int
    fee: int
    units: int
    rate_bps: int = 0


@dataclass(frozen=True)
class Choice:
    """A rate for a listing. By day: `profit` it is expected to leave, `before` at the present rate, `idle` without an
    ad, `fees` of ads. `chance` that it leaves more than the present rate; `drawn`: chosen to learn."""

    rate_bps: int
    profit: float
    before: float
    idle: float
    fees: float
    chance: float
    drawn: bool
    curve: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Curves:
    """By listing, rate and point of the grid: profit a day; by listing and rate: its mean and the mean of fees."""

    rates: tuple[int, ...]
    profit: Array
    mean: Array
    fees: Array


def curves(candidates: Sequence[Candidate], learned: Learned, most_bps: int) -> Curves:
    import numpy as np

    rates = (0, *range(LEAST_BPS, most_bps + 1, STEP_BPS))
    on = learned.grid
    share = np.stack([on.seen_share(rate) if rate else np.zeros_like(on.reach) for rate in rates])
    figures = [(each.margin, each.fee, each.units, each.most_bps) for each in candidates]
    margin, fee, units, top = np.array(figures, dtype=np.float64).T
    shape = (len(candidates), len(rates), len(on.reach))
    profit, mean, fees = np.zeros(shape), np.zeros(shape[:2]), np.zeros(shape[:2])
    for at, rate in enumerate(rates):
        sold = learned.rates * (1.0 + on.lift * share[at])
        by_ads = learned.rates * (on.lift + on.own) * share[at]
        there = np.minimum(1.0, (units / AHEAD_DAYS)[:, None] / np.maximum(sold, 1e-12))
        charged = by_ads * there * (fee * rate / 10_000)[:, None]
        profit[:, at] = sold * there * margin[:, None] - charged
        mean[:, at] = (learned.weights * profit[:, at]).sum(axis=1)
        fees[:, at] = (learned.weights * charged).sum(axis=1)
        if rate:
            mean[:, at] = np.where((rate <= top) & (units > 0), mean[:, at], -np.inf)
    return Curves(rates, profit, mean, fees)


def choose(candidates: Sequence[Candidate], most_bps: int, week: str) -> list[Choice]:
    """A choice for each, of candidates that are a whole shop. `week` names the draw: the same for all looks of it."""
    shop = shop_of([each.seen for each in candidates])
    parts = (candidates[at : at + _AT_ONCE] for at in range(0, len(candidates), _AT_ONCE))
    return [choice for part in parts for choice in _choose(part, shop, most_bps, week)]


def _choose(candidates: Sequence[Candidate], shop: Shop, most_bps: int, week: str) -> list[Choice]:
    import numpy as np

    learned = posterior([each.seen for each in candidates], shop)
    found = curves(candidates, learned, most_bps)
    choices = []
    for row, each in enumerate(candidates):
        mean, profit, weights = found.mean[row], found.profit[row], learned.weights[row]
        best = int(mean.argmax())
        drawn_at = _drawn(each.key, week, weights)
        drawn = int(np.where(np.isfinite(mean), profit[:, drawn_at], -np.inf).argmax())
        tried = sum(days.days for days in each.seen if days.rate_bps)
        curious = drawn != best and tried < _TRIED_DAYS and mean[drawn] >= mean[best] - _CURIOSITY * abs(mean[0])
        chosen = drawn if curious else best
        now = int(np.abs(np.array(found.rates) - each.rate_bps).argmin())
        if _stays(found.rates[chosen], each.rate_bps, mean[chosen] - mean[now], mean[0], curious=curious):
            chosen, curious = now, False
        shown = [at for at in range(len(found.rates)) if np.isfinite(mean[at]) and (at % 2 == 0 or at == chosen)]
        choices.append(
            Choice(
                rate_bps=each.rate_bps if chosen == now else found.rates[chosen],
                profit=float(mean[chosen]),
                before=float(profit[now] @ weights),
                idle=float(mean[0]),
                fees=float(found.fees[row, chosen]),
                chance=float(weights[profit[chosen] > profit[now]].sum()),
                drawn=curious,
                curve=tuple((found.rates[at], round(float(mean[at]), 1)) for at in shown),
            )
        )
    return choices


def _stays(wanted: int, now: int, gain: float, idle: float, *, curious: bool) -> bool:
    """Whether a change is too small to make. Whoever may not be advertised any more is not asked."""
    if wanted == now:
        return True
    if bool(wanted) == bool(now) and abs(wanted - now) < _WORTH_BPS:
        return gain < float("inf")
    return not curious and gain < _WORTH * abs(idle)


def _drawn(key: str, week: str, weights: Array) -> int:
    """A point of the grid, drawn as likely as it is."""
    import numpy as np

    digest = hashlib.sha256(f"{key}|{week}".encode()).digest()
    place = int.from_bytes(digest[:7]) / float(1 << 56)
    return min(int(np.searchsorted(np.cumsum(weights), place)), len(weights) - 1)


def within(choices: Sequence[Choice], money: float) -> list[bool]:
    """Which of the ads may run on `money` a day: those first that earn most for what they cost."""
    allowed = [each.rate_bps == 0 for each in choices]
    worth = [(each.profit - each.idle) / max(each.fees, 1e-9) for each in choices]
    left = money
    for at in sorted(range(len(choices)), key=lambda at: (-worth[at], at)):
        if not allowed[at] and choices[at].fees <= left:
            allowed[at], left = True, left - choices[at].fees
    return allowed
