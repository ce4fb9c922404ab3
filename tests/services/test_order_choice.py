"""Which rule buys: the live one, the canary of its suppliers; a shadow looks on; never past cash, packs and step."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from shop import Shop, open_store
from sqlalchemy import select, text

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from agents.logistics.auto_inventory import AutoInventoryAgent
from flipsync.domain.clock import ManualClock, utc_now
from flipsync.domain.decisions import OrderChoice
from flipsync.domain.errors import Conflict, NotFound
from flipsync.domain.events import CycleStarted
from flipsync.domain.ids import new_id
from flipsync.domain.purchase_events import PurchaseDue
from flipsync.learning.policy import Advice, Origin, Policy
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.dry_running import dry_run
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.runtime.replaying import replay
from flipsync.runtime.runner import AgentRunner
from flipsync.services import model_registry as registry
from flipsync.services import recorded_desk, suppliers
from flipsync.services.desk import Services
from flipsync.services.dry_run_change import change_of
from flipsync.services.learned_buying import STEP, ShopOrder, shipped_knobs
from flipsync.services.model_limits import orders_lawful
from flipsync.services.order_choice import AS_SHIPPED, BLOCK, Staged, Version, arms, block_of, rule_of
from flipsync.services.order_outcomes import BEFORE, LEAST_LINES, canary_test, rates
from flipsync.services.pricing.fees import BPS
from flipsync.services.reading_models import model_of
from flipsync.services.suppliers import OfferForm, SupplierForm
from flipsync.services.tenant_settings import PurchasingChoices
from flipsync.store import models as m
from flipsync.store.models.sales import FIGURES
from flipsync.store.repositories.policies import GoodsDays, goods_days

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
ORIGIN = Origin("shop-order", "test", 1)
BETTER = {"difference": [0.01, 0.005, 0.015], "unit": "profit", "runs": 20}


def rule(**knobs: float) -> ShopOrder:
    return ShopOrder.of({**shipped_knobs(), **knobs}, ORIGIN)


def version(**knobs: float) -> Version:
    policy = rule(**knobs)
    return Version(new_id(), policy.version, policy.rule)


# -- the policy -------------------------------------------------------------------------------------------------------


def test_a_policy_is_kept_says_why_and_refuses_knobs_that_are_none() -> None:
    policy = rule(spread=1.4)
    assert Policy.from_json(policy.to_json()) == policy and policy.version != rule().version
    state = (4.0, 2.5, 40.0, 3.0, 1000.0, 1000.0, 10.0, 3.0)
    advice: Advice = policy.advise(state)
    assert advice.action > rule().advise(state).action > 0 and "4.0 sell a week" in advice.why
    with pytest.raises(ValueError, match="eight figures"):
        policy.advise(state[:7])
    for wrong in (-0.1, 5.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="no number from 0 to 5"):
            rule(batch=wrong)
    with pytest.raises(ValueError, match="no number"):
        rule(batch="1; DROP TABLE tenant")  # type: ignore[arg-type]


@pytest.mark.parametrize("knobs", [{}, {"spread": 5.0, "lead": 5.0, "batch": 5.0, "review": 5.0}, {"spread": 0.0}])
def test_whatever_was_learned_the_limits_are_kept(knobs: dict[str, float]) -> None:
    check = orders_lawful(rule(patience=3.0, **knobs), probes=80)
    assert check.passed and "80 of 80" in check.words


# -- who buys where ---------------------------------------------------------------------------------------------------


def test_the_canary_buys_of_its_share_of_suppliers_and_the_draw_changes_with_the_block() -> None:
    staged = Staged(canary=version(spread=0.5), since=MONDAY)
    theirs = [new_id() for _ in range(600)]

    def canary(now: datetime) -> set[UUID]:
        return {
            each for each, who in zip(theirs, arms(staged, theirs, 2_000, now), strict=True) if who is staged.canary
        }

    first = canary(MONDAY)
    assert 80 < len(first) < 165 and canary(MONDAY + BLOCK - timedelta(minutes=1)) == first
    assert len(first & canary(MONDAY + BLOCK)) < 50, "nobody is a canary for ever"
    assert block_of(MONDAY, MONDAY + 3 * BLOCK) == 3
    assert arms(Staged(), theirs, 2_000, MONDAY) == [AS_SHIPPED] * 600


def test_each_good_has_the_knobs_of_who_buys_it() -> None:
    one, other = version(spread=0.5), version(spread=2.0, patience=1.0)
    assert rule_of([one, one]) is one.rule
    mixed = rule_of([one, other, one])
    assert np.asarray(mixed.spread).tolist() == [0.5, 2.0, 0.5]
    assert np.asarray(mixed.patience).tolist() == [0.0, 1.0, 0.0]


# -- in the books -----------------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MONDAY)


@pytest.fixture
async def shop(database_urls: dict[str, str], clock: ManualClock) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"], clock=clock)
    yield await Shop(store).found()
    await store.aclose()


async def stocked(
    shop: Shop, weekly: float = 8.0, count: int = 1, name: str = "Teapots", cost: int = 300
) -> tuple[UUID, list[UUID]]:
    """A supplier and the stock items of goods that are forecast to sell so many a week; nearly none are there."""
    tenant = {"tenant_id": shop.tenant_id}
    account = await shop.account()
    goods = [await shop.variant(units=1) for _ in range(count)]
    for each in goods:
        await shop.listing(account, each, units=1, price=2999)
    async with shop.unit() as unit:
        run = (await unit.session.execute(select(m.ForecastRun).filter_by(**tenant))).scalar()
        if run is None:
            run = m.ForecastRun(
                **tenant, method="shrunk", why="w", code_version="c", origin=unit.now, horizon=12, inside=0.8,
                baseline_wins=False, rmsse={}, series=1,
            )  # fmt: skip
            unit.session.add(run)
            await unit.session.flush()
        for each in goods:
            rest = {"scale": 1.0, "own_share": 0.9, "weeks_on_shelf": 30.0, "units_sold": 100}
            item = {"run_id": run.id, "stock_item_id": each.stock_item_id, "account_id": account.id}
            unit.session.add(m.Forecast(**tenant, **item, weekly=weekly, low=weekly - 4, high=weekly + 5, **rest))
        made = await suppliers.create(unit, SupplierForm(name=name))
        for each in goods:
            await suppliers.put_offer(unit, made.id, each.variant_id, OfferForm(pack_cost_minor=cost, pack_units=1))
    return made.id, [each.stock_item_id for each in goods]


async def stage(shop: Shop, *stages: str, **knobs: float) -> ShopOrder:
    policy = rule(**knobs)
    async with shop.unit() as unit:
        kept = await registry.keep(
            unit, "shop-order", policy, experiment_id=None, code_version="c", data={}, seeds={}, scores=BETTER
        )
        for _ in stages:
            await registry.promote(unit, str(kept), on_my_word=True)
    return policy


async def buy(shop: Shop, supplier: UUID) -> Any:
    return await shop.decide(AutoInventoryAgent(), PurchaseDue(supplier_id=supplier, urgent=False))


async def a_day(shop: Shop) -> None:
    """AutoInventoryAgent looks, and what follows is decided on and carried out."""
    path = DecisionPath(Graph(ROSTER), Gate(shop.firewall, [ComplianceAgent()]))
    async with shop.unit() as unit:
        unit.emit(CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    runner = AgentRunner(AutoInventoryAgent(), shop.store, path)
    await runner.begin()
    while await runner.step():
        continue


async def carry_out(shop: Shop, decision: Any) -> UUID:
    path = DecisionPath(Graph(ROSTER), Gate(shop.firewall, [ComplianceAgent()]))
    async with shop.unit() as unit:
        event_id = unit.emit(CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
        await unit.flush()
        context = Context(
            shop.tenant_id, unit.now, Services(unit.session, shop.tenant_id, unit.now), event_id, event_id
        )
        return await path.record(unit, context, AutoInventoryAgent.spec, decision)


async def settle(shop: Shop, **changes: Any) -> None:
    async with shop.unit() as unit:
        tenant = await unit.session.get_one(m.Tenant, shop.tenant_id)
        tenant.settings = {"purchasing": changes}


def units(decision: Any) -> int:
    return sum(line.units for command in decision.proposals for line in command.lines)


MORE = {"spread": 3.0, "lead": 2.0}


async def test_without_a_policy_the_rule_as_shipped_buys_and_nothing_is_kept(shop: Shop) -> None:
    supplier, _ = await stocked(shop)
    decision = await buy(shop, supplier)
    assert decision.proposals and decision.choices == () and decision.source == "rules"
    assert "policy" not in {each.kind for each in decision.evidence}


async def test_the_decision_names_the_policy_that_bought_and_the_one_that_looks_on(shop: Shop) -> None:
    await settle(shop, alone_minor=100_000)
    supplier, (item,) = await stocked(shop)
    before = units(await buy(shop, supplier))
    live = await stage(shop, "shadow", "canary", "live", **MORE)
    shadow = await stage(shop, "shadow", spread=0.0, lead=0.0)
    decision = await buy(shop, supplier)
    notes = {each.note for each in decision.evidence if each.kind == "policy"}
    assert notes == {f"{live.version}, acting", f"{shadow.version}, shadow"} and decision.source == "policy"
    acting, looking = decision.choices
    assert (acting.role, acting.stock_item_id, acting.shipped_units) == ("acting", item, before)
    assert acting.units == units(decision) > before > looking.units
    shipped_up_to = before + 1  # one is there
    assert acting.up_to <= np.floor(shipped_up_to * (1 + STEP)) and looking.up_to >= np.ceil(shipped_up_to * (1 - STEP))
    assert acting.level > looking.level > 0
    assert {"as the rule ships", f"as policy {shadow.version} says"} <= {each.name for each in decision.alternatives}
    assert (await buy(shop, supplier)).choices == decision.choices, "asked again, the same choices"
    decision_id = await carry_out(shop, decision)
    rows = await shop.rows(
        "SELECT role, units, shipped_units, decision_id FROM order_choice WHERE tenant_id = :tenant ORDER BY role"
    )
    assert [(row.role, row.units, row.shipped_units) for row in rows] == [
        ("acting", acting.units, before),
        ("shadow", looking.units, before),
    ]
    assert {row.decision_id for row in rows} == {decision_id}
    (line,) = await shop.rows("SELECT units FROM purchase_order_line WHERE tenant_id = :tenant")
    assert line.units == acting.units, "only the one that acts buys"


async def test_a_policy_spends_no_more_cash_than_there_is_and_no_step_means_no_policy(shop: Shop) -> None:
    supplier, _ = await stocked(shop, count=3)
    shipped = units(await buy(shop, supplier))
    await stage(shop, "shadow", "canary", "live", **MORE)
    assert units(await buy(shop, supplier)) > shipped
    await settle(shop, cash_minor=4_000)
    tight = await buy(shop, supplier)
    assert 0 < tight.proposals[0].cost.amount_minor <= 4_000
    await settle(shop, policy_step_bps=0)
    none = await buy(shop, supplier)
    assert units(none) == shipped and none.choices == ()


async def test_a_policy_is_taken_back_in_one_step(shop: Shop) -> None:
    supplier, _ = await stocked(shop)
    before = units(await buy(shop, supplier))
    await stage(shop, "shadow", "canary", "live", **MORE)
    assert units(await buy(shop, supplier)) > before
    async with shop.unit() as unit:
        assert (await registry.roll_back(unit, "shop-order", "too much on the shelf"))[1] is None
    assert units(await buy(shop, supplier)) == before


async def test_content_that_was_changed_does_not_buy(shop: Shop) -> None:
    supplier, _ = await stocked(shop)
    before = units(await buy(shop, supplier))
    await stage(shop, "shadow", "canary", "live", **MORE)
    async with shop.unit() as unit:
        await unit.session.execute(
            text(
                "UPDATE policy_version SET artefact = replace(artefact, '3.0', '4.9')"
                " WHERE tenant_id = current_tenant()"
            )
        )
    assert units(await buy(shop, supplier)) == before


async def test_another_business_policy_buys_nothing_here(shop: Shop, clock: ManualClock) -> None:
    supplier, _ = await stocked(shop)
    before = await buy(shop, supplier)
    await stage(await Shop(shop.store).found(), "shadow", "canary", "live", **MORE)
    again = await buy(shop, supplier)
    assert again.choices == () and units(again) == units(before)


async def test_a_shadow_looks_on_often_before_it_acts(shop: Shop) -> None:
    _, items = await stocked(shop, count=LEAST_LINES, cost=10)  # so little that nobody is asked
    supplier = (await shop.rows("SELECT id FROM supplier WHERE tenant_id = :tenant"))[0].id
    await settle(shop, alone_minor=100_000)
    policy = await stage(shop, "shadow", **MORE)
    async with shop.unit() as unit:
        with pytest.raises(Conflict, match="looked on at 0 lines"):
            await registry.promote(unit, policy.version)
    await carry_out(shop, await buy(shop, supplier))
    async with shop.unit() as unit:
        row = await registry.promote(unit, policy.version)
        assert row.stage == "canary"
    async with shop.store.reader(shop.tenant_id) as session:
        told = await model_of(session, policy.version, shop.store.clock.now())
    checks = {each["name"]: each["words"] for each in told.stages[-1].checks}
    assert f"looked on at {len(items)} lines" in checks["looked-on"] and "limits" in checks
    assert told.canary is not None and (told.canary.blocks, told.canary.verdict) == (0, "open")
    async with shop.unit() as unit:
        with pytest.raises(Conflict, match="still open"):
            await registry.promote(unit, policy.version)


# -- with shares of the cash -------------------------------------------------------------------------------------------


def cost(decision: Any) -> int:
    return sum(command.cost.amount_minor for command in decision.proposals)


async def test_a_learned_rule_buys_within_a_suppliers_share_and_leaves_the_others_theirs(shop: Shop) -> None:
    (held, items), (free, _) = await stocked(shop, count=3, name="Held"), await stocked(shop, count=3, name="Free")
    limits = {"alone_minor": 200_000, "cash_minor": 1_000_000}
    await settle(shop, **limits)
    shipped = await buy(shop, held)
    live = await stage(shop, "shadow", "canary", "live", **MORE)
    shadow = await stage(shop, "shadow", spread=0.0, lead=0.0)
    alone, others = await buy(shop, held), await buy(shop, free)
    bps = cost(shipped) * 7 // 1_000
    share = 1_000_000 * bps // BPS
    assert cost(alone) > cost(shipped) > share
    await settle(shop, **limits, cash_shares_bps={str(held): bps})
    within = await buy(shop, held)
    assert 0.8 * share < cost(within) <= share and "cash does not reach" in within.rationale
    asked = {each.id: each.note for each in within.evidence if each.kind == "policy"}
    assert set(asked.values()) == {f"{live.version}, acting", f"{shadow.version}, shadow"}
    of = {role: [each for each in within.choices if each.role == role] for role in ("acting", "shadow")}
    assert sum(each.units for each in of["acting"]) * 300 == cost(within)
    for role, said in of.items():
        assert {each.stock_item_id for each in said} <= set(items), role
        assert 0 < sum(each.units for each in said) * 300 <= share, "one that looks on has the same cash"
        assert 0 < sum(each.shipped_units for each in said) * 300 <= share, "so has the rule as shipped"
    unheld = await buy(shop, free)
    assert (unheld.proposals[0].lines, unheld.choices) == (others.proposals[0].lines, others.choices)
    await carry_out(shop, within)
    rest = await buy(shop, held)
    assert cost(rest) <= share - cost(within), "what is on its way is of the share as well"


async def test_what_was_bought_by_policy_and_share_comes_out_alike_when_made_again(shop: Shop) -> None:
    (held, _), (free, _) = await stocked(shop, count=2, name="Held"), await stocked(shop, count=2, name="Free")
    await stage(shop, "shadow", "canary", "live", **MORE)
    await stage(shop, "shadow", spread=0.0, lead=0.0)
    await settle(shop, alone_minor=200_000, cash_minor=1_000_000, cash_shares_bps={str(held): 50})
    graph = Graph(ROSTER)
    await a_day(shop)
    orders = await shop.rows(
        "SELECT o.supplier_id, sum(l.units * 300)::bigint AS cost FROM purchase_order o"
        " JOIN purchase_order_line l ON l.order_id = o.id WHERE o.tenant_id = :tenant GROUP BY o.supplier_id"
    )
    told = {row.supplier_id: row.cost for row in orders}
    assert set(told) == {held, free} and 0 < told[held] <= 5_000 < told[free]
    since = utc_now() - timedelta(hours=1)
    again = await replay(shop.store, shop.tenant_id, graph.agents, since=since)
    assert again.ok and again.identical == again.decisions == 3, "whom to buy of, and two orders"
    async with shop.unit() as unit:
        await registry.roll_back(unit, "shop-order", "too much on the shelf")
    await settle(shop, cash_minor=100)
    sure, alone = "agents.auto_inventory.auto_above", "purchasing.alone_minor"
    alike, stricter, dearer, asked = [
        await dry_run(shop.store, shop.tenant_id, graph.agents, change_of(change, graph.agents), since=since)
        for change in ({sure: 0.6}, {sure: 0.85}, {alone: 300_000}, {alone: told[held]})
    ]
    assert (alike.decisions, alike.unchanged, alike.cannot) == (3, 3, {}), "the policies and shares of then"
    assert (stricter.decisions, stricter.changed, stricter.cannot) == (3, 2, {}), "orders are 0.8 sure"
    assert (dearer.decisions, dearer.unchanged, dearer.cannot) == (3, 3, {}), "both cost less"
    assert (asked.decisions, asked.changed, asked.cannot) == (3, 1, {}), "one of the two costs more"
    (questions,) = [each for each in asked.figures if each.name == "questions"]
    assert (questions.then, questions.now) == (0, 1)


async def test_other_choices_of_buying_are_tried_on_what_was_bought(shop: Shop) -> None:
    suppliers_of = {(await stocked(shop, count=2, name=name))[0]: name for name in ("Held", "Free")}
    await settle(shop, alone_minor=200_000)
    agents = Graph(ROSTER).agents
    ours = {each: agents[each] for each in ("auto_inventory",)}
    await a_day(shop)
    query = "SELECT o.supplier_id, sum(l.cost_minor)::bigint AS cost FROM purchase_order o"
    query += " JOIN purchase_order_line l ON l.order_id = o.id WHERE o.tenant_id = :tenant GROUP BY o.supplier_id"
    cost = {row.supplier_id: row.cost for row in await shop.rows(query)}
    assert set(cost) == set(suppliers_of)

    async def tried(**change: Any) -> tuple[int, int, dict[str, int], tuple[float, float]]:
        wanted = change_of({f"purchasing.{key}": value for key, value in change.items()}, ours)
        found = await dry_run(shop.store, shop.tenant_id, ours, wanted, since=utc_now() - timedelta(hours=1))
        money = [each for each in found.figures if (each.name, each.unit) == ("goods ordered", "USD")]
        return found.decisions, found.changed, found.cannot, (money[0].then, money[0].now) if money else (0, 0)

    whole = sum(cost.values())
    same = (3, 0, {}, (whole, whole))
    assert await tried(cash_minor=10_000_000, cash_shares_bps={}, most_cover_days=180) == same
    assert await tried(canary_bps=500, policy_step_bps=0) == same, "no policy is on stage"
    bold, shipped = await stage(shop, **MORE), await stage(shop)
    assert await tried(policy=shipped.version) == same, "the rule as shipped, by another name"
    wider = await tried(policy=bold.version)
    assert wider[2] == {} and wider[3][1] > whole, "it buys for longer"
    assert (await tried(policy=bold.version, policy_step_bps=0))[3] == (whole, whole), "and may not, without a step"
    with pytest.raises(NotFound, match="no buying policy"):
        await tried(policy="v0")
    assert await tried(cash_minor=0) == (3, 3, {}, (whole, 0)), "nobody to buy of, and neither order"
    half = await tried(cash_minor=10_000_000, cash_shares_bps={str(min(cost)): cost[min(cost)] * 10_000 // 20_000_000})
    assert half[:3] == (3, 1, {}) and cost[max(cost)] < half[3][1] < whole, "one of the two buys less"
    less, more = await tried(review_days=1, most_cover_days=14), await tried(review_days=60)
    assert less[3][1] < whole < more[3][1] and less[2] == more[2] == {}
    dearer = await tried(holding_bps=20_000, line_cost_minor=5_000)
    assert dearer[2] == {} and dearer[3][1] != whole


async def test_choices_are_not_tried_on_what_kept_nothing_to_work_it_out_from(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stocked(shop)
    monkeypatch.delitem(recorded_desk.GROUNDS, "purchasing.plan")
    monkeypatch.delitem(recorded_desk.GROUNDS, "purchasing.review")
    await a_day(shop)
    monkeypatch.undo()
    agents = {"auto_inventory": AutoInventoryAgent}
    since = utc_now() - timedelta(hours=1)
    for change, unknown in (({"purchasing.cash_minor": 0}, 2), ({"purchasing.alone_minor": 0}, 0)):
        found = await dry_run(shop.store, shop.tenant_id, agents, change_of(change, agents), since=since)
        assert (found.decisions, sum(found.cannot.values())) == (2, unknown)


# -- what came of it --------------------------------------------------------------------------------------------------


async def test_what_goods_earned_and_cost_on_the_shelf_is_read_from_the_books(shop: Shop, clock: ManualClock) -> None:
    supplier, (item,) = await stocked(shop)
    (goods,) = await shop.rows("SELECT sku FROM variant WHERE tenant_id = :tenant")
    clock.advance(timedelta(days=3))
    async with shop.unit() as unit:
        account = (await shop.rows("SELECT id FROM marketplace_account WHERE tenant_id = :tenant"))[0].id
        figures = {
            **dict.fromkeys(FIGURES, 0),
            "orders": 1,
            "units": 1,
            "goods": 2999,
            "fees": 360,
            "fees_told": 1,
            "cost": 1000,
        }
        unit.session.add(
            m.SkuDay(
                tenant_id=shop.tenant_id,
                day=MONDAY.date() + timedelta(days=1),
                account_id=account,
                sku=goods.sku,
                currency="USD",
                **figures,
            )
        )
    async with shop.store.reader(shop.tenant_id) as session:
        (told,) = await goods_days(session, MONDAY - timedelta(days=1), clock.now())
        elsewhere = await Shop(shop.store).found()
    async with shop.store.reader(elsewhere.tenant_id) as session:
        assert await goods_days(session, MONDAY - timedelta(days=1), clock.now()) == []
    assert (told.stock_item_id, told.supplier_id, told.began) == (item, supplier, 0)
    assert told.earned == {2: 2999 - 360 - 1000} and sum(told.moved.values()) == 1
    earned = rates(replace(told, unit_cost_minor=36_500), 4, 0.1)
    assert earned.tolist() == [0.0, -10.0, 1639.0 - 10.0, -10.0], "one lies there from the second day on"


def lived(suppliers: int, blocks: int, lift: float, policy: str, seed: int) -> tuple[list[GoodsDays], datetime]:
    """Goods that earn what they earn, those of the canary's suppliers `lift` more once it began."""
    rng, began = np.random.default_rng(seed), MONDAY
    days = (BEFORE + blocks * BLOCK).days
    made = []
    for number in range(suppliers):
        supplier = UUID(int=rng.integers(1, 2**62).item())
        usual = rng.uniform(200, 900)
        earned = rng.normal(usual, 150, days)
        for block in range(blocks):
            first = BEFORE.days + block * BLOCK.days
            if arms(
                Staged(canary=Version(new_id(), policy, rule().rule), since=began),
                [supplier], 2_000, began + block * BLOCK,
            )[0] is not AS_SHIPPED:  # fmt: skip
                earned[first : first + BLOCK.days] += lift
        figures = dict(enumerate(earned.tolist()))
        made.append(GoodsDays(UUID(int=number + 1), supplier, 100, began - 2 * BEFORE, 5, {}, figures))
    return made, began


def test_a_canary_is_judged_by_block_and_supplier() -> None:
    def verdict(lift: float, seed: int = 3, blocks: int = 8) -> str:
        found, began = lived(60, blocks, lift, "abc", seed)
        return canary_test(found, "abc", began, began + blocks * BLOCK, share=0.2, holding=0.3).verdict()

    assert (verdict(120.0), verdict(-120.0)) == ("challenger", "incumbent")
    assert sum(verdict(0.0, seed) != "open" for seed in range(12)) <= 1
    found, began = lived(60, 1, 500.0, "abc", 1)
    assert canary_test(found, "abc", began, began + BLOCK / 2, share=0.2, holding=0.3).n == 0, "it is not over"
    young = [replace(each, first_moved=began) for each in found]
    assert canary_test(young, "abc", began, began + BLOCK, share=0.2, holding=0.3).n == 0, "nobody knows what is usual"


def test_a_step_of_the_owners_is_what_was_trained_with() -> None:
    assert PurchasingChoices().policy_step_bps == STEP * 10_000
    assert OrderChoice.model_fields["units"].is_required()
