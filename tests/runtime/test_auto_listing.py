"""New stock, from a line of a file to a live listing, by the automation that comes with FlipSync."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from automations import House
from stall import Stall

from flipsync.runtime.effects import EffectWorker
from flipsync.services.catalogue import read_catalogue
from flipsync.services.catalogue_import import import_catalogue
from flipsync.store.models import Product, Variant


@pytest.fixture
async def house(stall: Stall, hire: Callable[..., EffectWorker]) -> House:
    return House(stall, hire())


async def arrives(house: House, row: str) -> UUID:
    """A file with one line of new goods; the product it made."""
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


async def test_a_bare_line_becomes_a_live_listing(house: House) -> None:
    for _ in range(10):  # how the owner prices: three times the cost
        await house.shop.variant(price=3000, cost=1000)
    view = await house.switch_on()
    product = await arrives(house, "N-1,Stapler red thirty sheets,Leitz,Staplers,4006381333931,,10.00,2")
    await house.settle(seconds=40)
    (run,) = await house.runs(view.id)
    assert (run.state, [step.state for step in run.steps]) == ("done", ["done"] * 5), run
    assert await listings(house, product) == ["active"]
    (shelf,) = [each for each in house.stall.channel.shelves.values() if each.sku == "N-1"]
    assert shelf.price is not None and shelf.price.amount_minor == 3009
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        assert "Brand: Leitz" in (await session.get_one(Product, product)).description_html


async def test_what_it_is_is_asked_first_and_nothing_is_listed_meanwhile(house: House) -> None:
    view = await house.switch_on()
    product = await arrives(house, "N-2,Thing,,,,29.99,10.00,2")
    await house.settle(seconds=40)
    assert await listings(house, product) == []
    assert [run.state for run in await house.runs(view.id)] == ["running"]
    assert await house.answer(approved=False) == 1
    await house.settle(seconds=40)
    assert [run.state for run in await house.runs(view.id)] == ["failed"]
    assert await listings(house, product) == []


async def test_an_unsure_price_is_the_owners_to_say(house: House) -> None:
    view = await house.switch_on()
    product = await arrives(house, "N-3,Stapler blue thirty sheets,Leitz,Staplers,4006381333931,,10.00,900")
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
