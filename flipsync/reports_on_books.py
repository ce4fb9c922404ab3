"""What `flipsync report` does with the books: counts what is not counted yet, and builds a report."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from uuid import UUID

from flipsync.commands_on_books import in_books
from flipsync.services import analytics, customer_recount, reports, sales_facts, sales_recount
from flipsync.services.analytics import span_of
from flipsync.services.reports import Kind, Report
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


async def _count(store: Store, tenant_id: UUID) -> None:
    while (await sales_facts.run(store, tenant_id)).more:
        pass
