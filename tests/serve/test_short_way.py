"""Requests that take the short way are answered as FastAPI answers them, or left to it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import httpx2
import pytest
from api_routes import GUARDED, ROUTES, Route
from api_world import API, Business
from fastapi import APIRouter, FastAPI, Header
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Unavailable
from flipsync.services import identity
from flipsync.store.pipeline import ReadFailed, ReadPipeline
from serve import ingress
from serve.api import Api
from serve.backend import Backend
from serve.lane import Lane

READS = [route for route in GUARDED if route.method == "GET"]
#: headers that are new with every answer
FRESH = {"x-request-id", "traceparent", "ratelimit"}


class StoppedClock:
    """For answers that depend on the time."""

    def __init__(self) -> None:
        self._now = utc_now()

    def now(self) -> datetime:
        return self._now


class LongWay:
    """The same application without its short way."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await FastAPI.__call__(self._app, scope, receive, send)


@pytest.fixture
def long_way(app: FastAPI) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=LongWay(app), raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://api.test")


def shown(answer: httpx2.Response) -> tuple[Any, ...]:
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in FRESH)
    body = answer.json() if "json" in answer.headers["content-type"] else answer.content
    if isinstance(body, dict):
        body.pop("request_id", None)
    return answer.status_code, headers, body


def test_every_plain_read_and_the_webhook_take_it(app: Api) -> None:
    assert {
        f"{API}/orders",
        f"{API}/orders/{{order_id}}",
        f"{API}/products",
        f"{API}/webhooks/{{token}}",
    } <= app.lane.paths
    declared = {route.path for route in ROUTES if route.method == "GET"}
    assert declared - app.lane.paths == {
        f"{API}/oauth/callback/{{vendor}}",  # what a seller's browser brings back from a vendor changes the books
        f"{API}/events/stream",  # has no body to compare
        f"{API}/asin-finder/{{line_id}}",  # waits for its answer as long as it was asked to
    }


@pytest.mark.parametrize("route", READS, ids=str)
async def test_it_answers_as_the_long_way_does(
    route: Route,
    client: httpx2.AsyncClient,
    long_way: httpx2.AsyncClient,
    alpha: Business,
    beta: Business,
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backend.store, "clock", StoppedClock())
    for headers in (alpha.headers(), alpha.headers("read-only"), beta.headers(), {}, {"Authorization": "Bearer x.y.z"}):
        url = route.url(alpha)
        short, long = await client.get(url, headers=headers), await long_way.get(url, headers=headers)
        assert shown(short) == shown(long)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "limit=1",
        "limit=0",
        "limit=one",
        "limit=1&limit=2",
        "q=",
        "q=%25&limit=2",
        "sku=a%26b",
        "unknown=1",
        "cursor=nonsense",
        "&&",
        "q=%ff",
        "q=a=b",
        "limit= 1",
    ],
)
@pytest.mark.parametrize("path", ["products", "listings", "orders", "inventory/items"])
async def test_it_understands_queries_as_the_long_way_does(
    path: str, query: str, client: httpx2.AsyncClient, long_way: httpx2.AsyncClient, alpha: Business
) -> None:
    url = f"{API}/{path}?{query}"
    short, long = await client.get(url, headers=alpha.headers()), await long_way.get(url, headers=alpha.headers())
    assert shown(short) == shown(long)


@pytest.mark.parametrize("order", ["not-an-id", "{}", "0" * 32, "urn:uuid:" + "0" * 32, "%2F", ""])
async def test_it_understands_paths_as_the_long_way_does(
    order: str, client: httpx2.AsyncClient, long_way: httpx2.AsyncClient, alpha: Business
) -> None:
    url = f"{API}/orders/{order}"
    short, long = await client.get(url, headers=alpha.headers()), await long_way.get(url, headers=alpha.headers())
    assert shown(short) == shown(long)


async def test_a_word_of_a_route_it_leaves_alone_is_no_name(app: Api, backend: Backend) -> None:
    """Declared before `/goods/{name}`, as FastAPI asks for it, but made of more than the short way knows."""
    router = APIRouter()

    @router.get("/goods/export")
    async def export(accept: Annotated[str, Header()] = "") -> dict[str, str]:
        return {"is": "export"}

    @router.get("/goods/{name}")
    async def goods(name: str) -> dict[str, str]:
        return {"is": name}

    lane = Lane(app, backend, (route for route in router.routes if isinstance(route, APIRoute)))
    asked = {"type": "http", "method": "GET", "headers": [], "query_string": b""}
    assert lane.find(asked | {"path": "/goods/tea"}) is not None
    assert lane.find(asked | {"path": "/goods/export"}) is None


async def test_pages_follow_one_another(client: httpx2.AsyncClient, alpha: Business) -> None:
    whole = (await client.get(f"{API}/orders", params={"limit": 200}, headers=alpha.headers())).json()["items"]
    seen: list[Any] = []
    cursor: str | None = None
    while True:
        page = {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        answer = (await client.get(f"{API}/orders", params=page, headers=alpha.headers())).json()
        seen += answer["items"]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert seen == whole


async def test_a_request_with_a_body_that_is_too_large_is_refused(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business
) -> None:
    body = b"x" * (backend.settings.max_body_bytes + 1)
    refused = await client.post(f"{API}/webhooks/{'x' * 43}", content=body)
    assert (refused.status_code, refused.json()["type"]) == (413, "urn:flipsync:error:body-too-large")


@pytest.mark.parametrize("path", ["orders", "decisions", "agents", "marketplace/accounts"])
async def test_a_disabled_user_is_out_at_once(
    path: str, client: httpx2.AsyncClient, long_way: httpx2.AsyncClient, backend: Backend, beta: Business
) -> None:
    marker = f"leaver-{path.replace('/', '-')}"
    async with backend.store.unit(beta.tenant_id) as unit:
        user_id = await identity.add_user(
            unit, backend.passwords, email=f"{marker}@{beta.marker}.example", password="a long enough one", role="owner"
        )
    beta.users[marker] = user_id
    async with backend.store.unit(beta.tenant_id) as unit:
        await beta.session(unit, user_id, user_id)
    token = backend.tokens.issue(user_id=user_id, tenant_id=beta.tenant_id, role="owner", session_id=user_id)
    headers = {"Authorization": f"Bearer {token}"}
    ways = (client, long_way)
    assert [(await way.get(f"{API}/{path}", headers=headers)).status_code for way in ways] == [200, 200]
    async with backend.store.unit(beta.tenant_id) as unit:
        await identity.disable_user(unit, user_id)
    for way in ways:
        answer = await way.get(f"{API}/{path}", headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:flipsync:error:unauthenticated")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ReadFailed("57014", "canceling statement due to statement timeout"), 503, "unavailable"),
        (ReadFailed("22012", "division by zero"), 500, "internal"),
        (Unavailable("the database does not answer"), 503, "unavailable"),
        (ZeroDivisionError("a slip of ours"), 500, "internal"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_a_read_that_fails_is_a_problem_document_either_way(
    error: Exception,
    status: int,
    code: str,
    client: httpx2.AsyncClient,
    long_way: httpx2.AsyncClient,
    alpha: Business,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: Any) -> None:
        raise error

    headers = alpha.headers()
    monkeypatch.setattr(ReadPipeline, "read", fail)
    for way in (client, long_way):
        answer = await way.get(f"{API}/orders", headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (status, f"urn:flipsync:error:{code}")
        assert answer.headers["content-type"] == "application/problem+json"
        assert "x-request-id" in answer.headers
        assert str(error) not in answer.text or status == 503


async def test_on_a_replica_reads_are_answered_here_and_the_rest_goes_on(
    app: Api, alpha: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    went_on: list[str] = []

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        went_on.append(f"{scope['type']} {scope.get('method', '')} {scope['path']}".replace(API, ""))
        await app(scope, receive, send)

    monkeypatch.setattr(ingress, "_here", app)
    (middleware,) = ingress.middlewares()
    transport = httpx2.ASGITransport(app=middleware.cls(serve, *middleware.args, **middleware.kwargs))
    async with httpx2.AsyncClient(transport=transport, base_url="http://replica.test") as client:
        assert (await client.get(f"{API}/orders", headers=alpha.headers())).status_code == 200
        assert (await client.get(f"{API}/monitoring/health")).status_code == 200
        assert went_on == []
        assert (await client.get(f"{API}/orders")).status_code == 401
        assert (await client.post(f"{API}/webhooks/{'x' * 43}", content=b"{}")).status_code == 404
        assert (await client.get("/-/healthz")).status_code == 404
    assert went_on == ["http GET /orders", f"http POST /webhooks/{'x' * 43}", "http GET /-/healthz"]
