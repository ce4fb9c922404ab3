"""A listing edited on its channel: noticed once, told, and settled as the owner says; never a false alarm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from edit_desk import Desk
from scripted_channel import Step
from shop import dollars
from sqlalchemy import text
from stall import drain

from flipsync.domain import commands as c
from flipsync.domain.errors import Forbidden, Rejected, Unreadable
from flipsync.domain.events import CycleStarted, ListingEdited, ListingVanished
from flipsync.runtime import channel_reads
from flipsync.services import hand_edits, reading_edits
from flipsync.services.listings import tell_outdated
from flipsync.services.reading_page import PageRequest
from flipsync.services.undo import undo_decision


async def test_what_the_channel_makes_of_our_words_is_no_edit(open_desk: Any) -> None:
    desk = await open_desk()
    desk.stall.channel.spell = str.upper
    await desk.told("A teapot", description_html="<p>Blue</p>", attributes={"Colour": "blue"})
    assert desk.shelf.title == "A TEAPOT"
    assert await desk.verify() == "0 listings drifted"
    desk.shelf.description = "<p>Blue</p>\n "
    assert await desk.verify() == "0 listings drifted", "white space is nobody's edit"
    assert await desk.shop.events(ListingEdited) == []


async def test_every_kind_of_edit_is_told_once_with_both_versions(open_desk: Any) -> None:
    desk = await open_desk()
    images = ("https://img.example/1.jpg",)
    await desk.told("A teapot", description_html="<p>Blue</p>", images=images, attributes={"Colour": "blue"})
    desk.shelf.title, desk.shelf.description = "A chipped teapot", "<p>Blue, chipped</p>"
    desk.shelf.images, desk.shelf.specifics = (), {"Colour": "navy"}
    assert await desk.verify() == "1 listings drifted"
    assert await desk.verify() == "0 listings drifted"
    (edit,) = await desk.shop.events(ListingEdited)
    assert edit["fields"] == ["title", "description_html", "images", "specifics"]
    assert (edit["ours"]["title"], edit["theirs"]["title"]) == ("A teapot", "A chipped teapot")
    assert (edit["ours"]["images"], edit["theirs"]["images"]) == (list(images), [])
    assert edit["theirs"]["specifics"] == {"Colour": "navy"}


async def test_who_can_be_asked_what_changed_is_asked_with_looks_for_orders(
    open_desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await open_desk()
    await desk.told("A teapot", description_html="<p>Blue</p>")
    await desk.verify()
    desk.shelf.title = "A chipped teapot"
    channel = desk.stall.channel
    walks = len(channel.made("listings"))

    async def look() -> str:
        effect = await desk.shop.enqueue(c.PullOrders(account_id=desk.stall.account.id), desk.stall.account)
        await drain(desk.worker, desk.shop)
        (row,) = await desk.shop.rows("SELECT detail FROM receipt WHERE effect_id = :effect", effect=effect)
        return str(row.detail)

    assert await look() == "0 orders new or changed"  # it cannot be asked
    channel.changed = []
    assert await look() == "0 orders new or changed"
    assert channel.made("changed_listings") == [], "and so soon it is not asked again"
    monkeypatch.setattr(channel_reads, "_CHANGES_EVERY", 0.0)
    assert await look() == "0 orders new or changed"
    channel.changed = [desk.stall.external_id]
    assert await look() == "0 orders new or changed; 1 listings drifted"
    assert await look() == "0 orders new or changed"
    (edit,) = await desk.shop.events(ListingEdited)
    assert edit["fields"] == ["title"]
    channel.script("changed_listings", Step(raises=Rejected("no such parameter")))
    assert "could not be read: no such parameter" in await look()
    assert len(channel.made("listings")) == walks, "nobody walks all listings for it"
    first, second, *_ = [call.argument for call in channel.made("changed_listings")]
    assert second > first


async def test_what_the_watch_has_seen_of_few_listings_is_compared_with_the_next_look_for_orders(
    open_desk: Any,
) -> None:
    desk = await open_desk()
    await desk.told("A teapot", description_html="<p>Blue</p>")
    await desk.verify()
    desk.shelf.price = dollars(4999)
    account, channel = desk.stall.account, desk.stall.channel

    async def look(*commands: type[c.PullOrders] | type[c.CheckChannel]) -> None:
        for command in commands:
            await desk.shop.enqueue(command(account_id=account.id), account)
            await drain(desk.worker, desk.shop)

    await look(c.PullOrders)
    assert await desk.shop.events(ListingEdited) == []
    await look(c.CheckChannel)
    walks = len(channel.made("listings"))
    await look(c.PullOrders, c.PullOrders)
    (edit,) = await desk.shop.events(ListingEdited)
    assert (edit["fields"], edit["price_theirs"]["amount_minor"]) == (["price"], 4999)
    assert len(channel.made("listings")) == walks, "it is not walked once more for it"


async def test_a_listing_that_cannot_be_read_is_not_taken_for_gone(
    open_desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await open_desk()
    await desk.told("A teapot", description_html="<p>Blue</p>")
    await desk.verify()
    channel, mine = desk.stall.channel, desk.stall.external_id
    stranger = channel.put("STRANGE", 3)

    async def told() -> AsyncIterator[Any]:
        yield channel._shown(stranger)
        raise Unreadable("1 listings cannot be read: no price")

    monkeypatch.setattr(channel, "listings", told)
    assert await desk.verify() == "0 listings drifted; 1 listings cannot be read: no price"
    assert await desk.shop.events(ListingVanished) == []
    effect = await desk.shop.enqueue(c.SurveyListings(account_id=desk.stall.account.id), desk.stall.account)
    await drain(desk.worker, desk.shop)
    (row,) = await desk.shop.rows("SELECT detail FROM receipt WHERE effect_id = :effect", effect=effect)
    assert row.detail == "1 listings: 0 ours, 0 perhaps ours, 1 of other goods; 1 listings cannot be read: no price"

    async def odd(_external_id: str) -> None:
        raise Unreadable("the answer cannot be used: no price")

    monkeypatch.undo()
    desk.shelf.title = "A chipped teapot"
    monkeypatch.setattr(channel, "read_whole", odd)
    assert await desk.verify() == "0 listings drifted"
    monkeypatch.undo()
    assert await desk.verify() == "1 listings drifted"
    assert mine in channel.shelves


async def test_words_that_were_there_before_us_are_marked_and_nobody_is_asked_about_them(open_desk: Any) -> None:
    desk = await open_desk()
    desk.shelf.description = "Old words"
    assert await desk.verify() == "0 listings drifted"
    desk.shelf.description = "Other old words"
    assert await desk.verify() == "1 listings drifted"
    await desk.run("base_market")
    assert await desk.questions() == []


async def test_the_owner_lets_the_channel_win_and_the_product_no_longer_overwrites_it(open_desk: Any) -> None:
    desk = await open_desk()
    await desk.told("A teapot", description_html="<p>Blue</p>")
    desk.shelf.title = "A chipped teapot"
    await desk.verify()
    await desk.run("base_market")
    (asked,) = await desk.questions()
    assert "“A chipped teapot” instead of “A teapot”" in asked.question
    assert "Yes: our books take over" in asked.question and "No: our words are written" in asked.question
    await desk.answer(yes=True)
    row = await desk.stall.row()
    assert (row.title, row.overrides["title"]) == ("A chipped teapot", "A chipped teapot")
    assert await desk.verify() == "0 listings drifted"
    await _edit_product(desk, "A better teapot")
    assert desk.shelf.title == "A chipped teapot"


async def test_the_owners_yes_is_taken_back_while_its_words_stand(open_desk: Any) -> None:
    desk = await open_desk()
    title = f"Goods {desk.stall.goods.sku}"
    await desk.told(title, description_html="<p>Blue</p>")
    desk.shelf.title = "A chipped teapot"
    await desk.verify()
    await desk.run("base_market")
    await desk.answer(yes=True)
    (decided,) = await desk.shop.rows(
        "SELECT decision_id FROM proposal WHERE tenant_id = :tenant AND command = 'OfferEdit'"
    )

    async def undone(**how: Any) -> str:
        async with desk.shop.unit() as unit:
            report = await undo_decision(unit, decided.decision_id, **({"allowed": lambda _: True} | how))
        return report.parts[0].outcome

    with pytest.raises(Forbidden, match="OfferEdit"):
        await undone(allowed=lambda right: right == "pricing:write")
    assert await undone(dry_run=True) == "undoable" and (await desk.stall.row()).overrides != {}
    both = await asyncio.gather(undone(), undone())
    assert sorted(both) == ["already-undone", "undone"]
    await desk.run("base_market")
    await drain(desk.worker, desk.shop)
    assert desk.shelf.title == title and (await desk.stall.row()).overrides == {}


async def test_the_owners_no_is_taken_back_and_the_channel_gets_its_words_again(open_desk: Any) -> None:
    desk = await open_desk()
    title = f"Goods {desk.stall.goods.sku}"
    await desk.told(title)
    desk.shelf.title = "A chipped teapot"
    await desk.verify()
    await desk.run("base_market")
    (decided,) = await desk.shop.rows(
        "SELECT decision_id FROM proposal WHERE tenant_id = :tenant AND command = 'OfferEdit'"
    )

    async def undone(**how: Any) -> str:
        async with desk.shop.unit() as unit:
            report = await undo_decision(unit, decided.decision_id, **({"allowed": lambda _: True} | how))
        return report.parts[0].outcome

    assert await undone() == "impossible", "nobody has answered yet"
    await desk.answer(yes=False)
    assert desk.shelf.title == title
    with pytest.raises(Forbidden, match="OfferEdit"):
        await undone(allowed=lambda right: right == "pricing:write")
    assert await undone(dry_run=True) == "undoable" and (await desk.stall.row()).overrides == {}
    both = await asyncio.gather(undone(), undone())
    assert sorted(both) == ["already-undone", "undone"]
    assert await desk.verify() == "0 listings drifted", "what it shows until then is nobody's edit"
    await desk.run("base_market")
    await drain(desk.worker, desk.shop)
    assert desk.shelf.title == "A chipped teapot"
    assert await desk.verify() == "0 listings drifted" and await desk.questions() == []


async def test_a_no_is_not_taken_back_over_words_that_were_taken_over_since(open_desk: Any) -> None:
    desk = await open_desk()
    await desk.told(f"Goods {desk.stall.goods.sku}")
    decided = []
    for title, yes in (("A chipped teapot", False), ("A mended teapot", True)):
        desk.shelf.title = title
        await desk.verify()
        await desk.run("base_market")
        await desk.answer(yes=yes)
        decided = await desk.shop.rows(
            "SELECT decision_id FROM proposal WHERE tenant_id = :tenant AND command = 'OfferEdit' ORDER BY id"
        )
    async with desk.shop.unit() as unit:
        report = await undo_decision(unit, decided[0].decision_id, allowed=lambda _: True)
    assert report.parts[0].outcome == "moved-on" and len(decided) == 2
    assert (await desk.stall.row()).overrides["title"] == "A mended teapot"


async def test_words_that_came_after_an_owners_yes_are_not_lost(open_desk: Any) -> None:
    desk = await open_desk(listings={"hand_edits": "theirs"})
    await desk.told("A teapot")
    for title in ("A chipped teapot", "A mended teapot"):
        desk.shelf.title = title
        await desk.verify()
        await desk.run("base_market")
    kept = await desk.shop.rows(
        "SELECT decision_id FROM proposal WHERE tenant_id = :tenant AND command = 'KeepEdit' ORDER BY id"
    )
    async with desk.shop.unit() as unit:
        report = await undo_decision(unit, kept[0].decision_id, allowed=lambda _: True)
    assert report.parts[0].outcome == "moved-on" and len(kept) == 2
    assert (await desk.stall.row()).overrides["title"] == "A mended teapot"


async def _edit_product(desk: Desk, description: str) -> None:
    async with desk.shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE product SET title = :title, description_html = :title WHERE id = :id"),
            {"title": description, "id": desk.stall.goods.product_id},
        )
        await tell_outdated(unit, [desk.stall.goods.product_id])
    await desk.run("base_market")
    await drain(desk.worker, desk.shop)
    assert desk.shelf.description == description, "what was not edited by hand follows the product"


async def test_the_owner_lets_ours_win_and_the_channel_is_told_again(open_desk: Any) -> None:
    desk = await open_desk()
    title = f"Goods {desk.stall.goods.sku}"
    await desk.told(title)
    desk.shelf.title = "A chipped teapot"
    await desk.verify()
    await desk.run("base_market")
    await desk.answer(yes=False)
    assert desk.shelf.title == title
    assert (await desk.stall.row()).overrides == {}
    assert await desk.verify() == "0 listings drifted"
    desk.shelf.title = "A chipped teapot"
    assert await desk.verify() == "1 listings drifted", "the same edit, made again, is told again"


@pytest.mark.parametrize(("winner", "shown"), [("ours", "Goods"), ("theirs", "A chipped teapot")])
async def test_an_owner_who_has_said_it_once_is_not_asked(open_desk: Any, winner: str, shown: str) -> None:
    desk = await open_desk(listings={"hand_edits": winner})
    await desk.told(f"Goods {desk.stall.goods.sku}")
    desk.shelf.title = "A chipped teapot"
    await desk.verify()
    await desk.run("base_market")
    await drain(desk.worker, desk.shop)
    assert desk.shelf.title.startswith(shown)
    assert await desk.questions() == []
    assert await desk.verify() == "0 listings drifted"


async def test_a_question_nobody_answered_changes_nothing_and_comes_again(open_desk: Any) -> None:
    desk = await open_desk()
    await desk.told("A teapot")
    desk.shelf.title = "A chipped teapot"
    await desk.verify()
    await desk.run("base_market")
    async with desk.shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE approval SET expires_at = :then"), {"then": unit.now - timedelta(hours=1)}
        )
    async with desk.shop.unit() as unit:
        unit.emit(CycleStarted(tenant_id=desk.shop.tenant_id, cycle="pulse"))
    await desk.run("executive")
    assert len(await desk.questions("expired")) == 1
    assert desk.shelf.title == "A chipped teapot"
    assert await desk.verify() == "1 listings drifted"


async def test_choices_of_one_listing_are_asked_about_once_and_keep_the_groups_words(open_desk: Any) -> None:
    desk = await open_desk()
    other = await desk.shop.variant(units=1)
    second = await desk.shop.listing(desk.stall.account, other, units=1)
    desk.stall.channel.put(other.sku, 1)
    shelves = (desk.shelf, desk.stall.channel.shelves[f"x-{other.sku}"])
    for shelf in shelves:
        shelf.title, shelf.group = "Teapots", "77"
    assert await desk.verify() == "0 listings drifted"
    for shelf in shelves:
        shelf.title = "Chipped teapots"
    assert await desk.verify() == "1 listings drifted"
    (edit,) = await desk.shop.events(ListingEdited)
    assert {UUID(each) for each in edit["listings"]} == {desk.stall.listing, second}
    assert edit["theirs"]["of_group"]


async def test_while_we_write_ourselves_nothing_counts_as_an_edit(open_desk: Any) -> None:
    desk = await open_desk()
    await desk.told("A teapot")
    state = await desk.stall.channel.read_listing(desk.stall.external_id)
    assert state is not None and state.text is not None
    changed = state.model_copy(update={"text": state.text.model_copy(update={"title": "Ours, on its way"})})
    before = await desk.stall.row()
    await desk.told("A better teapot")  # written between the reading and the noticing
    async with desk.shop.unit() as unit:
        assert await hand_edits.notice(unit, desk.stall.account, [(before, changed)]) == 0
    assert await desk.shop.events(ListingEdited) == []


async def test_a_list_that_tells_less_is_looked_behind_when_the_listing_was_modified(open_desk: Any) -> None:
    desk = await open_desk()
    await desk.told("A teapot", description_html="<p>Blue</p>", images=("https://img.example/1.jpg",))
    whole = await desk.stall.channel.read_listing(desk.stall.external_id)
    assert whole is not None and whole.text is not None
    less = whole.model_copy(update={"text": whole.text.model_copy(update={"images": None})})
    shown = hand_edits.shown_by(whole)
    assert hand_edits.glance(shown, less) == ""
    later = less.model_copy(update={"modified_at": desk.shop.store.clock.now()})
    assert hand_edits.glance(shown, later) == "look"


async def test_an_override_can_be_dropped_again(open_desk: Any) -> None:
    desk = await open_desk(listings={"hand_edits": "theirs"})
    title = f"Goods {desk.stall.goods.sku}"
    await desk.told(title)
    desk.shelf.title = "A chipped teapot"
    await desk.verify()
    await desk.run("base_market")
    async with desk.shop.unit() as unit:
        await hand_edits.drop_overrides(unit, desk.stall.listing)
    await desk.run("base_market")
    await drain(desk.worker, desk.shop)
    assert desk.shelf.title == title


async def test_who_edited_on_the_channel_is_told_when_our_words_won(open_desk: Callable[..., Any]) -> None:
    """Two writers at once: the edit came between our last look and our own revision of the same listing."""
    desk: Desk = await open_desk()
    await desk.told("Teapot")
    desk.shelf.title = "Teapot, chipped"
    await desk.told("Teapot, blue")
    assert desk.shelf.title == "Teapot, blue"
    (edit,) = await desk.shop.events(ListingEdited)
    assert (edit["fields"], edit["theirs"]["title"], edit["ours"]["title"]) == (
        ["title"],
        "Teapot, chipped",
        "Teapot, blue",
    )
    assert edit["overwritten"]
    await desk.run("base_market")
    assert await desk.questions() == [], "nothing is asked: it happened"
    assert await desk.verify() == "0 listings drifted"
    async with desk.shop.store.reader(desk.shop.tenant_id) as session:
        listed = await reading_edits.list_edits(session, PageRequest(), reading_edits.EditFilter())
    assert [each.state for each in listed.items] == ["settled"]
    assert "write it again" in listed.items[0].why


async def test_our_own_revisions_are_nobodys_edits(open_desk: Callable[..., Any]) -> None:
    desk: Desk = await open_desk()
    for title in ("Teapot", "Teapot, blue", "Teapot, blue", "Teapot"):
        await desk.told(title)
    assert await desk.shop.events(ListingEdited) == []
