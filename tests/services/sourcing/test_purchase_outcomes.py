"""What came of advice: goods that came in afterwards and were sold, beside what was told of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from shop import Shop, dollars, open_store
from sqlalchemy import insert, update

from flipsync.domain.clock import ManualClock
from flipsync.domain.sourcing import RecordSourcingVerdict
from flipsync.services import landed
from flipsync.services.graders import GRADERS
from flipsync.services.orders import AccountRef
from flipsync.services.sourcing import reading, scans
from flipsync.services.tenant_settings import TenantSettings
from flipsync.store.models import SkuDay, Tenant
from flipsync.store.models.sales import FIGURES
from flipsync.store.repositories import sourcing as rows
from flipsync.store.repositories import sourcing_facts as facts

CODE = "4006381333931"


@pytest.fixture
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Shop]:
    store = open_store(database_urls["worker"], clock=ManualClock(datetime(2026, 3, 2, 12, tzinfo=UTC)))
    yield await Shop(store).found()
    await store.aclose()


async def advised(shop: Shop) -> RecordSourcingVerdict:
    """Advice to buy what is not ours yet at 10.00, and that a unit earns 2.00 to 8.00."""
    async with shop.unit() as unit:
        scan = await scans.ask(unit, [scans.read_question(CODE, cost=dollars(1000))])
        line = await rows.line_of(unit.session, scan.id)
        assert line is not None
        advice = RecordSourcingVerdict(
            line_id=line.id,
            verdict="buy",
            why="cheap",
            currency="USD",
            most_minor=1400,
            low_minor=200,
            likely_minor=500,
            high_minor=800,
            chance=0.7,
        )
        await scans.settle(unit, advice)
    return advice


async def sold(shop: Shop, account: AccountRef, sku: str, units: int, goods: int, fees: int) -> None:
    none = dict.fromkeys(set(FIGURES), 0)
    async with shop.unit() as unit:
        day = {"tenant_id": shop.tenant_id, "account_id": account.id, "currency": "USD", "day": unit.now.date()}
        figures = none | {"orders": units, "units": units, "goods": goods, "fees": fees}
        await unit.session.execute(insert(SkuDay), [day | figures | {"sku": sku}])


async def test_goods_bought_on_advice_are_judged_by_what_they_earned(shop: Shop) -> None:
    clock = shop.store.clock
    assert isinstance(clock, ManualClock)
    advice = await advised(shop)
    clock.advance(timedelta(days=3))
    account, goods = await shop.account(), await shop.variant(units=0, barcode=CODE, cost=None)
    await shop.listing(account, goods)
    async with shop.unit() as unit:
        await landed.receive(unit, goods.variant_id, 5, dollars(6000), key="delivery", mode="escrow")
    assert await reading.reliability(shop.store, shop.tenant_id) == reading.ReliabilityView(
        told=0.8, outcomes=0, inside=0, below=0, above=0, chance_asked=0.65
    )
    clock.advance(timedelta(days=5))
    await sold(shop, account, goods.sku, units=4, goods=8800, fees=1200)
    clock.advance(timedelta(days=2))
    async with shop.store.reader(shop.tenant_id) as session:
        (came,) = await facts.outcomes(session, clock.now())
        assert await facts.outcomes(session, clock.now(), [advice.line_id]) == [came]
    assert (came.line_id, came.bought_units, came.landed_minor, came.sold_units) == (advice.line_id, 5, 6000, 4)
    # (88.00 - 12.00) / 4 less a parcel of 4.50 and the 10.00 the advice was for, not the 12.00 that was paid
    assert came.earned(450) == pytest.approx(1900 - 450 - 1000)
    told = await reading.reliability(shop.store, shop.tenant_id)
    assert (told.outcomes, told.inside) == (1, 1)


@pytest.mark.parametrize(("zone", "counts"), [("UTC", 1), ("Pacific/Auckland", 0)])
async def test_what_was_sold_the_day_before_it_came_counts_for_other_goods(shop: Shop, zone: str, counts: int) -> None:
    clock = shop.store.clock
    assert isinstance(clock, ManualClock)
    await advised(shop)
    async with shop.unit() as unit:
        settings = TenantSettings(time_zone=zone).model_dump(mode="json")
        await unit.session.execute(update(Tenant).where(Tenant.id == shop.tenant_id).values(settings=settings))
    clock.advance(timedelta(days=3))
    account, goods = await shop.account(), await shop.variant(units=0, barcode=CODE, cost=None)
    await shop.listing(account, goods)
    async with shop.unit() as unit:
        await landed.receive(unit, goods.variant_id, 5, dollars(6000), key="delivery", mode="escrow")
    await sold(shop, account, goods.sku, units=4, goods=8800, fees=1200)  # on this day in UTC, yesterday in Auckland
    clock.advance(timedelta(days=2))
    async with shop.store.reader(shop.tenant_id) as session:
        assert len(await facts.outcomes(session, clock.now())) == counts


async def test_nothing_of_another_business_counts(shop: Shop) -> None:
    await test_goods_bought_on_advice_are_judged_by_what_they_earned(shop)
    stranger = await Shop(shop.store).found()
    assert (await reading.reliability(shop.store, stranger.tenant_id)).outcomes == 0


@pytest.mark.parametrize(("facts_", "outcome"), [((450, 0), 1), ((450, 451), 0), ((-1, 0), 0)])
def test_the_grade_is_whether_what_was_asked_was_earned(facts_: tuple[int, int], outcome: int) -> None:
    class Row:
        payload = {"verdict": "buy"}  # noqa: RUF012
        subject_id = None

    earned, asked = facts_
    grade = GRADERS["advice"].outcome(Row(), (dollars(earned), asked))  # type: ignore[arg-type]
    assert (grade.outcome, grade.money) == (outcome, dollars(earned))
    Row.payload = {"verdict": "pass"}
    assert GRADERS["advice"].outcome(Row(), None).outcome is None  # type: ignore[arg-type]
