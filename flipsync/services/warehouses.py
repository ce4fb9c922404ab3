"""Goods in a channel's own warehouses (Amazon FBA): a pool apart from our shelf, counted by the channel and not by us.

Nobody is given a share of such a pool and no quantity of it is ever written. Orders that the channel fulfils take
from it; what the channel reports is right, and where our books differ they follow and say so. What comes to be on sale
there beyond what the books had is what we sent (services.transfers), as far as anything is under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from flipsync.domain.channel import Vendor, WarehouseUnits
from flipsync.domain.events import WarehouseReconciled
from flipsync.domain.ids import new_id
from flipsync.services import stock
from flipsync.store.models import Listing, OrderLine
from flipsync.store.repositories import stock as ledger
from flipsync.store.repositories import transfers as transfer_rows
from flipsync.store.repositories import warehouses as rows
from flipsync.store.unit_of_work import UnitOfWork

OWN = "own"
_FIRST = "fba"


async def pool_of(unit: UnitOfWork, account_id: UUID, fulfilled_by: Literal["seller", "channel"]) -> str:
    """Our shelf, or the pool of the account's warehouses: "fba", of a second account of the vendor's with its id."""
    if fulfilled_by == "seller":
        return OWN
    return _FIRST if await rows.is_first(unit.session, account_id) else f"{_FIRST}:{account_id}"


async def reconcile(unit: UnitOfWork, account_id: UUID, vendor: Vendor, reported: Sequence[WarehouseUnits]) -> int:
    """Bring the pool in line with what the channel reports; returns how many articles differed.

    Several SKUs of one article are one stock. SKUs that are in none of our listings are somebody else's business.
    """
    pool = await pool_of(unit, account_id, "channel")
    variants = await rows.variants_by_sku(unit.session, account_id, [each.sku for each in reported])
    available = dict.fromkeys(await rows.variants_in_pool(unit.session, pool), 0)
    inbound = dict.fromkeys(available, 0)
    for each in reported:
        if (variant_id := variants.get(each.sku)) is not None:
            available[variant_id] = available.get(variant_id, 0) + each.available
            inbound[variant_id] = inbound.get(variant_id, 0) + each.inbound
    changed = 0
    for variant_id in sorted(available):
        item = await ledger.ensure_item(unit, variant_id, mode="pooled", pool=pool)
        expected, seen = item.on_hand - item.reserved, available[variant_id]
        if seen == expected:
            continue
        changed += 1
        note = f"{vendor} reports {seen} units to sell, our books had {expected}"
        await stock.count(unit, item.id, item.reserved + seen, key=f"reported:{new_id()}", note=note)
        if seen > expected:
            await _arrived(unit, item.id, seen - expected, inbound=inbound[variant_id])
        unit.emit(
            WarehouseReconciled(
                account_id=account_id,
                vendor=vendor,
                stock_item_id=item.id,
                variant_id=variant_id,
                expected=expected,
                reported=seen,
                inbound=inbound[variant_id],
            )
        )
    return changed


async def cover(unit: UnitOfWork, pool: str, lines: Sequence[OrderLine]) -> None:
    """The channel sold these out of its warehouse, so they are there, whether it has reported them yet or not."""
    wanted: dict[UUID, int] = {}
    variants = await rows.variants_of_listings(unit.session, [line.listing_id for line in lines if line.listing_id])
    for line in lines:
        if line.listing_id in variants:
            variant_id = variants[line.listing_id]
            wanted[variant_id] = wanted.get(variant_id, 0) + line.quantity - line.reserved - line.shipped
    for variant_id in sorted(wanted):
        item = await ledger.ensure_item(unit, variant_id, mode="pooled", pool=pool)
        if (lacking := wanted[variant_id] - (item.on_hand - item.reserved)) > 0:
            note = f"{lacking} sold before the channel reported them"
            await stock.count(unit, item.id, item.on_hand + lacking, key=f"sold:{new_id()}", note=note)
            await _arrived(unit, item.id, lacking, inbound=0)


async def _arrived(unit: UnitOfWork, stock_item_id: UUID, units: int, *, inbound: int) -> None:
    """So many more are on sale there: of what we sent, they came, the oldest first.

    `inbound` is what the channel itself says is still on its way. These have not come, so that what a buyer sent back
    to the warehouse closes nothing of ours. Where it says more than we sent (a shipment that our books do not know of),
    ours closes with the last units instead of the first: late, never early.
    """
    waiting = await transfer_rows.under_way_to(unit.session, stock_item_id)
    out = sum(each.sent - each.received for each in waiting)
    left = min(units, max(0, out - inbound))
    for each in waiting:
        if not left:
            return
        came = min(left, each.sent - each.received)
        each.received += came
        each.version += 1
        left -= came
        if each.received == each.sent:
            each.state, each.received_at = "received", unit.now
            unit.audit("transfer.received", "stock_transfer", each.id, number=each.number, units=each.received)
        await unit.session.flush()


async def follow_supply(
    unit: UnitOfWork, listing: Listing, fulfilled_by: Literal["seller", "channel"], *, stock_mode: str
) -> bool:
    """The seller moved a listing between our shelf and the channel's warehouse: so do the books. False when they had
    it there, or the article has a listing of our own stock besides.

    Units it held of our shelf are free again; one that comes back gets its share like a new listing.
    """
    pool = await pool_of(unit, listing.account_id, fulfilled_by)
    if pool == listing.pool:
        return False
    if pool != OWN:
        if await ledger.item_of_listing(unit.session, listing.id) is not None:
            await stock.let_go(unit, listing.id, 0)
        await ledger.ensure_item(unit, listing.variant_id, mode="pooled", pool=pool)
        return await rows.move(unit, listing.id, pool)
    if not await rows.move(unit, listing.id, pool):
        return False
    item = await ledger.ensure_item(unit, listing.variant_id, mode=stock_mode)
    await ledger.ensure_allocation(unit, listing.id, item.id)
    return True
