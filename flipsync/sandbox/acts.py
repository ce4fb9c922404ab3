"""What a named fault does to a channel: the base, with every place where it can step in, and its variants.

An act belongs to one channel from `begins` to `ends`. It may answer a call instead of the server, change what a read
shows, undo or change a write, change an answer, and take deliveries. Delays are seconds of market time.
"""

from __future__ import annotations

import copy
import heapq
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from flipsync.sandbox.books import Books
from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.records import Channel, Listing
from flipsync.sandbox.refusals import said, token_error

if TYPE_CHECKING:
    from flipsync.sandbox.app import Sandbox
    from flipsync.sandbox.exchange import ChannelServer

#: where access tokens are asked for, below each channel's prefix
TOKEN_PATHS: dict[Channel, str] = {
    "shopify": "/admin/oauth/access_token",
    "ebay": "/identity/v1/oauth2/token",
    "amazon": "/auth/o2/token",
}
#: the header that carries an access token
TOKEN_HEADERS: dict[Channel, str] = {
    "custom": "authorization",
    "shopify": "x-shopify-access-token",
    "ebay": "authorization",
    "amazon": "x-amz-access-token",
}
_QUEUE = "/queue"

#: which calls an act is about
Which = Literal["api", "reads", "writes", "orders", "token", "queue", "all"]


@dataclass
class Place:
    """One channel of a sandbox, as an act gets at it."""

    sandbox: Sandbox
    channel: Channel
    rng: Random

    @property
    def books(self) -> Books:
        return self.sandbox.books

    @property
    def server(self) -> ChannelServer:
        return self.sandbox.server_of(self.channel)

    def now_ms(self) -> int:
        return self.sandbox.clock.now_ms()

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """Do `work`, inside a transaction of its own, when that much market time has passed."""
        self.sandbox.named.schedule(self.now_ms() + round(seconds * 1000), work)

    def listings(self) -> list[Listing]:
        """What is on sale, oldest first; never what a lens makes of it."""
        with self.books.seen_through(None):
            rows = self.books.listings("channel = ? AND status <> 'trash' ORDER BY id", (self.channel,))
        return [row for row in rows if row.price_minor is not None]

    def is_about(self, call: Call, which: Which) -> bool:
        token = TOKEN_PATHS.get(self.channel)
        if which in ("token", "queue"):
            return call.path == token if which == "token" else call.path.startswith(_QUEUE)
        if which != "all" and (call.path == token or call.path.startswith(_QUEUE)):
            return False
        if which == "writes":
            return self.server.writes(call)
        if which == "reads":
            return not self.server.writes(call)
        if which == "orders":
            roots: set[str] = getattr(call, "roots", set())
            return "/order" in call.path or bool(roots & {"orders", "order"})
        return True


class Act:
    """Does nothing; each fault overrides what it needs."""

    name = ""
    at: Place
    #: how often it struck, and the first time (market milliseconds)
    struck = 0
    struck_ms: int | None = None

    def strike(self) -> None:
        self.struck += 1
        if self.struck_ms is None:
            self.struck_ms = self.at.now_ms()

    def begins(self) -> None:
        """Inside a transaction: what is changed once."""

    def ends(self) -> None:
        """Inside a transaction. What was changed in the books stays."""

    def instead(self, call: Call) -> Answer | None:
        """An answer in place of the server's; nothing is done then."""
        return None

    def shows(self, kind: Literal["listing", "order"], rows: list[Any]) -> list[Any]:
        """What a seller's read sees of these rows of the books."""
        return rows

    def wrote(self, call: Call, answer: Answer, before: dict[int, Listing]) -> Answer | None:
        """Inside the write's transaction, after it. An answer undoes the write and is given in its place."""
        return None

    async def answered(self, call: Call, answer: Answer) -> Answer:
        return answer

    def takes(self, topic: str, resource_id: str, deliver: Callable[[], None]) -> bool:
        """Whether the act sees to a delivery itself: `deliver` queues it, once for each time it is called."""
        return False

    def renders(self, body: bytes) -> bytes:
        """The body of a delivery, before it is signed."""
        return body

    def sends(self, headers: dict[str, str], body: bytes) -> list[tuple[dict[str, str], bytes]]:
        """What is posted in place of one signed delivery."""
        return [(headers, body)]


class NamedFaults:
    """The acts under way, by channel and name; ends with the process. Time passes by `due`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._waiting: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def schedule(self, at_ms: int, work: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._waiting, (at_ms, self._count, work))

    def due(self) -> None:
        """Do what was put off until now. Outside of transactions."""
        while self._waiting and self._waiting[0][0] <= self._sandbox.clock.now_ms():
            work = heapq.heappop(self._waiting)[2]
            with self._sandbox.books.transaction():
                work()
            self._sandbox.books.on_commit()

    def begin(self, channel: Channel, name: str, act: Act, rng: Random) -> Act:
        """Put `act` to work; the one of the same name, if any, ends first."""
        self.end(channel, name)
        act.name, act.at = name, Place(self._sandbox, channel, rng)
        with self._sandbox.books.transaction():
            act.begins()
        self._sandbox.faults.acts[channel] = (*self._sandbox.faults.acts[channel], act)
        return act

    def end(self, channel: Channel, name: str | None = None) -> None:
        """End one fault of the channel, or all of them."""
        acts = self._sandbox.faults.acts[channel]
        ending = [act for act in acts if name is None or act.name == name]
        self._sandbox.faults.acts[channel] = tuple(act for act in acts if act not in ending)
        for act in ending:
            with self._sandbox.books.transaction():
                act.ends()

    def status(self) -> dict[str, dict[str, int]]:
        return {
            channel: {act.name: act.struck for act in acts}
            for channel, acts in self._sandbox.faults.acts.items()
            if acts
        }


# -- calls refused ----------------------------------------------------------------------------------------------------


@dataclass
class Refuse(Act):
    """Answers calls itself. `makes` gives the answer for a channel."""

    makes: Callable[[Channel], Answer]
    which: Which = "api"
    rate: float = 1.0

    def instead(self, call: Call) -> Answer | None:
        if not self.at.is_about(call, self.which) or self.at.rng.random() >= self.rate:
            return None
        self.strike()
        answer = self.makes(self.at.channel)
        return replace(answer, headers=dict(answer.headers))


@dataclass
class Expire(Act):
    """Every access token given out before now is refused; the token endpoint gives good new ones."""

    kind: str = "expired"
    status: int | None = None
    _good: set[str] = field(default_factory=set)

    def instead(self, call: Call) -> Answer | None:
        token = call.headers.get(TOKEN_HEADERS[self.at.channel], "").rpartition(" ")[2]
        if not token or not self.at.is_about(call, "api") or token in self._good:
            return None
        self.strike()
        return said(self.kind, self.at.channel, self.status)

    async def answered(self, call: Call, answer: Answer) -> Answer:
        if self.at.is_about(call, "token") and answer.status == 200:
            self._good.add(str(json.loads(answer.body)["access_token"]))
        return answer


@dataclass
class Revoke(Act):
    """Access tokens are refused, and the token endpoint gives no others."""

    refusal: tuple[int, str, str]

    def instead(self, call: Call) -> Answer | None:
        if self.at.is_about(call, "token"):
            self.strike()
            return token_error(*self.refusal)
        if not self.at.is_about(call, "api"):
            return None
        self.strike()
        return said("unknown-key", self.at.channel)


# -- reads ------------------------------------------------------------------------------------------------------------


@dataclass
class Show(Act):
    """Changes what reads show: `lens` is given the act, what kind of rows they are, and the rows."""

    lens: Callable[[Show, str, list[Any]], list[Any]]
    #: what the lens keeps between reads
    kept: dict[Any, Any] = field(default_factory=dict)

    def begins(self) -> None:
        self.lens(self, "listing", [])  # lenses that keep what was shown take it down now

    def shows(self, kind: Literal["listing", "order"], rows: list[Any]) -> list[Any]:
        shown = self.lens(self, kind, rows)
        if shown != rows:
            self.strike()
        return shown


@dataclass
class Rewrite(Act):
    """Changes the bodies and headers of answers to reads."""

    how: Callable[[Answer], Answer]
    which: Which = "reads"

    async def answered(self, call: Call, answer: Answer) -> Answer:
        if answer.status >= 300 or not self.at.is_about(call, self.which):
            return answer
        changed = self.how(answer)
        if changed is not answer:
            self.strike()
        return changed


# -- writes -----------------------------------------------------------------------------------------------------------

Fields = tuple[int | None, int | None, str]


def fields_of(listing: Listing) -> Fields:
    return listing.quantity, listing.price_minor, listing.title


def price(channel: Channel, row: Listing, minor: int) -> None:
    """Give a row of the books another price, in all the places where the channel keeps it."""
    row.price_minor = minor
    text = f"{minor / 100:.2f}"
    if channel == "woo":
        row.doc = {**row.doc, "regular_price": text, "sale_price": ""}
    if channel == "ebay" and row.doc.get("offer"):
        summary = row.doc["offer"].get("pricingSummary", {})
        priced = {**summary, "price": {**summary.get("price", {}), "value": text}}
        row.doc = {**row.doc, "offer": {**row.doc["offer"], "pricingSummary": priced}}
    if channel == "amazon":
        row.doc = copy.deepcopy(row.doc)
        for offer in row.doc["attributes"].get("purchasable_offer", ()):
            for each in (at for part in offer.get("our_price", ()) for at in part.get("schedule", ())):
                each["value_with_tax"] = minor / 100


@dataclass
class Write(Act):
    """Steps in where a write has changed a listing; only what it changed counts."""

    does: Callable[[Write, Call, Answer, list[tuple[Listing, Listing]]], Answer | None]
    #: what the act did so far, for those that go by turns
    turns: int = 0
    #: whether the answer is withheld: the connection breaks
    breaks: bool = False
    _broken: Answer | None = None

    def wrote(self, call: Call, answer: Answer, before: dict[int, Listing]) -> Answer | None:
        if answer.status >= 300:
            return None
        pairs = [
            (old, row)
            for row in self.at.listings()
            if (old := before.get(row.id)) is not None and fields_of(old) != fields_of(row)
        ]
        if not pairs:
            return None
        given = self.does(self, call, answer, pairs)
        if given is not None and self.breaks:
            self._broken = given
        return given

    async def answered(self, call: Call, answer: Answer) -> Answer:
        if self._broken is not None:
            self._broken = None
            answer.fault = "drop_after"
        return answer

    def put(self, listing_id: int, quantity: int | None, price_minor: int | None) -> None:
        """Set a listing as if somebody else had; None leaves it. Inside a transaction."""
        with self.at.books.seen_through(None):
            row = self.at.books.listing(listing_id)
        if row is None:
            return
        if price_minor is not None and price_minor != row.price_minor:
            price(self.at.channel, row, price_minor)
            self.at.books.save_listing(row)
        if quantity is not None and row.quantity is not None and quantity != row.quantity:
            self.at.books.set_stock(row, quantity, "fault", self.name)


# -- the books --------------------------------------------------------------------------------------------------------


@dataclass
class Tamper(Act):
    """Changes the books once."""

    does: Callable[[Place], None]

    def begins(self) -> None:
        self.does(self.at)
        self.strike()


@dataclass
class Drain(Act):
    """Does something to the server's counters before each call."""

    does: Callable[[Place], None]

    def instead(self, call: Call) -> Answer | None:
        self.strike()
        self.does(self.at)
        return None

    def ends(self) -> None:
        self.at.books.set_meta("amazon.usage_factor", self._factor)
        if self.at.channel == "shopify":
            bucket = self.at.server.bucket  # type: ignore[attr-defined]
            bucket.size, bucket.restore = self._bucket

    def begins(self) -> None:
        self._factor = self.at.books.meta("amazon.usage_factor") or "1.0"
        if self.at.channel == "shopify":
            bucket = self.at.server.bucket  # type: ignore[attr-defined]
            self._bucket = (bucket.size, bucket.restore)


@dataclass
class Rates(Act):
    """The rates of faults.ChannelFaults, for as long as it lasts."""

    rates: dict[str, float]
    _before: dict[str, float] = field(default_factory=dict)

    def begins(self) -> None:
        faults = self.at.sandbox.faults
        known = faults.settings[self.at.channel].model_dump()
        self._before = {name: known[name] for name in self.rates}
        faults.configure(self.at.channel, self.rates)

    def ends(self) -> None:
        self.at.sandbox.faults.configure(self.at.channel, self._before)


# -- deliveries -------------------------------------------------------------------------------------------------------


@dataclass
class Deliver(Act):
    """Sees to deliveries: `how` is given the act, and what queues the delivery; False when all went as ever."""

    how: Callable[[Deliver, Callable[[], None]], bool]
    #: deliveries about orders so far, this one included
    orders: int = 0

    def takes(self, topic: str, resource_id: str, deliver: Callable[[], None]) -> bool:
        """Strikes count where a delivery about an order is not simply passed on."""
        is_order = "order" in topic.lower()
        self.orders += is_order
        if self.how(self, deliver) and is_order:
            self.strike()
        return True


@dataclass
class Body(Act):
    """Changes the body of deliveries before they are signed."""

    how: Callable[[bytes], bytes]

    def renders(self, body: bytes) -> bytes:
        self.strike()
        return self.how(body)


@dataclass
class Post(Act):
    """Changes what is posted after it was signed."""

    how: Callable[[dict[str, str], bytes], list[tuple[dict[str, str], bytes]]]

    def sends(self, headers: dict[str, str], body: bytes) -> list[tuple[dict[str, str], bytes]]:
        self.strike()
        return self.how(headers, body)
