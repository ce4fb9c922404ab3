"""Units that go from our shelf to a channel's warehouse: in one pool or under way, never in two, never sold twice."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop import Goods, Shop
from sqlalchemy import select

from flipsync.domain.channel import ListingState, WarehouseUnits
from flipsync.domain.errors import Conflict, InvalidInput, NotFound, VersionMismatch
from flipsync.domain.events import StockMoved
from flipsync.domain.ids import new_id
from flipsync.domain.money import usd
from flipsync.services import adopting, orders, reading_transfers, stock, transfers, warehouses
from flipsync.services.desk import Services
from flipsync.services.notices import matters, wording
from flipsync.services.orders import AccountRef
from flipsync.services.reading_page import SortedRequest
from flipsync.services.reading_transfers import TransferFilter, TransferView
from flipsync.services.why import explain
from flipsync.store.models import EventRecord, Notification, StockItem, User


class Trade:
    """Ten units on our shelf, offered by a shop; and a listing that Amazon fulfils."""

    def __init__(self, shop: Shop, amazon: AccountRef, goods: Goods) -> None:
        self.shop, self.amazon, self.goods, self.fba = shop, amazon, goods, f"{goods.sku}-FBA"

    async def shelf(self, pool: str = "own") -> StockItem:
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            query = select(StockItem).where(StockItem.variant_id == self.goods.variant_id, StockItem.pool == pool)
            return (await session.scalars(query)).one()

    async def plan(self, units: int) -> UUID:
        async with self.shop.unit() as unit:
            return (await transfers.plan(unit, self.goods.variant_id, units, self.amazon.id)).id

    async def send(self, transfer_id: UUID, **more: Any) -> None:
        async with self.shop.unit() as unit:
            await transfers.send(unit, transfer_id, **more)

    async def cancel(self, transfer_id: UUID, **more: Any) -> None:
        async with self.shop.unit() as unit:
            await transfers.cancel(unit, transfer_id, **more)

    async def see(self, transfer_id: UUID) -> TransferView:
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            return await reading_transfers.get_transfer(session, transfer_id)

    async def report(self, available: int, inbound: int = 0) -> None:
        told = WarehouseUnits(sku=self.fba, available=available, inbound=inbound)
        async with self.shop.unit() as unit:
            await warehouses.reconcile(unit, self.amazon.id, "amazon", [told])

    async def sell_there(self, units: int) -> None:
        told = self.shop.order({self.fba: units})
        line = told.lines[0].model_copy(update={"listing_external_id": self.fba})
        told = told.model_copy(update={"lines": (line,), "fulfilled_by": "channel"})
        async with self.shop.unit() as unit:
            await orders.ingest_order(unit, self.amazon, told)


async def make_trade(shop: Shop, *, units: int = 10, mode: str = "escrow") -> Trade:
    amazon = await shop.account("amazon")
    trade = Trade(shop, amazon, await shop.variant(units=units, title="Lamp", mode=mode))
    async with shop.unit() as unit:
        await adopting.take_over(unit, amazon, [_state(trade.goods.sku), _state(trade.fba, by="channel")])
    return trade


def _state(sku: str, *, by: Any = "seller") -> ListingState:
    return ListingState(
        external_id=sku,
        sku=sku,
        title="Lamp",
        status="active",
        price=usd("29.99"),
        quantity=0 if by == "seller" else None,
        fulfilled_by=by,
        catalogue_id=f"B0-{sku.removesuffix('-FBA')}",
    )


@pytest.fixture
async def trade(shop: Shop) -> Trade:
    return await make_trade(shop)


async def test_from_the_shelf_to_the_channels_warehouse(trade: Trade) -> None:
    transfer = await trade.plan(4)
    assert ((await trade.shelf()).on_hand, (await trade.see(transfer)).state) == (10, "planned")
    await trade.send(transfer)
    seen = await trade.see(transfer)
    assert (seen.state, seen.sent, seen.under_way, seen.to_pool) == ("sent", 4, 4, "fba")
    assert ((await trade.shelf()).on_hand, (await trade.shelf("fba")).on_hand) == (6, 0), "in no pool, so nobody's"
    await trade.report(0, inbound=4)
    await trade.report(3, inbound=1)
    seen = await trade.see(transfer)
    assert (seen.state, seen.received, seen.under_way) == ("sent", 3, 1)
    await trade.report(4)
    seen = await trade.see(transfer)
    assert (seen.state, seen.received, seen.under_way, seen.missing) == ("received", 4, 0, 0)
    assert ((await trade.shelf()).on_hand, (await trade.shelf("fba")).on_hand) == (6, 4)
    with pytest.raises(Conflict, match="received already"):
        await trade.send(transfer)
    async with trade.shop.store.reader(trade.shop.tenant_id) as session:
        told = await explain(session, trade.goods.sku)
        meant = select(EventRecord.id).where(EventRecord.payload["kind"].astext == "transfer")
        why = await explain(session, str((await session.scalars(meant)).one()))
    assert "transfer 1" in told.model_dump_json()
    assert "were set aside for a channel's warehouse" in why.model_dump_json()


async def test_what_is_meant_for_the_warehouse_is_given_to_no_channel(trade: Trade) -> None:
    """All ten are on offer: channels are given fewer, and the units leave when a channel has let go of them."""
    own = await _offer_everything(trade)
    transfer = await trade.plan(4)
    with pytest.raises(Conflict, match="channels still offer 4 of these units") as refused:
        await trade.send(transfer)
    assert "try again" in (refused.value.hint or "")
    async with trade.shop.store.reader(trade.shop.tenant_id) as session:
        desk = Services(session, trade.shop.tenant_id, trade.shop.store.clock.now())
        picture = await desk.stock.picture(trade.goods.stock_item_id)
    assert picture is not None and picture.shares == {own: 6}, "what the inventory agent asks of the channel"
    moved = [each for each in await trade.shop.events(StockMoved) if each["kind"] == "transfer"]
    assert [each["quantity"] for each in moved] == [4], "and what wakes it"
    async with trade.shop.unit() as unit:
        await stock.set_targets(unit, trade.goods.stock_item_id, {own: 10})
        await stock.let_go(unit, own, 6)
        assert await stock.grant(unit, own) == 6, "free, and given to no channel again"
    await trade.send(transfer)
    assert ((await trade.shelf()).on_hand, (await trade.shelf()).allocated) == (6, 6)


async def _offer_everything(trade: Trade) -> UUID:
    (row,) = await trade.shop.rows("SELECT listing_id FROM allocation WHERE tenant_id = :tenant")
    async with trade.shop.unit() as unit:
        await stock.set_targets(unit, trade.goods.stock_item_id, {row.listing_id: 10})
        assert await stock.grant(unit, row.listing_id) == 10
        await stock.shown(unit, row.listing_id)
    listing_id: UUID = row.listing_id
    return listing_id


async def test_a_buyer_who_comes_first_has_the_units(trade: Trade) -> None:
    await _offer_everything(trade)
    transfer = await trade.plan(4)
    told = trade.shop.order({trade.goods.sku: 8})
    line = told.lines[0].model_copy(update={"listing_external_id": trade.goods.sku})
    async with trade.shop.unit() as unit:
        await orders.ingest_order(unit, trade.amazon, told.model_copy(update={"lines": (line,)}))
    assert (await trade.shelf()).reserved == 8
    with pytest.raises(Conflict, match="only 2 units are there to send"):
        await trade.send(transfer)
    with pytest.raises(InvalidInput, match="5 of 4 units"):
        await trade.send(transfer, units=5)


async def test_no_more_is_planned_than_is_there(trade: Trade) -> None:
    """However many plan at once."""
    done = await asyncio.gather(*(trade.plan(4) for _ in range(5)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["Conflict"] * 3 + ["UUID"] * 2
    for units, error in ((0, InvalidInput), (-1, InvalidInput), (3, Conflict), (stock.MAX_UNITS + 1, InvalidInput)):
        with pytest.raises(error):
            await trade.plan(units)
    assert len({(await trade.see(each)).number for each in done if isinstance(each, UUID)}) == 2


async def test_only_where_the_channel_has_a_warehouse(trade: Trade) -> None:
    other = await trade.shop.account("custom", name="corner shop")
    async with trade.shop.unit() as unit:
        with pytest.raises(InvalidInput, match="corner shop does not sell"):
            await transfers.plan(unit, trade.goods.variant_id, 1, other.id)
        with pytest.raises(NotFound):
            await transfers.plan(unit, new_id(), 1, trade.amazon.id)
        with pytest.raises(NotFound):
            await transfers.plan(unit, trade.goods.variant_id, 1, new_id())


async def test_another_business_finds_nothing(trade: Trade) -> None:
    transfer = await trade.plan(2)
    stranger = await Shop(trade.shop.store).found()
    async with stranger.unit() as unit:
        for attempt in (transfers.send, transfers.cancel):
            with pytest.raises(NotFound):
                await attempt(unit, transfer)
        with pytest.raises(NotFound):
            await transfers.plan(unit, trade.goods.variant_id, 1, trade.amazon.id)
        assert (await reading_transfers.list_transfers(unit.session, SortedRequest(), TransferFilter())).items == []
    assert (await trade.see(transfer)).state == "planned"


async def test_what_a_buyer_sent_back_there_is_none_of_ours(trade: Trade) -> None:
    transfer = await trade.plan(4)
    await trade.send(transfer)
    await trade.report(1, inbound=4)
    assert (await trade.see(transfer)).received == 0
    await trade.report(5)
    assert (await trade.see(transfer)).state == "received"


async def test_units_sold_there_before_they_are_reported_have_arrived(trade: Trade) -> None:
    transfer = await trade.plan(4)
    await trade.send(transfer)
    await trade.sell_there(3)
    assert (await trade.see(transfer)).received == 3
    await trade.report(1)
    seen = await trade.see(transfer)
    assert (seen.state, seen.received) == ("received", 4)


async def test_the_oldest_of_two_is_received_first(trade: Trade) -> None:
    first, second = await trade.plan(3), await trade.plan(4)
    for each in (first, second):
        await trade.send(each)
    await trade.report(5, inbound=2)
    assert [(await trade.see(each)).received for each in (first, second)] == [3, 2]
    await trade.report(9)
    assert [(await trade.see(each)).state for each in (first, second)] == ["received", "received"]


async def test_what_does_not_arrive_is_told_until_a_person_gives_it_up(trade: Trade) -> None:
    async with trade.shop.unit() as unit:
        person = User(tenant_id=trade.shop.tenant_id, email=f"{new_id()}@shop.example", password_hash="x", role="owner")
        unit.session.add(person)
    transfer = await trade.plan(4)
    await trade.send(transfer)
    await trade.report(1, inbound=0)
    assert await _told(trade) == []
    async with trade.shop.unit() as unit:
        (row,) = await transfers.rows.under_way_to(unit.session, (await trade.shelf("fba")).id)
        row.due_at = unit.now - transfers.DUE_AFTER
    (notice,) = await _told(trade)
    assert (notice.kind, notice.settled_at) == ("transfer-short", None)
    words = wording.title("transfer-short", notice.facts)
    assert f"3 of 4 units of {trade.goods.sku}" in words and "TR-1" in words
    with pytest.raises(InvalidInput, match="cannot have come back"):
        await trade.cancel(transfer, came_back=4)
    await trade.cancel(transfer, reason="lost on the way", came_back=2)
    seen = await trade.see(transfer)
    assert (seen.state, seen.received, seen.came_back, seen.missing) == ("received", 1, 2, 1)
    assert (await trade.shelf()).on_hand == 8
    (notice,) = await _told(trade)
    assert notice.settled_at is not None
    with pytest.raises(Conflict):
        await trade.cancel(transfer)


async def _told(trade: Trade) -> list[Notification]:
    async with trade.shop.unit() as unit:
        await matters.tell(unit)
    async with trade.shop.store.reader(trade.shop.tenant_id) as session:
        query = select(Notification).where(Notification.kind == "transfer-short")
        return list(await session.scalars(query))


async def test_a_plan_that_is_called_off_frees_the_units(trade: Trade) -> None:
    transfer = await trade.plan(10)
    with pytest.raises(Conflict):
        await trade.plan(1)
    with pytest.raises(InvalidInput):
        await trade.cancel(transfer, came_back=1)
    with pytest.raises(VersionMismatch):
        await trade.cancel(transfer, expected_version=9)
    await trade.cancel(transfer, expected_version=1)
    assert (await trade.see(transfer)).state == "cancelled"
    again = await trade.plan(10)
    await trade.send(again, units=7)
    assert ((await trade.shelf()).on_hand, (await trade.see(again)).under_way) == (3, 7)


STEPS = st.lists(
    st.tuples(st.sampled_from(["plan", "send", "arrive", "cancel", "home", "sell"]), st.integers(1, 6)), max_size=14
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, mode=st.sampled_from(["escrow", "pooled"]))
async def test_whatever_happens_every_unit_is_in_one_place(shop: Shop, steps: list[tuple[str, int]], mode: str) -> None:
    trade = await make_trade(await Shop(shop.store).found(), mode=mode)
    made: list[UUID] = []
    at_amazon = sold = 0
    for step, number in steps:
        which = made[number % len(made)] if made else new_id()
        before = [await trade.see(each) for each in made], (await trade.shelf()).on_hand
        try:
            if step == "plan":
                made.append(await trade.plan(number))
            elif step == "send":
                await trade.send(which)
            elif step == "sell" and at_amazon:
                await trade.sell_there(1)
                at_amazon, sold = at_amazon - 1, sold + 1
            elif step == "arrive":
                at_amazon += min(number, sum([(await trade.see(each)).under_way for each in made]))
                await trade.report(at_amazon)
            elif step == "cancel":
                await trade.cancel(which)
            elif step == "home":
                await trade.cancel(which, came_back=number)
        except (Conflict, InvalidInput, NotFound):
            assert ([await trade.see(each) for each in made], (await trade.shelf()).on_hand) == before, "refused whole"
        seen = [await trade.see(each) for each in made]
        own = await trade.shelf()
        planned = sum(each.planned for each in seen if each.state == "planned")
        assert own.on_hand + sum(each.under_way + each.missing for each in seen) + at_amazon + sold == 10
        assert own.on_hand - own.reserved >= planned, "nobody else was given them"
        assert sum(each.received for each in seen) == at_amazon + sold
