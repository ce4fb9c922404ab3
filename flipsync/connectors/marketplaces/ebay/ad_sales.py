"""What ads paid by the sale have sold, and what eBay charged for it: its charges (Finances) laid to lines of orders.

A charge names the order and the listing's number. Impressions and clicks are in none of these answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from flipsync.connectors.marketplaces.ebay import mapping_orders, wire_orders
from flipsync.connectors.marketplaces.ebay.finances import Finances
from flipsync.connectors.marketplaces.ebay.orders import Orders
from flipsync.domain.advertising import AdSale
from flipsync.domain.errors import Unreadable
from flipsync.domain.money import Money

_CHARGE, _AD_FEE = "NON_SALE_CHARGE", "AD_FEE"


async def ad_sales(finances: Finances, orders: Orders, since: datetime, until: datetime) -> AsyncIterator[AdSale]:
    """Each order and listing once. What was charged and given back again costs 0."""
    charged: defaultdict[str, dict[str, Money]] = defaultdict(dict)
    booked: dict[str, datetime] = {}
    async for each in finances.movements(since, until, _CHARGE):
        if each.fee_kind == _AD_FEE and each.order_id:
            before = charged[each.order_id].get(each.item_id, Money.zero(each.amount.currency))
            if before.currency != each.amount.currency:
                raise Unreadable(f"the ad fees of order {each.order_id} are in several currencies")
            charged[each.order_id][each.item_id] = before - each.amount
            booked.setdefault(each.order_id, each.booked_at)
    known = {each.order_id: each for each in await orders.find_all(list(charged))}
    for order_id, fees in charged.items():
        order = known.get(order_id)
        for item_id, fee in fees.items():
            lines = () if order is None else _lines(order, item_id)
            prices = [mapping_orders.money(line.line_item_cost, fee.currency) for line in lines]
            if any(price.currency != fee.currency for price in prices):
                lines, prices = (), []  # what was sold cannot be told in the currency of its cost
            yield AdSale(
                order_external_id=order_id,
                listing_external_id=lines[0].sku or None if lines else None,
                units=sum(line.quantity for line in lines),
                sales=Money.total(prices, fee.currency),
                fee=fee,
                sold_at=booked[order_id] if order is None else order.creation_date,
            )


def _lines(order: wire_orders.Order, item_id: str) -> Sequence[wire_orders.LineItem]:
    """Those that were sold by the ad: as eBay marks them, else of the listing that was charged for."""
    lines = [line for line in order.line_items if line.legacy_item_id == item_id or not item_id]
    marked = [line for line in lines if line.properties.sold_via_ad_campaign]
    of = {line.sku for line in marked or lines}
    return (marked or lines) if len(of) == 1 else ()
