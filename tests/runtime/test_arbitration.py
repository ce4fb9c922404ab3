"""Two agents at one listing: rank, then score; the same order ends alike, whoever loses is told."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop import Shop, dollars
from sqlalchemy import text
from test_decision_path import GRAPH, House

from flipsync.domain.clock import utc_now
from flipsync.domain.commands import ChangePrice, EndListing
from flipsync.domain.decisions import Decision
from flipsync.domain.events import OfferChanged
from flipsync.domain.ids import new_id
from flipsync.domain.steering_events import DecisionOutranked
from flipsync.services import arbitration
from flipsync.services.arbitration import Claim, Held, Rank, beaten
from flipsync.services.directives import DirectiveForm, give
from flipsync.services.settings_changes import set_settings
from flipsync.services.why import explain

NOW = utc_now()
claims = st.builds(
    Claim,
    agent=st.sampled_from(["pricing", "auto_pricing", "strategy"]),
    rank=st.sampled_from(list(Rank)),
    score=st.floats(0, 1),
    decision_id=st.just(new_id()),
)


@pytest.fixture
async def house(shop: Shop) -> House:
    return await House(shop).build()


@settings(max_examples=200, deadline=None)
@given(claims, claims)
def test_of_two_exactly_one_holds_a_part(first: Claim, second: Claim) -> None:
    """The second takes it from the first, or stands back with a reason; never does each beat the other."""

    def held(claim: Claim) -> Held:
        return Held(claim.agent, claim.rank, claim.score, claim.decision_id, NOW + arbitration.LEASE)

    over, under = beaten(second, held(first), NOW), beaten(first, held(second), NOW)
    if first.agent == second.agent:
        assert over == under == ""
    else:
        assert over or under, "both at once would undo each other by turns"
        assert bool(over) == ((second.rank, second.score) <= (first.rank, first.score))
    assert beaten(second, held(first), NOW + arbitration.LEASE) == "", "a lease ends"
    assert beaten(second, None, NOW) == ""


async def decided(house: House, agent: str, minor: int, confidence: float, fact: str = "") -> UUID:
    async with house.shop.unit() as unit:
        event_id = unit.emit(
            OfferChanged(listing_id=house.listing, account_id=house.account.id, vendor="custom", cause="sale")
        )
        await unit.flush()
        context, spec = house._context(unit, event_id), GRAPH.agents[agent].spec
        decision = Decision.propose(house.price(minor), why="it earns more", confidence=confidence)
        return await house.path.record(unit, context, spec, decision, fact=fact)


async def rule(house: House, decision_id: UUID) -> tuple[str, str]:
    row = (await house.shop.rows("SELECT verdict, rule FROM proposal WHERE decision_id = :id", id=decision_id))[0]
    return row.verdict, row.rule


async def sent(house: House) -> None:
    """Everything that waits is done."""
    async with house.shop.store.database.unbound() as session:
        await session.execute(
            text("UPDATE effect SET state = 'confirmed', finished_at = now() WHERE state = 'pending'")
        )


async def test_the_surer_agent_takes_the_price_and_the_loser_is_told(house: House) -> None:
    first = await decided(house, "auto_pricing", 3100, 0.6)
    second = await decided(house, "pricing", 3050, 0.9)
    assert await rule(house, first) == ("proceed", "price-firewall")
    assert await rule(house, second) == ("proceed", "price-firewall")
    assert await house.outbox() == [("ChangePrice", "superseded"), ("ChangePrice", "pending")]
    (told,) = await house.shop.events(DecisionOutranked)
    assert (told["decision_id"], told["by_decision_id"]) == (str(first), str(second))
    assert (told["agent"], told["by_agent"], told["part"]) == ("auto_pricing", "pricing", "price")
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        why = (await explain(session, str(first))).to_text(width=300)
    assert "pricing took the price of" in why and "90% sure" in why


async def test_the_less_sure_one_stands_back_and_the_lease_outlives_the_effect(house: House) -> None:
    await decided(house, "pricing", 3050, 0.9)
    back = await decided(house, "auto_pricing", 3100, 0.6)
    assert await rule(house, back) == ("deny", "arbitration")
    await sent(house)
    again = await decided(house, "auto_pricing", 3100, 0.9)
    assert await rule(house, again) == ("deny", "arbitration"), "as sure is not surer: nobody goes by turns"
    assert await rule(house, await decided(house, "pricing", 3080, 0.56)) == ("proceed", "price-firewall"), "its own"
    async with house.shop.unit() as unit:
        await unit.session.execute(text("UPDATE listing_lease SET until = :past"), {"past": unit.now})
    await sent(house)
    later = await decided(house, "auto_pricing", 3100, 0.6)
    assert await rule(house, later) == ("proceed", "price-firewall")


async def test_a_persons_wish_goes_before_every_agent(house: House) -> None:
    await decided(house, "auto_pricing", 3100, 1.0)
    wished = await decided(house, "pricing", 3020, 0.6, fact="PriceWished")
    assert await rule(house, wished) == ("proceed", "price-firewall")
    back = await decided(house, "auto_pricing", 3200, 1.0)
    assert await rule(house, back) == ("deny", "arbitration")


async def test_what_is_at_the_channel_already_is_not_overtaken_even_for_a_person(house: House) -> None:
    await decided(house, "auto_pricing", 3100, 0.6)
    async with house.shop.store.database.unbound() as session:
        await session.execute(text("UPDATE effect SET state = 'leased'"))
    wished = await decided(house, "pricing", 3020, 1.0, fact="PriceWished")
    assert await rule(house, wished) == ("deny", "one-price-at-a-time")


async def test_who_carries_out_a_directive_goes_before_other_specialists(house: House) -> None:
    await decided(house, "auto_pricing", 3100, 1.0)
    terms: dict[str, Any] = {"kind": "clear-stock", "account_id": str(house.account.id), "patience_days": 7}
    async with house.shop.unit() as unit:
        await give(unit, DirectiveForm.model_validate({"terms": terms, "days": 3, "reason": "x"}), None)
    cleared = await decided(house, "pricing", 2900, 0.6)
    assert await rule(house, cleared) == ("proceed", "price-firewall")
    rows = await house.shop.rows("SELECT agent, rank FROM listing_lease")
    assert [(row.agent, row.rank) for row in rows] == [("pricing", Rank.DIRECTIVE)]


async def test_parts_of_a_listing_are_apart_and_listings_too(house: House) -> None:
    await decided(house, "pricing", 3050, 0.9)
    end = EndListing(account_id=house.account.id, listing_id=house.listing, reason="withdrawn")
    ended = await house.record("market", Decision.propose(end, why="withdrawn"))
    assert await house.verdicts(ended) == ["proceed"]
    goods = await house.shop.variant(units=3)
    other = await house.shop.listing(house.account, goods, units=3)
    price = ChangePrice(account_id=house.account.id, listing_id=other, price=dollars(3100), previous=dollars(2999))
    assert await house.verdicts(
        await house.record("auto_pricing", Decision.propose(price, why="up", confidence=0.6))
    ) == ["proceed"]
    assert len(await house.shop.rows("SELECT id FROM listing_lease")) == 3


async def test_the_fleet_touches_so_many_listings_an_hour_and_stakes_so_much(house: House) -> None:
    async with house.shop.unit() as unit:
        await set_settings(unit, {"fleet.listings_per_hour": 2, "fleet.margin_at_risk_minor": 1_000})
    first = await decided(house, "pricing", 3050, 0.9)
    assert await rule(house, first) == ("proceed", "price-firewall")
    staked = Decision.propose(house.price(3060), why="up", confidence=0.9, stake=dollars(1_001))
    assert await rule(house, await house.record("pricing", staked)) == ("deny", "fleet-budget")
    within = Decision.propose(house.price(3060), why="up", confidence=0.9, stake=dollars(900))
    assert await rule(house, await house.record("pricing", within)) == ("proceed", "price-firewall")
    assert await rule(house, await decided(house, "pricing", 3070, 0.9)) == ("deny", "fleet-budget")
    assert await rule(house, await decided(house, "pricing", 3070, 0.9, "PriceWished")) == ("proceed", "price-firewall")
    low = await house.shop.rows("SELECT payload FROM event WHERE type = 'BudgetRunningLow'")
    assert {row.payload["budget"] for row in low} == {"fleet:listings", "fleet:margin"}


async def test_a_channels_share_is_its_own(house: House) -> None:
    async with house.shop.unit() as unit:
        shares = {str(house.account.id): 1_000}
        await set_settings(unit, {"fleet.listings_per_hour": 10, "fleet.listing_shares_bps": shares})
    assert await rule(house, await decided(house, "pricing", 3050, 0.9)) == ("proceed", "price-firewall")
    row = await decided(house, "pricing", 3060, 0.9)
    assert await rule(house, row) == ("deny", "fleet-budget")
    spent = await house.shop.rows("SELECT sum(spent) AS n FROM budget_slice WHERE agent = 'fleet:listings'")
    assert spent[0].n == 1, "what was refused for the share is not taken from the whole"
