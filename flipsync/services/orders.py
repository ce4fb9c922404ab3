"""Orders: take in what channels tell, once, in any order; reserve, mark ready, ship.

An order may be told many times, late, out of order and by two ways at once (webhook and poll). The newest
`modified_at` wins, refunds count once by their own ids, and stock moves by the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from flipsync.domain.channel import ChannelOrder, Vendor
from flipsync.domain.errors import Conflict, NotFound
from flipsync.domain.events import (
    OfferChanged,
    OrderChanged,
    OrderReady,
    OrderReceived,
    ParcelHandedOver,
    ShipmentConfirmed,
)
from flipsync.domain.ids import new_id
from flipsync.services import stock
from flipsync.store.models import Order, OrderLine
from flipsync.store.repositories import orders as repository
from flipsync.store.unit_of_work import UnitOfWork

#: business time in which all sales of a listing are one reason to look at its price; a price need not follow each sale
_PRICE_LOOK_SECONDS = 300


@dataclass(frozen=True)
class AccountRef:
    """Which account, and of which vendor."""

    id: UUID
    vendor: Vendor


@dataclass(frozen=True)
class IngestResult:
    outcome: Literal["created", "changed", "unchanged", "stale"]
    order_id: UUID
    short_units: int = 0


async def ingest_order(unit: UnitOfWork, account: AccountRef, told: ChannelOrder) -> IngestResult:
    """Bring our books in line with what the channel tells of one order. Safe to repeat and to run twice at once."""
    order_id = await repository.create_order(unit, account.id, told)
    order = await repository.lock_order(unit.session, account.id, told.external_id)
    assert order is not None, "just made or found"
    created = order_id is not None
    if created:
        lines = await _create_lines(unit, account, order, told)
    else:
        if told.modified_at < order.modified_at:
            return IngestResult("stale", order.id)
        lines = list(await repository.lines_of(unit.session, order.id))
    items = await repository.stock_items_of_lines(unit.session, lines)
    before = (order.status, order.holds_stock)
    refunds_new = False
    if told.holds_stock and not order.holds_stock:
        await _reserve_all(unit, lines, items)
    for refund in told.refunds:
        if await repository.record_refund(unit, order, refund.external_id, refund.amount.amount_minor):
            refunds_new = True
            await _restock(unit, lines, items, refund.restocked)
    if order.holds_stock and not told.holds_stock:
        await _give_back_all(unit, lines, items)
    short = sum(line.short for line in lines)
    order.holds_stock = told.holds_stock
    order.status, order.vendor_status = told.status, told.vendor_status
    order.modified_at = told.modified_at
    order.total_minor, order.tax_minor = told.total.amount_minor, told.tax.amount_minor
    order.shipping_minor, order.ship_to = told.shipping.amount_minor, told.ship_to.model_dump()
    if told.channel_fee is not None:
        order.fee_minor = told.channel_fee.amount_minor
    if told.holds_stock and order.state in ("received", "cancelled"):
        order.state = "received" if short else "reserved"
    elif not told.holds_stock and told.status in ("cancelled", "failed", "refunded") and order.state != "shipped":
        order.state = "cancelled"
    who = {"order_id": order.id, "account_id": account.id, "vendor": account.vendor}
    if told.holds_stock and not before[1]:
        unit.emit(OrderReceived(**who, short_units=short))
        for listing_id in {line.listing_id for line in lines if line.listing_id}:
            unit.emit(
                OfferChanged(listing_id=listing_id, account_id=account.id, vendor=account.vendor, cause="sale"),
                dedup_key=f"sale:{listing_id}:{int(unit.now.timestamp() // _PRICE_LOOK_SECONDS)}",
            )
        return IngestResult("created" if created else "changed", order.id, short)
    if created:
        return IngestResult("created", order.id)
    if before != (order.status, order.holds_stock) or refunds_new:
        unit.emit(OrderChanged(**who, status=told.status))
        return IngestResult("changed", order.id)
    return IngestResult("unchanged", order.id)


async def reserve_missing(unit: UnitOfWork, order_id: UUID) -> int:
    """Try again to set aside the units an order is short of; returns how many it still lacks."""
    order = await _order(unit, order_id)
    if not order.holds_stock or order.state not in ("received", "reserved"):
        return 0
    lines = list(await repository.lines_of(unit.session, order_id))
    items = await repository.stock_items_of_lines(unit.session, lines)
    missing = 0
    for line in _by_item(lines, items):
        if line.short and line.listing_id in items:
            line.short -= await stock.reserve(unit, line, items[line.listing_id], line.short, sold_on=None)
        missing += line.short
    order.state = "received" if missing else "reserved"
    return missing


async def mark_ready(unit: UnitOfWork, account: AccountRef, order_id: UUID) -> None:
    """Everything is reserved: the order can be packed. Raises Conflict while units are short."""
    order = await _order(unit, order_id)
    if order.state in ("ready", "shipped"):
        return
    if order.state != "reserved":
        raise Conflict(f"order {order.number} is {order.state}: only a fully reserved order can be made ready")
    order.state = "ready"
    unit.emit(OrderReady(order_id=order_id, account_id=account.id, vendor=account.vendor))


async def hand_over(unit: UnitOfWork, account: AccountRef, order_id: UUID, carrier: str, tracking_number: str) -> None:
    """A parcel left with this tracking number. A second, different number for the same order is a Conflict."""
    order = await _order(unit, order_id)
    if order.state not in ("ready", "shipped"):
        raise Conflict(f"order {order.number} is {order.state}: it is not ready to ship")
    shipment = await repository.ensure_shipment(unit, order_id, carrier, tracking_number)
    if (shipment.carrier, shipment.tracking_number) != (carrier, tracking_number):
        raise Conflict(
            f"order {order.number} was handed over already: {shipment.carrier} {shipment.tracking_number}",
            hint="a second parcel for one order needs its own order line split first",
        )
    unit.emit(
        ParcelHandedOver(
            order_id=order_id,
            account_id=account.id,
            vendor=account.vendor,
            carrier=carrier,
            tracking_number=tracking_number,
        ),
        dedup_key=f"handed-over:{order_id}",
    )


async def confirm_shipped(unit: UnitOfWork, account: AccountRef, order_id: UUID) -> None:
    """The channel has confirmed the shipment: the units leave our books."""
    order = await _order(unit, order_id)
    if order.state == "shipped":
        return
    lines = list(await repository.lines_of(unit.session, order_id))
    items = await repository.stock_items_of_lines(unit.session, lines)
    for line in _by_item(lines, items):
        if line.listing_id in items:
            await stock.ship(unit, line, items[line.listing_id])
    shipment = await repository.ensure_shipment(unit, order_id, "", "")
    shipment.confirmed_at = unit.now
    order.state = "shipped"
    unit.emit(ShipmentConfirmed(order_id=order_id, account_id=account.id, vendor=account.vendor))


async def _create_lines(unit: UnitOfWork, account: AccountRef, order: Order, told: ChannelOrder) -> list[OrderLine]:
    found = await repository.listings_for_lines(
        unit.session,
        account.id,
        [line.listing_external_id for line in told.lines if line.listing_external_id],
        [line.sku for line in told.lines if line.sku],
    )
    by_external = {listing.external_id: listing for listing in found if listing.external_id}
    by_sku = {listing.sku: listing for listing in found}
    lines = []
    for told_line in told.lines:
        listing = by_external.get(told_line.listing_external_id or "") or by_sku.get(told_line.sku)
        lines.append(
            OrderLine(
                id=new_id(),
                tenant_id=unit.tenant_id,
                order_id=order.id,
                external_id=told_line.external_id,
                listing_id=listing.listing_id if listing else None,
                sku=told_line.sku,
                title=told_line.title,
                quantity=told_line.quantity,
                total_minor=told_line.total.amount_minor,
                tax_minor=told_line.tax.amount_minor,
                cost_minor=listing.cost_minor if listing else None,
                reserved=0,
                short=0,
                shipped=0,
                returned=0,
            )
        )
    unit.session.add_all(lines)
    await unit.session.flush()
    return lines


async def _reserve_all(unit: UnitOfWork, lines: list[OrderLine], items: dict[UUID, UUID]) -> None:
    for line in _by_item(lines, items):
        if line.listing_id not in items:
            continue  # not our listing: somebody sells it beside us on the same account
        wanted = line.quantity - line.reserved - line.shipped
        got = await stock.reserve(unit, line, items[line.listing_id], wanted, sold_on=line.listing_id)
        line.short = wanted - got


async def _give_back_all(unit: UnitOfWork, lines: list[OrderLine], items: dict[UUID, UUID]) -> None:
    for line in _by_item(lines, items):
        line.short = 0
        if line.listing_id in items:
            await stock.release(unit, line, items[line.listing_id], line.reserved, given_back_to=line.listing_id)


async def _restock(
    unit: UnitOfWork, lines: list[OrderLine], items: dict[UUID, UUID], restocked: dict[str, int]
) -> None:
    for line in _by_item(lines, items):
        units = restocked.get(line.external_id, 0)
        if not units or line.listing_id not in items:
            continue
        item = items[line.listing_id]
        never_had = min(line.short, units)  # the buyer gives up what we could not deliver before what lies ready
        line.short -= never_had
        units -= never_had
        returned = await stock.take_back(unit, line, item, units, given_back_to=line.listing_id)
        await stock.release(unit, line, item, units - returned, given_back_to=line.listing_id)


def _by_item(lines: list[OrderLine], items: dict[UUID, UUID]) -> list[OrderLine]:
    """Lines in the order of their stock items' ids, so that two orders never lock two items crosswise."""
    nowhere = UUID(int=0)
    return sorted(lines, key=lambda line: items.get(line.listing_id, nowhere) if line.listing_id else nowhere)


async def _order(unit: UnitOfWork, order_id: UUID) -> Order:
    order = await repository.lock_order_by_id(unit.session, order_id)
    if order is None:
        raise NotFound(f"order {order_id} does not exist")
    return order
