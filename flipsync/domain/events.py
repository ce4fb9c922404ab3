"""Facts, in the past tense. One class a kind; one row a fact in the journal.

`subject` names what the fact is about as (kind, id); events about the same subject are handled in order.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime

from flipsync.domain.channel import ListingText, Vendor
from flipsync.domain.message import Message
from flipsync.domain.money import Money

Urgency = Literal["urgent", "normal", "bulk"]


class Event(Message):
    """A fact. Subclasses are registered by name so that the journal can rebuild them."""

    urgency: ClassVar[Urgency] = "normal"
    _registry: ClassVar[dict[str, type[Event]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        Event._registry[cls.__name__] = cls

    @classmethod
    def from_journal(cls, type_name: str, payload: dict[str, Any]) -> Event:
        """Rebuild an event. Raises KeyError for a type this version does not know."""
        return cls._registry[type_name].model_validate(payload)

    def routing_vendor(self) -> str | None:
        """The vendor whose channel agent this concerns, or None for events that are not about one channel."""
        return getattr(self, "vendor", None)


class TenantEvent(Event):
    """A fact about the business as a whole."""

    tenant_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("tenant", self.tenant_id)


class DecisionEvent(Event):
    """A fact about one decision."""

    decision_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("decision", self.decision_id)


class AccountEvent(Event):
    """A fact about one account on one channel."""

    account_id: UUID
    vendor: Vendor

    def subject(self) -> tuple[str, UUID]:
        return ("account", self.account_id)


class ListingEvent(AccountEvent):
    """A fact about one listing."""

    listing_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("listing", self.listing_id)


class OrderEvent(AccountEvent):
    """A fact about one order."""

    order_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("order", self.order_id)


class ProductImported(Event):
    """A product is new in the catalogue, or a file changed it."""

    product_id: UUID
    created: bool
    new_category: bool = False  # the first of a category that the business has not had

    def subject(self) -> tuple[str, UUID]:
        return ("product", self.product_id)


class CostChanged(Event):
    """The landed unit cost of a variant is known or different."""

    variant_id: UUID
    cost: Money

    def subject(self) -> tuple[str, UUID]:
        return ("variant", self.variant_id)


# -- stock ------------------------------------------------------------------------------------------------------------


class StockMoved(Event):
    """The ledger of a stock item changed; figures are after the movement, in units.

    `kind` is the movement's, or "short" (sold, not there), "forgo" (no buyer waits any more), or of stock.tell_meant.
    """

    urgency: ClassVar[Urgency] = "urgent"

    stock_item_id: UUID
    variant_id: UUID
    kind: str
    quantity: int
    on_hand: int
    reserved: int

    def subject(self) -> tuple[str, UUID]:
        return ("stock_item", self.stock_item_id)


class StockFreed(Event):
    """Units became available that nobody had: an order waiting for them can have them."""

    urgency: ClassVar[Urgency] = "urgent"

    stock_item_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("stock_item", self.stock_item_id)


class QuantityDrifted(ListingEvent):
    """A channel shows another quantity than the ledger says it should."""

    urgency: ClassVar[Urgency] = "urgent"

    expected: int
    seen: int | None
    #: found by a write of ours, which put the ledger's quantity in its place
    overwritten: bool = False


class WarehouseReconciled(AccountEvent):
    """A channel's own warehouse reports other units than our books had; the books follow. Units that nobody bought."""

    stock_item_id: UUID
    variant_id: UUID
    expected: int
    reported: int
    inbound: int

    def subject(self) -> tuple[str, UUID]:
        return ("stock_item", self.stock_item_id)


# -- channels ---------------------------------------------------------------------------------------------------------


class AccountConnected(AccountEvent):
    """An account can be used from now on."""


class ChannelCheckDue(AccountEvent):
    """It is time to pull orders, and rivals' offers when `rivals` says so: what the channel may not have pushed."""

    rivals: bool = False


class ListingCheckDue(AccountEvent):
    """It is time to compare what the channel shows with what we think it shows."""


class ListingsSurveyed(AccountEvent):
    """What an account offers already was looked at: listings taken over, asked about, and of goods not in our books."""

    adopted: int
    doubtful: int
    unknown: int


class ListingRequested(AccountEvent):
    """A coordinator wants this product on this account (directive, executed by the channel's agent)."""

    product_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("product", self.product_id)


class ListingRecognised(ListingEvent):
    """A listing on the channel reads like one of our variants; `listing_id` stands for it until a person has said."""

    external_id: str
    confidence: float
    why: str


class ListingPublished(ListingEvent):
    """The channel shows the listing; read back."""


class ListingRefused(ListingEvent):
    """The channel refused the listing."""

    reason: str


class ListingVanished(ListingEvent):
    """The channel no longer knows a listing that we did not end."""


class ListingUnwanted(ListingEvent):
    """The owner wants a listing taken off sale, whatever its product does elsewhere."""

    reason: str


class ListingOutdated(ListingEvent):
    """The words, pictures or particulars behind a live listing were edited, or its product was withdrawn.

    `again`: the channel shows other words than it was told, and is to be told once more.
    """

    urgency: ClassVar[Urgency] = "bulk"

    again: bool = False


EditedField = Literal["title", "description_html", "images", "specifics", "price"]


class ListingEdited(ListingEvent):
    """Somebody edited a listing on the channel itself. `ours` is what the channel was told, `theirs` what it shows.

    `listings` are all that show the same words, since they are choices of one listing. Of a price, `note` says what
    becomes of it.
    """

    fields: tuple[EditedField, ...]
    ours: ListingText
    theirs: ListingText
    listings: tuple[UUID, ...]
    price_ours: Money | None = None
    price_theirs: Money | None = None
    note: str = ""
    overwritten: bool = False  # our own words were written over it before anybody had seen it


class OfferChanged(ListingEvent):
    """Something that bears on the price of a listing changed: rivals, sales, stock."""

    cause: Literal["rivals", "sale", "stock", "cost", "drift"]


class RivalsMoved(OfferChanged):
    """Rivals came, went or asked otherwise. A type of its own: it is rare, and some need to know nothing else."""

    cause: Literal["rivals"] = "rivals"


class PriceSet(ListingEvent):
    """The channel shows a new price; read back."""

    price: Money


class PriceUnwanted(ListingEvent):
    """A person takes a change of price back: the listing is to cost `price` again, if it still costs `replaces`."""

    urgency: ClassVar[Urgency] = "urgent"

    price: Money
    replaces: Money


class PersonsChange(Event):
    """A person changed what is theirs to say. `before` and `after` are by name, of what changed alone; `by` is the
    user, or the API key, None for whoever runs the installation; `undoes` is the change it takes back."""

    before: dict[str, Any]
    after: dict[str, Any]
    by: UUID | None
    undoes: UUID | None = None


class SettingsChanged(PersonsChange, TenantEvent):
    """Settings and goals, by their dotted names."""


class ProductEdited(PersonsChange):
    """A person edited a product's words, pictures or particulars."""

    product_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("product", self.product_id)


class PriceWished(ListingEvent):
    """A person wants a price, and says what it was when they looked. An agent proposes it; the gate decides."""

    urgency: ClassVar[Urgency] = "urgent"

    price: Money
    seen: Money


class DeedUndone(DecisionEvent):
    """A person took back what was decided; `how` says what follows. For internal commands there is no effect.

    `wish` is the fact by which it was asked for, where an agent and the gate have yet to say whether it can be.
    """

    effect_id: UUID | None
    command: str
    how: str
    by: UUID | None
    wish: UUID | None = None


class OrderReceived(OrderEvent):
    """A new order is in the books and its units are reserved as far as they exist."""

    urgency: ClassVar[Urgency] = "urgent"

    short_units: int


class OrderChanged(OrderEvent):
    """The channel changed an order: status, refund, cancellation."""

    urgency: ClassVar[Urgency] = "urgent"

    status: str


class OrderReady(OrderEvent):
    """Every unit is reserved and the parcel may go."""


class ParcelHandedOver(OrderEvent):
    """A person (or a warehouse) gave the parcel to the carrier."""

    urgency: ClassVar[Urgency] = "urgent"

    carrier: str
    tracking_number: str


class ShipmentConfirmed(OrderEvent):
    """The channel knows the order has left the house."""


class RefundRequested(OrderEvent):
    """A person wants money given back to a buyer."""

    urgency: ClassVar[Urgency] = "urgent"

    refund_id: UUID
    amount: Money
    reason: str = ""


class RefundIssued(OrderEvent):
    """The channel has given the money back; read back."""

    refund_id: UUID
    amount: Money


class LabelRequested(OrderEvent):
    """A person wants a label bought for a packed order."""

    urgency: ClassVar[Urgency] = "urgent"

    label_id: UUID


class LabelUnwanted(OrderEvent):
    """A bought label is to be given back: a person wants it, or its order was called off."""

    urgency: ClassVar[Urgency] = "urgent"

    label_id: UUID


class LabelBought(OrderEvent):
    """The channel sold us a label, and it is in our books."""

    label_id: UUID
    cost: Money
    carrier: str
    tracking_number: str


class EffectFailed(Event):
    """An effect ended without being confirmed: refused, or nobody can tell (a person has to look)."""

    effect_id: UUID
    command: str
    outcome: Literal["rejected", "unknown"]
    auth: bool = False
    account_id: UUID
    vendor: Vendor
    subject_kind: str
    subject_id: UUID
    detail: str = ""

    def subject(self) -> tuple[str, UUID]:
        return (self.subject_kind, self.subject_id)


class AccountHealthChanged(AccountEvent):
    """Credentials, permissions or the vendor's service changed for better or worse."""

    healthy: bool
    cause: str


class CredentialsExpiring(AccountEvent):
    """A credential of an account ends soon; `days` is the threshold that was passed (0: it has ended)."""

    credential: str
    ends_at: AwareDatetime
    days: int


class CredentialsRenewed(AccountEvent):
    """A credential that was warned of lasts again: the account was authorized anew, or given new keys."""

    credential: str


class ChannelFaultFound(AccountEvent):
    """A channel has stopped telling the truth, in a way that has a name (domain.channel_fault)."""

    urgency: ClassVar[Urgency] = "urgent"

    fault_id: UUID
    cause: str
    evidence: tuple[str, ...] = ()


class ChannelFaultCleared(AccountEvent):
    """What was the matter with a channel has not been seen for a while."""

    fault_id: UUID
    cause: str


# -- the business -----------------------------------------------------------------------------------------------------


class CycleStarted(TenantEvent):
    """A business cycle begins."""

    cycle: Literal["pulse", "hourly", "daily", "weekly"]


class RepricingDue(TenantEvent):
    """It is time to look at every price."""


class TrendsDue(TenantEvent):
    """It is time to look what sells otherwise than before."""


class DecisionEscalated(DecisionEvent):
    """A decision is above its agent's authority; the agent it reports to decides."""

    urgency: ClassVar[Urgency] = "urgent"

    from_agent: str
    to_agent: str
    reason: str
    stake_minor: int | None = None  # what could be lost by it; None where nothing was said
    against: tuple[UUID, ...] = ()  # decisions of other agents that want the contrary


class ApprovalAnswered(DecisionEvent):
    """A person answered an approval."""

    urgency: ClassVar[Urgency] = "urgent"

    approval_id: UUID
    approved: bool


class ApprovalEscalated(DecisionEvent):
    """Nobody answered an approval for a while: the next person was told of it."""

    approval_id: UUID
