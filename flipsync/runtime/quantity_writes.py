"""How a quantity reaches a channel: what the ledger grants a listing, and never a unit that has been sold meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from uuid import UUID

from flipsync.connectors.base import MarketplaceConnector
from flipsync.domain import commands as c
from flipsync.domain.channel import ListingState
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected, Retryable
from flipsync.domain.events import QuantityDrifted
from flipsync.runtime import held_orders
from flipsync.runtime.channel_reads import SharedPull
from flipsync.runtime.channel_writes import Done, Job, read_back
from flipsync.services import stock
from flipsync.services.accounts import ConnectedAccount
from flipsync.store.repositories import stock as stock_rows
from flipsync.store.repositories.stock import PooledGrant
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork


async def set_quantity(job: Job, command: c.SetChannelQuantity) -> Done:
    """Bring the channel to what the ledger grants the listing at this moment (see services.stock)."""
    if (pooled := await job.pooled.of(command.listing_id)) is not None:
        await _show_pooled(job, command.listing_id, pooled)
        return Done(f"{pooled.units} on offer", shown=(command.listing_id, pooled.units))
    listing, external_id = await job.live_listing(command.listing_id)
    if listing.pool != "own":
        raise Rejected("the channel sells it from its own warehouse, whose units are not ours to set")
    async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
        state = await stock.entitlement(unit, listing.id)
    if state is None:
        raise Rejected("the listing has no stock in our books")
    if state.mode == "pooled":
        raise Retryable("the listing has just gone on sale, or its stock was just pooled", after=0.0)
    if job.connector.capabilities.conditional_stock:
        quantity = await _show_conditional(job, listing.id, external_id)
    else:
        quantity = await _show_fenced(job, listing.id, external_id)

    async def book(unit: UnitOfWork) -> None:
        await stock.shown(unit, listing.id)

    return Done(f"{quantity} on offer", book, shown=(listing.id, quantity))


#: real seconds between two reads of an account that only serve to see what a write is about to replace: in ordinary
#: trade every write has its own, and whoever sells many times a second does not pay a call more for each
_BETWEEN_READS = 0.5
_read_at: dict[UUID, float] = {}


def may_read_first(account_id: UUID) -> bool:
    """Whether the account can spare a call to see what is about to be replaced; counts as read then."""
    now = time.monotonic()
    if now - _read_at.get(account_id, float("-inf")) < _BETWEEN_READS:
        return False
    _read_at[account_id] = now
    return True


async def _show_pooled(job: Job, listing_id: UUID, grant: PooledGrant) -> None:
    """Written at once. What is replaced is known from the answer where the channel tells it, and read first where it
    does not, unless a last unit is waited for: whoever wrote it is told."""
    # an earlier try of ours would look like somebody's edit, and so would units before our first write
    would_know = grant.explained is not None and job.effect.attempts == 1 and not job.effect.uncertain
    before = None
    silent = not job.connector.capabilities.tells_replaced
    if would_know and silent and not job.effect.urgent and may_read_first(job.account.id):
        before = (await read_back(job, grant.external_id)).quantity
    key = f"{job.effect.key}:{job.effect.epoch}"
    answered = await job.connector.set_quantity(grant.external_id, grant.units, key)
    if answered.quantity != grant.units:
        seen = await read_back(job, grant.external_id)
        if seen.quantity is None or seen.quantity > grant.units:
            raise OutcomeUnknown(f"the channel shows {seen.quantity} units instead of {grant.units}")
    replaced = answered.shown_before if before is None else before
    if replaced is not None and would_know and overwrites(grant, replaced):
        await tell_overwritten(
            job.store, job.account, job.connector, job.pulls, job.cause, {listing_id: grant}, {listing_id: replaced}
        )


def overwrites(grant: PooledGrant, replaced: int) -> bool:
    """Whether there may have been units that somebody wrote on the channel: more than we know any reason for."""
    return grant.explained is not None and replaced > grant.explained and replaced != grant.units


async def tell_overwritten(
    store: Store,
    account: ConnectedAccount,
    connector: MarketplaceConnector,
    pulls: SharedPull,
    cause: Cause,
    grants: Mapping[UUID, PooledGrant],
    replaced: Mapping[UUID, int],
) -> None:
    """Tell of units that pooled writes have gone over and that are no cancellation's: these are waited for and booked
    first. The ledger stands; what cannot be asked now is told by the next look at the listings, if it is still so."""
    await asyncio.sleep(account.config.settle_seconds)
    try:
        await pulls.fresh(cause)
    except ChannelError:
        return
    async with store.unit(account.tenant_id, cause) as unit:
        now = await stock_rows.given_back(unit.session, list(replaced))
        for listing_id, seen in replaced.items():
            grant = grants[listing_id]
            if grant.explained is None or now.get(listing_id) != grant.given_back:
                continue
            connector.edited_elsewhere(grant.external_id, grant.explained, seen)
            unit.emit(
                QuantityDrifted(
                    listing_id=listing_id,
                    account_id=account.id,
                    vendor=account.vendor,
                    expected=grant.explained,
                    seen=seen,
                    overwritten=True,
                )
            )


async def _show_conditional(job: Job, listing_id: UUID, external_id: str) -> int:
    """Compare and set. Sales the channel has made but not yet told are waited for before anything is raised."""
    tenant = job.effect.tenant_id
    for turn in range(3):
        seen = await read_back(job, external_id)
        if seen.version is None:
            raise Retryable("the channel gave no stock version to write against", after=1.0)
        async with job.store.unit(tenant, job.cause) as unit:
            state = await stock.entitlement(unit, listing_id)
        assert state is not None
        first = state
        # an earlier try, or a sale, that is not in the books
        if unsettled := state.pending > 0 or job.effect.uncertain or seen.quantity != state.entitled:
            await asyncio.sleep(job.account.config.settle_seconds)
            await job.pulls.fresh(job.cause)
        async with job.store.unit(tenant, job.cause) as unit:
            state = await stock.entitlement(unit, listing_id)
            assert state is not None
            # a cancellation was booked since we looked, and what was sold from it before we read may not be
            overtaken = not unsettled and state.entitled != seen.quantity
            if not overtaken:
                wanted = state.target if state.target < state.entitled else await stock.grant(unit, listing_id)
        if overtaken:
            continue
        if seen.quantity != wanted:
            key = f"{job.effect.key}:{job.effect.epoch}:{turn}"
            try:
                await job.connector.set_quantity(external_id, wanted, key, seen.version)
            except Rejected as error:
                if error.vendor_code == "version":
                    continue  # a sale came between: look again
                raise
            after = await read_back(job, external_id)
            if after.version == seen.version:
                raise OutcomeUnknown("the channel took the quantity and did not change it")
            await _tell_edited(job, listing_id, seen, first, state, lists_orders=not job.connector.has_queue)
        elif unsettled and (await read_back(job, external_id)).version != seen.version:
            continue  # what a dead worker had sent has arrived since
        if (surplus := state.entitled - wanted) > 0:
            async with job.store.unit(tenant, job.cause) as unit:  # a sale or a return may have been booked meanwhile
                now = await stock.entitlement(unit, listing_id)
                assert now is not None
                await stock.let_go(unit, listing_id, max(0, now.entitled - surplus))
        return wanted
    raise Retryable("sales keep changing the stock; trying again", after=0.3)


async def _show_fenced(job: Job, listing_id: UUID, external_id: str) -> int:
    """For channels without a conditional write: off the shelf, wait for sales to be told, book them, back on.

    A plain write of "5" over a shelf that has just sold one puts the sold unit back on offer. At zero nothing can be
    sold, so nothing can be overwritten. It costs `settle_seconds` off sale, and only when shares have to move.
    """
    tenant, config = job.effect.tenant_id, job.account.config
    seen = await read_back(job, external_id)
    async with job.store.unit(tenant, job.cause) as unit:
        state = await stock.entitlement(unit, listing_id)
        assert state is not None
        if state.target == state.entitled == seen.quantity and not state.pending:
            return state.entitled
        # units granted earlier and not confirmed may have been shown and sold: only an entitlement of 0 is surely empty
        empty = seen.quantity == 0 and state.entitled == 0 and not job.effect.uncertain
        wanted = await stock.grant(unit, listing_id) if empty else 0
    key, given_back, first, shelf = f"{job.effect.key}:{job.effect.epoch}", state.given_back, state, seen
    if not empty:
        # nothing could be granted behind an order that cannot be read: the shelf stays as it is, and sells
        await held_orders.demand_none(job.store, tenant, job.account.id)
        if seen.quantity != 0 or job.effect.uncertain:
            await job.connector.set_quantity(external_id, 0, f"{key}:fence")
        await asyncio.sleep(config.settle_seconds)
        seen = await read_back(job, external_id)
        if seen.quantity is not None and seen.quantity > 0:
            raise Retryable(f"the channel still offers {seen.quantity}", after=0.2)
        await job.pulls.fresh(job.cause)
        async with job.store.unit(tenant, job.cause) as unit:
            state = await stock.entitlement(unit, listing_id)
            assert state is not None
            if state.given_back != given_back:
                # a cancellation filled the empty shelf again, and somebody may have bought from it: nothing is sure
                raise Retryable("the channel put units back on its shelf meanwhile", after=0.0)
            before_sharing = state
            if state.target < state.entitled:
                await stock.let_go(unit, listing_id, state.target)
                wanted = state.target
            else:
                wanted = await stock.grant(unit, listing_id)
        # fewer may be an empty shelf that an earlier effect has left behind
        await _tell_edited(job, listing_id, shelf, first, before_sharing, lists_orders=False)
    if wanted:
        answered = await job.connector.set_quantity(external_id, wanted, f"{key}:show")
        if answered.quantity == wanted:
            answered = await read_back(job, external_id)
        if answered.quantity != wanted and not await _sold_down_to(job, listing_id, answered):
            raise OutcomeUnknown(f"the channel shows {answered.quantity} instead of {wanted}")
    return wanted


async def _tell_edited(
    job: Job,
    listing_id: UUID,
    seen: ListingState,
    before: stock.Entitlement,
    after: stock.Entitlement,
    *,
    lists_orders: bool,
) -> None:
    """Tell whoever changed `seen` units on the channel that the ledger's are written over them. `before` and `after`
    are what the ledger knew when the shelf was read, and once orders were told."""
    again = job.effect.uncertain or job.effect.attempts > 1  # an earlier try of ours would look like somebody's edit
    if again or seen.quantity is None or not stock.is_edit(seen.quantity, before, after, lists_orders=lists_orders):
        return
    job.connector.edited_elsewhere(seen.external_id, before.entitled, seen.quantity)
    async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
        unit.emit(
            QuantityDrifted(
                listing_id=listing_id,
                account_id=job.account.id,
                vendor=job.account.vendor,
                expected=before.entitled,
                seen=seen.quantity,
                overwritten=True,
            )
        )


async def _sold_down_to(job: Job, listing_id: UUID, seen: ListingState) -> bool:
    """Whether sales since the write explain what the channel shows."""
    await asyncio.sleep(job.account.config.settle_seconds)
    await job.pulls.fresh(job.cause)
    again = await read_back(job, seen.external_id)
    async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
        state = await stock.entitlement(unit, listing_id)
    return state is not None and again.quantity == state.entitled
