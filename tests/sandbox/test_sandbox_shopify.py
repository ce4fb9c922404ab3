"""The sandbox's Shopify behaves as its documents say: cost, scopes, keys, comparisons, refusals, deliveries."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from flipsync.sandbox.app import Sandbox, SandboxConfig
from flipsync.sandbox.buyers import Buyer
from flipsync.sandbox.orderbook import Refused
from flipsync.sandbox.shopify.search import terms
from flipsync.sandbox.shopify.server import Bucket

BUYER = Buyer(willing_minor=0, price_sensitivity=0.0, quantity=1)
HOME = "gid://shopify/Location/501"
SET = """mutation($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { reason changes { name delta quantityAfterChange item { id } } }
    userErrors { code field message }
  }
}"""


def setting(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"name": "available", "reason": "correction", "quantities": list(rows), **changes}


def quantity(item: str, units: int, before: int | None, **changes: Any) -> dict[str, Any]:
    return {"inventoryItemId": item, "locationId": HOME, "quantity": units, "changeFromQuantity": before, **changes}


async def item_of(shopify: Any, sku: str = "A", units: int = 9) -> str:
    product = await shopify.product(sku=sku, price="20.00", quantity=units)
    item: str = product["variants"]["nodes"][0]["inventoryItem"]["id"]
    return item


# Who may ask


async def test_a_token_that_is_unknown_or_expired_is_401(shopify: Any) -> None:
    for token in ("", "shpat_nobody"):
        response = await shopify.post({"query": "{ shop { name } }"}, token)
        assert response.status_code == 401 and response.json() == {
            "errors": "[API] Invalid API key or access token (unrecognized login or wrong password)"
        }
    shopify.sandbox.books.db.execute("UPDATE shopify_token SET until_s = 1 WHERE token = ?", (shopify.token,))
    assert (await shopify.post({"query": "{ shop { name } }"})).status_code == 401


async def test_a_field_without_its_scope_is_null_and_says_which(shopify: Any) -> None:
    shopify.server.tokens.keep("narrow", ("read_products",))
    query = "{ shop { name } orders(first: 1) { nodes { id } } productVariants(first: 1) { nodes { id } } }"
    response = (await shopify.post({"query": query}, "narrow")).json()
    (error,) = response["errors"]
    assert error["extensions"]["code"] == "ACCESS_DENIED" and error["path"] == ["orders"]
    assert "`read_orders` access scope" in error["extensions"]["requiredAccess"]
    assert response["data"] is None, "orders may not be null, so nothing is shown"
    query = '{ shop { name } order(id: "gid://shopify/Order/1") { id } }'
    answer = (await shopify.post({"query": query}, "narrow")).json()
    assert answer["data"] == {"shop": {"name": "Sandbox shop"}, "order": None}


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "client_credentials", "client_secret": "wrong"}, 401, "invalid_client"),
        ({"grant_type": "refresh_token", "refresh_token": "nothing"}, 400, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
async def test_the_token_endpoint_refuses(shopify: Any, form: dict[str, str], status: int, error: str) -> None:
    app = shopify.server.tokens.app
    body = {"client_id": app.client_id, "client_secret": app.client_secret, **form}
    for answer in (
        await shopify.http.post("/shopify/admin/oauth/access_token", data=body),
        await shopify.http.post("/shopify/admin/oauth/access_token", json=body),
    ):
        assert (answer.status_code, answer.json()["error"]) == (status, error)


async def test_an_old_refresh_token_ends_when_its_replacement_is_used(shopify: Any) -> None:
    tokens = shopify.server.tokens
    app = {"client_id": tokens.app.client_id, "client_secret": tokens.app.client_secret, "grant_type": "refresh_token"}
    old = tokens.install()["refresh_token"]
    _, first = tokens.grant(app | {"refresh_token": old})
    assert tokens.grant(app | {"refresh_token": old})[0] == 200, "the first answer may have been lost"
    assert tokens.scopes_of(first["access_token"]) is not None
    assert tokens.grant(app | {"refresh_token": old})[0] == 400


# What is understood


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ shop { nme } }", "undefinedField"),
        ("{ shop(id: 1) { name } }", "argumentNotAccepted"),
        ("{ shop { name }", "parse_error"),
        ("{ orders(first: 1, sortKey: LUCK) { nodes { id } } }", "argumentLiteralsIncompatible"),
    ],
)
async def test_what_the_schema_does_not_know_is_refused_before_anything_is_done(
    shopify: Any, query: str, code: str
) -> None:
    answer = await shopify.ask(query)
    assert set(answer) == {"errors"} and answer["errors"][0]["extensions"]["code"] == code


async def test_variables_are_checked_too(shopify: Any) -> None:
    query = "mutation($input: ProductSetInput!) { productSet(input: $input) { userErrors { message } } }"
    for body in ({"title": "A", "colour": "red"}, {"title": 7}, {"status": "SOLD"}, {"variants": [{"sku": "A"}]}):
        answer = await shopify.ask(query, {"input": body})
        assert "data" not in answer and answer["errors"][0]["extensions"]["code"] == "INVALID_VARIABLE", body
    bad_price = {"title": "A", "variants": [{"optionValues": [], "price": "cheap"}]}
    answer = await shopify.ask(query, {"input": bad_price})
    assert "invalid decimal 'cheap'" in answer["errors"][0]["message"]
    assert shopify.sandbox.books.count("listing", "channel = 'shopify'", ()) == 0


async def test_other_paths_methods_and_bodies(shopify: Any) -> None:
    headers = {"X-Shopify-Access-Token": shopify.token}
    assert (await shopify.http.post("/shopify/admin/api/2019-01/graphql.json", headers=headers)).status_code == 404
    assert (await shopify.http.get("/shopify/admin/api/2026-10/graphql.json", headers=headers)).status_code == 404
    assert (await shopify.post({"variables": {}})).status_code == 400
    two = "query A { shop { name } } query B { shop { id } }"
    assert (await shopify.post({"query": two})).json()["errors"]
    named = (await shopify.post({"query": two, "operationName": "B"})).json()
    assert named["data"] == {"shop": {"id": "gid://shopify/Shop/1"}}


# What it costs


async def test_cost_is_told_and_what_was_not_found_is_given_back(shopify: Any) -> None:
    shopify.server.bucket = Bucket(restore=0.001)
    answer = await shopify.ask("{ productVariants(first: 50) { nodes { id product { id } } } }")
    cost = answer["extensions"]["cost"]
    assert (cost["requestedQueryCost"], cost["actualQueryCost"]) == (100.0, 0.0)
    assert cost["throttleStatus"] == {"maximumAvailable": 2000.0, "currentlyAvailable": 2000, "restoreRate": 0.001}


async def test_beyond_the_bucket_a_document_is_throttled_with_http_200(shopify: Any) -> None:
    item = await item_of(shopify)
    shopify.server.bucket = Bucket(size=10.0, restore=0.5)
    answer = await shopify.ask(SET, {"input": setting(quantity(item, 1, None)), "key": "k"})
    assert answer["errors"][0]["extensions"]["code"] == "THROTTLED" and "data" not in answer
    cost = answer["extensions"]["cost"]
    assert (cost["requestedQueryCost"], cost["actualQueryCost"]) == (14.0, None)
    assert shopify.sandbox.books.listing_by_sku("shopify", "A").quantity == 9, "nothing happened"


async def test_the_bucket_fills_again(shopify: Any) -> None:
    now = [0.0]
    bucket = shopify.server.bucket = Bucket(size=3.0, restore=50.0, clock=lambda: now[0])
    query = {"query": "{ currentAppInstallation { accessScopes { handle } } }"}
    assert "data" in (await shopify.post(query)).json()
    assert bucket.left == 1.0, "what it costs at most is all that is charged"
    assert "data" not in (await shopify.post(query)).json()
    now[0] = 0.02
    assert "data" in (await shopify.post(query)).json()
    now[0] = 100.0
    bucket.fill()
    assert bucket.left == bucket.size


async def test_one_query_may_cost_a_thousand(shopify: Any) -> None:
    wide = "{ productVariants(first: 250) { nodes { id product { id } inventoryItem { id } } } }"
    assert "data" in await shopify.ask(wide)
    deep = "{ products(first: 250) { nodes { id variants(first: 4) { nodes { id } } } } }"
    (error,) = (await shopify.ask(deep))["errors"]
    assert error["extensions"] == {"code": "MAX_COST_EXCEEDED", "cost": 1250.0, "maxCost": 1000.0}


# Stock


async def test_a_comparison_that_fails_sets_nothing_of_the_whole_call(shopify: Any) -> None:
    one, two = await item_of(shopify, "A", 9), await item_of(shopify, "B", 4)
    answer = await shopify.ask(SET, {"input": setting(quantity(one, 1, 9), quantity(two, 2, 5)), "key": "k"})
    (error,) = answer["data"]["inventorySetQuantities"]["userErrors"]
    assert error["code"] == "CHANGE_FROM_QUANTITY_STALE"
    assert error["field"] == ["input", "quantities", "1", "changeFromQuantity"]
    books = shopify.sandbox.books
    assert [books.listing_by_sku("shopify", sku).quantity for sku in "AB"] == [9, 4]
    answer = await shopify.ask(SET, {"input": setting(quantity(one, 1, 9), quantity(two, 2, 4)), "key": "k2"})
    changes = answer["data"]["inventorySetQuantities"]["inventoryAdjustmentGroup"]["changes"]
    assert [(row["delta"], row["quantityAfterChange"]) for row in changes] == [(-8, 1), (-2, 2)]


async def test_a_key_does_its_work_once_and_only_its_own(shopify: Any) -> None:
    item = await item_of(shopify)
    body = {"input": setting(quantity(item, 5, None)), "key": "k"}
    await shopify.ask(SET, body)
    shopify.sandbox.market.place("shopify", "A", 2, BUYER)
    answer = await shopify.ask(SET, body)
    assert answer["data"]["inventorySetQuantities"]["userErrors"] == []
    assert shopify.sandbox.books.listing_by_sku("shopify", "A").quantity == 3
    answer = await shopify.ask(SET, {"input": setting(quantity(item, 6, None)), "key": "k"})
    (error,) = answer["data"]["inventorySetQuantities"]["userErrors"]
    assert error["code"] == "IDEMPOTENCY_KEY_PARAMETER_MISMATCH"


async def test_stock_without_a_key_or_a_comparison_is_refused(shopify: Any) -> None:
    item = await item_of(shopify)
    plain = SET.replace(" @idempotent(key: $key)", "").replace(", $key: String!", "")
    answer = await shopify.ask(plain, {"input": setting(quantity(item, 5, None))})
    assert "@idempotent directive is required" in answer["errors"][0]["message"]
    row = quantity(item, 5, None)
    del row["changeFromQuantity"]
    answer = await shopify.ask(SET, {"input": setting(row), "key": "k"})
    assert answer["data"]["inventorySetQuantities"]["userErrors"][0]["code"] == "COMPARE_QUANTITY_REQUIRED"


@pytest.mark.parametrize(
    ("changes", "row", "code"),
    [
        ({"name": "reserved"}, {}, "INVALID_NAME"),
        ({"reason": "because"}, {}, "INVALID_REASON"),
        ({}, {"locationId": "gid://shopify/Location/9"}, "INVALID_LOCATION"),
        ({}, {"inventoryItemId": "gid://shopify/InventoryItem/9"}, "INVALID_INVENTORY_ITEM"),
        ({}, {"quantity": 1_000_000_001}, "INVALID_QUANTITY_TOO_HIGH"),
    ],
)
async def test_stock_input_is_checked(shopify: Any, changes: dict[str, Any], row: dict[str, Any], code: str) -> None:
    item = await item_of(shopify)
    answer = await shopify.ask(SET, {"input": setting(quantity(item, 5, None, **row), **changes), "key": "k"})
    assert answer["data"]["inventorySetQuantities"]["userErrors"][0]["code"] == code


# Products and orders


async def test_a_product_is_not_on_sale_before_it_is_published(shopify: Any) -> None:
    product = await shopify.product(sku="A", price="20.00", quantity=9)
    unpublish = """mutation($id: ID!) { publishableUnpublish(id: $id,
      input: [{publicationId: "gid://shopify/Publication/1001"}]) { userErrors { message } } }"""
    await shopify.ask(unpublish, {"id": product["id"]})
    refused = shopify.sandbox.market.place("shopify", "A", 1, BUYER)
    assert isinstance(refused, Refused) and refused.reason == "not on sale"


async def test_a_taken_handle_is_refused_and_a_made_up_one_is_free(shopify: Any) -> None:
    first = await shopify.product(sku="A", price="20.00", quantity=9, title="Item")
    second = await shopify.product(sku="B", price="20.00", quantity=9, title="Item")
    assert [first["handle"], second["handle"]] == ["item", "item-1"]
    query = "mutation($input: ProductSetInput!) { productSet(input: $input) { userErrors { code field } } }"
    answer = await shopify.ask(query, {"input": {"title": "Item", "handle": "item"}})
    assert answer["data"]["productSet"]["userErrors"] == [{"code": "HANDLE_NOT_UNIQUE", "field": ["input", "handle"]}]


async def test_setting_the_variants_of_a_product_drops_those_that_are_left_out(shopify: Any) -> None:
    option = [{"name": "Size", "values": [{"name": "S"}, {"name": "M"}]}]
    variants = [
        {"optionValues": [{"optionName": "Size", "name": size}], "sku": size, "price": "5"} for size in ("S", "M")
    ]
    query = """mutation($id: ProductSetIdentifiers, $input: ProductSetInput!) {
      productSet(identifier: $id, input: $input) { product { id variants(first: 5) { nodes { id sku price } } }
      userErrors { code field message } } }"""
    made = await shopify.ask(query, {"input": {"title": "Shirt", "productOptions": option, "variants": variants}})
    product = made["data"]["productSet"]["product"]
    small = product["variants"]["nodes"][0]
    body = {"productOptions": option, "variants": [variants[0] | {"price": "6"}]}
    again = await shopify.ask(query, {"id": {"id": product["id"]}, "input": body})
    assert again["data"]["productSet"]["product"]["variants"]["nodes"] == [small | {"price": "6.00"}]


async def test_what_is_fulfilled_cannot_be_fulfilled_again(shopify: Any) -> None:
    await shopify.product(sku="A", price="20.00", quantity=9)
    order = shopify.sandbox.market.place("shopify", "A", 1, BUYER)
    assert (await shopify.fulfill(order.id))["fulfillment"]["status"] == "SUCCESS"
    again = await shopify.fulfill(order.id)
    assert again["fulfillment"] is None and "unfulfillable status= closed" in again["userErrors"][0]["message"]
    assert shopify.sandbox.books.db.execute("SELECT count(*) FROM shipment").fetchone()[0] == 1


async def test_orders_are_sorted_by_their_change_and_paged_through(shopify: Any) -> None:
    await shopify.product(sku="A", price="20.00", quantity=9)
    orders = []
    for _ in range(3):
        orders.append(shopify.sandbox.market.place("shopify", "A", 1, BUYER))
        await shopify.sandbox.market.advance(60)
    await shopify.fulfill(orders[0].id)
    since = shopify.sandbox.clock.now().isoformat()
    query = """query($after: String, $query: String) {
      orders(first: 2, after: $after, query: $query, sortKey: UPDATED_AT) {
        nodes { name } pageInfo { hasNextPage endCursor } } }"""
    first = (await shopify.ask(query))["data"]["orders"]
    rest = (await shopify.ask(query, {"after": first["pageInfo"]["endCursor"]}))["data"]["orders"]
    names = [row["name"] for row in first["nodes"] + rest["nodes"]]
    assert names == [f"#{order.id}" for order in (*orders[1:], orders[0])]
    assert (first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (True, False)
    late = await shopify.ask(query, {"query": f"updated_at:>='{since}'"})
    assert [row["name"] for row in late["data"]["orders"]["nodes"]] == [f"#{orders[0].id}"]


def test_search_terms_are_read_with_their_quotes() -> None:
    query = r"""sku:"A \"B\", C" AND id:>=7 updated_at:>'2026-03-02T14:00:00Z' x"""
    found = [(term.field, term.op, term.value) for term in terms(query)]
    assert found == [("sku", "", 'A "B", C'), ("id", ">=", "7"), ("updated_at", ">", "2026-03-02T14:00:00Z")]


# Deliveries


async def subscribe(shopify: Any, url: str, *topics: str) -> None:
    for topic in topics:
        answer = await shopify.ask(
            """mutation($t: WebhookSubscriptionTopic!, $s: WebhookSubscriptionInput!) {
              webhookSubscriptionCreate(topic: $t, webhookSubscription: $s) { userErrors { message } } }""",
            {"t": topic, "s": {"uri": url}},
        )
        assert answer["data"]["webhookSubscriptionCreate"]["userErrors"] == []


async def test_deliveries_are_signed_with_the_apps_secret(shopify: Any, listener: Any) -> None:
    await shopify.product(sku="A", price="20.00", quantity=9)
    await subscribe(shopify, listener.url, "ORDERS_CREATE", "PRODUCTS_UPDATE", "INVENTORY_LEVELS_UPDATE")
    order = shopify.sandbox.market.place("shopify", "A", 1, BUYER)
    await listener.reaches(3)
    bodies = {}
    for headers, body in listener.seen:
        digest = hmac.new(shopify.server.tokens.app.client_secret.encode(), body, hashlib.sha256).digest()
        assert headers["x-shopify-hmac-sha256"] == base64.b64encode(digest).decode()
        assert headers["x-shopify-webhook-id"] and headers["x-shopify-event-id"] and headers["x-shopify-triggered-at"]
        bodies[headers["x-shopify-topic"]] = json.loads(body)
    assert bodies["orders/create"]["admin_graphql_api_id"] == f"gid://shopify/Order/{order.id}"
    assert bodies["products/update"]["variants"][0]["inventory_quantity"] == 8
    assert bodies["inventory_levels/update"]["available"] == 8


async def test_cancellations_and_refunds_have_topics_of_their_own(shopify: Any, listener: Any) -> None:
    await shopify.product(sku="A", price="20.00", quantity=9)
    await subscribe(shopify, listener.url, "ORDERS_UPDATED", "ORDERS_CANCELLED", "REFUNDS_CREATE")
    one, two = (shopify.sandbox.market.place("shopify", "A", 1, BUYER) for _ in range(2))
    with shopify.sandbox.books.transaction():
        shopify.sandbox.market._order_event("cancellation", one.id, {})
    with shopify.sandbox.books.transaction():
        shopify.sandbox.market._order_event("refund", two.id, {"units": 1, "restock": False})
    await listener.reaches(4)
    topics = sorted(headers["x-shopify-topic"] for headers, _ in listener.seen)
    assert topics == ["orders/cancelled", "orders/updated", "orders/updated", "refunds/create"]
    refund = next(json.loads(body) for headers, body in listener.seen if headers["x-shopify-topic"] == "refunds/create")
    assert (refund["order_id"], refund["refund_line_items"][0]["restock_type"]) == (two.id, "no_restock")


async def test_one_address_is_taken_once_for_a_topic(shopify: Any, listener: Any) -> None:
    await subscribe(shopify, listener.url, "ORDERS_CREATE")
    with pytest.raises(AssertionError, match="already been taken"):
        await subscribe(shopify, listener.url, "ORDERS_CREATE")


def test_a_shop_is_kept_over_a_restart(tmp_path: Any) -> None:
    config = SandboxConfig(data=str(tmp_path / "books.db"), start_ms=1_772_460_000_000)
    known = []
    for _ in range(2):
        sandbox = Sandbox(config, "http://shop.test")
        known.append(sandbox.credentials()["shopify"])
        sandbox.books.close()
    assert known[0] == known[1] and known[0]["base_url"] == "http://shop.test/shopify"


# Faults


async def test_queries_are_no_writes_though_they_are_posted(shopify: Any) -> None:
    item = await item_of(shopify)
    shopify.sandbox.books.db.execute("DELETE FROM write_log")
    shopify.sandbox.faults.configure("shopify", {"error_after": 1.0})
    assert (await shopify.post({"query": "{ shop { name } }"})).status_code == 200
    written = await shopify.post({"query": SET, "variables": {"input": setting(quantity(item, 5, None)), "key": "k"}})
    assert written.status_code == 502 and set(written.json()) == {"errors"}
    rows = shopify.sandbox.books.db.execute("SELECT status, fault FROM write_log").fetchall()
    assert rows == [(200, "error_after")]
    assert shopify.sandbox.books.listing_by_sku("shopify", "A").quantity == 5


async def test_a_stale_read_shows_an_older_state_of_listings_and_orders(shopify: Any) -> None:
    faults = shopify.sandbox.faults
    faults.configure("shopify", {"stale_read": 1.0, "stale_seconds": 50.0})
    item = await item_of(shopify)
    await shopify.ask(SET, {"input": setting(quantity(item, 5, None)), "key": "k"})
    order = shopify.sandbox.market.place("shopify", "A", 1, BUYER)
    query = '{ productVariants(first: 5, query: "sku:A") { nodes { id } } orders(first: 5) { nodes { id } } }'
    # How old each answer is, is drawn; the last of these is from long before there was anything.
    seen = [(await shopify.ask(query))["data"] for _ in range(3)]
    assert seen[-1]["productVariants"]["nodes"] == seen[-1]["orders"]["nodes"] == []
    faults.configure("shopify", {}, replace=True)
    now = (await shopify.ask(query))["data"]
    assert now["orders"]["nodes"] == [{"id": f"gid://shopify/Order/{order.id}"}]


async def test_a_swallowed_write_changes_nothing_but_may_claim_to(shopify: Any) -> None:
    item = await item_of(shopify)
    shopify.sandbox.faults.configure("shopify", {"ignored_write": 1.0})
    after = set()
    for turn in range(12):
        answer = await shopify.ask(SET, {"input": setting(quantity(item, 5, None)), "key": f"k{turn}"})
        payload = answer["data"]["inventorySetQuantities"]
        assert payload["userErrors"] == []
        after.add(payload["inventoryAdjustmentGroup"]["changes"][0]["quantityAfterChange"])
    assert after == {5, 9}
    assert shopify.sandbox.books.listing_by_sku("shopify", "A").quantity == 9
