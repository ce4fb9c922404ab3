"""Settings tried on past decisions: what differs is what the change does, to the cent, and nothing is changed."""

from __future__ import annotations

import zlib
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from pydantic import TypeAdapter
from shop import Shop, open_store
from sqlalchemy import text, update
from trials import GRAPH, choose, figure, priced, tried, work

from agents.market.market import MarketAgent
from flipsync.domain.advertising import AdsRead
from flipsync.domain.clock import ManualClock, utc_now
from flipsync.domain.commands import ChangePrice
from flipsync.domain.decisions import Decision
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.domain.events import CostChanged, CycleStarted, OfferChanged, ProductImported
from flipsync.domain.ids import new_id
from flipsync.learning.policy import Origin
from flipsync.runtime.agent import Agent, AgentSpec, Context
from flipsync.runtime.dry_running import dry_run
from flipsync.services import model_registry, orders, recorded_desk
from flipsync.services.dry_run import CannotTell, ChangedDesk
from flipsync.services.dry_run_change import COVERED, DECIDES_NOTHING, POLICY, change_of
from flipsync.services.learned_pricing import ShopPrice, shipped_knobs
from flipsync.services.model_review import Review
from flipsync.services.policy_choice import block_start
from flipsync.services.policy_staging import share_of
from flipsync.services.pricing.demand import DemandPrior, learn
from flipsync.services.tenant_settings import SETTINGS, TenantSettings, value_of
from flipsync.store.models import Listing, Variant
from flipsync.store.repositories import replay as replay_rows

WEEK, CASH = "purchasing.review_days", "purchasing.cash_minor"
BETTER = {"difference": [0.01, 0.005, 0.015], "unit": "profit", "runs": 20}
TABLES = ("event", "agent_decision", "proposal", "effect", "decision_notes", "audit_entry", "tenant", "listing")


async def counts(shop: Shop) -> dict[str, Any]:
    told = {}
    async with shop.store.reader(shop.tenant_id) as session:
        for table in TABLES:
            whole = await session.execute(
                text(f"SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM {table} t")
            )
            told[table] = whole.scalar_one()
    return told


async def test_a_smaller_step_gives_exactly_the_expected_differences(database_urls: dict[str, str]) -> None:
    """Two listings at 29.99 that cost 20.00; the shop's channel takes 12 %, a parcel costs 4.50. One has four units and
    goes up by the largest step, 10 %, to 32.98. With steps of 5 % it goes to 31.48. The other has no units: it stays.
    """
    clock = ManualClock(utc_now())
    store = open_store(database_urls["worker"], clock=clock)
    shop = await Shop(store).found()
    moving = await priced(shop, cost=2000)
    await priced(shop, cost=2000, units=0)
    await work(shop, "pricing")
    clock.advance(timedelta(days=10))
    found = await tried(shop, {"pricing.max_step_up_bps": 500})
    sent = await shop.rows("SELECT payload FROM effect WHERE subject_id = :id", id=moving)
    await store.aclose()

    assert (found.decisions, found.unchanged, found.changed, found.cannot) == (2, 1, 1, {})
    (told,) = found.differences
    assert told.then.endswith("from 29.99 USD to 32.98 USD") and told.now.endswith("from 29.99 USD to 31.48 USD")
    assert told.agent == "pricing" and found.by_agent["pricing"].decisions == 2
    assert [row.payload["price"]["amount_minor"] for row in sent] == [3298], "that is what was sent then"
    assert figure(found, "price changes") == (1, 1) and figure(found, "below the floor") == (0, 0)

    demand = learn(DemandPrior(), 2999.0, [(2999.0, 0, 72.0)], [])  # three days on show, nothing sold, no rival
    sold = [10 * demand.rate(price) for price in (3298.0, 3148.0)]
    assert 0 < sold[0] < sold[1] < 4, "a lower price sells more, and both are within the units there are"
    assert figure(found, "expected sales") == pytest.approx(sold, abs=1e-6)
    assert figure(found, "expected revenue") == (round(sold[0] * 3298), round(sold[1] * 3148))
    left = (3298 - 396 - 450 - 2000, 3148 - 378 - 450 - 2000)
    assert figure(found, "expected profit") == (round(sold[0] * left[0]), round(sold[1] * left[1]))
    assert told.worth == round((sold[1] * left[1] - sold[0] * left[0]) / 10) and told.currency == "USD"


async def test_a_margin_out_of_reach_stops_a_price(shop: Shop) -> None:
    """At 32.98, the highest in one step, a sale leaves 4.52: a tenth of the price, but not fifteen hundredths."""
    await priced(shop, cost=2000)
    await priced(shop, cost=1000)
    await work(shop, "pricing")
    same = await tried(shop, {"pricing.min_margin_bps": 1_000})
    assert (same.changed, same.unchanged) == (0, 2)
    found = await tried(shop, {"pricing.min_margin_bps": 1_500})
    assert (found.changed, found.unchanged) == (1, 1)
    assert figure(found, "price changes") == (2, 1) and figure(found, "below the floor") == (1, 1)
    assert "No price within floor" in found.differences[0].now


async def test_a_policy_of_the_registry_is_tried_as_if_it_were_live(shop: Shop) -> None:
    await priced(shop, cost=2000)
    await work(shop, "pricing")
    origin = Origin("shop-price", "test", 1)
    ids = []
    for knobs in ({}, {"min_gain": 50.0}):
        policy = ShopPrice.of({**shipped_knobs(), **knobs}, origin)
        async with shop.unit() as unit:
            kept = await model_registry.keep(
                unit, "shop-price", policy, experiment_id=None, code_version="c", data={}, seeds={}, scores={}
            )
        ids.append(str(kept))
    alike, never = [await tried(shop, {POLICY: each}) for each in ids]
    assert (alike.changed, alike.unchanged) == (0, 1)
    assert (never.changed, never.unchanged) == (1, 0) and figure(never, "price changes") == (1, 0)
    other = await Shop(shop.store).found()
    with pytest.raises(NotFound):
        await tried(other, {POLICY: ids[0]})


async def test_a_canary_is_tried_on_the_listings_it_would_have_priced(shop: Shop) -> None:
    listings = [await priced(shop, cost=2000) for _ in range(12)]
    await choose(shop, {"pricing.canary_loss_bps": 10_000})
    canary = ShopPrice.of({**shipped_knobs(), "min_gain": 50.0}, Origin("shop-price", "test", 1))  # moves no price
    async with shop.unit() as unit:
        kept = await model_registry.keep(
            unit, "shop-price", canary, experiment_id=None, code_version="c", data={}, seeds={}, scores=BETTER
        )
        for _ in ("shadow", "canary"):
            await model_registry.promote(unit, str(kept), on_my_word=True)
    began = utc_now()
    await work(shop, "pricing")
    drawn = [share_of("canary", canary.version, each, block_start(began)) for each in listings]
    moved = await shop.rows("SELECT 1 FROM effect WHERE command = 'ChangePrice' AND tenant_id = :tenant")
    assert len(moved) == sum(each >= 0.2 for each in drawn), "a fifth is the canary's"
    for bps in (500, 3_500, 5_000):
        found = await tried(shop, {"pricing.canary_bps": bps})
        other = sum((each < 0.2) != (each < bps / 10_000) for each in drawn)
        assert (found.decisions, found.changed, found.cannot) == (12, other, {})
    for bps in (50, 1_500):  # nothing is known of it yet: it prices what may be lost whole
        found = await tried(shop, {"pricing.canary_loss_bps": bps})
        other = sum(bps / 10_000 <= each < 0.2 for each in drawn)
        assert (found.changed, found.cannot) == (other, {})


async def test_limits_of_ads_are_tried_on_what_was_advertised(shop: Shop) -> None:
    ebay = await shop.account("ebay")
    await choose(shop, {"advertising.mode": "auto", "advertising.max_rate_bps": 600})
    goods = [await shop.variant(units=90, cost=900) for _ in range(3)]
    for each in goods:
        await shop.listing(ebay, each, units=90)
        async with shop.unit() as unit:
            for number in range(6):
                await orders.ingest_order(unit, ebay, shop.order({each.sku: 1}, minute=number))
    async with shop.unit() as unit:
        unit.emit(AdsRead(account_id=ebay.id, vendor="ebay", advertised=0))
    await work(shop, "advertising")
    rates = [row.rate for row in await shop.rows("SELECT (payload->>'rate_bps')::int AS rate FROM proposal")]
    assert len(rates) == 3 and all(0 < each <= 600 for each in rates)

    async def ads(**change: Any) -> tuple[int, int, dict[str, int], list[int]]:
        found = await tried(shop, {f"advertising.{key}": value for key, value in change.items()})
        now = [0 if "nothing" in each.now else each.now.count("SetAdRate") for each in found.differences]
        return found.decisions, found.changed, found.cannot, now

    assert await ads(max_rate_bps=600, monthly_budget_minor=None) == (1, 0, {}, [])
    assert await ads(monthly_budget_minor=10**9) == (1, 0, {}, []), "there is money for all"
    assert await ads(monthly_budget_minor=0) == (1, 1, {}, [0]), "none is advertised"
    assert await ads(max_rate_bps=min(rates) - 1) == (1, 1, {}, [3]), "all of them, at a lower rate"
    dearer = await tried(shop, {"pricing.min_margin_bps": 6_500})
    assert (dearer.changed, dearer.cannot) == (1, {}), "no sale leaves so much beside an ad"


@pytest.mark.parametrize(("mode", "other"), [("auto", "ask"), ("ask", "auto")])
async def test_being_asked_before_money_is_spent_on_ads_is_tried(shop: Shop, mode: str, other: str) -> None:
    ebay = await shop.account("ebay")
    await choose(shop, {"advertising.mode": mode})
    goods = await shop.variant(units=90, cost=900)
    await shop.listing(ebay, goods, units=90)
    async with shop.unit() as unit:
        for number in range(6):
            await orders.ingest_order(unit, ebay, shop.order({goods.sku: 1}, minute=number))
        unit.emit(AdsRead(account_id=ebay.id, vendor="ebay", advertised=0))
    await work(shop, "advertising")
    assert (await tried(shop, {"advertising.mode": mode})).changed == 0
    found = await tried(shop, {"advertising.mode": other})
    assert (found.decisions, found.changed) == (1, 1)
    assert figure(found, "questions") == ((0, 1) if other == "ask" else (1, 0))
    none = await tried(shop, {"advertising.mode": "off"})
    assert none.changed == 1 and "no ads of ours" in none.differences[0].now
    async with shop.unit() as unit:
        unit.emit(CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    await work(shop, "advertising")
    again = await tried(shop, {"advertising.mode": "off"})
    (pulled,) = [each for each in again.differences if "PullAds" in each.then]
    assert again.cannot == {} and "there are none" in pulled.now, "what was set is on no channel yet"
    await choose(shop, {"advertising.mode": "off"})
    async with shop.unit() as unit:
        unit.emit(CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    await work(shop, "advertising")
    on = await tried(shop, {"advertising.mode": "auto"})
    assert on.cannot == {} and any("no ads of ours" in each.then and "PullAds" in each.now for each in on.differences)


async def test_when_trainings_are_due_is_tried(shop: Shop) -> None:
    async with shop.unit() as unit:
        unit.emit(CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    await work(shop, "reinforcement_learning")
    assert (await tried(shop, {"pricing.retrain_days": 0, "purchasing.retrain_days": 0})).changed == 0
    for key in ("pricing", "purchasing"):
        found = await tried(shop, {f"{key}.retrain_days": 30})
        assert (found.decisions, found.changed, found.cannot) == (1, 1, {})
        assert "nothing" in found.differences[0].then and "TrainPolicy" in found.differences[0].now
        assert (await tried(shop, {f"{key}.retrain_outcomes": 1})).changed == 0, "none was known then"


async def test_that_shares_are_moved_is_tried(shop: Shop) -> None:
    """Cash was divided, and there is no limit on it any more: the resource agent lifts the shares."""
    await choose(shop, {"purchasing.cash_shares_bps": {str(new_id()): 5_000}})
    async with shop.unit() as unit:
        unit.emit(CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    await work(shop, "resource")
    assert (await tried(shop, {"fleet.share_out": True})).changed == 0
    found = await tried(shop, {"fleet.share_out": False})
    assert (found.decisions, found.changed, found.cannot) == (1, 1, {})
    (told,) = found.differences
    assert "ShareBudgets" in told.then and "the owner keeps the shares" in told.now
    await choose(shop, {"fleet.share_out": False, "purchasing.cash_shares_bps": {str(new_id()): 5_000}})
    async with shop.unit() as unit:
        unit.emit(CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    await work(shop, "resource")
    again = await tried(shop, {"fleet.share_out": True})
    assert (again.decisions, again.unchanged, again.changed, again.cannot) == (2, 1, 1, {})
    assert "the owner keeps the shares" in again.differences[0].then and "ShareBudgets" in again.differences[0].now


async def test_no_change_makes_no_difference(shop: Shop) -> None:
    await priced(shop, rival=2600)
    await shop.variant(units=1)
    await work(shop, "market", "inventory", "pricing", "fulfillment")
    settings = TenantSettings().model_dump(mode="json")
    same = {}
    for key in COVERED:
        value: Any = settings
        for each in key.split("."):
            value = value[each]
        same[key] = value
    found = await tried(shop, same)
    assert found.decisions == found.unchanged >= 3 and found.reworded == found.changed == 0
    assert found.cannot == {} and found.differences == []
    assert all(each.difference == 0 and each.then == each.now for each in found.figures)


async def test_what_decides_nothing_is_tried_and_says_what_it_changes_instead(shop: Shop) -> None:
    await priced(shop, rival=2600)
    await shop.variant(units=1)
    await work(shop, "market", "inventory", "pricing", "fulfillment")
    other = {
        "journal.reads_kept_days": 7,
        "memory.kept_days": 60,
        "privacy.amazon_days": 3,
        "privacy.buyer_days": 60,
        "webhook_base_url": "https://other.example.com",
        "approval_escalates_after": 0.25,
        "language.enabled": True,
        "language.tokens_per_day": 5,
        "language.usd_cents_per_day": 5,
    }
    settings = TenantSettings()
    assert set(other) == set(DECIDES_NOTHING) and all(value_of(settings, key) != other[key] for key in other)
    found = await tried(shop, other)
    assert found.decisions == found.unchanged >= 3 and found.reworded == 0 and found.cannot == {}
    assert found.decides_nothing == DECIDES_NOTHING
    assert (await tried(shop, {"pricing.min_margin_bps": 800})).decides_nothing == {}


async def test_it_changes_nothing(shop: Shop) -> None:
    await priced(shop, cost=2000)
    await work(shop, "pricing")
    before = await counts(shop)
    found = await tried(
        shop, {"pricing.min_margin_bps": 2_500, "goals.risk": "careful", "agents.pricing.auto_above": 1}
    )
    assert found.changed and await counts(shop) == before


async def test_what_is_counted_is_all_there_is(shop: Shop) -> None:
    """Decisions whose reads are gone, of agents that are gone or decide otherwise, are counted apart, each with why."""

    class Otherwise(Agent[OfferChanged | CostChanged]):
        spec = AgentSpec(name="pricing", ecosystem="market", reports_to="market")

        async def decide(self, event: OfferChanged | CostChanged, ctx: Context) -> Decision[ChangePrice]:
            return Decision.hold("never mind", confidence=0.123)

    await priced(shop)
    await work(shop, "pricing")
    change = {"pricing.min_margin_bps": 800}
    for agents, why in (
        ({}, "its agent is gone"),
        (GRAPH.agents | {"pricing": Otherwise}, "its agent decides otherwise by now, without any change"),
    ):
        since = utc_now() - timedelta(hours=1)
        found = await dry_run(shop.store, shop.tenant_id, agents, change_of(change, GRAPH.agents), since=since)
        assert (found.decisions, found.unchanged, found.changed, found.cannot) == (1, 0, 0, {why: 1})
    async with shop.unit() as unit:
        await replay_rows.forget_before(unit.session, utc_now() + timedelta(seconds=1))
    assert list((await tried(shop, change)).cannot) == ["what it read is not kept (any more)"]


async def test_answers_without_what_they_rest_on_are_not_guessed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await priced(shop)
    monkeypatch.setattr(recorded_desk, "GROUNDS", {})
    await work(shop, "pricing")
    monkeypatch.undo()
    found = await tried(shop, {"pricing.min_margin_bps": 800})
    assert sum(found.cannot.values()) == 1 and "worked out from is not kept" in next(iter(found.cannot))
    assert (await tried(shop, {"goals.risk": "bold"})).unchanged == 1, "goals shape no quote: nothing is missing"


class Hasty(MarketAgent):
    """Looks at nothing where the owner lists by hand."""

    async def decide(self, event: Any, ctx: Context) -> Decision[Any]:
        if not (await ctx.services.profile()).settings.auto_list:
            return Decision.hold("the owner lists by hand")
        return await super().decide(event, ctx)


@pytest.mark.parametrize(("agent", "told"), [(MarketAgent, True), (Hasty, False)])
async def test_what_would_have_been_read_otherwise_cannot_be_told(
    shop: Shop, agent: type[MarketAgent], told: bool
) -> None:
    """The owner listed by hand then: where nothing was asked, what would have been is in no notes."""
    await shop.account()
    await choose(shop, {"auto_list": False})
    async with shop.unit() as unit:
        goods = await shop.variant()
        unit.emit(ProductImported(product_id=goods.product_id, created=True))
    await work(shop, "market", market=agent)
    found = await tried(shop, {"auto_list": True}, agents=GRAPH.agents | {"market": agent})
    if told:
        assert (found.changed, found.cannot) == (1, {})
        assert "by hand" in found.differences[0].then and "ListOnChannel" in found.differences[0].now
    else:
        assert found.cannot == {"with the change it would have read what it did not read then": 1}


@pytest.mark.parametrize(
    ("change", "told"), [({"pricing.shipping_cost_minor": 900}, False), ({"pricing.max_step_up_bps": 50}, True)]
)
async def test_a_judgement_by_what_sales_left_is_not_taken_over(change: dict[str, Any], told: bool) -> None:
    live = {"id": str(new_id()), "version": "7", "origin": "learned"}
    review = TypeAdapter(Review).dump_python(Review(trained=1), mode="json") | {"live": live}
    notes = {"now": utc_now().isoformat(), "reads": [["models.review", [["price"]], review]]}
    desk = ChangedDesk(new_id(), zlib.compress(orjson.dumps(notes)), change_of(change, GRAPH.agents), {})
    asked = desk.as_services().models.review("price")
    if told:
        assert (await asked).trained == 1
    else:
        with pytest.raises(CannotTell, match="sales"):
            await asked


LOT = {"name": "lot", "is_list": False, "lines": [], "ask": [], "waiting": [], "chance": 0.7, "turn_days": 90}
STEPS = [{"currency": "USD", "limit_minor": 100, "times": 1.0, "takers": []}]


@pytest.mark.parametrize(
    ("question", "arguments", "answer", "change", "told"),
    [
        ("sourcing.part", [str(new_id()), 0], LOT | {"turn_share": 0.5}, {"goals.horizon": "growth"}, True),
        ("sourcing.part", [str(new_id()), 0], LOT | {"turn_share": 0.5}, {"pricing.max_step_up_bps": 50}, True),
        ("sourcing.part", [str(new_id()), 0], None, {"goals.risk": "bold"}, True),
        ("transfers.review", [False], {"goods": 3, "due": [], "names": [], "waiting": []}, {WEEK: 3}, False),
        ("transfers.review", [False], {"goods": 0, "due": [], "names": [], "waiting": []}, {WEEK: 3}, True),
        ("transfers.review", [False], {"goods": 3, "due": [], "names": [], "waiting": []}, {CASH: 9}, True),
        ("purchasing.returns", [], STEPS, {CASH: 9}, False),
        ("purchasing.returns", [], [], {CASH: 9}, False),
        ("purchasing.returns", [], [], {"purchasing.holding_bps": 9_000}, True),
        ("purchasing.returns", [], [], {"purchasing.alone_minor": 9}, True),
        ("advertising.returns", [], STEPS, {"advertising.total_budget_minor": 9}, False),
        ("advertising.returns", [], STEPS, {CASH: 9}, True),
        ("resources.used", [], {"listings": 0.2, "margin": 0.0}, {"fleet.listings_per_hour": 9}, False),
        ("resources.used", [], {"listings": 0.2, "margin": 0.0}, {CASH: 9}, True),
    ],
)
async def test_what_other_choices_would_have_shaped_is_not_taken_over(
    question: str, arguments: list[Any], answer: Any, change: dict[str, Any], told: bool
) -> None:
    notes = {"now": utc_now().isoformat(), "reads": [[question, [arguments], answer]]}
    desk = ChangedDesk(new_id(), zlib.compress(orjson.dumps(notes)), change_of(change, GRAPH.agents), {})
    asked = getattr(getattr(desk, question.partition(".")[0]), question.partition(".")[2])
    asking = asked(*(UUID(each) if isinstance(each, str) else each for each in arguments))
    if told:
        await asking
    else:
        with pytest.raises(CannotTell, match="choices of then"):
            await asking


async def test_another_tenant_sees_nothing_of_it(shop: Shop) -> None:
    await priced(shop)
    await work(shop, "pricing")
    other = await Shop(shop.store).found()
    assert (await tried(other, {"pricing.min_margin_bps": 800})).decisions == 0
    assert (await tried(shop, {"pricing.min_margin_bps": 800})).decisions == 1


async def test_the_world_of_now_has_no_part_in_it(shop: Shop) -> None:
    await priced(shop, cost=2000)
    await work(shop, "pricing")
    before = await tried(shop, {"pricing.min_margin_bps": 1_500})
    async with shop.unit() as unit:
        await unit.session.execute(update(Variant).values(cost_minor=1))
        await unit.session.execute(update(Listing).values(price_minor=9_999))
    after = await tried(shop, {"pricing.min_margin_bps": 1_500})
    assert after.differences == before.differences and after.changed == 1


async def test_it_ends_where_it_is_told_to_and_says_so(shop: Shop) -> None:
    for _ in range(3):
        await priced(shop)
    await work(shop, "pricing")
    change = {"pricing.min_margin_bps": 800}
    part, whole = await tried(shop, change, limit=2), await tried(shop, change, limit=3)
    assert (part.decisions, part.complete, whole.decisions, whole.complete) == (2, False, 3, True)
    hurried = await tried(shop, change, seconds=0.0)
    assert (hurried.decisions, hurried.complete) == (1, False) and hurried.looked_to is not None


async def test_a_policy_that_is_nowhere_is_not_tried(shop: Shop) -> None:
    with pytest.raises(NotFound, match="no price policy"):
        await tried(shop, {POLICY: "v0"})


def test_every_setting_can_be_tried() -> None:
    assert set(SETTINGS) == COVERED | set(DECIDES_NOTHING) and not set(DECIDES_NOTHING) & COVERED


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"agents.pricing.max_stake_minor": 10**400}, "does not take"),
        ({"pricing.shipping_cost_minor": 10**30}, "does not take"),
        ({}, "no change"),
        ({"stock.mode": "shared"}, "is not a stock mode"),
        ({"pricing.fee": 2}, "no such setting"),
        ({"pricing.min_margin_bps": 10_000}, "less than 10000"),
        ({"goals.risk": "reckless"}, "reckless"),
        ({"agents.nobody.auto_above": 0.5}, "no agent is called"),
        ({"agents.pricing.auto_above": 1.5}, "less than or equal to 1"),
        ({"agents.pricing.max_stake_minor": "much"}, "valid integer"),
    ],
)
def test_what_cannot_be_tried_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as refused:
        change_of(change, GRAPH.agents)
    if "cannot be tried" in refused.value.message:
        assert "pricing.min_margin_bps" in (refused.value.hint or "") and POLICY in (refused.value.hint or "")
