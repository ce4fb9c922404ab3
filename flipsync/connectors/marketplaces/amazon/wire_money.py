"""Transactions and bought labels on the wire (Finances 2024-06-19, Merchant Fulfillment v0)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field, WrapValidator

from flipsync.connectors.marketplaces.amazon.wire import Amount, Pascal, PascalPrice, Wire
from flipsync.connectors.unread import one_by_one
from flipsync.domain.money import Money


class CurrencyAmount(Wire):
    currency_code: str
    currency_amount: Amount

    def money(self) -> Money:
        return Money.from_decimal(self.currency_amount, self.currency_code)


class RelatedIdentifier(Wire):
    related_identifier_name: str = ""
    related_identifier_value: str = ""

    @property
    def is_order(self) -> bool:
        return self.related_identifier_name == "ORDER_ID"


class Transaction(Wire):
    transaction_id: str = ""
    transaction_type: str = ""
    transaction_status: str = ""
    posted_date: AwareDatetime | None = None
    total_amount: CurrencyAmount | None = None
    related_identifiers: tuple[RelatedIdentifier, ...] = ()


class TransactionList(Wire):
    transactions: Annotated[list[Transaction], WrapValidator(one_by_one)] = Field(default=[])
    next_token: str | None = None


class TransactionPage(Wire):
    payload: TransactionList


class ShippingService(Pascal):
    shipping_service_name: str
    carrier_name: str
    shipping_service_id: str
    shipping_service_offer_id: str = ""
    latest_estimated_delivery_date: AwareDatetime | None = None
    rate: PascalPrice


class EligibleServices(Pascal):
    shipping_service_list: Annotated[list[ShippingService], WrapValidator(one_by_one)]


class EligibleAnswer(Wire):
    payload: EligibleServices


class FileContents(Pascal):
    contents: str
    file_type: str
    checksum: str


class Label(Pascal):
    file_contents: FileContents


class Shipment(Pascal):
    shipment_id: str
    amazon_order_id: str
    shipping_service: ShippingService
    label: Label
    status: str
    tracking_id: str = ""


class ShipmentAnswer(Wire):
    payload: Shipment
