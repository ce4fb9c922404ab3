"""What is kept of ads: rates as channels confirm and show them, and days with what ads sold and cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from flipsync.domain.advertising import AdRateSet, AdSale, AdShown, AdsRead, AdvertisedStockTurned, SetAdRate
from flipsync.services.orders import AccountRef
from flipsync.store.repositories import advertising as rows
from flipsync.store.unit_of_work import UnitOfWork

#: days that are read again each time: a charge may be booked, or given back, long after the sale
AGAIN = timedelta(days=30)
#: how long days are kept
KEPT = timedelta(days=400)


def first_day(now: datetime) -> datetime:
    """Where a look at what ads sold begins: the beginning of a day, in UTC."""
    return datetime.combine((now - AGAIN).astimezone(UTC).date(), datetime.min.time(), UTC)


async def record(
    unit: UnitOfWork, account: AccountRef, shown: Sequence[AdShown], sales: Sequence[AdSale], begun: datetime
) -> str:
    """Bring the books in line with a look that began at `begun`; returns what was seen, in words. Safe to repeat."""
    names = {each.external_id for each in shown} | {
        each.listing_external_id for each in sales if each.listing_external_id
    }
    known = await rows.named(unit.session, account.id, {each for each in names if each is not None})
    ads = {known[each.external_id]: (each.campaign_id, each.rate_bps) for each in shown if each.external_id in known}
    await rows.record_shown(unit, account.id, ads, begun)
    first = first_day(unit.now)
    days: defaultdict[tuple[UUID, date, str], tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    lost = 0
    for each in sales:
        listing_id = known.get(each.listing_external_id or "")
        if listing_id is None:
            lost += 1
        elif each.sold_at >= first:
            key = (listing_id, each.sold_at.astimezone(UTC).date(), each.fee.currency)
            units, brought, fees = days[key]
            days[key] = (units + each.units, brought + each.sales.amount_minor, fees + each.fee.amount_minor)
    await rows.record_days(unit, account.id, first, days)
    await rows.mark_goods(unit.session, await rows.listings_of_account(unit.session, account.id))
    unit.emit(AdsRead(account_id=account.id, vendor=account.vendor, advertised=len(ads)))
    told = f"{len(ads)} listings advertised, {len(sales) - lost} sales by ads in {AGAIN.days} days"
    return f"{told}, {lost} charges of no listing of ours" if lost else told


async def book_rate(unit: UnitOfWork, account: AccountRef, command: SetAdRate, effect_id: UUID) -> None:
    """The channel shows the rate. Whose units ran out meanwhile is told of again: nothing else would stop the ad."""
    await rows.book_rate(unit, command.listing_id, account.id, command.rate_bps, command.resume_bps, effect_id)
    await rows.mark_goods(unit.session, [command.listing_id])
    unit.emit(
        AdRateSet(
            listing_id=command.listing_id, account_id=account.id, vendor=account.vendor, rate_bps=command.rate_bps
        )
    )
    goods = await rows.goods(unit.session, command.listing_id)
    if goods is None:
        return
    back = command.resume_bps > 0 and goods.available > 0 and goods.entitled > 0
    if (command.rate_bps and not goods.available) or back:
        unit.emit(AdvertisedStockTurned(stock_item_id=goods.stock_item_id, available=goods.available))


async def forget_old(unit: UnitOfWork) -> None:
    await rows.forget_before(unit.session, (unit.now - KEPT).date())
