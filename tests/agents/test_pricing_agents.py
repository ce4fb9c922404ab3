"""PricingAgent (one listing, when something happened to it) and AutoPricingAgent (all of them, in one run)."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from shop import Shop, dollars

from agents.logistics.auto_pricing import AutoPricingAgent
from agents.market.pricing import PricingAgent
from flipsync.domain.commands import ChangePrice
from flipsync.domain.events import CostChanged, OfferChanged, RepricingDue, RivalsMoved
from flipsync.domain.ids import new_id
from flipsync.services.orders import AccountRef
from flipsync.store.models import RivalOfferSeen


async def contested(shop: Shop, rival_minor: int, **variant: object) -> tuple[AccountRef, UUID, UUID]:
    """A listing at 29.99 beside a rival's offer; returns account, variant, listing."""
    account, goods = await shop.account(), await shop.variant(units=5, **variant)  # type: ignore[arg-type]
    listing = await shop.listing(account, goods, units=5)
    async with shop.unit() as unit:
        unit.session.add(
            RivalOfferSeen(
                tenant_id=shop.tenant_id,
                listing_id=listing,
                seller="rival",
                price_minor=rival_minor,
                currency="USD",
                in_stock=True,
                seen_at=unit.now - timedelta(minutes=1),
            )
        )
    return account, goods.variant_id, listing


async def test_a_move_is_explained_bounded_and_staked(shop: Shop) -> None:
    account, _, listing = await contested(shop, 2500)
    changed = RivalsMoved(listing_id=listing, account_id=account.id, vendor="custom")
    decision = await shop.decide(PricingAgent(), changed)
    assert decision.rationale and decision.source == "policy"
    assert decision.alternatives, "what was passed over is on record"
    (command,) = decision.proposals
    assert isinstance(command, ChangePrice)
    assert command.certificate is None, "only the firewall signs"
    assert command.previous == dollars(2999)
    step = command.price.amount_minor - 2999
    assert step != 0 and -2999 * 800 // 10_000 <= step <= 2999 * 1_000 // 10_000
    assert decision.stake == dollars(abs(step) * 5)


async def test_without_a_known_cost_no_price_moves(shop: Shop) -> None:
    account, _, listing = await contested(shop, 2500, cost=None)
    changed = RivalsMoved(listing_id=listing, account_id=account.id, vendor="custom")
    decision = await shop.decide(PricingAgent(), changed)
    assert decision.is_hold
    assert "cost" in decision.rationale.lower()


async def test_a_new_cost_concerns_every_listing_of_the_variant(shop: Shop) -> None:
    _, variant, listing = await contested(shop, 2500)
    decision = await shop.decide(PricingAgent(), CostChanged(variant_id=variant, cost=dollars(1200)))
    assert {command.listing_id for command in decision.proposals} <= {listing}
    assert decision.evidence[0].id == listing


async def test_a_listing_that_is_not_on_sale_has_no_price_to_move(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=1)
    listing = await shop.listing(account, goods, price=None, status="requested")
    changed = OfferChanged(listing_id=listing, account_id=account.id, vendor="custom", cause="sale")
    assert (await shop.decide(PricingAgent(), changed)).rationale.startswith("the listing is not on sale")


async def test_the_batch_proposes_only_sure_moves_and_counts_the_rest(shop: Shop) -> None:
    for rival in (2500, 2700):
        await contested(shop, rival)
    due = RepricingDue(tenant_id=shop.tenant_id)
    decision = await shop.decide(AutoPricingAgent(), due)
    assert "of 2 prices" in decision.rationale or "2 prices looked at" in decision.rationale
    moves = {each.name: each for each in decision.alternatives}
    assert decision.confidence >= AutoPricingAgent.spec.authority.auto_above
    assert all(isinstance(command, ChangePrice) and command.price != command.previous for command in decision.proposals)
    assert len(decision.evidence) == len(decision.proposals) == [each.chosen for each in moves.values()].count(True)
    assert (decision.stake is None) == decision.is_hold


async def test_the_batch_of_an_empty_shop_holds(shop: Shop) -> None:
    decision = await shop.decide(AutoPricingAgent(), RepricingDue(tenant_id=new_id()))
    assert decision.is_hold and decision.rationale.startswith("0 prices looked at")
