"""A database of their own for tests of workers: these claim the work of every tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from edit_desk import Desk
from one_agent import Worker, hold
from scripted_channel import Channels
from shop import Shop, open_store
from sqlalchemy import create_engine, text
from stall import Stall

from flipsync.connectors.base import Unlimited
from flipsync.runtime import effects
from flipsync.runtime.effects import EffectWorker
from flipsync.store.database import driver_url
from flipsync.store.unit_of_work import Store, Subscription


@pytest.fixture(scope="session")
def queue_urls(make_database: Callable[[], dict[str, str]]) -> dict[str, str]:
    return make_database()


@pytest.fixture
async def queues(queue_urls: dict[str, str]) -> AsyncIterator[Store]:
    """A store nobody else works on; what a test leaves in the queues is dropped afterwards."""
    store = open_store(queue_urls["worker"])
    yield store
    async with store.database.unbound() as session:
        await session.execute(
            text("UPDATE effect SET state = 'superseded', finished_at = now() WHERE finished_at IS NULL")
        )
        await session.execute(text("UPDATE agent_task SET state = 'done' WHERE state IN ('pending', 'leased')"))
    await store.aclose()


@pytest.fixture
def as_owner(queue_urls: dict[str, str]) -> Callable[..., None]:
    """Runs a statement as the database's owner: for states no worker could make."""

    def execute(statement: str, **values: Any) -> None:
        engine = create_engine(driver_url(queue_urls["owner"]))
        try:
            with engine.begin() as connection:
                connection.execute(text(statement), values)
        finally:
            engine.dispose()

    return execute


@pytest.fixture
async def shop(queues: Store) -> Shop:
    return await Shop(queues).found()


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> Channels:
    """Effect workers talk to these; failed attempts come back at once."""
    channels = Channels()
    monkeypatch.setattr(effects, "connect", channels.connect)
    monkeypatch.setattr(effects, "_BACKOFF", (0.01, 0.02))
    return channels


@pytest.fixture
async def hire(shop: Shop, channels: Channels) -> AsyncIterator[Callable[..., EffectWorker]]:
    """Makes effect workers of the shop's store."""
    hired: list[EffectWorker] = []

    def make(slot: str = "effects-0", width: int = 8) -> EffectWorker:
        hired.append(EffectWorker(shop.store, shop.box, Unlimited(), shop.firewall, slot=slot, width=width))
        return hired[-1]

    yield make
    for worker in hired:
        await worker.aclose()


@pytest.fixture
async def stall(shop: Shop, channels: Channels) -> Stall:
    """A stall with five units on offer at 29.99, on a channel without conditional writes."""
    return await Stall(shop, channels).open()


@pytest.fixture
async def open_desk(queues: Store, channels: Channels) -> AsyncIterator[Callable[..., Any]]:
    workers: list[EffectWorker] = []

    async def make(**settings: Any) -> Desk:
        shop = await Shop(queues).found(**settings)
        workers.append(EffectWorker(shop.store, shop.box, Unlimited(), shop.firewall, slot="effects-0", width=8))
        return Desk(await Stall(shop, channels).open(), workers[-1])

    yield make
    for worker in workers:
        await worker.aclose()


@pytest.fixture
def listening(queues: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store, with one agent that wants every change of an offer and holds until a test says otherwise."""
    monkeypatch.setattr(queues, "routing", {"OfferChanged": [Subscription("test_worker")]})
    monkeypatch.setattr(Worker, "behaviour", staticmethod(hold))
    monkeypatch.setattr(Worker, "seen", [])
    return queues
