"""Orders with suppliers: placed once, received once, with freight and duty in the cost of what came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from shop import Goods, Shop, open_store

from flipsync.domain.clock import ManualClock
from flipsync.domain.errors import Conflict, FlipSyncError, InvalidInput, NotFound, VersionMismatch
from flipsync.domain.ids import new_id
from flipsync.domain.purchase_events import PurchaseReceived
from flipsync.services import goods_in, lead_times, purchase_orders, reading_purchasing, suppliers
from flipsync.services.lead_times import lead_time
from flipsync.services.purchase_orders import Wanted
from flipsync.services.reading_page import SortedRequest
from flipsync.services.suppliers import OfferForm, SupplierEdit, SupplierForm
from flipsync.services.why import explain
from flipsync.store.models import PurchaseOrder, Supplier
from flipsync.store.repositories.suppliers import Shown

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MONDAY)


@pytest.fixture
async def shop(database_urls: dict[str, str], clock: ManualClock) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"], clock=clock)
    yield await Shop(store).found()
    await store.aclose()


async def supplier_of(shop: Shop, offers: dict[Goods, OfferForm] | None = None, **form: Any) -> UUID:
    async with shop.unit() as unit:
        made = await suppliers.create(unit, SupplierForm(**({"name": f"wholesale {new_id()}"} | form)))
        for goods, offer in (offers or {}).items():
            await suppliers.put_offer(unit, made.id, goods.variant_id, offer)
    return made.id


async def order_of(shop: Shop, supplier: UUID, wanted: dict[Goods, Wanted], **charges: int) -> UUID:
    """Written, placed by hand, and with the supplier."""
    async with shop.unit() as unit:
        lines = {goods.variant_id: each for goods, each in wanted.items()}
        order = await purchase_orders.draft(unit, supplier, lines, **charges)
        await purchase_orders.place(unit, order.id)
        await purchase_orders.ordered(unit, order.id)
    return order.id


async def arrive(shop: Shop, order: UUID, units: dict[Goods, int], key: str = "", **more: Any) -> PurchaseOrder:
    async with shop.unit() as unit:
        told = {goods.variant_id: count for goods, count in units.items()}
        return await goods_in.receive(unit, order, told, key=key or f"delivery {new_id()}", **more)


async def view(shop: Shop, order: UUID) -> reading_purchasing.PurchaseOrderView:
    async with shop.store.reader(shop.tenant_id) as session:
        return await reading_purchasing.get_order(session, order, costs=True)


async def layers(shop: Shop, goods: Goods) -> list[tuple[int, int]]:
    query = "SELECT units, landed_minor FROM stock_receipt WHERE stock_item_id = :id ORDER BY at, id"
    return [(row.units, row.landed_minor) for row in await shop.rows(query, id=goods.stock_item_id)]


async def test_freight_and_duty_are_in_the_cost_of_what_comes_to_the_cent(shop: Shop) -> None:
    cups, pots = await shop.variant(cost=None), await shop.variant(cost=None)
    supplier = await supplier_of(shop)
    order = await order_of(
        shop, supplier, {cups: Wanted(7, 1000), pots: Wanted(3, 2000)}, freight_minor=500, duty_minor=101
    )
    for each in range(7):
        await arrive(shop, order, {cups: 1, **({pots: 3} if each == 2 else {})})
    told = await view(shop, order)
    assert told.state == "received" and told.received_at == MONDAY
    assert (await shop.item(cups)).on_hand == 7 and (await shop.item(pots)).on_hand == 3
    cup, pot = await layers(shop, cups), await layers(shop, pots)
    assert sum(minor for _, minor in cup + pot) == 1000 + 2000 + 601, "every cent, in nine parts"
    assert pot == [(3, 2401)] and sum(minor for _, minor in cup) == 1200
    assert max(minor for _, minor in cup) - min(minor for _, minor in cup) <= 1
    assert {each.sku: each.landed.amount_minor for each in told.lines if each.landed} == {
        cups.sku: 1200,
        pots.sku: 2401,
    }
    assert [fact["complete"] for fact in await shop.events(PurchaseReceived)] == [False] * 6 + [True]


async def test_the_same_delivery_told_twice_is_booked_once_and_another_under_its_key_is_refused(shop: Shop) -> None:
    cups = await shop.variant()
    order = await order_of(shop, await supplier_of(shop), {cups: Wanted(10, 1000)})
    for _ in range(2):
        await arrive(shop, order, {cups: 4}, key="slip 17")
    with pytest.raises(Conflict, match=r"4 units of .* are booked under this key, not 5"):
        await arrive(shop, order, {cups: 5}, key="slip 17")
    assert (await shop.item(cups)).on_hand == 4 and len(await layers(shop, cups)) == 1
    await arrive(shop, order, {cups: 6})
    assert (await view(shop, order)).state == "received"
    again = await arrive(shop, order, {cups: 4}, key="slip 17")
    assert again.state == "received", "a repeat is harmless even then"
    assert (await shop.item(cups)).on_hand == 10


async def test_two_who_book_the_same_delivery_at_once_book_it_once(shop: Shop) -> None:
    cups = await shop.variant()
    order = await order_of(shop, await supplier_of(shop), {cups: Wanted(10, 1000)})
    await asyncio.gather(*(arrive(shop, order, {cups: 6}, key="one slip") for _ in range(4)))
    assert (await shop.item(cups)).on_hand == 6
    found = await asyncio.gather(*(arrive(shop, order, {cups: 3}) for _ in range(3)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in found) == ["Conflict", "Conflict", "PurchaseOrder"]
    assert (await shop.item(cups)).on_hand == 9


@pytest.mark.parametrize(
    ("units", "error", "says"),
    [
        (11, Conflict, "10 units of .* were ordered and 0 arrived: 11 more are too many"),
        (0, InvalidInput, "0 units"),
        (-3, InvalidInput, "-3 units"),
        (10**9, InvalidInput, "cannot arrive"),
    ],
)
async def test_what_cannot_have_arrived_is_refused_whole(
    shop: Shop, units: int, error: type[FlipSyncError], says: str
) -> None:
    cups, pots = await shop.variant(), await shop.variant()
    order = await order_of(shop, await supplier_of(shop), {cups: Wanted(10, 1000), pots: Wanted(5, 500)})
    with pytest.raises(error, match=says):
        await arrive(shop, order, {pots: 5, cups: units})
    assert (await shop.item(pots)).on_hand == 0, "nothing of the delivery is booked"
    assert (await view(shop, order)).state == "ordered"


async def test_goods_of_another_order_and_nothing_at_all_are_refused(shop: Shop) -> None:
    cups, pots = await shop.variant(), await shop.variant()
    order = await order_of(shop, await supplier_of(shop), {cups: Wanted(10, 1000)})
    with pytest.raises(InvalidInput, match="has no line of") as refused:
        await arrive(shop, order, {pots: 1})
    assert cups.sku in refused.value.hint
    with pytest.raises(InvalidInput, match="nothing arrived"):
        await arrive(shop, order, {})
    with pytest.raises(NotFound):
        await arrive(shop, new_id(), {cups: 1})


async def test_more_than_ordered_is_booked_when_somebody_says_so_at_what_the_goods_cost(shop: Shop) -> None:
    cups = await shop.variant(cost=None)
    order = await order_of(shop, await supplier_of(shop), {cups: Wanted(10, 1000)}, freight_minor=200)
    await arrive(shop, order, {cups: 12}, more_than_ordered=True)
    assert await layers(shop, cups) == [(12, 1400)]
    await arrive(shop, order, {cups: 1}, more_than_ordered=True)
    assert await layers(shop, cups) == [(12, 1400), (1, 100)]
    told = await view(shop, order)
    assert (told.state, told.lines[0].received) == ("received", 13)


async def test_a_delivery_that_would_cost_more_than_there_is_money_is_a_mistake(shop: Shop) -> None:
    cups = await shop.variant()
    order = await order_of(shop, await supplier_of(shop), {cups: Wanted(1, 10**12)})
    with pytest.raises(InvalidInput, match="is a mistake"):
        await arrive(shop, order, {cups: 10_000_000}, more_than_ordered=True)
    with pytest.raises(InvalidInput, match="a mistake"):
        await order_of(shop, await supplier_of(shop), {cups: Wanted(1, 9 * 10**12)}, freight_minor=10**12)
    assert (await shop.item(cups)).on_hand == 0


async def test_an_order_that_was_called_off_takes_nothing_and_says_where_to_book_it(shop: Shop) -> None:
    cups = await shop.variant()
    order = await order_of(shop, await supplier_of(shop), {cups: Wanted(10, 1000)})
    async with shop.unit() as unit:
        await purchase_orders.cancel(unit, order, "too dear")
    with pytest.raises(Conflict, match="is cancelled") as refused:
        await arrive(shop, order, {cups: 1})
    assert "/inventory/receipts" in refused.value.hint
    with pytest.raises(Conflict, match="is cancelled already"):
        async with shop.unit() as unit:
            await purchase_orders.cancel(unit, order, "again")


async def test_what_never_came_of_a_part_is_given_up_and_what_came_stays(shop: Shop) -> None:
    cups = await shop.variant()
    order = await order_of(shop, await supplier_of(shop), {cups: Wanted(10, 1000)})
    await arrive(shop, order, {cups: 4})
    async with shop.unit() as unit:
        await purchase_orders.cancel(unit, order, "they are out of it")
    told = await view(shop, order)
    assert (told.state, told.closed_at, told.cancelled_at) == ("received", MONDAY, None)
    assert (await shop.item(cups)).on_hand == 4
    with pytest.raises(Conflict):
        await arrive(shop, order, {cups: 1})


async def test_freight_is_told_before_the_first_goods_are_booked(shop: Shop) -> None:
    cups = await shop.variant(cost=None)
    order = await order_of(shop, await supplier_of(shop), {cups: Wanted(10, 1000)})
    version = (await view(shop, order)).version
    async with shop.unit() as unit:
        await purchase_orders.charge(unit, order, freight_minor=300, duty_minor=0, expected_version=version)
    with pytest.raises(VersionMismatch):
        async with shop.unit() as unit:
            await purchase_orders.charge(unit, order, freight_minor=400, duty_minor=0, expected_version=version)
    await arrive(shop, order, {cups: 5})
    assert await layers(shop, cups) == [(5, 650)]
    with pytest.raises(Conflict, match="has its cost"):
        async with shop.unit() as unit:
            version = (await reading_purchasing.get_order(unit.session, order, costs=True)).version
            await purchase_orders.charge(unit, order, freight_minor=900, duty_minor=0, expected_version=version)


async def test_an_offer_is_in_whole_packs_and_in_the_goods_currency_and_while_it_is_valid(
    shop: Shop, clock: ManualClock
) -> None:
    cups = await shop.variant()
    until = MONDAY + timedelta(days=1)
    offer = OfferForm(pack_cost_minor=5000, pack_units=12, least_units=24, valid_until=until)
    supplier = await supplier_of(shop, {cups: offer})

    async def draft(units: int, cost: int | None = None) -> Any:
        async with shop.unit() as unit:
            return await purchase_orders.draft(unit, supplier, {cups.variant_id: Wanted(units, cost)})

    for units in (25, 12):
        with pytest.raises(InvalidInput, match="packs of 12, 24 units or more"):
            await draft(units)
    assert (await view(shop, (await draft(36)).id)).goods is not None
    (line,) = (await view(shop, (await draft(36)).id)).lines
    assert line.cost is not None and line.cost.amount_minor == 15000
    assert (await draft(5, 2500)).state == "draft", "a person who says what it costs may order otherwise"
    clock.advance(timedelta(days=2))
    with pytest.raises(InvalidInput, match="offers no"):
        await draft(24)
    euros = await supplier_of(shop, currency="EUR")
    with pytest.raises(InvalidInput, match="asks EUR"):
        async with shop.unit() as unit:
            await suppliers.put_offer(unit, euros, cups.variant_id, OfferForm(pack_cost_minor=100))
    with pytest.raises(InvalidInput, match="two lines"):
        purchase_orders.wanted([(cups.variant_id, Wanted(1)), (cups.variant_id, Wanted(2))])


async def test_lead_times_are_learned_from_what_came_and_from_what_is_overdue(shop: Shop, clock: ManualClock) -> None:
    cups = await shop.variant()
    supplier = await supplier_of(shop, lead_mean_days=10, lead_spread_days=2)

    async def known() -> lead_times.LeadTime:
        async with shop.store.reader(shop.tenant_id) as session:
            row = await session.get_one(Supplier, supplier)
            return (await lead_times.of_suppliers(session, clock.now(), [row]))[supplier]

    assert (await known()).orders == 0
    first = await order_of(shop, supplier, {cups: Wanted(4, 100)})
    assert (await view(shop, first)).expected_at == MONDAY + timedelta(days=10)
    clock.advance(timedelta(days=5))
    assert (await known()).orders == 0, "under way and not late: it says nothing yet"
    await arrive(shop, first, {cups: 4})
    once = await known()
    assert (once.orders, once.mean) == (1, (3 * 10 + 5) / 4)
    await order_of(shop, supplier, {cups: Wanted(4, 100)})
    clock.advance(timedelta(days=40))
    late = await known()
    assert late.orders == 2 and late.mean == pytest.approx((3 * 10 + 5 + 40) / 5), "overdue at its age"
    assert late.spread > once.spread


def test_a_stated_lead_time_counts_as_three_orders() -> None:
    nobody = UUID(int=0)
    assert lead_time(10, 2, None).mean == 10
    many = lead_time(10, 2, Shown(nobody, 997, 20.0, 9.0))
    assert many.mean == pytest.approx(19.97) and many.spread == pytest.approx(3.05, abs=0.01)
    assert lead_time(10, 0, None).chance_within(9.9) == 0 and lead_time(10, 0, None).chance_within(10) == 1
    assert lead_time(10, 2, None).chance_within(lead_time(10, 2, None).latest) == pytest.approx(0.9, abs=1e-3)


async def test_a_supplier_keeps_its_name_and_its_version(shop: Shop) -> None:
    first, second = await supplier_of(shop, name="Teapots"), await supplier_of(shop, name="Cups")
    with pytest.raises(Conflict):
        await supplier_of(shop, name="Teapots")
    for edit, error in (
        (SupplierEdit(name="Teapots"), Conflict),
        (SupplierEdit(lead_mean_days=None), InvalidInput),
    ):
        with pytest.raises(error):
            async with shop.unit() as unit:
                await suppliers.edit(unit, second, edit, 1)
    async with shop.unit() as unit:
        changed = await suppliers.edit(unit, first, SupplierEdit(email="orders@teapots.example", active=False), 1)
        assert (changed.version, changed.email) == (2, "orders@teapots.example")
    with pytest.raises(VersionMismatch):
        async with shop.unit() as unit:
            await suppliers.edit(unit, first, SupplierEdit(active=True), 1)
    cups = await shop.variant()
    with pytest.raises(Conflict, match="nothing is bought from Teapots any more"):
        await order_of(shop, first, {cups: Wanted(1, 100)})
    for wrong in ("a@b.example, c@d.example", "a@b.example\nBcc: c@d.example", "teapots"):
        with pytest.raises(ValueError, match="mail address"):
            SupplierForm(name="x", email=wrong)


async def test_why_tells_of_an_order_by_its_number_and_of_a_supplier_by_its_name(shop: Shop) -> None:
    cups = await shop.variant()
    supplier = await supplier_of(shop, name="Teapots & more")
    order = await order_of(shop, supplier, {cups: Wanted(10, 1000)})
    await arrive(shop, order, {cups: 4})
    async with shop.store.reader(shop.tenant_id) as session:
        told = await explain(session, "PO-1")
        by_id = await explain(session, str(order))
        of_supplier = await explain(session, "Teapots & more")
    assert told == by_id and "4 of 10 units arrived" in told.summary
    steps = [step.text for step in told.chains[0].steps]
    assert any("4 units of purchase order 1 with Teapots & more arrived" in text for text in steps), steps
    assert "order 1" in of_supplier.now[0].name


async def test_another_business_has_no_part_in_it(shop: Shop) -> None:
    cups = await shop.variant()
    supplier = await supplier_of(shop)
    order = await order_of(shop, supplier, {cups: Wanted(10, 1000)})
    stranger = await Shop(shop.store).found()
    theirs = await stranger.variant()
    with pytest.raises(NotFound):
        await arrive(stranger, order, {cups: 1})
    with pytest.raises(NotFound):
        await order_of(stranger, supplier, {theirs: Wanted(1, 100)})
    own = await supplier_of(stranger)
    with pytest.raises(NotFound, match="no variant"):
        await order_of(stranger, own, {cups: Wanted(1, 100)})
    async with stranger.store.reader(stranger.tenant_id) as session:
        nothing = reading_purchasing.OrderFilter(supplier_id=supplier)
        assert (await reading_purchasing.list_orders(session, SortedRequest(), nothing, costs=True)).items == []
