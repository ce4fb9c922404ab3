"""Whoever wants to know how calls to a channel go: each one is shown to the witness of the work in hand.

with witnessed(watch):
    await connector.read_listing("1")      # watch.saw_call(CallSeen(...)), once for each request that was sent
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, Protocol

#: why there is no usable answer: nothing was reached, it never came, it broke off, or it is not what was promised
Trouble = Literal["", "unreachable", "no answer", "broke", "unusable"]


@dataclass(frozen=True, slots=True)
class CallSeen:
    """One request and what came of it; no secret is in it.

    `skew` is how far the server's clock (its Date header) is ahead of ours and `after` what Retry-After asks, seconds.
    `page` is the beginning of an answer that is a page for people instead of data.
    """

    path: str
    writes: bool
    token: bool = False
    status: int | None = None
    code: str = ""
    message: str = ""
    auth: bool = False
    trouble: Trouble = ""
    skew: float | None = None
    after: float | None = None
    page: str = ""


class Witness(Protocol):
    def saw_call(self, call: CallSeen) -> None: ...


current_witness: ContextVar[Witness | None] = ContextVar("flipsync_witness", default=None)


@contextmanager
def witnessed(witness: Witness) -> Iterator[None]:
    """Show every call that is made while it is open to `witness`."""
    before = current_witness.set(witness)
    try:
        yield
    finally:
        current_witness.reset(before)
