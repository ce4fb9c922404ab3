"""ResourceAgent's shares of money on real rows: cash goes where it brings most, ads too, and agents are held to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from shop import Shop, open_store
from test_advertising_agent import sold
from test_auto_inventory_agent import MONDAY, carry_out, decide, stocked, supplier
from test_resource_agent import apply

from agents.executive.resource import ResourceAgent
from flipsync.domain.advertising import SetAdRate
from flipsync.domain.clock import ManualClock
from flipsync.domain.decisions import Decision
from flipsync.domain.errors import FlipSyncError
from flipsync.domain.events import CycleStarted, SettingsChanged
from flipsync.domain.ids import new_id
from flipsync.domain.purchase_commands import OfferPurchaseOrder, PlacePurchaseOrder
from flipsync.domain.purchase_events import PurchaseDue
from flipsync.domain.steering_commands import ShareBudgets
from flipsync.runtime import budgets
from flipsync.runtime.decision_path import _proposed
from flipsync.services import money_shares, purchase_orders, undo_changes
from flipsync.services.advertising.judging import judge_ad_rate
from flipsync.services.settings_changes import set_settings
from flipsync.services.tenant_settings import TenantSettings, profile
from flipsync.services.why_words import command_words
from flipsync.store import models as m


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MONDAY)


@pytest.fixture
async def shop(database_urls: dict[str, str], clock: ManualClock) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"], clock=clock)
    yield await Shop(store).found()
    await store.aclose()


async def wants(shop: Shop, **values: Any) -> None:
    async with shop.unit() as unit:
        await set_settings(unit, {name.replace("__", "."): value for name, value in values.items()})


async def settings(shop: Shop) -> TenantSettings:
    async with shop.store.reader(shop.tenant_id) as session:
        return (await profile(session, shop.tenant_id)).settings


async def daily(shop: Shop) -> Decision[Any]:
    told: Decision[Any] = await shop.decide(ResourceAgent(), CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
    return told


@pytest.fixture
async def two(shop: Shop) -> tuple[UUID, UUID]:
    """A supplier whose cash comes back within days, and one where it is away for two months."""
    quick = await supplier(shop, await stocked(shop, weekly=12.0), name="Quick", lead_mean_days=5.0)
    slow = await supplier(shop, await stocked(shop, weekly=12.0), name="Slow", lead_mean_days=60.0)
    return quick, slow


async def test_without_a_limit_or_with_enough_of_it_nobody_is_held_to_a_share(
    shop: Shop, two: tuple[UUID, UUID]
) -> None:
    assert "no limit on cash or ad money" in (await daily(shop)).rationale
    await wants(shop, purchasing__cash_minor=10_000_000)
    held = await daily(shop)
    assert held.is_hold and "reach for all that is worth it" in held.rationale
    await wants(shop, purchasing__cash_shares_bps={str(two[0]): 4_000})
    (command,) = (await daily(shop)).proposals
    assert command.cash_shares_bps == {} and command.ad_shares_bps is None, "a share that nothing calls for ends"


async def test_cash_goes_where_it_brings_most_and_says_why_and_what_would_change_it(
    shop: Shop, two: tuple[UUID, UUID]
) -> None:
    quick, slow = two
    await wants(shop, purchasing__cash_minor=9_000)
    decision = await daily(shop)
    (command,) = decision.proposals
    assert isinstance(command, ShareBudgets) and command.listing_shares_bps is None
    shares = command.cash_shares_bps
    assert shares is not None and sum(shares.values()) == 10_000 and set(shares) == {str(quick), str(slow)}
    assert shares[str(slow)] >= money_shares.LEAST_BPS
    assert "100.00 USD more would bring" in decision.rationale
    told = {each.name: each for each in decision.alternatives}
    first, last = told["Quick, cash"], told["Slow, cash"]
    assert first.scores["last_return"] >= last.scores["next_return"], "what is given up brings less than what is kept"
    assert "of what it takes" in first.why and (
        "more goes there when it earns" in last.why or "little more" in last.why
    )
    said = command_words("ShareBudgets", command.model_dump(mode="json"), lambda kind, each: str(each))
    assert said.startswith("divide cash among suppliers: 90.00 USD for goods still to come")
    assert await apply(shop, decision) == ["proceed"]
    assert (await settings(shop)).purchasing.cash_shares_bps == shares
    assert (await settings(shop)).purchasing.cash_minor == 9_000, "the owner's limit is the owner's"
    assert (await daily(shop)).is_hold, "once"
    facts = await shop.rows("SELECT id FROM event WHERE type = :kind ORDER BY id", kind=SettingsChanged.type_name())
    async with shop.unit() as unit:
        report = await undo_changes.undo_change(unit, facts[-1].id, allowed=lambda _: True)
    assert [part.outcome for part in report.parts] == ["undone"]
    assert (await settings(shop)).purchasing.cash_shares_bps == {}


async def test_shares_stay_while_nobody_knows_what_cash_would_bring(
    shop: Shop, two: tuple[UUID, UUID], clock: ManualClock
) -> None:
    shares = {str(two[0]): 4_000, str(two[1]): 6_000}
    await wants(shop, purchasing__cash_minor=9_000, purchasing__cash_shares_bps=shares)
    clock.advance(timedelta(days=30))
    held = await daily(shop)
    assert held.is_hold and "nobody knows what cash would bring now" in held.rationale, "the forecast is a month old"
    await wants(shop, purchasing__cash_minor=None)
    (command,) = (await daily(shop)).proposals
    assert command.cash_shares_bps == {}, "without a limit there is nothing to divide"


async def test_an_order_above_its_suppliers_share_is_denied_and_decided_on_anew(
    shop: Shop, two: tuple[UUID, UUID]
) -> None:
    quick, slow = two
    await wants(shop, purchasing__cash_minor=20_000, purchasing__alone_minor=100_000)
    decision = await decide(shop, PurchaseDue(supplier_id=slow, urgent=False))
    (order,) = decision.proposals
    assert isinstance(order, PlacePurchaseOrder) and order.cost.amount_minor > 2_000
    await wants(shop, purchasing__cash_shares_bps={str(slow): 1_000, str(quick): 9_000})
    decision_id, told = await carry_out(shop, decision)
    assert told == "deny: only 20.00 USD of Slow's share of the cash is left"
    (row,) = await shop.rows("SELECT * FROM proposal WHERE decision_id = :id", id=decision_id)
    proposal = _proposed(decision_id, 0, order)
    proposal.verdict, proposal.rule = row.verdict, row.rule
    assert budgets.comes_again([order], [proposal]), "when shares move or goods arrive there is room again"
    assert await shop.rows("SELECT id FROM purchase_order") == []
    again = await decide(shop, PurchaseDue(supplier_id=slow, urgent=False))
    within = [each.cost.amount_minor for each in again.proposals]
    assert within and within[0] <= 2_000, "decided anew it buys the best of what its share reaches for"
    assert (await carry_out(shop, again))[1].startswith("proceed")
    (left,) = [await decide(shop, PurchaseDue(supplier_id=slow, urgent=False))]
    assert left.is_hold or left.proposals[0].cost.amount_minor <= 2_000 - within[0]


async def test_what_the_owner_says_yes_to_goes_past_a_share_but_not_past_the_owners_limit(
    shop: Shop, two: tuple[UUID, UUID]
) -> None:
    _, slow = two
    await wants(shop, purchasing__cash_minor=20_000)
    (order,) = (await decide(shop, PurchaseDue(supplier_id=slow, urgent=False))).proposals
    await wants(shop, purchasing__cash_shares_bps={str(slow): 0})
    offer = OfferPurchaseOrder.model_validate(order.model_dump())
    async with shop.unit() as unit:
        placed = await purchase_orders.carry_out(unit, offer)
    assert placed.state == "placing"
    later = offer.model_copy(update={"origin": MONDAY + timedelta(hours=1)})
    await wants(shop, purchasing__cash_minor=100)
    with pytest.raises(FlipSyncError, match="of the cash for goods still to come is left"):
        async with shop.unit() as unit:
            await purchase_orders.carry_out(unit, later)


async def test_the_owner_keeps_the_shares_by_a_setting(shop: Shop, two: tuple[UUID, UUID]) -> None:
    await wants(shop, purchasing__cash_minor=9_000, fleet__share_out=False)
    assert "the owner keeps the shares" in (await daily(shop)).rationale
    mine = ShareBudgets(tenant_id=shop.tenant_id, cash_shares_bps={str(two[0]): 10_000}, reason="mine")
    assert await apply(shop, Decision.propose(mine, why="mine")) == ["deny"]
    assert (await settings(shop)).purchasing.cash_shares_bps == {}


async def test_another_business_suppliers_are_not_shared_out_to(shop: Shop, two: tuple[UUID, UUID]) -> None:
    stranger = await Shop(shop.store).found()
    await wants(stranger, purchasing__cash_minor=9_000)
    held = await daily(stranger)
    assert held.is_hold and "its shares stay" in held.rationale and not held.evidence, "it has no supplier"
    foreign = CycleStarted(tenant_id=stranger.tenant_id, cycle="daily")
    assert "another business" in (await shop.decide(ResourceAgent(), foreign)).rationale


@pytest.mark.parametrize("shares", [{"not-an-id": 100}, {str(new_id()): 10_001}, {str(new_id()): -1}])
@pytest.mark.parametrize("name", ["purchasing__cash_shares_bps", "advertising__budget_shares_bps"])
async def test_shares_that_cannot_be_are_no_settings(shop: Shop, name: str, shares: dict[str, int]) -> None:
    with pytest.raises(Exception, match=name.partition("__")[2]):
        await wants(shop, **{name: shares})


async def spent(shop: Shop, listing: UUID, minor: int) -> None:
    async with shop.unit() as unit:
        values = dict.fromkeys(("units", "ad_units", "ad_sales_minor"), 1)
        day = {"day": unit.now.date(), "rate_bps": 500, "offered": True, "currency": "USD"}
        unit.session.add(m.AdDay(tenant_id=shop.tenant_id, listing_id=listing, ad_fees_minor=minor, **day, **values))


async def test_a_months_ad_money_is_shared_out_and_held_to(shop: Shop) -> None:
    listings = {}
    for name, cost in (("rich", 400), ("poor", 1_500)):
        account = await shop.account("ebay", name=name)
        goods = [await shop.variant(units=60, cost=cost) for _ in range(3)]
        listings[account.id] = [await shop.listing(account, each, units=60) for each in goods]
        for each in goods:
            await sold(shop, account, each, 4)
    rich, poor = listings
    await wants(shop, advertising__mode="auto", advertising__total_budget_minor=300)
    decision = await daily(shop)
    (command,) = decision.proposals
    shares = command.ad_shares_bps
    assert command.cash_shares_bps is None and sum(shares.values()) == 10_000
    assert shares[str(rich)] > shares[str(poor)] >= money_shares.LEAST_BPS, "a sale there leaves more"
    assert "a month for ads" in decision.rationale
    assert await apply(shop, decision) == ["proceed"]
    assert (await daily(shop)).is_hold
    choices = (await settings(shop)).advertising
    assert choices.month_of(poor) == 300 * shares[str(poor)] // 10_000

    async def judged(account: UUID) -> Any:
        command = SetAdRate(account_id=account, listing_id=listings[account][0], rate_bps=500, was_bps=0)
        async with shop.unit() as unit:
            return await judge_ad_rate(unit, command, choices)

    assert (await judged(poor)).answer == "proceed"
    await spent(shop, listings[poor][1], choices.month_of(poor) or 0)
    verdict = await judged(poor)
    assert (verdict.answer, verdict.rule) == ("deny", budgets.OF_FLEET) and "account's share" in verdict.reason
    assert (await judged(rich)).answer == "proceed"
    await spent(shop, listings[rich][1], 300)
    verdict = await judged(rich)
    assert (verdict.answer, verdict.rule) == ("deny", "advertising") and "on all accounts" in verdict.reason
    stop = SetAdRate(account_id=poor, listing_id=listings[poor][0], rate_bps=0, was_bps=500)
    async with shop.unit() as unit:
        assert (await judge_ad_rate(unit, stop, choices)).answer == "proceed", "to stop is always allowed"
    stranger = await Shop(shop.store).found()
    await wants(stranger, advertising__mode="auto", advertising__total_budget_minor=300)
    held = await daily(stranger)
    assert held.is_hold and "its shares stay" in held.rationale and not held.evidence
    assert await stranger.rows("SELECT id FROM ad_day WHERE tenant_id = :tenant") == []
