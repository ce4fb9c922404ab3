"""Every way a Shopify answer can be no good, and which of the three failures it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.shopify import errors, wire
from flipsync.connectors.marketplaces.shopify.client import ShopifyConnector
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable
from flipsync.domain.money import usd

VARIANT = "gid://shopify/ProductVariant/7"
LEVEL = {"quantities": [{"name": "available", "quantity": 3, "updatedAt": "2026-03-02T14:00:00Z"}]}
ROW: dict[str, Any] = {
    "id": VARIANT,
    "sku": "A",
    "title": "Default Title",
    "price": "19.90",
    "barcode": None,
    "updatedAt": "2026-03-02T14:00:00Z",
    "publishedOnPublication": True,
    "publishKey": None,
    "endedKey": None,
    "inventoryItem": {"id": "gid://shopify/InventoryItem/70", "tracked": True, "inventoryLevel": LEVEL},
    "product": {
        "id": "gid://shopify/Product/6",
        "title": "Lamp",
        "status": "ACTIVE",
        "hasOnlyDefaultVariant": True,
        "updatedAt": "2026-03-02T14:00:00Z",
        "publishedOnPublication": True,
    },
}
OPTIONS = {"location_id": "501", "publication_id": "1001"}


def throttle(asked: float, left: float, rate: float = 100.0) -> dict[str, Any]:
    status = {"maximumAvailable": 2000.0, "currentlyAvailable": left, "restoreRate": rate}
    return {"cost": {"requestedQueryCost": asked, "actualQueryCost": None, "throttleStatus": status}}


def error(code: str, message: str = "No.", **more: Any) -> dict[str, Any]:
    return {"message": message, "extensions": {"code": code, **more}}


class Shop(httpx2.AsyncBaseTransport):
    """Answers queries with the row above, and the one write of these tests with what is given."""

    def __init__(self, answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.answer = answer
        self.status = status
        self.headers = headers or {}
        self.of_reads = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        name = json.loads(request.content)["operationName"]
        if name == "ReadListing" and not self.of_reads:
            return httpx2.Response(200, json={"data": {"productVariant": ROW}})
        content = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        return httpx2.Response(self.status, content=content, headers=self.headers)


def connect(shop: Shop, limiter: Any = None) -> ShopifyConnector:
    config = AccountConfig(vendor="shopify", base_url="http://shop.test", currency="USD", options=OPTIONS)
    return ShopifyConnector(
        config, {"access_token": SecretStr("shpat_secret")}, limiter or Unlimited(), "a", transport=shop
    )


async def write(answer: Any, **options: Any) -> ChannelError:
    async with connect(Shop(answer, **options)) as connector:
        with pytest.raises(ChannelError) as raised:
            await connector.set_price(VARIANT, usd("21"), "k")
        return raised.value


async def read(answer: Any, **options: Any) -> ChannelError:
    shop = Shop(answer, **options)
    shop.of_reads = True
    async with connect(shop) as connector:
        with pytest.raises(ChannelError) as raised:
            await connector.read_listing(VARIANT)
        return raised.value


BOTH = pytest.mark.parametrize("ask", [read, write])
Ask = Callable[..., Any]


@BOTH
async def test_throttled_waits_until_the_missing_cost_is_restored(ask: Ask) -> None:
    found = await ask({"errors": [error("THROTTLED", "Throttled")], "extensions": throttle(702, 52, 50.0)})
    assert isinstance(found, Retryable) and found.after == 13.0
    assert (found.vendor_code, found.vendor_status) == ("THROTTLED", 200)


@BOTH
async def test_throttled_without_figures_leaves_the_wait_open(ask: Ask) -> None:
    found = await ask({"errors": [error("THROTTLED", "Throttled")]})
    assert isinstance(found, Retryable) and found.after is None


def test_what_the_bucket_can_never_hold_is_waited_for_until_it_is_full() -> None:
    cost = wire.Cost.model_validate(throttle(5000, 1000)["cost"])
    assert errors.wait_seconds(cost) == 10.0
    assert errors.wait_seconds(wire.Cost.model_validate(throttle(10, 500)["cost"])) == 0.0


@BOTH
@pytest.mark.parametrize(
    ("code", "auth"), [("ACCESS_DENIED", True), ("SHOP_INACTIVE", True), ("MAX_COST_EXCEEDED", False)]
)
async def test_refusals_with_a_code(ask: Ask, code: str, auth: bool) -> None:
    found = await ask({"data": None, "errors": [error(code, requiredAccess="`write_products` access scope.")]})
    assert isinstance(found, Rejected) and found.vendor_code == code
    assert found.auth == auth and "`write_products` access scope" in found.hint


@BOTH
async def test_a_document_that_was_not_understood_is_refused(ask: Ask) -> None:
    found = await ask({"errors": [error("undefinedField", "Field 'x' doesn't exist on type 'Product'")]})
    assert isinstance(found, Rejected) and "Field 'x'" in found.message and not found.auth


@pytest.mark.parametrize(
    "answer",
    [
        {"errors": [error("INTERNAL_SERVER_ERROR")]},
        {"data": None, "errors": [error("INTERNAL_SERVER_ERROR")]},
        {"data": {"productVariantsBulkUpdate": None, "productVariant": None}, "errors": [error("SOMETHING_NEW")]},
        {"data": {}},
        {"data": None},
        {},
        [],
        b"<html>",
    ],
)
async def test_whatever_else_breaks_off_is_unknown_for_a_write_and_harmless_for_a_read(answer: Any) -> None:
    assert isinstance(await write(answer), OutcomeUnknown)
    assert isinstance(await read(answer), Retryable)


async def test_a_write_answered_in_part_was_done() -> None:
    payload = {"productVariants": None, "userErrors": []}
    for code in ("INTERNAL_SERVER_ERROR", "ACCESS_DENIED", "THROTTLED"):
        found = await write({"data": {"productVariantsBulkUpdate": payload}, "errors": [error(code)]})
        assert isinstance(found, OutcomeUnknown)
    assert isinstance(await write({"data": {"productVariantsBulkUpdate": {"productVariants": [ROW]}}}), OutcomeUnknown)


async def test_what_an_answer_does_not_show_of_a_write_is_read_back() -> None:
    """By the schema a mutation need not show what it wrote."""
    payload: dict[str, Any] = {"productVariants": None, "userErrors": []}
    async with connect(Shop({"data": {"productVariantsBulkUpdate": payload}})) as connector:
        shown = await connector.set_price(VARIANT, usd("21"), "k")
    assert (shown.external_id, shown.price) == (VARIANT, usd("19.90")), "as it was read"


@pytest.mark.parametrize(
    "extensions",
    [
        [],
        {"cost": None},
        {"cost": {"requestedQueryCost": None, "actualQueryCost": "many", "throttleStatus": {"restoreRate": None}}},
        {"cost": {"throttleStatus": {"maximumAvailable": 0, "currentlyAvailable": 0, "restoreRate": 0}}},
    ],
)
async def test_what_an_answer_costs_does_not_decide_what_it_says(extensions: Any) -> None:
    payload = {"productVariants": [ROW], "userErrors": []}
    shop = Shop({"data": {"productVariantsBulkUpdate": payload}, "extensions": extensions})
    async with connect(shop) as connector:
        assert (await connector.set_price(VARIANT, usd("21"), "k")).external_id == VARIANT
    assert isinstance(await write({"errors": [error("THROTTLED")], "extensions": extensions}), Retryable)


async def test_a_request_with_the_same_key_under_way_is_unknown() -> None:
    for code in ("IDEMPOTENCY_CONCURRENT_REQUEST", "TIMEOUT"):
        assert isinstance(await write({"errors": [error(code)]}), OutcomeUnknown)


async def test_an_account_that_is_told_by_nothing_is_no_crash() -> None:
    answers: tuple[Any, ...] = (None, [], {}, "x")
    for shown in answers:
        shop = Shop({"data": {"shop": shown, "currentAppInstallation": shown}})
        async with connect(shop) as connector:
            with pytest.raises(Retryable, match="cannot be used"):
                await connector.probe()


@pytest.mark.parametrize("cursor", [None, "c1"])
async def test_a_list_that_does_not_go_on_is_not_taken_for_all_of_it(cursor: str | None) -> None:
    connection = {"nodes": [ROW], "pageInfo": {"hasNextPage": True, "endCursor": cursor}}
    async with connect(Shop({"data": {"productVariants": connection}})) as connector:
        with pytest.raises(Retryable, match="cannot be read to its end"):
            _ = [state async for state in connector.listings()]


async def test_a_place_to_sell_at_that_is_not_there_is_no_missing_listing() -> None:
    told = {"field": ["input", "0", "publicationId"], "message": "Publication does not exist or is not publishable"}
    refused = errors.refusal([wire.UserError.model_validate(told)])
    assert isinstance(refused, Rejected) and not refused.missing


async def test_a_listing_shown_in_part_is_not_believed() -> None:
    part = ROW | {"inventoryItem": ROW["inventoryItem"] | {"inventoryLevel": None}}
    for code in ("INTERNAL_SERVER_ERROR", "ACCESS_DENIED"):
        answer = {"data": {"productVariant": part}, "errors": [error(code)]}
        assert isinstance(await read(answer), Rejected if code == "ACCESS_DENIED" else Retryable)


def told(code: str | None, field: list[str] | None = None, message: str = "is invalid") -> dict[str, Any]:
    row = {"field": field, "message": message} | ({} if code is None else {"code": code})
    return {"data": {"productVariantsBulkUpdate": {"productVariants": None, "userErrors": [row]}}}


async def test_user_errors_name_the_field() -> None:
    found = await write(told("NEGATIVE_PRICE_VALUE", ["variants", "0", "price"], "must be positive"))
    assert isinstance(found, Rejected) and found.message == "variants.0.price: must be positive"
    assert found.vendor_code == "NEGATIVE_PRICE_VALUE" and not found.missing
    plain = await write(told(None))
    assert isinstance(plain, Rejected) and (plain.message, plain.vendor_code) == ("is invalid", "user_error")


@pytest.mark.parametrize(
    ("code", "message", "kind", "missing", "vendor_code"),
    [
        ("PRODUCT_VARIANT_DOES_NOT_EXIST", "no", Rejected, True, "PRODUCT_VARIANT_DOES_NOT_EXIST"),
        (None, "Product does not exist", Rejected, True, "user_error"),
        ("CHANGE_FROM_QUANTITY_STALE", "stale", Rejected, False, "version"),
        ("IDEMPOTENCY_CONCURRENT_REQUEST", "under way", OutcomeUnknown, False, "IDEMPOTENCY_CONCURRENT_REQUEST"),
        ("IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED", "new key", Retryable, False, "IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED"),
        ("IDEMPOTENCY_KEY_PARAMETER_MISMATCH", "no", Rejected, False, "IDEMPOTENCY_KEY_PARAMETER_MISMATCH"),
        ("GENERIC_ERROR", "try again", OutcomeUnknown, False, "GENERIC_ERROR"),
    ],
)
async def test_user_errors_of_every_kind(
    code: str | None, message: str, kind: type[ChannelError], missing: bool, vendor_code: str
) -> None:
    found = await write(told(code, message=message))
    assert type(found) is kind and found.vendor_code == vendor_code
    if isinstance(found, Rejected):
        assert found.missing == missing


@BOTH
@pytest.mark.parametrize(
    ("status", "hint"), [(402, "frozen"), (403, "access scope"), (404, "base_url"), (423, "locked")]
)
async def test_http_errors_before_graphql(ask: Ask, status: int, hint: str) -> None:
    found = await ask({"errors": "Unavailable Shop"}, status=status)
    assert isinstance(found, Rejected) and hint in found.hint and "Unavailable Shop" in found.message
    assert found.auth == (status in (402, 403)) and not found.missing, "no listing was asked for there"


@BOTH
async def test_a_static_token_that_is_refused_needs_a_person(ask: Ask) -> None:
    found = await ask({"errors": "[API] Invalid API key or access token"}, status=401)
    assert isinstance(found, Rejected) and found.auth and found.vendor_status == 401
    assert "shpat_secret" not in f"{found} {found.hint}"


@BOTH
async def test_http_429_and_503_with_advice_wait(ask: Ask) -> None:
    for status in (429, 503):
        found = await ask({"errors": "slow down"}, status=status, headers={"Retry-After": "2"})
        assert isinstance(found, Retryable) and found.after == 2.0


async def test_the_bucket_is_learnt_and_the_cost_is_what_shopify_asks() -> None:
    class Limiter(Unlimited):
        def __init__(self) -> None:
            self.costs: list[tuple[str, float, int, float]] = []
            self.learnt: list[dict[str, Any]] = []

        async def acquire(self, bucket: str, rate_per_second: float, burst: int, cost: float = 1.0) -> None:
            self.costs.append((bucket, rate_per_second, burst, cost))

        async def learn(self, bucket: str, **figures: Any) -> None:
            self.learnt.append({"bucket": bucket, **figures})

    limiter = Limiter()
    status = {"maximumAvailable": 20000.0, "currentlyAvailable": 19975, "restoreRate": 1000.0}
    payload = {"productVariantsBulkUpdate": {"productVariants": [ROW], "userErrors": []}}
    cost = {"requestedQueryCost": 25, "actualQueryCost": 20, "throttleStatus": status}
    async with connect(Shop({"data": payload, "extensions": {"cost": cost}}), limiter) as connector:
        await connector.set_price(VARIANT, usd("21"), "k")
        await connector.set_price(VARIANT, usd("22"), "k")
    assert limiter.costs == [("a:graphql", 100.0, 2000, each) for each in (7.0, 18.0, 7.0, 25.0)]
    figures = {"bucket": "a:graphql", "rate_per_second": 1000.0, "burst": 20000, "left": 19975}
    assert limiter.learnt[0] == figures | {"unused": 0.0}
    assert limiter.learnt[-1] == figures | {"unused": 5.0}, "asked for 25, and cost 20"
