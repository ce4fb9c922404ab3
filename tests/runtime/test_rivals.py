"""What rivals ask, as an account's channel tells it."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from shop import dollars
from stall import Stall, drain

from flipsync.domain import commands as c
from flipsync.domain.channel import RivalOffer
from flipsync.domain.clock import utc_now
from flipsync.runtime.effects import EffectWorker

#: price in minor units, in stock, put first
_FEATURED, _CHEAP, _SOLD_OUT = (2500, True, True), (2300, True, False), (2100, False, False)


@pytest.mark.parametrize("told", [*itertools.permutations((_FEATURED, _CHEAP, _SOLD_OUT))])
async def test_of_a_seller_with_several_offers_the_one_buyers_meet_is_kept(
    stall: Stall, hire: Callable[..., EffectWorker], told: tuple[tuple[int, bool, bool], ...]
) -> None:
    stall.channel.rival_offers = [
        RivalOffer(
            sku=stall.goods.sku,
            seller="both ways",
            price=dollars(price),
            in_stock=in_stock,
            seen_at=utc_now(),
            featured=featured,
        )
        for price, in_stock, featured in told
    ]
    await stall.shop.enqueue(c.PullRivals(account_id=stall.account.id), stall.account)
    await drain(hire(), stall.shop)
    (row,) = await stall.shop.rows(
        "SELECT price_minor, in_stock, featured FROM rival_offer WHERE listing_id = :listing", listing=stall.listing
    )
    assert tuple(row) == _FEATURED
