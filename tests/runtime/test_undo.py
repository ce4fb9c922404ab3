"""What was decided and done, taken back: once, while it is still so, and through gate and firewall."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from shop import dollars
from sqlalchemy import update
from stall import Stall, drain

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from flipsync.domain.clock import utc_now
from flipsync.domain.commands import ChangePrice, Command, EndListing, PauseAccount, PullOrders, SetChannelQuantity
from flipsync.domain.decisions import Decision
from flipsync.domain.errors import Forbidden, NotFound
from flipsync.domain.events import CycleStarted, DeedUndone, PriceUnwanted
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.effects import EffectWorker
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.runner import AgentRunner
from flipsync.services import undo
from flipsync.services.desk import Services
from flipsync.services.undo import UndoReport
from flipsync.store.models import Variant
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories.undo import MOST_ATTEMPTS

GRAPH = Graph(ROSTER)


def anything(_: str) -> bool:
    return True


class Desk:
    """A stall where agents' decisions are carried out, and a person who takes them back."""

    def __init__(self, stall: Stall, worker: EffectWorker) -> None:
        self.stall, self.worker, self.shop = stall, worker, stall.shop
        self.path = DecisionPath(GRAPH, Gate(self.shop.firewall, [ComplianceAgent()]))

    async def decide(self, *commands: Command, agent: str = "pricing", sent: bool = True) -> UUID:
        async with self.shop.unit() as unit:
            event = unit.emit(CycleStarted(tenant_id=self.shop.tenant_id, cycle="daily"))
            services = Services(unit.session, self.shop.tenant_id, unit.now)
            ctx = Context(self.shop.tenant_id, unit.now, services, event, event)
            decision: Decision[Any] = Decision.propose(*commands, why="a test wants it")
            decided = await self.path.record(unit, ctx, GRAPH.agents[agent].spec, decision)
        if sent:
            await drain(self.worker, self.shop)
        return decided

    async def price(self, minor: int, **how: Any) -> UUID:
        before = (await self.stall.row()).price_minor
        assert before is not None
        return await self.decide(
            ChangePrice(
                account_id=self.stall.account.id,
                listing_id=self.stall.listing,
                price=dollars(minor),
                previous=dollars(before),
            ),
            **how,
        )

    async def undo(self, decision_id: UUID, **how: Any) -> UndoReport:
        async with self.shop.unit() as unit:
            return await undo.undo_decision(unit, decision_id, **({"allowed": anything} | how))

    async def follow(self) -> None:
        for agent in ("market", "base_market", "pricing"):
            runner = AgentRunner(GRAPH.agents[agent](), self.shop.store, self.path)
            await runner.begin()
            while await runner.step():
                continue
            await drain(self.worker, self.shop)

    def shown(self) -> int:
        """What the channel itself shows."""
        price = self.stall.channel.shelves[self.stall.external_id].price
        assert price is not None
        return price.amount_minor


@pytest.fixture
async def desk(stall: Stall, hire: Callable[..., EffectWorker]) -> Desk:
    return Desk(stall, hire())


def outcomes(report: UndoReport) -> list[str]:
    return [part.outcome for part in report.parts]


async def test_a_price_goes_back_through_gate_and_firewall_once(desk: Desk) -> None:
    decided = await desk.price(3100)
    assert desk.shown() == 3100
    assert outcomes(await desk.undo(decided, dry_run=True)) == ["undoable"]
    assert await desk.shop.events(DeedUndone) == []
    assert outcomes(await desk.undo(decided)) == ["asked"]
    assert outcomes(await desk.undo(decided)) == ["asked"], "nobody has answered, and it is not asked twice"
    await desk.follow()
    assert desk.shown() == 2999 == (await desk.stall.row()).price_minor
    report = await desk.undo(decided)
    assert outcomes(report) == ["already-undone"] and "went back to 29.99 USD" in report.parts[0].why
    assert len(await desk.shop.events(PriceUnwanted)) == 1
    rows = await desk.shop.rows(
        "SELECT payload FROM effect WHERE command = 'ChangePrice' AND tenant_id = :tenant ORDER BY id"
    )
    first, second = [row.payload["certificate"] for row in rows]
    assert first and second and first != second, "signed anew"


async def test_two_who_take_back_at_once_do_it_once(desk: Desk) -> None:
    decided = await desk.price(3100)
    both = await asyncio.gather(desk.undo(decided), desk.undo(decided))
    assert sorted(outcome for report in both for outcome in outcomes(report)) == ["asked", "asked"]
    assert len(await desk.shop.events(PriceUnwanted)) == 1


async def test_a_newer_price_is_not_lost(desk: Desk) -> None:
    first = await desk.price(3100)
    await desk.price(3150)
    report = await desk.undo(first)
    assert outcomes(report) == ["moved-on"] and "newer" in report.parts[0].why
    await desk.follow()
    assert desk.shown() == 3150


async def test_a_price_changed_on_the_channel_is_not_lost_at_either_moment(desk: Desk) -> None:
    decided = await desk.price(3100)
    async with desk.shop.unit() as unit:
        await listing_rows.set_price_seen(unit, desk.stall.listing, 3333)
    assert outcomes(await desk.undo(decided)) == ["moved-on"]
    async with desk.shop.unit() as unit:
        await listing_rows.set_price_seen(unit, desk.stall.listing, 3100)
    assert outcomes(await desk.undo(decided)) == ["asked"]
    async with desk.shop.unit() as unit:  # after the person's word, before the agent has heard it
        await listing_rows.set_price_seen(unit, desk.stall.listing, 3333)
    await desk.follow()
    assert (await desk.stall.row()).price_minor == 3333
    assert desk.shown() == 3100, "nothing was written"
    report = await desk.undo(decided)
    assert outcomes(report) == ["refused"] and "nothing is taken back" in report.parts[0].why


async def test_a_price_the_firewall_refuses_is_not_called_undone(desk: Desk) -> None:
    decided = await desk.price(3100)
    assert outcomes(await desk.undo(decided)) == ["asked"]
    async with desk.shop.unit() as unit:  # between the wish and its judgement nobody knows the cost any more
        await unit.session.execute(update(Variant).values(cost_minor=None))
    await desk.follow()
    assert desk.shown() == 3100
    report = await desk.undo(decided)
    assert outcomes(report) == ["refused"] and "cost" in report.parts[0].why.lower()
    assert outcomes(await desk.undo(decided, dry_run=True)) == ["refused"]


async def test_what_was_refused_is_asked_for_again_and_done_once(desk: Desk) -> None:
    decided = await desk.price(3100)
    await desk.undo(decided)
    async with desk.shop.unit() as unit:
        await unit.session.execute(update(Variant).values(cost_minor=None))
    await desk.follow()
    assert outcomes(await desk.undo(decided)) == ["refused"]
    async with desk.shop.unit() as unit:  # what it was refused for is mended
        await unit.session.execute(update(Variant).values(cost_minor=1200, cost_as_of=utc_now()))
    assert outcomes(await desk.undo(decided)) == ["refused"], "nobody said again"
    assert outcomes(await desk.undo(decided, dry_run=True, again=True)) == ["undoable"]
    both = await asyncio.gather(*(desk.undo(decided, again=True) for _ in range(2)))
    assert [outcomes(report) for report in both] == [["asked"], ["asked"]]
    assert len(await desk.shop.events(PriceUnwanted)) == 2, "the first, and one of the two"
    await desk.follow()
    assert desk.shown() == 2999
    assert outcomes(await desk.undo(decided, again=True)) == ["already-undone"]
    assert len(await desk.shop.events(DeedUndone)) == 2


async def test_nobody_is_asked_for_ever(desk: Desk) -> None:
    decided = await desk.price(3100)
    async with desk.shop.unit() as unit:
        await unit.session.execute(update(Variant).values(cost_minor=None))
    for attempt in range(MOST_ATTEMPTS):
        assert outcomes(await desk.undo(decided, again=attempt > 0)) == ["asked"]
        await desk.follow()
    report = await desk.undo(decided, again=True)
    assert outcomes(report) == ["refused"] and "enough" in report.parts[0].why
    assert len(await desk.shop.events(PriceUnwanted)) == MOST_ATTEMPTS


async def test_a_row_of_prices_goes_back_to_before_the_first(desk: Desk) -> None:
    for minor in (3050, 3100, 3150):
        await desk.price(minor)
    async with desk.shop.unit() as unit:
        report = await undo.undo_since(unit, utc_now() - timedelta(minutes=30), allowed=anything)
    assert outcomes(report) == ["asked"] * 3
    (wish,) = await desk.shop.events(PriceUnwanted)
    assert (wish["price"]["amount_minor"], wish["replaces"]["amount_minor"]) == (2999, 3150)
    await desk.follow()
    assert desk.shown() == 2999


async def test_what_was_not_sent_yet_is_stopped(desk: Desk) -> None:
    decided = await desk.price(3100, sent=False)
    assert outcomes(await desk.undo(decided)) == ["undone"]
    await drain(desk.worker, desk.shop)
    assert (await desk.stall.row()).price_minor == 2999
    report = await desk.undo(decided)
    assert outcomes(report) == ["already-undone"]


async def test_a_look_first_says_what_then_happens(desk: Desk) -> None:
    await desk.price(3100)
    await desk.price(3150, sent=False)
    for dry_run, said in ((True, ["undoable", "undoable"]), (False, ["undone", "asked"])):
        async with desk.shop.unit() as unit:
            since = utc_now() - timedelta(minutes=30)
            report = await undo.undo_since(unit, since, dry_run=dry_run, allowed=anything)
        assert outcomes(report) == said
    await desk.follow()
    assert desk.shown() == 2999


async def test_an_ended_listing_comes_back_and_a_paused_account_goes_on(desk: Desk) -> None:
    ended = await desk.decide(
        EndListing(account_id=desk.stall.account.id, listing_id=desk.stall.listing, reason="a mistake"),
        agent="base_market",
    )
    assert (await desk.stall.row()).status == "ended"
    assert outcomes(await desk.undo(ended)) == ["undone"]
    assert (await desk.stall.row()).status == "requested"
    assert outcomes(await desk.undo(ended)) == ["already-undone"]
    paused = await desk.decide(
        PauseAccount(account_id=desk.stall.account.id, reason="too many failures"), agent="executive", sent=False
    )
    assert outcomes(await desk.undo(paused)) == ["undone"]
    assert outcomes(await desk.undo(paused)) == ["already-undone"]
    (row,) = await desk.shop.rows("SELECT status FROM marketplace_account WHERE tenant_id = :tenant")
    assert row.status == "connected"


async def test_what_cannot_be_taken_back_says_why(desk: Desk) -> None:
    account, listing = desk.stall.account.id, desk.stall.listing
    decided = await desk.decide(
        PullOrders(account_id=account),
        SetChannelQuantity(account_id=account, listing_id=listing, quantity=3),
        agent="inventory",
        sent=False,
    )
    report = await desk.undo(decided)
    assert outcomes(report) == ["impossible", "impossible"]
    assert "ledger" in report.parts[0].why and "read" in report.parts[1].why
    refused = await desk.price(1, sent=False)
    assert "never done" in (await desk.undo(refused)).parts[0].why


async def test_it_takes_the_right_the_deed_takes(desk: Desk) -> None:
    decided = await desk.price(3100)
    with pytest.raises(Forbidden, match="ChangePrice"):
        await desk.undo(decided, allowed=lambda right: right == "catalogue:write")
    assert await desk.shop.events(DeedUndone) == []
    with pytest.raises(NotFound):
        await desk.undo(new_id())


def test_every_command_is_taken_back_or_says_why_not() -> None:
    real = {
        name
        for name, command in Command._registry.items()
        if not command.__subclasses__() or name in ("KeepEdit", "PlacePurchaseOrder")
    }
    known = set(undo.NEEDS) | set(undo._WHY_NOT) | undo.READS
    assert real - known == set()
    assert set(undo.NEEDS) & set(undo._WHY_NOT) == set()
