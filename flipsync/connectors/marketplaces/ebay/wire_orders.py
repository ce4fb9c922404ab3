"""eBay's own shapes of the Sell Fulfillment API, as far as they are read."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field, WrapValidator

from flipsync.connectors.marketplaces.ebay.wire import Amount, Page, Shape
from flipsync.connectors.unread import one_by_one


class Tax(Shape):
    amount: Amount | None = None


class LineProperties(Shape):
    sold_via_ad_campaign: bool = False


class LineItem(Shape):
    line_item_id: str
    legacy_item_id: str = ""
    sku: str = ""
    title: str = ""
    quantity: int
    line_item_cost: Amount
    discounted_line_item_cost: Amount | None = None
    line_item_fulfillment_status: str = "NOT_STARTED"
    properties: LineProperties = LineProperties()
    taxes: tuple[Tax, ...] = ()
    ebay_collect_and_remit_taxes: tuple[Tax, ...] = ()


class CancelStatus(Shape):
    cancel_state: str = "NONE_REQUESTED"


class PostalAddress(Shape):
    address_line1: str = ""
    address_line2: str = ""
    city: str = ""
    state_or_province: str = ""
    postal_code: str = ""
    country_code: str = ""


class Phone(Shape):
    phone_number: str = ""


class Contact(Shape):
    full_name: str = ""
    company_name: str = ""
    email: str = ""
    primary_phone: Phone = Phone()
    contact_address: PostalAddress = PostalAddress()


class ShippingStep(Shape):
    ship_to: Contact = Contact()
    ship_to_reference_id: str = ""


class Instruction(Shape):
    shipping_step: ShippingStep | None = None


class PricingSummary(Shape):
    total: Amount
    delivery_cost: Amount | None = None
    delivery_discount: Amount | None = None
    tax: Amount | None = None


class Refund(Shape):
    refund_id: str = ""
    refund_reference_id: str = ""
    refund_status: str = "REFUNDED"
    refund_date: AwareDatetime | None = None
    amount: Amount | None = None


class PaymentSummary(Shape):
    refunds: tuple[Refund, ...] = ()


class Buyer(Shape):
    username: str = ""


class Order(Shape):
    order_id: str
    buyer: Buyer = Buyer()
    creation_date: AwareDatetime
    last_modified_date: AwareDatetime
    order_payment_status: str
    order_fulfillment_status: str
    cancel_status: CancelStatus = CancelStatus()
    line_items: tuple[LineItem, ...]
    pricing_summary: PricingSummary
    payment_summary: PaymentSummary = PaymentSummary()
    total_marketplace_fee: Amount | None = None
    fulfillment_start_instructions: tuple[Instruction, ...] = ()
    buyer_checkout_notes: str = ""
    seller_id: str = ""


class Orders(Page):
    orders: Annotated[list[Order], WrapValidator(one_by_one)] = Field(default_factory=list)


class Fulfillment(Shape):
    fulfillment_id: str = ""
    shipment_tracking_number: str = ""


class Fulfillments(Shape):
    fulfillments: tuple[Fulfillment, ...] = ()
