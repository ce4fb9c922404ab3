"""The shop does what real WooCommerce stores were seen to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from flipsync.sandbox.buyers import Buyer
from flipsync.sandbox.records import Order

BUYER = Buyer(willing_minor=0, price_sensitivity=0.0, quantity=1)
BASE = "http://shop.test/woo/wp-json/wc/v3"


async def stock(rig: Any, product_id: int) -> Any:
    return (await rig.woo("GET", f"/products/{product_id}")).json()["stock_quantity"]


# Money and text


@pytest.mark.parametrize(
    ("sent", "stored"), [("19.9", "19.9"), ("12,5", "125"), ("abc", ""), ("-5", "-5"), ("1.", "1")]
)
async def test_prices_are_stored_as_the_shop_reads_them(rig: Any, sent: str, stored: str) -> None:
    product = await rig.list_woo("P", "1.00")
    answer = await rig.woo("PUT", f"/products/{product['id']}", {"regular_price": sent})
    assert answer.status_code == 200
    assert answer.json()["regular_price"] == stored


async def test_a_number_is_no_price_and_a_sale_above_the_price_is_dropped(rig: Any) -> None:
    refused = await rig.woo("POST", "/products", {"name": "x", "regular_price": 19.9})
    assert (refused.status_code, refused.json()["code"]) == (400, "rest_invalid_param")
    product = await rig.list_woo("P", "10.00", sale_price="12.00")
    assert (product["sale_price"], product["price"]) == ("", "10.00")


async def test_an_ampersand_comes_back_escaped_and_slashes_too(rig: Any) -> None:
    response = await rig.woo("POST", "/products", {"name": "A & B", "description": "x/y"})
    assert response.json()["name"] == "A &amp; B"
    assert "x\\/y" in response.text
    shown = await rig.woo("GET", f"/products/{response.json()['id']}")
    assert shown.json()["description"] == "<p>x/y</p>\n"


# Stock


async def test_stock_without_manage_stock_is_dropped_and_null_is_zero(rig: Any) -> None:
    product = (await rig.woo("POST", "/products", {"name": "x", "stock_quantity": 5})).json()
    assert (product["manage_stock"], product["stock_quantity"]) == (False, None)
    managed = await rig.list_woo("M", quantity=4)
    answer = (await rig.woo("PUT", f"/products/{managed['id']}", {"stock_quantity": None})).json()
    assert (answer["stock_quantity"], answer["stock_status"]) == (0, "outofstock")


async def test_a_variation_shows_what_is_its_parents(rig: Any) -> None:
    option = {"name": "Size", "variation": True, "options": ["S", "M"]}
    parent: dict[str, Any] = {
        "name": "T",
        "type": "variable",
        "sku": "TEE",
        "global_unique_id": "4006381333931",
        "attributes": [option],
    }
    parent |= {"manage_stock": True, "stock_quantity": 6}
    made = (await rig.woo("POST", "/products", parent)).json()
    part = (await rig.woo("POST", f"/products/{made['id']}/variations", {"regular_price": "5.00"})).json()
    shown = {name: part[name] for name in ("sku", "global_unique_id", "manage_stock", "stock_quantity")}
    inherited = {"sku": "TEE", "global_unique_id": "4006381333931", "manage_stock": "parent", "stock_quantity": 6}
    assert shown == inherited


async def test_names_are_searched_as_they_are_kept(rig: Any) -> None:
    made = (await rig.woo("POST", "/products/categories", {"name": "Cups & Pots"})).json()
    assert made["name"] == "Cups &amp; Pots"
    found = [
        (await rig.woo("GET", f"/products/categories?search={text}")).json()
        for text in ("Cups%20%26%20Pots", "Cups%20%26amp%3B")
    ]
    assert [len(rows) for rows in found] == [0, 1]


async def test_stock_follows_the_order_status_and_a_forced_delete_gives_nothing_back(rig: Any) -> None:
    product = await rig.list_woo("S", quantity=10)
    line = [{"product_id": product["id"], "quantity": 3}]
    order = (await rig.woo("POST", "/orders", {"line_items": line})).json()
    expected = [("pending", 10), ("processing", 7), ("completed", 7), ("cancelled", 10), ("on-hold", 7), ("failed", 10)]
    for status, units in expected:
        await rig.woo("PUT", f"/orders/{order['id']}", {"status": status})
        assert await stock(rig, product["id"]) == units, status
    paid = (await rig.woo("POST", "/orders", {"line_items": line, "set_paid": True})).json()
    assert paid["status"] == "processing"
    await rig.woo("DELETE", f"/orders/{paid['id']}?force=true")
    assert await stock(rig, product["id"]) == 7
    assert (await rig.woo("GET", f"/orders/{paid['id']}")).status_code == 404


async def test_the_api_sells_below_zero_but_buyers_cannot(rig: Any) -> None:
    product = await rig.list_woo("S", quantity=1)
    line = [{"product_id": product["id"], "quantity": 43}]
    await rig.woo("POST", "/orders", {"line_items": line, "set_paid": True})
    assert await stock(rig, product["id"]) == -42
    assert not isinstance(rig.sandbox.market.place("woo", "S", 1, BUYER), Order)


async def test_inventory_delta_loses_updates_made_at_the_same_time(rig: Any) -> None:
    product = await rig.list_woo("S", quantity=76)
    change = {"inventory_delta": -1}
    await asyncio.gather(*(rig.woo("PUT", f"/products/{product['id']}", change) for _ in range(8)))
    assert 68 < await stock(rig, product["id"]) <= 75


# Refunds


async def test_refunds_restock_lines_unless_told_not_to_and_stay_within_the_limit(rig: Any) -> None:
    product = await rig.list_woo("R", "10.00", quantity=10)
    order = rig.sandbox.market.place("woo", "R", 4, BUYER)
    path, line = f"/orders/{order.id}/refunds", order.lines[0].id
    row = {"id": line, "quantity": 1, "refund_total": 10}
    assert (await rig.woo("POST", path, {"line_items": [row], "amount": "10.00"})).status_code == 201
    assert await stock(rig, product["id"]) == 7
    await rig.woo("POST", path, {"line_items": [row], "amount": "10.00", "api_restock": False})
    await rig.woo("POST", path, {"amount": "5.00"})
    assert await stock(rig, product["id"]) == 7
    over = await rig.woo("POST", path, {"amount": "1000.00"})
    assert (over.status_code, over.json()["data"]) == (500, 500)
    shown = (await rig.woo("GET", f"/orders/{order.id}")).json()["refunds"]
    assert [refund["total"] for refund in shown] == ["-10.00", "-10.00", "-5.00"]


async def test_a_refund_through_a_gateway_that_is_none_fails(rig: Any) -> None:
    product = await rig.list_woo("R", "10.00")
    line = [{"product_id": product["id"], "quantity": 1}]
    order = (await rig.woo("POST", "/orders", {"line_items": line, "set_paid": True})).json()
    path = f"/orders/{order['id']}/refunds"
    assert (await rig.woo("POST", path, {"amount": "1.00"})).status_code == 500
    assert (await rig.woo("POST", path, {"amount": "1.00", "api_refund": False})).status_code == 201


async def test_refunds_of_an_order_that_is_not_there(rig: Any) -> None:
    """WooCommerce names a status where WordPress does not look for it."""
    assert (await rig.woo("GET", "/orders/999/refunds")).text == "[]"
    gone = await rig.woo("POST", "/orders/999/refunds", {"amount": "1.00"})
    assert (gone.status_code, gone.json()["data"]) == (500, 404)
    rig.sandbox.market.place("woo", (await rig.list_woo("R"))["sku"], 1, BUYER)
    order = (await rig.woo("GET", "/orders")).json()[0]
    less = await rig.woo("POST", f"/orders/{order['id']}/refunds", {"amount": "-1.00"})
    assert (less.status_code, less.json()["data"]) == (500, 400)


async def test_the_bin_says_what_an_order_was_before(rig: Any) -> None:
    await rig.list_woo("R")
    order = rig.sandbox.market.place("woo", "R", 1, BUYER)
    await rig.woo("DELETE", f"/orders/{order.id}")
    binned = (await rig.woo("GET", f"/orders/{order.id}")).json()
    meta = {row["key"]: row["value"] for row in binned["meta_data"]}
    assert (binned["status"], meta["_wp_trash_meta_status"]) == ("trash", "wc-processing")


# Statuses


async def test_missing_things(rig: Any) -> None:
    statuses = [(await rig.woo(method, "/products/999", {})).status_code for method in ("GET", "DELETE", "PUT")]
    assert statuses == [404, 404, 400]
    batch = await rig.woo("POST", "/products/batch", {"update": [{"id": 999}], "delete": [998]})
    assert batch.status_code == 200
    assert batch.json()["update"][0]["error"]["data"]["status"] == 400
    assert batch.json()["delete"][0]["error"]["data"]["status"] == 404
    assert (await rig.woo("POST", "/products/batch", {})).text == "[]"
    rows = [{"name": str(n)} for n in range(101)]
    assert (await rig.woo("POST", "/products/batch", {"create": rows})).status_code == 413
    assert (await rig.woo("GET", "/nothing")).json()["code"] == "rest_no_route"


async def test_a_batch_keeps_its_order_and_a_failed_create_has_id_zero(rig: Any) -> None:
    rows = [{"name": "a", "sku": "S"}, {"name": "b", "sku": "S"}, {"name": "c", "sku": "T"}]
    created = (await rig.woo("POST", "/products/batch", {"create": rows})).json()["create"]
    assert [row.get("sku") for row in created] == ["S", None, "T"]
    assert (created[1]["id"], created[1]["error"]["code"]) == (0, "product_invalid_sku")


async def test_the_bin_keeps_the_sku(rig: Any) -> None:
    product = await rig.list_woo("B")
    assert (await rig.woo("DELETE", f"/products/{product['id']}")).json()["status"] == "publish"
    again = await rig.woo("POST", "/products", {"name": "x", "sku": "B"})
    assert (again.status_code, again.json()["code"]) == (400, "woocommerce_rest_product_not_created")
    await rig.woo("DELETE", f"/products/{product['id']}?force=true")
    assert (await rig.woo("POST", "/products", {"name": "x", "sku": "B"})).status_code == 201


async def test_odd_orders(rig: Any) -> None:
    nothing = await rig.woo("POST", "/orders", {"line_items": [{"product_id": 999, "quantity": 1}], "set_paid": True})
    assert (nothing.status_code, nothing.json()["total"], nothing.json()["status"]) == (201, "0.00", "completed")
    product = await rig.list_woo("O", "3.33")
    line = {"product_id": product["id"], "quantity": 1}
    assert (await rig.woo("POST", "/orders", {"line_items": [{**line, "quantity": 0}]})).status_code == 500
    order = (await rig.woo("POST", "/orders", {"line_items": [line], "no_such_field": 1})).json()
    added = (await rig.woo("PUT", f"/orders/{order['id']}", {"line_items": [line]})).json()
    assert len(added["line_items"]) == 2
    assert added["total"] == "6.66"


# Who calls


async def test_http_needs_a_signature_and_basic_is_ignored_there(rig: Any) -> None:
    key = rig.sandbox.shop_key
    basic = await rig.http.get(f"{BASE}/products", auth=(key.consumer_key, key.consumer_secret))
    assert (basic.status_code, basic.json()["code"]) == (401, "woocommerce_rest_cannot_view")
    wrong_key = await rig.http.get(f"https{BASE[4:]}/products", auth=("ck_no", "cs_no"))
    assert wrong_key.json()["code"] == "woocommerce_rest_cannot_view"
    wrong_secret = await rig.http.get(f"https{BASE[4:]}/products", auth=(key.consumer_key, "cs_no"))
    assert wrong_secret.json()["code"] == "woocommerce_rest_authentication_error"
    reader = rig.sandbox.shop_reader
    credentials = (reader.consumer_key, reader.consumer_secret)
    refused = await rig.http.post(f"https{BASE[4:]}/products", json={"name": "x"}, auth=credentials)
    assert (refused.status_code, refused.json()["code"]) == (401, "woocommerce_rest_authentication_error")


async def test_oauth_takes_each_nonce_once_and_watches_the_clock(rig: Any, signed: Callable[..., str]) -> None:
    key, secret = rig.sandbox.shop_key.consumer_key, rig.sandbox.shop_key.consumer_secret
    url = f"{BASE}/products"
    query = signed("GET", url, {"search": "a b&c/ü", "per_page": "5"}, key, secret)
    assert (await rig.http.get(f"{url}?{query}")).status_code == 200
    again = await rig.http.get(f"{url}?{query}")
    assert (again.status_code, "nonce" in again.json()["message"]) == (401, True)
    late = signed("GET", url, {}, key, secret, oauth_timestamp=str(int(time.time()) - 1000))
    assert (await rig.http.get(f"{url}?{late}")).json()["message"] == "Invalid timestamp."
    forged = signed("GET", url, {}, key, "cs_other")
    assert (await rig.http.get(f"{url}?{forged}")).status_code == 401


# Lists and dates


async def test_pages_tell_totals_and_neighbours(rig: Any) -> None:
    for n in range(5):
        await rig.list_woo(f"L{n}")
    page = await rig.woo("GET", "/products?per_page=2&page=2&orderby=id&order=asc")
    assert [row["sku"] for row in page.json()] == ["L2", "L3"]
    assert (page.headers["X-WP-Total"], page.headers["X-WP-TotalPages"]) == ("5", "3")
    assert 'rel="prev"' in page.headers["Link"]
    assert 'rel="next"' in page.headers["Link"]
    beyond = await rig.woo("GET", "/products?per_page=2&page=9")
    assert (beyond.status_code, beyond.json()) == (200, [])
    assert (await rig.woo("GET", "/products?per_page=101")).status_code == 400


async def test_dates_are_store_local_and_modified_after_is_too_unless_told(rig: Any) -> None:
    await rig.list_woo("D")
    order = rig.sandbox.market.place("woo", "D", 1, BUYER)
    shown = (await rig.woo("GET", f"/orders/{order.id}")).json()
    utc = datetime.fromisoformat(shown["date_created_gmt"]).replace(tzinfo=UTC)
    local = datetime.fromisoformat(shown["date_created"]).replace(tzinfo=ZoneInfo("America/New_York"))
    assert utc == local
    before = "2026-03-02T13:00:00"
    assert (await rig.woo("GET", f"/orders?modified_after={before}")).json() == []
    found = (await rig.woo("GET", f"/orders?modified_after={before}&dates_are_gmt=true")).json()
    assert [row["id"] for row in found] == [order.id]


async def test_a_sale_moves_the_products_modified_date(rig: Any) -> None:
    product = await rig.list_woo("D")
    rig.sandbox.clock.move_to(rig.sandbox.clock.now_ms() + 60_000)
    rig.sandbox.market.place("woo", "D", 1, BUYER)
    after = (await rig.woo("GET", f"/products/{product['id']}")).json()
    assert after["date_modified_gmt"] > product["date_modified_gmt"]
