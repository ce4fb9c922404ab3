"""What a canary may cost: a bad one loses its listings within the budget, a good one soon has its whole share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import numpy as np
import pytest
from shop import Shop
from sqlalchemy import text
from test_policy_choice import NOW, OTHER, REQUEST, stage

from flipsync.domain.events import OfferChanged
from flipsync.domain.ids import new_id
from flipsync.services import model_registry as registry
from flipsync.services import orders
from flipsync.services.canary_budget import Spending
from flipsync.services.desk import Services
from flipsync.services.policy_choice import BLOCK, Staged, block_start, choose
from flipsync.services.policy_outcomes import canary_test, spending, spent
from flipsync.services.policy_staging import share_of
from flipsync.services.reading_models import model_of
from flipsync.services.tenant_settings import PricingChoices, profile
from flipsync.store import models as m
from flipsync.store.repositories import policies as rows
from flipsync.store.repositories.policies import ChoiceRow

CHOICES = PricingChoices()
LISTINGS, BEFORE = 50, 4
HOURS = BLOCK / timedelta(hours=1)


def lived(lift: float, seed: int, blocks: int, choices: PricingChoices = CHOICES) -> tuple[list[float], list[float]]:
    """A canary that earns `lift` times what the incumbent does: by block, the share it had, and what all were expected
    to have earned so far as a share of what they would have without it. Sales are Poisson."""
    rng = np.random.default_rng(seed)
    listings, canary = [UUID(int=seed * 1_000 + number + 1) for number in range(LISTINGS)], UUID(int=seed + 10**9)
    usual = rng.gamma(2.0, 3.0, LISTINGS)
    began = block_start(NOW)
    seen: list[ChoiceRow] = []
    shares, kept, earned, due = [], [], 0.0, 0.0
    for block in range(-BEFORE, blocks):
        at = began + block * BLOCK
        share = spent(seen, canary, began, at).part(choices) if block >= 0 else 0.0
        pace = float(rng.uniform(0.8, 1.2))
        for number, listing in enumerate(listings):
            here = share_of("canary", canary, listing, at) < share
            mean = float(usual[number]) * pace * (lift if here else 1.0)
            if block >= 0:
                earned, due = earned + mean, due + float(usual[number]) * pace
            role, policy = ("canary", canary) if here else ("acting", None)
            profit = 100.0 * int(rng.poisson(mean))
            seen.append(ChoiceRow(listing, role, policy, 2, 1.0, at, HOURS, profit, None, None, currency="USD"))
        if block >= 0:
            shares.append(share)
            kept.append(earned / due)
    return shares, kept


@pytest.mark.parametrize("lift", [0.0, 0.4])
def test_a_bad_challenger_is_stopped_within_the_budget(lift: float) -> None:
    runs = [lived(lift, seed, 12) for seed in range(20)]
    shares, kept = (np.array(each) for each in zip(*runs, strict=True))
    assert shares[:, 0].max() < 0.05 and shares[:, 0].min() > 0.0
    assert kept.mean(axis=0).min() > 0.95, "over the draw of listings, at every moment"
    assert (kept < 0.95).mean() < 0.12 and kept.min() > 0.92 and kept[:, -1].min() > 0.945
    assert shares.mean() < 1.1 * 0.05 / (1 - lift), "what may be lost, and no more, is what it has of the listings"
    unbound = [lived(lift, seed, 14, PricingChoices(canary_loss_bps=10_000))[1][-1] for seed in range(20)]
    assert np.mean(unbound) < 0.91, "without a budget it costs twice as much"


@pytest.mark.parametrize("lift", [1.0, 1.15])
def test_a_good_challenger_is_not_hindered_for_long(lift: float) -> None:
    whole = []
    for seed in range(20):
        shares, _ = lived(lift, seed, 12)
        whole.append(next((block for block, share in enumerate(shares) if share >= 0.2), 99))
    assert np.median(whole) <= 7 and sorted(whole)[-2] <= 10, "blocks of three days, with fifty listings"


def test_the_verdict_counts_a_block_by_the_chance_it_had() -> None:
    """A canary as good as the rest, on a share that moves: no difference is found; blocks without one do not count."""
    wrong = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        canary, listings = new_id(), [new_id() for _ in range(40)]
        made = []
        for block in range(-3, 25):
            share = 0.0 if block < 0 or block % 5 == 4 else (0.05, 0.1, 0.2)[block % 3]
            at = block_start(NOW) + block * BLOCK
            season = 100.0 + 60.0 * np.sin(block)
            for listing in listings:
                here = bool(rng.random() < share)
                profit = HOURS * float(rng.normal(season, 20))
                role, policy = ("canary", canary) if here else ("acting", None)
                row = ChoiceRow(listing, role, policy, 2, 1.0, at, HOURS, profit, None, None, canary_share=share)
                made.append(row)
        told = canary_test(made, canary, 0.2)
        assert told.n <= 40 * 20
        wrong += told.verdict() != "open"
    assert wrong <= 2


def test_spending_is_told_by_currency_and_the_worst_decides() -> None:
    spending = Spending(4, {"USD": (400.0, 400.0, 0.0), "EUR": (300.0, 400.0, 0.0)})
    assert Spending(4, {"USD": (400.0, 400.0, 0.0)}).part(CHOICES) == pytest.approx(0.2)
    assert Spending(4, {"USD": (400.0, 400.0, 0.02)}).part(CHOICES) < 0.16, "a few listings earn most"
    assert spending.part(CHOICES) == 0.0 and spending.kept == 0.75
    assert Spending(4, {"USD": (0.0, 0.0, 0.0)}).part(CHOICES) == 0.2, "who earns nothing loses nothing"
    assert Spending().part(CHOICES) == 0.05 and Spending().part(PricingChoices(canary_loss_bps=10_000)) == 0.2


def drawn(spending: Spending | None, most: int = 600) -> Mapping[UUID, tuple[str, str, float | None]]:
    staged, made = Staged(canary=OTHER, spending=spending), {}
    for number in range(most):
        _, quote, (kept,) = choose(staged, UUID(int=number), REQUEST, CHOICES, NOW, ())
        made[UUID(int=number)] = (kept.role, quote.reason, kept.canary_share)
    return made


def test_a_canary_that_spent_its_budget_is_held_back_and_the_reason_says_so() -> None:
    unbound, begins, over = drawn(None), drawn(Spending()), drawn(Spending(4, {"USD": (380.0, 400.0, 0.0)}))
    whole, first = ({one for one, told in made.items() if told[0] == "canary"} for made in (unbound, begins))
    assert first < whole and 15 < len(first) < 50 and {told[2] for told in begins.values()} == {0.05}
    assert max(told[2] or 0.0 for told in over.values()) == pytest.approx(0.05), "on its limit: what a block may lose"
    spent_ = drawn(Spending(4, {"USD": (370.0, 400.0, 0.0)}))
    assert {(told[0], told[2]) for told in spent_.values()} == {("acting", 0.0)}
    held = {one for one, told in spent_.items() if "is held back here" in told[1]}
    assert held == whole
    assert "all earned 92.5% of what is estimated without, 95.0% at least is allowed" in spent_[min(held)][1]


# -- in the books -----------------------------------------------------------------------------------------------------


async def test_the_desk_reads_what_the_canary_cost_and_the_registry_shows_it(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    listing = await shop.listing(account, goods, units=5)
    version = await stage(shop, "shadow", "canary", min_gain=0.9)
    now = shop.store.clock.now()
    async with shop.store.reader(shop.tenant_id) as session:
        quote = await Services(session, shop.tenant_id, now).pricing.quote(listing)
        told = await model_of(session, version, now)
        choices = (await profile(session, shop.tenant_id)).settings.pricing
    assert quote is not None and quote.choices[0].canary_share == 0.05 and choices.canary_loss_bps == 500
    assert told.canary is not None and told.canary.budget is not None
    assert (told.canary.budget.prices, told.canary.budget.kept) == (0.05, 1.0)
    assert "prices 5.0% of the listings of 20%" in told.canary.budget.words


async def test_what_a_canary_cost_is_worked_out_from_orders(shop: Shop) -> None:
    """Two listings that sold a unit a block each; then one is the canary's and sells nothing."""
    account = await shop.account()
    goods = [await shop.variant(units=9, cost=1000) for _ in range(2)]
    listings = [await shop.listing(account, each, units=9) for each in goods]
    version = await stage(shop, "shadow", "canary", min_gain=0.9)
    now = shop.store.clock.now()
    began = block_start(now) - 2 * BLOCK
    async with shop.unit() as unit:
        canary = (await registry.find(unit, version)).id
        event_id = unit.emit(OfferChanged(listing_id=listings[0], account_id=account.id, vendor="custom", cause="sale"))
        await unit.flush()
        await unit.session.execute(
            text("UPDATE policy_version SET staged_at = :at WHERE id = :id"), {"at": began, "id": canary}
        )
        for block in range(4):
            for number, listing in enumerate(listings):
                here = number == 1 and block >= 2
                decided = m.AgentDecision(
                    tenant_id=shop.tenant_id, agent="pricing", agent_version="1", event_id=event_id, state="held",
                    source="policy", rationale="r", confidence=1.0, correlation_id=new_id(),
                )  # fmt: skip
                unit.session.add(decided)
                await unit.session.flush()
                at = began + (block - 2) * BLOCK + timedelta(hours=1)
                choice = {
                    "tenant_id": shop.tenant_id,
                    "decision_id": decided.id,
                    "listing_id": listing,
                    "at": at,
                    "role": "canary" if here else "acting",
                    "policy_id": canary if here else None,
                    "rung": 2,
                    "chance": 1.0,
                    "canary_share": 0.2 if block >= 2 else None,
                    "currency": "USD",
                    "price_minor": 2999,
                    "current_minor": 2999,
                }
                await rows.add_choices(unit.session, [choice])
                if not here:
                    order = await orders.ingest_order(unit, account, shop.order({goods[number].sku: 1}))
                    await unit.session.execute(
                        text("UPDATE customer_order SET placed_at = :at WHERE id = :id"),
                        {"at": at + timedelta(hours=2), "id": order.order_id},
                    )
    async with shop.store.reader(shop.tenant_id) as session:
        row = await rows.get(session, canary)
        assert row is not None
        told = await spending(session, shop.tenant_id, row, now)
    unit_profit = 2999.0 - 1000.0 - 360.0 - 450.0  # 12 % of 29.99, and 4.50 for the parcel
    assert told.blocks == 2 and told.sums == {
        "USD": (pytest.approx(2 * unit_profit), pytest.approx(4 * unit_profit), 0.5)
    }
    assert told.part(CHOICES) == 0.0 and told.kept == 0.5
