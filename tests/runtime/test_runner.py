"""An agent at work: claiming, fencing, poison, and the promise that deciding changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast
from uuid import UUID

import pytest
from shop import Shop
from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.commands import AskOwner, PauseAccount, PullOrders
from flipsync.domain.decisions import Decision
from flipsync.domain.events import (
    ApprovalAnswered,
    ChannelCheckDue,
    DecisionEscalated,
    Event,
    OfferChanged,
)
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Agent, AgentSpec, Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.runner import AgentRunner
from flipsync.services.desk import Services
from flipsync.services.reading_page import PageRequest
from flipsync.services.set_aside import SetAsideFilter, list_set_aside, release
from flipsync.store import round_trip
from flipsync.store.models import StockItem
from flipsync.store.reading import Asked, Rows
from flipsync.store.repositories import lives
from flipsync.store.repositories import tasks as task_rows
from flipsync.store.unit_of_work import Store, Subscription

Behaviour = Callable[[OfferChanged, Context], Awaitable[Decision[Any]]]


async def hold(event: OfferChanged, ctx: Context) -> Decision[Any]:
    return Decision.hold("nothing to do")


class Boss(Agent[DecisionEscalated | ApprovalAnswered]):
    """The superior of the agent under test."""

    spec = AgentSpec(name="test_boss", ecosystem="executive", reports_to=None)

    async def decide(self, event: DecisionEscalated | ApprovalAnswered, ctx: Context) -> Decision[AskOwner]:
        return Decision.hold("let it be")


class Worker(Agent[OfferChanged]):
    """Does what the test says."""

    spec = AgentSpec(name="test_worker", ecosystem="market", reports_to="test_boss", batch=8)
    behaviour: ClassVar[Behaviour] = staticmethod(hold)
    seen: ClassVar[list[UUID]] = []

    async def decide(self, event: OfferChanged, ctx: Context) -> Decision[PullOrders | PauseAccount]:
        self.seen.append(event.listing_id)
        return await type(self).behaviour(event, ctx)


class _Loose(Graph):
    """A graph of test agents: it need not handle every event there is."""

    def _faults(self, agents: Any) -> list[str]:
        return [fault for fault in super()._faults(agents) if "nobody handles" not in fault]


@pytest.fixture(autouse=True)
def calm() -> None:
    Worker.behaviour = staticmethod(hold)
    Worker.seen = []


@pytest.fixture
def listening(queues: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store, with one agent that wants every change of an offer."""
    monkeypatch.setattr(queues, "routing", {"OfferChanged": [Subscription("test_worker")]})
    return queues


def behind(ctx: Context) -> AsyncSession:
    """The transaction behind the desk. An agent is not given it, and is none that takes it."""
    with pytest.raises(AttributeError):
        ctx.services.session  # noqa: B018
    session: AsyncSession = cast(Any, ctx.services)._services.session
    return session


def runner(shop: Shop) -> AgentRunner:
    return AgentRunner(Worker(), shop.store, DecisionPath(_Loose([Boss, Worker]), Gate(shop.firewall)))


async def tell(shop: Shop, count: int = 1, *, urgent: bool = False) -> list[UUID]:
    """`count` facts for the agent; returns the listings they name, in order."""
    listings = [new_id() for _ in range(count)]
    async with shop.unit() as unit:
        for listing in listings:
            unit.emit(OfferChanged(listing_id=listing, account_id=new_id(), vendor="custom", cause="sale"))
    return listings


async def begun(shop: Shop) -> int:
    """A life of the agent; its epoch."""
    async with shop.store.database.unbound() as session:
        return await lives.begin_life(session, "test_worker", 1)


async def states(shop: Shop) -> list[str]:
    return [row.state for row in await shop.rows("SELECT state FROM agent_task WHERE tenant_id = :tenant ORDER BY id")]


async def test_every_task_is_decided_once_in_order_and_on_record(listening: Store, shop: Shop) -> None:
    listings = await tell(shop, 5)
    agent = runner(shop)
    await agent.begin()
    assert await agent.step() == 5
    assert await agent.step() == 0
    assert Worker.seen == listings
    assert await states(shop) == ["done"] * 5
    rows = await shop.rows(
        "SELECT d.agent, d.state, d.rationale, e.subject_id FROM agent_decision d JOIN event e ON e.id = d.event_id"
    )
    assert sorted(row.subject_id for row in rows) == sorted(listings)
    assert {(row.agent, row.state, row.rationale) for row in rows} == {("test_worker", "held", "nothing to do")}


async def test_a_new_life_takes_over_at_once_and_the_old_one_cannot_complete(listening: Store, shop: Shop) -> None:
    await tell(shop)
    old, new = runner(shop), runner(shop)
    await old.begin()
    decided_by: list[str] = []
    both_in = asyncio.Event()

    async def slow(event: OfferChanged, ctx: Context) -> Decision[Any]:
        mine = "old" if not decided_by else "new"
        decided_by.append(mine)
        if mine == "old":
            await both_in.wait()
        return Decision.hold(f"by the {mine} life")

    Worker.behaviour = staticmethod(slow)
    first = asyncio.create_task(old.step())
    while not decided_by:
        await asyncio.sleep(0.005)
    await new.begin()
    assert await new.step() == 1
    both_in.set()
    await first
    assert decided_by == ["old", "new"]
    assert [row.rationale for row in await shop.rows("SELECT rationale FROM agent_decision")] == ["by the new life"]
    assert await states(shop) == ["done"]


async def test_two_tasks_of_one_life_are_not_claimed_twice(listening: Store, shop: Shop) -> None:
    await tell(shop, 6)
    epoch = await begun(shop)

    async def claim() -> list[UUID]:
        async with shop.store.database.unbound() as session:
            found = await task_rows.claim(session, "test_worker", epoch=epoch, limit=4, lease_seconds=30)
            return [task.id for task in found.tasks]

    first, second = await asyncio.gather(claim(), claim())
    assert not set(first) & set(second)
    assert len(first) + len(second) == 6
    assert await claim() == []


async def test_an_expired_lease_is_claimed_again(listening: Store, shop: Shop) -> None:
    await tell(shop)
    epoch = await begun(shop)
    attempts = []
    for lease in (0.01, 30.0):
        async with shop.store.database.unbound() as session:
            found = await task_rows.claim(session, "test_worker", epoch=epoch, limit=4, lease_seconds=lease)
        attempts.append(found.tasks[0].attempts)
        await asyncio.sleep(0.03)
    assert attempts == [1, 2]


async def test_a_poison_event_is_set_aside_after_five_tries_and_stops_nobody(listening: Store, shop: Shop) -> None:
    listings = await tell(shop, 4)
    poison = listings[1]

    async def choke(event: OfferChanged, ctx: Context) -> Decision[Any]:
        if event.listing_id == poison:
            raise ZeroDivisionError("cannot digest this")
        return Decision.hold("fine")

    Worker.behaviour = staticmethod(choke)
    agent = runner(shop)
    await agent.begin()
    for _ in range(task_rows.MAX_ATTEMPTS):
        await agent.step()
        async with shop.store.database.unbound() as session:  # its pause is over
            await session.execute(text("UPDATE agent_task SET not_before = now() WHERE state = 'pending'"))
    assert await states(shop) == ["done", "failed", "done", "done"]
    error = (await shop.rows("SELECT error, attempts FROM agent_task WHERE tenant_id = :tenant AND state = 'failed'"))[
        0
    ]
    assert error.error == "ZeroDivisionError: cannot digest this"
    assert error.attempts == task_rows.MAX_ATTEMPTS
    assert Worker.seen.count(poison) == task_rows.MAX_ATTEMPTS
    assert len(await shop.rows("SELECT 1 FROM agent_decision")) == 3
    assert await agent.step() == 0


async def test_a_failed_task_waits_before_it_is_tried_again(listening: Store, shop: Shop) -> None:
    await tell(shop)

    async def fail(event: OfferChanged, ctx: Context) -> Decision[Any]:
        raise RuntimeError("not now")

    Worker.behaviour = staticmethod(fail)
    agent = runner(shop)
    await agent.begin()
    await agent.step()
    assert await agent.step() == 0
    async with shop.store.database.queue() as session:
        claim = await task_rows.claim(session, "test_worker", epoch=agent._epoch, limit=4, lease_seconds=30)
    assert claim.tasks == [] and claim.due is not None and 0 < claim.due <= 0.5


async def test_an_unknown_event_type_is_set_aside_like_poison(
    listening: Store, shop: Shop, as_owner: Callable[..., None]
) -> None:
    await tell(shop)
    strange = new_id()
    async with shop.unit() as unit:
        await unit.session.execute(
            text(
                "INSERT INTO event (id, tenant_id, type, subject_kind, subject_id, payload, occurred_at, recorded_at,"
                " correlation_id, traceparent) SELECT :id, tenant_id, 'MoonLanded', 'moon', :id, '{}', now(), now(),"
                " :id, '' FROM event LIMIT 1"
            ),
            {"id": strange},
        )
    as_owner("UPDATE agent_task SET event_id = :id WHERE tenant_id = :tenant", id=strange, tenant=shop.tenant_id)
    agent = runner(shop)
    await agent.begin()
    assert await agent.step() == 1
    assert "MoonLanded" in (await shop.rows("SELECT error FROM agent_task WHERE tenant_id = :tenant"))[0].error


async def test_one_decision_that_cannot_be_written_does_not_take_the_batch_with_it(
    listening: Store, shop: Shop
) -> None:
    listings = await tell(shop, 4)

    async def spoil(event: OfferChanged, ctx: Context) -> Decision[Any]:
        decision: Decision[Any] = Decision.hold("\0" if event.listing_id == listings[2] else "fine")
        return decision  # PostgreSQL takes no NUL in a text

    Worker.behaviour = staticmethod(spoil)
    agent = runner(shop)
    await agent.begin()
    await agent.step()
    assert await states(shop) == ["done", "done", "pending", "done"]
    assert len(await shop.rows("SELECT 1 FROM agent_decision")) == 3


async def test_released_work_is_decided_on(listening: Store, shop: Shop) -> None:
    await tell(shop)

    async def fail(event: OfferChanged, ctx: Context) -> Decision[Any]:
        raise RuntimeError("never")

    Worker.behaviour = staticmethod(fail)
    agent = runner(shop)
    await agent.begin()
    tries = "UPDATE agent_task SET attempts = 4, not_before = now() WHERE tenant_id = :tenant"
    async with shop.unit() as unit:
        await unit.session.execute(text(tries), {"tenant": shop.tenant_id})
    await agent.step()
    assert await states(shop) == ["failed"]
    async with shop.store.reader(shop.tenant_id) as session:
        (row,) = (await list_set_aside(session, PageRequest(), SetAsideFilter())).items
    assert (row.agent, row.event, row.attempts) == ("test_worker", "OfferChanged", 5) and "never" in row.error
    Worker.behaviour = staticmethod(hold)
    async with shop.unit() as unit:
        assert (await release(unit, row.id)).agent == "test_worker"
    assert unit.wake == {"test_worker"}
    assert await agent.step() == 1
    assert await states(shop) == ["done"]


class Bell:
    """A mailbox that rings when the test says so."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    def heard(self) -> None:
        self._rung.clear()

    async def wait(self, seconds: float | None = None) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), seconds)
        self._rung.clear()


async def test_facts_that_come_thick_are_decided_on_together_and_one_alone_at_once(
    listening: Store, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "spec", replace(Worker.spec, pace=0.4))
    bell, agent = Bell(), runner(shop)
    agent._mailbox = bell  # type: ignore[assignment]
    clock = asyncio.get_running_loop().time

    async def tell_and_wait(count: int) -> float:
        began, wanted = clock(), len(Worker.seen) + count
        for _ in range(count):
            await tell(shop)
            bell.ring()
        async with asyncio.timeout(8):
            while "pending" in (found := await states(shop)) or "leased" in found or len(Worker.seen) < wanted:
                await asyncio.sleep(0.005)
        return clock() - began

    work = asyncio.create_task(agent.run())
    try:
        await asyncio.sleep(0.6)  # it has looked for work and found none
        await tell_and_wait(1)
        gathered = await tell_and_wait(3)
    finally:
        work.cancel()
    decided = await shop.rows("SELECT xmin::text AS written FROM agent_decision ORDER BY id")
    assert len(decided) == 4
    assert decided[0].written != decided[1].written, "the first did not wait for the others"
    assert len({row.written for row in decided[1:]}) == 1
    assert gathered > 0.1


async def test_a_batch_is_read_at_once_however_many_it_holds(listening: Store, shop: Shop) -> None:
    engine = shop.store.database.engine.sync_engine
    counted: list[str] = []

    def count(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        counted.append(statement)

    async def statements(items: int) -> int:
        goods = [await shop.variant(units=3) for _ in range(items)]
        async with shop.store.reader(shop.tenant_id) as session:
            services = Services(session, shop.tenant_id, shop.store.clock.now())
            services.expect(each.stock_item_id for each in goods)
            counted.clear()
            pictures = [await services.stock.picture(each.stock_item_id) for each in goods]
            assert [picture.available for picture in pictures if picture] == [3] * items
            assert await services.stock.picture(new_id()) is None, "nobody expected this one"
        return len(counted)

    event.listen(engine, "before_cursor_execute", count)
    try:
        assert await statements(2) == await statements(6) == 3, "settings, all expected items, and the other one"
    finally:
        event.remove(engine, "before_cursor_execute", count)


async def test_a_fact_that_needs_nothing_done_takes_three_round_trips(
    listening: Store, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim; its fact read; and what was decided written, which ends the reading. More come with more questions."""
    exchange, trips = round_trip.exchange, 0

    async def counted(connection: Connection, steps: Sequence[Asked]) -> list[Rows]:
        nonlocal trips
        trips += 1
        return await exchange(connection, steps)

    await tell(shop, 2)
    agent = runner(shop)
    await agent.begin()
    monkeypatch.setattr(round_trip, "exchange", counted)
    others: list[str] = []
    event.listen(
        shop.store.database.engine.sync_engine, "before_cursor_execute", lambda _c, _k, said, *_: others.append(said)
    )
    assert await agent.step() == 2
    assert (trips, others) == (3, [])
    assert await states(shop) == ["done"] * 2
    rows = await shop.rows("SELECT count(*) AS n FROM agent_decision WHERE tenant_id = :tenant")
    assert rows[0].n == 2


@pytest.mark.parametrize("how", ["raw sql", "unit of work"])
async def test_an_agent_that_tries_to_write_is_stopped_by_the_database(listening: Store, shop: Shop, how: str) -> None:
    goods = await shop.variant(units=3)
    await tell(shop, 2)

    async def cheat(event: OfferChanged, ctx: Context) -> Decision[Any]:
        if how == "raw sql":
            await behind(ctx).execute(text("UPDATE variant SET price_minor = 1"))
        else:
            item = await behind(ctx).get_one(StockItem, goods.stock_item_id)
            item.mode = "pooled"
            await behind(ctx).flush()
        return Decision.hold("nobody saw")

    Worker.behaviour = staticmethod(cheat)
    agent = runner(shop)
    await agent.begin()
    await agent.step()
    assert await states(shop) == ["pending", "pending"]
    assert (
        "read-only transaction" in (await shop.rows("SELECT error FROM agent_task WHERE tenant_id = :tenant"))[0].error
    )
    assert (await shop.rows("SELECT price_minor FROM variant"))[0].price_minor == 2999
    assert (await shop.item(goods)).mode == "escrow"


async def test_an_agents_failed_query_does_not_spoil_its_neighbours(listening: Store, shop: Shop) -> None:
    listings = await tell(shop, 3)

    async def clumsy(event: OfferChanged, ctx: Context) -> Decision[Any]:
        if event.listing_id == listings[0]:
            await behind(ctx).execute(text("SELECT 1 / 0"))
        return Decision.hold(f"{len(await ctx.services.accounts.all())} accounts")

    Worker.behaviour = staticmethod(clumsy)
    agent = runner(shop)
    await agent.begin()
    await agent.step()
    assert await states(shop) == ["pending", "done", "done"]


async def test_tasks_of_several_tenants_are_kept_apart(listening: Store, shop: Shop) -> None:
    other = await Shop(listening).found()
    await other.account(name="theirs")
    for each in (shop, other):
        await tell(each, 2)
    seen: dict[UUID, int] = {}

    async def look(event: OfferChanged, ctx: Context) -> Decision[Any]:
        seen[ctx.tenant_id] = len(await ctx.services.accounts.all())
        return Decision.hold("looked")

    Worker.behaviour = staticmethod(look)
    agent = runner(shop)
    await agent.begin()
    assert await agent.step() == 4
    assert seen == {shop.tenant_id: 0, other.tenant_id: 1}


async def test_an_agent_only_hears_what_concerns_its_vendors_and_itself() -> None:
    due = ChannelCheckDue(account_id=new_id(), vendor="woocommerce")
    assert Subscription("woo", frozenset({"woocommerce"})).wants(due)
    assert not Subscription("custom", frozenset({"custom"})).wants(due)
    assert Subscription("any").wants(due)
    up: Event = DecisionEscalated(decision_id=new_id(), from_agent="a", to_agent="market", reason="")
    assert Subscription("market").wants(up)
    assert not Subscription("executive").wants(up)


async def test_the_trace_and_the_chain_of_causes_travel_with_the_decision(listening: Store, shop: Shop) -> None:
    account = await shop.account()
    await tell(shop)

    async def act(event: OfferChanged, ctx: Context) -> Decision[Any]:
        return Decision.propose(PullOrders(account_id=account.id), why="look")

    Worker.behaviour = staticmethod(act)
    agent = runner(shop)
    await agent.begin()
    await agent.step()
    row = (
        await shop.rows(
            "SELECT e.id = d.event_id AS caused, e.correlation_id = d.correlation_id AS same,"
            " f.correlation_id = d.correlation_id AS kept, f.key LIKE d.id || ':%' AS keyed"
            " FROM event e JOIN agent_decision d ON d.event_id = e.id JOIN proposal p ON p.decision_id = d.id"
            " JOIN effect f ON f.proposal_id = p.id"
        )
    )[0]
    assert (row.caused, row.same, row.kept, row.keyed) == (True, True, True, True)


async def test_a_tenant_with_a_great_backlog_does_not_delay_another(listening: Store, shop: Shop) -> None:
    await tell(shop)
    copies = 20_000
    async with shop.unit() as unit:
        await unit.session.execute(
            text(
                "WITH copied AS (INSERT INTO event (id, tenant_id, type, subject_kind, subject_id, payload,"
                " occurred_at, recorded_at, correlation_id, traceparent) SELECT gen_random_uuid(), tenant_id, type,"
                " subject_kind, subject_id, payload, occurred_at, recorded_at, correlation_id, traceparent FROM event,"
                " generate_series(1, :copies) RETURNING id, tenant_id) INSERT INTO agent_task (id, tenant_id, agent,"
                " event_id, priority, state, attempts, not_before, epoch, error) SELECT gen_random_uuid(), tenant_id,"
                " 'test_worker', id, 0, 'pending', 0, now(), 0, '' FROM copied"
            ),
            {"copies": copies},
        )
    small = await Shop(shop.store).found()
    listings = await tell(small, 3)
    agent = runner(shop)
    await agent.begin()
    assert await agent.step() == Worker.spec.batch
    assert await states(small) == ["done"] * 3, "decided in the first batch, though newer and no more urgent"
    assert [seen for seen in Worker.seen if seen in listings] == listings
    assert (await states(shop)).count("done") == Worker.spec.batch - 3, "nothing of the batch is left unused"


async def test_more_tenants_than_fit_in_a_batch_take_turns(listening: Store, shop: Shop) -> None:
    shops = [shop, *[await Shop(shop.store).found() for _ in range(4)]]
    for each in shops:
        await tell(each, 9)
    turn, served, epoch = task_rows.NOBODY, [], await begun(shop)
    async with shop.store.database.queue() as session:
        for _ in range(5):
            claim = await task_rows.claim(session, "test_worker", epoch=epoch, limit=2, lease_seconds=30, after=turn)
            turn = claim.turn
            served.append({task.tenant_id for task in claim.tasks})
    everyone = {each.tenant_id for each in shops}
    assert all(len(pair) == 2 for pair in served)
    assert set.union(*served[:3]) == everyone, "three claims of two reach all five"
    assert sum(len(pair) for pair in served) == 2 * len(everyone), "and five reach each of them twice"


@pytest.mark.parametrize("tenants", [1, 4])
async def test_what_another_claim_holds_is_passed_over(listening: Store, shop: Shop, tenants: int) -> None:
    shops = [shop, *[await Shop(shop.store).found() for _ in range(tenants - 1)]]
    for each in shops:
        await tell(each, 4 // tenants)
    claimed, epoch = [], await begun(shop)
    async with shop.store.database.unbound() as first, shop.store.database.unbound() as second:
        for session in (first, second):
            claim = await task_rows.claim(session, "test_worker", epoch=epoch, limit=2, lease_seconds=30)
            claimed += [task.id for task in claim.tasks]
    assert len(set(claimed)) == 4, "each of the two got a full batch"


async def test_a_claim_does_not_walk_the_backlog(listening: Store, shop: Shop) -> None:
    """Many facts may come before the planner has statistics of them."""
    await tell(shop, 3000)
    epoch = await begun(shop)
    async with shop.store.database.unbound() as session:

        async def read() -> int:
            """Rows of tasks this connection has looked at, earlier transactions that are not counted yet included."""
            told = await session.execute(
                text(
                    "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
                    " WHERE relname = 'agent_task'"
                )
            )
            return int(told.scalar_one_or_none() or 0)

        before = await read()
        found = await task_rows.claim(session, "test_worker", epoch=epoch, limit=4, lease_seconds=30)
        assert len(found.tasks) == 4
        assert await read() - before < 200
