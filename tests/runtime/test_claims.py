"""Tasks are claimed: by one life of an agent, once, in turns, and set aside when nobody can deal with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from one_agent import Worker, begun, hold, runner, states, tell
from shop import Shop
from sqlalchemy import text

from flipsync.domain.decisions import Decision
from flipsync.domain.events import (
    OfferChanged,
)
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Context
from flipsync.services.reading_page import PageRequest
from flipsync.services.set_aside import SetAsideFilter, list_set_aside, release
from flipsync.store.repositories import tasks as task_rows
from flipsync.store.unit_of_work import Store


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
