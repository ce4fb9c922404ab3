"""Which policy prices a listing: the live one, the canary on its share; a shadow looks on; else the rule as shipped."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from shop import Shop, dollars

from agents import ROSTER
from agents.governance.compliance import ComplianceAgent
from agents.logistics.auto_pricing import AutoPricingAgent
from agents.market.pricing import PricingAgent
from flipsync.domain.events import OfferChanged, RepricingDue
from flipsync.domain.ids import new_id
from flipsync.learning.policy import Origin
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.services import model_registry as registry
from flipsync.services.desk import Services
from flipsync.services.learned_pricing import ShopPrice, shipped_knobs
from flipsync.services.policy_choice import BLOCK, SHIPPED, STAY, Staged, Version, choose, rung_of
from flipsync.services.pricing.fees import percentage_plus_fixed
from flipsync.services.pricing.policy import PricingPolicy
from flipsync.services.pricing.quote import PolicySettings, PricePeriod, QuoteRequest
from flipsync.services.tenant_settings import PricingChoices

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
REQUEST = QuoteRequest(
    current=dollars(3000),
    at=NOW,
    unit_cost=dollars(1000),
    shipping_cost=dollars(300),
    fees=percentage_plus_fixed("custom", Decimal(1200), dollars(0), valid_from=NOW - timedelta(days=1), source="t"),
    ceiling=dollars(9000),
    history=(PricePeriod(price=dollars(3000), units=40, exposure_hours=200),),
    stock=50,
)
OTHER = Version(new_id(), "other", PricingPolicy(PolicySettings(min_gain=0.5)))


def plain(**more: Any) -> PricingChoices:
    return PricingChoices(**more)


def test_without_policies_the_rule_decides_as_before_and_nothing_is_kept() -> None:
    acting, quote, kept = choose(Staged(), new_id(), REQUEST, plain(), NOW, ())
    assert acting is SHIPPED and kept == () and quote == PricingPolicy().quote(REQUEST)


def test_the_canary_prices_its_share_of_the_listings_and_the_draw_changes_with_the_block() -> None:
    staged, choices = Staged(canary=OTHER), plain(canary_bps=2_000)
    listings = [new_id() for _ in range(600)]

    def canary(now: datetime) -> set[Any]:
        return {one for one in listings if choose(staged, one, REQUEST, choices, now, ())[0] is OTHER}

    first = canary(NOW)
    assert 80 < len(first) < 165
    assert canary(NOW + timedelta(hours=1)) == first, "asked again, the same answer"
    later = canary(NOW + 2 * BLOCK)
    assert len(first & later) < 50, "nobody is a canary for ever"


def test_exploration_is_off_unless_the_owner_says_so_and_tells_its_chances() -> None:
    staged = Staged(live=OTHER)
    listings = [new_id() for _ in range(1_200)]
    off = [choose(staged, one, REQUEST, plain(), NOW, ())[2][0] for one in listings[:50]]
    assert {(choice.rung, choice.chance) for choice in off} == {(STAY, 1.0)}
    on = [choose(staged, one, REQUEST, plain(exploration_bps=2_000), NOW, ())[2][0] for one in listings]
    seen = Counter(choice.rung for choice in on)
    for rung, times in seen.items():
        (chance,) = {choice.chance for choice in on if choice.rung == rung}
        assert times / len(on) == pytest.approx(chance, abs=0.035), "the chance that is kept is the chance it had"
    assert len(seen) == 5 and sum({choice.rung: choice.chance for choice in on}.values()) == pytest.approx(1.0)
    for choice in on:
        assert rung_of(choice.price.amount_minor, 3000, REQUEST) == choice.rung
        assert 2700 <= choice.price.amount_minor <= 3300


def test_a_listing_is_tried_once_a_block() -> None:
    staged, choices = Staged(live=OTHER), plain(exploration_bps=2_000)
    for one in [new_id() for _ in range(200)]:
        _, quote, (kept,) = choose(staged, one, REQUEST, choices, NOW, [NOW - timedelta(minutes=1)])
        assert kept.chance == 1.0 and quote == OTHER.rule.quote(REQUEST)


def test_a_price_out_of_reach_is_not_tried() -> None:
    tight = REQUEST.model_copy(update={"floor": dollars(2990), "ceiling": dollars(3010)})
    staged, choices = Staged(live=OTHER), plain(exploration_bps=2_000)
    made = [choose(staged, new_id(), tight, choices, NOW, ())[2][0] for _ in range(200)]
    assert {choice.rung for choice in made} == {STAY}


# -- in the books -----------------------------------------------------------------------------------------------------


async def stage(shop: Shop, *stages: str, **knobs: float) -> str:
    async with shop.unit() as unit:
        policy = ShopPrice.of({**shipped_knobs(), **knobs}, Origin("shop-price", "test", 1))
        scores = {"difference": [0.1, 0.05, 0.15], "unit": "profit", "runs": 10}
        kept = await registry.keep(
            unit, "shop-price", policy, experiment_id=None, code_version="c", data={}, seeds={}, scores=scores
        )
        for _ in stages:
            await registry.promote(unit, str(kept), on_my_word=True)
    return policy.version


async def one_listing(shop: Shop) -> OfferChanged:
    account, goods = await shop.account(), await shop.variant(units=5)
    listing = await shop.listing(account, goods, units=5)
    return OfferChanged(listing_id=listing, account_id=account.id, vendor="custom", cause="sale")


async def test_the_decision_names_the_policy_and_the_one_that_looks_on(shop: Shop) -> None:
    changed = await one_listing(shop)
    before = await shop.decide(PricingAgent(), changed)
    assert before.choices == () and {each.kind for each in before.evidence} == {"listing"}
    live = await stage(shop, "shadow", "canary", "live", min_gain=0.9)
    shadow = await stage(shop, "shadow", min_gain=0.0)
    decision = await shop.decide(PricingAgent(), changed)
    notes = {each.note for each in decision.evidence if each.kind == "policy"}
    assert notes == {f"{live}, acting", f"{shadow}, shadow"}
    assert [(each.version, each.role) for each in decision.choices] == [(live, "acting"), (shadow, "shadow")]
    assert decision.is_hold, "the live policy asks for a gain of 90 %"
    assert decision.choices[1].price != decision.choices[0].price, "the one that looks on would have moved"
    assert any(shadow in each.name for each in decision.alternatives)
    assert (await shop.decide(PricingAgent(), changed)).choices == decision.choices, "asked again, the same choices"


async def test_choices_are_written_with_the_decision_and_only_the_one_that_acts_is_carried_out(shop: Shop) -> None:
    changed = await one_listing(shop)
    live = await stage(shop, "shadow", "canary", "live", min_gain=0.0)
    await stage(shop, "shadow", min_gain=0.9)
    path = DecisionPath(Graph(ROSTER), Gate(shop.firewall, [ComplianceAgent()]))
    decision = await shop.decide(PricingAgent(), changed)
    assert live in {each.version for each in decision.choices}
    async with shop.unit() as unit:
        event_id = unit.emit(changed)
        await unit.flush()
        services = Services(unit.session, shop.tenant_id, unit.now)
        context = Context(shop.tenant_id, unit.now, services, event_id, event_id)
        decision_id = await path.record(unit, context, PricingAgent.spec, decision)
    found = await shop.rows("SELECT role, rung, chance, price_minor, decision_id FROM policy_choice ORDER BY role")
    assert [(row.role, row.chance) for row in found] == [("acting", 1.0), ("shadow", 1.0)]
    assert {row.decision_id for row in found} == {decision_id}
    effects = await shop.rows("SELECT command, payload FROM effect WHERE tenant_id = :tenant")
    (command,) = decision.proposals
    assert [row.command for row in effects] == ["ChangePrice"]
    assert effects[0].payload["certificate"], "a learned price is signed by the firewall like any other"
    assert effects[0].payload["price"]["amount_minor"] == command.price.amount_minor == found[0].price_minor


async def test_the_batch_names_policies_too(shop: Shop) -> None:
    for _ in range(3):
        await one_listing(shop)
    live = await stage(shop, "shadow", "canary", "live", min_gain=0.9)
    decision = await shop.decide(AutoPricingAgent(), RepricingDue(tenant_id=shop.tenant_id))
    assert [each.note for each in decision.evidence if each.kind == "policy"] == [f"{live}, acting"]
    assert len(decision.choices) == 3


def test_a_shadow_alone_is_reason_enough_to_keep_choices() -> None:
    assert replace(Staged(), shadow=OTHER).plain is False and Staged().plain
