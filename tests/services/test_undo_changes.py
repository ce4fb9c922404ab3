"""What persons changed, taken back: settings, goals and products; once, only what is still so, and by the same ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from shop import Goods, Shop, open_store
from sqlalchemy import text

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Forbidden, InvalidInput, NotFound
from flipsync.domain.events import ProductEdited, ProductImported, SettingsChanged
from flipsync.domain.ids import new_id
from flipsync.services.goals import GoalsChange, set_goals
from flipsync.services.product_edits import ProductEdit, edit_product
from flipsync.services.settings_changes import set_settings
from flipsync.services.tenant_settings import TenantSettings, profile
from flipsync.services.undo_changes import ChangeReport, list_changes, undo_change

MARGIN = "pricing.min_margin_bps"


@pytest.fixture
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Shop]:
    store = open_store(database_urls["app"])
    yield await Shop(store).found()
    await store.aclose()


async def put(shop: Shop, change: dict[str, Any]) -> None:
    async with shop.unit() as unit:
        await set_settings(unit, change)


async def edit(shop: Shop, goods: Goods, **words: Any) -> None:
    async with shop.unit() as unit:
        (row,) = await shop.rows("SELECT version FROM product WHERE id = :id", id=goods.product_id)
        await edit_product(unit, goods.product_id, ProductEdit(**words), row.version)


async def settings(shop: Shop) -> TenantSettings:
    async with shop.store.reader(shop.tenant_id) as session:
        return (await profile(session, shop.tenant_id)).settings


async def newest(shop: Shop, place: int = 0) -> UUID:
    async with shop.store.reader(shop.tenant_id) as session:
        return (await list_changes(session, utc_now() - timedelta(hours=1), 10))[place].id


async def undo(shop: Shop, change_id: UUID, **how: Any) -> ChangeReport:
    async with shop.unit() as unit:
        return await undo_change(unit, change_id, **({"allowed": lambda _: True} | how))


def outcomes(report: ChangeReport) -> dict[str, str]:
    return {part.name: part.outcome for part in report.parts}


async def test_settings_go_back_to_what_was_there_before_once(shop: Shop) -> None:
    await put(shop, {MARGIN: 700})
    await put(shop, {MARGIN: 900, "stock.pooled_reserve": 2})
    change = await newest(shop)
    looked = await undo(shop, change, dry_run=True)
    assert outcomes(looked) == {MARGIN: "undoable", "stock.pooled_reserve": "undoable"}
    assert (await settings(shop)).pricing.min_margin_bps == 900
    assert outcomes(await undo(shop, change)) == {MARGIN: "undone", "stock.pooled_reserve": "undone"}
    now = await settings(shop)
    assert (now.pricing.min_margin_bps, now.stock.pooled_reserve) == (700, 0)
    assert set(outcomes(await undo(shop, change)).values()) == {"already-undone"}
    facts = await shop.events(SettingsChanged)
    assert len(facts) == 3 and facts[-1]["undoes"] == str(change)
    (line,) = await shop.rows(
        "SELECT details FROM audit_entry WHERE tenant_id = :tenant AND action = 'settings.changed'"
    )
    assert line.details["after"][MARGIN] == 700


async def test_taking_back_can_be_taken_back(shop: Shop) -> None:
    await put(shop, {MARGIN: 900})
    first = await newest(shop)
    await undo(shop, first)
    assert outcomes(await undo(shop, await newest(shop))) == {MARGIN: "undone"}
    assert (await settings(shop)).pricing.min_margin_bps == 900
    assert outcomes(await undo(shop, first)) == {MARGIN: "moved-on"}, "it is somebody's newer wish by now"


async def test_a_newer_value_is_not_lost_and_the_rest_goes_back(shop: Shop) -> None:
    await put(shop, {MARGIN: 900, "stock.pooled_reserve": 2})
    change = await newest(shop)
    await put(shop, {MARGIN: 1_000})
    await put(shop, {MARGIN: 900})  # what the change wrote, by a later wish
    report = await undo(shop, change)
    assert outcomes(report) == {MARGIN: "moved-on", "stock.pooled_reserve": "undone"}
    assert str(await newest(shop, 1)) in report.parts[0].why
    now = await settings(shop)
    assert (now.pricing.min_margin_bps, now.stock.pooled_reserve) == (900, 0)


async def test_two_who_take_back_at_once_do_it_once_and_a_change_meanwhile_is_not_lost(shop: Shop) -> None:
    await put(shop, {MARGIN: 900})
    change = await newest(shop)
    both = await asyncio.gather(undo(shop, change), undo(shop, change))
    assert sorted(outcomes(each)[MARGIN] for each in both) == ["already-undone", "undone"]
    assert len(await shop.events(SettingsChanged)) == 2
    await put(shop, {MARGIN: 800})
    change = await newest(shop)
    report, _ = await asyncio.gather(undo(shop, change), put(shop, {MARGIN: 1_000}))
    assert (await settings(shop)).pricing.min_margin_bps == 1_000, "before or after: the wish of a person stands"
    assert outcomes(report)[MARGIN] in ("undone", "moved-on")


async def test_goals_go_back(shop: Shop) -> None:
    async with shop.unit() as unit:
        await set_goals(unit, GoalsChange(risk="bold", questions="few"))
    assert outcomes(await undo(shop, await newest(shop))) == {"goals.questions": "undone", "goals.risk": "undone"}
    goals = (await settings(shop)).goals
    assert (goals.risk, goals.questions) == ("balanced", "balanced")


async def test_a_product_gets_its_words_back_and_its_channels_are_told(shop: Shop) -> None:
    goods = await shop.variant()
    await edit(shop, goods, title="A teapot", brand="Blue", published=False)
    change = await newest(shop)
    await edit(shop, goods, brand="Green")
    before = len(await shop.events(ProductImported))
    both = await asyncio.gather(undo(shop, change), undo(shop, change))
    assert sorted(outcomes(each)["title"] for each in both) == ["already-undone", "undone"]
    assert {outcomes(each)["brand"] for each in both} == {"moved-on"}
    (row,) = await shop.rows("SELECT title, brand, published FROM product WHERE id = :id", id=goods.product_id)
    assert (row.title, row.brand, row.published) == (f"Goods {goods.sku}", "Green", True)
    assert len(await shop.events(ProductImported)) == before + 1
    assert (await shop.events(ProductEdited))[-1]["undoes"] == str(change)


async def test_what_an_import_wrote_since_stays(shop: Shop) -> None:
    goods = await shop.variant()
    await edit(shop, goods, title="A teapot")
    change = await newest(shop)
    async with shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE product SET title = 'Imported' WHERE id = :id"), {"id": goods.product_id}
        )
    report = await undo(shop, change)
    assert outcomes(report) == {"title": "moved-on"} and "Imported" in report.parts[0].why


async def test_what_is_not_allowed_any_more_is_not_put_back_in_part(shop: Shop) -> None:
    goods = await shop.variant()
    async with shop.unit() as unit:  # as a version that allowed it has left it
        await unit.session.execute(
            text("""UPDATE product SET title = 'Old', images = '["ftp://img.example/1.jpg"]' WHERE id = :id"""),
            {"id": goods.product_id},
        )
    await edit(shop, goods, title="A teapot", images=["https://img.example/1.jpg"])
    report = await undo(shop, await newest(shop))
    assert set(outcomes(report).values()) == {"impossible"} and "image" in report.parts[0].why
    (row,) = await shop.rows("SELECT title, images FROM product WHERE id = :id", id=goods.product_id)
    assert (row.title, row.images) == ("A teapot", ["https://img.example/1.jpg"])
    assert len(await shop.events(ProductEdited)) == 1


async def test_it_takes_the_right_the_change_takes_and_ones_own_business(shop: Shop) -> None:
    await put(shop, {MARGIN: 900})
    change = await newest(shop)
    with pytest.raises(Forbidden, match="take this back"):
        await undo(shop, change, allowed=lambda right: right == "catalogue:write")
    other = await Shop(shop.store).found()
    with pytest.raises(NotFound):
        await undo(other, change)
    with pytest.raises(NotFound):
        await undo(shop, new_id())
    assert (await settings(shop)).pricing.min_margin_bps == 900


@pytest.mark.parametrize(
    "change",
    [
        {"pricing": {}},
        {"pricing.no": 1},
        {MARGIN: -1},
        {"": 1},
        {"goals.risk": "wild"},
        {"pricing.shipping_cost_minor": 10**30},
    ],
)
async def test_no_setting_is_what_it_does_not_take(shop: Shop, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await put(shop, {"stock.pooled_reserve": 1} | change)
    assert (await settings(shop)).stock.pooled_reserve == 0
    assert await shop.events(SettingsChanged) == []
