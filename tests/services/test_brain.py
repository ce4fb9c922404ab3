"""The brain tells what fits, in one order, every item with its row; what was read is kept for a replay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from shop import Shop, dollars, open_store

from flipsync.domain.clock import utc_now
from flipsync.domain.commands import ChangePrice
from flipsync.domain.events import OfferChanged
from flipsync.domain.ids import new_id
from flipsync.services.brain import Brief
from flipsync.services.desk import Services
from flipsync.services.recorded_desk import RecordedDesk, RecordingDesk
from flipsync.services.settings_changes import set_settings
from flipsync.store import models as m


@pytest.fixture
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"])
    yield await Shop(store).found()
    await store.aclose()


@pytest.fixture
async def world(shop: Shop) -> dict[str, Any]:
    """A listing with three attempts on it, a directive that binds its account, and one that binds another's."""
    account, goods = await shop.account(), await shop.variant(units=5)
    elsewhere = await shop.account()
    listing = await shop.listing(account, goods, units=5)
    now = shop.store.clock.now()
    ids: dict[str, Any] = {"listing": listing, "account": account.id, "tried": []}
    async with shop.unit() as unit:
        await set_settings(unit, {"goals.risk": "careful"})
        for place, days in ((account.id, 7), (elsewhere.id, 9)):
            bound = {"starts_at": now - timedelta(days=1), "ends_at": now + timedelta(days=days - 1)}
            unit.session.add(
                m.DirectiveRow(tenant_id=shop.tenant_id, kind="hold-prices", account_id=place, reason="r", **bound)
            )
        for outcome in (1, 0, None):
            fact = OfferChanged(listing_id=listing, account_id=account.id, vendor="custom", cause="rivals")
            event_id = unit.emit(fact)
            await unit.flush()
            decision = m.AgentDecision(
                tenant_id=shop.tenant_id,
                agent="pricing",
                agent_version="1",
                event_id=event_id,
                state="applied",
                source="rules",
                rationale="r",
                confidence=0.8,
                correlation_id=event_id,
            )
            unit.session.add(decision)
            await unit.session.flush()
            command = ChangePrice(
                account_id=account.id, listing_id=listing, price=dollars(2500), previous=dollars(2999)
            )
            proposal = m.Proposal(
                tenant_id=shop.tenant_id,
                decision_id=decision.id,
                ordinal=0,
                command="ChangePrice",
                payload=command.model_dump(mode="json"),
                subject_kind="listing",
                subject_id=listing,
            )
            unit.session.add(proposal)
            await unit.session.flush()
            episode = m.Episode(
                tenant_id=shop.tenant_id,
                decision_id=decision.id,
                proposal_id=proposal.id,
                agent="pricing",
                kind="price-move",
                command="ChangePrice",
                subject_kind="listing",
                subject_id=listing,
                product_id=goods.product_id,
                account_id=account.id,
                situation="offer changed",
                figures={},
                tried="change the price",
                confidence=0.8,
                rule="",
                outcome=outcome,
                came="it was seen",
                decided_at=now,
                known_at=now + timedelta(minutes=len(ids["tried"])),
                written_at=utc_now(),
            )
            unit.session.add(episode)
            await unit.session.flush()
            ids["tried"].append((decision.id, episode.id))
    return ids


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
        desk.begin()
        told = await desk.as_services().brain.brief("pricing", [("listing", world["listing"])], **question)
        packed = desk.notes().packed
    assert packed is not None
    again = RecordedDesk(shop.tenant_id, packed).as_services()
    assert await again.brain.brief("pricing", [("listing", world["listing"])], **question) == told
    with pytest.raises(Exception, match="did not ask"):
        await again.brain.brief("pricing", [("listing", new_id())], **question)
