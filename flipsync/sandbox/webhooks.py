"""Subscriptions and deliveries: a marketplace's at-least-once webhooks and a shop's visitor-driven queue."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import httpx2

from flipsync.sandbox.books import Books, Change
from flipsync.sandbox.faults import Faults
from flipsync.sandbox.records import Channel

#: Answers a shop counts as delivered; 301 and 302 are not followed.
_SHOP_DELIVERED = frozenset({200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302})
_SHOP_FAILURES_ALLOWED = 6
_SHOP_TIMEOUT = 60.0
_MARKETPLACE_TIMEOUT = 10.0
_MARKETPLACE_ATTEMPTS = 12
_MARKETPLACE_CONCURRENCY = 8


HookStatus = Literal["active", "paused", "disabled"]


@dataclass(frozen=True)
class Subscription:
    """A webhook as the books hold it."""

    id: int
    channel: Channel
    name: str
    topics: tuple[str, ...]
    url: str
    secret: str
    status: HookStatus
    failures: int
    created_ms: int
    modified_ms: int


class Subscriptions:
    """Webhook rows of all channels."""

    def __init__(self, books: Books) -> None:
        self.books = books

    def find(self, where: str, params: tuple[object, ...]) -> list[Subscription]:
        rows = self.books.db.execute(
            "SELECT id, channel, name, topics, url, secret, status, failures, created_ms, modified_ms"  # noqa: S608
            f" FROM webhook WHERE {where}",
            params,
        )
        return [
            Subscription(r[0], r[1], r[2], tuple(json.loads(r[3])), r[4], r[5], r[6], r[7], r[8], r[9]) for r in rows
        ]

    def get(self, webhook_id: int) -> Subscription | None:
        found = self.find("id = ?", (webhook_id,))
        return found[0] if found else None

    def save(self, hook: Subscription) -> None:
        self.books.db.execute(
            "INSERT OR REPLACE INTO webhook VALUES (?,?,?,?,?,?,?,?,?,?)",
            (
                hook.id,
                hook.channel,
                hook.name,
                json.dumps(hook.topics),
                hook.url,
                hook.secret,
                hook.status,
                hook.failures,
                hook.created_ms,
                hook.modified_ms,
            ),
        )

    def delete(self, webhook_id: int) -> None:
        self.books.db.execute("DELETE FROM webhook WHERE id = ?", (webhook_id,))
        self.books.db.execute("DELETE FROM delivery WHERE webhook_id = ?", (webhook_id,))


@dataclass(frozen=True)
class Pending:
    id: int
    webhook_id: int
    channel: Channel
    topic: str
    resource_id: str
    delivery_key: str
    body: bytes | None
    due_s: float
    attempts: int


@cache
def _tls() -> ssl.SSLContext:
    """The system's authorities, read once: that takes 50 ms of every sandbox's start."""
    return httpx2.create_ssl_context(trust_env=False)


class Webhooks:
    """Queues facts for subscribers and delivers them each vendor's way."""

    def __init__(self, books: Books, faults: Faults) -> None:
        self.books = books
        self.faults = faults
        self.subscriptions = Subscriptions(books)
        self.render: dict[Channel, Callable[[str, str], bytes]] = {}
        #: how a channel names a change for its subscribers, and signs a delivery
        self.topic: dict[Channel, Callable[[Change], str | tuple[str, ...]]] = {}
        self.sign: dict[Channel, Callable[[Subscription, Pending, bytes], dict[str, str]]] = {}
        self.shop_url = "http://127.0.0.1"
        self.shop_interval = float(books.meta("webhook_interval") or 1.6)
        self._client: httpx2.AsyncClient | None = None
        self._wake = asyncio.Event()
        self._shop_run: asyncio.Task[int] | None = None
        self._shop_last_run = float("-inf")
        self._deliverer: asyncio.Task[None] | None = None
        self._in_flight: set[int] = set()
        self._under_way: set[asyncio.Task[None]] = set()
        self._shop_lock = asyncio.Lock()

    async def start(self) -> None:
        self._client = httpx2.AsyncClient(verify=_tls(), follow_redirects=False, trust_env=False)
        self._deliverer = asyncio.create_task(self._deliver_forever())

    async def stop(self) -> None:
        tasks = [task for task in (self._deliverer, self._shop_run, *self._under_way) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def set_shop_interval(self, seconds: float) -> None:
        """Shortest real time between two runs of the shop's queue."""
        self.shop_interval = seconds
        self.books.set_meta("webhook_interval", str(seconds))

    # Queueing (inside the transaction that made the change)

    def enqueue(self, change: Change) -> None:
        """Queue a change for every active subscription that asked for its topic."""
        name = self.topic.get(change.channel)
        if name is None:
            return
        named = name(change)
        topics = (named,) if isinstance(named, str) else named
        for hook in self.subscriptions.find("channel = ? AND status = 'active'", (change.channel,)):
            for topic in topics:
                if topic in hook.topics:
                    self._enqueue(hook, topic, str(change.id))

    def _enqueue(self, hook: Subscription, topic: str, resource_id: str) -> None:
        channel, faults = hook.channel, self.faults
        acts = faults.acts[channel]
        told = b"" if channel == "woo" else self.render[channel](topic, resource_id)
        for act in acts:
            told = act.renders(told)
        for act in acts:
            if act.takes(topic, resource_id, lambda: self._queue(hook, topic, resource_id, told)):
                return
        self._queue(hook, topic, resource_id, told)

    def _queue(self, hook: Subscription, topic: str, resource_id: str, body: bytes) -> None:
        channel, faults = hook.channel, self.faults
        if faults.strikes(channel, "webhook_lost"):
            self._sent(hook.id, channel, topic, resource_id, "", "lost")
            return
        due = time.time()
        if faults.strikes(channel, "webhook_delay"):
            due += faults.amount(channel, "webhook_delay", faults.settings[channel].webhook_delay_seconds)
        if faults.strikes(channel, "webhook_reorder"):
            due += 0.2 + faults.amount(channel, "webhook_reorder", 0.6)
        if channel == "woo":
            self._insert(hook, topic, resource_id, "", None, due)
            return
        key = f"d{self.books.next_id()}"
        self._insert(hook, topic, resource_id, key, body, due)
        if faults.strikes(channel, "webhook_duplicate"):
            self._insert(hook, topic, resource_id, key, body, due + faults.amount(channel, "webhook_duplicate", 1.0))

    def _insert(
        self, hook: Subscription, topic: str, resource_id: str, key: str, body: bytes | None, due: float
    ) -> None:
        self.books.db.execute(
            "INSERT OR IGNORE INTO delivery"
            " (webhook_id, channel, topic, resource_id, delivery_key, body, due_s, attempts) VALUES (?,?,?,?,?,?,?,0)",
            (hook.id, hook.channel, topic, resource_id, key, body, due),
        )

    def committed(self) -> None:
        """Something was queued: the marketplace's deliverer looks at once (the shop's waits for a visit)."""
        self._wake.set()

    def _sent(self, webhook_id: int, channel: Channel, topic: str, resource_id: str, key: str, outcome: str) -> None:
        self.books.db.execute(
            "INSERT INTO webhook_sent (webhook_id, channel, topic, resource_id, delivery_key, outcome, at_s)"
            " VALUES (?,?,?,?,?,?,?)",
            (webhook_id, channel, topic, resource_id, key, outcome, time.time()),
        )

    def _pending(self, until: float, limit: int, *, shop: bool) -> list[Pending]:
        """What is due. A shop of one's own delivers when somebody visits it; platforms have machines for it."""
        rows = self.books.db.execute(
            "SELECT id, webhook_id, channel, topic, resource_id, delivery_key, body, due_s, attempts FROM delivery"
            " WHERE (channel = 'woo') = ? AND due_s <= ? ORDER BY due_s, id LIMIT ?",
            (shop, until, limit),
        )
        return [Pending(*row) for row in rows]

    async def _send(self, hook: Subscription, headers: dict[str, str], body: bytes, timeout: float) -> str:
        """Post a delivery, or what the channel's named faults make of it; what became of the first."""
        posts = [(headers, body)]
        for act in self.faults.acts[hook.channel]:
            posts = [post for each in posts for post in act.sends(*each)]
        outcomes = [await self._post(hook.url, sent, named, timeout) for named, sent in posts]
        return outcomes[0]

    async def _post(self, url: str, body: bytes, headers: dict[str, str], timeout: float) -> str:
        """The status code as text, or "failed"."""
        assert self._client is not None
        try:
            response = await self._client.post(url, content=body, headers=headers, timeout=timeout)
        except (httpx2.HTTPError, httpx2.InvalidURL):
            return "failed"
        return str(response.status_code)

    # A platform: at least once, in parallel, tried again

    async def _deliver_forever(self) -> None:
        gate = asyncio.Semaphore(_MARKETPLACE_CONCURRENCY)
        while True:
            self._wake.clear()
            due = [p for p in self._pending(time.time(), 64, shop=False) if p.id not in self._in_flight]
            for pending in due:
                await gate.acquire()
                self._in_flight.add(pending.id)
                task = asyncio.create_task(self._deliver_marketplace(pending, gate))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            if due:
                continue
            row = self.books.db.execute(
                "SELECT min(due_s) FROM delivery WHERE channel <> 'woo' AND due_s > ?", (time.time(),)
            ).fetchone()
            pause = None if row[0] is None else max(0.01, row[0] - time.time())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _deliver_marketplace(self, pending: Pending, gate: asyncio.Semaphore) -> None:
        try:
            hook = self.subscriptions.get(pending.webhook_id)
            body = pending.body or b""
            if hook is None:
                self.books.db.execute("DELETE FROM delivery WHERE id = ?", (pending.id,))
                return
            headers = {"Content-Type": "application/json", **self.sign[hook.channel](hook, pending, body)}
            outcome = await self._send(hook, headers, body, _MARKETPLACE_TIMEOUT)
            with self.books.transaction():
                self._sent(hook.id, hook.channel, pending.topic, pending.resource_id, pending.delivery_key, outcome)
                if outcome.startswith("2") or pending.attempts + 1 >= _MARKETPLACE_ATTEMPTS:
                    self.books.db.execute("DELETE FROM delivery WHERE id = ?", (pending.id,))
                else:
                    retry_at = time.time() + min(60.0, 0.5 * 2**pending.attempts)
                    self.books.db.execute(
                        "UPDATE delivery SET attempts = attempts + 1, due_s = ? WHERE id = ?", (retry_at, pending.id)
                    )
        finally:
            self._in_flight.discard(pending.id)
            gate.release()
            self._wake.set()

    # The shop: one after another, only when somebody visits, never again

    def visit(self, channel: Channel) -> None:
        """Somebody looks at the shop: its queue may run, unless it ran a moment ago."""
        if channel != "woo" or self._client is None:
            return
        running = self._shop_run is not None and not self._shop_run.done()
        if running or time.monotonic() - self._shop_last_run < self.shop_interval:
            return
        if not self._pending(time.time(), 1, shop=True):
            return
        self._shop_last_run = time.monotonic()
        self._shop_run = asyncio.create_task(self._run_shop_queue(lambda: time.time()))

    async def _run_shop_queue(self, until: Callable[[], float]) -> int:
        delivered = 0
        async with self._shop_lock:
            while waiting := self._pending(until(), 1, shop=True):
                await self._deliver_shop(waiting[0])
                delivered += 1
        return delivered

    async def _deliver_shop(self, pending: Pending) -> None:
        self.books.db.execute("DELETE FROM delivery WHERE id = ?", (pending.id,))
        hook = self.subscriptions.get(pending.webhook_id)
        if hook is None or hook.status != "active":
            return
        body = self.render["woo"](pending.topic, pending.resource_id)
        for act in self.faults.acts["woo"]:
            body = act.renders(body)
        second = int(time.time())
        key = hashlib.sha256(f"{hook.id}|{second}".encode()).hexdigest()[:32]
        digest = hmac.new(hook.secret.encode(), body, hashlib.sha256).digest()
        resource, _, event = pending.topic.partition(".")
        headers = {
            "User-Agent": "WooCommerce/11.0.1 Hookshot (WordPress/7.1)",
            "Content-Type": "application/json",
            "X-WC-Webhook-Source": f"{self.shop_url}/",
            "X-WC-Webhook-Topic": pending.topic,
            "X-WC-Webhook-Resource": resource,
            "X-WC-Webhook-Event": event,
            "X-WC-Webhook-Signature": base64.b64encode(digest).decode(),
            "X-WC-Webhook-ID": str(hook.id),
            "X-WC-Webhook-Delivery-ID": key,
        }
        outcome = await self._send(hook, headers, body, _SHOP_TIMEOUT)
        self._sent(hook.id, "woo", pending.topic, pending.resource_id, key, outcome)
        if self.faults.strikes("woo", "webhook_duplicate"):
            again = await self._post(hook.url, body, headers, _SHOP_TIMEOUT)
            self._sent(hook.id, "woo", pending.topic, pending.resource_id, key, again)
        ok = outcome.isdigit() and int(outcome) in _SHOP_DELIVERED
        failures = 0 if ok else hook.failures + 1
        disabled = failures > _SHOP_FAILURES_ALLOWED
        self.books.db.execute(
            "UPDATE webhook SET failures = ?, status = CASE WHEN ? THEN 'disabled' ELSE status END WHERE id = ?",
            (failures, disabled, hook.id),
        )
        if not ok:
            await self.ping(hook)

    async def ping(self, hook: Subscription) -> None:
        """The shop's unsigned greeting; whether it arrives changes nothing."""
        headers = {
            "User-Agent": "WooCommerce/11.0.1 Hookshot (WordPress/7.1)",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        outcome = await self._post(hook.url, f"webhook_id={hook.id}".encode(), headers, _SHOP_TIMEOUT)
        self._sent(hook.id, hook.channel, "ping", str(hook.id), "", outcome)

    # Control

    def waiting(self) -> int:
        return int(self.books.db.execute("SELECT count(*) FROM delivery").fetchone()[0])

    async def flush(self, timeout: float = 30.0) -> int:
        """Deliver everything that waits, delayed or not, visit or not; returns how many are left to retry."""
        deadline = time.monotonic() + timeout
        self.books.db.execute("UPDATE delivery SET due_s = ? WHERE attempts = 0", (time.time(),))
        await self._run_shop_queue(lambda: float("inf"))
        while time.monotonic() < deadline:
            row = self.books.db.execute(
                "SELECT count(*) FROM delivery WHERE channel <> 'woo' AND attempts = 0"
            ).fetchone()
            if not row[0]:
                break
            self._wake.set()
            await asyncio.sleep(0.02)
        return self.waiting()
