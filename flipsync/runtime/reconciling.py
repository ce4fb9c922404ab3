"""After a restore: the books learn what an account sold, shipped and shows since, before they grant it anything.

While the mark stands, webhooks are asked to come again, other work of the account waits, and no quantity of the tenant
is written (see EffectWorker). The ledger entitles nobody to anything then. A listing is entitled to what its channel
shows, once it stood still while every sale before it was told; what shows more than there is, or never stands still,
is taken off the shelf. So no unit is on offer twice, whatever happened after the backup.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

from flipsync.domain.channel import ListingState, Vendor
from flipsync.domain.errors import Rejected, Retryable
from flipsync.domain.events import QuantityDrifted
from flipsync.runtime import channel_reads
from flipsync.runtime.channel_writes import Job
from flipsync.services import adopting, hand_edits, orders, stock, warehouses
from flipsync.store.models import Listing
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import reconciling as restored_rows
from flipsync.store.unit_of_work import UnitOfWork

_ROUNDS = 3
#: how soon an account that refuses us is tried again: everything waits for it
_REFUSED_SECONDS = 60.0


async def reconcile(job: Job) -> str:
    """Says what was found. Raises Retryable while the channel cannot be read; doing it again is harmless."""
    try:
        return await _reconcile(job)
    except Rejected as error:
        raise Retryable(error.message, hint=error.hint, after=_REFUSED_SECONDS) from error


async def _reconcile(job: Job) -> str:
    adopted = await _take_in(job)
    changed = await _pull(job)
    async with job.store.reader(job.effect.tenant_id) as session:
        rows = await listing_rows.active_of_account(session, job.account.id)
    moving = {row.external_id: row for row in rows if row.pool == warehouses.OWN and row.external_id is not None}
    fence: dict[str, Listing] = {}
    for _ in range(_ROUNDS):
        if not moving:
            break
        before = await _shelves(job, moving)
        await asyncio.sleep(job.account.config.settle_seconds)
        changed += await _pull(job)
        after = await _shelves(job, moving)
        for external_id, row in list(moving.items()):
            seen = after.get(external_id)
            if seen is None or seen.status == "ended":
                del moving[external_id]  # it sells nothing; the next comparison says so
            elif seen.quantity is not None and _shelf(before.get(external_id)) == _shelf(seen):
                del moving[external_id]
                if not await _entitle(job, row, seen):
                    fence[external_id] = row
    fence |= moving
    await _take_off(job, fence)
    async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
        await restored_rows.hold(unit)
        left = await orders.book_shipped(unit, job.ref)
        if await restored_rows.mark_reconciled(unit.session, job.account.id, unit.now):
            await _look_again(unit)
    return (
        f"{changed} orders new or changed, {left} had left the house, {adopted} listings found, "
        f"{len(fence)} taken off the shelf for a look"
    )


async def _take_in(job: Job) -> int:
    """Listings that were made after the backup are put in the books: orders name them."""
    seen = [state async for state in job.connector.listings()]
    async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
        waiting = await restored_rows.unpublished_by_sku(unit.session, job.account.id)
        known = await listing_rows.variants_by_external_id(unit.session, job.account.id)
        found = 0
        for state in seen:
            row = waiting.pop(state.sku, None) if state.external_id not in known else None
            if row is None or state.status != "active" or state.price is None:
                continue
            await listing_rows.activate(
                unit,
                row,
                external_id=state.external_id,
                price_minor=state.price.amount_minor,
                quantity=state.quantity,
            )
            await hand_edits.remember_written(unit, row, state)
            found += 1
        return found + len((await adopting.take_over(unit, job.ref, seen)).sure)


async def _pull(job: Job) -> int:
    """From the list: what a queue told since the backup was taken out of it then."""
    return await channel_reads.pull_orders(job.store, job.effect.tenant_id, job.ref, job.connector, job.cause)


async def _shelves(job: Job, wanted: Mapping[str, Listing]) -> dict[str, ListingState]:
    seen = {state.external_id: state async for state in job.connector.listings() if state.external_id in wanted}
    for external_id in wanted:
        state = seen.get(external_id)
        if (state is None or state.quantity is None) and (again := await job.connector.read_listing(external_id)):
            seen[external_id] = again
    return seen


def _shelf(state: ListingState | None) -> tuple[int | None, str | None] | None:
    return None if state is None else (state.quantity, state.version)


async def _entitle(job: Job, row: Listing, seen: ListingState) -> bool:
    """The ledger follows the shelf, as far as there are units for it; False when it shows more than that."""
    assert seen.quantity is not None
    async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
        if seen.price is not None and seen.price.amount_minor != row.price_minor:
            await listing_rows.set_price_seen(unit, row.id, seen.price.amount_minor)
        await listing_rows.set_quantity_shown(unit, row.id, seen.quantity)
        await hand_edits.remember_written(unit, row.id, seen)
        return await stock.entitle_to_shown(unit, row.id, seen.quantity)


async def _take_off(job: Job, fence: Mapping[str, Listing]) -> None:
    """To nothing, and every sale before that booked: then the ledger's zero is the truth."""
    if not fence:
        return
    for external_id in fence:
        await job.connector.set_quantity(external_id, 0, f"{job.effect.key}:{job.effect.epoch}:{external_id}")
    await asyncio.sleep(job.account.config.settle_seconds)
    for external_id, row in fence.items():
        seen = await job.connector.read_listing(external_id)
        if seen is not None and seen.quantity:
            raise Retryable(f"the channel still offers {seen.quantity} of {row.sku}", after=0.5)
    await _pull(job)
    async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
        for row in fence.values():
            await listing_rows.set_quantity_shown(unit, row.id, 0)
            await stock.entitle_to_shown(unit, row.id, 0)


async def _look_again(unit: UnitOfWork) -> None:
    """Once the tenant's last account is even, each listing that does not show what it should is brought there."""
    if await restored_rows.awaits_reconciling(unit.session):
        return
    for each in await restored_rows.away_from_target(unit.session):
        unit.emit(
            QuantityDrifted(
                listing_id=each.listing_id,
                account_id=each.account_id,
                vendor=cast(Vendor, each.vendor),
                expected=each.target,
                seen=each.shown,
            )
        )
