"""What others ask for the same goods: Pricing v0 offers; competitive summary and expected price of 2022-05-01."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from urllib.parse import quote

from flipsync.connectors.marketplaces.amazon import mapping, wire_market
from flipsync.connectors.marketplaces.amazon.api import SellerApi
from flipsync.connectors.unread import Rows
from flipsync.domain.channel import RivalOffer
from flipsync.domain.errors import Retryable

#: Requests one batch takes.
BATCH = 20
#: Seconds after which a batch is asked for again that Amazon answered in part.
RETRY_AFTER = 2.0
_SUMMARY_DATA = ["featuredBuyingOptions", "lowestPricedOffers", "referencePrices"]


async def rivals(api: SellerApi, skus: Sequence[str], condition: str, seen_at: datetime) -> list[RivalOffer]:
    """Other sellers' offers on the ASINs of these SKUs; SKUs Amazon does not know have none.

    `condition` is New, Used, Collectible, Refurbished or Club. Amazon shows the 20 cheapest offers of an ASIN. Raises
    Retryable also where a batch leaves a SKU unanswered, since no rivals would be a reason to ask more.
    """
    found: list[RivalOffer] = []
    aside = Rows("answers about rivals", "status")
    decode = partial(wire_market.OffersBatch.model_validate, context=aside.context)
    wanted = list(dict.fromkeys(skus))
    for start in range(0, len(wanted), BATCH):
        requests = [
            {
                "uri": f"/products/pricing/v0/listings/{quote(sku, safe='')}/offers",
                "method": "GET",
                "MarketplaceId": api.marketplace_id,
                "ItemCondition": condition,
                "CustomerType": "Consumer",
            }
            for sku in wanted[start : start + BATCH]
        ]
        batch = await api.call("getListingOffersBatch", decode, body={"requests": requests})
        for answer in batch.responses:
            if why := mapping.unanswered(answer):
                raise Retryable(f"the offers of a SKU were not told: {why}", after=RETRY_AFTER)
            found += mapping.rivals(answer, seen_at)
    aside.tell()
    return found


async def competitive_summary(api: SellerApi, asins: Sequence[str]) -> list[wire_market.CompetitiveBody]:
    """The featured and the cheapest offers and reference prices of up to 20 ASINs; twice a minute at most."""
    requests = [
        {
            "asin": asin,
            "marketplaceId": api.marketplace_id,
            "includedData": _SUMMARY_DATA,
            "lowestPricedOffersInputs": [{"itemCondition": "New", "offerType": "Consumer"}],
            "method": "GET",
            "uri": "/products/pricing/2022-05-01/items/competitiveSummary",
        }
        for asin in dict.fromkeys(asins)
    ]
    batch = await api.call(
        "getCompetitiveSummary", wire_market.CompetitiveBatch.model_validate, body={"requests": requests}
    )
    return [answer.body for answer in batch.responses if answer.status.status_code == 200]


async def expected_prices(api: SellerApi, skus: Sequence[str]) -> dict[str, wire_market.ExpectedPriceResult]:
    """By SKU, the price Amazon expects to make ours the featured offer, for up to 40 SKUs; twice a minute at most.

    SKUs Amazon cannot judge are left out.
    """
    requests = [
        {
            "marketplaceId": api.marketplace_id,
            "sku": sku,
            "method": "GET",
            "uri": "/products/pricing/2022-05-01/offer/featuredOfferExpectedPrice",
        }
        for sku in dict.fromkeys(skus)
    ]
    batch = await api.call(
        "getFeaturedOfferExpectedPriceBatch", wire_market.ExpectedPriceBatch.model_validate, body={"requests": requests}
    )
    found: dict[str, wire_market.ExpectedPriceResult] = {}
    for answer in batch.responses:
        results = answer.body.featured_offer_expected_price_results if answer.body else []
        if answer.status.status_code == 200 and results:
            found[answer.request.sku] = results[0]
    return found
