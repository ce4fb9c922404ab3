"""Thousands of people who watch live at once, through HAProxy and Ray Serve: memory, fan-out, a killed replica.

    python -m benchmarks.live_sockets [--quick] [--json] [--connections 5000] [--businesses 100] [--events 300]

Every business has as many connections as the next. Each event is written to the journal by a transaction; its latency
is from the end of that transaction's work to the frame in a client, so commit and Redis are in it. Then the replica is
killed (SIGKILL) while events go on: all come back by their resume token, and every event has to have reached every
connection of its business. Last, clients that stop reading while their business is busy: what happens to them, and that
the others do not notice. Clients, books and API share the machine's cores.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import os
import resource
import secrets
import signal
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import orjson

from benchmarks.installation import running, temporary_home
from benchmarks.measuring import Report, quantiles, saying
from benchmarks.processes import label, tree
from flipsync.domain.clock import utc_now
from flipsync.domain.events import SettingsChanged
from flipsync.domain.ids import new_id
from flipsync.runtime.mailbox import RedisWaker
from flipsync.security.tokens import AccessTokens
from flipsync.store import models as m
from flipsync.store.database import Database
from flipsync.store.repositories import identity as rows
from flipsync.store.unit_of_work import Store

_OPENING = 100  # handshakes under way at once
_SECONDS_TO_COME_BACK = 120.0
_SLOW, _FLOOD, _FLOOD_CHARS = 5, 1_500, 8_000


@dataclass
class Business:
    tenant_id: UUID
    user_id: UUID
    token: str = ""


@dataclass
class Seen:
    """When each event (by its mark) left its transaction, and when it reached whom."""

    left: dict[str, float] = field(default_factory=dict)
    delays: list[float] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)


class Watcher(asyncio.Protocol):
    """One client: unmasked text frames in, nothing out after the handshake. Keeps the marks it has seen."""

    def __init__(self, business: Business, netloc: str, seen: Seen) -> None:
        self.business, self._netloc, self._seen = business, netloc, seen
        self.marks: set[str] = set()
        self.last = ""
        self.ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self.resumed: bool | None = None
        self._buffer = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        protocols = ["flipsync.v1", f"bearer.{self.business.token}"]
        if self.last:
            protocols.append(f"resume.{self.last}")
        lines = (
            "GET /api/v1/ws HTTP/1.1",
            f"Host: {self._netloc}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Protocol: {', '.join(protocols)}",
        )
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if not self.ready.done():
            self.ready.set_result(False)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self._buffer.startswith(b"HTTP/1.1 101"):
                self._seen.kinds[self._buffer[9:12].decode(errors="replace")] += 1
                assert self.transport is not None
                self.transport.abort()
                return
            self._upgraded, self._buffer = True, self._buffer[end + 4 :]
        while (frame := self._frame()) is not None:
            opcode, body = frame
            if opcode == 1:
                self._heard(orjson.loads(body))
            elif opcode == 9 and self.transport is not None:  # who does not answer is let go after 20 seconds
                self.transport.write(bytes([0x8A, 0x80 | len(body)]) + bytes(4) + body)  # masked with zeros
            elif opcode == 8:
                self._seen.kinds[f"closed {int.from_bytes(body[:2], 'big')}"] += 1

    def _frame(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, start = buffer[1] & 0x7F, 2
        if length > 125:
            start += 2 if length == 126 else 8
            length = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + length:
            return None
        self._buffer = buffer[start + length :]
        return buffer[0] & 0x0F, buffer[start : start + length]

    def _heard(self, told: dict[str, Any]) -> None:
        self._seen.kinds[told["type"]] += 1
        if told["type"] == "ready":
            self.resumed = told.get("resumed")
            self.ready.set_result(True)
        elif told["type"] == "event":
            self.last = max(self.last, told["event"]["id"])
            mark = told["event"]["payload"]["after"].get("mark", "")
            if mark and mark not in self.marks:
                self.marks.add(mark)
                left = self._seen.left.get(mark)
                if left is not None:
                    self._seen.delays.append(time.perf_counter() - left)

    async def open(self, url: str, *, receive_buffer: int = 0) -> bool:
        """Connect, or connect again from the last event seen."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        self.ready, self._buffer, self._upgraded = loop.create_future(), b"", False
        opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        opened.setblocking(False)
        if receive_buffer:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await loop.sock_connect(opened, (str(parts.hostname), parts.port or 80))
            await loop.create_connection(lambda: self, sock=opened)
            return await asyncio.wait_for(self.ready, 60)
        except (OSError, TimeoutError):
            opened.close()
            return False


async def _found(store: Store, businesses: int, tokens: AccessTokens) -> list[Business]:
    """So many businesses, each with an owner who is signed in."""
    made = []
    for number in range(businesses):
        tenant_id, user_id, session_id = new_id(), new_id(), new_id()
        async with store.unit(tenant_id) as unit:
            await rows.insert_tenant(unit.session, tenant_id, "Benchmark", "USD")
            email = f"{user_id.hex}-{number}@live.example"
            values = {"id": user_id, "tenant_id": tenant_id, "email": email, "password_hash": "x", "role": "owner"}
            await rows.insert_user(unit.session, values)
            ends = utc_now() + timedelta(days=1)
            unit.session.add(m.UserSession(id=session_id, tenant_id=tenant_id, user_id=user_id, expires_at=ends))
        token = tokens.issue(user_id=user_id, tenant_id=tenant_id, role="owner", session_id=session_id)
        made.append(Business(tenant_id, user_id, token))
    return made


async def _tell(store: Store, business: Business, seen: Seen, mark: str, padding: str = "") -> None:
    async with store.unit(business.tenant_id) as unit:
        after = {"mark": mark, "padding": padding}
        unit.emit(SettingsChanged(tenant_id=business.tenant_id, before={}, after=after, by=None))
        await unit.flush()
        seen.left[mark] = time.perf_counter()


async def _open_all(watchers: list[Watcher], url: str) -> int:
    """How many are connected after one try each."""
    gate = asyncio.Semaphore(_OPENING)

    async def one(watcher: Watcher) -> bool:
        async with gate:
            return await watcher.open(url)

    return sum(await asyncio.gather(*[one(each) for each in watchers]))


def _replica() -> int:
    """The process of the API's replica."""
    for pid in tree():
        if label(pid).startswith("ray::") and "Replica" in label(pid):
            return pid
    raise RuntimeError("no replica is up")


def _proportional_bytes(pid: int) -> int:
    """PSS of a process: pages shared with others count in part."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:  # noqa: PTH123 - /proc
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))


def _memory() -> dict[str, int]:
    named = {"replica": _replica()}
    for pid in tree():
        if label(pid) == "haproxy":
            named["haproxy"] = pid
    return {name: _proportional_bytes(pid) for name, pid in named.items()}


async def measure(system: Any, options: argparse.Namespace, report: Report) -> None:
    url = system.api_url
    environment = system.environment
    database = Database(environment["FLIPSYNC_APP_DATABASE_URL"], pool_size=2, name="benchmark")
    store = Store(database, {}, RedisWaker(environment["FLIPSYNC_REDIS_URL"]))
    tokens = AccessTokens(_key(environment["FLIPSYNC_JWT_KEY"]), lifetime=timedelta(hours=2))
    seen = Seen()
    found = report.result
    try:
        with saying("businesses"):
            businesses = await _found(store, options.businesses, tokens)
        netloc = urlsplit(url).netloc
        watchers = [Watcher(businesses[n % len(businesses)], netloc, seen) for n in range(options.connections)]
        empty = _memory()
        with saying("connections"):
            began = time.monotonic()
            opened = await _open_all(watchers, url)
            seconds = time.monotonic() - began
        full = _memory()
        found["connections"] = {"wanted": options.connections, "open": opened, "seconds": seconds}
        found["bytes_per_connection"] = {name: (full[name] - empty[name]) / max(1, opened) for name in full}
        report.row("connections", f"{opened:,} of {options.connections:,}", f"opened in {seconds:.1f} s")
        for name, value in found["bytes_per_connection"].items():
            report.row(f"memory, {name}", f"{value / 1024:.1f} KiB", "a connection (PSS)")
        with saying("events"):
            quiet = found["fan_out"] = await _events(store, businesses, watchers, seen, options.events, "a")
        each = quiet["milliseconds"]
        report.row("fan-out", f"p50 {each['p50']:.0f} ms", f"p99 {each['p99']:.0f} ms, of {each['n']:,.0f} frames")
        report.row("missing frames", f"{quiet['missing']:,}", f"of {quiet['events']:,} events")
        with saying("a killed replica"):
            killed = found["killed"] = await _kill(store, businesses, watchers, seen, url)
        report.row("replica killed", f"{killed['seconds']:.1f} s", f"until {killed['back']:,} are back")
        report.row("missed over it", f"{killed['missing']:,}", "events, of all connections together")
        with saying("slow clients"):
            slow = found["slow"] = await _slow(store, businesses, seen, url)
        report.row("slow clients", str(slow["told"]), f"others: p99 {slow['others_milliseconds']['p99']:.0f} ms")
    finally:
        found["frames"] = dict(seen.kinds)
        found["clients_cpu_seconds"] = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        await store.aclose()


async def _events(
    store: Store, businesses: list[Business], watchers: list[Watcher], seen: Seen, count: int, name: str
) -> dict[str, Any]:
    """One event at a time, ten a second, each to all connections of one business."""
    seen.delays.clear()
    marks: dict[UUID, set[str]] = {each.tenant_id: set() for each in businesses}
    for number in range(count):
        business = businesses[number % len(businesses)]
        mark = f"{name}{number}"
        marks[business.tenant_id].add(mark)
        await _tell(store, business, seen, mark)
        await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    missing = sum(len(marks[w.business.tenant_id] - w.marks) for w in watchers)
    return {"events": count, "missing": missing, "milliseconds": quantiles([each * 1_000 for each in seen.delays])}


async def _kill(
    store: Store, businesses: list[Business], watchers: list[Watcher], seen: Seen, url: str
) -> dict[str, Any]:
    """Everybody has seen something; then the replica dies, and things go on happening while nobody can watch."""
    told = await _events(store, businesses, watchers, seen, len(businesses), "before")
    os.kill(_replica(), signal.SIGKILL)
    began = time.monotonic()
    marks: dict[UUID, set[str]] = {each.tenant_id: set() for each in businesses}
    for round_ in range(3):
        for business in businesses:
            mark = f"away{round_}"
            marks[business.tenant_id].add(mark)
            await _tell(store, business, seen, f"{mark}")
    back, tries = 0, 0
    while back < len(watchers) and time.monotonic() - began < _SECONDS_TO_COME_BACK:
        away = [each for each in watchers if each.transport is None or each.transport.is_closing()]
        if away:
            tries += len(away)
            await _open_all(away, url)
        back = sum(each.transport is not None and not each.transport.is_closing() for each in watchers)
        if back < len(watchers):
            await asyncio.sleep(0.5)
    seconds = time.monotonic() - began
    await asyncio.sleep(5)
    missing = sum(len(marks[w.business.tenant_id] - w.marks) for w in watchers)
    resumed = Counter(str(each.resumed) for each in watchers)
    return {"seconds": seconds, "back": back, "tries": tries, "missing": missing, "resumed": resumed, "before": told}


async def _slow(store: Store, businesses: list[Business], seen: Seen, url: str) -> dict[str, Any]:
    """Of one business, some stop reading while it has much to tell; what they hear afterwards, and the others then."""
    busy, other = businesses[0], businesses[1]
    netloc = urlsplit(url).netloc
    heard = Seen()
    stuck = [Watcher(busy, netloc, heard) for _ in range(_SLOW)]
    for each in stuck:
        await each.open(url, receive_buffer=4_096)
        if each.transport is not None:
            each.transport.pause_reading()
    seen.delays.clear()
    before = _memory()
    for number in range(_FLOOD):
        await _tell(store, busy, seen, "", "x" * _FLOOD_CHARS)
        if number % 50 == 0:
            await _tell(store, other, seen, f"slow{number}")
    held = _memory()
    await asyncio.sleep(35)  # longer than a frame may take
    for each in stuck:
        with contextlib.suppress(AttributeError, RuntimeError):
            assert each.transport is not None
            each.transport.resume_reading()
    await asyncio.sleep(5)
    others = quantiles([each * 1_000 for each in seen.delays] or [0.0])
    growth = held["replica"] - before["replica"]
    return {"told": dict(heard.kinds), "others_milliseconds": others, "replica_grew_bytes": growth}


def _key(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.live_sockets", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--json", action="store_true", dest="as_json")
    parser.add_argument("--connections", type=int, default=5_000)
    parser.add_argument("--businesses", type=int, default=100)
    parser.add_argument("--events", type=int, default=300)
    options = parser.parse_args(arguments)
    if options.quick:
        options.connections, options.businesses, options.events = 100, 10, 20
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    report = Report("live_sockets")
    try:
        with temporary_home() as home, running(home, await_agents=False) as system:
            asyncio.run(measure(system, options, report))
    finally:  # what was measured until something went wrong is told, too
        report.finish(as_json=options.as_json)
    found = report.result
    met = found["connections"]["open"] == options.connections and not found["killed"]["missing"]
    return 0 if met and not found["fan_out"]["missing"] else 1


if __name__ == "__main__":
    sys.exit(main())
