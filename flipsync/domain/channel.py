"""What a sales channel is to us, whatever the vendor: offers, listings, orders, rivals, webhook notices.

Connectors translate vendor shapes to and from these values; nothing else knows a vendor's field names.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from flipsync.domain.money import Currency, Money
from flipsync.domain.text import storable

Vendor = Literal["woocommerce", "custom", "shopify", "ebay", "amazon", "vendure", "medusa", "python"]
ListingStatus = Literal["active", "draft", "ended"]
#: how the shelf is shared among accounts: each its own units, or all the same ones
StockMode = Literal["escrow", "pooled"]
OrderStatus = Literal["pending", "paid", "shipped", "cancelled", "refunded", "failed"]


#: more units than anybody has: figures beyond are a mistake of the channel's, and could not be added up
MAX_UNITS_TOLD = 10**12
Units = Annotated[int, Field(ge=0, le=MAX_UNITS_TOLD)]


class ChannelValue(BaseModel):
    """Whatever characters a channel sends, its words can be stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _can_be_stored(cls, values: Any) -> Any:
        return storable(values)


class OfferGroup(ChannelValue):
    """The product whose variations are shown as one listing with choices, where the channel can.

    `key` is ours and the same for all of its variations; an offer's own place in it is its `choices`, one for each
    name of `options`, in that order.
    """

    key: str = Field(min_length=1, max_length=50)
    title: str = Field(min_length=1, max_length=500)
    description_html: str = ""
    options: tuple[str, ...] = Field(min_length=1, max_length=3, description="names, e.g. Size, Color")
    images: tuple[str, ...] = ()
    values: dict[str, tuple[str, ...]] = Field(description="option name to every choice the product comes in, in order")


class Offer(ChannelValue):
    """What we want a channel to show for one SKU. Prices without a currency do not exist; quantity is units."""

    sku: str = Field(min_length=1, max_length=100)
    title: str = Field(min_length=1, max_length=500)
    description_html: str = ""
    price: Money
    quantity: int = Field(ge=0)
    barcode: str | None = None
    brand: str | None = None
    category: str | None = None
    images: tuple[str, ...] = ()
    weight_grams: int | None = Field(default=None, ge=0)
    attributes: dict[str, str] = Field(default_factory=dict, description="option and item-specific names to values")
    group: OfferGroup | None = Field(default=None, description="None for goods that come in one form only")
    choices: tuple[str, ...] = Field(default=(), description="this variation's choices, in the group's options' order")


class ListingText(ChannelValue):
    """What buyers read and see of a listing, in the form the channel keeps it in. None: the channel did not tell.

    `of_group` says that these are the words of the listing with choices that the article is one of.
    """

    title: str | None = None
    description_html: str | None = None
    images: tuple[str, ...] | None = None
    specifics: dict[str, str] | None = Field(default=None, description="item specifics by name")
    of_group: bool = False


class ListingState(ChannelValue):
    """What the channel says it shows now. `version` is opaque and present only where writes can be conditional."""

    external_id: str
    sku: str
    title: str
    status: ListingStatus
    price: Money | None
    quantity: int | None = Field(
        ge=-MAX_UNITS_TOLD,
        le=MAX_UNITS_TOLD,
        description="units on offer; None where the channel does not manage stock; may be < 0",
    )
    shown_before: int | None = Field(
        default=None,
        description="after a write of units: those it replaced, where the answer, or what is read for it anyway, tells",
    )
    version: str | None = None
    modified_at: AwareDatetime | None = None
    group_external_id: str | None = Field(default=None, description="the listing with choices that this is one of")
    barcode: str | None = None
    text: ListingText | None = Field(default=None, description="without anything in it where the words are others'")
    fulfilled_by: Literal["seller", "channel"] = Field(default="seller", description="whose warehouse supplies it")
    catalogue_id: str | None = Field(default=None, description="the channel's page of the article (Amazon: ASIN)")


class TakenIn(ChannelValue):
    """Listings of an account that its API did not show before, and those that stay out of reach with the reason."""

    states: tuple[ListingState, ...] = ()
    left_out: dict[str, str] = Field(default_factory=dict, description="the channel's id of a listing → why")


class Address(ChannelValue):
    name: str = ""
    company: str = ""
    line1: str = ""
    line2: str = ""
    city: str = ""
    region: str = ""
    postal_code: str = ""
    country: str = Field(default="", description="ISO 3166-1 alpha-2")
    phone: str = ""
    email: str = ""


class ChannelOrderLine(ChannelValue):
    external_id: str
    listing_external_id: str | None
    sku: str
    title: str
    quantity: Units
    total: Money = Field(description="line total before tax, after discounts; unit price is total / quantity")
    tax: Money


class ChannelRefund(ChannelValue):
    """Money given back. `restocked` maps the order line's external id to the units the channel put back on sale."""

    external_id: str
    amount: Money
    restocked: dict[str, Units] = Field(default_factory=dict)
    created_at: AwareDatetime
    reference: str = Field(default="", description="what whoever gave it wrote with it, where the channel tells")


class RefundOrder(ChannelValue):
    """What the channel is asked to give back. `reference` is written where the channel shows it again, so that this
    refund is found later; `units` are order lines' external ids to units it is about."""

    order_external_id: str
    amount: Money
    reason: str
    reference: str
    units: dict[str, int] = Field(default_factory=dict)
    restock: bool = Field(default=False, description="the channel puts the units back on sale")

    @property
    def words(self) -> str:
        """Reason and reference in one text, for channels that keep but one."""
        return f"{self.reason} [{self.reference}]" if self.reason else f"[{self.reference}]"


class ChannelOrder(ChannelValue):
    """One order as the channel tells it. `holds_stock` says whether, in this state, its units are off the shelf."""

    external_id: str
    number: str
    status: OrderStatus
    vendor_status: str
    holds_stock: bool
    placed_at: AwareDatetime
    modified_at: AwareDatetime
    currency: Currency
    lines: tuple[ChannelOrderLine, ...]
    shipping: Money
    tax: Money
    total: Money
    channel_fee: Money | None = Field(default=None, description="what the channel itself reports it keeps, if it does")
    refunds: tuple[ChannelRefund, ...] = ()
    ship_to: Address = Address()
    buyer_id: str = Field(default="", description="the channel's name for the buyer, where it has one")
    buyer_note: str = ""
    fulfilled_by: Literal["seller", "channel"] = Field(
        default="seller", description="channel: packed and shipped from a warehouse of the channel's"
    )


class UnreadOrder(ChannelValue):
    """An order that came and cannot be read. `told` is a short copy of what came without what may be about a person."""

    external_id: str = Field(default="", max_length=200, description='"" where not even that can be read')
    mark: str = Field(min_length=1, description="a digest of all that came: the same order, told the same way")
    reason: str = Field(max_length=500)
    told: str = Field(default="", max_length=4_000)

    @property
    def key(self) -> str:
        """What it is known by: the channel's id, or what came."""
        return self.external_id or f"#{self.mark}"


class Parcel(ChannelValue):
    """A packed parcel: grams and millimetres."""

    weight_grams: int = Field(gt=0, le=100_000)
    length_mm: int = Field(gt=0, le=5_000)
    width_mm: int = Field(gt=0, le=5_000)
    height_mm: int = Field(gt=0, le=5_000)


class LabelOrder(ChannelValue):
    """A label that is wanted for a whole order. `items`: order lines' external ids to units."""

    order_external_id: str
    items: dict[str, int]
    ship_from: Address
    parcel: Parcel


class LabelService(ChannelValue):
    """A way to send one parcel, and what it costs. `offer` is good for this parcel only."""

    id: str
    offer: str = ""
    name: str
    carrier: str
    price: Money


class ChannelLabel(ChannelValue):
    """A label that was paid for. `content` is the file to print; `live`: not given back, nor about to be."""

    external_id: str
    order_external_id: str
    carrier: str
    service: str
    tracking_number: str
    price: Money
    live: bool
    media_type: str
    content: bytes = Field(repr=False)


class WarehouseUnits(ChannelValue):
    """Units of one SKU in warehouses of the channel's: those buyers can have now, sold ones, and those on their way."""

    sku: str
    catalogue_id: str | None = None
    available: Units
    sold: Units = Field(default=0, description="set aside for buyers and not shipped yet")
    inbound: Units = 0


class RivalOffer(ChannelValue):
    """Another seller's offer for goods we sell."""

    sku: str
    seller: str
    price: Money
    in_stock: bool
    seen_at: AwareDatetime
    featured: bool = Field(default=False, description="the channel puts it first, as in Amazon's Buy Box")


class ChannelInfo(ChannelValue):
    """What `probe` learned about an account."""

    name: str
    version: str = ""
    currency: Currency
    timezone: str = "UTC"
    can_read: bool
    can_write: bool
    notes: tuple[str, ...] = ()
    access_ends_at: AwareDatetime | None = Field(default=None, description="connect again before then, where known")
    seller_id: str = Field(default="", description="who sells there, as the vendor itself said just now; else empty")


class SellerRating(ChannelValue):
    """How the channel rates the account: `level` now, `soon` as the next rating will be, where it tells that.

    `because`: what falls short of its standard, in its own names.
    """

    level: Literal["top", "good", "below"]
    soon: Literal["top", "good", "below"] | None = None
    because: tuple[str, ...] = ()


class WebhookSubscription(ChannelValue):
    external_id: str
    topic: str
    url: str
    active: bool


class WebhookNotice(ChannelValue):
    """One verified delivery. `dedup_key` is equal for repeats of the same fact and different for different facts.

    `order` is present when the body carried the whole order; otherwise fetch `resource_id`. `buyer_ids`: all names the
    channel has for a buyer whose account is gone ("buyer-deleted").
    """

    kind: Literal["ping", "order", "listing", "buyer-deleted", "other"]
    topic: str
    resource_id: str
    dedup_key: str
    deleted: bool = False
    modified_at: datetime | None = None
    order: ChannelOrder | None = None
    buyer_ids: tuple[str, ...] = ()
