"""Runs of automations that ended long ago are dropped with their steps; what runs, waits or is quarantined never is."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from shop import Shop, open_store
from sqlalchemy.engine import make_url

from flipsync.domain import workflow as definitions
from flipsync.domain.events import CycleStarted
from flipsync.domain.ids import new_id
from flipsync.services import retention, workflows
from flipsync.store import models as m
from flipsync.store.repositories import pruning
from flipsync.store.repositories import workflows as rows
from flipsync.store.unit_of_work import Store

LONG_AGO = retention.RUNS_KEPT + timedelta(days=1)


@pytest.fixture
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Shop]:
    store = open_store(database_urls["app"])
    yield await Shop(store).found()
    await store.aclose()


@pytest.fixture
async def worker(database_urls: dict[str, str]) -> AsyncIterator[Store]:
    """As engine and scheduler have the books."""
    store = open_store(database_urls["worker"])
    yield store
    await store.aclose()


async def automation(shop: Shop) -> UUID:
    definition = {"name": "telling", "trigger": {"event": "PriceSet"}, "steps": [{"do": "tell", "message": "dearer"}]}
    async with shop.unit() as unit:
        return (await workflows.write(unit, definition, by=None)).id


async def run_of(
    worker: Store, shop: Shop, workflow_id: UUID, ended: datetime | None, parent: UUID | None = None, **columns: Any
) -> UUID:
    """A run with one step; it began long before it ended, and very long ago when it has not."""
    async with worker.unit(shop.tenant_id) as unit:
        began = (ended or unit.now) - timedelta(days=200)
        event_id = unit.emit(CycleStarted(tenant_id=shop.tenant_id, cycle="hourly"))
        await unit.flush()
        run = m.WorkflowRun(
            tenant_id=shop.tenant_id,
            workflow_id=workflow_id,
            event_id=event_id,
            began_id=event_id,
            parent_id=parent,
            subject_kind="listing",
            subject_id=new_id(),
            started_at=began,
            ended_at=ended,
            **{"state": "running" if ended is None else "done"} | columns,
        )
        unit.session.add(run)
        await unit.session.flush()
        await rows.add_step(unit, run_id=run.id, ordinal=0, undo=False, kind="tell", state="done")
        await rows.watch(unit, "PriceSet", of_run=run.id, about=run.subject_id)
        return run.id


async def kept(shop: Shop) -> set[UUID]:
    """Runs that are there; each has its step and its watch, and no step is there without its run."""
    runs = {row.id for row in await shop.rows("SELECT id FROM workflow_run WHERE tenant_id = :tenant")}
    for table in ("workflow_step", "workflow_watch"):
        query = f"SELECT run_id FROM {table} WHERE tenant_id = :tenant AND run_id IS NOT NULL"
        assert sorted(row.run_id for row in await shop.rows(query)) == sorted(runs)
    return runs


async def test_what_ended_long_ago_goes_and_what_has_not_ended_stays(shop: Shop, worker: Store) -> None:
    workflow_id, now = await automation(shop), (await clock(worker, shop))
    for state in ("done", "failed", "cancelled"):
        await run_of(worker, shop, workflow_id, now - LONG_AGO, state=state)
    stays = {
        await run_of(worker, shop, workflow_id, None),
        await run_of(worker, shop, workflow_id, None, state="undoing"),
        await run_of(worker, shop, workflow_id, None, state="quarantined"),
        await run_of(worker, shop, workflow_id, now - retention.RUNS_KEPT + timedelta(hours=1)),
    }
    stranger = await Shop(shop.store).found()
    theirs = await run_of(worker, stranger, await automation(stranger), now - LONG_AGO)
    assert (await retention.run(worker, shop.tenant_id)).pruned == {"workflow_run": 3}
    assert await kept(shop) == stays
    assert await kept(stranger) == {theirs}, "another business's runs are not this one's to drop"
    assert (await retention.run(worker, shop.tenant_id)).pruned == {}
    (told,) = await shop.rows("SELECT details FROM audit_entry WHERE action = 'retention.pruned'")
    assert told.details["rows"] == {"workflow_run": 3}
    assert (await shop.rows("SELECT id FROM workflow WHERE tenant_id = :tenant"))[0].id == workflow_id


async def clock(worker: Store, shop: Shop) -> datetime:
    async with worker.unit(shop.tenant_id) as unit:
        return unit.now


async def test_a_line_of_automations_is_whole_as_long_as_its_last_run_is_there(shop: Shop, worker: Store) -> None:
    workflow_id, now = await automation(shop), await clock(worker, shop)
    first = await run_of(worker, shop, workflow_id, now - LONG_AGO)
    second = await run_of(worker, shop, workflow_id, now - LONG_AGO, parent=first)
    third = await run_of(worker, shop, workflow_id, None, parent=second)
    assert (await retention.run(worker, shop.tenant_id)).pruned == {}
    async with worker.unit(shop.tenant_id) as unit:
        assert await rows.line_of(unit.session, third) == ["telling"] * 3
        await unit.session.merge(m.WorkflowRun(id=third, state="done", ended_at=now - LONG_AGO))
    pruned = [(await retention.run(worker, shop.tenant_id)).pruned for _ in range(4)]
    assert pruned == [{"workflow_run": 1}] * 3 + [{}], "the last first"
    assert await kept(shop) == set()


def test_no_automation_is_quiet_about_a_thing_for_longer_than_its_runs_are_kept() -> None:
    longest = definitions.Definition.model_fields["quiet_hours_per_thing"].metadata
    (hours,) = [limit.le for limit in longest if hasattr(limit, "le")]
    assert timedelta(hours=hours) < retention.RUNS_KEPT


_KILLED = """
import asyncio, os, signal, sys
from uuid import UUID
from flipsync.services import retention
from flipsync.store.database import Database
from flipsync.store.unit_of_work import Store
retention.MOST_PRUNED = 1
prune, left = retention.pruning.prune, 4
async def until_killed(*given):
    global left
    gone = await prune(*given)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)  # deleted, neither told of nor committed
    left -= 1
    return gone
retention.pruning.prune = until_killed
async def main():
    store = Store(Database(sys.argv[1]), {})
    while (await retention.run(store, UUID(sys.argv[2]))).pruned:
        pass
asyncio.run(main())
"""


async def test_a_run_that_is_killed_leaves_nothing_half_done(
    shop: Shop, worker: Store, database_urls: dict[str, str]
) -> None:
    workflow_id, now, count = await automation(shop), await clock(worker, shop), 12
    open_run = await run_of(worker, shop, workflow_id, None)
    for _ in range(count):
        await run_of(worker, shop, workflow_id, now - LONG_AGO)
    words = [sys.executable, "-c", _KILLED, database_urls["worker"], str(shop.tenant_id)]
    killed = await asyncio.to_thread(subprocess.run, words, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert len(await kept(shop)) == 1 + count - 4, "what was committed is gone, what was under way is not"
    await retention.run(worker, shop.tenant_id)
    assert await kept(shop) == {open_run}
    lines = await shop.rows("SELECT details FROM audit_entry WHERE action = 'retention.pruned'")
    assert sum(line.details["rows"]["workflow_run"] for line in lines) == count, "each is told of once"


async def test_a_step_drops_as_many_as_it_may_whatever_the_plan(make_database: Callable[[], dict[str, str]]) -> None:
    """A subquery that locks rows is asked again for each row of a nested loop, and answers with others each time."""
    urls = make_database()
    shop = await Shop(open_store(urls["app"])).found()
    worker = open_store(urls["worker"])
    workflow_id, now = await automation(shop), await clock(worker, shop)
    moments = dict.fromkeys(("day", "week", "month", "run_ends", "judged"), now - retention.RUNS_KEPT)
    await run_of(worker, shop, workflow_id, now - LONG_AGO)
    with psycopg.connect(make_url(urls["owner"]).set(drivername="postgresql").render_as_string(False)) as owner:
        owner.execute("ANALYZE workflow_run")  # the planner goes by a table of one row
    for _ in range(5):
        await run_of(worker, shop, workflow_id, now - LONG_AGO)
    async with worker.unit(shop.tenant_id) as unit:
        assert await pruning.prune(unit.session, moments, 2) == {"workflow_run": 2}
    assert len(await kept(shop)) == 4
