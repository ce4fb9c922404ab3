"""The brain tells what fits, in one order, every item with its row; what was read is kept for a replay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from past import Past, store_of_the_past
from shop import Shop

from flipsync.domain.ids import new_id
from flipsync.services.brain import Brief
from flipsync.services.desk import Services
from flipsync.services.graders import Grade
from flipsync.services.recorded_desk import RecordedDesk, RecordingDesk
from flipsync.services.settings_changes import set_settings
from flipsync.store import models as m


@pytest.fixture
async def past(database_urls: dict[str, str]) -> AsyncIterator[Past]:
    store = store_of_the_past(database_urls["worker"])
    yield await Past(await Shop(store).found()).build()
    await store.aclose()


@pytest.fixture
def shop(past: Past) -> Shop:
    return past.shop


@pytest.fixture
async def world(past: Past) -> dict[str, Any]:
    """A listing with three attempts on it, a directive that binds its account, and one that binds another's."""
    shop = past.shop
    elsewhere = await shop.account()
    async with shop.unit() as unit:
        await set_settings(unit, {"goals.risk": "careful"})
        for place, days in ((past.account.id, 7), (elsewhere.id, 9)):
            bound = {
                "starts_at": unit.now - timedelta(days=1),
                "ends_at": unit.now + timedelta(days=days - 1, hours=1),
            }
            unit.session.add(
                m.DirectiveRow(tenant_id=shop.tenant_id, kind="hold-prices", account_id=place, reason="r", **bound)
            )
    tried = []
    for outcome in (1, 0, None):  # the last was stopped
        decision = await past.price(2500, 2999, "deny" if outcome is None else "proceed")
        await past.learn(**{decision.hex: Grade(outcome, "it was seen")})
        past.clock.advance(timedelta(minutes=1))
        (row,) = await shop.rows("SELECT id FROM episode WHERE decision_id = :id", id=decision)
        tried.append((decision, row.id))
    return {"listing": past.listing, "account": past.account.id, "tried": tried}


async def brief(shop: Shop, about: list[tuple[str, Any]], **budget: Any) -> Brief:
    async with shop.store.reader(shop.tenant_id) as session:
        services = Services(session, shop.tenant_id, shop.store.clock.now())
        return await services.brain.brief("pricing", about, **budget)


async def test_what_binds_comes_first_then_what_was_tried_then_goals(shop: Shop, world: dict[str, Any]) -> None:
    told = await brief(shop, [("listing", world["listing"])])
    kinds = [each.kind for each in told.items]
    assert kinds[:4] == ["constraint", "memory", "memory", "memory"] and told.cut == {}
    assert told.items[0].row.kind == "directive" and told.items[0].figure == 7, "the other account's binds nobody here"
    assert [each.row.id for each in told.items[1:4]] == [episode for _, episode in reversed(world["tried"])]
    assert "came out wrong (it was seen)" in told.items[2].says and told.items[2].figure == 0.8
    goals = [each for each in told.items if each.kind == "goal"]
    assert goals[0].says.startswith("what risk weighs") and sum(float(str(each.figure)) for each in goals) > 0.99
    assert told == await brief(shop, [("listing", world["listing"])]), "the same books give the same brief"


async def test_a_decision_is_not_its_own_memory(shop: Shop, world: dict[str, Any]) -> None:
    newest, episode = world["tried"][-1]
    told = await brief(shop, [("decision", newest)])
    assert [each.row.id for each in told.items if each.kind == "memory"] == [
        each for _, each in reversed(world["tried"][:-1])
    ]
    assert episode not in {each.row.id for each in told.items}


@pytest.mark.parametrize(("rows", "tokens"), [(3, 800), (24, 60), (0, 800), (24, 0)])
async def test_the_budget_holds_and_says_what_was_cut(
    shop: Shop, world: dict[str, Any], rows: int, tokens: int
) -> None:
    whole = await brief(shop, [("listing", world["listing"])])
    told = await brief(shop, [("listing", world["listing"])], rows=rows, tokens=tokens)
    assert len(told.items) <= rows and told.tokens <= tokens
    assert len(told.items) + sum(told.cut.values()) == len(whole.items)
    assert told.what_was_cut.startswith("left out for want of room: ")
    assert list(told.items) == [each for each in whole.items if each in told.items], "in the same order"


async def test_nothing_of_another_business_is_in_it(shop: Shop, world: dict[str, Any]) -> None:
    stranger = await Shop(shop.store).found()
    decision, _ = world["tried"][0]
    for about in ([("listing", world["listing"])], [("decision", decision)], [("tenant", shop.tenant_id)], []):
        told = await brief(stranger, about, words="price offer changed")
        assert {each.row.id for each in told.items} == {stranger.tenant_id}
        assert not [each for each in told.items if each.kind in ("memory", "forecast")]


async def test_it_is_kept_with_the_decision_and_told_again_from_there(shop: Shop, world: dict[str, Any]) -> None:
    question: dict[str, Any] = {"words": "price cut", "rows": 5}
    async with shop.store.reader(shop.tenant_id) as session:
        desk = RecordingDesk(Services(session, shop.tenant_id, shop.store.clock.now()))
        told = await desk.as_services().brain.brief("pricing", [("listing", world["listing"])], **question)
        packed = desk.notes().packed
    assert packed is not None
    again = RecordedDesk(shop.tenant_id, packed).as_services()
    assert await again.brain.brief("pricing", [("listing", world["listing"])], **question) == told
    with pytest.raises(Exception, match="did not ask"):
        await again.brain.brief("pricing", [("listing", new_id())], **question)
