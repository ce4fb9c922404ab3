"""What is certain is concluded while the rest of the same call is still waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

import structlog

from flipsync.store.database import BROKEN_OFF

log = structlog.get_logger()

T = TypeVar("T")
E = TypeVar("E")


class Early(Generic[T, E]):
    """`async with` it around a call that tells of its parts; at its end all that was told is concluded.

    What is told while others are being concluded goes together into the next conclusion. With the database away nothing
    more is concluded early: whoever made the call does it at its end.
    """

    def __init__(
        self, conclude: Callable[[Sequence[E]], Awaitable[None]], certain: Callable[[Sequence[T]], Sequence[E]]
    ) -> None:
        """`certain` picks from what is told what can be concluded."""
        self._conclude, self._certain = conclude, certain
        self._waiting: list[E] = []
        self._rung = asyncio.Event()
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    def tell(self, parts: Sequence[T]) -> None:
        self._waiting += self._certain(parts)
        self._rung.set()
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="early")

    async def _work(self) -> None:
        while not self._ended or self._waiting:
            if not self._waiting:
                self._rung.clear()
                await self._rung.wait()
                continue
            batch, self._waiting = self._waiting, []
            try:
                await self._conclude(batch)
            except BROKEN_OFF as error:
                log.warning("concluded at the end instead", error=str(error).splitlines()[0])
                return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raises what concluding raised, unless the call itself failed."""
        self._ended = True
        self._rung.set()
        if self._task is None:
            return
        if isinstance(error, asyncio.CancelledError):
            self._task.cancel()
        (told,) = await asyncio.gather(self._task, return_exceptions=True)
        if error is None and isinstance(told, BaseException):
            raise told
