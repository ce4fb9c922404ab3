"""The registry: a policy moves on when the checks hold, one a stage, and comes back in one step."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from shop import Shop
from sqlalchemy import text

from agents.market.pricing import PricingAgent
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, NotFound
from flipsync.domain.events import OfferChanged
from flipsync.domain.ids import new_id
from flipsync.learning.policies import SeasonPrice
from flipsync.learning.policy import Origin, Policy
from flipsync.services import model_limits, orders
from flipsync.services import model_registry as registry
from flipsync.services.desk import Services
from flipsync.services.learned_pricing import ShopPrice, shipped_knobs
from flipsync.services.model_checks import Check
from flipsync.services.model_limits import competes, lawful
from flipsync.services.policy_choice import block_start
from flipsync.services.policy_outcomes import canary_test, off_policy
from flipsync.services.policy_outcomes import stretches as stretches_of
from flipsync.services.reading_models import model_of
from flipsync.store import models as m
from flipsync.store.repositories import policies as rows
from flipsync.store.repositories.policies import ChoiceRow

ORIGIN = Origin("shop-price", "test", 1)
BETTER = {"difference": [0.1, 0.05, 0.15], "unit": "profit", "runs": 10}


def rule(**knobs: float) -> ShopPrice:
    return ShopPrice.of({**shipped_knobs(), **knobs}, ORIGIN)


async def keep(shop: Shop, policy: Policy, scores: dict[str, Any] = BETTER, name: str = "shop-price") -> str:
    async with shop.unit() as unit:
        kept = await registry.keep(
            unit, name, policy, experiment_id=None, code_version="c", data={}, seeds={}, scores=scores
        )
    return str(kept)


async def promote(shop: Shop, wanted: str, *stages: str) -> None:
    for stage in stages:
        async with shop.unit() as unit:
            to: Any = stage
            await registry.promote(unit, wanted, to=to, on_my_word=True)


async def stages(shop: Shop) -> dict[str, str]:
    found = await shop.rows("SELECT version, stage FROM policy_version")
    return {row.version: row.stage for row in found}


async def test_a_policy_looks_on_before_it_acts_and_acts_on_a_part_first(shop: Shop) -> None:
    kept = await keep(shop, rule(min_gain=0.01))
    async with shop.unit() as unit:
        with pytest.raises(Conflict, match="next stage is shadow"):
            await registry.promote(unit, kept, to="live")
    await promote(shop, kept, "shadow", "canary")
    async with shop.unit() as unit:
        with pytest.raises(Conflict, match="still open"):
            await registry.promote(unit, kept)
    await promote(shop, kept, "live")
    async with shop.store.reader(shop.tenant_id) as session:
        told = await model_of(session, kept, shop.store.clock.now())
    assert [move.becomes for move in told.stages] == ["shadow", "canary", "live"]
    assert {check["name"] for check in told.stages[1].checks} >= {"content", "served", "simulation", "limits"}


async def test_what_holds_a_stage_is_retired_by_its_successor_and_comes_back(shop: Shop) -> None:
    first, second = rule(min_gain=0.01), rule(min_gain=0.03)
    for policy in (first, second):
        await promote(shop, await keep(shop, policy), "shadow", "canary", "live")
    assert await stages(shop) == {first.version: "retired", second.version: "live"}
    async with shop.unit() as unit:
        back, now = await registry.roll_back(unit, "shop-price", "sales fell")
        assert now is not None and (back.version, now.version) == (second.version, first.version)
    assert await stages(shop) == {first.version: "live", second.version: "retired"}
    async with shop.unit() as unit:
        back, now = await registry.roll_back(unit, "shop-price", "and further")
        assert (back.version, now) == (first.version, None), "what was taken back does not come back by itself"


async def test_the_first_live_policy_rolls_back_to_the_rule_as_shipped(shop: Shop) -> None:
    await promote(shop, await keep(shop, rule(min_gain=0.01)), "shadow", "canary", "live")
    async with shop.unit() as unit:
        assert (await registry.roll_back(unit, "shop-price", "no"))[1] is None
        with pytest.raises(Conflict, match="as shipped decides already"):
            await registry.roll_back(unit, "shop-price", "again")


async def test_a_canary_is_taken_back_before_the_live_one(shop: Shop) -> None:
    live, canary = rule(min_gain=0.01), rule(min_gain=0.03)
    await promote(shop, await keep(shop, live), "shadow", "canary", "live")
    await promote(shop, await keep(shop, canary), "shadow", "canary")
    async with shop.unit() as unit:
        back, now = await registry.roll_back(unit, "shop-price", "worse")
    assert now is not None and (back.version, now.version) == (canary.version, live.version)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"difference": [0.1, -0.01, 0.2], "unit": "profit", "runs": 10}, "baseline, which ships"),
        ({}, "never judged"),
    ],
)
async def test_what_did_not_beat_the_baseline_stays_a_candidate(shop: Shop, scores: dict[str, Any], words: str) -> None:
    kept = await keep(shop, rule(min_gain=0.01), scores)
    async with shop.unit() as unit:
        with pytest.raises(Conflict, match=words):
            await registry.promote(unit, kept, on_my_word=True)
    assert set((await stages(shop)).values()) == {"candidate"}


async def test_a_policy_nobody_asks_is_kept_but_not_staged(shop: Shop) -> None:
    kept = await keep(shop, SeasonPrice((1.0, 0.0, 0.0, 0.0, 0.0, 0.0), ORIGIN), name="season-price")
    async with shop.unit() as unit:
        with pytest.raises(Conflict, match="nothing in the running system asks a season-price policy"):
            await registry.promote(unit, kept)


async def test_content_that_was_changed_is_refused_and_does_not_act(shop: Shop) -> None:
    kept = await keep(shop, rule(min_gain=0.01))
    await promote(shop, kept, "shadow", "canary", "live")
    async with shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE policy_version SET artefact = replace(artefact, '0.01', '0.011') WHERE id = :id"), {"id": kept}
        )
    async with shop.unit() as unit:
        row = await rows.get(unit.session, UUID(kept))
        assert row is not None
        with pytest.raises(Conflict, match="was changed"):
            registry.policy_of(row)
    account, goods = await shop.account(), await shop.variant(units=5)
    listing = await shop.listing(account, goods, units=5)
    async with shop.store.reader(shop.tenant_id) as session:
        quote = await Services(session, shop.tenant_id, shop.store.clock.now()).pricing.quote(listing)
    assert quote is not None and quote.policy_version == "as shipped", "the rule in the code decides"


async def test_the_loop_turns_while_a_policy_is_checked(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, checking, turned = await keep(shop, rule(min_gain=0.012)), threading.Event(), threading.Event()

    def waits(policy: ShopPrice) -> Check:
        checking.set()
        assert turned.wait(20), "the loop stood still while the policy was checked"
        return competes(policy)

    monkeypatch.setattr(model_limits, "competes", waits)
    promoted = asyncio.create_task(promote(shop, kept, "shadow"))
    while not checking.is_set() and not promoted.done():
        await asyncio.sleep(0.005)
    turned.set()
    await promoted
    async with shop.unit() as unit:
        checks = (await rows.stages(unit.session, UUID(kept)))[-1].checks
    assert [check["name"] for check in checks] == ["content", "served", "simulation", "limits", "collusion"]


async def test_of_two_who_promote_a_policy_at_once_the_later_is_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, both = await keep(shop, rule(min_gain=0.013)), threading.Barrier(2)

    def meets(policy: ShopPrice) -> Check:
        both.wait(20)
        return competes(policy)

    monkeypatch.setattr(model_limits, "competes", meets)
    told = await asyncio.gather(*(promote(shop, kept, "shadow") for _ in range(2)), return_exceptions=True)
    (late,) = [each for each in told if each is not None]
    assert isinstance(late, Conflict) and "while it was checked" in str(late)
    async with shop.unit() as unit:
        assert [move.becomes for move in await rows.stages(unit.session, UUID(kept))] == ["shadow"]


async def test_a_policy_that_does_not_exist_is_said_not_to(shop: Shop) -> None:
    async with shop.unit() as unit:
        with pytest.raises(NotFound):
            await registry.promote(unit, "0123456789ab")


def test_a_rule_that_keeps_the_limits_passes_the_probe() -> None:
    assert lawful(rule()).passed and lawful(rule(min_gain=0.0, elasticity_mean=1.5)).passed


def test_a_rule_that_would_drive_prices_up_with_its_own_kind_is_not_promoted() -> None:
    assert competes(rule()).passed and competes(rule(min_gain=50.0)).passed, "one that never moves drives nothing"
    greedy = competes(rule(elasticity_mean=0.6, elasticity_sd=0.05, rival_sensitivity=0.05))
    assert not greedy.passed and "of the way from competition to monopoly, 0.1 at most" in greedy.words


# -- outcomes ---------------------------------------------------------------------------------------------------------


async def test_sales_are_joined_to_the_choice_that_stood_when_they_were_made(shop: Shop) -> None:
    kept = await keep(shop, rule(min_gain=0.01))
    await promote(shop, kept, "shadow", "canary", "live")
    account, goods = await shop.account(), await shop.variant(units=9, cost=1000)
    listing = await shop.listing(account, goods, units=9)
    now = shop.store.clock.now()
    changed = OfferChanged(listing_id=listing, account_id=account.id, vendor="custom", cause="sale")
    decision = await shop.decide(PricingAgent(), changed)
    (choice,) = decision.choices
    assert choice.role == "acting" and str(choice.policy_id) == kept
    async with shop.unit() as unit:
        event_id = unit.emit(changed)
        await unit.flush()
        for hours in (5, 2):
            row = m.AgentDecision(
                tenant_id=shop.tenant_id, agent="pricing", agent_version="1", event_id=event_id, state="held",
                source="policy", rationale="r", confidence=1.0, correlation_id=new_id(),
            )  # fmt: skip
            unit.session.add(row)
            await unit.session.flush()
            values = {**choice.model_dump(include={"policy_id", "listing_id", "role", "rung", "chance"})}
            await rows.add_choices(
                unit.session,
                [
                    {
                        **values,
                        "tenant_id": shop.tenant_id,
                        "decision_id": row.id,
                        "price_minor": 2999,
                        "current_minor": 2999,
                        "currency": "USD",
                        "at": now - timedelta(hours=hours),
                    }
                ],
            )
        await orders.ingest_order(unit, account, shop.order({goods.sku: 2}))
        await unit.session.execute(text("UPDATE customer_order SET placed_at = :at"), {"at": now - timedelta(hours=4)})
    async with shop.store.reader(shop.tenant_id) as session:
        found = await rows.outcomes(session, since=now - timedelta(days=1), now=now)
        net = await stretches_of(session, shop.tenant_id, now)
    assert [(round(row.hours, 3), row.units, row.profit_minor) for row in found] == [
        (3.0, 2, 2 * 1999.0),
        (2.0, 0, 0.0),
    ]
    # 12 % of 29.99, and 4.50 for the parcel
    assert [row.profit_minor for row in net] == [2 * (1999.0 - 360.0 - 450.0), 0.0]


def stretches(days: int, *, canary: UUID, lift: float, share: float = 0.2, seed: int = 0) -> list[ChoiceRow]:
    """Half days of thirty listings that earn what they earn; the canary's, drawn anew each block, `lift` more.

    A listing has a mood that lasts a block: its stretches are not independent.
    """
    rng = np.random.default_rng(seed)
    listings, usual = [new_id() for _ in range(30)], rng.uniform(50, 150, 30)
    began = block_start(utc_now()) - days * timedelta(days=1)
    drawn: dict[tuple[int, Any], tuple[bool, float]] = {}
    made = []
    for half in range(2 * days):
        at = began + timedelta(hours=12 * half)
        for which, listing in enumerate(listings):
            new = (bool(rng.random() < share), float(rng.normal(0, 30)))
            here, mood = drawn.setdefault((which, block_start(at)), new)
            here = here and half > 18
            profit = 12 * (usual[which] + mood + rng.normal(0, 10) + (lift if here else 0.0))
            role = "canary" if here else "acting"
            made.append(ChoiceRow(listing, role, canary if here else None, 2, 1.0, at, 12.0, float(profit), None, None))
    return made


def test_a_canary_is_judged_against_the_rest_and_may_be_looked_at_often() -> None:
    canary = new_id()
    better = canary_test(stretches(150, canary=canary, lift=25.0), canary, 0.2)
    assert better.verdict() == "challenger" and better.n <= 30 * 50, "counted by block"
    assert canary_test(stretches(150, canary=canary, lift=-25.0), canary, 0.2).verdict() == "incumbent"
    wrong = sum(
        canary_test(stretches(60, canary=canary, lift=0.0, seed=seed), canary, 0.2).verdict() != "open"
        for seed in range(20)
    )
    assert wrong <= 2, "no difference is found where there is none"


def test_a_shadow_is_judged_from_the_log_of_exploration() -> None:
    """Acting holds, and one time in five tries a rung of five; going up a little earns 20 more than all else."""
    rng, shadow, began = np.random.default_rng(1), new_id(), utc_now() - timedelta(days=50)
    made = []
    for at in range(2_500):
        rung = int(rng.integers(5)) if rng.random() < 0.2 else 2
        chance = 0.2 / 5 + (0.8 if rung == 2 else 0.0)
        profit = 100 + 20 * (rung == 3) + rng.normal(0, 10)
        made.append(
            ChoiceRow(new_id(), "acting", None, rung, chance, began + timedelta(hours=at / 2), 1.0, profit, 3, shadow)
        )
    told = off_policy(made, shadow)
    assert told is not None and told.better
    for estimate in (told.ips, told.snips, told.doubly_robust):
        assert estimate.value.low < 120 < estimate.value.high
    assert told.acted.mean < 102
    assert off_policy([row for row in made if row.chance == 1.0], shadow) is None
