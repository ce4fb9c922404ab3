"""The server: the gateway's checks (token, scope, quota), then the API that the path names."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import unquote

from flipsync.sandbox.consent import Redirects
from flipsync.sandbox.ebay import bodies
from flipsync.sandbox.ebay.ads import Ads
from flipsync.sandbox.ebay.authorize import PAGE, Page
from flipsync.sandbox.ebay.beside import Beside
from flipsync.sandbox.ebay.catalog import Browse, Catalog, Taxonomy
from flipsync.sandbox.ebay.elsewhere import Elsewhere
from flipsync.sandbox.ebay.fulfillment import Fulfillment
from flipsync.sandbox.ebay.funds import Funds
from flipsync.sandbox.ebay.items import Items
from flipsync.sandbox.ebay.notification import Notification
from flipsync.sandbox.ebay.offers import Offers
from flipsync.sandbox.ebay.problems import access, answer, encode, error, system
from flipsync.sandbox.ebay.quotas import Quotas
from flipsync.sandbox.ebay.settings import Settings
from flipsync.sandbox.ebay.shop import Shop
from flipsync.sandbox.ebay.tokens import PUBLIC, Keyset, Tokens, scope
from flipsync.sandbox.exchange import Answer, Call, ChannelServer
from flipsync.sandbox.faults import Faults
from flipsync.sandbox.market import Market
from flipsync.sandbox.records import Channel
from flipsync.sandbox.webhooks import Webhooks

_MARKETPLACES = {"USD": "EBAY_US", "GBP": "EBAY_GB", "EUR": "EBAY_DE", "CAD": "EBAY_CA", "AUD": "EBAY_AU"}
TOKEN_PATH = "/identity/v1/oauth2/token"  # noqa: S105 - a path
_INVENTORY, _NOTIFICATION = "/sell/inventory/v1", "/commerce/notification/v1"
_CATALOG = "/commerce/catalog/v1_beta"
_BULK_UPDATE = f"{_INVENTORY}/bulk_update_price_quantity"
_QUESTIONS = frozenset({TOKEN_PATH, PAGE, f"{_INVENTORY}/bulk_get_inventory_item"})
_IDENTITY = "/commerce/identity/v1/user/"
_PART = "([^/]+)"
_CONTENT = re.compile(rf"{_INVENTORY}/(inventory_item|inventory_item_group|offer)/[^/]+|{_BULK_UPDATE}")
_TRIED = re.compile(rf"{_NOTIFICATION}/destination(/[^/]+)?")

Scopes = frozenset[str]
Handler = Callable[..., Answer]


def _reads(name: str) -> Scopes:
    return frozenset({scope(name), scope(f"{name}.readonly")})


class EbayServer(ChannelServer):
    """All of eBay's APIs on one host, below one path."""

    channel: ClassVar[Channel] = "ebay"

    def __init__(
        self,
        market: Market,
        faults: Faults,
        webhooks: Webhooks,
        keyset: Keyset,
        key: str,
        seller: str,
        redirects: Redirects,
    ) -> None:
        super().__init__(market.books, faults)
        self.marketplace_id = _MARKETPLACES.get(market.orders.currency, "EBAY_US")
        shop = Shop(market, faults, webhooks, self.marketplace_id, seller)
        self.tokens = Tokens(keyset, market.books)
        self.page = Page(self.tokens, redirects, seller)
        self.quotas = Quotas()
        self.items, self.offers, self.settings = Items(shop), Offers(shop), Settings(shop)
        self.orders, self.taxonomy, self.browse = Fulfillment(shop), Taxonomy(shop), Browse(shop)
        self.catalog = Catalog(shop)
        self.beside, self.ads, self.elsewhere, self.funds = Beside(shop), Ads(shop), Elsewhere(shop), Funds(shop)
        self.notification = Notification(shop, key)
        self._routes = [
            (method, re.compile(path), handler, scopes)
            for method, path, handler, scopes in [*self._table(), *self._more()]
        ]

    def _table(self) -> list[tuple[str, str, Handler, Scopes]]:
        items, offers, settings, orders, notes = (
            self.items, self.offers, self.settings, self.orders, self.notification
        )  # fmt: skip
        look, write = _reads("sell.inventory"), frozenset({scope("sell.inventory")})
        account, sales = _reads("sell.account"), _reads("sell.fulfillment")
        subscribe = PUBLIC | {scope("commerce.notification.subscription")}
        item, offer, group = (f"{_INVENTORY}/{name}" for name in ("inventory_item", "offer", "inventory_item_group"))
        order, policy = "/sell/fulfillment/v1/order", "/sell/account/v1"
        tree, hook = "/commerce/taxonomy/v1/category_tree", f"{_NOTIFICATION}/subscription"
        return [
            ("GET", item, items.all, look),
            ("GET", f"{item}/{_PART}", items.get, look),
            ("PUT", f"{item}/{_PART}", items.put, write),
            ("DELETE", f"{item}/{_PART}", items.delete, write),
            ("POST", f"{_INVENTORY}/bulk_get_inventory_item", items.bulk_get, look),
            ("POST", _BULK_UPDATE, items.bulk_update, write),
            ("GET", f"{_INVENTORY}/location", settings.locations, look),
            ("GET", offer, offers.of_sku, look),
            ("POST", offer, offers.create, write),
            ("POST", f"{offer}/publish_by_inventory_item_group", offers.publish_group, write),
            ("POST", f"{offer}/withdraw_by_inventory_item_group", offers.withdraw_group, write),
            ("GET", f"{offer}/{_PART}", offers.get, look),
            ("PUT", f"{offer}/{_PART}", offers.update, write),
            ("DELETE", f"{offer}/{_PART}", offers.delete, write),
            ("POST", f"{offer}/{_PART}/publish", offers.publish, write),
            ("POST", f"{offer}/{_PART}/withdraw", offers.withdraw, write),
            ("GET", f"{group}/{_PART}", offers.get_group, look),
            ("PUT", f"{group}/{_PART}", offers.put_group, write),
            ("GET", order, orders.search, sales),
            ("GET", f"{order}/{_PART}", orders.get, sales),
            ("GET", f"{order}/{_PART}/shipping_fulfillment", orders.shipments, sales),
            ("POST", f"{order}/{_PART}/issue_refund", orders.issue_refund, frozenset({scope("sell.finances")})),
            ("POST", f"{order}/{_PART}/shipping_fulfillment", orders.ship, frozenset({scope("sell.fulfillment")})),
            ("GET", f"{policy}/payment_policy", settings.payment, account),
            ("GET", f"{policy}/fulfillment_policy", settings.fulfillment, account),
            ("GET", f"{policy}/return_policy", settings.returns, account),
            ("GET", f"{policy}/privilege", settings.privilege, account),
            ("GET", _IDENTITY, settings.user, frozenset({scope("commerce.identity.readonly")})),
            ("GET", "/commerce/taxonomy/v1/get_default_category_tree_id", self.taxonomy.default_tree, PUBLIC),
            ("GET", f"{tree}/{_PART}/get_category_suggestions", self.taxonomy.suggestions, PUBLIC),
            ("GET", f"{tree}/{_PART}/get_item_aspects_for_category", self.taxonomy.aspects, PUBLIC),
            ("GET", "/buy/browse/v1/item_summary/search", self.browse.search, PUBLIC),
            ("GET", f"{_CATALOG}/product_summary/search", self.catalog.search, write),
            ("GET", f"{_CATALOG}/product/{_PART}", self.catalog.product, write),
            ("GET", "/developer/analytics/v1_beta/rate_limit/", self.quotas.answer, PUBLIC),
            ("GET", f"{_NOTIFICATION}/config", notes.get_config, PUBLIC),
            ("PUT", f"{_NOTIFICATION}/config", notes.put_config, PUBLIC),
            ("GET", f"{_NOTIFICATION}/destination", notes.list_destinations, PUBLIC),
            ("POST", f"{_NOTIFICATION}/destination", notes.create_destination, PUBLIC),
            ("PUT", f"{_NOTIFICATION}/destination/{_PART}", notes.update_destination, PUBLIC),
            ("GET", f"{_NOTIFICATION}/topic", notes.list_topics, PUBLIC),
            ("GET", f"{_NOTIFICATION}/public_key/{_PART}", notes.deliveries.public_key, PUBLIC),
            ("GET", hook, notes.list_subscriptions, subscribe),
            ("POST", hook, notes.create_subscription, subscribe),
            ("PUT", f"{hook}/{_PART}", notes.update_subscription, subscribe),
            ("DELETE", f"{hook}/{_PART}", notes.delete, subscribe),
            ("POST", f"{hook}/{_PART}/enable", notes.enable, subscribe),
            ("POST", f"{hook}/{_PART}/disable", notes.disable, subscribe),
        ]

    def _more(self) -> list[tuple[str, str, Handler, Scopes]]:
        beside, ads = self.beside, self.ads
        write, funds = frozenset({scope("sell.inventory")}), frozenset({scope("sell.finances")})
        negotiation, compliance, campaign = (
            f"/sell/{name}" for name in ("negotiation/v1", "compliance/v1", "marketing/v1/ad_campaign")
        )
        look, promote = _reads("sell.marketing"), frozenset({scope("sell.marketing")})
        by = "by_inventory_reference"
        elsewhere, task = self.elsewhere, "/sell/feed/v1/inventory_task"
        return [
            ("POST", task, elsewhere.order_report, write),
            ("GET", task, elsewhere.tasks, write),
            ("GET", f"{task}/{_PART}", elsewhere.task, write),
            ("GET", f"/sell/feed/v1/task/{_PART}/download_result_file", elsewhere.download, write),
            ("POST", f"{_INVENTORY}/bulk_migrate_listing", elsewhere.migrate, write),
            ("GET", f"{negotiation}/find_eligible_items", beside.eligible, _reads("sell.inventory")),
            ("POST", f"{negotiation}/send_offer_to_interested_buyers", beside.send_offer, write),
            ("GET", f"{compliance}/listing_violation_summary", beside.violation_counts, write),
            ("GET", f"{compliance}/listing_violation", beside.violations, write),
            ("GET", "/sell/finances/v1/transaction", self.funds.transactions, funds),
            ("GET", "/sell/finances/v1/payout", self.funds.payouts, funds),
            ("GET", campaign, ads.campaigns, look),
            ("POST", campaign, ads.make_campaign, promote),
            ("GET", f"{campaign}/{_PART}/ad", ads.all_ads, look),
            ("GET", f"{campaign}/{_PART}/get_ads_{by}", ads.ads, look),
            ("POST", f"{campaign}/{_PART}/bulk_create_ads_{by}", ads.create_ads, promote),
            ("POST", f"{campaign}/{_PART}/bulk_update_ads_bid_{by}", ads.update_ads, promote),
            ("POST", f"{campaign}/{_PART}/bulk_delete_ads_{by}", ads.delete_ads, promote),
            (
                "GET",
                "/sell/analytics/v1/seller_standards_profile",
                beside.standards,
                frozenset({scope("sell.analytics.readonly")}),
            ),
        ]

    # ChannelServer

    def error(self, status: int, code: str, message: str) -> Answer:
        if status == 429:
            text = "The request limit has been reached for the resource."
            return answer(429, {**error(2001, "Too many requests", "ACCESS"), "longMessage": text})
        if status >= 500:
            return system(status, f"A system error has occurred. {message}")
        return answer(status, error(2002, message, "ACCESS"))

    def writes(self, call: Call) -> bool:
        """Some questions are asked with POST; what strikes writes does not strike them."""
        return call.writes and call.path not in _QUESTIONS

    def can_be_ignored(self, call: Call) -> bool:
        return call.method in ("PUT", "POST") and _CONTENT.fullmatch(call.path) is not None

    def current(self, call: Call) -> Answer:
        """eBay's writes answer with no state: what was not applied looks like what was."""
        if call.path != _BULK_UPDATE:
            return Answer(204, b"")
        body = bodies.parse(call, bodies.BulkUpdate)
        rows = [{"sku": row.sku, "statusCode": 200, "errors": [], "warnings": []} for row in body.requests]
        return Answer(200, encode({"responses": rows}))

    async def exchange(self, call: Call) -> Answer:
        """The consent page is another machine of eBay's: the faults of the APIs are not its own."""
        return self._transact(call) if call.path == PAGE else await super().exchange(call)

    async def prepare(self, call: Call) -> Call:
        if call.path != TOKEN_PATH:
            self.quotas.count(call.path)
        if call.method in ("POST", "PUT") and _TRIED.fullmatch(call.path):
            self.tokens.granted(call, one_of=PUBLIC)
            await self.notification.try_endpoint(call)
        return call

    def answer(self, call: Call) -> Answer:
        if call.path == TOKEN_PATH:
            return self.tokens.answer(call)
        if call.path == PAGE:
            return self.page.answer(call)
        known = False
        for method, pattern, handler, scopes in self._routes:
            match = pattern.fullmatch(call.path)
            if match is None:
                continue
            known = True
            if method == call.method:
                who = self.tokens.granted(call, one_of=scopes)
                arguments: list[Any] = [unquote(part) for part in match.groups()]
                if call.path.startswith((f"{_NOTIFICATION}/subscription", _IDENTITY)):
                    arguments.insert(0, who)
                return handler(call, *arguments)
        if known:
            raise access(405, 2002, "Method not allowed", "The resource has no such method.")
        raise access(404, 2002, "Resource not found", "There is no such resource.")
