"""What goods cost us, from the books: receipts with their landed cost, and the variant's unit cost that follows.

The unit cost prices are built on is the moving weighted average: it changes only when goods come in, so no sale makes
it stale. What sold goods cost by another method (first in first out, exactly these) is worked out by `valuation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import InvalidInput, NotFound
from flipsync.domain.events import CostChanged
from flipsync.domain.money import Money
from flipsync.services import stock
from flipsync.services.fees.landed_cost import Receipt, StockCost, fifo, weighted_average
from flipsync.store.repositories import receipts as rows
from flipsync.store.unit_of_work import UnitOfWork

Method = Literal["average", "fifo"]


async def receive(
    unit: UnitOfWork, variant_id: UUID, units: int, landed: Money, *, key: str, mode: str, note: str = ""
) -> UUID:
    """Goods arrive that cost `landed` in all: purchase, freight, duty and the rest. Returns the stock item's id.

    The variant's unit cost follows (rounded up to the minor unit, and true as of now), and whoever prices hears of it.
    A repeated `key` is a no-op. Raises NotFound, and InvalidInput for another currency than the variant's or no cost.
    """
    variant = await rows.variant(unit.session, variant_id)
    if variant is None:
        raise NotFound(f"no variant {variant_id}")
    if landed.currency != variant.currency or landed.amount_minor <= 0 or units < 1:
        raise InvalidInput(
            f"{units} units for {landed} is not a cost in {variant.currency}",
            hint="Give what all units cost together, in the currency of the variant.",
        )
    item_id = await stock.receive(unit, variant_id, units, key=key, mode=mode, note=note)
    if not await rows.add(unit, item_id, key=key, units=units, landed=landed):
        return item_id
    cost = unit_cost(await _receipts(unit.session, item_id), await rows.outflows_of(unit.session, item_id))
    before = variant.cost_minor
    variant.cost_minor, variant.cost_as_of = cost, unit.now
    if cost != before:
        unit.emit(CostChanged(variant_id=variant_id, cost=Money(amount_minor=cost, currency=variant.currency)))
    await unit.session.flush()
    return item_id


def unit_cost(received: Sequence[Receipt], left: Sequence[tuple[datetime, int]]) -> int:
    """The moving average of one unit in stock, in minor units, rounded up; at least 1. `received` is not empty."""
    _, units, value = weighted_average([*received, *costed(received, left)])
    if not units:  # the newest delivery was sold before it was booked
        newest = max(received, key=lambda each: each.at)
        units, value = newest.units, newest.cost
    return max(1, -(-value // units))


def costed(received: Sequence[Receipt], left: Sequence[tuple[datetime, int]]) -> list[tuple[datetime, int]]:
    """The outflows that took units whose cost is known: stock that was there before the first receipt, or was never
    told, leaves without one."""
    taken: list[tuple[datetime, int]] = []
    for at, units in sorted(left):
        there = sum(each.units for each in received if each.at <= at) - sum(units for _, units in taken)
        if (gone := min(units, there)) > 0:
            taken.append((at, gone))
    return taken


async def valuation(session: AsyncSession, stock_item_id: UUID, method: Method) -> StockCost | None:
    """Cost of all units that left, and of those on the shelf, by `method`; None where no receipt told a cost."""
    received = await _receipts(session, stock_item_id)
    if not received:
        return None
    left = costed(received, await rows.outflows_of(session, stock_item_id))
    if method == "fifo":
        return fifo(received, sum(units for _, units in left))
    sales, units, value = weighted_average([*received, *left])
    sold = tuple(taken for sale in sales for taken in sale.taken)
    return StockCost(sum(sale.cost for sale in sales), sold, units, value)


async def _receipts(session: AsyncSession, stock_item_id: UUID) -> list[Receipt]:
    return [
        Receipt(str(row_id), at, units, cost)
        for row_id, at, units, cost in await rows.receipts_of(session, stock_item_id)
    ]
