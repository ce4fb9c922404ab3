"""AutoInventoryAgent on real rows: from a forecast to an order, once, and never for more than it may spend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from shop import Goods, Shop, open_store
from sqlalchemy import text

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from agents.logistics.auto_inventory import AutoInventoryAgent
from flipsync.domain.clock import ManualClock
from flipsync.domain.decisions import Decision
from flipsync.domain.events import CycleStarted, Event
from flipsync.domain.ids import new_id
from flipsync.domain.purchase_commands import OfferPurchaseOrder, PlacePurchaseOrder, PlanPurchases
from flipsync.domain.purchase_events import PurchaseDue
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.services import goods_in, purchase_orders, suppliers
from flipsync.services.approvals import answer_approval
from flipsync.services.desk import Services
from flipsync.services.graders import GRADERS, Grade
from flipsync.services.suppliers import OfferForm, SupplierForm
from flipsync.services.undo import undo_decision
from flipsync.services.why import explain
from flipsync.store import models as m
from flipsync.store.repositories import grading_facts
from flipsync.store.repositories.grades import DueRow

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MONDAY)


@pytest.fixture
async def shop(database_urls: dict[str, str], clock: ManualClock) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"], clock=clock)
    yield await Shop(store).found()
    await store.aclose()


async def stocked(shop: Shop, weekly: float = 4.0, units: int = 3, **more: Any) -> Goods:
    """Goods for sale that are forecast to sell so many a week."""
    account = await shop.account()
    goods = await shop.variant(units=units, **more)
    await shop.listing(account, goods, units=units, price=more.get("price", 2999))
    await forecast(shop, account.id, goods, weekly)
    return goods


async def forecast(shop: Shop, account: UUID, goods: Goods, weekly: float) -> None:
    tenant = {"tenant_id": shop.tenant_id}
    async with shop.unit() as unit:
        found = (await unit.session.execute(text("SELECT id FROM forecast_run LIMIT 1"))).scalar()
        if found is None:
            run = m.ForecastRun(
                **tenant,
                **dict.fromkeys(("method", "why", "code_version"), "shrunk"),
                origin=unit.now,
                horizon=12,
                inside=0.8,
                baseline_wins=False,
                rmsse={},
                series=1,
            )
            unit.session.add(run)
            await unit.session.flush()
            found = run.id
        rest = {"scale": 1.0, "own_share": 0.9, "weeks_on_shelf": 30.0, "units_sold": 100}
        item = {"run_id": found, "stock_item_id": goods.stock_item_id, "account_id": account}
        unit.session.add(m.Forecast(**tenant, **item, weekly=weekly, low=weekly - 2, high=weekly + 3, **rest))


async def supplier(shop: Shop, *goods: Goods, name: str = "Teapots", pack: int = 1, **form: Any) -> UUID:
    async with shop.unit() as unit:
        made = await suppliers.create(unit, SupplierForm(**({"name": name} | form)))
        for each in goods:
            await suppliers.put_offer(
                unit, made.id, each.variant_id, OfferForm(pack_cost_minor=300 * pack, pack_units=pack)
            )
    return made.id


async def decide(shop: Shop, event: Event) -> Decision[Any]:
    told: Decision[Any] = await shop.decide(AutoInventoryAgent(), event)
    return told


def cycle(shop: Shop, kind: Any = "daily") -> CycleStarted:
    return CycleStarted(tenant_id=shop.tenant_id, cycle=kind)


async def carry_out(shop: Shop, decision: Decision[Any]) -> tuple[UUID, str]:
    """As the runtime does: its id, and what became of its first part."""
    path = DecisionPath(Graph(ROSTER), Gate(shop.firewall, [ComplianceAgent()]))
    async with shop.unit() as unit:
        event_id = unit.emit(cycle(shop))
        await unit.flush()
        services = Services(unit.session, shop.tenant_id, unit.now)
        context = Context(shop.tenant_id, unit.now, services, event_id, event_id)
        decision_id = await path.record(unit, context, AutoInventoryAgent.spec, decision)
    (row,) = await shop.rows("SELECT verdict, reason FROM proposal WHERE decision_id = :id", id=decision_id)
    return decision_id, f"{row.verdict}: {row.reason}"


async def say(shop: Shop, decision_id: UUID, *, yes: bool) -> str:
    """The owner answers, and the executive carries the answer out."""
    path = DecisionPath(Graph(ROSTER), Gate(shop.firewall, [ComplianceAgent()]))
    (asked,) = await shop.rows("SELECT id FROM approval WHERE decision_id = :id AND state = 'open'", id=decision_id)
    async with shop.unit() as unit:
        await answer_approval(unit, asked.id, approved=yes, by=None)
    async with shop.unit() as unit:
        context = Context(
            shop.tenant_id, unit.now, Services(unit.session, shop.tenant_id, unit.now), new_id(), new_id()
        )
        if yes:
            await path.endorse(unit, context, decision_id)
        else:
            await path.overrule(unit, decision_id, "the owner said no")
    (row,) = await shop.rows("SELECT verdict, reason FROM proposal WHERE decision_id = :id", id=decision_id)
    return f"{row.verdict}: {row.reason}"


async def settle(shop: Shop, **changes: Any) -> None:
    import orjson

    async with shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE tenant SET settings = CAST(:to AS jsonb) WHERE id = :id"),
            {"to": orjson.dumps({"purchasing": changes}).decode(), "id": shop.tenant_id},
        )


async def orders(shop: Shop) -> list[Any]:
    return await shop.rows("SELECT * FROM purchase_order ORDER BY number")


async def test_from_the_forecast_to_an_order_that_says_why(shop: Shop) -> None:
    cups, pots = await stocked(shop), await stocked(shop, weekly=2.0, units=60)
    teapots = await supplier(shop, cups, pots, pack=6)
    first = await decide(shop, cycle(shop))
    (plan,) = first.proposals
    assert isinstance(plan, PlanPurchases) and plan.suppliers == (teapots,) and not plan.urgent
    assert "2 goods looked at; to buy from Teapots" in first.rationale
    assert (await carry_out(shop, first))[1].startswith("proceed")
    (due,) = await shop.events(PurchaseDue)
    decision = await decide(shop, PurchaseDue.model_validate(due))
    (order,) = decision.proposals
    assert type(order) is PlacePurchaseOrder and decision.stake == order.cost and decision.confidence == 0.8
    (line,) = order.lines
    assert line.variant_id == cups.variant_id and line.units % 6 == 0 and line.cost_minor == line.units * 300
    assert f"{line.units} × {cups.sku} (3 there; 4.0 sell a week" in decision.rationale
    assert "for you to place" in decision.rationale and "as you stated it" in decision.rationale
    decision_id, became = await carry_out(shop, decision)
    assert became.startswith("proceed")
    (row,) = await orders(shop)
    assert (row.state, row.decision_id, row.supplier_id) == ("placing", decision_id, teapots)
    async with shop.store.reader(shop.tenant_id) as session:
        told = await explain(session, "PO-1")
        of_supplier = await explain(session, "Teapots")
    assert "an agent proposed it" in told.summary
    steps = " ".join(step.text for step in told.chains[0].steps)
    assert cups.sku in steps and "was left to you to place" in steps
    assert len(of_supplier.chains) == 1 and "order from Teapots" in of_supplier.chains[0].title


async def test_what_is_on_order_is_not_bought_again(shop: Shop, clock: ManualClock) -> None:
    cups = await stocked(shop)
    teapots = await supplier(shop, cups)
    await carry_out(shop, await decide(shop, PurchaseDue(supplier_id=teapots, urgent=False)))
    again = await decide(shop, cycle(shop))
    assert again.is_hold and "nothing is to be bought now" in again.rationale
    assert (await decide(shop, PurchaseDue(supplier_id=teapots, urgent=False))).is_hold
    (order,) = await orders(shop)
    async with shop.unit() as unit:
        await purchase_orders.ordered(unit, order.id)
        await purchase_orders.cancel(unit, order.id, "they are out of it")
    assert not (await decide(shop, cycle(shop))).is_hold, "what was called off does not come"


async def test_two_answers_to_the_same_need_buy_it_once(shop: Shop, clock: ManualClock) -> None:
    cups = await stocked(shop)
    teapots = await supplier(shop, cups)
    due = PurchaseDue(supplier_id=teapots, urgent=False)
    first, second = await decide(shop, due), await decide(shop, due)
    clock.advance(timedelta(minutes=1))
    assert (await carry_out(shop, first))[1].startswith("proceed")
    became = (await carry_out(shop, second))[1]
    assert became.startswith("deny") and "bought twice" in became
    assert len(await orders(shop)) == 1


async def test_above_what_agents_may_spend_alone_the_owner_is_asked_and_a_no_holds_for_a_week(
    shop: Shop, clock: ManualClock
) -> None:
    await settle(shop, alone_minor=1_000)
    cups = await stocked(shop)
    teapots = await supplier(shop, cups)
    due = PurchaseDue(supplier_id=teapots, urgent=False)
    decision = await decide(shop, due)
    assert type(decision.proposals[0]) is OfferPurchaseOrder
    decision_id, became = await carry_out(shop, decision)
    assert became.startswith("ask") and await orders(shop) == []
    await say(shop, decision_id, yes=False)
    held = await decide(shop, cycle(shop))
    assert held.is_hold and "Teapots: you said no on 2026-03-02" in held.rationale and await orders(shop) == []
    clock.advance(timedelta(days=7, minutes=1))
    assert not (await decide(shop, cycle(shop))).is_hold
    decision_id, _ = await carry_out(shop, await decide(shop, due))
    assert (await say(shop, decision_id, yes=True)).startswith("proceed")
    assert [row.state for row in await orders(shop)] == ["placing"]


async def test_a_yes_that_comes_when_the_price_has_changed_buys_nothing(shop: Shop) -> None:
    await settle(shop, alone_minor=0)
    cups = await stocked(shop)
    teapots = await supplier(shop, cups)
    decision_id, _ = await carry_out(shop, await decide(shop, PurchaseDue(supplier_id=teapots, urgent=False)))
    async with shop.unit() as unit:
        await suppliers.put_offer(unit, teapots, cups.variant_id, OfferForm(pack_cost_minor=999))
    became = await say(shop, decision_id, yes=True)
    assert became.startswith("deny") and "another price" in became and await orders(shop) == []


async def test_cash_for_goods_to_come_is_never_overdrawn(shop: Shop) -> None:
    cups, pots = await stocked(shop, price=6000), await stocked(shop, price=1100)
    both = await supplier(shop, cups, pots)
    due = PurchaseDue(supplier_id=both, urgent=False)
    free = (await decide(shop, due)).proposals[0]
    await settle(shop, cash_minor=9_000)
    decision = await decide(shop, due)
    tight = decision.proposals[0]
    assert tight.cost.amount_minor <= 9_000 < free.cost.amount_minor and "cash does not reach" in decision.rationale
    units = {line.variant_id: line.units for line in tight.lines}
    assert units[cups.variant_id] > units.get(pots.variant_id, 0), "where it earns most"
    await settle(shop, cash_minor=5_000)
    became = (await carry_out(shop, decision))[1]
    assert became.startswith("deny") and "cash" in became and await orders(shop) == []


async def test_suppliers_that_are_decided_on_together_share_the_cash_out(shop: Shop) -> None:
    await settle(shop, cash_minor=9_000)
    both = [await supplier(shop, await stocked(shop), name=name) for name in ("Hurry", "Calm")]
    async with shop.store.reader(shop.tenant_id) as session:  # as the runner does for a batch
        services = Services(session, shop.tenant_id, shop.store.clock.now())
        context = Context(shop.tenant_id, services.now, services, new_id(), new_id())
        due = [PurchaseDue(supplier_id=each, urgent=False) for each in both]
        decisions = [await AutoInventoryAgent().decide(each, context) for each in due]
    costs = [each.proposals[0].cost.amount_minor for each in decisions]  # type: ignore[attr-defined]
    assert min(costs) > 0 and sum(costs) <= 9_000
    assert [(await carry_out(shop, each))[1][:7] for each in decisions] == ["proceed"] * 2


async def test_hourly_it_buys_only_what_runs_out_before_an_order_would_arrive(shop: Shop) -> None:
    low, slow = await stocked(shop, units=2), await stocked(shop, units=9)
    hurry = await supplier(shop, low, name="Hurry", lead_mean_days=14)
    calm = await supplier(shop, slow, name="Calm", lead_mean_days=14)
    daily, hourly = await decide(shop, cycle(shop)), await decide(shop, cycle(shop, "hourly"))
    assert set(daily.proposals[0].suppliers) == {hurry, calm} or set(daily.proposals[0].suppliers) == {hurry}
    assert hourly.proposals[0].suppliers == (hurry,) and hourly.proposals[0].urgent
    assert (await decide(shop, cycle(shop, "weekly"))).is_hold and (await decide(shop, cycle(shop, "pulse"))).is_hold


async def test_without_suppliers_or_a_fresh_forecast_it_says_so(shop: Shop, clock: ManualClock) -> None:
    assert (await decide(shop, cycle(shop))).rationale == "no supplier offers anything"
    cups = await shop.variant(units=1)
    await supplier(shop, cups)
    assert "there is no forecast" in (await decide(shop, cycle(shop))).rationale
    await forecast(shop, (await shop.account()).id, cups, 4.0)
    clock.advance(timedelta(days=9))
    assert "the forecast is of 2026-03-02" in (await decide(shop, cycle(shop))).rationale


async def test_an_order_is_taken_back_while_nothing_of_it_came(shop: Shop) -> None:
    cups = await stocked(shop)
    teapots = await supplier(shop, cups)
    decision_id, _ = await carry_out(shop, await decide(shop, PurchaseDue(supplier_id=teapots, urgent=False)))

    async def undo(**how: Any) -> str:
        async with shop.unit() as unit:
            (part,) = (await undo_decision(unit, decision_id, allowed=lambda _: True, **how)).parts
        return f"{part.outcome}: {part.why}"

    assert (await undo(dry_run=True)).startswith("undoable: order 1 is called off")
    assert (await orders(shop))[0].state == "placing"
    assert (await undo()).startswith("undone") and (await orders(shop))[0].state == "cancelled"
    assert (await undo()).startswith("already-undone")
    clock_later = PurchaseDue(supplier_id=teapots, urgent=False)
    decision_id, became = await carry_out(shop, await decide(shop, clock_later))
    assert became.startswith("proceed")
    order = (await orders(shop))[1]
    async with shop.unit() as unit:
        await goods_in.receive(unit, order.id, {cups.variant_id: 1}, key="slip")
    assert (await undo()) == "moved-on: the order is partly received"


async def test_its_confidence_is_graded_by_when_the_goods_came(shop: Shop, clock: ManualClock) -> None:
    cups = await stocked(shop)
    teapots = await supplier(shop, cups)
    decision_id, _ = await carry_out(shop, await decide(shop, PurchaseDue(supplier_id=teapots, urgent=False)))
    (order,) = await orders(shop)
    row = DueRow(
        id=new_id(),
        decision_id=decision_id,
        agent="auto_inventory",
        kind="purchase",
        confidence=0.8,
        decided_at=MONDAY,
        due_at=MONDAY + timedelta(days=30),
        command="PlacePurchaseOrder",
        payload={},
        subject_id=teapots,
        verdict="proceed",
        rule="books",
        decision_state="applied",
        event_payload={},
        answer=None,
        approval_id=None,
        effect_id=None,
        effect_state=None,
        proposal_id=new_id(),
        subject_kind="supplier",
        fact="PurchaseDue",
    )

    async def grade(at: timedelta) -> Grade | None:
        async with shop.store.reader(shop.tenant_id) as session:
            facts = await grading_facts.bought(session, [row], MONDAY + at)
        return GRADERS["purchase"].grade(row, facts.get(row.id), MONDAY + at)

    assert await grade(timedelta(days=30)) is None, "never ordered: nothing to say yet"
    async with shop.unit() as unit:
        await purchase_orders.ordered(unit, order.id)
    assert await grade(timedelta(days=5)) is None, "under way and in time"
    late = await grade(timedelta(days=30))
    assert late is not None and late.outcome == 0 and late.evidence == ("purchase_order", order.id)
    clock.advance(timedelta(days=9))
    units = (await shop.rows("SELECT units FROM purchase_order_line"))[0].units
    async with shop.unit() as unit:
        await goods_in.receive(unit, order.id, {cups.variant_id: units}, key="slip")
    right = await grade(timedelta(days=30))
    assert right is not None and (right.outcome, right.why) == (1, "it arrived in time")
    stranger = replace(row, decision_id=new_id())
    assert GRADERS["purchase"].outcome(stranger, None).outcome is None


async def test_another_business_goods_and_suppliers_are_not_there(shop: Shop) -> None:
    cups = await stocked(shop)
    teapots = await supplier(shop, cups)
    stranger = await Shop(shop.store).found()
    assert (await decide(stranger, PurchaseDue(supplier_id=teapots, urgent=True))).is_hold
    assert (await decide(stranger, cycle(shop))).rationale == "another business's cycle"
    order = (await decide(shop, PurchaseDue(supplier_id=teapots, urgent=False))).proposals[0]
    forged = Decision.propose(order, why="forged", confidence=0.9)
    became = (await carry_out(stranger, forged))[1]
    assert became.startswith("deny") and "no supplier" in became
    assert await orders(shop) == []
