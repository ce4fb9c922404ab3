"""Orders, and what the vendors would settle for them, written from the vendors' fee pages and from nothing of ours.

It imports nothing of FlipSync: its own tables, its own arithmetic (decimals of dollars, rounded half up to the cent
where the vendor rounds). Each order says in plain words how it was sold; the settlement is in the vendor's own words.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

CHANNELS = ("amazon", "ebay", "shopify", "woocommerce", "custom")
_CENT = Decimal("0.01")
_BEGIN = datetime(2024, 4, 1, tzinfo=UTC)
_DAYS = 760


@dataclass
class Line:
    """Dollars; `shipping` and `tax` are for all units of the line."""

    category: str
    unit_price: Decimal
    units: int
    shipping: Decimal
    tax: Decimal

    @property
    def goods(self) -> Decimal:
        return self.unit_price * self.units


@dataclass
class Order:
    """How it was sold: `ways` are international, promoted, individual plan, eBay store, PayPal, outside gateway."""

    channel: str
    placed: datetime
    lines: list[Line]
    ways: set[str] = field(default_factory=set)
    plan: str = ""
    ad_rate: Decimal = Decimal(0)
    commission: Decimal = Decimal(0)
    #: units given back by line; empty: nothing was
    returned: dict[int, int] = field(default_factory=dict)
    #: vendor's word, dollars (+ paid to us), part of the refund
    settlement: list[tuple[str, Decimal, bool]] = field(default_factory=list)

    def settle(self, word: str, dollars: Decimal, *, refund: bool = False) -> None:
        if dollars:
            self.settlement.append((word, dollars, refund))


def cents(dollars: Decimal) -> Decimal:
    return dollars.quantize(_CENT, rounding=ROUND_HALF_UP)


def pct(percent: str) -> Decimal:
    return Decimal(percent) / 100


# -- Amazon: sellercentral.amazon.com, Selling on Amazon fee schedule -------------------------------------------------


def amazon_referral(category: str, price: Decimal) -> Decimal:
    """Referral fee of one item sold for `price` in all (item and shipping; media: item alone)."""
    if category == "electronics accessories":
        fee = min(price, Decimal(100)) * pct("15") + max(Decimal(0), price - 100) * pct("8")
    elif category == "furniture":
        fee = min(price, Decimal(200)) * pct("15") + max(Decimal(0), price - 200) * pct("10")
    elif category == "jewelry":
        fee = min(price, Decimal(250)) * pct("20") + max(Decimal(0), price - 250) * pct("5")
    elif category == "grocery":
        return cents(price * (pct("8") if price <= 15 else pct("15")))
    elif category == "beauty and health":
        fee = price * (pct("8") if price <= 10 else pct("15"))
    elif category == "consumer electronics":
        fee = price * pct("8")
    elif category == "media":
        return cents(price * pct("15"))
    else:
        fee = price * pct("15")
    return max(cents(fee), Decimal("0.30"))


def settle_amazon(order: Order) -> None:
    for index, line in enumerate(order.lines):
        media = line.category == "media"
        each = amazon_referral(line.category, line.unit_price + (0 if media else line.shipping / line.units))
        order.settle("Principal", line.goods)
        order.settle("Shipping", line.shipping)
        order.settle("Tax", line.tax)
        order.settle("MarketplaceFacilitatorTax", -line.tax)
        order.settle("Commission", -each * line.units)
        if media:
            order.settle("VariableClosingFee", Decimal("-1.80") * line.units)
        if "individual" in order.ways:
            order.settle("FixedClosingFee", Decimal("-0.99") * line.units)
        back = order.returned.get(index, 0)
        if back:
            order.settle("Principal", -line.unit_price * back, refund=True)
            order.settle("Shipping", -cents(line.shipping * back / line.units), refund=True)
            order.settle("Commission", each * back, refund=True)
            if media:  # no administration fee, and with all of the price the closing fee comes back too
                order.settle("VariableClosingFee", Decimal("1.80") * back, refund=True)
            else:  # the lesser of 5 dollars and a fifth of the referral fee, of each unit given back
                order.settle("RefundCommission", -min(Decimal(5), cents(each / 5)) * back, refund=True)


# -- eBay: ebay.com, Selling fees; seller updates of 2023, 2024 and 2025 -----------------------------------------------


def ebay_final_value(order: Order, category: str, total: Decimal) -> Decimal:
    """Final value fee of one item for `total` paid in all, tax included: ebay.com/help id=4822, stores id=4809."""
    raised = order.placed >= datetime(2025, 2, 14, tzinfo=UTC)
    if category == "jewelry":
        if "store" in order.ways:
            return cents(total * (pct("13") if total <= 5_000 else pct("7")))
        return cents(total * (pct("15") if total <= 5_000 else pct("9")))
    store = "store" in order.ways
    if category == "handbags":
        return cents(total * (pct("13" if store else "15") if total <= 2_000 else pct("7" if store else "9")))
    upto = Decimal(2_500 if store else 7_500)
    if category == "trading cards":
        first = pct("12.35" if store else "13.25")
    elif category == "books and media":
        first = pct("15.3" if raised else "14.95")
    elif category == "guitars":
        first = pct("6.7" if raised else "6.35")
    elif store:
        first = pct("12.7" if raised else "12.35")
    else:
        first = pct("13.6" if raised else "13.25")
    return cents(min(total, upto) * first + max(Decimal(0), total - upto) * pct("2.35"))


def settle_ebay(order: Order) -> None:
    whole = sum((line.goods + line.shipping + line.tax for line in order.lines), Decimal(0))
    fees = []
    for line in order.lines:
        total = line.goods + line.shipping + line.tax
        order.settle("SALE", line.goods)
        order.settle("SHIPPING", line.shipping)
        fees.append(("FINAL_VALUE_FEE", ebay_final_value(order, line.category, total)))
        if "international" in order.ways:
            fees.append(("INTERNATIONAL_FEE", cents(total * pct("1.65"))))
        if "promoted" in order.ways:
            fees.append(("AD_FEE", cents(total * order.ad_rate)))
    for word, fee in fees:
        order.settle(word, -fee)
    order.settle("FINAL_VALUE_FEE_FIXED_PER_ORDER", Decimal("-0.30") if whole <= 10 else Decimal("-0.40"))
    if order.returned:  # orders are given back whole here: the fixed fee of the order stays with eBay
        for line in order.lines:
            order.settle("SALE", -line.goods, refund=True)
            order.settle("SHIPPING", -line.shipping, refund=True)
        for word, fee in fees:
            order.settle(word, fee, refund=True)


# -- card processors: fees stay when money is given back ---------------------------------------------------------------


def _charged(order: Order) -> Decimal:
    return sum((line.goods + line.shipping + line.tax for line in order.lines), Decimal(0))


def settle_shopify(order: Order) -> None:
    paid = _charged(order)
    rate = {"basic": pct("2.9"), "grow": pct("2.7"), "advanced": pct("2.5")}[order.plan]
    order.settle("charge", paid)
    # one fee for the charge; a card from abroad makes its rate higher (shopify.com/pricing: 1 %)
    order.settle("fee", -(cents(paid * (rate + (pct("1") if "international" in order.ways else 0))) + Decimal("0.30")))
    if order.returned:
        order.settle("charge", -paid, refund=True)


def settle_woocommerce(order: Order) -> None:
    paid, abroad = _charged(order), "international" in order.ways
    order.settle("charge", paid)
    rate, fixed, word = pct("2.9"), Decimal("0.30"), "stripe_fee"
    if "paypal" in order.ways:
        rate, fixed, word = pct("3.49"), Decimal("0.49"), "paypal_fee"
    order.settle(word, -(cents(paid * (rate + (pct("1.5") if abroad else 0))) + fixed))
    if order.returned:
        order.settle("charge", -paid, refund=True)


def settle_custom(order: Order) -> None:
    """A marketplace that agreed on a commission of goods and shipping, and gives it back with the money."""
    paid = sum((line.goods + line.shipping for line in order.lines), Decimal(0))
    fee = cents(paid * order.commission) + Decimal("0.25")
    order.settle("order", _charged(order))
    order.settle("commission", -fee)
    if order.returned:
        order.settle("order", -_charged(order), refund=True)
        order.settle("commission", fee, refund=True)


_SETTLE = {
    "amazon": settle_amazon,
    "ebay": settle_ebay,
    "shopify": settle_shopify,
    "woocommerce": settle_woocommerce,
    "custom": settle_custom,
}
_CATEGORIES = {
    "amazon": (
        *("most", "media", "grocery", "beauty and health", "consumer electronics"),
        *("electronics accessories", "furniture", "jewelry"),
    ),
    "ebay": ("most", "books and media", "trading cards", "guitars", "jewelry", "handbags"),
}


def _lines(rng: random.Random, channel: str) -> list[Line]:
    lines = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        units = rng.choice([1, 1, 1, 1, 2, 3, 4])
        price = Decimal(round(10 ** rng.uniform(0.3, 4.05) if rng.random() < 0.1 else 10 ** rng.uniform(0.7, 2.6), 2))
        price = max(Decimal("0.99"), price.quantize(_CENT))
        shipping = rng.choice([Decimal(0), Decimal(0), cents(Decimal(rng.uniform(2, 15)))])
        tax = cents(
            (price * units + shipping) * Decimal(rng.choice(["0", "0.05", "0.0625", "0.0725", "0.0825", "0.1025"]))
        )
        category = rng.choice(_CATEGORIES.get(channel, ("most",)))
        lines.append(Line(category, price, units, shipping, tax))
    return lines


def order(rng: random.Random, channel: str) -> Order:
    """One random order of the channel with its settlement."""
    ways = set()
    if rng.random() < 0.15:
        ways.add("international")
    if channel == "amazon":
        ways = {"individual"} if rng.random() < 0.2 else set()
    if channel == "ebay":
        ways |= {"store"} if rng.random() < 0.3 else set()
        ways |= {"promoted"} if rng.random() < 0.3 else set()
    if channel == "woocommerce" and rng.random() < 0.4:
        ways.add("paypal")
    made = Order(
        channel,
        _BEGIN + timedelta(days=rng.uniform(0, _DAYS)),
        _lines(rng, channel),
        ways,
        plan=rng.choice(["basic", "grow", "advanced"]) if channel == "shopify" else "",
        ad_rate=Decimal(rng.randrange(20, 150)) / 1_000 if "promoted" in ways else Decimal(0),
        commission=Decimal(rng.randrange(500, 1_600)) / 10_000 if channel == "custom" else Decimal(0),
    )
    if rng.random() < 0.08:
        made.returned = {index: line.units for index, line in enumerate(made.lines)}
        if channel == "amazon" and rng.random() < 0.5:  # some units of one line
            index = rng.randrange(len(made.lines))
            made.returned = {index: rng.randint(1, made.lines[index].units)}
    _SETTLE[channel](made)
    return made


#: what can be wrong in a settlement, by the name a reconciliation should find for it
FAULTS = (
    *("missing_fee", "wrong_rate", "rounding", "refund_fee_kept"),
    *("tax_on_fee", "unexpected_fee", "unknown_line", "wrong_proceeds"),
)


def spoil(made: Order, fault: str, rng: random.Random) -> bool:
    """Put one fault into the settlement; False where this order has nothing of the kind."""
    lines = made.settlement
    fees = [
        i for i, (_, dollars, refund) in enumerate(lines) if dollars < 0 and not refund and "Tax" not in lines[i][0]
    ]
    if fault == "missing_fee":
        single = [i for i in fees if sum(lines[i][0] == other[0] and not other[2] for other in lines) == 1]
        if not single:
            return False
        lines.pop(rng.choice(single))
    elif fault in ("wrong_rate", "rounding"):
        by = {"wrong_rate": Decimal(rng.randrange(60, 400)) / 100, "rounding": _CENT}[fault]
        index = rng.choice(fees)
        lines[index] = (lines[index][0], lines[index][1] - by, False)
    elif fault == "refund_fee_kept":
        words = {word for word, dollars, refund in lines if refund and dollars > 0}
        if not words:
            return False
        word = rng.choice(sorted(words))
        made.settlement = [line for line in lines if line[0] != word or not line[2]]
    elif fault == "tax_on_fee":
        tax = {"amazon": "TaxOnFees", "ebay": "VAT", "woocommerce": "tax"}.get(made.channel)
        if tax is None:
            return False
        lines.append((tax, cents(sum((lines[i][1] for i in fees), Decimal(0)) * pct("20")), False))
    elif fault == "unexpected_fee":
        other = {"amazon": "FBAPerUnitFulfillmentFee", "ebay": "BELOW_STANDARD_FEE", "shopify": "transaction_fee"}
        if made.channel not in other:
            return False
        lines.append((other[made.channel], Decimal("-3.06"), False))
    elif fault == "unknown_line":
        lines.append(("SPECIAL_HANDLING_2026", Decimal("-1.23"), False))
    else:
        index = next(i for i, (_, dollars, refund) in enumerate(lines) if dollars > 0 and not refund)
        lines[index] = (lines[index][0], lines[index][1] - Decimal("0.75"), False)
    return True
