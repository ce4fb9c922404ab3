"""Every list can be sorted by what it says, page by page; the others say why not."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from api_routes import DOCUMENT, GUARDED, Route
from api_world import API, Business

#: lists with one order: what it is
ONE_ORDER = {
    "/audit": "the chain's: each line proves the one before",
    "/analytics/sales": "periods, newest first",
    "/analytics/profit": "periods, newest first",
    "/analytics/sell-through": "SKUs: the figures are made for the page",
    "/analytics/ageing": "by worth: the figures are made for the page",
    "/analytics/rows": "days, newest first: an export",
    "/analytics/cohorts": "cohorts, newest first",
    "/analytics/customers/orders": "days, newest first: an export",
    "/forecasts": "SKUs of one run",
    "/forecasts/trends": "as found, newest first",
    "/inventory/items/{stock_item_id}/movements": "the ledger's",
    "/pricing/listings/{listing_id}/history": "a history's, newest first",
    "/products/{product_id}/changes": "a history's, newest first",
    "/strategy/changes": "a history's, newest first",
    "/strategy/plans": "a history's, newest first",
    "/strategy/directives": "as given, newest first",
    "/agents/set-aside": "as set aside, newest first",
    "/agents/set-aside/orders": "as set aside, newest first",
    "/hand-edits": "as found, newest first",
    "/notifications/deliveries": "as sent, newest first",
    "/reports/schedules": "as made, newest first",
    "/reports/runs": "as made, newest first",
    "/sync/devices": "as registered, newest first",
    "/sync/devices/{device_id}/changes": "the protocol's",
}


#: lists that come whole: what bounds them
WHOLE = {
    "/auth/providers": "those that who runs FlipSync has named",
    "/auth/identities": "one of each provider",
    "/users/roles": "a hundred at most",
    "/analytics/channels": "one of each account",
    "/analytics/customers": "one of each segment",
    "/agents": "the roster's",
    "/listings/{listing_id}/rivals": "what the channel shows of one listing",
    "/orders/{order_id}/refunds": "of one order",
    "/orders/{order_id}/labels": "of one order",
    "/forecasts/accuracy": "one of each method",
    "/ai-monitoring/policies": "one of each policy",
    "/notifications/destinations": "one person has so many at most",
    "/settings": "the settings there are",
}


def test_every_list_comes_in_pages_or_says_what_bounds_it() -> None:
    found = set()
    for path, item in DOCUMENT["paths"].items():
        for media in item.get("get", {}).get("responses", {}).get("200", {}).get("content", {}).values():
            schema = media.get("schema", {})
            schema = DOCUMENT["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], schema)
            told = schema.get("properties", {})
            if schema.get("type") == "array" or (
                told.get("items", {}).get("type") == "array" and "next_cursor" not in told
            ):
                found.add(path.removeprefix(API))
    assert found == WHOLE.keys()


def _choices(route: Route) -> list[str] | None:
    for parameter in DOCUMENT["paths"][route.path]["get"].get("parameters", ()):
        if parameter["name"] == "sort":
            found: list[str] = parameter["schema"]["enum"]
            return found
    return None


def _is_list(route: Route) -> bool:
    asked = DOCUMENT["paths"][route.path].get("get", {}).get("parameters", ())
    return route.method == "GET" and any(each["name"] == "cursor" for each in asked)


LISTS = [route for route in GUARDED if _is_list(route)]
SORTED = [route for route in LISTS if _choices(route) is not None]


def test_every_list_can_be_sorted_or_says_why_not() -> None:
    assert {route.path.removeprefix(API) for route in LISTS if route not in SORTED} == ONE_ORDER.keys()
    assert len(SORTED) >= 20
    for route in SORTED:
        choices = _choices(route) or []
        assert sorted(choices) == sorted({sign + each.removeprefix("-") for each in choices for sign in ("", "-")})


def _value(item: dict[str, Any], name: str) -> Any:
    """As it is compared: what is not known is less than all else, and texts are compared whatever their case."""
    value = item[name]
    value = value["amount_minor"] if isinstance(value, dict) else value
    value = value.lower() if isinstance(value, str) and not name.endswith(("_at", "number", "handle")) else value
    return (value is not None, value)


@pytest.mark.parametrize("route", SORTED, ids=lambda route: route.path.removeprefix(API))
async def test_a_walk_by_single_rows_is_the_whole_list_in_order(
    route: Route, client: httpx2.AsyncClient, alpha: Business
) -> None:
    url, headers = route.url(alpha), alpha.headers()
    for sort in _choices(route) or []:
        whole = await client.get(url, params={"sort": sort, "limit": 200}, headers=headers)
        assert whole.status_code == 200, whole.text
        told, seen = whole.json()["items"], []
        cursor: str | None = None
        while len(seen) <= len(told):
            query = {"sort": sort, "limit": "1"} | ({"cursor": cursor} if cursor else {})
            page = (await client.get(url, params=query, headers=headers)).json()
            seen += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert [each["id"] for each in seen] == [each["id"] for each in told]
        name = sort.removeprefix("-")
        values = [(_value(item, name), item["id"]) for item in told]
        assert values == sorted(values, reverse=sort.startswith("-"))


async def test_what_cannot_be_sorted_by_is_refused_with_what_can(client: httpx2.AsyncClient, alpha: Business) -> None:
    refused = await client.get(f"{API}/orders", params={"sort": "buyer"}, headers=alpha.headers())
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:flipsync:error:invalid-input")
    [fault] = refused.json()["errors"]
    assert fault["where"] == "query.sort" and "-placed_at" in fault["message"] and "total" in fault["message"]


async def test_a_cursor_of_another_order_is_refused_and_says_which(client: httpx2.AsyncClient, alpha: Business) -> None:
    url, headers = f"{API}/decisions", alpha.headers()
    first = (await client.get(url, params={"limit": 1, "sort": "id"}, headers=headers)).json()
    assert first["next_cursor"]
    for query in ({"sort": "-id"}, {}):
        refused = await client.get(url, params={"cursor": first["next_cursor"], **query}, headers=headers)
        assert refused.status_code == 422
        assert "sorted by id, not by -id" in refused.json()["detail"] and "sort=id" in refused.json()["hint"]
