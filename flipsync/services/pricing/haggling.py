"""Best offers: what to answer a buyer who bids below the price.

A unit sold now is not there for whoever comes next. With n left that sell at r a day, and money that waits losing a
share d a day, the last of them is sold (r / (r + d))**n as valuably as now (`demand.sold_in_time`), so that much of
the usual profit is what keeping it is worth: next to nothing of plenty, nearly all of the only one that sells soon.

A bid tells that the buyer pays at least it. What more they would pay is taken as Pareto above the bid, the law of
willingness that goes with demand of constant elasticity: a counter at c is agreed to with chance (bid / c)**h, and the
price as listed, which is what declining comes to, with (bid / list)**h. The answer with the highest expected gain over
keeping the unit is given; none below the firewall's floor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import CurrencyMismatchError, Money
from flipsync.services.pricing.demand import share_kept
from flipsync.services.pricing.policy import PricingPolicy, economics_of, missing_facts
from flipsync.services.pricing.quote import PolicyValue, QuoteRequest

#: h: how soon hagglers leave. Our estimate (of two who bid, one agrees to a fifth more); never below the elasticity
#: that the listing's own sales show
HAGGLER_TAIL = 4.0
#: counters that are compared, evenly between the least that may be asked and the price
STEPS = 400


class OfferAnswer(PolicyValue):
    """What to answer, what it was compared with, and the limits to type into a channel that answers by itself."""

    answer: Literal["accept", "counter", "decline"]
    offered: Money
    quantity: int
    listed: Money
    counter: Money | None = None
    net: Money = Field(description="what a unit sold at the bid leaves after fees and costs")
    kept_is_worth: Money = Field(description="what keeping a unit for the next buyers is worth")
    lowest: Money = Field(description="the lowest price that may be agreed to: the owner's floor, or the margin's")
    chance_agreed: float = Field(description="of the counter, or of a sale at the listed price after a no")
    accept_from: Money | None = Field(description="bids from here on are accepted; None: none below the price")
    otherwise: Literal["counter", "decline"] = Field(description="what lower bids get")
    reason: str


def answer_offer(request: QuoteRequest, policy: PricingPolicy, offered: Money, quantity: int = 1) -> OfferAnswer:
    """`offered` is a bid for each of `quantity` units.

    Raises CurrencyMismatchError, and InvalidInput for a bid that is none, more units than are on offer, or where
    cost, fees or ceiling are not known.
    """
    listed, currency = request.current, request.current.currency
    if offered.currency != currency:
        raise CurrencyMismatchError(f"the listing is in {currency}, the bid in {offered.currency}")
    if offered.amount_minor <= 0:
        raise InvalidInput("a bid is above zero")
    if not 1 <= quantity <= max(request.stock, 0):
        raise InvalidInput(f"the bid is for {quantity}, {max(request.stock, 0)} are on offer")
    if missing := missing_facts(request):
        raise InvalidInput(f"no bid can be judged: {missing}", hint="set it with PATCH /pricing/variants/{id}")
    economics, demand, relief = economics_of(request), policy.demand_of(request), policy.relief_of(request)
    lowest = economics.floor_price(request.floor.amount_minor if request.floor else 1)
    if lowest is None:
        raise InvalidInput("no price earns the margin after fees", hint="lower the margin or check the fees")
    price = listed.amount_minor
    usual = economics.net(price) + relief
    waiting = policy.settings.waiting(request.restock_days)
    kept = usual * share_kept(demand, float(price), request.stock, quantity, waiting)
    tail = max(HAGGLER_TAIL, demand.elasticity())
    asked = _best_ask(lowest, price, tail, lambda each: economics.net(each) + relief - kept)
    bid = offered.amount_minor
    money = {"currency": currency}
    otherwise: Literal["counter", "decline"] = "counter" if asked < price else "decline"
    answer: Literal["accept", "counter", "decline"] = "accept" if bid >= min(asked, price) else otherwise
    chance = 1.0 if answer == "accept" else (bid / min(asked, price)) ** tail
    return OfferAnswer(
        answer=answer,
        offered=offered,
        quantity=quantity,
        listed=listed,
        counter=Money(amount_minor=asked, **money) if answer == "counter" else None,
        net=Money(amount_minor=economics.net(bid), **money),
        kept_is_worth=Money(amount_minor=round(kept), **money),
        lowest=Money(amount_minor=lowest, **money),
        chance_agreed=round(chance, 4),
        accept_from=Money(amount_minor=asked, **money) if asked < price else None,
        otherwise=otherwise,
        reason=_reason(answer, chance, bid, lowest, kept, economics.net(bid) + relief, asked, currency),
    )


def _best_ask(lowest: int, price: int, tail: float, gain: Callable[[int], float]) -> int:
    """The price to ask of one who has bid less: the highest chance times gain. A bid that reaches it is accepted.

    The chance falls by the same power whatever was bid, so the bid does not matter to the best price.
    """
    if lowest >= price:
        return price
    asks = {lowest + (price - lowest) * step // STEPS for step in range(STEPS + 1)}
    return max(sorted(asks), key=lambda ask: gain(ask) * (lowest / ask) ** tail)


def _reason(
    answer: str, chance: float, bid: int, lowest: int, kept: float, net: float, asked: int, currency: str
) -> str:
    def told(minor: float) -> str:
        return str(Money(amount_minor=round(minor), currency=currency))

    below = f" The bid is below {told(lowest)}, the lowest that may be agreed to." if bid < lowest else ""
    worth = f"The bid leaves {told(net)}, keeping the unit for the next buyer is worth {told(kept)}"
    if answer == "accept":
        return f"{worth}; asking for more would lose too many buyers."
    if answer == "counter":
        return f"{worth}; of buyers who bid that, {chance:.0%} are expected to pay {told(asked)}.{below}"
    return f"{worth}; of buyers who bid that, {chance:.0%} are expected to pay the price.{below}"
