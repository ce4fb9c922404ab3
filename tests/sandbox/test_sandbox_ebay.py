"""The sandbox's eBay refuses what eBay refuses, counts what eBay counts, and keeps its books straight."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from ebay_documents import Documents
from pydantic import AnyHttpUrl, SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.ebay.client import EbayConnector
from flipsync.domain.channel import Offer
from flipsync.domain.money import usd
from flipsync.sandbox.buyers import Buyer
from flipsync.sandbox.client import SandboxClient
from flipsync.sandbox.ebay.server import EbayServer
from flipsync.sandbox.ebay.tokens import PUBLIC, Tokens, scope
from flipsync.sandbox.exchange import Call
from flipsync.sandbox.orderbook import Refused
from flipsync.sandbox.records import order_external_id

_INVENTORY, _ORDER = "/sell/inventory/v1", "/sell/fulfillment/v1/order"
ITEM: dict[str, Any] = {
    "availability": {"shipToLocationAvailability": {"quantity": 5}},
    "condition": "NEW",
    "product": {
        "title": "Lamp",
        "description": "A lamp.",
        "aspects": {"Brand": ["Lumen"]},
        "ean": ["4006381333931"],
        "imageUrls": ["https://img.example/1.jpg"],
    },
}
OFFER: dict[str, Any] = {
    "sku": "LAMP-1",
    "marketplaceId": "EBAY_US",
    "format": "FIXED_PRICE",
    "categoryId": "112581",
    "listingDescription": "A lamp.",
    "merchantLocationKey": "warehouse-1",
    "listingPolicies": {
        "paymentPolicyId": "6100000001",
        "fulfillmentPolicyId": "6200000001",
        "returnPolicyId": "6300000001",
    },
    "pricingSummary": {"price": {"value": "19.90", "currency": "USD"}},
}


class Seller:
    """Calls as an application makes them; every answer is judged by eBay's documents where they are there."""

    def __init__(self, rig: Any, documents: Documents | None) -> None:
        self.rig = rig
        self.documents = documents
        self.problems: list[str] = []
        self.server = next(each.app for each in rig.sandbox.served if isinstance(each.app, EbayServer))
        self.tokens: dict[str, str] = {}

    async def token(self, grant: str = "refresh_token", **fields: str) -> httpx2.Response:
        keys = self.server.tokens.keyset
        if grant == "refresh_token":
            fields = {"refresh_token": keys.refresh_token, **fields}
        pair = base64.b64encode(f"{keys.client_id}:{keys.client_secret}".encode()).decode()
        response: httpx2.Response = await self.rig.http.post(
            "/ebay/identity/v1/oauth2/token",
            data={"grant_type": grant, **fields},
            headers={"Authorization": f"Basic {pair}"},
        )
        return response

    async def call(
        self, method: str, path: str, body: Any = None, *, app: bool = False, token: str | None = None, **headers: str
    ) -> httpx2.Response:
        who = "application" if app else "seller"
        if token is None and who not in self.tokens:
            given = await (self.token("client_credentials", scope=scope("")[:-1]) if app else self.token())
            self.tokens[who] = given.json()["access_token"]
        sent = {"Authorization": f"Bearer {token or self.tokens.get(who)}", "Content-Language": "en-US", **headers}
        sent = {name: value for name, value in sent.items() if value}
        response: httpx2.Response = await self.rig.http.request(method, f"/ebay{path}", json=body, headers=sent)
        if self.documents is not None:
            self.problems += self.documents.answer(method, f"/ebay{path}", response)
        return response

    async def refused(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, int]:
        """Status and errorId."""
        response = await self.call(method, path, body, **more)
        return response.status_code, response.json()["errors"][0]["errorId"]

    async def list_lamp(self, sku: str = "LAMP-1", quantity: int = 5) -> str:
        item = {**ITEM, "availability": {"shipToLocationAvailability": {"quantity": quantity}}}
        assert (await self.call("PUT", f"{_INVENTORY}/inventory_item/{sku}", item)).status_code == 201
        made = await self.call("POST", f"{_INVENTORY}/offer", {**OFFER, "sku": sku})
        offer_id = str(made.json()["offerId"])
        assert (await self.call("POST", f"{_INVENTORY}/offer/{offer_id}/publish")).status_code == 200
        return offer_id


@pytest.fixture
async def seller(rig: Any, request: pytest.FixtureRequest) -> AsyncIterator[Seller]:
    documents = None
    with contextlib.suppress(pytest.skip.Exception):
        documents = Documents(request.getfixturevalue("contracts"))
    seller = Seller(rig, documents)
    yield seller
    assert "\n".join(seller.problems) == ""


# The gateway


async def test_tokens_are_given_for_what_was_consented_to(seller: Seller) -> None:
    given = (await seller.token()).json()
    assert given["expires_in"] == 7200 and given["token_type"] == "User Access Token"
    assert (await seller.token(scope=scope("sell.inventory"))).status_code == 200
    for fields, code in (
        ({"scope": scope("sell.everything")}, "invalid_scope"),
        ({"refresh_token": "what"}, "invalid_grant"),
    ):
        refused = await seller.token(**fields)
        assert (refused.status_code, refused.json()["error"]) == (400, code)
    assert (await seller.token("password")).json()["error"] == "unsupported_grant_type"
    keys = seller.server.tokens.keyset
    code = seller.server.tokens.consent()
    connected = await seller.token("authorization_code", code=code, redirect_uri=keys.redirect_name)
    assert connected.json()["refresh_token"] != keys.refresh_token, "each consent has its own"
    assert (await seller.token(refresh_token=connected.json()["refresh_token"])).status_code == 200
    assert connected.json()["refresh_token_expires_in"] == 47_304_000
    assert (await seller.token("authorization_code", code=code, redirect_uri=keys.redirect_name)).status_code == 400
    wrong = await seller.rig.http.post("/ebay/identity/v1/oauth2/token", data={"grant_type": "refresh_token"})
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")


async def test_a_token_outlives_the_process_that_gave_it(seller: Seller) -> None:
    token = (await seller.token()).json()["access_token"]
    again = Tokens(seller.server.tokens.keyset, seller.rig.sandbox.books)
    call = Call("GET", "/", [], {"authorization": f"Bearer {token}"}, b"", "http", "shop.test", "/")
    assert again.granted(call, one_of=PUBLIC).user


async def test_the_gateway_looks_at_token_scope_and_quota(seller: Seller) -> None:
    items = f"{_INVENTORY}/inventory_item"
    assert await seller.refused("GET", items, Authorization="") == (401, 1002)
    assert await seller.refused("GET", items, token="made up") == (401, 1001)
    assert await seller.refused("GET", items, app=True) == (403, 1100)
    reader = (await seller.token(refresh_token=seller.server.tokens.keyset.reader_token)).json()["access_token"]
    assert (await seller.call("GET", items, token=reader)).status_code == 200
    assert await seller.refused("PUT", f"{items}/A", ITEM, token=reader) == (403, 1100)
    seller.server.tokens.lifetime = 0
    spent = (await seller.token()).json()["access_token"]
    assert await seller.refused("GET", items, token=spent) == (401, 1001)
    seller.server.quotas.limits["/sell/inventory/"] = seller.server.quotas.counts["/sell/inventory/"] + 1
    assert (await seller.call("GET", items)).status_code == 200
    assert await seller.refused("GET", items) == (429, 2001)
    told = (await seller.call("GET", "/developer/analytics/v1_beta/rate_limit/?api_name=inventory", app=True)).json()
    (rate,) = told["rateLimits"][0]["resources"][0]["rates"]
    assert rate["remaining"] == 0 and rate["reset"].endswith("Z")


async def test_bodies_are_taken_as_the_documents_define_them(seller: Seller) -> None:
    path = f"{_INVENTORY}/inventory_item/LAMP-1"
    for wrong, id in (
        ({**ITEM, "colour": "red"}, 2004),
        ({**ITEM, "condition": "SHINY"}, 2004),
        ({"availability": {"shipToLocationAvailability": {"quantity": "5"}}}, 2004),
        ({"product": {"title": "x" * 81}}, 25709),
        ({"availability": {"shipToLocationAvailability": {"quantity": -1}}}, 25709),
    ):
        assert await seller.refused("PUT", path, wrong) == (400, id), wrong
    assert await seller.refused("PUT", path, ITEM, **{"Content-Language": ""}) == (400, 25709)
    assert await seller.refused("PUT", f"{_INVENTORY}/inventory_item/A%2FB", ITEM) == (400, 25707)
    assert await seller.refused("PUT", f"{_INVENTORY}/inventory_item/{'x' * 51}", ITEM) == (400, 25707)
    assert (await seller.rig.http.get("/ebay/sell/inventory/v1/nothing")).status_code == 404


# Listings


async def test_publishing_needs_all_that_ebay_shows(seller: Seller) -> None:
    bare = {"product": {"title": "Lamp", "description": "Text"}}
    assert (await seller.call("PUT", f"{_INVENTORY}/inventory_item/A", bare)).status_code == 201
    assert await seller.refused("POST", f"{_INVENTORY}/offer", {**OFFER, "sku": "B"}) == (400, 25702)
    made = await seller.call(
        "POST", f"{_INVENTORY}/offer", {"sku": "A", "marketplaceId": "EBAY_US", "format": "FIXED_PRICE"}
    )
    offer = f"{_INVENTORY}/offer/{made.json()['offerId']}"
    again = await seller.refused("POST", f"{_INVENTORY}/offer", {**OFFER, "sku": "A"})
    assert again == (400, 25002)
    steps: list[tuple[Any, Any, int]] = [
        ({**bare, "product": {**ITEM["product"], "aspects": {}}}, {}, 25021),
        ({**ITEM, "product": {**ITEM["product"], "aspects": {}}}, {}, 25003),
        (None, {"pricingSummary": OFFER["pricingSummary"]}, 25005),
        (None, {"categoryId": "112581"}, 25002),
        (ITEM, {}, 25008),
        (None, {"listingPolicies": OFFER["listingPolicies"]}, 25012),
    ]
    terms: dict[str, Any] = {}
    assert await seller.refused("POST", f"{offer}/publish") == (400, 25014)
    for item, more, id in steps:
        terms |= more
        if item is not None:
            assert (await seller.call("PUT", f"{_INVENTORY}/inventory_item/A", item)).status_code == 204
        assert (await seller.call("PUT", offer, terms)).status_code == 200
        assert await seller.refused("POST", f"{offer}/publish") == (400, id)
    empty = {**ITEM, "availability": {"shipToLocationAvailability": {"quantity": 0}}}
    await seller.call("PUT", f"{_INVENTORY}/inventory_item/A", empty)
    await seller.call("PUT", offer, {**terms, "merchantLocationKey": "warehouse-1"})
    assert await seller.refused("POST", f"{offer}/publish") == (400, 25004)
    await seller.call("PUT", f"{_INVENTORY}/inventory_item/A", ITEM)
    first = (await seller.call("POST", f"{offer}/publish")).json()["listingId"]
    assert (await seller.call("POST", f"{offer}/withdraw")).json()["listingId"] == first
    assert await seller.refused("POST", f"{offer}/withdraw") == (400, 25713)
    shown = (await seller.call("GET", offer)).json()
    assert shown["status"] == "UNPUBLISHED" and "listing" not in shown
    assert (await seller.call("POST", f"{offer}/publish")).json()["listingId"] != first
    assert (await seller.call("DELETE", offer)).status_code == 204
    assert await seller.refused("GET", f"{_INVENTORY}/offer?sku=A") == (404, 25713)


async def test_a_replaced_item_loses_what_is_left_out(seller: Seller) -> None:
    await seller.list_lamp()
    path = f"{_INVENTORY}/inventory_item/LAMP-1"
    assert await seller.refused("PUT", path, {"product": ITEM["product"]}) == (400, 25018)
    product = {**ITEM["product"], "title": "Lamp, new"}
    del product["ean"]
    assert (await seller.call("PUT", path, {**ITEM, "product": product})).status_code == 204
    shown = (await seller.call("GET", path)).json()
    assert shown["product"]["title"] == "Lamp, new" and "ean" not in shown["product"]


async def test_250_revisions_a_day(seller: Seller) -> None:
    await seller.list_lamp()
    body = {"requests": [{"sku": "LAMP-1", "shipToLocationAvailability": {"quantity": 4}}]}
    for number in range(250):
        body["requests"][0]["shipToLocationAvailability"]["quantity"] = number % 9 + 1
        done = await seller.call("POST", f"{_INVENTORY}/bulk_update_price_quantity", body)
        assert done.status_code == 200
    answered = await seller.call("POST", f"{_INVENTORY}/bulk_update_price_quantity", body)
    (row,) = answered.json()["responses"]
    assert (answered.status_code, row["statusCode"], row["errors"][0]["errorId"]) == (207, 400, 25019)
    await seller.rig.sandbox.market.advance(24 * 3600)
    assert (await seller.call("POST", f"{_INVENTORY}/bulk_update_price_quantity", body)).status_code == 200


async def test_bulk_rows_stand_alone(seller: Seller) -> None:
    offer_id = await seller.list_lamp()
    changed = {"offerId": offer_id, "price": {"value": "21.50", "currency": "USD"}}
    body = {
        "requests": [
            {"sku": "LAMP-1", "shipToLocationAvailability": {"quantity": 3}, "offers": [changed]},
            {"sku": "NOBODY", "shipToLocationAvailability": {"quantity": 3}},
            {"sku": "LAMP-1", "offers": [{"offerId": offer_id, "price": {"value": "1.00", "currency": "EUR"}}]},
        ]
    }  # fmt: skip
    answered = await seller.call("POST", f"{_INVENTORY}/bulk_update_price_quantity", body)
    assert answered.status_code == 207
    assert [(row["sku"], row["statusCode"]) for row in answered.json()["responses"]] == [
        ("LAMP-1", 200),
        ("LAMP-1", 200),
        ("NOBODY", 404),
        ("LAMP-1", 400),
        ("LAMP-1", 400),
    ]
    (row,) = seller.rig.sandbox.books.listings("channel = 'ebay'", ())
    assert (row.quantity, row.price_minor) == (3, 2150)
    assert await seller.refused("POST", f"{_INVENTORY}/bulk_update_price_quantity", {"requests": []}) == (400, 25709)
    twice = {"requests": [{"sku": "LAMP-1"}, {"sku": "LAMP-1"}]}
    assert await seller.refused("POST", f"{_INVENTORY}/bulk_get_inventory_item", twice) == (400, 25734)


# Orders, catalogue, notifications


async def test_orders_are_filtered_and_shipped_as_documented(seller: Seller) -> None:
    await seller.list_lamp()
    sold = place(seller)
    path = f"{_ORDER}/{sold}"
    for query, id in (
        ("filter=colour:[x..]", 30700),
        ("filter=lastmodifieddate:[..]", 30820),
        ("filter=lastmodifieddate:[yesterday..]", 30810),
        ("filter=lastmodifieddate:[2999-01-01T00:00:00.000Z..]", 30850),
        ("filter=creationdate:[2026-03-02T00:00:00.000Z..2026-03-01T00:00:00.000Z]", 30840),
        ("filter=lastmodifieddate:[2020-03-01T00:00:00.000Z..]", 30830),
        (f"orderIds={','.join(map(str, range(51)))}", 30900),
        ("limit=201", 31100),
        ("offset=-1", 31000),
        ("fieldGroups=EVERYTHING", 32800),
    ):
        assert await seller.refused("GET", f"{_ORDER}?{query}") == (400, id), query
    found = (await seller.call("GET", f"{_ORDER}?filter=creationdate:[2026-03-02T00:00:00.000Z..]")).json()
    assert [each["orderId"] for each in found["orders"]] == [sold]
    assert await seller.refused("GET", f"{_ORDER}/nonsense") == (400, 32100)
    assert await seller.refused("GET", f"{_ORDER}/27-99999-70193") == (404, 32100)
    line = found["orders"][0]["lineItems"][0]["lineItemId"]
    ship = {"lineItems": [{"lineItemId": line, "quantity": 1}], "shippingCarrierCode": "UPS", "trackingNumber": "1Z9"}
    for wrong, id in (
        ({**ship, "trackingNumber": "1Z 9"}, 32300),
        ({"trackingNumber": "1Z9"}, 32300),
        ({**ship, "lineItems": [{"lineItemId": "1", "quantity": 1}]}, 32200),
        ({**ship, "lineItems": ship["lineItems"] * 2}, 32210),
        ({**ship, "carrier": "UPS"}, 2004),
    ):
        assert await seller.refused("POST", f"{path}/shipping_fulfillment", wrong) == (400, id)
    done = await seller.call("POST", f"{path}/shipping_fulfillment", ship)
    assert done.status_code == 201 and done.headers["Location"].endswith("/shipping_fulfillment/1Z9")
    assert (await seller.call("GET", path)).json()["orderFulfillmentStatus"] == "FULFILLED"


def place(seller: Seller, sku: str = "LAMP-1", quantity: int = 1) -> str:
    buyer = Buyer(willing_minor=0, price_sensitivity=0.0, quantity=quantity)
    placed = seller.rig.sandbox.market.place("ebay", sku, quantity, buyer)
    assert not isinstance(placed, Refused), placed
    return order_external_id("ebay", placed.id)


async def test_refunds_are_refused_as_documented(seller: Seller) -> None:
    await seller.list_lamp()
    path = f"{_ORDER}/{place(seller)}/issue_refund"
    for value, currency, id in (
        ("1.00", "EUR", 34909),
        ("0.00", "USD", 34907),
        ("x", "USD", 34907),
        ("999.00", "USD", 34915),
    ):
        wish = {"reasonForRefund": "OTHER_ADJUSTMENT", "orderLevelRefundAmount": {"value": value, "currency": currency}}
        assert await seller.refused("POST", path, wish) == (400, id), value


async def test_a_list_that_ends_early_counts_what_it_shows(seller: Seller) -> None:
    for sku in "ABCD":
        await seller.list_lamp(sku)
    seller.rig.sandbox.inject("ebay", "list-truncated")
    body = (await seller.call("GET", f"{_INVENTORY}/inventory_item?limit=100")).json()
    assert len(body["inventoryItems"]) == body["total"] < 4


async def test_what_anybody_may_ask(seller: Seller) -> None:
    await seller.list_lamp()
    search, tree = "/buy/browse/v1/item_summary/search", "/commerce/taxonomy/v1/category_tree"
    for query, id in (
        ("limit=5", 12001),
        ("q=lamp&limit=201", 12006),
        ("q=lamp&offset=3", 12515),
        ("q=lamp&sort=colour", 12008),
        ("q=lamp&filter=colour:{red}", 12002),
    ):
        assert await seller.refused("GET", f"{search}?{query}", app=True) == (400, id)
    found = (await seller.call("GET", f"{search}?gtin=4006381333931&sort=price", app=True)).json()["itemSummaries"]
    assert "flipsync_seller" in {each["seller"]["username"] for each in found} and len(found) >= 2
    assert [float(each["price"]["value"]) for each in found] == sorted(float(each["price"]["value"]) for each in found)
    query = "q=lamp&filter=buyingOptions:{FIXED_PRICE},excludeSellers:{flipsync_seller}"
    others = (await seller.call("GET", f"{search}?{query}", app=True)).json()["itemSummaries"]
    assert len(others) == len(found) - 1
    assert (await seller.call("GET", f"{search}?gtin=1", app=True)).json()["total"] == 0
    assert await seller.refused("GET", f"{tree}/9/get_category_suggestions?q=x", app=True) == (400, 62004)
    assert await seller.refused("GET", f"{tree}/0/get_item_aspects_for_category?category_id=1", app=True) == (
        400,
        62005,
    )
    for path in ("payment_policy", "return_policy", "fulfillment_policy"):
        none = (await seller.call("GET", f"/sell/account/v1/{path}?marketplace_id=EBAY_GB")).json()
        assert none["total"] == 0


async def test_the_catalogue_is_the_sellers_to_look_into(seller: Seller) -> None:
    await seller.list_lamp()
    root = "/commerce/catalog/v1_beta"
    search = f"{root}/product_summary/search"
    for query, id in (
        ("limit=5", 75001),
        ("q=lamp&gtin=4006381333931", 75018),
        ("q=lamp&limit=201", 75004),
        ("gtin=4006381-3", 75017),
    ):
        assert await seller.refused("GET", f"{search}?{query}") == (400, id)
    assert (await seller.refused("GET", f"{search}?q=lamp", app=True))[0] == 403
    (found,) = (await seller.call("GET", f"{search}?gtin=4006381333931,4006381333948")).json()["productSummaries"]
    (same,) = (await seller.call("GET", f"{search}?q=sofa lamp")).json()["productSummaries"]
    assert found["epid"] == same["epid"] and found["gtin"] == ["4006381333931"]
    assert (await seller.call("GET", f"{search}?q=sofa,lamp")).status_code == 204
    whole = (await seller.call("GET", f"{root}/product/{found['epid']}")).json()
    assert whole["title"] == found["title"]
    assert await seller.refused("GET", f"{root}/product/1") == (400, 75010)
    offers = (await seller.call("GET", f"/buy/browse/v1/item_summary/search?epid={found['epid']}", app=True)).json()
    assert offers["total"] >= 2


async def test_destinations_must_answer_and_subscriptions_must_fit(seller: Seller) -> None:
    root = "/commerce/notification/v1"
    token = "t" * 32
    asked: list[str] = []

    async def answer(url: str, code: str) -> str:
        asked.append(url)
        return hashlib.sha256(f"{code}{token}{url}".encode()).hexdigest() if "good" in url else "wrong"

    seller.server.notification.challenge = answer
    body = {
        "name": "n",
        "status": "ENABLED",
        "deliveryConfig": {"endpoint": "https://good.example/hook", "verificationToken": token},
    }
    config: dict[str, Any] = body["deliveryConfig"]
    assert await seller.refused("GET", f"{root}/config", app=True) == (404, 195026)
    assert await seller.refused("POST", f"{root}/destination", body, app=True) == (409, 195003)
    assert (await seller.call("PUT", f"{root}/config", {"alertEmail": "a@b.example"}, app=True)).status_code == 204
    for wrong, refusal in (
        ({**body, "deliveryConfig": {**config, "endpoint": "http://good.example"}}, (400, 195017)),
        ({**body, "deliveryConfig": {**config, "verificationToken": "short"}}, (400, 195019)),
        ({**body, "status": "MARKED_DOWN"}, (400, 195018)),
        ({**body, "deliveryConfig": {**config, "endpoint": "https://bad.example"}}, (409, 195020)),
    ):
        assert await seller.refused("POST", f"{root}/destination", wrong, app=True) == refusal
    made = await seller.call("POST", f"{root}/destination", body, app=True)
    destination = made.headers["Location"].rsplit("/", 1)[1]
    assert await seller.refused("POST", f"{root}/destination", body, app=True) == (409, 195021)
    payload = {"format": "JSON", "deliveryProtocol": "HTTPS", "schemaVersion": "1.0"}
    wanted = {
        "topicId": "ORDER_CONFIRMATION",
        "status": "ENABLED",
        "destinationId": destination,
        "payload": payload,
    }
    for changes, refusal in (
        ({"topicId": "ITEM_SOLD"}, (400, 195027)),
        ({"status": "ON"}, (400, 195006)),
        ({"destinationId": "d"}, (400, 195007)),
        ({"payload": {**payload, "schemaVersion": "9"}}, (400, 195008)),
        ({"payload": {**payload, "format": "XML"}}, (400, 195009)),
        ({"payload": {**payload, "deliveryProtocol": "FTP"}}, (400, 195010)),
    ):
        assert await seller.refused("POST", f"{root}/subscription", {**wanted, **changes}) == refusal
    assert await seller.refused("POST", f"{root}/subscription", wanted, app=True) == (403, 195011)
    done = await seller.call("POST", f"{root}/subscription", wanted)
    id = done.headers["Location"].rsplit("/", 1)[1]
    assert await seller.refused("POST", f"{root}/subscription", wanted) == (409, 195012)
    assert (await seller.call("POST", f"{root}/subscription/{id}/disable")).status_code == 204
    (listed,) = (await seller.call("GET", f"{root}/subscription")).json()["subscriptions"]
    assert listed["status"] == "DISABLED"
    assert (await seller.call("GET", f"{root}/subscription", app=True)).json()["total"] == 0, "the seller's, not ours"
    assert await seller.refused("POST", f"{root}/subscription/99/enable") == (404, 195013)
    assert await seller.refused("GET", f"{root}/public_key/what", app=True) == (404, 195001)
    assert await seller.refused("GET", f"{root}/topic?limit=5", app=True) == (400, 195004)


# Over the wire


class Endpoint:
    """Answers challenges and takes deliveries on a real port."""

    def __init__(self, secret: SecretStr) -> None:
        self.secret = secret
        self.url = ""
        self.deliveries: list[tuple[dict[str, str], bytes]] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, _ = head.split("\r\n")[0].split(" ")
            rows = [line.partition(": ") for line in head.split("\r\n")[1:] if line]
            headers = {name.lower(): value for name, _, value in rows}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            told = b""
            if method == "GET":
                query = {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}
                told = json.dumps(EbayConnector.answer_challenge(query, self.secret, self.url)).encode()
            else:
                self.deliveries.append((headers, body))
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(told)}\r\nConnection: close\r\n\r\n".encode() + told)
            await writer.drain()
            writer.close()


async def test_the_connector_and_the_books_agree_over_http(serve: Any, tmp_path: Path) -> None:
    info, _ = serve("--seed", "5")
    async with SandboxClient(info["base_url"], info["control_token"]) as control:
        keys = (await control.credentials())["ebay"]
        config = AccountConfig(
            vendor="ebay", base_url=AnyHttpUrl(keys["base_url"]), currency="USD", options=keys["options"]
        )
        secrets = {name: SecretStr(keys[name]) for name in ("client_id", "client_secret", "refresh_token")}
        endpoint = Endpoint(SecretStr("a-secret-of-some-length"))
        server = await asyncio.start_server(endpoint.handle, "127.0.0.1", 0)
        endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        async with EbayConnector(config, secrets, Unlimited(), "test") as connector:
            for number in range(4):
                offer = Offer(
                    sku=f"S{number}",
                    title=f"Item {number}",
                    price=usd("20.00"),
                    quantity=60,
                    images=("https://img.example/1.jpg",),
                )
                assert (await connector.publish(offer, f"p{number}")).status == "active"
            await connector.ensure_webhooks(endpoint.url, endpoint.secret)
            begin = (await control.status())["market_time"]
            sold = await control.place_order("ebay", "S1", 2)
            await control.flush_webhooks()
            headers, body = endpoint.deliveries[0]
            notice = await connector.verify_webhook(headers, body, endpoint.secret)
            assert (notice.kind, notice.resource_id) == ("order", sold["id"])
            await control.open_for_business(traffic=8, cancel_share=0.2, refund_share=0.3, rivals=False)
            await control.advance(3 * 86_400)
            held: dict[str, int] = {}
            count = 0
            since = datetime.fromisoformat(begin) - timedelta(days=1)
            async for order in connector.orders(since):
                count += 1
                for line in order.lines:
                    back = sum(refund.restocked.get(line.external_id, 0) for refund in order.refunds)
                    held[line.sku] = held.get(line.sku, 0) + (line.quantity - back if order.holds_stock else 0)
            books = await control.books()
            assert count == books["orders_total"] > 30
            assert held == {sku: truth["units_held"] for sku, truth in books["skus"].items()}
            assert books["inconsistencies"] == [] and not any(books["double_side_effects"].values())
        server.close()
