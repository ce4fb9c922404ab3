"""One database and event loop for all runs of a state machine on the stock ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from shop import Shop, open_store

T = TypeVar("T")


class Bench:
    """A shop with so many accounts, driven from code that is not asynchronous."""

    def __init__(self, url: str, accounts: int = 1) -> None:
        self.loop = asyncio.new_event_loop()
        self.shop = Shop(open_store(url, routing={}, pool_size=1))
        self.do(self.shop.found())
        self.accounts = [self.do(self.shop.account()) for _ in range(accounts)]

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.do(self.shop.store.aclose())
        self.loop.close()
