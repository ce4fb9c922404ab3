"""PostgreSQL or Redis cannot be reached for a while: work waits, and nothing is dropped or done twice.

OUTAGE_SECONDS says for how long; a minute is tried by hand, a few seconds in every build.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2
import pytest
from pydantic import SecretStr
from shop import ROUTING, Shop, dollars
from sqlalchemy import select

from agents import ROSTER
from flipsync.connectors.base import AccountConfig, Limiter, Unlimited
from flipsync.connectors.marketplaces.custom.client import CustomConnector
from flipsync.connectors.vault import Vault
from flipsync.domain.channel import Offer
from flipsync.domain.events import ChannelCheckDue
from flipsync.runtime import effects
from flipsync.runtime.carrying_out import CARRIED_OUT
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.effects import EffectWorker
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.mailbox import Limits, Mailbox, RedisWaker
from flipsync.runtime.runner import AgentRunner
from flipsync.sandbox.app import Sandbox, SandboxConfig, build_app
from flipsync.sandbox.buyers import Buyer
from flipsync.services import refunds
from flipsync.services.orders import AccountRef
from flipsync.store.database import Database
from flipsync.store.models import Order, RefundRequest
from flipsync.store.unit_of_work import EFFECTS, Store

SECONDS = float(os.environ.get("OUTAGE_SECONDS", "3"))


class Door:
    """The way to a server, which can be shut: open connections break, new ones are refused."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._port = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def open(self) -> str:
        """The server's URL through this door."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        who, _, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{who}@127.0.0.1:{self._port}"))

    async def shut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        both = {writer, far_writer}
        self._open |= both
        await asyncio.wait(
            [asyncio.create_task(_pump(reader, far_writer)), asyncio.create_task(_pump(far_reader, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        for each in both:
            each.transport.abort()
        self._open -= both


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


class House:
    """All agents and an effect worker, as they run in their actors, behind doors; and a market they sell on."""

    def __init__(self, shop: Shop, sandbox: Sandbox, account: AccountRef, doors: dict[str, Door], sku: str) -> None:
        self.shop, self.sandbox, self.account, self.doors, self.sku = shop, sandbox, account, doors, sku
        self.placed = 0
        self.running: list[asyncio.Task[Any]] = []

    def sell(self, count: int) -> None:
        for _ in range(count):
            with self.sandbox.books.transaction():
                self.sandbox.market.orders.place("custom", self.sku, 1, Buyer(0, 0.0, 1))
            self.placed += 1

    async def look(self) -> None:
        async with self.shop.unit() as unit:
            unit.emit(ChannelCheckDue(account_id=self.account.id, vendor="custom"))

    async def give_back(self) -> int:
        """A refund for every order that has none yet."""
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            query = select(Order.id).outerjoin(RefundRequest, RefundRequest.order_id == Order.id)
            found = list(await session.scalars(query.where(RefundRequest.id.is_(None))))
        for order_id in found:
            async with self.shop.unit() as unit:
                await refunds.request(unit, order_id, amount=dollars(500), reason="late")
        return len(found)

    async def quiet(self, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while True:
            rows = await self.shop.rows(
                """SELECT (SELECT count(*) FROM agent_task WHERE tenant_id = :tenant AND state IN ('pending', 'leased'))
                        + (SELECT count(*) FROM effect WHERE tenant_id = :tenant AND finished_at IS NULL) AS open,
                          (SELECT count(*) FROM customer_order WHERE tenant_id = :tenant) AS orders"""
            )
            if not rows[0].open and rows[0].orders == self.placed:
                return
            assert time.monotonic() < deadline, rows[0]
            await asyncio.sleep(0.1)


@pytest.fixture
async def house(
    make_database: Callable[[], dict[str, str]], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    urls = make_database()
    doors = {"postgres": Door(urls["worker"]), "redis": Door(redis_url)}
    behind = {name: await door.open() for name, door in doors.items()}
    outside = Store(Database(urls["worker"], pool_size=4, name="outside"), ROUTING, RedisWaker(redis_url))
    inside = Store(Database(behind["postgres"], pool_size=8, name="inside"), ROUTING, RedisWaker(behind["redis"]))
    shop = await Shop(outside).found()
    sandbox = Sandbox(SandboxConfig(seed=7), "http://market.test")
    row = sandbox.credentials()["custom"]
    keys, where = {"token": SecretStr(row["token"])}, {"base_url": row["base_url"]}
    transport = httpx2.ASGITransport(app=build_app(sandbox))

    def connect(
        config: AccountConfig | None, credentials: object, limiter: Limiter, key: str, vault: Vault | None = None
    ) -> CustomConnector:
        told = {"vendor": "custom", "currency": "USD", "settle_seconds": 0.0, "requests_per_second": 100.0, **where}
        return CustomConnector(AccountConfig.model_validate(told), keys, limiter, key, transport=transport)

    monkeypatch.setattr(effects, "connect", connect)
    async with sandbox.running():
        account = await shop.account("custom")
        goods = await shop.variant(units=60)
        await shop.listing(account, goods, units=60)
        async with connect(None, None, Unlimited(), "t") as connector:
            connector.price_guard = None
            state = await connector.publish(
                Offer(sku=goods.sku, title="A teapot", price=dollars(2999), quantity=0), "first"
            )
            await connector.set_quantity(state.external_id, 60, "units")
        graph = Graph(ROSTER, CARRIED_OUT)
        path = DecisionPath(
            graph, Gate(shop.firewall, [agent() for agent in ROSTER if agent.spec.ecosystem == "governance"])
        )
        worker = EffectWorker(
            inside,
            shop.box,
            Limits(behind["redis"]),
            shop.firewall,
            Mailbox(behind["redis"], [EFFECTS]),
            slot="effects-0",
        )
        runners = [
            AgentRunner(agent(), inside, path, Mailbox(behind["redis"], [name])) for name, agent in graph.agents.items()
        ]
        house = House(shop, sandbox, account, doors, goods.sku)
        house.running = [asyncio.create_task(each.run()) for each in (worker, *runners)]
        yield house
        for task in house.running:
            task.cancel()
        await asyncio.gather(*house.running, return_exceptions=True)
        await worker.aclose()
    sandbox.books.close()
    await inside.aclose()
    await outside.aclose()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("away", [("postgres",), ("redis",), ("postgres", "redis")], ids="+".join)
async def test_work_waits_for_what_is_away_and_nothing_is_dropped(house: House, away: tuple[str, ...]) -> None:
    house.sell(6)
    await house.look()
    await house.quiet()
    assert await house.give_back() == 6
    await asyncio.sleep(0.15)  # some of it is under way
    for name in away:
        await house.doors[name].shut()
    house.sell(6)
    await house.look()
    await asyncio.sleep(SECONDS)
    assert [task for task in house.running if task.done()] == [], "nobody gave up"
    if "postgres" in away:
        rows = await house.shop.rows("SELECT count(*) AS n FROM customer_order WHERE tenant_id = :tenant")
        assert rows[0].n == 6, "it was away indeed"
    for name in away:
        await house.doors[name].open()
    await house.quiet()
    assert await house.give_back() == 6
    await house.quiet()
    there = {f"o{order.id}": order for order in house.sandbox.books.orders("1 ORDER BY id", ())}
    assert len(there) == 12
    assert [order.refunded_minor for order in there.values()] == [500] * 12
    assert [len(order.refunds) for order in there.values()] == [1] * 12
    states = await house.shop.rows("SELECT DISTINCT state FROM refund_request WHERE tenant_id = :tenant")
    assert [row.state for row in states] == ["issued"]
    left = await house.shop.rows("SELECT count(*) AS n FROM effect WHERE tenant_id = :tenant AND state = 'unknown'")
    assert left[0].n == 0
    dead = await house.shop.rows("SELECT count(*) AS n FROM agent_task WHERE tenant_id = :tenant AND state = 'failed'")
    assert dead[0].n == 0
