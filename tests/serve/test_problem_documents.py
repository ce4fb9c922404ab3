"""Everything that goes wrong is a problem document with a stable type, and says nothing it should not."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx2
import orjson
import pytest
import structlog
from api_routes import DOCUMENT
from api_world import API, Business
from fastapi import FastAPI
from sqlalchemy.exc import StatementError

from flipsync.domain.errors import FlipSyncError, OutcomeUnknown, Rejected, Retryable, Unavailable
from flipsync.domain.ids import new_id
from serve.api import build_app
from serve.settings import ServeSettings

FIELDS = {"type", "title", "status", "detail", "hint", "request_id", "errors", "vendor_code"}


def _problem(answer: httpx2.Response, status: int, code: str) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, object] = answer.json()
    assert set(document) == FIELDS
    assert document["type"] == f"urn:flipsync:error:{code}"
    assert document["status"] == status
    assert document["request_id"] == answer.headers["x-request-id"]
    return document


async def test_unknown_paths_and_methods(client: httpx2.AsyncClient) -> None:
    _problem(await client.get("/no/such/thing"), 404, "not-found")
    answer = await client.delete(f"{API}/auth/login")
    _problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


def _methods_of(path: str) -> set[str]:
    """What the document has for a path, under whatever template it fits."""
    found: set[str] = set()
    for template, item in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            found |= {method.upper() for method in item} & METHODS
    return found


async def test_methods_that_are_not_in_the_document_are_refused_and_all_that_are_named(
    client: httpx2.AsyncClient,
) -> None:
    paths = [re.sub(r"\{\w+\}", str(new_id()), template) for template in DOCUMENT["paths"]]
    assert len(paths) > 100
    for path in paths:
        there = _methods_of(path)
        for method in sorted({*METHODS, "TRACE"} - there):
            answer = await client.request(method, path)
            _problem(answer, 405, "method-not-allowed")
            assert answer.headers["allow"] == ", ".join(sorted(there)), f"{method} {path}"


async def test_invalid_requests_say_where_and_do_not_repeat_what_was_sent(client: httpx2.AsyncClient) -> None:
    answer = await client.post(f"{API}/auth/login", json={"email": 5, "password": ["hunter2hunter2"], "extra": 1})
    document = _problem(answer, 422, "invalid-input")
    errors = document["errors"]
    assert isinstance(errors, list)
    assert {error["where"] for error in errors} == {"body.email", "body.password", "body.extra"}
    assert "hunter2" not in answer.text


async def test_broken_json_and_wrong_ids(client: httpx2.AsyncClient, alpha: Business) -> None:
    broken = await client.post(f"{API}/auth/login", content=b'{"email": ', headers={"content-type": "application/json"})
    _problem(broken, 422, "invalid-input")
    _problem(await client.get(f"{API}/orders/not-a-uuid", headers=alpha.headers()), 422, "invalid-input")
    _problem(await client.get(f"{API}/orders?limit=0", headers=alpha.headers()), 422, "invalid-input")
    _problem(await client.get(f"{API}/orders?nonsense=1", headers=alpha.headers()), 422, "invalid-input")
    _problem(await client.get(f"{API}/orders?cursor=@@@", headers=alpha.headers()), 422, "invalid-input")


async def test_a_body_beyond_the_limit_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.post(f"{API}/auth/login", json={"email": "x" * 1_100_000, "password": "y"})
    _problem(answer, 413, "body-too-large")


async def test_a_body_of_unknown_length_is_measured_on_the_way(client: httpx2.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2000):
            yield b" " * 1000

    headers = {"content-type": "application/json"}
    _problem(await client.post(f"{API}/auth/login", content=endless(), headers=headers), 413, "body-too-large")


async def test_a_catalogue_file_may_be_larger(client: httpx2.AsyncClient, alpha: Business) -> None:
    rows = [f"L{i},Cup {i},1.00,{'a fine cup ' * 50}" for i in range(2500)]
    goods = "\n".join(["sku,title,price,description", *rows]).encode()
    assert len(goods) > 1_100_000
    answer = await client.post(
        f"{API}/products/imports",
        headers=alpha.headers(**{"Idempotency-Key": "large"}),
        files={"file": ("goods.csv", goods)},
        data={"dry_run": "true"},
    )
    assert answer.status_code == 200, answer.text
    assert (answer.json()["products_created"], answer.json()["run_id"]) == (2500, None)


@pytest.mark.parametrize(
    ("error", "status", "code", "retry"),
    [
        (Unavailable("the database is away", hint="wait"), 503, "unavailable", "2"),
        (Rejected("no", vendor_code="E17"), 502, "channel-rejected", None),
        (Retryable("slow down", after=12.0), 502, "channel-retryable", "12"),
        (OutcomeUnknown("who knows"), 502, "channel-outcome-unknown", None),
        (FlipSyncError("odd"), 500, "error", None),
    ],
)
async def test_the_error_tree_is_mapped_once(
    error: FlipSyncError, status: int, code: str, retry: str | None, failing: FastAPI
) -> None:
    failing.state.raises = error
    document = _problem(answer := await _get(failing), status, code)
    assert document["detail"] == error.message
    assert answer.headers.get("retry-after") == retry
    assert document["vendor_code"] == getattr(error, "vendor_code", "")


async def test_what_nobody_foresaw_shows_no_trace(failing: FastAPI) -> None:
    failing.state.raises = ZeroDivisionError("secret-in-a-message")
    with structlog.testing.capture_logs() as logs:
        answer = await _get(failing)
    _problem(answer, 500, "internal")
    assert "secret-in-a-message" not in answer.text and "Traceback" not in answer.text and "line" not in answer.text
    assert "secret-in-a-message" not in str(logs)
    [entry] = [entry for entry in logs if entry["event"] == "unexpected error"]
    assert entry["error"] == "ZeroDivisionError" and entry["frames"]


@pytest.mark.parametrize("value", [2**70, "half a \ud83d"], ids=["beyond 64 bits", "half a character"])
async def test_json_that_cannot_be_written_down_is_the_callers(value: object, failing: FastAPI) -> None:
    with pytest.raises(TypeError) as refusal:
        orjson.dumps(value)
    for error in (refusal.value, StatementError("", None, None, refusal.value)):
        failing.state.raises = error
        _problem(await _get(failing), 422, "invalid-input")
    failing.state.raises = TypeError("a bug of ours")
    _problem(await _get(failing), 500, "internal")


async def test_a_dead_database_is_unavailable_not_a_crash(settings: ServeSettings, alpha: Business) -> None:
    app = build_app(settings.model_copy(update={"app_database_url": _Url("postgresql://nobody@127.0.0.1:1/none")}))
    async with _client(app) as client:
        answer = await client.get(f"{API}/orders", headers=alpha.headers())
    await app.state.backend.aclose()
    _problem(answer, 503, "unavailable")
    assert "127.0.0.1" not in answer.text


class _Url:
    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        return self._value


@pytest.fixture(scope="module")
async def failing(settings: ServeSettings):  # type: ignore[no-untyped-def]
    app = build_app(settings)

    @app.get("/fail")
    async def fail() -> None:
        raise app.state.raises

    yield app
    await app.state.backend.aclose()


async def _get(app: FastAPI) -> httpx2.Response:
    async with _client(app) as client:
        return await client.get("/fail")


def _client(app: FastAPI) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app, raise_app_exceptions=False), base_url="http://api.test"
    )
