"""Promoted listings: campaigns that are paid by the sale, and the ad rate of each SKU in them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any, Literal
from zlib import crc32

from pydantic import Field

from flipsync.sandbox.ebay.beside import here
from flipsync.sandbox.ebay.bodies import Body, Text, parse
from flipsync.sandbox.ebay.problems import encode, error, refuse
from flipsync.sandbox.ebay.shop import LIVE, Shop
from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.promotion import RATES

CAMPAIGN = "10000001"
_LEAST_RATE = Decimal(2)


class ReferenceBody(Body):
    inventory_reference_id: Text
    inventory_reference_type: Literal["INVENTORY_ITEM", "INVENTORY_ITEM_GROUP"]


class ReferencesBody(Body):
    requests: Annotated[list[ReferenceBody], Field(min_length=1, max_length=500)]


class AdBody(ReferenceBody):
    bid_percentage: Annotated[str, Field(strict=True, pattern=r"^\d{1,3}(\.\d)?$")]
    ad_group_id: Text | None = None


class AdsBody(Body):
    requests: Annotated[list[AdBody], Field(min_length=1, max_length=500)]


class FundingBody(Body):
    funding_model: Literal["COST_PER_SALE"]
    ad_rate_strategy: Literal["FIXED"] = "FIXED"
    bid_percentage: Annotated[str, Field(strict=True, pattern=r"^\d{1,3}(\.\d)?$")]


class CampaignBody(Body):
    campaign_name: Annotated[str, Field(strict=True, min_length=1, max_length=80)]
    start_date: Text
    marketplace_id: Text
    funding_strategy: FundingBody


class Ads:
    """A part of the Marketing API. A shop has one campaign from the beginning, unless `forget_campaign` was called."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.books = shop.books

    def _name(self) -> str | None:
        name: str | None = json.loads(self.books.meta("ebay.campaign") or '"All listings"')
        return name

    def forget_campaign(self) -> None:
        """A seller who never made one."""
        self.books.set_meta("ebay.campaign", "null")

    def campaigns(self, call: Call) -> Answer:
        campaign = {
            "campaignId": CAMPAIGN,
            "campaignName": self._name(),
            "campaignStatus": "RUNNING",
            "marketplaceId": self.shop.marketplace_id,
            "fundingStrategy": {"fundingModel": "COST_PER_SALE", "bidPercentage": "2.0", "adRateStrategy": "FIXED"},
        }
        fits = self._name() is not None and call.first("campaign_status") in (None, "RUNNING")
        fits = fits and call.first("funding_strategy") in (None, "COST_PER_SALE")
        rows = [campaign] if fits else []
        body = {"href": here(call), "limit": 100, "offset": 0, "total": len(rows), "campaigns": rows}
        return Answer(200, encode(body))

    def make_campaign(self, call: Call) -> Answer:
        """One a shop, as much as the sandbox keeps."""
        body = parse(call, CampaignBody, "API_MARKETING")
        if self._name() is not None:
            text = f"A campaign with the name of {body.campaign_name} already exists."
            raise refuse(409, 35021, text, "API_MARKETING")
        self.books.set_meta("ebay.campaign", json.dumps(body.campaign_name))
        return Answer(201, encode({}), {"Location": f"{here(call)}/{CAMPAIGN}"})

    def _rates(self, campaign: str) -> dict[str, str]:
        if campaign != CAMPAIGN or self._name() is None:
            raise refuse(404, 35045, f"No campaign found for campaign id {campaign}.", "API_MARKETING")
        return dict(json.loads(self.books.meta(RATES) or "{}"))

    def _ad(self, sku: str, rate: str) -> dict[str, Any]:
        return {
            "adId": f"ad{crc32(sku.encode())}",
            "adStatus": "ACTIVE",
            "bidPercentage": rate,
            "inventoryReferenceId": sku,
            "inventoryReferenceType": "INVENTORY_ITEM",
            "listingId": str(self.shop.known(sku).doc.get("listing_id", "")),
        }

    def ads(self, call: Call, campaign: str) -> Answer:
        sku, rates = call.first("inventory_reference_id") or "", self._rates(campaign)
        if sku not in rates:
            raise refuse(404, 35012, f"The inventory reference ID {sku} is not valid.", "API_MARKETING")
        return Answer(200, encode({"ads": [self._ad(sku, rates[sku])]}))

    def all_ads(self, call: Call, campaign: str) -> Answer:
        rates = sorted(self._rates(campaign).items())
        limit, offset = int(call.first("limit") or "10"), int(call.first("offset") or "0")
        rows = [self._ad(*each) for each in rates[offset : offset + limit]]
        body: dict[str, Any] = {"href": here(call), "limit": limit, "offset": offset, "total": len(rates), "ads": rows}
        if offset + limit < len(rates):
            body["next"] = f"{here(call)}?limit={limit}&offset={offset + limit}"
        return Answer(200, encode(body))

    def create_ads(self, call: Call, campaign: str) -> Answer:
        return self._write_ads(call, campaign, new=True)

    def update_ads(self, call: Call, campaign: str) -> Answer:
        return self._write_ads(call, campaign, new=False)

    def _write_ads(self, call: Call, campaign: str, *, new: bool) -> Answer:
        body, rates = parse(call, AdsBody, "API_MARKETING"), self._rates(campaign)
        rows: list[dict[str, Any]] = []
        for ad in body.requests:
            sku, problem = ad.inventory_reference_id, None
            listing = self.shop.find(sku)
            if listing is None or listing.status != LIVE or (sku in rates) == new:
                problem = error(35012, f"The inventory reference ID {sku} is not valid.", "API_MARKETING")
            elif not _LEAST_RATE <= Decimal(ad.bid_percentage) <= 100:
                text = f"The 'bidPercentage' {ad.bid_percentage} is not valid. Minimum value: {_LEAST_RATE}."
                problem = error(35007, text, "API_MARKETING")
            row: dict[str, Any] = {"inventoryReferenceId": sku, "inventoryReferenceType": "INVENTORY_ITEM"}
            if problem is None:
                rates[sku] = str(Decimal(ad.bid_percentage).quantize(Decimal("0.1")))
                id = f"ad{crc32(sku.encode())}"
                row |= {"statusCode": 201 if new else 200, "ads": [{"adId": id, "href": f"{here(call)}/{id}"}]}
            else:
                row |= {"statusCode": 400, "ads": [], "errors": [problem]}
            rows.append(row)
        self.books.set_meta(RATES, json.dumps(rates))
        return Answer(200, encode({"responses": rows}))

    def delete_ads(self, call: Call, campaign: str) -> Answer:
        body, rates = parse(call, ReferencesBody, "API_MARKETING"), self._rates(campaign)
        rows: list[dict[str, Any]] = []
        for each in body.requests:
            sku = each.inventory_reference_id
            row: dict[str, Any] = {"inventoryReferenceId": sku, "inventoryReferenceType": "INVENTORY_ITEM"}
            if rates.pop(sku, None) is None:
                problem = error(35012, f"The inventory reference ID {sku} is not valid.", "API_MARKETING")
                row |= {"statusCode": 400, "adIds": [], "errors": [problem]}
            else:
                row |= {"statusCode": 200, "adIds": [f"ad{crc32(sku.encode())}"]}
            rows.append(row)
        self.books.set_meta(RATES, json.dumps(rates))
        return Answer(200, encode({"responses": rows}))
