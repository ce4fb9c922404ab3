"""Listings and shipments on their way to a channel: published once, ended with their last sale, confirmed once."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from scripted_channel import Step
from stall import Stall, drain

from flipsync.domain import commands as c
from flipsync.domain.channel import Offer
from flipsync.domain.errors import OutcomeUnknown, Rejected
from flipsync.domain.events import ListingPublished, ListingRefused, ListingVanished, ShipmentConfirmed
from flipsync.runtime.effects import EffectWorker
from flipsync.services import orders
from flipsync.store.models import Listing, Order

Hire = Callable[..., EffectWorker]


async def publishing(stall: Stall) -> tuple[UUID, UUID]:
    """A requested listing and the effect that publishes it."""
    goods = await stall.shop.variant(units=3)
    listing = await stall.shop.listing(stall.account, goods, price=None, status="requested")
    signed = await stall.shop.signed_price(stall.account, listing, 3100)
    offer = Offer(sku=goods.sku, title="A teapot", price=signed.price, quantity=0)
    command = c.PublishListing(
        account_id=stall.account.id, listing_id=listing, offer=offer, certificate=signed.certificate
    )
    return listing, await stall.shop.enqueue(command, stall.account)


async def test_a_listing_is_published_once_even_when_the_answer_is_lost(stall: Stall, hire: Hire) -> None:
    stall.channel.script("publish", Step(OutcomeUnknown("timeout"), applied=True))
    listing, effect = await publishing(stall)
    await drain(hire(), stall.shop)
    assert await stall.outcomes(effect) == ["unknown", "confirmed"]
    assert len(stall.channel.made("publish")) == 1
    assert len(stall.channel.shelves) == 2
    async with stall.shop.store.reader(stall.shop.tenant_id) as session:
        row = await session.get_one(Listing, listing)
    assert (row.status, row.quantity_shown) == ("active", 0)
    assert row.price_minor == stall.channel.shelves[row.external_id or ""].price.amount_minor  # type: ignore[union-attr]
    assert len(await stall.shop.events(ListingPublished)) == 1


async def test_a_refused_listing_is_marked_and_told(stall: Stall, hire: Hire) -> None:
    stall.channel.script("publish", Step(Rejected("category is closed")))
    listing, _ = await publishing(stall)
    await drain(hire(), stall.shop)
    async with stall.shop.store.reader(stall.shop.tenant_id) as session:
        row = await session.get_one(Listing, listing)
    assert (row.status, row.status_reason) == ("refused", "category is closed")
    assert [event["reason"] for event in await stall.shop.events(ListingRefused)] == ["category is closed"]


async def test_ending_a_listing_books_its_last_sale_and_frees_the_rest(stall: Stall, hire: Hire) -> None:
    stall.channel.script("end", Step(before=lambda: stall.channel.sell(stall.external_id, 2)))
    await stall.shop.enqueue(
        c.EndListing(account_id=stall.account.id, listing_id=stall.listing, reason="season over"), stall.account
    )
    await drain(hire(), stall.shop)
    item = await stall.shop.item(stall.goods)
    assert (item.on_hand, item.reserved, item.allocated) == (5, 2, 0)
    assert (await stall.row()).status == "ended"


async def test_a_listing_the_channel_forgot_gives_its_unsold_units_back(stall: Stall, hire: Hire) -> None:
    stall.channel.sell(stall.external_id, 2)
    del stall.channel.shelves[stall.external_id]
    effect = await stall.quantity(5)
    await drain(hire(), stall.shop)
    assert (await stall.shop.effect(effect)).state == "rejected"
    assert (await stall.row()).status == "vanished"
    item = await stall.shop.item(stall.goods)
    assert (item.reserved, item.allocated) == (2, 0), "what was sold before is still the buyers'"
    assert len(await stall.shop.events(ListingVanished)) == 1


async def test_a_shipment_is_confirmed_to_the_channel_and_leaves_the_books(stall: Stall, hire: Hire) -> None:
    sale = stall.channel.sell(stall.external_id, 2)
    assert sale is not None
    await stall.shop.enqueue(c.PullOrders(account_id=stall.account.id), stall.account)
    worker = hire()
    await drain(worker, stall.shop)
    order_id = (await stall.shop.rows("SELECT id FROM customer_order"))[0][0]
    async with stall.shop.unit() as unit:
        await orders.mark_ready(unit, stall.account, order_id)
        await orders.hand_over(unit, stall.account, order_id, "UPS", "1Z")
    stall.channel.script("confirm_shipment", Step(ignored=True), Step(OutcomeUnknown("timeout"), applied=True))
    command = c.ConfirmShipment(account_id=stall.account.id, order_id=order_id, carrier="UPS", tracking_number="1Z")
    effect = await stall.shop.enqueue(command, stall.account)
    await drain(worker, stall.shop)
    assert await stall.outcomes(effect) == ["unknown", "unknown", "confirmed"]
    assert (sale.status, sale.tracking) == ("shipped", "1Z")
    item = await stall.shop.item(stall.goods)
    assert (item.on_hand, item.reserved) == (3, 0)
    assert len(await stall.shop.events(ShipmentConfirmed)) == 1
    async with stall.shop.store.reader(stall.shop.tenant_id) as session:
        assert (await session.get_one(Order, order_id)).state == "shipped"
