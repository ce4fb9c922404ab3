"""The agents together against rules alone: profit after all fees of a business in the sandbox's market.

Each seed is a business with two goods on eBay. For two weeks it is run by rules: list prices, which are guesses
(25 % about what buyers think the goods are worth); four weeks' sales ordered whenever what is there and on its way
falls below what the lead time and a week more should sell, a quarter on top; no ads. Then, for three weeks, either the
rules go on (without ads, or with every listing advertised at 5 %), or PricingAgent, AutoPricingAgent,
AutoInventoryAgent and AdvertisingAgent decide on what happens, hour by hour, with MarketAgent and ExecutiveAgent above
them, arbitration and the price firewall (`benchmarks.house`), on forecasts as DemandAgent has them made. The supplier
takes seven days, more or less. Both meet the same visitors, rivals and delays.

Profit is what orders leave after eBay's published fees, ads, goods, parcels and returns, less keeping goods (30 % of
their cost a year) and 2.00 for each line of a delivery. Goods left over are worth what they cost, in both.

Not in it: several channels (nothing to share out, place or transfer), listings' words, labels, refunds decided on. The
owner says yes at once to whatever is asked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from agents.executive.executive import ExecutiveAgent
from agents.logistics.auto_inventory import AutoInventoryAgent
from agents.logistics.auto_pricing import AutoPricingAgent
from agents.market.advertising import AdvertisingAgent
from agents.market.market import MarketAgent
from agents.market.pricing import PricingAgent
from benchmarks.business import TENANT, Business, Happened, draw_goods
from benchmarks.fleet_books import LEAD, Books, nothing_sent
from benchmarks.house import House
from benchmarks.measuring import Report
from flipsync.domain.advertising import AdsRead, AdvertisedStockTurned, SetAdRate
from flipsync.domain.commands import ChangePrice, Command
from flipsync.domain.events import CycleStarted, Event, OfferChanged, RepricingDue, RivalsMoved
from flipsync.domain.purchase_commands import PlacePurchaseOrder, PlanPurchases
from flipsync.domain.purchase_events import PurchaseDue
from flipsync.learning.protocol import bootstrap

_GOODS, _BEFORE, _DAYS, _FIRST_SEED, _SEEDS = 2, 14, 21, 900, 20
_GUESS, _BUFFER, _BATCH_DAYS, _AD_BPS = 0.25, 1.25, 28, 500
_HOLDING, _LINE_MINOR = 0.30, 200


@dataclass(frozen=True)
class Arm:
    """Who decides on what; rules on the rest. `ads`: the rate of the rules' own."""

    pricing: bool = False
    buying: bool = False
    advertising: bool = False
    ads: int = 0


FLEET = Arm(pricing=True, buying=True, advertising=True)
RULES = {"rules": Arm(), "rules with ads at 5 %": Arm(ads=_AD_BPS)}
PARTS = {
    "without pricing": Arm(buying=True, advertising=True),
    "without buying": Arm(pricing=True, advertising=True),
    "without advertising": Arm(pricing=True, buying=True),
}


class Run:
    """One business under one arm."""

    def __init__(self, seed: int, arm: Arm) -> None:
        goods = draw_goods(seed, _GOODS, "ebay", guess=_GUESS)
        units = {each.sku: 40 for each in goods}
        self.arm, self.business = arm, Business(seed, goods, units=units, ads=arm.advertising, restock_days=LEAD)
        self.books = Books(self.business)
        agents = (PricingAgent(), AutoPricingAgent(), AutoInventoryAgent(), AdvertisingAgent())
        self.house = House(self.business, (*agents, MarketAgent(), ExecutiveAgent()))
        self.house.desks = {
            "purchasing": SimpleNamespace(review=self.books.review, plan=self.books.plan),
            "transfers": SimpleNamespace(review=nothing_sent),
            "advertising": SimpleNamespace(review=self.books.look_at_ads, goods=self.books.goods_of_ads),
        }
        self.kept = 0.0
        (self.account,) = self.business.accounts.values()
        self.listings = {each.goods.sku: each.id for each in self.business.offerings.values()}

    async def play(self, days: int) -> tuple[float, Counter[str]]:
        """Dollars of profit in the days after `_BEFORE`, and what was counted on the way."""
        before = 0.0
        for day in range(_BEFORE + days):
            if day == _BEFORE:
                before = self.profit()
                if self.arm.ads:
                    self.business.advertise(dict.fromkeys(self.listings, self.arm.ads))
            for _ in range(24):
                happened = self.business.hour()
                turned = self.books.hour()
                if day >= _BEFORE:
                    await self.on_hour(happened, turned)
            self.books.close_day()
            self.kept += sum(
                max(0, units) * self.business.goods[sku].cost for sku, units in self.books.stock.items()
            ) * (_HOLDING / 365)
            if day >= _BEFORE:
                await self.on_day()
            if not (self.arm.buying and day >= _BEFORE):
                self.reorder()
        told = self.profit() - before
        self.house.tally["units left"] = sum(self.books.stock.values())
        self.business.close()
        return told, self.house.tally

    def profit(self) -> float:
        return (self.business.earned() - self.kept - self.books.lines * _LINE_MINOR) / 100

    def reorder(self) -> None:
        """The rule: a fixed buffer by what the first weeks sold."""
        known = self.books.days[:_BEFORE]
        wanted = {}
        for sku in self.listings:
            usual = max(0.05, sum(each[sku][0] for each in known) / len(known))
            position = self.books.stock[sku] + self.books.on_order(sku)
            if len(known) >= 7 and position <= usual * (LEAD + 7) * _BUFFER:
                wanted[sku] = max(1, round(usual * _BATCH_DAYS))
        if wanted:
            self.books.order(wanted)

    async def on_hour(self, happened: Happened, turned: list[str]) -> None:
        for sku, listing_id in self.listings.items():
            about = {"listing_id": listing_id, "account_id": self.account, "vendor": "ebay"}
            if not self.arm.pricing:
                break
            if sku in happened.moved:
                await self.tell("pricing", RivalsMoved(**about))
            elif listing_id in happened.sold:
                await self.tell("pricing", OfferChanged(**about, cause="sale"))
        for sku in turned if self.arm.advertising else ():
            item = self.business.goods[sku].item_id
            units = max(0, self.books.stock[sku])
            await self.tell("advertising", AdvertisedStockTurned(stock_item_id=item, available=units))
        if self.arm.buying:
            await self.tell("auto_inventory", CycleStarted(tenant_id=TENANT, cycle="hourly"))

    async def on_day(self) -> None:
        if self.arm.pricing:
            await self.tell("auto_pricing", RepricingDue(tenant_id=TENANT))
        if self.arm.advertising:
            told = sum(each.rate_bps > 0 for each in self.books.ads.values())
            await self.tell("advertising", AdsRead(account_id=self.account, vendor="ebay", advertised=told))
        if self.arm.buying:
            await self.tell("auto_inventory", CycleStarted(tenant_id=TENANT, cycle="daily"))

    async def tell(self, agent: str, event: Event) -> None:
        for command in await self.house.asked(agent, event):
            await self.carry_out(command)

    async def carry_out(self, command: Command) -> None:
        match command:
            case ChangePrice():
                self.business.price(command.listing_id, command.price.amount_minor)
            case PlanPurchases():
                for supplier in command.suppliers:
                    await self.tell("auto_inventory", PurchaseDue(supplier_id=supplier, urgent=command.urgent))
            case PlacePurchaseOrder():
                self.books.place(command)
            case SetAdRate():
                self.books.advertise(command)
            case _:
                raise AssertionError(f"nobody carries {command.type_name()} out here")


def run(report: Report, *, quick: bool) -> None:
    """Add the fleet's lines to the report."""
    seeds, days = (2, 7) if quick else (_SEEDS, _DAYS)
    arms = {"fleet": FLEET, **RULES, **({} if quick else PARTS)}
    profit: dict[str, list[float]] = {name: [] for name in arms}
    tally: Counter[str] = Counter()
    for seed in range(_FIRST_SEED, _FIRST_SEED + seeds):
        for name, arm in arms.items():
            told, counted = asyncio.run(Run(seed, arm).play(days))
            profit[name].append(told)
            if arm is FLEET:
                tally.update(counted)
    result: dict[str, Any] = {"seeds": seeds, "days": days, "profit": profit, "tally": dict(tally)}
    ours = np.array(profit["fleet"])
    for name in arms:
        if name == "fleet":
            continue
        gain = bootstrap(ours - np.array(profit[name]))
        won = int((ours > np.array(profit[name])).sum())
        result[f"over {name}"] = {"mean": gain.mean, "low": gain.low, "high": gain.high, "won": won}
        words = f"{gain.low:+,.0f} to {gain.high:+,.0f} USD; more in {won} of {seeds}"
        report.row(f"fleet: profit over {name}", f"{gain.mean:+,.0f} on {np.mean(profit[name]):,.0f}", words)
    report.result["fleet"] = result
