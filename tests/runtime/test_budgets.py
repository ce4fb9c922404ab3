"""An hour's budget holds across processes: never exceeded, what a dead holder had left comes back, and what it denied
is decided on anew."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from shop import Shop
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from test_decision_path import GRAPH, House

from flipsync.domain.commands import AllocateStock, EndListing
from flipsync.domain.decisions import Decision
from flipsync.domain.events import Event, OfferChanged
from flipsync.domain.ids import new_id
from flipsync.runtime import budgets as module
from flipsync.runtime.agent import Budget, Context
from flipsync.runtime.budgets import Budgets
from flipsync.store.journal import ProposedCommand
from flipsync.store.repositories import budgets as rows

MOST = 60


async def spend(shop: Shop, budgets: Budgets, most: int, *, fail: bool = False) -> bool:
    """One unit, in a transaction that may be taken back."""

    class TakenBackError(Exception):
        pass

    try:
        async with shop.unit() as unit:
            taken = await budgets.take(unit, "pricing", most)
            await unit.flush()
            if fail:
                raise TakenBackError
    except TakenBackError:
        return False
    return taken


async def told(shop: Shop) -> tuple[int, int]:
    found = await shop.rows("SELECT COALESCE(SUM(spent), 0) AS s, COALESCE(SUM(granted), 0) AS g FROM budget_slice")
    return int(found[0].s), int(found[0].g)


async def expire(shop: Shop) -> None:
    async with shop.unit() as unit:
        await unit.session.execute(text("UPDATE budget_slice SET expires_at = clock_timestamp() - interval '1 second'"))


async def test_many_holders_at_once_never_exceed_it_and_use_all_of_it(shop: Shop) -> None:
    holders = [Budgets() for _ in range(6)]

    async def work(holder: Budgets, seed: int) -> int:
        return sum([await spend(shop, holder, MOST, fail=(step + seed) % 7 == 0) for step in range(25)])

    done = sum(await asyncio.gather(*(work(holder, seed) for seed, holder in enumerate(holders))))
    spent, granted = await told(shop)
    assert done == spent <= granted <= MOST, "what was taken back with its transaction was not spent"
    assert spent >= MOST - 6 * max(1, MOST // 20) - 25
    await expire(shop)
    fresh = Budgets()
    rest = sum([await spend(shop, fresh, MOST) for _ in range(MOST + 5)])
    assert done + rest == MOST, "what nobody spent came back, and not a unit more"
    assert not await spend(shop, Budgets(), MOST)


async def test_what_was_spent_an_hour_ago_counts_no_more(shop: Shop) -> None:
    holder = Budgets()
    assert [await spend(shop, holder, 2) for _ in range(3)] == [True, True, False]
    async with shop.unit() as unit:
        await unit.session.execute(text("UPDATE budget_slice SET taken_at = taken_at - interval '66 minutes'"))
    assert await spend(shop, Budgets(), 2)


async def test_a_holder_that_slept_through_its_end_spends_nothing(shop: Shop) -> None:
    """Its own clock stood still: the database refuses, and it leases anew."""
    sleeper = Budgets()
    assert await spend(shop, sleeper, MOST)
    await expire(shop)
    assert await spend(shop, Budgets(), MOST)  # closes the sleeper's
    with pytest.raises(IntegrityError) as refused:
        await spend(shop, sleeper, MOST)
    sleeper.forget_if(refused.value)
    assert await spend(shop, sleeper, MOST)
    assert (await told(shop))[0] == 3


async def test_one_business_or_agent_spends_nothing_of_anothers(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    other = await Shop(shop.store).found()
    holder = Budgets()
    assert await spend(shop, holder, 1) and not await spend(shop, holder, 1)
    assert await spend(other, holder, 1), "each business has its own"
    async with shop.unit() as unit:
        assert await holder.take(unit, "inventory", 1), "and each agent"


async def test_nothing_left_is_asked_about_once_a_second(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    lease = rows.lease

    async def counted(*arguments: object, **named: object) -> object:
        nonlocal asked
        asked += 1
        return await lease(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(module.rows, "lease", counted)
    holder = Budgets()
    assert [await spend(shop, holder, 40) for _ in range(50)].count(True) == 40
    assert asked <= 40 // 2 + 3, "a slice serves many, and a refusal too"


async def test_a_killed_holders_slice_comes_back(shop: Shop, queue_urls: dict[str, str]) -> None:
    """Three processes spend; all are killed in the middle. Nothing is exceeded or lost."""
    here = Path(__file__)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parents[1]), str(here.parents[2])])}
    words = [
        sys.executable,
        str(here.with_name("budget_holder.py")),
        queue_urls["worker"],
        str(shop.tenant_id),
        "40000",
    ]
    holders = [subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        deadline = time.monotonic() + 60
        begun = "SELECT id FROM budget_slice WHERE spent > 5"
        while len(await shop.rows(begun)) < 3 and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        spent, granted = await told(shop)
        assert 18 <= spent < granted <= 40000
    finally:
        for holder in holders:
            holder.kill()
    claimed = [int(holder.communicate()[0].splitlines()[-1]) for holder in holders]
    spent, _ = await told(shop)
    assert sum(claimed) <= spent <= sum(claimed) + len(holders), "at most one each was written and not yet told"
    await expire(shop)
    assert await spend(shop, Budgets(), 40000)
    assert (await told(shop))[1] == spent + 40000 // 20, "what the dead had left is free"


@pytest.fixture
async def house(shop: Shop) -> House:
    return await House(shop).build()


async def test_what_is_above_the_budget_is_denied_with_the_reason(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = GRAPH.agents["pricing"]
    monkeypatch.setattr(agent, "spec", replace(agent.spec, budget=Budget(effects_per_hour=1)))
    end = EndListing(account_id=house.account.id, listing_id=house.listing, reason="test")
    decision_id = await house.record("pricing", Decision.propose(house.price(), end, why="two at once"))
    rows = await house.shop.rows(
        "SELECT verdict, rule FROM proposal WHERE decision_id = :id ORDER BY ordinal", id=decision_id
    )
    assert [(row.verdict, row.rule) for row in rows] == [("proceed", "price-firewall"), ("deny", "budget")]


async def test_what_a_budget_denied_is_decided_on_anew_within_a_day(
    house: House, monkeypatch: pytest.MonkeyPatch, as_owner: Callable[..., None]
) -> None:
    """Once there is room: after a minute, then at growing intervals, unless the fact is old by then."""
    agent = GRAPH.agents["pricing"]
    monkeypatch.setattr(agent, "spec", replace(agent.spec, budget=Budget(effects_per_hour=1)))
    end = EndListing(account_id=house.account.id, listing_id=house.listing, reason="test")
    decided = [Decision.propose(house.price(), end, why="two at once"), Decision.hold("it is ended")]

    async def decide(self: object, event: Event, ctx: Context) -> Decision[Any]:
        return decided.pop(0)

    monkeypatch.setattr(agent, "decide", decide)
    async with house.shop.unit() as unit:
        unit.emit(OfferChanged(listing_id=house.listing, account_id=house.account.id, vendor="custom", cause="sale"))
    assert await house.run("pricing") == 1
    waits = """SELECT state, attempts, not_before - now() AS wait FROM agent_task
                WHERE agent = 'pricing' AND tenant_id = :tenant ORDER BY id"""
    task = (await house.shop.rows(waits))[0]
    assert (task.state, task.attempts) == ("pending", 0)
    assert timedelta(seconds=58) < task.wait < timedelta(seconds=91)
    assert await house.run("pricing") == 0, "there is no room yet"
    async with house.shop.unit() as unit:
        await unit.session.execute(text("UPDATE agent_task SET not_before = now() WHERE not_before > now()"))
    assert await house.run("pricing") == 1
    assert not decided
    assert [row.state for row in await house.shop.rows(waits)] == ["done"]

    for age, least, most in (("10 minutes", 595, 905), ("9 hours", 3595, 5405), ("25 hours", None, None)):
        decided.append(Decision.propose(house.price(3000), end, why="still above it"))
        async with house.shop.unit() as unit:
            told = OfferChanged(listing_id=house.listing, account_id=house.account.id, vendor="custom", cause="sale")
            fact = unit.emit(told)
        as_owner(f"UPDATE event SET recorded_at = now() - interval '{age}' WHERE id = :id", id=fact)
        assert await house.run("pricing") == 1
        task = (await house.shop.rows(waits))[-1]
        if least is None:
            assert task.state == "done", "the fact is let go"
        else:
            assert task.state == "pending" and least < task.wait.total_seconds() < most, age


async def test_what_our_own_books_would_have_twice_is_not_decided_anew(house: House) -> None:
    share = AllocateStock(stock_item_id=new_id(), shares={})
    made = [
        ProposedCommand(new_id(), n, each.type_name(), {}, *each.subject())
        for n, each in enumerate((share, house.price()))
    ]
    made[1].verdict, made[1].rule = "deny", module.OF_AGENT
    assert module.comes_again((share, house.price()), made)
    made[0].verdict = "proceed"
    assert not module.comes_again((share, house.price()), made)
    made[0].verdict, made[1].rule = "deny", "price-firewall"
    assert not module.comes_again((share, house.price()), made)
