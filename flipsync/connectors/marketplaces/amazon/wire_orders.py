"""Amazon's orders on the wire (Orders 2026-01-01)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, WrapValidator

from flipsync.connectors.marketplaces.amazon.wire import Pagination, Price, Wire
from flipsync.connectors.unread import one_by_one


class Breakdown(Wire):
    type: str
    subtotal: Price


class ItemProceeds(Wire):
    proceeds_total: Price | None = None
    breakdowns: tuple[Breakdown, ...] = ()


class ItemPrice(Wire):
    unit_price: Price | None = None


class Product(Wire):
    asin: str = ""
    title: str = ""
    seller_sku: str = ""
    price: ItemPrice | None = None


class ItemFulfillment(Wire):
    quantity_fulfilled: int = 0
    quantity_unfulfilled: int = 0


class OrderItem(Wire):
    order_item_id: str
    quantity_ordered: int
    product: Product
    proceeds: ItemProceeds | None = None
    fulfillment: ItemFulfillment | None = None


class DeliveryAddress(Wire):
    name: str = ""
    company_name: str = ""
    address_line1: str = ""
    address_line2: str = ""
    address_line3: str = ""
    city: str = ""
    state_or_region: str = ""
    district_or_county: str = ""
    postal_code: str = ""
    country_code: str = ""
    phone: str = ""


class Recipient(Wire):
    delivery_address: DeliveryAddress | None = None


class Buyer(Wire):
    buyer_name: str = ""
    buyer_email: str = ""


class OrderProceeds(Wire):
    grand_total: Price | None = None


class OrderFulfillment(Wire):
    fulfillment_status: str = ""
    fulfilled_by: str = "MERCHANT"


class SalesChannel(Wire):
    channel_name: str
    marketplace_id: str = ""


class Package(Wire):
    package_reference_id: str
    carrier: str = ""
    tracking_number: str = ""


class Order(Wire):
    order_id: str
    created_time: AwareDatetime
    last_updated_time: AwareDatetime
    sales_channel: SalesChannel
    order_items: list[OrderItem]
    fulfillment: OrderFulfillment = OrderFulfillment()
    buyer: Buyer = Buyer()
    recipient: Recipient = Recipient()
    proceeds: OrderProceeds = OrderProceeds()
    packages: tuple[Package, ...] = ()


class OrderAnswer(Wire):
    order: Order


class OrderSearch(Wire):
    orders: Annotated[list[Order], WrapValidator(one_by_one)]
    pagination: Pagination = Pagination()
    last_updated_before: AwareDatetime | None = None
