from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

import flipsync
from flipsync.domain.ids import new_id
from flipsync.services import stock
from flipsync.services.catalogue import read_catalogue
from flipsync.services.catalogue_import import ImportOutcome, import_catalogue
from flipsync.store.models import EventRecord, ImportRun, Product, StockItem, StockMovement, Tenant, Variant

if TYPE_CHECKING:
    from conftest import Shop

DEFAULT = Path(flipsync.__file__).parent / "catalogues" / "default.csv"
HEADER = "handle,sku,title,price,cost,floor price,ceiling price,quantity,size,brand\n"
SHIRTS = HEADER + "shirt,S-S,Shirt,20,8,10,40,5,S,Carrow\nshirt,S-M,,20,8,10,40,1,M,\nmug,MUG,Mug,9,,,,,,\n"


async def bring(shop: Shop, text: str | Path, **options: Any) -> ImportOutcome:
    currency = options.pop("currency", "USD")
    ratio = options.pop("default_cost_ratio", None)
    source = bytes(text, "utf-8") if isinstance(text, str) else text
    catalogue = read_catalogue(source, currency=currency, default_cost_ratio=ratio)
    return await import_catalogue(shop.store, shop.tenant_id, catalogue, file_name="test.csv", **options)


async def rows(shop: Shop, model: Any) -> list[Any]:
    async with shop.store.reader(shop.tenant_id) as session:
        return list((await session.scalars(select(model).order_by(model.id))).all())


async def stock_by_sku(shop: Shop) -> dict[str, int]:
    skus = {v.id: v.sku for v in await rows(shop, Variant)}
    return {skus[item.variant_id]: item.on_hand for item in await rows(shop, StockItem)}


async def event_types(shop: Shop) -> Counter[str]:
    return Counter(e.type for e in await rows(shop, EventRecord))


async def test_a_first_import_brings_goods_stock_and_facts(shop: Shop) -> None:
    outcome = await bring(shop, SHIRTS)
    assert (outcome.products_created, outcome.variants_created, outcome.units_received) == (2, 3, 6)
    shirt, mug = sorted(await rows(shop, Product), key=lambda p: p.handle, reverse=True)
    assert (shirt.title, shirt.brand, shirt.option_names, mug.brand) == ("Shirt", "Carrow", ["Size"], None)
    variants = {v.sku: v for v in await rows(shop, Variant)}
    small = variants["S-S"]
    assert (small.price_minor, small.cost_minor, small.floor_minor, small.ceiling_minor) == (2000, 800, 1000, 4000)
    assert small.options == {"Size": "S"}
    assert small.cost_as_of is not None
    assert {sku: v.imported_quantity for sku, v in variants.items()} == {"S-S": 5, "S-M": 1, "MUG": None}
    assert variants["MUG"].cost_minor is None
    assert await stock_by_sku(shop) == {"S-S": 5, "S-M": 1, "MUG": 0}
    assert {m.kind for m in await rows(shop, StockMovement)} == {"receive"}
    assert await event_types(shop) == {"ProductImported": 2}, "no price depends on the cost of what is not listed"
    (run,) = await rows(shop, ImportRun)
    assert run.finished_at is not None
    assert (run.counts["products_created"], run.counts["rows"], run.problems) == (2, 3, [])


async def test_the_same_file_again_changes_nothing(shop: Shop) -> None:
    await bring(shop, SHIRTS)
    before = [(v.id, v.updated_at) for v in await rows(shop, Variant)], await event_types(shop)
    outcome = await bring(shop, SHIRTS)
    assert (outcome.products_unchanged, outcome.variants_unchanged) == (2, 3)
    assert outcome.stock_counts == outcome.units_received == outcome.products_created == 0
    assert before == ([(v.id, v.updated_at) for v in await rows(shop, Variant)], await event_types(shop))


async def test_a_changed_file_updates_in_place_and_takes_units_off_the_shelf(shop: Shop) -> None:
    await bring(shop, SHIRTS)
    ids = {v.sku: v.id for v in await rows(shop, Variant)}
    changed = SHIRTS.replace("S-S,Shirt,20,8,10,40,5", "S-S,Fine shirt,22,9,,,3")
    outcome = await bring(shop, changed)
    assert (outcome.products_updated, outcome.variants_updated, outcome.stock_counts) == (1, 1, 1)
    variants = {v.sku: v for v in await rows(shop, Variant)}
    assert {sku: v.id for sku, v in variants.items()} == ids
    small = variants["S-S"]
    assert (small.price_minor, small.cost_minor) == (2200, 900)
    assert (small.floor_minor, small.ceiling_minor) == (1000, 4000), "a blank cell erases nothing"
    assert await stock_by_sku(shop) == {"S-S": 3, "S-M": 1, "MUG": 0}
    moves = [(m.kind, m.on_hand_delta) for m in await rows(shop, StockMovement)]
    assert moves == [("receive", 5), ("receive", 1), ("count", -2)]
    product = next(p for p in await rows(shop, Product) if p.handle == "shirt")
    assert (product.title, product.version) == ("Fine shirt", 2)


async def test_quantities_of_known_goods_can_be_left_alone(shop: Shop) -> None:
    await bring(shop, SHIRTS)
    await bring(shop, SHIRTS.replace(",5,S,", ",9,S,"), quantities="first")
    assert (await stock_by_sku(shop))["S-S"] == 5


async def test_a_count_below_what_buyers_paid_for_is_a_warning(shop: Shop) -> None:
    await bring(shop, SHIRTS)
    small = next(v for v in await rows(shop, Variant) if v.sku == "S-S")
    item = next(i for i in await rows(shop, StockItem) if i.variant_id == small.id)
    async with shop.store.unit(shop.tenant_id) as unit:
        unit.session.add(
            StockMovement(
                tenant_id=shop.tenant_id,
                stock_item_id=item.id,
                kind="reserve",
                reserved_delta=4,
                key="sold",
                at=unit.now,
            )
        )
    outcome = await bring(shop, SHIRTS.replace(",5,S,", ",2,S,"), quantities="count")
    assert outcome.stock_counts == 0
    assert "belong to buyers" in outcome.report.problems[0].reason
    assert (await stock_by_sku(shop))["S-S"] == 5


async def test_a_dry_run_writes_nothing_and_tells_the_same(shop: Shop) -> None:
    dry = await bring(shop, SHIRTS, dry_run=True)
    for model in (Product, Variant, StockItem, EventRecord, ImportRun):
        assert await rows(shop, model) == []
    wet = await bring(shop, SHIRTS)
    assert dry.counts() == wet.counts()
    assert dry.as_dict()["run_id"] is None
    changed = SHIRTS.replace("S-S,Shirt,20,8,10,40,5", "S-S,Shirt,21,8,10,40,9").replace(",1,M,", ",0,M,")
    dry, wet = await bring(shop, changed, dry_run=True), await bring(shop, changed)
    assert dry.counts() == wet.counts()
    assert (wet.variants_updated, wet.units_received, wet.stock_counts) == (1, 4, 1)


async def test_an_assumed_cost_never_replaces_a_known_one(shop: Shop) -> None:
    await bring(shop, SHIRTS, default_cost_ratio=Decimal("0.5"))
    assert {v.sku: v.cost_minor for v in await rows(shop, Variant)} == {"S-S": 800, "S-M": 800, "MUG": 450}
    blank = SHIRTS.replace("20,8,10", "20,,10")
    await bring(shop, blank, default_cost_ratio=Decimal("0.9"))
    assert {v.sku: v.cost_minor for v in await rows(shop, Variant)} == {"S-S": 800, "S-M": 800, "MUG": 450}


async def test_bounds_that_cross_the_known_ones_are_left_as_they_were(shop: Shop) -> None:
    await bring(shop, SHIRTS)
    outcome = await bring(shop, SHIRTS.replace("S-S,Shirt,20,8,10,40", "S-S,Shirt,20,8,50,"))
    small = next(v for v in await rows(shop, Variant) if v.sku == "S-S")
    assert (small.floor_minor, small.ceiling_minor) == (1000, 4000)
    assert any("contradict" in p.reason for p in outcome.report.problems)


async def test_another_currency_is_refused_for_a_known_sku(shop: Shop) -> None:
    await bring(shop, SHIRTS)
    outcome = await bring(shop, SHIRTS, currency="EUR")
    assert outcome.report.rejected == 3
    assert {v.currency for v in await rows(shop, Variant)} == {"USD"}


async def test_tenants_may_use_the_same_sku_and_do_not_touch_each_other(shop: Shop) -> None:
    await bring(shop, SHIRTS)
    other = type(shop)(shop.store, new_id())
    async with shop.store.unit(other.tenant_id) as unit:
        unit.session.add(Tenant(id=other.tenant_id, name="Other"))
    outcome = await bring(other, SHIRTS.replace("Shirt", "Theirs"))
    assert outcome.variants_created == 3
    assert {p.title for p in await rows(shop, Product)} == {"Shirt", "Mug"}
    assert {p.title for p in await rows(other, Product)} == {"Theirs", "Mug"}


async def test_two_imports_at_once_double_nothing(shop: Shop) -> None:
    outcomes = await asyncio.gather(*(bring(shop, SHIRTS) for _ in range(2)))
    assert sum(o.variants_created for o in outcomes) == 3
    assert await stock_by_sku(shop) == {"S-S": 5, "S-M": 1, "MUG": 0}


async def test_an_import_cut_off_is_finished_by_the_next(shop: Shop) -> None:
    text = HEADER + "".join(f"p{i},SKU-{i},Thing {i},5,2,3,9,1,,\n" for i in range(2_500))
    seen: list[int] = []

    def stop_after_the_first_batch(outcome: ImportOutcome) -> None:
        seen.append(outcome.variants_created)
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        await bring(shop, text, progress=stop_after_the_first_batch)
    assert len(await rows(shop, Variant)) == seen[0] == 1_000
    outcome = await bring(shop, text)
    assert (outcome.variants_unchanged, outcome.variants_created) == (1_000, 1_500)
    assert sum((await stock_by_sku(shop)).values()) == 2_500


async def test_a_counted_shelf_can_be_counted_again(shop: Shop) -> None:
    await bring(shop, SHIRTS)
    await bring(shop, SHIRTS.replace(",5,S,", ",3,S,"))
    await bring(shop, SHIRTS)
    assert (await stock_by_sku(shop))["S-S"] == 5
    item = next(i for i in await rows(shop, StockItem) if i.on_hand == 5)
    async with shop.store.unit(shop.tenant_id) as unit:
        assert await stock.count(unit, item.id, 4, key="by hand") == -1


async def test_the_default_catalogue_is_imported_whole(shop: Shop) -> None:
    outcome = await bring(shop, DEFAULT)
    assert outcome.report.problems == []
    assert outcome.variants_created == outcome.report.variants == len(await rows(shop, Variant))
    assert outcome.units_received == sum((await stock_by_sku(shop)).values()) > 0
