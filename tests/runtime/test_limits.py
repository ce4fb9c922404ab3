"""Token buckets that all workers share: paced by the documents, corrected by the vendor's answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from flipsync.runtime.mailbox import Limits


@pytest.fixture
async def limits(redis_url: str) -> AsyncIterator[Limits]:
    made = Limits(redis_url)
    yield made
    await made.aclose()


async def taken_at_once(limits: Limits, bucket: str, rate: float, burst: int, cost: float = 1.0) -> int:
    """How many calls get through before one has to wait."""
    taken = 0
    while taken < 100:
        try:
            await asyncio.wait_for(limits.acquire(bucket, rate, burst, cost), 0.05)
        except TimeoutError:
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
