"""Words and prices that phones change: the later words stand, whoever lost them is told, prices are only wished for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shop import Shop, dollars, open_store
from sync_phones import Phones, phones_of

from agents.market.pricing import PricingAgent
from flipsync.domain.clock import ManualClock, utc_now
from flipsync.domain.events import PriceWished
from flipsync.services.product_edits import EditMark, ProductEdit, edit_product
from flipsync.services.sync.merging import judge_words, stamp_words
from flipsync.store.audit import Actor
from flipsync.store.models import Product
from flipsync.store.unit_of_work import Cause


@pytest.fixture
async def phones(database_urls: dict[str, str]) -> AsyncIterator[Phones]:
    store = open_store(database_urls["app"], clock=ManualClock(utc_now()), pool_size=4)
    yield await phones_of(await Shop(store).found(), 3)
    await store.aclose()


async def product(phones: Phones, product_id: UUID) -> Product:
    async with phones.shop.store.reader(phones.shop.tenant_id) as session:
        return await session.get_one(Product, product_id)


async def notices(phones: Phones, index: int) -> list[tuple[str, Any, Any]]:
    told, _ = await phones.pull_all(index)
    return [(each.record.field, each.record.lost, each.record.stands) for each in told if each.kind == "notice"]


async def test_the_later_words_stand_in_whatever_order_they_are_told(phones: Phones) -> None:
    goods = await phones.goods()
    first, second = phones.edit(0, goods, 1, title="Earlier", at=-3), phones.edit(1, goods, 1, title="Later", at=-2)
    (late,) = await phones.push(1, second)
    (lost,) = await phones.push(0, first)
    assert late.outcome == "accepted"
    assert (lost.outcome, lost.reason, lost.lost[0].stands) == ("conflict", "newer-words", "Later")
    assert (await product(phones, goods.product_id)).title == "Later"

    other = await phones.goods()
    await phones.push(0, phones.edit(0, other, 1, title="Earlier", at=-3))
    (won,) = await phones.push(1, phones.edit(1, other, 1, title="Later", at=-2))
    assert (won.outcome, won.reason) == ("merged", "replaced")
    assert (await product(phones, other.product_id)).title == "Later"
    assert await notices(phones, 0) == [("title", "Earlier", "Later")]
    assert await notices(phones, 1) == await notices(phones, 2) == []


async def test_each_field_is_judged_for_itself(phones: Phones) -> None:
    goods = await phones.goods()
    await phones.push(0, phones.edit(0, goods, 1, title="Mine", brand="Acme", at=-2))
    (answer,) = await phones.push(1, phones.edit(1, goods, 1, title="Yours", category="Cups", at=-3))
    assert (answer.outcome, [each.field for each in answer.lost]) == ("merged", ["title"])
    now = await product(phones, goods.product_id)
    assert (now.title, now.brand, now.category) == ("Mine", "Acme", "Cups")


async def test_who_knew_the_words_may_write_over_them_whatever_clocks_say(phones: Phones) -> None:
    goods = await phones.goods()
    await phones.push(0, phones.edit(0, goods, 1, title="First", at=-1))
    known = (await product(phones, goods.product_id)).version
    (answer,) = await phones.push(1, phones.edit(1, goods, known, title="After reading it", at=-2))
    assert answer.outcome == "accepted"
    (third,) = await phones.push(2, phones.edit(2, goods, 1, title="Between", at=-1.5))
    assert third.outcome == "conflict"  # what follows on an edit counts as later than it
    assert (await product(phones, goods.product_id)).title == "After reading it"


async def test_a_wrong_clock_does_not_win_for_ever(phones: Phones) -> None:
    """It claims a year ahead: it wins until the others write again, no longer."""
    ahead = await phones.another(clock_off=timedelta(days=365))
    goods = await phones.goods()
    lying = phones.edit(ahead, goods, 1, title="Of next year").model_copy(
        update={"at": phones.shop.store.clock.now() + timedelta(days=800)}
    )
    await phones.push(ahead, lying)
    clock = phones.shop.store.clock
    assert isinstance(clock, ManualClock)
    clock.advance(timedelta(minutes=1))
    (answer,) = await phones.push(0, phones.edit(0, goods, 1, title="Of now"))
    assert answer.outcome == "merged"
    assert (await product(phones, goods.product_id)).title == "Of now"


async def test_who_edits_at_the_desk_is_told_on_all_phones(phones: Phones) -> None:
    user = phones.phones[2].user
    goods = await phones.goods()
    cause = Cause(actor=Actor("user", user.user_id, ""))
    async with phones.shop.store.unit(phones.shop.tenant_id, cause) as unit:
        await edit_product(unit, goods.product_id, ProductEdit(title="From the desk"), 1)
    clock = phones.shop.store.clock
    assert isinstance(clock, ManualClock)
    clock.advance(timedelta(hours=1))
    (answer,) = await phones.push(0, phones.edit(0, goods, 1, title="From a phone"))
    assert answer.reason == "replaced"
    assert await notices(phones, 2) == [("title", "From the desk", "From a phone")]


async def test_words_a_file_changed_are_known_to_have_changed(phones: Phones) -> None:
    """The database itself marks them, whoever writes."""
    goods = await phones.goods()
    async with phones.shop.unit() as unit:
        row = await unit.session.get_one(Product, goods.product_id)
        row.title, row.version = "From a file", 2
    mark = EditMark.model_validate((await product(phones, goods.product_id)).edits["title"])
    assert (mark.version, mark.user_id) == (2, None)
    (answer,) = await phones.push(0, phones.edit(0, goods, 1, title="Older", at=-24 * 5 - 1))
    assert answer.outcome == "conflict"


async def test_words_that_cannot_be_are_refused_and_rights_are_kept(phones: Phones) -> None:
    goods = await phones.goods()
    reader = await phones.another(role="read-only")
    (empty,) = await phones.push(0, phones.edit(0, goods, 1, title=" \t"))
    (zero,) = await phones.push(0, phones.edit(0, goods, 1, title="a\0b"))
    (nothing,) = await phones.push(0, phones.edit(0, goods, 1))
    (forbidden,) = await phones.push(reader, phones.edit(reader, goods, 1, title="x"))
    assert [each.reason for each in (empty, nothing, forbidden)] == ["invalid", "invalid", "forbidden"]
    assert zero.outcome in ("accepted", "rejected")  # made safe, or refused: never an error of the server's


async def test_a_price_is_only_wished_for(phones: Phones) -> None:
    account = await phones.shop.account()
    goods = await phones.goods(units=3)
    listing = await phones.shop.listing(account, goods, units=3)
    clerk = await phones.another(role="clerk")
    (wished,) = await phones.push(0, phones.wish(0, listing, dollars(2800), dollars(2999)))
    (stale,) = await phones.push(0, phones.wish(0, listing, dollars(2700), dollars(3100)))
    (odd,) = await phones.push(0, phones.wish(0, listing, dollars(0), dollars(2999)))
    (forbidden,) = await phones.push(clerk, phones.wish(clerk, listing, dollars(2800), dollars(2999)))
    assert [each.outcome for each in (wished, stale, odd, forbidden)] == ["accepted", "conflict", *["rejected"] * 2]
    assert wished.event_id is not None
    shown = await phones.shop.rows("SELECT price_minor FROM listing WHERE id = :id", id=listing)
    assert (
        shown[0].price_minor == 2999 and await phones.shop.rows("SELECT 1 FROM effect WHERE tenant_id = :tenant") == []
    )
    (told,) = await phones.shop.events(PriceWished)
    decision = await phones.shop.decide(PricingAgent(), PriceWished.model_validate(told))
    assert (decision.proposals[0].price, decision.proposals[0].certificate) == (dollars(2800), None)
    late = PriceWished.model_validate(told).model_copy(update={"seen": dollars(3000)})
    assert (await phones.shop.decide(PricingAgent(), late)).is_hold


EDITS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 50)), min_size=1, max_size=8)
DEVICES = [UUID(int=number) for number in (1, 2, 3)]


@settings(max_examples=200, deadline=None)
@given(told=EDITS, order=st.randoms(use_true_random=False))
def test_words_written_apart_come_out_alike_in_any_order(told: list[tuple[int, int]], order: Any) -> None:
    """Nobody saw anybody's words; each device tells its own in its order."""
    queues: dict[int, list[tuple[int, int]]] = {}
    for number, (device, at) in enumerate(sorted(told, key=lambda each: each[1])):
        queues.setdefault(device, []).append((at, number))

    def merged(pick: Any) -> int:
        left = {device: list(queue) for device, queue in queues.items()}
        stands, mark = -1, None
        while left:
            device = pick(sorted(left))
            at, number = left[device].pop(0)
            judged = judge_words(mark, at=at, device_id=DEVICES[device], base_version=0)
            if judged != "loses":
                version = 1 if mark is None else mark.version + 1
                stamp = stamp_words(mark, at=at, device_id=DEVICES[device], judged=judged)
                stands, mark = number, EditMark(version=version, at=stamp, device_id=DEVICES[device])
            if not left[device]:
                del left[device]
        return stands

    assert merged(order.choice) == merged(min) == merged(max)
