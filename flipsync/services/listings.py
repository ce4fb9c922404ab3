"""Listings follow their product: what is on sale is told when the words and pictures behind it change."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast
from uuid import UUID

from flipsync.domain.channel import Vendor
from flipsync.domain.events import ListingOutdated
from flipsync.store.repositories import catalogue as rows
from flipsync.store.unit_of_work import UnitOfWork

#: columns a channel shows (see services.desk.offer_of); stock, cost and price have events of their own
SHOWN_OF_PRODUCT = frozenset({"title", "description_html", "brand", "category", "images"})
SHOWN_OF_VARIANT = frozenset({"product_id", "options", "barcode", "weight_grams", "image"})


async def tell_outdated(
    unit: UnitOfWork, product_ids: Collection[UUID], variant_ids: Collection[UUID] = frozenset()
) -> int:
    """Say of every live listing of these products and variants that it is outdated; returns how many there are.

    Call it after the change is written: a variant that moved is found under its new product.
    """
    if not product_ids and not variant_ids:
        return 0
    found = await rows.live_listings(unit.session, list(product_ids), list(variant_ids))
    for listing_id, account_id, vendor in found:
        unit.emit(ListingOutdated(listing_id=listing_id, account_id=account_id, vendor=cast(Vendor, vendor)))
    return len(found)
