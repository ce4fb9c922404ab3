"""The one interface every marketplace connector implements, and the ports it is given.

A connector has three files: `client.py` (HTTP, this interface), `mapping.py` (pure translation) and `wire.py` (the
vendor's own shapes). Every method raises only `Rejected`, `Retryable` or `OutcomeUnknown` (flipsync.domain.errors).
Reads never raise `OutcomeUnknown`. No method retries by itself: retrying is the effect worker's job.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Literal, Protocol, Self

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr

from flipsync.domain.channel import (
    ChannelInfo,
    ChannelOrder,
    ListingState,
    Offer,
    RivalOffer,
    Vendor,
    WebhookNotice,
    WebhookSubscription,
)
from flipsync.domain.money import Currency, Money


class Limiter(Protocol):
    """Shared by all workers of an account: waits until a request is allowed, and learns from refusals."""

    async def acquire(self, bucket: str, rate_per_second: float, burst: int) -> None:
        """Wait for one token of `bucket`."""

    async def pause(self, bucket: str, seconds: float) -> None:
        """Nobody may use `bucket` for `seconds` (a 429 or Retry-After was seen)."""


class Unlimited:
    """A limiter that never waits; for tests and local tools."""

    async def acquire(self, bucket: str, rate_per_second: float, burst: int) -> None:
        return None

    async def pause(self, bucket: str, seconds: float) -> None:
        return None


class AccountConfig(BaseModel):
    """Where an account lives and how to talk to it. Everything about endpoints comes from here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vendor: Vendor
    base_url: AnyHttpUrl
    currency: Currency
    ca_file: str | None = Field(default=None, description="PEM file of a private certificate authority")
    timeout_seconds: float = Field(default=15.0, gt=0, le=120)
    requests_per_second: float = Field(default=25.0, gt=0)
    burst: int = Field(default=25, ge=1)
    settle_seconds: float = Field(
        default=1.0,
        ge=0,
        description="longest delay after which a finished sale is visible in the channel's order list",
    )


class Capabilities(BaseModel):
    """What the vendor can do; the effect worker picks its protocol from this, never from the vendor's name."""

    model_config = ConfigDict(frozen=True)

    conditional_stock: bool = Field(description="set_quantity honours expected_version (compare and set)")
    create_once: Literal["key", "lookup"] = Field(description="how a repeated publish is kept from doubling")
    rival_offers: bool
    webhooks: bool


class MarketplaceConnector(ABC):
    """One seller account on one channel. Async, safe for concurrent use, closed with `aclose()` or `async with`."""

    vendor: ClassVar[Vendor]
    capabilities: ClassVar[Capabilities]

    def __init__(self, config: AccountConfig, credentials: Mapping[str, SecretStr], limiter: Limiter, account_key: str):
        """`account_key` names the account's rate-limit buckets; `credentials` holds the vendor's own names."""
        self.config = config
        self.credentials = credentials
        self.limiter = limiter
        self.account_key = account_key

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @abstractmethod
    async def aclose(self) -> None: ...

    @abstractmethod
    async def probe(self) -> ChannelInfo:
        """Check credentials, read and write permission, currency; changes nothing that stays."""

    @abstractmethod
    async def find_listing(self, sku: str) -> ListingState | None:
        """The listing with exactly this SKU, or None."""

    @abstractmethod
    async def read_listing(self, external_id: str) -> ListingState | None:
        """The listing as the channel shows it now, or None when the channel does not know it."""

    @abstractmethod
    def listings(self) -> AsyncIterator[ListingState]:
        """Every listing of the account, page after page."""

    @abstractmethod
    async def publish(self, offer: Offer, key: str) -> ListingState:
        """Create the listing once: repeating with the same `key` (or SKU) finds the first one instead of doubling."""

    @abstractmethod
    async def revise(self, external_id: str, offer: Offer, key: str) -> ListingState:
        """Change title, text, images and attributes. Price and quantity are left alone: they have their own calls."""

    @abstractmethod
    async def end(self, external_id: str, key: str) -> None:
        """Take the listing off sale. Ending an ended or unknown listing is not an error."""

    @abstractmethod
    async def set_price(self, external_id: str, price: Money, key: str) -> ListingState:
        """Set the price and return what the channel now says (the caller compares)."""

    @abstractmethod
    async def set_quantity(
        self, external_id: str, quantity: int, key: str, expected_version: str | None = None
    ) -> ListingState:
        """Set units on offer. `expected_version` (where conditional): `Rejected(vendor_code="version")` if it moved."""

    @abstractmethod
    def orders(self, modified_after: datetime) -> AsyncIterator[ChannelOrder]:
        """Orders created or changed at or after that time, oldest change first."""

    @abstractmethod
    async def read_order(self, external_id: str) -> ChannelOrder | None: ...

    @abstractmethod
    async def confirm_shipment(
        self, order_external_id: str, carrier: str, tracking_number: str, key: str
    ) -> ChannelOrder:
        """Tell the channel the whole order left the house. Confirming twice is not an error."""

    @abstractmethod
    async def rivals(self, skus: Sequence[str]) -> list[RivalOffer]:
        """Other sellers' offers for these SKUs; [] where the channel has none."""

    @abstractmethod
    async def ensure_webhooks(self, callback_url: str, secret: SecretStr) -> list[WebhookSubscription]:
        """Subscribe to order and listing changes, or re-activate what the vendor switched off; never doubles."""

    @classmethod
    @abstractmethod
    def parse_webhook(
        cls, headers: Mapping[str, str], body: bytes, secret: SecretStr, config: AccountConfig
    ) -> WebhookNotice:
        """Verify the signature over the raw bytes and translate. Raises Unauthenticated or InvalidInput
        (flipsync.domain.errors); header names arrive in any case."""
