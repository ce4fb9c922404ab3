"""Forecasts over HTTP: the newest in pages, one stock item's beside what sold, and how far they came true."""

from __future__ import annotations

import secrets
from datetime import timedelta

import httpx2
import pytest
from api_world import API, Business, found_business

from flipsync.domain.ids import new_id
from flipsync.security.passwords import Passwords
from flipsync.store import models as m
from flipsync.store.repositories import forecast_runs
from flipsync.store.unit_of_work import Store
from serve.backend import Backend


@pytest.fixture(scope="module")
async def gamma(backend: Backend, passwords: Passwords) -> Business:
    """A business that nobody else counts the goods of."""
    marker = f"gamma{secrets.token_hex(4)}"
    return await found_business(backend.store, backend.box, passwords, backend.tokens, marker)


async def test_the_newest_forecasts_in_pages(client: httpx2.AsyncClient, store: Store, gamma: Business) -> None:
    """A run that is made while somebody turns pages does not mix into what he reads."""
    first_goods = gamma.ids["stock_item_id"]
    async with store.unit(gamma.tenant_id) as unit:
        variant = m.Variant(tenant_id=gamma.tenant_id, product_id=gamma.ids["product_id"], sku="a/b ?", currency="USD")
        unit.session.add(variant)
        await unit.session.flush()
        item = m.StockItem(tenant_id=gamma.tenant_id, variant_id=variant.id, pool="own", mode="escrow")
        unit.session.add(item)
        await unit.session.flush()
        goods = (first_goods, item.id)

    async def run(hours: int, weekly: float) -> None:
        async with store.unit(gamma.tenant_id) as unit:
            made = await forecast_runs.add_run(
                unit,
                origin=unit.now - timedelta(hours=hours),
                horizon=12,
                inside=0.8,
                method="pooled",
                baseline_wins=False,
                why="it did best",
                rmsse={"pooled": 0.5},
                coverage=None,
                series=2,
                code_version="0" * 12,
                decision_id=None,
            )
            numbers = ("weekly", "low", "high", "scale", "own_share", "shelf")
            columns = {each: [weekly] * 2 for each in numbers} | {"units": [1, 2], "path": [None, None]}
            accounts = [gamma.ids["account_id"]] * 2
            await forecast_runs.add_all(unit, made, {"items": list(goods), "accounts": accounts, **columns})

    await run(5, 1.0)
    url = f"{API}/forecasts"
    first = (await client.get(url, params={"limit": 1}, headers=gamma.headers())).json()
    await run(2, 8.0)
    rest = {"limit": 1, "cursor": first["next_cursor"]}
    second = (await client.get(url, params=rest, headers=gamma.headers())).json()
    assert [page["items"][0]["weekly"] for page in (first, second)] == [1.0, 1.0]
    assert {page["items"][0]["stock_item_id"] for page in (first, second)} == {str(each) for each in goods}
    assert second["next_cursor"] is None and second["run"]["method"] == "pooled"
    newest = (await client.get(url, params={"sku": "a/b ?"}, headers=gamma.headers())).json()
    assert [(each["sku"], each["weekly"]) for each in newest["items"]] == [("a/b ?", 8.0)]
    foreign = await client.get(url, params={"cursor": "WyJ4Il0"}, headers=gamma.headers())
    assert foreign.status_code == 422


async def test_forecasts_beside_what_sold(client: httpx2.AsyncClient, alpha: Business, beta: Business) -> None:
    item = beta.ids["stock_item_id"]
    told = (await client.get(f"{API}/forecasts/{item}", headers=beta.headers())).json()
    (one,) = told["forecasts"]
    assert (one["method"], one["weeks"], one["sold"], one["inside"], one["rmsse"]) == (
        f"{beta.marker} method",
        1,
        3.0,
        1,
        0.5,
    )
    (came_to,) = (await client.get(f"{API}/forecasts/accuracy", headers=beta.headers())).json()["items"]
    assert came_to["baseline"] and (came_to["coverage"], came_to["rmsse"], came_to["pinball"]) == (1.0, 0.5, 0.1)
    assert (came_to["sold"], came_to["expected"]) == (3.0, 2.0)
    assert (await client.get(f"{API}/forecasts/{item}", headers=alpha.headers())).status_code == 404
    assert (await client.get(f"{API}/forecasts/{new_id()}", headers=beta.headers())).status_code == 404
    assert (await client.get(f"{API}/forecasts/trend-of-nothing", headers=beta.headers())).status_code == 422


async def test_trends_are_listed_and_filtered(client: httpx2.AsyncClient, alpha: Business, beta: Business) -> None:
    async def told(business: Business, **query: str) -> list[str]:
        answer = await client.get(f"{API}/forecasts/trends", params=query, headers=business.headers())
        assert answer.status_code == 200
        return [each["why"] for each in answer.json()["items"]]

    assert await told(beta, kind="rising") == [f"{beta.marker} rises"]
    assert await told(beta, kind="falling") == await told(beta, category="rising") == []
    assert await told(beta, stock_item_id=str(beta.ids["stock_item_id"])) == [f"{beta.marker} rises"]
    assert await told(alpha, stock_item_id=str(beta.ids["stock_item_id"])) == []
    wrong = await client.get(f"{API}/forecasts/trends", params={"kind": "sideways"}, headers=beta.headers())
    assert wrong.status_code == 422
