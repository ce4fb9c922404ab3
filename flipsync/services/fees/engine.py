"""The fees of one order by the tables, what the vendor pays out, and what is given back with a refund.

Rounding: a fee charged on each unit (Amazon's referral fee) is rounded for one unit and taken as often as there are
units; one on each line (eBay's final value fee, by the line's category) for each line; one on the order once; a fee on
fees (tax on fees) for each fee it is taken on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from flipsync.domain.errors import InvalidInput
from flipsync.services.fees.profile import HOME, FeeProfile
from flipsync.services.fees.tariff import BY_ORDER, Ladder, Tariff, choose, missing, rows_of
from flipsync.services.pricing.fees import PPM, divide

#: vendors that pay the tax the buyer paid out to us; marketplaces keep it and pay it to the state themselves
TAX_IS_OURS_TO_PAY = frozenset({"shopify", "woocommerce", "custom", "vendure", "medusa", "python"})


def tax_is_ours_to_pay(vendor: str) -> bool:
    """Whether the tax buyers paid there comes to us, for us to pay to the state."""
    return vendor in TAX_IS_OURS_TO_PAY


@dataclass(frozen=True, slots=True)
class SoldItem:
    """One line of an order: amounts of all its units in minor units, goods after discounts, before added tax."""

    goods: int
    units: int = 1
    shipping: int = 0
    tax: int = 0
    category: str = ""
    size: str = ""


@dataclass(frozen=True, slots=True)
class Sale:
    """An order as its fees depend on it. `flags` come on top of the profile's (international, promoted, …)."""

    vendor: str
    currency: str
    at: datetime
    items: tuple[SoldItem, ...]
    profile: FeeProfile
    flags: frozenset[str] = frozenset()

    @property
    def country(self) -> str:
        return self.profile.country or HOME.get(self.currency, "")


@dataclass(frozen=True, slots=True)
class PredictedFee:
    """A fee of one item (its place in the order) or, with None, of the whole order; and the row it comes from."""

    kind: str
    amount: int
    tariff: Tariff
    item: int | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the vendor will take and pay out for one order. Minor units."""

    sale: Sale
    gross: int
    tax: int
    fees: tuple[PredictedFee, ...]

    @property
    def fee_total(self) -> int:
        return sum(fee.amount for fee in self.fees)

    @property
    def net(self) -> int:
        """Goods and shipping less fees; tax is not ours in either case."""
        return self.gross - self.fee_total

    @property
    def payout(self) -> int:
        """What is paid out: with the tax, where it is ours to pay to the state."""
        return self.net + (self.tax if self.sale.vendor in TAX_IS_OURS_TO_PAY else 0)

    def by_kind(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for fee in self.fees:
            found[fee.kind] = found.get(fee.kind, 0) + fee.amount
        return found


def predict(sale: Sale) -> Prediction:
    """Every fee of the order, by the rows in force when it was placed.

    Raises InvalidInput when nothing is known about the vendor's fees in that country and currency: unknown is not zero.
    """
    rows = [
        row
        for row in rows_of(sale.vendor, sale.country)
        if row.holds(sale.at) and row.per in BY_ORDER and row.currency == sale.currency
    ]
    if not rows and sale.profile.commission_bps is not None:
        rows = [_commission(sale)]
    if not rows:
        raise InvalidInput(
            f"the fees of {sale.vendor} in {sale.country or sale.currency} are not known on {sale.at:%Y-%m-%d}",
            hint="Add rows to services/fees/tariffs, or tell the account's fees by hand.",
        )
    profile, flags = sale.profile, sale.profile.flags | sale.flags
    ad_rate = profile.ad_rate_bps * 100
    fees: list[PredictedFee] = []
    for index, item in enumerate(sale.items):
        scopes = tuple(filter(None, (item.category or profile.category, profile.plan, item.size or profile.size)))
        by_unit = [row for row in rows if row.per in ("unit", "line")]
        chosen = choose(by_unit, flags, scopes)
        if unknown := missing(chosen, flags):
            raise InvalidInput(
                f"{unknown[0]} of this item is not known", hint="Set its size tier: " + ", ".join(scopes)
            )
        for kind, row in chosen.items():
            times = item.units if row.per == "unit" else 1
            each = row.fee(_base(row, item.goods, item.shipping, item.tax), share_of=times, ad_rate_ppm=ad_rate)
            fees.append(PredictedFee(kind, each * times, row, index))
    goods, shipping = sum(item.goods for item in sale.items), sum(item.shipping for item in sale.items)
    tax = sum(item.tax for item in sale.items)
    scopes = tuple(filter(None, (_category(sale), profile.plan, profile.size)))
    by_order = choose([row for row in rows if row.per == "order"], flags, scopes)
    on_fees = [row for row in by_order.values() if row.basis == "fees"]
    for kind, row in by_order.items():
        if row.basis != "fees":
            fees.append(PredictedFee(kind, row.fee(_base(row, goods, shipping, tax), ad_rate_ppm=ad_rate), row))
    # a levy on fees comes before the tax on fees, which is taken on it too
    for row in sorted(on_fees, key=lambda each: each.kind == "tax_on_fees"):
        fees.append(PredictedFee(row.kind, sum(row.fee(fee.amount) for fee in fees), row))
    return Prediction(sale, goods + shipping, tax, tuple(fees))


def _commission(sale: Sale) -> Tariff:
    """The fee of a channel without a table, as its owner tells it: a share of goods and shipping, and an amount."""
    return Tariff(
        vendor=sale.vendor,
        country=sale.country,
        currency=sale.currency,
        kind="commission",
        scope="",
        when=frozenset(),
        rate=Ladder(((None, (sale.profile.commission_bps or 0) * 100),)),
        fixed=Ladder(((None, sale.profile.commission_fixed_minor * PPM),)),
        least=None,
        most=None,
        basis="item+shipping",
        per="order",
        rounding="half_up",
        on_refund="returned" if sale.profile.commission_returned else "kept",
        since=sale.at,
        until=None,
        confidence="confirmed",
        source="the owner's setting",
    )


def _category(sale: Sale) -> str:
    """The category of fees on the whole order: that of the dearest item."""
    dearest = max(sale.items, key=lambda item: item.goods)
    return dearest.category or sale.profile.category


def _base(row: Tariff, goods: int, shipping: int, tax: int) -> int:
    if row.basis == "item":
        return goods
    return goods + shipping + (tax if row.basis == "total" else 0)


@dataclass(frozen=True, slots=True)
class Refunded:
    """What a refund changes: fees given back (negative) and fees of the refund itself. Minor units."""

    amount: int
    before_tax: int
    fees: tuple[PredictedFee, ...]

    @property
    def payout(self) -> int:
        return -self.amount - sum(fee.amount for fee in self.fees)


def predict_refund(
    prediction: Prediction, refunded: int, *, units: Mapping[int, int] | None = None, at: datetime | None = None
) -> Refunded:
    """The refund of `refunded` minor units (goods and shipping) of an order; tax follows in proportion.

    `units` are the units given back by item, where whole units were: their fees come back as they were charged. Without
    them a fee comes back in proportion to the money. What the vendor keeps does not come back.
    """
    if not 0 <= refunded <= prediction.gross or not prediction.gross:
        raise InvalidInput(f"{refunded} cannot be refunded of an order of {prediction.gross} minor units")
    sale, profile = prediction.sale, prediction.sale.profile
    rows = [
        row
        for row in rows_of(sale.vendor, sale.country)
        if row.per in ("refund", "refund_line") and row.holds(at or sale.at)
    ]
    flags = profile.flags | sale.flags
    fees: list[PredictedFee] = []
    for fee in prediction.fees:
        whole = units is not None or refunded == prediction.gross
        if fee.tariff.on_refund == "kept" or (fee.tariff.on_refund == "returned_in_full" and not whole):
            continue
        sold = sale.items[fee.item].units if fee.item is not None and fee.tariff.per == "unit" else 1
        gone = units.get(fee.item or 0, 0) if units is not None and fee.tariff.per == "unit" else None
        back = divide(fee.amount * refunded, prediction.gross, "half_up") if gone is None else fee.amount // sold * gone
        if back:
            fees.append(PredictedFee(fee.kind, -back, fee.tariff, fee.item))
        item = sale.items[fee.item] if fee.item is not None else sale.items[0]
        for kind, row in choose(rows, flags, (item.category or profile.category, profile.plan)).items():
            if row.basis == fee.kind and back:
                times = (gone or 1) if row.per == "refund" else 1
                fees.append(PredictedFee(kind, row.fee(back, share_of=times) * times, row, fee.item))
    tax = divide(prediction.tax * refunded, prediction.gross, "half_up")
    return Refunded(refunded + (tax if sale.vendor in TAX_IS_OURS_TO_PAY else 0), refunded, tuple(fees))
