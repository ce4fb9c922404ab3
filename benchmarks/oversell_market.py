"""Shops whose channels hear of each other's sales late: demand, delays with long tails and breakdowns, cancellations.

What a shop is like is drawn here and not told to FlipSync, which has to learn it from what sold and how long writes
took. Popularity is log-normal, and so are the channels' parts in it, which differ from goods to goods: neither is as
FlipSync believes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flipsync.services.channel_delay import BELIEVED_SHOWN, BELIEVED_TOLD, points_of
from flipsync.services.channel_pace import BELIEVED_SECONDS, BELIEVED_SHAPE, Pace
from flipsync.services.demand import fit_demand

DAY = 86_400.0
HORIZON = 30 * DAY
Array = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True)
class Delay:
    """Seconds: log-normal about `median`, and with the chance `down` the rest of a breakdown, `outage` on average."""

    median: float
    spread: float
    down: float
    outage: float

    def draw(self, rng: Rng, count: int | tuple[int, ...]) -> Array:
        usual = self.median * np.exp(self.spread * rng.standard_normal(count))
        broken = rng.random(count) < self.down
        return usual + broken * rng.exponential(self.outage, count)


@dataclass(frozen=True)
class Shop:
    """`level` is how many sales a second goods of middling popularity bring on a channel of weight 1."""

    level: float
    spread: float
    weights: tuple[float, ...]
    told: tuple[Delay, ...]
    shown: tuple[Delay, ...]

    def rates(self, rng: Rng, count: int) -> Array:
        """(goods, channel)."""
        wanted = self.level * np.exp(self.spread * rng.standard_normal(count))
        apart = np.exp(0.4 * rng.standard_normal((count, len(self.weights))))
        return np.asarray(wanted[:, None] * np.array(self.weights) * apart)


def shops(rng: Rng, count: int) -> list[Shop]:
    """From shops that sell a piece in two months to drops that go in minutes; two to four channels."""
    made = []
    for number in range(count):
        channels = 2 + number % 3
        slow = np.exp(rng.uniform(np.log(1.0), np.log(240.0), channels))
        made.append(
            Shop(
                level=float(np.exp(rng.uniform(np.log(1 / (30 * DAY)), np.log(1 / 1800.0)))),
                spread=float(rng.uniform(0.6, 1.4)),
                weights=tuple(np.exp(rng.uniform(-1, 1, channels)).tolist()),
                told=tuple(Delay(float(each), 1.0, 0.004, 2400.0) for each in slow / 4),
                shown=tuple(Delay(float(each), 1.2, 0.006, 3600.0) for each in slow),
            )
        )
    return made


def learned(shop: Shop, rng: Rng, goods: int = 4000, sales: int = 4000) -> list[Pace]:
    """What FlipSync would have measured: single units on all channels, until they sold or for a month."""
    rates = shop.rates(rng, goods)
    waits = np.minimum(rng.exponential(1.0, goods) / rates.sum(1), HORIZON)
    where = (rng.random((goods, 1)) < np.cumsum(rates / rates.sum(1, keepdims=True), 1)).argmax(1)
    channels = len(shop.weights)
    items = np.repeat(np.arange(goods), channels)
    at = np.tile(np.arange(channels), goods)
    sold = (at == np.repeat(where, channels)) & (np.repeat(waits, channels) < HORIZON)
    demand = fit_demand(
        items.tolist(),
        at.tolist(),
        sold.astype(float).tolist(),
        np.repeat(waits, channels).tolist(),
        shape=BELIEVED_SHAPE,
        mean=BELIEVED_SHAPE / BELIEVED_SECONDS,
        count=channels,
    )
    return [
        Pace(
            points_of(shop.told[channel].draw(rng, sales).tolist(), BELIEVED_TOLD),
            points_of(shop.shown[channel].draw(rng, sales).tolist(), BELIEVED_SHOWN),
            demand.weights[channel],
            demand.goods,
            sales,
        )
        for channel in range(channels)
    ]


def next_sale(shop: Shop, units: int, quantities: Sequence[int], rng: Rng, goods: int) -> tuple[int, int]:
    """Goods of so many units shown like that: how many had a sale within the month, and with how many of them more were
    sold than there are before all channels knew of it."""
    shown = np.array(quantities)
    rates = shop.rates(rng, goods) * (shown > 0)
    with np.errstate(divide="ignore"):
        waits = rng.exponential(1.0, rates.shape) / rates
    first, in_time = waits.argmin(1), waits.min(1) < HORIZON
    told = np.stack([each.draw(rng, goods) for each in shop.told], 1)[np.arange(goods), first]
    late = told[:, None] + np.stack([each.draw(rng, goods) for each in shop.shown], 1)
    left = np.repeat(shown[None, :], goods, axis=0)
    left[np.arange(goods), first] -= 1
    more = np.minimum(rng.poisson(np.minimum(rates * late, 1e9)), left).sum(1)
    return int(in_time.sum()), int((in_time & (1 + more > units)).sum())


#: units in our books, what sold and the seconds on show by channel, and units told sold within the hour → what to show
Policy = Callable[[int, Sequence[int], Sequence[float], int], Sequence[int]]


@dataclass
class Story:
    """One kind of goods: who comes when, and how late everything is, the same for every policy."""

    units: int
    arrivals: list[tuple[float, int]]
    cancels: list[float]  # by sale: how long after it, or infinity
    told: list[list[float]]
    shown: list[list[float]]


@dataclass
class Outcome:
    """Orders the channels took, those of them nothing was left for, and those that buyers took back."""

    orders: int = 0
    oversold: int = 0
    cancelled: int = 0

    @property
    def kept(self) -> int:
        return self.orders - self.oversold - self.cancelled


def stories(shop: Shop, rng: Rng, goods: int) -> list[Story]:
    """Seven of ten are single units."""
    rates = shop.rates(rng, goods)
    units = rng.choice([1, 2, 3, 5, 8], goods, p=[0.7, 0.1, 0.08, 0.07, 0.05])
    made = []
    for rate, count in zip(rates, units.tolist(), strict=True):
        most = 20 * count + 40
        times = np.cumsum(rng.exponential(1 / rate.sum(), most))
        who = rng.choice(len(rate), most, p=rate / rate.sum())
        sales = 4 * count + 20
        told = np.stack([each.draw(rng, sales) for each in shop.told])
        shown = np.stack([each.draw(rng, sales) for each in shop.shown])
        cancels = np.where(rng.random(sales) < 0.03, rng.exponential(6 * 3600.0, sales), np.inf)
        inside = times < HORIZON
        made.append(
            Story(
                count,
                list(zip(times[inside].tolist(), who[inside].tolist(), strict=True)),
                cancels.tolist(),
                told.T.tolist(),
                shown.T.tolist(),
            )
        )
    return made


def play(story: Story, channels: int, policy: Policy, *, reviews: bool = False, late: bool = True) -> Outcome:
    """The month as it goes. Writes to a channel follow one another, and read our books when they leave, as the effect
    worker does. `reviews`: the policy is asked again an hour after each sale. Not `late`: all is known at once.
    """
    books = left = story.units
    wanted = list(policy(books, [0] * channels, [0.0] * channels, 0))
    entitled, shelf, since, busy = list(wanted), list(wanted), [0.0] * channels, [0.0] * channels
    sold_on, on_show = [0] * channels, [0.0] * channels
    recent: list[float] = []
    queue: list[tuple[float, int, str, int]] = []
    done, writes, turn = Outcome(), 0, 0

    def later(time: float, what: str, channel: int = 0) -> None:
        nonlocal turn
        turn += 1
        heapq.heappush(queue, (time, turn, what, channel))

    def put(channel: int, time: float, units: int) -> None:
        if shelf[channel] > 0:
            on_show[channel] += time - since[channel]
        since[channel] = time
        shelf[channel] = units

    def decide(time: float) -> None:
        nonlocal writes
        seen = [shown + (time - begun if on else 0.0) for shown, begun, on in zip(on_show, since, shelf, strict=True)]
        hour = sum(time - each < 3600.0 for each in recent)
        wanted[:] = policy(books, sold_on, seen, hour) if books > 0 else [0] * channels
        delays = story.shown[writes % len(story.shown)]
        writes += 1
        for channel in range(channels):
            if entitled[channel] != wanted[channel]:
                entitled[channel] = wanted[channel]
                busy[channel] = max(busy[channel], time + delays[channel] * late)
                later(busy[channel], "write", channel)

    for time, buyer in [*story.arrivals, (HORIZON, -1)]:
        while queue and queue[0][0] <= time:
            when, _, what, channel = heapq.heappop(queue)
            if what == "write":
                put(channel, when, min(wanted[channel], max(0, books)))
                continue
            if what == "told":
                books -= 1
                sold_on[channel] += 1
                entitled[channel] = max(0, entitled[channel] - 1)
                recent.append(when)
                if reviews:
                    later(when + 3600.0, "review")
            elif what == "cancelled":
                books, left = books + 1, left + 1
                done.cancelled += 1
            decide(when)
        if buyer < 0 or shelf[buyer] <= 0:
            continue
        put(buyer, time, shelf[buyer] - 1)
        left -= 1
        done.oversold += left < 0
        told = story.told[done.orders % len(story.told)][buyer] * late
        later(time + told, "told", buyer)
        if left >= 0 and (back := story.cancels[done.orders % len(story.cancels)]) < HORIZON:
            later(time + max(back, told + 1e-6), "cancelled")
        done.orders += 1
    return done
