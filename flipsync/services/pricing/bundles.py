"""Bundles: goods sold together as one article, at less than they cost apart.

In one order they need one parcel and pay what fees are fixed per order once. Who buys the part that sells least (the
base) takes the rest as well with the chance that past orders show, (together + 0.5) / (orders + 10): without orders a
twentieth, our estimate. A discount is taken off the rest, so what a buyer faces is its price P - p instead of T - p,
and by constant elasticity e of its demand (what its own sales show) the chance grows to ((P - p) / (T - p)) ** -e times
that, at most to one. Against it stand those who would have paid the whole price, and what the rest's units are worth
unsold (`demand.share_kept`). The price with the highest gain is told, and that none pays where none does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from pydantic import Field

from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import Money
from flipsync.services.pricing.demand import share_kept
from flipsync.services.pricing.economics import NetProfit, UnitEconomics, net_profit
from flipsync.services.pricing.fees import BPS
from flipsync.services.pricing.policy import PricingPolicy, economics_of, missing_facts
from flipsync.services.pricing.quote import PolicyValue, QuoteRequest

#: how often buyers of one part take all, before any order is seen: so many of so many
PRIOR_TOGETHER, PRIOR_ORDERS = 0.5, 10.0
#: prices that are compared
STEPS = 400
MOST_PARTS = 10


@dataclass(frozen=True)
class Part:
    """One article of the bundle as it is on offer by itself on the same account."""

    listing_id: UUID
    sku: str
    quantity: int
    request: QuoteRequest
    rule: PricingPolicy

    @property
    def price(self) -> int:
        return self.request.current.amount_minor

    @property
    def rate(self) -> float:
        return self.rule.rate_at(self.request, self.price)

    def kept(self, units: int) -> float:
        """What `units` of it are worth unsold, minor units."""
        if units == 0:
            return 0.0
        worth = economics_of(self.request).net(self.price) + self.rule.relief_of(self.request)
        demand = self.rule.demand_of(self.request)
        waiting = self.rule.settings.waiting(self.request.restock_days)
        return worth * units * share_kept(demand, float(self.price), self.request.stock, units, waiting)


@dataclass(frozen=True)
class Together:
    """Orders of the account: with each part, by listing, and with the whole bundle in one."""

    orders: dict[UUID, int]
    together: int


class BundlePart(PolicyValue):
    listing_id: UUID
    sku: str
    quantity: int
    price: Money = Field(description="of one by itself")
    sold_per_day: float = Field(description="orders a day by itself")


class BundleQuote(PolicyValue):
    """What the bundle should cost, and why. `pays` is whether a discount earns more than selling the parts apart."""

    parts: tuple[BundlePart, ...]
    apart: Money = Field(description="what the parts cost one by one")
    lowest: Money = Field(description="the sum of the owner's floors, or the lowest that earns the margin")
    price: Money
    discount_bps: int
    pays: bool
    units: int = Field(description="bundles that can be made of what is on offer")
    sale: NetProfit = Field(description="what one sale of the bundle leaves, fee by fee")
    one_order_saves: Money = Field(description="fees and parcels, against an order for each article")
    base: str = Field(description="SKU of the part whose buyers the bundle is shown to")
    orders_seen: int = Field(description="orders with the base")
    orders_together: int = Field(description="orders with all of the bundle")
    taken_apart: float = Field(description="share of the base's buyers who take all at the whole price")
    taken: float = Field(description="the share at the price told")
    gain_per_day: Money = Field(description="over selling the parts apart; nothing where no discount pays")
    reason: str


def quote_bundle(parts: Sequence[Part], seen: Together, shipping_cost: Money | None = None) -> BundleQuote:
    """`shipping_cost` of the bundle's parcel; None: that of its dearest part.

    Raises InvalidInput for fewer than two articles, parts that are not all on offer, facts that are not known, and
    costs and fees that leave no price.
    """
    _require(parts)
    base = min(parts, key=lambda part: (part.rate, part.sku))
    whole = _whole(parts, shipping_cost)
    currency = base.request.current.currency
    apart = sum(part.price * part.quantity for part in parts)
    rest = [replace(part, quantity=part.quantity - (part is base)) for part in parts]
    lowest = whole.floor_price(sum(_floor(part) * part.quantity for part in parts) or 1)
    if lowest is None:
        raise InvalidInput("no price of the bundle earns the margin after fees", hint="lower the margin, check costs")
    alone = economics_of(base.request).net(base.price)
    kept = sum(part.kept(part.quantity) for part in rest)
    chance = (seen.together + PRIOR_TOGETHER) / (seen.orders.get(base.listing_id, 0) + PRIOR_ORDERS)
    spent = [part.price * part.quantity for part in rest]
    bend = sum(
        part.rule.demand_of(part.request).elasticity() * money for part, money in zip(rest, spent, strict=True)
    ) / sum(spent)

    def taken(price: int) -> float:
        return min(1.0, float(chance * ((price - base.price) / (apart - base.price)) ** -bend))

    def gain(price: int) -> float:
        """Of each who buys the base."""
        return taken(price) * (whole.net(price) - alone - kept)

    bottom = max(lowest, base.price + 1)
    asks = sorted({bottom + (apart - bottom) * step // STEPS for step in range(STEPS + 1)}) if bottom < apart else []
    best = max([*asks, apart], key=gain)
    more = (gain(best) - gain(apart)) * base.rate
    # as little as would not move a price is no reason for an article of its own
    enough = gain(best) > gain(apart) * (1 + base.rule.settings.min_gain)
    pays = best < apart and enough and round(more) > 0
    price = best if pays else max(apart, lowest)
    money = {"currency": currency}
    return BundleQuote(
        parts=tuple(
            BundlePart(
                listing_id=part.listing_id,
                sku=part.sku,
                quantity=part.quantity,
                price=part.request.current,
                sold_per_day=round(part.rate, 4),
            )
            for part in parts
        ),
        apart=Money(amount_minor=apart, **money),
        lowest=Money(amount_minor=lowest, **money),
        price=Money(amount_minor=price, **money),
        discount_bps=max((apart - price) * BPS // apart, 0),
        pays=pays,
        units=min(part.request.stock // part.quantity for part in parts),
        sale=_sale(parts, whole, price),
        one_order_saves=Money(
            amount_minor=whole.net(apart) - sum(economics_of(p.request).net(p.price) * p.quantity for p in parts),
            **money,
        ),
        base=base.sku,
        orders_seen=seen.orders.get(base.listing_id, 0),
        orders_together=seen.together,
        taken_apart=round(taken(apart), 4),
        taken=round(taken(price), 4) if price <= apart else 0.0,
        gain_per_day=Money(amount_minor=round(more) if pays else 0, **money),
        reason=_reason(base.sku, taken(apart), taken(best), apart, best, currency) if pays else _against(lowest, apart),
    )


def _require(parts: Sequence[Part]) -> None:
    if sum(part.quantity for part in parts) < 2 or any(part.quantity < 1 for part in parts):
        raise InvalidInput("a bundle has two articles or more, and at least one of each part")
    for part in parts:
        if missing := missing_facts(part.request):
            raise InvalidInput(
                f"{part.sku} cannot be part of a bundle: {missing}", hint="set it with PATCH /pricing/variants/{id}"
            )
        if part.request.stock < part.quantity:
            raise InvalidInput(f"{part.quantity} of {part.sku} are wanted, {max(part.request.stock, 0)} are on offer")


def _whole(parts: Sequence[Part], shipping_cost: Money | None) -> UnitEconomics:
    """The bundle as one article in one parcel."""
    each = [economics_of(part.request) for part in parts]
    dearest = max(one.shipping_cost for one in each)
    return UnitEconomics(
        terms=each[0].terms,
        unit_cost=sum(one.unit_cost * part.quantity for one, part in zip(each, parts, strict=True)),
        shipping_cost=dearest if shipping_cost is None else shipping_cost.amount_minor,
        shipping_charged=max(one.shipping_charged for one in each),
        tax_bps=max(one.tax_bps for one in each),
        min_margin=sum(one.min_margin * part.quantity for one, part in zip(each, parts, strict=True)),
        margin_bps=max(one.margin_bps for one in each),
    )


def _floor(part: Part) -> int:
    return part.request.floor.amount_minor if part.request.floor else 0


def _sale(parts: Sequence[Part], whole: UnitEconomics, price: int) -> NetProfit:
    request = parts[0].request
    assert request.fees is not None, "looked at before"
    money = {"currency": request.current.currency}
    return net_profit(
        Money(amount_minor=price, **money),
        Money(amount_minor=whole.unit_cost, **money),
        Money(amount_minor=whole.shipping_cost, **money),
        request.fees,
        request.at,
        shipping_charged=Money(amount_minor=whole.shipping_charged, **money),
        tax_bps=whole.tax_bps,
    )


def _reason(base: str, now: float, then: float, apart: int, price: int, currency: str) -> str:
    less = Money(amount_minor=apart - price, currency=currency)
    return f"For {less} less than apart, {then:.0%} of those who buy {base} are expected to take all, not {now:.0%}."


def _against(lowest: int, apart: int) -> str:
    if lowest >= apart:
        return "Together they may not be sold for less than apart: floors and margin forbid it."
    return "No discount pays: who takes all already, and what the units are worth by themselves, outweigh new buyers."
