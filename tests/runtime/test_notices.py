"""A vendor whose facts wait in a queue: what is taken off it is booked once, and its list is asked for rarely."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_channel import Channels, Step
from shop import Shop
from stall import Stall, drain

from flipsync.domain.channel import WebhookNotice
from flipsync.domain.commands import PullOrders
from flipsync.domain.errors import Retryable
from flipsync.domain.events import ListingCheckDue


def notice(kind: Any, resource_id: str, key: str) -> WebhookNotice:
    return WebhookNotice(kind=kind, topic=f"{kind}.changed", resource_id=resource_id, dedup_key=key)


@pytest.fixture
async def stall(shop: Shop, channels: Channels) -> Stall:
    made = await Stall(shop, channels).open()
    made.channel.queue = []
    return made


async def pull(stall: Stall, hire: Any, worker: Any = None) -> Any:
    await stall.shop.enqueue(PullOrders(account_id=stall.account.id), stall.account)
    worker = worker or hire()
    await drain(worker, stall.shop)
    return worker


async def test_an_order_in_the_queue_is_read_and_booked_once(stall: Stall, hire: Any) -> None:
    sale = stall.channel.sell(stall.external_id, 2)
    assert sale is not None
    told = notice("order", sale.external_id, "1")
    stall.channel.queue = [told, told, notice("listing", stall.external_id, "2"), notice("other", "x", "3")]
    await pull(stall, hire)
    assert stall.channel.queue == []
    assert (await stall.shop.item(stall.goods)).reserved == 2
    assert len(await stall.shop.events(ListingCheckDue)) == 1


async def test_what_was_not_worked_through_stays_in_the_queue(stall: Stall, hire: Any) -> None:
    sale = stall.channel.sell(stall.external_id, 1)
    assert sale is not None
    stall.channel.queue = [notice("order", sale.external_id, "1")]
    stall.channel.script("read_order", Step(Retryable("busy")))
    stall.channel.script("orders", Step(Retryable("busy")))
    worker = hire()
    await stall.shop.enqueue(PullOrders(account_id=stall.account.id), stall.account)
    await worker.begin()
    await worker.step()
    assert len(stall.channel.queue) == 1
    await drain(worker, stall.shop)
    assert stall.channel.queue == [] and (await stall.shop.item(stall.goods)).reserved == 1


async def test_the_list_is_asked_for_rarely_but_finds_what_the_queue_lost(stall: Stall, hire: Any) -> None:
    stall.channel.sell(stall.external_id, 1)
    worker = await pull(stall, hire)
    assert (await stall.shop.item(stall.goods)).reserved == 1, "nobody told us, the list did"
    for _ in range(3):
        await pull(stall, hire, worker)
    assert len(stall.channel.made("orders")) == 1
