"""The sandbox's market as a simulator: the very buyers and rivals that `flipsync.sandbox` serves, without HTTP.

A run is a market of its own with `GOODS` goods on the marketplace that has no vendor (channel `custom`), enough of each
on the shelf. A period is a day of market time; an action is the day's price of each good, as a share of what it usually
costs, and is asked in whole minor units. Observation, for each good in turn: our price and the cheapest rival's in
stock, both as such shares (a rival's is 0 without one), and the units sold that day. Reward: the day's revenue less the
marketplace's fee and the cost of what was sold, in minor units.

The market goes from event to event and so do runs, one after another: what is side by side is what comes of them.
"""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np

from flipsync.learning.simulator import Array, Ints, Simulator
from flipsync.sandbox.books import Books
from flipsync.sandbox.clock import MarketClock
from flipsync.sandbox.market import Market
from flipsync.sandbox.orderbook import MARKETPLACE_FEE, OrderBook
from flipsync.sandbox.records import Channel, Listing

GOODS, DAYS = 4, 30
CHANNEL: Channel = "custom"
#: 2026-03-02T14:00:00Z, a Monday morning on the market
BEGIN_MS = 1_772_460_000_000
_DAY_SECONDS, _SHELF = 86_400.0, 1_000_000
_LEAST, _MOST = 0.3, 3.0


class OneMarket:
    """One market in memory. `usual` is what buyers think goods are worth, minor units; SKUs are S0, S1, …"""

    def __init__(self, seed: int, usual: Ints, *, rivals: bool = True) -> None:
        self.books = Books(":memory:", MarketClock("virtual", BEGIN_MS))
        self.market = Market(self.books, OrderBook(self.books, "USD"), seed, ZoneInfo("America/New_York"))
        self.market.configure({"rivals": rivals})
        self.skus = [f"S{number}" for number in range(len(usual))]
        for sku, minor in zip(self.skus, usual.tolist(), strict=True):
            self.market.set_reference_price(sku, minor)

    def price(self, minor: Ints) -> None:
        """What is asked from now on, (goods,); the first time goods are put on sale."""
        with self.books.transaction():
            for sku, asked in zip(self.skus, minor.tolist(), strict=True):
                listing = self.books.listing_by_sku(CHANNEL, sku)
                now = self.books.clock.now_ms()
                if listing is None:
                    listing = Listing(self.books.next_id(), CHANNEL, sku, sku, "active", asked, _SHELF, 0, now, now)
                    self.books.add_listing(listing, "simulated")
                elif listing.price_minor != asked:
                    self.books.save_listing(replace(listing, price_minor=asked))

    def day(self) -> Ints:
        """A day passes; units sold of each good, (goods,)."""
        before = self.books.clock.now_ms()
        self.market.pass_time(_DAY_SECONDS)
        sold = dict.fromkeys(self.skus, 0)
        for order in self.books.orders("placed_ms > ?", (before,)):
            for line in order.lines:
                sold[line.sku] += line.quantity
        return np.array(list(sold.values()), dtype=np.int64)

    def cheapest(self) -> Ints:
        """The cheapest rival's price of each good that is in stock, minor units; 0 without one."""
        shown = [[r.price_minor for r in self.market.rival_offers(sku) if r.in_stock] for sku in self.skus]
        return np.array([min(prices, default=0) for prices in shown], dtype=np.int64)

    def offers(self, most: int) -> Ints:
        """Prices of up to `most` rivals in stock for each good, (goods, most), minor units; 0 where there are fewer."""
        shown = np.zeros((len(self.skus), most), dtype=np.int64)
        for row, sku in zip(shown, self.skus, strict=True):
            prices = [r.price_minor for r in self.market.rival_offers(sku) if r.in_stock][:most]
            row[: len(prices)] = prices
        return shown

    def close(self) -> None:
        self.books.close()


class SandboxMarket(Simulator):
    """See the module. `usual` and `cost` are (runs, goods), minor units, drawn at `reset`."""

    def __init__(self, goods: int = GOODS, horizon: int = DAYS, *, rivals: bool = True) -> None:
        super().__init__()
        self.horizon, self.action_size, self.observation_size = horizon, goods, 3 * goods
        self.rivals = rivals
        self.markets: list[OneMarket] = []
        self.usual, self.cost = np.zeros((0, goods), dtype=np.int64), np.zeros((0, goods), dtype=np.int64)

    def action_bounds(self) -> tuple[Array, Array]:
        return np.full(self.action_size, _LEAST), np.full(self.action_size, _MOST)

    def asked(self, actions: Array) -> Ints:
        """Prices in minor units, (runs, goods)."""
        held = np.clip(actions, *self.action_bounds())
        return np.maximum(np.rint(held * self.usual), 1).astype(np.int64)

    def _begin(self) -> Array:
        self.close()
        shape = (self.runs, self.action_size)
        self.usual = self.rng.integers(1_000, 6_000, shape)
        self.cost = np.rint(self.usual * self.rng.uniform(0.4, 0.7, shape)).astype(np.int64)
        self.markets = [
            OneMarket(seed, usual, rivals=self.rivals) for seed, usual in zip(self._seeds(), self.usual, strict=True)
        ]
        for market, usual in zip(self.markets, self.usual, strict=True):
            market.price(usual)
        return self._seen(np.ones(shape), np.zeros(shape))

    def _move(self, actions: Array) -> tuple[Array, Array]:
        asked = self.asked(actions)
        sold = np.zeros_like(asked)
        for run, market in enumerate(self.markets):
            market.price(asked[run])
            sold[run] = market.day()
        earned = sold * (asked * (1 - MARKETPLACE_FEE) - self.cost)
        return self._seen(asked / self.usual, sold.astype(np.float64)), earned.sum(axis=1)

    def _seen(self, price: Array, sold: Array) -> Array:
        rivals = np.stack([market.cheapest() for market in self.markets]) / self.usual
        return np.stack([price, rivals, sold], axis=2).reshape(self.runs, -1)

    def close(self) -> None:
        """Let go of the markets; `reset` opens new ones."""
        for market in self.markets:
            market.close()
        self.markets = []
