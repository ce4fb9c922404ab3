"""The tools an assistant gets: what an API key opens, and never a person's word."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx2
import jsonschema
import pytest
from api_routes import DOCUMENT
from api_world import API, Business
from fastapi import FastAPI
from listening import listening
from mcp import Client, StdioServerParameters

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Forbidden, Unauthenticated
from flipsync.domain.ids import new_id
from flipsync.mcp_server import LONGEST_ANSWER, PERSONS_WORD, ApiAway, Tools, server_of, tools_of
from flipsync.security.roles import GRANTS, PERMISSIONS, PERSONS_ONLY

ALL = tools_of(DOCUMENT, PERMISSIONS)


async def key_of(client: httpx2.AsyncClient, business: Business, *permissions: str) -> str:
    answer = await client.post(
        f"{API}/api-keys",
        json={
            "name": "assistant",
            "permissions": list(permissions),
            "expires_at": (utc_now() + timedelta(days=1)).isoformat(),
            "per_minute": 6000,
        },
        headers=business.headers(**{"Idempotency-Key": new_id().hex}),
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


def client_of(transport: httpx2.AsyncBaseTransport, key: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=transport, base_url="http://api.test", headers={"Authorization": f"Bearer {key}"}
    )


@asynccontextmanager
async def assistant_of(app: FastAPI, business: Business) -> AsyncIterator[Client]:
    """An MCP client of the business, whose key may all a program may. (No fixture: it ends in the task it began in.)"""
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as client:
        key = await key_of(client, business, *sorted(GRANTS["owner"] - PERSONS_ONLY))
    async with client_of(transport, key) as api, Client(server_of(await Tools.of(api))) as opened:
        yield opened


def told(result: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(result.content[0].text)
    assert content == result.structured_content
    return content


async def test_every_tool_has_a_schema_of_its_own_and_says_whether_it_changes_something() -> None:
    assert len(ALL) > 40
    for tool in ALL.values():
        jsonschema.Draft202012Validator.check_schema(tool.tool.input_schema)
        assert "#/components" not in json.dumps(tool.tool.input_schema)
        assert tool.tool.annotations is not None
        assert tool.tool.annotations.read_only_hint is (tool.method == "GET")
        assert tool.tool.description


async def test_what_only_a_person_may_say_is_no_tool() -> None:
    by_route = {(tool.method, tool.path.removeprefix(API)): tool for tool in ALL.values()}
    for barred in (
        ("POST", "/approvals/{approval_id}/answer"),
        ("POST", "/approvals/answers"),
        ("POST", "/hand-edits/{edit_id}/answer"),
        ("POST", "/orders/refunds/{refund_id}/settlement"),
        ("POST", "/orders/labels/{label_id}/settlement"),
        ("POST", "/inventory/purchase-orders/{purchase_order_id}/place"),
        ("POST", "/inventory/purchase-orders/{purchase_order_id}/ordered"),
        ("POST", "/suppliers"),
        ("PATCH", "/suppliers/{supplier_id}"),
        ("POST", "/marketplace/accounts"),
        ("POST", "/users"),
        ("POST", "/api-keys"),
        ("POST", "/privacy/buyers/export"),
        ("PATCH", "/strategy/goals"),
        ("PATCH", "/settings"),
        ("POST", "/strategy/changes/{change_id}/undo"),
        ("POST", "/strategy/directives/{directive_id}/end"),
        ("POST", "/sync/devices"),
    ):
        assert barred[1] in {path.removeprefix(API) for path in DOCUMENT["paths"]}, "the route exists"
        assert barred not in by_route
    assert ("GET", "/approvals") in by_route and ("POST", "/orders/{order_id}/refunds") in by_route
    assert PERSONS_WORD <= PERMISSIONS


async def test_a_key_opens_its_own_tools_only(app: FastAPI, client: httpx2.AsyncClient, alpha: Business) -> None:
    key = await key_of(client, alpha, "orders:read", "catalogue:write")
    async with client_of(httpx2.ASGITransport(app=app), key) as api:
        names = {tool.name for tool in await Tools.of(api)}
        assert {"orders_list_orders", "products_patch_product", "listings_end", "users_get_me"} <= names
        assert not {"orders_ask_refund", "pricing_quote", "products_list_products"} & names
        reading = {tool.name for tool in await Tools.of(api, read_only=True)}
        assert "orders_list_orders" in reading and not {"products_patch_product", "listings_end"} & reading
        refused = await (await Tools.of(api)).call("orders_ask_refund", {"order_id": str(alpha.ids["order_id"])})
        assert refused.is_error


async def test_no_key_and_no_api_are_said_in_one_line(app: FastAPI, alpha: Business) -> None:
    transport = httpx2.ASGITransport(app=app)
    async with client_of(transport, "fs_aaaaaaaa_nothing") as api:
        with pytest.raises(Unauthenticated):
            await Tools.of(api)
    async with client_of(transport, alpha.headers()["Authorization"].removeprefix("Bearer ")) as api:
        with pytest.raises(Forbidden, match="person"):
            await Tools.of(api)
    async with httpx2.AsyncClient(base_url="http://127.0.0.1:1") as api:
        with pytest.raises(ApiAway):
            await Tools.of(api)


async def test_it_reads_what_its_business_has_and_nothing_else(app: FastAPI, alpha: Business, beta: Business) -> None:
    async with assistant_of(app, alpha) as assistant:
        listed = told(await assistant.call_tool("orders_list_orders", {"limit": 60}))
        assert str(alpha.ids["order_id"]) in json.dumps(listed) and beta.marker not in json.dumps(listed)
        other = await assistant.call_tool("orders_get_order", {"order_id": str(beta.ids["order_id"])})
        assert other.is_error and "no order" in told(other)["error"]
        sly = await assistant.call_tool("orders_get_order", {"order_id": f"../products/{alpha.ids['product_id']}"})
        assert sly.is_error, "an argument stays in its place in the path"


async def test_a_change_needs_the_version_that_was_read(app: FastAPI, alpha: Business) -> None:
    asked = {"product_id": str(alpha.ids["product_id"])}
    change = asked | {"body": {"title": f"{alpha.marker} by an assistant"}}
    async with assistant_of(app, alpha) as assistant:
        before = told(await assistant.call_tool("products_get_product", asked))
        stale = await assistant.call_tool("products_patch_product", change | {"if_match": '"999"'})
        assert stale.is_error
        after = told(await assistant.call_tool("products_patch_product", change | {"if_match": before["etag"]}))
        assert after["answer"]["title"] == f"{alpha.marker} by an assistant" and after["etag"] != before["etag"]
        for wrong in (asked, change | {"if_match": before["etag"], "as_owner": True}):
            assert (await assistant.call_tool("products_patch_product", wrong)).is_error


class Shaky(httpx2.AsyncBaseTransport):
    """Passes requests on; loses as many answers as it is told to, after the deed."""

    def __init__(self, app: FastAPI) -> None:
        self.inner = httpx2.ASGITransport(app=app)
        self.lost = 0
        self.seen: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self.inner.handle_async_request(request)
        self.seen.append(request)
        if self.lost:
            self.lost -= 1
            raise httpx2.ReadTimeout("lost", request=request)
        return answer


async def test_a_lost_answer_is_asked_for_again_and_done_once(
    app: FastAPI, client: httpx2.AsyncClient, alpha: Business
) -> None:
    shaky = Shaky(app)
    key = await key_of(client, alpha, "inventory:read", "inventory:write", "catalogue:write")
    async with client_of(shaky, key) as api:
        tools = await Tools.of(api)
        stock = {"body": {"variant_id": str(alpha.ids["variant_id"]), "quantity": 3}}

        async def held() -> int:
            item = await tools.call("inventory_get_stock_item", {"stock_item_id": str(alpha.ids["stock_item_id"])})
            return int(told(item)["answer"]["on_hand"])

        before = await held()
        shaky.lost = 1
        assert not (await tools.call("inventory_receive", stock)).is_error
        assert await held() == before + 3, "asked twice with one key, done once"

        shaky.lost = 3
        unknown = await tools.call("inventory_receive", stock)
        assert unknown.is_error and "nobody knows" in told(unknown)["error"]
        again = told(unknown)["hint"].split("'")[1]
        assert not (await tools.call("inventory_receive", stock | {"idempotency_key": again})).is_error
        assert await held() == before + 6

        # without a key nothing is repeated by itself
        product = {"product_id": str(alpha.ids["product_id"]), "if_match": '"1"', "body": {"brand": "x"}}
        shaky.seen.clear()
        shaky.lost = 1
        lost = await tools.call("products_patch_product", product)
        assert lost.is_error and len(shaky.seen) == 1 and "look whether it was done" in told(lost)["hint"]


async def test_an_answer_too_long_for_a_model_is_refused_with_what_to_do() -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"items": ["x" * LONGEST_ANSWER]})

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="http://api.test") as api:
        result = await Tools(api, ALL).call("orders_list_orders", {})
    assert result.is_error and "limit" in told(result)["hint"]


async def test_it_speaks_the_protocol_over_its_standard_streams(
    app: FastAPI, client: httpx2.AsyncClient, alpha: Business
) -> None:
    async with listening(app) as where:
        args = ["-m", "flipsync.cli", "mcp", "--url", f"http://{where}"]
        env = dict(os.environ) | {"FLIPSYNC_API_KEY": await key_of(client, alpha, "listings:read")}
        listing = await asyncio.create_subprocess_exec(
            sys.executable, *args, "--list", "--json", env=env, stdout=asyncio.subprocess.PIPE
        )
        shown, _ = await listing.communicate()
        assert "listings_list_listings" in [tool["name"] for tool in json.loads(shown)]
        command = StdioServerParameters(command=sys.executable, args=args, env=env)
        async with asyncio.timeout(60), Client(command) as assistant:
            names = [tool.name for tool in (await assistant.list_tools()).tools]
            assert "listings_list_listings" in names and "orders_list_orders" not in names
            listed = told(await assistant.call_tool("listings_list_listings", {}))
            assert str(alpha.ids["listing_id"]) in json.dumps(listed)
