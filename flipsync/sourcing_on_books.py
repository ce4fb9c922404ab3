"""What `flipsync source` does with the books: asks about goods, waits for the advice, reads what was advised."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from flipsync.commands_on_books import in_books
from flipsync.domain.money import Money
from flipsync.services.catalogue.encoding import Source
from flipsync.services.reading_page import SortedRequest
from flipsync.services.sourcing import reading, scans
from flipsync.services.sourcing.reading import AdviceFilter, AdviceView, ListView, ReliabilityView
from flipsync.services.sourcing.supplier_list import MOST_BYTES, read_supplier_list
from flipsync.services.tenant_settings import profile
from flipsync.store.unit_of_work import Routing, Store

_LOOK = 0.1


def ask(
    home: Path,
    routing: Routing,
    text: str,
    *,
    title: str,
    cost: str | None,
    units: int,
    patience: float,
    tenant: str | None,
) -> AdviceView:
    """The advice as it is when channels have answered or patience is at its end. Raises InvalidInput."""

    async def work(store: Store, tenant_id: UUID) -> AdviceView:
        async with store.unit(tenant_id) as unit:
            currency = (await profile(unit.session, tenant_id)).currency
            paid = Money.parse(cost, currency) if cost is not None else None
            question = scans.read_question(text, title=title, cost=paid, units=units, currency=currency)
            line = (await reading.first_advice(unit.session, await scans.ask(unit, [question]))).id
        until = time.monotonic() + patience
        while True:
            async with store.reader(tenant_id) as session:
                found = await reading.get_advice(session, line)
            if (found.verdict is not None and not found.waiting) or time.monotonic() >= until:
                return found
            await asyncio.sleep(_LOOK)

    return in_books(home, routing, tenant, work)


def send_list(
    home: Path,
    routing: Routing,
    path: Path,
    *,
    patience: float,
    told: Callable[[ListView], None],
    tenant: str | None,
) -> tuple[ListView, list[AdviceView]]:
    """The list, and what to buy of it (best first). `told` hears how far it is. Raises InvalidInput."""
    content = _read(path)

    async def work(store: Store, tenant_id: UUID) -> tuple[ListView, list[AdviceView]]:
        async with store.unit(tenant_id) as unit:
            currency = (await profile(unit.session, tenant_id)).currency
            found = await asyncio.to_thread(read_supplier_list, content, currency=currency)
            scan = await scans.ask(unit, found.questions, name=path.name, problems=found.problems, is_list=True)
            list_id = scan.id
        until = time.monotonic() + patience
        while True:
            async with store.reader(tenant_id) as session:
                view = await reading.get_list(session, list_id)
            told(view)
            if view.decided == view.lines or time.monotonic() >= until:
                return view, await _to_buy(store, tenant_id, list_id)
            await asyncio.sleep(_LOOK)

    return in_books(home, routing, tenant, work)


async def _to_buy(store: Store, tenant_id: UUID, list_id: UUID) -> list[AdviceView]:
    bought: list[AdviceView] = []
    where, page = AdviceFilter(list_id=list_id, verdict="buy"), SortedRequest(limit=200)
    while True:
        async with store.reader(tenant_id) as session:
            found = await reading.list_advice(session, page, where)
        bought += found.items
        if found.next_cursor is None:
            return sorted(bought, key=lambda each: -max((c.profit_per_money for c in each.channels), default=0.0))
        page = SortedRequest(limit=200, cursor=found.next_cursor)


def past(home: Path, q: str | None, verdict: str | None, tenant: str | None) -> list[AdviceView]:
    """The newest fifty."""

    async def work(store: Store, tenant_id: UUID) -> list[AdviceView]:
        async with store.reader(tenant_id) as session:
            where = AdviceFilter.model_validate({"q": q, "verdict": verdict})
            return (await reading.list_advice(session, SortedRequest(), where)).items

    return in_books(home, {}, tenant, work)


def reliability(home: Path, tenant: str | None) -> ReliabilityView:
    return in_books(home, {}, tenant, reading.reliability)


def _read(path: Path) -> bytes:
    """Raises InvalidInput."""
    with Source(path, max_bytes=MOST_BYTES).open() as file:
        return file.read()
