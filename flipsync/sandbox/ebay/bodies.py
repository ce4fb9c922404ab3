"""Request bodies as eBay's documents define them: every field they name, and no other."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from flipsync.sandbox.ebay.problems import access, refuse
from flipsync.sandbox.exchange import Call, Refusal

Units = Annotated[int, Field(strict=True, ge=0)]
Text = Annotated[str, Field(strict=True)]
Condition = Literal[
    "NEW", "LIKE_NEW", "NEW_OTHER", "NEW_WITH_DEFECTS", "MANUFACTURER_REFURBISHED", "CERTIFIED_REFURBISHED",
    "EXCELLENT_REFURBISHED", "VERY_GOOD_REFURBISHED", "GOOD_REFURBISHED", "SELLER_REFURBISHED", "USED_EXCELLENT",
    "USED_VERY_GOOD", "USED_GOOD", "USED_ACCEPTABLE", "FOR_PARTS_OR_NOT_WORKING", "PRE_OWNED_EXCELLENT",
    "PRE_OWNED_FAIR",
]  # fmt: skip


class Body(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    def sent(self) -> dict[str, Any]:
        """What came, in eBay's names."""
        return self.model_dump(by_alias=True, exclude_unset=True, mode="json")


class Amount(Body):
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    value: Annotated[str, Field(strict=True, pattern=r"^\d{1,12}(\.\d{1,2})?$")]


class ShipTo(Body):
    quantity: Units | None = None
    availability_distributions: list[dict[str, Any]] = []


class Availability(Body):
    ship_to_location_availability: ShipTo | None = None
    pickup_at_location_availability: list[dict[str, Any]] = []


class Product(Body):
    title: Annotated[str, Field(strict=True, max_length=80)] | None = None
    description: Annotated[str, Field(strict=True, max_length=4000)] | None = None
    aspects: dict[str, list[Text]] = {}
    brand: Annotated[str, Field(strict=True, max_length=65)] | None = None
    mpn: Annotated[str, Field(strict=True, max_length=65)] | None = None
    subtitle: Annotated[str, Field(strict=True, max_length=55)] | None = None
    epid: Text | None = None
    ean: list[Text] = []
    upc: list[Text] = []
    isbn: list[Text] = []
    image_urls: Annotated[list[Text], Field(max_length=24)] = []
    video_ids: list[Text] = []


class Weight(Body):
    unit: Literal["POUND", "KILOGRAM", "OUNCE", "GRAM"]
    value: Annotated[float, Field(ge=0)]


class Package(Body):
    weight: Weight | None = None
    dimensions: dict[str, Any] | None = None
    package_type: Text | None = None
    shipping_irregular: bool | None = None


class ItemBody(Body):
    availability: Availability | None = None
    condition: Condition | None = None
    condition_description: Annotated[str, Field(strict=True, max_length=1000)] | None = None
    condition_descriptors: list[dict[str, Any]] = []
    package_weight_and_size: Package | None = None
    product: Product | None = None


class Pricing(Body):
    price: Amount | None = None
    auction_reserve_price: Amount | None = None
    auction_start_price: Amount | None = None
    minimum_advertised_price: Amount | None = None
    original_retail_price: Amount | None = None
    originally_sold_for_retail_price_on: Literal["ON_EBAY", "OFF_EBAY", "ON_AND_OFF_EBAY"] | None = None
    pricing_visibility: Literal["NONE", "PRE_CHECKOUT", "DURING_CHECKOUT"] | None = None


class Policies(Body):
    payment_policy_id: Text | None = None
    fulfillment_policy_id: Text | None = None
    return_policy_id: Text | None = None
    best_offer_terms: dict[str, Any] | None = None
    e_bay_plus_if_eligible: bool | None = Field(default=None, alias="eBayPlusIfEligible")
    product_compliance_policy_ids: list[Text] = []
    regional_product_compliance_policies: dict[str, Any] | None = None
    regional_take_back_policies: dict[str, Any] | None = None
    shipping_cost_overrides: list[dict[str, Any]] = []
    take_back_policy_id: Text | None = None


class OfferUpdate(Body):
    available_quantity: Units | None = None
    category_id: Text | None = None
    charity: dict[str, Any] | None = None
    extended_producer_responsibility: dict[str, Any] | None = None
    hide_buyer_details: bool | None = None
    include_catalog_product_details: bool | None = None
    listing_description: Annotated[str, Field(strict=True, max_length=500_000)] | None = None
    listing_duration: Literal["GTC"] | None = None
    listing_policies: Policies | None = None
    listing_start_date: Text | None = None
    lot_size: Units | None = None
    merchant_location_key: Text | None = None
    pricing_summary: Pricing | None = None
    quantity_limit_per_buyer: Units | None = None
    regulatory: dict[str, Any] | None = None
    secondary_category_id: Text | None = None
    store_category_names: list[Text] = []
    tax: dict[str, Any] | None = None


class OfferBody(OfferUpdate):
    sku: Text
    marketplace_id: Text
    #: auctions are a document's possibility that this sandbox has not
    format: Literal["FIXED_PRICE"]


class Specification(Body):
    name: Text
    values: list[Text]


class VariesBy(Body):
    aspects_image_varies_by: list[Text] = []
    specifications: list[Specification] = []


class GroupBody(Body):
    aspects: dict[str, list[Text]] = {}
    description: Annotated[str, Field(strict=True, max_length=500_000)] | None = None
    image_urls: Annotated[list[Text], Field(max_length=24)] = []
    inventory_item_group_key: Text | None = None
    subtitle: Annotated[str, Field(strict=True, max_length=55)] | None = None
    title: Annotated[str, Field(strict=True, max_length=80)] | None = None
    variant_sku_s: list[Text] = Field(alias="variantSKUs", min_length=1)
    varies_by: VariesBy | None = None
    video_ids: list[Text] = []


class GroupCall(Body):
    inventory_item_group_key: Text
    marketplace_id: Text


class Sku(Body):
    sku: Text


class BulkGet(Body):
    requests: Annotated[list[Sku], Field(min_length=1, max_length=25)]


class InventoryTask(Body):
    feed_type: Text
    schema_version: Text
    filter_criteria: dict[str, str] | None = None


class ListingToMigrate(Body):
    listing_id: Text


class BulkMigrate(Body):
    requests: Annotated[list[ListingToMigrate], Field(min_length=1, max_length=5)]


class OfferQuantity(Body):
    offer_id: Text
    available_quantity: Units | None = None
    price: Amount | None = None


class PriceQuantity(Body):
    sku: Text = ""
    ship_to_location_availability: ShipTo | None = None
    offers: list[OfferQuantity] = []


class BulkUpdate(Body):
    requests: Annotated[list[PriceQuantity], Field(min_length=1, max_length=25)]


class LineItem(Body):
    line_item_id: Text
    quantity: Annotated[int, Field(strict=True, ge=1)]


class ShipmentBody(Body):
    line_items: list[LineItem] = []
    shipped_date: Text | None = None
    shipping_carrier_code: Text | None = None
    tracking_number: Text | None = None


class RefundAmount(Body):
    value: Annotated[str, Field(pattern=r"^\d+(\.\d{1,2})?$")]
    currency: Text


class RefundBody(Body):
    reason_for_refund: Literal[
        "BUYER_CANCEL",
        "BUYER_RETURN",
        "ITEM_NOT_RECEIVED",
        "SELLER_WRONG_ITEM",
        "SELLER_OUT_OF_STOCK",
        "SELLER_FOUND_ISSUE",
        "OTHER_ADJUSTMENT",
    ]
    comment: Annotated[str, Field(max_length=100)] = ""
    order_level_refund_amount: RefundAmount


class Config(Body):
    alert_email: Annotated[str, Field(strict=True, pattern=r"^[^@\s]+@[^@\s]+$")]


class DeliveryConfig(Body):
    endpoint: Text
    verification_token: Annotated[str, Field(strict=True)]


class DestinationBody(Body):
    name: Annotated[str, Field(strict=True, max_length=64)] = ""
    status: Text = ""
    delivery_config: DeliveryConfig


class Payload(Body):
    format: Text | None = None
    delivery_protocol: Text | None = None
    schema_version: Text | None = None


class SubscriptionUpdate(Body):
    status: Text | None = None
    destination_id: Text | None = None
    payload: Payload | None = None


class SubscriptionBody(SubscriptionUpdate):
    topic_id: Text | None = None


_BodyT = TypeVar("_BodyT", bound=Body)
#: kinds of mistake that end in eBay's gateway, where JSON becomes values
_UNREADABLE = ("json", "extra", "missing", "model", "dict", "list", "string_type", "int", "bool", "float", "literal")


def parse(call: Call, model: type[_BodyT], domain: str = "API_INVENTORY", error_id: int = 25709) -> _BodyT:
    """Raises Refusal: 2004 for what is no such body, `error_id` for a value that no field takes."""
    try:
        return model.model_validate_json(call.body)
    except ValidationError as mistake:
        raise _refusal(mistake, domain, error_id) from mistake


def _refusal(mistake: ValidationError, domain: str, error_id: int) -> Refusal:
    first = mistake.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "body"
    if first["type"].startswith(_UNREADABLE):
        return access(400, 2004, "Invalid request", f"The request has errors: could not serialize field [{where}].")
    return refuse(400, error_id, f"Invalid value for {where}. {first['msg']}", domain)
