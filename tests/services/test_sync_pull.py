"""What phones are told: nothing is missed, whatever order transactions commit in; tombstones, pages, beginning anew."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from shop import Shop, open_store
from sqlalchemy import create_engine, text
from sync_phones import Phones, phones_of

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.services import stock
from flipsync.services.orders import ingest_order
from flipsync.services.sync import devices, pushing
from flipsync.services.sync.devices import DeviceForgotten
from flipsync.services.sync.pulling import Cursor, ResyncRequired
from flipsync.store.database import driver_url


@pytest.fixture
async def phones(database_urls: dict[str, str]) -> AsyncIterator[Phones]:
    store = open_store(database_urls["app"], pool_size=4)
    yield await phones_of(await Shop(store).found(), 2)
    await store.aclose()


def ids(changes: list[Any], kind: str) -> set[UUID]:
    return {each.id for each in changes if each.kind == kind}


async def test_a_new_phone_is_told_everything_and_then_only_what_changed(phones: Phones) -> None:
    account = await phones.shop.account()
    goods = await phones.shop.variant(units=5)
    listing = await phones.shop.listing(account, goods, units=5)
    first = await phones.pull(0)
    assert first.full and not first.more
    told = {each.kind: each.record for each in first.changes}
    assert set(told) == {"product", "variant", "stock_item", "listing"}
    assert told["stock_item"].on_hand == 5 and told["variant"].price.amount_minor == 2999
    assert ids(first.changes, "listing") == {listing}

    nothing = await phones.pull(0, first.cursor)
    assert (nothing.changes, nothing.full) == ([], False)
    async with phones.shop.unit() as unit:
        await ingest_order(unit, account, phones.shop.order({goods.sku: 2}))
    sold = await phones.pull(0, nothing.cursor)
    assert sorted(each.kind for each in sold.changes) == ["order", "order_line", "stock_item"]
    assert "ship_to" not in sold.model_dump_json()


async def test_nothing_is_missed_when_transactions_commit_out_of_order(phones: Phones) -> None:
    """The one that began first commits last: neither times nor ids tell. It changes what the other changed, too."""
    early_goods, late_goods = await phones.shop.variant(units=1), await phones.shop.variant(units=1)
    cursor = (await phones.pull(0)).cursor
    store, tenant = phones.shop.store, phones.shop.tenant_id
    async with store.unit(tenant) as early:
        await stock.receive(early, early_goods.variant_id, 1, key=f"early:{tenant}", mode="escrow")
        async with store.unit(tenant) as late:
            await stock.receive(late, late_goods.variant_id, 1, key=f"late:{tenant}", mode="escrow")
        between = await phones.pull(0, cursor)  # a transaction older than what is told is still under way
        assert ids(between.changes, "stock_item") == {late_goods.stock_item_id}
        await stock.receive(early, late_goods.variant_id, 7, key=f"again:{tenant}", mode="escrow")
    after = await phones.pull(0, between.cursor)
    assert ids(after.changes, "stock_item") == {early_goods.stock_item_id, late_goods.stock_item_id}
    assert {each.record.on_hand for each in after.changes if each.record} == {2, 9}
    assert (await phones.pull(0, after.cursor)).changes == []


async def test_what_is_rolled_back_is_not_told(phones: Phones) -> None:
    goods = await phones.shop.variant(units=1)
    cursor = (await phones.pull(0)).cursor
    with pytest.raises(RuntimeError):
        async with phones.shop.unit() as unit:
            await stock.receive(unit, goods.variant_id, 1, key=f"never:{goods.sku}", mode="escrow")
            raise RuntimeError
    assert (await phones.pull(0, cursor)).changes == []


async def test_pages_miss_nothing_that_changes_between_them(phones: Phones) -> None:
    every = [await phones.shop.variant(units=1) for _ in range(4)]
    page = await phones.pull(0, limit=5)
    assert page.more
    seen = list(page.changes)
    async with phones.shop.unit() as unit:
        for goods in every:
            await stock.receive(unit, goods.variant_id, 2, key=f"while:{goods.sku}", mode="escrow")
    rest, cursor = await phones.pull_all(0, page.cursor, limit=3)
    again, _ = await phones.pull_all(0, cursor, limit=3)
    latest = {each.id: each.record.on_hand for each in [*seen, *rest, *again] if each.kind == "stock_item"}
    assert latest == {goods.stock_item_id: 3 for goods in every}
    assert ids([*seen, *rest, *again], "product") == {goods.product_id for goods in every}


async def test_what_is_deleted_leaves_a_tombstone(phones: Phones, database_urls: dict[str, str]) -> None:
    goods, stays = await phones.shop.variant(units=0), await phones.shop.variant(units=0)
    cursor = (await phones.pull(0)).cursor
    engine = create_engine(driver_url(database_urls["owner"]))
    with engine.begin() as connection:  # no role of ours may
        connection.execute(text("DELETE FROM product WHERE id = :id"), {"id": goods.product_id})
    engine.dispose()
    told = await phones.pull(0, cursor)
    gone = {(each.kind, each.id) for each in told.changes if each.gone}
    assert gone == {
        ("product", goods.product_id),
        ("variant", goods.variant_id),
        ("stock_item", goods.stock_item_id),
    }
    anew = await phones.pull(0)
    assert ids(anew.changes, "product") == {stays.product_id} and not any(each.gone for each in anew.changes)


async def test_a_business_that_is_deleted_takes_its_marks_along(phones: Phones, database_urls: dict[str, str]) -> None:
    await phones.shop.variant(units=1)
    engine = create_engine(driver_url(database_urls["owner"]))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM tenant WHERE id = :id"), {"id": phones.shop.tenant_id})
        left = connection.execute(
            text("SELECT count(*) FROM sync_change WHERE tenant_id = :id"), {"id": phones.shop.tenant_id}
        )
        assert left.scalar_one() == 0
    engine.dispose()


async def test_a_cursor_older_than_forgotten_tombstones_begins_anew(phones: Phones) -> None:
    goods = await phones.shop.variant(units=1)
    account = await phones.shop.account()
    await phones.shop.listing(account, goods, units=1)
    async with phones.shop.unit() as unit:
        order = await ingest_order(unit, account, phones.shop.order({goods.sku: 1}))
    before = (await phones.pull(0)).cursor

    async def later(days: int) -> None:
        async with phones.shop.unit() as unit:
            unit.now = utc_now() + timedelta(days=days)
            await pushing.forget_old(unit)

    await later(91)
    told = await phones.pull(0, before)
    assert {(each.kind, each.gone) for each in told.changes} == {("order", True), ("order_line", True)}
    assert order.order_id in ids(told.changes, "order")
    await later(91)  # the tombstones are old themselves now
    with pytest.raises(ResyncRequired):
        await phones.pull(0, before)
    fresh = await phones.pull(0)
    assert ids(fresh.changes, "order") == set()
    await phones.pull(0, fresh.cursor)
    async with phones.shop.unit() as unit:  # touched again, told again
        told_again = phones.shop.order({goods.sku: 1})
        await ingest_order(unit, account, told_again)
    assert len(ids((await phones.pull(0, fresh.cursor)).changes, "order")) == 1


async def test_a_cursor_of_another_history_or_of_other_rights_begins_anew(phones: Phones) -> None:
    cursor = Cursor.parse((await phones.pull(0)).cursor)
    for other in (
        replace(cursor, lineage="restored"),
        replace(cursor, kinds=("product",)),
        replace(cursor, device="x"),
    ):
        with pytest.raises(ResyncRequired):
            await phones.pull(0, str(other))


@pytest.mark.parametrize("cursor", ["x", "e30", "WzEsMl0", base64.urlsafe_b64encode(b"\xff" * 9).decode()])
async def test_a_cursor_that_is_not_ours_is_refused(phones: Phones, cursor: str) -> None:
    with pytest.raises(InvalidInput):
        await phones.pull(0, cursor)


async def test_a_cursor_with_nonsense_inside_is_refused(phones: Phones) -> None:
    good = Cursor.parse((await phones.pull(0)).cursor)
    parts = orjson.loads(base64.urlsafe_b64decode(str(good) + "=="))
    for place, value in ((3, "1:2"), (3, f"{2**70}:1:"), (5, -1), (5, "a"), (6, "\0"), (7, "z")):
        bad = [*parts[:place], value, *parts[place + 1 :]]
        with pytest.raises(InvalidInput):
            await phones.pull(0, base64.urlsafe_b64encode(orjson.dumps(bad)).decode())


async def test_the_device_has_to_be_the_users_and_known(phones: Phones) -> None:
    mine, other = phones.phones
    phones.phones[0] = replace(mine, id=other.id)
    with pytest.raises(NotFound):
        await phones.pull(0)
    phones.phones[0] = mine
    async with phones.shop.unit() as unit:
        await devices.forget_device(unit, mine.user, mine.id)
    with pytest.raises(DeviceForgotten):
        await phones.pull(0)
    with pytest.raises(DeviceForgotten):
        await phones.push(0, phones.receive(0, await phones.shop.variant(), 1))
