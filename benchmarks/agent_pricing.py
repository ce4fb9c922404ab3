"""PricingAgent in the sandbox's market, against prices that are held, match the cheapest, or undercut it by 1 %.

Each seed is a business with three goods on eBay for three weeks: the sandbox's buyers and rivals (two to four a good,
who follow, undercut or drift, and run out), eBay's published fees, the owner's costs. The owner's list prices are
guesses, 12 % about what buyers think the goods are worth. Of each there are 25 on the shelf, and more within a week.
Every hour rivals and sales are looked at; PricingAgent decides as it ships, its coordinators on what is above its
authority, and the price firewall has the last word. The baselines look as often and are never below the firewall's
floor; no other limit binds them. All three weeks count, those too in which the agent learns.

The same in worlds the sandbox does not have by itself: nobody else sells; list prices are a third too low or too high.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.executive.executive import ExecutiveAgent
from agents.market.market import MarketAgent
from agents.market.pricing import PricingAgent
from benchmarks.business import Business, Goods, draw_goods
from benchmarks.house import House, floor_of
from benchmarks.measuring import Report
from flipsync.domain.commands import ChangePrice
from flipsync.domain.events import OfferChanged, RivalsMoved
from flipsync.learning.protocol import bootstrap

_GOODS, _DAYS, _FIRST_SEED, _SEEDS = 3, 21, 700, 20


@dataclass(frozen=True)
class World:
    """How a market differs from the sandbox's own; `off` multiplies the owner's list prices, by turns up and down."""

    rivals: bool = True
    off: float = 1.0


WORLDS = {
    "the sandbox's market": World(),
    "nobody else sells": World(rivals=False),
    "list prices a third off": World(off=1.33),
}

#: of the cheapest rival in stock, the price to ask
Rule = Callable[[int], int]
BASELINES: dict[str, Rule | None] = {"held": None, "match lowest": lambda cheapest: cheapest}
BASELINES["undercut 1 %"] = lambda cheapest: round(cheapest * 0.99)


def goods_of(seed: int, world: World) -> list[Goods]:
    goods = draw_goods(seed, _GOODS, "ebay")
    return [
        replace(each, listed=round(each.listed * (world.off if each.number % 2 else 1 / world.off))) for each in goods
    ]


def opened(seed: int, world: World, goods: list[Goods]) -> Business:
    return Business(seed, goods, rivals=world.rivals)


def by_rule(seed: int, world: World, rule: Rule | None, days: int, goods: list[Goods] | None = None) -> float:
    """The profit of a rule, dollars; None holds every price where it begins."""
    business = opened(seed, world, goods or goods_of(seed, world))
    floors = {each: floor_of(business, business.price_row(each)) for each in business.offerings}
    for _ in range(days * 24):
        business.hour()
        if rule is None:
            continue
        for each in business.offerings.values():
            cheapest = business.cheapest(each.goods.sku)
            if cheapest is not None:
                business.price(each.id, max(rule(cheapest), floors[each.id]))
    business.close()
    return business.earned() / 100


async def _agent(seed: int, world: World, days: int, tally: Counter[str]) -> float:
    business = opened(seed, world, goods_of(seed, world))
    house = House(business, (PricingAgent(), MarketAgent(), ExecutiveAgent()))
    for _ in range(days * 24):
        happened = business.hour()
        for each in business.offerings.values():
            event: OfferChanged | None = None
            about = {"listing_id": each.id, "account_id": each.account_id, "vendor": each.channel}
            if each.goods.sku in happened.moved:
                event = RivalsMoved(**about)
            elif each.id in happened.sold:
                event = OfferChanged(**about, cause="sale")
            for command in await house.asked("pricing", event) if event else ():
                assert isinstance(command, ChangePrice)
                business.price(command.listing_id, command.price.amount_minor)
    business.close()
    tally.update(house.tally)
    return business.earned() / 100


def by_agent(seed: int, world: World, days: int, tally: Counter[str]) -> float:
    """The profit of PricingAgent, dollars."""
    return asyncio.run(_agent(seed, world, days, tally))


def run(report: Report, *, quick: bool) -> None:
    """Add this agent's lines to the report."""
    seeds, days = (2, 4) if quick else (_SEEDS, _DAYS)
    result: dict[str, Any] = {"seeds": seeds, "days": days}
    for name, world in WORLDS.items():
        tally: Counter[str] = Counter()
        profit: dict[str, list[float]] = {"agent": [], **{each: [] for each in BASELINES}}
        for seed in range(_FIRST_SEED, _FIRST_SEED + seeds):
            profit["agent"].append(by_agent(seed, world, days, tally))
            for each, rule in BASELINES.items():
                if world.rivals or rule is None:
                    profit[each].append(by_rule(seed, world, rule, days))
        told: dict[str, Any] = {"profit": profit, "tally": dict(tally)}
        ours = np.array(profit["agent"])
        for each in BASELINES:
            if not profit[each]:
                continue
            gain = bootstrap(ours - np.array(profit[each]))
            won = int((ours > np.array(profit[each])).sum())
            told[f"over {each}"] = {"mean": gain.mean, "low": gain.low, "high": gain.high, "won": won}
            words = f"{gain.low:,.0f} to {gain.high:,.0f} USD; more in {won} of {seeds}"
            mean = float(np.mean(profit[each]))
            share = f"{gain.mean:+,.0f} on {mean:,.0f}"
            report.row(f"pricing, {name}: profit over {each}", share, words)
        result[name] = told
    report.result["pricing"] = result
