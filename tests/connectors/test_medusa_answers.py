"""Medusa's answers, as a real 2.21 shop gave them: keys, sessions, money, stock, orders and pages, without a shop."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, QuantityChange, Unlimited
from flipsync.connectors.marketplaces.stores.medusa import MedusaStore
from flipsync.connectors.vault import MemoryVault
from flipsync.domain.channel import Offer, OfferGroup
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable, Unreadable
from flipsync.domain.money import Money, usd

LEVEL = {"location_id": "sloc_1", "stocked_quantity": 5, "reserved_quantity": 2}
PRODUCT = {"id": "prod_1", "title": "Lamp", "status": "published"}
ALONE = [{"value": "Default", "option": {"id": "opt_1", "title": "Default"}}]


def price(code: str, amount: float, **more: Any) -> dict[str, Any]:
    return {"id": f"price_{code}", "currency_code": code, "amount": amount, "min_quantity": None, "rules": {}, **more}


VARIANT: dict[str, Any] = {
    "id": "variant_1",
    "sku": "LAMP",
    "title": "Lamp",
    "barcode": None,
    "metadata": {"flipsync_key": "k1", "flipsync_state": ""},
    "updated_at": "2026-11-25T19:00:38.938Z",
    "manage_inventory": True,
    "product_id": "prod_1",
    "prices": [price("eur", 17.5), price("usd", 15, min_quantity=10), price("usd", 19.9)],
    "product": PRODUCT,
    "options": ALONE,
    "inventory_items": [
        {"inventory_item_id": "iitem_1", "required_quantity": 1, "inventory": {"location_levels": [LEVEL]}}
    ],
}
ORDER: dict[str, Any] = {
    "id": "order_1",
    "display_id": 12,
    "status": "pending",
    "created_at": "2026-11-25T19:00:40.842Z",
    "updated_at": "2026-11-25T19:00:40.842Z",
    "currency_code": "usd",
    "total": 44.79,
    "credit_line_total": 0,
    "shipping_total": 4.99,
    "shipping_tax_total": 0,
    "tax_total": 0,
    "email": "avery@example.com",
    "payment_status": "authorized",
    "fulfillment_status": "not_fulfilled",
    "items": [
        {
            "id": "ordli_1",
            "title": "Lamp",
            "variant_id": "variant_1",
            "variant_sku": "LAMP",
            "quantity": 2,
            "total": 39.8,
            "tax_total": 0,
            "detail": {"fulfilled_quantity": 0, "return_received_quantity": 0},
        }
    ],
    "shipping_address": {
        "first_name": "Avery",
        "last_name": "Lane",
        "company": None,
        "address_1": "411 Elm Street",
        "province": "us-il",
        "country_code": "us",
    },
    "fulfillments": [],
    "payment_collections": [{"payments": [{"updated_at": "2026-11-25T19:00:40.979Z", "refunds": []}]}],
}


class Shop:
    """Answers by method and path; what is not named is Medusa's own 404."""

    def __init__(self) -> None:
        self.routes: dict[str, Any] = {
            "GET /admin/stores": {"stores": [{"default_location_id": None, "default_sales_channel_id": "sc_1"}]},
            "GET /admin/stock-locations": {"stock_locations": [{"id": "sloc_1", "name": "Home"}]},
            "GET /admin/product-variants": {"variants": [VARIANT]},
        }
        self.logins = 0
        self.token = "jwt-1"
        self.seen: list[tuple[str, dict[str, Any], httpx2.Request]] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content) if request.content else {}
        call = f"{request.method} {request.url.path}"
        self.seen.append((call, body, request))
        if request.url.path == "/auth/user/emailpass":
            if body["password"] != "right":
                told = {"type": "unauthorized", "message": "Invalid email or password"}
                return httpx2.Response(401, json=told)
            self.logins += 1
            return httpx2.Response(200, json={"token": self.token})
        key = base64.b64encode(b"sk_1:").decode()
        if request.headers.get("authorization") not in (f"Basic {key}", f"Bearer {self.token}"):
            return httpx2.Response(401, json={"message": "Unauthorized"})
        for pattern, found in self.routes.items():
            if re.fullmatch(pattern, call):
                told = found(request, body) if callable(found) else found
                return told if isinstance(told, httpx2.Response) else httpx2.Response(200, json=told)
        return httpx2.Response(404, json={"type": "not_found", "message": "Not found"})

    def writes(self) -> list[tuple[str, dict[str, Any]]]:
        return [(call, body) for call, body, _ in self.seen if not call.startswith("GET") and "/auth/" not in call]

    def connector(self, options: dict[str, str] | None = None, **credentials: str) -> MedusaStore:
        keys = {name: SecretStr(value) for name, value in (credentials or {"api_key": "sk_1"}).items()}
        config = AccountConfig(vendor="medusa", base_url="http://shop.test/", currency="USD", options=options or {})
        self.vault = MemoryVault(keys)
        transport = httpx2.MockTransport(self.answer)
        return MedusaStore(config, keys, Unlimited(), "a", vault=self.vault, transport=transport)


async def test_a_session_that_ended_is_renewed_once() -> None:
    shop = Shop()
    connector = shop.connector(email="o@shop.test", password="right", access_token="old")
    assert await connector.read_listing("variant_1") is not None
    assert shop.logins == 1
    assert shop.vault.credentials["access_token"].get_secret_value() == "jwt-1"


@pytest.mark.parametrize("wrong", [{"api_key": "sk_wrong"}, {"email": "o@shop.test", "password": "sk_wrong"}])
async def test_wrong_credentials_are_never_shown(wrong: dict[str, str]) -> None:
    with pytest.raises(Rejected) as refused:
        await Shop().connector(**wrong).probe()
    assert refused.value.auth and "sk_wrong" not in f"{refused.value}{refused.value.hint}"


async def test_places_must_be_said_where_there_are_several() -> None:
    shop = Shop()
    rows = [{"id": "sloc_1", "name": "Home"}, {"id": "sloc_2", "name": "Attic"}]
    shop.routes["GET /admin/stock-locations"] = {"stock_locations": rows}
    with pytest.raises(Rejected, match=r"location_id.*Home \(sloc_1\), Attic \(sloc_2\)"):
        await shop.connector().read_listing("variant_1")
    assert await shop.connector({"location_id": "sloc_2"}).read_listing("variant_1") is not None
    shop.routes["GET /admin/stores"] = {"stores": [{"default_location_id": "sloc_1"}]}
    state = await shop.connector().read_listing("variant_1")
    assert state is not None and state.quantity == 3
    shop.routes["GET /admin/stores"] = {"stores": [{"default_location_id": None}]}
    shop.routes["GET /admin/stock-locations"] = {"stock_locations": []}
    with pytest.raises(Rejected, match="none"):
        await shop.connector().read_listing("variant_1")


async def test_a_new_product_goes_to_the_default_channel_with_the_default_profile() -> None:
    profiles = [{"id": "sp_2", "name": "Bulky", "type": "other"}, {"id": "sp_1", "name": "Main", "type": "default"}]
    shop = Shop()
    shop.routes["GET /admin/product-variants"] = {"variants": []}
    shop.routes["GET /admin/shipping-profiles"] = {"shipping_profiles": profiles}
    shop.routes["POST /admin/products"] = httpx2.Response(500)
    images = ("https://img.example/lamp.jpg",)
    wanted = Offer(sku="LAMP", title="Lamp", price=usd("5.00"), quantity=1, barcode="4006381333931", images=images)
    with pytest.raises(OutcomeUnknown):
        await shop.connector().publish(wanted, "k1")
    ((_, body),) = shop.writes()
    assert (body["status"], body["sales_channels"], body["shipping_profile_id"]) == ("draft", [{"id": "sc_1"}], "sp_1")
    assert body["images"] == [{"url": "https://img.example/lamp.jpg"}]
    (variant,) = body["variants"]
    assert (variant["sku"], variant["barcode"], variant["prices"]) == (
        "LAMP",
        "4006381333931",
        [{"currency_code": "usd", "amount": 5}],
    )
    assert variant["metadata"] == {"flipsync_key": "k1", "flipsync_state": "making"}


@pytest.mark.parametrize(
    ("changes", "status", "price_now", "quantity"),
    [
        ({}, "active", usd("19.90"), 3),
        ({"manage_inventory": False}, "active", usd("19.90"), None),
        ({"inventory_items": []}, "active", usd("19.90"), 0),
        ({"prices": [price("eur", 17.5)]}, "active", None, 3),
        ({"prices": [price("usd", 1, rules={"region_id": "reg_1"}), price("usd", 8)]}, "active", usd("8.00"), 3),
        ({"metadata": {"flipsync_state": "ended"}}, "ended", usd("19.90"), 3),
        ({"metadata": {"flipsync_state": "making"}}, "draft", usd("19.90"), 3),
        ({"metadata": None, "product": {**PRODUCT, "status": "draft"}}, "draft", usd("19.90"), 3),
    ],
)
async def test_a_variant(changes: dict[str, Any], status: str, price_now: Money | None, quantity: int | None) -> None:
    shop = Shop()
    shop.routes["GET /admin/product-variants"] = {"variants": [{**VARIANT, **changes}]}
    state = await shop.connector().read_listing("variant_1")
    assert state is not None
    assert (state.status, state.price, state.quantity, state.group_external_id) == (status, price_now, quantity, None)


async def test_kits_count_in_kits() -> None:
    items = [{**VARIANT["inventory_items"][0], "required_quantity": 2}]
    shop = Shop()
    shop.routes["GET /admin/product-variants"] = {"variants": [{**VARIANT, "inventory_items": items}]}
    shop.routes["POST /admin/inventory-items/.*"] = {}
    state = await shop.connector().set_quantity("variant_1", 4, "k")
    assert state.quantity == 1
    (written,) = shop.writes()
    assert written == ("POST /admin/inventory-items/iitem_1/location-levels/sloc_1", {"stocked_quantity": 10})
    await shop.connector().set_quantities([QuantityChange("variant_1", 4, "k")])
    level = {"inventory_item_id": "iitem_1", "location_id": "sloc_1", "stocked_quantity": 10}
    assert shop.writes()[-1] == (
        "POST /admin/inventory-items/location-levels/batch",
        {"create": [], "update": [level]},
    )


async def test_a_kit_of_several_items_has_as_many_as_its_scarcest_and_is_not_counted_by_us() -> None:
    def part(number: int, stocked: int, needed: int) -> dict[str, Any]:
        level = {"location_id": "sloc_1", "stocked_quantity": stocked, "reserved_quantity": 0}
        item = {"inventory_item_id": f"iitem_{number}", "required_quantity": needed}
        return {**item, "inventory": {"location_levels": [level]}}

    shop = Shop()
    items = [part(1, 10, 2), part(2, 3, 1)]
    shop.routes["GET /admin/product-variants"] = {"variants": [{**VARIANT, "inventory_items": items}]}
    state = await shop.connector().read_listing("variant_1")
    assert state is not None and state.quantity == 3
    with pytest.raises(Rejected, match="several inventory items"):
        await shop.connector().set_quantity("variant_1", 4, "k")
    (outcome,) = await shop.connector().set_quantities([QuantityChange("variant_1", 4, "k")])
    assert isinstance(outcome.error, Rejected)
    assert shop.writes() == []


@pytest.mark.parametrize("spoilt", [1, 2], ids=["before", "after"])
async def test_one_row_that_cannot_be_read_holds_up_no_other(spoilt: int) -> None:
    """It is unreadable from the first or from the second reading on."""
    shop, reads = Shop(), 0

    def rows(request: httpx2.Request, body: dict[str, Any]) -> Any:
        nonlocal reads
        reads += 1
        asked = [value for name, value in request.url.params.items() if name.startswith("id")]
        bad = {"updated_at": "soon"} if reads >= spoilt else {}
        return {"variants": [{**VARIANT, "id": each, **(bad if each == "variant_2" else {})} for each in asked]}

    shop.routes["GET /admin/product-variants"] = rows
    shop.routes["POST /admin/inventory-items/.*"] = {}
    changes = [QuantityChange(f"variant_{number}", 3, "k") for number in (1, 2, 3)]
    outcomes = await shop.connector().set_quantities(changes)
    assert [outcome.state is not None for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, OutcomeUnknown if spoilt == 2 else Retryable)


async def test_prices_are_asked_for_with_their_rules() -> None:
    """Without them a region's own price looks like everybody's, and would be taken away with the next price."""
    shop = Shop()
    await shop.connector().read_listing("variant_1")
    assert "*prices.price_rules" in shop.seen[-1][2].url.params["fields"].split(",")


async def test_a_price_keeps_those_beside_it_and_its_own_digits() -> None:
    shop = Shop()
    shop.routes["POST /admin/products/prod_1/variants/variant_1"] = {}
    await shop.connector().set_price("variant_1", usd("0.10"), "k")
    ((_, body),) = shop.writes()
    assert body["prices"] == [
        {"id": "price_eur", "currency_code": "eur", "amount": 17.5},
        {"id": "price_usd", "currency_code": "usd", "amount": 15, "min_quantity": 10},
        {"currency_code": "usd", "amount": 0.1},
    ]
    raw = shop.seen[-2][2].content
    assert b'"amount":0.1}' in raw


@pytest.mark.parametrize("minor", [1, 10, 199, 1990, 100, 123456789012345])
def test_amounts_go_out_and_come_back_the_same(minor: int) -> None:
    connector = Shop().connector()
    money = Money(amount_minor=minor, currency="USD")
    assert connector.money(json.loads(json.dumps(connector.amount(money)))) == money


@pytest.mark.parametrize(
    ("answer", "read", "write"),
    [
        (httpx2.Response(500, json={"type": "unknown_error", "message": "x"}), Retryable, OutcomeUnknown),
        (httpx2.Response(400, json={"type": "invalid_data", "message": "x"}), Rejected, Rejected),
        (httpx2.Response(409, json={"code": "invalid_state_error", "type": "conflict"}), Retryable, Retryable),
        (httpx2.Response(409, json={"type": "something_else"}), Rejected, Rejected),
        (httpx2.Response(429), Retryable, Retryable),
        (httpx2.Response(200, text="<html>"), Retryable, OutcomeUnknown),
    ],
)
async def test_each_failure_is_one_of_three(
    answer: httpx2.Response, read: type[Exception], write: type[Exception]
) -> None:
    shop = Shop()
    shop.routes["GET /admin/product-variants"] = answer
    with pytest.raises(read):
        await shop.connector().read_listing("variant_1")
    shop = Shop()
    shop.routes["POST /admin/products/prod_1/variants/variant_1"] = answer
    with pytest.raises(write) as failed:
        await shop.connector().set_price("variant_1", usd("1.00"), "k")
    if write is Rejected:
        assert getattr(failed.value, "vendor_code", "") == answer.json()["type"]


async def test_an_answer_without_what_is_needed_is_not_taken_for_one() -> None:
    shop = Shop()
    shop.routes["GET /admin/product-variants"] = {"something": "else"}
    with pytest.raises(Retryable, match="variants"):
        await shop.connector().find_listing("LAMP")


async def test_a_listing_that_cannot_be_read_hinders_no_other_and_is_told_at_the_end() -> None:
    shop = Shop()
    rows = [{**VARIANT, "id": f"variant_{n}", "sku": f"S{n}"} for n in range(3)]
    rows[1]["updated_at"] = "yesterday"
    shop.routes["GET /admin/product-variants"] = {"variants": rows}
    connector, told = shop.connector(), []
    with pytest.raises(Unreadable, match=r"1 listings cannot be read: variant_1: "):
        async for state in connector.listings():
            told.append(state.sku)
    assert told == ["S0", "S2"]
    ids = [row["id"] for row in rows]
    assert list(await connector.read_listings(ids)) == ["variant_0", "variant_2"]
    shop.routes["GET /admin/product-variants"] = {"variants": rows[1:2]}
    with pytest.raises(Unreadable):
        await connector.read_listings(ids[1:2])


async def test_lists_are_read_page_by_page() -> None:
    def page(request: httpx2.Request, body: dict[str, Any]) -> Any:
        start, size = int(request.url.params["offset"]), int(request.url.params["limit"])
        ids = range(250)[start : start + size]
        return {"variants": [{**VARIANT, "id": f"variant_{n}", "sku": f"S{n}"} for n in ids]}

    shop = Shop()
    shop.routes["GET /admin/product-variants"] = page
    assert [state.sku async for state in shop.connector().listings()] == [f"S{n}" for n in range(250)]


@pytest.mark.parametrize("since_217", [True, False])
async def test_a_missing_choice_is_added_as_the_version_wants_it(since_217: bool) -> None:
    group = OfferGroup(key="TEE", title="Tee", options=("Size",), values={"Size": ("S",)})
    wanted = Offer(sku="TEE-M", title="Tee M", price=usd("5.00"), quantity=1, group=group, choices=("M",))
    options = [{"id": "opt_9", "title": "size", "values": [{"value": "S"}]}]
    shop = Shop()
    shop.routes["GET /admin/product-variants"] = {"variants": []}
    shop.routes["GET /admin/products"] = {"products": [{**PRODUCT, "options": options, "variants": []}]}
    shop.routes["POST /admin/products/prod_1/variants"] = httpx2.Response(500)
    path = "POST /admin/products/prod_1/options/" + ("batch" if since_217 else "opt_9")
    shop.routes[path] = {}
    with pytest.raises(OutcomeUnknown):
        await shop.connector().publish(wanted, "k")
    done = dict(shop.writes())
    assert done[path] == (
        {"update": [{"product_option_id": "opt_9", "add": [{"value": "M"}]}]}
        if since_217
        else {"title": "size", "values": ["S", "M"]}
    )


# Orders


def told(**changes: Any) -> Any:
    return Shop().connector().order({**ORDER, **changes})


def test_an_order_in_major_units() -> None:
    order = told()
    assert (order.status, order.holds_stock, order.total, order.shipping) == ("paid", True, usd("44.79"), usd("4.99"))
    assert (order.lines[0].total, order.lines[0].quantity, order.number) == (usd("39.80"), 2, "12")
    assert (order.ship_to.name, order.ship_to.region, order.ship_to.country) == ("Avery Lane", "IL", "US")
    assert order.modified_at == datetime(2026, 11, 25, 19, 0, 40, 979000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "status", "holds"),
    [
        ({"payment_status": "not_paid"}, "pending", True),
        ({"payment_status": "requires_action"}, "pending", True),
        ({"payment_status": "captured"}, "paid", True),
        ({"payment_status": "captured", "fulfillment_status": "fulfilled"}, "paid", True),
        ({"payment_status": "captured", "fulfillment_status": "partially_shipped"}, "paid", True),
        ({"payment_status": "partially_captured"}, "paid", True),
        ({"fulfillment_status": "partially_delivered"}, "paid", True),
        ({"status": "draft", "payment_status": "not_paid"}, "pending", False),
        ({"fulfillment_status": "shipped"}, "shipped", True),
        ({"status": "completed", "fulfillment_status": "delivered"}, "shipped", True),
        ({"payment_status": "refunded"}, "refunded", True),
        ({"status": "canceled", "payment_status": "canceled"}, "cancelled", False),
    ],
)
def test_states(changes: dict[str, Any], status: str, holds: bool) -> None:
    order = told(**changes)
    assert (order.status, order.holds_stock) == (status, holds)


@pytest.mark.parametrize(
    ("shipped", "delivered", "status"), [(1, 1, "paid"), (2, 1, "shipped"), (0, 2, "shipped"), (0, 0, "paid")]
)
def test_delivered_in_part_is_shipped_when_every_unit_left(shipped: int, delivered: int, status: str) -> None:
    detail = {**ORDER["items"][0]["detail"], "shipped_quantity": shipped, "delivered_quantity": delivered}
    order = told(fulfillment_status="partially_delivered", items=[{**ORDER["items"][0], "detail": detail}])
    assert order.status == status


def test_an_order_without_an_address_or_payments_leaves_their_fields_out() -> None:
    left = ("shipping_address", "payment_collections", "fulfillments", "email")
    order = Shop().connector().order({name: value for name, value in ORDER.items() if name not in left})
    assert (order.total, order.ship_to.name, order.ship_to.email) == (usd("44.79"), "", "")


def test_an_order_in_another_regions_currency_is_in_that_currency() -> None:
    order = told(currency_code="jpy", total=1500, shipping_total=500)
    assert (order.currency, order.total) == ("JPY", Money(amount_minor=1500, currency="JPY"))
    assert {order.shipping.currency, order.tax.currency, order.lines[0].total.currency} == {"JPY"}


async def test_goods_and_what_no_parcel_holds_are_fulfilled_apart() -> None:
    """Medusa refuses both in one fulfilment."""
    book = {**ORDER["items"][0], "id": "ordli_2", "requires_shipping": False}
    lamp = {**ORDER["items"][0], "requires_shipping": True}
    shop = Shop()
    made: list[dict[str, Any]] = []

    def fulfil(request: httpx2.Request, body: dict[str, Any]) -> Any:
        items = [{"line_item_id": each["id"], "quantity": each["quantity"]} for each in body["items"]]
        made.append({"id": f"ful_{len(made)}", "shipped_at": None, "canceled_at": None, "labels": [], "items": items})
        return {}

    shop.routes["GET /admin/orders/order_1"] = lambda request, body: {
        "order": {**ORDER, "items": [lamp, book], "fulfillments": made}
    }
    shop.routes["POST /admin/orders/order_1/fulfillments"] = fulfil
    shop.routes["POST /admin/orders/order_1/fulfillments/.*/shipments"] = {}
    await shop.connector().confirm_shipment("order_1", "UPS", "1Z", "k")
    assert [[each["id"] for each in body["items"]] for _, body in shop.writes()] == [
        ["ordli_1"],
        ["ordli_2"],
        ["ordli_1"],
        ["ordli_2"],
    ]


def test_refunds_and_units_that_came_back() -> None:
    refund = {"id": "ref_1", "amount": 5, "created_at": "2026-11-25T19:00:43.730Z"}
    payment = {"updated_at": "2026-11-25T19:00:42.370Z", "refunds": [refund]}
    line = {**ORDER["items"][0], "detail": {"fulfilled_quantity": 2, "return_received_quantity": 2}}
    order = told(total=39.79, credit_line_total=5, items=[line], payment_collections=[{"payments": [payment]}])
    assert order.total == usd("44.79")
    assert [(each.external_id, each.amount, each.restocked) for each in order.refunds] == [
        ("ref_1", usd("5.00"), {}),
        ("returned-ordli_1-1", usd("0.00"), {"ordli_1": 1}),
        ("returned-ordli_1-2", usd("0.00"), {"ordli_1": 1}),
    ]
    assert order.modified_at == datetime(2026, 11, 25, 19, 0, 43, 730000, tzinfo=UTC)


async def test_a_fulfilment_that_waits_is_sent_off_and_none_is_made_beside_it() -> None:
    waiting = {
        "id": "ful_1",
        "shipped_at": None,
        "canceled_at": None,
        "labels": [],
        "items": [{"line_item_id": "ordli_1", "quantity": 2}],
    }
    line = {**ORDER["items"][0], "detail": {"fulfilled_quantity": 2, "return_received_quantity": 0}}
    row = {**ORDER, "items": [line], "fulfillments": [waiting]}
    shop = Shop()
    shop.routes["GET /admin/orders/order_1"] = {"order": row}
    shop.routes["POST /admin/orders/order_1/fulfillments/ful_1/shipments"] = {}
    await shop.connector().confirm_shipment("order_1", "UPS", "1Z", "k")
    ((_, body),) = shop.writes()
    assert body == {
        "items": [{"id": "ordli_1", "quantity": 2}],
        "labels": [{"tracking_number": "1Z", "tracking_url": "", "label_url": ""}],
    }
    sent = {**waiting, "shipped_at": "2026-11-25T20:00:00Z", "labels": [{"tracking_number": "1Z"}]}
    shop.routes["GET /admin/orders/order_1"] = {"order": {**row, "fulfillments": [sent]}}
    count = len(shop.writes())
    await shop.connector().confirm_shipment("order_1", "UPS", "1Z", "k")
    assert len(shop.writes()) == count
    with pytest.raises(Rejected, match="sent already"):
        await shop.connector().confirm_shipment("order_1", "UPS", "OTHER", "k")


async def test_the_feed_asks_for_what_changed_and_for_all_that_is_young() -> None:
    shop = Shop()
    shop.routes["GET /admin/orders"] = {"orders": [ORDER]}
    since = datetime(2026, 11, 25, 19, tzinfo=UTC)
    (order,) = [each async for each in shop.connector({"watch_days": "1"}).orders(since)]
    assert order.external_id == "order_1"
    params = shop.seen[-1][2].url.params
    assert params["$or[0][updated_at][$gte]"] == "2026-11-25T19:00:00+00:00"
    assert params["$or[1][created_at][$gte]"] == "2026-11-24T19:00:00+00:00"
