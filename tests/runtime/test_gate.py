"""The gate: what may leave the house, in which form, and what it says when it may not."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from shop import Shop, dollars
from sqlalchemy import text

from agents.governance.compliance import ComplianceAgent
from flipsync.domain.channel import Offer
from flipsync.domain.commands import ChangePrice, Command, PublishListing, PullOrders, SetChannelQuantity
from flipsync.domain.decisions import Decision, Verdict
from flipsync.domain.events import OfferChanged
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.services import accounts
from flipsync.services.desk import Services
from flipsync.services.orders import AccountRef
from flipsync.services.pricing.certificate import Certificate
from flipsync.store.models import SignedMove

from agents import ROSTER  # isort: skip


async def judge(shop: Shop, command: Command, *, agent: str = "pricing", approved: bool = False) -> Verdict:
    async with shop.unit() as unit:
        context = Context(
            shop.tenant_id, unit.now, Services(unit.session, shop.tenant_id, unit.now), new_id(), new_id()
        )
        return await Gate(shop.firewall, [ComplianceAgent()]).judge(unit, context, agent, command, approved=approved)


class OnSale:
    """A listing at 29.99 that cost 10.00."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    async def build(self, **variant: Any) -> OnSale:
        self.account: AccountRef = await self.shop.account()
        self.goods = await self.shop.variant(units=3, **variant)
        self.listing: UUID = await self.shop.listing(self.account, self.goods, units=3)
        return self

    def price(self, minor: int) -> ChangePrice:
        return ChangePrice(
            account_id=self.account.id, listing_id=self.listing, price=dollars(minor), previous=dollars(2999)
        )

    def publish(self, **offer: Any) -> PublishListing:
        return PublishListing(
            account_id=self.account.id,
            listing_id=self.listing,
            offer=Offer(**{"sku": self.goods.sku, "title": "A teapot", "price": dollars(2999), "quantity": 0, **offer}),
        )


async def test_a_price_within_all_bounds_goes_ahead_signed(shop: Shop) -> None:
    here = await OnSale(shop).build()
    verdict = await judge(shop, here.price(3100))
    assert (verdict.answer, verdict.rule) == ("proceed", "price-firewall")
    assert isinstance(verdict.command, ChangePrice) and verdict.command.certificate is not None
    shop.firewall.verify(
        Certificate.model_validate(verdict.command.certificate), here.listing, dollars(3100), shop.store.clock.now()
    )


async def test_a_step_too_large_is_cut_to_the_step_and_says_why(shop: Shop) -> None:
    here = await OnSale(shop).build()
    verdict = await judge(shop, here.price(4900))
    assert verdict.answer == "mutate"
    assert isinstance(verdict.command, ChangePrice)
    assert verdict.command.price == dollars(3298), "10 % above 29.99, whole cents"
    assert "49.00 USD became 32.98 USD" in verdict.reason


async def test_a_price_below_cost_is_lifted_to_the_floor_or_denied(shop: Shop) -> None:
    here = await OnSale(shop).build()
    verdict = await judge(shop, here.price(1200))
    assert verdict.answer == "mutate"
    assert isinstance(verdict.command, ChangePrice)
    assert verdict.command.price.amount_minor >= 2999 * 92 // 100


@pytest.mark.parametrize(
    ("variant", "words"),
    [({"cost": None}, "cost"), ({"price": None}, "ceiling"), ({"floor_minor": 2990, "ceiling_minor": 2995}, "")],
)
async def test_what_is_not_known_is_never_taken_for_zero(shop: Shop, variant: dict[str, Any], words: str) -> None:
    here = await OnSale(shop).build(**variant)
    verdict = await judge(shop, here.price(3100))
    if words:
        assert verdict.answer == "deny"
        assert words in verdict.reason.lower()
        assert verdict.command is None
    else:
        assert verdict.answer == "mutate"
        assert isinstance(verdict.command, ChangePrice) and verdict.command.price == dollars(2995)


async def test_another_agents_price_on_its_way_is_not_overtaken(shop: Shop) -> None:
    here = await OnSale(shop).build()
    path = DecisionPath(Graph(ROSTER), Gate(shop.firewall))
    spec = Graph(ROSTER).agents["pricing"].spec
    async with shop.unit() as unit:
        event_id = unit.emit(
            OfferChanged(listing_id=here.listing, account_id=here.account.id, vendor="custom", cause="sale")
        )
        await unit.flush()
        context = Context(
            shop.tenant_id, unit.now, Services(unit.session, shop.tenant_id, unit.now), event_id, event_id
        )
        await path.record(unit, context, spec, Decision.propose(here.price(3100), why="rivals"))
    verdict = await judge(shop, here.price(2900), agent="auto_pricing")
    assert (verdict.answer, verdict.rule) == ("deny", "one-price-at-a-time")
    assert "pricing" in verdict.reason
    assert (await judge(shop, here.price(3050), agent="pricing")).answer == "proceed", "its own it may replace"


async def test_a_catalogue_that_moves_too_fast_waits_for_a_person(shop: Shop) -> None:
    """The counts are those of moves signed within the hour, by whomever; a person's consent releases the brake."""
    here = await OnSale(shop).build()
    await signed_by_others(shop, here, risk=50_000)
    held = await judge(shop, here.price(3100))
    assert (held.answer, held.rule) == ("ask", "price-firewall")
    assert "500.00 USD of revenue at risk" in held.reason and "Approve" in held.reason
    released = await judge(shop, here.price(3100), approved=True)
    assert released.answer == "proceed"
    await signed_by_others(shop, here, risk=0, ago=timedelta(hours=1))
    assert (await judge(shop, here.price(2999))).answer == "proceed", "the same price is no move"


async def test_an_hour_later_the_brake_lets_go(shop: Shop) -> None:
    here = await OnSale(shop).build()
    await signed_by_others(shop, here, risk=50_000, ago=timedelta(minutes=61))
    assert (await judge(shop, here.price(3100))).answer == "proceed"


async def test_two_who_judge_at_once_do_not_both_get_the_last_room(shop: Shop) -> None:
    """3 units from 29.99 to 31.00 put 3.03 at risk: there is room for one such move, whoever asks first."""
    here, there = await OnSale(shop).build(), await OnSale(shop).build()
    await signed_by_others(shop, here, risk=50_000 - 303 - 200)
    verdicts = await asyncio.gather(judge(shop, here.price(3100)), judge(shop, there.price(3100)))
    assert sorted(verdict.answer for verdict in verdicts) == ["ask", "proceed"]


async def signed_by_others(shop: Shop, here: OnSale, *, risk: int, ago: timedelta = timedelta(0)) -> None:
    async with shop.unit() as unit:
        unit.session.add(
            SignedMove(
                tenant_id=shop.tenant_id,
                listing_id=here.listing,
                currency="USD",
                from_minor=1,
                to_minor=2,
                risk_minor=risk,
                certificate_sha256="x",
                at=unit.now - ago,
            )
        )


async def test_reads_pass_and_unknown_or_disconnected_accounts_do_not(shop: Shop) -> None:
    here = await OnSale(shop).build()
    quantity = SetChannelQuantity(account_id=here.account.id, listing_id=here.listing, quantity=1)
    assert (await judge(shop, PullOrders(account_id=here.account.id))).rule == "read"
    assert (await judge(shop, quantity)).answer == "proceed"
    assert (await judge(shop, quantity.model_copy(update={"account_id": new_id()}))).answer == "deny"
    async with shop.unit() as unit:
        await accounts.disconnect_account(unit, here.account.id, "closed")
    assert (await judge(shop, quantity)).rule == "account"


async def test_a_listing_that_is_not_in_the_books_gets_no_price(shop: Shop) -> None:
    here = await OnSale(shop).build()
    stray = here.price(3100).model_copy(update={"listing_id": new_id()})
    assert (await judge(shop, stray)).rule == "listing"


async def test_another_tenants_listing_gets_no_price(shop: Shop) -> None:
    theirs = await OnSale(await Shop(shop.store).found()).build()
    verdict = await judge(shop, theirs.price(3100))
    assert verdict.answer == "deny"


async def test_text_that_may_not_go_out_is_denied_or_asked_about(shop: Shop) -> None:
    here = await OnSale(shop).build()
    async with shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE listing SET status = 'requested', price_minor = NULL WHERE id = :id"), {"id": here.listing}
        )
    answers = {
        words: (await judge(shop, here.publish(title=words))).answer
        for words in ("A teapot", "Genuine ivory teapot", "Teapot that cures colds", "Teapot, call me@shop.example")
    }
    assert list(answers.values()) == ["proceed", "deny", "ask", "deny"]


async def test_a_persons_consent_answers_the_question_but_lifts_no_ban_and_signs_no_price(shop: Shop) -> None:
    here = await OnSale(shop).build()
    async with shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE listing SET status = 'requested', price_minor = NULL WHERE id = :id"), {"id": here.listing}
        )
    claims = await judge(shop, here.publish(title="Teapot that cures colds"), approved=True)
    assert (claims.answer, claims.rule) == ("proceed", "price-firewall")
    assert isinstance(claims.command, PublishListing) and claims.command.certificate is not None
    assert (await judge(shop, here.publish(title="Genuine ivory teapot"), approved=True)).answer == "deny"
    cheap = here.publish(title="Teapot that cures colds", price=dollars(100))
    verdict = await judge(shop, cheap, approved=True)
    assert verdict.answer != "proceed"
