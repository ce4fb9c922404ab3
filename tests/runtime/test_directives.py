"""Directives bind from the executive down: seen by the agents as they decide, enforced at the gate, revocable."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError
from shop import Shop
from test_decision_path import GRAPH, House

from agents.logistics.auto_pricing import AutoPricingAgent
from agents.market.market import MarketAgent
from agents.market.pricing import PricingAgent
from flipsync.domain.clock import utc_now
from flipsync.domain.commands import ListOnChannel
from flipsync.domain.decisions import Decision
from flipsync.domain.directives import MOST_IN_FORCE, Directive, Terms, bearing
from flipsync.domain.errors import Conflict, InvalidInput, NotFound
from flipsync.domain.events import CycleStarted, OfferChanged, ProductImported, RepricingDue
from flipsync.domain.ids import new_id
from flipsync.domain.steering_commands import IssueDirective, RevokeDirective
from flipsync.domain.steering_events import DirectiveEnded, DirectiveIssued
from flipsync.runtime import replaying
from flipsync.runtime.graph import Graph
from flipsync.services import accounts, directives
from flipsync.services.desk import Services
from flipsync.services.directives import DirectiveFilter, DirectiveForm
from flipsync.services.reading_page import PageRequest
from flipsync.services.why import explain

DAY = timedelta(days=1)


@pytest.fixture
async def house(shop: Shop) -> House:
    return await House(shop).build()


async def given(house: House, kind: str, *, days: int = 7, **terms: Any) -> UUID:
    form = DirectiveForm.model_validate({"terms": {"kind": kind, **terms}, "days": days, "reason": "the season"})
    async with house.shop.unit() as unit:
        return (await directives.give(unit, form, None)).id


def issue(house: House, kind: str = "hold-prices", **terms: Any) -> IssueDirective:
    full = Terms.model_validate({"kind": kind, **terms})
    return IssueDirective(tenant_id=house.shop.tenant_id, terms=full, days=7, reason="the season")


async def in_force(house: House) -> list[UUID]:
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        now = house.shop.store.clock.now()
        page = await directives.list_directives(session, PageRequest(), DirectiveFilter(in_force=True), now)
    return [each.id for each in page.items]


def test_the_narrowest_directive_speaks_and_only_in_its_time() -> None:
    now, account = utc_now(), new_id()

    def one(**more: Any) -> Directive:
        told = {"id": new_id(), "kind": "hold-prices", "reason": "x", "starts_at": now - DAY, "ends_at": now + DAY}
        return Directive.model_validate(told | more)

    everywhere, here, lamps = one(), one(account_id=account), one(account_id=account, category="lamps")
    found = [everywhere, here, lamps, one(starts_at=now - 3 * DAY, ends_at=now)]
    assert bearing(found, now, "hold-prices", account, "lamps") == lamps
    assert bearing(found, now, "hold-prices", account, "rugs") == here
    assert bearing(found, now, "hold-prices", new_id(), "lamps") == everywhere
    assert bearing(found, now, "clear-stock", account, "lamps") is None
    assert bearing(found, now + DAY, "hold-prices", account) is None, "its end is not part of it"


@pytest.mark.parametrize(
    "terms",
    [
        {"kind": "clear-stock"},
        {"kind": "hold-prices", "patience_days": 3},
        {"kind": "cap-labels"},
        {"kind": "cap-labels", "limit_minor": 0},
        {"kind": "list-nothing", "category": "lamps"},
        {"kind": "sell-everything"},
    ],
)
def test_terms_that_do_not_fit_are_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Terms.model_validate(terms)


async def test_a_directive_is_the_executives_whoever_proposes_it(house: House) -> None:
    decision_id = await house.record("strategy", Decision.propose(issue(house), why="it pays", confidence=0.95))
    assert await house.state(decision_id) == "escalated" and await in_force(house) == []
    await house.run("executive")
    assert await house.state(decision_id) == "applied"
    (directive_id,) = await in_force(house)
    (fact,) = await house.shop.events(DirectiveIssued)
    assert fact["words"] == "hold prices"
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        told = (await explain(session, str(directive_id))).to_text(width=300)
    assert "strategy decided: it pays" in told and "agents were bound for 7 days: hold prices" in told
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        told = (await explain(session, str(decision_id))).to_text(width=300)
    assert "passed the decision up to executive: only the executive binds other agents" in told, told
    assert "bind agents for 7 days: hold prices" in told
    revoke = RevokeDirective(tenant_id=house.shop.tenant_id, directive_id=directive_id, reason="it is over")
    again = await house.record("executive", Decision.propose(revoke, why="the season is over"))
    assert await house.verdicts(again) == ["proceed"] and await in_force(house) == []
    twice = await house.record("executive", Decision.propose(revoke, why="the season is over"))
    assert await house.verdicts(twice) == ["deny"], "it is over already"


def test_who_is_not_under_the_top_may_not_propose_one() -> None:
    class Meddler(PricingAgent):
        """Binds others from below."""

        spec = PricingAgent.spec.__class__(name="meddler", ecosystem="market", reports_to="market")

        async def decide(self, event: CycleStarted, ctx: Any) -> Decision[IssueDirective]:  # type: ignore[override]
            return Decision.hold("")

    with pytest.raises(InvalidInput, match="meddler proposes IssueDirective and does not report to the top"):
        Graph([*GRAPH.agents.values(), Meddler])


async def test_prices_are_held_for_whoever_decides_and_a_persons_wish_goes_through(house: House) -> None:
    directive_id = await given(house, "hold-prices", account_id=str(house.account.id))
    fact = OfferChanged(listing_id=house.listing, account_id=house.account.id, vendor="custom", cause="sale")
    held = await house.shop.decide(PricingAgent(), fact)
    assert held.is_hold and "A directive holds the price: the season" in held.rationale
    assert directive_id in {each.id for each in held.evidence if each.kind == "directive"}
    stubborn = await house.record("pricing", Decision.propose(house.price(), why="rivals", confidence=0.9))
    row = (await house.shop.rows("SELECT verdict, rule FROM proposal WHERE decision_id = :id", id=stubborn))[0]
    assert (row.verdict, row.rule) == ("deny", "directive")
    async with house.shop.unit() as unit:
        event_id = unit.emit(fact)
        await unit.flush()
        context, spec = house._context(unit, event_id), GRAPH.agents["pricing"].spec
        wish = Decision.propose(house.price(), why="a person wants it")
        wished = await house.path.record(unit, context, spec, wish, fact="PriceWished")
    assert await house.verdicts(wished) == ["proceed"]


async def test_stock_is_cleared_by_a_lower_price_and_the_rest_is_priced_as_ever(house: House) -> None:
    """The impatient rule: of two prices the one that sells sooner."""
    before = (await quotes(house))[house.listing]
    await given(house, "clear-stock", account_id=str(house.account.id), patience_days=2)
    after = (await quotes(house))[house.listing]
    assert after.directive is not None and "clears stock" in after.quote.reason
    assert after.quote.best.amount_minor < before.quote.best.amount_minor
    assert after.quote.best.amount_minor >= 2999 * 92 // 100, "within one step, as ever"
    other = await house.shop.account()
    goods = await house.shop.variant(units=5)
    elsewhere = await house.shop.listing(other, goods, units=5)
    assert (await quotes(house))[elsewhere].directive is None
    decision = await house.shop.decide(AutoPricingAgent(), RepricingDue(tenant_id=house.shop.tenant_id))
    assert "directive" in {each.kind for each in decision.evidence}


async def quotes(house: House) -> dict[UUID, Any]:
    async with house.shop.store.reader(house.shop.tenant_id) as session:
        desk = Services(session, house.shop.tenant_id, house.shop.store.clock.now())
        return {each.listing_id: each for each in await desk.pricing.quote_all()}


async def test_nothing_new_is_listed_where_a_directive_says_so(house: House) -> None:
    await given(house, "list-nothing", account_id=str(house.account.id))
    goods = await house.shop.variant(units=2)
    held = await house.shop.decide(MarketAgent(), ProductImported(product_id=goods.product_id, created=True))
    assert held.is_hold and "list nothing new" in held.rationale
    place = ListOnChannel(product_id=goods.product_id, account_id=house.account.id)
    stubborn = await house.record("market", Decision.propose(place, why="it pays", confidence=0.9))
    assert await house.verdicts(stubborn) == ["deny"]


async def test_a_decision_under_a_directive_is_made_again_alike_after_it_ended(house: House) -> None:
    directive_id = await given(house, "hold-prices")
    async with house.shop.unit() as unit:
        unit.emit(OfferChanged(listing_id=house.listing, account_id=house.account.id, vendor="custom", cause="sale"))
    while await house.run("pricing"):
        pass
    async with house.shop.unit() as unit:
        await directives.end(unit, directive_id, "the season is over", None)
    since = utc_now() - timedelta(hours=1)
    found = await replaying.replay(house.shop.store, house.shop.tenant_id, GRAPH.agents, since=since, agent="pricing")
    assert (found.identical, found.different) == (1, 0)


async def test_a_newer_one_about_the_same_takes_its_place_and_too_many_are_refused(house: House) -> None:
    first = await given(house, "hold-prices", category="lamps")
    second = await given(house, "hold-prices", category="lamps")
    assert await in_force(house) == [second]
    assert [each["directive_id"] for each in await house.shop.events(DirectiveEnded)] == [str(first)]
    for number in range(MOST_IN_FORCE - 1):
        await given(house, "hold-prices", category=f"category {number}")
    with pytest.raises(Conflict, match="20 directives are in force"):
        await given(house, "hold-prices", category="one more")


async def test_another_business_neither_gives_nor_sees_nor_ends_it(house: House) -> None:
    directive_id = await given(house, "hold-prices", account_id=str(house.account.id))
    stranger = await House(await Shop(house.shop.store).found()).build()
    assert await in_force(stranger) == []
    with pytest.raises(NotFound):
        await given(stranger, "hold-prices", account_id=str(house.account.id))
    async with stranger.shop.unit() as unit:
        with pytest.raises(NotFound):
            await directives.end(unit, directive_id, "mine now", None)
    revoke = RevokeDirective(tenant_id=stranger.shop.tenant_id, directive_id=directive_id, reason="mine now")
    assert await stranger.verdicts(await stranger.record("executive", Decision.propose(revoke, why="mine now"))) == [
        "deny"
    ]
    assert await in_force(house) == [directive_id]
    price = await stranger.record("pricing", Decision.propose(stranger.price(), why="rivals", confidence=0.9))
    assert await stranger.verdicts(price) == ["proceed"], "what binds one business binds no other"


async def test_one_of_a_disconnected_account_is_ended_by_the_hourly_review(house: House) -> None:
    await given(house, "hold-prices", account_id=str(house.account.id))
    async with house.shop.unit() as unit:
        await accounts.disconnect_account(unit, house.account.id, "closed")
        unit.emit(CycleStarted(tenant_id=house.shop.tenant_id, cycle="hourly"))
    while await house.run("executive"):
        pass
    assert await in_force(house) == []
