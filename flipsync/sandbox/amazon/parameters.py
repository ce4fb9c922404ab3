"""The query parameters of each operation, as Amazon's models declare them; what is not declared is refused."""

from __future__ import annotations

from dataclasses import dataclass

from flipsync.sandbox.amazon.world import MARKETPLACE, invalid
from flipsync.sandbox.exchange import Call


@dataclass(frozen=True)
class Parameter:
    """One parameter; lists are written with commas."""

    required: bool = False
    allowed: frozenset[str] | None = None
    most: int | None = None
    highest: int | None = None


def _one_of(words: str, *, required: bool = False) -> Parameter:
    return Parameter(required, frozenset(words.split()))


_ANY = Parameter()
_HERE = Parameter(True, frozenset({MARKETPLACE}), 1)
_LISTING_DATA = _one_of(
    "summaries attributes issues offers fulfillmentAvailability procurement relationships productTypes"
)
_SUBMITTED = {
    "marketplaceIds": _HERE,
    "includedData": _one_of("identifiers issues"),
    "mode": _one_of("VALIDATION_PREVIEW"),
    "issueLocale": _ANY,
}
_CATALOGUE_DATA = _one_of(
    "attributes classifications dimensions identifiers images productTypes relationships salesRanks summaries"
    " vendorDetails"
)
_ORDER_DATA = _one_of(
    "BUYER RECIPIENT PROCEEDS EXPENSE PROMOTION CANCELLATION FULFILLMENT PACKAGES TAX PAYMENT FULFILLMENT_ORDERS"
)

PARAMETERS: dict[str, dict[str, Parameter]] = {
    "getInventorySummaries": {
        "details": _one_of("true false"),
        "granularityType": _one_of("Marketplace", required=True),
        "granularityId": Parameter(True),
        "startDateTime": _ANY,
        "sellerSkus": Parameter(most=50),
        "sellerSku": _ANY,
        "nextToken": _ANY,
        "marketplaceIds": _HERE,
    },
    "listTransactions": {
        "postedAfter": _ANY,
        "postedBefore": _ANY,
        "marketplaceId": _ANY,
        "transactionStatus": _ANY,
        "relatedIdentifierName": _ANY,
        "relatedIdentifierValue": _ANY,
        "nextToken": _ANY,
    },
    "searchListingsItems": {
        "marketplaceIds": _HERE,
        "issueLocale": _ANY,
        "includedData": _LISTING_DATA,
        "identifiers": Parameter(most=20),
        "identifiersType": _one_of("ASIN EAN FNSKU GTIN ISBN JAN MINSAN SKU UPC"),
        "createdAfter": _ANY,
        "sortBy": _one_of("sku createdDate lastUpdatedDate"),
        "sortOrder": _one_of("ASC DESC"),
        "pageSize": Parameter(highest=20),
        "pageToken": _ANY,
    },
    "getListingsItem": {"marketplaceIds": _HERE, "issueLocale": _ANY, "includedData": _LISTING_DATA},
    "putListingsItem": _SUBMITTED,
    "patchListingsItem": _SUBMITTED,
    "deleteListingsItem": {"marketplaceIds": _HERE, "issueLocale": _ANY},
    "searchCatalogItems": {
        "identifiers": Parameter(most=20),
        "identifiersType": _one_of("ASIN EAN GTIN ISBN JAN MINSAN SKU UPC"),
        "marketplaceIds": _HERE,
        "includedData": _CATALOGUE_DATA,
        "locale": _ANY,
        "sellerId": _ANY,
        "keywords": Parameter(most=20),
        "pageSize": Parameter(highest=20),
        "pageToken": _ANY,
    },
    "getCompetitivePricing": {
        "MarketplaceId": _HERE,
        "Asins": Parameter(most=20),
        "Skus": Parameter(most=20),
        "ItemType": _one_of("Asin Sku", required=True),
        "CustomerType": _one_of("Consumer Business"),
    },
    "getCatalogItem": {"marketplaceIds": _HERE, "includedData": _CATALOGUE_DATA, "locale": _ANY},
    "searchDefinitionsProductTypes": {
        "keywords": _ANY,
        "marketplaceIds": _HERE,
        "itemName": _ANY,
        "locale": _ANY,
        "searchLocale": _ANY,
    },
    "getDefinitionsProductType": {
        "sellerId": _ANY,
        "marketplaceIds": _HERE,
        "productTypeVersion": _ANY,
        "requirements": _one_of("LISTING LISTING_PRODUCT_ONLY LISTING_OFFER_ONLY"),
        "requirementsEnforced": _one_of("ENFORCED NOT_ENFORCED"),
        "locale": _ANY,
        "parentageLevel": _one_of("NONE CHILD PARENT"),
    },
    "searchOrders": {
        "createdAfter": _ANY,
        "lastUpdatedAfter": _ANY,
        "marketplaceIds": Parameter(False, frozenset({MARKETPLACE}), 50),
        "maxResultsPerPage": Parameter(highest=100),
        "paginationToken": _ANY,
        "includedData": _ORDER_DATA,
    },
    "getOrder": {"includedData": _ORDER_DATA},
    "getMessagingActionsForOrder": {"marketplaceIds": _HERE},
    "createUnexpectedProblem": {"marketplaceIds": _HERE},
    "getFeedDocument": {"enableContentEncodingUrlHeader": _one_of("true false")},
    "getSubscription": {"payloadVersion": _ANY},
}


def check(call: Call, known: dict[str, Parameter]) -> None:
    """Raises Refusal for a parameter that is unknown, missing, doubled, or has a value that is not allowed."""
    given = dict(call.query)
    if len(given) != len(call.query):
        raise invalid("A parameter is given twice.")
    for name, parameter in known.items():
        if parameter.required and not given.get(name):
            raise invalid(f"'{name}' is required.")
    for name, text in given.items():
        declared = known.get(name)
        if declared is None:
            raise invalid(f"'{name}' is not a parameter of this operation.")
        values = text.split(",")
        if declared.allowed is not None and not set(values) <= declared.allowed:
            raise invalid(f"The value of '{name}' is not allowed.")
        if declared.most is not None and len(values) > declared.most:
            raise invalid(f"'{name}' has at most {declared.most} values.")
        if declared.highest is not None and not (text.isdigit() and int(text) <= declared.highest):
            raise invalid(f"'{name}' is at most {declared.highest}.")
