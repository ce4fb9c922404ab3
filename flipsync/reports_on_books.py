"""What `flipsync report`, `flipsync reports` and `flipsync payouts` do with the books: count what is not
counted yet, build a report, have one made by itself, and tell what was paid out."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from flipsync.commands_on_books import in_books
from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.services import analytics, customer_recount, report_schedules, reports, sales_facts, sales_recount
from flipsync.services import payouts as payments
from flipsync.services.analytics import span_of
from flipsync.services.consents import owner
from flipsync.services.payouts import (
    DifferenceFilter,
    DifferenceView,
    PayoutDetail,
    PayoutFilter,
    PayoutLineView,
    PayoutView,
)
from flipsync.services.reading_page import MAX_LIMIT, PageRequest, SortedRequest
from flipsync.services.report_schedules import ScheduleForm, ScheduleView
from flipsync.services.reports import Kind, Report
from flipsync.store.repositories import identity
from flipsync.store.unit_of_work import Store


def report(home: Path, kind: Kind, first: date | None, last: date | None, tenant: str | None) -> Report:
    """Raises InvalidInput."""

    async def work(store: Store, tenant_id: UUID) -> Report:
        await _count(store, tenant_id)
        async with store.reader(tenant_id) as session:
            where = span_of(first, last)
            return await reports.build(session, kind, where, await analytics.today(session, store.clock.now()))

    return in_books(home, {}, tenant, work)


def check(home: Path, first: date | None, last: date | None, tenant: str | None) -> tuple[int, int]:
    """How many days and SKUs there are between two days, customers and cohorts ever, and how many differ from the slow
    recount of the books."""

    async def work(store: Store, tenant_id: UUID) -> tuple[int, int]:
        async with store.reader(tenant_id) as session:
            today = await analytics.today(session, store.clock.now())
        found = await sales_recount.check(store, tenant_id, *span_of(first, last).days(today))
        customers = await customer_recount.check(store, tenant_id)
        return len(found.books) + customers.compared, len(found.differences) + len(customers.differences)

    return in_books(home, {}, tenant, work)


def schedule(home: Path, wish: dict[str, Any], email: str | None, tenant: str | None) -> ScheduleView:
    """For a user of that mail address, or an owner. Raises InvalidInput, NotFound, Conflict."""
    try:
        form = ScheduleForm.model_validate(wish)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"{first['loc'][0]} {first['input']!r}: {first['msg']}") from None

    async def work(store: Store, tenant_id: UUID) -> ScheduleView:
        async with store.unit(tenant_id) as unit:
            if email is None:
                return await report_schedules.schedule(unit, await owner(unit.session), form)
            found = await identity.sign_in_candidate(unit.session, email)
            if found is None or found.tenant_id != tenant_id:
                raise NotFound(f"no user {email}")
            return await report_schedules.schedule(unit, found.id, form)

    return in_books(home, {}, tenant, work)


def schedules(home: Path, tenant: str | None) -> tuple[list[ScheduleView], dict[UUID, dict[str, Any]]]:
    """The newest 200 of everybody, and of each the newest of the last 200 reports."""

    async def work(store: Store, tenant_id: UUID) -> tuple[list[ScheduleView], dict[UUID, dict[str, Any]]]:
        page = PageRequest(limit=MAX_LIMIT)
        async with store.reader(tenant_id) as session:
            found = await report_schedules.list_schedules(session, None, page)
            runs = await report_schedules.list_runs(session, None, page)
        return found.items, {each.schedule_id: each.model_dump(mode="json") for each in reversed(runs.items)}

    return in_books(home, {}, tenant, work)


def end(home: Path, schedule_id: UUID, tenant: str | None) -> ScheduleView:
    """Raises NotFound."""

    async def work(store: Store, tenant_id: UUID) -> ScheduleView:
        async with store.unit(tenant_id) as unit:
            return await report_schedules.end(unit, None, schedule_id)

    return in_books(home, {}, tenant, work)


async def _count(store: Store, tenant_id: UUID) -> None:
    while (await sales_facts.run(store, tenant_id)).more:
        pass


def payouts(home: Path, most: int, tenant: str | None) -> list[PayoutView]:
    """The latest first."""

    async def work(store: Store, tenant_id: UUID) -> list[PayoutView]:
        async with store.reader(tenant_id) as session:
            return (await payments.list_payouts(session, SortedRequest(limit=most), PayoutFilter())).items

    return in_books(home, {}, tenant, work)


def payout(home: Path, payout_id: UUID, most: int, tenant: str | None) -> tuple[PayoutDetail, list[PayoutLineView]]:
    """One payout, and its first lines. Raises NotFound."""

    async def work(store: Store, tenant_id: UUID) -> tuple[PayoutDetail, list[PayoutLineView]]:
        async with store.reader(tenant_id) as session:
            lines = await payments.list_lines(session, payout_id, SortedRequest(limit=most))
            return await payments.get_payout(session, payout_id), lines.items

    return in_books(home, {}, tenant, work)


def payment_differences(home: Path, most: int, tenant: str | None) -> list[DifferenceView]:
    """The latest first."""

    async def work(store: Store, tenant_id: UUID) -> list[DifferenceView]:
        async with store.reader(tenant_id) as session:
            page, now = SortedRequest(limit=most), store.clock.now()
            return (await payments.list_differences(session, page, DifferenceFilter(), now)).items

    return in_books(home, {}, tenant, work)
