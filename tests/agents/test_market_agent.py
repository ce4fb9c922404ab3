"""MarketAgent: places products where a sale earns, and answers its specialists' doubts."""

from __future__ import annotations

import pytest
from shop import Shop
from test_executive_agent import escalated

from agents.market.market import MarketAgent
from flipsync.domain.commands import EndListing, EndorseDecision, ListOnChannel, OverruleDecision
from flipsync.domain.events import DecisionEscalated, ListingsSurveyed, ProductImported
from flipsync.domain.goals import Risk
from flipsync.services import accounts
from flipsync.services.goals import GoalsChange, set_goals
from flipsync.store.models import Product
from flipsync.store.repositories import listings


async def test_a_new_product_goes_on_every_channel_where_it_earns(shop: Shop) -> None:
    places = [await shop.account(vendor) for vendor in ("custom", "woocommerce")]  # type: ignore[arg-type]
    goods = await shop.variant(units=1)
    decision = await shop.decide(MarketAgent(), ProductImported(product_id=goods.product_id, created=True))
    assert set(decision.proposals) == {
        ListOnChannel(product_id=goods.product_id, account_id=place.id) for place in places
    }
    assert len(decision.alternatives) == 2
    assert all(each.chosen and each.scores["net_minor_per_sale"] > 0 for each in decision.alternatives)


@pytest.mark.parametrize(
    ("price", "cost", "why"),
    [
        (2999, None, "price or unit cost is not known"),
        (None, 1000, "price or unit cost is not known"),
        (1100, 1000, "loses money after fees and shipping"),
    ],
)
async def test_what_would_not_earn_is_not_placed(shop: Shop, price: int | None, cost: int | None, why: str) -> None:
    await shop.account()
    goods = await shop.variant(units=1, price=price, cost=cost)
    decision = await shop.decide(MarketAgent(), ProductImported(product_id=goods.product_id, created=True))
    assert decision.is_hold
    assert why in decision.rationale


async def test_a_new_account_gets_what_it_does_not_list_yet(shop: Shop) -> None:
    goods = [await shop.variant(units=1) for _ in range(2)]
    account = await shop.account()
    await shop.listing(account, goods[0])
    surveyed = ListingsSurveyed(account_id=account.id, vendor="custom", adopted=0, doubtful=0, unknown=3)
    decision = await shop.decide(MarketAgent(), surveyed)
    assert decision.proposals == (ListOnChannel(product_id=goods[1].product_id, account_id=account.id),)


@pytest.mark.parametrize(("reason", "comes_back"), [(EndListing.UNPUBLISHED, True), ("a person ended it", False)])
async def test_a_product_published_again_is_placed_again(shop: Shop, reason: str, comes_back: bool) -> None:
    account, goods = await shop.account(), await shop.variant(units=1)
    listing = await shop.listing(account, goods)
    async with shop.unit() as unit:
        (await unit.session.get_one(Product, goods.product_id)).published = False
        await listings.set_status(unit, listing, "ended", reason)
    imported = ProductImported(product_id=goods.product_id, created=False)
    assert (await shop.decide(MarketAgent(), imported)).is_hold
    async with shop.unit() as unit:
        (await unit.session.get_one(Product, goods.product_id)).published = True
    again = ListOnChannel(product_id=goods.product_id, account_id=account.id)
    assert (await shop.decide(MarketAgent(), imported)).proposals == ((again,) if comes_back else ())
    surveyed = ListingsSurveyed(account_id=account.id, vendor="custom", adopted=0, doubtful=0, unknown=0)
    assert (await shop.decide(MarketAgent(), surveyed)).proposals == ((again,) if comes_back else ())


async def test_nothing_is_placed_on_a_paused_account_or_without_any(shop: Shop) -> None:
    goods = await shop.variant(units=1)
    imported = ProductImported(product_id=goods.product_id, created=True)
    assert (await shop.decide(MarketAgent(), imported)).rationale == "no channel is connected"
    account = await shop.account()
    async with shop.unit() as unit:
        await accounts.pause_account(unit, account.id, "")
    assert (await shop.decide(MarketAgent(), imported)).is_hold


async def test_an_owner_who_lists_by_hand_is_not_helped(shop: Shop) -> None:
    by_hand = await Shop(shop.store).found(auto_list=False)
    account = await by_hand.account()
    goods = await by_hand.variant(units=1)
    seen = {"adopted": 0, "doubtful": 0, "unknown": 0}
    for fact in (
        ProductImported(product_id=goods.product_id, created=True),
        ListingsSurveyed(account_id=account.id, vendor=account.vendor, **seen),
    ):
        decision = await by_hand.decide(MarketAgent(), fact)
        assert decision.is_hold and "auto_list" in decision.rationale


@pytest.mark.parametrize(("confidence", "command"), [(0.5, EndorseDecision), (0.3, OverruleDecision)])
async def test_judges_its_specialists_by_how_sure_they_are(shop: Shop, confidence: float, command: type) -> None:
    decision_id = await escalated(shop, confidence=confidence, stake=500)
    event = DecisionEscalated(decision_id=decision_id, from_agent="pricing", to_agent="market", reason="doubt")
    decision = await shop.decide(MarketAgent(), event)
    assert [type(each) for each in decision.proposals] == [command]
    if command is EndorseDecision:
        assert decision.stake is not None and decision.stake.amount_minor == 500, "the stake goes up with it"


@pytest.mark.parametrize(
    ("risk", "confidence", "command"),
    [
        ("balanced", 0.41, EndorseDecision),
        ("balanced", 0.39, OverruleDecision),
        ("careful", 0.45, OverruleDecision),
        ("bold", 0.3, EndorseDecision),
    ],
)
async def test_a_careful_owner_wants_surer_specialists(
    shop: Shop, risk: Risk, confidence: float, command: type
) -> None:
    async with shop.unit() as unit:
        await set_goals(unit, GoalsChange(risk=risk))
    decision_id = await escalated(shop, confidence=confidence, stake=500)
    event = DecisionEscalated(decision_id=decision_id, from_agent="pricing", to_agent="market", reason="doubt")
    decision = await shop.decide(MarketAgent(), event)
    assert [type(each) for each in decision.proposals] == [command]
    assert {each.name for each in decision.alternatives} == {"let it go ahead", "stop it"}
