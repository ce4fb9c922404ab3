"""How what channels paid out comes into the books."""

from __future__ import annotations

from datetime import datetime

from flipsync.domain.errors import Rejected, Unreadable
from flipsync.domain.payouts import ChannelPayout
from flipsync.runtime.channel_writes import Job
from flipsync.services import payouts
from flipsync.store.repositories import payouts as rows


async def pull_payouts(job: Job) -> str:
    """Payouts begun lately or still under way, each with its lines in one transaction. One that cannot be read hinders
    no other, and is asked for again until it can. A channel that refuses to tell them (eBay wants signed calls in some
    countries) is none that refuses what selling needs: the account goes on."""
    if not job.connector.capabilities.payouts:
        raise Rejected(f"{job.account.vendor} does not tell what it pays out", vendor_code="unsupported")
    begun = job.store.clock.now()
    async with job.store.reader(job.effect.tenant_id) as session:
        since = await payouts.read_from(session, job.account.id, begun)
    try:
        news, unread = await _read(job, since)
    except Rejected as refused:
        return f"{job.account.vendor} does not tell what it paid out: {refused.message}"
    if unread:
        return f"{news} payouts new or changed; {unread}"
    async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
        await rows.mark_read(unit.session, job.account.id, since, begun)
    return f"{news} payouts new or changed"


async def _read(job: Job, since: datetime) -> tuple[int, str]:
    """How many were news, and why some could not be read ("": all were)."""
    store, tenant_id, account_id = job.store, job.effect.tenant_id, job.account.id
    told: list[ChannelPayout] = []
    unread = ""
    try:
        async for each in job.connector.payouts(since):
            told.append(each)
    except Unreadable as error:
        unread = error.message
    async with store.reader(tenant_id) as session:
        known = await rows.known(session, account_id, {each.external_id for each in told})
    news = 0
    for payout in told:
        lines = None
        if payout.external_id not in known:
            try:
                lines = [line async for line in job.connector.payout_lines(payout.external_id)]
            except Unreadable as error:
                unread = f"payout {payout.external_id}: {error.message}"
                continue
        async with store.unit(tenant_id, job.cause) as unit:
            news += await payouts.book(unit, job.ref, payout, lines)
    return news, unread
