"""What named faults do behind the seller's back: to subscriptions, to the catalogue, and to what calls are left."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flipsync.sandbox.acts import Place, price
from flipsync.sandbox.exchange import Answer
from flipsync.sandbox.records import Channel
from flipsync.sandbox.refusals import api_error

# -- what happens to subscriptions ------------------------------------------------------------------------------------


def drop_subscriptions(place: Place) -> None:
    """The vendor deletes them all."""
    _sql(place, "DELETE FROM webhook WHERE channel = ?")
    for name in _amazon_subscriptions(place):
        _world(place).drop("subscription", name)


def drop_order_topics(place: Place) -> None:
    """Those about orders are gone, the rest stays."""
    for hook in place.sandbox.webhooks.subscriptions.find("channel = ?", (place.channel,)):
        kept = tuple(topic for topic in hook.topics if not topic.lower().startswith("order"))
        if kept:
            place.sandbox.webhooks.subscriptions.save(replace(hook, topics=kept))
        else:
            place.sandbox.webhooks.subscriptions.delete(hook.id)
    for name in _amazon_subscriptions(place):
        if name.startswith("ORDER_CHANGE"):
            _world(place).drop("subscription", name)


def pause_subscriptions(place: Place) -> None:
    _sql(place, "UPDATE webhook SET status = 'disabled' WHERE channel = ?")


def move_subscriptions(place: Place) -> None:
    """Another tool has put its own address in."""
    _sql(place, "UPDATE webhook SET url = 'http://127.0.0.1:9/another-tool' WHERE channel = ?")


def _sql(place: Place, statement: str) -> None:
    place.books.db.execute(statement, (place.channel,))


def _world(place: Place) -> Any:
    return place.server.world  # type: ignore[attr-defined]


def _amazon_subscriptions(place: Place) -> list[str]:
    return [name for name, _ in _world(place).all("subscription")] if place.channel == "amazon" else []


# -- what happens to the catalogue ------------------------------------------------------------------------------------


def end_listing(place: Place) -> None:
    row = place.listings()[-1]
    row.status = {"ebay": "unlisted"}.get(place.channel, "ended")
    if place.channel == "ebay" and row.doc.get("offer"):
        row.doc["offer"] = {**row.doc["offer"]}
    place.books.save_listing(row)


def suppress_listing(place: Place) -> None:
    row = place.listings()[-1]
    if place.channel == "shopify":
        shop = place.server.shop  # type: ignore[attr-defined]
        product = shop.product(row.doc["product_id"])
        product.doc["published"] = False
        shop.save_product(product)
        row.doc["published"] = False
    row.status = {"woo": "draft", "shopify": "draft"}.get(place.channel, "suppressed")
    place.books.save_listing(row)


def delete_listing(place: Place) -> None:
    place.books.delete_listing(place.listings()[-1])


def rename_sku(place: Place) -> None:
    row = place.listings()[-1]
    row.sku += "-OLD"
    place.books.save_listing(row)


def retitle(place: Place) -> None:
    row = place.listings()[-1]
    row.title = "Best offer! " + row.title[::-1]
    place.books.save_listing(row)


def reprice(place: Place) -> None:
    row = place.listings()[-1]
    assert row.price_minor is not None
    price(place.channel, row, row.price_minor * 7 // 10)
    place.books.save_listing(row)


def restock(place: Place) -> None:
    row = place.listings()[-1]
    place.books.set_stock(row, (row.quantity or 0) + 7, "another tool", "fault")


def double_listing(place: Place) -> None:
    """A second listing with the same SKU."""
    row = place.listings()[-1]
    twin = replace(row, id=place.books.next_id(), stock_version=0, doc=copy.deepcopy(row.doc))
    place.books.add_listing(twin, "fault")


def split_variation(place: Place) -> None:
    """A variation leaves its group and stands alone."""
    for row in reversed(place.listings()):
        if place.channel == "amazon" and row.doc["attributes"].pop("child_parent_sku_relationship", None):
            place.books.save_listing(row)
            return
        if place.channel == "ebay":
            shop = place.server.notification.shop  # type: ignore[attr-defined]
            key = shop.group_of(row.sku)
            if key is not None:
                group = copy.deepcopy(shop.groups()[key])
                group["body"]["variantSKUs"] = [sku for sku in group["body"]["variantSKUs"] if sku != row.sku]
                shop.save_group(key, group)
                return


# -- limits -----------------------------------------------------------------------------------------------------------


def too_many(retry_after: int) -> Callable[[Channel], Answer]:
    """429 with Retry-After."""

    def makes(channel: Channel) -> Answer:
        code = {"ebay": "2001", "amazon": "QuotaExceeded", "woo": "too_many_requests"}.get(channel, "rate_limited")
        answer = api_error(channel, 429, code, "Too many requests.")
        answer.headers["Retry-After"] = str(retry_after)
        return answer

    return makes


def slower(place: Place) -> None:
    """The plan is a fifth of the documented one, and answers say so."""
    if place.channel == "amazon":
        place.books.set_meta("amazon.usage_factor", "0.2")
        return
    bucket = place.server.bucket  # type: ignore[attr-defined]
    bucket.size, bucket.restore = 400.0, 20.0
    bucket.left = min(bucket.left, bucket.size)


def spend_for_others(place: Place) -> None:
    """Another tool of the same account spends most of what there is."""
    if place.channel == "ebay":
        quotas = place.server.quotas  # type: ignore[attr-defined]
        for prefix in ("/sell/inventory/", "/sell/fulfillment/"):
            quotas.counts[prefix] = quotas.limits[prefix]
        return
    bucket = place.server.bucket  # type: ignore[attr-defined]
    bucket.fill()
    bucket.left = min(bucket.left, 300.0)
