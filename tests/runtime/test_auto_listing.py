"""New stock, from what the books know to a live listing, by the automation that comes with FlipSync."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from automations import House
from stall import Stall

from flipsync.domain.events import ProductImported
from flipsync.runtime.effects import EffectWorker
from flipsync.services.catalogue import read_catalogue
from flipsync.services.catalogue_import import import_catalogue
from flipsync.store.models import Product, Variant


@pytest.fixture
async def house(stall: Stall, hire: Callable[..., EffectWorker]) -> House:
    return House(stall, hire())


async def arrives(house: House, **about: Any) -> UUID:
    """New goods are in the books, and nobody has listed them."""
    goods = await house.shop.variant(**{"units": 2, "price": None, "cost": 1000} | about)
    async with house.shop.unit() as unit:
        product = await unit.session.get_one(Product, goods.product_id)
        product.brand, product.category = "Leitz", "Staplers"
        unit.emit(ProductImported(product_id=goods.product_id, created=True))
    return goods.product_id


async def comes_by_file(house: House, row: str) -> UUID:
    sheet = f"sku,title,brand,category,barcode,price,cost,quantity\n{row}\n"
    shop = house.shop
    await import_catalogue(shop.store, shop.tenant_id, read_catalogue(sheet.encode(), currency="USD"), file_name="new")
    (found,) = await shop.rows("SELECT product_id FROM variant WHERE sku = :sku", sku=row.partition(",")[0])
    return UUID(str(found.product_id))


async def listings(house: House, product: UUID) -> list[str]:
    return [
        row.status
        for row in await house.shop.rows(
            "SELECT l.status FROM listing l JOIN variant v ON v.id = l.variant_id WHERE v.product_id = :p", p=product
        )
    ]


async def test_bare_goods_become_a_live_listing(house: House) -> None:
    for _ in range(10):  # how the owner prices: three times the cost
        await house.shop.variant(price=3000, cost=1000)
    view = await house.switch_on()
    product = await arrives(house, title="Stapler red thirty sheets", barcode="4006381333931")
    await house.settle(seconds=40)
    (run,) = await house.runs(view.id)
    assert (run.state, [step.state for step in run.steps]) == ("done", ["done"] * 5), run
    assert await listings(house, product) == ["active"]
    (variant,) = await house.shop.rows("SELECT sku FROM variant WHERE product_id = :p", p=product)
    (shelf,) = [each for each in house.stall.channel.shelves.values() if each.sku == variant.sku]
    assert shelf.price is not None and shelf.price.amount_minor == 3009
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        assert "Brand: Leitz" in (await session.get_one(Product, product)).description_html


async def test_what_it_is_is_asked_first_and_nothing_is_listed_meanwhile(house: House) -> None:
    view = await house.switch_on()
    product = await comes_by_file(house, "N-2,Thing,,,,29.99,10.00,2")
    await house.settle(seconds=40)
    assert await listings(house, product) == []
    assert [run.state for run in await house.runs(view.id)] == ["running"]
    assert await house.answer(approved=False) == 1
    await house.settle(seconds=40)
    assert [run.state for run in await house.runs(view.id)] == ["failed"]
    assert await listings(house, product) == []


async def test_an_unsure_price_is_the_owners_to_say(house: House) -> None:
    view = await house.switch_on()
    product = await arrives(house, title="Stapler blue thirty sheets", barcode="4006381333931", units=900)
    await house.settle(seconds=40)
    (run,) = await house.runs(view.id)
    if run.state == "running":  # the executive has asked
        assert await house.answer(approved=True) == 1
        await house.settle(seconds=40)
        (run,) = await house.runs(view.id)
        assert run.state == "done", run
        async with house.shop.store.reader(house.shop.tenant_id) as session:
            (variant,) = await house.shop.rows("SELECT id FROM variant WHERE product_id = :p", p=product)
            assert (await session.get_one(Variant, variant.id)).price_minor
    else:
        assert run.state == "failed" and run.steps[-1].do == "list-stock", run
