"""What was tried is remembered when it is graded, without buyers, and recalled with its row; stopped things too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from past import Past, store_of_the_past
from shop import Shop
from sqlalchemy import text

from flipsync.domain.channel import Address
from flipsync.domain.clock import utc_now
from flipsync.domain.commands import ChangePrice, ConfirmShipment
from flipsync.domain.errors import InvalidInput
from flipsync.domain.events import ParcelHandedOver
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.services import episodes, erasure, grading, memory
from flipsync.services.graders import Grade
from flipsync.services.orders import ingest_order
from flipsync.services.reading_decisions import get_approval
from flipsync.services.settings_changes import set_settings
from flipsync.services.why import explain
from flipsync.store import models as m

DAY = timedelta(days=1)


@pytest.fixture
async def past(database_urls: dict[str, str]) -> AsyncIterator[Past]:
    store = store_of_the_past(database_urls["worker"])
    yield await Past(await Shop(store).found()).build()
    await store.aclose()


async def recalled(past: Past, **question: object) -> memory.Recalled:
    async with past.shop.store.reader(past.shop.tenant_id) as session:
        return await memory.recall(session, past.shop.tenant_id, **question)  # type: ignore[arg-type]


async def test_an_attempt_is_remembered_with_its_rows_and_its_money(past: Past) -> None:
    raised, stopped = await past.price(3300, 2999), await past.price(1000, 2999, verdict="deny")
    open_still = await past.price(3100, 3000)
    move = new_id()
    came = {
        raised.hex: Grade(
            1, "it earns more: 40 in 168 h", ("price_change", move), Money(amount_minor=900, currency="USD")
        ),
        stopped.hex: Grade(None, "it was not carried out: price-firewall"),
        open_still.hex: Grade(None, "too few sales to tell the prices apart"),
    }
    assert await past.learn(**came) == 2, "what can never be known says nothing about the next time"
    assert await past.learn(**came) == 0, "once"
    found = (await recalled(past, about=[("listing", past.listing)])).items
    by_decision = {each.decision_id: each for each in found}
    assert set(by_decision) == {raised, stopped}
    one = by_decision[raised]
    assert (one.found_by, one.right, one.gate) == ("subject", True, "proceed: price-firewall")
    assert one.proof is not None and (one.proof.kind, one.proof.id) == ("price_change", move)
    assert one.money == Money(amount_minor=900, currency="USD") and one.money_is == "a day, beside the price before"
    assert one.figures == {"price_minor": 3300, "step_percent": 10.0}
    assert "a large price increase of 10 %" in one.situation and "on custom" in one.situation
    assert one.reference.kind == "episode" and one.reference.id == one.id
    assert by_decision[stopped].right is None and by_decision[stopped].gate == "deny: price-firewall"


async def test_grading_itself_remembers(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "_SETTLED", timedelta(0))
    denied = await past.price(1000, 2999, verdict="deny")
    past.clock.advance(9 * DAY)
    done = await grading.run(past.shop.store, past.shop.tenant_id)
    assert done.remembered == 1
    found = (await recalled(past, about=[("listing", past.listing)])).items
    assert [each.decision_id for each in found] == [denied] and found[
        0
    ].came == "it was not carried out: price-firewall"


async def test_words_are_looked_for_as_they_stand_where_there_is_no_index(past: Past) -> None:
    cut, other = await past.price(2500, 2999), await past.price(3300, 2999)
    await past.learn(
        **{
            cut.hex: Grade(0, "it earns less: nothing sold any more"),
            other.hex: Grade(1, "it earns more: 40 in 168 h"),
        }
    )
    found = await recalled(past, words="price cuts that sold nothing", k=1)
    assert (found.by, found.why_not) == ("words", "no index of meanings is at hand")
    assert [each.decision_id for each in found.items] == [cut]
    assert found.items[0].similarity is not None and 0 < found.items[0].similarity <= 1
    for odd in ("'; DROP TABLE episode; --", "a & ! | ( :*", "\0", "!!!", "x" * 5000):
        assert (await recalled(past, words=odd)).by == "words"
    assert (await recalled(past, words="  ")).by == "none"
    with pytest.raises(InvalidInput):
        await recalled(past, words="x", k=51)


async def test_no_word_of_a_buyer_is_remembered(past: Past) -> None:
    where = {"name": "Wilhelmina Brightwater", "line1": "17 Quince Lane", "city": "Ulm", "country": "DE"}
    buyer = {"ship_to": Address.model_validate(where | {"email": "mina@quince.example"}), "buyer_id": "mina-0077"}
    order = past.shop.order({past.goods.sku: 1}).model_copy(update=buyer)
    async with past.shop.unit() as unit:
        order_id = (await ingest_order(unit, past.account, order)).order_id
    fact = ParcelHandedOver(
        order_id=order_id,
        account_id=past.account.id,
        vendor="custom",
        carrier="UPS",
        tracking_number="1Z999AA10123456784",
    )
    command = ConfirmShipment.model_validate(
        {
            "account_id": past.account.id,
            "order_id": order_id,
            "carrier": "UPS",
            "tracking_number": "1Z999AA10123456784",
        }
    )
    shipped = await past.tried(command, fact, agent="fulfillment")
    assert await past.learn(**{shipped.hex: Grade(1, "the channel took it")}) == 1
    row = (await past.shop.rows("SELECT to_jsonb(e)::text AS whole FROM episode e"))[0].whole
    ship_to = order.ship_to
    assert ship_to is not None
    said = (value for value in ship_to.model_dump().values() if isinstance(value, str) and len(value) > 3)
    for word in ("1Z999AA10123456784", order.number, "mina-0077", *said):
        assert word not in row, word
    async with past.shop.unit() as unit:  # and if one got in all the same, it is erased with the buyer
        await unit.session.execute(text("UPDATE episode SET came = :came"), {"came": f"told to {ship_to.name} itself"})
        await unit.session.execute(text("UPDATE customer_order SET state = 'shipped'"))
        await unit.session.flush()
        await erasure.forget(unit, await erasure.find(unit.session, erasure.Buyer(order_id=order_id)), reason="asked")
    came = (await past.shop.rows("SELECT came FROM episode"))[0].came
    assert ship_to.name not in came and came.startswith("told to ")


async def test_lessons_of_a_decision_are_of_others_like_it(past: Past) -> None:
    first, second = await past.price(2500, 2999), await past.price(2400, 2999)
    elsewhere = await past.shop.variant(units=5)
    listing = await past.shop.listing(past.account, elsewhere, units=5)
    money = {"price": Money(amount_minor=1, currency="USD"), "previous": Money(amount_minor=2, currency="USD")}
    apart = await past.tried(ChangePrice.model_validate({"account_id": past.account.id, "listing_id": listing} | money))
    await past.learn(**{each.hex: Grade(0, "it earns less") for each in (first, second, apart)})
    async with past.shop.store.reader(past.shop.tenant_id) as session:
        told = await memory.lessons(session, first)
        nobody = await memory.lessons(session, new_id())
    assert [(each.decision_id, each.found_by) for each in told.items] == [(second, "subject"), (apart, "kind")]
    assert (told.record.right, told.record.wrong, told.record.stopped) == (0, 2, 0)
    assert nobody.items == []
    async with past.shop.unit() as unit:
        asked = m.Approval(
            tenant_id=past.shop.tenant_id,
            decision_id=first,
            question="cheaper?",
            expires_at=past.clock.now() + DAY,
        )
        unit.session.add(asked)
    async with past.shop.store.reader(past.shop.tenant_id) as session:
        question = await get_approval(session, asked.id)
        why = await explain(session, str(first))
    assert [each.decision_id for each in question.memories] == [second, apart] and question.record.wrong == 2
    text_of = why.to_text(width=200)
    assert "The last times (0 of 2 like it came out right, 0 were stopped)" in text_of
    assert f"episode {told.items[0].id}" in text_of and "it came out wrong: it earns less" in text_of


async def test_what_is_old_is_forgotten_when_the_owner_says(past: Past) -> None:
    cut = await past.price(2500, 2999)
    await past.learn(**{cut.hex: Grade(0, "it earns less")})
    async with past.shop.unit() as unit:
        await set_settings(unit, {"memory.kept_days": 30})
        await episodes.forget_old(unit)
    assert len(await past.shop.rows("SELECT id FROM episode")) == 1
    async with past.shop.unit() as unit:
        await unit.session.execute(text("UPDATE episode SET written_at = :then"), {"then": utc_now() - 31 * DAY})
        await episodes.forget_old(unit)
    assert await past.shop.rows("SELECT id FROM episode") == []
