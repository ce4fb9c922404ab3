"""Pricing policy v1: the next price of one listing, with the reason, the odds and what else was considered.

Among candidate prices within floor, ceiling and step it takes the one with the highest expected profit per day under
the posterior demand (`demand`), values what old stock ties up, and stays where it is unless the gain is worth a move.
Deterministic. It proposes only: every price still goes through the firewall.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from flipsync.domain.money import CurrencyMismatchError, Money, minor_digits
from flipsync.services.pricing.demand import Demand, learn, sold_in_time
from flipsync.services.pricing.economics import UnitEconomics
from flipsync.services.pricing.fees import BPS
from flipsync.services.pricing.quote import Because, PolicySettings, PriceAlternative, Quote, QuoteRequest

#: Steps of the candidate grid on either side of the current price.
GRID_STEPS = 6
#: Expected profits closer than this share are equal; the nearer price is taken.
TIE = 1e-9


@dataclass(frozen=True, slots=True)
class _Candidate:
    price: int
    label: str
    score: float
    profit: float


class PricingPolicy:
    """Quotes prices. Holds nothing but its settings, so one instance serves every listing."""

    def __init__(self, settings: PolicySettings | None = None) -> None:
        self.settings = settings or PolicySettings()

    def quote(self, request: QuoteRequest) -> Quote:
        """The next price of one listing. Raises CurrencyMismatchError when own amounts are in several currencies."""
        _require_one_currency(request)
        missing = missing_facts(request)
        if missing:
            return _blocked(request, Because.FACTS_MISSING, f"No price can be chosen: {missing}.")
        economics = economics_of(request)
        current = request.current.amount_minor
        low, high = reach_of(request)
        lowest = economics.floor_price(low, high)
        if lowest is None:
            return _blocked(
                request,
                Because.NO_ROOM,
                "No price within floor, ceiling and one step earns the margin. Approve a larger step, change the "
                "bounds or take the listing off sale.",
            )
        demand = self.demand_of(request)
        relief = self.relief_of(request)
        hold = self._value(current, "the price now", request, economics, demand, relief)
        options = [
            self._value(min(max(price, lowest), high), label, request, economics, demand, relief)
            for price, label in _candidates(request, lowest, high)
        ]
        options = [option for option in options if economics.surplus(option.price) >= 0]
        best = _pick(options, current)
        in_bounds = low <= current <= high and economics.surplus(current) >= 0
        because, asked = self._decide(request, best, hold, in_bounds, relief)
        chosen = best if because.action == "move" else hold
        confidence = self._confidence(because, best, hold, asked, request, economics, demand, relief)
        money = request.current.currency
        return Quote(
            best=Money(amount_minor=chosen.price, currency=money),
            current=request.current,
            action=because.action,
            because=because,
            reason=_reason(because, best, hold, request, asked),
            confidence=confidence,
            expected_profit_per_day=major_amount(chosen.profit, money),
            margin=Money(amount_minor=economics.net(chosen.price), currency=money),
            elasticity=round(demand.elasticity(), 3),
            alternatives=_alternatives(options, hold, chosen, money),
        )

    def quote_at(self, request: QuoteRequest, price: Money) -> Quote | None:
        """A quote for that price, to learn from it; None where it is out of reach, or facts are missing."""
        _require_one_currency(request)
        if missing_facts(request):
            return None
        economics, wanted = economics_of(request), price.amount_minor
        low, high = reach_of(request)
        if not low <= wanted <= high or economics.surplus(wanted) < 0:
            return None
        tried = self._value(wanted, "tried", request, economics, self.demand_of(request), self.relief_of(request))
        moves = price != request.current
        return Quote(
            best=price,
            current=request.current,
            action="move" if moves else "hold",
            because=Because.EXPLORING if moves else Because.BEST_ALREADY,
            reason="Tried to learn what demand does at this price; the owner allows a share of such prices.",
            confidence=1.0,
            expected_profit_per_day=major_amount(tried.profit, price.currency),
            margin=Money(amount_minor=economics.net(wanted), currency=price.currency),
            elasticity=None,
        )

    def rate_at(self, request: QuoteRequest, price: int) -> float:
        """Expected sales a day at the price, by what the history says and the prior where it is silent."""
        return self.demand_of(request).rate(float(price))

    def demand_of(self, request: QuoteRequest) -> Demand:
        """What is believed of demand after the listing's history, around its price now."""
        return learn(
            self.settings.prior,
            float(request.current.amount_minor),
            ((float(p.price.amount_minor), p.units, p.exposure_hours) for p in request.history),
            (float(price) for price in request.rival_prices()),
        )

    def relief_of(self, request: QuoteRequest) -> float:
        """What a sale of old stock is worth beyond its profit, in minor units: part of the cost it frees."""
        settings = self.settings
        age = (request.days_since_last_sale - settings.stale_after_days) / settings.stale_ramp_days
        cost = request.unit_cost.amount_minor if request.unit_cost else 0
        return settings.stale_relief * min(max(age, 0.0), 1.0) * cost

    def _value(
        self,
        price: int,
        label: str,
        request: QuoteRequest,
        economics: UnitEconomics,
        demand: Demand,
        relief: float,
    ) -> _Candidate:
        net = economics.net(price)
        sold = sold_in_time(demand.rate(float(price)), request.stock, self.settings.waiting(request.restock_days))
        return _Candidate(price, label, sold * (net + relief), sold * net)

    def _decide(
        self, request: QuoteRequest, best: _Candidate, hold: _Candidate, in_bounds: bool, relief: float
    ) -> tuple[Because, float]:
        """The reason, and the share by which a move had to beat staying."""
        asked = self.settings.min_gain
        tolerance = best.price * self.settings.return_tolerance_bps
        returning = any(abs(p.amount_minor - best.price) * BPS <= tolerance for p in request.recent_prices)
        if returning:
            asked *= self.settings.return_factor
        if not in_bounds:
            return Because.OUT_OF_BOUNDS, 0.0
        if request.stock <= 0:
            return Because.NO_STOCK, asked
        gain = best.score - hold.score
        if best.price == hold.price or gain < asked * hold.score:
            worth = best.price != hold.price and gain >= self.settings.min_gain * hold.score
            return (Because.NO_RETURN if returning and worth else Because.BEST_ALREADY), asked
        if best.price > hold.price:
            return Because.UP, asked
        rivals = request.rival_prices()
        if rivals and min(rivals) < hold.price and best.price <= min(rivals):
            return Because.RIVAL, asked
        return (Because.STALE if relief > 0 else Because.DOWN), asked

    def _confidence(
        self,
        because: Because,
        best: _Candidate,
        hold: _Candidate,
        asked: float,
        request: QuoteRequest,
        economics: UnitEconomics,
        demand: Demand,
        relief: float,
    ) -> float:
        """Posterior probability that the move earns more than staying, or that staying loses less than was asked."""
        if because in (Because.OUT_OF_BOUNDS, Because.NO_STOCK):
            return 1.0
        moving = because.action == "move"
        values = (economics.net(best.price) + relief, economics.net(hold.price) + relief)
        return odds_of_more(
            demand,
            (best.price, values[0]),
            (hold.price, values[1]),
            request.stock,
            self.settings.waiting(request.restock_days),
            None if moving else 1 + asked,
        )


def odds_of_more(
    demand: Demand,
    one: tuple[int, float],
    other: tuple[int, float],
    stock: int,
    discount: float,
    at_most: float | None = None,
) -> float:
    """Posterior probability that `one` earns more a day than `other`, each (price, worth of a sale there); with
    `at_most`, that it earns no more than so many times as much."""
    sure = 0.0
    rates = zip(demand.weights, demand.rates(float(one[0])), demand.rates(float(other[0])), strict=True)
    for weight, at_one, at_other in rates:
        first = sold_in_time(at_one, stock, discount) * one[1]
        second = sold_in_time(at_other, stock, discount) * other[1]
        if (first > second * (1 + TIE)) if at_most is None else (first <= second * (at_most + TIE)):
            sure += weight
    return min(sure, 1.0)


def _require_one_currency(request: QuoteRequest) -> None:
    currency = request.current.currency
    own = (request.unit_cost, request.shipping_cost, request.shipping_charged, request.floor, request.ceiling)
    amounts = (*own, request.min_margin, *request.recent_prices, *(period.price for period in request.history))
    if any(amount is not None and amount.currency != currency for amount in amounts) or (
        request.fees is not None and request.fees.currency != currency
    ):
        raise CurrencyMismatchError(f"every amount of a quote must be in {currency}")


def missing_facts(request: QuoteRequest) -> str:
    """What has to be known before a price can be chosen and is not, in words; empty where nothing is missing."""
    if request.current.amount_minor <= 0:
        return "the current price is not a price"
    if request.unit_cost is None or request.unit_cost.amount_minor <= 0:
        return "the unit cost is not known"
    if request.shipping_cost is None or request.shipping_cost.amount_minor < 0:
        return "the cost of shipping is not known"
    if request.fees is None or not request.fees.in_force(request.at):
        return "the channel's fees are not known"
    if request.ceiling is None or request.ceiling.amount_minor <= 0:
        return "no ceiling is set"
    return ""


def economics_of(request: QuoteRequest) -> UnitEconomics:
    """Of one unit; what is unknown counts as nothing."""

    def minor(amount: Money | None) -> int:
        return 0 if amount is None else amount.amount_minor

    return UnitEconomics(
        terms=request.fees.terms(request.at) if request.fees else (),
        unit_cost=minor(request.unit_cost),
        shipping_cost=minor(request.shipping_cost),
        shipping_charged=minor(request.shipping_charged),
        tax_bps=request.tax_bps,
        min_margin=minor(request.min_margin),
        margin_bps=request.min_margin_bps,
    )


def reach_of(request: QuoteRequest) -> tuple[int, int]:
    """Lowest and highest price within the owner's bounds and one step."""
    current = request.current.amount_minor
    floor = request.floor.amount_minor if request.floor else 1
    ceiling = request.ceiling.amount_minor if request.ceiling else 0
    low = max(floor, -(-current * (BPS - request.max_step_down_bps) // BPS), 1)
    return low, min(ceiling, current * (BPS + request.max_step_up_bps) // BPS)


def _candidates(request: QuoteRequest, lowest: int, high: int) -> list[tuple[int, str]]:
    current = request.current.amount_minor
    grid = []
    for step in range(1, GRID_STEPS + 1):
        grid.append((current + current * request.max_step_up_bps * step // (BPS * GRID_STEPS), "a step up"))
        grid.append((current - current * request.max_step_down_bps * step // (BPS * GRID_STEPS), "a step down"))
    grid += [(lowest, "the lowest price in reach"), (high, "the highest price in reach")]
    rivals = request.rival_prices()
    if rivals:
        grid += [(min(rivals) - 1, "just under the cheapest rival"), (min(rivals), "level with the cheapest rival")]
    return grid


def _pick(options: list[_Candidate], current: int) -> _Candidate:
    """The highest score; among equals the price nearest to the current one, then the lower one."""
    top = max(option.score for option in options)
    equal = [option for option in options if option.score >= top - TIE * abs(top)]
    return min(equal, key=lambda option: (abs(option.price - current), option.price))


def major_amount(minor: float, currency: str) -> Decimal:
    """Minor units as major units, to four places."""
    return (Decimal(repr(round(minor, 4))).scaleb(-minor_digits(currency))).quantize(Decimal("0.0001"))


def _alternatives(
    options: list[_Candidate], hold: _Candidate, chosen: _Candidate, currency: str
) -> tuple[PriceAlternative, ...]:
    """The three best other prices, the current one among them when we leave it."""
    by_price = {option.price: option for option in reversed(options)}
    by_price[hold.price] = hold
    by_price.pop(chosen.price, None)
    ranked = sorted(by_price.values(), key=lambda option: (-option.score, option.price))[:3]
    if chosen.price != hold.price and hold not in ranked:
        ranked[-1:] = [hold]
    return tuple(
        PriceAlternative(
            price=Money(amount_minor=option.price, currency=currency),
            expected_profit_per_day=major_amount(option.profit, currency),
            why=option.label,
        )
        for option in ranked
    )


def _reason(because: Because, best: _Candidate, hold: _Candidate, request: QuoteRequest, asked: float) -> str:
    gain = f"{(best.score / hold.score - 1):+.1%} expected profit" if hold.score > 0 else "a profit where there is none"
    rivals = request.rival_prices()
    words = {
        Because.BEST_ALREADY: f"No price in reach is expected to earn {asked:.0%} more than this one.",
        Because.NO_RETURN: "The better price was left lately; going back needs a larger gain, or prices would circle.",
        Because.NO_STOCK: "There is nothing to sell.",
        Because.UP: f"A higher price earns more on what still sells: {gain}.",
        Because.DOWN: f"A lower price sells enough more: {gain}.",
        Because.RIVAL: f"Meeting the cheapest rival in stock pays at this cost: {gain}.",
        Because.STALE: f"Nothing sold for {request.days_since_last_sale:.0f} days; a markdown frees the money: {gain}.",
        Because.OUT_OF_BOUNDS: "The price now is outside its floor, ceiling or margin; this is the best one inside.",
    }[because]
    if rivals and min(rivals) < best.price and because.action == "hold":
        words += " The cheapest rival is lower; following is not worth it."
    return words


def _blocked(request: QuoteRequest, because: Because, words: str) -> Quote:
    return Quote(
        best=request.current,
        current=request.current,
        action="blocked",
        because=because,
        reason=words,
        confidence=1.0,
        expected_profit_per_day=None,
        margin=None,
        elasticity=None,
    )
