"""Destinations, subscriptions, and the notifications they bring into the seller's queue."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from flipsync.sandbox.amazon.queue import Queue
from flipsync.sandbox.amazon.world import MARKETPLACE, SELLER, World, encode, invalid, refuse
from flipsync.sandbox.books import Change
from flipsync.sandbox.clock import rfc3339
from flipsync.sandbox.exchange import Answer, Call, parse_object
from flipsync.sandbox.records import Listing, Order, order_external_id

#: Types and the payload versions Amazon knows of each.
TYPES: dict[str, tuple[str, ...]] = {
    "ORDER_CHANGE": ("1.0",),
    "ANY_OFFER_CHANGED": ("1.0",),
    "PRICING_HEALTH": ("1.0",),
    "LISTINGS_ITEM_STATUS_CHANGE": ("1.0",),
    "LISTINGS_ITEM_ISSUES_CHANGE": ("1.0", "2023-12-13"),
    "FBA_INVENTORY_AVAILABILITY_CHANGES": ("1.0",),
    "FEED_PROCESSING_FINISHED": ("2020-09-04",),
}
_STATUS = {"paid": "Unshipped", "shipped": "Shipped", "refunded": "Shipped", "cancelled": "Canceled"}


class Notifications:
    """The Notifications API, and what happens when something changes."""

    def __init__(self, world: World, queue: Queue) -> None:
        self.world = world
        self.queue = queue
        self._buyable: dict[int, bool] = {}

    # The API

    def get_destinations(self, call: Call) -> Answer:
        return Answer(200, encode({"payload": [doc for _, doc in self.world.all("destination")]}))

    def create_destination(self, call: Call) -> Answer:
        body = parse_object(call.body)
        specification = (body or {}).get("resourceSpecification")
        sqs = specification.get("sqs") if isinstance(specification, dict) else None
        if body is None or set(body) != {"name", "resourceSpecification"} or not isinstance(sqs, dict):
            raise invalid("name and resourceSpecification.sqs are required.")
        if any(doc["resource"]["sqs"]["arn"] == sqs.get("arn") for _, doc in self.world.all("destination")):
            raise refuse(409, "Conflict", "A destination with this resource exists already.")
        doc = {"name": body["name"], "destinationId": str(uuid4()), "resource": {"sqs": {"arn": sqs.get("arn")}}}
        self.world.put("destination", str(doc["destinationId"]), doc)
        return Answer(200, encode({"payload": doc}))

    def get_subscription(self, call: Call, topic: str) -> Answer:
        version = call.first("payloadVersion") or _versions(topic)[0]
        doc = self.world.get("subscription", f"{topic}|{version}")
        if doc is None:
            raise refuse(404, "NotFound", f"There is no subscription to {topic}.")
        return Answer(200, encode({"payload": doc}))

    def create_subscription(self, call: Call, topic: str) -> Answer:
        body = parse_object(call.body)
        if body is None or not set(body) <= {"payloadVersion", "destinationId", "processingDirective"}:
            raise invalid("payloadVersion and destinationId are required.")
        version = body.get("payloadVersion")
        if version not in _versions(topic):
            raise invalid(f"{topic} has no payload version {version}.")
        if self.world.get("destination", str(body.get("destinationId"))) is None:
            raise invalid("There is no such destination.")
        if self.world.get("subscription", f"{topic}|{version}") is not None:
            raise refuse(409, "Conflict", "A subscription of this type exists already.")
        doc = {"subscriptionId": str(uuid4()), "payloadVersion": version, "destinationId": body["destinationId"]}
        self.world.put("subscription", f"{topic}|{version}", doc)
        return Answer(200, encode({"payload": doc}))

    def delete_subscription(self, call: Call, topic: str, subscription_id: str) -> Answer:
        for name, doc in list(self.world.all("subscription")):
            if doc["subscriptionId"] == subscription_id and name.startswith(f"{topic}|"):
                self.world.drop("subscription", name)
                return Answer(200, encode({}))
        raise refuse(404, "NotFound", "There is no such subscription.")

    # What subscribers hear

    def heard(self, change: Change) -> None:
        """Something changed in the books; called inside its transaction."""
        if change.channel != "amazon":
            return
        if change.resource == "order":
            order = self.world.books.order(change.id)
            if order is not None:
                self._send("ORDER_CHANGE", _order_change(order))
            return
        listing = self.world.books.listing(change.id)
        buyable = listing is not None and listing.sellable(1)
        if listing is not None and self._buyable.get(change.id) != buyable:
            self._buyable[change.id] = buyable
            self._send("LISTINGS_ITEM_STATUS_CHANGE", _status_change(listing, buyable=buyable))

    def offers_changed(self, sku: str) -> None:
        """A rival moved; called inside a transaction."""
        listing = self.world.listing(sku)
        if listing is not None:
            self._send("ANY_OFFER_CHANGED", self._offer_change(listing))

    def feed_finished(self, feed: dict[str, Any]) -> None:
        told = {
            "sellerId": SELLER,
            "accountId": f"amzn1.merchant.o.{SELLER}",
            "feedId": feed["feedId"],
            "feedType": feed["feedType"],
            "processingStatus": feed["processingStatus"],
            "resultFeedDocumentId": feed["resultFeedDocumentId"],
        }
        self._send("FEED_PROCESSING_FINISHED", {"feedProcessingFinishedNotification": told})

    def _send(self, topic: str, payload: dict[str, Any]) -> None:
        for version in TYPES[topic]:
            subscription = self.world.get("subscription", f"{topic}|{version}")
            if subscription is None:
                continue
            now = rfc3339(self.world.books.clock.now_ms())
            metadata = {
                "ApplicationId": "amzn1.sellerapps.app.sandbox",
                "SubscriptionId": subscription["subscriptionId"],
                "PublishTime": now,
                "NotificationId": str(uuid4()),
            }
            body = {
                "NotificationVersion": "1.0",
                "NotificationType": topic,
                "PayloadVersion": version,
                "EventTime": now,
                "Payload": payload,
                "NotificationMetadata": metadata,
            }
            if topic == "FEED_PROCESSING_FINISHED":
                metadata = {_camel(name): value for name, value in metadata.items()}
                body = {_camel(name): value for name, value in body.items()}
                body |= {"notificationVersion": version, "notificationMetadata": metadata}
            self.queue.send(body)

    def _offer_change(self, listing: Listing) -> dict[str, Any]:
        currency = self.world.currency

        def money(minor: int) -> dict[str, Any]:
            return {"Amount": minor / 100, "CurrencyCode": currency}

        rivals = [rival for rival in self.world.market.rival_offers(listing.sku) if rival.in_stock]
        offers = [
            {
                "SellerId": rival.seller,
                "SubCondition": "new",
                "SellerFeedbackRating": {"FeedbackCount": 100, "SellerPositiveFeedbackRating": 95},
                "ShippingTime": {
                    "MinimumHours": 24,
                    "MaximumHours": 48,
                    "AvailabilityType": "NOW",
                    "AvailableDate": "",
                },
                "ListingPrice": money(rival.price_minor),
                "Points": {"PointsNumber": 0},
                "Shipping": money(0),
                "ShipsFrom": {"Country": "US", "State": "OH"},
                "IsFulfilledByAmazon": False,
                "PrimeInformation": {"IsOfferPrime": False, "IsOfferNationalPrime": False},
                "IsExpeditedShippingAvailable": False,
                "IsFeaturedMerchant": True,
                "ShipsDomestically": True,
                "ShipsInternationally": False,
            }
            for rival in rivals
        ]
        trigger = {
            "MarketplaceId": MARKETPLACE,
            "ASIN": listing.doc["asin"],
            "ItemCondition": "new",
            "TimeOfOfferChange": rfc3339(self.world.books.clock.now_ms()),
            "OfferChangeType": "External",
        }
        count = [{"Condition": "new", "FulfillmentChannel": "Merchant", "OfferCount": len(offers)}]
        least = min((rival.price_minor for rival in rivals), default=listing.price_minor or 0)
        lowest = {
            "Condition": "new",
            "LandedPrice": money(least),
            "ListingPrice": money(least),
            "Shipping": money(0),
            "Points": {"PointsNumber": 0},
        }
        summary = {
            "NumberOfOffers": count,
            "LowestPrices": [{**lowest, "FulfillmentChannel": "Merchant"}],
            "BuyBoxPrices": [lowest],
            "ListPrice": money(least),
            "MinimumAdvertisedPrice": money(0),
            "SuggestedLowerPricePlusShipping": money(least),
            "TotalBuyBoxEligibleOffers": len(offers),
            "SalesRankings": [],
            "NumberOfBuyBoxEligibleOffers": count,
            "CompetitivePriceThreshold": money(least),
        }
        told = {"SellerId": SELLER, "OfferChangeTrigger": trigger, "Summary": summary, "Offers": offers}
        return {"AnyOfferChangedNotification": told}


def _versions(topic: str) -> tuple[str, ...]:
    if topic not in TYPES:
        raise invalid(f"{topic} is no notification type.")
    return TYPES[topic]


def _camel(name: str) -> str:
    return name[0].lower() + name[1:]


def _status_change(listing: Listing, *, buyable: bool) -> dict[str, Any]:
    status = ["DELETED"] if listing.status == "ended" else ["BUYABLE", "DISCOVERABLE"] if buyable else ["DISCOVERABLE"]
    return {
        "SellerId": SELLER,
        "MarketplaceId": MARKETPLACE,
        "Asin": listing.doc["asin"],
        "Sku": listing.sku,
        "CreatedDate": rfc3339(listing.created_ms),
        "Status": status,
    }


def _order_change(order: Order) -> dict[str, Any]:
    shipped = order.status in ("shipped", "refunded")
    units = sum(line.quantity for line in order.lines)
    items = [
        {
            "OrderItemId": str(line.id),
            "SellerSKU": line.sku,
            "SupplySourceId": "",
            "OrderItemStatus": _STATUS[order.status],
            "Quantity": line.quantity,
            "QuantityShipped": line.quantity if shipped else 0,
            "IsBuyerRequestedCancel": False,
            "ItemEarliestDeliveryDate": rfc3339(order.placed_ms),
            "ItemLatestDeliveryDate": rfc3339(order.placed_ms),
        }
        for line in order.lines
    ]
    told = {
        "NotificationLevel": "OrderLevel",
        "SellerId": SELLER,
        "AmazonOrderId": order_external_id("amazon", order.id),
        "OrderChangeType": "OrderStatusChange",
        "OrderChangeTrigger": {"TimeOfOrderChange": rfc3339(order.modified_ms), "ChangeReason": "Status change"},
        "Summary": {
            "MarketplaceId": MARKETPLACE,
            "OrderStatus": _STATUS[order.status],
            "PurchaseDate": rfc3339(order.placed_ms),
            "DestinationPostalCode": order.doc["ship_to"]["postal_code"],
            "FulfillmentType": "MFN",
            "OrderType": "StandardOrder",
            "NumberOfItemsShipped": units if shipped else 0,
            "NumberOfItemsUnshipped": 0 if shipped else units,
            "EarliestDeliveryDate": rfc3339(order.placed_ms),
            "LatestDeliveryDate": rfc3339(order.placed_ms),
            "EarliestShipDate": rfc3339(order.placed_ms),
            "LatestShipDate": rfc3339(order.placed_ms),
            "CancelNotifyDate": rfc3339(order.placed_ms),
            "OrderItems": items,
        },
    }
    return {"OrderChangeNotification": told}
