"""The slow way to the same customers: order by order from the books, by the names that stand there.

Names are only compared here, and leave nothing behind. What a test or a doubtful owner holds the kept figures against.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.services.customer_reading import FREQUENCY, RECENCY, segment_of
from flipsync.services.sales_facts import EARNING, believable
from flipsync.services.sales_recount import counted_look
from flipsync.store.database import SessionReader
from flipsync.store.repositories import customer_reading, privacy, reading_selling, sales_reading, tenants
from flipsync.store.unit_of_work import Store

#: account, currency, the buyer's name
_Buyer = tuple[UUID, str, str]
#: (account, currency, first day, last day, orders, net) → how many buyers have them
Sums = Counter[tuple[UUID, str, date, date, int, int]]
#: (account, currency, cohort, month) → buyers, again, orders, net
Months = dict[tuple[UUID, str, date, date], tuple[int, int, int, int]]


@dataclass(frozen=True)
class CustomerRecount:
    """Buyers and cohorts as they are kept, and as the books say."""

    kept: tuple[Sums, Months]
    books: tuple[Sums, Months]

    @property
    def compared(self) -> int:
        return sum(self.books[0].values()) + len(self.books[1])

    @property
    def differences(self) -> list[Any]:
        """Keys of buyers' sums and of cohorts' months that are not the same in both."""
        (kept_sums, kept_months), (sums, months) = self.kept, self.books
        found: list[Any] = [key for key in kept_sums.keys() | sums.keys() if kept_sums[key] != sums[key]]
        every = kept_months.keys() | months.keys()
        return found + [key for key in every if kept_months.get(key) != months.get(key)]

    def segments(self, today: date) -> dict[tuple[str, str], tuple[int, int, int]]:
        """By the books: currency and segment → customers, orders, net."""
        total: Counter[tuple[UUID, str]] = Counter()
        placed: Counter[tuple[UUID, str]] = Counter()
        for (account, currency, _, _, orders, net), buyers in self.books[0].items():
            total[account, currency] += net * buyers
            placed[account, currency] += orders * buyers
        found: dict[tuple[str, str], tuple[int, int, int]] = {}
        for (account, currency, _, last, orders, net), buyers in self.books[0].items():
            away = (today - last).days
            recency = next((score for under, score in RECENCY if away < under), 1)
            often = next((score for least, score in FREQUENCY if orders >= least), 1)
            money, whole = 1, total[account, currency]
            if whole > 0:
                worth = (score for least, score in FREQUENCY if net >= least * whole // placed[account, currency])
                money = next(worth, 1)
            key = (currency, segment_of(recency, (often + money + 1) // 2))
            before = found.get(key, (0, 0, 0))
            found[key] = (before[0] + buyers, before[1] + orders * buyers, before[2] + net * buyers)
        return found


async def check(store: Store, tenant_id: UUID) -> CustomerRecount:
    """As `sales_recount.check`, of all buyers there ever were. Raises Unavailable while others count without an end."""
    return await counted_look(store, tenant_id, recount)


async def recount(session: AsyncSession) -> CustomerRecount:
    """Of the business the session is bound to. Takes milliseconds for each order."""
    orders: dict[_Buyer, list[tuple[date, int]]] = defaultdict(list)
    zone = ZoneInfo(await tenants.zone(session))
    forgotten = {(row.account_id, row.order_external_id) for row in await privacy.tombstones(session)}
    reader = SessionReader(session)
    for order_id in await sales_reading.orders_placed(session):
        (order,), lines, refunds = await reader.ask(
            *(
                question(order_id=order_id)
                for question in (reading_selling.ORDER, reading_selling.LINES, reading_selling.REFUNDS)
            )
        )
        name = str(order.buyer_id or order.ship_to.get("email") or "").strip().lower()
        refunded = sum(row.amount_minor for row in refunds)
        known = 0 < len(name) <= 320 and order.vendor != "amazon" and order.erased_at is None
        if not known or (order.account_id, order.external_id) in forgotten:
            continue
        if order.status in EARNING and believable(order, lines, refunded):
            buyer = (order.account_id, order.currency, name)
            orders[buyer].append((order.placed_at.astimezone(zone).date(), _net(order, lines, refunded)))
    sums: Sums = Counter()
    months: dict[tuple[UUID, str, date, date], list[int]] = defaultdict(lambda: [0] * 4)
    for (account, currency, _), told in orders.items():
        days = [day for day, _ in told]
        sums[account, currency, min(days), max(days), len(told), sum(net for _, net in told)] += 1
        for month, its_orders, net in _by_month(told):
            cell = months[account, currency, min(days).replace(day=1), month]
            cell[0] += 1
            cell[1] += len(told) > 1 and month == min(days).replace(day=1)
            cell[2] += its_orders
            cell[3] += net
    kept_buyers, kept_months = await customer_reading.kept(session)
    kept: Sums = Counter(tuple(row) for row in kept_buyers)
    return CustomerRecount(
        (kept, {tuple(row)[:4]: tuple(row)[4:] for row in kept_months}),
        (sums, {key: (cell[0], cell[1], cell[2], cell[3]) for key, cell in months.items()}),
    )


def _net(order: Any, lines: Any, refunded: int) -> int:
    gross = sum(line.total_minor for line in lines) + order.shipping_minor
    tax = max(order.tax_minor, sum(line.tax_minor for line in lines))
    if not gross or not refunded:
        return int(gross)
    return int(gross - min(gross, (gross * refunded + (gross + tax) // 2) // (gross + tax)))


def _by_month(told: list[tuple[date, int]]) -> Iterator[tuple[date, int, int]]:
    by_month: dict[date, list[int]] = defaultdict(list)
    for day, net in told:
        by_month[day.replace(day=1)].append(net)
    for month, nets in by_month.items():
        yield month, len(nets), sum(nets)
