"""From eBay's orders to ours. Pure.

Amounts come converted to the buyer's currency or as they were before ("convertedFrom"): the account's currency is taken
where either has it. Taxes that eBay collects and remits are part of the buyer's total, never of the seller's goods.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from flipsync.connectors.marketplaces.ebay import wire_orders as wire
from flipsync.connectors.marketplaces.ebay.skus import unspell
from flipsync.connectors.marketplaces.ebay.wire import Amount
from flipsync.domain.channel import Address, ChannelOrder, ChannelOrderLine, ChannelRefund, OrderStatus
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Money

_CARRIERS = {"ups": "UPS", "usps": "USPS", "fedex": "FedEx", "dhl": "DHL", "royalmail": "RoyalMail", "hermes": "Hermes"}
_PAID = frozenset({"PAID", "PARTIALLY_REFUNDED"})
_NO_SALE = frozenset({"cancelled", "failed"})


def order(found: wire.Order, currency: str) -> ChannelOrder:
    """Raises ValueError when the amounts are in several currencies."""
    status = status_of(found)
    pricing = found.pricing_summary
    total = money(pricing.total, currency)
    lines = tuple(_line(line, currency) for line in found.line_items)
    collected = [tax for line in found.line_items for tax in line.ebay_collect_and_remit_taxes]
    own = _sum([tax for line in found.line_items for tax in line.taxes], currency, total.currency)
    tax = own if pricing.tax is None else money(pricing.tax, currency)
    shipping = Money.zero(total.currency)
    for part in (pricing.delivery_cost, pricing.delivery_discount):
        # a discount is told as a negative amount
        shipping = shipping if part is None else shipping + money(part, currency)
    return ChannelOrder(
        external_id=found.order_id,
        number=found.order_id,
        status=status,
        vendor_status=f"{found.order_payment_status}/{found.order_fulfillment_status}/{found.cancel_status.cancel_state}",
        holds_stock=status not in _NO_SALE,
        placed_at=found.creation_date,
        modified_at=found.last_modified_date,
        currency=total.currency,
        lines=lines,
        shipping=shipping,
        tax=tax + _missing_tax(pricing, lines, shipping, tax, collected, currency),
        total=total,
        channel_fee=None if found.total_marketplace_fee is None else money(found.total_marketplace_fee, currency),
        refunds=tuple(_refunds(found, currency)),
        ship_to=_address(found),
        buyer_id=found.buyer.username,
        buyer_note=found.buyer_checkout_notes,
    )


def _missing_tax(
    pricing: wire.PricingSummary,
    lines: tuple[ChannelOrderLine, ...],
    shipping: Money,
    tax: Money,
    collected: Iterable[wire.Tax],
    currency: str,
) -> Money:
    """What eBay collects and remits, where it is in the total and not in the tax of the summary already."""
    total = money(pricing.total, currency)
    remitted = _sum(collected, currency, total.currency)
    goods = Money.total((line.total for line in lines), total.currency)
    unexplained = total - goods - shipping - tax
    return remitted if remitted and unexplained == remitted else Money.zero(total.currency)


def status_of(found: wire.Order) -> OrderStatus:
    """One word for eBay's three states: cancelled, what was paid, what was shipped."""
    if found.cancel_status.cancel_state == "CANCELED":
        return "cancelled"
    by_payment: dict[str, OrderStatus] = {"FULLY_REFUNDED": "refunded", "FAILED": "failed"}
    if found.order_payment_status in by_payment:
        return by_payment[found.order_payment_status]
    if found.order_payment_status not in _PAID:
        return "pending"  # or a word added since: nothing leaves the house on it
    return "shipped" if found.order_fulfillment_status == "FULFILLED" else "paid"


def money(amount: Amount, currency: str) -> Money:
    """The amount in the account's currency, else as it was before any conversion."""
    before, before_currency = amount.converted_from_value, amount.converted_from_currency
    if amount.currency != currency and before is not None and before_currency is not None:
        return Money.parse(before, before_currency)
    return Money.parse(amount.value, amount.currency)


def _sum(taxes: Iterable[wire.Tax], currency: str, of: str) -> Money:
    return Money.total((money(tax.amount, currency) for tax in taxes if tax.amount is not None), of)


def _line(line: wire.LineItem, currency: str) -> ChannelOrderLine:
    total = money(line.discounted_line_item_cost or line.line_item_cost, currency)
    # eBay tells what it collects in both lists when it is asked for the breakdown.
    taxes = line.ebay_collect_and_remit_taxes or line.taxes
    return ChannelOrderLine(
        external_id=line.line_item_id,
        listing_external_id=_listing_id(line.sku),
        sku=unspell(line.sku),
        title=line.title,
        quantity=line.quantity,
        total=total,
        tax=_sum(taxes, currency, total.currency),
    )


def _listing_id(sku: str) -> str | None:
    # Listings made elsewhere may have no SKU.
    return sku or None


def _refunds(found: wire.Order, currency: str) -> Iterable[ChannelRefund]:
    """Refunds that went through. eBay puts nothing back on sale by itself, and does not say what came back."""
    for number, refund in enumerate(found.payment_summary.refunds):
        if refund.amount is None or refund.refund_status == "FAILED":
            continue
        yield ChannelRefund(
            external_id=refund.refund_id or refund.refund_reference_id or f"{found.order_id}:{number}",
            amount=money(refund.amount, currency),
            created_at=refund.refund_date or found.last_modified_date,
        )


def _address(found: wire.Order) -> Address:
    step = next((each.shipping_step for each in found.fulfillment_start_instructions if each.shipping_step), None)
    if step is None:
        return Address()
    to, place = step.ship_to, step.ship_to.contact_address
    lines = [place.address_line1, place.address_line2]
    reference = step.ship_to_reference_id
    if reference and not any(reference in line for line in lines):
        # eBay's own shippers know a parcel by it: it has to stand immediately above the street
        lines = [f"Reference #{reference}", ", ".join(filter(None, lines))]
    return Address(
        name=to.full_name,
        company=to.company_name,
        line1=lines[0],
        line2=lines[1],
        city=place.city,
        region=place.state_or_province,
        postal_code=place.postal_code,
        country=place.country_code,
        phone=to.primary_phone.phone_number,
        email=to.email,
    )


def shipment_body(found: wire.Order, carrier: str, tracking_number: str) -> dict[str, object]:
    """One package with everything that is not shipped yet. Raises Rejected for a number eBay cannot take."""
    return {
        "lineItems": [
            {"lineItemId": line.line_item_id, "quantity": line.quantity}
            for line in found.line_items
            if line.line_item_fulfillment_status != "FULFILLED"
        ],
        "shippingCarrierCode": carrier_code(carrier),
        "trackingNumber": tracking(tracking_number),
    }


def carrier_code(carrier: str) -> str:
    """eBay's code of a carrier: its own spelling of the known ones, letters and digits of any other."""
    plain = re.sub(r"[^A-Za-z0-9]", "", carrier)
    return _CARRIERS.get(plain.casefold(), plain) or "Other"


def tracking(number: str) -> str:
    """A tracking number in letters and digits, which is all eBay takes."""
    plain = re.sub(r"[^A-Za-z0-9]", "", number)
    if not plain:
        raise Rejected("eBay takes only tracking numbers of letters and digits", vendor_code="32300")
    return plain
