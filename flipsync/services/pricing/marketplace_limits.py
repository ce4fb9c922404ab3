"""The lowest and highest price each marketplace takes. What a vendor does not publish is what the books can hold.

eBay: fixed-price listings start at 0.99 of the site's currency, 1.00 on the German site (developer.ebay.com, knowledge
base 955). The other vendors' documents name no lowest price, so it is one minor unit: a price of nothing is no price.
Shopify, WooCommerce and the custom channels name no highest price; Amazon's and eBay's is not published either.
"""

from __future__ import annotations

from flipsync.domain.money import Money, minor_digits
from flipsync.services.pricing.fees import MAX_AMOUNT

#: lowest price by vendor and currency in hundredths of the major unit; the vendor's other currencies under ""
_LOWEST_HUNDREDTHS: dict[str, dict[str, int]] = {"ebay": {"EUR": 100, "": 99}}


def market_limits(vendor: str, currency: str) -> tuple[Money, Money]:
    """The lowest and highest price `vendor` takes in `currency`, both inclusive."""
    known = _LOWEST_HUNDREDTHS.get(vendor, {})
    hundredths = known.get(currency, known.get("", 0))
    lowest = max(1, -(-hundredths * 10 ** minor_digits(currency) // 100))
    return Money(amount_minor=lowest, currency=currency), Money(amount_minor=MAX_AMOUNT, currency=currency)
