"""Several actors of one agent: whose tenants are whose, drained, begun anew; and each fact is decided once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, ClassVar
from uuid import UUID

import pytest
from pydantic import ValidationError
from shop import Shop
from sqlalchemy import text

from flipsync.domain.commands import PauseAccount
from flipsync.domain.decisions import Decision
from flipsync.domain.errors import InvalidInput, NotFound, Unavailable
from flipsync.domain.events import ApprovalAnswered, DecisionEscalated, OfferChanged
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Agent, AgentSpec, Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.mailbox import EVERYBODY, Mailbox, RedisWaker
from flipsync.runtime.rolling import Restarted, Rolling
from flipsync.runtime.runner import AgentRunner, SupersededError
from flipsync.settings import RuntimeSettings
from flipsync.starting import replicas_wanted
from flipsync.store.models import AgentStatus
from flipsync.store.repositories import lives
from flipsync.store.repositories import tasks as task_rows
from flipsync.store.repositories.lives import WHOLE, Shard
from flipsync.store.unit_of_work import Store, Subscription

NAME = "test_replica"
Behaviour = Callable[[OfferChanged], Awaitable[None]]


async def at_once(event: OfferChanged) -> None:
    """Nothing is waited for."""


class Boss(Agent[DecisionEscalated | ApprovalAnswered]):
    """The superior of the agent under test."""

    spec = AgentSpec(name="test_replica_boss", ecosystem="executive", reports_to=None)

    async def decide(self, event: DecisionEscalated | ApprovalAnswered, ctx: Context) -> Decision[PauseAccount]:
        return Decision.hold("let it be")


class Worker(Agent[OfferChanged]):
    """Holds, when the test lets it."""

    spec = AgentSpec(name=NAME, ecosystem="market", reports_to="test_replica_boss", batch=4)
    behaviour: ClassVar[Behaviour] = staticmethod(at_once)

    async def decide(self, event: OfferChanged, ctx: Context) -> Decision[PauseAccount]:
        await type(self).behaviour(event)
        return Decision.hold("fine")


class _Loose(Graph):
    """It need not handle every event there is."""

    def _faults(self, agents: Any) -> list[str]:
        return [fault for fault in super()._faults(agents) if "nobody handles" not in fault]


@pytest.fixture
async def house(queues: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    Worker.behaviour = staticmethod(at_once)
    monkeypatch.setattr(queues, "routing", {"OfferChanged": [Subscription(NAME)]})
    waker = RedisWaker(redis_url)
    monkeypatch.setattr(queues, "waker", waker)
    made = House(queues, redis_url, waker)
    yield made
    await made.close()
    await waker.aclose()


class House:
    """Businesses, and replicas that are begun again whenever they end in good order, as a supervisor does."""

    def __init__(self, store: Store, redis_url: str, waker: RedisWaker) -> None:
        self.store, self.redis_url = store, redis_url
        self.rolling = Rolling(store.database, waker, seconds=10)
        self.tasks: list[asyncio.Task[None]] = []
        self.mailboxes: list[Mailbox] = []
        self.told: Counter[UUID] = Counter()

    async def businesses(self, count: int) -> list[Shop]:
        return [await Shop(self.store).found() for _ in range(count)]

    async def tell(self, shops: list[Shop], each: int = 1) -> None:
        for shop in shops:
            async with shop.unit() as unit:
                for _ in range(each):
                    fact = OfferChanged(listing_id=new_id(), account_id=new_id(), vendor="custom", cause="sale")
                    self.told[unit.emit(fact)] += 1

    def replica(self, shard: Shard = WHOLE, mailbox: Mailbox | None = None) -> AgentRunner:
        path = DecisionPath(_Loose([Boss, Worker]), Gate(Shop(self.store).firewall))
        return AgentRunner(Worker(), self.store, path, mailbox, shard=shard)

    def live(self, shard: Shard = WHOLE) -> None:
        async def again() -> None:
            while True:
                mailbox = Mailbox(self.redis_url, [NAME], shard.serves)
                self.mailboxes.append(mailbox)
                await self.replica(shard, mailbox).run()

        self.tasks.append(asyncio.create_task(again()))

    async def rows(self) -> list[AgentStatus]:
        async with self.store.database.unbound() as session:
            return list(await lives.statuses(session, [NAME]))

    async def somebody_waits(self) -> bool:
        """Whether a transaction waits for another's end."""
        query = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        async with self.store.database.unbound() as session:
            return bool(await session.scalar(query))

    async def until_ready(self, count: int) -> None:
        async with asyncio.timeout(10):
            while [row.state for row in await self.rows()] != ["ready"] * count:
                await asyncio.sleep(0.01)

    async def decisions(self, shops: list[Shop]) -> Counter[UUID]:
        found: Counter[UUID] = Counter()
        for shop in shops:
            found.update(row.event_id for row in await shop.rows("SELECT event_id FROM agent_decision"))
        return found

    async def until_decided(self, shops: list[Shop], count: int) -> None:
        async with asyncio.timeout(20):
            while (await self.decisions(shops)).total() < count:
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for mailbox in self.mailboxes:
            await mailbox.aclose()


async def test_each_tenant_is_served_by_one_replica_and_a_backlog_stops_no_other(house: House) -> None:
    shops = await house.businesses(7)
    await house.tell(shops, 3)
    served: dict[int, set[UUID]] = {}
    for index in range(3):
        shard = Shard(index, 3)
        async with house.store.database.unbound() as session:
            epoch = await lives.begin_life(session, NAME, 1, shard)
        async with house.store.database.queue() as session:
            claim = await task_rows.claim(session, NAME, epoch=epoch, limit=64, lease_seconds=30, shard=shard)
        served[index] = {task.tenant_id for task in claim.tasks}
        assert len(claim.tasks) == 3 * len(served[index]), "all there is of each"
        assert all(shard.serves(tenant_id) for tenant_id in served[index])
    assert sum(map(len, served.values())) == len(set().union(*served.values())) == len(shops)


async def test_when_tenants_are_shared_out_otherwise_what_is_under_way_counts_once(house: House) -> None:
    """One replica is still deciding when two begin: it can complete nothing, and claims nothing more."""
    shops = await house.businesses(4)
    await house.tell(shops, 2)
    going, go_on = asyncio.Event(), asyncio.Event()

    async def slow(event: OfferChanged) -> None:
        going.set()
        await go_on.wait()

    Worker.behaviour = staticmethod(slow)
    whole = house.replica()
    await whole.begin()
    under_way = asyncio.create_task(whole.step())
    await going.wait()
    Worker.behaviour = staticmethod(at_once)
    halves = [house.replica(Shard(index, 2)) for index in range(2)]
    await halves[1].begin()
    go_on.set()
    await under_way
    assert await house.decisions(shops) == Counter(), "it may have decided what the other is at now"
    with pytest.raises(SupersededError):
        await whole.step()
    await halves[0].begin()
    assert [(row.replica, row.replicas, row.state) for row in await house.rows()] == [(0, 2, "ready"), (1, 2, "ready")]
    while sum([await half.step() for half in halves]):
        pass
    assert await house.decisions(shops) == house.told
    again = house.replica()
    await again.begin()
    assert [(row.replica, row.replicas) for row in await house.rows()] == [(0, 1)], "and back: the second is gone"
    for half in halves:
        with pytest.raises(SupersededError):
            await half.step()


async def test_a_life_begins_only_between_the_commits_of_earlier_ones(house: House) -> None:
    """Else a decision could be committed while the next life decides of the same tenant."""
    (shop,) = await house.businesses(1)
    await house.tell([shop])
    async with house.store.database.unbound() as session:
        epoch = await lives.begin_life(session, NAME, 1)
    async with house.store.database.queue() as session:
        claim = await task_rows.claim(session, NAME, epoch=epoch, limit=1, lease_seconds=30)

    async def next_life() -> int:
        async with house.store.database.unbound() as session:
            return await lives.begin_life(session, NAME, 1)

    async with house.store.unit(shop.tenant_id) as unit:
        assert await task_rows.complete(unit.session, NAME, [claim.tasks[0].id], epoch) == {claim.tasks[0].id}
        coming = asyncio.create_task(next_life())
        async with asyncio.timeout(10):
            while not await house.somebody_waits():
                assert not coming.done()
                await asyncio.sleep(0.01)
    assert await coming == epoch + 1
    async with house.store.unit(shop.tenant_id) as unit:
        assert await task_rows.complete(unit.session, NAME, [claim.tasks[0].id], epoch) == set()


async def test_who_is_drained_finishes_what_it_holds_and_takes_nothing_until_resumed(house: House) -> None:
    shops = await house.businesses(2)
    going, go_on = asyncio.Event(), asyncio.Event()

    async def slow(event: OfferChanged) -> None:
        going.set()
        await go_on.wait()

    Worker.behaviour = staticmethod(slow)
    house.live()
    await house.until_ready(1)
    await house.tell(shops[:1])
    await going.wait()
    draining = asyncio.create_task(house.rolling.drain([NAME]))
    while not (await house.rows())[0].draining:
        await asyncio.sleep(0.01)
    await house.tell(shops[1:], 5)
    assert not draining.done(), "it is not done with what it holds"
    go_on.set()
    await draining
    assert [row.state for row in await house.rows()] == ["drained"]
    assert (await house.decisions(shops)).total() == 1
    await house.rolling.restart([NAME], lambda _: None)
    async with asyncio.timeout(10):
        while (await house.rows())[0].state != "drained":
            await asyncio.sleep(0.01)
    assert (await house.decisions(shops)).total() == 1, "the wish outlives a life"
    await house.rolling.resume([NAME])
    await house.until_decided(shops, 6)
    assert await house.decisions(shops) == house.told


async def test_replicas_begin_anew_one_after_another_and_nothing_is_lost_or_decided_twice(house: House) -> None:
    shops = await house.businesses(4)
    for index in range(2):
        house.live(Shard(index, 2))
    await house.until_ready(2)
    before = {row.replica: row.epoch for row in await house.rows()}
    told: list[Restarted] = []
    ended = asyncio.Event()

    async def trade() -> None:
        while not ended.is_set():
            await house.tell(shops, 5)
            await asyncio.sleep(0.01)

    trading = asyncio.create_task(trade())
    for _ in range(2):
        await house.rolling.restart([NAME], told.append)
    ended.set()
    await trading
    await house.until_decided(shops, house.told.total())
    assert [each.replica for each in told] == [0, 1, 0, 1] and {each.replicas for each in told} == {2}
    assert all(row.epoch > before[row.replica] for row in await house.rows())
    assert await house.decisions(shops) == house.told


async def test_what_cannot_be_done_is_said(house: House) -> None:
    with pytest.raises(NotFound, match="no agent nobody"):
        await house.rolling.drain(["nobody"])
    async with house.store.database.unbound() as session:
        await lives.begin_life(session, NAME, 1)  # and then it is not there to obey
    hasty = Rolling(house.store.database, house.store.waker, seconds=0.1)
    for ask in (hasty.drain([NAME]), hasty.restart([NAME], lambda _: None)):
        with pytest.raises(Unavailable, match=NAME):
            await ask
    async with house.store.database.unbound() as session:
        await lives.begin_life(session, NAME, 1)
    (row,) = await house.rows()
    assert row.draining and not row.restarting, "a new life is what was asked for; the rest still is"
    await hasty.resume([NAME])


async def test_a_replica_is_woken_for_its_own_tenants_and_for_everybody(redis_url: str) -> None:
    tenants = [new_id() for _ in range(20)]
    shard = Shard(0, 2)
    mailbox, waker = Mailbox(redis_url, ["shards"], shard.serves), RedisWaker(redis_url)
    mine = next(tenant for tenant in tenants if shard.serves(tenant))
    other = next(tenant for tenant in tenants if not shard.serves(tenant))
    async with asyncio.timeout(10):
        while not await mailbox.wait(0.05):
            continue  # it rings once it listens
    for tenant, rung in ((other, False), (mine, True), (EVERYBODY, True), (other, False)):
        await waker.wake(frozenset({"shards"}), tenant, [])
        assert await mailbox.wait(0.3) is rung
    await mailbox.aclose()
    await waker.aclose()


def test_how_many_replicas_is_told_for_all_and_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(replicas: str) -> RuntimeSettings:
        keys = dict.fromkeys(("worker_database_url", "redis_url", "secret_key", "firewall_key"), "x")
        monkeypatch.setenv("FLIPSYNC_REPLICAS", replicas)
        return RuntimeSettings.model_validate(keys)

    given: list[tuple[str, int, int]] = [("", 1, 1), ("3", 3, 3), ("2, pricing=4", 4, 2), ("pricing=2", 2, 1)]
    for words, pricing, listing in given:
        told = settings(words)
        assert (told.replicas_of("pricing"), told.replicas_of("listing")) == (pricing, listing)
        assert replicas_wanted(["pricing", "listing"]) == pricing + listing
    for wrong in ("0", "many", "pricing=", "65", "pricing=-1"):
        with pytest.raises(InvalidInput, match="FLIPSYNC_REPLICAS"):
            monkeypatch.setenv("FLIPSYNC_REPLICAS", wrong)
            replicas_wanted(["pricing"])
        with pytest.raises(ValidationError):
            settings(wrong)
    monkeypatch.setenv("FLIPSYNC_REPLICAS", "nobody=2")
    with pytest.raises(InvalidInput, match="no agent nobody"):
        replicas_wanted(["pricing"])
