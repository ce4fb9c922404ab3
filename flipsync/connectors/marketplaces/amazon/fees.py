"""What Amazon would keep of a sale (Product Fees v0)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from flipsync.connectors.marketplaces.amazon import wire, wire_market
from flipsync.connectors.marketplaces.amazon.api import SellerApi
from flipsync.connectors.unread import reason_of
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Money

#: Estimates one call takes.
BATCH = 20


@dataclass(frozen=True, slots=True)
class FeeQuestion:
    """A sale to estimate: a listing of ours at a price, shipping charged to the buyer."""

    sku: str
    price: Money
    shipping: Money
    by_amazon: bool = False


@dataclass(frozen=True, slots=True)
class FeeAnswer:
    """The fees of one question; `total` None with the reason where Amazon gives no estimate."""

    question: FeeQuestion
    total: Money | None
    parts: dict[str, Money]
    reason: str = ""


async def estimate(api: SellerApi, questions: Sequence[FeeQuestion]) -> list[FeeAnswer]:
    """One answer for each of up to 20 questions, in their order."""
    body = [
        {
            "FeesEstimateRequest": _request(api.marketplace_id, question, str(number)),
            "IdType": "SellerSKU",
            "IdValue": question.sku,
        }
        for number, question in enumerate(questions)
    ]
    results = await api.call("getMyFeesEstimates", _results, body=body)
    found = {result.fees_estimate_identifier.seller_input_identifier: result for result in results}
    return [_answer(question, found.get(str(number))) for number, question in enumerate(questions)]


async def estimate_one(api: SellerApi, question: FeeQuestion) -> FeeAnswer:
    """The same for one listing, in a bucket of its own. Raises Rejected when Amazon does not know the SKU."""
    answer = await api.call(
        "getMyFeesEstimateForSKU",
        wire_market.FeesAnswer.model_validate,
        path={"SellerSKU": question.sku},
        body={"FeesEstimateRequest": _request(api.marketplace_id, question, "0")},
    )
    if answer.payload is None:
        first = answer.errors[0] if answer.errors else wire.Error(code="NoEstimate")
        raise Rejected(first.message or first.code, vendor_code=first.code)
    return _answer(question, answer.payload.fees_estimate_result)


def _request(marketplace_id: str, question: FeeQuestion, identifier: str) -> dict[str, Any]:
    return {
        "MarketplaceId": marketplace_id,
        "IsAmazonFulfilled": question.by_amazon,
        "PriceToEstimateFees": {"ListingPrice": _money(question.price), "Shipping": _money(question.shipping)},
        "Identifier": identifier,
    }


def _money(amount: Money) -> dict[str, Any]:
    # Amazon wants a JSON number; Python writes a float with the digits it was made from.
    return {"CurrencyCode": amount.currency, "Amount": float(amount.plain())}


def _results(data: Any) -> list[wire_market.FeesResult]:
    if not isinstance(data, list):
        raise ValueError("a list was expected")
    found = []
    for row in data:
        with suppress(ValidationError):  # its question is answered with what there is: nothing
            found.append(wire_market.FeesResult.model_validate(row))
    return found


def _answer(question: FeeQuestion, result: wire_market.FeesResult | None) -> FeeAnswer:
    if result is None or result.fees_estimate is None or result.fees_estimate.total_fees_estimate is None:
        reason = result.error.message or result.error.code if result and result.error else "Amazon gave no estimate"
        return FeeAnswer(question, None, {}, reason)
    try:
        parts = {detail.fee_type: detail.final_fee.money() for detail in result.fees_estimate.fee_detail_list}
        return FeeAnswer(question, result.fees_estimate.total_fees_estimate.money(), parts)
    except ValueError as error:
        return FeeAnswer(question, None, {}, f"Amazon's estimate cannot be read: {reason_of(error)}")
