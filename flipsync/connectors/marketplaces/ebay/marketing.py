"""Promoted listings paid by the sale (Sell Marketing API): the ad rate of a SKU in a running campaign.

An ad rate is the share of a sale's price that eBay keeps when the buyer came by the ad, in per cent with one decimal.
eBay has a least rate of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flipsync.connectors.marketplaces.ebay import errors, limits, wire
from flipsync.connectors.marketplaces.ebay.api import EbayApi, segment
from flipsync.connectors.marketplaces.ebay.pages import walk
from flipsync.connectors.marketplaces.ebay.wire import Shape
from flipsync.connectors.request import Params
from flipsync.domain.errors import OutcomeUnknown, Rejected

_ROOT = "/sell/marketing/v1/ad_campaign"
_PAGE = "100"
_TENTH = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign whose ads are paid by the sale. `rate` is its own ad rate in per cent, where it has one."""

    id: str
    name: str
    status: str
    rate: Decimal | None


class _Funding(Shape):
    funding_model: str = ""
    bid_percentage: Decimal | None = None
    ad_rate_strategy: str = "FIXED"


class _Campaign(Shape):
    campaign_id: str = ""
    campaign_name: str = ""
    campaign_status: str = ""
    marketplace_id: str = ""
    funding_strategy: _Funding = _Funding()


class _Campaigns(Shape):
    campaigns: tuple[_Campaign, ...] = ()
    next: str | None = None


class _Ad(Shape):
    ad_id: str
    bid_percentage: Decimal | None = None


class _Ads(Shape):
    ads: tuple[_Ad, ...] = ()


class _Row(Shape):
    status_code: int
    errors: tuple[wire.Error, ...] = ()


class _Rows(Shape):
    responses: tuple[_Row, ...]


class Marketing:
    """Ad rates by SKU (in eBay's spelling, as external ids are)."""

    def __init__(self, api: EbayApi) -> None:
        self._api = api

    async def campaigns(self) -> list[Campaign]:
        """Running campaigns of this marketplace with ad rates that are set by hand."""

        async def fetch(params: Params) -> _Campaigns:
            return await self._api.read(_ROOT, _Campaigns.model_validate, limits.MARKETING, params)

        first = [
            ("campaign_status", "RUNNING"),
            ("funding_strategy", "COST_PER_SALE"),
            ("limit", _PAGE),
            ("offset", "0"),
        ]
        return [
            Campaign(each.campaign_id, each.campaign_name, each.campaign_status, each.funding_strategy.bid_percentage)
            async for page in walk(fetch, first)
            for each in page.campaigns
            if each.marketplace_id in ("", self._api.site.id)
            and each.funding_strategy.funding_model == "COST_PER_SALE"
            and each.funding_strategy.ad_rate_strategy != "DYNAMIC"
        ]

    async def ad_rate(self, campaign_id: str, sku: str) -> Decimal | None:
        """The SKU's ad rate in per cent; None when it is not promoted in the campaign."""
        ads = await self._ads(campaign_id, sku)
        return None if ads is None or not ads.ads else ads.ads[0].bid_percentage

    async def set_ad_rate(self, campaign_id: str, sku: str, percent: Decimal) -> Decimal | None:
        """Promote the SKU at that rate and return what eBay then says. Raises Rejected for a rate that is none."""
        rate = percent.quantize(_TENTH)
        if rate != percent or not 0 < rate <= 100:
            raise Rejected(f"{percent} is no ad rate: up to 100.0 per cent, with one decimal", vendor_code="35007")
        ads = await self._ads(campaign_id, sku)
        if ads is not None and ads.ads and ads.ads[0].bid_percentage == rate:
            return rate
        verb = "update_ads_bid" if ads is not None and ads.ads else "create_ads"
        request = {
            "inventoryReferenceId": sku,
            "inventoryReferenceType": "INVENTORY_ITEM",
            "bidPercentage": str(rate),
        }
        answer = await self._api.call(
            "POST",
            f"{_ROOT}/{segment(campaign_id)}/bulk_{verb}_by_inventory_reference",
            _Rows.model_validate,
            limits.MARKETING,
            body={"requests": [request]},
        )
        if not answer.responses:
            raise OutcomeUnknown("eBay did not say what became of the ad", hint="read the ad rate back")
        for row in answer.responses:
            failed = errors.of_item(row.status_code, row.errors)
            if failed is not None:
                raise failed
        return await self.ad_rate(campaign_id, sku)

    async def _ads(self, campaign_id: str, sku: str) -> _Ads | None:
        params = [("inventory_reference_id", sku), ("inventory_reference_type", "INVENTORY_ITEM")]
        path = f"{_ROOT}/{segment(campaign_id)}/get_ads_by_inventory_reference"
        return await self._api.read_known(path, _ads, limits.MARKETING, params)


def _ads(data: Any) -> _Ads:
    return _Ads() if data is None else _Ads.model_validate(data)
