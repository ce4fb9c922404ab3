"""The alarm that sleepers of the runtime wait for."""

from __future__ import annotations

import asyncio

import pytest

from flipsync.runtime.mailbox import Mailbox


async def test_who_is_cancelled_in_the_moment_it_is_rung_does_not_go_on(redis_url: str) -> None:
    mailbox, rounds = Mailbox(redis_url, ["nobody"]), 0

    async def sleeper() -> None:
        nonlocal rounds
        while rounds < 3:
            await mailbox.wait(5.0)
            rounds += 1

    task = asyncio.create_task(sleeper())
    while not rounds:  # it rings once when it has subscribed
        await asyncio.sleep(0.05)
    before = rounds
    await asyncio.sleep(0.05)
    mailbox.ring()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(task), 2)
    assert rounds == before and task.cancelled()
    await mailbox.aclose()
