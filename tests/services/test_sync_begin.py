"""Sync begins with a business's first phone: nothing is noted before, and nothing of what was under way is missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from shop import Goods, Shop, open_store
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sync_phones import Phones

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Unavailable
from flipsync.domain.ids import new_id
from flipsync.security.tokens import Claims
from flipsync.services import stock
from flipsync.services.orders import ingest_order
from flipsync.services.sync import beginning, devices
from flipsync.store.repositories import sync_begun
from flipsync.store.unit_of_work import UnitOfWork


@pytest.fixture
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Shop]:
    store = open_store(database_urls["app"], pool_size=6)
    yield await Shop(store).found()
    await store.aclose()


async def marks(shop: Shop) -> int:
    return int((await shop.rows("SELECT count(*) FROM sync_change"))[0][0])


async def until(shop: Shop, question: str) -> None:
    while not (await shop.rows(question))[0][0]:
        await asyncio.sleep(0.01)


async def more(unit: UnitOfWork, goods: Goods, units: int = 1) -> None:
    await stock.receive(unit, goods.variant_id, units, key=f"more:{new_id()}", mode="escrow")


async def test_nothing_is_noted_for_a_business_without_a_phone(shop: Shop) -> None:
    other = await Shop(shop.store).found()
    await Phones(other).another()
    for each in (shop, other):
        account, goods = await each.account(), await each.variant(units=5)
        await each.listing(account, goods, units=5)
        async with each.unit() as unit:
            await ingest_order(unit, account, each.order({goods.sku: 2}))
    assert (await marks(shop), await marks(other)) == (0, 6)
    phones = Phones(shop)
    told = await phones.pull(await phones.another())
    assert {each.kind for each in told.changes} == {
        *("product", "variant", "stock_item", "listing", "order", "order_line"),
    }
    async with shop.unit() as unit:
        await more(unit, goods=(again := await shop.variant()))
    assert again.product_id in {each.id for each in (await phones.pull(0, told.cursor)).changes}


@pytest.mark.parametrize("when", ["before sync began", "while it was being told"])
async def test_what_was_under_way_when_sync_began_is_told(shop: Shop, when: str) -> None:
    """Its transaction may have begun after the one that has changes noted, and still not have seen it."""
    known = await shop.variant(units=1)
    store, tenant, phones = shop.store, shop.tenant_id, Phones(shop)
    async with AsyncExitStack() as announcing, store.unit(tenant) as early:
        if when == "while it was being told":
            unit = await announcing.enter_async_context(store.unit(tenant))
            await sync_begun.announce(unit.session, tenant)
        await more(early, known, 6)
        await announcing.aclose()
        registering = asyncio.create_task(phones.another())
        await asyncio.wait({registering}, timeout=0.3)
        told = [await phones.pull(0)] if registering.done() else []  # it should wait; a phone in haste would pull now
    await registering
    for _ in range(2):
        told.append(await phones.pull(0, told[-1].cursor if told else None))
    shown = [each.record for page in told for each in page.changes if each.id == known.stock_item_id]
    assert [record.on_hand for record in shown if record] == [7]


async def test_several_first_phones_at_once(shop: Shop, database_urls: dict[str, str]) -> None:
    goods = [await shop.variant(units=1) for _ in range(5)]
    stores = [shop.store, open_store(database_urls["app"], pool_size=2), open_store(database_urls["worker"])]
    many = [Phones(Shop(store, shop.tenant_id)) for store in stores]
    await asyncio.gather(*(phones.another() for phones in many))
    for phones in many:
        told = await phones.pull(0)
        assert sorted(each.id for each in told.changes if each.kind == "variant") == sorted(
            each.variant_id for each in goods
        )
    assert [tuple(row) for row in await shop.rows("SELECT count(*), count(filled_at) FROM sync_begun")] == [(1, 1)]
    begun = await shop.rows("SELECT count(*) FROM audit_entry WHERE action = 'sync.begun'")
    assert begun[0][0] == 1
    for store in stores[1:]:
        await store.aclose()


async def test_who_waits_too_long_is_told_to_come_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginning, "WAIT_SECONDS", 0.05)
    goods, phones = await shop.variant(units=1), Phones(shop)
    async with shop.unit() as long:
        await more(long, goods)
        for _ in range(2):
            with pytest.raises(Unavailable, match="still under way"):
                await beginning.begin(shop.store, shop.tenant_id)
        async with shop.unit() as unit:
            nobody = Claims(new_id(), shop.tenant_id, "owner", new_id(), utc_now())
            with pytest.raises(Unavailable):
                await devices.register(unit, nobody, "phone", unit.now)
    told = await phones.pull(await phones.another())
    assert [each.record.on_hand for each in told.changes if each.kind == "stock_item"] == [2]


async def test_a_barrier_of_another_history_holds_nobody_up(shop: Shop) -> None:
    """A backup was restored into a server that counts from the beginning."""
    await shop.variant(units=1)
    async with shop.unit() as unit:
        await sync_begun.announce(unit.session, shop.tenant_id)
        await unit.session.execute(text("UPDATE sync_begun SET barrier = 4000000000000000000"))
    await beginning.begin(shop.store, shop.tenant_id)
    assert await marks(shop) == 3


async def test_what_is_not_filled_cannot_be_pulled(shop: Shop) -> None:
    phones = Phones(shop)
    await phones.another()
    async with shop.unit() as unit:
        await unit.session.execute(text("UPDATE sync_begun SET filled_at = NULL"))
    with pytest.raises(Unavailable):
        await phones.pull(0)
    await phones.another()
    assert (await phones.pull(0)).full


async def test_noting_what_is_there_stops_nobody(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch and a sale want each other's marks: the batch gives way, before PostgreSQL has to choose."""
    monkeypatch.setattr(beginning, "BATCH", 2)
    goods = [await shop.variant(units=1) for _ in range(5)]
    async with shop.unit() as unit:
        await sync_begun.announce(unit.session, shop.tenant_id)
    async with shop.unit() as sale:
        await more(sale, goods[3])
        async with shop.unit() as unit:
            await unit.session.execute(text("UPDATE sync_begun SET barrier = 1"))
        filling = asyncio.create_task(beginning.begin(shop.store, shop.tenant_id))
        waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'transactionid')"
        await until(shop, waits)
        await more(sale, goods[2])
    await asyncio.wait_for(filling, 5)
    assert await marks(shop) == 15


@pytest.mark.parametrize("role", ["app", "worker"])
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM sync_begun",
        "UPDATE sync_begun SET tenant_id = gen_random_uuid()",
        "TRUNCATE sync_begun",
        "ALTER TABLE stock_item DISABLE TRIGGER sync_updated",
    ],
)
async def test_nobody_switches_it_off(database_urls: dict[str, str], role: str, statement: str) -> None:
    shop = await Shop(open_store(database_urls[role], pool_size=1)).found()
    await beginning.begin(shop.store, shop.tenant_id)
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
        async with shop.unit() as unit:
            await unit.session.execute(text(statement))
    await shop.store.aclose()


async def test_many_things_are_noted_in_batches(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginning, "BATCH", 3)
    every: list[Any] = [await shop.variant(units=1) for _ in range(7)]
    monkeypatch.setattr(beginning, "FILL_SECONDS", -1.0)
    with pytest.raises(Unavailable, match="much to note"):
        await beginning.begin(shop.store, shop.tenant_id)
    monkeypatch.setattr(beginning, "FILL_SECONDS", 20.0)
    await beginning.begin(shop.store, shop.tenant_id)
    assert await marks(shop) == 3 * len(every)
