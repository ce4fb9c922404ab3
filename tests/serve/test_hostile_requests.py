"""Every text, number, date and body of every route, attacked: a clear answer, nothing broken, nothing lost."""

from __future__ import annotations

import copy
import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import orjson
import pytest
from api_routes import DOCUMENT, GUARDED, ROUTES, Route
from api_world import API, Business
from sqlalchemy import text

from flipsync.domain.ids import new_id
from flipsync.store.models import Base
from flipsync.store.unit_of_work import Store

TEXTS = {
    "sql": "'; DROP TABLE product; --",
    "sql-or": '" OR 1=1 UNION SELECT password_hash FROM app_user --',
    "sql-dollar": "$1 $$; SELECT pg_sleep(9); $$ %s %(x)s :id {0}",
    "nul": "tea\0pot",
    "half-pair": "tea\ud83dpot",
    "formula": '=HYPERLINK("http://evil.example","x")',
    "formula-tab": "\t@SUM(A1)",
    "script": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "right-to-left": "\u202etopaet\u202c إبريق شاي קומקום",
    "zero-width": "tea\u200b\u200c\u200d\u2060\ufeffpot",
    "four-bytes": "🫖𝕿𠜎" * 20,
    "path": "../../../etc/passwd%00",
    "control": "tea\x1b[31mpot\x7f\r\nSet-Cookie: a=b",
    "long": "x" * 300_000,
}
NUMBERS: tuple[Any, ...] = (-1, 0, -(10**18), 2**31, 2**63, 10**30, 1e308, -1e308, 0.5)
DATES = ("1900-01-01T00:00:00Z", "2100-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00")
TENANT_TABLES = sorted(table.name for table in Base.metadata.tables.values() if "tenant_id" in table.columns)


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _leaves(each, (*path, index))
    else:
        yield path, value


def _with(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(body)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


def _sent(body: Any) -> bytes:
    """JSON with whatever is in it; half a pair as an escape, numbers of any size."""
    return json.dumps(body).encode()


def _fine(answer: httpx2.Response) -> None:
    assert answer.status_code < 500 or answer.status_code == 502, f"{answer.status_code} {answer.text[:300]}"
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", answer.text[:300]
        assert answer.json()["detail"]


#: bodies with one of every field a route knows, beyond what a valid request needs
_MORE: dict[str, dict[str, Any]] = {
    "PATCH /products/{product_id}": {
        "description_html": "<p>x</p>",
        "brand": "b",
        "category": "c",
        "tags": ["t"],
        "images": ["https://shop.example/a.jpg"],
    },
    "POST /inventory/items/{stock_item_id}/counts": {"note": "n"},
    "POST /inventory/receipts": {"note": "n", "landed_cost": {"amount_minor": 5, "currency": "USD"}},
    "POST /approvals/{approval_id}/answer": {"note": "n"},
    "POST /hand-edits/{edit_id}/answer": {"note": "n"},
    "POST /marketplace/accounts": {"options": {"a": "b"}, "token_url": "http://127.0.0.1:9/t"},
    "POST /auth/login": {"device": "phone"},
}
_BODIES = [
    route
    for route in ROUTES
    if "requestBody" in DOCUMENT["paths"][route.path][route.method.lower()] and "imports" not in route.path
]


@pytest.mark.parametrize("route", _BODIES, ids=str)
async def test_hostile_values_in_every_field_of_every_body(
    route: Route, client: httpx2.AsyncClient, beta: Business
) -> None:
    request = route.request(beta)
    valid = (request.get("json") or {}) | _MORE.get(f"{route.method} {route.path.removeprefix(API)}", {})
    ids = {name: new_id() for name in beta.ids}  # nobody's: what gets through all checks changes nothing
    nowhere = Business(beta.marker, beta.tenant_id, beta.users, ids, beta.tokens)
    for path, value in _leaves(valid):
        hostile: tuple[Any, ...] = (*TEXTS.values(), *NUMBERS) if isinstance(value, str | int) else NUMBERS
        for each in (*hostile, None, [], {}, [[[]]]):
            headers = {"If-Match": '"1"'} | beta.headers(**{"Idempotency-Key": new_id().hex})
            answer = await client.request(
                route.method,
                route.url(nowhere),
                headers={**headers, "Content-Type": "application/json"},
                content=_sent(_with(valid, path, each)),
            )
            _fine(answer)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=str)
async def test_hostile_values_in_every_query(route: Route, client: httpx2.AsyncClient, beta: Business) -> None:
    parameters = DOCUMENT["paths"][route.path]["get"].get("parameters", ())
    for parameter in parameters:
        if parameter["in"] != "query":
            continue
        for each in (*(t for t in TEXTS.values() if len(t) < 10_000 and "\ud83d" not in t), *map(str, NUMBERS), *DATES):
            answer = await client.get(route.url(beta), params={parameter["name"]: each}, headers=beta.headers())
            _fine(answer)


async def test_what_is_kept_is_text_and_comes_back_as_it_was(client: httpx2.AsyncClient, alpha: Business) -> None:
    url = f"{API}/products/{alpha.ids['product_id']}"
    for name in ("sql", "sql-or", "sql-dollar", "formula", "right-to-left", "zero-width", "four-bytes"):
        etag = (await client.get(url, headers=alpha.headers())).headers["etag"]
        title = f"{alpha.marker} {TEXTS[name]}"[:500]
        answer = await client.patch(url, headers=alpha.headers(**{"If-Match": etag}), json={"title": title})
        assert (answer.status_code, answer.json()["title"]) == (200, title)
        found = await client.get(f"{API}/products", params={"q": title}, headers=alpha.headers())
        assert [each["title"] for each in found.json()["items"]] == [title]


async def test_what_cannot_be_stored_is_refused_in_words(client: httpx2.AsyncClient, alpha: Business) -> None:
    url = f"{API}/inventory/items/{alpha.ids['stock_item_id']}"
    on_hand = (await client.get(url, headers=alpha.headers())).json()["on_hand"]
    for name in ("nul", "half-pair"):
        answer = await client.post(
            f"{url}/counts",
            headers=alpha.headers(**{"Idempotency-Key": new_id().hex, "Content-Type": "application/json"}),
            content=_sent({"counted": on_hand + 1, "note": TEXTS[name]}),
        )
        assert answer.status_code == 422, answer.text
        assert answer.json()["type"] == "urn:flipsync:error:invalid-input"
        assert answer.json()["hint"] or answer.json()["errors"], "what to do, or where it is"
    assert (await client.get(url, headers=alpha.headers())).json()["on_hand"] == on_hand


async def test_a_moment_in_a_zone_that_is_none_is_refused(client: httpx2.AsyncClient, alpha: Business) -> None:
    """Python knows zones of a whole day off, the database of sixteen hours at most."""
    moment = {"placed_from": "2026-01-02T03:04:05+19:56"}
    answer = await client.get(f"{API}/orders", params=moment, headers=alpha.headers())
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:flipsync:error:invalid-input")


def _deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


BROKEN = {
    "deep": b'{"title":' + _deep(100_000) + b"}",
    "deep-object": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "huge-number": b'{"title": 1' + b"0" * 100_000 + b"}",
    "not-a-number": b'{"title": NaN}',
    "infinity": b'{"title": 1e999999}',
    "not-utf8": b'{"title": "\xff\xfe"}',
    "cut-off": b'{"title": "x',
    "trailing": b'{"title": "x"} {"title": "y"}',
    "empty": b"",
    "nul-bytes": b"\0" * 1000,
    "array": b"[]",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_bodies_that_are_no_json_are_refused(name: str, client: httpx2.AsyncClient, alpha: Business) -> None:
    url = f"{API}/products/{alpha.ids['product_id']}"
    read = await client.get(url, headers=alpha.headers())
    headers = alpha.headers(**{"If-Match": read.headers["etag"], "Content-Type": "application/json"})
    answer = await client.patch(url, headers=headers, content=BROKEN[name])
    assert answer.status_code in (400, 422), answer.text[:200]
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await client.get(url, headers=alpha.headers())).headers["etag"] == read.headers["etag"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", None])
async def test_a_body_that_does_not_say_it_is_json_is_refused(
    kind: str | None, client: httpx2.AsyncClient, alpha: Business
) -> None:
    """A page of somebody else's may send these without asking the browser first."""
    url = f"{API}/products/{alpha.ids['product_id']}"
    read = await client.get(url, headers=alpha.headers())
    headers = alpha.headers(**{"If-Match": read.headers["etag"]} | ({"Content-Type": kind} if kind else {}))
    answer = await client.patch(url, headers=headers, content=orjson.dumps({"title": "taken as JSON"}))
    assert answer.status_code == 422, answer.text[:200]
    assert (await client.get(url, headers=alpha.headers())).headers["etag"] == read.headers["etag"]


async def test_a_key_that_stands_twice_is_read_once(client: httpx2.AsyncClient, alpha: Business) -> None:
    """The last one counts, for the check of what may be sent and for what is kept alike."""
    url = f"{API}/products/{alpha.ids['product_id']}"
    etag = (await client.get(url, headers=alpha.headers())).headers["etag"]
    headers = alpha.headers(**{"If-Match": etag, "Content-Type": "application/json"})
    twice = orjson.dumps({"title": f"{alpha.marker} second"})
    body = b'{"title": "' + b"x" * 600 + b'", ' + twice[1:]
    answer = await client.patch(url, headers=headers, content=body)
    assert (answer.status_code, answer.json()["title"]) == (200, f"{alpha.marker} second")


class Upload:
    """A body of so many megabytes that nobody holds whole; counts what was taken of it."""

    def __init__(self, megabytes: int, head: bytes = b"") -> None:
        self.taken, self._megabytes, self._head = 0, megabytes, head

    async def __call__(self) -> AsyncIterator[bytes]:
        piece = b"x" * (1 << 20)
        for index in range(self._megabytes):
            self.taken += 1
            yield self._head + piece if index == 0 else piece


@pytest.mark.parametrize("told", [True, False], ids=["length told", "in chunks"])
async def test_a_hundred_megabytes_are_refused_early(told: bool, client: httpx2.AsyncClient, alpha: Business) -> None:
    upload = Upload(100)
    headers = alpha.headers(**{"Idempotency-Key": new_id().hex, "Content-Type": "application/json"})
    if told:
        headers["Content-Length"] = str(100 << 20)
    tracemalloc.start()
    answer = await client.post(f"{API}/inventory/receipts", headers=headers, content=upload())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:flipsync:error:body-too-large")
    assert answer.json()["hint"]
    assert upload.taken <= (1 if told else 3), f"{upload.taken} MB were read"
    assert peak < 12 << 20, f"{peak / 2**20:.1f} MB were held"


async def test_a_file_that_is_too_large_is_refused_before_it_is_read(
    client: httpx2.AsyncClient, alpha: Business
) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.csv"\r\n\r\nsku,title,price\n'
    upload = Upload(400, head)
    headers = alpha.headers(
        **{
            "Idempotency-Key": new_id().hex,
            "Content-Type": "multipart/form-data; boundary=b",
            "Content-Length": str(400 << 20),
        }
    )
    answer = await client.post(f"{API}/products/imports", headers=headers, content=upload())
    assert answer.status_code == 413, answer.text
    assert upload.taken <= 1


async def test_packed_bodies_are_not_unpacked(client: httpx2.AsyncClient, alpha: Business) -> None:
    """Nothing here opens a Content-Encoding: a bomb stays packed, and is no JSON."""
    bomb = gzip.compress(b'{"title": "' + b"x" * 50_000_000 + b'"}')
    assert len(bomb) < 100_000
    url = f"{API}/products/{alpha.ids['product_id']}"
    headers = alpha.headers(**{"If-Match": '"1"', "Content-Type": "application/json", "Content-Encoding": "gzip"})
    answer = await client.patch(url, headers=headers, content=bomb)
    assert answer.status_code in (400, 415, 422)


async def test_every_table_is_still_there(store: Store, alpha: Business, beta: Business) -> None:
    """The last of these tests: what the others sent has dropped and emptied nothing."""
    for business in (alpha, beta):
        async with store.reader(business.tenant_id) as session:
            for table in ("product", "variant", "listing", "customer_order", "stock_movement", "event"):
                count = await session.scalar(text(f"SELECT count(*) FROM {table}"))
                assert count, table
            for table in TENANT_TABLES:
                await session.execute(text(f"SELECT 1 FROM {table} LIMIT 1"))


def test_routes_that_take_bodies_are_known() -> None:
    assert len(_BODIES) >= 14
    assert any(route in _BODIES for route in GUARDED)
