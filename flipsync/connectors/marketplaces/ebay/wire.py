"""eBay's own shapes, as far as they are read. Inventory items, offers and groups keep all their fields: they are
replaced as a whole, so what is not written back is lost.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, WrapValidator, model_validator
from pydantic.alias_generators import to_camel

from flipsync.connectors.unread import one_by_one
from flipsync.domain.money import Money


class Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data


class Whole(Shape):
    """A shape that remembers the fields it does not know."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)

    def fields(self) -> dict[str, Any]:
        """As it came, without what is empty: eBay's documents know no null in what it is sent."""
        whole: dict[str, Any] = _without_nulls(self.model_dump(by_alias=True, mode="json", exclude_unset=True))
        return whole


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value if each is not None] if isinstance(value, list) else value


class Page(Shape):
    """A part of a list; `rows` is how many came with it, readable or not, `total` how many the whole list has.

    Two pages of one `mark` hold the same rows.
    """

    next: str | None = None
    total: int | None = None
    rows: int = 0
    mark: int = 0

    @model_validator(mode="before")
    @classmethod
    def _count(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        lists = {name: each for name, each in data.items() if isinstance(each, list) and name != "warnings"}
        mark = hash(json.dumps(lists, sort_keys=True, default=str))
        return {**data, "rows": max(map(len, lists.values()), default=0), "mark": mark}


class Amount(Shape):
    value: str
    currency: str
    converted_from_value: str | None = None
    converted_from_currency: str | None = None

    @model_validator(mode="after")
    def _is_money(self) -> Self:
        if self.converted_from_value is None:  # else the other one may be what counts
            Money.parse(self.value, self.currency)
        return self


class ErrorParameter(Shape):
    name: str = ""
    value: str | None = None


class Error(Shape):
    error_id: int = 0
    category: str = ""
    message: str = ""
    long_message: str = ""
    parameters: tuple[ErrorParameter, ...] = ()


class Errors(Shape):
    errors: tuple[Error, ...] = ()


class Token(Shape):
    """RFC 6749, 5.1: these names are not in camel case."""

    model_config = ConfigDict(alias_generator=None, extra="ignore", frozen=True)

    access_token: str = Field(min_length=1)
    expires_in: float | None = None
    refresh_token: str | None = None
    refresh_token_expires_in: float | None = None


# Inventory


class Allocation(Whole):
    """What of an item's units is there for offers of each format."""

    fixed_price: int | None = None


class ShipToLocation(Whole):
    quantity: int | None = None
    allocation_by_format: Allocation = Allocation()


class Availability(Whole):
    ship_to_location_availability: ShipToLocation = ShipToLocation()


def _by_name(value: Any) -> Any:
    """A map of name to list; eBay's documents have called it a text that holds one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    if not isinstance(value, dict):
        return {}
    return {name: [told] if isinstance(told, str) else told for name, told in value.items() if told is not None}


class Product(Whole):
    title: str = ""
    description: str = ""
    aspects: Annotated[dict[str, tuple[str, ...]], BeforeValidator(_by_name)] = Field(default_factory=dict)
    image_urls: tuple[str, ...] = ()
    ean: tuple[str, ...] = ()
    upc: tuple[str, ...] = ()
    isbn: tuple[str, ...] = ()
    epid: str | None = None


class Item(Whole):
    """An inventory item. The SKU is missing where it was asked for by SKU."""

    sku: str = ""
    product: Product = Product()
    availability: Availability = Availability()
    group_ids: tuple[str, ...] = ()
    inventory_item_group_keys: tuple[str, ...] = ()

    @property
    def groups(self) -> tuple[str, ...]:
        return self.inventory_item_group_keys or self.group_ids

    @property
    def quantity(self) -> int | None:
        return self.availability.ship_to_location_availability.quantity

    @property
    def allocated(self) -> int | None:
        """The units that fixed-price offers have; None where eBay does not say."""
        return self.availability.ship_to_location_availability.allocation_by_format.fixed_price

    @property
    def barcode(self) -> str | None:
        return next(iter((*self.product.upc, *self.product.ean, *self.product.isbn)), None)


class Items(Page):
    inventory_items: Annotated[list[Item], WrapValidator(one_by_one)] = Field(default_factory=list)


class BulkItem(Shape):
    status_code: int
    sku: str
    inventory_item: Item | None = None
    errors: tuple[Error, ...] = ()


class BulkItems(Shape):
    responses: Annotated[list[BulkItem], WrapValidator(one_by_one)]


class PriceSummary(Whole):
    price: Amount | None = None


class ListingDetails(Whole):
    listing_id: str = ""
    listing_status: str = "ACTIVE"


class Offer(Whole):
    offer_id: str
    sku: str = ""
    marketplace_id: str = ""
    format: str = "FIXED_PRICE"
    status: str = "UNPUBLISHED"
    available_quantity: int | None = None
    listing_description: str | None = None
    pricing_summary: PriceSummary = PriceSummary()
    listing: ListingDetails | None = None

    @property
    def reported(self) -> bool:
        """Known from the report of active listings alone, which tells nothing of a quantity of its own."""
        return not self.offer_id


class Offers(Shape):
    offers: tuple[Offer, ...] = ()


class OfferMade(Shape):
    offer_id: str = ""


class PriceQuantity(Shape):
    status_code: int
    sku: str = ""
    offer_id: str | None = None
    errors: tuple[Error, ...] = ()


class PriceQuantities(Shape):
    responses: Annotated[list[PriceQuantity], WrapValidator(one_by_one)]


class Specification(Shape):
    name: str
    values: tuple[str, ...] = ()


class VariesBy(Whole):
    specifications: tuple[Specification, ...] = ()


class Group(Whole):
    inventory_item_group_key: str = ""
    variant_sku_s: tuple[str, ...] = Field(default=(), alias="variantSKUs")
    varies_by: VariesBy = VariesBy()


class FeedTask(Shape):
    """A report that was ordered (Sell Feed API)."""

    task_id: str
    status: str
    creation_date: AwareDatetime


class FeedTasks(Shape):
    tasks: tuple[FeedTask, ...] = ()


class MigratedItem(Shape):
    sku: str
    offer_id: str | None = None


class Migrated(Shape):
    """What became of one listing that was to come under the Inventory API."""

    listing_id: str = ""
    status_code: int
    inventory_items: tuple[MigratedItem, ...] = ()
    errors: tuple[Error, ...] = ()


class Migrations(Shape):
    responses: tuple[Migrated, ...]


class Location(Shape):
    merchant_location_key: str = ""
    merchant_location_status: str = "ENABLED"
    name: str = ""


class Locations(Shape):
    locations: tuple[Location, ...] = ()


# Account, taxonomy, identity, limits


class Policy(Shape):
    """A payment, fulfilment or return policy: each calls its id by its own name."""

    name: str = ""
    payment_policy_id: str | None = None
    fulfillment_policy_id: str | None = None
    return_policy_id: str | None = None

    @property
    def id(self) -> str:
        return self.payment_policy_id or self.fulfillment_policy_id or self.return_policy_id or ""


class Policies(Shape):
    payment_policies: tuple[Policy, ...] = ()
    fulfillment_policies: tuple[Policy, ...] = ()
    return_policies: tuple[Policy, ...] = ()

    @property
    def all(self) -> tuple[Policy, ...]:
        return (*self.payment_policies, *self.fulfillment_policies, *self.return_policies)


class Privileges(Shape):
    seller_registration_completed: bool = True


class User(Shape):
    user_id: str = ""
    username: str = ""


class CategoryTree(Shape):
    category_tree_id: str


class Category(Shape):
    category_id: str
    category_name: str = ""


class CategorySuggestion(Shape):
    category: Category


class CategorySuggestions(Shape):
    category_suggestions: tuple[CategorySuggestion, ...] = ()


class AspectConstraint(Shape):
    aspect_required: bool = False
    aspect_mode: str = "FREE_TEXT"
    item_to_aspect_cardinality: str = "SINGLE"


class AspectValue(Shape):
    localized_value: str


class Aspect(Shape):
    localized_aspect_name: str
    aspect_constraint: AspectConstraint = AspectConstraint()
    aspect_values: tuple[AspectValue, ...] = ()


class Aspects(Shape):
    aspects: tuple[Aspect, ...] = ()


class Rate(Shape):
    limit: int | None = None
    remaining: int | None = None
    reset: AwareDatetime | None = None
    time_window: int | None = None


class Resource(Shape):
    name: str = ""
    rates: tuple[Rate, ...] = ()


class RateLimit(Shape):
    api_context: str = ""
    api_name: str = ""
    resources: tuple[Resource, ...] = ()


class RateLimits(Shape):
    rate_limits: tuple[RateLimit, ...] = ()
