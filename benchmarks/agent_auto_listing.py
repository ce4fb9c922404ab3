"""Listing new stock: AutoListingAgent's rules against “list everywhere at list price”, on drawn goods and buyers.

Each seed is one owner with 60 goods priced by his own markups and 60 new ones: a third without a list price, some whose
barcode cannot be (more often than not another article than it says), a few wrong ones that nothing gives away. The fees
are the published tariffs of three vendors, buyers the sandbox's. What is right: on sale, as what it is, on just those
channels where a sale earns. A question to the owner takes 4 to 48 hours and is answered by the truth; so are prices the
rules are not sure of. Thirty days; a wrong article comes back, and costs two parcels and a third of its worth.

The baseline cannot list what has no list price: profit is told for all goods, and apart for those that have one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from statistics import median
from typing import Any
from uuid import UUID

from benchmarks.intervals import wilson
from benchmarks.measuring import Report
from flipsync.domain.ids import new_id
from flipsync.learning.protocol import bootstrap
from flipsync.runtime.agent import Authority
from flipsync.sandbox.buyers import choose, draw_buyer, stream, visits_per_day
from flipsync.services.catalogue.units import check_digit
from flipsync.services.new_stock import doubts, list_price
from flipsync.services.pricing.economics import UnitEconomics
from flipsync.services.quotes import fee_schedule
from flipsync.services.tenant_settings import PricingChoices
from flipsync.store.repositories.new_stock import Markups, ProductRow, VariantRow

#: the vendor whose tariff it has, and the sandbox's channel whose buyers come
_CHANNELS = {"amazon": "amazon", "ebay": "ebay", "woocommerce": "woo"}
_GOODS, _NEW, _DAYS, _FIRST_SEED = 60, 60, 30, 500
_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_CHOICES = PricingChoices()
_CATEGORIES = ("Toys", "Tools", "Books")


@dataclass(frozen=True)
class Thing:
    """A new article. `worth` is what buyers usually pay; `honest`: it is what its line says."""

    row: VariantRow
    category: str
    worth: int
    honest: bool


def draw(seed: int) -> tuple[list[Thing], dict[str, list[float]]]:
    """The new goods, and the owner's markups by category."""
    rng = Random(f"new stock {seed}")
    usual = {category: rng.uniform(1.5, 2.6) for category in _CATEGORIES}
    markups: dict[str, list[float]] = {category: [] for category in _CATEGORIES}
    for _ in range(_GOODS):
        category = rng.choice(_CATEGORIES)
        markups[category].append(usual[category] * rng.lognormvariate(0, 0.12))
    things = []
    for number in range(_NEW):
        category = rng.choice(_CATEGORIES)
        worth = round(rng.lognormvariate(8.2, 0.6))
        cost = max(100, round(worth / usual[category] * rng.lognormvariate(0, 0.25)))
        priced = rng.random() < 0.65
        payload = f"{rng.randrange(10**11, 10**12)}"
        broken = rng.random() < 0.08
        digit = check_digit(payload)
        code = payload + (str((int(digit) + 1) % 10) if broken else digit)
        row = VariantRow(
            id=UUID(int=number + 1),
            sku=f"N-{number}",
            barcode=code,
            options={},
            currency="USD",
            price_minor=round(cost * usual[category] * rng.lognormvariate(0, 0.08)) if priced else None,
            cost_minor=cost,
            weight_grams=None,
            condition=None,
            units=rng.randint(2, 6),
        )
        honest = rng.random() >= (0.6 if broken else 0.02)
        things.append(Thing(row, category, worth, honest))
    return things, markups


def economics(vendor: str, cost: int) -> UnitEconomics:
    fees = fee_schedule(vendor, "USD", _CHOICES)
    assert fees is not None
    return UnitEconomics(
        terms=fees.terms(_NOW),
        unit_cost=cost,
        shipping_cost=_CHOICES.shipping_cost_minor,
        tax_bps=_CHOICES.tax_bps,
        margin_bps=_CHOICES.min_margin_bps,
    )


@dataclass(frozen=True)
class Listed:
    """What a rule did with one article: its price, the channels it is on, and the hours until it was."""

    price: int | None
    on: frozenset[str]
    hours: float


def everywhere(thing: Thing) -> Listed:
    if thing.row.price_minor is None:
        return Listed(None, frozenset(), 0.0)
    return Listed(thing.row.price_minor, frozenset(_CHANNELS), 0.0)


def as_agent(thing: Thing, markups: dict[str, list[float]], rng: Random, authority: Authority) -> Listed:
    """The agent's own rules, in the order of its parts."""
    hours = 0.1
    product = ProductRow(new_id(), f"{thing.category} article {thing.row.sku}", "", None, thing.category, 0, True)
    if doubts(product, [thing.row], (), ()):
        hours += rng.uniform(4, 48)
        if not thing.honest:
            return Listed(None, frozenset(), hours)
    price = thing.row.price_minor
    if price is None:
        near = markups[thing.category]
        of_all = [each for some in markups.values() for each in some]
        known = Markups(len(near), median(near) if near else None, len(of_all), median(of_all))
        found = list_price(thing.row, known, [(vendor, "USD") for vendor in _CHANNELS], _CHOICES, _NOW)
        if found is None:
            return Listed(None, frozenset(), hours)
        price = found.price.amount_minor
        if found.confidence < authority.auto_above:
            hours += rng.uniform(4, 48)
    assert thing.row.cost_minor is not None
    earning = {vendor for vendor in _CHANNELS if economics(vendor, thing.row.cost_minor).net(price) > 0}
    return Listed(price, frozenset(earning), hours)


def sell(seed: int, thing: Thing, listed: Listed) -> int:
    """What it earns in thirty days, minor units: the same buyers come whatever the rule."""
    if listed.price is None or not listed.on:
        return 0
    assert thing.row.cost_minor is not None
    left, earned = thing.row.units, 0
    visits = []
    for vendor, channel in _CHANNELS.items():
        rng = stream(seed, "new stock buyers", vendor, thing.row.sku)
        at = 0.0
        rate = visits_per_day(seed, channel, thing.row.sku) / 12  # type: ignore[arg-type]
        while (at := at + rng.expovariate(rate)) < _DAYS:
            visits.append((at, vendor, draw_buyer(rng, thing.worth), Random(rng.random())))
    for at, vendor, buyer, dice in sorted(visits, key=lambda each: each[0]):
        if not left or vendor not in listed.on or at * 24 < listed.hours:
            continue
        rivals = [round(thing.worth * dice.uniform(0.95, 1.2)) for _ in range(dice.randint(0, 2))]
        if choose(dice, buyer, thing.worth, [listed.price, *rivals]) != 0:
            continue
        if thing.honest:
            left -= 1
            earned += economics(vendor, thing.row.cost_minor).net(listed.price)
        else:
            earned -= 2 * _CHOICES.shipping_cost_minor + thing.row.cost_minor // 3
    return earned


def right(thing: Thing, listed: Listed) -> bool:
    """Live on just those channels where a sale earns; what is not what it says, on none."""
    if not thing.honest:
        return not listed.on
    assert thing.row.cost_minor is not None
    price = listed.price or thing.row.price_minor or thing.worth
    return listed.on == {vendor for vendor in _CHANNELS if economics(vendor, thing.row.cost_minor).net(price) > 0}


def run(report: Report, *, quick: bool) -> None:
    """Add this agent's lines to the report."""
    from agents.logistics.auto_listing import AutoListingAgent

    seeds = 3 if quick else 24
    gains: dict[str, list[float]] = {"all": [], "priced": []}
    profits: dict[str, list[float]] = {"agent": [], "baseline": []}
    hits = {"agent": 0, "baseline": 0}
    hours: list[float] = []
    for seed in range(_FIRST_SEED, _FIRST_SEED + seeds):
        things, markups = draw(seed)
        dice = stream(seed, "answers")
        made = [
            (thing, as_agent(thing, markups, dice, AutoListingAgent.spec.authority), everywhere(thing))
            for thing in things
        ]
        earned = [(thing, sell(seed, thing, ours), sell(seed, thing, base)) for thing, ours, base in made]
        hits["agent"] += sum(right(thing, ours) for thing, ours, _ in made)
        hits["baseline"] += sum(right(thing, base) for thing, _, base in made)
        hours += [ours.hours for _, ours, _ in made if ours.on]
        profits["agent"].append(sum(ours for _, ours, _ in earned) / 100)
        profits["baseline"].append(sum(base for _, _, base in earned) / 100)
        gains["all"].append(sum(ours - base for _, ours, base in earned) / 100)
        gains["priced"].append(
            sum(ours - base for thing, ours, base in earned if thing.row.price_minor is not None) / 100
        )
    total = seeds * _NEW
    shares = {name: wilson(count, total) for name, count in hits.items()}
    for name, share in shares.items():
        told = f"{share['share']:.3f} [{share['low']:.3f}, {share['high']:.3f}] of {total}"
        report.row(f"auto listing: right channels, {name}", told, f"profit {sum(profits[name]) / seeds:,.0f} a seed")
    result: dict[str, Any] = {"seeds": seeds, "goods": total, "right": shares, "profit": profits}
    for name, values in gains.items():
        gain = bootstrap(values)
        result[f"gain {name}"] = {"mean": gain.mean, "low": gain.low, "high": gain.high}
        told = f"{gain.mean:+,.0f} [{gain.low:+,.0f}, {gain.high:+,.0f}]"
        report.row(f"auto listing: profit over the baseline, {name} goods", told, "USD a seed, paired")
    late = sorted(hours)
    result["hours_to_live"] = {"median": median(late), "p90": late[int(len(late) * 0.9)]}
    report.row(
        "auto listing: hours to live", f"median {median(late):.1f}", f"p90 {late[int(len(late) * 0.9)]:.1f}; baseline 0"
    )
    report.result["auto_listing"] = result
