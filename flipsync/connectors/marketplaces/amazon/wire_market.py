"""Offers of others, fees and warehouse stock on the wire (Pricing, Product Fees, FBA Inventory)."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from flipsync.connectors.marketplaces.amazon.wire import Error, Pagination, Pascal, PascalPrice, Price, Wire
from flipsync.connectors.unread import one_by_one


def _readable(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Those rows of a list that can be read."""
    try:
        return handler(value)
    except ValidationError:
        if not isinstance(value, list):
            raise
    read: list[Any] = []
    for row in value:
        with suppress(ValidationError):
            read.extend(handler([row]))
    return read


class OfferDetail(Pascal):
    my_offer: bool = False
    seller_id: str = ""
    listing_price: PascalPrice
    shipping: PascalPrice | None = None
    is_fulfilled_by_amazon: bool = Field(alias="IsFulfilledByAmazon")
    is_buy_box_winner: bool = False


class OffersResult(Pascal):
    sku: str = Field(default="", alias="SKU")
    asin: str = Field(default="", alias="ASIN")
    status: str = Field(alias="status")
    offers: Annotated[list[OfferDetail], WrapValidator(_readable)]


class OffersBody(Wire):
    payload: OffersResult | None = None
    errors: tuple[Error, ...] = ()


class StatusLine(Wire):
    status_code: int = 200
    reason_phrase: str = ""


class BatchRequestOf(Pascal):
    seller_sku: str = Field(default="", alias="SellerSKU")
    asin: str = Field(default="", alias="Asin")


class OffersAnswer(Wire):
    status: StatusLine | None = None
    body: OffersBody
    request: BatchRequestOf = BatchRequestOf()


class OffersBatch(Wire):
    responses: Annotated[list[OffersAnswer], WrapValidator(one_by_one)] = Field(default=[])


class ExpectedPrice(Wire):
    listing_price: Price


class FeaturedOffer(Wire):
    price: ExpectedPrice | None = None


class ExpectedPriceResult(Wire):
    result_status: str
    featured_offer_expected_price: ExpectedPrice | None = None
    competing_featured_offer: FeaturedOffer | None = None


class OfferIdentifier(Wire):
    asin: str
    sku: str = ""


class ExpectedPriceBody(Wire):
    offer_identifier: OfferIdentifier | None = None
    featured_offer_expected_price_results: tuple[ExpectedPriceResult, ...] = ()
    errors: tuple[Error, ...] = ()


class ExpectedPriceRequest(Wire):
    sku: str


class ExpectedPriceAnswer(Wire):
    request: ExpectedPriceRequest
    status: StatusLine
    body: ExpectedPriceBody | None = None


class ExpectedPriceBatch(Wire):
    responses: Annotated[list[ExpectedPriceAnswer], WrapValidator(_readable)] = Field(default=[])


class ComparedPrice(Pascal):
    listing_price: PascalPrice


class CompetitivePrice(Pascal):
    price: ComparedPrice
    condition: str = Field(default="", alias="condition")
    belongs_to_requester: bool = Field(default=False, alias="belongsToRequester")


class ComparedPrices(Pascal):
    competitive_prices: tuple[CompetitivePrice, ...] = ()


class PricedProduct(Pascal):
    competitive_pricing: ComparedPrices | None = None


class PricedItem(Pascal):
    status: str = Field(default="", alias="status")
    asin: str = Field(default="", alias="ASIN")
    product: PricedProduct | None = None


class CompetitivePricing(Wire):
    payload: Annotated[list[PricedItem], WrapValidator(_readable)] = Field(default=[])


class CompetingOffer(Wire):
    seller_id: str
    condition: str
    fulfillment_type: str
    listing_price: Price


class BuyingOption(Wire):
    buying_option_type: str
    segmented_featured_offers: tuple[CompetingOffer, ...] = ()


class LowestPriced(Wire):
    offers: list[CompetingOffer]


class ReferencePrice(Wire):
    name: str
    price: Price


class CompetitiveBody(Wire):
    asin: str
    featured_buying_options: tuple[BuyingOption, ...] = ()
    lowest_priced_offers: tuple[LowestPriced, ...] = ()
    reference_prices: tuple[ReferencePrice, ...] = ()
    errors: tuple[Error, ...] = ()


class CompetitiveAnswer(Wire):
    status: StatusLine
    body: CompetitiveBody


class CompetitiveBatch(Wire):
    responses: Annotated[list[CompetitiveAnswer], WrapValidator(_readable)]


class FeeDetail(Pascal):
    fee_type: str
    fee_amount: PascalPrice
    final_fee: PascalPrice


class FeesEstimate(Pascal):
    total_fees_estimate: PascalPrice | None = None
    fee_detail_list: tuple[FeeDetail, ...] = ()


class FeesIdentifier(Pascal):
    id_type: str = ""
    id_value: str = ""
    seller_input_identifier: str = ""


class FeesError(Pascal):
    code: str = ""
    message: str = ""


class FeesResult(Pascal):
    status: str = ""
    fees_estimate_identifier: FeesIdentifier = FeesIdentifier()
    fees_estimate: FeesEstimate | None = None
    error: FeesError | None = None


class FeesPayload(Pascal):
    fees_estimate_result: FeesResult | None = None


class FeesAnswer(Wire):
    payload: FeesPayload | None = None
    errors: tuple[Error, ...] = ()


class ReservedQuantity(Wire):
    pending_customer_order_quantity: int = 0


class InventoryDetails(Wire):
    fulfillable_quantity: int = 0
    inbound_working_quantity: int = 0
    inbound_shipped_quantity: int = 0
    inbound_receiving_quantity: int = 0
    reserved_quantity: ReservedQuantity = ReservedQuantity()


class InventorySummary(Wire):
    seller_sku: str = ""
    asin: str = ""
    fn_sku: str = ""
    total_quantity: int = 0
    inventory_details: InventoryDetails | None = None


class InventoryPayload(Wire):
    inventory_summaries: Annotated[list[InventorySummary], WrapValidator(one_by_one)]


class InventoryPage(Wire):
    payload: InventoryPayload
    pagination: Pagination = Pagination()
