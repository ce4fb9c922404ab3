"""Listings that break eBay's rules, or will soon (Sell Compliance API)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flipsync.connectors.marketplaces.ebay import limits
from flipsync.connectors.marketplaces.ebay.api import EbayApi
from flipsync.connectors.marketplaces.ebay.pages import walk
from flipsync.connectors.marketplaces.ebay.skus import unspell
from flipsync.connectors.marketplaces.ebay.wire import Page, Shape
from flipsync.connectors.request import Params

_ROOT = "/sell/compliance/v1"
_PAGE = "100"


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that one listing breaks. `at_risk`: not yet, but it will. `specifics` are those eBay suggests to add."""

    kind: str
    listing_id: str
    sku: str
    reason: str
    message: str
    at_risk: bool
    specifics: tuple[str, ...] = ()


class _Count(Shape):
    compliance_type: str = ""
    listing_count: int = 0


class _Summary(Shape):
    violation_summaries: tuple[_Count, ...] = ()


class _Aspect(Shape):
    localized_aspect_name: str = ""


class _Recommendations(Shape):
    aspect_recommendations: tuple[_Aspect, ...] = ()


class _Variation(Shape):
    sku: str = ""


class _Detail(Shape):
    reason_code: str = ""
    message: str = ""
    compliance_state: str = ""
    variation: _Variation = _Variation()
    corrective_recommendations: _Recommendations = _Recommendations()


class _Listing(Shape):
    compliance_type: str = ""
    listing_id: str = ""
    sku: str = ""
    violations: tuple[_Detail, ...] = ()


class _Page(Page):
    listing_violations: tuple[_Listing, ...] = ()


class Compliance:
    """The violations of one account on its marketplace."""

    def __init__(self, api: EbayApi) -> None:
        self._api = api
        self._headers = {"X-EBAY-C-MARKETPLACE-ID": api.site.id}

    async def counts(self) -> dict[str, int]:
        """Kind of violation to listings that have one."""
        found = await self._api.read(
            f"{_ROOT}/listing_violation_summary", _summary, limits.COMPLIANCE, headers=self._headers
        )
        return {each.compliance_type: each.listing_count for each in found.violation_summaries}

    async def violations(self, kind: str) -> list[Violation]:
        """Every violation of one kind (a key of `counts`)."""

        async def fetch(params: Params) -> _Page:
            return await self._api.read(
                f"{_ROOT}/listing_violation", _page, limits.COMPLIANCE, params, headers=self._headers
            )

        first = [("compliance_type", kind), ("limit", _PAGE), ("offset", "0")]
        return [
            _violation(listing, detail)
            async for page in walk(fetch, first)
            for listing in page.listing_violations
            for detail in listing.violations
        ]


def _violation(listing: _Listing, detail: _Detail) -> Violation:
    recommended = detail.corrective_recommendations.aspect_recommendations
    return Violation(
        kind=listing.compliance_type,
        listing_id=listing.listing_id,
        sku=unspell(detail.variation.sku or listing.sku),
        reason=detail.reason_code,
        message=detail.message,
        at_risk=detail.compliance_state == "AT_RISK",
        specifics=tuple(each.localized_aspect_name for each in recommended if each.localized_aspect_name),
    )


def _summary(data: Any) -> _Summary:
    # 204: none
    return _Summary() if data is None else _Summary.model_validate(data)


def _page(data: Any) -> _Page:
    return _Page() if data is None else _Page.model_validate(data)
