"""How much to buy of everything at once. Pure; arrays (goods,), units and minor units of money.

Periodic review: what is free and on order has to last until a later order could arrive (lead time and review together).
Demand over that time is negative binomial: its mean is the forecast's, its variance has the weeks' own spread, how far
the forecast's level may be off, and the lead time's spread (Silver, Pyke and Thomas, "Inventory and Production
Management in Supply Chains", 6.10). The level s covers it with the newsvendor's chance margin / (margin + holding), for
as long as one order lasts; below it, goods are raised to S, which is s and what makes the work of a line worth while
(the economic order quantity). Where cash does not reach, each unit has to earn so much for its cost as well, the same
for all goods (the multiplier of the cash constraint, which is searched for): whatever is given up earns less for its
cost than anything that is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, erf

from flipsync.services.buying_rule import SHIPPED, Rule
from flipsync.services.forecasts import negative_binomial

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
#: nobody can tell chances nearer to one than that
_SUREST = 0.995
_WEEKS = 365 / 7
#: further looks ahead, in weeks, to reach what a supplier takes at least
_AHEAD = (1, 2, 3, 4, 6, 8)
_SEARCHED = 14
#: so many weeks of sales a forecast's level is believed to rest on, beside its own (services.forecasts)
_ALIKE = 4.0
#: a forecast's interval holds four weeks in five: so many standard deviations of a normal from edge to edge
INTERVAL_SPREADS = 2.5631


@dataclass(frozen=True)
class Goods:
    """What is known of each. `spread` is the standard deviation of a week's demand, `doubt` that of the forecast's own
    level; `position` is what is free or on order; `supplier` a place in the list of suppliers."""

    weekly: Array
    spread: Array
    doubt: Array
    position: Array
    margin: Array
    pack_units: Array
    pack_cost: Array
    least_units: Array
    lead_days: Array
    lead_spread: Array
    supplier: Ints

    @property
    def cost(self) -> Array:
        """Of one unit."""
        return self.pack_cost / self.pack_units


@dataclass(frozen=True)
class Terms:
    """`holding` is a year's cost of keeping goods, as a share of theirs."""

    review_days: float = 7.0
    holding: float = 0.3
    line_cost: float = 200.0
    most_cover_days: float = 180.0


@dataclass(frozen=True)
class Plan:
    """Units to buy of each; the levels s and S, the chance that s covers what may be asked for, and what a unit of
    money has to earn at least (`dearness`; 0: cash reaches for everything). `below` are suppliers whose least order is
    not reached, or that cash is not left for."""

    units: Ints
    level: Array
    up_to: Array
    service: Array
    dearness: float
    below: frozenset[int]


def goods_of(
    *,
    weekly: Array,
    variance: Array,
    weeks_on_shelf: Array,
    position: Array,
    margin: Array,
    pack_units: Array,
    pack_cost: Array,
    least_units: Array,
    lead_days: Array,
    lead_spread: Array,
    supplier: Ints,
) -> Goods:
    """What is known, from a forecast's weekly level, the variance of a week by its interval, and the weeks it rests on.

    The one place where figures become what a rule looks at: the running system and the simulator that trains come here.
    """
    weekly = np.maximum(weekly, 0.0)
    return Goods(
        weekly=weekly,
        spread=np.sqrt(np.maximum(variance, weekly)),
        doubt=np.sqrt(weekly / (weeks_on_shelf + _ALIKE)),
        position=position,
        margin=margin,
        pack_units=pack_units,
        pack_cost=pack_cost,
        least_units=least_units,
        lead_days=lead_days,
        lead_spread=lead_spread,
        supplier=supplier,
    )


def runs_low(goods: Goods) -> Bools:
    """Whether it may run out before an order placed now arrives: then no pause between orders is kept."""
    return np.asarray(goods.position < goods.weekly * goods.lead_days / 7)


def plan(
    goods: Goods,
    terms: Terms,
    *,
    least_order: Array,
    cash: float | None = None,
    rule: Rule = SHIPPED,
    step: float = 0.0,
) -> Plan:
    """The orders of all suppliers; `least_order` is each one's, `cash` what all together may cost.

    Raises ValueError for a `step` outside [0, 1].
    """
    if not 0 <= step <= 1:
        raise ValueError(f"a step of {step} is not a share between 0 and 1")

    def wanted(dearness: float) -> tuple[Ints, Array, Array, Array]:
        return _wanted(goods, terms, dearness, rule, step)

    dearness = 0.0
    units, level, up_to, service = wanted(dearness)
    if cash is not None and _worth(goods, units) > cash:
        low, high = 0.0, 0.05
        while _worth(goods, wanted(high)[0]) > cash and high < 1e6:
            low, high = high, high * 4
        for _ in range(_SEARCHED):
            middle = (low + high) / 2
            low, high = (middle, high) if _worth(goods, wanted(middle)[0]) > cash else (low, middle)
        dearness = high
        units, level, up_to, service = wanted(dearness)
        units = _filled(goods, units, wanted(low)[0], cash - _worth(goods, units))
    patience = rule.patience if step > 0 else 0.0
    units, below = _at_least(goods, terms, units, level, up_to, least_order, cash, patience)
    return Plan(units, level, up_to, service, dearness, below)


def plan_shares(
    goods: Goods, terms: Terms, *, least_order: Array, cash: Array, rule: Rule = SHIPPED, step: float = 0.0
) -> tuple[Plan, list[float]]:
    """The orders of all suppliers where each may spend its own part of the cash; and each one's dearness."""
    count = len(goods.weekly)
    units, level, up_to, service = np.zeros(count, dtype=np.int64), np.zeros(count), np.zeros(count), np.zeros(count)
    below, dearness = set(), []
    for at, own in enumerate(cash):
        theirs = goods.supplier == at
        alone = Goods(**{name: values[theirs] for name, values in vars(goods).items()})
        alone = replace(alone, supplier=np.zeros(int(theirs.sum()), dtype=np.int64))
        least = least_order[at : at + 1]
        found = plan(alone, terms, least_order=least, cash=float(own), rule=rule.of(theirs), step=step)
        units[theirs], level[theirs], up_to[theirs] = found.units, found.level, found.up_to
        service[theirs] = found.service
        below |= {at} if found.below else set()
        dearness.append(found.dearness)
    return Plan(units, level, up_to, service, max(dearness, default=0.0), frozenset(below)), dearness


def _wanted(goods: Goods, terms: Terms, dearness: float, rule: Rule, step: float) -> tuple[Ints, Array, Array, Array]:
    """Units to buy, s, S and the service, when cash is so dear."""
    mean, variance = ahead(goods, terms)
    level, up_to, service = _levels(goods, terms, dearness, SHIPPED)
    if rule is not SHIPPED and step > 0:
        theirs = _levels(goods, terms, dearness, rule)
        bought = level > 0  # what the rule as shipped buys none of, nobody buys
        level, up_to = (
            np.where(bought, np.clip(wished, *_within(each, step)), each)
            for wished, each in zip(theirs[:2], (level, up_to), strict=True)
        )
        chance = mean / variance
        covers = betainc(mean * chance / (1 - chance), level + 1, chance)
        service = np.where(bought, np.where(level > 0, covers, 0.0), service)
    return _in_packs(goods, terms, np.where(goods.position < level, up_to, -np.inf), mean), level, up_to, service


def _within(shipped: Array, step: float) -> tuple[Array, Array]:
    """The least and the most whole units that a step from so many leads to."""
    return np.ceil(shipped * (1 - step)), np.floor(shipped * (1 + step))


def levels_within(goods: Goods, terms: Terms, dearness: float, step: float) -> tuple[Array, Array]:
    """Between which a learned rule's level s has to be, when cash is so dear."""
    return _within(_levels(goods, terms, dearness, SHIPPED)[0], step)


def _levels(goods: Goods, terms: Terms, dearness: float, rule: Rule) -> tuple[Array, Array, Array]:
    """s, S and the chance that s covers, by the rule."""
    review = terms.review_days / 7
    weekly = np.maximum(goods.weekly, 0.0)
    mean, variance = ahead(goods, terms, rule)
    keeping = goods.cost * (terms.holding / _WEEKS)  # a unit for a week
    # work that is saved by a larger order has to earn what the cash in it would earn elsewhere until the next review
    batch = np.sqrt(2 * terms.line_cost * weekly / np.maximum(keeping + goods.cost * dearness / review, 1e-9))
    cycle = np.maximum(review, np.maximum(batch, goods.least_units) / np.maximum(weekly, 1e-9))
    cycle = np.minimum(cycle, terms.most_cover_days / 7)
    worth = goods.margin - goods.cost * dearness
    service = np.minimum(worth / np.maximum(goods.margin + keeping * cycle * rule.holding, 1e-9), _SUREST)
    earns = (worth > 0) & (weekly > 0)
    service = np.where(earns, service, 0.0)
    level = np.zeros(len(weekly))
    if earns.any():
        chance = mean[earns] / variance[earns]
        shape = mean[earns] * chance / (1 - chance)
        level[earns] = negative_binomial(service[earns], shape, chance)
    extra = np.maximum(np.rint(batch * rule.batch - weekly * review), 0.0)
    return level, level + np.where(earns, extra, 0.0), service


def ahead(goods: Goods, terms: Terms, rule: Rule = SHIPPED) -> tuple[Array, Array]:
    """Mean and variance of what is asked for until a later order could arrive."""
    weeks = (goods.lead_days + terms.review_days * rule.review) / 7
    mean = np.maximum(goods.weekly, 1e-9) * weeks
    variance = (
        weeks * (goods.spread * rule.spread) ** 2
        + (weeks * goods.doubt * rule.doubt) ** 2
        + (np.maximum(goods.weekly, 0.0) * goods.lead_spread * rule.lead / 7) ** 2
    )
    return mean, np.maximum(variance, mean * 1.001)


def _in_packs(goods: Goods, terms: Terms, up_to: Array, mean: Array) -> Ints:
    """Whole packs that raise each to its level, at least what is sold at once; none where that would lie too long."""
    lacking = up_to - goods.position
    packs = np.ceil(np.maximum(lacking, 0.0) / goods.pack_units)
    packs = np.maximum(packs, np.where(lacking > 0, np.ceil(goods.least_units / goods.pack_units), 0.0))
    room = mean + goods.weekly * terms.most_cover_days / 7 - goods.position
    most = np.floor(np.maximum(room, 0.0) / goods.pack_units)
    packs = np.minimum(packs, most)
    enough = packs * goods.pack_units >= goods.least_units
    return np.asarray(np.where((lacking > 0) & enough, packs * goods.pack_units, 0.0), dtype=np.int64)


def _filled(goods: Goods, units: Ints, more: Ints, left: float) -> Ints:
    """What cash is left buys of goods that are given up all at once, since one multiplier is too dear and the next too
    cheap for them: whole packs, where a unit earns most for its cost first."""
    units = units.copy()
    lacking = np.flatnonzero(more > units)
    for at in lacking[np.argsort(-(goods.margin / goods.cost)[lacking], kind="stable")]:
        packs = min((more[at] - units[at]) // goods.pack_units[at], left // goods.pack_cost[at])
        if packs > 0 and units[at] + packs * goods.pack_units[at] >= goods.least_units[at]:
            units[at] += int(packs * goods.pack_units[at])
            left -= float(packs * goods.pack_cost[at])
    return units


def _at_least(
    goods: Goods,
    terms: Terms,
    units: Ints,
    level: Array,
    up_to: Array,
    least_order: Array,
    cash: float | None,
    patience: float | Array,
) -> tuple[Ints, frozenset[int]]:
    """Suppliers that take no order so small are asked for what is needed later too, or for nothing.

    `patience` is that of each good's rule; of one supplier's goods it is the same.
    """
    below = set()
    mean, _ = ahead(goods, terms)
    waits = np.broadcast_to(np.asarray(patience, dtype=np.float64), goods.weekly.shape)
    sums = _of_suppliers(goods, units, len(least_order))
    for each in np.flatnonzero((sums > 0) & (sums < least_order)):
        theirs = goods.supplier == each
        for weeks in _AHEAD:
            further = np.where(theirs & (level > 0), up_to + goods.weekly * weeks, -np.inf)
            more = np.where(theirs, np.maximum(_in_packs(goods, terms, further, mean), units), units)
            reached = _of_suppliers(goods, more, len(least_order))[each] >= least_order[each]
            if reached and (cash is None or _worth(goods, more) <= cash):
                if waits[theirs][0] > 0 and not _presses(goods, terms, units * theirs, more * theirs, waits):
                    units = np.where(theirs, 0, units)
                    below.add(int(each))
                else:
                    units = more
                break
        else:
            units = np.where(theirs, 0, units)
            below.add(int(each))
    return units, frozenset(below)


def _presses(goods: Goods, terms: Terms, units: Ints, more: Ints, patience: Array) -> bool:
    """Whether the margin that would be missed without `units` outweighs the keeping of what else is in `more`."""
    missed = (short(goods, terms, np.zeros(len(units))) - short(goods, terms, units)) * goods.margin
    extra = np.maximum(more - units, 0)
    weeks = np.maximum(extra / np.maximum(goods.weekly, 1e-9), 1.0)  # for so long the next order comes later
    keeping = extra * goods.cost * (terms.holding / _WEEKS) * weeks * patience
    return bool(missed.sum() >= keeping.sum())


def short(goods: Goods, terms: Terms, units: Ints | Array) -> Array:
    """Units that are asked for and not there until a later order could arrive, expected."""
    mean, variance = ahead(goods, terms)
    return expected_short(goods.position + units, mean, np.sqrt(variance))


def expected_short(there: Array, mean: Array, spread: Array) -> Array:
    """Units that are asked for and not there (normal loss function)."""
    z = (there - mean) / spread
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    above = 0.5 * (1 - erf(z / np.sqrt(2)))
    return np.asarray(np.maximum(spread * (density - z * above), 0.0))


def _worth(goods: Goods, units: Ints) -> float:
    return float((units / goods.pack_units * goods.pack_cost).sum())


def _of_suppliers(goods: Goods, units: Ints, count: int) -> Array:
    worth = units / goods.pack_units * goods.pack_cost
    return np.bincount(goods.supplier, weights=worth, minlength=count).astype(np.float64)
