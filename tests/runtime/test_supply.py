"""A listing the seller moved between our shelf and the channel's warehouse: the books move it too."""

from __future__ import annotations

from collections.abc import Callable

from stall import Stall, drain

from flipsync.domain import commands as c
from flipsync.domain.events import ListingPublished, QuantityDrifted
from flipsync.runtime.effects import EffectWorker

Hire = Callable[..., EffectWorker]


async def verified(stall: Stall, worker: EffectWorker) -> str:
    effect = await stall.shop.enqueue(c.VerifyListings(account_id=stall.account.id), stall.account)
    await drain(worker, stall.shop)
    (row,) = await stall.shop.rows("SELECT detail FROM receipt WHERE effect_id = :effect", effect=effect)
    return str(row.detail)


async def test_its_units_are_free_when_the_channel_supplies_it_and_it_gets_a_share_when_it_comes_back(
    stall: Stall, hire: Hire
) -> None:
    worker, shelf = hire(), stall.channel.shelves[stall.external_id]
    shelf.fulfilled_by, shelf.quantity = "channel", None
    assert await verified(stall, worker) == "1 listings drifted"
    assert await verified(stall, worker) == "0 listings drifted"
    item = await stall.shop.item(stall.goods)
    assert ((await stall.row()).pool, item.on_hand, item.allocated) == ("fba", 5, 0)
    refused = await stall.shop.enqueue(
        c.SetChannelQuantity(account_id=stall.account.id, listing_id=stall.listing, quantity=5), stall.account
    )
    await drain(worker, stall.shop)
    assert (await stall.shop.effect(refused)).state == "rejected", "no quantity of theirs is ever written"
    assert stall.channel.made("set_quantity") == []
    shelf.fulfilled_by, shelf.quantity = "seller", 0
    assert await verified(stall, worker) == "1 listings drifted"
    assert (await stall.row()).pool == "own"
    assert (await stall.shop.share(stall.listing)).entitled == 0, "the inventory agent says how much"
    assert len(await stall.shop.events(ListingPublished)) == 2
    assert await stall.shop.events(QuantityDrifted) == []
