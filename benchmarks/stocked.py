"""A reseller with many listings on four channels, for benchmarks of what reaches channels: books, sandbox, worker.

Nothing of it is sold through our own API or made by agents: goods, listings and waiting updates are written straight
into the databases of both sides, as they would be after months of trading. Ids are made of numbers, so that rows of
different tables find each other.
"""

from __future__ import annotations

import asyncio
import copy
import json
import multiprocessing
import secrets
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import psycopg
import structlog
from pydantic import SecretStr
from sqlalchemy.engine import URL

from benchmarks.installation import graph
from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces import connector_class
from flipsync.domain.channel import Offer, Vendor
from flipsync.domain.ids import new_id
from flipsync.domain.money import usd
from flipsync.embedded.postgres import EmbeddedPostgres
from flipsync.embedded.redis import EmbeddedRedis
from flipsync.runtime.effects import EffectWorker
from flipsync.runtime.mailbox import Limits, Mailbox, RedisWaker
from flipsync.sandbox.app import Sandbox, SandboxConfig, build_app
from flipsync.sandbox.books import Books
from flipsync.sandbox.records import Channel, Listing, sandbox_channel
from flipsync.security.secrets import SecretBox
from flipsync.services import accounts
from flipsync.services.pricing.firewall import Firewall
from flipsync.store.bootstrap import APP_ROLE, WORKER_ROLE, create_database, install, role_url
from flipsync.store.database import Database
from flipsync.store.models import Tenant
from flipsync.store.unit_of_work import EFFECTS, Store
from flipsync.system import SandboxProcess

VENDORS: tuple[Vendor, ...] = ("amazon", "ebay", "shopify", "woocommerce")
Owner = psycopg.Connection[dict[str, Any]]
_SEED = "SEED"
_ADDRESSES = ("base_url", "token_url", "notification_url", "options")


def sku_of(number: int) -> str:
    return f"B{number:06d}"


# -- the channels' side -----------------------------------------------------------------------------------------------


async def stock_sandbox(path: Path, listings: int) -> dict[Vendor, list[str]]:
    """A sandbox's data file with so many listings on each channel; their external ids, by SKU's number.

    One listing a channel is published through its API, the others are its copies.
    """
    sandbox = Sandbox(SandboxConfig(seed=7, data=str(path)), "http://shop.test")
    ids: dict[Vendor, list[str]] = {}
    async with sandbox.running():
        for vendor in VENDORS:
            await _publish_seed(sandbox, vendor)
            ids[vendor] = _copies(sandbox.books, sandbox_channel(vendor), listings)
    sandbox.books.close()
    return ids


async def _publish_seed(sandbox: Sandbox, vendor: Vendor) -> None:
    row = sandbox.credentials()[vendor]
    where = {name: row[name] for name in _ADDRESSES if name in row}
    config = AccountConfig.model_validate({"vendor": vendor, "currency": "USD", **where})
    keys = {name: SecretStr(value) for name, value in row.items() if name not in _ADDRESSES}
    transport = httpx2.ASGITransport(app=build_app(sandbox))
    async with connector_class(vendor)(config, keys, Unlimited(), "seed", transport=transport) as connector:
        offer = Offer(
            sku=_SEED,
            title=f"Thing {_SEED}",
            price=usd("39.90"),
            quantity=1,
            brand="Benchmark",
            images=("https://img.example/1.jpg",),
        )
        await connector.publish(offer, "seed")


def _copies(books: Books, channel: Channel, listings: int) -> list[str]:
    seed = books.listing_by_sku(channel, _SEED)
    assert seed is not None, "just published"
    found = []
    with books.transaction():
        for number in range(listings):
            listing = _copy(books, seed, sku_of(number))
            found.append(
                {"shopify": f"gid://shopify/ProductVariant/{listing.id}", "woo": str(listing.id)}.get(
                    channel, listing.sku
                )
            )
    return found


def _copy(books: Books, seed: Listing, sku: str) -> Listing:
    doc = json.loads(json.dumps(seed.doc).replace(_SEED, sku))
    listing = copy.copy(seed)
    listing.id, listing.sku, listing.title, listing.doc = books.next_id(), sku, f"Thing {sku}", doc
    db, now = books.db, seed.created_ms
    if seed.channel == "ebay":
        doc["offer_id"], doc["listing_id"] = str(7_000_000_000 + listing.id), str(110_000_000_000 + listing.id)
    elif seed.channel == "amazon":
        old, doc["asin"] = doc["asin"], f"B0{listing.id:08d}"
        query = "SELECT * FROM amazon_doc WHERE (kind = 'asin' AND id = ?) OR (kind = 'owner' AND id = ?)"
        for kind, name, text in db.execute(query, (old, _SEED)).fetchall():
            own_name, own_text = (each.replace(old, doc["asin"]).replace(_SEED, sku) for each in (name, text))
            db.execute("INSERT INTO amazon_doc VALUES (?, ?, ?)", (kind, own_name, own_text))
    elif seed.channel == "shopify":
        product = list(db.execute("SELECT * FROM shopify_product WHERE id = ?", (doc["product_id"],)).fetchone())
        doc["product_id"] = product[0] = books.next_id()
        product[1] = f"thing-{sku.lower()}"
        db.execute(f"INSERT INTO shopify_product VALUES ({', '.join('?' * len(product))})", product)
    else:
        doc["slug"] = f"thing-{sku.lower()}"
    db.execute(
        "INSERT INTO listing (id, channel, sku, title, status, price_minor, quantity, stock_version, created_ms,"
        " modified_ms, doc) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        (
            *(listing.id, listing.channel, sku, listing.title, listing.status, listing.price_minor, seed.quantity, 1),
            *(now, now, json.dumps(doc)),
        ),
    )
    db.execute("INSERT INTO listing_created VALUES (?, ?, ?, ?, NULL)", (listing.id, listing.channel, sku, now))
    return listing


# -- our side ---------------------------------------------------------------------------------------------------------

_GOODS = """
    INSERT INTO product (id, tenant_id, handle, title, description_html, tags, images, option_names, published, version,
                         created_at, updated_at)
    SELECT md5('product' || %(t)s::text || n)::uuid, %(t)s::uuid, 'B' || lpad(n::text, 6, '0'), 'Thing ' || n, '',
           '[]', '[]', '[]', true, 1, now(), now()
      FROM generate_series(0, %(count)s - 1) AS n;
    INSERT INTO variant (id, tenant_id, product_id, sku, sku_derived, options, currency, price_minor, cost_minor,
                         created_at, updated_at)
    SELECT md5('variant' || %(t)s::text || n)::uuid, %(t)s::uuid, md5('product' || %(t)s::text || n)::uuid,
           'B' || lpad(n::text, 6, '0'), false, '{}', 'USD', 3990, 1250, now(), now()
      FROM generate_series(0, %(count)s - 1) AS n;
    INSERT INTO stock_item (id, tenant_id, variant_id, pool, mode, on_hand, reserved, allocated, created_at, updated_at)
    SELECT md5('item' || %(t)s::text || n)::uuid, %(t)s::uuid, md5('variant' || %(t)s::text || n)::uuid, 'own',
           'pooled', 0, 0, 0, now(), now()
      FROM generate_series(0, %(count)s - 1) AS n;
    INSERT INTO stock_movement (id, tenant_id, stock_item_id, kind, on_hand_delta, reserved_delta, key, note, at)
    SELECT md5('movement' || %(t)s::text || n)::uuid, %(t)s::uuid, md5('item' || %(t)s::text || n)::uuid, 'receive',
           %(units)s, 0, 'first:' || n, '', now()
      FROM generate_series(0, %(count)s - 1) AS n
"""
_LISTINGS = """
    INSERT INTO listing (id, tenant_id, account_id, variant_id, sku, external_id, status, status_reason, title,
                         currency, price_minor, quantity_shown, published_at, version, created_at, updated_at)
    SELECT md5('listing' || %(a)s::text || n)::uuid, %(t)s::uuid, %(a)s::uuid,
           md5('variant' || %(t)s::text || n)::uuid, 'B' || lpad(n::text, 6, '0'), external_id, 'active', '',
           'Thing ' || n, 'USD', 3990, 1, now(), 1, now(), now()
      FROM unnest(%(ids)s::text[]) WITH ORDINALITY AS told(external_id, place), LATERAL (SELECT place - 1 AS n) AS at;
    INSERT INTO allocation (id, tenant_id, stock_item_id, listing_id, entitled, pending, target, given_back,
                            created_at, updated_at)
    SELECT md5('share' || %(a)s::text || n)::uuid, %(t)s::uuid, md5('item' || %(t)s::text || n)::uuid,
           md5('listing' || %(a)s::text || n)::uuid, 1, 0, 1, 0, now(), now()
      FROM generate_series(0, %(count)s - 1) AS n
"""
_UPDATES = """
    UPDATE allocation SET target = %(units)s
     WHERE listing_id IN (SELECT md5('listing' || %(a)s::text || n)::uuid
                            FROM generate_series(%(first)s::int, %(first)s + %(count)s - 1) AS n);
    INSERT INTO effect (id, tenant_id, account_id, command, payload, subject_kind, subject_id, key, priority, state,
                        attempts, not_before, lease_owner, epoch, correlation_id, traceparent, result, created_at)
    SELECT e.id, %(t)s::uuid, %(a)s::uuid, 'SetChannelQuantity',
           jsonb_build_object('account_id', %(a)s::text, 'listing_id', e.listing, 'quantity', %(units)s::int,
                              'last_unit', false),
           'listing', e.listing, %(round)s::text || e.listing, 10, 'pending', 0, now(), '', 0, e.id, '', '{}', now()
      FROM (SELECT md5(%(round)s::text || %(a)s::text || n)::uuid AS id,
                   md5('listing' || %(a)s::text || n)::uuid AS listing
              FROM generate_series(%(first)s::int, %(first)s + %(count)s - 1) AS n) AS e
"""
_ONE_LEFT = """
    INSERT INTO stock_movement (id, tenant_id, stock_item_id, kind, on_hand_delta, reserved_delta, key, note, at)
    SELECT md5('counted' || %(t)s::text || i.id)::uuid, i.tenant_id, i.id, 'count', 1 - i.on_hand, 0, 'one:' || i.id,
           '', now()
      FROM stock_item i JOIN generate_series(0, %(count)s - 1) AS n ON i.id = md5('item' || %(t)s::text || n)::uuid
"""


class CountingLimits(Limits):
    """The shared buckets, what was taken from each: account → bucket → tokens, and when first and last."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.taken: dict[str, Counter[str]] = defaultdict(Counter)
        self.moments: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)

    async def acquire(self, bucket: str, rate_per_second: float, burst: int, cost: float = 1.0) -> None:
        await super().acquire(bucket, rate_per_second, burst, cost)
        account, _, name = bucket.partition(":")
        self.taken[account][name] += cost  # type: ignore[assignment] # a cost may be a fraction
        now, moments = time.monotonic(), self.moments[account]
        moments[name] = (moments.get(name, (now, now))[0], now)


@dataclass(frozen=True)
class WorkerPlace:
    """What an effect worker needs to start anywhere on this machine."""

    database_url: str
    redis_url: str
    secret: bytes
    width: int = 16

    def store(self, pool_size: int = 6) -> Store:
        database = Database(self.database_url, pool_size=pool_size, max_overflow=4)
        return Store(database, graph().routing(), RedisWaker(self.redis_url))

    @asynccontextmanager
    async def working(self, store: Store, limits: Limits) -> AsyncIterator[EffectWorker]:
        """An effect worker at work."""
        mailbox = Mailbox(self.redis_url, [EFFECTS])
        firewall = Firewall(b"f" * 32, clock=store.clock)
        worker = EffectWorker(store, SecretBox(self.secret), limits, firewall, mailbox, width=self.width)
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await worker.aclose()
            await mailbox.aclose()


def _work_apart(place: WorkerPlace, ready: Event) -> None:
    async def work() -> None:
        store, limits = place.store(), Limits(place.redis_url)
        async with place.working(store, limits):
            ready.set()
            await asyncio.Event().wait()

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is the benchmark's
    with suppress(KeyboardInterrupt):
        asyncio.run(work())


@dataclass
class Reseller:
    """One tenant with the same goods on four channels, and everything a worker needs."""

    store: Store
    #: as the API's role, which hears webhooks
    api_store: Store
    owner: Owner
    sandbox: SandboxProcess
    place: WorkerPlace
    tenant_id: UUID
    listings: int
    accounts: dict[Vendor, UUID] = field(default_factory=dict)
    _rounds: int = 0

    @property
    def redis_url(self) -> str:
        return self.place.redis_url

    @property
    def box(self) -> SecretBox:
        return SecretBox(self.place.secret)

    def fill(self, ids: dict[Vendor, list[str]], units: int) -> None:
        """The books after months of trading: `units` of everything, one of each shown everywhere."""
        write_books(
            self.owner,
            self.tenant_id,
            {account_id: ids[vendor] for vendor, account_id in self.accounts.items()},
            count=self.listings,
            units=units,
        )
        self.owner.execute("ANALYZE")

    def want(self, vendor: Vendor, units: int, *, first: int = 0, count: int | None = None) -> None:
        """Lesser updates of the vendor's listings wait in the outbox; returns when that is committed."""
        self._rounds += 1
        values = {
            "t": str(self.tenant_id),
            "a": str(self.accounts[vendor]),
            "units": units,
            "first": first,
            "count": self.listings if count is None else count,
            "round": f"round {self._rounds}:",
        }
        _run(self.owner, _UPDATES, values)

    def leave_one(self, count: int) -> None:
        """Of the first `count` goods a single unit is left."""
        _run(self.owner, _ONE_LEFT, {"t": str(self.tenant_id), "count": count})

    def one(self, query: str, **values: Any) -> dict[str, Any]:
        row = self.owner.execute(query.encode(), {"t": self.tenant_id, **values}).fetchone()
        assert row is not None
        return row

    def waiting(self, vendor: Vendor | None = None) -> int:
        """Effects that are not finished."""
        query = "SELECT count(*) AS n FROM effect WHERE finished_at IS NULL AND tenant_id = %(t)s"
        if vendor is not None:
            return int(self.one(f"{query} AND account_id = %(a)s", a=self.accounts[vendor])["n"])
        return int(self.one(query)["n"])

    @asynccontextmanager
    async def working(self, limits: Limits) -> AsyncIterator[EffectWorker]:
        """An effect worker of this process, at work."""
        async with self.place.working(self.store, limits) as worker:
            yield worker

    @contextmanager
    def working_apart(self) -> Iterator[None]:
        """An effect worker in a process of its own, as the running system has it."""
        spawn = multiprocessing.get_context("spawn")
        ready = spawn.Event()
        process = spawn.Process(target=_work_apart, args=(self.place, ready), daemon=True)
        process.start()
        try:
            if not ready.wait(60):
                raise TimeoutError("the effect worker did not start")
            yield
        finally:
            process.terminate()
            process.join(10)

    async def until_done(self, vendor: Vendor | None = None, *, limit: float = 3600.0) -> None:
        """Raises TimeoutError."""
        deadline = time.monotonic() + limit
        while await asyncio.to_thread(self.waiting, vendor):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.waiting(vendor)} effects are left after {limit:.0f} s")
            await asyncio.sleep(0.1)


def _run(owner: Owner, statements: str, values: dict[str, Any]) -> None:
    with owner.transaction():
        for statement in statements.split(";\n"):
            owner.execute(statement.encode(), values)


def write_books(owner: Owner, tenant_id: UUID, shown: dict[UUID, list[str]], *, count: int, units: int) -> None:
    """`units` of so many goods, one of each shown on the accounts under these external ids."""
    values = {"t": str(tenant_id), "count": count, "units": units}
    _run(owner, _GOODS, values)
    for account_id, ids in shown.items():
        _run(owner, _LISTINGS, {**values, "a": str(account_id), "ids": ids})


@contextmanager
def fill_books(folder: Path, listings: int) -> Iterator[Owner]:
    """Books alone, with so many listings of one account and an update of each in the outbox; read as their owner."""
    tenant_id, account_id = str(new_id()), str(new_id())
    with _servers(folder) as (owner_url, _):
        install(owner_url, app_password="app", worker_password="worker")
        with _open(owner_url) as owner:
            owner.execute(
                b"INSERT INTO tenant (id, name, currency, settings, created_at, updated_at)"
                b" VALUES (%s, 'Benchmark', 'USD', '{}', now(), now())",
                (tenant_id,),
            )
            owner.execute(
                b"INSERT INTO marketplace_account (id, tenant_id, vendor, name, config, credentials_encrypted,"
                b" webhook_token, status, status_reason, stock_mode, consecutive_failures, created_at, updated_at)"
                b" VALUES (%s, %s, 'amazon', 'Benchmark', '{}', '', 'token', 'connected', '', 'pooled', 0, now(),"
                b" now())",
                (account_id, tenant_id),
            )
            values = {"t": tenant_id, "a": account_id, "count": listings, "units": 1000}
            _run(owner, _GOODS, values)
            _run(owner, _LISTINGS, {**values, "ids": [sku_of(number) for number in range(listings)]})
            owner.execute("VACUUM ANALYZE")
            _run(owner, _UPDATES, {**values, "units": 7, "first": 0, "round": "round 1:"})
            owner.execute("VACUUM FULL allocation")
            yield owner


def _open(owner_url: URL) -> Owner:
    plain = owner_url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True, row_factory=psycopg.rows.dict_row)


@contextmanager
def _servers(folder: Path) -> Iterator[tuple[URL, str]]:
    """PostgreSQL and Redis in the folder: the owner's URL and Redis's."""
    postgres, redis = EmbeddedPostgres(folder / "postgres"), EmbeddedRedis(folder / "redis")
    address = postgres.start()
    try:
        yield create_database(address.url(), "benchmark"), redis.start().url()
    finally:
        redis.stop()
        postgres.stop()


@asynccontextmanager
async def reseller(folder: Path, listings: int, *, units: int = 1000) -> AsyncIterator[Reseller]:
    """Everything of it in `folder`, which PostgreSQL's own account may pass through."""
    data = folder / "market.db"
    ids = await stock_sandbox(data, listings)
    with _servers(folder) as (owner_url, redis_url):
        install(owner_url, app_password="app", worker_password="worker")
        sandbox = SandboxProcess.start(["--data", str(data), "--mode", "real"])
        secret = secrets.token_bytes(32)
        place, api_place = (
            WorkerPlace(role_url(owner_url, role, password).render_as_string(hide_password=False), redis_url, secret)
            for role, password in ((WORKER_ROLE, "worker"), (APP_ROLE, "app"))
        )
        store, api_store = place.store(), api_place.store()
        try:
            with _open(owner_url) as owner:
                made = Reseller(store, api_store, owner, sandbox, place, new_id(), listings)
                await _found(made)
                made.fill(ids, units)
                yield made
        finally:
            sandbox.stop()
            await store.aclose()
            await api_store.aclose()


async def _found(made: Reseller) -> None:
    async with made.store.unit(made.tenant_id) as unit:
        unit.session.add(Tenant(id=made.tenant_id, name="Benchmark"))
    async with made.store.unit(made.tenant_id) as unit:
        for vendor in VENDORS:
            config, credentials = made.sandbox.account(vendor, currency="USD", settle_seconds=0.2)
            made.accounts[vendor] = await accounts.connect_account(
                unit,
                made.box,
                vendor=vendor,
                name=vendor,
                config=config,
                credentials=credentials,
                stock_mode="pooled",
            )
    made.owner.execute("UPDATE agent_task SET state = 'done'")
