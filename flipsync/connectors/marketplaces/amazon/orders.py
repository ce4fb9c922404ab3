"""Orders, Orders API 2026-01-01. It asks for no Restricted Data Token: buyer and address come to applications whose
role allows it, where `includedData` names them. Shipments are confirmed over Orders v0, which keeps that operation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import partial

from flipsync.connectors.marketplaces.amazon import order_mapping, wire_orders
from flipsync.connectors.marketplaces.amazon.api import SellerApi, done
from flipsync.connectors.marketplaces.amazon.rows import pages
from flipsync.connectors.unread import Aside, usable
from flipsync.domain.channel import ChannelOrder
from flipsync.domain.clock import require_utc, utc_now
from flipsync.domain.errors import ChannelError, OutcomeUnknown, Rejected

_DATA = [("includedData", "BUYER,RECIPIENT,PROCEEDS,CANCELLATION,FULFILLMENT,PACKAGES")]
_PAGE = "100"


async def changed_orders(api: SellerApi, modified_after: datetime, aside: Aside) -> AsyncIterator[wire_orders.Order]:
    """Orders changed at or after then, oldest change first; complete up to the last one yielded.

    The answer has no order of its own, so all pages are read first. What changes behind the walk is older than what
    the first page was true for, or comes again with its later time.
    """
    since = require_utc(modified_after).isoformat().replace("+00:00", "Z")
    query = [("lastUpdatedAfter", since), ("marketplaceIds", api.marketplace_id), ("maxResultsPerPage", _PAGE), *_DATA]
    decode = partial(wire_orders.OrderSearch.model_validate, context=aside.context)

    async def ask(token: str | None) -> wire_orders.OrderSearch:
        params = [*query, *([("paginationToken", token)] if token else [])]
        return await api.call("searchOrders", decode, params=params)

    found: dict[str, wire_orders.Order] = {}
    true_until: datetime | None = None
    several = False
    async for page in pages(ask, lambda page: page.pagination.next_token):
        true_until = true_until or page.last_updated_before
        for row in page.orders:
            known = found.get(row.order_id)
            if known is None or known.last_updated_time <= row.last_updated_time:
                found[row.order_id] = row
        several = several or bool(page.pagination.next_token)
    for order in sorted(found.values(), key=lambda order: (order.last_updated_time, order.order_id)):
        if not several or true_until is None or order.last_updated_time <= true_until:
            yield order


async def known_order(api: SellerApi, external_id: str) -> wire_orders.Order | None:
    if not order_mapping.is_order_id(external_id):
        return None
    path = {"orderId": external_id}
    answer = await api.known("getOrder", wire_orders.OrderAnswer.model_validate, path=path, params=_DATA)
    return None if answer is None else answer.order


async def confirm(
    api: SellerApi,
    external_id: str,
    carrier: str,
    tracking_number: str,
    translate: Callable[[wire_orders.Order], ChannelOrder],
) -> ChannelOrder:
    """Tell Amazon the whole order left the house; it is told once, and the order is read back. Raises Unreadable for an
    order that could not be read back either, and confirms nothing."""
    order = await known_order(api, external_id)
    if order is None:
        raise Rejected("there is no such order", vendor_code="NotFound", vendor_status=404, missing=True)
    if order_mapping.by_amazon(order):
        raise Rejected("Amazon ships this order itself", vendor_code="fulfilled_by_amazon")
    status = order.fulfillment.fulfillment_status
    if status in order_mapping.NOT_SHIPPABLE:
        raise Rejected(f"the order is {status}: it cannot be shipped", vendor_code="status")
    told = usable(translate, order)
    if order_mapping.is_shipped_with(order, tracking_number):
        return told
    body = order_mapping.shipment_body(order, api.marketplace_id, carrier, tracking_number, utc_now())
    await api.call("confirmShipment", done, path={"orderId": external_id}, body=body)
    try:
        after = await known_order(api, external_id)
        return told if after is None else usable(translate, after)
    except ChannelError as error:
        raise OutcomeUnknown(f"the shipment was confirmed, but not read back: {error.message}") from error
