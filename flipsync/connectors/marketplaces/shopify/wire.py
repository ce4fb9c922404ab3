"""Shapes of the Admin API's answers, as our documents ask for them. Unknown fields are ignored."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.alias_generators import to_camel

from flipsync.connectors.unread import one_by_one

T = TypeVar("T")


class Wire(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)


def _text(value: Any) -> Any:
    return "" if value is None else str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(_text)]


# The envelope


class ErrorExtensions(Wire):
    code: Text = ""
    required_access: Text = ""


def _mapping(value: Any) -> Any:
    return value if isinstance(value, dict) else {}


class GraphError(Wire):
    message: Text = ""
    path: list[str | int] | None = None
    extensions: Annotated[ErrorExtensions, BeforeValidator(_mapping)] = ErrorExtensions()


#: of points
Points = Annotated[float, Field(allow_inf_nan=False, ge=0)]
More = Annotated[float, Field(allow_inf_nan=False, gt=0)]


class ThrottleStatus(Wire):
    maximum_available: More
    currently_available: Annotated[float, Field(allow_inf_nan=False)]  # below zero after a costly answer
    restore_rate: More


def _advice(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """What a document cost is worth knowing, but not worth an answer: what cannot be read of it is not known."""
    try:
        return read(value)
    except ValidationError:
        return None


class Cost(Wire):
    requested_query_cost: Annotated[Points | None, WrapValidator(_advice)] = None
    actual_query_cost: Annotated[Points | None, WrapValidator(_advice)] = None
    throttle_status: Annotated[ThrottleStatus | None, WrapValidator(_advice)] = None


class Extensions(Wire):
    cost: Annotated[Cost | None, WrapValidator(_advice)] = None


def _errors(value: Any) -> Any:
    """Before GraphQL is reached, `errors` is a text or a map of texts."""
    if value is None:
        return []
    return value if isinstance(value, list) else [{"message": str(value)}]


class Envelope(Wire):
    """`data` left out means that the document was not carried out at all; `answered` tells that from null."""

    data: dict[str, Any] | None = None
    errors: Annotated[list[GraphError], BeforeValidator(_errors)] = Field(default_factory=list)
    extensions: Annotated[Extensions, BeforeValidator(_mapping)] = Extensions()

    @property
    def answered(self) -> bool:
        return "data" in self.model_fields_set


class UserError(Wire):
    field: list[str] | None = None
    message: Text = ""
    code: Text = ""

    @property
    def where(self) -> str:
        return ".".join(self.field or ())


class Payload(Wire):
    """What every mutation answers with, beside its own fields."""

    user_errors: list[UserError]


class PageInfo(Wire):
    has_next_page: bool
    end_cursor: str | None = None


class Connection(Wire, Generic[T]):
    nodes: list[T]
    page_info: PageInfo


# Account


class Shop(Wire):
    name: str
    currency_code: str
    iana_timezone: str = Field(alias="ianaTimezone", default="UTC")
    myshopify_domain: str = ""


class Scope(Wire):
    handle: str


class Installation(Wire):
    access_scopes: list[Scope]


class Account(Wire):
    shop: Shop
    current_app_installation: Installation


class Location(Wire):
    id: str
    name: str
    is_active: bool


class Catalog(Wire):
    title: Text = ""


class SalesChannel(Wire):
    name: Text = ""
    handle: Text = ""


class SalesChannels(Wire):
    nodes: list[SalesChannel]


class Publication(Wire):
    id: str
    catalog: Catalog | None = None
    channels: SalesChannels | None = None

    @property
    def names(self) -> set[str]:
        channels = [] if self.channels is None else self.channels.nodes
        found = {name for row in channels for name in (row.name, row.handle)}
        return found | ({self.catalog.title} if self.catalog is not None else set())


# Listings


class MetaValue(Wire):
    value: str


def _meta(value: MetaValue | None) -> str:
    return "" if value is None else value.value


class Quantity(Wire):
    name: str
    quantity: int
    updated_at: AwareDatetime | None = None


class ItemRef(Wire):
    id: str


class Level(Wire):
    quantities: list[Quantity]

    @property
    def available(self) -> Quantity | None:
        return next((row for row in self.quantities if row.name == "available"), None)


class InventoryItem(Wire):
    id: str
    tracked: bool
    inventory_level: Level | None = None


class Picture(Wire):
    url: str


class Medium(Wire):
    """A picture has no address until Shopify has processed it; what is no picture never has one."""

    id: str
    image: Picture | None = None


class Definition(Wire):
    """Of metafields with one key."""

    key: str = ""
    name: str


class DefinitionPayload(Payload):
    created_definition: Definition | None = None


class Specific(Wire):
    key: str
    value: str
    definition: Definition | None = None


class Product(Wire):
    id: str
    title: str
    description_html: str | None = None
    media: Connection[Medium] | None = None
    specifics: Connection[Specific] | None = None
    status: str
    has_only_default_variant: bool
    updated_at: AwareDatetime
    published_on_publication: bool | None = None


class Variant(Wire):
    id: str
    sku: Text = ""
    title: Text = ""
    price: Decimal
    barcode: str | None = None
    updated_at: AwareDatetime
    published_on_publication: bool | None = None
    publish_key_meta: MetaValue | None = Field(alias="publishKey", default=None)
    ended_key_meta: MetaValue | None = Field(alias="endedKey", default=None)
    inventory_item: InventoryItem
    product: Product
    specifics: Connection[Specific] | None = None

    @property
    def publish_key(self) -> str:
        return _meta(self.publish_key_meta)

    @property
    def ended_key(self) -> str:
        return _meta(self.ended_key_meta)


class Variants(Connection[Variant]):
    nodes: Annotated[list[Variant], WrapValidator(one_by_one)]


class Sibling(Wire):
    """A variant beside others of its product."""

    id: str
    sku: Text = ""
    published_on_publication: bool | None = None


class Siblings(Wire):
    id: str
    variants: Connection[Sibling]


class ProductImages(Wire):
    id: str
    images_meta: MetaValue | None = Field(alias="images", default=None)

    @property
    def images(self) -> str:
        return _meta(self.images_meta)


class SelectedOption(Wire):
    name: str
    value: str


class BeforeRevision(Wire):
    selected_options: list[SelectedOption] = Field(default_factory=list)
    product: ProductImages


class PicturedVariant(Wire):
    media: Connection[ItemRef]


class PicturedVariants(Wire):
    variants: Connection[PicturedVariant]


class ProductVariants(Wire):
    id: str
    variants: Connection[Variant]


class ProductPayload(Payload):
    product: ProductVariants | None = None


class VariantsPayload(Payload):
    product_variants: list[Variant] | None = None


# Categories


class TaxonomyCategory(Wire):
    id: str
    name: str
    full_name: str
    is_archived: bool = False


class Taxonomy(Wire):
    categories: Connection[TaxonomyCategory]


# Stock


class StockChange(Wire):
    delta: int | None = None
    quantity_after_change: int | None = None
    item: ItemRef | None = None


class AdjustmentGroup(Wire):
    changes: list[StockChange]


class QuantitiesPayload(Payload):
    inventory_adjustment_group: AdjustmentGroup | None = None


class Export(Wire):
    """A bulk operation: what is asked for is worked through by Shopify in its own time."""

    id: str
    status: str
    url: str | None = None
    error_code: str | None = None


class ExportPayload(Payload):
    bulk_operation: Export | None = None


# Webhooks


class Subscription(Wire):
    id: str
    topic: str
    uri: str
    format: str = "JSON"
    filter: Text = ""
    include_fields: list[str] = Field(default_factory=list)


class SubscriptionPayload(Payload):
    webhook_subscription: Subscription | None = None


# The token endpoint


class TokenGrant(BaseModel):
    """RFC 6749, 5.1; lifetimes in seconds."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    access_token: str = Field(min_length=1)
    expires_in: float | None = None
    refresh_token: str | None = None
    refresh_token_expires_in: float | None = None
