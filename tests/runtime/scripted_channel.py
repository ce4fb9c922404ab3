"""A channel in memory whose behaviour a test writes: what fails, when, and what happens in between."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Capabilities, MarketplaceConnector, Unlimited, still_shows
from flipsync.connectors.unread import Aside
from flipsync.domain.channel import (
    ChannelInfo,
    ChannelOrder,
    ChannelOrderLine,
    ListingState,
    ListingStatus,
    ListingText,
    Offer,
    OrderStatus,
    RivalOffer,
    Vendor,
    WebhookNotice,
    WebhookSubscription,
)
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import ChannelError, InvalidInput, Rejected, Unreadable
from flipsync.domain.money import Money


@dataclass(frozen=True)
class Step:
    """What one call does: `before` runs first; the call raises; `applied` says whether a failing write took effect."""

    raises: ChannelError | None = None
    applied: bool = False
    ignored: bool = False
    before: Callable[[], object] | None = None


@dataclass
class Shelf:
    """One listing as the channel has it."""

    sku: str
    title: str
    price: Money | None
    quantity: int | None
    status: ListingStatus = "active"
    version: int = 1
    group: str | None = None
    #: what the channel tells of the listing's words beside the title; None: nothing
    description: str | None = None
    images: tuple[str, ...] | None = None
    specifics: dict[str, str] | None = None
    fulfilled_by: Literal["seller", "channel"] = "seller"


@dataclass
class Sale:
    """An order with the moment from which the channel's order list shows it (monotonic seconds)."""

    external_id: str
    sku: str
    listing: str
    units: int
    visible_at: float
    modified_at: datetime
    status: OrderStatus = "paid"
    tracking: str = ""


@dataclass
class Call:
    method: str
    argument: object
    key: str


class ScriptedChannel(MarketplaceConnector):
    """Keeps shelves and sales, writes down every call, and follows its script."""

    vendor: ClassVar[Vendor] = "custom"

    def __init__(self, *, conditional: bool = False, settle_seconds: float = 0.0) -> None:
        config = AccountConfig(
            vendor="custom",
            base_url="http://127.0.0.1:9/",  # type: ignore[arg-type]
            currency="USD",
            settle_seconds=settle_seconds,
        )
        super().__init__(config, {}, Unlimited(), "scripted")
        self.capabilities = Capabilities(  # type: ignore[misc]
            conditional_stock=conditional, create_once="key", rival_offers=True, webhooks=True
        )
        self.shelves: dict[str, Shelf] = {}
        self.sales: list[Sale] = []
        #: what buyers were told: (order, text)
        self.messages: list[tuple[str, str]] = []
        self.rival_offers: list[RivalOffer] = []
        self.calls: list[Call] = []
        self.sold = 0
        self.order_delay: Callable[[], float] = lambda: 0.0
        #: ids of orders that nobody can read; with "" as the reason told, not even their ids
        self.unreadable: dict[str, str] = {}
        #: notices that wait in the vendor's queue; None where it has none
        self.queue: list[WebhookNotice] | None = None
        #: the form the channel keeps titles in
        self.spell: Callable[[str], str] = lambda title: title
        #: listings it tells of when it is asked what changed; None where it cannot be asked
        self.changed: list[str] | None = None
        self._script: dict[str, list[Step]] = defaultdict(list)
        self._published: dict[str, str] = {}

    # -- what tests say ------------------------------------------------------------------------------------------------

    def script(self, method: str, *steps: Step) -> None:
        """The next calls of `method` go like this; later ones go well."""
        self._script[method] += steps

    def put(self, sku: str, quantity: int | None, price_minor: int = 2999) -> str:
        external_id = f"x-{sku}"
        self.shelves[external_id] = Shelf(sku, sku, Money(amount_minor=price_minor, currency="USD"), quantity)
        return external_id

    def sell(self, external_id: str, units: int = 1) -> Sale | None:
        """A buyer takes units off the shelf, if they are on offer."""
        shelf = self.shelves[external_id]
        if shelf.status != "active" or (shelf.quantity or 0) < units:
            return None
        shelf.quantity = (shelf.quantity or 0) - units
        shelf.version += 1
        self.sold += units
        sale = Sale(
            f"{self.account_key}-{id(self)}-{len(self.sales)}",
            shelf.sku,
            external_id,
            units,
            time.monotonic() + self.order_delay(),
            utc_now(),
        )
        self.sales.append(sale)
        return sale

    def cancel(self, sale: Sale) -> None:
        """The buyer cancels; the channel puts the units back on its shelf."""
        sale.status, sale.modified_at = "cancelled", utc_now()
        shelf = self.shelves[sale.listing]
        shelf.quantity = (shelf.quantity or 0) + sale.units
        shelf.version += 1
        self.sold -= sale.units

    def made(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.method == method]

    def _begin(self, method: str, argument: object, key: str = "") -> Step:
        self.calls.append(Call(method, argument, key))
        step = self._script[method].pop(0) if self._script[method] else Step()
        if step.before:
            step.before()
        if step.raises and not step.applied:
            raise step.raises
        return step

    @staticmethod
    def _end(step: Step) -> None:
        if step.raises:
            raise step.raises

    def _state(self, external_id: str) -> ListingState | None:
        shelf = self.shelves.get(external_id)
        if shelf is None:
            return None
        return ListingState(
            external_id=external_id,
            sku=shelf.sku,
            title=shelf.title,
            status=shelf.status,
            price=shelf.price,
            quantity=shelf.quantity,
            version=str(shelf.version) if self.capabilities.conditional_stock else None,
            group_external_id=shelf.group,
            fulfilled_by=shelf.fulfilled_by,
            text=ListingText(
                title=shelf.title,
                description_html=shelf.description,
                images=shelf.images,
                specifics=shelf.specifics,
                of_group=shelf.group is not None,
            ),
        )

    def _shown(self, external_id: str) -> ListingState:
        state = self._state(external_id)
        if state is None:
            raise Rejected(f"no listing {external_id}", missing=True)
        return state

    # -- the interface -------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        return None

    async def probe(self) -> ChannelInfo:
        self._begin("probe", None)
        return ChannelInfo(name="scripted", currency="USD", can_read=True, can_write=True)

    async def find_listing(self, sku: str) -> ListingState | None:
        self._begin("find_listing", sku)
        found = next((key for key, shelf in self.shelves.items() if shelf.sku == sku), None)
        return self._state(found) if found else None

    async def read_listing(self, external_id: str) -> ListingState | None:
        self._begin("read_listing", external_id)
        return self._state(external_id)

    async def listings(self) -> AsyncIterator[ListingState]:
        self._begin("listings", None)
        for external_id in list(self.shelves):
            yield self._shown(external_id)

    def changed_listings(self, modified_after: datetime) -> AsyncIterator[ListingState] | None:
        if self.changed is None:
            return None
        self._begin("changed_listings", modified_after)

        async def told(names: Sequence[str]) -> AsyncIterator[ListingState]:
            for external_id in names:
                yield self._shown(external_id)

        return told(self.changed)

    async def publish(self, offer: Offer, key: str) -> ListingState:
        step = self._begin("publish", offer, key)
        if key not in self._published and not step.ignored:
            external_id = self.put(offer.sku, offer.quantity)
            self.shelves[external_id].price = offer.price
            self._published[key] = external_id
        self._end(step)
        return self._shown(self._published[key])

    async def revise(self, external_id: str, offer: Offer, key: str) -> ListingState:
        step = self._begin("revise", offer, key)
        if not step.ignored:
            shelf = self.shelves[external_id]
            shelf.title = self.spell(offer.title)
            if shelf.description is not None:
                shelf.description, shelf.images = offer.description_html, offer.images
                shelf.specifics = dict(offer.attributes)
        self._end(step)
        return self._shown(external_id)

    async def end(self, external_id: str, key: str) -> None:
        step = self._begin("end", external_id, key)
        if not step.ignored and external_id in self.shelves:
            self.shelves[external_id].status = "ended"
        self._end(step)

    async def set_price(self, external_id: str, price: Money, key: str, expected: Money | None = None) -> ListingState:
        step = self._begin("set_price", price, key)
        still_shows(self._shown(external_id), price, expected)
        if not step.ignored:
            self.shelves[external_id].price = price
        self._end(step)
        return self._shown(external_id)

    async def set_quantity(
        self, external_id: str, quantity: int, key: str, expected_version: str | None = None
    ) -> ListingState:
        step = self._begin("set_quantity", quantity, key)
        shelf = self.shelves[external_id]
        if self.capabilities.conditional_stock and expected_version not in (None, str(shelf.version)):
            raise Rejected("the listing has changed", vendor_code="version", vendor_status=412)
        before = shelf.quantity if self.capabilities.tells_replaced else None
        if not step.ignored:
            shelf.quantity = quantity
            shelf.version += 1
        self._end(step)
        return self._shown(external_id).model_copy(update={"shown_before": before})

    async def orders(self, modified_after: datetime) -> AsyncIterator[ChannelOrder]:
        self._begin("orders", modified_after)
        now = time.monotonic()
        visible = [sale for sale in self.sales if sale.visible_at <= now and sale.modified_at >= modified_after]
        aside = Aside()
        for sale in sorted(visible, key=lambda sale: sale.modified_at):
            if sale.external_id in self.unreadable:
                known = {"id": sale.external_id} if self.unreadable[sale.external_id] else {}
                aside.keep(known | {"units": sale.units, "status": sale.status}, ValueError("no such currency"))
            else:
                yield self._told(sale)
        aside.tell()

    def _told(self, sale: Sale) -> ChannelOrder:
        total = Money(amount_minor=2999 * sale.units, currency="USD")
        zero = Money.zero("USD")
        return ChannelOrder(
            external_id=sale.external_id,
            number=sale.external_id,
            status=sale.status,
            vendor_status=sale.status,
            holds_stock=sale.status in ("paid", "shipped"),
            placed_at=sale.modified_at - timedelta(seconds=1),
            modified_at=sale.modified_at,
            currency="USD",
            lines=(
                ChannelOrderLine(
                    external_id="1",
                    listing_external_id=sale.listing,
                    sku=sale.sku,
                    title=sale.sku,
                    quantity=sale.units,
                    total=total,
                    tax=zero,
                ),
            ),
            shipping=zero,
            tax=zero,
            total=total,
        )

    @property
    def has_queue(self) -> bool:
        return self.queue is not None

    async def notices(self) -> AsyncIterator[WebhookNotice]:
        while self.queue:
            yield self.queue[0]
            self.queue.pop(0)

    async def read_order(self, external_id: str) -> ChannelOrder | None:
        self._begin("read_order", external_id)
        if external_id in self.unreadable:
            raise Unreadable("the answer cannot be used: no such currency")
        return next((self._told(sale) for sale in self.sales if sale.external_id == external_id), None)

    async def tell_buyer(self, order_external_id: str, text: str) -> None:
        step = self._begin("tell_buyer", order_external_id, "")
        if not step.ignored:
            self.messages.append((order_external_id, text))
        self._end(step)

    async def was_told(self, order_external_id: str, text: str) -> bool:
        return (order_external_id, text) in self.messages

    async def confirm_shipment(
        self, order_external_id: str, carrier: str, tracking_number: str, key: str
    ) -> ChannelOrder:
        step = self._begin("confirm_shipment", tracking_number, key)
        sale = next(sale for sale in self.sales if sale.external_id == order_external_id)
        if not step.ignored:
            sale.status, sale.tracking, sale.modified_at = "shipped", tracking_number, utc_now()
        self._end(step)
        return self._told(sale)

    async def rivals(self, skus: Sequence[str]) -> list[RivalOffer]:
        self._begin("rivals", tuple(skus))
        return [offer for offer in self.rival_offers if offer.sku in skus]

    async def ensure_webhooks(self, callback_url: str, secret: SecretStr) -> list[WebhookSubscription]:
        self._begin("ensure_webhooks", callback_url)
        return [WebhookSubscription(external_id="1", topic="order.created", url=callback_url, active=True)]

    @classmethod
    def parse_webhook(
        cls, headers: Mapping[str, str], body: bytes, secret: SecretStr, config: AccountConfig
    ) -> WebhookNotice:
        raise InvalidInput("a scripted channel sends no webhooks")


@dataclass
class Channels:
    """The channels of a test by account id, as the effect worker connects to them."""

    by_account: dict[str, ScriptedChannel] = field(default_factory=dict)

    def connect(
        self, config: AccountConfig, credentials: object, limiter: object, key: str, vault: object
    ) -> ScriptedChannel:
        channel = self.by_account[key]
        channel.config = config
        return channel
