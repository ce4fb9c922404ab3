"""Devices a week apart from each other and from the server, then together again over a bad network.

    python -m benchmarks.sync [--quick] [--json] [--devices 5] [--operations 10000] [--shelves 200] [--seed 1]

Each device (the reference client with its file) receives goods, counts shelves, writes over products' words, wishes for
prices and asks for what cannot be, by a clock that is hours off, fast, slow, of 1999 or of 2100. Then all sync at once
with the real API on a real PostgreSQL, while requests and answers are lost, come twice at once, out of order and again
much later, and devices are cut off with their files as they stand. What has to come out is computed from the true times
alone: nothing lost, nothing counted twice, all devices equal, and equal to one that never saw any of it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import logging
import random
import secrets
import sys
import time
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import structlog
from sqlalchemy import text

from benchmarks.installation import temporary_home
from benchmarks.measuring import Report, saying
from benchmarks.sync_week import CLOCKS, FIELDS, FIRST_UNITS, PRICE, WEEK, BadNetwork, Deed, Device, Goods, meant, week
from flipsync.connectors.base import AccountConfig
from flipsync.domain.clock import ManualClock, utc_now
from flipsync.domain.ids import new_id
from flipsync.embedded.postgres import EmbeddedPostgres
from flipsync.embedded.redis import EmbeddedRedis
from flipsync.services import accounts, stock
from flipsync.store import models as m
from flipsync.store.bootstrap import APP_ROLE, create_database, install, role_url
from serve.api import Api, build_app
from serve.backend import Backend
from serve.settings import ServeSettings


class _Signed(httpx2.Auth):
    """A user who is signed in for as long as it takes."""

    def __init__(self, backend: Backend, tenant_id: UUID, user_id: UUID) -> None:
        self._backend, self._who = backend, (tenant_id, user_id)

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        tenant_id, user_id = self._who
        token = self._backend.tokens.issue(user_id=user_id, tenant_id=tenant_id, role="manager", session_id=user_id)
        request.headers["Authorization"] = f"Bearer {token}"
        yield request


@dataclass
class Business:
    tenant_id: UUID
    users: list[UUID]
    goods: list[Goods]


@asynccontextmanager
async def api(app_url: str, redis_url: str, clock: ManualClock) -> AsyncIterator[tuple[Api, Backend]]:
    """The API in this process, by a clock that the benchmark moves."""
    keys = [base64.urlsafe_b64encode(secrets.token_bytes(32)).decode() for _ in range(2)]
    settings = ServeSettings.model_validate(
        {"app_database_url": app_url, "redis_url": redis_url, "jwt_key": keys[0], "secret_key": keys[1]}
        | {"database_pool": 8}
    )
    built = build_app(settings)
    backend: Backend = built.state.backend
    backend.store.clock = clock
    try:
        yield built, backend
    finally:
        await backend.aclose()


async def found(backend: Backend, users: int, shelves: int) -> Business:
    """A business with goods on shelves, every tenth on sale, and a user for each device."""
    business = Business(new_id(), [], [])
    store, tenant = backend.store, {"tenant_id": business.tenant_id}
    async with store.unit(business.tenant_id) as unit:
        unit.session.add(m.Tenant(id=business.tenant_id, name="Week apart"))
        await unit.session.flush()
        for _ in range(users):
            user = m.User(**tenant, email=f"{new_id().hex}@example.com", password_hash="-", role="manager")
            unit.session.add(user)
            await unit.session.flush()
            until = utc_now() + timedelta(days=30)
            unit.session.add(m.UserSession(**tenant, id=user.id, user_id=user.id, device="", expires_at=until))
            business.users.append(user.id)
        account_id = await accounts.connect_account(
            unit,
            backend.box,
            vendor="custom",
            name="shop",
            config=AccountConfig(vendor="custom", base_url="http://127.0.0.1:9/", currency="USD"),
            credentials={"token": "t"},
        )
    for number in range(shelves):
        async with store.unit(business.tenant_id) as unit:
            business.goods.append(await _goods(unit, number, account_id if number % 10 == 0 else None))
    return business


async def _goods(unit: Any, number: int, account_id: UUID | None) -> Goods:
    tenant, sku = {"tenant_id": unit.tenant_id}, f"W{number:05d}"
    product = m.Product(**tenant, handle=sku, title=sku)
    unit.session.add(product)
    await unit.session.flush()
    variant = m.Variant(**tenant, product_id=product.id, sku=sku, currency="USD", price_minor=PRICE["amount_minor"])
    unit.session.add(variant)
    await unit.session.flush()
    await stock.receive(unit, variant.id, FIRST_UNITS, key=f"first:{variant.id}", mode="escrow")
    if account_id is None:
        return Goods(str(product.id), str(variant.id), None)
    listing = m.Listing(
        **tenant,
        account_id=account_id,
        variant_id=variant.id,
        sku=sku,
        external_id=sku,
        status="active",
        title=sku,
        currency="USD",
        price_minor=PRICE["amount_minor"],
        quantity_shown=0,
        published_at=unit.now,
    )
    unit.session.add(listing)
    await unit.session.flush()
    return Goods(str(product.id), str(variant.id), str(listing.id))


async def apart(
    folder: Path,
    app: Api,
    backend: Backend,
    clock: ManualClock,
    *,
    devices: int,
    operations: int,
    shelves: int,
    seed: int,
    batch: int,
) -> dict[str, Any]:
    """One week of it; what was lost, counted twice or unequal, and how fast."""
    business = await found(backend, devices + 1, shelves)
    plan = week(seed, devices, operations, business.goods)
    began = clock.now()

    def device(number: int) -> Device:
        network = BadNetwork(httpx2.ASGITransport(app=app), seed * 1000 + number)
        auth = _Signed(backend, business.tenant_id, business.users[number])
        return Device(folder / f"device{number}.db", CLOCKS[number % len(CLOCKS)], began, network, auth, batch)

    all_of_them = [device(number) for number in range(devices)]
    rng = random.Random(seed)
    for each in all_of_them:
        await each.sync(rng)  # made known, and told everything there is
        each.network.sent = each.network.received = 0
    clock.advance(WEEK)
    kept = time.perf_counter()
    for each, deeds in zip(all_of_them, plan, strict=True):
        each.live(deeds)
    kept = time.perf_counter() - kept
    began_syncing = time.perf_counter()
    await asyncio.gather(*(each.sync(random.Random(seed + n)) for n, each in enumerate(all_of_them)))
    took = time.perf_counter() - began_syncing
    for each in all_of_them:
        each.network.good = True
        await each.sync(rng)
    fresh = device(devices)
    fresh.network.good, fresh.passed = True, WEEK
    await fresh.sync(rng)
    result = await _judge(business, backend, plan, all_of_them, fresh)
    total = devices * operations
    happened: dict[str, int] = {"cut off": sum(each.cut_off for each in all_of_them)}
    for each in all_of_them:
        happened |= {name: happened.get(name, 0) + count for name, count in each.network.happened.items()}
    result |= {
        "devices": devices,
        "operations": total,
        "shelves": shelves,
        "seed": seed,
        "seconds_syncing": took,
        "operations_per_second": total / took,
        "kept_on_device_per_second": total / kept,
        "bytes_sent_per_operation": sum(each.network.sent for each in all_of_them) / total,
        "bytes_received_per_operation": sum(each.network.received for each in all_of_them) / total,
        "network": happened,
    }
    for each in [*all_of_them, fresh]:
        await each.aclose()
    return result


async def _judge(
    business: Business, backend: Backend, plan: list[list[Deed]], devices: list[Device], fresh: Device
) -> dict[str, Any]:
    should = meant(plan, business.goods)
    answers = [each.file.answers() for each in devices]
    outcomes: dict[str, int] = {}
    for each in (answer for told in answers for answer in told):
        outcomes[each["outcome"]] = outcomes.get(each["outcome"], 0) + 1
    shelves = {each["variant_id"]: each["on_hand"] for each in fresh.file.records("stock_item").values()}
    words = {
        (product_id, name): each[name] for product_id, each in fresh.file.records("product").items() for name in FIELDS
    }
    books = await _books(backend, business.tenant_id)
    return {
        "unanswered": sum(len(deeds) for deeds in plan) - sum(len(told) for told in answers),
        "not_in_the_books_once": abs(sum(len(deeds) for deeds in plan) - books["mutations"]),
        "booked_too_often_or_too_rarely": abs(should.booked - books["movements"]),
        "shelves_wrong": sum(shelves.get(variant) != units for variant, units in should.shelves.items()),
        "words_wrong": sum(words.get(place) != told for place, told in should.words.items()),
        "wishes_wrong": abs(should.wished - books["wishes"]),
        "prices_moved": sum(each["price"] != PRICE for each in fresh.file.records("listing").values()),
        "impossible_not_rejected": abs(should.impossible - outcomes.get("rejected", 0)),
        "devices_unequal": len({each.digest() for each in [*devices, fresh]}) - 1,
        "outcomes": outcomes,
        "notices": sum(len(each.file.records("notice")) for each in devices),
    }


#: what has to be nothing
WRONG = (
    *("unanswered", "not_in_the_books_once", "booked_too_often_or_too_rarely", "shelves_wrong", "words_wrong"),
    *("wishes_wrong", "prices_moved", "impossible_not_rejected", "devices_unequal"),
)


async def _books(backend: Backend, tenant_id: UUID) -> dict[str, int]:
    counted = """
        SELECT (SELECT count(*) FROM sync_mutation),
               (SELECT count(*) FROM stock_movement WHERE key LIKE 'sync:%' AND key NOT LIKE '%counted'),
               (SELECT count(*) FROM event WHERE type = 'PriceWished')
    """
    async with backend.store.reader(tenant_id) as session:
        row = (await session.execute(text(counted))).one()
    return dict(zip(("mutations", "movements", "wishes"), map(int, row), strict=True))


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--devices", type=int, default=5)
    parser.add_argument("--operations", type=int, default=10_000, help="of each device")
    parser.add_argument("--shelves", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=200, help="operations in one request, at most")
    options = parser.parse_args(argv)
    if options.quick:
        options.operations, options.shelves, options.batch = 60, 20, 10
    return options


def quiet() -> None:
    """The API's own log of every request is no part of the outcome."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


async def measure(options: argparse.Namespace, folder: Path, app_url: str, redis_url: str) -> dict[str, Any]:
    clock = ManualClock(utc_now() - WEEK)
    sizes = {name: getattr(options, name) for name in ("devices", "operations", "shelves", "seed", "batch")}
    async with api(app_url, redis_url, clock) as (app, backend):
        return await apart(folder, app, backend, clock, **sizes)


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    quiet()
    report = Report("sync")
    total = options.devices * options.operations
    with temporary_home() as home:
        folder = home.parent
        database, cache = EmbeddedPostgres(folder / "postgres"), EmbeddedRedis(folder / "redis")
        try:
            owner = create_database(database.start().url(), "flipsync")
            install(owner, app_password="app", worker_password="worker")
            app_url = role_url(owner, APP_ROLE, "app").render_as_string(hide_password=False)
            redis_url = cache.start().url()
            with saying(f"{options.devices} devices, {total:,} operations, a week apart"):
                report.result = result = asyncio.run(measure(options, folder, app_url, redis_url))
        finally:
            cache.stop()
            database.stop()
    for name in WRONG:
        report.row(name.replace("_", " "), f"{result[name]:,}", "has to be 0")
    told = ", ".join(f"{count:,} {name}" for name, count in sorted(result["outcomes"].items()))
    report.row("answers", f"{total:,}", told)
    report.row("told and heard", f"{result['operations_per_second']:,.0f} a second", "all devices, API and database")
    report.row(
        "kept on a device", f"{result['kept_on_device_per_second']:,.0f} a second", "a file of each device's own"
    )
    report.row(
        "bytes an operation",
        f"{result['bytes_sent_per_operation']:,.0f} sent",
        f"{result['bytes_received_per_operation']:,.0f} received, with all that was sent in vain",
    )
    report.row("network", "", ", ".join(f"{count:,} {name}" for name, count in result["network"].items()))
    report.finish(as_json=options.json)
    return 0 if not any(result[name] for name in WRONG) else 1


if __name__ == "__main__":
    sys.exit(main())
