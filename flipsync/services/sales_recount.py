"""The slow way to the same figures: order by order from the books, as `order_profit` tells them.

What a test, a benchmark or a doubtful owner holds the kept figures against.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import day_begins
from flipsync.domain.errors import InvalidInput, Unavailable
from flipsync.services.fees.engine import predict
from flipsync.services.order_profit import order_profit, refund_fees, sale_of
from flipsync.services.sales_facts import CALLED_OFF, EARNING, believable, count, spread
from flipsync.services.tenant_settings import TenantSettings, profile
from flipsync.store.database import BROKEN_OFF, SessionReader
from flipsync.store.models.sales import FIGURES
from flipsync.store.repositories import reading_selling
from flipsync.store.repositories import sales_reading as rows
from flipsync.store.repositories.report import tenant_id as whose
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

T = TypeVar("T")
log = structlog.get_logger()
#: how often, and seconds between
_TRIES, _PATIENCE = 20, 0.5
#: day, account, currency; and, by SKU, that; and, by month (its first day), its being one
Key = tuple[date, UUID, str] | tuple[date, UUID, str, str] | tuple[date, UUID, str, str, bool]
Days = dict[Key, dict[str, int]]


@dataclass(frozen=True)
class Recount:
    """Days as they are kept, as the books say, and where the two differ."""

    kept: Days
    books: Days

    @property
    def differences(self) -> dict[Key, dict[str, tuple[int, int]]]:
        """Where → figure → (kept, by the books)."""
        found: dict[Key, dict[str, tuple[int, int]]] = {}
        for key in self.kept.keys() | self.books.keys():
            kept, books = self.kept.get(key, {}), self.books.get(key, {})
            wrong = {
                name: (kept.get(name, 0), books.get(name, 0))
                for name in FIGURES
                if kept.get(name, 0) != books.get(name, 0)
            }
            if wrong:
                found[key] = wrong
        return found


async def check(store: Store, tenant_id: UUID, first: date, last: date) -> Recount:
    """Whether counting makes the figures what the books say, while they go on being written. Raises Unavailable while
    others count without an end."""
    return await counted_look(store, tenant_id, lambda session: recount(session, first, last))


async def counted_look(store: Store, tenant_id: UUID, look: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """One look at all of the books and figures, in which what is not counted yet is counted first, for the look alone.
    Raises Unavailable."""
    for _ in range(_TRIES):
        try:
            async with store.database.trial(tenant_id) as session:
                unit = UnitOfWork(session, tenant_id, Cause(), store.clock.now(), store.routing, store.database)
                while (step := await count(unit)).more:
                    pass
                if not step.busy:
                    return await look(session)
        except BROKEN_OFF:  # somebody counted in between
            log.info("counted by somebody else meanwhile", tenant_id=str(tenant_id))
        await asyncio.sleep(_PATIENCE)
    raise Unavailable("the figures are being counted", hint="try again in a moment")


async def recount(session: AsyncSession, first: date = date(1, 1, 3), last: date = date(9999, 12, 29)) -> Recount:
    """Of the business the session is bound to, from one of its days to another. Takes milliseconds for each order."""
    days: dict[Key, Counter[str]] = defaultdict(Counter)
    settings = (await profile(session, await whose(session))).settings
    since, until = (day_begins(day, settings.time_zone) for day in (first, last + timedelta(days=1)))
    for order_id in await rows.orders_placed(session, since, until):
        await _add(session, order_id, settings, days)
    begin, end = rows.whole_months(first, last)
    for key, figures in list(days.items()):
        if len(key) == 4 and begin <= key[0] < end:
            days[key[0].replace(day=1), *key[1:], True].update(figures)
    books = {key: dict(figures) for key, figures in days.items() if any(figures.values())}
    return Recount(await kept(session, first, last), books)


async def kept(session: AsyncSession, first: date, last: date) -> Days:
    """Days as they are kept, by account and by SKU."""
    found: Days = {}
    for row in await rows.kept_days(session, first, last):
        key: Key = (row.day, row.account_id, row.currency)
        if row.sku is not None:
            key = (*key, row.sku, True) if row.month else (*key, row.sku)
        found[key] = {name: getattr(row, name) for name in FIGURES}
    return {key: figures for key, figures in found.items() if any(figures.values())}


async def _add(session: AsyncSession, order_id: UUID, settings: TenantSettings, days: dict[Key, Counter[str]]) -> None:
    reader = SessionReader(session)
    (order,), lines, refunds = await reader.ask(
        *(
            question(order_id=order_id)
            for question in (reading_selling.ORDER, reading_selling.LINES, reading_selling.REFUNDS)
        )
    )
    refunded = sum(row.amount_minor for row in refunds)
    key = (order.placed_at.astimezone(ZoneInfo(settings.time_zone)).date(), order.account_id, order.currency)
    skus = {line.sku for line in lines} or {""}
    if not believable(order, lines, refunded):
        return
    if order.status in CALLED_OFF:
        for each in (key, *((*key, sku) for sku in skus)):
            days[each]["cancelled"] += 1
        return
    if order.status not in EARNING:
        return
    goods = sum(line.total_minor for line in lines)
    tax = max(order.tax_minor, sum(line.tax_minor for line in lines))
    gross = goods + order.shipping_minor
    before_tax = min(gross, (gross * refunded + (gross + tax) // 2) // (gross + tax)) if gross and refunded else 0
    fees, unknown = order.fee_minor, 0
    by_line: list[int] = [0] * max(1, len(lines))
    if fees is None:
        try:
            told = await order_profit(reader, order_id)
            fees, before_tax = told.fee_total.amount_minor, told.refunded.amount_minor
            prediction = predict(sale_of(order, lines, settings.pricing))
            for fee in (*prediction.fees, *refund_fees(prediction, refunded)):
                if fee.item is not None:
                    by_line[fee.item] += fee.amount
        except InvalidInput:
            fees, unknown = 0, 1
    whole = {
        "orders": 1,
        "orders_without_fees": unknown,
        "goods": goods,
        "shipping": order.shipping_minor,
        "tax": tax,
        "refunds": refunded,
        "refunds_before_tax": before_tax,
        "fees": fees,
        "fees_told": order.fee_minor or 0,
    }
    for line in lines:
        mine = _of_line(line)
        days[key].update(mine)
        days[*key, line.sku].update(mine)
    days[key].update(whole)
    for sku in skus:
        days[*key, sku].update({"orders": 1, "orders_without_fees": unknown})
    _share_out(key, whole, by_line, order, lines, days)


def _of_line(line: Any) -> dict[str, int]:
    left = max(0, line.quantity - line.returned)
    return {
        "units": line.quantity,
        "returned": line.returned,
        "cost": (line.cost_minor or 0) * left,
        "units_without_cost": left if line.cost_minor is None else 0,
    }


def _share_out(
    key: tuple[date, UUID, str],
    whole: dict[str, int],
    fees_by_line: list[int],
    order: Any,
    lines: Any,
    days: dict[Key, Counter[str]],
) -> None:
    """What is the whole order's, by SKU: shipping by the goods, the rest by goods and shipping, tax as lines say."""
    goods = [line.total_minor for line in lines] or [0]
    shipping = spread(order.shipping_minor, goods)
    weights = [own + part for own, part in zip(goods, shipping, strict=True)]
    refunds, before_tax, told = (
        spread(whole[name], weights) for name in ("refunds", "refunds_before_tax", "fees_told")
    )
    fees = spread(whole["fees"] - sum(fees_by_line), weights)
    untold = max(0, order.tax_minor - sum(line.tax_minor for line in lines))
    for index, sku in enumerate([line.sku for line in lines] or [""]):
        days[*key, sku].update(
            {
                "goods": goods[index],
                "shipping": shipping[index],
                "tax": (lines[index].tax_minor if lines else 0) + (untold if index == 0 else 0),
                "refunds": refunds[index],
                "refunds_before_tax": before_tax[index],
                "fees": fees_by_line[index] + fees[index],
                "fees_told": told[index],
            }
        )
