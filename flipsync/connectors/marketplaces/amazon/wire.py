"""Amazon's own shapes, as far as they are used. What Amazon adds is passed over.

Money is a decimal string in Listings Items and Orders, and a JSON number in Pricing and Fees: both are read as Decimal.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    WrapValidator,
    model_validator,
)
from pydantic.alias_generators import to_camel, to_pascal

from flipsync.connectors.unread import one_by_one
from flipsync.domain.money import Money

#: Digits that arithmetic in doubles leaves behind an amount: 8.059999999999999 is 8.06.
_NOISE = 4


def _exact(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    # A float's own digits, not its binary value: 17.99 is meant.
    told, meant = str(value), f"{value:.15g}"
    return meant if len(told) - len(meant) > _NOISE else told


Amount = Annotated[Decimal, BeforeValidator(_exact)]


class _Shape(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        return {name: value for name, value in data.items() if value is not None} if isinstance(data, dict) else data


class Wire(_Shape):
    """Names are camelCase on the wire. Words of enumerations are texts: Amazon adds some without a new version."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class Pascal(_Shape):
    """The older APIs, and some notifications, write PascalCase."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, alias_generator=to_pascal)


class Price(Wire):
    """An amount with its currency."""

    currency_code: str
    amount: Amount

    def money(self) -> Money:
        """Raises ValueError when the currency has fewer decimals than the amount."""
        return Money.from_decimal(self.amount, self.currency_code)


class PascalPrice(Pascal):
    currency_code: str
    amount: Amount

    def money(self) -> Money:
        return Money.from_decimal(self.amount, self.currency_code)


# Errors and tokens


class Error(Wire):
    code: str = ""
    message: str = ""
    details: str = ""


class ErrorList(Wire):
    errors: list[Error] = Field(min_length=1)


class AccessToken(BaseModel):
    model_config = ConfigDict(extra="ignore")

    access_token: SecretStr = Field(min_length=1)
    expires_in: float | None = None


class TokenError(_Shape):
    model_config = ConfigDict(extra="ignore")

    error: str
    error_description: str = ""


class RestrictedDataToken(Wire):
    restricted_data_token: SecretStr = Field(min_length=1)
    expires_in: float | None = None


# Sellers


class SellersMarketplace(Wire):
    id: str
    name: str
    country_code: str
    default_currency_code: str
    default_language_code: str = ""


class Participation(Wire):
    is_participating: bool
    has_suspended_listings: bool


class MarketplaceParticipation(Wire):
    marketplace: SellersMarketplace
    participation: Participation
    store_name: str = ""


class Participations(Wire):
    payload: list[MarketplaceParticipation]


# Listings Items


class Issue(Wire):
    code: str
    message: str
    severity: str
    attribute_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


class ItemSummary(Wire):
    marketplace_id: str
    asin: str | None = None
    product_type: str
    status: tuple[str, ...] = ()
    item_name: str = ""
    created_date: AwareDatetime
    last_updated_date: AwareDatetime


class ItemOffer(Wire):
    marketplace_id: str
    offer_type: str
    price: Price


class Availability(Wire):
    fulfillment_channel_code: str
    quantity: int | None = None


class Relationship(Wire):
    type: str
    child_skus: tuple[str, ...] = ()
    parent_skus: tuple[str, ...] = ()


class MarketplaceRelationships(Wire):
    marketplace_id: str
    relationships: tuple[Relationship, ...] = ()


class MarketplaceProductType(Wire):
    marketplace_id: str = ""
    product_type: str


class Item(Wire):
    """A listing of ours."""

    sku: str
    summaries: tuple[ItemSummary, ...] = ()
    attributes: dict[str, Any] = {}
    issues: tuple[Issue, ...] = ()
    offers: tuple[ItemOffer, ...] = ()
    fulfillment_availability: tuple[Availability, ...] = ()
    relationships: tuple[MarketplaceRelationships, ...] = ()
    product_types: tuple[MarketplaceProductType, ...] = ()


class Pagination(Wire):
    next_token: str | None = None


class ItemSearch(Wire):
    number_of_results: int
    items: Annotated[list[Item], WrapValidator(one_by_one)]
    pagination: Pagination = Pagination()


class Submission(Wire):
    """What became of a listing that was sent: ACCEPTED is not yet applied."""

    sku: str
    status: str
    submission_id: str
    issues: tuple[Issue, ...] = ()


# Catalog Items and Product Type Definitions


class CatalogSummary(Wire):
    marketplace_id: str
    brand: str = ""
    item_name: str = ""
    item_classification: str = ""


class CatalogIdentifier(Wire):
    identifier_type: str
    identifier: str


class CatalogIdentifiers(Wire):
    identifiers: tuple[CatalogIdentifier, ...] = ()


class SalesRank(Wire):
    rank: int


class SalesRanks(Wire):
    display_group_ranks: tuple[SalesRank, ...] = ()


class CatalogItem(Wire):
    asin: str
    identifiers: tuple[CatalogIdentifiers, ...] = ()
    sales_ranks: tuple[SalesRanks, ...] = ()
    summaries: tuple[CatalogSummary, ...] = ()
    product_types: tuple[MarketplaceProductType, ...] = ()


class CatalogSearch(Wire):
    items: Annotated[list[CatalogItem], WrapValidator(one_by_one)]


class ProductType(Wire):
    name: str
    display_name: str


class ProductTypes(Wire):
    product_types: list[ProductType]


class Link(Wire):
    resource: str


class SchemaLink(Wire):
    link: Link


class PropertyGroup(Wire):
    property_names: tuple[str, ...] = ()


class ProductTypeDefinition(Wire):
    product_type: str
    json_schema: SchemaLink = Field(alias="schema")
    property_groups: dict[str, PropertyGroup]

    @property
    def properties(self) -> frozenset[str]:
        """The names of every attribute the product type knows."""
        return frozenset(name for group in self.property_groups.values() for name in group.property_names)
