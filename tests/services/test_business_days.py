"""Days, weeks and months are those of the owner's time zone: over clock changes, and after moving to another zone."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop import Shop, dollars, open_store

from flipsync.domain.channel import ChannelOrder, ChannelOrderLine
from flipsync.domain.clock import day_begins, local_day, time_zone
from flipsync.domain.errors import InvalidInput
from flipsync.services import analytics, customer_recount, orders, sales_facts, settings_changes
from flipsync.services.analytics import SellThroughFilter, SeriesFilter
from flipsync.services.dashboard import dashboard
from flipsync.services.orders import AccountRef
from flipsync.services.reading_page import PageRequest
from flipsync.services.sales_recount import recount
from flipsync.store.database import SessionReader

PAGE = PageRequest(limit=200)
WHOLE = {"from": date(2026, 1, 1), "to": date(2026, 12, 31)}
ZONES = ["UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kathmandu", "Pacific/Auckland", "America/Sao_Paulo"]


async def sell(shop: Shop, account: AccountRef, *moments: datetime, sku: str = "TEA") -> None:
    for placed in moments:
        line = ChannelOrderLine(
            external_id="l",
            listing_external_id=f"x-{sku}",
            sku=sku,
            title=sku,
            quantity=1,
            total=dollars(1_000),
            tax=dollars(0),
        )
        told = ChannelOrder(
            external_id=placed.isoformat(),
            number="1",
            status="paid",
            vendor_status="paid",
            holds_stock=True,
            placed_at=placed,
            modified_at=placed,
            currency="USD",
            lines=(line,),
            shipping=dollars(0),
            tax=dollars(0),
            total=dollars(1_000),
            buyer_id="ann",
        )
        async with shop.unit() as unit:
            await orders.ingest_order(unit, account, told)


async def move_to(shop: Shop, zone: str) -> None:
    async with shop.unit() as unit:
        await settings_changes.set_settings(unit, {"time_zone": zone})


async def count(shop: Shop) -> int:
    total = 0
    while (done := await sales_facts.run(shop.store, shop.tenant_id)).more:
        total += done.orders
    return total + done.orders


async def periods(shop: Shop, by: str) -> list[tuple[str, int | None]]:
    async with shop.store.reader(shop.tenant_id) as session:
        where = SeriesFilter.model_validate(WHOLE | {"by": by})
        told = await analytics.sales(session, PAGE, where, date(2026, 12, 31))
    return [(row.period.isoformat(), row.orders) for row in told.items]


async def differences(shop: Shop) -> list[Any]:
    async with shop.store.reader(shop.tenant_id) as session:
        return [*(await recount(session)).differences, *(await customer_recount.recount(session)).differences]


def at(month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


async def test_days_are_cut_where_they_begin_for_the_owner_also_when_clocks_change(shop: Shop) -> None:
    await move_to(shop, "Europe/Berlin")
    account = await shop.account("ebay")
    # clocks go forward on 29 March: that day has 23 hours, from 23:00 to 22:00 UTC; and back on 25 October
    await sell(shop, account, at(3, 28, 22, 59), at(3, 28, 23), at(3, 29, 21, 59), at(3, 29, 22))
    await sell(shop, account, at(10, 24, 21, 59), at(10, 24, 22), at(10, 25, 22, 59), at(10, 25, 23))
    await count(shop)
    assert await periods(shop, "day") == [
        ("2026-10-26", 1),
        ("2026-10-25", 2),
        ("2026-10-24", 1),
        ("2026-03-30", 1),
        ("2026-03-29", 2),
        ("2026-03-28", 1),
    ]
    assert await periods(shop, "week") == [("2026-10-26", 1), ("2026-10-19", 3), ("2026-03-30", 1), ("2026-03-23", 3)]
    assert await differences(shop) == []


async def test_another_zone_has_everything_counted_anew(shop: Shop) -> None:
    account = await shop.account("ebay")
    await sell(shop, account, at(3, 1, 2), at(3, 1, 20))
    await count(shop)
    assert await periods(shop, "month") == [("2026-03-01", 2)]
    await move_to(shop, "America/Los_Angeles")
    assert await count(shop) == 2
    assert await periods(shop, "month") == [("2026-03-01", 1), ("2026-02-01", 1)]
    cohorts = await shop.rows("SELECT cohort FROM cohort_month WHERE buyers > 0 ORDER BY month")
    assert [row.cohort for row in cohorts] == [date(2026, 2, 1), date(2026, 2, 1)]
    assert await differences(shop) == []
    await move_to(shop, "UTC")
    await count(shop)
    assert await periods(shop, "day") == [("2026-03-01", 2)]


async def test_today_shelf_ages_and_what_sold_follow_the_zone(shop: Shop) -> None:
    account, goods = await shop.account("ebay"), await shop.variant(units=5, cost=400)
    now = datetime.now(UTC)
    zone = "Pacific/Kiritimati" if now.hour >= 10 else "Pacific/Pago_Pago"  # where it is another day than in UTC
    await move_to(shop, zone)
    await sell(shop, account, now - timedelta(seconds=1), sku=goods.sku)
    await count(shop)
    today = now.astimezone(ZoneInfo(zone)).date()
    assert today != now.date()
    async with shop.store.reader(shop.tenant_id) as session:
        assert await analytics.today(session, now) == today
        told = await dashboard(SessionReader(session), now, questions=False, faults=False, agents=False)
        aged = await analytics.ageing(session, PAGE, None, today)
        where = SellThroughFilter.model_validate({"from": today, "to": today})
        (sold,) = (await analytics.sell_through(session, PAGE, where, today)).items
    (orders_today,) = [each.now.value for each in told.kpis if (each.name, each.window) == ("orders", "today")]
    assert (told.today, told.time_zone, orders_today) == (today, zone, 1)
    assert [row.oldest_days for row in aged.items] == [0] and (sold.at_start, sold.received, sold.sold) == (0, 5, 1)


@pytest.mark.parametrize(
    "zone", ["Mars/Olympus", "../../etc/passwd", "posix/UTC", "Berlin", "", "Europe/\0", "x/" * 40]
)
async def test_what_is_no_zone_is_refused(zone: str, shop: Shop) -> None:
    with pytest.raises(InvalidInput):
        await move_to(shop, zone)


@given(
    moment=st.integers(631_152_000, 3_786_912_000).map(lambda at: datetime.fromtimestamp(at, UTC)),
    zone=st.sampled_from([*ZONES, "Africa/Cairo", "America/Havana", "Pacific/Apia", "Asia/Beirut"]),
)
def test_a_moment_is_within_its_day(moment: datetime, zone: str) -> None:
    day = local_day(moment, time_zone(zone))
    assert day_begins(day, zone) <= moment < day_begins(day + timedelta(days=1), zone)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    moments=st.sets(st.integers(0, 8_000).map(lambda hours: at(1, 1, 0) + timedelta(hours=hours)), max_size=12),
    moves=st.lists(st.sampled_from(ZONES), min_size=1, max_size=3),
)
def test_whatever_zones_a_business_moved_through_the_days_are_those_of_the_books(
    moments: set[datetime], moves: list[str], database_urls: dict[str, str]
) -> None:
    async def run() -> None:
        store = open_store(database_urls["worker"], pool_size=1)
        try:
            shop = await Shop(store).found()
            account = await shop.account("ebay")
            await sell(shop, account, *moments)
            for zone in moves:
                async with shop.unit() as unit:
                    await sales_facts.count(unit, 3)  # cut off while it is counted anew
                await move_to(shop, zone)
            await count(shop)
            assert await differences(shop) == []
        finally:
            await store.aclose()

    asyncio.run(run())
