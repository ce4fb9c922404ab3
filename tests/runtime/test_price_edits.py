"""A price set by hand on the channel: it stays where owner and firewall let it, and is never written over unseen."""

from __future__ import annotations

from typing import Any

import pytest
from edit_desk import Desk
from scripted_channel import Step
from shop import dollars
from sqlalchemy import text
from stall import drain

from flipsync.domain.errors import OutcomeUnknown
from flipsync.domain.events import ListingEdited, OfferChanged
from flipsync.services import hand_edits
from flipsync.services.desk import Services


@pytest.mark.parametrize(
    ("winner", "price", "stays"), [("ask", 3500, False), ("theirs", 3500, True), ("theirs", 1001, False)]
)
async def test_a_price_set_by_hand_stays_only_where_the_owner_and_the_firewall_let_it(
    open_desk: Any, winner: str, price: int, stays: bool
) -> None:
    desk = await open_desk(listings={"hand_edits": winner})
    desk.shelf.price = dollars(price)
    assert await desk.verify() == "1 listings drifted"
    (edit,) = await desk.shop.events(ListingEdited)
    assert (edit["price_ours"]["amount_minor"], edit["price_theirs"]["amount_minor"]) == (2999, price)
    assert ("below the floor" in edit["note"]) == (price == 1001)
    assert len(await desk.shop.events(OfferChanged)) == (0 if stays else 1)
    await desk.run("base_market", "pricing")
    (quote,) = [await _quote(desk)]
    assert (quote is None) == stays
    if price == 1001:
        assert quote.quote.action == "blocked", "one step does not reach the floor: that is for a person"


async def test_a_price_that_was_read_before_we_set_ours_is_not_booked_over_it(open_desk: Any) -> None:
    desk = await open_desk()
    before = await desk.stall.row()
    await desk.stall.price(3100)
    await drain(desk.worker, desk.shop)
    async with desk.shop.unit() as unit:
        await hand_edits.price_edited(unit, desk.stall.account, before, dollars(2999))
    row = await desk.stall.row()
    assert row.price_minor == desk.shelf.price.amount_minor == 3100
    assert await desk.shop.events(ListingEdited) == []


@pytest.mark.parametrize(("winner", "stays"), [("ask", False), ("theirs", True)])
async def test_a_write_that_finds_a_price_set_by_hand_does_not_write_over_it(
    open_desk: Any, winner: str, stays: bool
) -> None:
    """Two writers at once: one wins, the other is told, and nothing is lost."""
    desk = await open_desk(listings={"hand_edits": winner})
    late = await desk.stall.price(3100)
    desk.shelf.price = dollars(3500)
    await drain(desk.worker, desk.shop)
    assert desk.shelf.price == dollars(3500)
    assert [call.method for call in desk.stall.channel.calls] == ["set_price"], "it costs no call"
    assert (await desk.shop.effect(late)).state == "rejected"
    (receipt,) = await desk.shop.rows("SELECT vendor_code, detail FROM receipt")
    assert receipt.vendor_code == "edited" and "35.00 USD, not 29.99 USD" in receipt.detail
    (edit,) = await desk.shop.events(ListingEdited)
    assert (edit["price_ours"]["amount_minor"], edit["price_theirs"]["amount_minor"]) == (2999, 3500)
    row = await desk.stall.row()
    assert (row.price_minor, row.overrides.get("price_minor")) == (3500, 3500 if stays else None)
    assert len(await desk.shop.events(OfferChanged)) == (0 if stays else 1), "who decides goes on from it"
    again = await desk.stall.price(3400)
    await drain(desk.worker, desk.shop)
    assert desk.shelf.price == dollars(3400), "once it is known it may be changed"
    assert (await desk.shop.effect(again)).state == "confirmed"


async def test_a_price_of_ours_that_nobody_knew_to_have_arrived_is_nobodys_edit(open_desk: Any) -> None:
    desk = await open_desk()
    lost = await desk.stall.price(3100)
    desk.stall.channel.script("set_price", Step(OutcomeUnknown("no answer"), applied=True))
    await desk.worker.step()
    async with desk.shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE effect SET state = 'unknown', finished_at = now() WHERE id = :id"), {"id": lost}
        )
    await desk.stall.price(3200)
    await drain(desk.worker, desk.shop)
    assert desk.shelf.price == dollars(3200)
    assert await desk.shop.events(ListingEdited) == []


async def test_a_price_in_another_currency_is_not_taken_for_ours(open_desk: Any) -> None:
    desk = await open_desk()
    await desk.stall.price(3100)
    desk.shelf.price = dollars(3500).model_copy(update={"currency": "EUR"})
    await drain(desk.worker, desk.shop)
    assert (await desk.stall.row()).price_minor == 2999
    assert await desk.shop.events(ListingEdited) == []


async def _quote(desk: Desk) -> Any:
    async with desk.shop.store.reader(desk.shop.tenant_id) as session:
        services = Services(session, desk.shop.tenant_id, desk.shop.store.clock.now())
        return await services.pricing.quote(desk.stall.listing)
