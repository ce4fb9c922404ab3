"""Shapes of orders, refunds and shipments in the Admin API's answers, as our documents ask for them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import AwareDatetime, Field, WrapValidator

from flipsync.connectors.marketplaces.shopify.wire import Connection, ItemRef, Payload, Text, Wire
from flipsync.connectors.unread import one_by_one


class Amount(Wire):
    amount: Decimal


class MoneyBag(Wire):
    """Only the shop's own currency; what the buyer was shown is not asked for."""

    shop_money: Amount

    @property
    def value(self) -> Decimal:
        return self.shop_money.amount


class Allocation(Wire):
    allocated_amount_set: MoneyBag


class TaxLine(Wire):
    price_set: MoneyBag


class LineItem(Wire):
    id: str
    sku: Text = ""
    title: Text = ""
    variant_title: Text = ""
    quantity: int
    original_total_set: MoneyBag
    discount_allocations: list[Allocation] = Field(default_factory=list)
    tax_lines: list[TaxLine] = Field(default_factory=list)
    variant: ItemRef | None = None


class RefundLine(Wire):
    quantity: int
    restock_type: str
    line_item: ItemRef


class Refund(Wire):
    id: str
    created_at: AwareDatetime | None = None
    note: Text = ""
    total_refunded_set: MoneyBag
    refund_line_items: Connection[RefundLine]


class MailingAddress(Wire):
    name: Text = ""
    company: Text = ""
    address1: Text = ""
    address2: Text = ""
    city: Text = ""
    province_code: Text = ""
    zip: Text = ""
    country_code: Text = Field(alias="countryCodeV2", default="")
    phone: Text = ""


class Order(Wire):
    id: str
    name: str
    created_at: AwareDatetime
    updated_at: AwareDatetime
    cancelled_at: datetime | None = None
    test: bool = False
    confirmed: bool = True
    restockable: bool = True
    fully_paid: bool = False
    taxes_included: bool = False
    currency_code: str
    note: Text = ""
    email: Text = ""
    phone: Text = ""
    display_financial_status: Text = ""
    display_fulfillment_status: Text = ""
    total_price_set: MoneyBag
    total_tax_set: MoneyBag | None = None
    total_shipping_price_set: MoneyBag
    shipping_address: MailingAddress | None = None
    line_items: Connection[LineItem]
    refunds: list[Refund] = Field(default_factory=list)


class Orders(Connection[Order]):
    nodes: Annotated[list[Order], WrapValidator(one_by_one)]


class Action(Wire):
    action: str


class AssignedLocation(Wire):
    location: ItemRef | None = None


class FulfillmentOrder(Wire):
    id: str
    status: str
    assigned_location: AssignedLocation
    supported_actions: list[Action] = Field(default_factory=list)


class ShippableOrder(Wire):
    id: str
    cancelled_at: datetime | None = None
    display_fulfillment_status: Text = ""
    fulfillment_orders: Connection[FulfillmentOrder]


class PaidBag(MoneyBag):
    presentment_money: Amount


class Transaction(Wire):
    """Money that moved for an order; a refund names the payment it is of."""

    id: str
    kind: str
    status: str
    gateway: Text = ""
    amount_set: PaidBag
    parent_transaction: ItemRef | None = None


class Payments(Wire):
    """What was paid in two currencies: the shop's, and the one that the buyer was shown and paid in."""

    id: str
    currency_code: str
    presentment_currency_code: str
    transactions: list[Transaction]


class RefundGiven(Payload):
    refund: ItemRef | None = None
