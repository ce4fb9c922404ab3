"""Orders of the Sell Fulfillment API: the feed of changes, one order, and its shipment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from flipsync.connectors.marketplaces.ebay import limits, mapping_orders, wire_orders
from flipsync.connectors.marketplaces.ebay.api import EbayApi, nothing, segment
from flipsync.connectors.marketplaces.ebay.pages import walk
from flipsync.connectors.marketplaces.ebay.writing import begun
from flipsync.connectors.request import Params
from flipsync.connectors.unread import Aside, each_order, usable
from flipsync.domain.channel import ChannelOrder, RefundOrder
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import OutcomeUnknown, Rejected

_ORDER = "/sell/fulfillment/v1/order"
_PAGE = "200"
#: orders that one call can name
_AT_ONCE = 50
#: eBay tells of orders up to two years old, and refuses to be asked for more
_OLDEST = timedelta(days=729)
_REASON = "OTHER_ADJUSTMENT"
_SIGNED_SITES = frozenset(f"EBAY_{code}" for code in ("AT", "BE", "DE", "ES", "FR", "GB", "IE", "IT", "NL", "PL"))
#: eBay's clock is behind ours: nothing can have changed since
_IN_THE_FUTURE = "30850"
#: with it, taxes that eBay collects are part of the totals
_BREAKDOWN = ("fieldGroups", "TAX_BREAKDOWN")


class Orders:
    """The account's orders."""

    def __init__(self, api: EbayApi, currency: str) -> None:
        self._api = api
        self._currency = currency

    def changed(self, since: datetime) -> AsyncIterator[ChannelOrder]:
        return each_order(lambda aside: self._changed(since, aside), self._order)

    def _order(self, row: wire_orders.Order) -> ChannelOrder:
        return mapping_orders.order(row, self._currency)

    async def _changed(self, since: datetime, aside: Aside) -> AsyncIterator[wire_orders.Order]:
        """Orders changed at or after `since` (UTC), oldest change first.

        eBay sorts by when an order was placed, so all pages are read before the first is yielded. The filter has no
        end: an order that changes meanwhile stays in the list.
        """

        async def fetch(params: Params) -> wire_orders.Orders:
            return await self._api.read(_ORDER, decode, limits.FULFILLMENT, params)

        decode = partial(wire_orders.Orders.model_validate, context=aside.context)

        told = max(since.astimezone(UTC), utc_now() - _OLDEST)
        begin = f"{told:%Y-%m-%dT%H:%M:%S}.{told.microsecond // 1000:03d}Z"
        first = [("filter", f"lastmodifieddate:[{begin}..]"), _BREAKDOWN, ("limit", _PAGE), ("offset", "0")]
        found: dict[str, wire_orders.Order] = {}
        try:
            async for page in walk(fetch, first):
                found.update((order.order_id, order) for order in page.orders)
        except Rejected as refused:
            if refused.vendor_code != _IN_THE_FUTURE:
                raise
        for order in sorted(found.values(), key=lambda order: (order.last_modified_date, order.order_id)):
            if order.last_modified_date >= since:
                yield order

    async def find(self, order_id: str) -> wire_orders.Order | None:
        if not order_id:
            return None
        path = f"{_ORDER}/{segment(order_id)}"
        return await self._api.read_known(path, wire_orders.Order.model_validate, limits.FULFILLMENT, [_BREAKDOWN])

    async def find_all(self, order_ids: Sequence[str]) -> list[wire_orders.Order]:
        """Those of the orders that eBay still tells of and that can be read."""
        found: list[wire_orders.Order] = []
        decode = partial(wire_orders.Orders.model_validate, context=Aside().context)
        for at in range(0, len(order_ids), _AT_ONCE):
            params = [("orderIds", ",".join(order_ids[at : at + _AT_ONCE]))]
            page = await self._api.read(_ORDER, decode, limits.FULFILLMENT, params)
            found += page.orders
        return found

    async def read(self, order_id: str) -> ChannelOrder | None:
        found = await self.find(order_id)
        return None if found is None else usable(self._order, found)

    async def ship(self, order_id: str, carrier: str, tracking_number: str) -> ChannelOrder:
        """One fulfilment for all that is not shipped. A fulfilment with this tracking number is this one."""
        found = await self.find(order_id)
        if found is None:
            raise Rejected("eBay knows no such order", vendor_code="32100", missing=True)
        number = mapping_orders.tracking(tracking_number)
        path = f"{_ORDER}/{segment(order_id)}/shipping_fulfillment"
        known = await self._api.read(path, wire_orders.Fulfillments.model_validate, limits.FULFILLMENT)
        if any(number in (each.shipment_tracking_number, each.fulfillment_id) for each in known.fulfillments):
            return usable(self._order, found)
        status = mapping_orders.status_of(found)
        if status not in ("paid", "shipped"):
            raise Rejected(f"the order is {status}: it cannot be shipped", vendor_code="status")
        body = mapping_orders.shipment_body(found, carrier, tracking_number)
        if not body["lineItems"]:
            raise Rejected("the order was shipped already, under another tracking number", vendor_code="status")
        await self._api.call("POST", path, nothing, limits.FULFILLMENT, body=body)
        after = await begun(self.read(order_id))
        if after is None:
            raise OutcomeUnknown("eBay does not know the order that was just shipped")
        return after

    async def give_back(self, order_id: str, wish: RefundOrder) -> str:
        """eBay works it off in its own time and shows neither our reference nor the comment again.

        Calls for sellers in the EU and the UK want a digital signature (developer.ebay.com, "Digital Signatures for
        APIs"), which is not made here.
        """
        if self._api.site.id in _SIGNED_SITES:
            raise Rejected(
                f"eBay takes refunds on {self._api.site.id} with a digital signature only, and FlipSync makes none",
                vendor_code="signature",
                hint="give it back on eBay's own page: it is booked when eBay tells of it",
            )
        body = {
            "reasonForRefund": _REASON,
            "comment": wish.words[:100],
            "orderLevelRefundAmount": {"value": wish.amount.plain(), "currency": wish.amount.currency},
        }
        path = f"{_ORDER}/{segment(order_id)}/issue_refund"
        given = await self._api.call("POST", path, wire_orders.Refund.model_validate, limits.FULFILLMENT, body=body)
        if given.refund_status == "FAILED":
            raise Rejected("eBay says that the refund failed", vendor_code="FAILED")
        return given.refund_id
