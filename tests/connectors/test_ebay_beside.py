"""What eBay has beside the common interface: offers to watchers, violations, funds, ad rates, and the seller's rating.

The answers here are written from eBay's documents, and judged by them before the connector reads them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from ebay_documents import Documents
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.ebay.client import EbayConnector
from flipsync.connectors.marketplaces.ebay.finances import Movement
from flipsync.domain.channel import SellerRating
from flipsync.domain.errors import OutcomeUnknown, Rejected, Unreadable
from flipsync.domain.money import usd

TOKEN = {"access_token": "t1", "expires_in": 7200, "token_type": "User Access Token"}
Told = Callable[[httpx2.Request], httpx2.Response]


class Judged(httpx2.AsyncBaseTransport):
    """Answers as told; what is asked and what is answered must be in the documents."""

    def __init__(self, documents: Documents, told: Told) -> None:
        self.documents = documents
        self.told = told
        self.seen: list[httpx2.Request] = []
        self.problems: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/oauth2/token"):
            return httpx2.Response(200, json=TOKEN)
        self.seen.append(request)
        self.problems += self.documents.request(request)
        answer = self.told(request)
        self.problems += self.documents.answer(request.method, request.url.raw_path.decode(), answer)
        return answer


@pytest.fixture
def judged(contracts: Path) -> Any:
    def make(told: Told, base_url: str = "https://api.example") -> tuple[EbayConnector, Judged]:
        transport = Judged(Documents(contracts, ""), told)
        config = AccountConfig(vendor="ebay", base_url=base_url, currency="USD")  # type: ignore[arg-type]
        keys = {name: SecretStr(name) for name in ("client_id", "client_secret", "refresh_token")}
        return EbayConnector(config, keys, Unlimited(), "a", transport=transport), transport

    return make


async def test_listings_that_buyers_watch_page_after_page(judged: Any) -> None:
    def told(request: httpx2.Request) -> httpx2.Response:
        offset = int(request.url.params["offset"])
        body: dict[str, Any] = {
            "href": "https://api.example/x",
            "limit": 200,
            "offset": offset,
            "total": 3,
            "eligibleItems": [{"listingId": str(offset)}, {"listingId": "7"}],
        }
        if offset < 2:
            body["next"] = f"https://api.example/x?limit=200&offset={offset + 1}"
        return httpx2.Response(200, json=body)

    ebay, transport = judged(told)
    async with ebay:
        assert await ebay.negotiation.listings_with_interest() == ["0", "7", "1", "2"]
    assert transport.problems == []
    assert {request.headers["X-EBAY-C-MARKETPLACE-ID"] for request in transport.seen} == {"EBAY_US"}


async def test_nobody_watches(judged: Any) -> None:
    ebay, transport = judged(lambda request: httpx2.Response(204))
    async with ebay:
        assert await ebay.negotiation.listings_with_interest() == []
        assert await ebay.compliance.counts() == {}
        assert await ebay.compliance.violations("HTTPS") == []
        moments = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
        assert [each async for each in ebay.finances.movements(*moments)] == []
    assert transport.problems == []


async def test_an_offer_to_all_who_watch(judged: Any) -> None:
    made = {
        "allowCounterOffer": True,
        "buyer": {"maskedUsername": "a***b"},
        "creationDate": "2026-03-02T14:00:00.000Z",
        "initiatedBy": "SELLER",
        "lastModifiedDate": "2026-03-02T14:00:00.000Z",
        "offerDuration": {"unit": "DAY", "value": 2},
        "offeredItems": [{"listingId": "7", "price": {"currency": "USD", "value": "18.00"}, "quantity": 1}],
        "offerId": "o1",
        "offerStatus": "PENDING",
        "offerType": "SELLER_INITIATED_OFFER",
        "revision": "1",
    }
    ebay, transport = judged(lambda request: httpx2.Response(200, json={"offers": [made]}))
    async with ebay:
        sent = await ebay.negotiation.offer("7", usd("18.00"), message="Yours for less.", counter_offers=True)
    assert sent == ["o1"] and transport.problems == []


@pytest.mark.parametrize(
    ("status", "category", "kind"), [(400, "REQUEST", Rejected), (500, "APPLICATION", OutcomeUnknown)]
)
async def test_an_offer_that_was_not_made(judged: Any, status: int, category: str, kind: Any) -> None:
    body = {"errors": [{"errorId": 150020 if status == 400 else 150000, "category": category, "message": "No."}]}
    ebay, _ = judged(lambda request: httpx2.Response(status, json=body))
    async with ebay:
        with pytest.raises(kind):
            await ebay.negotiation.offer("7", usd("18.00"))


async def test_violations_are_counted_and_listed(judged: Any) -> None:
    summary = {
        "violationSummaries": [{"complianceType": "RETURNS_POLICY", "marketplaceId": "EBAY_US", "listingCount": 2}]
    }
    listing = {
        "complianceType": "RETURNS_POLICY",
        "listingId": "7",
        "sku": "fs.A_2FB",
        "offerId": "1",
        "violations": [
            {
                "reasonCode": "NON_COMPLIANT_RETURNS_POLICY",
                "message": "Returns must be accepted.",
                "complianceState": "OUT_OF_COMPLIANCE",
            },
            {
                "reasonCode": "MISSING_ASPECTS",
                "message": "Add Material.",
                "complianceState": "AT_RISK",
                "variation": {"sku": "V-1", "variationAspects": [{"name": "Size", "value": "S"}]},
                "correctiveRecommendations": {
                    "aspectRecommendations": [{"localizedAspectName": "Material", "suggestedValues": ["Brass"]}]
                },
            },
        ],
    }

    def told(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("_summary"):
            return httpx2.Response(200, json=summary)
        body = {"total": 1, "limit": 100, "offset": 0, "href": "h", "listingViolations": [listing]}
        return httpx2.Response(200, json=body)

    ebay, transport = judged(told)
    async with ebay:
        assert await ebay.compliance.counts() == {"RETURNS_POLICY": 2}
        first, second = await ebay.compliance.violations("RETURNS_POLICY")
    assert (first.sku, first.listing_id, first.at_risk) == ("A/B", "7", False)
    assert (second.sku, second.reason, second.at_risk) == ("V-1", "MISSING_ASPECTS", True)
    assert second.specifics == ("Material",)
    assert transport.problems == []


def paid_out(id: str, status: str, value: str, **more: Any) -> dict[str, Any]:
    return {
        "payoutId": id,
        "payoutStatus": status,
        "payoutStatusDescription": "Funds.",
        "amount": {"value": value, "currency": "USD"},
        "payoutDate": "2026-03-02T00:00:00.000Z",
        "payoutInstrument": {"instrumentType": "BANK", "nickname": "Mine", "accountLastFourDigits": "1234"},
        "transactionCount": 1,
        **more,
    }


async def test_payouts_in_words_of_ours_and_those_in_others_hinder_none(judged: Any) -> None:
    fee = {"totalFee": {"value": "1.50", "currency": "USD"}}
    words = ("INITIATED", "SUCCEEDED", "RETRYABLE_FAILED", "TERMINAL_FAILED", "REVERSED")
    rows = [paid_out(str(number), word, "17.20") for number, word in enumerate(words)]
    rows += [paid_out("0", "INITIATED", "17.20"), paid_out("5", "SUCCEEDED", "8.50", **fee)]

    def told(request: httpx2.Request) -> httpx2.Response:
        body = {"href": "h", "limit": 200, "offset": 0, "total": len(rows), "payouts": rows}
        return httpx2.Response(200, json=body)

    ebay, transport = judged(told, "https://api.ebay.com")
    since = datetime(2026, 3, 1, tzinfo=UTC)
    async with ebay:
        found = [each async for each in ebay.payouts(since)]
        assert [each.state for each in found] == ["initiated", "paid", "delayed", "failed", "returned", "paid"]
        assert (found[5].amount, found[5].fee, found[0].bank) == (usd("8.50"), usd("1.50"), "BANK 1234")
        assert transport.problems == []
        assert {request.url.host for request in transport.seen} == {"apiz.ebay.com"}
        rows[:] = [paid_out("1", "THOUGHT_ABOUT", "1.00"), paid_out("2", "SUCCEEDED", "2.00")]
        found = []
        with pytest.raises(Unreadable, match="1 payouts"):
            async for each in ebay.payouts(since):
                found.append(each.external_id)
    assert found == ["2"]


async def test_lines_of_a_payout_say_what_they_are_and_what_ebay_kept(judged: Any) -> None:
    def row(kind: str, entry: str, value: str, **more: Any) -> dict[str, Any]:
        return {
            "transactionId": "1",
            "transactionType": kind,
            "transactionStatus": "PAYOUT",
            "bookingEntry": entry,
            "amount": {"value": value, "currency": "USD"},
            "transactionDate": "2026-03-02T14:00:00.000Z",
            "salesRecordReference": "0",
            "payoutId": "6",
            **more,
        }

    kept = {"totalFeeAmount": {"value": "2.00", "currency": "USD"}, "orderId": "27-1"}
    rows = [
        row("SALE", "CREDIT", "18.00", **kept),
        row("REFUND", "DEBIT", "18.00", **kept, buyer={"username": "somebody"}),
        row("NON_SALE_CHARGE", "DEBIT", "0.80", feeType="AD_FEE", transactionId="2"),
        row("NON_SALE_CHARGE", "DEBIT", "21.95", transactionId="3", transactionMemo="Store subscription"),
        row("SHIPPING_LABEL", "DEBIT", "4.10"),
        row("LOAN_REPAYMENT", "DEBIT", "5.00"),
    ]

    def told(request: httpx2.Request) -> httpx2.Response:
        assert request.url.params["filter"] == "payoutId:{6}"
        body = {"href": "h", "limit": 200, "offset": 0, "total": len(rows), "transactions": rows}
        return httpx2.Response(200, json=body)

    ebay, transport = judged(told)
    async with ebay:
        lines = [each async for each in ebay.payout_lines("6")]
    assert [(each.kind, each.amount.amount_minor, each.fee.amount_minor) for each in lines] == [
        ("sale", 1800, 200), ("refund", -1800, -200), ("ad_fee", -80, 0), ("fee", -2195, 0), ("label", -410, 0),
        ("other", -500, 0),
    ]  # fmt: skip
    assert [each.order_external_id for each in lines[:3]] == ["27-1", "27-1", None]
    assert "somebody" not in repr(lines) and len({each.external_id for each in lines}) == 6
    assert transport.problems == []


async def test_funds_move_in_and_out_once_each(judged: Any) -> None:
    def row(id: str, kind: str, entry: str, value: str, **more: Any) -> dict[str, Any]:
        return {
            "transactionId": id,
            "transactionType": kind,
            "transactionStatus": "PAYOUT",
            "bookingEntry": entry,
            "amount": {"value": value, "currency": "USD"},
            "transactionDate": "2026-03-02T14:00:00.000Z",
            "salesRecordReference": "0",
            **more,
        }

    kept = {"value": "2.70", "currency": "USD"}
    rows = [
        row("1", "SALE", "CREDIT", "17.20", orderId="27-1", payoutId="p1", totalFeeAmount=kept),
        row("1", "REFUND", "DEBIT", "5.00", orderId="27-1"),
        row("1", "SALE", "CREDIT", "17.20"),
        row("2", "NON_SALE_CHARGE", "DEBIT", "21.95", transactionMemo="Store subscription"),
    ]  # fmt: skip

    def told(request: httpx2.Request) -> httpx2.Response:
        body = {"href": "h", "limit": 200, "offset": 0, "total": 4, "transactions": rows}
        return httpx2.Response(200, json=body)

    ebay, transport = judged(told, "https://api.ebay.com")
    since, until = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
    async with ebay:
        found = [each async for each in ebay.finances.movements(since, until)]
    assert found[0] == Movement(
        id="1",
        kind="SALE",
        status="PAYOUT",
        amount=usd("17.20"),
        fees=usd("2.70"),
        order_id="27-1",
        payout_id="p1",
        booked_at=datetime(2026, 3, 2, 14, tzinfo=UTC),
    )
    assert [(each.kind, each.amount) for each in found[1:]] == [
        ("REFUND", -usd("5.00")),
        ("NON_SALE_CHARGE", -usd("21.95")),
    ]
    (asked,) = transport.seen
    assert asked.url.host == "apiz.ebay.com", "eBay has this API on another host"
    assert asked.url.params["filter"] == "transactionDate:[2026-03-01T00:00:00.000Z..2026-03-03T00:00:00.000Z]"
    assert transport.problems == []


def ad(rate: str) -> dict[str, Any]:
    return {
        "adId": "a1",
        "bidPercentage": rate,
        "inventoryReferenceId": "LAMP-1",
        "inventoryReferenceType": "INVENTORY_ITEM",
        "listingId": "7",
    }


async def test_campaigns_whose_rates_are_set_by_hand(judged: Any) -> None:
    def campaign(id: str, **funding: Any) -> dict[str, Any]:
        return {
            "campaignId": id,
            "campaignName": f"C{id}",
            "campaignStatus": "RUNNING",
            "marketplaceId": "EBAY_US",
            "fundingStrategy": {"fundingModel": "COST_PER_SALE", "bidPercentage": "5.0", **funding},
        }

    rows = [
        campaign("1"),
        campaign("2", adRateStrategy="DYNAMIC"),
        campaign("3", fundingModel="COST_PER_CLICK"),
        {**campaign("4"), "marketplaceId": "EBAY_GB"},
    ]
    body = {"campaigns": rows, "href": "h", "limit": 100, "offset": 0, "total": 4}
    ebay, transport = judged(lambda request: httpx2.Response(200, json=body))
    async with ebay:
        (found,) = await ebay.marketing.campaigns()
    assert (found.id, found.name, found.rate) == ("1", "C1", Decimal("5.0"))
    assert transport.problems == []


@pytest.mark.parametrize(
    ("before", "verb"), [(None, "bulk_create_ads_by"), ("3.0", "bulk_update_ads_bid_by"), ("4.5", "")]
)
async def test_an_ad_rate_is_made_or_changed_and_read_back(judged: Any, before: str | None, verb: str) -> None:
    now = before

    def told(request: httpx2.Request) -> httpx2.Response:
        nonlocal now
        if request.method == "GET":
            missing = {"errors": [{"errorId": 35012, "category": "REQUEST", "message": "none"}]}
            return httpx2.Response(404, json=missing) if now is None else httpx2.Response(200, json={"ads": [ad(now)]})
        now = json.loads(request.content)["requests"][0]["bidPercentage"]
        made = {"inventoryReferenceId": "LAMP-1", "statusCode": 201, "ads": [{"adId": "a1", "href": "h"}]}
        return httpx2.Response(200, json={"responses": [made]})

    ebay, transport = judged(told)
    async with ebay:
        assert await ebay.marketing.ad_rate("c1", "LAMP-1") == (Decimal(before) if before else None)
        assert await ebay.marketing.set_ad_rate("c1", "LAMP-1", Decimal("4.5")) == Decimal("4.5")
    writes = [request.url.path.rsplit("/", 1)[1] for request in transport.seen if request.method == "POST"]
    assert writes == ([f"{verb}_inventory_reference"] if verb else [])
    assert transport.problems == []


async def test_an_ad_rate_that_ebay_refuses(judged: Any) -> None:
    def told(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(200, json={"ads": []})
        refused = {"errorId": 35072, "category": "BUSINESS", "message": "not eligible"}
        row = {"inventoryReferenceId": "LAMP-1", "statusCode": 409, "ads": [], "errors": [refused]}
        return httpx2.Response(200, json={"responses": [row]})

    ebay, transport = judged(told)
    async with ebay:
        with pytest.raises(Rejected, match="not eligible"):
            await ebay.marketing.set_ad_rate("c1", "LAMP-1", Decimal("4.5"))
        for wrong in ("0.0", "100.1", "4.55"):
            with pytest.raises(Rejected, match="no ad rate"):
                await ebay.marketing.set_ad_rate("c1", "LAMP-1", Decimal(wrong))
    assert transport.problems == []


async def test_how_ebay_rates_the_seller(judged: Any) -> None:
    def profile(cycle: str, level: str, *metrics: tuple[str, str]) -> dict[str, Any]:
        return {
            "cycle": {"cycleType": cycle, "evaluationDate": "2026-03-20T00:00:00.000Z", "evaluationMonth": "2026-03"},
            "program": "PROGRAM_US",
            "standardsLevel": level,
            "metrics": [{"metricKey": key, "level": rated, "type": "FRACTION"} for key, rated in metrics],
        }

    rows = [
        profile("CURRENT", "TOP_RATED", ("DEFECTIVE_TRANSACTION_RATE", "TOP_RATED")),
        profile("PROJECTED", "BELOW_STANDARD", ("SHIPPING_MISS_RATE", "BELOW_STANDARD"), ("DEFECTS", "TOP_RATED")),
    ]
    ebay, transport = judged(lambda request: httpx2.Response(200, json={"standardsProfiles": rows}))
    async with ebay:
        told = await ebay.rating()
        rows = [profile("PROJECTED", "BELOW_STANDARD")]
        assert await ebay.rating() is None, "not rated yet"
        rows = [profile("CURRENT", "TOP_RATED"), profile("CURRENT", "BELOW_STANDARD")]
        worst = await ebay.rating()
    assert told == SellerRating(level="top", soon="below", because=("SHIPPING_MISS_RATE",))
    assert worst == SellerRating(level="below"), "of several programmes the worst"
    assert transport.problems == []
