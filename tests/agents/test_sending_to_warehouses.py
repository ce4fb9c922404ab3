"""AutoInventoryAgent on goods that a channel sells from its own warehouse: sent in time, as far as the shelf can."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from shop import Goods, Shop, open_store
from sqlalchemy import text
from test_auto_inventory_agent import carry_out, cycle, decide, forecast, say, supplier

from flipsync.domain.channel import ListingState, WarehouseUnits
from flipsync.domain.clock import ManualClock
from flipsync.domain.errors import Forbidden
from flipsync.domain.money import usd
from flipsync.domain.purchase_commands import OfferTransfers, PlanPurchases
from flipsync.domain.purchase_events import PurchaseDue, TransfersDue
from flipsync.services import adopting, stock, transfers, warehouses
from flipsync.services.orders import AccountRef
from flipsync.services.undo import undo_decision
from flipsync.services.why import explain

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MONDAY)


class Trade:
    """Lamps on our shelf that a shop offers, and that Amazon sells from its own warehouse."""

    def __init__(self, shop: Shop, amazon: AccountRef, goods: Goods) -> None:
        self.shop, self.amazon, self.goods = shop, amazon, goods
        self.due = TransfersDue(account_id=amazon.id, urgent=False)

    async def report(self, available: int) -> None:
        async with self.shop.unit() as unit:
            told = [WarehouseUnits(sku=self.goods.sku, available=available, inbound=0)]
            await warehouses.reconcile(unit, self.amazon.id, "amazon", told)

    async def transfers(self) -> list[Any]:
        return await self.shop.rows("SELECT * FROM stock_transfer ORDER BY number")


@pytest.fixture
async def shop(database_urls: dict[str, str], clock: ManualClock) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"], clock=clock)
    yield await Shop(store).found()
    await store.aclose()


async def trade_of(shop: Shop, *, units: int, there: float = 6.0, here: float = 2.0) -> Trade:
    amazon, own = await shop.account("amazon"), await shop.account("custom")
    goods = await shop.variant(units=units, title="Lamp", mode="escrow")
    await shop.listing(own, goods, units=0, price=2999)
    trade = Trade(shop, amazon, goods)
    listed = ListingState(
        external_id=goods.sku,
        sku=goods.sku,
        title="Lamp",
        status="active",
        price=usd("29.99"),
        quantity=None,
        fulfilled_by="channel",
        catalogue_id=f"B0-{goods.sku}",
    )
    async with shop.unit() as unit:
        await adopting.take_over(unit, amazon, [listed])
    await forecast(shop, amazon.id, goods, there)
    await forecast(shop, own.id, goods, here)
    return trade


async def test_the_warehouse_is_filled_before_it_runs_out_when_the_owner_says_so(shop: Shop) -> None:
    trade = await trade_of(shop, units=200)
    first = await decide(shop, cycle(shop))
    (plan,) = first.proposals
    assert isinstance(plan, PlanPurchases) and plan.warehouses == (trade.amazon.id,) and not plan.suppliers
    assert "to send to the warehouses of amazon" in first.rationale
    assert (await carry_out(shop, first))[1].startswith("proceed")
    (due,) = await shop.events(TransfersDue)
    decision = await decide(shop, TransfersDue.model_validate(due))
    (offer,) = decision.proposals
    assert isinstance(offer, OfferTransfers) and offer.account_id == trade.amazon.id
    (line,) = offer.lines
    # three weeks of six a week, a spread beyond it, and what makes a line worth while
    assert 18 < line.units < 60
    assert f"{line.units} of 200 × {trade.goods.sku} (0 there; 6.0 a week sell there and 2.0 here" in decision.rationale
    assert "assumed, until some were seen" in decision.rationale
    decision_id, became = await carry_out(shop, decision)
    assert became.startswith("ask: somebody has to pack") and await trade.transfers() == []
    assert (await say(shop, decision_id, yes=True)).startswith("proceed")
    (made,) = await trade.transfers()
    assert (made.planned, made.state, made.decision_id) == (line.units, "planned", decision_id)
    async with shop.store.reader(shop.tenant_id) as session:
        told = await explain(session, "TR-1")
    assert "an agent proposed it and a person said yes" in told.summary
    assert trade.goods.sku in " ".join(step.text for step in told.chains[0].steps)
    assert (await decide(shop, trade.due)).rationale == "nothing is to be sent there any more", "it is on its way"
    assert (await decide(shop, cycle(shop))).is_hold


async def test_an_answer_given_late_sends_what_is_left_and_nothing_twice(shop: Shop, clock: ManualClock) -> None:
    trade = await trade_of(shop, units=40)
    decided = await decide(shop, trade.due)
    (line,) = decided.proposals[0].lines
    first, _ = await carry_out(shop, decided)
    second, _ = await carry_out(shop, await decide(shop, trade.due))
    clock.advance(timedelta(minutes=1))
    async with shop.unit() as unit:
        await stock.count(unit, trade.goods.stock_item_id, 5, key="found fewer", note="")
    await say(shop, second, yes=True)
    (made,) = await trade.transfers()
    assert made.planned == 5 < line.units
    assert first != second, "the older question was taken back: nobody can say yes to it any more"
    states = {row.id: row.state for row in await shop.rows("SELECT id, state FROM agent_decision")}
    assert states[first] != "awaiting"


async def test_an_undone_decision_calls_off_what_has_not_left(shop: Shop) -> None:
    trade = await trade_of(shop, units=200)
    decision_id, _ = await carry_out(shop, await decide(shop, trade.due))
    await say(shop, decision_id, yes=True)
    (made,) = await trade.transfers()
    async with shop.unit() as unit:
        report = await undo_decision(unit, decision_id, dry_run=True, allowed=lambda _: True)
    assert (report.parts[0].outcome, (await trade.transfers())[0].state) == ("undoable", "planned")
    async with shop.unit() as unit:
        with pytest.raises(Forbidden, match="OfferTransfers"):
            await undo_decision(unit, decision_id, allowed=lambda right: right == "catalogue:write")
    async with shop.unit() as unit:
        report = await undo_decision(unit, decision_id, allowed=lambda _: True)
    assert report.parts[0].outcome == "undone" and "1 transfers are called off" in report.parts[0].why
    assert (await trade.transfers())[0].state == "cancelled"
    again, _ = await carry_out(shop, await decide(shop, trade.due))
    await say(shop, again, yes=True)
    _, second = await trade.transfers()
    async with shop.unit() as unit:
        await transfers.send(unit, second.id)
    async with shop.unit() as unit:
        report = await undo_decision(unit, again, allowed=lambda _: True)
    assert (report.parts[0].outcome, report.parts[0].why) == ("moved-on", f"TR-{second.number} is sent")
    assert made.number != second.number


async def test_too_few_for_both_go_where_they_are_likelier_asked_for(shop: Shop) -> None:
    trade = await trade_of(shop, units=10, there=6.0, here=6.0)
    (line,) = (await decide(shop, trade.due)).proposals[0].lines
    assert line.units == 5, "both alike: half of it"
    other = await Shop(shop.store).found()
    much_here = await trade_of(other, units=10, there=2.0, here=12.0)
    decision = await decide(other, much_here.due)
    sent = sum(line.units for offer in decision.proposals for line in offer.lines)
    assert sent <= 2
    if sent:
        assert "likelier asked for" in decision.rationale


async def test_enough_there_is_left_alone_and_a_no_holds_for_a_week(shop: Shop, clock: ManualClock) -> None:
    trade = await trade_of(shop, units=200)
    await trade.report(60)
    held = await decide(shop, cycle(shop))
    assert held.is_hold and "1 goods in channels' warehouses, nothing is to be sent there" in held.rationale
    await trade.report(2)
    urgent = await decide(shop, cycle(shop, "hourly"))
    assert urgent.proposals[0].warehouses == (trade.amazon.id,), "two of six a week run out before more arrives"
    decision_id, _ = await carry_out(shop, await decide(shop, trade.due))
    await say(shop, decision_id, yes=False)
    refused = await decide(shop, cycle(shop))
    assert refused.is_hold and "you said no on 2026-03-02" in refused.rationale
    clock.advance(timedelta(days=7, hours=1))
    assert not (await decide(shop, cycle(shop))).is_hold


async def test_days_it_took_are_learned(shop: Shop, clock: ManualClock) -> None:
    trade = await trade_of(shop, units=400)
    slow, before = 40, (await decide(shop, trade.due)).proposals[0].lines[0].units
    for _ in range(3):
        async with shop.unit() as unit:
            made = await transfers.plan(unit, trade.goods.variant_id, 4, trade.amazon.id)
        clock.advance(timedelta(days=1))
        async with shop.unit() as unit:
            await transfers.send(unit, made.id)
        clock.advance(timedelta(days=slow))
        await trade.report(4)
        await trade.report(0)
    async with shop.unit() as unit:
        await unit.session.execute(text("UPDATE forecast_run SET origin = :now"), {"now": unit.now})
    decision = await decide(shop, trade.due)
    assert "seen in 3 transfers" in decision.rationale
    # three transfers of 41 days weigh as much as the assumed fortnight
    assert decision.proposals[0].lines[0].units > before * 1.5


async def test_what_lies_there_or_is_under_way_is_not_bought_again(shop: Shop) -> None:
    trade = await trade_of(shop, units=40, there=4.0, here=1.0)
    lamps = await supplier(shop, trade.goods, name="Lamps")
    assert (await decide(shop, PurchaseDue(supplier_id=lamps, urgent=False))).is_hold, "forty are enough"
    async with shop.unit() as unit:
        made = await transfers.plan(unit, trade.goods.variant_id, 30, trade.amazon.id)
    assert (await decide(shop, PurchaseDue(supplier_id=lamps, urgent=False))).is_hold, "planned"
    async with shop.unit() as unit:
        await transfers.send(unit, made.id)
    assert (await decide(shop, PurchaseDue(supplier_id=lamps, urgent=False))).is_hold, "under way"
    await trade.report(30)
    assert (await decide(shop, PurchaseDue(supplier_id=lamps, urgent=False))).is_hold, "there"
    await trade.report(0)
    assert not (await decide(shop, PurchaseDue(supplier_id=lamps, urgent=False))).is_hold, "sold"


async def test_another_business_cannot_have_it_sent(shop: Shop) -> None:
    trade = await trade_of(shop, units=100)
    stranger = await Shop(shop.store).found()
    assert (await decide(stranger, trade.due)).is_hold
    decision_id, became = await carry_out(stranger, await decide(shop, trade.due))
    assert became.startswith("ask")
    assert "deny" in await say(stranger, decision_id, yes=True)
    assert await trade.transfers() == []
