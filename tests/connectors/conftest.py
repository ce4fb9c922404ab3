"""Both connectors against the sandbox in this process, and the vendor's own documents."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from amazon_answers import Answers, at_once, connected
from graphql import GraphQLSchema, build_client_schema
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, MarketplaceConnector, Unlimited
from flipsync.connectors.marketplaces import connector_class
from flipsync.connectors.marketplaces.amazon.client import AmazonConnector
from flipsync.sandbox.app import Sandbox, SandboxConfig, build_app
from flipsync.sandbox.buyers import Buyer
from flipsync.sandbox.orderbook import Refused
from flipsync.sandbox.records import order_external_id

pytest.register_assert_rewrite("stores.suite")

#: 2026-03-02T14:00:00Z, a Monday morning in New York.
START_MS = 1_772_460_000_000


@pytest.fixture(scope="session")
def woocommerce_document(contracts: Path) -> Callable[[str], Any]:
    """A file of the WooCommerce contract as JSON."""

    def load(name: str) -> Any:
        return json.loads((contracts / "woocommerce" / name).read_text(encoding="utf-8"))

    return load


@pytest.fixture(scope="session")
def admin(contracts: Path) -> GraphQLSchema:
    file = contracts / "shopify" / "admin_2026-10.json.gz"
    # Defect of the document: six deprecations of fields differ from their interfaces', which graphql-core refuses.
    return build_client_schema(json.loads(gzip.decompress(file.read_bytes()))["data"], assume_valid=True)


WEBHOOK_SECRET = SecretStr("s3cret")


#: What of a channel's credentials says where it is, and is no secret.
_ADDRESSES = ("base_url", "token_url", "notification_url", "options")


def is_write(request: httpx2.Request) -> bool:
    """Whether a request changes anything: some vendors ask their questions with POST."""
    path = request.url.path
    if request.method == "GET" or path.endswith(("/token", "/access_token")) or "bulk_get" in path:
        return False
    return "graphql" not in path or b"mutation" in request.content


class Tap(httpx2.AsyncBaseTransport):
    """Passes requests on and keeps them."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self.inner = inner
        self.requests: list[httpx2.Request] = []
        self.answers: list[httpx2.Response] = []
        #: whether writes are answered 503 instead of passed on, or every request with one of these methods
        self.refuses_writes = False
        self.down: set[str] = set()
        #: whether answers are kept with their bodies
        self.keeps = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if request.method in self.down or (self.refuses_writes and is_write(request)):
            answer = httpx2.Response(503, request=request)
        else:
            answer = await self.inner.handle_async_request(request)
        if self.keeps:
            await answer.aread()
        self.answers.append(answer)
        return answer


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
        if vendor == "ebay":
            self.ebay.notification.challenge = self.answer_challenge

    @property
    def name(self) -> Any:
        """What the sandbox calls the channel."""
        return "woo" if self.vendor == "woocommerce" else self.vendor

    @property
    def ebay(self) -> Any:
        """eBay's server of this sandbox."""
        return self.sandbox.server("/ebay")

    async def answer_challenge(self, url: str, code: str) -> str:
        """What our own endpoint answers when the vendor tries it; nobody listens in these tests."""
        told = type(self.connector).answer_challenge({"challenge_code": code}, WEBHOOK_SECRET, url)
        return "" if told is None else told["challengeResponse"]

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
    # These connectors have no limiter; what the usage plans do is tested where they are.
    sandbox.books.set_meta("amazon.usage_factor", "1000")
    opened: list[Channel] = []

    def make(vendor: str, **options: Any) -> Channel:
        opened.append(Channel(sandbox, vendor, **options))
        return opened[-1]

    async with sandbox.running():
        yield make
        for channel in opened:
            await channel.connector.aclose()
    sandbox.books.close()


@pytest.fixture
def answers() -> Answers:
    """An Amazon that answers as told."""
    return Answers()


@pytest.fixture
async def amazon(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AmazonConnector]:
    at_once(monkeypatch)
    async with connected(answers) as connector:
        yield connector
