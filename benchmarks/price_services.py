"""What the services say of single goods, beside the exact optimum: bids, scarce and ageing stock, bundles, being first.

python -m benchmarks.price_services [--quick] [--json]

A seed draws listings whose demand is known here and to the service only by its sales. Optima are computed apart, from
fees of 12 % and 0.30 an order written down again, by dynamic programming over the units left or by trying every price.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measuring import Report, saying
from flipsync.domain.channel import RivalOffer
from flipsync.domain.ids import new_id
from flipsync.domain.money import usd
from flipsync.learning.protocol import bootstrap
from flipsync.learning.simulator import Array
from flipsync.services.pricing import PricePeriod, PricingPolicy, QuoteRequest, percentage_plus_fixed
from flipsync.services.pricing.bundles import Part, Together, quote_bundle
from flipsync.services.pricing.featured import featured
from flipsync.services.pricing.haggling import HAGGLER_TAIL, answer_offer
from flipsync.services.pricing.policy import economics_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
FEES = percentage_plus_fixed("ebay", Decimal(1200), usd("0.30"), valid_from=NOW - timedelta(days=30), source="account")
RULE = PricingPolicy()
DISCOUNT = RULE.settings.discount
PARCEL = 300
#: listings a seed draws
EACH = 4


@dataclass(frozen=True)
class Goods:
    """One listing: minor units, and sales a day `rate`·(p / `price`)^−`bend`."""

    price: int
    cost: int
    rate: float
    bend: float
    stock: int

    @staticmethod
    def draw(rng: np.random.Generator, stock: int) -> Goods:
        cost = int(rng.integers(500, 4_000))
        price = int((cost + PARCEL) * rng.uniform(1.5, 2.4)) + 100
        return Goods(price, cost, float(rng.gamma(1.5, 0.3) + 0.02), float(rng.uniform(2.0, 6.0)), stock)

    def net(self, price: Array | float) -> Array:
        return np.asarray(np.asarray(price) * 0.88 - 30 - PARCEL - self.cost)

    def sales(self, price: Array | float) -> Array:
        return np.asarray(self.rate * (np.asarray(price) / self.price) ** -self.bend)

    def request(self, rng: np.random.Generator, **changes: Any) -> QuoteRequest:
        """As the service sees it after four weeks at its price."""
        sold = int(rng.poisson(self.rate * 28))
        values: dict[str, Any] = {
            "current": _usd(self.price),
            "at": NOW,
            "unit_cost": _usd(self.cost),
            "shipping_cost": _usd(PARCEL),
            "fees": FEES,
            "ceiling": _usd(self.price * 3),
            "stock": self.stock,
            "history": (PricePeriod(price=_usd(self.price), units=sold, exposure_hours=28 * 24),),
        }
        return QuoteRequest(**{**values, **changes})


def _usd(minor: int) -> Any:
    return usd(f"{minor // 100}.{minor % 100:02d}")


def bids(seed: int) -> dict[str, float]:
    """Best offers: as many bids as sales, uniform from half the price to the price; n units, then none.

    Who bids x agrees to a with chance (x/a)^h. With the best a at each n,
    V(n) = (r·(net + V(n−1)) + b·E[agreed·(net(paid) + V(n−1))]) / (r + b·E[agreed] + d).
    """
    rng, earned = np.random.default_rng([1, seed]), dict[str, float]()
    for stock in (1, 2, 5, 10):
        goods = Goods.draw(rng, stock)
        request, offers = goods.request(rng), np.linspace(goods.price / 2, goods.price, 100)
        lowest = int((30 + PARCEL + goods.cost) / 0.88) + 1
        asks = np.linspace(lowest, goods.price, 200).astype(int)
        agreed = np.minimum(offers / asks[:, None], 1.0) ** HAGGLER_TAIL
        net = goods.net(np.maximum(offers, asks[:, None]))

        def values(left: float, goods: Goods = goods, agreed: Array = agreed, net: Array = net) -> Array:
            """Of one unit more than is worth `left`, by ask."""
            gained = goods.rate * (goods.net(goods.price) + left + (agreed * (net + left)).mean(axis=1))
            return np.asarray(gained / (goods.rate * (1 + agreed.mean(axis=1)) + DISCOUNT))

        totals = dict.fromkeys(("optimum", "service", "price only", "any bid above cost"), 0.0)
        for units in range(1, stock + 1):
            told = answer_offer(request.model_copy(update={"stock": units}), RULE, _usd(goods.price // 2))
            asked = goods.price if told.accept_from is None else told.accept_from.amount_minor
            totals["optimum"] = float(values(totals["optimum"]).max())
            for name, ask in (("service", asked), ("price only", goods.price), ("any bid above cost", lowest)):
                totals[name] = float(np.interp(ask, asks, values(totals[name])))
        _add(earned, totals)
    return earned


def scarce(seed: int, stock: int, days: int = 180, unsold: float = 0.0) -> dict[str, float]:
    """Prices of `stock` units until they are sold, told day by day; money that waits loses 1/60 a day.

    V(n) = max_p λ(p)·(net(p) + V(n−1)) / (λ(p) + d). Listings begin 20 to 60 % above the price that is best for plenty,
    `unsold` days after their last sale. The same buyers come to all.
    """
    rng, earned = np.random.default_rng([2, stock, int(unsold), seed]), dict[str, float]()
    for _ in range(EACH):
        drawn = Goods.draw(rng, stock)
        top = (30 + PARCEL + drawn.cost) / 0.88 * drawn.bend / (drawn.bend - 1)
        goods = Goods(int(top * rng.uniform(1.2, 1.6)), drawn.cost, drawn.rate, drawn.bend, stock)
        prices = np.arange(goods.cost, goods.price * 4, dtype=np.float64)
        values, table = [0.0], [goods.price]
        for _unit in range(stock):
            rate = goods.sales(prices)
            each = rate * (goods.net(prices) + values[-1]) / (rate + DISCOUNT)
            values.append(float(each.max()))
            table.append(int(prices[each.argmax()]))
        luck = rng.random(days)
        best = _sold(goods, luck, partial(_of_table, table))
        held = _sold(goods, luck, partial(_of_table, [goods.price] * (stock + 1)))
        request = goods.request(rng, days_since_last_sale=unsold)
        _add(earned, {"optimum": best, "service": _sold(goods, luck, _priced(request, unsold)), "price held": held})
    return earned


def _of_table(table: list[int], day: int, left: int, seen: list[tuple[int, int]]) -> int:
    """The price by units left."""
    return table[left]


def _priced(request: QuoteRequest, unsold: float) -> Callable[[int, int, list[tuple[int, int]]], int]:
    """The rule's price of the day, from what was sold at which price in the last two weeks."""
    current = request.current.amount_minor

    def price(day: int, left: int, seen: list[tuple[int, int]]) -> int:
        nonlocal current
        sold = next((age for age, (_, units) in enumerate(reversed(seen)) if units), None)
        told = RULE.quote(
            request.model_copy(
                update={
                    "current": _usd(current),
                    "at": NOW,
                    "stock": left,
                    "days_since_last_sale": float(unsold + day if sold is None else sold),
                    "history": (
                        *(request.history if day < 14 else ()),
                        *(PricePeriod(price=_usd(p), units=units, exposure_hours=24) for p, units in seen[-14:]),
                    ),
                    "recent_prices": tuple(_usd(p) for p, _ in seen[-3:-1] if p != current),
                }
            )
        )
        current = told.best.amount_minor
        return current

    return price


def _sold(goods: Goods, luck: Array, price: Callable[[int, int, list[tuple[int, int]]], int]) -> float:
    """Discounted profit: a unit a day at most, sold when the day's luck is within the chance of a buyer."""
    left, seen, total = goods.stock, list[tuple[int, int]](), 0.0
    for day, drawn in enumerate(luck):
        asked = price(day, left, seen)
        bought = int(drawn < -np.expm1(-float(goods.sales(asked))))
        total += bought * float(goods.net(asked)) * np.exp(-DISCOUNT * day)
        seen.append((asked, bought))
        left -= bought
        if not left:
            break
    return total


def bundle(seed: int) -> dict[str, float]:
    """Bundles of two: what each buyer of the base brings beyond the base, over selling apart at the whole price.

    Truly taken by chance·((P − p) / (T − p))^−bend of them; every whole price is tried.
    """
    rng, earned = np.random.default_rng([3, seed]), dict[str, float]()
    for _ in range(EACH):
        goods = [Goods.draw(rng, 200) for _ in range(2)]
        chance, orders = float(rng.uniform(0.02, 0.3)), int(rng.integers(0, 200))
        parts = [Part(new_id(), f"G-{n}", 1, each.request(rng), RULE) for n, each in enumerate(goods)]
        base = min(range(2), key=lambda at: (parts[at].rate, parts[at].sku))
        mine, rest = goods[base], goods[1 - base]
        seen = Together({parts[base].listing_id: orders}, int(rng.binomial(orders, chance)))
        told = quote_bundle(parts, seen, _usd(PARCEL))
        whole = mine.price + rest.price

        def gain(
            price: int, mine: Goods = mine, rest: Goods = rest, chance: float = chance, whole: int = whole
        ) -> float:
            taken = min(1.0, chance * ((price - mine.price) / (whole - mine.price)) ** -rest.bend)
            net = price * 0.88 - 30 - PARCEL - mine.cost - rest.cost
            return float(taken * (net - float(mine.net(mine.price))))

        best = max(range(mine.price + 1, whole + 1), key=gain)
        _add(
            earned,
            {
                "optimum": gain(best),
                "service": gain(min(told.price.amount_minor, whole)),
                "10 % off": gain(max(int(whole * 0.9), mine.price + 1)),
                "no discount": gain(whole),
            },
        )
    return earned


def first(seed: int) -> dict[str, float]:
    """Being put first: profit a day of who goes there when `sales_needed` times the sales are exceeded.

    Being first truly brings one to six times the sales; the seller knows how many.
    """
    rng, earned = np.random.default_rng([4, seed]), dict[str, float]()
    for _ in range(EACH):
        goods, times = Goods.draw(rng, 200), float(rng.uniform(1, 6))
        theirs = int(goods.price * rng.uniform(0.75, 1.0))
        rival = RivalOffer(sku="G", seller="r", price=_usd(theirs), in_stock=True, seen_at=NOW, featured=True)
        request = goods.request(rng, rivals=(rival,))
        told = featured(request, economics_of(request), 0.0, lambda price: 1.0)
        assert told is not None
        stays = goods.rate * float(goods.net(goods.price))
        goes = goods.rate * times * float(goods.net(theirs - 1))
        pays = told.sales_needed is not None and told.allowed and times > told.sales_needed
        _add(earned, {"optimum": max(stays, goes), "service": goes if pays else stays, "always": goes, "never": stays})
    return earned


def _add(earned: dict[str, float], more: Mapping[str, float]) -> None:
    for name, value in more.items():
        earned[name] = earned.get(name, 0.0) + value


TASKS: dict[str, Callable[[int], dict[str, float]]] = {
    "best offers": bids,
    "one left": lambda seed: scarce(seed, 1),
    "three left": lambda seed: scarce(seed, 3),
    "eight left, unsold for 90 days": lambda seed: scarce(seed, 8, unsold=90.0),
    "bundles": bundle,
    "being first": first,
}


def shares(task: str, seeds: range) -> dict[str, list[float]]:
    """By seed, what each way earns as a share of the optimum."""
    each = [TASKS[task](seed) for seed in seeds]
    return {name: [run[name] / run["optimum"] for run in each] for name in each[0] if name != "optimum"}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    report, seeds = Report("price_services"), range(2 if arguments.quick else 20)
    for task in TASKS:
        with saying(task):
            found = shares(task, seeds)
        for name, values in found.items():
            told = bootstrap(values)
            beside = f"{told.low:.4f} to {told.high:.4f}"
            if name != "service":
                ahead = bootstrap(np.subtract(found["service"], values))
                beside += f"; service ahead by {ahead.mean:.4f} ({ahead.low:.4f} to {ahead.high:.4f})"
            report.row(f"{task}: {name}, share of the optimum", f"{told.mean:.4f}", beside)
        report.result[task] = found
    report.finish(as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
