"""Amazon's listings read in many calls: its limit sets the pace, not the way of an answer."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from flipsync.connectors.marketplaces.amazon import feeds
from flipsync.domain.errors import Retryable


async def test_as_many_searches_are_under_way_as_the_bucket_holds(open_channel: Any) -> None:
    channel = open_channel("amazon")
    passed, under_way, most = channel.tap.inner.handle_async_request, 0, 0

    async def slow(request: httpx2.Request) -> httpx2.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1
        return await passed(request)

    await channel.connector.find_listing("nothing")  # a token is had by then
    channel.tap.inner.handle_async_request = slow
    assert await channel.connector.read_listings([f"SKU-{number}" for number in range(400)]) == {}
    asked = [str(each.url) for each in channel.tap.requests if "identifiersType" in str(each.url)]
    assert len(asked) == len(set(asked)) == 20 and most == feeds._AT_ONCE


async def test_one_that_fails_ends_them_all(open_channel: Any) -> None:
    channel = open_channel("amazon")
    await channel.connector.find_listing("nothing")
    channel.tap.down = {"GET"}
    before = len(channel.tap.requests)
    with pytest.raises(Retryable):
        await channel.connector.read_listings([f"SKU-{number}" for number in range(2_000)])
    await asyncio.sleep(0.01)
    assert len(channel.tap.requests) - before <= 2 * feeds._AT_ONCE
