"""The feed of changed orders of a WooCommerce shop."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flipsync.connectors.marketplaces.woocommerce import mapping, wire
from flipsync.connectors.marketplaces.woocommerce.api import ShopApi
from flipsync.connectors.unread import Aside
from flipsync.domain.errors import Rejected

_WALKS = 3


async def refunds_of(api: ShopApi, order: wire.Order) -> list[wire.Refund]:
    """The order's refunds with their lines; asked for only where the order lists any."""
    return await api.rows(f"/orders/{order.id}/refunds", wire.Refund.model_validate) if order.refunds else []


@dataclass(frozen=True, slots=True)
class _Unread:
    """A row that is no order, in its place: the walk knows where it is by the ids of rows."""

    id: int
    raw: Any
    error: ValueError


def _order_or_unread(row: Any) -> wire.Order | _Unread:
    try:
        order = wire.Order.model_validate(row)
        order.changed_at  # noqa: B018 - what has no date has no place among the others
    except ValueError as error:
        told = row.get("id") if isinstance(row, dict) else None
        return _Unread(told if type(told) is int else -hash(json.dumps(row, sort_keys=True, default=str)), row, error)
    return order


async def changed_orders(api: ShopApi, since: datetime, aside: Aside) -> AsyncIterator[wire.Order]:
    """Orders changed at or after `since` (UTC), oldest change first; complete up to the last one yielded.

    A list of several pages is walked until nothing new turns up: an order that changes behind the walk is not seen,
    and would be lost if a later change were yielded and the caller went on from there. Orders in the bin have a list
    of their own, read last: what is binned after that changes later than all that was seen.
    """
    found: dict[int, wire.Order] = {}
    start = known = since
    complete = False
    for _ in range(_WALKS):
        # Everything missing after this walk changes after it began, so no earlier than what is known already.
        known = max((order.changed_at for order in found.values()), default=since)
        pages, changed = 0, False
        async for page in api.pages("/orders", _order_or_unread, changed_after(start)):
            pages += 1
            for order in page.rows:
                if isinstance(order, _Unread):
                    aside.keep(order.raw, order.error)
                    continue
                if order.status in mapping.NOT_ORDERED:
                    continue
                changed = changed or found.get(order.id) != order
                found[order.id] = order
        complete = pages <= 1 or not changed
        if complete:
            break
        start = known
    found |= await _binned(api, since, aside)
    for order in sorted(found.values(), key=lambda order: (order.changed_at, order.id)):
        if order.changed_at >= since and (complete or order.changed_at <= known):
            yield order


def changed_after(moment: datetime) -> list[tuple[str, str]]:
    """What a list of orders or products is asked to have only those changed at or after that time."""
    # "After" excludes its own second.
    after = mapping.gmt_query(moment - timedelta(seconds=1))
    return [("modified_after", after), ("dates_are_gmt", "true")]


async def _binned(api: ShopApi, since: datetime, aside: Aside) -> dict[int, wire.Order]:
    """Orders that were moved to the bin; "any" status leaves them out. Shops that know no such list have none to tell;
    every other refusal is the caller's."""
    params = [*changed_after(since), ("status", "trash")]
    try:
        rows = await api.rows("/orders", _order_or_unread, params)
    except Rejected as refused:
        if refused.auth or refused.vendor_status != 400:
            raise
        return {}
    for row in rows:
        if isinstance(row, _Unread):
            aside.keep(row.raw, row.error)
    return {row.id: row for row in rows if isinstance(row, wire.Order) and row.status == "trash"}
