"""Reports, transactions, labels and messages: requests as the models say, answers from the models' own examples."""

from __future__ import annotations

import base64
import copy
import gzip
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from amazon_models import Models, models_at
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.amazon import finances, labels, messaging, outbound, reports
from flipsync.connectors.marketplaces.amazon.api import SellerApi
from flipsync.connectors.vault import MemoryVault
from flipsync.domain.channel import Address
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable
from flipsync.domain.money import usd

SHIPMENT = "abcddcba-00c3-4f6f-a63a-639f76ee9253"
SENDER = Address(
    name="Jo Packer",
    line1="1 Dock Street",
    city="Columbus",
    region="OH",
    postal_code="43004",
    country="US",
    phone="6145550100",
    email="jo@example.com",
)
PARCEL = labels.Parcel("903-5563053-5647845", {"52986411826454": 1}, SENDER, 30, 20, 10, 900)


class Server:
    """Answers operations with what a test gives; every exchange is judged by the models."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.requests: list[tuple[str, httpx2.Request]] = []
        self.documents: dict[str, bytes] = {}
        #: defects of the examples as published: where an answer departs from its model
        self.excused: tuple[str, ...] = ()

    def example(self, name: str, status: int = 200) -> Any:
        operation = self.models.operation(name)
        return copy.deepcopy(next(e.response for e in self.models.examples(operation) if e.status == status))

    def give(self, name: str, body: Any, status: int = 200) -> None:
        self.answers.setdefault(name, []).append((status, body))

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/auth/o2/token":
            return httpx2.Response(200, json={"access_token": "Atza|seller", "expires_in": 3600})
        if request.url.host == "documents.test":
            assert "x-amz-access-token" not in request.headers, "the address is its own permission"
            return httpx2.Response(200, content=self.documents[request.url.path])
        (operation,) = [o for o in self.models.operations if o.matches(request.method, request.url.path)]
        self.requests.append((operation.name, request))
        status, body = self.answers[operation.name].pop(0)
        answer = httpx2.Response(status, json=body) if body is not None else httpx2.Response(status)
        problems = self.models.judge(request, answer)[1]
        assert [text for text in problems if not any(word in text for word in self.excused)] == []
        return answer

    def sent(self, name: str) -> list[httpx2.Request]:
        return [request for operation, request in self.requests if operation == name]


@pytest.fixture
def server(contracts: Path) -> Server:
    return Server(models_at(contracts))


@pytest.fixture
async def api(server: Server) -> AsyncIterator[SellerApi]:
    config = AccountConfig(
        vendor="amazon",
        base_url="http://amazon.test",  # type: ignore[arg-type]
        token_url="http://amazon.test/auth/o2/token",  # type: ignore[arg-type]
        currency="USD",
        options={"marketplace_id": "ATVPDKIKX0DER", "seller_id": "SELLER"},
    )
    keys = {name: SecretStr("x") for name in ("client_id", "client_secret", "refresh_token")}
    api = SellerApi(config, keys, Unlimited(), "a", MemoryVault(keys), httpx2.MockTransport(server))
    yield api
    await api.aclose()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "_FIRST_LOOK", 0.01)


# Reports


def made(server: Server, *states: str, **more: Any) -> None:
    server.give("createReport", {"reportId": "ID323"}, 202)
    for state in states:
        body = {**server.example("getReport"), "processingStatus": state, "reportDocumentId": "DOC"}
        server.give("getReport", body)
    server.documents["/report"] = gzip.compress(b"sku\tprice\n") if more else b"sku\tprice\n"
    server.give("getReportDocument", {"reportDocumentId": "DOC", "url": "http://documents.test/report", **more})


@pytest.mark.parametrize("more", [{}, {"compressionAlgorithm": "GZIP"}])
async def test_a_report_is_waited_for_and_read(server: Server, api: SellerApi, more: dict[str, str]) -> None:
    made(server, "IN_QUEUE", "IN_PROGRESS", "DONE", **more)
    start = datetime(2026, 3, 1, tzinfo=UTC)
    assert await reports.report(api, "GET_MERCHANT_LISTINGS_ALL_DATA", start=start) == b"sku\tprice\n"
    (asked,) = server.sent("createReport")
    assert json.loads(asked.content)["dataStartTime"] == "2026-03-01T00:00:00Z"
    assert not server.sent("createRestrictedDataToken")


async def test_a_report_that_names_buyers_needs_its_own_token(server: Server, api: SellerApi) -> None:
    made(server, "DONE")
    server.give("createRestrictedDataToken", {"restrictedDataToken": "Atz.sprdt|one", "expiresIn": 3600})
    await reports.report(api, "GET_FLAT_FILE_ORDERS_RECONCILIATION_DATA_SHIPPING", restricted=True)
    (token,) = server.sent("createRestrictedDataToken")
    resource = {"method": "GET", "path": "/reports/2021-06-30/documents/DOC"}
    assert json.loads(token.content) == {"restrictedResources": [resource]}
    (document,) = server.sent("getReportDocument")
    assert document.headers["x-amz-access-token"] == "Atz.sprdt|one"


@pytest.mark.parametrize("state", ["CANCELLED", "FATAL"])
async def test_a_report_that_is_not_made(server: Server, api: SellerApi, state: str) -> None:
    made(server, state)
    with pytest.raises(Rejected) as refused:
        await reports.report(api, "ANY")
    assert refused.value.vendor_code == state


async def test_a_report_is_not_waited_for_for_ever(server: Server, api: SellerApi) -> None:
    made(server, *["IN_QUEUE"] * 20)
    with pytest.raises(Retryable, match="not ready"):
        await reports.report(api, "ANY", patience=0.05)


async def test_asking_for_a_report_again_harms_nobody(server: Server, api: SellerApi) -> None:
    server.give("createReport", server.example("createReport", 400), 500)
    with pytest.raises(Retryable):
        await reports.report(api, "ANY")


# Finances


def movement(kind: str, amount: float, **more: Any) -> dict[str, Any]:
    return {
        "transactionId": f"t{amount}",
        "transactionType": kind,
        "postedDate": "2026-03-02T14:00:00Z",
        "totalAmount": {"currencyAmount": amount, "currencyCode": "USD"},
        "relatedIdentifiers": [{"relatedIdentifierName": "ORDER_ID", "relatedIdentifierValue": "111-0000000-0000001"}],
        **more,
    }


async def test_the_published_transaction(server: Server, api: SellerApi) -> None:
    example = server.example("listTransactions")
    server.give("listTransactions", example)
    server.give("listTransactions", {"payload": {"transactions": [movement("Refund", -19.9)]}})
    since = datetime(2020, 7, 1, tzinfo=UTC)
    found = [row async for row in finances.transactions(api, since=since)]
    assert (found[0].kind, found[0].order_id, found[0].total) == ("Shipment", "8129762527551", usd("10.00"))
    assert "8129762527551" in found[0].id, "Amazon's example has no id: one is made of what it tells"
    assert found[1].total == usd("-19.90")
    first, second = server.sent("listTransactions")
    assert "postedAfter=2020-07-01T00%3A00%3A00Z" in str(first.url)
    assert "nextToken=Next" in str(second.url) and "postedAfter" in str(second.url)


async def test_a_deferred_refund_counts_once_when_it_moves_money(server: Server, api: SellerApi) -> None:
    rows = [
        movement("Refund", -19.9, transactionStatus="DEFERRED"),
        movement("Refund", -19.9, transactionStatus="DEFERRED_RELEASED", transactionId="earlier"),
        movement("Refund", -19.9, transactionStatus="RELEASED", transactionId="now"),
    ]
    server.give("listTransactions", {"payload": {"transactions": rows}})
    assert [refund.external_id for refund in await finances.refunds_of(api, "111-0000000-0000001")] == ["now"]


async def test_refunds_of_an_order(server: Server, api: SellerApi) -> None:
    rows = [movement("Shipment", 39.8), movement("Refund", -19.9), movement("Adjustment", -1)]
    server.give("listTransactions", {"payload": {"transactions": rows}})
    (refund,) = await finances.refunds_of(api, "111-0000000-0000001")
    server.give("listTransactions", {"payload": {"transactions": rows}})
    found = await finances.refunds(api, datetime(2026, 3, 1, tzinfo=UTC), finances.rows_of_money())
    assert found == {"111-0000000-0000001": [refund]}
    assert (refund.amount, refund.restocked) == (usd("19.90"), {})
    asked = server.sent("listTransactions")[0]
    assert "relatedIdentifierName=ORDER_ID" in str(asked.url)
    with pytest.raises(Rejected):
        [row async for row in finances.transactions(api)]


# Labels


async def test_services_cheapest_first(server: Server, api: SellerApi) -> None:
    example = server.example("getEligibleShipmentServices")
    dear = copy.deepcopy(example["payload"]["ShippingServiceList"][0])
    dear["Rate"]["Amount"], dear["ShippingServiceId"] = 99.5, "DEAR"
    example["payload"]["ShippingServiceList"].insert(0, dear)
    server.give("getEligibleShipmentServices", example)
    # Defect of the example: enums with an empty string.
    server.excused = ("LabelFormat", "is not one of")
    found = await labels.services(api, PARCEL)
    assert [(service.id, service.price) for service in found] == [
        ("UPS_PTP_2ND_DAY_AIR", usd("34.73")),
        ("UPS_PTP_NEXT_DAY_AIR_SAVER", usd("98.75")),
        ("DEAR", usd("99.50")),
    ]
    assert found[0].offer and found[0].carrier.startswith("UPS")


async def test_a_label_is_bought_read_and_given_back(server: Server, api: SellerApi) -> None:
    server.excused = ("is not one of",)  # defect of the examples: enums with an empty string
    for name in ("createShipment", "getShipment", "cancelShipment"):
        example = server.example(name)
        # The examples' own files are cut off after a few letters.
        file = base64.b64encode(gzip.compress(b"%PDF a label")).decode()
        example["payload"]["Label"]["FileContents"]["Contents"] = file
        server.give(name, example)
        server.give("createRestrictedDataToken", {"restrictedDataToken": f"Atz.sprdt|{name}", "expiresIn": 3600})
    service = labels.Service("UPS_PTP_2ND_DAY_AIR", "offer", "UPS", "UPS", usd("34.73"), None)
    bought = await labels.buy(api, PARCEL, service)
    assert (
        bought.shipment_id and bought.price == usd("34.73") and bought.content == b"%PDF a label" and bought.media_type
    )
    read = await labels.read(api, SHIPMENT)
    assert read is not None and read.shipment_id == SHIPMENT
    assert (await labels.cancel(api, SHIPMENT)).status
    for name in ("createShipment", "getShipment", "cancelShipment"):
        (request,) = server.sent(name)
        assert request.headers["x-amz-access-token"] == f"Atz.sprdt|{name}", "a token for each resource"


async def test_buying_without_an_answer_is_unknown(server: Server, api: SellerApi) -> None:
    service = labels.Service("S", "offer", "UPS", "UPS", usd("1.00"), None)
    token = {"restrictedDataToken": "Atz.sprdt|x", "expiresIn": 3600}
    broken = server.example("createShipment")
    broken["payload"]["Label"]["FileContents"]["Contents"] = "not base64"
    for status, body in ((500, server.example("createShipment", 400)), (200, broken)):
        server.give("createRestrictedDataToken", token)
        server.give("createShipment", body, status)
        server.excused = ("is not one of",)
        with pytest.raises(OutcomeUnknown):
            await labels.buy(api, PARCEL, service)


# Other channels' orders from Amazon's warehouses (this model has no static examples)


async def test_an_order_is_sent_from_amazons_warehouse(server: Server, api: SellerApi) -> None:
    server.give("createFulfillmentOrder", {})
    placed = datetime(2026, 3, 2, 14, tzinfo=UTC)
    await outbound.send(api, "shop-1001", {"LAMP-1": 2, "MUG": 1}, SENDER, placed)
    (request,) = server.sent("createFulfillmentOrder")
    body = json.loads(request.content)
    assert [(row["sellerSku"], row["quantity"]) for row in body["items"]] == [("LAMP-1", 2), ("MUG", 1)]
    assert (body["sellerFulfillmentOrderId"], body["fulfillmentPolicy"]) == ("shop-1001", "FillOrKill")
    parcel = {"packageNumber": 1, "carrierCode": "UPS", "trackingNumber": "1Z999"}
    shipment = {
        "amazonShipmentId": "s",
        "fulfillmentCenterId": "c",
        "fulfillmentShipmentStatus": "SHIPPED",
        "fulfillmentShipmentItem": [],
        "fulfillmentShipmentPackage": [parcel],
    }
    order = {
        **{name: body[name] for name in ("sellerFulfillmentOrderId", "marketplaceId", "displayableOrderId")},
        **{name: body[name] for name in ("displayableOrderDate", "displayableOrderComment", "destinationAddress")},
        "shippingSpeedCategory": "Standard",
        "receivedDate": "2026-03-02T14:00:00Z",
        "fulfillmentOrderStatus": "Complete",
        "statusUpdatedDate": "2026-03-02T14:00:00Z",
    }
    result = {"fulfillmentOrder": order, "fulfillmentOrderItems": [], "fulfillmentShipments": [shipment]}
    server.give("getFulfillmentOrder", {"payload": {**result, "returnItems": [], "returnAuthorizations": []}})
    assert await outbound.read(api, "shop-1001") == outbound.Consignment("shop-1001", "Complete", (("UPS", "1Z999"),))
    missing = {"errors": [{"code": "InvalidInput", "message": "not found"}]}
    server.give("getFulfillmentOrder", missing, 404)
    assert await outbound.read(api, "shop-1002") is None
    server.give("cancelFulfillmentOrder", missing, 400)
    with pytest.raises(Rejected):
        await outbound.cancel(api, "shop-1001")
    server.give("createFulfillmentOrder", missing, 500)
    with pytest.raises(OutcomeUnknown):
        await outbound.send(api, "shop-1003", {"MUG": 1}, SENDER, placed)


# Messages


async def test_messages_that_are_allowed(server: Server, api: SellerApi) -> None:
    server.give("getMessagingActionsForOrder", server.example("getMessagingActionsForOrder"))
    found = await messaging.allowed(api, "123-1234567-1234567")
    assert {"confirmDeliveryDetails", "unexpectedProblem"} <= set(found)


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ("confirmOrderDetails", "createConfirmOrderDetails"),
        ("confirmDeliveryDetails", "createConfirmDeliveryDetails"),
        ("unexpectedProblem", "createUnexpectedProblem"),
    ],
)
async def test_a_message_is_sent(server: Server, api: SellerApi, kind: Any, operation: str) -> None:
    server.give(operation, server.example(operation, 201), 201)
    await messaging.send(api, "123-1234567-1234567", kind, "When are you at home?")
    (request,) = server.sent(operation)
    assert json.loads(request.content) == {"text": "When are you at home?"}
    server.give(operation, server.example(operation, 400), 400)
    with pytest.raises(Rejected):
        await messaging.send(api, "123-1234567-1234567", kind, "Hello?")
    for text in ("", "x" * 2001):
        with pytest.raises(Rejected):
            await messaging.send(api, "123-1234567-1234567", kind, text)
    assert len(server.sent(operation)) == 2


def test_the_server_of_these_tests_can_say_no(server: Server) -> None:
    check: Callable[[httpx2.Request], httpx2.Response] = server
    server.give("createUnexpectedProblem", {}, 201)
    url = "http://amazon.test/messaging/v1/orders/1/messages/unexpectedProblem"
    with pytest.raises(AssertionError, match="marketplaceIds"):
        check(httpx2.Request("POST", url, json={"text": "x"}))
