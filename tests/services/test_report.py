"""The business report: every figure against one worked out by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from shop import Goods, Shop, dollars, open_store

from flipsync.domain.channel import ChannelOrder, ChannelRefund, OrderStatus
from flipsync.domain.commands import ChangePrice
from flipsync.domain.events import OfferChanged
from flipsync.domain.ids import new_id
from flipsync.services import orders
from flipsync.services.orders import AccountRef
from flipsync.services.report import BusinessReport, business_report
from flipsync.store.database import Database
from flipsync.store.models import AgentDecision, AgentTask, Approval, PriceChange, Proposal
from flipsync.store.repositories import effects as effect_rows
from flipsync.store.repositories.effects import Outcome


@dataclass
class Trade:
    """A reseller with a shop (Stripe's fees) and a bazaar (12 % commission), and what was sold there."""

    shop: Shop
    woo: AccountRef
    bazaar: AccountRef
    goods: Goods
    listing: UUID

    async def report(self, **more: Any) -> BusinessReport:
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            return await business_report(session, **more)

    async def tell(self, account: AccountRef, told: ChannelOrder) -> UUID:
        async with self.shop.unit() as unit:
            return (await orders.ingest_order(unit, account, told)).order_id

    def order(
        self,
        units: int,
        *,
        status: OrderStatus = "paid",
        holds_stock: bool = True,
        shipping: int = 0,
        tax: int = 0,
        fee: int | None = None,
        days_ago: int = 0,
        refunds: tuple[ChannelRefund, ...] = (),
    ) -> ChannelOrder:
        """29.99 USD a unit."""
        told = self.shop.order({self.goods.sku: units}, status=status, holds_stock=holds_stock, refunds=refunds)
        placed = told.placed_at - timedelta(days=days_ago)
        return told.model_copy(
            update={
                "shipping": dollars(shipping),
                "tax": dollars(tax),
                "total": dollars(2999 * units + shipping + tax),
                "channel_fee": None if fee is None else dollars(fee),
                "placed_at": placed,
                "modified_at": placed,
            }
        )


@pytest.fixture(scope="module")
def database_urls(make_database: Callable[[], dict[str, str]]) -> dict[str, str]:
    """A database of their own: these tests claim whatever is in the outbox."""
    return make_database()


@pytest.fixture
async def trade(database_urls: dict[str, str]) -> AsyncIterator[Trade]:
    store = open_store(database_urls["worker"])
    shop = await Shop(store).found(pricing={"shipping_cost_minor": 450, "marketplace_fee_bps": 1200})
    woo = await shop.account("woocommerce", name="Shop")
    bazaar = await shop.account("custom", name="Bazaar")
    goods = await shop.variant(units=20, price=2999, cost=1000)
    listing = await shop.listing(bazaar, goods, units=10)
    await shop.listing(woo, goods, units=10)
    yield Trade(shop, woo, bazaar, goods, listing)
    await store.aclose()


async def test_an_empty_business_has_zeros_not_gaps(database_urls: dict[str, str]) -> None:
    shop = await Shop(open_store(database_urls["worker"])).found()
    async with shop.store.reader(shop.tenant_id) as session:
        report = await business_report(session)
    await shop.store.aclose()
    assert (report.orders.total, report.decisions.total, report.stock.items) == (0, 0, 0)
    assert report.money.revenue == report.money.profit == dollars(0)
    assert report.effects.totals == {"confirmed": 0, "rejected": 0, "unknown": 0, "superseded": 0, "pending": 0}
    assert "Orders: 0 (0 units)" in report.to_text()


async def test_money_is_exact_to_the_cent(trade: Trade) -> None:
    # 2 × 29.99 + 5.00 shipping + 4.00 tax on the shop: Stripe takes 2.9 % of 68.98 + 0.30 = 2.30 (half up)
    await trade.tell(trade.woo, trade.order(2, shipping=500, tax=400))
    # the same amounts again: grouped with the first by the query, counted twice all the same
    await trade.tell(trade.woo, trade.order(2, shipping=500, tax=400))
    # 1 × 29.99 on the bazaar: 12 % of 29.99 = 3.60
    await trade.tell(trade.bazaar, trade.order(1))
    # the bazaar tells its own fee: it counts, not the schedule
    await trade.tell(trade.bazaar, trade.order(1, fee=111))
    money = (await trade.report()).money
    assert money.orders == money.parcels == 4
    assert money.goods == dollars(2999 * 6)
    assert money.shipping_charged == dollars(1000)
    assert money.revenue == dollars(2999 * 6 + 1000)
    assert money.tax == dollars(800)
    assert money.fees == dollars(2 * 230 + 360 + 111)
    assert money.fees_told_by_channels == dollars(111)
    assert money.cost_of_goods == dollars(6 * 1000)
    assert money.shipping_cost == dollars(4 * 450)
    assert money.profit == dollars(2999 * 6 + 1000 - 931 - 6000 - 1800)
    assert (money.orders_without_fees, money.units_without_cost) == (0, 0)


async def test_refunds_leave_out_their_tax_and_returned_goods_cost_nothing(trade: Trade) -> None:
    now = trade.shop.store.clock.now()
    told = trade.order(2, tax=600)  # 59.98 + 6.00
    order_id = await trade.tell(trade.bazaar, told)
    back = ChannelRefund(external_id="r1", amount=dollars(3299), restocked={"line-0": 1}, created_at=now)
    later = told.model_copy(update={"modified_at": told.modified_at + timedelta(minutes=5), "refunds": (back,)})
    assert await trade.tell(trade.bazaar, later) == order_id
    money = (await trade.report()).money
    assert money.refunds == dollars(3299)
    assert money.refunds_before_tax == dollars(2999)  # 32.99 × 59.98 / 65.98
    assert money.cost_of_goods == dollars(1000), "one of two came back"
    assert money.profit == dollars(5998 - 2999 - 720 - 1000 - 450)


async def test_what_never_earned_is_counted_and_not_added_up(trade: Trade) -> None:
    await trade.tell(trade.bazaar, trade.order(1, status="pending", holds_stock=False))
    paid = trade.order(3)
    await trade.tell(trade.woo, paid)
    cancelled = paid.model_copy(
        update={
            "status": "cancelled",
            "vendor_status": "cancelled",
            "holds_stock": False,
            "modified_at": paid.modified_at + timedelta(minutes=1),
        }
    )
    await trade.tell(trade.woo, cancelled)
    report = await trade.report()
    assert (report.orders.total, report.orders.units, report.orders.earning) == (2, 4, 0)
    assert [(each.account, each.status, each.state, each.orders, each.units) for each in report.orders.by_channel] == [
        ("Bazaar", "pending", "received", 1, 1),
        ("Shop", "cancelled", "cancelled", 1, 3),
    ]
    assert report.money.revenue == report.money.fees == report.money.profit == dollars(0)


async def test_goods_of_unknown_cost_are_counted_so_that_profit_is_not_believed(trade: Trade) -> None:
    unknown = await trade.shop.variant(units=5, cost=None)
    await trade.shop.listing(trade.bazaar, unknown, units=5)
    await trade.tell(trade.bazaar, trade.shop.order({unknown.sku: 2, trade.goods.sku: 1, "not-ours": 1}))
    report = await trade.report()
    assert report.money.units_without_cost == 3
    assert report.money.cost_of_goods == dollars(1000)
    assert "The cost of 3 units is not known" in report.to_text()


async def test_units_sold_that_do_not_exist_are_told(trade: Trade) -> None:
    await trade.tell(trade.bazaar, trade.order(12))
    report = await trade.report()
    assert report.orders.short_units == report.stock.short == 2
    assert report.stock.on_hand == 20
    assert report.stock.reserved == 10
    assert report.stock.allocated == 10
    assert report.stock.free == 0


async def test_since_leaves_out_what_was_before(trade: Trade) -> None:
    await trade.tell(trade.bazaar, trade.order(1, days_ago=9))
    await trade.tell(trade.bazaar, trade.order(2))
    since = trade.shop.store.clock.now() - timedelta(days=2)
    assert (await trade.report()).orders.units == 3
    report = await trade.report(since=since)
    assert report.orders.units == 2
    assert report.money.goods == dollars(5998)
    tomorrow = await trade.report(since=since + timedelta(days=3))
    assert (tomorrow.orders.total, tomorrow.decisions.total, tomorrow.prices.moves) == (0, 0, 0)
    with pytest.raises(ValueError, match="time zone"):
        await trade.report(since=since.replace(tzinfo=None))


async def _decide(trade: Trade, *, agent: str, state: str, rationale: str, verdict: tuple[str, str, str]) -> UUID:
    """A decision on a fact about the listing, with one proposal; returns the proposal's id."""
    account, listing = trade.bazaar, trade.listing
    async with trade.shop.unit() as unit:
        event = OfferChanged(listing_id=listing, account_id=account.id, vendor="custom", cause="sale")
        event_id = unit.emit(event)
        await unit.flush()
        command = ChangePrice(account_id=account.id, listing_id=listing, price=dollars(2500), previous=dollars(2999))
        decision = AgentDecision(
            id=new_id(),
            tenant_id=unit.tenant_id,
            agent=agent,
            agent_version="1",
            event_id=event_id,
            state=state,
            source="policy",
            rationale=rationale,
            confidence=0.75,
            correlation_id=event_id,
        )
        proposal = Proposal(
            id=new_id(),
            tenant_id=unit.tenant_id,
            decision_id=decision.id,
            ordinal=0,
            command="ChangePrice",
            payload=command.model_dump(mode="json"),
            subject_kind="listing",
            subject_id=listing,
            verdict=verdict[0],
            rule=verdict[1],
            reason=verdict[2],
        )
        unit.session.add(decision)
        await unit.session.flush()
        unit.session.add(proposal)
        if state == "awaiting":
            unit.session.add(
                Approval(
                    tenant_id=unit.tenant_id,
                    decision_id=decision.id,
                    question="May I?",
                    expires_at=unit.now + timedelta(hours=48),
                )
            )
    return proposal.id


async def _move(trade: Trade, proposal_id: UUID, old: int | None, new: int, floor: int = 2000) -> None:
    """A price that the channel confirmed after one refusal."""
    command = ChangePrice(
        account_id=trade.bazaar.id, listing_id=trade.listing, price=dollars(new), previous=dollars(old or 1)
    )
    async with trade.shop.unit() as unit:
        key = f"price:{new_id()}"
        effect_id = unit.enqueue(command, account_id=trade.bazaar.id, key=key, proposal_id=proposal_id)
    for state, retry_in in (("pending", 0.0), ("confirmed", None)):
        async with trade.shop.store.database.unbound() as session:
            claimed = await effect_rows.claim(session, owner="report", limit=50, lease_seconds=30)
        (ours,) = [each for each in claimed.effects if each.id == effect_id]
        async with trade.shop.unit() as unit:
            word = "confirmed" if retry_in is None else "retryable"
            outcome = Outcome(state, word, unit.now, retry_in=retry_in)
            assert await effect_rows.finish(unit.session, unit.tenant_id, [(ours, outcome)]) == {effect_id}
    async with trade.shop.unit() as unit:
        unit.session.add(
            PriceChange(
                tenant_id=unit.tenant_id,
                listing_id=trade.listing,
                old_minor=old,
                new_minor=new,
                currency="USD",
                floor_minor=floor,
                effect_id=effect_id,
            )
        )


async def test_prices_decisions_effects_and_what_was_blocked(trade: Trade) -> None:
    passed = ("proceed", "price-firewall", "within all bounds; signed")
    first = await _decide(trade, agent="base_market", state="applied", rationale="1 listing", verdict=passed)
    up = await _decide(trade, agent="pricing", state="applied", rationale="It earns +7.4% more.", verdict=passed)
    again = await _decide(trade, agent="pricing", state="applied", rationale="It earns +11% more.", verdict=passed)
    down = await _decide(trade, agent="auto_pricing", state="applied", rationale="A rival is lower.", verdict=passed)
    await _decide(
        trade, agent="pricing", state="applied", rationale="x", verdict=("deny", "price-firewall", "The first no.")
    )
    newest = await _decide(
        trade, agent="pricing", state="applied", rationale="x", verdict=("deny", "price-firewall", "Below the floor.")
    )
    await _decide(trade, agent="pricing", state="awaiting", rationale="x", verdict=("ask", "claims", "May I?"))
    for proposal, old, new, floor in (
        (first, None, 2999, 2000),
        (up, 2999, 3100, 2000),
        (again, 3100, 3200, 2000),
        (again, 3200, 3200, 2000),
        (down, 3200, 1900, 2000),
    ):
        await _move(trade, proposal, old, new, floor)
    report = await trade.report()
    prices = report.prices
    assert (prices.first_prices, prices.unchanged, prices.moves, prices.up, prices.down) == (1, 1, 3, 2, 1)
    assert [(each.agent, each.reason, each.moves) for each in prices.reasons] == [
        ("pricing", "It earns …% more.", 2),
        ("auto_pricing", "A rival is lower.", 1),
    ]
    assert prices.floor_breaches == 1
    (breach,) = prices.breaches
    assert (breach.listing, breach.price, breach.floor) == (f"{trade.goods.sku}@Bazaar", dollars(1900), dollars(2000))
    decided = {(each.agent, each.state): each.decisions for each in report.decisions.by_agent}
    assert decided == {
        ("base_market", "applied"): 1,
        ("pricing", "applied"): 4,
        ("auto_pricing", "applied"): 1,
        ("pricing", "awaiting"): 1,
    }
    assert (report.decisions.total, report.decisions.agents) == (7, 3)
    assert {each.mean_confidence for each in report.decisions.by_agent} == {0.75}
    assert report.effects.totals["confirmed"] == 5
    assert report.effects.attempts == 10
    (effects,) = report.effects.by_command
    assert (effects.command, effects.state, effects.most_attempts) == ("ChangePrice", "confirmed", 2)
    assert [(each.verdict, each.rule, each.proposals, each.example) for each in report.blocked] == [
        ("deny", "price-firewall", 2, "Below the floor."),
        ("ask", "claims", 1, "May I?"),
    ]
    assert report.blocked[0].example_subject == f"{trade.goods.sku}@Bazaar"
    (decision,) = await trade.shop.rows("SELECT decision_id FROM proposal WHERE id = :id", id=newest)
    assert report.blocked[0].decision_id == decision[0]
    assert report.approvals_open == 1
    assert [each.agent for each in report.approvals] == ["pricing"]
    text = report.to_text(80)
    assert max(map(len, text.splitlines())) <= 80
    assert "2× ChangePrice blocked by price-firewall" in text
    assert "BELOW ITS FLOOR" in text


async def test_work_that_was_set_aside_is_told_with_its_error(trade: Trade) -> None:
    async with trade.shop.unit() as unit:
        event_id = unit.emit(
            OfferChanged(listing_id=trade.listing, account_id=trade.bazaar.id, vendor="custom", cause="sale")
        )
        await unit.flush()
        unit.session.add(
            AgentTask(
                tenant_id=unit.tenant_id,
                agent="nobody",
                event_id=event_id,
                priority=50,
                state="failed",
                attempts=8,
                error="ValueError: spoiled",
            )
        )
    (failed,) = (await trade.report()).failed_tasks
    assert (failed.agent, failed.event, failed.error, failed.tasks) == (
        "nobody",
        "OfferChanged",
        "ValueError: spoiled",
        1,
    )
    assert failed.event_id == event_id


async def test_each_tenant_has_its_own_report_whatever_the_role(trade: Trade, database_urls: dict[str, str]) -> None:
    await trade.tell(trade.bazaar, trade.order(1))
    ours = await trade.report()
    app = Database(database_urls["app"], pool_size=1)
    async with app.reader(trade.shop.tenant_id) as session:
        assert await business_report(session) == ours
    await app.aclose()
    stranger = await Shop(trade.shop.store).found()
    async with stranger.store.reader(stranger.tenant_id) as session:
        theirs = await business_report(session)
    assert theirs.orders.total == theirs.decisions.total == theirs.stock.items == 0
    assert sum(theirs.effects.totals.values()) == 0
    assert theirs.failed_tasks == []


async def test_json_is_plain_and_has_what_the_demo_tells(trade: Trade) -> None:
    await trade.tell(trade.bazaar, trade.order(1))
    told = json.loads(json.dumps((await trade.report()).to_json()))
    assert told["money"]["revenue"] == {"amount_minor": 2999, "currency": "USD"}
    assert set(told["effects"]["totals"]) >= {"confirmed", "rejected", "unknown"}
    assert isinstance(told["decisions"]["total"], int)
    assert isinstance(told["decisions"]["agents"], int)
