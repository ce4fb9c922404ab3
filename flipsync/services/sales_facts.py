"""Keeps the figures of what was sold true, beside the hot path: a bounded run counts what is new or has changed.

What an order adds is worked out from its rows alone (`facts_of`): what it added before is taken out, what it adds now
is put in, in one transaction. So a run that is cut off has done nothing or all of a batch, and one at a time counts.
Which orders: those a trigger wrote down (`sale_due`), those with a new id and no figures (looked for over the last
while, since transactions end out of order), and those a walk over all orders comes to: once a day for what was missed,
and anew when what fees are predicted by, or the time zone whose days they are counted on, has changed.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from flipsync.domain.clock import local_day, utc_now
from flipsync.domain.errors import InvalidInput
from flipsync.domain.ids import first_id_at
from flipsync.services import customers
from flipsync.services.fees.engine import predict
from flipsync.services.fees.tariff import tariffs
from flipsync.services.order_profit import refund_fees, refunded_before_tax, sale_of, share
from flipsync.services.tenant_settings import PricingChoices, TenantSettings, profile
from flipsync.store.models.sales import FIGURES
from flipsync.store.repositories import sales_facts as rows
from flipsync.store.unit_of_work import Store, UnitOfWork

#: orders of a batch (of each kind), and batches of a run
BATCH, BATCHES = 1_000, 20
#: how far back new orders are looked for: longer than any transaction that takes one in, and clocks apart
_LOOK_BACK, _WALK_EVERY = timedelta(minutes=15), timedelta(days=1)
#: how old `counted_at` may be when nothing happens
_SAY_EVERY = timedelta(minutes=1)
_FIRST = UUID(int=0)
#: the channel's words for orders that earn money, and for those that were called off
EARNING, CALLED_OFF = ("paid", "shipped", "refunded"), ("cancelled", "failed")
#: minor units; an order that says more has no figures: it is a mistake, and sums must not run over
BELIEVABLE = 10**14
#: changes when `facts_of` does: all orders are counted anew then
_VERSION = 2


@dataclass
class Counted:
    """What a run did. `more`: there is more to count than one run does. `busy`: somebody else counts."""

    orders: int = 0
    more: bool = False
    busy: bool = False


async def run(store: Store, tenant_id: UUID, batches: int = BATCHES) -> Counted:
    """One bounded run for a business."""
    done = Counted(more=True)
    for _ in range(batches):
        async with store.unit(tenant_id) as unit:
            step = await count(unit)
        done.orders += step.orders
        if step.busy or not step.more:
            return Counted(done.orders, busy=step.busy)
    return done


async def count(unit: UnitOfWork, most: int = BATCH) -> Counted:
    """One batch."""
    now = utc_now()
    at = await rows.lock(unit, now)
    if at is None:
        return Counted(busy=True)
    before = replace(at)
    settings = (await profile(unit.session, unit.tenant_id)).settings
    if at.fees_mark != (mark := fees_mark(settings.pricing, settings.time_zone)):
        at.fees_mark, at.walk_after, at.walk_all = mark, _FIRST, True
    elif at.walk_after is None and (at.walked_at is None or now - at.walked_at > _WALK_EVERY):
        at.walk_after, at.walk_all = _FIRST, False
    changed = await rows.due(unit.session, most)
    fresh = await rows.uncounted(unit.session, first_id_at(at.looked_at - _LOOK_BACK), most)
    walked: list[UUID] = []
    if at.walk_after is not None:
        look = rows.orders_after if at.walk_all else rows.uncounted
        walked = await look(unit.session, at.walk_after, most)
        at.walk_after = walked[-1] if len(walked) == most else None
        at.walked_at = at.walked_at if at.walk_after else now
    again = {order_id for _, order_id in changed} | (set(walked) if at.walk_all else set())
    ids = sorted(again | set(fresh) | set(walked))
    if ids:
        at.revision += 1
        await recount(unit, ids, settings, counted=bool(again))
    if changed:
        await rows.done(unit.session, [due_id for due_id, _ in changed])
    more = max(len(changed), len(fresh)) == most or at.walk_after is not None
    if len(fresh) < most:
        at.looked_at = max(at.looked_at, now)
    if not more:
        at.counted_at = now
    if ids or more or _worth_writing(before, at):
        await rows.move(unit, at)
    return Counted(len(ids), more)


def _worth_writing(before: rows.Position, now: rows.Position) -> bool:
    """A business in which nothing happens need not be written to with every look."""
    told = before.counted_at is not None and now.counted_at is not None
    recent = told and now.counted_at - before.counted_at < _SAY_EVERY  # type: ignore[operator]
    return not recent or (before.fees_mark, before.walked_at) != (now.fees_mark, now.walked_at)


async def recount(unit: UnitOfWork, ids: Sequence[UUID], settings: TenantSettings, *, counted: bool = True) -> None:
    """Bring the figures of these orders in line with the books."""
    orders, lines, refunds = await rows.books_of(unit.session, ids)
    by_order: dict[UUID, list[Any]] = defaultdict(list)
    for line in lines:
        by_order[line.order_id].append(line)
    facts: list[dict[str, Any]] = []
    followed: list[customers.Followed] = []
    for order in orders:
        told = facts_of(order, by_order[order.id], refunds.get(order.id, 0), settings)
        facts += told
        if told[0]["orders"] and (name := customers.name_of(order.vendor, order)) is not None:
            net = sum(row["goods"] + row["shipping"] - row["refunds_before_tax"] for row in told)
            followed.append(customers.Followed(order.id, order.account_id, name, told[0]["day"], order.currency, net))
    await rows.replace(unit, ids, facts, counted=counted)
    await customers.follow(unit, ids, followed, counted=counted)


def facts_of(order: Any, lines: Sequence[Any], refunded: int, settings: TenantSettings) -> list[dict[str, Any]]:
    """The rows of one order (models.SaleFact), one a SKU; of no line, one without a SKU. An order that is not paid for
    yet has rows without figures. `refunded` is what was given back, tax in it."""
    skus = list(dict.fromkeys(line.sku for line in lines)) or [""]
    found = {sku: dict.fromkeys(FIGURES, 0) for sku in skus}
    if not believable(order, lines, refunded):
        pass
    elif order.status in CALLED_OFF:
        for row in found.values():
            row["cancelled"] = 1
    elif order.status in EARNING:
        told = _lines(order, lines, refunded, settings.pricing)
        for sku, figures in zip([line.sku for line in lines] or [""], told, strict=True):
            row = found[sku]
            for name, value in figures.items():
                row[name] += value
        for row in found.values():
            row["orders"] = 1
            row["orders_without_fees"] = min(1, row["orders_without_fees"])
    day = local_day(order.placed_at, settings.time_zone)
    key = {"order_id": order.id, "day": day.isoformat(), "account_id": order.account_id}
    return [
        {**key, "currency": order.currency, "sku": sku, "lead": index == 0, **found[sku]}
        for index, sku in enumerate(skus)
    ]


def _lines(order: Any, lines: Sequence[Any], refunded: int, choices: PricingChoices) -> list[dict[str, int]]:
    """Figures of each line of an earning order; what is the whole order's is shared over them by their money."""
    sale = sale_of(order, lines, choices) if lines else None
    items = sale.items if sale else ()
    gross = sum(item.goods + item.shipping for item in items) if items else order.shipping_minor
    tax = sum(item.tax for item in items) if items else order.tax_minor
    weights = [item.goods + item.shipping for item in items] or [gross]
    by_line, by_order, unknown = [0] * len(weights), 0, 0
    if order.fee_minor is not None:
        by_order = order.fee_minor
    else:
        try:
            if sale is None:
                raise InvalidInput("an order without lines has nothing to take fees of")
            prediction = predict(sale)
            for fee in (*prediction.fees, *refund_fees(prediction, refunded)):
                if fee.item is None:
                    by_order += fee.amount
                else:
                    by_line[fee.item] += fee.amount
        except InvalidInput:
            unknown = 1
    shared = spread(by_order, weights)
    fees = [own + part for own, part in zip(by_line, shared, strict=True)]
    refunds = spread(refunded, weights)
    before_tax = spread(refunded_before_tax(gross, tax, refunded), weights)
    found = []
    for index in range(len(weights)):
        line = lines[index] if lines else None
        kept = max(0, line.quantity - line.returned) if line is not None else 0
        cost = line.cost_minor if line is not None else 0
        found.append(
            {
                "units": line.quantity if line is not None else 0,
                "returned": line.returned if line is not None else 0,
                "goods": items[index].goods if items else 0,
                "shipping": items[index].shipping if items else gross,
                "tax": items[index].tax if items else tax,
                "refunds": refunds[index],
                "refunds_before_tax": before_tax[index],
                "fees": fees[index],
                "fees_told": shared[index] if order.fee_minor is not None else 0,
                "cost": 0 if cost is None else cost * kept,
                "units_without_cost": kept if cost is None else 0,
                "orders_without_fees": unknown,
            }
        )
    return found


def spread(amount: int, weights: Sequence[int]) -> list[int]:
    """Shares of an amount by weight, to the minor unit: they add up to it. Without any weight it is all the first's."""
    whole = sum(weights)
    if whole <= 0:
        return [amount, *[0] * (len(weights) - 1)]
    shares, upto, before = [], 0, 0
    for weight in weights:
        upto += weight
        so_far = share(amount, upto, whole)
        shares.append(so_far - before)
        before = so_far
    return shares


def believable(order: Any, lines: Sequence[Any], refunded: int) -> bool:
    amounts = [order.tax_minor, order.shipping_minor, order.fee_minor or 0, refunded]
    for line in lines:
        units = max(1, abs(line.quantity))
        amounts += [line.total_minor, line.tax_minor, (line.cost_minor or 0) * units, units]
    return bool(sum(abs(amount) for amount in amounts) <= BELIEVABLE)


def fees_mark(choices: PricingChoices, zone: str) -> str:
    """Another one when the same order would have other figures."""
    settings = choices.model_dump_json(include={"fees", "marketplace_fee_bps", "marketplace_fee_fixed_minor"})
    return hashlib.sha256(f"{_VERSION}|{zone}|{_tables()}|{settings}".encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def _tables() -> str:
    # sets have no order of their own: the same tables must have the same mark in every process
    told = [{name: getattr(row, name) for name in row.__slots__} | {"when": sorted(row.when)} for row in tariffs()]
    return hashlib.sha256("\n".join(map(repr, told)).encode()).hexdigest()
