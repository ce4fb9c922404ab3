"""The roots of queries and mutations: each field's resolver."""

from __future__ import annotations

from functools import partial
from typing import Any

from graphql import GraphQLError

from flipsync.sandbox.shopify import metafields
from flipsync.sandbox.shopify.bulk import Bulk
from flipsync.sandbox.shopify.hooks import Hooks
from flipsync.sandbox.shopify.inventory import Inventory
from flipsync.sandbox.shopify.orders import Orders
from flipsync.sandbox.shopify.products import Products
from flipsync.sandbox.shopify.shop import MOST_ROWS, ONLINE_STORE, Row, Shop, gid, kind_of, number, page
from flipsync.sandbox.shopify.taxonomy import found
from flipsync.sandbox.shopify.variants import Variants
from flipsync.sandbox.shopify.views import location_view


def query_root(shop: Shop, products: Products, orders: Orders, hooks: Hooks, bulk: Bulk) -> Row:
    finders = {
        "Product": products.product_by_id,
        "ProductVariant": products.variant_by_id,
        "InventoryItem": products.inventory_item,
        "Order": orders.order_by_id,
        "Refund": orders.refund_by_id,
        "BulkOperation": bulk.find,
    }

    def node(info: Any, id: str) -> Row | None:
        kind = kind_of(id)
        if not kind:
            number(id, "")
        return finders[kind](info, id) if kind in finders else None

    def nodes(info: Any, ids: list[str]) -> list[Row | None]:
        if len(ids) > MOST_ROWS:
            message = f"The input array size of {len(ids)} is greater than the maximum allowed of {MOST_ROWS}."
            raise GraphQLError(message, extensions={"code": "MAX_INPUT_SIZE_EXCEEDED"})
        return [node(info, each) for each in ids]

    def locations(info: Any, **given: Any) -> Row:
        rows = [row for row in shop.locations if row["isActive"] or given.get("includeInactive")]
        return page(rows, given.get("first"), given.get("after"), location_view)

    def location(info: Any, id: str | None = None) -> Row | None:
        wanted = number(id, "Location") if id is not None else shop.locations[0]["id"]
        return next((location_view(row) for row in shop.locations if row["id"] == wanted), None)

    def publications(info: Any, first: int | None = None, after: str | None = None) -> Row:
        return page([ONLINE_STORE], first, after, _publication)

    def categories(info: Any, **given: Any) -> Row:
        return page(found(given.get("search")), given.get("first"), given.get("after"), lambda row: row)

    return {
        "taxonomy": lambda info: {"categories": categories},
        "shop": lambda info: _shop(shop),
        "currentAppInstallation": _installation,
        "locations": locations,
        "location": location,
        "publications": publications,
        "product": products.product_by_id,
        "productByIdentifier": products.product_by_identifier,
        "products": products.products,
        "productVariant": products.variant_by_id,
        "productVariants": products.variants,
        "inventoryItem": products.inventory_item,
        "node": node,
        "nodes": nodes,
        "bulkOperation": bulk.find,
        "metafieldDefinitions": partial(metafields.definitions, shop),
        "orders": orders.orders,
        "order": orders.order_by_id,
        "refund": orders.refund_by_id,
        "webhookSubscriptions": hooks.subscriptions,
    }


def mutation_root(
    products: Products, variants: Variants, inventory: Inventory, orders: Orders, hooks: Hooks, bulk: Bulk
) -> Row:
    return {
        "metafieldDefinitionCreate": partial(metafields.define, products.shop),
        "productSet": products.set_product,
        "productUpdate": products.update_product,
        "productVariantsBulkCreate": variants.create_variants,
        "productVariantsBulkUpdate": variants.update_variants,
        "publishablePublish": products.publish,
        "publishableUnpublish": products.unpublish,
        "inventorySetQuantities": inventory.set_quantities,
        "bulkOperationRunQuery": bulk.run,
        "inventoryActivate": inventory.activate,
        "refundCreate": orders.give_back,
        "fulfillmentCreate": orders.fulfill,
        "webhookSubscriptionCreate": hooks.create,
        "webhookSubscriptionUpdate": hooks.update,
        "webhookSubscriptionDelete": hooks.delete,
    }


def _shop(shop: Shop) -> Row:
    return {
        "id": gid("Shop", 1),
        "name": shop.name,
        "currencyCode": shop.currency,
        "ianaTimezone": shop.timezone,
        "myshopifyDomain": shop.domain,
        "weightUnit": "GRAMS",
        "taxesIncluded": False,
    }


def _installation(info: Any) -> Row:
    scopes = [{"handle": scope, "description": scope.replace("_", " ")} for scope in info.context["scopes"]]
    return {"id": gid("AppInstallation", 1), "accessScopes": scopes}


def _publication(publication_id: str) -> Row:
    channel = {"id": gid("Channel", 1), "name": "Online Store", "handle": "online_store"}
    return {
        "id": publication_id,
        "catalog": {"__typename": "AppCatalog", "id": gid("AppCatalog", 1), "title": "Online Store"},
        "channels": lambda info, first=None: page([channel], first, None, lambda row: row),
    }
