"""Listings and shipments on their way to a channel: published once, ended with their last sale, confirmed once."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from scripted_channel import Step
from shop import dollars
from stall import Stall, drain

from flipsync.domain import commands as c
from flipsync.domain.channel import Offer
from flipsync.domain.errors import OutcomeUnknown, Rejected
from flipsync.domain.events import ListingPublished, ListingRefused, ListingVanished, ProductImported, ShipmentConfirmed
from flipsync.domain.listing_care import RevisionRefused
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


def revision(stall: Stall, title: str) -> c.ReviseListing:
    offer = Offer(sku=stall.goods.sku, title=title, price=dollars(2999), quantity=0)
    return c.ReviseListing(account_id=stall.account.id, listing_id=stall.listing, offer=offer)


async def test_a_revision_is_written_read_back_and_booked(stall: Stall, hire: Hire) -> None:
    stall.channel.script("revise", Step(ignored=True), Step(OutcomeUnknown("timeout"), applied=True))
    before = await stall.row()
    effect = await stall.shop.enqueue(revision(stall, "A better teapot"), stall.account)
    await drain(hire(), stall.shop)
    assert await stall.outcomes(effect) == ["unknown", "unknown", "confirmed"]
    keys = [call.key for call in stall.channel.made("revise")]
    assert len(set(keys)) == 3, "a channel that remembers keys would not write again"
    shelf, row = stall.channel.shelves[stall.external_id], await stall.row()
    assert shelf.title == row.title == "A better teapot"
    assert (shelf.quantity, shelf.price) == (5, dollars(2999)), "neither stock nor price is touched"
    assert row.version == before.version + 1


async def test_a_title_that_is_the_channels_own_does_not_hold_up_the_rest(stall: Stall, hire: Hire) -> None:
    title = (await stall.row()).title
    stall.channel.shelves[stall.external_id].title = "Teapots - blue"
    stall.channel.script("revise", Step(ignored=True))
    effect = await stall.shop.enqueue(revision(stall, title), stall.account)
    await drain(hire(), stall.shop)
    assert await stall.outcomes(effect) == ["confirmed"], "the title was not to change"


async def test_of_a_listing_that_is_one_of_several_choices_the_name_stays_and_that_is_said(
    stall: Stall, hire: Hire
) -> None:
    shelf = stall.channel.shelves[stall.external_id]
    shelf.title, shelf.group = "Teapots - blue", "77"
    stall.channel.script("revise", Step(ignored=True))
    effect = await stall.shop.enqueue(revision(stall, "A better teapot"), stall.account)
    await drain(hire(), stall.shop)
    assert await stall.outcomes(effect) == ["confirmed"]
    (receipt,) = await stall.shop.rows("SELECT detail FROM receipt WHERE effect_id = :effect", effect=effect)
    assert "shown as “Teapots - blue”, not “A better teapot”: this is one choice of listing 77" in receipt.detail


async def test_a_late_revision_never_puts_old_words_back(stall: Stall, hire: Hire) -> None:
    stall.channel.script("revise", Step(OutcomeUnknown("timeout")))
    worker = hire()
    await worker.begin()
    old = await stall.shop.enqueue(revision(stall, "Old words"), stall.account)
    await worker.step()
    new = await stall.shop.enqueue(revision(stall, "New words"), stall.account)
    await drain(worker, stall.shop)
    assert await stall.outcomes(old) == ["unknown", "rejected"]
    assert await stall.outcomes(new) == ["confirmed"]
    assert stall.channel.shelves[stall.external_id].title == (await stall.row()).title == "New words"


async def test_what_is_not_on_sale_is_not_revised(stall: Stall, hire: Hire) -> None:
    await stall.shop.enqueue(
        c.EndListing(account_id=stall.account.id, listing_id=stall.listing, reason="season over"), stall.account
    )
    worker = hire()
    await drain(worker, stall.shop)
    effect = await stall.shop.enqueue(revision(stall, "Too late"), stall.account)
    await drain(worker, stall.shop)
    assert await stall.outcomes(effect) == ["rejected"]
    assert stall.channel.made("revise") == []


async def test_ending_a_listing_books_its_last_sale_and_frees_the_rest(stall: Stall, hire: Hire) -> None:
    stall.channel.script("end", Step(before=lambda: stall.channel.sell(stall.external_id, 2)))
    await stall.shop.enqueue(
        c.EndListing(account_id=stall.account.id, listing_id=stall.listing, reason="season over"), stall.account
    )
    await drain(hire(), stall.shop)
    item = await stall.shop.item(stall.goods)
    assert (item.on_hand, item.reserved, item.allocated) == (5, 2, 0)
    assert (await stall.row()).status == "ended"


async def test_what_is_published_again_while_it_is_being_ended_is_placed_again(stall: Stall, hire: Hire) -> None:
    end = c.EndListing(account_id=stall.account.id, listing_id=stall.listing, reason=c.EndListing.UNPUBLISHED)
    await stall.shop.enqueue(end, stall.account)
    await drain(hire(), stall.shop)
    assert (await stall.row()).status == "ended"
    assert [event["product_id"] for event in await stall.shop.events(ProductImported)] == [str(stall.goods.product_id)]


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
        await orders.mark_ready(unit, order_id)
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


async def test_a_revision_of_an_agents_own_is_not_written_over_what_somebody_edited(stall: Stall, hire: Hire) -> None:
    first = await stall.shop.enqueue(revision(stall, "A teapot"), stall.account)
    await drain(hire(), stall.shop)
    assert await stall.outcomes(first) == ["confirmed"]
    stall.channel.shelves[stall.external_id].title = "A teapot, by hand"
    careful = revision(stall, "A better teapot").model_copy(update={"unless_edited": True})
    effect = await stall.shop.enqueue(careful, stall.account)
    await drain(hire(), stall.shop)
    assert await stall.outcomes(effect) == ["rejected"]
    assert stall.channel.shelves[stall.external_id].title == "A teapot, by hand"
    (refused,) = await stall.shop.events(RevisionRefused)
    assert refused["reason"] == "title edited on the channel: what is there stays"
