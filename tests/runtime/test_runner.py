"""An agent at work: batches, what they cost, and the promise that deciding changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

import pytest
from one_agent import Worker, runner, states, tell
from shop import Shop
from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.commands import PullOrders
from flipsync.domain.decisions import Decision
from flipsync.domain.events import (
    ChannelCheckDue,
    DecisionEscalated,
    Event,
    OfferChanged,
)
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Context
from flipsync.services.desk import Services
from flipsync.store import round_trip
from flipsync.store.models import StockItem
from flipsync.store.reading import Asked, Rows
from flipsync.store.unit_of_work import Store, Subscription


def behind(ctx: Context) -> AsyncSession:
    """The transaction behind the desk. An agent is not given it, and is none that takes it."""
    with pytest.raises(AttributeError):
        ctx.services.session  # noqa: B018
    session: AsyncSession = cast(Any, ctx.services)._services.session
    return session


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
