"""Prices and fees: Pricing v0 offers, competitive summary and expected price of 2022-05-01, Product Fees v0."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from flipsync.sandbox.amazon.world import MARKETPLACE, SELLER, World, encode, invalid
from flipsync.sandbox.clock import rfc3339
from flipsync.sandbox.exchange import Answer, Call, parse_object
from flipsync.sandbox.orderbook import MARKETPLACE_FEE
from flipsync.sandbox.records import Listing

_CONDITIONS = ("New", "Used", "Collectible", "Refurbished", "Club")
_OFFER_FIELDS = {"uri", "method", "MarketplaceId", "ItemCondition"}
_EXPECTED_FIELDS = {"uri", "method", "marketplaceId", "sku"}
_SUMMARY_FIELDS = {"uri", "method", "marketplaceId", "asin", "includedData"}
_NOT_FOUND = {
    "code": "InvalidInput",
    "message": "The SKU is not one of the seller's in this marketplace.",
    "details": "",
}


class Offers:
    """What everybody asks for the goods, and what Amazon keeps."""

    def __init__(self, world: World) -> None:
        self.world = world

    def _requests(self, call: Call, required: set[str], optional: set[str], most: int) -> list[dict[str, Any]]:
        body = parse_object(call.body)
        requests = (body or {}).get("requests")
        if not isinstance(requests, list) or not 1 <= len(requests) <= most:
            raise invalid(f"Give 1 to {most} requests.")
        for request in requests:
            if not isinstance(request, dict) or not required <= set(request) <= required | optional:
                raise invalid("A field of a request is missing or unknown.")
        return requests

    def batch(self, call: Call) -> Answer:
        """getListingOffersBatch."""
        answers: list[dict[str, Any]] = []
        for request in self._requests(call, _OFFER_FIELDS, {"CustomerType", "headers"}, 20):
            parts = str(request["uri"]).split("/")
            good = len(parts) == 7 and parts[1:5] == ["products", "pricing", "v0", "listings"] and parts[6] == "offers"
            if not good or request["method"] != "GET" or request["ItemCondition"] not in _CONDITIONS:
                raise invalid("The uri, method or condition of a request is not valid.")
            sku = unquote(parts[5])
            asked: dict[str, Any] = {
                name: request[name] for name in ("MarketplaceId", "ItemCondition", "CustomerType") if name in request
            }
            listing = self.world.listing(sku)
            body: dict[str, Any] = {"errors": [_NOT_FOUND]}
            if listing is not None:
                body = {"payload": self._offers(listing, request)}
            told: dict[str, Any] = {
                "headers": {},
                "status": {"statusCode": 400 if listing is None else 200},
                "body": body,
            }
            answers.append({**told, "request": {**asked, "SellerSKU": sku}})
        return Answer(200, encode({"responses": answers}))

    def _money(self, minor: int) -> dict[str, Any]:
        return {"CurrencyCode": self.world.currency, "Amount": minor / 100}

    def _offers(self, listing: Listing, request: dict[str, Any]) -> dict[str, Any]:
        prices = [(r.seller, r.price_minor, False) for r in self.world.market.rival_offers(listing.sku) if r.in_stock]
        if listing.sellable(1) and listing.price_minor is not None:
            prices.append((SELLER, listing.price_minor, True))
        prices.sort(key=lambda row: row[1])
        offers = [
            {
                "MyOffer": mine,
                "SubCondition": "new",
                "SellerId": seller,
                "ShippingTime": {"minimumHours": 24, "maximumHours": 48, "availabilityType": "NOW"},
                "ListingPrice": self._money(minor),
                "Shipping": self._money(0),
                "IsFulfilledByAmazon": mine and listing.doc.get("warehouse") is not None,
                "IsBuyBoxWinner": place == 0,
            }
            for place, (seller, minor, mine) in enumerate(prices[:20])
        ]
        condition = request["ItemCondition"]
        return {
            "marketplaceId": MARKETPLACE,
            "SKU": listing.sku,
            "ItemCondition": condition,
            "status": "Success",
            "Identifier": {"MarketplaceId": MARKETPLACE, "SellerSKU": listing.sku, "ItemCondition": condition},
            "Summary": {"TotalOfferCount": len(offers)},
            "Offers": offers,
        }

    def expected_price(self, call: Call) -> Answer:
        """getFeaturedOfferExpectedPriceBatch: a cent below the cheapest rival."""
        answers: list[dict[str, Any]] = []
        for request in self._requests(call, _EXPECTED_FIELDS, {"segment", "headers", "body"}, 40):
            sku = str(request["sku"])
            listing = self.world.listing(sku)
            answer: dict[str, Any] = {"headers": {}, "request": {"marketplaceId": MARKETPLACE, "sku": sku}}
            if listing is None:
                answer |= {"status": {"statusCode": 400}, "body": {"errors": [_NOT_FOUND]}}
            else:
                identifier = {"marketplaceId": MARKETPLACE, "sku": sku, "asin": listing.doc["asin"]}
                body = {
                    "offerIdentifier": {**identifier, "sellerId": SELLER, "fulfillmentType": "MFN"},
                    "featuredOfferExpectedPriceResults": [self._expected(listing)],
                }
                answer |= {"status": {"statusCode": 200}, "body": body}
            answers.append(answer)
        return Answer(200, encode({"responses": answers}))

    def _expected(self, listing: Listing) -> dict[str, Any]:
        least = self._least(listing)
        if least is None:
            return {"resultStatus": "NO_COMPETING_OFFERS"}
        price = {"currencyCode": self.world.currency, "amount": (least - 1) / 100}
        return {"resultStatus": "VALID_FOEP", "featuredOfferExpectedPrice": {"listingPrice": price}}

    def _least(self, listing: Listing) -> int | None:
        rivals = [r.price_minor for r in self.world.market.rival_offers(listing.sku) if r.in_stock]
        return min(rivals, default=None)

    def summary(self, call: Call) -> Answer:
        """getCompetitiveSummary."""
        answers: list[dict[str, Any]] = []
        for request in self._requests(call, _SUMMARY_FIELDS, {"lowestPricedOffersInputs"}, 20):
            asin = str(request["asin"])
            known = self.world.books.listings("channel = 'amazon' AND status <> 'ended' ORDER BY id", ())
            listing = next((row for row in known if row.doc["asin"] == asin), None)
            body: dict[str, Any] = {"asin": asin, "marketplaceId": MARKETPLACE}
            if listing is None:
                body["errors"] = [{"code": "NOT_FOUND", "message": "The ASIN is not known.", "details": ""}]
                answers.append({"status": {"statusCode": 404}, "body": body})
                continue
            offers = [
                {
                    "sellerId": rival.seller,
                    "condition": "New",
                    "fulfillmentType": "MFN",
                    "listingPrice": {"currencyCode": self.world.currency, "amount": rival.price_minor / 100},
                }
                for rival in sorted(self.world.market.rival_offers(listing.sku), key=lambda rival: rival.price_minor)
                if rival.in_stock
            ]
            segment = {"featuredOfferSegments": [{"customerMembership": "DEFAULT", "segmentDetails": {}}]}
            body |= {
                "featuredBuyingOptions": [
                    {"buyingOptionType": "New", "segmentedFeaturedOffers": [{**row, **segment} for row in offers[:1]]}
                ],
                "lowestPricedOffers": [
                    {"lowestPricedOffersInput": row, "offers": offers}
                    for row in request.get("lowestPricedOffersInputs", [])
                ],
                "referencePrices": [],
            }
            answers.append({"status": {"statusCode": 200}, "body": body})
        return Answer(200, encode({"responses": answers}))

    def competitive(self, call: Call) -> Answer:
        """getCompetitivePricing, by ASIN: the cheapest offer, which is the one Amazon compares others with."""
        names = (call.first("Asins") or "").split(",")
        if call.first("ItemType") != "Asin" or not 1 <= len(names) <= 20:
            raise invalid("Give 1 to 20 Asins, with their ItemType.")
        known = {
            row.doc["asin"]: row for row in self.world.books.listings("channel = 'amazon' AND status <> 'ended'", ())
        }
        rows: list[dict[str, Any]] = []
        for asin in names:
            if self.world.item(asin) is None:
                rows.append({"status": "ClientError", "ASIN": asin})
                continue
            least = self._least(known[asin]) if asin in known else None
            told = {
                "CompetitivePriceId": "1",
                "Price": {"LandedPrice": self._money(least or 0), "ListingPrice": self._money(least or 0)},
                "condition": "New",
                "subcondition": "New",
                "belongsToRequester": False,
            }
            priced = {"CompetitivePrices": [told] if least else [], "NumberOfOfferListings": []}
            identity = {"MarketplaceASIN": {"MarketplaceId": MARKETPLACE, "ASIN": asin}}
            product = {"Identifiers": identity, "CompetitivePricing": priced, "SalesRankings": []}
            rows.append({"status": "Success", "ASIN": asin, "Product": product})
        return Answer(200, encode({"payload": rows}))

    # Fees

    def fees(self, call: Call) -> Answer:
        """getMyFeesEstimates."""
        try:
            rows = json.loads(call.body)
        except ValueError:
            rows = None
        if not isinstance(rows, list) or not 1 <= len(rows) <= 20:
            raise invalid("Give 1 to 20 requests.")
        results = [self._fee(row.get("FeesEstimateRequest"), row.get("IdType"), row.get("IdValue")) for row in rows]
        return Answer(200, encode(results))

    def fee_for_sku(self, call: Call, sku: str) -> Answer:
        body = parse_object(call.body)
        result = self._fee((body or {}).get("FeesEstimateRequest"), "SellerSKU", sku)
        return Answer(200, encode({"payload": {"FeesEstimateResult": result}}))

    def _fee(self, request: Any, kind: Any, value: Any) -> dict[str, Any]:
        try:
            price = request["PriceToEstimateFees"]["ListingPrice"]["Amount"]
            shipping = request["PriceToEstimateFees"].get("Shipping", {}).get("Amount", 0)
            identifier = {
                "MarketplaceId": request["MarketplaceId"],
                "SellerId": SELLER,
                "IdType": kind,
                "IdValue": value,
                "IsAmazonFulfilled": request.get("IsAmazonFulfilled", False),
                "PriceToEstimateFees": request["PriceToEstimateFees"],
                "SellerInputIdentifier": request["Identifier"],
            }
        except (TypeError, KeyError, AttributeError):
            raise invalid("The request for an estimate is not complete.") from None
        if kind == "SellerSKU" and self.world.listing(str(value)) is None:
            error = {"Type": "Sender", "Code": "DataNotAvailable", "Message": "The SKU is not known.", "Detail": []}
            return {"Status": "ClientError", "FeesEstimateIdentifier": identifier, "Error": error}
        fee = self._money(round((price + shipping) * 100 * MARKETPLACE_FEE))
        detail = {"FeeType": "ReferralFee", "FeeAmount": fee, "FinalFee": fee}
        estimate = {
            "TimeOfFeesEstimation": rfc3339(self.world.books.clock.now_ms()),
            "TotalFeesEstimate": fee,
            "FeeDetailList": [detail],
        }
        return {"Status": "Success", "FeesEstimateIdentifier": identifier, "FeesEstimate": estimate}
