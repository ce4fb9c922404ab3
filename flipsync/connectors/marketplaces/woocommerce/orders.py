"""The feed of changed orders of a WooCommerce shop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from flipsync.connectors.marketplaces.woocommerce import mapping, wire
from flipsync.connectors.marketplaces.woocommerce.api import ShopApi

_WALKS = 3


async def refunds_of(api: ShopApi, order: wire.Order) -> list[wire.Refund]:
    """The order's refunds with their lines; asked for only where the order lists any."""
    return await api.rows(f"/orders/{order.id}/refunds", wire.Refund.model_validate) if order.refunds else []


async def changed_orders(api: ShopApi, since: datetime) -> AsyncIterator[wire.Order]:
    """Orders changed at or after `since` (UTC), oldest change first; complete up to the last one yielded.

    A list of several pages is walked until nothing new turns up: an order that changes behind the walk is not seen,
    and would be lost if a later change were yielded and the caller went on from there.
    """
    found: dict[int, wire.Order] = {}
    start = known = since
    complete = False
    for _ in range(_WALKS):
        # Everything missing after this walk changes after it began, so no earlier than what is known already.
        known = max((order.changed_at for order in found.values()), default=since)
        pages, changed = 0, False
        # "After" excludes its own second.
        after = mapping.gmt_query(start - timedelta(seconds=1))
        params = [("modified_after", after), ("dates_are_gmt", "true")]
        async for page in api.pages("/orders", wire.Order.model_validate, params):
            pages += 1
            for order in page.rows:
                if order.status in mapping.NOT_ORDERED:
                    continue
                changed = changed or found.get(order.id) != order
                found[order.id] = order
        complete = pages <= 1 or not changed
        if complete:
            break
        start = known
    for order in sorted(found.values(), key=lambda order: (order.changed_at, order.id)):
        if order.changed_at >= since and (complete or order.changed_at <= known):
            yield order
