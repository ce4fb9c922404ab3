"""What has to go on whatever ends it: lived again after a pause that grows with every short life."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

log = structlog.get_logger()
#: seconds: a crash loop is slowed down to one life a minute
_PAUSE = (0.1, 60.0)
#: who lived so long, in seconds, did not die of how it begins
LONG = 30.0


async def lasting(
    name: str, live: Callable[[], Awaitable[None]], died: Callable[[str], Awaitable[None]] | None = None
) -> NoReturn:
    """`live` again and again; `died` hears of each end by an error, in one line, and is to raise nothing."""
    clock, pause = asyncio.get_running_loop().time, _PAUSE[0]
    while True:
        began = clock()
        try:
            await live()
        except Exception as error:
            short = f"{type(error).__name__}: {error}".splitlines()[0][:500]
            log.warning("a part stopped, and begins again", part=name, error=short)
            if died is not None:
                await died(short)
        pause = _PAUSE[0] if clock() - began > LONG else min(pause * 2, _PAUSE[1])
        await asyncio.sleep(pause)
