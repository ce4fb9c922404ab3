"""What the watch remembers of one account: a few minutes of observations, bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from flipsync.connectors.witness import CallSeen
from flipsync.domain.channel import ChannelOrder, ListingState, WebhookNotice, WebhookSubscription
from flipsync.domain.errors import ChannelError, OutcomeUnknown
from flipsync.domain.money import Money

_CALLS, _ROWS = 400, 1000
#: real seconds after which a delivery that was known is a replay and not a vendor's second try
REPLAY = 15.0
#: real seconds that a list may lag behind what is told by webhook or shown when asked for
LAGS = 10.0
Field_ = Literal["quantity", "price"]


@dataclass(frozen=True)
class Expected:
    """What a listing should show by our books. `busy`: a write of it is under way. None: nothing is expected."""

    sku: str
    quantity: int | None
    price: Money | None
    busy: bool = False
    group: str | None = None
    title: str | None = None


@dataclass
class Looked:
    """One look at a listing; `state` is None where the channel knew none. `over`: units shown above what was expected
    then, None where nobody could say."""

    at: float
    state: ListingState | None
    over: int | None = None


@dataclass
class Written:
    """One write of a quantity (units) or price (minor units), and what reads after it showed.

    `before` is what was expected before it; `applied` what the first reads said: None while there was none.
    """

    at: float
    listing: str
    what: Field_
    before: int | None
    value: int
    answered: bool
    seen_undone: float | None = None
    seen_done: float | None = None
    undone_again: float | None = None


@dataclass(frozen=True)
class Edit:
    """Whoever was about to write found `shown` where our books know `known`. `write`: our last write of it till then,
    as it was then. `moved`: whether looks have shown anything else since; what never moves may be an old state."""

    at: float
    listing: str
    what: Field_
    known: int
    shown: int
    write: Written | None
    moved: bool


@dataclass
class Heard:
    """A notice that came: genuine unless `trouble` says otherwise. `changed`: when what it tells of happened."""

    at: float
    resource: str = ""
    is_order: bool = False
    changed: float | None = None
    trouble: Literal["", "duplicate", "replay", "forged", "garbled"] = ""


@dataclass
class Sale:
    """An order, by the first who told us: its id, when it was placed, and the units taken of each SKU."""

    placed: float
    first_seen: float
    listed: float | None = None
    heard: float | None = None


@dataclass
class LimitTold:
    """What the vendor said of a bucket, beside what its documents promise and what we have taken ourselves lately."""

    at: float
    bucket: str
    documented_rate: float
    documented_burst: float
    rate: float | None
    burst: float | None
    left: float | None
    ours: float


@dataclass
class Memory:
    """Filled by whoever observes; read by the rules."""

    now: Callable[[], float]
    #: business seconds a real second
    speed: float = 1.0
    began: float = 0.0
    expects_webhooks: bool = False
    callback_url: str = ""
    #: whether the channel's list of orders may be asked for at each look
    lists_orders: bool = True
    #: real seconds that the channel may take to show what was written, and between two visits to a queue of notices
    settle: float = 1.0
    fetches_every: float = 0.0
    calls: deque[tuple[float, CallSeen]] = field(default_factory=lambda: deque(maxlen=_CALLS))
    failures: deque[tuple[float, ChannelError, bool]] = field(default_factory=lambda: deque(maxlen=_CALLS))
    limits: deque[LimitTold] = field(default_factory=lambda: deque(maxlen=_CALLS))
    heard: deque[Heard] = field(default_factory=lambda: deque(maxlen=_ROWS))
    #: facts that were delivered, and when first
    keys: dict[str, float] = field(default_factory=dict)
    sales: dict[str, Sale] = field(default_factory=dict)
    writes: deque[Written] = field(default_factory=lambda: deque(maxlen=_CALLS))
    edits: deque[Edit] = field(default_factory=lambda: deque(maxlen=_CALLS))
    looks: dict[str, deque[Looked]] = field(default_factory=dict)
    expected: dict[str, Expected] = field(default_factory=dict)
    expected_since: dict[str, float] = field(default_factory=dict)
    #: the same of its price alone
    priced_since: dict[str, float] = field(default_factory=dict)
    #: what quantity was expected from when on, newest last
    expected_before: dict[str, deque[tuple[float, int | None]]] = field(default_factory=dict)
    first_state: dict[str, ListingState] = field(default_factory=dict)
    subscriptions: Sequence[WebhookSubscription] | None = None
    subscribed_at: float = 0.0
    topics: frozenset[str] = frozenset()
    walked: tuple[float, list[ListingState]] | None = None
    #: what the last list of orders left out though it is there, and whether it was empty
    orders_left_out: dict[str, float] = field(default_factory=dict)
    orders_unknown: dict[str, float] = field(default_factory=dict)
    list_empty_at: float | None = None
    listed_at: float = 0.0
    strangers: dict[str, float] = field(default_factory=dict)
    wrong_currency: dict[str, float] = field(default_factory=dict)
    #: when a quantity that is shown last changed
    moved_at: float = 0.0

    def __post_init__(self) -> None:
        self.began = self.began or self.now()

    def as_business(self, seconds: float) -> float:
        """Real seconds as seconds of business time."""
        return seconds * self.speed

    def within(self, seconds: float) -> float:
        """The moment that many real seconds ago."""
        return self.now() - seconds * self.speed

    # Observations

    def saw_call(self, call: CallSeen) -> None:
        self.calls.append((self.now(), call))

    def failed(self, error: ChannelError, *, wrote: bool) -> None:
        self.failures.append((self.now(), error, wrote))

    def told_limit(self, told: LimitTold) -> None:
        self.limits.append(told)

    def expects(self, expected: dict[str, Expected]) -> None:
        """What our books say each listing should show now."""
        now = self.now()
        for listing, row in expected.items():
            known = self.expected.get(listing)
            if known is None or (known.quantity, known.price, known.busy) != (row.quantity, row.price, row.busy):
                self.expected_since[listing] = now
            if known is None or (known.price, known.busy) != (row.price, row.busy):
                self.priced_since[listing] = now
            if known is None or known.quantity != row.quantity:
                self.expected_before.setdefault(listing, deque(maxlen=20)).append((now, row.quantity))
            if known is not None and known.title != row.title and row.title is not None:
                self.first_state.pop(listing, None)  # ours is new: what the channel makes of it is looked at afresh
        self.expected = expected

    def looked(self, listing: str, state: ListingState | None) -> None:
        now = self.now()
        seen = self.looks.setdefault(listing, deque(maxlen=40))
        last = next((look.state for look in reversed(seen) if look.state is not None), None)
        if state is not None and last is not None and state.quantity != last.quantity:
            self.moved_at = now
        if state is not None and state.status == "active" and state.external_id == listing:
            self.first_state.setdefault(listing, state)
        seen.append(Looked(now, state, self._over(listing, state)))
        for write in self.writes:
            if write.listing == listing and state is not None:
                self._compare(write, state, now)

    def _over(self, listing: str, state: ListingState | None) -> int | None:
        row = self.expected.get(listing)
        if row is None or row.busy or row.quantity is None or state is None or state.quantity is None:
            return None
        return state.quantity - row.quantity

    def _compare(self, write: Written, state: ListingState, now: float) -> None:
        """Whether a write is to be seen in what is shown. Sales since move quantities, so expectations count."""
        newer = any(w.listing == write.listing and w.what == write.what and w.at > write.at for w in self.writes)
        expected = self.expected.get(write.listing)
        if newer or expected is None or now <= write.at - 1e-9:
            return
        shown, wanted = state.quantity, expected.quantity
        if write.what == "price":
            shown, wanted = state.price.amount_minor if state.price else None, write.value
        if shown is None or wanted is None:
            return
        if shown == wanted:
            write.seen_done = now if write.seen_done is None else write.seen_done
            return
        if write.before is not None and shown - wanted == write.before - write.value:
            if write.seen_done is not None:
                write.undone_again = now if write.undone_again is None else write.undone_again
            elif write.seen_undone is None and now > write.at + self.settle * self.speed:
                write.seen_undone = now

    def wrote(self, listing: str, what: Field_, value: int, before: int | None, error: ChannelError | None) -> None:
        """A write that was sent. One that was refused did nothing; one without an answer may have."""
        if error is None or isinstance(error, OutcomeUnknown):
            self.writes.append(Written(self.now(), listing, what, before, value, error is None))

    def edited(self, listing: str, what: Field_, known: int, shown: int) -> None:
        """Found by a write of ours before it wrote."""
        write = self.last_write(listing, what)
        before = None if write is None else replace(write)
        moved = what == "price" or self._rose(listing, shown, write)
        self.edits.append(Edit(self.now(), listing, what, known, shown, before, moved))

    def _rose(self, listing: str, shown: int, write: Written | None) -> bool:
        """Whether more units were shown from one look to the next since our last write, or never any other than these
        though our books never knew them."""
        since = float("-inf") if write is None else write.at
        states = [look.state for look in self.looks.get(listing, ()) if look.at > since]
        units = [state.quantity for state in states if state is not None and state.quantity is not None]
        if any(later > earlier for earlier, later in pairwise([*units, shown])):
            return True
        known = {quantity for _, quantity in self.expected_before.get(listing, ())}
        return all(each == shown for each in units) and shown not in known

    def last_write(self, listing: str, what: Field_, seconds: float = 150.0) -> Written | None:
        """The newest write of it within so many real seconds."""
        since = self.within(seconds)
        rows = [w for w in self.writes if w.listing == listing and w.what == what and w.at >= since]
        return rows[-1] if rows else None

    def order_read(self, external_id: str, *, known: bool) -> None:
        """An order was asked for by its id. One that we were told of should be known."""
        if known:
            self.orders_unknown.pop(external_id, None)
        elif external_id in self.sales:
            self.orders_unknown.setdefault(external_id, self.now())

    def hears(self, notice: WebhookNotice, trouble: Literal["", "duplicate", "replay", "garbled"] = "") -> None:
        changed = None if notice.modified_at is None else notice.modified_at.timestamp()
        known = self.keys.get(notice.dedup_key)
        if notice.topic == "unreadable":
            trouble = "garbled"
        elif known is not None and not trouble:
            trouble = "replay" if self.now() - known > self.as_business(REPLAY) else "duplicate"
        self.keys[notice.dedup_key] = known if known is not None else self.now()
        while len(self.keys) > _ROWS:
            self.keys.pop(next(iter(self.keys)))
        is_order = notice.kind == "order"
        self.arrived(Heard(self.now(), notice.resource_id, is_order, changed, trouble))
        if notice.order is not None and not trouble:
            self._check_order(notice.order)

    def arrived(self, heard: Heard) -> None:
        self.heard.append(heard)
        if heard.is_order and heard.trouble in ("", "duplicate"):
            placed = heard.changed if heard.changed is not None else heard.at
            sale = self.sales.setdefault(heard.resource, Sale(placed, heard.at))
            sale.heard = heard.at if sale.heard is None else sale.heard
        self._forget_sales()

    def knows_order(self, order: ChannelOrder) -> None:
        """An order was told, by a list or when it was asked for."""
        self.sales.setdefault(order.external_id, Sale(order.placed_at.timestamp(), self.now()))
        self._check_order(order)

    def listed_orders(self, since: float, orders: Iterable[ChannelOrder]) -> None:
        """A whole list of what changed since then."""
        now, seen = self.now(), set()
        self.listed_at = now
        for order in orders:
            self.knows_order(order)
            seen.add(order.external_id)
            sale = self.sales[order.external_id]
            sale.listed = now if sale.listed is None else sale.listed
            self.orders_left_out.pop(order.external_id, None)
            self.orders_unknown.pop(order.external_id, None)
        self.list_empty_at = None
        if not seen and len(self.missing_from_list(since, seen)) > 1:
            self.list_empty_at = now

    def missing_from_list(self, since: float, seen: set[str]) -> list[str]:
        """Orders we know of that a list of what was placed since then should have had; the newest are spared."""
        until = self.within(LAGS)
        known = [key for key, sale in self.sales.items() if since < sale.placed and sale.first_seen < until]
        return [key for key in known if key not in seen]

    def _check_order(self, order: ChannelOrder) -> None:
        currencies = {row.price.currency for row in self.expected.values() if row.price is not None}
        if currencies and order.currency not in currencies:
            self.wrong_currency[order.external_id] = self.now()
        if self.walked is not None:
            ours = {row.sku for row in self.expected.values()} | {state.sku for state in self.walked[1]}
            if order.lines and not any(line.sku in ours for line in order.lines):
                self.strangers[order.external_id] = self.now()

    def _forget_sales(self) -> None:
        while len(self.sales) > _ROWS:
            self.sales.pop(next(iter(self.sales)))

    def saw_subscriptions(self, found: Sequence[WebhookSubscription] | None) -> None:
        self.subscriptions, self.subscribed_at = found, self.now()
        ours = frozenset(each.topic for each in found or () if each.url == self.callback_url)
        if not self.topics:
            self.topics = ours

    def ensured(self, found: Sequence[WebhookSubscription]) -> None:
        """Subscriptions were just made: what is seen next is what there should be."""
        self.topics = frozenset()
        if found:
            self.callback_url = found[0].url

    def walked_listings(self, states: list[ListingState]) -> None:
        """The whole list of listings."""
        self.walked = (self.now(), states)
        for state in states:
            if state.external_id in self.expected:
                self.looked(state.external_id, state)
