"""Decisions are graded by what came of them, over real books: right, wrong, open, and never to be known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from shop import Goods, Shop, open_store
from sqlalchemy import update

from agents import ROSTER
from flipsync.domain import predictions as told
from flipsync.domain.channel import ChannelOrder
from flipsync.domain.clock import ManualClock, utc_now
from flipsync.domain.commands import (
    ChangePrice,
    Command,
    EndorseDecision,
    OfferEdit,
    PublishListing,
    PullOrders,
    RaiseRivalAlarm,
    SetChannelQuantity,
)
from flipsync.domain.events import (
    ChannelCheckDue,
    DecisionEscalated,
    Event,
    ListingVanished,
    OfferChanged,
    PriceUnwanted,
    StockMoved,
)
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.domain.predictions import NoPrediction, Prediction, prediction
from flipsync.services import calibration, grading
from flipsync.services.graders import GRADERS
from flipsync.services.orders import AccountRef, ingest_order
from flipsync.services.why import explain
from flipsync.store import models as m

DAY = timedelta(days=1)
USD = "USD"


def test_every_command_an_agent_may_propose_says_what_it_predicts_or_why_not() -> None:
    for agent in ROSTER:
        for command in agent.proposes:
            assert prediction(command.type_name(), "").kind != "unknown", command
    assert set(GRADERS) == set(told.PREDICTIONS)
    assert prediction("SomethingOfTomorrow", "").kind == "unknown"
    assert prediction("ChangePrice", "PriceUnwanted") is told.WISH, "what a person wants predicts nothing"
    assert isinstance(prediction(None, ""), NoPrediction) and isinstance(prediction("ChangePrice", ""), Prediction)


class House:
    """One shop whose decisions are written as the runtime writes them, an hour ago by the wall clock."""

    def __init__(self, shop: Shop, clock: ManualClock) -> None:
        self.shop, self.clock = shop, clock

    async def build(self) -> House:
        self.account: AccountRef = await self.shop.account()
        self.goods: Goods = await self.shop.variant(units=500)
        self.listing: UUID = await self.shop.listing(self.account, self.goods, units=400)
        return self

    def fact(self) -> Event:
        return OfferChanged(listing_id=self.listing, account_id=self.account.id, vendor="custom", cause="sale")

    async def decide(
        self,
        command: Command | None,
        *,
        agent: str = "pricing",
        confidence: float = 0.8,
        fact: Event | None = None,
        effect: str | None = "confirmed",
        state: str = "applied",
        verdict: str | None = "proceed",
        answer: str | None = None,
        times: int = 1,
    ) -> tuple[UUID, UUID | None]:
        """Its decision and its effect. `times` proposes the same so many times."""
        tenant, effect_id = {"tenant_id": self.shop.tenant_id}, None
        async with self.shop.unit() as unit:
            event_id = unit.emit(fact or self.fact())
            await unit.flush()
            decision = m.AgentDecision(
                **tenant,
                agent=agent,
                agent_version="1",
                event_id=event_id,
                state=state,
                source="rules",
                rationale="because",
                confidence=confidence,
                correlation_id=event_id,
            )
            unit.session.add(decision)
            await unit.session.flush()
            for ordinal in range(times if command is not None else 0):
                assert command is not None
                kind, subject = command.subject()
                proposal = m.Proposal(
                    **tenant,
                    decision_id=decision.id,
                    ordinal=ordinal,
                    command=command.type_name(),
                    payload=command.model_dump(mode="json"),
                    subject_kind=kind,
                    subject_id=subject,
                    verdict=verdict,
                    rule="price-firewall",
                )
                unit.session.add(proposal)
                await unit.session.flush()
                if effect is not None:
                    done = m.Effect(
                        **tenant,
                        account_id=self.account.id,
                        proposal_id=proposal.id,
                        command=command.type_name(),
                        payload=command.model_dump(mode="json"),
                        subject_kind=kind,
                        subject_id=subject,
                        key=f"{decision.id}:{ordinal}",
                        priority=50,
                        state=effect,
                        correlation_id=event_id,
                        finished_at=None if effect == "unknown" else utc_now(),
                    )
                    unit.session.add(done)
                    await unit.session.flush()
                    effect_id = done.id
            if answer is not None:
                unit.session.add(
                    m.Approval(
                        **tenant,
                        decision_id=decision.id,
                        question="?",
                        state=answer,
                        expires_at=self.clock.now() + 2 * DAY,
                    )
                )
        return decision.id, effect_id

    async def price(self, minor: int, was: int, **more: Any) -> UUID:
        """A decision to change the price, and the change."""
        command = ChangePrice(
            account_id=self.account.id,
            listing_id=self.listing,
            price=Money(amount_minor=minor, currency=USD),
            previous=Money(amount_minor=was, currency=USD),
        )
        decision_id, effect_id = await self.decide(command, **more)
        if effect_id is not None:
            async with self.shop.unit() as unit:
                unit.session.add(
                    m.PriceChange(
                        tenant_id=self.shop.tenant_id,
                        listing_id=self.listing,
                        old_minor=was,
                        new_minor=minor,
                        currency=USD,
                        floor_minor=1,
                        effect_id=effect_id,
                        at=self.clock.now(),
                    )
                )
        return decision_id

    async def sell(self, units: int) -> None:
        async with self.shop.unit() as unit:
            order: ChannelOrder = self.shop.order({self.goods.sku: units})
            order = order.model_copy(update={"placed_at": self.clock.now(), "modified_at": self.clock.now()})
            await ingest_order(unit, self.account, order)

    async def tell(self, fact: Event) -> None:
        async with self.shop.unit() as unit:
            unit.emit(fact)

    async def grade(self) -> grading.Done:
        return await grading.run(self.shop.store, self.shop.tenant_id)

    async def outcome(self, decision_id: UUID) -> tuple[str, int | None, str]:
        rows = await self.shop.rows(
            "SELECT state, outcome, why FROM decision_outcome WHERE decision_id = :id ORDER BY id", id=decision_id
        )
        return (rows[0].state, rows[0].outcome, rows[0].why) if rows else ("absent", None, "")


@pytest.fixture
async def house(database_urls: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(grading, "_SETTLED", timedelta(0))  # nobody else writes here
    clock = ManualClock(datetime.fromisoformat("2026-03-02T12:00:00+00:00"))
    store = open_store(database_urls["worker"], clock=clock)
    yield await House(await Shop(store).found(), clock).build()
    await store.aclose()


async def test_a_price_is_right_when_its_sales_earn_clearly_more(house: House) -> None:
    await house.sell(4)
    house.clock.advance(timedelta(hours=48))
    raised = await house.price(3300, 2999)
    house.clock.advance(timedelta(hours=1))
    await house.sell(40)
    house.clock.advance(6 * DAY)
    await house.grade()
    assert await house.outcome(raised) == ("waiting", None, ""), "its week is not over"
    house.clock.advance(DAY)
    done = await house.grade()
    assert (done.known, done.never) == (1, 0)
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        told = (await explain(session, str(raised))).to_text(width=400)
    assert "predicted with 80% that the listing earns more an hour than at the price before; it did: it earns" in told
    state, outcome, why = await house.outcome(raised)
    assert (state, outcome) == ("known", 1) and why.startswith("it earns more: 40 in 168 h, 4 in ")
    lowered = await house.price(2400, 3300)
    house.clock.advance(8 * DAY)
    await house.grade()
    assert (await house.outcome(lowered))[:2] == ("known", 0), "nothing was sold at it any more"
    row = (await house.shop.rows("SELECT * FROM decision_outcome WHERE decision_id = :id", id=raised))[0]
    assert (row.agent, row.kind, row.confidence, row.evidence_kind) == ("pricing", "price-move", 0.8, "price_change")


async def test_a_price_whose_sales_say_nothing_is_never_known(house: House) -> None:
    quiet = await house.price(3300, 2999)
    house.clock.advance(8 * DAY)
    short = await house.price(3200, 3300)
    house.clock.advance(timedelta(hours=5))
    after = await house.price(3100, 3200)
    house.clock.advance(timedelta(hours=30))
    await house.price(3100, 3100)
    house.clock.advance(timedelta(hours=30))
    async with house.shop.unit() as unit:
        item = house.goods
        unit.emit(
            StockMoved(
                stock_item_id=item.stock_item_id,
                variant_id=item.variant_id,
                kind="ship",
                quantity=1,
                on_hand=3,
                reserved=3,
            )
        )
    emptied = await house.price(3000, 3100)
    denied = await house.price(2900, 3000, effect=None, verdict="deny")
    overtaken = await house.price(2900, 3000, effect="superseded")
    refused = await house.price(2900, 3000, effect="rejected")
    house.clock.advance(9 * DAY)
    await house.grade()
    assert [await house.outcome(each) for each in (quiet, short, after, emptied, denied, overtaken, refused)] == [
        ("never", None, "too few sales to tell the prices apart"),
        ("never", None, "a price stood for less than a day"),
        ("never", None, "a price stood for less than a day"),
        ("never", None, "the shelf was empty in between"),
        ("never", None, "it was not carried out: price-firewall"),
        ("never", None, "a newer one took its place before it was sent"),
        ("known", 0, "the channel refused it"),
    ]


async def test_a_push_is_wrong_when_something_is_sold_that_is_not_there(house: House) -> None:
    push = SetChannelQuantity(account_id=house.account.id, listing_id=house.listing, quantity=400)
    short = StockMoved(
        stock_item_id=house.goods.stock_item_id,
        variant_id=house.goods.variant_id,
        kind="short",
        quantity=1,
        on_hand=0,
        reserved=0,
    )
    first, _ = await house.decide(push, agent="inventory", confidence=0.95)
    house.clock.advance(timedelta(hours=2))
    second, _ = await house.decide(push, agent="inventory", confidence=0.95)
    house.clock.advance(timedelta(hours=2))
    await house.tell(short)
    lost, _ = await house.decide(push, agent="inventory", effect="unknown")
    house.clock.advance(2 * DAY)
    await house.grade()
    assert (await house.outcome(first))[:2] == ("known", 1), "another one was shown by then"
    assert (await house.outcome(second))[1:] == (0, "something was sold that was not there")
    assert (await house.outcome(lost))[0] == "waiting"
    house.clock.advance(2 * DAY)
    await house.grade()
    assert await house.outcome(lost) == ("never", None, "what became of it is not known")


async def test_what_vanishes_within_a_day_was_not_published_well(house: House) -> None:
    offer = {"sku": "S", "title": "T", "price": Money(amount_minor=2999, currency=USD)}
    publish = PublishListing.model_validate(
        {"account_id": house.account.id, "listing_id": house.listing, "offer": offer | {"quantity": 0}}
    )
    gone, _ = await house.decide(publish, agent="base_market")
    house.clock.advance(timedelta(hours=3))
    await house.tell(ListingVanished(listing_id=house.listing, account_id=house.account.id, vendor="custom"))
    stays, _ = await house.decide(publish, agent="base_market")
    house.clock.advance(2 * DAY)
    await house.grade()
    assert [(await house.outcome(each))[:2] for each in (gone, stays)] == [("known", 0), ("known", 1)]


async def test_an_owners_answer_grades_the_question(house: House) -> None:
    text = {"title": "t", "description_html": "", "images": (), "specifics": {}}
    edit = OfferEdit.model_validate(
        {
            "listing_id": house.listing,
            "account_id": house.account.id,
            "vendor": "custom",
            "listings": (house.listing,),
            "theirs": text,
        }
    )
    asked = {
        answer: (await house.decide(edit, agent="base_market", effect=None, state=state, verdict="ask", answer=answer))[
            0
        ]
        for answer, state in (
            ("approved", "applied"),
            ("refused", "overruled"),
            ("expired", "overruled"),
            ("open", "awaiting"),
        )
    }
    house.clock.advance(4 * DAY)
    await house.grade()
    assert {answer: (await house.outcome(each))[:2] for answer, each in asked.items()} == {
        "approved": ("known", 1),
        "refused": ("known", 0),
        "expired": ("never", None),
        "open": ("waiting", None),
    }


async def test_an_endorsement_is_as_good_as_what_it_let_go_ahead(house: House) -> None:
    """Also where that was decided long before, on an earlier page, and not drawn."""
    below = await house.price(3300, 2999, effect="rejected")
    waits = [await house.price(3300, 2999, effect="unknown", confidence=0.3) for _ in range(3)]
    endorsements = []
    for each in (below, waits[0]):
        event = DecisionEscalated(decision_id=each, from_agent="pricing", to_agent="market", reason="unsure")
        endorse = EndorseDecision(decision_id=each)
        endorsements.append((await house.decide(endorse, agent="market", fact=event, effect=None, confidence=0.6))[0])
    house.clock.advance(9 * DAY)
    await house.grade()
    assert await house.outcome(endorsements[0]) == ("known", 0, "a part of it turned out wrong")
    assert (await house.outcome(endorsements[1]))[0] == "waiting"
    house.clock.advance(20 * DAY)
    await house.grade()
    assert (await house.outcome(endorsements[1]))[:2] == ("never", None)


async def test_a_war_that_goes_on_proves_the_alarm(house: House) -> None:
    moves: dict[str, UUID] = {}
    async with house.shop.unit() as unit:
        for seller in ("fighter", "tired"):
            moves[seller] = new_id()
            unit.session.add(
                m.RivalMove(
                    id=moves[seller],
                    tenant_id=house.shop.tenant_id,
                    listing_id=house.listing,
                    seller=seller,
                    price_minor=2800,
                    currency=USD,
                    in_stock=True,
                    at=house.clock.now(),
                )
            )
    house.clock.advance(timedelta(minutes=1))
    alarms = {}
    for seller, move in moves.items():
        command = RaiseRivalAlarm(listing_id=house.listing, alarm="price-war", why=seller, evidence=(move,))
        alarms[seller] = (await house.decide(command, agent="competitor", effect=None))[0]
    house.clock.advance(DAY)
    async with house.shop.unit() as unit:
        unit.session.add(
            m.RivalMove(
                tenant_id=house.shop.tenant_id,
                listing_id=house.listing,
                seller="fighter",
                price_minor=2700,
                currency=USD,
                in_stock=True,
                at=house.clock.now(),
            )
        )
    house.clock.advance(3 * DAY)
    await house.grade()
    assert (await house.outcome(alarms["fighter"]))[1:] == (1, "the rival went on down")
    assert (await house.outcome(alarms["tired"]))[1:] == (0, "nobody went further down")


async def test_what_predicts_nothing_is_counted_and_a_crowd_is_drawn_from(house: House) -> None:
    unwanted = PriceUnwanted(
        listing_id=house.listing,
        account_id=house.account.id,
        vendor="custom",
        price=Money(amount_minor=2999, currency=USD),
        replaces=Money(amount_minor=3300, currency=USD),
    )
    await house.decide(None)
    await house.price(2999, 3300, fact=unwanted)
    check = ChannelCheckDue(account_id=house.account.id, vendor="custom", rivals=False)
    await house.decide(PullOrders(account_id=house.account.id), agent="base_market", fact=check)
    push = SetChannelQuantity(account_id=house.account.id, listing_id=house.listing, quantity=9)
    await house.decide(push, agent="inventory", times=grading.MOST_DRAWN + 30)
    done = await house.grade()
    assert (done.counted, done.enrolled) == (grading.MOST_DRAWN + 33, grading.MOST_DRAWN)
    again = await asyncio.gather(house.grade(), house.grade())
    assert [each.counted for each in again] == [0, 0], "each page is gone through once"
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        view = await calibration.of_agents(session, house.shop.tenant_id)
    assert [(each.agent, each.kind, each.made, each.waiting) for each in view.graded] == [
        ("inventory", "stock-push", grading.MOST_DRAWN + 30, grading.MOST_DRAWN)
    ]
    assert {(each.agent, each.kind, each.made) for each in view.ungraded} == {
        ("base_market", "read", 1),
        ("pricing", "hold", 1),
        ("pricing", "wish", 1),
    }


async def test_the_view_scores_what_is_known_and_tells_a_constant(house: House) -> None:
    push = SetChannelQuantity(account_id=house.account.id, listing_id=house.listing, quantity=9)
    for effect in ("confirmed", "confirmed", "confirmed", "rejected"):
        await house.decide(push, agent="inventory", confidence=0.95, effect=effect)
        house.clock.advance(timedelta(minutes=5))
    house.clock.advance(2 * DAY)
    await house.grade()
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        view = await calibration.of_agents(session, house.shop.tenant_id, "inventory")
        nobody = await calibration.of_agents(session, house.shop.tenant_id, "nobody")
    (kind,) = view.graded
    assert kind.score is not None and kind.score.constant and kind.score.stated == pytest.approx(0.95)
    assert (kind.known, kind.score.came_true.value) == (4, 0.75)
    assert kind.score.brier == pytest.approx((3 * 0.05**2 + 0.95**2) / 4)
    assert nobody.graded == nobody.ungraded == []


async def test_an_unreadable_record_holds_nobody_up(house: House) -> None:
    push = SetChannelQuantity(account_id=house.account.id, listing_id=house.listing, quantity=9)
    good, _ = await house.decide(push, agent="inventory")
    endorse = EndorseDecision(decision_id=good)
    endorsed, _ = await house.decide(endorse, agent="market", effect=None)
    garbled, _ = await house.decide(endorse, agent="market", effect=None)
    bad = await house.price(3300, 2999)
    await house.grade()
    async with house.shop.unit() as unit:
        rows = await house.shop.rows("SELECT id FROM decision_outcome WHERE decision_id = :id", id=bad)
        outcome = await unit.session.get_one(m.DecisionOutcome, rows[0].id)
        outcome.kind = "fault-mend"
        change = update(m.Proposal).where(m.Proposal.decision_id == garbled).values(payload={"decision_id": "x"})
        await unit.session.execute(change)
    house.clock.advance(9 * DAY)
    await house.grade()
    assert (await house.outcome(good))[:2] == ("known", 1)
    assert (await house.outcome(endorsed))[:2] == ("known", 1)
    for each in (bad, garbled):
        assert await house.outcome(each) == ("never", None, "its record cannot be read")
