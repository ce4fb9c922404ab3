"""Pricing policy v1 over arrays: the same choices as `policy.PricingPolicy`, for whole catalogues at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

import numpy as np

from flipsync.services.pricing.batch_economics import BLANK, BatchEconomics, Bools, Floats, Ints
from flipsync.services.pricing.batch_firewall import BatchVerdicts, ProposalArrays, check_batch
from flipsync.services.pricing.demand import HOURS_PER_DAY, MAX_LOG_RATIO
from flipsync.services.pricing.fees import BPS, FeeSchedule
from flipsync.services.pricing.policy import GRID_STEPS, TIE
from flipsync.services.pricing.quote import Because, PolicySettings, QuoteRequest

__all__ = ["BLANK", "BatchVerdicts", "ProposalArrays", "QuoteArrays", "Quotes", "check_batch", "quote_batch"]


@dataclass(frozen=True, slots=True)
class QuoteArrays:
    """Quote requests of one channel account as columns, one currency; BLANK is None. Amounts in minor units.

    `rivals` (prices in stock), `recent` (prices left lately) and the three `history` arrays have a row per listing,
    padded with BLANK, and with 0 units in 0 hours. `restock_days` is infinite where there will be no more. No amount
    exceeds `fees.MAX_AMOUNT`.
    """

    current: Ints
    unit_cost: Ints
    shipping_cost: Ints
    shipping_charged: Ints
    tax_bps: Ints
    floor: Ints
    ceiling: Ints
    min_margin: Ints
    margin_bps: Ints
    step_up_bps: Ints
    step_down_bps: Ints
    stock: Ints
    days_since_last_sale: Floats
    restock_days: Floats
    rivals: Ints
    recent: Ints
    history_price: Ints
    history_units: Ints
    history_hours: Floats

    def __len__(self) -> int:
        return int(self.current.size)

    def part(self, chosen: slice | Ints | np.ndarray[tuple[int], np.dtype[np.intp]]) -> QuoteArrays:
        return QuoteArrays(*(getattr(self, each.name)[chosen] for each in fields(self)))

    @classmethod
    def of(cls, requests: Sequence[QuoteRequest]) -> QuoteArrays:
        """Columns of requests in one currency; rivals that cannot deliver or sell in another one are left out."""

        def amounts(name: str) -> Ints:
            held = [getattr(request, name) for request in requests]
            return np.array([BLANK if each is None else each.amount_minor for each in held], dtype=np.int64)

        def counts(name: str) -> Ints:
            return np.array([getattr(request, name) for request in requests], dtype=np.int64)

        def padded(rows: list[list[int]]) -> Ints:
            width = max((len(row) for row in rows), default=0)
            return np.array([row + [BLANK] * (width - len(row)) for row in rows], dtype=np.int64).reshape(
                len(rows), width
            )

        periods = [list(request.history) for request in requests]
        price = padded([[period.price.amount_minor for period in row] for row in periods])
        units, hours = np.zeros(price.shape, dtype=np.int64), np.zeros(price.shape)
        for i, row in enumerate(periods):
            units[i, : len(row)] = [period.units for period in row]
            hours[i, : len(row)] = [period.exposure_hours for period in row]
        return cls(
            current=amounts("current"),
            unit_cost=amounts("unit_cost"),
            shipping_cost=amounts("shipping_cost"),
            shipping_charged=amounts("shipping_charged"),
            tax_bps=counts("tax_bps"),
            floor=amounts("floor"),
            ceiling=amounts("ceiling"),
            min_margin=amounts("min_margin"),
            margin_bps=counts("min_margin_bps"),
            step_up_bps=counts("max_step_up_bps"),
            step_down_bps=counts("max_step_down_bps"),
            stock=counts("stock"),
            days_since_last_sale=np.array([request.days_since_last_sale for request in requests], dtype=np.float64),
            restock_days=np.array([request.restock_days or np.inf for request in requests], dtype=np.float64),
            rivals=padded([request.rival_prices() for request in requests]),
            recent=padded([[price.amount_minor for price in request.recent_prices] for request in requests]),
            history_price=price,
            history_units=units,
            history_hours=hours,
        )


@dataclass(frozen=True, slots=True)
class Quotes:
    """Answers as columns: the best price (the current one where it holds or is blocked), the `Because` code, expected
    profit per day and net profit of a sale in minor units (NaN and BLANK where blocked), and the confidence."""

    best: Ints
    because: Ints
    profit_per_day: Floats
    margin: Ints
    confidence: Floats

    @property
    def moves(self) -> Bools:
        return (self.because > Because.NO_STOCK) & (self.because <= Because.OUT_OF_BOUNDS)


def quote_batch(
    requests: QuoteArrays, fees: FeeSchedule | None, settings: PolicySettings, at: datetime, *, chunk: int = 2_048
) -> Quotes:
    """Quote every row as `PricingPolicy.quote` would, with one fee schedule for all. Chunks fit the cache."""
    size = len(requests)
    answer = Quotes(
        requests.current.copy(),
        np.full(size, int(Because.FACTS_MISSING), dtype=np.int64),
        np.full(size, np.nan),
        np.full(size, BLANK, dtype=np.int64),
        np.ones(size),
    )
    if fees is None or not fees.in_force(at):
        return answer
    known = (requests.current > 0) & (requests.unit_cost > 0) & (requests.shipping_cost >= 0) & (requests.ceiling > 0)
    rows = np.flatnonzero(known)
    for start in range(0, rows.size, chunk):
        chosen = rows[start : start + chunk]
        part = _Chunk(requests.part(chosen), fees, settings, at).quote()
        for each in fields(Quotes):
            getattr(answer, each.name)[chosen] = getattr(part, each.name)
    return answer


class _Chunk:
    """One chunk of sound requests. Arrays of prices have a row per candidate or elasticity, a column per listing."""

    def __init__(self, requests: QuoteArrays, fees: FeeSchedule, settings: PolicySettings, at: datetime) -> None:
        self.requests = requests
        self.settings = settings
        self.units = BatchEconomics(
            fees.terms(at),
            requests.unit_cost,
            requests.shipping_cost,
            _or(requests.shipping_charged, 0),
            requests.tax_bps,
            _or(requests.min_margin, 0),
            requests.margin_bps,
        )
        self.reference = requests.current.astype(np.float64)
        rivals = requests.rivals.T
        here = rivals != BLANK
        ratios = self._log_ratio(np.where(here, rivals, requests.current))
        sensitivity = settings.prior.rival_sensitivity
        self.rivals: Floats = np.where(here, np.exp(-sensitivity * ratios), 0.0).sum(axis=0)
        most = np.iinfo(np.int64).max
        self.cheapest: Ints = np.where(here, rivals, most).min(axis=0, initial=most)
        self.contested = here.any(axis=0)
        self.weights, self.levels = self._learn()
        age = (requests.days_since_last_sale - settings.stale_after_days) / settings.stale_ramp_days
        self.relief: Floats = settings.stale_relief * np.clip(age, 0.0, 1.0) * requests.unit_cost

    def quote(self) -> Quotes:
        r, units = self.requests, self.units
        current = r.current
        low = np.maximum(np.maximum(_or(r.floor, 1), -(-current * (BPS - r.step_down_bps) // BPS)), 1)
        high = np.minimum(r.ceiling, current * (BPS + r.step_up_bps) // BPS)
        lowest = units.floor_price(low, high)
        no_room = lowest == BLANK
        lowest = np.where(no_room, current, lowest)
        prices = self._candidates(lowest, np.where(no_room, current, high))

        net = units.net(prices)
        acceptable = net[:-1] - units.required(prices[:-1]) >= 0
        sold = self._sold(self._rate(prices), r.stock)
        scores = sold * (net + self.relief)
        profits = sold * net
        best_row = self._pick(prices[:-1], np.where(acceptable, scores[:-1], -np.inf), current)
        columns = np.arange(current.size)
        best, score, stay = prices[best_row, columns], scores[best_row, columns], scores[-1]
        in_bounds = (low <= current) & (current <= high) & (units.surplus(current) >= 0)

        because, asked = self._decide(best, score - stay, stay, in_bounds)
        moving = because >= Because.UP
        chosen = np.where(moving, best_row, prices.shape[0] - 1)
        confidence = self._confidence(because, best, net[best_row, columns], net[-1], asked)
        return Quotes(
            best=np.where(moving & ~no_room, best, current),
            because=np.where(no_room, int(Because.NO_ROOM), because),
            profit_per_day=np.where(no_room, np.nan, profits[chosen, columns]),
            margin=np.where(no_room, BLANK, net[chosen, columns]),
            confidence=np.where(no_room, 1.0, confidence),
        )

    def _log_ratio(self, price: Ints) -> Floats:
        return np.clip(np.log(price / self.reference), -MAX_LOG_RATIO, MAX_LOG_RATIO)

    def _share(self, ratio: Floats) -> Floats:
        own = np.exp(-self.settings.prior.rival_sensitivity * ratio)
        share: Floats = own * (1.0 + self.rivals) / (own + self.rivals)
        return share

    def _learn(self) -> tuple[Floats, Floats]:
        r, prior = self.requests, self.settings.prior
        hours = r.history_hours.T
        ratio = self._log_ratio(np.where(r.history_price == BLANK, r.current[:, None], r.history_price).T)
        weighted = hours * np.exp(-prior.lowest_elasticity * ratio) * self._share(ratio)
        step = np.exp(-prior.elasticity_step * ratio)
        exposure = np.empty((prior.elasticities, len(r)))
        for i in range(prior.elasticities):
            exposure[i] = weighted.sum(axis=0)
            weighted *= step
        sold = r.history_units.T
        tilt = (sold * ratio).sum(axis=0)
        shape = prior.level_shape + sold.sum(axis=0)
        exposure += prior.level_shape * (hours.sum(axis=0) + prior.level_hours) / shape
        grid, log_prior = np.array(prior.grid())[:, None], np.array(prior.log_weights())[:, None]
        logs = log_prior - grid * tilt - shape * np.log(exposure)
        odds = np.exp(logs - logs.max(axis=0))
        return odds / odds.sum(axis=0), shape / exposure

    def _rates(self, price: Ints) -> Floats:
        """Sales per day of one price per listing: a row per elasticity."""
        prior = self.settings.prior
        ratio = self._log_ratio(price)
        multiple = np.exp(-prior.lowest_elasticity * ratio) * self._share(ratio) * HOURS_PER_DAY
        step = np.exp(-prior.elasticity_step * ratio)
        rates = np.empty_like(self.levels)
        for i in range(prior.elasticities):
            rates[i] = self.levels[i] * multiple
            multiple *= step
        return rates

    def _rate(self, prices: Ints) -> Floats:
        """Expected sales per day of many prices per listing."""
        prior = self.settings.prior
        ratio = self._log_ratio(prices)
        step = np.exp(-prior.elasticity_step * ratio)
        expected = self.weights * self.levels
        # Horner's scheme over the grid of elasticities, which is evenly spaced
        total = np.broadcast_to(expected[-1], ratio.shape).copy()
        for i in range(prior.elasticities - 2, -1, -1):
            total *= step
            total += expected[i]
        total *= np.exp(-prior.lowest_elasticity * ratio)
        total *= self._share(ratio)
        total *= HOURS_PER_DAY
        return total

    def _sold(self, rate: Floats, stock: Ints) -> Floats:
        waiting = self.settings.discount + 1.0 / self.requests.restock_days
        sold: Floats = rate * -np.expm1(-np.maximum(stock, 0) * np.log1p(waiting / rate))
        return sold

    def _candidates(self, lowest: Ints, high: Ints) -> Ints:
        """Candidate prices in the order of the scalar policy, and the current price as the last row."""
        r = self.requests
        current = r.current
        rows = np.empty((2 * GRID_STEPS + 5, current.size), dtype=np.int64)
        for step in range(1, GRID_STEPS + 1):
            rows[2 * step - 2] = current + current * r.step_up_bps * step // (BPS * GRID_STEPS)
            rows[2 * step - 1] = current - current * r.step_down_bps * step // (BPS * GRID_STEPS)
        rows[-5], rows[-4] = lowest, high
        rows[-3] = np.where(self.contested, self.cheapest - 1, lowest)
        rows[-2] = np.where(self.contested, self.cheapest, lowest)
        rows[:-1] = np.minimum(np.maximum(rows[:-1], lowest), high)
        rows[-1] = current
        return rows

    @staticmethod
    def _pick(prices: Ints, scores: Floats, current: Ints) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
        top = scores.max(axis=0)
        with np.errstate(invalid="ignore"):
            equal = scores >= top - TIE * np.abs(top)
        far = np.iinfo(np.int64).max
        # twice the distance, plus one above the current price: nearer first, then lower
        order = np.where(equal, 2 * np.abs(prices - current) + (prices > current), far)
        nearest: np.ndarray[tuple[int, ...], np.dtype[np.intp]] = order.argmin(axis=0)
        return nearest

    def _decide(self, best: Ints, gain: Floats, stay: Floats, in_bounds: Bools) -> tuple[Ints, Floats]:
        r, settings = self.requests, self.settings
        recent = r.recent.T
        distance = np.where(recent == BLANK, best + 1, np.abs(recent - best))
        near = distance * BPS <= best * settings.return_tolerance_bps
        returning = (near & (recent != BLANK)).any(axis=0)
        asked = np.where(returning, settings.min_gain * settings.return_factor, settings.min_gain)
        same = best == r.current
        stays = same | (gain < asked * stay)
        worth = returning & ~same & (gain >= settings.min_gain * stay)
        rival = self.contested & (self.cheapest < r.current) & (best <= self.cheapest)
        down = np.where(rival, Because.RIVAL, np.where(self.relief > 0, Because.STALE, Because.DOWN))
        moved = np.where(best > r.current, Because.UP, down)
        because = np.where(stays, np.where(worth, Because.NO_RETURN, Because.BEST_ALREADY), moved)
        because = np.where(r.stock <= 0, Because.NO_STOCK, because)
        because = np.where(in_bounds, because, Because.OUT_OF_BOUNDS).astype(np.int64)
        return because, np.where(in_bounds, asked, 0.0)

    def _confidence(self, because: Ints, best: Ints, net: Ints, net_now: Ints, asked: Floats) -> Floats:
        stock = self.requests.stock
        other = self._sold(self._rates(best), stock) * (net + self.relief)
        stay = self._sold(self._rates(self.requests.current), stock) * (net_now + self.relief)
        moving = because >= Because.UP
        right = np.where(moving, other > stay * (1 + TIE), other <= stay * (1 + asked + TIE))
        sure: Floats = np.minimum(np.where(right, self.weights, 0.0).sum(axis=0), 1.0)
        return np.where((because == Because.OUT_OF_BOUNDS) | (because == Because.NO_STOCK), 1.0, sure)


def _or(values: Ints, default: int) -> Ints:
    return np.where(values == BLANK, default, values)
