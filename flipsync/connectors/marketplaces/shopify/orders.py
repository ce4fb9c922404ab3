"""Orders of a shop: the feed of changes, one order whole, and its shipment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any

from flipsync.connectors.marketplaces.shopify import mapping, order_mapping, wire
from flipsync.connectors.marketplaces.shopify import order_documents as documents
from flipsync.connectors.marketplaces.shopify import order_wire as shapes
from flipsync.connectors.marketplaces.shopify.api import AdminApi, next_page
from flipsync.connectors.marketplaces.shopify.listings import after_a_write
from flipsync.connectors.unread import Aside
from flipsync.domain.channel import RefundOrder
from flipsync.domain.errors import Rejected, Retryable, Unreadable

_CAN_SHIP = "CREATE_FULFILLMENT"
_OPEN = frozenset({"OPEN", "IN_PROGRESS"})
_WAITING = frozenset({"SCHEDULED", "ON_HOLD"})


async def changed_orders(api: AdminApi, since: datetime, aside: Aside) -> AsyncIterator[shapes.Order]:
    """Orders changed at or after `since` (UTC), oldest change first. One that changes meanwhile moves to the end of
    the list, where it is met again."""
    decode = partial(shapes.Orders.model_validate, context=aside.context)
    start = since.replace(microsecond=0)  # Shopify's times have whole seconds
    variables = {"first": documents.ORDERS_PAGE, "query": order_mapping.updated_since(start)}
    async for rows in api.pages(documents.ORDERS, decode, variables):
        for row in rows:
            try:
                whole = row if _is_whole(row, documents.ORDER_REFUNDS_IN_LIST) else await read_order(api, row.id)
            except Unreadable as error:
                aside.keep(row, error)
                continue
            if whole is not None and whole.updated_at >= start:
                yield whole


async def read_order(api: AdminApi, order_id: str) -> shapes.Order | None:
    """The order with all of its lines and refunds, however many; None when the shop does not know it."""
    if not mapping.is_gid(order_id, "Order"):
        return None
    row = await api.read(documents.ORDER, _order_or_none, {"id": order_id, "after": None})
    if row is None:
        return None
    lines, info = list(row.line_items.nodes), row.line_items.page_info
    seen: set[str | None] = {None}
    while (after := next_page(info, seen)) is not None:
        more = await api.read(documents.ORDER, _order_or_none, {"id": order_id, "after": after})
        if more is None or not more.line_items.nodes:
            raise Retryable("the order's lines cannot be read to their end")
        lines += more.line_items.nodes
        info = more.line_items.page_info
    refunds = list(row.refunds)
    if not _refunds_are_whole(row, documents.ORDER_REFUNDS):
        found = await api.read(documents.ORDER_REFUND_IDS, _refund_ids, {"id": order_id})
        refunds = [await _read_refund(api, refund_id) for refund_id in found]
    everything = wire.Connection[shapes.LineItem](nodes=lines, page_info=wire.PageInfo(has_next_page=False))
    return row.model_copy(update={"line_items": everything, "refunds": refunds})


async def _read_refund(api: AdminApi, refund_id: str) -> shapes.Refund:
    first: shapes.Refund | None = None
    lines: list[shapes.RefundLine] = []
    after: str | None = None
    seen: set[str | None] = {None}
    while True:
        part = await api.read(documents.REFUND, shapes.Refund.model_validate, {"id": refund_id, "after": after})
        first = first or part
        lines += part.refund_line_items.nodes
        if (after := next_page(part.refund_line_items.page_info, seen)) is None:
            break
    whole = wire.Connection[shapes.RefundLine](nodes=lines, page_info=wire.PageInfo(has_next_page=False))
    return first.model_copy(update={"refund_line_items": whole})


def _is_whole(row: shapes.Order, refunds_shown: int) -> bool:
    return not row.line_items.page_info.has_next_page and _refunds_are_whole(row, refunds_shown)


def _refunds_are_whole(row: shapes.Order, shown: int) -> bool:
    """A list without pages that is as long as was asked for may go on."""
    cut = any(refund.refund_line_items.page_info.has_next_page for refund in row.refunds)
    return not cut and len(row.refunds) < shown


async def ship(api: AdminApi, order_id: str, carrier: str, tracking_number: str, *, notify: bool) -> shapes.Order:
    """Fulfil everything of the order that can be, in one fulfilment for each place it ships from.

    An order that is fulfilled already is left as it is. Raises Rejected for what cannot be shipped.
    """
    known = mapping.is_gid(order_id, "Order")
    row = await _read_shippable(api, order_id) if known else None
    if row is None:
        raise Rejected("there is no such order", vendor_code="not_found", missing=True)
    if row.cancelled_at is not None:
        raise Rejected("the order is cancelled: it cannot be shipped", vendor_code="status")
    parts = [part for part in row.fulfillment_orders.nodes if _can_ship(part)]
    if not parts and row.display_fulfillment_status != "FULFILLED":
        held = sorted({part.status for part in row.fulfillment_orders.nodes if part.status in _WAITING})
        why = f"the order is {', '.join(held) or row.display_fulfillment_status}: it cannot be shipped"
        raise Rejected(why, vendor_code="status")
    places: dict[str, list[str]] = {}
    for part in parts:
        location = part.assigned_location.location
        places.setdefault("" if location is None else location.id, []).append(part.id)
    for turn, ids in enumerate(places.values()):
        fulfillment = {
            "lineItemsByFulfillmentOrder": [{"fulfillmentOrderId": each} for each in ids],
            "notifyCustomer": notify,
            "trackingInfo": {"company": carrier, "number": tracking_number},
        }
        if turn == 0:
            await api.write(documents.FULFILL, wire.Payload, {"fulfillment": fulfillment})
            continue
        with after_a_write("a part of the shipment"):
            await api.write(documents.FULFILL, wire.Payload, {"fulfillment": fulfillment})
    with after_a_write("the shipment"):
        whole = await read_order(api, order_id)
        if whole is None:
            raise Retryable("the order is not shown any more")
    return whole


async def _read_shippable(api: AdminApi, order_id: str) -> shapes.ShippableOrder | None:
    """With every part that it ships in."""
    parts: list[shapes.FulfillmentOrder] = []
    after: str | None = None
    seen: set[str | None] = {None}
    while True:
        row = await api.read(documents.FULFILLMENT_ORDERS, _shippable_or_none, {"id": order_id, "after": after})
        if row is None:
            return None
        parts += row.fulfillment_orders.nodes
        if (after := next_page(row.fulfillment_orders.page_info, seen)) is None:
            whole = wire.Connection[shapes.FulfillmentOrder](nodes=parts, page_info=wire.PageInfo(has_next_page=False))
            return row.model_copy(update={"fulfillment_orders": whole})


async def give_back(
    api: AdminApi, wish: RefundOrder, key: str, *, notify: bool, location: Callable[[], Awaitable[str]]
) -> str:
    """Give money back to where it came from, payment by payment. Shopify remembers `key`."""
    known = mapping.is_gid(wish.order_external_id, "Order")
    row = await api.read(documents.PAYMENTS, _payments_or_none, {"id": wish.order_external_id}) if known else None
    if row is None:
        raise Rejected("there is no such order", vendor_code="not_found", missing=True)
    lines = []
    if wish.restock:
        place = await location()
        lines = [
            {"lineItemId": line, "quantity": units, "restockType": "RETURN", "locationId": place}
            for line, units in wish.units.items()
        ]
    body = {
        "orderId": row.id,
        "note": wish.words,
        "notify": notify,
        **order_mapping.give_back(row, wish.amount),
        **({"refundLineItems": lines} if lines else {}),
    }
    given = await api.write(documents.GIVE_BACK, shapes.RefundGiven, {"input": body, "key": key})
    return "" if given.refund is None else given.refund.id


def _payments_or_none(data: Any) -> shapes.Payments | None:
    return None if data is None else shapes.Payments.model_validate(data)


def _can_ship(part: shapes.FulfillmentOrder) -> bool:
    actions = {row.action for row in part.supported_actions}
    return part.status in _OPEN and (not actions or _CAN_SHIP in actions)


def _order_or_none(data: Any) -> shapes.Order | None:
    return None if data is None else shapes.Order.model_validate(data)


def _shippable_or_none(data: Any) -> shapes.ShippableOrder | None:
    return None if data is None else shapes.ShippableOrder.model_validate(data)


def _refund_ids(data: Any) -> list[str]:
    return [wire.ItemRef.model_validate(row).id for row in data["refunds"]] if isinstance(data, dict) else []
