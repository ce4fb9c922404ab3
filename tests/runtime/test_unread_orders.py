"""An order that cannot be read: the others of its page are booked, and no unit is put on sale behind it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from stall import Stall, drain

from flipsync.domain import commands as c
from flipsync.domain.channel import WebhookNotice
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import NotFound, UnreadOrders
from flipsync.domain.ids import new_id
from flipsync.runtime import held_orders as holding
from flipsync.runtime.channel_reads import SharedPull, pull_orders
from flipsync.runtime.effects import EffectWorker
from flipsync.services import held_orders, retention
from flipsync.services.notices import matters
from flipsync.services.orders import ingest_order
from flipsync.services.reading_page import PageRequest
from flipsync.store.models import User
from flipsync.store.repositories import accounts as account_rows
from flipsync.store.unit_of_work import Cause

Hire = Callable[..., EffectWorker]


async def pull(stall: Stall) -> int:
    return await pull_orders(stall.shop.store, stall.shop.tenant_id, stall.account, stall.channel, Cause())


async def refused(stall: Stall) -> UnreadOrders:
    with pytest.raises(UnreadOrders) as caught:
        await SharedPull(lambda cause: pull(stall)).fresh(Cause())
    return caught.value


async def held(stall: Stall) -> list[held_orders.HeldOrderView]:
    async with stall.shop.store.reader(stall.shop.tenant_id) as session:
        return list((await held_orders.list_held(session, PageRequest(), held_orders.HeldOrderFilter())).items)


async def booked(stall: Stall) -> list[str]:
    rows = await stall.shop.rows("SELECT external_id FROM customer_order WHERE tenant_id = :tenant ORDER BY 1")
    return [row.external_id for row in rows]


async def cursor(stall: Stall) -> datetime | None:
    async with stall.shop.store.reader(stall.shop.tenant_id) as session:
        account = await account_rows.get_account(session, stall.account.id)
    assert account is not None
    return account.orders_cursor


async def change(stall: Stall, statement: str) -> None:
    async with stall.shop.unit() as unit:
        await unit.session.execute(text(f"{statement} WHERE tenant_id = :tenant"), {"tenant": stall.shop.tenant_id})


async def due(stall: Stall) -> None:
    await change(stall, "UPDATE held_order SET look_at = now()")


async def sell(stall: Stall, times: int = 3, spoilt: int = 1, *, with_id: bool = True) -> list[str]:
    """Ids of so many orders, of which one cannot be read."""
    sales = [stall.channel.sell(stall.external_id) for _ in range(times)]
    ids = [sale.external_id for sale in sales if sale is not None]
    stall.channel.unreadable[ids[spoilt]] = "id" if with_id else ""
    return ids


async def test_the_others_of_its_page_are_booked_once_and_whoever_waits_is_refused(stall: Stall) -> None:
    ids = await sell(stall)
    for _ in range(3):
        error = await refused(stall)
        assert "1 orders" in error.message and error.hint == "flipsync agents set-aside"
    assert await booked(stall) == sorted([ids[0], ids[2]]), "each once, however often the page was read"
    assert (await stall.shop.item(stall.goods)).reserved == 2
    (found,) = await held(stall)
    assert (found.external_id, found.reason) == (ids[1], "no such currency")
    assert found.told == f'{{"id":"{ids[1]}","units":1,"status":"paid"}}'


async def test_one_that_the_channel_does_not_know_any_more_stays_held(stall: Stall) -> None:
    """It may have sold units all the same: a person says what became of it."""
    ids = await sell(stall)
    await refused(stall)
    stall.channel.unreadable.clear()
    stall.channel.sales = [sale for sale in stall.channel.sales if sale.external_id != ids[1]]
    await due(stall)
    await refused(stall)
    assert len(stall.channel.made("read_order")) == 1 and len(await held(stall)) == 1


async def test_whoever_is_killed_after_the_cursor_moved_has_held_it_already(
    stall: Stall, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await sell(stall)

    async def killed(*_: object, **__: object) -> int:
        raise ConnectionError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(holding, "settle", killed)
        with pytest.raises(ConnectionError):
            await pull(stall)
    assert [each.external_id for each in await held(stall)] == [ids[1]]


async def test_the_hold_ends_when_a_look_at_it_alone_can_read_it(stall: Stall) -> None:
    ids = await sell(stall)
    await refused(stall)
    stall.channel.unreadable.clear()
    listed = stall.channel.orders

    async def without(modified_after: datetime):  # type: ignore[no-untyped-def]
        async for order in listed(modified_after):
            if order.external_id != ids[1]:
                yield order

    stall.channel.orders = without  # type: ignore[method-assign]
    await refused(stall)
    assert stall.channel.made("read_order") == [], "not due yet: it is asked for at growing intervals"
    await due(stall)
    assert await pull(stall) == 1
    assert sorted(ids) == await booked(stall) and await held(stall) == []
    assert (await stall.shop.item(stall.goods)).reserved == 3
    assert await pull(stall) == 0


async def test_looks_at_held_orders_are_few_in_a_pull_and_come_at_growing_intervals(stall: Stall) -> None:
    stall.channel.shelves[stall.external_id].quantity = 100
    for _ in range(held_orders.MOST_LOOKS + 5):
        sale = stall.channel.sell(stall.external_id)
        assert sale is not None
        stall.channel.unreadable[sale.external_id] = "id"
    await refused(stall)
    stall.channel.sales, kept = [], stall.channel.sales
    await due(stall)
    await refused(stall)
    assert len(stall.channel.made("read_order")) == held_orders.MOST_LOOKS
    await refused(stall)
    await refused(stall)
    assert len(stall.channel.made("read_order")) == len(kept), "each once; none is due again so soon"
    now = utc_now()
    pauses = [(held_orders.next_look(looks, now) - now).total_seconds() for looks in range(20)]
    assert pauses == sorted(pauses) and pauses[0] == 5 and pauses[-1] == 900


async def test_the_cursor_goes_on_for_one_with_an_id_and_waits_a_day_at_most_for_one_without(stall: Stall) -> None:
    stall.channel.shelves[stall.external_id].quantity = 50
    await sell(stall, with_id=False)
    await refused(stall)
    began = await cursor(stall)
    for _ in range(2):
        assert stall.channel.sell(stall.external_id) is not None
        await refused(stall)
    assert await cursor(stall) == began
    await change(stall, "UPDATE held_order SET first_seen_at = first_seen_at - interval '25 hours'")
    await refused(stall)
    moved = await cursor(stall)
    assert began is not None and moved is not None and moved > began
    (found,) = await held(stall)
    async with stall.shop.unit() as unit:
        await held_orders.answer(unit, found.id, held_orders.HeldOrderAnswer(booked_by_hand=True))
    assert stall.channel.sell(stall.external_id) is not None
    assert [await pull(stall), await pull(stall)] == [1, 0]
    assert (await cursor(stall) or began) >= moved, "what a person has dealt with is waited for no longer"


async def test_one_without_an_id_is_let_go_when_the_whole_list_shows_it_no_more(stall: Stall) -> None:
    ids = await sell(stall, with_id=False)
    await refused(stall)
    assert [(each.external_id, each.told) for each in await held(stall)] == [("", '{"units":1,"status":"paid"}')]
    stall.channel.unreadable.clear()
    assert await pull(stall) == 1
    assert await booked(stall) == sorted(ids) and await held(stall) == []


async def test_what_a_person_has_booked_by_hand_is_not_booked_again_nor_held(stall: Stall) -> None:
    ids = await sell(stall)
    await refused(stall)
    (found,) = await held(stall)
    async with stall.shop.unit() as unit:
        said = await held_orders.answer(unit, found.id, held_orders.HeldOrderAnswer(booked_by_hand=True))
    assert said.outcome == "by-hand"
    assert await pull(stall) == 0, "still unreadable, and nobody waits for it"
    stall.channel.unreadable.clear()
    stall.channel.sales[1].modified_at = utc_now()
    assert await pull(stall) == 0
    async with stall.shop.unit() as unit:  # a webhook brings it
        order = await stall.channel.read_order(ids[1])
        assert order is not None
        assert (await ingest_order(unit, stall.account, order)).outcome == "by-hand"
    assert await booked(stall) == sorted([ids[0], ids[2]]) and await held(stall) == []
    with pytest.raises(NotFound):
        async with stall.shop.unit() as unit:
            await held_orders.answer(unit, found.id, held_orders.HeldOrderAnswer(booked_by_hand=True))


async def test_trying_again_asks_at_once(stall: Stall) -> None:
    ids = await sell(stall)
    await refused(stall)
    stall.channel.unreadable.clear()
    sold, stall.channel.sales = stall.channel.sales, []
    await refused(stall)
    stall.channel.sales = sold
    sold[1].modified_at -= timedelta(days=40)  # the list begins after it
    (found,) = await held(stall)
    async with stall.shop.unit() as unit:
        await held_orders.answer(unit, found.id, held_orders.HeldOrderAnswer(booked_by_hand=False))
    assert await pull(stall) == 1
    assert await booked(stall) == sorted(ids)
    checks = await stall.shop.rows("SELECT count(*) FROM event WHERE type = 'ChannelCheckDue' AND tenant_id = :tenant")
    assert checks[0][0] == 1


async def test_an_order_that_the_books_refuse_hinders_no_other(stall: Stall) -> None:
    ids = await sell(stall)
    stall.channel.unreadable.clear()
    told = stall.channel._told

    def doubled(sale):  # type: ignore[no-untyped-def]
        order = told(sale)
        return order.model_copy(update={"lines": order.lines * 2}) if sale.external_id == ids[1] else order

    stall.channel._told = doubled  # type: ignore[method-assign]
    await refused(stall)
    assert await booked(stall) == sorted([ids[0], ids[2]])
    (found,) = await held(stall)
    assert found.external_id == ids[1] and found.reason.startswith("the books refuse it: duplicate key")
    assert stall.goods.sku in found.told and "title" not in found.told.replace('"title":"…"', "")
    stall.channel._told = told  # type: ignore[method-assign]
    assert await pull(stall) == 1
    assert await booked(stall) == sorted(ids) and await held(stall) == []


async def test_a_shelf_is_not_touched_behind_an_unread_order_and_filled_once_it_is_settled(
    stall: Stall, hire: Hire
) -> None:
    await sell(stall, times=1, spoilt=0)
    worker = hire()
    look = await stall.shop.enqueue(c.PullOrders(account_id=stall.account.id), stall.account)
    await worker.begin()
    await worker.step()
    assert await stall.outcomes(look) == ["confirmed"], "what can be read was booked: nobody tries that again"
    wish = await stall.quantity(2)
    for _ in range(8):  # more than open an account's circuit
        await worker.step()
        await change(stall, "UPDATE effect SET not_before = now()")
    assert set(await stall.outcomes(wish)) == {"retryable"}
    assert stall.channel.made("set_quantity") == [] and stall.channel.shelves[stall.external_id].quantity == 4
    assert all(link.failures == 0 for link in worker._links.values()), "the channel itself is well"
    stall.channel.unreadable.clear()
    await stall.shop.enqueue(c.PullOrders(account_id=stall.account.id), stall.account)
    await drain(worker, stall.shop)
    assert stall.channel.shelves[stall.external_id].quantity == 1, "two were wished for before this sale was known"
    assert (await stall.shop.item(stall.goods)).reserved == 1
    assert (await stall.outcomes(wish))[-1] == "confirmed"


async def test_a_notice_of_it_does_not_stop_the_queue(stall: Stall, hire: Hire) -> None:
    ids = await sell(stall)
    stall.channel.queue = [
        WebhookNotice(kind="order", topic="order", resource_id=each, dedup_key=each, modified_at=datetime.now(UTC))
        for each in ids
    ]
    await stall.shop.enqueue(c.PullOrders(account_id=stall.account.id), stall.account)
    await drain(hire(), stall.shop)
    assert stall.channel.queue == [] and await booked(stall) == sorted([ids[0], ids[2]])
    assert [each.external_id for each in await held(stall)] == [ids[1]]
    with pytest.raises(UnreadOrders):
        await holding.demand_none(stall.shop.store, stall.shop.tenant_id, stall.account.id)


async def test_people_are_told_of_it_once(stall: Stall) -> None:
    async with stall.shop.unit() as unit:
        unit.session.add(User(tenant_id=unit.tenant_id, email=f"{new_id()}@x.example", password_hash="x", role="owner"))
    await sell(stall)
    for _ in range(2):
        await refused(stall)
        async with stall.shop.unit() as unit:
            await matters.tell(unit)
    rows = await stall.shop.rows(
        "SELECT kind, severity FROM notification WHERE tenant_id = :tenant AND source = 'held'"
    )
    assert [(row.kind, row.severity) for row in rows] == [("order-unread", "urgent")]


async def test_what_was_read_is_forgotten_after_a_month_and_what_was_booked_by_hand_is_not(stall: Stall) -> None:
    ids = await sell(stall, times=2, spoilt=0)
    stall.channel.unreadable[ids[1]] = "id"
    await refused(stall)
    (first, _) = sorted(await held(stall), key=lambda each: ids.index(each.external_id))
    async with stall.shop.unit() as unit:
        await held_orders.answer(unit, first.id, held_orders.HeldOrderAnswer(booked_by_hand=True))
    stall.channel.unreadable = {ids[0]: "id"}
    assert await pull(stall) == 1
    await change(stall, "UPDATE held_order SET settled_at = settled_at - interval '40 days'")
    assert (await retention.run(stall.shop.store, stall.shop.tenant_id)).pruned == {"held_order": 1}
    rows = await stall.shop.rows("SELECT external_id FROM held_order WHERE tenant_id = :tenant")
    assert [row.external_id for row in rows] == [ids[0]]
