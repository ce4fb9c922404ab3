"""A quote in full: the demand it believes in, the rivals, what fees take, what bounds it, and why not 5 % more or less.

Worked out from the same request by the same rule as the quote; asking changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from pydantic import Field

from flipsync.domain.channel import RivalOffer
from flipsync.domain.money import Money
from flipsync.services.pricing.demand import Demand, sold_in_time
from flipsync.services.pricing.economics import NetProfit, UnitEconomics, net_profit
from flipsync.services.pricing.featured import Featured, featured
from flipsync.services.pricing.fees import BPS
from flipsync.services.pricing.policy import PricingPolicy, economics_of, major_amount, odds_of_more, reach_of
from flipsync.services.pricing.quote import PolicyValue, PricePeriod, Quote, QuoteRequest

#: prices of the curve, as shares of the price now
CURVE = (0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.3)
#: what is asked about beside the price that was chosen
INSTEAD_BPS = (-500, 500)
#: share of the belief that a band holds
BAND = 0.8


class DemandPoint(PolicyValue):
    """What is believed to sell a day at a price while there is stock; the band holds 80 % of the belief."""

    price: Money
    sold_per_day: float
    low: float
    high: float
    expected_profit_per_day: Decimal = Field(description="major units, before what old stock ties up")


class Bound(PolicyValue):
    """A price that may not be passed now, and whether it is the one that counts on its side."""

    side: Literal["lowest", "highest"]
    name: str
    price: Money
    binds: bool


class Instead(PolicyValue):
    """Another price than the one chosen, and why it was not."""

    change_bps: int = Field(description="of the price that was chosen")
    price: Money
    allowed: bool
    sold_per_day: float
    margin: Money
    expected_profit_per_day: Decimal
    chance_it_earns_more: float = Field(ge=0, le=1)
    why_not: str


class Explanation(PolicyValue):
    """Empty where the quote says that facts are missing."""

    demand: tuple[DemandPoint, ...] = ()
    elasticity_low: float | None = Field(default=None, description="80 % of the belief lie between")
    elasticity_high: float | None = None
    seen: tuple[PricePeriod, ...] = Field(default=(), description="what our own prices sold, oldest first")
    rivals: tuple[RivalOffer, ...] = Field(default=(), description="of those that can deliver, the cheapest first")
    cheaper_rivals: int = Field(default=0, description="of them, below the price chosen")
    featured: Featured | None = Field(default=None, description="the rival the channel puts first, where it does")
    sale: NetProfit | None = Field(default=None, description="what one sale at the price chosen leaves, fee by fee")
    bounds: tuple[Bound, ...] = ()
    instead: tuple[Instead, ...] = ()


def explain(request: QuoteRequest, quote: Quote, policy: PricingPolicy) -> Explanation:
    """`quote` is the policy's answer to `request`. Raises nothing the quote did not raise."""
    rivals = tuple(sorted(_comparable(request), key=lambda rival: (rival.price.amount_minor, rival.seller)))
    cheaper = sum(rival.price.amount_minor < quote.best.amount_minor for rival in rivals)
    seen = Explanation(seen=request.history, rivals=rivals, cheaper_rivals=cheaper)
    if quote.margin is None or request.fees is None or request.unit_cost is None or request.shipping_cost is None:
        return seen
    belief = _Belief(request, policy, economics_of(request), policy.demand_of(request), policy.relief_of(request))
    current = request.current.amount_minor
    bounds = belief.bounds()
    sale = net_profit(
        quote.best,
        request.unit_cost,
        request.shipping_cost,
        request.fees,
        request.at,
        shipping_charged=request.shipping_charged,
        tax_bps=request.tax_bps,
    )
    return seen.model_copy(
        update={
            "demand": tuple(belief.point(max(round(current * share), 1)) for share in CURVE),
            "elasticity_low": _elasticity_at(belief.demand, (1 - BAND) / 2),
            "elasticity_high": _elasticity_at(belief.demand, (1 + BAND) / 2),
            "sale": sale,
            "featured": featured(request, belief.economics, belief.relief, belief.demand.rate),
            "bounds": bounds,
            "instead": tuple(belief.instead(quote.best.amount_minor, change, bounds) for change in INSTEAD_BPS),
        }
    )


def _comparable(request: QuoteRequest) -> list[RivalOffer]:
    here = request.current.currency
    return [rival for rival in request.rivals if rival.in_stock and rival.price.currency == here]


@dataclass(frozen=True)
class _Belief:
    """What the policy thinks of one listing; amounts in minor units."""

    request: QuoteRequest
    policy: PricingPolicy
    economics: UnitEconomics
    demand: Demand
    relief: float

    def money(self, minor: int) -> Money:
        return Money(amount_minor=minor, currency=self.request.current.currency)

    def sold(self, price: int) -> float:
        """Units a day as the policy counts them: with stock and waiting."""
        waiting = self.policy.settings.waiting(self.request.restock_days)
        return sold_in_time(self.demand.rate(float(price)), self.request.stock, waiting)

    def worth(self, price: int) -> float:
        """What the policy compares prices by."""
        return self.sold(price) * self.of_a_sale(price)

    def of_a_sale(self, price: int) -> float:
        return self.economics.net(price) + self.relief

    def profit(self, price: int) -> Decimal:
        currency = self.request.current.currency
        return major_amount(self.sold(price) * self.economics.net(price), currency)

    def point(self, price: int) -> DemandPoint:
        low, high = rate_band(self.demand, float(price))
        return DemandPoint(
            price=self.money(price),
            sold_per_day=round(self.demand.rate(float(price)), 4),
            low=round(low, 4),
            high=round(high, 4),
            expected_profit_per_day=self.profit(price),
        )

    def bounds(self) -> tuple[Bound, ...]:
        request, current = self.request, self.request.current.amount_minor
        down = max(-(-current * (BPS - request.max_step_down_bps) // BPS), 1)
        lowest, highest = [("the largest step down", down)], []
        if request.floor is not None:
            lowest.append(("the owner's floor", request.floor.amount_minor))
        if (earning := self.economics.floor_price()) is not None:
            lowest.append(("the lowest price that earns the margin", earning))
        highest.append(("the largest step up", current * (BPS + request.max_step_up_bps) // BPS))
        if request.ceiling is not None:
            highest.append(("the ceiling", request.ceiling.amount_minor))
        return tuple(
            Bound(side=side, name=name, price=self.money(price), binds=price == counts)
            for side, held, counts in (
                ("lowest", lowest, max(price for _, price in lowest)),
                ("highest", highest, min(price for _, price in highest)),
            )
            for name, price in held
        )

    def instead(self, chosen: int, change: int, bounds: tuple[Bound, ...]) -> Instead:
        price = max(round(chosen * (BPS + change) / BPS), 1)
        low, high = reach_of(self.request)
        allowed = low <= price <= high and self.economics.surplus(price) >= 0
        chance = odds_of_more(
            self.demand,
            (price, self.of_a_sale(price)),
            (chosen, self.of_a_sale(chosen)),
            self.request.stock,
            self.policy.settings.waiting(self.request.restock_days),
        )
        return Instead(
            change_bps=change,
            price=self.money(price),
            allowed=allowed,
            sold_per_day=round(self.demand.rate(float(price)), 4),
            margin=self.money(self.economics.net(price)),
            expected_profit_per_day=self.profit(price),
            chance_it_earns_more=round(chance, 4),
            why_not=self._against(price, chosen) if allowed else _forbidden(price, price < chosen, bounds),
        )

    def _against(self, price: int, chosen: int) -> str:
        if self.request.stock <= 0:
            return "there is nothing to sell"
        here, there = self.worth(chosen), self.worth(price)
        rates = [self.demand.rate(float(each)) for each in (price, chosen)]
        told = f"{rates[0]:.2g} a day instead of {rates[1]:.2g}"
        if there <= here:
            return (
                f"it is expected to earn {1 - there / here:.1%} less: {told}" if here > 0 else "it earns nothing either"
            )
        more = f"{there / here - 1:.1%} more" if here > 0 else "more"
        asked = self.policy.settings.min_gain
        return f"it is expected to earn {more} ({told}); a move has to bring {asked:.0%} over the price now"


def _forbidden(price: int, lower: bool, bounds: tuple[Bound, ...]) -> str:
    """What keeps a price away that is lower, or higher, than the one chosen."""
    counts = next(each for each in bounds if each.binds and each.side == ("lowest" if lower else "highest"))
    past = price < counts.price.amount_minor if lower else price > counts.price.amount_minor
    return f"{counts.name} is {counts.price}" if past else "it does not earn the margin after fees"


def rate_band(demand: Demand, price: float, share: float = BAND) -> tuple[float, float]:
    """Sales a day at `price` that the middle `share` of the belief lies between: quantiles of a mixture of Gammas."""
    from scipy.special import gammainc

    means = demand.rates(price)

    def below(rate: float) -> float:
        return float(
            sum(w * gammainc(demand.shape, demand.shape * rate / m) for w, m in zip(demand.weights, means, strict=True))
        )

    def at(chance: float) -> float:
        low, high = 0.0, max(means)
        while below(high) < chance:
            high *= 2
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if below(middle) < chance else (low, middle)
        return high

    return at((1 - share) / 2), at((1 + share) / 2)


def _elasticity_at(demand: Demand, chance: float) -> float:
    """The elasticity of the grid below which that share of the belief lies."""
    held = 0.0
    for weight, elasticity in zip(demand.weights, demand.prior.grid(), strict=True):
        held += weight
        if held >= chance:
            return round(elasticity, 3)
    return round(demand.prior.grid()[-1], 3)
