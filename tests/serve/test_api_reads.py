"""Lists and details: pages that neither skip nor repeat, filters, money and times as promised."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest
from api_world import API, Business, told_order

from flipsync.services.orders import AccountRef, ingest_order
from flipsync.store import models as m
from flipsync.store.unit_of_work import Store

UTC_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


async def _all(client: httpx2.AsyncClient, business: Business, path: str, limit: int, **query: str) -> list[Any]:
    items: list[Any] = []
    cursor: str | None = None
    while True:
        page = {"limit": str(limit), **query} | ({"cursor": cursor} if cursor else {})
        answer = await client.get(f"{API}{path}", params=page, headers=business.headers())
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["items"]) <= limit
        items += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return items


@pytest.fixture(scope="module")
async def shelves(store: Store, beta: Business) -> None:
    """Seven more products and orders, the orders all placed at one moment."""
    async with store.unit(beta.tenant_id) as unit:
        for number in range(7):
            unit.session.add(
                m.Product(tenant_id=beta.tenant_id, handle=f"bowl-{number}", title=f"50%_bowl {number}", brand="Bowls")
            )
        await unit.session.flush()
        first = told_order(beta.marker, "bulk-0")
        for number in range(7):
            told = first.model_copy(update={"external_id": f"bulk-{number}", "number": f"bulk-{number}"})
            await ingest_order(unit, AccountRef(beta.ids["account_id"], "custom"), told)


@pytest.mark.parametrize("limit", [1, 2, 3, 200])
async def test_pages_hold_every_row_once(limit: int, client: httpx2.AsyncClient, beta: Business, shelves: None) -> None:
    products = await _all(client, beta, "/products", limit, brand="Bowls")
    assert [product["handle"] for product in products] == [f"bowl-{number}" for number in reversed(range(7))]
    orders = await _all(client, beta, "/orders", limit)
    ids = [order["id"] for order in orders]
    assert len(ids) == len(set(ids)) and {f"bulk-{n}" for n in range(7)} <= {order["number"] for order in orders}


async def test_rows_added_meanwhile_do_not_shift_pages(
    client: httpx2.AsyncClient, store: Store, beta: Business, shelves: None
) -> None:
    first = await client.get(f"{API}/products", params={"brand": "Bowls", "limit": "3"}, headers=beta.headers())
    async with store.unit(beta.tenant_id) as unit:
        unit.session.add(m.Product(tenant_id=beta.tenant_id, handle="bowl-new", title="new bowl", brand="New bowls"))
    query = {"brand": "Bowls", "limit": "3", "cursor": first.json()["next_cursor"]}
    second = await client.get(f"{API}/products", params=query, headers=beta.headers())
    assert [product["handle"] for product in second.json()["items"]] == ["bowl-3", "bowl-2", "bowl-1"]


async def test_text_is_searched_literally(client: httpx2.AsyncClient, beta: Business, shelves: None) -> None:
    async def titles(q: str) -> int:
        return len(await _all(client, beta, "/products", 200, q=q))

    assert await titles("50%_BOWL") == 7
    assert await titles("%") == 7
    assert await titles("5%bowl") == 0
    assert await titles("'; DROP TABLE product; --") == 0


async def test_a_cursor_of_another_list_is_refused(client: httpx2.AsyncClient, beta: Business, shelves: None) -> None:
    first = await client.get(f"{API}/products", params={"limit": "1"}, headers=beta.headers())
    query = {"cursor": first.json()["next_cursor"]}
    assert (await client.get(f"{API}/orders", params=query, headers=beta.headers())).status_code == 422


async def test_an_order_with_all_it_has(client: httpx2.AsyncClient, beta: Business) -> None:
    order = (await client.get(f"{API}/orders/{beta.ids['order_id']}", headers=beta.headers())).json()
    assert order["total"] == {"amount_minor": 3499, "currency": "USD"}
    assert UTC_TIME.fullmatch(order["placed_at"])
    [line] = order["lines"]
    assert (line["quantity"], line["reserved"], line["short"]) == (1, 1, 0)
    assert line["unit_cost"] == {"amount_minor": 1000, "currency": "USD"}
    assert [refund["amount"]["amount_minor"] for refund in order["refunds"]] == [100]
    assert (order["shipment"]["carrier"], order["shipment"]["confirmed_at"]) == ("usps", None)
    assert order["ship_to"]["city"] == "Springfield"
    assert order["fee"] is None, "unknown is not zero"


async def test_a_decision_from_fact_to_receipt(client: httpx2.AsyncClient, beta: Business) -> None:
    decision = (await client.get(f"{API}/decisions/{beta.ids['decision_id']}", headers=beta.headers())).json()
    assert decision["event"]["type"] == "OfferChanged"
    assert decision["commands"] == ["ChangePrice"]
    assert [(p["verdict"], p["subject_id"]) for p in decision["proposals"]] == [
        ("proceed", str(beta.ids["listing_id"]))
    ]
    [effect] = decision["effects"]
    assert (effect["state"], [receipt["outcome"] for receipt in effect["receipts"]]) == ("confirmed", ["confirmed"])
    assert decision["alternatives"][0]["name"] == "hold"


async def test_stock_that_runs_low_is_found(client: httpx2.AsyncClient, alpha: Business) -> None:
    item = (await client.get(f"{API}/inventory/items/{alpha.ids['stock_item_id']}", headers=alpha.headers())).json()
    available = item["on_hand"] - item["reserved"]
    assert item["free"] == available - item["allocated"]
    assert item["shares"][0]["listing_id"] == str(alpha.ids["listing_id"])
    enough = await _all(client, alpha, "/inventory/items", 50, pool="own", available_at_most=str(available - 1))
    low = await _all(client, alpha, "/inventory/items", 50, pool="own", available_at_most=str(available))
    assert (len(enough), len(low)) == (0, 1)


async def test_movements_are_told_newest_first(client: httpx2.AsyncClient, alpha: Business) -> None:
    url = f"/inventory/items/{alpha.ids['stock_item_id']}/movements"
    movements = await _all(client, alpha, url, 2)
    assert movements[-1]["kind"] == "receive" and movements[-1]["on_hand_delta"] == 10
    assert {m["kind"] for m in await _all(client, alpha, url, 2, kind="reserve")} == {"reserve"}


async def test_prices_a_listing_had(client: httpx2.AsyncClient, alpha: Business) -> None:
    history = await _all(client, alpha, f"/pricing/listings/{alpha.ids['listing_id']}/history", 1)
    assert [(change["old"], change["new"]["amount_minor"]) for change in history] == [
        ({"amount_minor": 3099, "currency": "USD"}, 2999),
        (None, 3099),
    ]


async def test_a_quote_is_asked_for_without_changing_anything(
    client: httpx2.AsyncClient, store: Store, alpha: Business
) -> None:
    answer = await client.get(f"{API}/pricing/listings/{alpha.ids['listing_id']}/quote", headers=alpha.headers())
    assert answer.status_code == 200, answer.text
    assert answer.json()["sku"] == f"{alpha.marker}-SKU"
    assert answer.json()["quote"]
    explanation = answer.json()["explanation"]
    assert [each["change_bps"] for each in explanation["instead"]] == [-500, 500]
    assert all(each["why_not"] for each in explanation["instead"])
    assert explanation["sale"]["net"] == answer.json()["quote"]["margin"]
    assert {each["side"] for each in explanation["bounds"] if each["binds"]} == {"lowest", "highest"}
    listing = await client.get(f"{API}/listings/{alpha.ids['listing_id']}", headers=alpha.headers())
    assert listing.json()["price"] == {"amount_minor": 2999, "currency": "USD"}


async def test_a_bid_is_answered_and_nothing_is_sent(client: httpx2.AsyncClient, alpha: Business) -> None:
    url = f"{API}/pricing/listings/{alpha.ids['listing_id']}/offer"

    async def answered(**bid: int) -> httpx2.Response:
        return await client.get(url, params=bid, headers=alpha.headers())

    full = await answered(amount_minor=2999)
    assert full.status_code == 200 and full.json()["offer"]["answer"] == "accept", full.text
    low = (await answered(amount_minor=100)).json()["offer"]
    assert low["answer"] in ("counter", "decline") and low["lowest"]["amount_minor"] > 100 and low["reason"]
    many = await answered(amount_minor=2900, quantity=9_999)
    assert many.status_code == 422 and "are on offer" in many.json()["detail"]
    assert (await answered(amount_minor=0)).status_code == 422
    listing = await client.get(f"{API}/listings/{alpha.ids['listing_id']}", headers=alpha.headers())
    assert listing.json()["price"] == {"amount_minor": 2999, "currency": "USD"}


async def test_agents_and_their_graph(client: httpx2.AsyncClient, alpha: Business) -> None:
    agents = {a["name"]: a for a in (await client.get(f"{API}/agents", headers=alpha.headers())).json()["items"]}
    assert agents["market"]["state"] == "ready"
    assert "absent" in {agent["state"] for agent in agents.values()}, "those who never reported"
    assert agents["pricing"]["reports_to"] in agents
    assert "OfferChanged" in agents["pricing"]["handles"]
    graph = await client.get(f"{API}/agents/graph", headers=alpha.headers())
    assert graph.json()["mermaid"].startswith("flowchart")
    edges = graph.json()["edges"]
    assert {"kind": "reports_to", "source": "pricing", "target": "market"} in edges
    assert {"kind": "wakes", "source": "OfferChanged", "target": "pricing"} in edges
    superiors = [edge["source"] for edge in edges if edge["kind"] == "reports_to"]
    assert sorted([*superiors, "executive"]) == graph.json()["agents"]
    missing = await client.get(f"{API}/agents/nobody", headers=alpha.headers())
    assert missing.status_code == 404
    decided = await client.get(f"{API}/agents/market/decisions", headers=alpha.headers())
    assert {decision["agent"] for decision in decided.json()["items"]} == {"market"}
