"""What was tried is remembered when it is graded, without buyers, and recalled with its row; stopped things too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from shop import Shop, open_store
from sqlalchemy import text

from flipsync.domain.clock import ManualClock, utc_now
from flipsync.domain.commands import ChangePrice, Command, ConfirmShipment
from flipsync.domain.errors import InvalidInput
from flipsync.domain.events import OfferChanged, ParcelHandedOver
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.services import episodes, grading, memory
from flipsync.services.graders import Grade
from flipsync.services.orders import ingest_order
from flipsync.services.settings_changes import set_settings
from flipsync.store import models as m
from flipsync.store.repositories import grades

DAY = timedelta(days=1)


class Past:
    """A shop with a listing, and decisions about it that are long over."""

    def __init__(self, shop: Shop, clock: ManualClock) -> None:
        self.shop, self.clock = shop, clock

    async def build(self) -> Past:
        self.account = await self.shop.account()
        self.goods = await self.shop.variant(units=50)
        self.listing = await self.shop.listing(self.account, self.goods, units=40)
        return self

    async def tried(
        self, command: Command, fact: object = None, *, agent: str = "pricing", verdict: str = "proceed"
    ) -> UUID:
        """A decision with one proposal, enrolled for grading; its id."""
        tenant = {"tenant_id": self.shop.tenant_id}
        kind, subject = command.subject()
        async with self.shop.unit() as unit:
            event_id = unit.emit(
                fact  # type: ignore[arg-type]
                or OfferChanged(listing_id=self.listing, account_id=self.account.id, vendor="custom", cause="rivals")
            )
            await unit.flush()
            columns = {"state": "applied", "source": "rules", "rationale": "r", "correlation_id": event_id}
            decision = m.AgentDecision(
                **tenant, agent=agent, agent_version="1", event_id=event_id, confidence=0.8, **columns
            )
            unit.session.add(decision)
            await unit.session.flush()
            proposal = m.Proposal(
                **tenant,
                decision_id=decision.id,
                ordinal=0,
                command=command.type_name(),
                payload=command.model_dump(mode="json"),
                subject_kind=kind,
                subject_id=subject,
                verdict=verdict,
                rule="price-firewall",
            )
            unit.session.add(proposal)
            await unit.session.flush()
            known = grading.prediction(command.type_name(), type(fact).__name__ if fact else "OfferChanged")
            due = self.clock.now()
            enrolled = {"decision_id": decision.id, "proposal_id": proposal.id, "agent": agent, "kind": known.kind}
            times = {"decided_at": due, "due_at": due, "look_at": due}
            await grades.enrol(
                unit.session, self.shop.tenant_id, [enrolled | times | {"confidence": 0.8, "drawn": True}]
            )
        return decision.id

    async def learn(self, **came: Grade | None) -> int:
        """Grade all that is due as told, by the decision's id in hex."""
        async with self.shop.unit() as unit:
            due = await grades.due(unit.session, self.shop.tenant_id, self.clock.now(), 100)
            graded = [(row, grade) for row in due if (grade := came.get(row.decision_id.hex)) is not None]
            return await episodes.remember(unit, graded)

    async def price(self, minor: int, was: int, **more: object) -> UUID:
        command = ChangePrice(
            account_id=self.account.id,
            listing_id=self.listing,
            price=Money(amount_minor=minor, currency="USD"),
            previous=Money(amount_minor=was, currency="USD"),
        )
        return await self.tried(command, **more)  # type: ignore[arg-type]


@pytest.fixture
async def past(database_urls: dict[str, str]) -> AsyncIterator[Past]:
    clock = ManualClock(datetime.fromisoformat("2026-03-02T12:00:00+00:00"))
    store = open_store(database_urls["worker"], clock=clock)
    yield await Past(await Shop(store).found(), clock).build()
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
    order = past.shop.order({past.goods.sku: 1})
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
    for word in ("1Z999AA10123456784", order.number, *(v for v in ship_to.model_dump().values() if v and len(v) > 3)):
        assert word not in row, word


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
