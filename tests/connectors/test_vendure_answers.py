"""Vendure's answers, as a real 3.7 shop gave them: sessions, refusals, money, orders and pages, without a shop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, QuantityChange, Unlimited
from flipsync.connectors.marketplaces.stores.vendure import VendureStore
from flipsync.connectors.vault import MemoryVault
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable, Unreadable
from flipsync.domain.money import Money, usd

FORBIDDEN = {
    "errors": [
        {
            "message": "You are not currently authorized to perform this action",
            "path": ["productVariants"],
            "extensions": {"code": "FORBIDDEN"},
        }
    ],
    "data": None,
}
CHANNEL = {
    "code": "__default_channel__",
    "defaultLanguageCode": "en",
    "defaultCurrencyCode": "USD",
}
#: A channel's own threshold and tracking may be null, and Vendure does not heed them.
GLOBAL = {"outOfStockThreshold": 0, "trackInventory": True, "serverConfig": {"moneyStrategyPrecision": 2}}
VARIANT: dict[str, Any] = {
    "id": "7",
    "sku": "LAMP",
    "name": "Lamp",
    "enabled": True,
    "updatedAt": "2026-11-25T18:58:55.004Z",
    "trackInventory": "TRUE",
    "outOfStockThreshold": 2,
    "useGlobalOutOfStockThreshold": True,
    "prices": [{"price": 1700, "currencyCode": "EUR"}, {"price": 1990, "currencyCode": "USD"}],
    "stockLevels": [
        {"stockOnHand": 5, "stockAllocated": 2, "stockLocationId": "1", "updatedAt": "2026-11-25T18:58:56.000Z"},
        {"stockOnHand": 90, "stockAllocated": 0, "stockLocationId": "2", "updatedAt": "2026-11-25T18:58:57.000Z"},
    ],
    "options": [],
    "product": {"id": "3", "name": "Lamp", "enabled": True},
}
ORDER: dict[str, Any] = {
    "id": "1",
    "code": "H3ZR89ZQKJLBJHZ4",
    "state": "PaymentSettled",
    "active": False,
    "updatedAt": "2026-11-25T18:58:55.248Z",
    "orderPlacedAt": "2026-11-25T18:58:55.784Z",
    "currencyCode": "USD",
    "totalWithTax": 4479,
    "shipping": 499,
    "taxSummary": [{"taxTotal": 0}],
    "customer": {"emailAddress": "avery@example.com", "phoneNumber": None},
    "shippingAddress": {"fullName": "Avery Lane", "streetLine1": "411 Elm Street", "countryCode": "US"},
    "lines": [
        {
            "id": "1",
            "quantity": 2,
            "orderPlacedQuantity": 2,
            "proratedUnitPrice": 1990,
            "proratedUnitPriceWithTax": 1990,
            "proratedLinePrice": 3980,
            "proratedLinePriceWithTax": 3980,
            "productVariant": {"id": "7", "sku": "LAMP", "name": "Lamp"},
            "fulfillmentLines": [],
        }
    ],
    "payments": [{"updatedAt": "2026-11-25T18:58:55.700Z", "amount": 4479, "state": "Settled", "refunds": []}],
    "fulfillments": [],
    "history": {"items": [{"createdAt": "2026-11-25T18:58:55.850Z"}]},
}
REFUND = {
    "id": "9",
    "total": 500,
    "state": "Pending",
    "createdAt": "2026-11-25T19:00:00.000Z",
    "updatedAt": "2026-11-25T19:00:00.000Z",
}

UPDATED = {"updateProductVariants": [{"id": "7"}]}

Answer = dict[str, Any] | httpx2.Response


class Shop:
    """Answers each document by a word that is in it; `ended` sessions are refused as Vendure refuses them."""

    def __init__(self, **answers: Answer | Callable[[dict[str, Any]], Answer]) -> None:
        self.answers: dict[str, Any] = {
            "activeChannel": {"activeChannel": CHANNEL, "globalSettings": GLOBAL},
            "stockLocations": {"stockLocations": {"items": [{"id": "1", "name": "Home"}]}},
            **answers,
        }
        self.sessions = 0
        self.ended: set[str] = set()
        self.seen: list[tuple[str, dict[str, Any], httpx2.Headers]] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        document, variables = body["query"], body["variables"]
        self.seen.append((document, variables, request.headers))
        if "login(" in document:
            if variables["password"] != "right":
                told = {"__typename": "InvalidCredentialsError", "message": "The provided credentials are invalid"}
                return httpx2.Response(200, json={"data": {"login": told}})
            self.sessions += 1
            headers = {"vendure-auth-token": f"s{self.sessions}"}
            return httpx2.Response(200, json={"data": {"login": {"__typename": "CurrentUser"}}}, headers=headers)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if "vendure-api-key" not in request.headers and (not token or token in self.ended):
            return httpx2.Response(200, json=FORBIDDEN)
        found = next(value for name, value in self.answers.items() if name in document)
        told = found(variables) if callable(found) else found
        if isinstance(told, httpx2.Response):
            return told
        return httpx2.Response(200, json=told if "errors" in told else {"data": told})

    def connector(self, options: dict[str, str] | None = None, **credentials: str) -> VendureStore:
        keys = {name: SecretStr(value) for name, value in credentials.items()}
        keys = keys or {"username": SecretStr("owner"), "password": SecretStr("right")}
        config = AccountConfig(
            vendor="vendure", base_url="http://shop.test/admin-api/", currency="USD", options=options or {}
        )
        self.vault = MemoryVault(keys)
        transport = httpx2.MockTransport(self.answer)
        return VendureStore(config, keys, Unlimited(), "a", vault=self.vault, transport=transport)


def error(code: str | None, message: str = "no", data: Any = None) -> dict[str, Any]:
    return {"errors": [{"message": message, "extensions": {"code": code} if code else {}}], "data": data}


async def test_one_login_serves_all_calls() -> None:
    shop = Shop(productVariant={"productVariant": VARIANT})
    connector = shop.connector()
    for _ in range(3):
        assert await connector.read_listing("7") is not None
    assert shop.sessions == 1
    assert shop.vault.credentials["access_token"].get_secret_value() == "s1"


async def test_a_session_of_yesterday_is_used_and_renewed_when_it_ended() -> None:
    shop = Shop(updateProductVariants=UPDATED, productVariant={"productVariant": VARIANT})
    connector = shop.connector(username="owner", password="right", access_token="old")
    assert await connector.read_listing("7") is not None and shop.sessions == 0
    shop.ended.add("old")
    await connector.set_price("7", usd("19.90"), "k")
    assert shop.sessions == 1
    assert shop.vault.credentials["access_token"].get_secret_value() == "s1"
    assert len([document for document, _, _ in shop.seen if "updateProductVariants" in document]) == 1


async def test_what_a_new_session_may_not_do_either_is_a_refusal() -> None:
    shop = Shop(productVariant=FORBIDDEN)
    with pytest.raises(Rejected) as refused:
        await shop.connector().read_listing("7")
    assert refused.value.auth and refused.value.vendor_code == "FORBIDDEN"
    assert shop.sessions == 2  # it was tried with a new one, once


async def test_a_session_that_the_shop_ends_at_once_is_replaced() -> None:
    shop = Shop(productVariant={"productVariant": VARIANT})
    connector = shop.connector()
    state = await connector.read_listing("7")
    shop.ended.add("s1")
    seen = await asyncio.gather(*(connector.read_listing("7") for _ in range(5)))
    assert seen == [state] * 5 and shop.sessions == 2


async def test_a_wrong_password_is_never_shown() -> None:
    with pytest.raises(Rejected) as refused:
        await Shop().connector(username="owner", password="wrong-7").probe()
    assert refused.value.auth and "wrong-7" not in f"{refused.value}{refused.value.hint}"


async def test_an_api_key_and_a_channel_go_in_headers_of_their_own() -> None:
    shop = Shop(productVariant={"productVariant": VARIANT})
    await shop.connector({"channel": "eu-token"}, api_key="k-1").read_listing("7")
    for _, _, headers in shop.seen:
        assert (headers["vendure-api-key"], headers["vendure-token"]) == ("k-1", "eu-token")
        assert "authorization" not in headers


async def test_probe_of_an_account_that_may_only_read() -> None:
    lists: dict[str, Any] = {"productVariants": {"totalItems": 1}, "orders": {"totalItems": 0}}
    shop = Shop(totalItems=lists, updateProducts=FORBIDDEN)
    info = await shop.connector(api_key="k").probe()
    assert (info.can_read, info.can_write, info.currency) == (True, False, "USD") and info.notes


async def test_units_and_prices_are_those_of_place_and_currency() -> None:
    held_back = {**VARIANT, "useGlobalOutOfStockThreshold": False}
    for row, units in ((VARIANT, 3), (held_back, 1), ({**VARIANT, "trackInventory": "FALSE"}, None)):
        state = await Shop(productVariant={"productVariant": row}).connector().read_listing("7")
        assert state is not None and (state.price, state.quantity) == (usd("19.90"), units)
        assert state.modified_at == datetime(2026, 11, 25, 18, 58, 57, tzinfo=UTC)
    ended = {**VARIANT, "enabled": False}
    hidden = {**VARIANT, "product": {**VARIANT["product"], "enabled": False}}
    for row, status in ((ended, "ended"), (hidden, "draft")):
        state = await Shop(productVariant={"productVariant": row}).connector().read_listing("7")
        assert state is not None and state.status == status


async def test_a_quantity_is_set_above_what_is_sold_already() -> None:
    shop = Shop(
        updateProductVariants={"updateProductVariants": [{"id": "7"}]}, productVariant={"productVariant": VARIANT}
    )
    await shop.connector().set_quantity("7", 4, "k")
    (written,) = [variables["inputs"] for document, variables, _ in shop.seen if "updateProductVariants" in document]
    assert written == [
        {"id": "7", "stockLevels": [{"stockLocationId": "1", "stockOnHand": 6}], "trackInventory": "TRUE"}
    ]


async def test_many_quantities_are_one_call_and_a_refused_one_is_found() -> None:
    stock = {str(n): 5 for n in range(120)}

    def rows(variables: dict[str, Any]) -> Answer:
        found = [each for each in variables["options"]["filter"]["id"]["in"] if each in stock]
        return {"productVariants": {"items": [row(each) for each in found]}}

    def row(number: str) -> dict[str, Any]:
        return {**VARIANT, "id": number, "stockLevels": [{**VARIANT["stockLevels"][0], "stockOnHand": stock[number]}]}

    def update(variables: dict[str, Any]) -> Answer:
        if any(each["id"] == "110" for each in variables["inputs"]):
            return error("USER_INPUT_ERROR", "not this one")
        stock.update({each["id"]: each["stockLevels"][0]["stockOnHand"] for each in variables["inputs"]})
        return UPDATED

    shop = Shop(
        updateProductVariants=update,
        productVariants=rows,
        productVariant=lambda variables: {"productVariant": row(variables["id"]) if variables["id"] in stock else None},
    )
    ids = [*map(str, range(120)), "424242", "nonsense"]
    changes = [QuantityChange(each, place, "k") for place, each in enumerate(ids)]
    outcomes = await shop.connector().set_quantities(changes)
    assert [outcome.change for outcome in outcomes] == changes
    for outcome in outcomes:
        if outcome.change.external_id in ("110", "424242", "nonsense"):
            assert isinstance(outcome.error, Rejected)
            assert outcome.error.missing == (outcome.change.external_id != "110")
        else:
            assert outcome.state is not None and outcome.state.quantity == outcome.change.quantity
    writes = [variables["inputs"] for document, variables, _ in shop.seen if "updateProductVariants" in document]
    assert [len(each) for each in writes] == [100, 20, *[1] * 20]


async def test_a_lost_answer_leaves_every_row_unknown() -> None:
    shop = Shop(
        updateProductVariants=httpx2.Response(502),
        productVariants={"productVariants": {"items": [VARIANT]}},
    )
    (outcome,) = await shop.connector().set_quantities([QuantityChange("7", 1, "k")])
    assert isinstance(outcome.error, OutcomeUnknown)


async def test_a_channel_of_another_currency_takes_no_price() -> None:
    shop = Shop(
        activeChannel={"activeChannel": {**CHANNEL, "defaultCurrencyCode": "EUR"}, "globalSettings": GLOBAL},
        productVariant={"productVariant": VARIANT},
    )
    with pytest.raises(Rejected, match="sells in EUR"):
        await shop.connector().set_price("7", usd("1.00"), "k")
    assert not any("mutation" in document for document, _, _ in shop.seen if "login" not in document)


@pytest.mark.parametrize(
    ("answer", "read", "write"),
    [
        (error("INTERNAL_SERVER_ERROR"), Retryable, OutcomeUnknown),
        (error(None, 'null value in column "shipping"'), Retryable, OutcomeUnknown),
        (error("USER_INPUT_ERROR"), Rejected, Rejected),
        (error("ENTITY_NOT_FOUND"), Rejected, Rejected),
        (error("USER_INPUT_ERROR", data={"made": [{"id": "1"}]}), Rejected, OutcomeUnknown),
        ({"errors": []}, Retryable, OutcomeUnknown),
        (httpx2.Response(502), Retryable, OutcomeUnknown),
        (httpx2.Response(200, text="<html>"), Retryable, OutcomeUnknown),
        (httpx2.Response(429, headers={"Retry-After": "3"}), Retryable, Retryable),
        (httpx2.Response(400, json=error("GRAPHQL_VALIDATION_FAILED")), Rejected, Rejected),
    ],
)
async def test_each_failure_is_one_of_three(answer: Answer, read: type[Exception], write: type[Exception]) -> None:
    with pytest.raises(read):
        await Shop(productVariant=answer).connector().read_listing("7")
    shop = Shop(updateProductVariants=answer, productVariant={"productVariant": VARIANT})
    with pytest.raises(write):
        await shop.connector().set_price("7", usd("1.00"), "k")


async def test_ids_that_cannot_be_one_are_not_asked_for() -> None:
    shop = Shop()
    connector = shop.connector()
    for unknown in ("", "424242/1", "no such thing", "1;drop", "7 ", "²"):
        assert await connector.read_listing(unknown) is None
        assert await connector.read_order(unknown) is None
    assert shop.seen == []


async def test_a_listing_that_cannot_be_read_hinders_no_other_and_is_told_at_the_end() -> None:
    rows = [{**VARIANT, "id": str(n), "sku": f"S{n}"} for n in range(3)]
    rows[1]["updatedAt"] = "yesterday"
    connector, told = Shop(productVariants={"productVariants": {"items": rows}}).connector(), []
    with pytest.raises(Unreadable, match=r"1 listings cannot be read: 1: "):
        async for state in connector.listings():
            told.append(state.sku)
    assert told == ["S0", "S2"]


async def test_lists_are_read_page_by_page() -> None:
    def page(variables: dict[str, Any]) -> Answer:
        options = variables["options"]
        ids = range(250)[options["skip"] : options["skip"] + options["take"]]
        return {"productVariants": {"items": [{**VARIANT, "id": str(n), "sku": f"S{n}"} for n in ids]}}

    states = [state async for state in Shop(productVariants=page).connector().listings()]
    assert [state.sku for state in states] == [f"S{n}" for n in range(250)]


# Orders


def told(**changes: Any) -> Any:
    return Shop().connector().order({**ORDER, **changes})


def test_an_order_in_minor_units() -> None:
    order = told()
    assert (order.status, order.holds_stock, order.total, order.shipping) == ("paid", True, usd("44.79"), usd("4.99"))
    assert (order.lines[0].quantity, order.lines[0].total) == (2, usd("39.80"))
    assert (order.ship_to.name, order.ship_to.line2, order.ship_to.email) == ("Avery Lane", "", "avery@example.com")


def test_its_time_is_that_of_whatever_moved_last() -> None:
    """A shop's updatedAt stays before the moment of placing, and does not move with shipments and refunds."""
    assert told().modified_at == datetime(2026, 11, 25, 18, 58, 55, 850000, tzinfo=UTC)
    sent = {"id": "1", "state": "Shipped", "method": "UPS", "trackingCode": "1Z", "updatedAt": "2026-11-25T20:00:00Z"}
    assert told(fulfillments=[sent], state="Shipped").modified_at == datetime(2026, 11, 25, 20, tzinfo=UTC)
    payment = {**ORDER["payments"][0], "refunds": [REFUND]}
    assert told(payments=[payment]).modified_at == datetime(2026, 11, 25, 19, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "status", "holds"),
    [
        ("AddingItems", "pending", False),
        ("ArrangingPayment", "pending", False),
        ("PaymentAuthorized", "pending", True),
        ("PaymentSettled", "paid", True),
        ("PartiallyShipped", "paid", True),
        ("Shipped", "shipped", True),
        ("Delivered", "shipped", True),
        ("Modifying", "paid", True),
        ("Cancelled", "cancelled", False),
        ("ArrangingAdditionalPayment", "paid", True),
        ("PartiallyDelivered", "paid", True),
        ("SomethingOfAPlugin", "paid", True),
    ],
)
def test_states(state: str, status: str, holds: bool) -> None:
    order = told(state=state)
    assert (order.status, order.holds_stock, order.vendor_status) == (status, holds, state)


async def test_what_the_shop_does_not_delete_is_not_left_on_sale() -> None:
    """Vendure says NOT_DELETED in an answer like any other."""
    kept = {"deleteProductVariant": {"result": "NOT_DELETED", "message": "it is needed"}}
    shop = Shop(deleteProductVariant=kept, updateProductVariants=UPDATED)
    await shop.connector().discard({**VARIANT, "id": "8"})
    assert [variables["input"] for document, variables, _ in shop.seen if "updateProductVariants" in document] == [
        {"id": "8", "enabled": False}
    ]


def test_tax_is_that_of_what_was_paid() -> None:
    line = {**ORDER["lines"][0], "proratedLinePriceWithTax": 4378, "lineTax": 1000}
    assert told(lines=[line]).lines[0].tax == usd("3.98")
    fewer = {**line, "quantity": 1, "proratedUnitPriceWithTax": 2189, "proratedLinePrice": 1990}
    (told_line,) = told(lines=[fewer]).lines
    assert (told_line.quantity, told_line.total, told_line.tax) == (2, usd("39.80"), usd("3.98"))


def test_refunds_give_money_and_cancelled_units_go_back_one_by_one() -> None:
    payment = {**ORDER["payments"][0], "refunds": [REFUND, {**REFUND, "id": "10", "state": "Failed"}]}
    line = {**ORDER["lines"][0], "quantity": 0, "proratedLinePrice": 0}
    order = told(payments=[payment], lines=[line])
    assert [(each.external_id, each.amount, each.restocked) for each in order.refunds] == [
        ("cancelled-1-1", usd("0.00"), {"1": 1}),
        ("cancelled-1-2", usd("0.00"), {"1": 1}),
        ("9", usd("5.00"), {}),
    ]
    assert (order.lines[0].quantity, order.lines[0].total, order.status) == (2, usd("39.80"), "paid")
    whole = {**ORDER["payments"][0], "refunds": [{**REFUND, "total": 4479}]}
    assert told(payments=[whole]).status == "refunded"


@pytest.mark.parametrize("state", ["Modifying", "PartiallyDelivered", "SomethingOfAPlugin"])
def test_where_the_state_does_not_say_it_an_order_is_shipped_when_all_of_it_was(state: str) -> None:
    def sent(*units: tuple[int, str]) -> Any:
        lines = [{"quantity": each, "fulfillment": {"state": how}} for each, how in units]
        return told(state=state, lines=[{**ORDER["lines"][0], "fulfillmentLines": lines}]).status

    assert sent((1, "Delivered")) == sent((1, "Delivered"), (1, "Pending")) == "paid"
    assert sent((1, "Delivered"), (1, "Shipped")) == sent((2, "Shipped")) == "shipped"


def test_a_state_of_the_shops_own_is_nothing_sold_before_the_order_is_placed_and_unpaid_before_money_came() -> None:
    order = told(state="QuoteRequested", orderPlacedAt=None, payments=[])
    assert (order.status, order.holds_stock) == ("pending", False)
    order = told(state="AwaitingTransfer", payments=[])
    assert (order.status, order.holds_stock) == ("pending", True)
    order = told(state="Draft", orderPlacedAt=None, payments=[])
    assert (order.status, order.holds_stock) == ("pending", False)


@pytest.mark.parametrize(("placed", "units"), [(0, 3), (2, 3), (3, 3)])
def test_units_added_to_a_placed_order_are_sold(placed: int, units: int) -> None:
    line = {
        **ORDER["lines"][0],
        "orderPlacedQuantity": placed,
        "quantity": 3,
        "proratedLinePrice": 5970,
        "proratedLinePriceWithTax": 5970,
    }
    order = told(lines=[line])
    assert (order.lines[0].quantity, order.lines[0].total, order.refunds) == (units, usd("59.70"), ())


@pytest.mark.parametrize(
    ("currency", "precision", "shown", "minor"),
    [("JPY", 2, 199000, 1990), ("JPY", 0, 1990, 1990), ("KWD", 2, 1990, 19900), ("USD", 3, 19900, 1990)],
)
async def test_whole_numbers_have_the_shops_decimals_whatever_the_currency(
    currency: str, precision: int, shown: int, minor: int
) -> None:
    own = {**GLOBAL, "serverConfig": {"moneyStrategyPrecision": precision}}
    row = {**VARIANT, "prices": [{"price": shown, "currencyCode": currency}]}
    shop = Shop(
        activeChannel={"activeChannel": {**CHANNEL, "defaultCurrencyCode": currency}, "globalSettings": own},
        updateProductVariants=UPDATED,
        productVariant={"productVariant": row},
    )
    connector = shop.connector()
    connector.config = connector.config.model_copy(update={"currency": currency})
    price = Money(amount_minor=minor, currency=currency)
    assert (await connector.set_price("7", price, "k")).price == price
    (written,) = [each["input"]["price"] for document, each, _ in shop.seen if "updateProductVariants" in document]
    assert written == shown
    connector.config = connector.config.model_copy(update={"currency": "EUR"})
    order = connector.order({**ORDER, "currencyCode": currency, "totalWithTax": shown})
    assert (order.currency, order.total) == (currency, price)


async def test_a_price_the_shop_cannot_write_is_not_rounded() -> None:
    shop = Shop(
        activeChannel={"activeChannel": {**CHANNEL, "defaultCurrencyCode": "KWD"}, "globalSettings": GLOBAL},
        productVariant={"productVariant": VARIANT},
    )
    connector = shop.connector()
    connector.config = connector.config.model_copy(update={"currency": "KWD"})
    with pytest.raises(Rejected, match="fewer decimals"):
        await connector.set_price("7", Money(amount_minor=1999, currency="KWD"), "k")


@pytest.mark.parametrize(("threshold", "shown", "written"), [(2, 1, 8), (-5, 3, 6), (0, 3, 6)])
async def test_a_threshold_below_zero_lends_no_units(threshold: int, shown: int, written: int) -> None:
    row = {**VARIANT, "outOfStockThreshold": 90}
    shop = Shop(
        activeChannel={"activeChannel": CHANNEL, "globalSettings": {**GLOBAL, "outOfStockThreshold": threshold}},
        updateProductVariants=UPDATED,
        productVariant={"productVariant": row},
    )
    assert (await shop.connector().set_quantity("7", 4, "k")).quantity == shown
    (inputs,) = [each["inputs"] for document, each, _ in shop.seen if "updateProductVariants" in document]
    assert inputs[0]["stockLevels"][0]["stockOnHand"] == written


@pytest.mark.parametrize("days", ["soon", "-1", "nan", "inf", "99999", ""])
async def test_days_that_are_none_are_said_so(days: str) -> None:
    connector = Shop(totalItems={"productVariants": {"totalItems": 1}}).connector({"watch_days": days})
    with pytest.raises(Rejected, match="watch_days"):
        await connector.probe()
    with pytest.raises(Rejected, match="watch_days"):
        [each async for each in connector.orders(datetime(2026, 11, 25, tzinfo=UTC))]


async def test_the_feed_asks_for_what_changed_and_for_all_that_is_young() -> None:
    shop = Shop(orders={"orders": {"items": [ORDER]}})
    since = datetime(2026, 11, 25, 18, 58, 55, 600000, tzinfo=UTC)
    connector = shop.connector({"watch_days": "2"})
    (order,) = [each async for each in connector.orders(since)]
    assert order.external_id == "1"
    asked = next(variables["options"]["filter"] for document, variables, _ in shop.seen if "orders(" in document)
    assert asked == {
        "active": {"eq": False},
        "_or": [
            {"updatedAt": {"after": "2026-11-25T18:58:54.600000+00:00"}},
            {"orderPlacedAt": {"after": "2026-11-23T18:58:55.600000+00:00"}},
        ],
    }
    assert [each async for each in connector.orders(since + timedelta(seconds=1))] == []


async def test_a_fulfilment_that_was_made_and_never_sent_off_is_sent_off() -> None:
    made = {"id": "5", "state": "Pending", "method": "UPS", "trackingCode": "1Z", "updatedAt": "2026-11-25T19:00:00Z"}
    row = {**ORDER, "fulfillments": [made]}
    shop = Shop(transitionFulfillmentToState={"made": {"__typename": "Fulfillment", "id": "5", "state": "Shipped"}})
    shop.answers["order("] = {"order": row}
    await shop.connector().confirm_shipment("1", "UPS", "1Z", "k")
    writes = [document for document, _, _ in shop.seen if "mutation" in document and "login" not in document]
    assert len(writes) == 1 and "transitionFulfillmentToState" in writes[0]


async def test_a_refusal_inside_an_answer_is_a_refusal() -> None:
    short = {"__typename": "InsufficientStockOnHandError", "errorCode": "INSUFFICIENT_STOCK", "message": "not enough"}
    shop = Shop(addFulfillmentToOrder={"made": short})
    shop.answers["order("] = {"order": ORDER}
    with pytest.raises(Rejected) as refused:
        await shop.connector().confirm_shipment("1", "UPS", "1Z", "k")
    assert (refused.value.vendor_code, refused.value.message) == ("INSUFFICIENT_STOCK", "not enough")
