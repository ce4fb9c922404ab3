"""The last door of a price: a connector with a guard sends no price that was not signed, or whose signature is stale.

Whoever verified a certificate says so with `permit` for the task it works in; the connector asks its guard before it
writes. The two know nothing of each other, so no new way to a channel goes round it: `MarketplaceConnector` puts the
question in front of every connector's `publish` and `set_price`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flipsync.domain.channel import Offer
from flipsync.domain.clock import Clock
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Money

PRICED = ("publish", "set_price")


@dataclass(frozen=True, slots=True)
class Permit:
    """A price whose certificate was verified, until when it may be sent, and the certificate's hash."""

    price: Money
    valid_until: datetime
    certificate_sha256: str


_permit: ContextVar[Permit | None] = ContextVar("price_permit", default=None)


def permit(price: Money, valid_until: datetime, certificate_sha256: str) -> None:
    """From here on the current task may send this price; nothing else, and no longer than that."""
    _permit.set(Permit(price, valid_until, certificate_sha256))


class PriceGuard:
    """Refuses prices without a permit in force. `clock` is business time, as certificates are dated."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def check(self, price: Money) -> None:
        """Raises Rejected: nothing was sent, and trying again changes nothing."""
        held = _permit.get()
        if held is None:
            raise _refused("it is not signed")
        if held.price != price:
            raise _refused(f"the signature is for {held.price}, not {price}")
        if self._clock.now() >= held.valid_until:
            raise _refused(f"the signature was valid until {held.valid_until:%Y-%m-%d %H:%M:%S} UTC")


def _refused(why: str) -> Rejected:
    return Rejected(
        f"the price was not sent: {why}", vendor_code="certificate", hint="Put the price through the firewall again."
    )


def guarded(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """`publish` or `set_price` of a connector with the guard's question in front of it."""

    about = inspect.signature(method)

    @functools.wraps(method)
    async def ask_first(self: Any, *args: Any, **named: Any) -> Any:
        if self.price_guard is not None:
            for value in _sent(about.bind(self, *args, **named).arguments):
                price = value.price if isinstance(value, Offer) else value
                if isinstance(price, Money):
                    self.price_guard.check(price)
        return await method(self, *args, **named)

    return ask_first


def _sent(given: Mapping[str, Any]) -> Iterator[Any]:
    """Every argument but `expected`, which is compared with what is shown and never sent."""
    for name, value in given.items():
        if name == "expected":
            continue
        if isinstance(value, tuple):
            yield from value
        elif isinstance(value, dict):
            yield from value.values()
        else:
            yield value
