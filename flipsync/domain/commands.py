"""What agents may propose, in the imperative. The gate judges them; only the runtime carries them out.

`external` commands leave the house as effects; `read` commands fetch facts from a channel (also effects, without a
gate); `internal` ones change our own books in the same transaction as the decision.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from flipsync.domain.channel import ListingText, Offer, Vendor
from flipsync.domain.message import Message
from flipsync.domain.money import Money

#: smaller is sooner; last unit sold beats everything
PRIORITY_LAST_UNIT = 0
PRIORITY_STOCK = 10
PRIORITY_ORDER = 20
PRIORITY_NORMAL = 50
PRIORITY_BULK = 80

TrendKind = Literal["rising", "falling", "season", "spike", "slump"]


class Command(Message):
    """Base of all commands."""

    scope: ClassVar[Literal["external", "read", "internal"]] = "external"
    #: a newer command of this kind for the same subject makes pending older ones pointless
    supersedes: ClassVar[bool] = False
    #: why no agent, however sure, may do this without a person's word; "" where one may
    owner_decides: ClassVar[str] = ""
    #: why it is decided at the top, whoever proposes it; "" where it need not be
    executive_decides: ClassVar[str] = ""
    default_priority: ClassVar[int] = PRIORITY_NORMAL
    _registry: ClassVar[dict[str, type[Command]]] = {}

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        Command._registry[cls.__name__] = cls

    @classmethod
    def from_store(cls, type_name: str, payload: dict[str, Any]) -> Command:
        """Rebuild a command. Raises KeyError for a type this version does not know."""
        return cls._registry[type_name].model_validate(payload)

    def priority(self) -> int:
        return self.default_priority


class AccountCommand(Command):
    account_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("account", self.account_id)


class ListingCommand(AccountCommand):
    listing_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("listing", self.listing_id)


# -- external ---------------------------------------------------------------------------------------------------------


class PublishListing(ListingCommand):
    """Create the listing on its channel, with nothing to sell yet: quantity follows when the ledger grants it.

    `certificate` is the price firewall's; without one the price never leaves.
    """

    offer: Offer
    certificate: dict[str, Any] | None = None


class ReviseListing(ListingCommand):
    """Change text, images and attributes of a live listing."""

    supersedes: ClassVar[bool] = True
    default_priority: ClassVar[int] = PRIORITY_BULK
    offer: Offer
    #: nothing is written where somebody edited the listing on the channel since it was seen last
    unless_edited: bool = False


class EndListing(ListingCommand):
    """Take a listing off sale. What ended as `UNPUBLISHED` goes back on sale when its product is published again."""

    UNPUBLISHED: ClassVar[str] = "the product is not published any more"
    reason: str


class ChangePrice(ListingCommand):
    """Set the price of a live listing. `certificate` is the price firewall's; without one it never leaves."""

    supersedes: ClassVar[bool] = True
    price: Money
    previous: Money | None
    certificate: dict[str, Any] | None = None


class SetChannelQuantity(ListingCommand):
    """Bring the quantity a channel shows to what the ledger entitles it to at the moment of writing.

    `quantity` is the target when decided; the effect worker reads the ledger again, so a late write is never stale.
    """

    supersedes: ClassVar[bool] = True
    quantity: int = Field(ge=0)
    last_unit: bool = False

    def priority(self) -> int:
        return PRIORITY_LAST_UNIT if self.last_unit or self.quantity == 0 else PRIORITY_STOCK


class ConfirmShipment(AccountCommand):
    """Tell the channel that an order left the house."""

    default_priority: ClassVar[int] = PRIORITY_ORDER
    order_id: UUID
    carrier: str
    tracking_number: str

    def subject(self) -> tuple[str, UUID]:
        return ("order", self.order_id)


class IssueRefund(AccountCommand):
    """Give money back to the buyer of an order, once. What exactly is in the books under `refund_id`."""

    default_priority: ClassVar[int] = PRIORITY_ORDER
    order_id: UUID
    refund_id: UUID
    amount: Money
    reason: str

    def subject(self) -> tuple[str, UUID]:
        return ("order", self.order_id)


class LabelCommand(AccountCommand):
    """About the label in the books under `label_id`."""

    default_priority: ClassVar[int] = PRIORITY_ORDER
    order_id: UUID
    label_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("order", self.order_id)


class BuyLabel(LabelCommand):
    """Buy a label for an order, once."""


class CancelLabel(LabelCommand):
    """Give a bought label back."""


class EnsureWebhooks(AccountCommand):
    """Subscribe to the channel's webhooks, or switch on again what the vendor switched off."""

    supersedes: ClassVar[bool] = True
    callback_url: str


# -- read -------------------------------------------------------------------------------------------------------------


class ReadCommand(AccountCommand):
    scope: ClassVar[Literal["external", "read", "internal"]] = "read"
    supersedes: ClassVar[bool] = True


class PullOrders(ReadCommand):
    """Fetch orders changed since the account's cursor and put them in the books."""

    default_priority: ClassVar[int] = PRIORITY_ORDER


class PullRivals(ReadCommand):
    """Fetch other sellers' offers for what we list on this account."""

    default_priority: ClassVar[int] = PRIORITY_BULK


class VerifyListings(ReadCommand):
    """Compare what the channel shows with what we think it shows."""

    default_priority: ClassVar[int] = PRIORITY_BULK


class SurveyListings(ReadCommand):
    """Look at what the account offers already: what is surely ours is taken over, what may be is asked about."""

    default_priority: ClassVar[int] = PRIORITY_ORDER  # nothing is listed before: newer looks must not overtake it


class PullWarehouse(ReadCommand):
    """Fetch what the channel's own warehouses hold of our goods, and bring that pool of our ledger in line."""


class PullRefunds(ReadCommand):
    """Fetch what was given back to buyers, from channels whose orders do not tell."""


class CheckChannel(ReadCommand):
    """Look whether the channel still tells the truth (services.watch). Put in the outbox by the clock of the house."""


# -- internal ---------------------------------------------------------------------------------------------------------


class ReconcileRestored(AccountCommand):
    """The books were put back from a backup: read what the channel sold and shows before it is entitled to anything."""

    scope: ClassVar[Literal["external", "read", "internal"]] = "read"
    default_priority: ClassVar[int] = PRIORITY_STOCK


class InternalCommand(Command):
    scope: ClassVar[Literal["external", "read", "internal"]] = "internal"


class TenantCommand(InternalCommand):
    """About the business as a whole."""

    tenant_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("tenant", self.tenant_id)


class ListOnChannel(InternalCommand):
    """Coordinator's directive: this product belongs on this account."""

    product_id: UUID
    account_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("product", self.product_id)


class AdoptListing(InternalCommand):
    """A listing that was on the channel before us offers this variant: look after it from now on."""

    owner_decides: ClassVar[str] = "only a person can tell whether a listing that reads alike is the same article"

    listing_id: UUID
    account_id: UUID
    vendor: Vendor

    def subject(self) -> tuple[str, UUID]:
        return ("listing", self.listing_id)


class KeepEdit(InternalCommand):
    """What somebody wrote into a listing on the channel is what our books want it to say from now on."""

    listing_id: UUID
    account_id: UUID
    vendor: Vendor
    listings: tuple[UUID, ...] = Field(description="all that show these words")
    theirs: ListingText

    def subject(self) -> tuple[str, UUID]:
        return ("listing", self.listing_id)


class OfferEdit(KeepEdit):
    """The same when the owner says so; when he says no, our words are written to the channel again."""

    owner_decides: ClassVar[str] = "only you can say whose words the listing should bear"


class SettleRefund(InternalCommand):
    """The refund in doubt of an order was given; when the owner says no, it was not."""

    owner_decides: ClassVar[str] = "only you can see on the channel's own page whether the buyer has the money"

    order_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("order", self.order_id)


class AllocateStock(InternalCommand):
    """Give each listing its entitlement. Escrow units taken from a channel count as free only once it has let go."""

    stock_item_id: UUID
    shares: dict[UUID, int] = Field(description="listing id → units it should end up with")

    def subject(self) -> tuple[str, UUID]:
        return ("stock_item", self.stock_item_id)


class MeasureChannels(TenantCommand):
    """Measure how soon each account tells of sales and shows those of others, and what its listings sell."""


class ReserveStock(InternalCommand):
    """Set aside the units of an order that are not reserved yet."""

    order_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("order", self.order_id)


class CancelByHand(InternalCommand):
    """The owner cancels and refunds an order of goods that are not there; FlipSync then looks what the channel says."""

    owner_decides: ClassVar[str] = "FlipSync cannot cancel on a channel: do it there, then say yes"

    order_id: UUID
    account_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("order", self.order_id)


class HandOverUnits(InternalCommand):
    """Units set aside for one order go to another that lacks them, and the first is then the one to cancel."""

    owner_decides: ClassVar[str] = "only you can say which of two buyers is let down"

    order_id: UUID
    from_order_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("order", self.order_id)


class MarkOrderReady(InternalCommand):
    """Everything is reserved: the order can be packed and shipped."""

    order_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("order", self.order_id)


class EndorseDecision(InternalCommand):
    """A coordinator lets a decision of one of its specialists go ahead."""

    decision_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("decision", self.decision_id)


class OverruleDecision(InternalCommand):
    """A coordinator stops a decision of one of its specialists."""

    decision_id: UUID
    reason: str

    def subject(self) -> tuple[str, UUID]:
        return ("decision", self.decision_id)


class AskOwner(InternalCommand):
    """Put a decision before a person."""

    decision_id: UUID
    question: str

    def subject(self) -> tuple[str, UUID]:
        return ("decision", self.decision_id)


class ExpireApproval(InternalCommand):
    """Close a question that nobody answered in time, and stop the decision that waited for the answer."""

    decision_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("decision", self.decision_id)


class PauseAccount(InternalCommand):
    """Stop writing to an account whose credentials or health are gone; reads go on."""

    #: how the reason begins when it is the credentials: new ones end such a pause
    REFUSED: ClassVar[str] = "the channel refuses our credentials"

    account_id: UUID
    reason: str

    def subject(self) -> tuple[str, UUID]:
        return ("account", self.account_id)


class ResumeAccount(InternalCommand):
    """Write to an account again."""

    account_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("account", self.account_id)


class RaiseRivalAlarm(InternalCommand):
    """Keep an alarm about a listing's rivals, with the moves it rests on."""

    listing_id: UUID
    alarm: Literal["price-war", "hijack"]
    why: str
    evidence: tuple[UUID, ...] = ()

    def subject(self) -> tuple[str, UUID]:
        return ("listing", self.listing_id)


class MakeForecasts(TenantCommand):
    """Forecast the demand for all goods from the books of `origin` (business time), by one method, and keep it.

    `rmsse` is the mean of each method on the weeks before; empty when none could be compared.
    """

    origin: datetime
    method: str
    baseline_wins: bool
    why: str
    rmsse: dict[str, float] = Field(default_factory=dict)
    coverage: float | None = None


class MoveAuthority(TenantCommand):
    """What an agent may decide alone of one kind changes, by how right it was. Never above what it declares."""

    agent: str
    kind: str
    was: Literal["full", "reduced", "none"]
    to: Literal["full", "reduced", "none"]
    trusted: float = Field(ge=0, le=1, description="the share of its confidence that counts")
    reason: str


class NoteTrend(InternalCommand):
    """Keep a trend of goods or of a category, with the sales it rests on. `q` is the share of false alarms among all
    that are as sure."""

    tenant_id: UUID
    kind: TrendKind
    stock_item_id: UUID | None = None
    category: str | None = None
    since: datetime
    ratio: float
    q: float
    why: str
    evidence: dict[str, float] = Field(default_factory=dict)

    def subject(self) -> tuple[str, UUID]:
        return ("stock_item", self.stock_item_id) if self.stock_item_id is not None else ("tenant", self.tenant_id)


class TrainPolicy(TenantCommand):
    """Search for a better policy; `seed` differs from that of earlier searches."""

    name: str
    samples: int
    seed: int
    cause: str


class PromotePolicy(InternalCommand):
    """Move a policy one stage on. The registry checks what has to hold; what fails a check stays where it is."""

    policy_id: UUID
    to: Literal["shadow", "canary", "live"]
    reason: str

    def subject(self) -> tuple[str, UUID]:
        return ("policy", self.policy_id)


class RollBackPolicy(InternalCommand):
    """Take back the canary, else the live policy; what was live before decides again."""

    policy_id: UUID
    name: str
    reason: str

    def subject(self) -> tuple[str, UUID]:
        return ("policy", self.policy_id)
