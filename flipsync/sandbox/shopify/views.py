"""Products, variants and their stock as the API shows them."""

from __future__ import annotations

import hashlib
from typing import Any

from flipsync.sandbox.records import Listing
from flipsync.sandbox.shopify import metafields
from flipsync.sandbox.shopify.shop import (
    ONLINE_STORE,
    Once,
    Product,
    Row,
    Shop,
    gid,
    item_id,
    keyed_page,
    number,
    page,
    stamp,
)
from flipsync.sandbox.shopify.taxonomy import category_view

DEFAULT_OPTION, DEFAULT_VALUE = "Title", "Default Title"


def has_only_default(product: Product) -> bool:
    options = product.doc["options"]
    return len(options) == 1 and options[0]["name"] == DEFAULT_OPTION and options[0]["values"] == [DEFAULT_VALUE]


def variant_title(listing: Listing) -> str:
    return " / ".join(listing.doc["options"])


def product_view(shop: Shop, product_id: int) -> Row:
    once = Once(lambda: shop.product(product_id))

    def variants(info: Any, first: int | None = None, after: str | None = None) -> Row:
        rows = shop.variants(product_id)
        return keyed_page(rows, first, after, lambda row: variant_view(shop, row), lambda row: [row.id])

    def options(info: Any, first: int | None = None) -> list[Row]:
        rows = once().doc["options"][:first]
        return [
            {
                "id": gid("ProductOption", product_id * 10 + place),
                "name": row["name"],
                "position": place + 1,
                "values": row["values"],
            }
            for place, row in enumerate(rows)
        ]

    def media(info: Any, first: int | None = None, after: str | None = None) -> Row:
        files = list(enumerate(once().doc["files"], 1))
        return keyed_page(files, first, after, lambda row: picture(once(), row[1]), lambda row: [row[0]])

    return {
        "__typename": "Product",
        "id": gid("Product", product_id),
        "legacyResourceId": str(product_id),
        "title": lambda info: once().doc["title"],
        "handle": lambda info: once().handle,
        "status": lambda info: once().doc["status"],
        "vendor": lambda info: once().doc["vendor"],
        "productType": lambda info: once().doc["productType"],
        "category": lambda info: category_view(once().doc.get("category")),
        "descriptionHtml": lambda info: once().doc["descriptionHtml"],
        "createdAt": lambda info: stamp(once().created_ms),
        "updatedAt": lambda info: stamp(once().modified_ms),
        "hasOnlyDefaultVariant": lambda info: has_only_default(once()),
        "totalInventory": lambda info: sum(row.quantity or 0 for row in shop.variants(product_id)),
        "tracksInventory": lambda info: any(row.doc["tracked"] for row in shop.variants(product_id)),
        "options": options,
        "variants": variants,
        "media": media,
        "metafield": lambda info, key, namespace=None: metafields.metafield(
            shop, once().doc, "PRODUCT", product_id, f"{namespace}.{key}"
        ),
        "metafields": lambda info, **given: metafields.metafields(shop, once().doc, "PRODUCT", product_id, **given),
        "publishedOnPublication": lambda info, publicationId: (  # noqa: N803 - the argument's own name
            publicationId == ONLINE_STORE and bool(once().doc["published"])
        ),
    }


def picture(product: Product, source: str) -> Row:
    """Shopify serves a copy of its own, under the picture's name, with a version behind it."""
    number = int.from_bytes(hashlib.sha256(f"{product.id} {source}".encode()).digest()[:5])
    name = source.rpartition("/")[2].partition("?")[0] or "image"
    return {
        "__typename": "MediaImage",
        "id": gid("MediaImage", number),
        "image": {"url": f"https://cdn.shopify.com/s/files/{number}/{name}?v={product.modified_ms // 1000}"},
    }


def variant_view(shop: Shop, listing: Listing) -> Row:
    """`listing` names it and is what is shown when nothing newer is there (it may be gone when the answer is made)."""
    once = Once(lambda: shop.shown(shop.variant(listing.id) or listing) or listing)
    product_id = listing.doc["product_id"]

    def selected(info: Any) -> list[Row]:
        product = shop.product(product_id)
        assert product is not None
        names = [row["name"] for row in product.doc["options"]]
        return [{"name": name, "value": value} for name, value in zip(names, once().doc["options"], strict=True)]

    def media(info: Any, first: int | None = None, after: str | None = None) -> Row:
        product, source = shop.product(product_id), once().doc.get("picture")
        assert product is not None
        shown = [source] if source in product.doc["files"] else []
        return page(shown, first, after, lambda each: picture(product, each))

    return {
        "__typename": "ProductVariant",
        "id": gid("ProductVariant", listing.id),
        "legacyResourceId": str(listing.id),
        "sku": lambda info: once().sku or None,
        "title": lambda info: variant_title(once()),
        "displayName": lambda info: f"{once().title} - {variant_title(once())}",
        "price": lambda info: shop.amount(once().price_minor or 0),
        "barcode": lambda info: once().doc.get("barcode"),
        "position": lambda info: [row.id for row in shop.variants(product_id)].index(listing.id) + 1,
        "createdAt": lambda info: stamp(once().created_ms),
        "updatedAt": lambda info: stamp(once().modified_ms),
        "availableForSale": lambda info: once().sellable(1),
        "inventoryPolicy": lambda info: once().doc["policy"],
        "inventoryQuantity": lambda info: once().quantity,
        "inventoryItem": lambda info: item_view(shop, once()),
        "selectedOptions": selected,
        "product": lambda info: product_view(shop, product_id),
        "media": media,
        "metafields": lambda info, **given: metafields.metafields(
            shop, once().doc, "PRODUCTVARIANT", listing.id, **given
        ),
        "metafield": lambda info, key, namespace=None: metafields.metafield(
            shop, once().doc, "PRODUCTVARIANT", listing.id, f"{namespace}.{key}"
        ),
        "publishedOnPublication": lambda info, publicationId: (  # noqa: N803 - the argument's own name
            publicationId == ONLINE_STORE and bool(once().doc["published"])
        ),
    }


def item_view(shop: Shop, listing: Listing) -> Row:
    doc = listing.doc

    def level(info: Any, locationId: str) -> Row | None:  # noqa: N803 - the argument's own name
        number(locationId, "Location")
        return level_view(shop, listing) if locationId == shop.home and doc["stocked"] else None

    return {
        "__typename": "InventoryItem",
        "id": gid("InventoryItem", item_id(listing.id)),
        "legacyResourceId": str(item_id(listing.id)),
        "sku": listing.sku or None,
        "tracked": doc["tracked"],
        "updatedAt": stamp(listing.modified_ms),
        "measurement": {"weight": doc.get("weight")},
        "inventoryLevel": level,
    }


def level_view(shop: Shop, listing: Listing) -> Row:
    item = item_id(listing.id)
    level_id = f"gid://shopify/InventoryLevel/{shop.locations[0]['id']}?inventory_item_id={item}"

    def quantities(info: Any, names: list[str]) -> list[Row]:
        available = listing.quantity if listing.quantity is not None else listing.doc.get("uncounted", 0)
        held = {"available": available}
        if {"on_hand", "committed"} & set(names):
            held["committed"] = _committed(shop, listing)
            held["on_hand"] = available + held["committed"]
        return [
            {
                "id": f"{level_id}&name={name}",
                "name": name,
                "quantity": held.get(name, 0),
                "updatedAt": stamp(listing.modified_ms),
            }
            for name in names
        ]

    return {
        "__typename": "InventoryLevel",
        "id": level_id,
        "isActive": True,
        "updatedAt": stamp(listing.modified_ms),
        "quantities": quantities,
        "item": lambda info: item_view(shop, listing),
        "location": lambda info: location_view(shop.locations[0]),
    }


def _committed(shop: Shop, listing: Listing) -> int:
    """Units of orders that are taken and have not left."""
    waiting = shop.books.orders("channel = ? AND status = 'paid' AND holds_stock = 1", (shop.channel,))
    return sum(
        line.quantity - line.restocked for order in waiting for line in order.lines if line.listing_id == listing.id
    )


def location_view(row: Row) -> Row:
    return {
        "__typename": "Location",
        "id": gid("Location", row["id"]),
        "legacyResourceId": str(row["id"]),
        "name": row["name"],
        "isActive": row["isActive"],
        "fulfillsOnlineOrders": row["isActive"],
    }
