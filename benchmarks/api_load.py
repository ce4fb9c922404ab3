"""People with the app open: a thousand signed-in devices that think, read, write and renew their tokens.

    python -m benchmarks.api_load [--quick] [--json] [--devices 1000] [--minutes 5] [--think 5]
        [--replicas 1] [--kill-every 0]

Server and load share the machine's cores. Each device has a connection of its own through HAProxy, thinks for an
exponential time (mean `--think` seconds), and then reads (90 %) or writes (10 %) in its own business; its access
token is renewed about every two minutes. One person a second signs in with a password meanwhile. Seconds are from
the moment a request is sent until its last byte; an answer that is no success fails the run.

`--kill-every SECONDS` ends a replica of the API with SIGKILL so often (with `--replicas 2` another answers meanwhile):
a request that fails is sent again by the same device (with the same idempotency key) for up to a minute, and what is
told is how many failed even so.
`--minutes 30` is a soak: memory of each process is looked at all along, and its growth told.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg

from benchmarks.dashboard import NOW, SKUS, Books
from benchmarks.installation import fetch, graph, owner_url, running, temporary_home
from benchmarks.load import Connection, connect, http_request
from benchmarks.measuring import Report, quantiles, saying
from benchmarks.processes import label, processor_time, proportional_memory, spent
from benchmarks.trading import processes
from flipsync.security.passwords import Passwords
from flipsync.security.roles import Role
from flipsync.security.tokens import AccessTokens
from flipsync.services import identity
from flipsync.system import System
from serve.settings import ServeSettings

AIM_MS, REQUIRED_MS = 100.0, 200.0
_RENEWED_EVERY = 120.0
_PEOPLE: tuple[Role, ...] = ("owner", "manager", "manager", "manager", "manager")
_PASSWORD = "a password for benchmarks only"
_PATIENCE = 60.0
_API = "/api/v1"


@dataclass
class World:
    """What there is to read and write in one business."""

    tenant_id: UUID
    products: list[str]
    orders: list[str]
    items: list[str]
    variants: list[str]
    people: list[str] = field(default_factory=list)


@dataclass
class Tally:
    """What all devices saw together."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    again: int = 0
    counting: bool = False


Ask = tuple[str, str, dict[str, Any] | None]


def _count(world: World, draw: random.Random) -> Ask:
    return "POST", f"/inventory/items/{draw.choice(world.items)}/counts", {"counted": draw.randrange(20, 60)}


def _receive(world: World, draw: random.Random) -> Ask:
    return "POST", "/inventory/receipts", {"variant_id": draw.choice(world.variants), "quantity": draw.randrange(1, 9)}


#: what people do: share of all requests, name, and how it is asked for
_READS: list[tuple[int, str, Callable[[World, random.Random], Ask]]] = [
    (14, "dashboard", lambda w, r: ("GET", "/dashboard", None)),
    (12, "orders, newest", lambda w, r: ("GET", "/orders?limit=25", None)),
    (10, "orders, to ship", lambda w, r: ("GET", "/orders?status=paid&limit=25", None)),
    (12, "one order", lambda w, r: ("GET", f"/orders/{r.choice(w.orders)}", None)),
    (10, "products", lambda w, r: ("GET", "/products?limit=25", None)),
    (8, "one product", lambda w, r: ("GET", f"/products/{r.choice(w.products)}", None)),
    (8, "stock", lambda w, r: ("GET", "/inventory/items?limit=25", None)),
    (6, "notifications", lambda w, r: ("GET", "/notifications?limit=25", None)),
    (4, "questions", lambda w, r: ("GET", "/approvals?limit=25", None)),
    (4, "who am I", lambda w, r: ("GET", "/users/me", None)),
    (2, "decisions", lambda w, r: ("GET", "/decisions?limit=25", None)),
]
_WRITES: list[tuple[int, str, Callable[[World, random.Random], Ask]]] = [
    (5, "count stock", _count),
    (3, "receive goods", _receive),
    (2, "all read", lambda w, r: ("POST", "/notifications/read-all", None)),
]


class Device:
    """A phone with a session: one thing at a time, on a connection it keeps."""

    def __init__(self, url: str, world: World, session: identity.SignedIn, seed: int, tally: Tally) -> None:
        self._url, self._world, self._tally = url, world, tally
        self._access, self._refresh = session.access_token, session.refresh_token
        self._draw = random.Random(seed)
        self._connection: Connection | None = None
        self._renew_at = time.monotonic() + self._draw.uniform(0, _RENEWED_EVERY)
        self._what = [(name, ask) for _, name, ask in _READS + _WRITES]
        self._weights = [weight for weight, _, _ in _READS + _WRITES]

    async def live(self, think: float, until: float) -> None:
        await asyncio.sleep(self._draw.uniform(0, think))
        while time.monotonic() < until:
            if time.monotonic() >= self._renew_at:
                self._renew_at = time.monotonic() + self._draw.uniform(0.5, 1.5) * _RENEWED_EVERY
                await self._renew()
            else:
                name, ask = self._draw.choices(self._what, self._weights)[0]
                method, path, body = ask(self._world, self._draw)
                headers = {"Authorization": f"Bearer {self._access}"}
                if method != "GET":
                    headers["Idempotency-Key"] = str(uuid4())
                await self._do(name, method, path, headers, body)
            await asyncio.sleep(self._draw.expovariate(1 / think))
        if self._connection is not None:
            self._connection.close()

    async def _renew(self) -> None:
        told = await self._do("renew the token", "POST", "/auth/refresh", {}, {"refresh_token": self._refresh})
        if told is not None:
            self._access, self._refresh = told["access_token"], told["refresh_token"]

    async def _do(self, name: str, method: str, path: str, headers: dict[str, str], body: Any) -> Any:
        """The answer as JSON, or None where all attempts failed. Each attempt that failed is counted."""
        payload = b"" if body is None else json.dumps(body).encode()
        request = http_request(method, f"{self._url}{_API}{path}", headers, payload)
        began = attempt = time.perf_counter()
        while True:
            status, answer = await self._attempt(request)
            if 200 <= status < 300:
                break
            self._tally.statuses[f"{status} {name}"] += 1
            lost = status == 0 or status in (502, 503, 504)
            if not lost or time.perf_counter() - began > _PATIENCE:
                self._tally.failed[name] += 1
                return None
            self._tally.again += 1
            await asyncio.sleep(self._draw.uniform(0.2, 1.0))
            attempt = time.perf_counter()
        self._tally.statuses["success"] += 1
        if self._tally.counting:
            self._tally.seconds[name].append(time.perf_counter() - attempt)
        return json.loads(answer) if answer else {}

    async def _attempt(self, request: bytes) -> tuple[int, bytes]:
        """Status 0: no answer."""
        try:
            if self._connection is None:
                self._connection = await connect(self._url)
            return await asyncio.wait_for(self._connection.send(request), 30)
        except (OSError, TimeoutError):
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return 0, b""


async def _found(system: System, businesses: int, orders: int) -> list[World]:
    """Businesses with a year's orders, goods and people."""
    worlds = []
    for number in range(businesses):
        books = Books(owner_url(system.home), seed=number)
        await asyncio.to_thread(books.fill, orders)
        with psycopg.connect(books.owner, autocommit=True) as connection:  # there is nobody behind their channels
            connection.execute(
                "UPDATE marketplace_account SET status = 'disconnected' WHERE tenant_id = %s", (books.tenant_id,)
            )

        def ids(query: str, books: Books = books) -> list[str]:
            return [str(row["id"]) for row in fetch(books.owner, query, {"t": books.tenant_id})]

        worlds.append(
            World(
                books.tenant_id,
                ids("SELECT id FROM product WHERE tenant_id = %(t)s"),
                ids("SELECT id FROM customer_order WHERE tenant_id = %(t)s ORDER BY placed_at DESC LIMIT 200"),
                ids("SELECT id FROM stock_item WHERE tenant_id = %(t)s"),
                ids("SELECT id FROM variant WHERE tenant_id = %(t)s"),
            )
        )
    return worlds


async def _people(system: System, worlds: list[World], devices: int) -> list[tuple[World, identity.SignedIn]]:
    """Sessions of so many devices, spread over the people of all businesses."""
    values: dict[str, Any] = {}
    tokens = AccessTokens(ServeSettings(**values).jwt_key_bytes())  # of the running system: it is in our environment
    store, passwords = system.store(graph().routing()), Passwords()

    try:
        sessions: list[tuple[World, identity.SignedIn]] = []
        for place, world in enumerate(worlds):
            async with store.unit(world.tenant_id) as unit:
                users = []
                for number, role in enumerate(_PEOPLE):
                    email = f"p{number}-{world.tenant_id}@benchmark.invalid"
                    user_id = await identity.add_user(unit, passwords, email=email, password=_PASSWORD, role=role)
                    world.people.append(email)
                    users.append((user_id, role))
                for number in range(place, devices, len(worlds)):  # as after a password, which takes a core's tenth
                    who = users[number // len(worlds) % len(users)]
                    device = f"phone {number}"
                    sessions.append((world, await identity.open_session(unit, tokens, *who, device)))
        return sessions
    finally:
        passwords.close()
        await store.aclose()


async def _sign_ins(url: str, worlds: list[World], until: float, tally: Tally) -> None:
    """One person a second comes with a password, each another: nobody's throttle is met. Each has a connection of their
    own, and whoever gets no answer while a replica is killed tries again as the next one would."""
    emails = [email for place in range(len(_PEOPLE)) for email in (world.people[place] for world in worlds)]
    number = 0
    while time.monotonic() < until:
        body = json.dumps({"email": emails[number % len(emails)], "password": _PASSWORD}).encode()
        began, status = time.perf_counter(), 0
        with contextlib.suppress(OSError, TimeoutError):
            connection = await connect(url)
            try:
                request = http_request("POST", f"{url}{_API}/auth/login", {}, body)
                status, _ = await asyncio.wait_for(connection.send(request), 30)
            finally:
                connection.close()
        if status == 200 and tally.counting:
            tally.seconds["sign in"].append(time.perf_counter() - began)
        tally.statuses["success" if status == 200 else f"{status} sign in"] += 1
        number += status == 200
        await asyncio.sleep(1)


def _replicas(system: System) -> list[int]:
    return [pid for pid in processes(system) if label(pid).startswith("ray::ServeReplica")]


async def _kill(system: System, every: float, until: float) -> list[float]:
    """SIGKILL for a replica of the API, so often; when it was done."""
    killed = []
    while time.monotonic() + every < until:
        await asyncio.sleep(every)
        if replicas := await asyncio.to_thread(_replicas, system):
            os.kill(replicas[0], signal.SIGKILL)
            killed.append(time.monotonic())
    return killed


async def _watch_memory(system: System, until: float, every: float) -> list[dict[str, float]]:
    """MB (PSS) by process, again and again."""
    seen = []
    while time.monotonic() < until:
        memory = await asyncio.to_thread(lambda: proportional_memory(processes(system)))
        seen.append({name: sum(each) for name, each in memory.items()})
        await asyncio.sleep(min(every, max(0.1, until - time.monotonic())))
    return seen


def measure(
    *, businesses: int, orders: int, devices: int, minutes: float, think: float, replicas: int, kill_every: float
) -> dict[str, Any]:
    """The result object."""
    tally = Tally()
    os.environ["FLIPSYNC_API_REPLICAS"] = str(replicas)
    with temporary_home() as home, running(home) as system:

        async def prepare() -> tuple[list[World], list[tuple[World, identity.SignedIn]]]:
            with saying(f"{businesses} businesses of {orders} orders and {SKUS} products"):
                worlds = await _found(system, businesses, orders)
            with saying(f"{devices} devices sign in"):
                return worlds, await _people(system, worlds, devices)

        async def go() -> dict[str, Any]:
            worlds, sessions = await prepare()
            url = system.api_url
            phones = [Device(url, world, signed, number, tally) for number, (world, signed) in enumerate(sessions)]
            warm = min(30.0, 60 * minutes / 3)
            until = time.monotonic() + warm + 60 * minutes
            with saying(f"{warm + 60 * minutes:.0f} s of it"):
                tasks = [asyncio.create_task(phone.live(think, until)) for phone in phones]
                tasks.append(asyncio.create_task(_sign_ins(url, worlds, until, tally)))
                await asyncio.sleep(warm)
                tally.counting = True
                before = processor_time(processes(system))
                memory = asyncio.create_task(_watch_memory(system, until, max(5.0, minutes)))
                kills = asyncio.create_task(_kill(system, kill_every, until)) if kill_every else None
                began = time.monotonic()
                await asyncio.gather(*tasks)
                seconds = time.monotonic() - began
            used = spent(before, processor_time(processes(system)))
            return {
                "seconds": seconds,
                "processor_share": {who: took / seconds for who, took in used.items() if took > 0},
                "memory_mb": await memory,
                "kills": len(await kills) if kills is not None else 0,
            }

        outcome = asyncio.run(go())
    every = [took for each in tally.seconds.values() for took in each]
    return {
        "devices": devices,
        "replicas": replicas,
        "businesses": businesses,
        "orders_each": orders,
        "think_seconds": think,
        "per_second": len(every) / outcome["seconds"],
        "all": quantiles(every),
        "by_request": {name: quantiles(each) for name, each in sorted(tally.seconds.items())},
        "answers": dict(tally.statuses),
        "sent_again": tally.again,
        "failed_for_good": dict(tally.failed),
        "aim_ms": AIM_MS,
        "required_ms": REQUIRED_MS,
        "as_of": NOW.isoformat(),
        **outcome,
    }


def _growth(memory: list[dict[str, float]]) -> dict[str, tuple[float, float]]:
    """MB in the first and in the last fifth of the run, of what is there all along."""
    part = max(1, len(memory) // 5)
    first, last = memory[:part], memory[-part:]
    names = set.intersection(*(set(each) for each in (*first, *last))) - {"driver"}
    return {name: tuple(sum(each[name] for each in some) / len(some) for some in (first, last)) for name in names}  # type: ignore[misc]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=5.0, help="counted, after a warm-up of up to half a minute")
    parser.add_argument("--think", type=float, default=5.0, help="mean seconds between two requests of a device")
    parser.add_argument("--replicas", type=int, default=1, help="processes of the API")
    parser.add_argument("--kill-every", type=float, default=0.0, help="seconds between two kills of a replica")
    options = parser.parse_args(argv)
    businesses, orders = 20, 2_000
    if options.quick:
        options.devices, options.minutes, options.think, businesses, orders = 10, 0.1, 0.5, 2, 40
    report = Report("api_load")
    report.result = result = measure(
        businesses=businesses,
        orders=orders,
        devices=options.devices,
        minutes=options.minutes,
        think=options.think,
        replicas=options.replicas,
        kill_every=options.kill_every,
    )
    every = result["all"]
    report.row(
        f"{options.devices} devices: requests answered",
        f"{result['per_second']:.0f}/s",
        f"p50 {1e3 * every['p50']:.1f} ms, p95 {1e3 * every['p95']:.1f} ms, p99 {1e3 * every['p99']:.1f} ms,"
        f" worst {1e3 * every['max']:.0f} ms",
    )
    for name, each in result["by_request"].items():
        report.row(
            f"  {name}", f"p95 {1e3 * each['p95']:.1f} ms", f"p50 {1e3 * each['p50']:.1f} ms, {each['n']} of them"
        )
    failed = sum(result["failed_for_good"].values())
    errors = {name: number for name, number in result["answers"].items() if name != "success"}
    report.row("failed for good", str(failed), f"sent again {result['sent_again']}, kills {result['kills']}; {errors}")
    busiest = sorted(result["processor_share"].items(), key=lambda each: -each[1])[:6]
    report.row(
        "processor, cores",
        f"{sum(result['processor_share'].values()):.2f}",
        ", ".join(f"{w} {s:.2f}" for w, s in busiest),
    )
    for name, (first, last) in sorted(_growth(result["memory_mb"]).items(), key=lambda each: -each[1][1])[:6]:
        report.row(f"memory: {name}", f"{last:.0f} MB", f"{last - first:+.1f} MB over the run")
    report.row(
        "aim: p95 of all", f"{1e3 * every['p95']:.1f} ms", f"<{AIM_MS:.0f} ms aimed at, <{REQUIRED_MS:.0f} required"
    )
    report.finish(as_json=options.json)
    slow = 1e3 * every["p95"] >= REQUIRED_MS and not options.quick
    return 1 if failed or (not options.kill_every and errors) or slow else 0


if __name__ == "__main__":
    sys.exit(main())
