"""The operations of the Selling Partner API that are used: method, path, and the documented usage plan.

Rates are requests a second, bursts requests, for one selling partner and application, from the "Usage Plan" of each
operation in Amazon's models. An account may have more: the header x-amzn-RateLimit-Limit tells.
"""

from __future__ import annotations

from dataclasses import dataclass

from flipsync.connectors.request import Limit


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `reads` says of a POST that it changes nothing."""

    name: str
    method: str
    path: str
    rate: float
    burst: int
    reads: bool = False

    @property
    def limit(self) -> Limit:
        return Limit(self.name, self.rate, self.burst)


_LISTINGS = "/listings/2021-08-01/items/{sellerId}"
_FEEDS = "/feeds/2021-06-30"
_NOTES = "/notifications/v1"
_REPORTS = "/reports/2021-06-30"
_MESSAGING = "/messaging/v1/orders/{amazonOrderId}"
_OUTBOUND = "/fba/outbound/2020-07-01/fulfillmentOrders"
_PRICING = "/batches/products/pricing"

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation("getMarketplaceParticipations", "GET", "/sellers/v1/marketplaceParticipations", 0.016, 15),
        Operation("getListingsItem", "GET", f"{_LISTINGS}/{{sku}}", 5.0, 10),
        Operation("searchListingsItems", "GET", _LISTINGS, 5.0, 5),
        Operation("putListingsItem", "PUT", f"{_LISTINGS}/{{sku}}", 5.0, 10),
        Operation("patchListingsItem", "PATCH", f"{_LISTINGS}/{{sku}}", 5.0, 5),
        Operation("deleteListingsItem", "DELETE", f"{_LISTINGS}/{{sku}}", 5.0, 5),
        Operation("searchCatalogItems", "GET", "/catalog/2022-04-01/items", 2.0, 2),
        Operation("searchDefinitionsProductTypes", "GET", "/definitions/2020-09-01/productTypes", 5.0, 10),
        Operation("getDefinitionsProductType", "GET", "/definitions/2020-09-01/productTypes/{productType}", 5.0, 10),
        Operation("searchOrders", "GET", "/orders/2026-01-01/orders", 0.0056, 20),
        Operation("getOrder", "GET", "/orders/2026-01-01/orders/{orderId}", 0.5, 30),
        Operation("confirmShipment", "POST", "/orders/v0/orders/{orderId}/shipmentConfirmation", 2.0, 10),
        Operation("createRestrictedDataToken", "POST", "/tokens/2021-03-01/restrictedDataToken", 1.0, 10, True),
        Operation("createReport", "POST", f"{_REPORTS}/reports", 0.0167, 15),
        Operation("getReport", "GET", f"{_REPORTS}/reports/{{reportId}}", 2.0, 15),
        Operation("getReportDocument", "GET", f"{_REPORTS}/documents/{{reportDocumentId}}", 0.0167, 15),
        Operation("listTransactions", "GET", "/finances/2024-06-19/transactions", 0.5, 10),
        Operation("getMessagingActionsForOrder", "GET", _MESSAGING, 1.0, 5),
        Operation("createConfirmOrderDetails", "POST", f"{_MESSAGING}/messages/confirmOrderDetails", 1.0, 5),
        Operation("createConfirmDeliveryDetails", "POST", f"{_MESSAGING}/messages/confirmDeliveryDetails", 1.0, 5),
        Operation("createUnexpectedProblem", "POST", f"{_MESSAGING}/messages/unexpectedProblem", 1.0, 5),
        Operation("getEligibleShipmentServices", "POST", "/mfn/v0/eligibleShippingServices", 6.0, 12, True),
        Operation("createShipment", "POST", "/mfn/v0/shipments", 2.0, 2),
        Operation("getShipment", "GET", "/mfn/v0/shipments/{shipmentId}", 1.0, 1),
        Operation("cancelShipment", "DELETE", "/mfn/v0/shipments/{shipmentId}", 1.0, 1),
        Operation("createFulfillmentOrder", "POST", _OUTBOUND, 2.0, 30),
        Operation("getFulfillmentOrder", "GET", f"{_OUTBOUND}/{{sellerFulfillmentOrderId}}", 2.0, 30),
        Operation("cancelFulfillmentOrder", "PUT", f"{_OUTBOUND}/{{sellerFulfillmentOrderId}}/cancel", 2.0, 30),
        Operation("getCompetitivePricing", "GET", "/products/pricing/v0/competitivePrice", 0.5, 1),
        Operation("getListingOffersBatch", "POST", f"{_PRICING}/v0/listingOffers", 0.5, 1, True),
        Operation(
            "getFeaturedOfferExpectedPriceBatch",
            "POST",
            f"{_PRICING}/2022-05-01/offer/featuredOfferExpectedPrice",
            0.033,
            1,
            True,
        ),
        Operation("getCompetitiveSummary", "POST", f"{_PRICING}/2022-05-01/items/competitiveSummary", 0.033, 1, True),
        Operation("getMyFeesEstimates", "POST", "/products/fees/v0/feesEstimate", 0.5, 1, True),
        Operation(
            "getMyFeesEstimateForSKU", "POST", "/products/fees/v0/listings/{SellerSKU}/feesEstimate", 1.0, 2, True
        ),
        Operation("getInventorySummaries", "GET", "/fba/inventory/v1/summaries", 2.0, 2),
        # A document nobody names in a feed does nothing: making one may be repeated.
        Operation("createFeedDocument", "POST", f"{_FEEDS}/documents", 0.5, 15, True),
        Operation("createFeed", "POST", f"{_FEEDS}/feeds", 0.0083, 15),
        Operation("getFeed", "GET", f"{_FEEDS}/feeds/{{feedId}}", 2.0, 15),
        Operation("getFeedDocument", "GET", f"{_FEEDS}/documents/{{feedDocumentId}}", 0.0222, 10),
        Operation("getDestinations", "GET", f"{_NOTES}/destinations", 1.0, 5),
        Operation("createDestination", "POST", f"{_NOTES}/destinations", 1.0, 5),
        Operation("getSubscription", "GET", f"{_NOTES}/subscriptions/{{notificationType}}", 1.0, 5),
        Operation("createSubscription", "POST", f"{_NOTES}/subscriptions/{{notificationType}}", 1.0, 5),
        Operation(
            "deleteSubscriptionById",
            "DELETE",
            f"{_NOTES}/subscriptions/{{notificationType}}/{{subscriptionId}}",
            1.0,
            5,
        ),
    )
}
