"""From decision to effect: authority, escalation, a person's answer, and books that change whole or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from shop import ROUTING, Shop, dollars

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from flipsync.domain.channel import Offer
from flipsync.domain.clock import ManualClock, utc_now
from flipsync.domain.commands import (
    AllocateStock,
    ChangePrice,
    Command,
    EndListing,
    ListOnChannel,
    MarkOrderReady,
    PauseAccount,
    PublishListing,
    PullOrders,
    SetChannelQuantity,
)
from flipsync.domain.decisions import Alternative, Decision, Evidence
from flipsync.domain.errors import Conflict
from flipsync.domain.events import CycleStarted, DecisionEscalated, EffectFailed, Event, ListingRequested, OfferChanged
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.runner import AgentRunner
from flipsync.services import accounts, refunds
from flipsync.services.approvals import answer_approval
from flipsync.services.desk import Services
from flipsync.services.orders import AccountRef, ingest_order
from flipsync.store.models import SignedMove
from flipsync.store.repositories import listings
from flipsync.store.unit_of_work import UnitOfWork

GRAPH = Graph(ROSTER)


class House:
    """The decision path of the real roster over one shop with one listing at 29.99."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.path = DecisionPath(GRAPH, Gate(shop.firewall, [ComplianceAgent()]))

    async def build(self) -> House:
        self.account: AccountRef = await self.shop.account()
        self.goods = await self.shop.variant(units=6)
        self.listing: UUID = await self.shop.listing(self.account, self.goods, units=4)
        return self

    def price(self, minor: int = 3100) -> ChangePrice:
        return ChangePrice(
            account_id=self.account.id, listing_id=self.listing, price=dollars(minor), previous=dollars(2999)
        )

    async def record(self, agent: str, decision: Decision[Any]) -> UUID:
        async with self.shop.unit() as unit:
            event: Event = OfferChanged(
                listing_id=self.listing, account_id=self.account.id, vendor="custom", cause="sale"
            )
            event_id = unit.emit(event)
            await unit.flush()
            return await self.path.record(unit, self._context(unit, event_id), GRAPH.agents[agent].spec, decision)

    def _context(self, unit: UnitOfWork, event_id: UUID) -> Context:
        services = Services(unit.session, self.shop.tenant_id, unit.now)
        return Context(self.shop.tenant_id, unit.now, services, event_id, event_id)

    async def run(self, agent: str) -> int:
        """The agent handles what waits for it, and whoever stands in for it what waits for that one."""
        done = 0
        for each in GRAPH.agents.values():
            if agent in (each.spec.name, each.spec.wraps):
                runner = AgentRunner(each(), self.shop.store, self.path)
                await runner.begin()
                done += await runner.step()
        return done

    async def state(self, decision_id: UUID) -> str:
        rows = await self.shop.rows("SELECT state FROM agent_decision WHERE id = :id", id=decision_id)
        return str(rows[0].state)

    async def verdicts(self, decision_id: UUID) -> list[str | None]:
        rows = await self.shop.rows(
            "SELECT verdict FROM proposal WHERE decision_id = :id ORDER BY ordinal", id=decision_id
        )
        return [row.verdict for row in rows]

    async def outbox(self) -> list[tuple[str, str]]:
        rows = await self.shop.rows("SELECT command, state FROM effect WHERE tenant_id = :tenant ORDER BY id")
        return [(row.command, row.state) for row in rows]

    async def answer(self, *, approved: bool) -> None:
        approval = (await self.shop.rows("SELECT id FROM approval WHERE state = 'open'"))[0].id
        async with self.shop.unit() as unit:
            await answer_approval(unit, approval, approved=approved, by=new_id())


@pytest.fixture
async def house(shop: Shop) -> House:
    assert shop.store.routing is ROUTING
    return await House(shop).build()


async def test_a_sure_decision_goes_straight_to_the_outbox_with_its_undo(house: House) -> None:
    decision = Decision[ChangePrice].propose(
        house.price(),
        why="rivals went up",
        confidence=0.9,
        evidence=[Evidence(kind="listing", id=house.listing)],
        alternatives=(Alternative(name="stay", scores={"profit": 0.1}),),
        stake=dollars(101),
    )
    decision_id = await house.record("pricing", decision)
    assert await house.state(decision_id) == "applied"
    assert await house.verdicts(decision_id) == ["proceed"]
    effect = (await house.shop.rows("SELECT * FROM effect WHERE tenant_id = :tenant"))[0]
    assert (effect.command, effect.state, effect.key) == ("ChangePrice", "pending", f"{decision_id}:0")
    assert effect.payload["certificate"] is not None
    assert effect.undo["payload"]["price"] == dollars(2999).model_dump()
    assert effect.undo["payload"]["certificate"] is None, "an undo passes the firewall again"
    row = (await house.shop.rows("SELECT * FROM agent_decision"))[0]
    assert (row.rationale, row.confidence, row.stake_minor) == ("rivals went up", 0.9, 101)
    assert row.evidence[0]["id"] == str(house.listing)
    assert row.alternatives[0]["name"] == "stay"


async def test_holding_is_a_decision_too(house: House) -> None:
    decision_id = await house.record("pricing", Decision.hold("the price is right", confidence=0.1))
    assert await house.state(decision_id) == "held"
    assert await house.outbox() == []


async def test_doubt_goes_up_to_the_superior_who_lets_it_go_ahead(house: House) -> None:
    doubt = await house.record("pricing", Decision.propose(house.price(), why="maybe", confidence=0.45))
    assert await house.state(doubt) == "escalated"
    assert await house.outbox() == []
    told = (await house.shop.events(DecisionEscalated))[0]
    assert (told["from_agent"], told["to_agent"]) == ("pricing", "market")
    assert await house.run("executive") == 0, "it concerns the direct superior only"
    await house.run("market")
    assert await house.state(doubt) == "applied"
    assert await house.outbox() == [("ChangePrice", "pending")]


async def test_too_much_doubt_is_overruled(house: House) -> None:
    doubt = await house.record("pricing", Decision.propose(house.price(), why="a guess", confidence=0.2))
    await house.run("market")
    assert await house.state(doubt) == "overruled"
    assert await house.verdicts(doubt) == ["deny"]
    assert await house.outbox() == []


async def risky(house: House) -> UUID:
    """A decision that climbs to the executive, who has to ask the owner: 2,000 dollars are at stake."""
    decision_id = await house.record(
        "pricing", Decision.propose(house.price(), why="clearance", confidence=0.8, stake=dollars(200_000))
    )
    await house.run("market")
    assert await house.state(decision_id) == "escalated"
    await house.run("executive")
    return decision_id


async def test_a_high_stake_climbs_to_the_owner_and_the_answer_comes_back_down(house: House) -> None:
    decision_id = await risky(house)
    await house.run("executive")
    approvals = await house.shop.rows("SELECT decision_id, question, state FROM approval")
    assert len(approvals) == 1
    asked = approvals[0].decision_id
    assert "clearance" in approvals[0].question
    await house.answer(approved=True)
    for _ in range(3):
        await house.run("executive")
        await house.run("market")
    assert await house.state(asked) == "applied"
    assert await house.state(decision_id) == "applied"
    assert await house.outbox() == [("ChangePrice", "pending")]


async def test_an_owner_who_says_no_ends_it(house: House) -> None:
    decision_id = await risky(house)
    await house.run("executive")
    await house.answer(approved=False)
    await house.run("executive")
    asked = (await house.shop.rows("SELECT decision_id FROM approval"))[0].decision_id
    assert await house.state(asked) == "overruled"
    assert await house.outbox() == []
    assert await house.state(decision_id) == "overruled", "so is the decision below it"


async def test_reads_need_no_authority(house: House) -> None:
    look = Decision[PullOrders].propose(PullOrders(account_id=house.account.id), why="look", confidence=0.0)
    await house.record("base_market", look)
    assert await house.outbox() == [("PullOrders", "pending")]


async def test_a_newer_price_replaces_one_that_was_not_sent(house: House) -> None:
    for minor in (3100, 3050):
        await house.record("pricing", Decision.propose(house.price(minor), why="again"))
    assert await house.outbox() == [("ChangePrice", "superseded"), ("ChangePrice", "pending")]


async def test_what_cannot_be_done_is_denied_with_the_reason_and_leaves_no_trace(house: House) -> None:
    too_much = AllocateStock(stock_item_id=house.goods.stock_item_id, shares={house.listing: 99})
    pause = PauseAccount(account_id=house.account.id, reason="a reason")
    unknown = MarkOrderReady(order_id=new_id())
    decision_id = await house.record("inventory", Decision.propose(too_much, unknown, pause, why="three things"))
    rows = await house.shop.rows("SELECT verdict, rule, reason FROM proposal ORDER BY ordinal")
    assert [(row.verdict, row.rule) for row in rows] == [
        ("deny", "conflict"),
        ("deny", "not-found"),
        ("proceed", "books"),
    ]
    assert "99 units promised" in rows[0].reason
    assert await house.state(decision_id) == "applied"
    assert (await house.shop.share(house.listing)).target == 4


async def test_stock_targets_are_set_in_the_transaction_of_the_decision(house: House) -> None:
    commands: list[Command] = [
        AllocateStock(stock_item_id=house.goods.stock_item_id, shares={house.listing: 6}),
        SetChannelQuantity(account_id=house.account.id, listing_id=house.listing, quantity=6),
    ]
    await house.record("inventory", Decision.propose(*commands, why="two more"))
    share = await house.shop.share(house.listing)
    assert (share.target, share.entitled) == (6, 4), "granted only when the channel is about to be told"
    assert await house.outbox() == [("SetChannelQuantity", "pending")]


async def test_listing_a_product_makes_its_listing_and_share_once(house: House) -> None:
    second = await house.shop.account()
    command = ListOnChannel(product_id=house.goods.product_id, account_id=second.id)
    for _ in range(2):
        await house.record("market", Decision.propose(command, why="sell it there too"))
    rows = await house.shop.rows("SELECT status FROM listing WHERE account_id = :account", account=second.id)
    assert [row.status for row in rows] == ["requested"]
    assert len(await house.shop.events(ListingRequested)) == 1
    assert len(await house.shop.rows("SELECT 1 FROM allocation")) == 2


async def test_a_listing_that_left_with_its_product_is_requested_again(house: House) -> None:
    command = ListOnChannel(product_id=house.goods.product_id, account_id=house.account.id)
    for reason, status in (("season over", "ended"), (EndListing.UNPUBLISHED, "requested")):
        async with house.shop.unit() as unit:
            await listings.set_status(unit, house.listing, "ended", reason)
        await house.record("market", Decision.propose(command, why="it is sold again"))
        rows = await house.shop.rows("SELECT id, status FROM listing WHERE account_id = :a", a=house.account.id)
        assert [(row.id, row.status) for row in rows] == [(house.listing, status)]
    assert len(await house.shop.events(ListingRequested)) == 1


async def test_an_order_is_reserved_and_made_ready_only_when_it_is_whole(house: House) -> None:
    async with house.shop.unit() as unit:
        short = await ingest_order(unit, house.account, house.shop.order({house.goods.sku: 7}))
    await house.record("fulfillment", Decision.propose(MarkOrderReady(order_id=short.order_id), why="hope"))
    assert (await house.shop.rows("SELECT verdict FROM proposal"))[0].verdict == "deny"
    assert (await house.shop.rows("SELECT state FROM customer_order"))[0].state == "received"


async def claims(house: House) -> tuple[UUID, UUID]:
    """Two listings to publish: one harmless, one with a claim that a person has to consent to."""
    commands = []
    for title in ("A teapot", "A teapot that cures colds"):
        goods = await house.shop.variant(units=1)
        listing = await house.shop.listing(house.account, goods, price=None, status="requested")
        offer = Offer(sku=goods.sku, title=title, price=dollars(2999), quantity=0)
        commands.append(PublishListing(account_id=house.account.id, listing_id=listing, offer=offer))
    decision_id = await house.record("base_market", Decision.propose(*commands, why="requested", confidence=0.95))
    return decision_id, commands[1].listing_id


async def test_a_price_a_brake_holds_is_asked_about_once_and_leaves_on_a_yes(house: House) -> None:
    async with house.shop.unit() as unit:
        unit.session.add(
            SignedMove(
                tenant_id=house.shop.tenant_id,
                listing_id=house.listing,
                currency="USD",
                from_minor=1,
                to_minor=2,
                risk_minor=50_000,
                certificate_sha256="x",
                at=unit.now,
            )
        )
    held = await house.record("pricing", Decision.propose(house.price(3100), why="rivals", confidence=0.9))
    again = await house.record("pricing", Decision.propose(house.price(3050), why="rivals", confidence=0.9))
    assert (await house.state(held), await house.verdicts(held)) == ("awaiting", ["ask"])
    assert await house.verdicts(again) == ["deny"], "the owner is asked already"
    questions = await house.shop.rows("SELECT question, state FROM approval")
    assert [row.state for row in questions] == ["open"] and "revenue at risk" in questions[0].question
    assert await house.outbox() == []
    await house.answer(approved=True)
    await house.run("executive")
    assert await house.verdicts(held) == ["proceed"]
    assert await house.outbox() == [("ChangePrice", "pending")]


async def test_a_consent_publishes_what_waited_for_it_and_nothing_twice(house: House) -> None:
    decision_id, listing = await claims(house)
    assert await house.state(decision_id) == "awaiting"
    assert await house.verdicts(decision_id) == ["proceed", "ask"]
    assert await house.outbox() == [("PublishListing", "pending")]
    await house.answer(approved=True)
    await house.run("executive")
    assert await house.state(decision_id) == "applied"
    assert await house.verdicts(decision_id) == ["proceed", "proceed"]
    assert await house.outbox() == [("PublishListing", "pending")] * 2
    last = (await house.shop.rows("SELECT payload FROM effect WHERE tenant_id = :tenant ORDER BY id DESC"))[0].payload
    assert last["listing_id"] == str(listing)
    assert last["certificate"] is not None


async def test_a_refusal_denies_only_what_waited_for_it(house: House) -> None:
    decision_id, _ = await claims(house)
    await house.answer(approved=False)
    await house.run("executive")
    assert await house.state(decision_id) == "overruled"
    assert await house.verdicts(decision_id) == ["proceed", "deny"]
    assert await house.outbox() == [("PublishListing", "pending")]


async def review(house: House) -> None:
    """The hourly look of the executive."""
    async with house.shop.unit() as unit:
        unit.emit(CycleStarted(tenant_id=house.shop.tenant_id, cycle="hourly"))
    await house.run("executive")


async def test_a_question_that_nobody_answers_in_time_is_closed_and_its_decision_stopped(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    decision_id, _ = await claims(house)
    await review(house)
    assert await house.state(decision_id) == "awaiting", "there is time yet"
    clock = ManualClock(utc_now() + timedelta(days=365))
    monkeypatch.setattr(house.shop.store, "clock", clock)
    with pytest.raises(Conflict, match="time to answer is over"):
        await house.answer(approved=True)
    await review(house)
    assert (await house.shop.rows("SELECT state FROM approval"))[0].state == "expired"
    assert await house.state(decision_id) == "overruled"
    assert await house.verdicts(decision_id) == ["proceed", "deny"]
    reasons = await house.shop.rows("SELECT reason FROM proposal WHERE verdict = 'deny'")
    assert [row.reason for row in reasons] == ["nobody answered in time"]
    await review(house)
    last = (await house.shop.rows("SELECT state FROM agent_decision ORDER BY id DESC LIMIT 1"))[0].state
    assert last == "held", "it is closed once"


async def test_silence_ends_a_decision_that_climbed_and_an_answer_in_time_stands(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    decision_id = await risky(house)
    await house.run("executive")
    goods_decision, _ = await claims(house)
    approval = (
        await house.shop.rows("SELECT id FROM approval WHERE decision_id = :decision", decision=goods_decision)
    )[0].id
    async with house.shop.unit() as unit:
        await answer_approval(unit, approval, approved=True, by=new_id())
    monkeypatch.setattr(house.shop.store, "clock", ManualClock(utc_now() + timedelta(days=365)))
    async with house.shop.unit() as unit:
        with pytest.raises(Conflict, match="was answered"):
            await house.path.expire(unit, goods_decision)
    await review(house)
    assert await house.state(decision_id) == "overruled", "so is the decision below the one that asked"
    assert await house.state(goods_decision) == "applied"


async def questions(house: House) -> list[str]:
    return [row.state for row in await house.shop.rows("SELECT state FROM approval ORDER BY asked_at, id")]


async def test_a_newer_question_about_the_same_takes_the_place_of_the_older(house: House) -> None:
    first, listing = await claims(house)
    again = (await house.shop.rows("SELECT payload FROM proposal WHERE subject_id = :l", l=listing))[0].payload
    command = PublishListing.model_validate(again)
    second = await house.record("base_market", Decision.propose(command, why="asked again", confidence=0.95))
    assert await questions(house) == ["superseded", "open"]
    assert (await house.state(first), await house.state(second)) == ("overruled", "awaiting")
    assert await house.verdicts(first) == ["proceed", "deny"], "what was under way already stays"
    await claims(house)
    assert await questions(house) == ["superseded", "open", "open"], "another listing is another question"


async def test_a_question_about_more_than_the_newer_one_stays(house: House) -> None:
    goods = [await house.shop.variant(units=1) for _ in range(2)]
    commands = [
        PublishListing(
            account_id=house.account.id,
            listing_id=await house.shop.listing(house.account, each, price=None, status="requested"),
            offer=Offer(sku=each.sku, title="A teapot that cures colds", price=dollars(2999), quantity=0),
        )
        for each in goods
    ]
    for asked in (commands, commands[:1]):
        await house.record("base_market", Decision.propose(*asked, why="requested", confidence=0.95))
    assert await questions(house) == ["open", "open"]
    await house.record("base_market", Decision.propose(*commands, why="both again", confidence=0.95))
    assert await questions(house) == ["superseded", "superseded", "open"]


async def test_questions_that_climbed_are_about_what_was_wanted_below(house: House) -> None:
    for _ in range(2):
        decision_id = await risky(house)
        await house.run("executive")
    assert await questions(house) == ["superseded", "open"]
    states = await house.shop.rows("SELECT state FROM agent_decision WHERE agent = 'pricing' ORDER BY id")
    assert states[0].state == "overruled"
    assert await house.state(decision_id) in ("escalated", "awaiting")


async def test_an_answer_that_comes_twice_changes_nothing_more(house: House) -> None:
    decision_id, _ = await claims(house)
    await house.answer(approved=True)
    await house.run("executive")
    before = await house.outbox()
    await house.record("executive", Decision.hold("again"))
    async with house.shop.unit() as unit:
        context = house._context(unit, new_id())
        with pytest.raises(Exception, match="applied already"):
            await house.path.endorse(unit, context, decision_id)
    assert await house.outbox() == before


async def _sold(house: House) -> UUID:
    async with house.shop.unit() as unit:
        told = house.shop.order({house.goods.sku: 4})
        return (await ingest_order(unit, house.account, told)).order_id


async def _ask_back(house: House, order_id: UUID, minor: int) -> UUID:
    async with house.shop.unit() as unit:
        return (await refunds.request(unit, order_id, amount=dollars(minor), reason="broken")).id


async def _refund_state(house: House, refund_id: UUID) -> tuple[str, str]:
    rows = await house.shop.rows("SELECT state, detail FROM refund_request WHERE id = :id", id=refund_id)
    return rows[0].state, rows[0].detail


async def test_a_refund_goes_its_way_and_a_big_one_waits_for_a_second_word(house: House) -> None:
    order_id = await _sold(house)
    await house.run("fulfillment")
    small = await _ask_back(house, order_id, 500)
    await house.run("fulfillment")
    assert ("IssueRefund", "pending") in await house.outbox()
    assert (await _refund_state(house, small))[0] == "asked"
    async with house.shop.unit() as unit:
        await refunds.refuse(unit, small, "the channel said no")
    big = await _ask_back(house, order_id, 10_001)
    await house.run("fulfillment")
    assert [command for command, _ in await house.outbox()].count("IssueRefund") == 1
    await house.answer(approved=True)
    await house.run("executive")
    assert [command for command, _ in await house.outbox()].count("IssueRefund") == 2
    assert (await _refund_state(house, big))[0] == "asked"


async def test_a_refund_that_is_not_granted_makes_room_for_another(house: House) -> None:
    order_id = await _sold(house)
    await house.run("fulfillment")
    big = await _ask_back(house, order_id, 10_001)
    await house.run("fulfillment")
    await house.answer(approved=False)
    await house.run("executive")
    assert (await _refund_state(house, big))[0] == "refused"
    assert "IssueRefund" not in [command for command, _ in await house.outbox()]
    assert await _ask_back(house, order_id, 100)


async def test_a_refund_on_an_account_that_is_gone_is_refused(house: House) -> None:
    order_id = await _sold(house)
    await house.run("fulfillment")
    wish = await _ask_back(house, order_id, 500)
    async with house.shop.unit() as unit:
        await accounts.disconnect_account(unit, house.account.id, "sold the shop")
    await house.run("fulfillment")
    state, detail = await _refund_state(house, wish)
    assert (state, detail) == ("refused", "the account is not connected")


@pytest.mark.parametrize(("given", "state"), [(True, "issued"), (False, "refused")])
async def test_of_a_refund_in_doubt_a_person_is_asked(house: House, given: bool, state: str) -> None:
    order_id = await _sold(house)
    wish = await _ask_back(house, order_id, 500)
    async with house.shop.unit() as unit:
        await refunds.doubt(unit, wish, "no answer")
        unit.emit(
            EffectFailed(
                effect_id=new_id(),
                command="IssueRefund",
                outcome="unknown",
                account_id=house.account.id,
                vendor="custom",
                subject_kind="order",
                subject_id=order_id,
            )
        )
    await house.run("compliance")
    assert (await _refund_state(house, wish))[0] == "unknown"
    question = (await house.shop.rows("SELECT question FROM approval WHERE state = 'open'"))[0].question
    assert "only you can see" in question
    await house.answer(approved=given)
    await house.run("executive")
    assert (await _refund_state(house, wish))[0] == state
