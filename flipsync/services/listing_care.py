"""What is decided about listings that lack something, carried out and taken back."""

from __future__ import annotations

import importlib
from datetime import timedelta
from typing import cast
from uuid import UUID

from flipsync.domain.channel import Vendor
from flipsync.domain.errors import Conflict, NotFound
from flipsync.domain.events import ListingOutdated
from flipsync.domain.listing_care import (
    FitListing,
    ListingLacking,
    NoteListingNeeds,
    OfferListingFix,
    OfferProductFacts,
    PlanListingWork,
)
from flipsync.services import listings
from flipsync.store.models import Listing
from flipsync.store.repositories import hand_edits as locks
from flipsync.store.repositories import listing_care as rows
from flipsync.store.repositories import reading_catalogue
from flipsync.store.unit_of_work import UnitOfWork

#: how long needs that are settled are kept
KEPT = timedelta(weeks=26)


async def plan_work(unit: UnitOfWork, command: PlanListingWork) -> None:
    """Say of each listing that it lacks something."""
    for listing, _, _, account in await rows.some(unit.session, command.listings):
        unit.emit(
            ListingLacking(listing_id=listing.id, account_id=account.id, vendor=cast(Vendor, account.vendor)),
            dedup_key=f"lacking:{listing.id}:{unit.cause.causation_id}",
        )


async def fit(unit: UnitOfWork, command: FitListing) -> None:
    """Keep the words for this channel; what was refused is listed again. Raises NotFound, Conflict."""
    listing = await _locked(unit, command.listing_id)
    wanted = "refused" if command.relist else "active"
    if listing.status != wanted:
        raise Conflict(f"the listing is {listing.status} by now")
    if listing.shown.get("told"):
        raise Conflict("somebody edited it on the channel meanwhile")
    if command.titles and "title" in listing.overrides:
        raise Conflict("its title was written on the channel by hand, and stands")
    if command.titles or command.specifics:
        titles = {**listing.fitted.get("titles", {}), **command.titles}
        specifics = {**listing.fitted.get("specifics", {}), **command.specifics}
        await rows.set_fitted(unit, listing.id, {"titles": titles, "specifics": specifics})
    if command.relist:
        await listings.relist(unit, listing.id)
    elif isinstance(command, OfferListingFix):
        unit.emit(ListingOutdated(listing_id=listing.id, account_id=command.account_id, vendor=command.vendor))


async def state_facts(unit: UnitOfWork, command: OfferProductFacts) -> None:
    """Write what the owner confirmed. Raises NotFound, Conflict where the product has it by now."""
    row = await reading_catalogue.product(unit.session, command.product_id)
    if row is None:
        raise NotFound(f"no product {command.product_id}")
    wanted = {"brand": command.brand, "category": command.category}
    facts = {name: value for name, value in wanted.items() if value and not getattr(row, name)}
    if not facts:
        raise Conflict("the product says it by now")
    edits = importlib.import_module("flipsync.services.product_edits")  # brings an HTML parser
    await edits.edit_product(unit, command.product_id, edits.ProductEdit(**facts), row.version)


async def note(unit: UnitOfWork, command: NoteListingNeeds) -> None:
    """Keep what only a person can put right. Raises NotFound."""
    await _locked(unit, command.listing_id)
    await rows.settle_needs(unit, command.listing_id, [*command.over, *(need.check for need in command.needs)])
    for need in command.needs:
        await rows.add_need(unit, command.listing_id, **need.model_dump())


async def unfit(unit: UnitOfWork, command: FitListing, *, dry_run: bool) -> None:
    """`fit` taken back: the listing says its product's own words again. Raises NotFound, Conflict when it does not say
    what was fitted any more. With `dry_run` only looked at."""
    listing = await _locked(unit, command.listing_id)
    titles, specifics = dict(listing.fitted.get("titles", {})), dict(listing.fitted.get("specifics", {}))
    mine = [(titles, command.titles), (specifics, command.specifics)]
    if not any(given for _, given in mine):
        raise Conflict("it gave the listing no words of its own: only what the product says")
    changed = any(kept.get(name) != value for kept, given in mine for name, value in given.items())
    if changed or listing.status != "active":
        raise Conflict("the listing is not on sale, or bears other words by now")
    if dry_run:
        return
    for kept, given in mine:
        for name in given:
            del kept[name]
    await rows.set_fitted(unit, listing.id, {"titles": titles, "specifics": specifics})
    vendor = cast(Vendor, await locks.vendor_of(unit.session, listing.account_id))
    unit.emit(ListingOutdated(listing_id=listing.id, account_id=listing.account_id, vendor=vendor))


async def _locked(unit: UnitOfWork, listing_id: UUID) -> Listing:
    listing = await locks.lock(unit.session, listing_id)
    if listing is None:
        raise NotFound(f"no listing {listing_id}")
    return listing


async def forget_old(unit: UnitOfWork) -> None:
    await rows.forget_needs(unit.session, unit.now - KEPT)
