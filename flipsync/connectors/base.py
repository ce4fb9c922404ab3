"""The one interface every marketplace connector implements, and the ports it is given.

A connector has three files: `client.py` (HTTP, this interface), `mapping.py` (pure translation) and `wire.py` (the
vendor's own shapes). Every method raises only `Rejected`, `Retryable` or `OutcomeUnknown` (flipsync.domain.errors).
Reads never raise `OutcomeUnknown`. No method retries by itself: retrying is the effect worker's job.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, SecretStr

from flipsync.connectors.knowledge import Facts, Recalled
from flipsync.connectors.limiter import Limiter as Limiter
from flipsync.connectors.limiter import Unlimited as Unlimited
from flipsync.connectors.signed_prices import PRICED, PriceGuard, guarded
from flipsync.connectors.vault import MemoryVault, Vault
from flipsync.domain.advertising import AdSale, AdShown
from flipsync.domain.channel import (
    ChannelInfo,
    ChannelLabel,
    ChannelOrder,
    LabelOrder,
    LabelService,
    ListingState,
    Offer,
    RefundOrder,
    RivalOffer,
    SellerRating,
    TakenIn,
    Vendor,
    WarehouseUnits,
    WebhookNotice,
    WebhookSubscription,
)
from flipsync.domain.errors import ChannelError, EditedElsewhere, Rejected
from flipsync.domain.money import Currency, Money
from flipsync.domain.payouts import ChannelPayout, ChannelPayoutLine
from flipsync.domain.sourcing import CatalogueEntry, CatalogueQuestion

if TYPE_CHECKING:
    import httpx2


#: Whether the work in hand leaves a share of every bucket to what is more urgent; set by whoever knows what it does.
leaves_reserve: ContextVar[bool] = ContextVar("flipsync_leaves_reserve", default=False)


class AccountConfig(BaseModel):
    """Where an account lives and how to talk to it. Everything about endpoints comes from here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vendor: Vendor
    base_url: AnyHttpUrl
    token_url: AnyHttpUrl | None = Field(default=None, description="where access tokens come from, if not the vendor's")
    notification_url: AnyHttpUrl | None = Field(
        default=None, description="where notifications are fetched or managed, if apart from base_url"
    )
    currency: Currency
    options: dict[str, str] = Field(
        default_factory=dict, description="the vendor's own settings (marketplace, location, channel): names to values"
    )
    ca_file: str | None = Field(default=None, description="PEM file of a private certificate authority")
    timeout_seconds: float = Field(default=15.0, gt=0, le=120)
    requests_per_second: float = Field(default=25.0, gt=0)
    burst: int = Field(default=25, ge=1)
    settle_seconds: float = Field(
        default=1.0,
        ge=0,
        description="longest delay after which a finished sale is visible in the channel's order list",
    )
    landing_seconds: float = Field(
        default=60.0,
        ge=0,
        description="longest time after which a request whose answer never came may still take effect",
    )


class Capabilities(BaseModel):
    """What the vendor can do; the effect worker picks its protocol from this, never from the vendor's name."""

    model_config = ConfigDict(frozen=True)

    conditional_stock: bool = Field(description="set_quantity honours expected_version (compare and set)")
    create_once: Literal["key", "lookup"] = Field(description="how a repeated publish is kept from doubling")
    rival_offers: bool
    webhooks: bool = Field(description="the vendor calls us; otherwise notices are fetched, or orders are polled")
    bulk_quantity: int = Field(default=1, ge=1, description="listings whose quantity one call can set")
    bulk_at_once: int = Field(default=4, ge=1, description="such calls that are worth having under way at once")
    tells_replaced: bool = Field(default=False, description="a write of units tells those it replaced: shown_before")
    webhook_keys: bool = Field(default=False, description="webhooks are checked with a fetched key: verify_webhook")
    refunds: Literal["none", "key", "reference", "amount"] = Field(
        default="none",
        description="how a refund is kept from doubling: by a key of the vendor's; found by our reference, or by its "
        "amount, among the order's refunds. none: the connector gives no money back",
    )
    refund_restocks: bool = Field(default=True, description="a refund can put units back on the channel's own shelf")
    labels: Literal["none", "key", "blind"] = Field(
        default="none",
        description="how a bought label is kept from doubling: by a key of the vendor's; blind: there is neither a key "
        "nor a list of what was bought, so a call without an answer is for a person. none: it sells none",
    )
    buyer_messages: Literal["none", "listed", "blind"] = Field(
        default="none",
        description="how a message to a buyer is kept from doubling: found among those of the order; blind: the "
        "channel lists none, so a call without an answer is for a person. none: it takes none",
    )
    groups: bool = Field(default=False, description="variations of one product are shown as one listing with choices")
    ads: bool = Field(default=False, description="listings can be advertised for a share of the sale: set_ad_rate")
    payouts: bool = Field(default=False, description="it tells what it pays out to the seller's bank: payouts")


@dataclass(frozen=True, slots=True)
class LearnsAll:
    """That a connector can learn of all listings at once, which is worth it for `fewest` of which nothing is known;
    what it learns is good for `lasts` seconds."""

    fewest: int
    lasts: float


@dataclass(frozen=True, slots=True)
class QuantityChange:
    """One of many quantities to set."""

    external_id: str
    quantity: int
    key: str


@dataclass(frozen=True, slots=True)
class QuantityOutcome:
    """What became of one change: what the channel says now, or why not."""

    change: QuantityChange
    state: ListingState | None
    error: ChannelError | None


#: told the vendor's name for changes that it has taken and not carried out yet
Taken = Callable[[str, Sequence[QuantityChange]], Awaitable[None]]
#: told outcomes that are certain while others are waited for
Told = Callable[[Sequence[QuantityOutcome]], None]


def still_shows(state: ListingState | None, price: Money, expected: Money | None) -> None:
    """Asked of what was read immediately before a price is written. Raises EditedElsewhere."""
    if state is None or state.price is None or expected is None or state.price in (expected, price):
        return
    raise EditedElsewhere(state.price, expected)


class MarketplaceConnector(ABC):
    """One seller account on one channel. Async, safe for concurrent use, closed with `aclose()` or `async with`."""

    vendor: ClassVar[Vendor]
    capabilities: ClassVar[Capabilities]
    #: where there is a way to learn of all listings that is cheaper than reading them
    learns_all: ClassVar[LearnsAll | None] = None
    #: credentials that every account has; others are renewed, optional, or one of several ways in
    needs: ClassVar[tuple[str, ...]] = ()
    #: the credential deliveries are signed with, where it is not the account's own `webhook_secret`
    signs_with: ClassVar[str] = "webhook_secret"
    #: with one, no price is sent that was not signed a moment ago; whoever works with certificates sets it
    price_guard: PriceGuard | None = None

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        for name in PRICED:
            if name in cls.__dict__:
                setattr(cls, name, guarded(cls.__dict__[name]))

    def __init__(
        self,
        config: AccountConfig,
        credentials: Mapping[str, SecretStr],
        limiter: Limiter,
        account_key: str,
        *,
        vault: Vault | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """`account_key` names the account's rate-limit buckets; `credentials` holds the vendor's own names.

        Tokens that are renewed are kept in `vault` (None: in this object alone). Raises InvalidInput when a credential
        is missing or cannot be one.
        """
        self.config = config
        self.credentials = credentials
        self.limiter = limiter
        self.account_key = account_key
        self.vault: Vault = vault or MemoryVault(credentials)

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

    async def read_listings(self, external_ids: Sequence[str]) -> dict[str, ListingState]:
        """Those of the listings that the channel knows, as it shows them now. A vendor that tells many in one answer
        overrides this."""
        found = [await self.read_listing(external_id) for external_id in dict.fromkeys(external_ids)]
        return {state.external_id: state for state in found if state is not None}

    async def read_whole(self, external_id: str) -> ListingState | None:
        """The same with all of its words and pictures, where `read_listing` leaves some out to be quick."""
        return await self.read_listing(external_id)

    @abstractmethod
    def listings(self) -> AsyncIterator[ListingState]:
        """Every listing of the account, page after page."""

    async def take_in(self, known: Collection[str]) -> TakenIn:
        """Bring within reach what was listed by other means and `listings` does not show. `known`: SKUs it shows."""
        return TakenIn()

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
    async def set_price(self, external_id: str, price: Money, key: str, expected: Money | None = None) -> ListingState:
        """Set the price and return what the channel now says (the caller compares).

        `expected` is what we know it to show: Raises EditedElsewhere, and writes nothing, where it shows neither that
        nor `price` immediately before the write (see `still_shows`).
        """

    def edited_elsewhere(self, external_id: str, known: int, shown: int) -> None:  # noqa: B027 - few want to know
        """Told by whoever was about to set a quantity and found units there that nothing of ours explains."""

    @abstractmethod
    async def set_quantity(
        self, external_id: str, quantity: int, key: str, expected_version: str | None = None
    ) -> ListingState:
        """Set units on offer. `expected_version` (where conditional): `Rejected(vendor_code="version")` if it moved."""

    async def set_quantities(self, changes: Sequence[QuantityChange]) -> list[QuantityOutcome]:
        """Set many quantities; one outcome for each change, in their order. Fails as a whole only before it began.

        A vendor with a bulk call overrides this; `capabilities.bulk_quantity` says how many it takes at once.
        """
        outcomes = []
        for change in changes:
            try:
                state = await self.set_quantity(change.external_id, change.quantity, change.key)
            except ChannelError as error:
                outcomes.append(QuantityOutcome(change, None, error))
            else:
                outcomes.append(QuantityOutcome(change, state, None))
        return outcomes

    async def push_quantities(
        self, changes: Sequence[QuantityChange], taken: Taken, told: Told | None = None
    ) -> list[QuantityOutcome]:
        """`set_quantities` for a caller that remembers: `taken` is called when the vendor has taken changes to work
        them off in its own time, which may outlive this process (see `finished`). Where all of it takes long, `told`
        hears of changes that were read back before the others; they are returned with these all the same."""
        return await self.set_quantities(changes)

    def lacks(self, external_ids: Sequence[str]) -> list[str]:
        """Those of the listings that would have to be read before their units can be set (see connectors.knowledge)."""
        return []

    def recall(self, known: Mapping[str, Recalled]) -> None:
        """What an earlier process learnt of listings."""
        return

    def learnt(self) -> dict[str, Facts | None]:
        """What is worth keeping of listings, as far as it was not told yet; None of what is not known any more."""
        return {}

    def learn_all(self) -> AsyncIterator[int]:
        """What `lacks` asks for, of every listing of the account in few calls (see `learns_all`): yields how many were
        learnt, part after part, so that `learnt` can be kept in between. What it leaves out is read as ever. Raises
        Rejected and Retryable."""
        return _nothing()

    def doubt(self, external_ids: Collection[str]) -> set[str]:
        """Writes that rested on what was recalled were refused: forget it. Returns of which listings that was so."""
        return set()

    async def finished(self, taken: str) -> None:
        """Returns once what the vendor took under this name is worked off, whatever came of it.

        Raises OutcomeUnknown while it is not, or when that cannot be asked.
        """
        return

    @abstractmethod
    def orders(self, modified_after: datetime) -> AsyncIterator[ChannelOrder]:
        """Orders created or changed at or after that time, oldest change first. Those that cannot be read hinder no
        other: Raises UnreadOrders once all others were yielded (see connectors.unread)."""

    def changed_listings(self, modified_after: datetime) -> AsyncIterator[ListingState] | None:
        """Listings changed at or after that time, whoever changed them, in a call or two: where many were, some of
        them. None where the channel tells of changes by itself, or cannot be asked for them."""
        return None

    @abstractmethod
    async def read_order(self, external_id: str) -> ChannelOrder | None: ...

    @abstractmethod
    async def confirm_shipment(
        self, order_external_id: str, carrier: str, tracking_number: str, key: str
    ) -> ChannelOrder:
        """Tell the channel the whole order left the house. Confirming twice is not an error."""

    async def issue_refund(self, wish: RefundOrder, key: str) -> str:
        """Give money back; returns the vendor's id of the refund, "" where it gives none. Only where
        `capabilities.refunds` says how it stays one; repeated with the same `key` only where that is "key"."""
        raise Rejected(
            f"this connector gives no money back on {self.vendor}",
            vendor_code="unsupported",
            hint="give it back on the channel's own page: it is booked when the channel tells of it",
        )

    async def label_services(self, wish: LabelOrder) -> list[LabelService]:
        """Every way the channel sells to send this parcel, cheapest first. Buys nothing."""
        raise self._sells_no_labels()

    async def buy_label(self, wish: LabelOrder, service: LabelService, key: str) -> ChannelLabel:
        """Pay for a label. Without an answer nobody knows, unless `capabilities.labels` is "key"."""
        raise self._sells_no_labels()

    async def read_label(self, external_id: str) -> ChannelLabel | None:
        """A bought label as the channel has it now."""
        raise self._sells_no_labels()

    async def cancel_label(self, external_id: str) -> ChannelLabel:
        """Ask for the money back; the label as it is then."""
        raise self._sells_no_labels()

    async def tell_buyer(self, order_external_id: str, text: str) -> None:
        """Write to the buyer of an order, plain text of up to 2,000 characters."""
        raise self._takes_no_messages()

    async def was_told(self, order_external_id: str, text: str) -> bool:
        """Whether the channel lists this very message to the buyer."""
        raise self._takes_no_messages()

    def _takes_no_messages(self) -> Rejected:
        return Rejected(f"{self.vendor} takes no messages to buyers here", vendor_code="unsupported")

    def _sells_no_labels(self) -> Rejected:
        return Rejected(f"{self.vendor} sells no labels through this connector", vendor_code="unsupported")

    @abstractmethod
    async def rivals(self, skus: Sequence[str]) -> list[RivalOffer]:
        """Other sellers' offers for these SKUs; [] where the channel has none."""

    async def look_up(self, questions: Sequence[CatalogueQuestion]) -> list[CatalogueEntry]:
        """What the channel's catalogue has of these articles, ours or not, with what others ask for them; several
        pages may answer one question. [] where the channel has no catalogue (flipsync.domain.sourcing.CATALOGUES)."""
        return []

    @abstractmethod
    async def ensure_webhooks(self, callback_url: str, secret: SecretStr) -> list[WebhookSubscription]:
        """Subscribe to order and listing changes, or re-activate what the vendor switched off; never doubles."""

    async def subscriptions(self) -> list[WebhookSubscription] | None:
        """The account's subscriptions as the vendor has them, whoever made them; None where they cannot be listed."""
        return None

    @classmethod
    @abstractmethod
    def parse_webhook(
        cls, headers: Mapping[str, str], body: bytes, secret: SecretStr, config: AccountConfig
    ) -> WebhookNotice:
        """Verify the signature over the raw bytes and translate. Raises Unauthenticated or InvalidInput
        (flipsync.domain.errors); header names arrive in any case."""

    async def verify_webhook(self, headers: Mapping[str, str], body: bytes, secret: SecretStr) -> WebhookNotice:
        """`parse_webhook` for vendors that sign with a key of their own, which has to be fetched first.

        Needed only where `capabilities.webhook_keys`. Raises what `parse_webhook` raises, and Rejected or Retryable
        when the key cannot be had: then the delivery is neither genuine nor forged, and is to be delivered again.
        """
        return self.parse_webhook(headers, body, secret, self.config)

    @classmethod
    def answer_challenge(cls, query: Mapping[str, str], secret: SecretStr, callback_url: str) -> dict[str, str] | None:
        """What the vendor wants to read when it tries `callback_url` with GET; None when it never does."""
        return None

    def refunded(self, since: datetime) -> AsyncIterator[ChannelOrder]:
        """Orders of which money was given back at or after `since`, where neither lists nor notices tell of that."""
        return _nothing()

    def warehouse(self) -> AsyncIterator[WarehouseUnits]:
        """What warehouses of the channel's hold of our goods; nothing where it has none. Read, never written."""
        return _nothing()

    async def rating(self) -> SellerRating | None:
        """How the channel rates the account; None where it rates nobody, or not yet."""
        return None

    async def ads(self) -> list[AdShown]:
        """The ads that run and are paid by the sale. This and what follows is for vendors with `capabilities.ads`."""
        return []

    def ad_sales(self, since: datetime, until: datetime) -> AsyncIterator[AdSale]:
        """Sales by ads that were charged between two times, with all that was charged for them in between."""
        return _nothing()

    async def set_ad_rate(self, external_id: str, rate_bps: int) -> int:
        """Advertise the listing at that rate, 0: no more, and return the rate the channel shows then."""
        raise Rejected(f"{self.vendor} has no ads that are paid by the sale")

    def payouts(self, since: datetime) -> AsyncIterator[ChannelPayout]:
        """What the channel began to pay out at or after `since`, each once. Those that cannot be read hinder no other:
        Raises Unreadable once all others were yielded. This and `payout_lines`: only with `capabilities.payouts`."""
        raise self._tells_no_payouts()

    def payout_lines(self, external_id: str) -> AsyncIterator[ChannelPayoutLine]:
        """All that one payout is made of, each once. Raises Unreadable where some of it cannot be read."""
        raise self._tells_no_payouts()

    def _tells_no_payouts(self) -> Rejected:
        return Rejected(f"{self.vendor} does not tell here what it pays out", vendor_code="unsupported")

    @property
    def has_queue(self) -> bool:
        """Whether facts wait in a queue of the vendor's (see `notices`): then its lists are asked for rarely."""
        return False

    def notices(self) -> AsyncIterator[WebhookNotice]:
        """Notices that wait in a queue of the vendor's, where it has one instead of calling us.

        A notice is taken off the queue when the next one is asked for: what was not worked through comes again.
        """
        return _nothing()


async def _nothing() -> AsyncIterator[Any]:
    return
    yield
