"""Rivals of a listing, read from what they were seen to ask: how each answers our price, and when to be alarmed. Pure.

A rival's reaction is the least-squares line of the logarithm of its price on that of ours `lag` hours earlier, over the
moments it moved; the lag is the one that explains most. Alarms name the observations they rest on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import log, sqrt
from typing import Literal
from uuid import UUID

from flipsync.domain.money import Money

Kind = Literal["matcher", "undercutter", "fixed", "random", "unknown"]
Alarm = Literal["price-war", "hijack"]

_LAGS = (0, 1, 2, 4, 8, 12, 24)
#: moves below which nothing is said of a rival, and how sure of the slope (in its standard errors) an answer has to be
_FEWEST_MOVES, _SURE = 5, 2.0
#: a rival that answers moves at least half as far as we do; one that undercuts stays this far below us on average
_ANSWERS, _BELOW = 0.5, 0.005
#: a price that stays within this is fixed
_STILL = 0.005
#: a war: within the window both sides went down in turn this often, each by a step that counts, and this far in all
_WAR_WINDOW, _WAR_TURNS, _WAR_STEP, _WAR_FALL = timedelta(hours=48), 6, 0.004, 0.06
#: a hijacker: never seen before this long ago, among offers watched for longer, this far under our price and our cost
_NEW, _WATCHED, _HIJACK_BELOW = timedelta(hours=48), timedelta(hours=72), 0.75


@dataclass(frozen=True)
class Seen:
    """What a rival asked from `at` on, in minor units of the listing's currency."""

    seller: str
    price_minor: int
    in_stock: bool
    at: datetime
    #: its row in the books, where it is in them
    id: UUID | None = None


@dataclass(frozen=True)
class Ours:
    """Our own price from `at` on."""

    price_minor: int
    at: datetime


@dataclass(frozen=True)
class Reaction:
    """How a rival answers: `slope` per cent for each per cent of ours, `lag_hours` later, give or take `error`."""

    seller: str
    kind: Kind
    moves: int
    slope: float = 0.0
    error: float = 0.0
    lag_hours: int = 0
    gap: float = 0.0


@dataclass(frozen=True)
class Raised:
    """An alarm with the observations it rests on."""

    alarm: Alarm
    why: str
    evidence: tuple[Seen, ...]


def rival_set(seen: Sequence[Seen]) -> list[str]:
    """Who competes now: sellers whose latest offer can be bought, cheapest first."""
    latest = {each.seller: each for each in sorted(seen, key=lambda each: each.at)}
    return [each.seller for each in sorted(latest.values(), key=lambda e: (e.price_minor, e.seller)) if each.in_stock]


def reaction(seller: str, seen: Sequence[Seen], ours: Sequence[Ours]) -> Reaction:
    """How one rival answers our price; `unknown` while too little was seen to say."""
    mine = sorted((each for each in seen if each.seller == seller and each.in_stock), key=lambda each: each.at)
    asked = sorted(ours, key=lambda each: each.at)
    moments = [each.at for each in asked]
    prices = [each.price_minor for each in mine]
    if len(mine) < _FEWEST_MOVES:
        return Reaction(seller, "unknown", len(mine))
    if max(prices) <= min(prices) * (1 + _STILL):
        return Reaction(seller, "fixed", len(mine))
    best: tuple[float, Reaction] | None = None
    for lag in _LAGS:
        pairs = [
            (log(asked[at - 1].price_minor), log(each.price_minor))
            for each in mine
            if (at := bisect_right(moments, each.at - timedelta(hours=lag)))  # 0: before the first that is known
        ]
        line = _line(pairs)
        if line is None:
            continue
        slope, error, left = line
        gap = sum(theirs - own for own, theirs in pairs) / len(pairs)
        answers = slope >= _ANSWERS and slope >= _SURE * error
        kind: Kind = ("undercutter" if gap <= -_BELOW else "matcher") if answers else "random"
        if best is None or left < best[0]:
            best = (left, Reaction(seller, kind, len(pairs), slope, error, lag, gap))
    return best[1] if best is not None else Reaction(seller, "unknown", len(mine))


def alarms(
    seen: Sequence[Seen], ours: Sequence[Ours], now: datetime, cost_minor: int | None, currency: str
) -> list[Raised]:
    """What an owner should know of at once. `seen` and `ours` are what is known up to `now`, in any order."""
    known = sorted((each for each in seen if each.at <= now), key=lambda each: each.at)
    own = sorted((each for each in ours if each.at <= now), key=lambda each: each.at)
    found = [war for war in (_war(known, own, now),) if war is not None]
    hijack = _hijack(known, own, now, cost_minor, currency)
    return [*found, hijack] if hijack is not None else found


def _war(seen: Sequence[Seen], ours: Sequence[Ours], now: datetime) -> Raised | None:
    """One rival and we, going down in turn."""
    since = now - _WAR_WINDOW
    offers: defaultdict[str, list[Seen]] = defaultdict(list)
    for each in seen:
        if each.in_stock:
            offers[each.seller].append(each)
    for seller, theirs in sorted(offers.items()):
        downs: list[tuple[datetime, str, int, Seen | None]] = [
            (new.at, "they", new.price_minor, new)
            for old, new in pairwise(theirs)
            if new.at >= since and new.price_minor <= old.price_minor * (1 - _WAR_STEP)
        ]
        downs += [
            (new.at, "we", new.price_minor, None)
            for old, new in pairwise(ours)
            if new.at >= since and new.price_minor <= old.price_minor * (1 - _WAR_STEP)
        ]
        downs.sort(key=lambda each: each[0])
        turns = sum(first[1] != second[1] for first, second in pairwise(downs))
        before = [each.price_minor for each in theirs if each.at < since][-1:] or [e.price_minor for e in theirs[:1]]
        last = theirs[-1].price_minor
        own_before = [each.price_minor for each in ours if each.at < since][-1:]
        we_fell = bool(own_before) and ours[-1].price_minor <= own_before[0] * (1 - _WAR_FALL)
        if turns >= _WAR_TURNS and we_fell and before and last <= before[0] * (1 - _WAR_FALL):
            rows = tuple(each[3] for each in downs if each[3] is not None)
            fall = 1 - last / before[0]
            hours = _WAR_WINDOW.total_seconds() / 3600
            return Raised(
                "price-war",
                f"{seller} and we went down in turn {turns} times in {hours:.0f} hours, {seller} by {fall:.0%}",
                rows,
            )
    return None


def _hijack(
    seen: Sequence[Seen], ours: Sequence[Ours], now: datetime, cost_minor: int | None, currency: str
) -> Raised | None:
    """Somebody nobody knew, far below what the goods cost: such an offer is seldom of the same goods."""
    if not seen or not ours or now - min(seen[0].at, ours[0].at) < _WATCHED:
        return None  # at first everybody is new
    limit = ours[-1].price_minor * _HIJACK_BELOW
    limit = min(limit, cost_minor) if cost_minor is not None else limit
    latest = {each.seller: each for each in seen}
    first = {each.seller: each.at for each in reversed(seen)}
    for seller, offer in sorted(latest.items()):
        if offer.in_stock and now - first[seller] <= _NEW and offer.price_minor < limit:
            why = (
                f"{seller}, not seen before {first[seller]:%Y-%m-%d %H:%M}, asks "
                f"{Money(amount_minor=offer.price_minor, currency=currency)}: "
                f"below {Money(amount_minor=int(limit), currency=currency)}"
            )
            return Raised("hijack", why, (offer,))
    return None


def _line(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float] | None:
    """Slope, its standard error, and the mean square left over; None where our own price hardly moved."""
    n = len(pairs)
    if n < _FEWEST_MOVES:
        return None
    middle_x, middle_y = (sum(pair[axis] for pair in pairs) / n for axis in (0, 1))
    square = sum((x - middle_x) ** 2 for x, _ in pairs)
    if square < n * (_STILL / 2) ** 2:
        return None
    slope = sum((x - middle_x) * (y - middle_y) for x, y in pairs) / square
    left = sum((y - middle_y - slope * (x - middle_x)) ** 2 for x, y in pairs) / (n - 2)
    return slope, sqrt(left / square), left
