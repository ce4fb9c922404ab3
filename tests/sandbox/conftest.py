"""A sandbox in this process, spoken to over its HTTP surface, and one in a process of its own."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx2
import pytest
from amazon_caller import Amazon
from amazon_models import Models

from flipsync.sandbox import audit
from flipsync.sandbox.app import Sandbox, SandboxConfig, build_app

#: 2026-03-02T14:00:00Z, a Monday morning in New York.
START_MS = 1_772_460_000_000


class Rig:
    """A sandbox and the calls tests make most."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.http = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=build_app(sandbox)), base_url="http://shop.test"
        )
        self._keys = (f"test-key-{n}" for n in itertools.count())

    async def custom(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        sent = {"Authorization": f"Bearer {self.sandbox.custom_token}", **(headers or {})}
        if method != "GET":
            sent["Idempotency-Key"] = key or next(self._keys)
        return await self.http.request(method, f"/custom/v1{path}", json=body, headers=sent)

    async def woo(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        """Over https, with Basic authentication."""
        key = self.sandbox.shop_key
        url = f"https://shop.test/woo/wp-json/wc/v3{path}"
        return await self.http.request(method, url, json=body, auth=(key.consumer_key, key.consumer_secret))

    async def list_custom(self, sku: str, price_minor: int = 2000, quantity: int = 10) -> dict[str, Any]:
        body = {"title": f"Item {sku}", "price": {"amount_minor": price_minor, "currency": "USD"}, "quantity": quantity}
        response = await self.custom("PUT", f"/listings/{quote(sku, safe='')}", body)
        assert response.status_code == 201, response.text
        listing: dict[str, Any] = response.json()
        return listing

    async def list_woo(self, sku: str, price: str = "20.00", quantity: int = 10, **more: Any) -> dict[str, Any]:
        body = {
            "name": f"Item {sku}",
            "sku": sku,
            "regular_price": price,
            "manage_stock": True,
            "stock_quantity": quantity,
            **more,
        }
        response = await self.woo("POST", "/products", body)
        assert response.status_code == 201, response.text
        product: dict[str, Any] = response.json()
        return product


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    sandbox = Sandbox(SandboxConfig(seed=7, start_ms=START_MS), "http://shop.test")
    async with sandbox.running():
        rig = Rig(sandbox)
        async with rig.http:
            yield rig
    sandbox.books.close()


def sign(method: str, url: str, query: dict[str, str], key: str, secret: str, **override: str) -> str:
    """The query string of a one-legged OAuth 1.0a request, written from RFC 5849 for the tests alone."""
    oauth = {
        "oauth_consumer_key": key,
        "oauth_timestamp": str(int(time.time())),
        "oauth_nonce": secrets.token_hex(8),
        "oauth_signature_method": "HMAC-SHA256",
        **override,
    }
    every = sorted((quote(k, safe="~"), quote(v, safe="~")) for k, v in {**query, **oauth}.items())
    base = "&".join(quote(p, safe="~") for p in (method, url, "&".join(f"{k}={v}" for k, v in every)))
    digest = hmac.new(f"{secret}&".encode(), base.encode(), hashlib.sha256).digest()
    return urlencode({**query, **oauth, "oauth_signature": base64.b64encode(digest).decode()})


@pytest.fixture
def signed() -> Callable[..., str]:
    """`sign`, for tests."""
    return sign


Served = dict[str, Any]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., tuple[Served, subprocess.Popen[str]]]]:
    """Starts sandboxes as processes; what still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start(*options: str) -> tuple[Served, subprocess.Popen[str]]:
        command = [sys.executable, "-m", "flipsync.sandbox", "--port", "0", "--json", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        return json.loads(process.stdout.readline()), process

    yield start
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


class Listener:
    """A webhook listener on a real port; `answer` chooses each answer's status."""

    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[int], int] = lambda count: 200
        self.url = ""
        self.heard = asyncio.Event()

    async def reaches(self, count: int, seconds: float = 8.0) -> None:
        """Wait until `count` requests came, pings included."""
        async with asyncio.timeout(seconds):
            while len(self.seen) < count:
                self.heard.clear()
                await self.heard.wait()

    def deliveries(self) -> list[tuple[dict[str, str], bytes]]:
        """What came, without the shop's pings."""
        return [row for row in self.seen if not row[0].get("content-type", "").startswith("application/x-www-form")]


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            rows = [line.partition(": ") for line in head.split("\r\n")[1:] if line]
            headers = {name.lower(): value for name, _, value in rows}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            listener.seen.append((headers, body))
            listener.heard.set()
            status = listener.answer(len(listener.deliveries()))
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    listener.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    yield listener
    server.close()


class ShopifyRig:
    """A sandbox's Shopify shop, spoken to over HTTP with a token of its app."""

    def __init__(self, rig: Rig) -> None:
        self.http = rig.http
        self.sandbox = rig.sandbox
        self.server: Any = next(each.app for each in rig.sandbox.served if each.prefix == "/shopify")
        self.token: str = self.server.tokens.install()["access_token"]

    async def post(self, body: Any, token: str | None = None) -> httpx2.Response:
        headers = {"X-Shopify-Access-Token": self.token if token is None else token}
        return await self.http.post("/shopify/admin/api/2026-10/graphql.json", json=body, headers=headers)

    async def ask(self, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
        response = await self.post({"query": query, "variables": variables or {}})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def product(self, sku: str, price: str, quantity: int, **more: Any) -> dict[str, Any]:
        """A product that is on sale in the online store, with one tracked variant."""
        variant = {
            "optionValues": [{"optionName": "Title", "name": "Default Title"}],
            "sku": sku,
            "price": price,
            "inventoryItem": {"tracked": True},
            "inventoryQuantities": [
                {"locationId": "gid://shopify/Location/501", "name": "available", "quantity": quantity}
            ],
        }
        options = [{"name": "Title", "values": [{"name": "Default Title"}]}]
        made = await self.ask(
            """mutation($input: ProductSetInput!) { productSet(input: $input) {
              product { id handle variants(first: 5) { nodes { id inventoryItem { id } } } }
              userErrors { code field message } } }""",
            {"input": {"title": f"Item {sku}", "productOptions": options, "variants": [variant], **more}},
        )
        assert made["data"]["productSet"]["userErrors"] == [], made
        product: dict[str, Any] = made["data"]["productSet"]["product"]
        await self.ask(
            """mutation($id: ID!) { publishablePublish(id: $id,
              input: [{publicationId: "gid://shopify/Publication/1001"}]) { userErrors { message } } }""",
            {"id": product["id"]},
        )
        return product

    async def fulfill(self, order_id: int) -> dict[str, Any]:
        answer = await self.ask(
            """mutation($f: FulfillmentInput!) { fulfillmentCreate(fulfillment: $f) {
              fulfillment { id status } userErrors { field message } } }""",
            {
                "f": {
                    "lineItemsByFulfillmentOrder": [
                        {"fulfillmentOrderId": f"gid://shopify/FulfillmentOrder/{order_id}"}
                    ],
                    "trackingInfo": {"company": "UPS", "number": "1Z"},
                }
            },
        )
        payload: dict[str, Any] = answer["data"]["fulfillmentCreate"]
        return payload


@pytest.fixture
def shopify(rig: Rig) -> ShopifyRig:
    return ShopifyRig(rig)


@pytest.fixture
async def amazon(rig: Rig, models: Models) -> AsyncIterator[Amazon]:
    """A seller who calls the sandbox's Amazon, each call held against the models."""
    amazon = Amazon(rig, models)
    await amazon.login()
    yield amazon
    assert audit.inconsistencies(rig.sandbox.books) == []
