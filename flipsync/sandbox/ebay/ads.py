"""Promoted listings: one campaign that is paid by the sale, and the ad rate of each SKU in it."""

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

CAMPAIGN = "10000001"
_LEAST_RATE = Decimal(2)


class AdBody(Body):
    inventory_reference_id: Text
    inventory_reference_type: Literal["INVENTORY_ITEM", "INVENTORY_ITEM_GROUP"]
    bid_percentage: Annotated[str, Field(strict=True, pattern=r"^\d{1,3}(\.\d)?$")]
    ad_group_id: Text | None = None


class AdsBody(Body):
    requests: Annotated[list[AdBody], Field(min_length=1, max_length=500)]


class Ads:
    """A part of the Marketing API."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.books = shop.books

    def campaigns(self, call: Call) -> Answer:
        campaign = {
            "campaignId": CAMPAIGN,
            "campaignName": "All listings",
            "campaignStatus": "RUNNING",
            "marketplaceId": self.shop.marketplace_id,
            "fundingStrategy": {"fundingModel": "COST_PER_SALE", "bidPercentage": "2.0", "adRateStrategy": "FIXED"},
        }
        fits = call.first("campaign_status") in (None, "RUNNING")
        fits = fits and call.first("funding_strategy") in (None, "COST_PER_SALE")
        rows = [campaign] if fits else []
        body = {"href": here(call), "limit": 100, "offset": 0, "total": len(rows), "campaigns": rows}
        return Answer(200, encode(body))

    def _rates(self, campaign: str) -> dict[str, str]:
        if campaign != CAMPAIGN:
            raise refuse(404, 35045, f"No campaign found for campaign id {campaign}.", "API_MARKETING")
        return dict(json.loads(self.books.meta("ebay.ads") or "{}"))

    def ads(self, call: Call, campaign: str) -> Answer:
        sku, rates = call.first("inventory_reference_id") or "", self._rates(campaign)
        if sku not in rates:
            raise refuse(404, 35012, f"The inventory reference ID {sku} is not valid.", "API_MARKETING")
        listing = self.shop.known(sku)
        ad = {
            "adId": f"ad{crc32(sku.encode())}",
            "adStatus": "ACTIVE",
            "bidPercentage": rates[sku],
            "inventoryReferenceId": sku,
            "inventoryReferenceType": "INVENTORY_ITEM",
            "listingId": str(listing.doc.get("listing_id", "")),
        }
        return Answer(200, encode({"ads": [ad]}))

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
        self.books.set_meta("ebay.ads", json.dumps(rates))
        return Answer(200, encode({"responses": rows}))
