"""How ad rates reach a channel, and how what ads sold and cost comes back."""

from __future__ import annotations

from flipsync.domain.advertising import SetAdRate
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable
from flipsync.runtime.channel_writes import Done, Job, read_back
from flipsync.services.advertising import books
from flipsync.services.advertising.judging import beyond_limits
from flipsync.services.tenant_settings import profile
from flipsync.store.repositories import advertising as rows
from flipsync.store.repositories import effects as effect_rows
from flipsync.store.unit_of_work import UnitOfWork

#: tries, and seconds between them, until the channel shows units that have come
_PATIENCE, _LOOK_AGAIN = 3, 20.0


async def set_ad_rate(job: Job, command: SetAdRate) -> Done:
    """Setting a rate twice is harmless, setting it late is not. What has nothing to ship is not advertised: looked at
    here and on the channel, immediately before; who sells the last unit from here on says so (services.stock)."""
    async with job.store.reader(job.effect.tenant_id) as session:
        if await effect_rows.is_outrun(session, job.effect):
            raise Rejected("a newer rate takes its place")
        choices = (await profile(session, job.effect.tenant_id)).settings.advertising
    if beyond := beyond_limits(command, choices):
        raise Rejected(beyond, vendor_code=rows.LIMITS)
    if command.rate_bps:
        listing, external_id = await job.live_listing(command.listing_id)
        async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
            await rows.mark_goods(unit.session, [listing.id], surely=True)
        async with job.store.reader(job.effect.tenant_id) as session:
            goods = await rows.goods(session, listing.id)
        seen = await read_back(job, external_id)
        if goods is None or not goods.available or seen.status != "active":
            raise Rejected("nothing of it can be sold there now: it is not advertised", vendor_code=rows.NO_UNITS)
        if not seen.quantity:
            if job.effect.attempts < _PATIENCE:  # units came, and the channel is about to be told of them
                raise Retryable("the channel shows no units yet", after=_LOOK_AGAIN)
            raise Rejected("the channel shows no units of it: it is not advertised", vendor_code=rows.NO_UNITS)
        if seen.group_external_id is not None:
            raise Rejected("it is one choice of a listing, and the channel advertises that as a whole")
    else:
        listing = await job.listing(command.listing_id)
        if listing.external_id is None:
            raise Rejected("the channel never had the listing")
        external_id = listing.external_id
    shown = await job.connector.set_ad_rate(external_id, command.rate_bps)
    if shown != command.rate_bps:
        raise OutcomeUnknown(f"the channel shows {shown / 100:.1f} % instead of {command.rate_bps / 100:.1f} %")

    async def book(unit: UnitOfWork) -> None:
        await books.book_rate(unit, job.ref, command, job.effect.id)

    return Done(f"advertised at {command.rate_bps / 100:.1f} %" if command.rate_bps else "not advertised", book)


async def pull_ads(job: Job) -> str:
    """Rates as they are, and a month of what ads sold and cost."""
    if not job.connector.capabilities.ads:
        raise Rejected(f"{job.account.vendor} has no ads that are paid by the sale")
    begun = job.store.clock.now()
    shown = await job.connector.ads()
    sales = [each async for each in job.connector.ad_sales(books.first_day(begun), begun)]
    async with job.store.unit(job.effect.tenant_id, job.cause) as unit:
        return await books.record(unit, job.ref, shown, sales, begun)
