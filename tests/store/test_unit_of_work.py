"""One transaction for facts, agents' tasks and effects: all of it once, or none of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from flipsync.domain.clock import ManualClock
from flipsync.domain.commands import ChangePrice, Command, SetChannelQuantity
from flipsync.domain.events import DecisionEscalated, Event, OfferChanged, OrderReceived, ProductImported
from flipsync.domain.ids import new_id
from flipsync.domain.money import usd
from flipsync.store.database import Database
from flipsync.store.journal import ProposedCommand
from flipsync.store.models import (
    AgentDecision,
    AgentTask,
    Effect,
    EventRecord,
    MarketplaceAccount,
    Proposal,
    Tenant,
)
from flipsync.store.reading import Sentence
from flipsync.store.unit_of_work import Cause, Store, Subscription

NOW = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)
ROUTING = {
    "ProductImported": [Subscription("market")],
    "OrderReceived": [Subscription("fulfillment"), Subscription("executive")],
    "OfferChanged": [Subscription("woo", frozenset({"woocommerce"})), Subscription("own", frozenset({"custom"}))],
    "DecisionEscalated": [Subscription("market"), Subscription("executive")],
}


@dataclass
class RememberingWaker:
    """Keeps whom it was told to wake, and the news."""

    woken: list[frozenset[str]] = field(default_factory=list)
    news: list[dict[str, Any]] = field(default_factory=list)

    async def wake(self, names: frozenset[str], tenant_id: UUID, news: Sequence[dict[str, Any]]) -> None:
        self.woken.append(names)
        self.news += news


@dataclass
class World:
    """A tenant with one account."""

    store: Store
    waker: RememberingWaker
    tenant_id: UUID
    account_id: UUID

    async def rows(self, model: Any) -> list[Any]:
        async with self.store.reader(self.tenant_id) as session:
            return list((await session.scalars(select(model).order_by(model.id))).all())

    async def tell(self, *events: Event, key: str | None = None, cause: Cause | None = None) -> list[UUID]:
        async with self.store.unit(self.tenant_id, cause) as unit:
            return [unit.emit(event, dedup_key=key) for event in events]

    async def ask(self, key: str, command: Command, undo: Command | None = None) -> UUID:
        async with self.store.unit(self.tenant_id) as unit:
            return unit.enqueue(command, account_id=self.account_id, key=key, undo=undo)

    def order(self) -> OrderReceived:
        return OrderReceived(order_id=new_id(), account_id=self.account_id, vendor="custom", short_units=0)


@pytest.fixture
async def world(database_urls: dict[str, str]) -> AsyncIterator[World]:
    waker = RememberingWaker()
    store = Store(Database(database_urls["app"]), ROUTING, waker, ManualClock(NOW))
    tenant_id, account_id = new_id(), new_id()
    async with store.unit(tenant_id) as unit:
        unit.session.add(Tenant(id=tenant_id, name="Test"))
    async with store.unit(tenant_id) as unit:
        unit.session.add(
            MarketplaceAccount(
                id=account_id,
                tenant_id=tenant_id,
                vendor="custom",
                name="shop",
                config={},
                credentials_encrypted=b"",
                webhook_token=str(account_id),
            )
        )
    yield World(store, waker, tenant_id, account_id)
    await store.aclose()


def imported() -> ProductImported:
    return ProductImported(product_id=new_id(), created=True)


async def test_a_fact_is_recorded_with_its_time_subject_and_cause(world: World) -> None:
    told = imported()
    cause = Cause(new_id(), new_id(), "00-trace")
    (event_id,) = await world.tell(told, cause=cause)
    (row,) = await world.rows(EventRecord)
    assert (row.id, row.type, row.subject_kind, row.subject_id) == (
        event_id,
        "ProductImported",
        "product",
        told.product_id,
    )
    assert Event.from_journal(row.type, row.payload) == told
    assert (row.occurred_at, row.dedup_key) == (NOW, None)
    assert (row.causation_id, row.correlation_id, row.traceparent) == (
        cause.causation_id,
        cause.correlation_id,
        "00-trace",
    )
    assert abs((datetime.now(UTC) - row.recorded_at).total_seconds()) < 60, "recorded by the wall clock"


async def test_a_fact_without_a_cause_begins_its_own_chain(world: World) -> None:
    (event_id,) = await world.tell(imported())
    (row,) = await world.rows(EventRecord)
    assert (row.causation_id, row.correlation_id) == (None, event_id)


async def test_each_subscriber_gets_a_task_ready_to_be_claimed(world: World) -> None:
    (event_id,) = await world.tell(world.order())
    tasks = await world.rows(AgentTask)
    assert sorted((t.agent, t.event_id, t.priority, t.state) for t in tasks) == [
        ("executive", event_id, 10, "pending"),
        ("fulfillment", event_id, 10, "pending"),
    ]
    assert {(t.attempts, t.epoch, t.error, t.lease_until, t.finished_at) for t in tasks} == {(0, 0, "", None, None)}
    assert all(abs((datetime.now(UTC) - t.not_before).total_seconds()) < 60 for t in tasks)
    assert world.waker.woken[-1] == {"executive", "fulfillment"}


async def test_facts_reach_only_the_vendors_or_the_agent_they_are_for(world: World) -> None:
    await world.tell(OfferChanged(listing_id=new_id(), account_id=world.account_id, vendor="custom", cause="sale"))
    decision = DecisionEscalated(decision_id=new_id(), from_agent="pricing", to_agent="executive", reason="big")
    await world.tell(decision)
    assert [t.agent for t in await world.rows(AgentTask)] == ["own", "executive"]
    assert world.waker.woken[-2:] == [{"own"}, {"executive"}]


async def test_many_facts_keep_the_order_they_were_told_in(world: World) -> None:
    events = [imported() if i % 3 else world.order() for i in range(2_000)]
    ids = await world.tell(*events)
    rows = await world.rows(EventRecord)
    assert [row.id for row in rows] == ids == sorted(ids)
    assert [row.subject_id for row in rows] == [event.subject()[1] for event in events]
    assert [item["id"] for item in world.waker.news] == [str(event_id) for event_id in ids]
    tasks = await world.rows(AgentTask)
    assert len(tasks) == sum(len(ROUTING[event.type_name()]) for event in events)
    place = {event_id: i for i, event_id in enumerate(ids)}
    assert [place[t.event_id] for t in tasks] == sorted(place[t.event_id] for t in tasks)


async def test_the_same_fact_again_brings_neither_row_nor_task_nor_news(world: World) -> None:
    (first,) = await world.tell(world.order(), key="order:1")
    woken, news = len(world.waker.woken), len(world.waker.news)
    await world.tell(world.order(), key="order:1")
    assert [row.id for row in await world.rows(EventRecord)] == [first]
    assert {t.event_id for t in await world.rows(AgentTask)} == {first}
    assert (len(world.waker.woken), len(world.waker.news)) == (woken, news), "nobody is woken for old news"


async def test_old_and_new_facts_together(world: World) -> None:
    await world.tell(world.order(), key="order:1")
    async with world.store.unit(world.tenant_id) as unit:
        old = unit.emit(world.order(), dedup_key="order:1")
        new = unit.emit(world.order(), dedup_key="order:2")
        twice = unit.emit(world.order(), dedup_key="order:2")
        plain = unit.emit(imported())
    ids = {row.id for row in await world.rows(EventRecord)}
    assert ids >= {new, plain}
    assert ids.isdisjoint({old, twice}), "the first of two in one unit wins"
    assert {t.event_id for t in await world.rows(AgentTask)} <= ids
    assert [item["id"] for item in world.waker.news[-2:]] == [str(new), str(plain)]


async def test_tenants_may_use_the_same_key(world: World) -> None:
    await world.tell(imported(), key="once")
    other = World(world.store, world.waker, new_id(), world.account_id)
    async with world.store.unit(other.tenant_id) as unit:
        unit.session.add(Tenant(id=other.tenant_id, name="Other"))
    await other.tell(imported(), key="once")
    assert len(await world.rows(EventRecord)) == len(await other.rows(EventRecord)) == 1


async def test_flushing_twice_records_once(world: World) -> None:
    async with world.store.unit(world.tenant_id) as unit:
        unit.emit(imported())
        await unit.flush()
        unit.emit(imported())
    assert len(await world.rows(EventRecord)) == 2


async def test_nothing_is_kept_or_told_of_a_unit_that_fails(world: World) -> None:
    woken = len(world.waker.woken)
    with pytest.raises(ZeroDivisionError):
        async with world.store.unit(world.tenant_id) as unit:
            unit.emit(imported())
            await unit.flush()
            raise ZeroDivisionError
    assert await world.rows(EventRecord) == await world.rows(AgentTask) == []
    assert len(world.waker.woken) == woken


async def test_an_effect_waits_in_the_outbox_with_what_it_needs(world: World) -> None:
    listing = new_id()
    command = ChangePrice(account_id=world.account_id, listing_id=listing, price=usd("9.50"), previous=usd("9"))
    undo = ChangePrice(account_id=world.account_id, listing_id=listing, price=usd("9"), previous=usd("9.50"))
    effect_id = await world.ask("price:1", command, undo)
    (row,) = await world.rows(Effect)
    assert (row.id, row.account_id, row.key, row.state) == (effect_id, world.account_id, "price:1", "pending")
    assert Command.from_store(row.command, row.payload) == command
    assert Command.from_store(row.undo["command"], row.undo["payload"]) == undo
    assert (row.subject_kind, row.subject_id, row.priority) == ("listing", listing, command.priority())
    assert (row.attempts, row.epoch, row.lease_owner, row.result, row.correlation_id) == (0, 0, "", {}, effect_id)
    assert (row.lease_until, row.finished_at, row.proposal_id) == (None, None, None)
    assert row.not_before == row.created_at
    assert abs((datetime.now(UTC) - row.created_at).total_seconds()) < 60
    assert world.waker.woken[-1] == {"effects"}


async def test_asking_twice_for_an_effect_leaves_the_first(world: World) -> None:
    def quantity(units: int) -> SetChannelQuantity:
        return SetChannelQuantity(account_id=world.account_id, listing_id=new_id(), quantity=units)

    first = await world.ask("stock:1", quantity(1))
    async with world.store.unit(world.tenant_id) as unit:
        unit.enqueue(quantity(2), account_id=world.account_id, key="stock:1")
        second = unit.enqueue(quantity(3), account_id=world.account_id, key="stock:2")
    rows = await world.rows(Effect)
    assert [(row.id, row.payload["quantity"], row.undo) for row in rows] == [(first, 1, None), (second, 3, None)]


async def test_a_decision_is_written_with_its_proposals_and_what_follows_from_it(world: World) -> None:
    (event_id,) = await world.tell(imported())
    listing = new_id()
    command = SetChannelQuantity(account_id=world.account_id, listing_id=listing, quantity=1)
    decision: dict[str, Any] = {
        "id": new_id(),
        "agent": "inventory",
        "agent_version": "1",
        "event_id": event_id,
        "state": "applied",
        "source": "rules",
        "rationale": "because",
        "confidence": 0.9,
        "stake_minor": None,
        "stake_currency": None,
        "alternatives": [{"name": "other"}],
        "evidence": [],
        "correlation_id": event_id,
    }
    early, late = (
        ProposedCommand(
            decision["id"], ordinal, command.type_name(), command.model_dump(mode="json"), "listing", listing
        )
        for ordinal in range(2)
    )
    async with world.store.unit(world.tenant_id) as unit:
        unit.decide(decision, [early, late])
        early.verdict, early.rule, early.reason = "proceed", "open", "no rule is against it"
        unit.enqueue(command, account_id=world.account_id, key="a", proposal_id=early.id)
        await unit.flush()
        late.verdict, late.rule, late.reason = "deny", "budget", "too much"
    (row,) = await world.rows(AgentDecision)
    assert (row.agent, row.rationale, row.confidence, row.alternatives) == (
        "inventory",
        "because",
        0.9,
        [{"name": "other"}],
    )
    proposals = await world.rows(Proposal)
    assert [(each.verdict, each.rule, each.reason) for each in proposals] == [
        ("proceed", "open", "no rule is against it"),
        ("deny", "budget", "too much"),
    ]
    (effect,) = await world.rows(Effect)
    assert (effect.proposal_id, effect.state) == (early.id, "pending")


async def test_what_is_dropped_is_not_recorded(world: World) -> None:
    async with world.store.unit(world.tenant_id) as unit:
        unit.emit(imported())
        unit.drop()
        kept = unit.emit(imported())
    assert [row.id for row in await world.rows(EventRecord)] == [kept]


async def test_facts_of_another_tenant_are_refused(world: World) -> None:
    with pytest.raises(DBAPIError, match="row-level security"):
        async with world.store.unit(world.tenant_id) as unit:
            unit.tenant_id = new_id()
            unit.emit(imported())


async def test_awkward_text_survives(world: World) -> None:
    reason = "quote \" backslash \\ percent % colon :id newline \n emoji 🧥 'x'); DROP TABLE event; --"
    await world.tell(DecisionEscalated(decision_id=new_id(), from_agent="a", to_agent="market", reason=reason))
    (row,) = await world.rows(EventRecord)
    assert row.payload["reason"] == reason


async def test_a_part_that_failed_writes_nothing_in_the_last_round_trip_either(world: World) -> None:
    renamed = Sentence("UPDATE tenant SET name = name || :more WHERE id = :id")
    async with world.store.unit(world.tenant_id) as unit:
        before = (await unit.session.execute(select(Tenant.name))).scalar_one()
        unit.closing.append(renamed(more=" kept", id=world.tenant_id))
        with pytest.raises(ZeroDivisionError):
            async with unit.part():
                unit.closing.append(renamed(more=" taken back", id=world.tenant_id))
                raise ZeroDivisionError
        async with unit.part():
            unit.closing.append(renamed(more=" too", id=world.tenant_id))
    async with world.store.reader(world.tenant_id) as session:
        assert (await session.execute(select(Tenant.name))).scalar_one() == f"{before} kept too"
