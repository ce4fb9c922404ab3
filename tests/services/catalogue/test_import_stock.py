"""What re-imports do to the shelf while goods are being sold: units that were sold never come back."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import select

from flipsync.domain.ids import new_id
from flipsync.services import stock
from flipsync.services.catalogue import read_catalogue
from flipsync.services.catalogue_import import ImportOutcome, import_catalogue
from flipsync.store.models import (
    AgentTask,
    EventRecord,
    Listing,
    MarketplaceAccount,
    Product,
    StockItem,
    StockMovement,
    Variant,
)
from flipsync.store.repositories import catalogue as catalogue_rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import stock as ledger

if TYPE_CHECKING:
    from conftest import Shop


async def bring(shop: Shop, **quantity_by_sku: int | str) -> ImportOutcome:
    """Import a file of these SKUs; a blank quantity is written as ""."""
    return await bring_with(shop, {}, **quantity_by_sku)


async def bring_with(shop: Shop, options: dict[str, Any], **quantity_by_sku: int | str) -> ImportOutcome:
    lines = ["sku,title,price,quantity"] + [f"{sku},Thing {sku},9,{n}" for sku, n in quantity_by_sku.items()]
    catalogue = read_catalogue("\n".join(lines).encode(), currency="USD")
    return await import_catalogue(shop.store, shop.tenant_id, catalogue, file_name="stock.csv", **options)


async def item_of(shop: Shop, sku: str) -> StockItem:
    async with shop.store.reader(shop.tenant_id) as session:
        query = select(StockItem).join(Variant, Variant.id == StockItem.variant_id).where(Variant.sku == sku)
        return (await session.scalars(query)).one()


async def on_hand(shop: Shop, sku: str = "A") -> int:
    return (await item_of(shop, sku)).on_hand


async def variant_of(shop: Shop, sku: str = "A") -> Variant:
    async with shop.store.reader(shop.tenant_id) as session:
        return (await session.scalars(select(Variant).where(Variant.sku == sku))).one()


async def sell(shop: Shop, units: int, sku: str = "A", *, shipped: bool = True) -> None:
    """A buyer takes units: reserved, and out of the house when `shipped`."""
    item = await item_of(shop, sku)
    async with shop.store.unit(shop.tenant_id) as unit:
        locked = await ledger.lock_item(unit.session, item.id)
        assert locked is not None
        assert await ledger.move(unit, locked, "reserve", reserved=units, key=f"reserve:{new_id()}")
        if shipped:
            assert await ledger.move(unit, locked, "ship", on_hand=-units, reserved=-units, key=f"ship:{new_id()}")


async def offer(shop: Shop, sku: str = "A") -> UUID:
    """List the variant on a channel that is granted everything free. Returns the listing's id."""
    item = await item_of(shop, sku)
    account, listing = new_id(), new_id()
    async with shop.store.unit(shop.tenant_id) as unit:
        unit.session.add(
            MarketplaceAccount(
                id=account,
                tenant_id=shop.tenant_id,
                vendor="custom",
                name=str(account),
                config={},
                credentials_encrypted=b"",
                webhook_token=str(account),
            )
        )
        await unit.session.flush()
        unit.session.add(
            Listing(
                id=listing,
                tenant_id=shop.tenant_id,
                account_id=account,
                variant_id=item.variant_id,
                sku=sku,
                title=sku,
                currency="USD",
                status="active",
            )
        )
        await unit.session.flush()
        await ledger.ensure_allocation(unit, listing, item.id)
        await stock.set_targets(unit, item.id, {listing: item.on_hand - item.reserved})
        await unit.session.flush()
        await stock.grant(unit, listing)
        await stock.shown(unit, listing)
    return listing


async def facts(shop: Shop) -> Counter[str]:
    async with shop.store.reader(shop.tenant_id) as session:
        return Counter((await session.scalars(select(EventRecord.type))).all())


async def test_the_same_file_after_sales_brings_nothing_back(shop: Shop) -> None:
    await bring(shop, A=5, B=2)
    await sell(shop, 3)
    again = await bring(shop, A=5, B=2)
    assert (again.units_received, again.stock_counts, again.report.problems) == (0, 0, [])
    assert (await on_hand(shop, "A"), await on_hand(shop, "B")) == (2, 2)


async def test_a_raised_figure_receives_what_was_added(shop: Shop) -> None:
    await bring(shop, A=5)
    await sell(shop, 2)
    outcome = await bring(shop, A=8)
    assert (outcome.units_received, outcome.stock_counts) == (3, 0)
    assert await on_hand(shop) == 6
    assert (await variant_of(shop)).imported_quantity == 8


async def test_a_lowered_figure_takes_off_what_was_removed(shop: Shop) -> None:
    await bring(shop, A=5)
    await sell(shop, 1)
    outcome = await bring(shop, A=3)
    assert (outcome.units_received, outcome.stock_counts) == (0, 1)
    assert await on_hand(shop) == 2


@pytest.mark.parametrize("figures", [(8, 5), (3, 5), (0, 5), (8, 3, 5), (1, 9, 5), (5, 5)])
async def test_files_in_any_order_end_where_the_last_one_says(shop: Shop, figures: tuple[int, ...]) -> None:
    await bring(shop, A=5)
    await sell(shop, 4)
    for figure in figures:
        await bring(shop, A=figure)
    assert await on_hand(shop) == 5 - 4


async def test_units_already_sold_cannot_be_taken_off(shop: Shop) -> None:
    await bring(shop, A=5)
    await sell(shop, 4)
    outcome = await bring(shop, A=2)
    assert await on_hand(shop) == 0
    assert (await variant_of(shop)).imported_quantity == 4, "only one of three units was there to take off"
    (problem,) = outcome.report.problems
    assert "2 of 3 fewer units were sold" in problem.reason


async def test_what_belongs_to_buyers_stays_when_the_figure_falls(shop: Shop) -> None:
    await bring(shop, A=5)
    await sell(shop, 4, shipped=False)
    outcome = await bring(shop, A=3)
    item = await item_of(shop, "A")
    assert (item.on_hand, item.reserved) == (4, 4)
    assert "1 of 2 fewer units were sold" in outcome.report.problems[0].reason


async def test_a_count_is_taken_at_its_word(shop: Shop) -> None:
    await bring(shop, A=5)
    await sell(shop, 2)
    outcome = await bring_with(shop, {"quantities": "count"}, A=5)
    assert (outcome.stock_counts, outcome.units_received) == (1, 0)
    assert await on_hand(shop) == 5, "somebody counted five"
    await bring(shop, A=6)
    assert await on_hand(shop) == 6, "differences go on from the count"


async def test_a_first_figure_for_a_variant_without_stock_is_received(shop: Shop) -> None:
    await bring(shop, A="")
    assert (await variant_of(shop)).imported_quantity is None
    outcome = await bring(shop, A=4)
    assert outcome.units_received == 4
    assert await on_hand(shop) == 4


async def test_a_blank_figure_says_nothing(shop: Shop) -> None:
    await bring(shop, A=4)
    await bring(shop, A="")
    assert (await variant_of(shop)).imported_quantity == 4
    await bring(shop, A=5)
    assert await on_hand(shop) == 5


async def test_stock_entered_by_hand_is_not_doubled_by_a_first_figure(shop: Shop) -> None:
    await bring(shop, A="")
    variant = await variant_of(shop)
    async with shop.store.unit(shop.tenant_id) as unit:
        await stock.receive(unit, variant.id, 7, key="by hand", mode="escrow")
    outcome = await bring(shop, A=8)
    assert await on_hand(shop) == 7
    assert "it is not from a file" in outcome.report.problems[0].reason
    await bring(shop, A=9)
    assert await on_hand(shop) == 8


async def test_changed_stock_alone_does_not_make_goods_look_edited(shop: Shop) -> None:
    await bring(shop, A=5)
    before = await variant_of(shop), await facts(shop)
    outcome = await bring(shop, A=9)
    assert (outcome.variants_updated, outcome.variants_unchanged) == (0, 1)
    assert (await variant_of(shop)).updated_at == before[0].updated_at
    assert await facts(shop) == before[1]


async def test_nobody_is_woken_for_goods_that_are_not_listed(shop: Shop) -> None:
    await bring(shop, **{f"SKU{i}": 3 for i in range(50)})
    await bring(shop, **{f"SKU{i}": 2 + i % 3 for i in range(50)})
    assert sum([await on_hand(shop, f"SKU{i}") for i in range(50)]) == sum(2 + i % 3 for i in range(50))
    assert "StockMoved" not in await facts(shop)
    async with shop.store.reader(shop.tenant_id) as session:
        assert (await session.scalars(select(AgentTask))).all() == []


async def test_goods_that_are_listed_wake_the_inventory_agent(shop: Shop) -> None:
    await bring(shop, A=5, B=5)
    await offer(shop, "A")
    await bring(shop, A=8, B=8)
    async with shop.store.reader(shop.tenant_id) as session:
        moved = (await session.scalars(select(EventRecord).where(EventRecord.type == "StockMoved"))).all()
        tasks = (await session.scalars(select(AgentTask.agent))).all()
    a = await item_of(shop, "A")
    assert [(e.subject_id, e.payload["kind"], e.payload["quantity"]) for e in moved] == [(a.id, "receive", 3)]
    assert tasks == ["inventory"]
    assert await facts(shop) == {"ProductImported": 2, "StockMoved": 1, "StockFreed": 1}


async def test_units_a_channel_still_offers_go_when_it_lets_go(shop: Shop) -> None:
    await bring(shop, A=5)
    listing = await offer(shop)
    await bring(shop, A=3)
    item = await item_of(shop, "A")
    assert (item.on_hand, item.pending_count) == (5, 3), "the channel may sell all five until it is told"
    await bring(shop, A=4)
    assert (await item_of(shop, "A")).pending_count == 4
    async with shop.store.unit(shop.tenant_id) as unit:
        await stock.let_go(unit, listing, 4)
    item = await item_of(shop, "A")
    assert (item.on_hand, item.allocated, item.pending_count) == (4, 4, None)


async def test_a_fall_taken_back_before_the_channel_let_go_changes_nothing(shop: Shop) -> None:
    await bring(shop, A=5)
    await offer(shop)
    await bring(shop, A=3)
    await bring(shop, A=5)
    item = await item_of(shop, "A")
    assert (item.on_hand, item.pending_count) == (5, None)


async def test_more_units_do_not_cover_what_was_sold_before_a_channel_knew_there_were_fewer(shop: Shop) -> None:
    await bring(shop, A=5)
    listing = await offer(shop)
    await bring(shop, A=2)
    async with shop.store.unit(shop.tenant_id) as unit:
        allocation = await ledger.allocation_of(unit.session, listing)
        assert allocation is not None
        allocation.entitled -= 4
        await unit.session.flush()
    await sell(shop, 4, shipped=False)
    outcome = await bring(shop, A=3)
    assert "4 belong to buyers" in outcome.report.problems[0].reason
    assert (await variant_of(shop)).imported_quantity == 2, "it can be booked when a person has settled it"
    await bring(shop, A=4)
    item = await item_of(shop, "A")
    assert (item.on_hand - item.allocated, item.reserved, item.pending_count) == (4, 4, 4)


async def test_movements_say_where_they_come_from(shop: Shop) -> None:
    await bring(shop, A=5)
    await bring(shop, A=8)
    await bring(shop, A=6)
    async with shop.store.reader(shop.tenant_id) as session:
        moves = (await session.scalars(select(StockMovement).order_by(StockMovement.id))).all()
    assert [(m.kind, m.on_hand_delta, m.note) for m in moves] == [
        ("receive", 5, "catalogue import"),
        ("receive", 3, "catalogue import"),
        ("count", -2, "catalogue import"),
    ]


async def test_goods_can_be_listed_while_an_import_works_on_them(shop: Shop) -> None:
    await bring(shop, A=5)
    async with shop.store.unit(shop.tenant_id) as unit:
        assert await catalogue_rows.variants_by_sku(unit.session, ["A"], lock=True)
        async with asyncio.timeout(10):
            await offer(shop)  # refers to the locked variant
    assert (await item_of(shop, "A")).allocated == 5


async def test_an_order_that_came_first_is_seen_by_the_import_that_waited_for_it(shop: Shop) -> None:
    await bring(shop, A=5)
    item = await item_of(shop, "A")
    async with shop.store.unit(shop.tenant_id) as unit:
        locked = await ledger.lock_item(unit.session, item.id)
        assert locked is not None
        importing = asyncio.create_task(bring(shop, A=2))
        await asyncio.sleep(0.3)
        assert not importing.done()
        assert await ledger.move(unit, locked, "reserve", reserved=3, key="sold")
    await importing
    after = await item_of(shop, "A")
    assert (after.on_hand, after.reserved) == (3, 3)


async def bring_product(shop: Shop, published: str, condition: str = "") -> None:
    text = f"sku,title,price,published,condition\nA,Thing,9,{published},{condition}\n"
    catalogue = read_catalogue(text.encode(), currency="USD")
    await import_catalogue(shop.store, shop.tenant_id, catalogue, file_name="products.csv")


async def test_drafts_are_known_but_not_to_be_listed_until_published(shop: Shop) -> None:
    await bring_product(shop, "draft", "used")
    account = new_id()  # no listing there, so everything that may be listed is to be

    async def offered() -> tuple[int, int]:
        async with shop.store.reader(shop.tenant_id) as session:
            (product,) = (await session.scalars(select(Product))).all()
            variants = await listing_rows.variants_to_list(session, product.id, account)
            return len(variants), len(await listing_rows.products_not_on(session, account))

    assert (await variant_of(shop)).condition == "used"
    assert await offered() == (0, 0)
    await bring_product(shop, "")
    assert await offered() == (0, 0), "a file that does not say leaves a draft a draft"
    await bring_product(shop, "yes")
    assert await offered() == (1, 1)
    assert (await variant_of(shop)).condition == "used", "a blank cell erases nothing"
    assert (await facts(shop))["ProductImported"] == 2
    await bring_product(shop, "no")
    assert await offered() == (0, 0)


async def bring_words(shop: Shop, header: str, *rows: str) -> None:
    """Import a file of these columns."""
    catalogue = read_catalogue("\n".join([header, *rows]).encode(), currency="USD")
    await import_catalogue(shop.store, shop.tenant_id, catalogue, file_name="words.csv")


async def outdated(shop: Shop) -> Counter[str]:
    """How often each listing was said to be outdated."""
    async with shop.store.reader(shop.tenant_id) as session:
        subjects = await session.scalars(select(EventRecord.subject_id).where(EventRecord.type == "ListingOutdated"))
        return Counter(str(subject) for subject in subjects)


async def test_live_listings_hear_of_edited_words_once_and_of_nothing_else(shop: Shop) -> None:
    header = "sku,title,price,quantity,cost,description,barcode"
    await bring_words(shop, header, "A,Pot,9,5,4,,", "B,Cup,9,5,4,,")
    listing = str(await offer(shop, "A"))
    await bring_words(shop, header, "A,Pot,9,5,4,,", "B,Cup,9,5,4,,")
    await bring_words(shop, header, "A,Pot,8,7,3,,", "B,Mug,9,5,4,,")
    assert await outdated(shop) == {}, "stock, cost, price, and goods that are listed nowhere"
    await bring_words(shop, header, "A,Tea pot,8,7,3,Holds a litre,4006381333931", "B,Mug,9,5,4,,")
    assert await outdated(shop) == {listing: 1}, "product and variant changed: told once"


async def test_live_listings_hear_of_a_variants_own_particulars(shop: Shop) -> None:
    header = "sku,title,price,quantity,barcode"
    await bring_words(shop, header, "A,Pot,9,5,")
    listing = str(await offer(shop, "A"))
    await bring_words(shop, header, "A,Pot,9,5,4006381333931")
    assert await outdated(shop) == {listing: 1}


async def test_withdrawing_a_product_is_told_and_what_ended_is_not(shop: Shop) -> None:
    header = "Handle,Title,Published,Variant SKU,Variant Price,Variant Inventory Qty"
    await bring_words(shop, header, "pot,Pot,true,A,9,5", "cup,Cup,true,B,9,5")
    listing, ended = str(await offer(shop, "A")), await offer(shop, "B")
    async with shop.store.unit(shop.tenant_id) as unit:
        await listing_rows.set_status(unit, ended, "ended")
    await bring_words(shop, header, "pot,Pot,false,A,9,5", "cup,Cup,false,B,9,5")
    assert await outdated(shop) == {listing: 1}
