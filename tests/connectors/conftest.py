"""Both connectors against the sandbox in this process, and the vendor's own documents."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, MarketplaceConnector, Unlimited
from flipsync.connectors.marketplaces import connector_class
from flipsync.sandbox.app import Sandbox, SandboxConfig, build_app
from flipsync.sandbox.buyers import Buyer
from flipsync.sandbox.orderbook import Refused
from flipsync.sandbox.records import order_external_id

pytest.register_assert_rewrite("stores.suite")

_CONTRACTS = Path(
    os.environ.get("FLIPSYNC_CONTRACTS") or Path(__file__).resolve().parents[2].parent / "shared/contracts"
)

#: 2026-03-02T14:00:00Z, a Monday morning in New York.
START_MS = 1_772_460_000_000


@pytest.fixture(scope="session")
def woocommerce_document() -> Callable[[str], Any]:
    """A file of the WooCommerce contract as JSON."""

    def load(name: str) -> Any:
        file = _CONTRACTS / "woocommerce" / name
        if not file.is_file():
            pytest.skip("no contracts: set FLIPSYNC_CONTRACTS to their folder")
        return json.loads(file.read_text(encoding="utf-8"))

    return load


#: What of a channel's credentials says where it is, and is no secret.
_ADDRESSES = ("base_url", "token_url", "notification_url", "options")


class Tap(httpx2.AsyncBaseTransport):
    """Passes requests on and keeps them."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self.inner = inner
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return await self.inner.handle_async_request(request)


class Channel:
    """A connector, the sandbox behind it, and what buyers and the merchant do there."""

    def __init__(self, sandbox: Sandbox, vendor: str, *, scheme: str = "http", read_only: bool = False) -> None:
        self.sandbox = sandbox
        self.vendor = vendor
        self.tap = Tap(httpx2.ASGITransport(app=build_app(sandbox)))
        row = sandbox.credentials()[f"{vendor}_read_only" if read_only else vendor]
        credentials = {name: SecretStr(value) for name, value in row.items() if name not in _ADDRESSES}
        where = {name: row[name] for name in _ADDRESSES if name in row}
        where["base_url"] = row["base_url"].replace("http:", f"{scheme}:")
        config = AccountConfig(vendor=vendor, currency="USD", **where)  # type: ignore[arg-type]
        make = connector_class(config.vendor)
        self.connector: MarketplaceConnector = make(config, credentials, Unlimited(), "a", transport=self.tap)

    @property
    def name(self) -> Any:
        """What the sandbox calls the channel."""
        return "woo" if self.vendor == "woocommerce" else self.vendor

    def sell(self, sku: str, quantity: int = 1) -> str:
        """A buyer orders; returns the order's external id."""
        buyer = Buyer(willing_minor=0, price_sensitivity=0.0, quantity=quantity)
        placed = self.sandbox.market.place(self.name, sku, quantity, buyer)
        assert not isinstance(placed, Refused), placed
        return order_external_id(placed.channel, placed.id)


OpenChannel = Callable[..., Channel]


@pytest.fixture
async def open_channel() -> AsyncIterator[OpenChannel]:
    """Opens channels of one fresh sandbox."""
    sandbox = Sandbox(SandboxConfig(seed=7, start_ms=START_MS), "http://shop.test")
    opened: list[Channel] = []

    def make(vendor: str, **options: Any) -> Channel:
        opened.append(Channel(sandbox, vendor, **options))
        return opened[-1]

    async with sandbox.running():
        yield make
        for channel in opened:
            await channel.connector.aclose()
    sandbox.books.close()
