"""Listings follow their product: what is on sale is told when the words and pictures behind it change."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast
from uuid import UUID

from flipsync.domain.channel import Vendor
from flipsync.domain.errors import Conflict, NotFound, VersionMismatch
from flipsync.domain.events import ListingOutdated, ListingRequested, ListingUnwanted
from flipsync.store.models import Listing
from flipsync.store.repositories import catalogue as rows
from flipsync.store.repositories import hand_edits as locks
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.unit_of_work import UnitOfWork

#: columns a channel shows (see services.desk.offer_of); stock, cost and price have events of their own
SHOWN_OF_PRODUCT = frozenset({"title", "description_html", "brand", "category", "images"})
#: states out of which a listing can be put on sale again
RELISTABLE = ("ended", "vanished", "refused")
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


async def take_off(unit: UnitOfWork, listing_id: UUID, reason: str, expected_version: int | None = None) -> None:
    """The owner wants it off sale; it stays off until `relist`. Raises NotFound, VersionMismatch, Conflict when it is
    not on sale."""
    listing, vendor = await _locked(unit, listing_id, expected_version)
    if listing.status != "active":
        raise Conflict(f"the listing is {listing.status}, not on sale")
    unit.emit(ListingUnwanted(listing_id=listing.id, account_id=listing.account_id, vendor=vendor, reason=reason))


async def relist(unit: UnitOfWork, listing_id: UUID, expected_version: int | None = None) -> None:
    """Put an ended, vanished or refused listing on sale again: under its old identity where the channel keeps it, else
    under a new one, which the publishing writes down. Raises NotFound, VersionMismatch, Conflict.
    """
    listing, vendor = await _locked(unit, listing_id, expected_version)
    if listing.status not in RELISTABLE:
        raise Conflict(f"the listing is {listing.status}", hint=f"what can be relisted is {', '.join(RELISTABLE)}")
    found = await listing_rows.with_goods(unit.session, listing_id)
    assert found is not None, "locked above"
    product = found[2]
    if not product.published:
        raise Conflict("its product is a draft", hint="publish the product: its listings come back with it")
    await listing_rows.set_status(unit, listing_id, "requested")
    unit.emit(ListingRequested(account_id=listing.account_id, vendor=vendor, product_id=product.id))


async def _locked(unit: UnitOfWork, listing_id: UUID, expected_version: int | None) -> tuple[Listing, Vendor]:
    listing = await locks.lock(unit.session, listing_id)
    vendor = await locks.vendor_of(unit.session, listing.account_id) if listing is not None else None
    if listing is None or vendor is None:
        raise NotFound(f"no listing {listing_id}")
    VersionMismatch.check("the listing", listing.version, expected_version)
    return listing, cast(Vendor, vendor)
