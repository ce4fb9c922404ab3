"""Orders of Shopify as FlipSync's values. Pure; raises ValueError for data that cannot be used."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from flipsync.connectors.marketplaces.shopify import mapping
from flipsync.connectors.marketplaces.shopify import order_wire as wire
from flipsync.connectors.marketplaces.shopify.order_documents import TRANSACTIONS
from flipsync.domain.channel import Address, ChannelOrder, ChannelOrderLine, ChannelRefund, OrderStatus
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Money

_UNPAID = frozenset({"PENDING", "AUTHORIZED", "PARTIALLY_PAID"})
_UNPAYABLE = frozenset({"EXPIRED", "VOIDED"})
_PAID = frozenset({"PAID", "PARTIALLY_REFUNDED"})
_SENT = frozenset({"FULFILLED", "FULFILLMENT_NOT_REQUIRED"})
_RESTOCKED = frozenset({"CANCEL", "RETURN", "LEGACY_RESTOCK"})


def updated_since(moment: datetime) -> str:
    """The orders query's filter."""
    return f"updated_at:>='{moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z'"


def order_status(row: wire.Order) -> OrderStatus:
    """A test order is never paid for: it stays pending, so that nobody packs it."""
    money_state, goods = row.display_financial_status, row.display_fulfillment_status
    if row.cancelled_at is not None:
        return "cancelled"
    if money_state == "REFUNDED":
        return "refunded"
    if row.test:
        return "pending"
    if goods in _SENT and money_state not in _UNPAYABLE:
        return "shipped"
    if money_state in _UNPAYABLE:
        return "failed"
    if money_state in _UNPAID or (money_state not in _PAID and not row.fully_paid):
        return "pending"
    return "paid"


def vendor_status(row: wire.Order) -> str:
    parts = [row.display_financial_status or "UNKNOWN", row.display_fulfillment_status or "UNKNOWN"]
    if row.cancelled_at is not None:
        parts.append("CANCELLED")
    if row.test:
        parts.append("TEST")
    return "/".join(parts)


def holds_stock(row: wire.Order) -> bool:
    """Whether units of the order are off the shelf: Shopify takes them when it confirms the order, paid or not.

    They come back by refunds that restock, which a cancellation makes too; a cancelled order without any says by
    `restockable` whether something is left to put back.
    """
    if not row.confirmed:
        return False
    if row.cancelled_at is None:
        return True
    back: dict[str, int] = {}
    for refund in row.refunds:
        for line, units in restocked(refund).items():
            back[line] = back.get(line, 0) + units
    if not row.refunds:
        return row.restockable
    return any(line.quantity > back.get(line.id, 0) for line in row.line_items.nodes)


def restocked(row: wire.Refund) -> dict[str, int]:
    """Units per order line that a refund put back on the shelf."""
    found: dict[str, int] = {}
    for item in row.refund_line_items.nodes:
        if item.restock_type in _RESTOCKED and item.quantity:
            found[item.line_item.id] = found.get(item.line_item.id, 0) + item.quantity
    return found


def give_back(row: wire.Payments, amount: Money) -> dict[str, Any]:
    """Refunds of payments that make up the amount, first payment first, in the currency that the buyer paid in.

    Raises Rejected when less is left of them, or when they may not be all.
    """
    if len(row.transactions) >= TRANSACTIONS:
        raise Rejected("the order has too many payments to give back from here", vendor_code="amount")
    done = [each for each in row.transactions if each.status in ("SUCCESS", "PENDING")]
    left, parts = amount.decimal(), []
    for payment in done:
        if payment.kind not in ("SALE", "CAPTURE") or payment.status != "SUCCESS":
            continue
        given = [each.amount_set for each in done if each.kind == "REFUND" and _is_of(each, payment)]
        held = payment.amount_set.value - sum((each.value for each in given), Decimal(0))
        part = min(left, held)
        if part > 0:
            left -= part
            paid = payment.amount_set.presentment_money.amount
            held_there = paid - sum((each.presentment_money.amount for each in given), Decimal(0))
            there = held_there if part == held else part * paid / payment.amount_set.value
            parts.append(
                {
                    "orderId": row.id,
                    "parentId": payment.id,
                    "amount": _spelled(there, row, part),
                    "gateway": payment.gateway,
                    "kind": "REFUND",
                }
            )
    if left > 0:
        raise Rejected("the order's payments do not have that much left to give back", vendor_code="amount")
    elsewhere = row.presentment_currency_code != row.currency_code
    return {"transactions": parts, **({"currency": row.presentment_currency_code} if elsewhere else {})}


def _is_of(refund: wire.Transaction, payment: wire.Transaction) -> bool:
    return refund.parent_transaction is not None and refund.parent_transaction.id == payment.id


def _spelled(there: Decimal, row: wire.Payments, part: Decimal) -> str:
    if row.presentment_currency_code == row.currency_code:
        return Money.from_decimal(part, row.currency_code).plain()
    return mapping.money(there, row.presentment_currency_code).plain()


def order(row: wire.Order) -> ChannelOrder:
    """The whole order in the shop's currency. Raises ValueError.

    Where prices include tax, the tax of each line is taken out of its total, and the rest of the order's tax, which is
    the shipping's, out of shipping. A line's total is what it was listed for less every discount allocated to it.
    """
    currency = row.currency_code
    tax = Decimal(0) if row.total_tax_set is None else row.total_tax_set.value
    shipping = row.total_shipping_price_set.value
    if row.taxes_included:
        line_taxes = sum((_tax(line) for line in row.line_items.nodes), Decimal(0))
        shipping -= max(Decimal(0), min(shipping, tax - line_taxes))
    person = row.shipping_address or wire.MailingAddress()
    refunds = sorted(
        row.refunds, key=lambda refund: (refund.created_at or row.updated_at, mapping.number_of(refund.id))
    )
    return ChannelOrder(
        external_id=row.id,
        number=row.name,
        status=order_status(row),
        vendor_status=vendor_status(row),
        holds_stock=holds_stock(row),
        placed_at=row.created_at.astimezone(UTC),
        modified_at=row.updated_at.astimezone(UTC),
        currency=currency,
        lines=tuple(_line(line, currency, included=row.taxes_included) for line in row.line_items.nodes),
        shipping=mapping.money(shipping, currency),
        tax=mapping.money(tax, currency),
        total=mapping.money(row.total_price_set.value, currency),
        refunds=tuple(
            ChannelRefund(
                external_id=refund.id,
                amount=mapping.money(refund.total_refunded_set.value, currency),
                restocked=restocked(refund),
                created_at=(refund.created_at or row.updated_at).astimezone(UTC),
                reference=refund.note,
            )
            for refund in refunds
        ),
        ship_to=Address(
            name=person.name,
            company=person.company,
            line1=person.address1,
            line2=person.address2,
            city=person.city,
            region=person.province_code,
            postal_code=person.zip,
            country=person.country_code,
            phone=person.phone or row.phone,
            email=row.email,
        ),
        buyer_note=row.note,
    )


def _tax(line: wire.LineItem) -> Decimal:
    return sum((tax.price_set.value for tax in line.tax_lines), Decimal(0))


def _line(row: wire.LineItem, currency: str, *, included: bool) -> ChannelOrderLine:
    discounts = sum((part.allocated_amount_set.value for part in row.discount_allocations), Decimal(0))
    tax = _tax(row)
    total = row.original_total_set.value - discounts - (tax if included else Decimal(0))
    return ChannelOrderLine(
        external_id=row.id,
        listing_external_id=None if row.variant is None else row.variant.id,
        sku=row.sku,
        title=f"{row.title} - {row.variant_title}" if row.variant_title else row.title,
        quantity=row.quantity,
        total=mapping.money(total, currency),
        tax=mapping.money(tax, currency),
    )
