"""A week apart, for `benchmarks.sync`: what devices do, what it all comes to by its definition, and a bad network."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import orjson

from flipsync.sync_client import DeviceFile, Offline, SyncClient

WEEK = timedelta(days=7)
#: what lies on every shelf when the week begins
FIRST_UNITS = 100
NOBODY = "00000000-0000-7000-8000-000000000000"
PRICE = {"amount_minor": 2999, "currency": "USD"}
FIELDS = ("title", "brand", "category")
_RECORDS = ("product", "variant", "stock_item", "listing")
#: four bytes a letter, right to left, marks on marks, and plain
_WORDS = ("teapot 🫖", "إبريق شاي", "קומקום", "茶壶", "Kännchen", "té́ière", "𝒯ea", "mug")


@dataclass(frozen=True)
class Clock:
    """A device's clock: off by so much, and this fast."""

    off: timedelta = timedelta()
    ppm: float = 0.0

    def says(self, began: datetime, passed: timedelta) -> datetime:
        return began + passed + self.off + passed * (self.ppm / 1_000_000)


#: right, behind and slow, ahead and fast, of the last century, of the next
CLOCKS = (
    Clock(),
    Clock(timedelta(hours=-7), -80.0),
    Clock(timedelta(hours=9), 120.0),
    Clock(datetime(1999, 1, 1, tzinfo=UTC) - datetime(2026, 11, 1, tzinfo=UTC)),
    Clock(datetime(2100, 1, 1, tzinfo=UTC) - datetime(2026, 11, 1, tzinfo=UTC), 30.0),
)


@dataclass(frozen=True)
class Goods:
    product_id: str
    variant_id: str
    listing_id: str | None


@dataclass(frozen=True)
class Deed:
    """What somebody did at a second of the week."""

    second: int
    kind: str
    body: dict[str, Any]


def week(seed: int, devices: int, operations: int, goods: list[Goods]) -> list[list[Deed]]:
    """What each device does, in its order. No two things happen in the same second, so that one outcome is right."""
    rng = random.Random(seed)
    seconds = rng.sample(range(1, int(WEEK.total_seconds()) - 60), devices * operations)
    listed = [each for each in goods if each.listing_id]
    plan: list[list[Deed]] = [[] for _ in range(devices)]
    for number, second in enumerate(seconds):
        plan[number % devices].append(_deed(rng, second, rng.choice(goods), rng.choice(listed), number))
    return [sorted(each, key=lambda deed: deed.second) for each in plan]


def _deed(rng: random.Random, second: int, goods: Goods, listed: Goods, number: int) -> Deed:
    draw = rng.random()
    if draw < 0.55:
        body: dict[str, Any] = {"variant_id": goods.variant_id, "quantity": rng.randint(1, 9)}
        return Deed(second, "stock.receive", body)
    if draw < 0.65:
        return Deed(second, "stock.count", {"variant_id": goods.variant_id, "counted": rng.randint(0, 300)})
    if draw < 0.90:
        words = {rng.choice(FIELDS): f"{rng.choice(_WORDS)} {number}"}
        return Deed(second, "product.edit", {"product_id": goods.product_id, "base_version": 1, "set": words})
    if draw < 0.95:
        price = {"amount_minor": rng.randint(2500, 3500), "currency": "USD"}
        return Deed(second, "listing.price", {"listing_id": listed.listing_id, "price": price, "seen": PRICE})
    return Deed(second, "stock.receive", {"variant_id": NOBODY, "quantity": 1})


@dataclass
class Meant:
    """What a week comes to when everybody's deeds are laid out by the true time."""

    shelves: dict[str, int]
    words: dict[tuple[str, str], str] = field(default_factory=dict)
    booked: int = 0
    wished: int = 0
    impossible: int = 0


def meant(plan: list[list[Deed]], goods: list[Goods]) -> Meant:
    found = Meant({each.variant_id: FIRST_UNITS for each in goods})
    for deed in sorted((deed for each in plan for deed in each), key=lambda deed: deed.second):
        if deed.kind == "product.edit":
            found.words |= {(deed.body["product_id"], name): words for name, words in deed.body["set"].items()}
        elif deed.kind == "listing.price":
            found.wished += 1
        elif deed.body["variant_id"] == NOBODY:
            found.impossible += 1
        elif deed.kind == "stock.count":
            found.shelves[deed.body["variant_id"]] = deed.body["counted"]
            found.booked += 1
        else:
            found.shelves[deed.body["variant_id"]] += deed.body["quantity"]
            found.booked += 1
    return found


class BadNetwork(httpx2.AsyncBaseTransport):
    """Between a device and the server: requests and answers are lost, come twice at once, come again much later, and
    what is in them is in no order. `good` afterwards."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, seed: int) -> None:
        self._inner, self._rng = inner, random.Random(seed)
        self._old: list[httpx2.Request] = []
        self.good = False
        self.happened: dict[str, int] = defaultdict(int)
        self.sent = self.received = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        mixed = await self._mixed(request)
        draw = 1.0 if self.good else self._rng.random()
        if draw < 0.08:
            self.happened["requests lost"] += 1
            raise httpx2.ConnectError("no network", request=request)
        if draw < 0.16:
            await self._deliver(mixed)
            self.happened["answers lost"] += 1
            raise httpx2.ReadTimeout("no answer", request=request)
        if draw < 0.24:
            self.happened["twice at once"] += 1
            first, _ = await asyncio.gather(self._deliver(mixed), self._deliver(_again(mixed)))
            return first
        if draw < 0.30 and self._old:
            self.happened["again much later"] += 1
            await self._deliver(_again(self._rng.choice(self._old)))
        if len(self._old) < 50:
            self._old.append(_again(mixed))
        return await self._deliver(mixed)

    async def _deliver(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._inner.handle_async_request(request)
        content = await answer.aread()
        self.sent += len(request.content)
        self.received += len(content)
        return answer

    async def _mixed(self, request: httpx2.Request) -> httpx2.Request:
        content = await request.aread()
        if self.good or b'"mutations"' not in content:
            return request
        told = orjson.loads(content)
        self._rng.shuffle(told["mutations"])
        return _with(request, orjson.dumps(told))


def _again(request: httpx2.Request) -> httpx2.Request:
    return _with(request, request.content)


def _with(request: httpx2.Request, content: bytes) -> httpx2.Request:
    headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
    return httpx2.Request(request.method, request.url, headers=headers, content=content)


class Device:
    """The reference client over the bad network, cut off now and then with its file as it stands."""

    def __init__(
        self, path: Path, clock: Clock, began: datetime, network: BadNetwork, auth: httpx2.Auth, batch: int
    ) -> None:
        self._path, self._clock, self._began = path, clock, began
        self.passed = timedelta()
        self.network, self._batch = network, batch
        self.http = httpx2.AsyncClient(base_url="http://api.test", transport=network, auth=auth)
        self.file = self._opened()
        self.cut_off = 0

    def _opened(self) -> DeviceFile:
        return DeviceFile(self._path, clock=lambda: self._clock.says(self._began, self.passed))

    def live(self, deeds: list[Deed]) -> None:
        """A week without network."""
        self.file.do_all(self._at_their_time(deeds))
        self.passed = WEEK

    def _at_their_time(self, deeds: list[Deed]) -> Iterator[tuple[str, dict[str, Any]]]:
        for deed in deeds:
            self.passed = timedelta(seconds=deed.second)
            yield deed.kind, deed.body

    async def sync(self, rng: random.Random) -> None:
        """Until it is through; after a failure perhaps with a file opened anew."""
        while True:
            try:
                await SyncClient(self.file, self.http, batch=self._batch).sync()
            except Offline:
                if rng.random() < 0.5:
                    self.file.close()
                    self.file, self.cut_off = self._opened(), self.cut_off + 1
                await asyncio.sleep(rng.random() * 0.05)
            else:
                return

    def digest(self) -> str:
        """Of everything it was told of; of two devices alike when they hold the same."""
        told = [self.file.records(kind) for kind in _RECORDS]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    async def aclose(self) -> None:
        await self.http.aclose()
        self.file.close()
