"""What Amazon says no to, and where: in a 200, with a stale token of one resource, by a submission's status."""

from __future__ import annotations

import gzip
from typing import Any

import httpx2
import pytest
from amazon_answers import ORDER, Answers, at_once, connected, listing, order, page

from flipsync.connectors.base import QuantityChange
from flipsync.connectors.marketplaces.amazon import labels, messaging, outbound, reports
from flipsync.connectors.marketplaces.amazon.client import AmazonConnector
from flipsync.connectors.marketplaces.amazon.feeds import QuantityFeed
from flipsync.connectors.marketplaces.amazon.listings import own_skus
from flipsync.domain.channel import Address
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable, Unreadable
from flipsync.domain.money import usd
from flipsync.services.channel_probe import SeenLimits, try_channel

STALE = {"code": "Unauthorized", "message": "Access denied.", "details": "The access token you provided has expired."}


# Errors in a success


@pytest.mark.parametrize(
    ("code", "read", "written"),
    [
        ("QuotaExceeded", Retryable, Retryable),
        ("InvalidInput", Rejected, Rejected),
        ("NotFound", Rejected, Rejected),
        ("Unauthorized", Rejected, Rejected),
        ("InternalFailure", Retryable, OutcomeUnknown),
        ("SomethingNew", Retryable, OutcomeUnknown),
        ("", Retryable, OutcomeUnknown),
    ],
)
async def test_errors_in_a_success(
    answers: Answers, amazon: AmazonConnector, code: str, read: type[ChannelError], written: type[ChannelError]
) -> None:
    wrong = {"errors": [{"code": code, "message": "no"}]}
    answers.give("createUnexpectedProblem", wrong, status=201)
    answers.give("createFulfillmentOrder", wrong)
    answers.give("confirmShipment", wrong)
    answers.give("getOrder", {"order": order()})
    send = messaging.send(amazon._api, ORDER, "unexpectedProblem", "Hello")
    consign = outbound.send(amazon._api, "O1", {"A": 1}, Address(name="Jo"), utc_now())
    for write in (send, consign, amazon.confirm_shipment(ORDER, "UPS", "1Z", "k")):
        with pytest.raises(ChannelError) as failed:
            await write
        assert type(failed.value) is written and failed.value.vendor_code == code
    for name in ("getInventorySummaries", "getMarketplaceParticipations"):
        answers.give(name, {**wrong, "payload": None})
    for asked in (anext(aiter(amazon.warehouse())), amazon.probe()):
        with pytest.raises(ChannelError) as failed:
            await asked
        assert type(failed.value) is read
    # the bucket's next token: 0.016 of it a second
    assert getattr(failed.value, "after", None) == (62.5 if code == "QuotaExceeded" else None)


async def test_what_was_made_is_made_whatever_else_is_said(answers: Answers, amazon: AmazonConnector) -> None:
    answers.give("getDestinations", {"payload": []})
    made = {"destinationId": "D", "name": "x", "resource": {}}
    answers.give("createDestination", {"payload": made, "errors": [{"code": "InternalFailure"}]})
    answers.give("getSubscription", {"errors": [{"code": "NotFound"}]}, status=404)
    subscription = {"subscriptionId": "S", "payloadVersion": "1.0", "destinationId": "D"}
    answers.give("createSubscription", {"payload": subscription})
    amazon.config.options["queue_arn"] = "arn:aws:sqs:us-east-1:1:q"
    assert all(each.active for each in await amazon.ensure_webhooks("", amazon.credentials["client_id"]))


@pytest.mark.parametrize("body", [["x"], "x", 1])
async def test_a_message_answered_with_something_else_may_be_sent(
    answers: Answers, amazon: AmazonConnector, body: Any
) -> None:
    answers.give("createUnexpectedProblem", body, status=201)
    with pytest.raises(OutcomeUnknown):
        await messaging.send(amazon._api, ORDER, "unexpectedProblem", "Hello")


# Restricted data


async def test_a_stale_token_of_one_resource_is_asked_for_anew(answers: Answers, amazon: AmazonConnector) -> None:
    answers.give("createRestrictedDataToken", {"restrictedDataToken": "one"}, {"restrictedDataToken": "two"})
    answers.give("getShipment", {"errors": [STALE]}, status=403)
    answers.then("getShipment", {"errors": [{"code": "NotFound"}]}, 404)
    assert await labels.read(amazon._api, "S1") is None
    assert [request.headers["x-amz-access-token"] for request in answers.sent("getShipment")] == ["one", "two"]


async def test_a_role_that_is_missing_is_asked_for_once(answers: Answers, amazon: AmazonConnector) -> None:
    answers.give("createRestrictedDataToken", {"restrictedDataToken": "one"})
    answers.give("getShipment", {"errors": [{**STALE, "details": ""}]}, status=403)
    with pytest.raises(Rejected) as refused:
        await labels.read(amazon._api, "S1")
    assert refused.value.auth and len(answers.sent("getShipment")) == 1


# Submissions


ERROR = {"code": "8541", "message": "wrong", "severity": "ERROR", "categories": []}


async def test_what_was_accepted_is_read_back_whatever_its_issues(answers: Answers, amazon: AmazonConnector) -> None:
    answers.give("getListingsItem", listing("A"), listing("A", "25.00"))
    told = {"sku": "A", "submissionId": "1", "issues": [ERROR]}
    answers.give("patchListingsItem", {**told, "status": "ACCEPTED"})
    assert (await amazon.set_price("A", usd("25.00"), "k")).price == usd("25.00")
    for status in ("INVALID", "A_WORD_ADDED_SINCE"):
        answers.give("patchListingsItem", {**told, "status": status})
        with pytest.raises(Rejected, match="wrong"):
            await amazon.set_price("A", usd("26.00"), "k")


async def test_a_listing_that_goes_while_it_is_ended_is_ended(answers: Answers, amazon: AmazonConnector) -> None:
    answers.give("getListingsItem", listing("A"))
    answers.then("getListingsItem", {"errors": [{"code": "NOT_FOUND"}]}, 404)
    answers.give("deleteListingsItem", {"errors": [{"code": "NOT_FOUND"}]}, status=404)
    await amazon.end("A", "k")


@pytest.mark.parametrize("status", [302, 413, 415])
async def test_a_question_that_never_arrived_grants_nothing(
    answers: Answers, amazon: AmazonConnector, status: int
) -> None:
    answers.give("getMarketplaceParticipations", {"payload": []})
    answers.give("searchListingsItems", page({"sku": "A", "offers": [{}]}))
    answers.give("putListingsItem", {"errors": [{"code": "RequestTooLarge"}]}, status=status)
    with pytest.raises(Rejected):
        await amazon.probe()
    answers.give("putListingsItem", {"errors": [{"code": "InvalidInput"}]}, status=400)
    found = await amazon.probe()
    assert found.can_read and found.can_write


# Shipments


@pytest.mark.parametrize("status", [None, "", "A_WORD_ADDED_SINCE"])
async def test_of_a_status_nobody_knows_amazon_judges(
    answers: Answers, amazon: AmazonConnector, status: str | None
) -> None:
    answers.give("getOrder", {"order": order(status)}, {"order": order("SHIPPED")})
    answers.give("confirmShipment", None, status=204)
    assert (await amazon.confirm_shipment(ORDER, "UPS", "1Z", "k")).status == "shipped"
    (body,) = answers.bodies("confirmShipment")
    assert body["packageDetail"]["orderItems"] == [{"orderItemId": "1", "quantity": 2}]


async def test_an_order_that_cannot_be_read_is_not_confirmed(answers: Answers, amazon: AmazonConnector) -> None:
    def money(amount: str, currency: str = "USD") -> dict[str, str]:
        return {"amount": amount, "currencyCode": currency}

    def row(number: str, total: dict[str, str]) -> dict[str, Any]:
        product = {"sellerSku": number}
        return {
            "orderItemId": number,
            "quantityOrdered": 1,
            "product": product,
            "proceeds": {"proceedsTotal": total, "breakdowns": []},
        }

    mixed = order(orderItems=[row("1", money("5.00")), row("2", money("5", "JPY"))])
    answers.give("getOrder", {"order": mixed})
    with pytest.raises(Unreadable):
        await amazon.confirm_shipment(ORDER, "UPS", "1Z", "k")
    assert not answers.sent("confirmShipment")
    answers.give("getOrder", {"order": order()}, {"order": mixed})
    answers.give("confirmShipment", None, status=204)
    with pytest.raises(OutcomeUnknown, match="was confirmed"):
        await amazon.confirm_shipment(ORDER, "UPS", "1Z", "k")


async def test_an_order_is_asked_for_by_whatever_id_amazon_gave_it(answers: Answers, amazon: AmazonConnector) -> None:
    answers.give("getOrder", {"order": order(orderId="902-x")})
    found = await amazon.read_order("902-x")
    assert found is not None and found.external_id == "902-x"
    assert answers.sent("getOrder")[0].url.path.endswith("/orders/902-x")


# Reports


JAPAN = "A1VC38T7YXB528"


def reported(answers: Answers, content: bytes, media_type: str = "binary/octet-stream", **more: Any) -> None:
    answers.give("createReport", {"reportId": "R"}, status=202)
    answers.give("getReport", {"reportId": "R", "processingStatus": "DONE", "reportDocumentId": "D"})
    answers.give("getReportDocument", {"reportDocumentId": "D", "url": "http://documents.test/report", **more})
    answers.documents["/report"] = httpx2.Response(200, content=content, headers={"Content-Type": media_type})


@pytest.mark.parametrize(
    ("marketplace", "told", "charset", "text"),
    [
        ("ATVPDKIKX0DER", "", "utf-8-sig", "Caf\u00e9 \u5bff\u53f8"),
        ("ATVPDKIKX0DER", "", "cp1252", "Caf\u00e9 \u20ac"),
        (JAPAN, "", "cp932", "\u5bff\u53f8\uff5e\u2460"),
        ("ATVPDKIKX0DER", "text/plain; charset=Shift_JIS", "shift_jis", "\u5bff\u53f8"),
        ("ATVPDKIKX0DER", "text/plain;charset=Cp1250", "cp1250", "\u0142\u00f3d\u017a"),
        ("ATVPDKIKX0DER", "text/plain;charset=nobodys", "cp1252", "Caf\u00e9"),
    ],
)
async def test_the_letters_of_a_report(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, marketplace: str, told: str, charset: str, text: str
) -> None:
    at_once(monkeypatch)
    packed = gzip.compress(f"item-name\tseller-sku\n{text}\tA\n".encode(charset))
    reported(answers, packed, told or "binary/octet-stream", compressionAlgorithm="GZIP")
    async with connected(answers, marketplace) as amazon:
        assert text in await reports.report_text(amazon._api, "GET_MERCHANT_LISTINGS_ALL_DATA")


@pytest.mark.parametrize("content", [b"seller-sku\n" + b"x" * 200_000, b"", b"<html>", b"price\n1\n"])
async def test_a_report_that_is_none(answers: Answers, amazon: AmazonConnector, content: bytes) -> None:
    reported(answers, content)
    with pytest.raises(Retryable):
        async for _ in own_skus(amazon._api):
            pass


# Addresses of documents


async def test_a_documents_address_that_is_over_is_not_the_accounts(answers: Answers, amazon: AmazonConnector) -> None:
    reported(answers, b"")
    for status, kind in ((403, Retryable), (404, Retryable), (302, Rejected), (416, Rejected)):
        answers.documents["/report"] = httpx2.Response(status, content=b"<Error><Code>AccessDenied</Code></Error>")
        with pytest.raises(kind, match="the document's address") as refused:
            await reports.report_text(amazon._api, "GET_MERCHANT_LISTINGS_ALL_DATA")
        assert not getattr(refused.value, "auth", False)


async def test_an_upload_that_is_refused_is_made_anew(answers: Answers, amazon: AmazonConnector) -> None:
    skus = [f"S{number}" for number in range(40)]
    pages = [page(*map(listing, skus[:20])), page(*map(listing, skus[20:]))]
    answers.give("searchListingsItems", *pages)
    answers.give("createFeedDocument", {"feedDocumentId": "IN", "url": "http://documents.test/in"})
    answers.uploads = 403
    with pytest.raises(Retryable):
        await amazon.set_quantities([QuantityChange(sku, 7, sku) for sku in skus])
    assert not answers.sent("createFeed")


async def test_the_result_of_a_feed_is_asked_for_at_a_new_address(answers: Answers, amazon: AmazonConnector) -> None:
    answers.give("getFeed", {"feedId": "1", "processingStatus": "DONE", "resultFeedDocumentId": "OUT"})
    where = [{"feedDocumentId": "OUT", "url": f"http://documents.test/{name}"} for name in ("over", "fresh")]
    answers.give("getFeedDocument", *where)
    answers.documents["/over"] = httpx2.Response(403)
    report = {"issues": [], "summary": {"messagesProcessed": 1, "messagesAccepted": 1}}
    answers.documents["/fresh"] = httpx2.Response(200, json=report)
    feed = QuantityFeed(amazon._api, amazon._state)
    assert (await feed._report("1")).summary.messages_accepted == 1


async def test_kinds_of_message_are_told_by_their_address_too(answers: Answers, amazon: AmazonConnector) -> None:
    where = f"/messaging/v1/orders/{ORDER}/messages"
    links = [{"href": f"{where}/unexpectedProblem?marketplaceIds=X"}, {"href": "x", "name": "negotiateReturn"}]
    answers.give("getMessagingActionsForOrder", {"_links": {"self": {"href": "x"}, "actions": links}})
    answers.give("createUnexpectedProblem", {}, status=201)
    assert await messaging.allowed(amazon._api, ORDER) == ["unexpectedProblem", "negotiateReturn"]
    await amazon.tell_buyer(ORDER, "Hello")


async def test_of_an_order_on_two_pages_the_newer_one_counts(answers: Answers, amazon: AmazonConnector) -> None:
    newer = order("SHIPPED", lastUpdatedTime="2026-03-02T15:00:00Z")
    answers.give("searchOrders", {"orders": [newer], "pagination": {"nextToken": "T"}}, {"orders": [order()]})
    assert [each.status async for each in amazon.orders(utc_now())] == ["shipped"]


async def test_a_trial_tells_what_cannot_be_read_as_such(answers: Answers, amazon: AmazonConnector) -> None:
    answers.give("getMarketplaceParticipations", {"payload": []})
    answers.give("searchListingsItems", page(listing("A", "19.999")))
    answers.give("putListingsItem", {"sku": "A", "status": "INVALID", "submissionId": "1"})
    answers.give("getListingsItem", {"errors": [{"code": "NOT_FOUND"}]}, status=404)
    answers.give("searchOrders", {"orders": [{"orderId": "1"}]})
    answers.give("getListingOffersBatch", {"responses": []})
    nothing = {"errors": [{"code": "NOT_FOUND"}]}
    for name in ("searchCatalogItems", "listTransactions", "getInventorySummaries", "getSubscription"):
        answers.give(name, nothing, status=404)
    found = await try_channel(amazon, SeenLimits())
    assert [(each.name, each.cause) for each in found.checks if not each.optional] == [
        ("credentials", ""),
        ("listings", "retryable"),
        ("find by SKU", ""),
        ("orders", "retryable"),
        ("rival offers", ""),
        ("limits", ""),
    ]


@pytest.mark.parametrize(("times", "coding"), [(1, ""), (1, "gzip"), (2, "gzip")])
async def test_a_packed_report_may_come_unpacked(
    answers: Answers, amazon: AmazonConnector, times: int, coding: str
) -> None:
    content = b"seller-sku\tfulfillment-channel\nA\tDEFAULT\n"
    for _ in range(times):
        content = gzip.compress(content)
    reported(answers, b"", compressionAlgorithm="GZIP")
    headers = {"Content-Encoding": coding} if coding else {}
    answers.documents["/report"] = httpx2.Response(200, content=content, headers=headers)
    assert [sku async for sku in own_skus(amazon._api)] == ["A"]
