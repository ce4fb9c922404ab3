"""Promoted listings paid by the sale (Sell Marketing API): the ad rate of a SKU in a running campaign.

An ad rate is the share of a sale's price that eBay keeps when the buyer came by the ad, in per cent with one decimal.
eBay has a least rate of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from flipsync.connectors.marketplaces.ebay import errors, limits, wire
from flipsync.connectors.marketplaces.ebay.api import EbayApi, nothing, segment
from flipsync.connectors.marketplaces.ebay.pages import walk
from flipsync.connectors.marketplaces.ebay.wire import Page, Shape
from flipsync.connectors.request import Params
from flipsync.domain.advertising import AdShown
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable

_ROOT = "/sell/marketing/v1/ad_campaign"
_PAGE, _MOST_ADS = "100", "500"
_TENTH = Decimal("0.1")
_CENT = Decimal(100)
#: the campaign that is made where a seller has none; its own rate is eBay's least, and every ad has one of its own
_OURS, _OURS_RATE = "FlipSync", "2.0"
#: a campaign of that name is there
_TAKEN = "35021"


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


class _Campaigns(Page):
    campaigns: tuple[_Campaign, ...] = ()


class _Ad(Shape):
    ad_id: str = ""
    bid_percentage: Decimal | None = None
    inventory_reference_id: str = ""
    inventory_reference_type: str = ""


class _Ads(Page):
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
            if each.campaign_id
            and each.marketplace_id in ("", self._api.site.id)
            and each.funding_strategy.funding_model == "COST_PER_SALE"
            and each.funding_strategy.ad_rate_strategy != "DYNAMIC"
        ]

    async def ad_rate(self, campaign_id: str, sku: str) -> Decimal | None:
        """The SKU's ad rate in per cent; None when it is not promoted in the campaign."""
        ads = await self._ads(campaign_id, sku)
        return None if ads is None or not ads.ads else ads.ads[0].bid_percentage

    async def shown(self) -> list[AdShown]:
        """Every ad of single listings in the running campaigns. Those of listings with choices have no SKU."""
        found: dict[str, AdShown] = {}
        for campaign in await self.campaigns():

            async def fetch(params: Params, id: str = campaign.id) -> _Ads:
                return await self._api.read(f"{_ROOT}/{segment(id)}/ad", _ads, limits.MARKETING, params)

            async for page in walk(fetch, [("limit", _MOST_ADS), ("offset", "0")]):
                for ad in page.ads:
                    rate = ad.bid_percentage or campaign.rate
                    if ad.inventory_reference_type == "INVENTORY_ITEM" and rate:
                        sku = ad.inventory_reference_id
                        found[sku] = AdShown(external_id=sku, campaign_id=campaign.id, rate_bps=int(rate * _CENT))
        return list(found.values())

    async def advertise(self, sku: str, rate_bps: int) -> int:
        """The SKU's ad at that rate, 0: none; returns the rate that eBay shows then.

        A listing is in one campaign paid by the sale at a time: an ad that is there is changed where it is.
        """
        campaigns = await self.campaigns()
        rates = {each.id: await self.ad_rate(each.id, sku) for each in campaigns}
        there = [id for id, rate in rates.items() if rate is not None]
        if rate_bps == 0:
            for id in there:
                await self.stop(id, sku)
            return max([int((await self.ad_rate(id, sku) or 0) * _CENT) for id in there], default=0)
        if there:
            campaign_id = there[0]
        elif campaigns:
            campaign_id = next((each.id for each in campaigns if each.name == _OURS), campaigns[0].id)
        else:
            campaign_id = await self._make_campaign()
        return int((await self.set_ad_rate(campaign_id, sku, Decimal(rate_bps) / _CENT) or 0) * _CENT)

    async def _make_campaign(self) -> str:
        """A campaign of ours. Raises Retryable until it runs: eBay takes its time."""
        wish = {
            "campaignName": _OURS,
            "startDate": f"{utc_now():%Y-%m-%dT%H:%M:%S}Z",
            "marketplaceId": self._api.site.id,
            "fundingStrategy": {
                "fundingModel": "COST_PER_SALE",
                "adRateStrategy": "FIXED",
                "bidPercentage": _OURS_RATE,
            },
        }
        try:
            await self._api.call("POST", _ROOT, nothing, limits.MARKETING, body=wish)
        except Rejected as refused:
            if refused.vendor_code != _TAKEN:
                raise
        for campaign in await self.campaigns():
            if campaign.name == _OURS:
                return campaign.id
        raise Retryable(f"the campaign “{_OURS}” does not run yet", after=30.0)

    async def stop(self, campaign_id: str, sku: str) -> None:
        """Take the SKU's ad out of the campaign."""
        await self._write(campaign_id, "delete_ads", {"inventoryReferenceId": sku})

    async def _write(self, campaign_id: str, verb: str, ad: dict[str, str]) -> None:
        request = {**ad, "inventoryReferenceType": "INVENTORY_ITEM"}
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

    async def set_ad_rate(self, campaign_id: str, sku: str, percent: Decimal) -> Decimal | None:
        """Promote the SKU at that rate and return what eBay then says. Raises Rejected for a rate that is none."""
        rate = percent.quantize(_TENTH)
        if rate != percent or not 0 < rate <= 100:
            raise Rejected(f"{percent} is no ad rate: up to 100.0 per cent, with one decimal", vendor_code="35007")
        ads = await self._ads(campaign_id, sku)
        if ads is not None and ads.ads and ads.ads[0].bid_percentage == rate:
            return rate
        verb = "update_ads_bid" if ads is not None and ads.ads else "create_ads"
        await self._write(campaign_id, verb, {"inventoryReferenceId": sku, "bidPercentage": str(rate)})
        return await self.ad_rate(campaign_id, sku)

    async def _ads(self, campaign_id: str, sku: str) -> _Ads | None:
        params = [("inventory_reference_id", sku), ("inventory_reference_type", "INVENTORY_ITEM")]
        path = f"{_ROOT}/{segment(campaign_id)}/get_ads_by_inventory_reference"
        return await self._api.read_known(path, _ads, limits.MARKETING, params)


def _ads(data: Any) -> _Ads:
    return _Ads() if data is None else _Ads.model_validate(data)
