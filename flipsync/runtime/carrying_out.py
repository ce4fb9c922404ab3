"""Which handler carries out which command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from flipsync.domain import commands as c
from flipsync.domain.advertising import PullAds, SetAdRate
from flipsync.domain.called_off import TellBuyer
from flipsync.domain.channel import ListingState
from flipsync.domain.errors import ChannelError, Rejected, UnreadOrders
from flipsync.domain.payouts import PullPayouts
from flipsync.domain.sourcing import LookUpGoods
from flipsync.runtime import (
    ad_work,
    buyer_writes,
    catalogue_reads,
    channel_reads,
    channel_writes,
    knowing,
    label_writes,
    money_writes,
    payout_reads,
    quantity_writes,
    reconciling,
)
from flipsync.runtime.channel_check import speed_of
from flipsync.runtime.channel_writes import Done, Job
from flipsync.services import accounts, warehouses

_WRITES: dict[type[c.Command], Callable[[Job, Any], Awaitable[Done]]] = {
    c.PublishListing: channel_writes.publish,
    c.ReviseListing: channel_writes.revise,
    c.ChangePrice: channel_writes.change_price,
    c.SetChannelQuantity: quantity_writes.set_quantity,
    c.EndListing: channel_writes.end,
    c.ConfirmShipment: channel_writes.confirm_shipment,
    c.IssueRefund: money_writes.issue_refund,
    TellBuyer: buyer_writes.tell_buyer,
    c.BuyLabel: label_writes.buy_label,
    c.CancelLabel: label_writes.cancel_label,
    c.EnsureWebhooks: channel_writes.ensure_webhooks,
    SetAdRate: ad_work.set_ad_rate,
}


async def _pull_orders(job: Job) -> str:
    """What can be read is booked then: nobody waits for the rest by this."""
    try:
        told = await _pull_all(job)
    except UnreadOrders as unread:
        told = unread.message
    settle = job.account.config.settle_seconds
    try:
        drifted = await channel_reads.verify_some(
            job.store, job.effect.tenant_id, job.ref, job.connector, job.cause, settle, await _lately_seen(job)
        )
    except ChannelError as error:  # all listings are looked at now and then
        return f"{told}; changes of listings could not be read: {error.message}"
    return f"{told}; {drifted} listings drifted" if drifted else told


async def _lately_seen(job: Job) -> dict[str, ListingState]:
    """Listings that the watch has walked since, and those the channel says were changed, where it can be asked."""
    states = job.check.take_walk()
    since = job.pulls.changes_since(job.store.clock.now(), speed_of(job.store))
    rows = None if since is None else job.connector.changed_listings(since)
    if rows is not None:
        states += [state async for state in rows]
    return {state.external_id: state for state in states}


async def _pull_all(job: Job) -> str:
    found = await job.pulls.fresh(job.cause)
    if job.connector.has_queue and job.pulls.list_is_due():
        # what the queue lost is still in the list
        found += await channel_reads.pull_orders(job.store, job.effect.tenant_id, job.ref, job.connector, job.cause)
    return f"{found} orders new or changed"


async def _pull_rivals(job: Job) -> str:
    changed = await channel_reads.pull_rivals(job.store, job.effect.tenant_id, job.ref, job.connector, job.cause)
    return f"rivals of {changed} listings changed"


async def _verify_listings(job: Job) -> str:
    settle = job.account.config.settle_seconds
    drifted, unread = await channel_reads.verify_listings(
        job.store, job.effect.tenant_id, job.ref, job.connector, job.cause, settle
    )
    await knowing.keep(job.store, job.account, job.connector)
    return f"{drifted} listings drifted" + (f"; {unread}" if unread else "") + await _rating(job)


async def _rating(job: Job) -> str:
    """How the channel rates the account, noted; that it does not say so spoils nothing else that was read."""
    try:
        rating = await job.connector.rating()
    except ChannelError as error:
        return f"; its rating could not be read: {error.message}"
    if rating is None:
        return ""
    async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
        await accounts.note_rating(unit, job.account.id, rating)
    return f"; rated {rating.level}"


async def _survey_listings(job: Job) -> str:
    found = await channel_reads.survey_listings(job.store, job.effect.tenant_id, job.ref, job.connector, job.cause)
    await knowing.keep(job.store, job.account, job.connector)
    return found


async def _pull_refunds(job: Job) -> str:
    found = await channel_reads.pull_refunds(job.store, job.effect.tenant_id, job.ref, job.connector, job.cause)
    return f"{found} orders with new refunds"


async def _pull_warehouse(job: Job) -> str:
    await _pull_all(job)  # what the warehouse sold and nobody booked yet would look like a loss
    units = [each async for each in job.connector.warehouse()]
    async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
        changed = await warehouses.reconcile(unit, job.account.id, job.account.vendor, units)
    return f"{len(units)} SKUs in the channel's warehouses, {changed} of ours differed"


async def _check_channel(job: Job) -> str:
    return await job.check.run(job.cause)


_READS: dict[type[c.Command], Callable[[Job], Awaitable[str]]] = {
    c.PullOrders: _pull_orders,
    c.PullRivals: _pull_rivals,
    c.VerifyListings: _verify_listings,
    c.SurveyListings: _survey_listings,
    c.PullWarehouse: _pull_warehouse,
    c.PullRefunds: _pull_refunds,
    c.CheckChannel: _check_channel,
    PullAds: ad_work.pull_ads,
    PullPayouts: payout_reads.pull_payouts,
    LookUpGoods: catalogue_reads.look_up_goods,
    c.ReconcileRestored: reconciling.reconcile,
}

#: what agents may propose to the outside; the graph checks their declarations against it at boot
CARRIED_OUT = frozenset(_WRITES) | frozenset(_READS)


async def carry_out(job: Job, command: c.Command) -> Done:
    """Raises Rejected, Retryable or OutcomeUnknown."""
    if type(command) in _WRITES:
        return await _WRITES[type(command)](job, command)
    read = _READS.get(type(command))
    if read is None:
        raise Rejected(f"no handler carries out {command.type_name()}")
    return Done(await read(job))
