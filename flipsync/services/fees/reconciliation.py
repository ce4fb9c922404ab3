"""Predicted net against what the vendor settled: every difference has a name, and their sum is the whole difference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from flipsync.services.fees.engine import PredictedFee, Prediction, Refunded
from flipsync.services.fees.tariff import fee_types
from flipsync.services.pricing.fees import PPM

Named = Literal[
    "rounding",
    "missing_fee",
    "unexpected_fee",
    "wrong_rate",
    "refund_fee_kept",
    "refund_fee_wrong",
    "tax_on_fee",
    "wrong_proceeds",
    "unknown_line",
]

_PROCEEDS = ("goods", "shipping", "tax")
#: lines of a settlement that tells no more than these, whichever vendor's
PROCEEDS, ALL_FEES = "proceeds", "all fees"
#: what the vendors call it in settlements: Amazon's finances and flat files, eBay's Finances API, Stripe's and
#: Shopify's balance transactions, PayPal's transaction search; to the kinds of ours it covers (empty: all fees)
VENDOR_NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "amazon": {
        "Principal": ("goods",),
        "Shipping": ("shipping",),
        "GiftWrap": ("shipping",),
        "Tax": ("tax",),
        "MarketplaceFacilitatorTax": ("tax",),
        "Commission": ("referral",),
        "VariableClosingFee": ("closing",),
        "FixedClosingFee": ("per_item",),
        "RefundCommission": ("refund_administration",),
        "FBAPerUnitFulfillmentFee": ("fba_fulfilment", "fba_fuel_surcharge"),
        "DigitalServicesFee": ("digital_services",),
        "RentalBookServiceFee": ("rental_book_service",),
        "TaxOnFees": ("tax_on_fees",),
    },
    "ebay": {
        "SALE": ("goods",),
        "SHIPPING": ("shipping",),
        "COLLECTED_TAX": ("tax",),
        "FINAL_VALUE_FEE": ("final_value",),
        "FINAL_VALUE_FEE_FIXED_PER_ORDER": ("per_order",),
        "INTERNATIONAL_FEE": ("international",),
        "AD_FEE": ("promoted_general",),
        "BELOW_STANDARD_FEE": ("below_standard",),
        "HIGH_ITEM_NOT_AS_DESCRIBED_FEE": ("not_as_described",),
        "REGULATORY_OPERATING_FEE": ("regulatory_operating",),
        "VAT": ("tax_on_fees",),
    },
    "custom": {"order": _PROCEEDS, "commission": ("commission",)},
    "shopify": {"charge": ("goods", "shipping", "tax"), "fee": (), "transaction_fee": ("third_party_transaction",)},
    "woocommerce": {
        "charge": ("goods", "shipping", "tax"),
        "stripe_fee": (),
        "paypal_fee": (),
        "tax": ("tax_on_fees",),
    },
}


@dataclass(frozen=True, slots=True)
class SettledLine:
    """One line of a settlement in minor units as the vendor signs it: what it pays is above zero. `refund`: it is part
    of a refund."""

    name: str
    amount: int
    refund: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """Settled less predicted, in minor units: below zero the vendor took more, or paid less."""

    named: Named
    what: str
    predicted: int
    settled: int
    why: str

    @property
    def amount(self) -> int:
        return self.settled - self.predicted


@dataclass(frozen=True, slots=True)
class Reconciled:
    predicted: int
    settled: int
    differences: tuple[Difference, ...]

    @property
    def unexplained(self) -> int:
        """What the named differences do not add up to: always 0."""
        return self.settled - self.predicted - sum(each.amount for each in self.differences)


def reconcile(prediction: Prediction, lines: Iterable[SettledLine], refund: Refunded | None = None) -> Reconciled:
    """Compare an order's prediction, and its refund's, with the lines the vendor settled for it."""
    sale = prediction.sale
    names = {PROCEEDS: _PROCEEDS, ALL_FEES: ()} | VENDOR_NAMES.get(sale.vendor, {})
    settled_of: dict[tuple[bool, tuple[str, ...]], int] = {}
    unknown: list[SettledLine] = []
    for line in lines:
        covers = names.get(line.name)
        if covers is None:
            kinds = {kind for vendor, kind in fee_types() if vendor == sale.vendor}
            covers = (line.name,) if line.name in kinds else None
        if covers is None:
            unknown.append(line)
            continue
        # proceeds are told together by some vendors and apart by others: they are compared as one
        covers = _PROCEEDS if covers and set(covers) <= set(_PROCEEDS) else covers
        settled_of[line.refund, covers] = settled_of.get((line.refund, covers), 0) + line.amount

    expected = _expected(prediction, refund, {covers for _, covers in settled_of})
    found = [
        _compare(prediction, key, expected.get(key, (0, ()))[0], settled_of.get(key), expected.get(key, (0, ()))[1])
        for key in [*expected, *(key for key in settled_of if key not in expected)]
    ]
    differences = [each for each in found if each is not None]
    differences += [
        Difference("unknown_line", line.name, 0, line.amount, "no fee of this name is known: look it up and add it")
        for line in unknown
    ]
    predicted = sum(amount for amount, _ in expected.values())
    settled = sum(settled_of.values()) + sum(line.amount for line in unknown)
    return Reconciled(predicted, settled, tuple(differences))


_Key = tuple[bool, tuple[str, ...]]


def _expected(
    prediction: Prediction, refund: Refunded | None, told: set[tuple[str, ...]]
) -> dict[_Key, tuple[int, tuple[PredictedFee, ...]]]:
    """Signed amounts by what a settled line may cover, with the fees behind them."""
    wholesale = () in told
    expected: dict[_Key, tuple[int, tuple[PredictedFee, ...]]] = {}
    proceeds = prediction.payout + prediction.fee_total
    expected[False, _PROCEEDS] = (proceeds, ())
    parts: list[tuple[bool, Sequence[PredictedFee]]] = [(False, prediction.fees)]
    if refund is not None:
        expected[True, _PROCEEDS] = (-refund.amount, ())
        parts.append((True, refund.fees))
    for refunded, fees in parts:
        for fee in fees:
            apart = (fee.kind,) in told or not wholesale
            key: _Key = (refunded, (fee.kind,) if apart else ())
            amount, behind = expected.get(key, (0, ()))
            expected[key] = (amount - fee.amount, (*behind, fee))
    return expected


def _compare(
    prediction: Prediction, key: _Key, predicted: int, settled: int | None, fees: tuple[PredictedFee, ...]
) -> Difference | None:
    refunded, covers = key
    what = " and ".join(covers) or "all fees"
    if refunded:
        what = f"{what} of the refund"
    told = settled or 0
    if told == predicted:
        return None
    if covers == _PROCEEDS:
        return Difference("wrong_proceeds", what, predicted, told, "the vendor counts other goods, shipping or tax")
    if covers == ("tax_on_fees",) and not fees:
        taken = prediction.fee_total
        share = f"{-told * 100 / taken:.2f} % of the fees" if taken else "no fees to be on"
        return Difference(
            "tax_on_fee", what, 0, told, f"tax on fees is charged ({share}): set vat_on_fees, or a tax id"
        )
    units = sum(item.units for item in prediction.sale.items)
    if settled is None:
        named: Named = "refund_fee_kept" if refunded and predicted > 0 else "missing_fee"
        return Difference(named, what, predicted, 0, "predicted, and not in the settlement")
    if not fees:
        return Difference("unexpected_fee", what, 0, told, "charged, and no row of the tables asks for it here")
    if abs(told - predicted) <= max(1, units, len(fees)):
        return Difference("rounding", what, predicted, told, "the vendor rounds otherwise")
    if refunded:
        return Difference("refund_fee_wrong", what, predicted, told, "another share of the fee came back")
    base = prediction.gross + prediction.tax
    implied = f"it comes to {-told * 100 / base:.3f} % of {base}" if base else "there is no base"
    sources = ", ".join(sorted({f"{fee.tariff.source} ({fee.tariff.confidence})" for fee in fees}))
    rate = " + ".join(f"{fee.tariff.rate.at(base) * 100 / PPM:g} %" for fee in fees)
    return Difference("wrong_rate", what, predicted, told, f"predicted by {rate}, {implied}; see {sources}")
