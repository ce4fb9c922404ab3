"""Taking over listings that were on a channel before us: what is sure at once, what is likely when a person says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from flipsync.domain.channel import ListingState
from flipsync.domain.errors import Conflict, NotFound
from flipsync.domain.events import ListingPublished, ListingRecognised, ListingRequested, ListingsSurveyed
from flipsync.services import warehouses
from flipsync.services.adoption import Match, OwnGoods, Survey, survey
from flipsync.services.hand_edits import remember_written
from flipsync.services.offers import title_of
from flipsync.services.orders import AccountRef
from flipsync.store.repositories import accounts as account_rows
from flipsync.store.repositories import listings as rows
from flipsync.store.repositories import stock as ledger
from flipsync.store.unit_of_work import UnitOfWork


async def take_over(unit: UnitOfWork, account: AccountRef, seen: Sequence[ListingState]) -> Survey:
    """Match what an account shows with our goods, and put what was found in the books. Doing it again adds nothing.

    The channel's text and price stay as they are; quantities follow from the ledger like any listing's.
    """
    known = await rows.variants_by_external_id(unit.session, account.id)
    fresh = [state for state in seen if state.external_id not in known]
    listed = [state for state in seen if state.catalogue_id and state.external_id in known]
    pages = {state.catalogue_id or "": known[state.external_id] for state in listed}
    own = await _recognise(unit, account, warehouses.OWN, fresh, {})
    pages |= {match.listing.catalogue_id: match.variant_id for match in own.sure if match.listing.catalogue_id}
    pool = await warehouses.pool_of(unit, account.id, "channel")
    stored = await _recognise(unit, account, pool, fresh, pages)
    found = Survey(own.sure + stored.sure, own.doubtful + stored.doubtful, own.unknown + stored.unknown)
    adopted = [listing for match in found.sure if (listing := await _enter(unit, account, match, "active"))]
    for listing_id in adopted:
        unit.emit(ListingPublished(listing_id=listing_id, account_id=account.id, vendor=account.vendor))
    doubtful = 0
    for match in found.doubtful:
        listing = await _enter(unit, account, match, "recognised")
        if listing is None:
            continue
        doubtful += 1
        unit.emit(
            ListingRecognised(
                listing_id=listing,
                account_id=account.id,
                vendor=account.vendor,
                external_id=match.listing.external_id,
                confidence=match.confidence,
                why=match.why,
            )
        )
    await account_rows.mark_surveyed(unit.session, account.id, unit.now)
    unit.emit(
        ListingsSurveyed(
            account_id=account.id,
            vendor=account.vendor,
            adopted=len(adopted),
            doubtful=doubtful,
            unknown=len(found.unknown),
        )
    )
    return found


async def _recognise(
    unit: UnitOfWork, account: AccountRef, pool: str, fresh: Sequence[ListingState], pages: Mapping[str, UUID]
) -> Survey:
    """Our own stock and the channel's warehouses each have a listing of an article, with a SKU of its own."""
    supply = "seller" if pool == warehouses.OWN else "channel"
    states = [state for state in fresh if state.fulfilled_by == supply]
    if not states:
        return Survey((), (), ())
    goods = [
        OwnGoods(variant.id, variant.sku, title_of(variant, product), variant.barcode)
        for variant, product in await rows.goods_to_recognise(unit.session, account.id, own=pool == warehouses.OWN)
    ]
    return survey(goods, states, pages)


async def _enter(unit: UnitOfWork, account: AccountRef, match: Match, status: str) -> UUID | None:
    row = await account_rows.get_account(unit.session, account.id)
    if row is None:
        raise NotFound(f"no account {account.id}")
    listing_id = await rows.insert_found(
        unit,
        account_id=account.id,
        variant_id=match.variant_id,
        currency=row.config["currency"],
        seen=match.listing,
        status=status,
        pool=(pool := await warehouses.pool_of(unit, account.id, match.listing.fulfilled_by)),
    )
    if listing_id is not None:
        await remember_written(unit, listing_id, match.listing)
        if pool != warehouses.OWN:
            await ledger.ensure_item(unit, match.variant_id, mode="pooled", pool=pool)
            return listing_id  # the channel counts these units: nobody gives it a share
        item = await ledger.ensure_item(unit, match.variant_id, mode=row.stock_mode)
        await ledger.ensure_allocation(unit, listing_id, item.id)
    return listing_id


async def adopt(unit: UnitOfWork, listing_id: UUID, account: AccountRef) -> None:
    """A person says it is the same article. Raises NotFound, Conflict when the question is settled already."""
    listing = await rows.get(unit.session, listing_id)
    if listing is None:
        raise NotFound("the listing is not in our books any more")
    if listing.status != "recognised":
        raise Conflict(f"the listing is {listing.status} already")
    await rows.set_status(unit, listing_id, "active")
    unit.emit(ListingPublished(listing_id=listing_id, account_id=account.id, vendor=account.vendor))


async def list_apart(unit: UnitOfWork, listing_id: UUID, account: AccountRef) -> None:
    """A person says it is another article, or nobody answered: ours is to be listed beside it."""
    found = await rows.with_goods(unit.session, listing_id)
    if found is None or found[0].status != "recognised":
        return
    _, variant, product = found
    await rows.forget_channels(unit, listing_id, sku=variant.sku, title=title_of(variant, product))
    unit.emit(ListingRequested(account_id=account.id, vendor=account.vendor, product_id=product.id))
