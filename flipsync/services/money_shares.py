"""Money divided among those who could spend it, by what more of it would bring each: cash among suppliers, a month's
money for ads among accounts. Pure; the owner's totals stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from flipsync.domain.money import Money
from flipsync.intelligence.sharing import Step, divide, shares

#: nobody's share falls below this, so that what changes there can be seen, as long as all of that is no more than a
#: fifth; what is too little to move a share for
LEAST_BPS, ALL_LEAST_BPS, WORTH_BPS = 500, 2_000, 300
#: so many of a currency may have a share: whoever has none may have all
MOST = 200
_MONEY = "money"


@dataclass(frozen=True)
class Taker:
    """One who could spend of a limit: what is spent already, and steps that each use one resource, in minor units."""

    id: UUID
    name: str
    spent_minor: int
    steps: list[Step]


def taker(id_: UUID, name: str, spent_minor: int, steps: Sequence[Step]) -> Taker:
    """With steps as they are kept beside a decision: to the hundredth of a minor unit."""
    kept = [
        Step(each.count, round(each.value, 2), {of: max(0.01, round(use, 2)) for of, use in each.uses.items()})
        for each in steps
    ]
    return Taker(id_, name, spent_minor, [each for each in kept if each.value > 0])


@dataclass(frozen=True)
class MoneyReview:
    """Those of one currency. What their steps take is taken `times` over until the limit begins anew."""

    currency: str
    limit_minor: int
    times: float
    takers: list[Taker]


@dataclass(frozen=True)
class Told:
    """One taker's share and why: what a unit of money brings at its last step and at the next one it does not get."""

    taker: Taker
    share_bps: int
    takes: float
    brings: float
    last: float
    following: float


@dataclass(frozen=True)
class Shared:
    """`price` is what one more unit of money in all would bring; 0 where there is enough for everything worth it."""

    price: float
    told: list[Told]

    @property
    def shares_bps(self) -> dict[str, int]:
        return {str(each.taker.id): each.share_bps for each in self.told}


def share_out(review: MoneyReview) -> Shared:
    """The division that is worth most. Empty without takers, or where none has anything worth its money."""
    takers = {str(each.id): each for each in review.takers[:MOST]}
    steps = {name: [_of_money(step, review.times) for step in each.steps] for name, each in takers.items()}
    if not any(steps.values()):
        return Shared(0.0, [])
    left = review.limit_minor - sum(each.spent_minor for each in review.takers)
    found = divide(steps, {_MONEY: float(max(0, left))})
    taken = {name: found.taken[name].get(_MONEY, 0.0) for name in takers}
    parts = shares({name: each.spent_minor + taken[name] for name, each in takers.items()}, least_bps(len(takers)))
    return Shared(found.prices[_MONEY], [_told(takers[name], parts[name], steps[name], taken[name]) for name in takers])


def least_bps(takers: int) -> int:
    """The least share of one of so many."""
    return min(LEAST_BPS, ALL_LEAST_BPS // max(1, takers))


def _of_money(step: Step, times: float) -> Step:
    """What it brings and takes until the limit begins anew."""
    return Step(step.count, step.value * times, {_MONEY: sum(step.uses.values()) * times})


def _told(taker: Taker, share_bps: int, steps: list[Step], takes: float) -> Told:
    left, brings, last, following = takes, 0.0, 0.0, 0.0
    for step in sorted(steps, key=lambda each: -each.value / each.uses[_MONEY]):
        use, ratio = step.uses[_MONEY] * step.count, step.value / step.uses[_MONEY]
        if left <= 1e-6 * max(use, 1.0):
            following = ratio
            break
        part = min(1.0, left / use)
        brings, left, last = brings + part * step.value * step.count, left - part * use, ratio
    return Told(taker, share_bps, takes, brings, last, following)


def apart(wanted: Mapping[str, int], present: Mapping[str, int]) -> int:
    """By how much the share that differs most does; all of it where somebody has none yet."""
    if not wanted.keys() <= present.keys():
        return 10_000
    return max((abs(share - present[name]) for name, share in wanted.items()), default=0)


def words(review: MoneyReview, shared: Shared, what: str, period: str) -> str:
    """What is divided, and what one more hundred would bring."""
    hundred = Money(amount_minor=10_000, currency=review.currency)
    limit = Money(amount_minor=review.limit_minor, currency=review.currency)
    if shared.price <= 0:
        return f"{limit} {what} reach for all that is worth it"
    worth = Money(amount_minor=round(shared.price * hundred.amount_minor), currency=review.currency)
    return f"{limit} {what}: {hundred} more would bring {worth} {period}"


def why(each: Told, price: float) -> str:
    """Why this share, and what would change it."""
    told = f"{each.share_bps / 100:.0f} %: the last of it brings {each.last:.0%} of what it takes"
    if not each.takes:
        told = f"{each.share_bps / 100:.0f} %, the least: nothing there brings as much as elsewhere"
    if each.following <= 0:
        return f"{told}; more would bring nothing there"
    if price <= 0:
        return f"{told}; there is enough for everybody"
    short = price / each.following - 1
    if short <= 0:
        return f"{told}; the next bit brings as much as elsewhere: a little more money goes there"
    return f"{told}; more goes there when it earns {short:.0%} more than now ({each.following:.0%} of what it takes)"


def scores(each: Told) -> dict[str, float]:
    return {
        "share_bps": float(each.share_bps),
        "takes_minor": round(each.takes, 2),
        "brings_minor": round(each.brings, 2),
        "last_return": round(each.last, 4),
        "next_return": round(each.following, 4),
    }
