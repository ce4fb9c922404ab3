"""Opens the Shopify shop of a sandbox, and says how a seller reaches it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from flipsync.sandbox.served import Served
from flipsync.sandbox.shopify.access import READER_SCOPES, App, Tokens
from flipsync.sandbox.shopify.bulk import Bulk
from flipsync.sandbox.shopify.hooks import Hooks
from flipsync.sandbox.shopify.install import Install
from flipsync.sandbox.shopify.inventory import Inventory
from flipsync.sandbox.shopify.orders import Orders
from flipsync.sandbox.shopify.products import Products
from flipsync.sandbox.shopify.root import mutation_root, query_root
from flipsync.sandbox.shopify.server import ShopifyShop, resolve
from flipsync.sandbox.shopify.shop import Shop
from flipsync.sandbox.shopify.variants import Variants

if TYPE_CHECKING:
    from flipsync.sandbox.app import Sandbox

PREFIX = "/shopify"


def open_shopify(sandbox: Sandbox) -> Served:
    """An app of the shop's own organisation, with client credentials; and the token of one that may only read."""
    shop = Shop(
        sandbox.books,
        sandbox.market.orders,
        sandbox.faults,
        sandbox.webhooks,
        sandbox.config.currency,
        sandbox.config.timezone,
    )
    app = App(
        sandbox.once("shopify.client_id", lambda: secrets.token_hex(16)),
        sandbox.once("shopify.client_secret", lambda: f"shpss_{secrets.token_hex(16)}"),
    )
    tokens = Tokens(sandbox.books, app)
    reader = sandbox.once("shopify.reader", lambda: f"shpat_{secrets.token_hex(16)}")
    tokens.keep(reader, READER_SCOPES)
    variants = Variants(shop)
    products, orders = Products(shop, variants), Orders(shop)
    hooks = Hooks(shop, orders, app.client_secret)
    bulk = Bulk(shop, resolve)
    bulk.queries = query_root(shop, products, orders, hooks, bulk)
    mutations = mutation_root(products, variants, Inventory(shop), orders, hooks, bulk)
    server = ShopifyShop(shop, tokens, bulk, mutations, Install(shop, tokens, sandbox.redirects("shopify")))

    def credentials(base_url: str) -> dict[str, dict[str, Any]]:
        where = {"base_url": f"{base_url}{PREFIX}", "options": {"shop_domain": shop.domain}}
        return {
            "shopify": {**where, "client_id": app.client_id, "client_secret": app.client_secret},
            "shopify_read_only": {**where, "access_token": reader},
        }

    return Served(PREFIX, server, credentials)
