"""What SourcingAgent's method would buy off suppliers' lists, against a threshold on return, in the sandbox's market.

Each seed is a business with 90 days of sales behind it and a supplier's list of 80 lots before it; businesses differ in
how often goods come back, what parcels cost, how much is looked for. Buyers, rivals and their prices are those of the
sandbox. A third of the list was sold before; the rest is known by what rivals ask now. Cash is a third of the list.
Both rules see the same and pay the same fees (eBay's tables); the threshold buys what returns so much at the cheapest
rival's price after its usual parcel, best first. After 90 days what did not sell counts half its cost. Intervals are
bootstraps of paired differences. The method was looked at on seeds 0 to 11; it is judged on others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.intervals import wilson
from benchmarks.measuring import Report
from flipsync.learning.protocol import bootstrap
from flipsync.sandbox.buyers import choose, draw_buyer, stream, visits_per_day
from flipsync.sandbox.rivals import open_rivals, reprice
from flipsync.services.pricing.economics import UnitEconomics
from flipsync.services.pricing.fees import FeeTerm
from flipsync.services.quotes import fee_schedule
from flipsync.services.sourcing.lessons import GoodsSold, learn
from flipsync.services.sourcing.profit import Known, Wishes, outlook
from flipsync.services.sourcing.taught import Lessons
from flipsync.services.tenant_settings import PricingChoices

_FIRST_SEED, _DAYS, _GOODS, _LINES = 1000, 90, 60, 80
_THRESHOLDS = (0.2, 0.3, 0.5)
_RESTOCKED, _SALVAGE = 0.5, 0.5
#: as the owner's choices ship (services.tenant_settings)
_WISHES = Wishes(profit_minor=0, roi=0.0, chance=0.65, turn_days=_DAYS, turn_share=0.5)
_AT = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Trade:
    """How one business sells: the share of sales paid back, what a parcel costs, how much of the traffic is its own."""

    refunded: float
    parcel: float
    traffic: float

    @classmethod
    def of(cls, seed: int) -> Trade:
        rng = stream(seed, "business")
        return cls(rng.uniform(0.02, 0.2), rng.uniform(300, 900), 1 / rng.uniform(2, 8))


@dataclass
class Sold:
    """What became of goods on show: prices of units, the days they were for sale, the cheapest rival at the end."""

    prices: list[int]
    days: float
    cheapest: int
    offers: tuple[int, ...]


def trade(seed: int, time: str, sku: str, reference: int, floor: int, units: int) -> Sold:
    """Sell up to `units` for 90 days, a per cent below the cheapest rival and never under `floor`."""
    rng = stream(seed, time, sku)
    rivals = open_rivals(rng, reference)
    visits = visits_per_day(seed, "ebay", sku) * Trade.of(seed).traffic
    opening = min(rival.price_minor for rival in rivals)
    offers = tuple(rival.price_minor for rival in rivals)
    price, left, prices, cheapest = max(floor, round(opening * 0.99)), units, [], opening
    for day in range(_DAYS):
        for _ in range(3):
            rival = rng.choice(rivals)
            others = [each.price_minor for each in rivals if each is not rival]
            rival.price_minor = reprice(rng, rival, reference, price, others)
        cheapest = min(rival.price_minor for rival in rivals)
        price = max(floor, round(cheapest * 0.99))
        for _ in range(_poisson(rng, visits)):
            asked = [price, *(rival.price_minor for rival in rivals)]
            if left and choose(rng, draw_buyer(rng, reference), reference, asked) == 0:
                prices.append(price)
                left -= 1
        if not left:
            return Sold(prices, day + 1.0, cheapest, offers)
    return Sold(prices, float(_DAYS), cheapest, offers)


def _poisson(rng: Random, mean: float) -> int:
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


@dataclass(frozen=True)
class Line:
    """A lot on the list, with what both rules see of it, and what comes of it when it is bought."""

    cost: int
    units: int
    offers: tuple[int, ...]
    before: GoodsSold | None
    earns: int
    #: of a unit, on average of those sold; None when none was
    unit: float | None


def play(seed: int) -> tuple[list[Line], Lessons, list[FeeTerm]]:
    rng = stream(seed, "sourcing")
    business = Trade.of(seed)
    schedule = fee_schedule("ebay", "USD", PricingChoices())
    assert schedule is not None
    terms = list(schedule.terms(_AT))
    references = [round(rng.lognormvariate(math.log(4000), 0.6)) for _ in range(_GOODS + _LINES)]
    history = []
    for number in range(_GOODS):
        reference = references[number]
        sold = trade(seed, "before", f"old {number}", reference, round(reference * 0.55), rng.randint(4, 40))
        history.append(_as_books(sold, business, rng))
    parcels = [round(business.parcel * rng.lognormvariate(0, 0.2)) for _ in range(40)]
    lessons = learn(history, parcels_minor=parcels, usual_parcel_minor=round(business.parcel))
    lines = []
    for number in range(_LINES):
        again = number % 3 == 0
        reference = references[number % _GOODS if again else _GOODS + number]
        sku = f"old {number % _GOODS}" if again else f"new {number}"
        cost, units = round(reference * rng.uniform(0.3, 1.0)), rng.randint(4, 40)
        sold = trade(seed, "now", sku, reference, round(cost * 1.02), units)
        lines.append(_line(sold, cost, units, history[number % _GOODS] if again else None, terms, business, rng))
    return lines, lessons, terms


def _as_books(sold: Sold, business: Trade, rng: Random) -> GoodsSold:
    logs = np.log(np.array(sold.prices or [1], dtype=np.float64))
    goods, back = sum(sold.prices), sum(price for price in sold.prices if rng.random() < business.refunded)
    restocked = round(back / goods * len(sold.prices) * _RESTOCKED) if goods else 0
    count = len(sold.prices)
    return GoodsSold(
        *(count, float(logs.mean()), float(logs.var()), goods, back, restocked, sold.days, count),
        market_minor=min(sold.offers),
        listed_minor=None,
    )


def _net(price: int, cost: int, parcel: int, terms: list[FeeTerm]) -> int:
    return UnitEconomics(
        terms=terms, unit_cost=cost, shipping_cost=parcel, shipping_charged=0, tax_bps=1000, min_margin=0, margin_bps=0
    ).net(price)


def _line(
    sold: Sold, cost: int, units: int, before: GoodsSold | None, terms: list[FeeTerm], business: Trade, rng: Random
) -> Line:
    """Books what came of the lot: refunds cost the parcel both ways, what is not back on the shelf its cost too."""
    nets = []
    for price in sold.prices:
        parcel = round(business.parcel * rng.lognormvariate(0, 0.2))
        net = _net(price, cost, parcel, terms)
        if rng.random() < business.refunded:
            fees = price - parcel - cost - net
            net = -2 * parcel - round(fees * 0.1) - (0 if rng.random() < _RESTOCKED else cost)
        nets.append(net)
    unsold = units - len(sold.prices)
    earns = sum(nets) - round(unsold * cost * (1 - _SALVAGE))
    return Line(cost, units, sold.offers, before, earns, sum(nets) / len(nets) if nets else None)


def judged(lines: list[Line], lessons: Lessons, terms: list[FeeTerm]) -> tuple[Any, NDArray[np.float64]]:
    nan = float("nan")
    was = [line.before for line in lines]
    known = Known(
        own=np.array([b.mean_log if b is not None and b.units else nan for b in was]),
        units=np.array([float(b.units) if b is not None else 0.0 for b in was]),
        market=np.log(np.array([min(line.offers) for line in lines], dtype=np.float64)),
        listed=np.full(len(lines), nan),
        sold=np.array([float(b.ever_sold) if b is not None else 0.0 for b in was]),
        days=np.array([b.shown_days if b is not None else 0.0 for b in was]),
        lot=np.array([line.units for line in lines], dtype=np.int64),
    )
    found = outlook(known, lessons, terms, charged=0, tax_bps=1000, turn_days=_WISHES.turn_days)
    return found, np.array([line.cost for line in lines], dtype=np.float64)


def buys(lines: list[Line], order: list[int], cash: int) -> int:
    """What is earned by buying down the list until the cash is out."""
    earned = 0
    for place in order:
        price = lines[place].cost * lines[place].units
        if price <= cash:
            cash -= price
            earned += lines[place].earns
    return earned


def run(report: Report, *, quick: bool) -> None:
    seeds = 3 if quick else 40
    ours: list[float] = []
    by_threshold: dict[float, list[float]] = {each: [] for each in _THRESHOLDS}
    inside: dict[str, list[bool]] = {"lots it would buy": [], "the whole list": []}
    met = []
    for seed in range(_FIRST_SEED, _FIRST_SEED + seeds):
        lines, lessons, terms = play(seed)
        found, cost = judged(lines, lessons, terms)
        cash = sum(line.cost * line.units for line in lines) // 3
        fits = (cost <= found.most(_WISHES)) & (found.gone >= _WISHES.turn_share)
        worth = found.worth(cost)
        order = sorted(np.flatnonzero(fits).tolist(), key=lambda place: -worth[place])
        ours.append(buys(lines, order, cash) / cash)
        returns = [
            _net(min(line.offers), line.cost, round(lessons.shipping_minor), terms) / line.cost for line in lines
        ]
        for threshold, earned in by_threshold.items():
            wanted = [place for place in range(len(lines)) if returns[place] >= threshold]
            earned.append(buys(lines, sorted(wanted, key=lambda place: -returns[place]), cash) / cash)
        low, _, high = found.interval(cost)
        chance = found.chance(cost, _WISHES)
        for place, line in enumerate(lines):
            if line.unit is not None:
                held = bool(low[place] <= line.unit <= high[place])
                inside["the whole list"].append(held)
                inside["lots it would buy"] += [held] if fits[place] else []
                asked = max(_WISHES.profit_minor, _WISHES.roi * line.cost)
                met.append((float(chance[place]), line.unit >= asked))
    report.result["sourcing"] = _tell(report, ours, by_threshold, inside, met)


def _tell(
    report: Report,
    ours: list[float],
    by_threshold: dict[float, list[float]],
    inside: dict[str, list[bool]],
    met: list[tuple[float, bool]],
) -> dict[str, Any]:
    result: dict[str, Any] = {"seeds": len(ours), "ours": float(np.mean(ours))}
    for threshold, earned in by_threshold.items():
        gain = bootstrap(np.array(ours) - np.array(earned))
        result[f"threshold {threshold:.0%}"] = {
            "earned": float(np.mean(earned)),
            "gain": {"mean": gain.mean, "low": gain.low, "high": gain.high},
        }
        report.row(
            f"sourcing: profit on the cash, threshold {threshold:.0%}",
            f"{np.mean(ours):.3f} against {np.mean(earned):.3f}",
            f"gain {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] over {len(ours)} seeds",
        )
    for which, hits in inside.items():
        held = wilson(sum(hits), len(hits))
        result[f"80 % interval, {which}"] = held
        told = f"{held['share']:.3f} [{held['low']:.3f}, {held['high']:.3f}] of {held['of']}"
        report.row(f"sourcing: the 80 % interval holds, {which}", told, "")
    table = []
    for begin in (0.0, 0.2, 0.4, 0.6, 0.8):
        there = [
            (chance, right) for chance, right in met if begin <= chance < begin + 0.2 or chance == begin + 0.2 == 1
        ]
        if there:
            said, came = float(np.mean([c for c, _ in there])), float(np.mean([r for _, r in there]))
            table.append({"said": said, "came": came, "of": len(there)})
            report.row(f"sourcing: chance said {said:.2f}", f"came true {came:.2f}", f"of {len(there)}")
    result["chances"] = table
    return result
