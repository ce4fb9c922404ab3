"""Token buckets that all workers share: paced by the documents, corrected by the vendor's answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from unittest.mock import patch
from uuid import uuid4

import pytest

from flipsync.connectors.base import leaves_reserve
from flipsync.runtime.mailbox import Limits


@pytest.fixture
async def limits(redis_url: str) -> AsyncIterator[Limits]:
    made = Limits(redis_url)
    yield made
    await made.aclose()


class HasToWait(Exception):
    """Raised in place of the wait, so that a slow machine is not taken for one."""


async def taken_at_once(limits: Limits, bucket: str, rate: float, burst: int, cost: float = 1.0) -> int:
    """How many calls get through before one has to wait."""
    taken = 0
    with patch.object(asyncio, "sleep", side_effect=HasToWait):
        while taken < 100:
            try:
                await limits.acquire(bucket, rate, burst, cost)
            except HasToWait:
                return taken
            taken += 1
    return taken


async def test_a_bucket_holds_its_burst_and_calls_have_their_cost(limits: Limits) -> None:
    assert await taken_at_once(limits, f"b{uuid4()}", 0.01, 7) == 7
    assert await taken_at_once(limits, f"b{uuid4()}", 0.01, 7, cost=2.5) == 2
    assert await taken_at_once(limits, f"b{uuid4()}", 0.01, 7, cost=50) == 1, "what costs more waits for a full bucket"


async def test_answers_teach_the_true_rate_and_what_is_left(limits: Limits) -> None:
    bucket = f"b{uuid4()}"
    await limits.learn(bucket, rate_per_second=0.01, burst=3)
    assert await taken_at_once(limits, bucket, 1000, 50) == 3
    spent_elsewhere = f"b{uuid4()}"
    await limits.acquire(spent_elsewhere, 0.01, 50)
    await limits.learn(spent_elsewhere, left=4)
    await limits.learn(spent_elsewhere, left=40)
    assert await taken_at_once(limits, spent_elsewhere, 0.01, 50) == 4, "an older answer gives nothing back"


async def test_what_a_call_did_not_need_is_given_back(limits: Limits) -> None:
    bucket = f"b{uuid4()}"
    await limits.acquire(bucket, 0.01, 10, 9)
    await limits.learn(bucket, left=8, unused=7)
    assert await taken_at_once(limits, bucket, 0.01, 10) == 8
    await limits.learn(bucket, unused=500)
    assert await taken_at_once(limits, bucket, 0.01, 10) == 10, "never more than the bucket holds"


async def test_a_pause_holds_everybody(limits: Limits, redis_url: str) -> None:
    bucket, other = f"b{uuid4()}", Limits(redis_url)
    await limits.pause(bucket, 0.3)
    began = time.monotonic()
    await other.acquire(bucket, 1000, 1000)
    assert time.monotonic() - began >= 0.25
    await other.aclose()


async def lesser_at_once(limits: Limits, bucket: str, rate: float, burst: int, cost: float = 1.0) -> int:
    async def take() -> int:
        leaves_reserve.set(True)
        return await taken_at_once(limits, bucket, rate, burst, cost)

    return await asyncio.create_task(take())


async def test_lesser_work_leaves_a_share_that_urgent_work_takes_without_waiting(limits: Limits) -> None:
    bucket = f"b{uuid4()}"
    assert await lesser_at_once(limits, bucket, 0.5, 20) == 16
    assert await taken_at_once(limits, bucket, 0.5, 20) == 4
    assert await lesser_at_once(limits, bucket, 0.5, 20) == 0


async def test_the_share_is_small_in_a_days_quota_and_none_in_a_bucket_of_one(limits: Limits) -> None:
    quota = f"b{uuid4()}"
    assert await lesser_at_once(limits, quota, 0.01, 90) == 89, "ten seconds' worth at most"
    assert await lesser_at_once(limits, f"b{uuid4()}", 0.01, 1) == 1
    assert await lesser_at_once(limits, f"b{uuid4()}", 0.01, 20, cost=50) == 1, (
        "a full bucket is all there is to wait for"
    )


async def test_urgent_work_passes_those_who_wait(limits: Limits) -> None:
    bucket, order = f"b{uuid4()}", []

    async def work(name: str, *, lesser: bool) -> None:
        leaves_reserve.set(lesser)
        await limits.acquire(bucket, 20.0, 10)
        order.append(name)

    await taken_at_once(limits, bucket, 20.0, 10)
    waiting = [asyncio.create_task(work(f"lesser {n}", lesser=True)) for n in range(3)]
    await asyncio.sleep(0)
    await asyncio.gather(*waiting, asyncio.create_task(work("urgent", lesser=False)))
    assert order[0] == "urgent"
