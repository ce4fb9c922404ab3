"""The featured offer (Amazon's Buy Box): who holds it, from which price it could be ours, and whether that pays.

A channel says whose offer it puts first. What it would ask of us it does not: a lower price is needed, delivery and the
account's health count as well, so the price told is the least that must be met and no promise. Nor is known how many
buyers look no further. What can be said without knowing it: being first at a price that leaves less of a sale pays if
it brings more than (what a sale leaves now) / (what it leaves then) times the sales.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from flipsync.domain.channel import RivalOffer
from flipsync.domain.money import Money
from flipsync.services.pricing.economics import UnitEconomics
from flipsync.services.pricing.quote import PolicyValue, QuoteRequest


class Featured(PolicyValue):
    """One rival is put first. Nothing is told where the channel puts nobody first, or us."""

    seller: str
    theirs: Money = Field(description="with its shipping, as buyers compare it")
    ours_from: Money = Field(description="our price that is a minor unit below theirs, shipping counted alike")
    margin: Money = Field(description="what a sale leaves there")
    allowed: bool = Field(description="whether floor and margin let us go there; perhaps in several steps")
    sales_needed: float | None = Field(
        description="it pays from so many times the sales of the price now; None where no number of sales pays"
    )
    sales_expected: float = Field(description="times the sales of now, by price alone as demand is believed to be")


def featured(
    request: QuoteRequest, economics: UnitEconomics, relief: float, rate: Callable[[float], float]
) -> Featured | None:
    """`relief` is what a sale of old stock frees, `rate` the sales a day at a price. None where no rival is first."""
    first = _first(request)
    if first is None:
        return None
    shipping = request.shipping_charged.amount_minor if request.shipping_charged else 0
    current, ours = request.current.amount_minor, max(first.price.amount_minor - 1 - shipping, 1)
    now, then = (economics.net(price) + relief for price in (current, ours))
    lowest = economics.floor_price(request.floor.amount_minor if request.floor else 1)
    return Featured(
        seller=first.seller,
        theirs=first.price,
        ours_from=Money(amount_minor=ours, currency=request.current.currency),
        margin=Money(amount_minor=economics.net(ours), currency=request.current.currency),
        allowed=lowest is not None and ours >= lowest,
        sales_needed=round(now / then, 4) if then > 0 and now > 0 else None,
        sales_expected=round(rate(float(ours)) / rate(float(current)), 4),
    )


def _first(request: QuoteRequest) -> RivalOffer | None:
    here = request.current.currency
    told = [rival for rival in request.rivals if rival.featured and rival.in_stock and rival.price.currency == here]
    return min(told, key=lambda rival: (rival.price.amount_minor, rival.seller), default=None)
