"""Amazon's doors: the Selling Partner API with its faults, and beside it Login, the queue, documents and schemas."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import unquote
from uuid import uuid4

from flipsync.sandbox.amazon.account import Account
from flipsync.sandbox.amazon.authorization import PAGE, Authorization
from flipsync.sandbox.amazon.catalogue import Catalogue
from flipsync.sandbox.amazon.feeds import Feeds
from flipsync.sandbox.amazon.finances import Payments
from flipsync.sandbox.amazon.labels import Labels
from flipsync.sandbox.amazon.listings import Listings
from flipsync.sandbox.amazon.lwa import Login
from flipsync.sandbox.amazon.messages import Messages
from flipsync.sandbox.amazon.notifications import Notifications
from flipsync.sandbox.amazon.offers import Offers
from flipsync.sandbox.amazon.orders import Orders
from flipsync.sandbox.amazon.parameters import PARAMETERS, check
from flipsync.sandbox.amazon.plans import UsagePlans
from flipsync.sandbox.amazon.queue import Queue
from flipsync.sandbox.amazon.reports import Reports
from flipsync.sandbox.amazon.world import SELLER, World, encode, refuse
from flipsync.sandbox.exchange import Answer, Call, ChannelServer, Refusal
from flipsync.sandbox.records import Channel

Desk = Callable[[Call], Answer]


@dataclass(frozen=True)
class Operation:
    """One operation: where, how often, by whom, and what it does with the path's parts."""

    name: str
    method: str
    pattern: re.Pattern[str]
    rate: float
    burst: int
    handler: Callable[..., Answer] = field(repr=False)
    writes: bool = False
    grantless: bool = False
    restricted: bool = False


class SellingPartner(ChannelServer):
    """The Selling Partner API of one seller."""

    channel: ClassVar[Channel] = "amazon"

    def __init__(self, world: World, login: Login, queue: Queue, authorization: Authorization) -> None:
        super().__init__(world.books, world.faults)
        self.world = world
        self.login = login
        self.queue = queue
        self.plans = UsagePlans(world)
        self.notifications = Notifications(world, queue)
        self.listings = Listings(world)
        self.catalogue = Catalogue(world)
        self.feeds = Feeds(world, self.listings, self.notifications)
        self._desks: dict[str, Desk] = {
            "/auth/o2/token": login.answer,
            PAGE: authorization.answer,
            "/queue": queue.answer,
            "/documents/": self.feeds.document,
            "/schemas/": self.catalogue.schema,
        }
        self.reports = Reports(world, self.feeds)
        self.payments = Payments(world)
        self._operations = self._table(Account(world, login), Offers(world), Orders(world))

    def _table(self, account: Account, offers: Offers, orders: Orders) -> list[Operation]:
        labels, messages = Labels(self.world, orders), Messages(self.world, orders)
        listings, catalogue, feeds, notes = self.listings, self.catalogue, self.feeds, self.notifications
        items, types = r"/listings/2021-08-01/items/([^/]+)", "/definitions/2020-09-01/productTypes"
        batches, fees, docs = "/batches/products/pricing", "/products/fees/v0", "/feeds/2021-06-30"
        reports, messaging = "/reports/2021-06-30", "/messaging/v1/orders"
        subscriptions = "/notifications/v1/subscriptions/([^/]+)"

        def op(
            name: str, method: str, path: str, rate: float, burst: int, handler: Callable[..., Answer], kind: str = ""
        ) -> Operation:
            marks = ("w" in kind, "g" in kind, "r" in kind)
            return Operation(name, method, re.compile(path), rate, burst, handler, *marks)

        return [
            op(
                "getMarketplaceParticipations",
                "GET",
                "/sellers/v1/marketplaceParticipations",
                0.016,
                15,
                account.sellers,
            ),
            op("getInventorySummaries", "GET", "/fba/inventory/v1/summaries", 2, 2, account.inventory),
            op(
                "createRestrictedDataToken", "POST", "/tokens/2021-03-01/restrictedDataToken", 1, 10, account.restricted
            ),
            op("searchListingsItems", "GET", items, 5, 5, listings.search),
            op("getListingsItem", "GET", f"{items}/([^/]+)", 5, 10, listings.get),
            op("putListingsItem", "PUT", f"{items}/([^/]+)", 5, 10, listings.put, "w"),
            op("patchListingsItem", "PATCH", f"{items}/([^/]+)", 5, 5, listings.patch, "w"),
            op("deleteListingsItem", "DELETE", f"{items}/([^/]+)", 5, 5, listings.delete, "w"),
            op("searchCatalogItems", "GET", "/catalog/2022-04-01/items", 2, 2, catalogue.search),
            op("getCatalogItem", "GET", "/catalog/2022-04-01/items/([^/]+)", 2, 2, catalogue.get),
            op("searchDefinitionsProductTypes", "GET", types, 5, 10, catalogue.search_types),
            op("getDefinitionsProductType", "GET", f"{types}/([^/]+)", 5, 10, catalogue.definition),
            op("searchOrders", "GET", "/orders/2026-01-01/orders", 0.0056, 20, orders.search),
            op("getOrder", "GET", "/orders/2026-01-01/orders/([^/]+)", 0.5, 30, orders.get),
            op("confirmShipment", "POST", "/orders/v0/orders/([^/]+)/shipmentConfirmation", 2, 10, orders.confirm, "w"),
            op("getEligibleShipmentServices", "POST", "/mfn/v0/eligibleShippingServices", 6, 12, labels.eligible),
            op("createShipment", "POST", "/mfn/v0/shipments", 2, 2, labels.create, "wr"),
            op("getShipment", "GET", "/mfn/v0/shipments/([^/]+)", 1, 1, labels.get, "r"),
            op("cancelShipment", "DELETE", "/mfn/v0/shipments/([^/]+)", 1, 1, labels.cancel, "wr"),
            op("getMessagingActionsForOrder", "GET", f"{messaging}/([^/]+)", 1, 5, messages.actions),
            op(
                "createUnexpectedProblem",
                "POST",
                f"{messaging}/([^/]+)/messages/unexpectedProblem",
                1,
                5,
                messages.unexpected_problem,
                "w",
            ),
            op("listTransactions", "GET", "/finances/2024-06-19/transactions", 0.5, 10, self.payments.transactions),
            op("getCompetitivePricing", "GET", "/products/pricing/v0/competitivePrice", 0.5, 1, offers.competitive),
            op("getListingOffersBatch", "POST", f"{batches}/v0/listingOffers", 0.5, 1, offers.batch),
            op(
                "getFeaturedOfferExpectedPriceBatch",
                "POST",
                f"{batches}/2022-05-01/offer/featuredOfferExpectedPrice",
                0.033,
                1,
                offers.expected_price,
            ),
            op(
                "getCompetitiveSummary",
                "POST",
                f"{batches}/2022-05-01/items/competitiveSummary",
                0.033,
                1,
                offers.summary,
            ),
            op("getMyFeesEstimates", "POST", f"{fees}/feesEstimate", 0.5, 1, offers.fees),
            op("getMyFeesEstimateForSKU", "POST", f"{fees}/listings/([^/]+)/feesEstimate", 1, 2, offers.fee_for_sku),
            op("createFeedDocument", "POST", f"{docs}/documents", 0.5, 15, feeds.create_document),
            op("getFeedDocument", "GET", f"{docs}/documents/([^/]+)", 0.0222, 10, feeds.get_document),
            op("createFeed", "POST", f"{docs}/feeds", 0.0083, 15, feeds.create, "w"),
            op("createReport", "POST", f"{reports}/reports", 0.0167, 15, self.reports.create),
            op("getReport", "GET", f"{reports}/reports/([^/]+)", 2, 15, self.reports.get),
            op("getReportDocument", "GET", f"{reports}/documents/([^/]+)", 0.0167, 15, self.reports.get_document),
            op("getFeed", "GET", f"{docs}/feeds/([^/]+)", 2, 15, feeds.get),
            op("getDestinations", "GET", "/notifications/v1/destinations", 1, 5, notes.get_destinations, "g"),
            op("createDestination", "POST", "/notifications/v1/destinations", 1, 5, notes.create_destination, "wg"),
            op("getSubscription", "GET", subscriptions, 1, 5, notes.get_subscription),
            op("createSubscription", "POST", subscriptions, 1, 5, notes.create_subscription, "w"),
            op("deleteSubscriptionById", "DELETE", f"{subscriptions}/([^/]+)", 1, 5, notes.delete_subscription, "wg"),
        ]

    # ChannelServer

    async def exchange(self, call: Call) -> Answer:
        """Login, queue and documents are other machines of Amazon's: the faults of the API are not theirs."""
        desk = next((desk for prefix, desk in self._desks.items() if call.path.startswith(prefix)), None)
        if desk is None:
            return await super().exchange(call)
        try:
            with self.books.transaction():
                return desk(call)
        except Refusal as refusal:
            return refusal.answer

    def error(self, status: int, code: str, message: str) -> Answer:
        told = {"rate_limited": "QuotaExceeded", "too_large": "RequestTooLarge"}.get(code, "InternalFailure")
        return Answer(status, encode({"errors": [{"code": told, "message": message, "details": ""}]}))

    def writes(self, call: Call) -> bool:
        operation = self._find(call)[0]
        return operation is not None and operation.writes and call.first("mode") is None

    def can_be_ignored(self, call: Call) -> bool:
        return call.method in ("PUT", "PATCH") and call.path.startswith("/listings/")

    def current(self, call: Call) -> Answer:
        return self.listings.accepted(unquote(call.path.rpartition("/")[2]))

    def _find(self, call: Call) -> tuple[Operation | None, list[str], bool]:
        """The operation, the parts of its path, and whether any method knows the path."""
        known = False
        for operation in self._operations:
            match = operation.pattern.fullmatch(call.path)
            if match is not None:
                if operation.method == call.method:
                    return operation, [unquote(part) for part in match.groups()], True
                known = True
        return None, [], known

    def answer(self, call: Call) -> Answer:
        operation, arguments, known = self._find(call)
        if operation is None:
            if known:
                raise refuse(405, "InvalidInput", "The method is not allowed for this resource.")
            raise refuse(404, "NotFound", "The resource does not exist.")
        application = self.login.authorize(call, grantless=operation.grantless, restricted=operation.restricted)
        if operation.method in ("PUT", "PATCH", "DELETE", "POST") and not application.can_write:
            raise refuse(403, "Unauthorized", "Access to requested resource is denied.", "The role is missing.")
        self.plans.take(application.client_id, operation.name, operation.rate, operation.burst)
        check(call, PARAMETERS.get(operation.name, {}))
        if "/items/" in call.path and call.path.startswith("/listings/") and arguments[0] != SELLER:
            raise refuse(403, "Unauthorized", "Access to requested resource is denied.", "It is another seller's.")
        answer = operation.handler(call, *arguments)
        answer.headers |= {
            "x-amzn-RateLimit-Limit": str(self.plans.rate(operation.rate)),
            "x-amzn-RequestId": str(uuid4()),
        }
        return answer
