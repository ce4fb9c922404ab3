"""A seller on one channel of a sandbox, over real HTTP and in simulated time, with the channel watch looking on.

The seller trades: buyers order, webhooks are taken in, quantities and prices are written and read back, and every so
often the watch takes a look, all by the code the system itself uses. The watch sees what the connector sees, and
nothing of the sandbox's control side.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import uvicorn
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces import connector_class
from flipsync.connectors.vault import MemoryVault
from flipsync.domain.channel import ChannelOrder, Offer, OfferGroup, Vendor
from flipsync.domain.channel_fault import CAUSES, Finding
from flipsync.domain.errors import ChannelError, EditedElsewhere, InvalidInput, OutcomeUnknown, Unauthenticated
from flipsync.domain.money import Money
from flipsync.runtime.channel_look import Look, pace_of
from flipsync.runtime.watched import WatchedConnector, WatchedLimiter
from flipsync.sandbox.app import Sandbox, SandboxConfig, build_app
from flipsync.sandbox.buyers import Buyer
from flipsync.sandbox.records import Channel
from flipsync.sandbox.shopify.server import Bucket
from flipsync.services.watch import ChannelWatch, Expected
from flipsync.services.watch.memory import Heard

START_MS = 1_772_460_000_000
VENDORS: dict[Channel, Vendor] = {
    "woo": "woocommerce",
    "custom": "custom",
    "shopify": "shopify",
    "ebay": "ebay",
    "amazon": "amazon",
}
_ADDRESSES = ("base_url", "token_url", "notification_url", "options")
_SECRET = SecretStr("a-secret-of-the-callback-address-0123456789")
_GOODS = 7
_UNITS = 80
#: how often a queue of notices is emptied, and how long after a write it is read back (simulated seconds)
_FETCH_EVERY, _READ_BACK = 10.0, 2.0


@dataclass(frozen=True)
class Traffic:
    """Simulated seconds between two of each, on average; `step` is the grain of simulated time."""

    orders: float
    quantities: float
    prices: float
    look: float = 20.0
    step: float = 2.0


BUSY = Traffic(orders=6.0, quantities=6.0, prices=14.0)
CALM = Traffic(orders=300.0, quantities=600.0, prices=1800.0, look=25.0, step=25.0)


class Switchboard:
    """One web server for all cases: whatever sandbox is in, and its seller's callback address."""

    def __init__(self) -> None:
        self.app: Any = None
        self.seller: Seller | None = None
        self.base_url = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/hook" and self.seller is not None:
            await self.seller.answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Switchboard]:
        config = uvicorn.Config(
            self, port=0, log_level="critical", access_log=False, server_header=False, date_header=False, lifespan="off"
        )
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        self.base_url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.should_exit = True
            await task


@dataclass
class Ledger:
    """What one listing should show."""

    sku: str
    quantity: int
    price: Money
    title: str
    sold: int = 0


@dataclass
class Readback:
    due: float
    listing: str


@dataclass
class Seller:
    """Trades on one channel of a fresh sandbox. `seed` makes it repeatable."""

    board: Switchboard
    channel: Channel
    seed: int
    traffic: Traffic
    ledger: dict[str, Ledger] = field(default_factory=dict)
    booked: set[str] = field(default_factory=set)
    to_read: list[str] = field(default_factory=list)
    readbacks: list[Readback] = field(default_factory=list)
    looked: float = float("-inf")
    fetched: float = float("-inf")
    writes: int = 0

    # Opening

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Seller]:
        """List the goods and subscribe to webhooks."""
        self.rng = Random(f"{self.channel}:{self.seed}")
        self.sandbox = Sandbox(SandboxConfig(seed=self.seed, start_ms=START_MS), self.board.base_url)
        self._in_simulated_time()
        self.board.app, self.board.seller = build_app(self.sandbox), self
        self.watch = ChannelWatch(self.now)
        memory = self.watch.memory
        limiter = WatchedLimiter(Unlimited(), memory, self.now)
        row = self.sandbox.credentials()[VENDORS[self.channel]]
        where = {name: row[name] for name in _ADDRESSES if name in row}
        where.setdefault("options", {})
        where["options"] = {**where["options"], "alert_email": "seller@example.com"}
        vendor = VENDORS[self.channel]
        config = AccountConfig(vendor=vendor, currency="USD", timeout_seconds=5.0, **where)
        credentials = {name: SecretStr(value) for name, value in row.items() if name not in _ADDRESSES}
        self.kind = connector_class(vendor)
        self._vault = MemoryVault(credentials)
        self.connector = WatchedConnector(self.kind(config, credentials, limiter, "a", vault=self._vault), memory)
        memory.expects_webhooks = True
        memory.callback_url = str(config.options.get("queue_arn") or self.hook)
        pace = pace_of(vendor)
        memory.lists_orders = pace.orders < 60
        memory.fetches_every = _FETCH_EVERY if self.connector.has_queue else 0.0
        fetch = self._fetch if self.connector.has_queue else None
        self.look = Look(self.connector, memory, self._expect, self._book, fetch, pace)
        async with self.sandbox.running():
            await self._list_goods()
            self.sandbox.webhooks.set_shop_interval(0.0)
            await self.connector.ensure_webhooks(self.hook, _SECRET)
            try:
                yield self
            finally:
                await self.connector.aclose()
                self.board.seller = None
        self.sandbox.books.close()

    @property
    def hook(self) -> str:
        return f"{self.board.base_url}/hook"

    def now(self) -> float:
        return self.sandbox.clock.now_ms() / 1000

    def _in_simulated_time(self) -> None:
        """Limits that count real time would be met sooner than in life: a simulated minute takes about a second."""
        sandbox = self.sandbox
        sandbox.market.configure({"open": False, "rivals": False, "traffic": 0.001})
        sandbox.books.set_meta("amazon.usage_factor", "1000")
        sandbox.server("/shopify").bucket = Bucket(clock=self.now)
        sandbox.server("/amazon").world.settle_seconds = 0.0  # of real time: half a simulated minute

    async def _list_goods(self) -> None:
        grouped = self.connector.capabilities.groups and self.channel in ("ebay", "amazon")
        sizes = ("S", "M")
        group = OfferGroup(key="SHIRT", title="Linen shirt", options=("Size",), values={"Size": sizes})
        for number in range(_GOODS):
            part = grouped and number < len(sizes)
            offer = Offer(
                sku=f"GOODS-{number}",
                title=f"Article number {number}" if not part else "Linen shirt",
                description_html="<p>As described.</p>",
                price=Money(amount_minor=1990 + 100 * number, currency="USD"),
                quantity=_UNITS,
                barcode=_barcode(number),
                brand="Lumen",
                category="Lighting",
                images=("https://img.example/a.jpg",),
                weight_grams=500,
                attributes={"Color": "Brass", **({"Size": sizes[number]} if part else {})},
                group=group if part else None,
                choices=(sizes[number],) if part else (),
            )
            state = await self.connector.publish(offer, f"k{self.seed}-{number}")
            if state.quantity != _UNITS:
                await self.connector.set_quantity(state.external_id, _UNITS, f"q{self.seed}-{number}")
            self.ledger[state.external_id] = Ledger(offer.sku, _UNITS, offer.price, offer.title)
        self.watch.memory.writes.clear()

    async def _expect(self) -> dict[str, Expected]:
        return self._expected()

    def _expected(self) -> dict[str, Expected]:
        return {key: Expected(row.sku, row.quantity, row.price) for key, row in self.ledger.items()}

    async def restart(self) -> None:
        """The seller's process begins anew, with the tokens it has: they are not fresh any more."""
        old = self.connector.inner
        async with self._vault.open() as opened:
            stored = dict(opened.credentials)
        self.connector.inner = self.kind(old.config, stored, old.limiter, "a", vault=self._vault)
        await old.aclose()

    # Trading

    async def step(self) -> list[Finding]:
        """One grain of simulated time; what the watch finds at its end."""
        traffic = self.traffic
        await self.sandbox.market.advance(traffic.step)
        self._buy()
        await self.sandbox.webhooks.flush()
        with contextlib.suppress(ChannelError):
            await self._take_in()
        for what, period in (("quantity", traffic.quantities), ("price", traffic.prices)):
            if self.rng.random() < traffic.step / period:
                with contextlib.suppress(ChannelError):
                    await self._write(what)
        await self._read_back()
        if self.now() - self.looked >= traffic.look:
            self.looked = self.now()
            await self.look.look()
        self.watch.memory.expects(self._expected())
        return self.watch.findings()

    def refill(self) -> None:
        """Days of trading: quotas begin anew at midnight, and what is kept for ever is not looked at again."""
        if self.channel == "ebay" and self.now() % 86_400 < self.traffic.step:
            self.sandbox.server("/ebay").quotas.counts.clear()

    def _buy(self) -> None:
        if self.rng.random() >= self.traffic.step / self.traffic.orders:
            return
        shelf = [row for row in self.sandbox.books.listings("channel = ?", (self.channel,)) if row.sellable(1)]
        if shelf:
            goods = self.rng.choice(shelf)
            buyer = Buyer(willing_minor=0, price_sensitivity=0.0, quantity=1)
            self.sandbox.market.place(self.channel, goods.sku, self.rng.choice((1, 1, 1, 2)), buyer)

    async def _take_in(self) -> None:
        if self.connector.has_queue and self.now() - self.fetched >= _FETCH_EVERY:
            await self._fetch()
        while self.to_read:
            order = await self.connector.read_order(self.to_read.pop(0))
            if order is not None:
                await self._book([order])

    async def _fetch(self) -> None:
        self.fetched = self.now()
        async for notice in self.connector.notices():
            if notice.kind == "order" and notice.resource_id not in self.booked:
                order = await self.connector.read_order(notice.resource_id)
                if order is not None:
                    await self._book([order])

    async def _book(self, orders: Any) -> None:
        """Take what was sold off our own count, once an order."""
        by_sku = {row.sku: row for row in self.ledger.values()}
        order: ChannelOrder
        for order in orders:
            self.watch.memory.knows_order(order)
            if order.external_id in self.booked:
                continue
            self.booked.add(order.external_id)
            for line in order.lines:
                if line.sku in by_sku:
                    by_sku[line.sku].quantity -= line.quantity
                    by_sku[line.sku].sold += line.quantity
        self.watch.memory.expects(self._expected())

    async def _write(self, what: str) -> None:
        key = self.rng.choice(list(self.ledger))
        row = self.ledger[key]
        self.writes += 1
        state = await self.connector.read_listing(key)
        if what == "price":
            price = Money(amount_minor=1500 + self.rng.randrange(1, 200) * 7 + 1, currency="USD")
            known, row.price = row.price, price
            with self._outcome(key):
                await self.connector.set_price(key, price, f"w{self.writes}", known)
            return
        if state is None or state.quantity is None:
            return
        change = self.rng.choice((-7, -5, 4, 6, 8))
        target = max(8, row.quantity + change)
        if target == row.quantity:
            return
        untold = row.quantity - state.quantity
        if untold < 0:
            # nobody has sold them and no order was taken back here: somebody put them there, and ours win
            self.connector.edited_elsewhere(key, row.quantity, state.quantity)
            untold = 0
        # what was sold and not told yet is not put back on the shelf: the write goes by what is shown
        row.quantity = target
        with self._outcome(key):
            await self.connector.set_quantity(key, max(0, target - untold), f"w{self.writes}", state.version)

    @contextlib.contextmanager
    def _outcome(self, key: str) -> Iterator[None]:
        """A write without an answer may have been done: it is read back, as one that was answered is."""
        before = replace(self.ledger[key])
        try:
            with contextlib.suppress(OutcomeUnknown):
                yield
        except EditedElsewhere as edit:
            self.ledger[key] = replace(before, price=edit.shown)
            raise
        except ChannelError:
            looks = self.watch.memory.looks.get(key)
            last = looks[-1].state if looks else None
            if last is not None and last.price is not None:
                self.ledger[key] = replace(before, price=last.price, quantity=last.quantity or before.quantity)
            raise
        finally:
            self.watch.memory.expects(self._expected())
        self.readbacks.append(Readback(self.now() + _READ_BACK, key))

    async def _read_back(self) -> None:
        due = [each for each in self.readbacks if each.due <= self.now()]
        self.readbacks = [each for each in self.readbacks if each not in due]
        for each in due:
            with contextlib.suppress(ChannelError):
                await self.connector.read_listing(each.listing)

    # Webhooks

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The callback address: challenges, and deliveries verified as the API verifies them."""
        if scope["method"] == "GET":
            query = dict(part.partition("=")[::2] for part in scope["query_string"].decode().split("&"))
            told = self.kind.answer_challenge(query, _SECRET, self.hook) or {}
            body = b'{"challengeResponse":"' + told.get("challengeResponse", "").encode() + b'"}'
            await _reply(send, 200, body)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        await _reply(send, await self._deliver(headers, body), b"")

    async def _deliver(self, headers: dict[str, str], body: bytes) -> int:
        memory = self.watch.memory
        try:
            if self.kind.capabilities.webhook_keys:
                notice = await self.connector.verify_webhook(headers, body, _SECRET)
            else:
                secret = self.connector.credentials.get(self.kind.signs_with, _SECRET)
                notice = self.kind.parse_webhook(headers, body, secret, self.connector.config)
        except Unauthenticated:
            memory.arrived(Heard(self.now(), trouble="forged"))
            return 401
        except InvalidInput:
            memory.arrived(Heard(self.now(), trouble="garbled"))
            return 200
        except ChannelError:
            return 503
        if notice.kind == "ping":
            return 200
        memory.hears(notice)
        if notice.kind == "order" and notice.resource_id not in self.booked:
            if notice.order is not None:
                await self._book([notice.order])
            else:
                self.to_read.append(notice.resource_id)
        return 200

    # Remedies

    async def remedy(self, finding: Finding) -> str:
        """Do what the system does by itself about a finding, and see whether it helped."""
        known = CAUSES[finding.cause]
        if known.remedy != "resubscribe":
            return {"renew": "fixed: token renewed", "alert": "alert"}.get(known.remedy, known.remedy)
        with contextlib.suppress(ChannelError):
            await self.connector.ensure_webhooks(self.hook, _SECRET)
            self.watch.memory.saw_subscriptions(await self.connector.subscriptions())
            if finding.cause not in {each.cause for each in self.watch.findings()}:
                return "fixed: subscribed again"
        return "subscribed again, alert"


async def _reply(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _barcode(number: int) -> str:
    """A valid EAN-13."""
    digits = f"40063813{number:04d}"
    odd, even = sum(int(d) for d in digits[::2]), sum(int(d) for d in digits[1::2])
    return f"{digits}{-(odd + 3 * even) % 10}"
