"""What one order earns: every fee by the tables with its source, the payout, cost of goods, and what the channel says.

The figures are a prediction until the vendor settles; where the channel already tells what it keeps, the difference is
named. Money given back is counted, with the fees that come back or stay.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.domain.money import Money
from flipsync.services.fees.engine import PredictedFee, Prediction, Refunded, Sale, SoldItem, predict, predict_refund
from flipsync.services.fees.profile import FeeProfile, default_profile
from flipsync.services.fees.reconciliation import ALL_FEES, PROCEEDS, Named, SettledLine, reconcile
from flipsync.services.pricing.fees import divide
from flipsync.services.tenant_settings import PricingChoices, TenantSettings
from flipsync.store.reading import Reader
from flipsync.store.repositories import reading_selling as rows


class ProfitValue(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PredictedLine(ProfitValue):
    """One fee; below zero it comes back with a refund. `source` is the page the figure is from, and how sure it is."""

    kind: str
    amount: Money
    source: str


class NamedDifference(ProfitValue):
    """What the channel keeps beyond what was predicted (below zero: less), and the name of the difference."""

    named: Named
    amount: Money
    why: str


class OrderProfit(ProfitValue):
    """`net` is goods and shipping less fees and refunds; `profit` also less cost of goods (None: a cost is unknown)."""

    order_id: UUID
    account_id: UUID
    gross: Money = Field(description="goods and shipping, without tax")
    refunded: Money
    fees: list[PredictedLine]
    fee_total: Money
    net: Money
    cost_of_goods: Money | None
    profit: Money | None
    told_by_channel: Money | None = Field(description="what the channel says it keeps")
    differences: list[NamedDifference]


async def order_profit(reader: Reader, order_id: UUID) -> OrderProfit:
    """Raises NotFound, and InvalidInput where the vendor's fees on that day are not known."""
    found, lines, refunds, tenants = await reader.ask(
        rows.ORDER(order_id=order_id),
        rows.LINES(order_id=order_id),
        rows.REFUNDS(order_id=order_id),
        rows.SETTINGS(order_id=order_id),
    )
    if not found:
        raise NotFound(f"no order {order_id}")
    order = found[0]
    if not lines:
        raise InvalidInput("the order has no lines, so there is nothing to take fees of")
    choices = TenantSettings.model_validate(tenants[0].settings).pricing
    prediction = predict(sale_of(order, lines, choices))
    refund = _refund(prediction, sum(row.amount_minor for row in refunds))
    return _told(order, lines, prediction, refund)


def sale_of(order: Any, lines: Any, choices: PricingChoices) -> Sale:
    """An order of the books as the fee engine takes it: shipping is shared over the lines by their goods."""
    profile = choices.fees.get(order.vendor) or default_profile(order.vendor)
    if profile.commission_bps is None:
        told = {
            "commission_bps": choices.marketplace_fee_bps,
            "commission_fixed_minor": choices.marketplace_fee_fixed_minor,
        }
        profile = FeeProfile.model_validate(profile.model_dump() | told)
    goods, untold_tax = sum(line.total_minor for line in lines), order.tax_minor - sum(line.tax_minor for line in lines)
    items, before = [], 0
    for index, line in enumerate(lines):
        upto = before + line.total_minor
        shipping = share(order.shipping_minor, upto, goods) - share(order.shipping_minor, before, goods)
        if not goods and index == 0:
            shipping = order.shipping_minor
        tax = line.tax_minor + (max(0, untold_tax) if index == 0 else 0)
        items.append(SoldItem(line.total_minor, max(1, line.quantity), shipping, tax))
        before = upto
    return Sale(order.vendor, order.currency, order.placed_at, tuple(items), profile)


def share(whole: int, part: int, of: int) -> int:
    return divide(whole * part, of, "half_up") if of else 0


def refunded_before_tax(gross: int, tax: int, amount: int) -> int:
    """Refunds are told with their tax: the part of `amount` that is not tax."""
    return min(gross, share(gross, amount, gross + tax)) if amount and gross else 0


def refund_fees(prediction: Prediction, amount: int) -> tuple[PredictedFee, ...]:
    """Fees that come back (below zero) or are taken because so much was given back, tax in it."""
    refund = _refund(prediction, amount)
    return refund.fees if refund else ()


def _refund(prediction: Prediction, amount: int) -> Refunded | None:
    """Fees come back on what was refunded before its tax."""
    if not amount or not prediction.gross:
        return None
    return predict_refund(prediction, refunded_before_tax(prediction.gross, prediction.tax, amount))


def _told(order: Any, lines: Any, prediction: Prediction, refund: Refunded | None) -> OrderProfit:
    currency = order.currency

    def money(minor: int) -> Money:
        return Money(amount_minor=minor, currency=currency)

    fees = [*prediction.fees, *(refund.fees if refund else ())]
    total = sum(fee.amount for fee in fees)
    back = refund.before_tax if refund else 0
    cost = None
    if all(line.cost_minor is not None for line in lines):
        cost = sum(line.cost_minor * max(0, line.quantity - line.returned) for line in lines)
    net = prediction.gross - back - total
    differences = []
    if order.fee_minor is not None:
        settled = (
            SettledLine(PROCEEDS, prediction.payout + prediction.fee_total),
            SettledLine(ALL_FEES, -order.fee_minor),
        )
        differences = [
            NamedDifference(named=each.named, amount=money(-each.amount), why=each.why)
            for each in reconcile(prediction, settled).differences
        ]
    return OrderProfit(
        order_id=order.id,
        account_id=order.account_id,
        gross=money(prediction.gross),
        refunded=money(back),
        fees=[
            PredictedLine(
                kind=fee.kind, amount=money(fee.amount), source=f"{fee.tariff.source} ({fee.tariff.confidence})"
            )
            for fee in fees
        ],
        fee_total=money(total),
        net=money(net),
        cost_of_goods=None if cost is None else money(cost),
        profit=None if cost is None else money(net - cost),
        told_by_channel=None if order.fee_minor is None else money(order.fee_minor),
        differences=differences,
    )
