"""Orders: take in what channels tell, once, in any order; reserve, mark ready, ship.

An order may be told many times, late, out of order and by two ways at once (webhook and poll). The newest
`modified_at` wins, refunds count once by their own ids, and stock moves by the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, cast
from uuid import UUID

from flipsync.domain.channel import ChannelOrder, ChannelOrderLine, Vendor
from flipsync.domain.errors import Conflict, InvalidInput, NotFound
from flipsync.domain.events import (
    OfferChanged,
    OrderChanged,
    OrderReady,
    OrderReceived,
    ParcelHandedOver,
    ShipmentConfirmed,
)
from flipsync.domain.ids import new_id
from flipsync.services import called_off, refunds, stock, warehouses
from flipsync.store.database import UNFIT
from flipsync.store.models import Order, OrderLine
from flipsync.store.repositories import new_orders, reconciling
from flipsync.store.repositories import orders as repository
from flipsync.store.repositories import stock as ledger
from flipsync.store.repositories.new_orders import Goods, NewLine
from flipsync.store.repositories.orders import SoldListing
from flipsync.store.unit_of_work import UnitOfWork

#: what booking an order ends with that cannot be booked, whoever tries; the database's own troubles are none of these
CANNOT_BOOK = (InvalidInput, Conflict, NotFound, ValueError, LookupError, TypeError, ArithmeticError, *UNFIT)
#: business time in which all sales of a listing are one reason to look at its price; a price need not follow each sale
_PRICE_LOOK_SECONDS = 300
_OVER = ("cancelled", "failed", "refunded")
_NOWHERE = UUID(int=0)
L = TypeVar("L", SoldListing, Goods)


@dataclass(frozen=True)
class AccountRef:
    """Which account, and of which vendor."""

    id: UUID
    vendor: Vendor


@dataclass(frozen=True)
class IngestResult:
    outcome: Literal["created", "changed", "unchanged", "stale", "by-hand"]
    order_id: UUID
    short_units: int = 0


async def ingest_order(unit: UnitOfWork, account: AccountRef, told: ChannelOrder) -> IngestResult:
    """Bring our books in line with what the channel tells of one order. Safe to repeat and to run twice at once."""
    pool = await warehouses.pool_of(unit, account.id, told.fulfilled_by)
    simple = not told.refunds and pool == warehouses.OWN and told.status != "shipped"
    holds, state = (told.holds_stock, _first_state(told)) if simple else (False, "received")
    new = await new_orders.create_order(unit, account.id, told, holds_stock=holds, state=state, pool=pool)
    if new is not None and simple:
        return await _fill(unit, account, new, told)
    order = await repository.lock_order(unit.session, account.id, told.external_id)
    if order is None:  # neither made nor found: a person has booked it by hand (services.held_orders)
        return IngestResult("by-hand", _NOWHERE)
    if new is not None:
        found = await _listings(unit, account, told)
        await new_orders.insert_lines(unit, new, [_line(each, found(each)) for each in told.lines])
    elif told.modified_at < order.modified_at:
        return IngestResult("stale", order.id)
    created = new is not None
    lines = list(await repository.lines_of(unit.session, order.id))
    added: dict[UUID, int] = {}
    longer = order.holds_stock and told.holds_stock and _is_longer(told, lines)
    if longer and await _may_grow(unit, order):
        lines, added = await _grown(unit, account, order, told, lines)
    if order.pool != warehouses.OWN and told.holds_stock and not order.holds_stock:
        await warehouses.cover(unit, order.pool, lines)
    items = await repository.stock_items_of_lines(unit.session, lines)
    before, refunds_new = (order.status, order.holds_stock), False
    if told.holds_stock and not order.holds_stock:
        await _reserve_all(unit, lines, items)
    await _reserve_added(unit, lines, items, added)
    for refund in told.refunds:
        if await repository.record_refund(unit, order, refund.external_id, refund.amount.amount_minor):
            refunds_new = True
            restocked = await _restock(unit, lines, items, refund.restocked)
            await called_off.without_parcel(unit, account.vendor, order, lines, items, restocked)
    if refunds_new:
        await refunds.recognise(unit, account.vendor, order, told.refunds)
    if order.holds_stock and not told.holds_stock:
        restocked = await _give_back_all(unit, lines, items)
        await called_off.without_parcel(unit, account.vendor, order, lines, items, restocked)
    short = sum(line.short for line in lines)
    order.oversold = max(order.oversold, short)
    order.holds_stock = told.holds_stock
    order.status, order.vendor_status = told.status, told.vendor_status
    order.modified_at = told.modified_at
    order.total_minor, order.tax_minor = told.total.amount_minor, told.tax.amount_minor
    order.shipping_minor = told.shipping.amount_minor
    if order.erased_at is None:
        order.ship_to, order.buyer_id = told.ship_to.model_dump(), told.buyer_id
    if told.channel_fee is not None:
        order.fee_minor = told.channel_fee.amount_minor
    if told.holds_stock and called_off.is_over(order, told.status, lines):
        await called_off.close(unit, account.vendor, order, lines, items)
    elif told.holds_stock and (order.state in ("received", "cancelled") or added):
        order.state = "received" if short else "reserved"
    elif not told.holds_stock and told.status in _OVER and order.state != "shipped":
        order.state = "cancelled"
    who = {"order_id": order.id, "account_id": account.id, "vendor": account.vendor}
    in_house = ("received", "reserved", "ready") if order.pool == warehouses.OWN else ("reserved",)
    if told.holds_stock and told.status == "shipped" and order.state in in_house:
        await confirm_shipped(unit, account, order.id)  # by whom ever: by us, by hand on its page, by the channel
    if told.holds_stock and (added or not before[1]):
        _tell_sold(unit, account, order.id, {line.listing_id for line in lines if line.listing_id}, short)
        return IngestResult("created" if created else "changed", order.id, short)
    if created:
        return IngestResult("created", order.id)
    if before != (order.status, order.holds_stock) or refunds_new:
        unit.emit(OrderChanged(**who, status=told.status))
        return IngestResult("changed", order.id)
    return IngestResult("unchanged", order.id)


def _first_state(told: ChannelOrder) -> str:
    """Where a new order begins, if everything it wants is there."""
    if told.holds_stock:
        return "reserved"
    return "cancelled" if told.status in _OVER else "received"


async def _fill(unit: UnitOfWork, account: AccountRef, order_id: UUID, told: ChannelOrder) -> IngestResult:
    """Lines and reservations of an order that nobody else can see yet, in as few statements as there can be."""
    if not told.holds_stock:
        known = await _listings(unit, account, told)
        lines = [_line(each, known(each)) for each in told.lines]
        await new_orders.insert_lines(unit, order_id, lines)
        if told.status in _OVER:  # sold and cancelled before we heard of it: its units may be back on the shelf
            for line in lines:
                if line.listing_id is not None:
                    await ledger.note_given_back(unit.session, line.listing_id, line.quantity)
        return IngestResult("created", order_id)
    goods = await new_orders.lock_goods(unit.session, account.id, *_named(told))
    stocked = _finder(goods)
    found: Callable[[ChannelOrderLine], SoldListing | Goods | None] = stocked
    if not all(stocked(each) for each in told.lines):  # not our listing, or one without stock: its cost is still known
        found = await _listings(unit, account, told)
    pairs = [(_line(each, found(each)), stocked(each)) for each in told.lines]
    pairs.sort(key=lambda pair: pair[1].stock_item_id if pair[1] else _NOWHERE)
    items: dict[UUID, Goods] = {}
    movements = []
    for line, listing in pairs:
        if listing is None:
            continue
        item = items.setdefault(listing.stock_item_id, listing)  # two listings of one item share its figures
        taken = stock.reserve_new(unit, item, listing, line.quantity)
        line.reserved, line.short = taken, line.quantity - taken
        if taken:
            movements.append(
                {
                    "id": new_id(),
                    "stock_item_id": item.stock_item_id,
                    "order_line_id": line.id,
                    "units": taken,
                    "key": f"reserve:{line.id}:0",
                }
            )
    sold = {listing.listing_id: listing for _, listing in pairs if listing is not None}
    await new_orders.insert_lines(unit, order_id, [line for line, _ in pairs], list(sold.values()), movements)
    short = sum(line.short for line, _ in pairs)
    if short:
        await new_orders.set_short(unit, order_id, short)
    _tell_sold(unit, account, order_id, {line.listing_id for line, _ in pairs if line.listing_id}, short)
    return IngestResult("created", order_id, short)


def _tell_sold(unit: UnitOfWork, account: AccountRef, order_id: UUID, listing_ids: set[UUID], short: int) -> None:
    unit.emit(OrderReceived(order_id=order_id, account_id=account.id, vendor=account.vendor, short_units=short))
    for listing_id in listing_ids:
        unit.emit(
            OfferChanged(listing_id=listing_id, account_id=account.id, vendor=account.vendor, cause="sale"),
            dedup_key=f"sale:{listing_id}:{int(unit.now.timestamp() // _PRICE_LOOK_SECONDS)}",
        )


async def reserve_missing(unit: UnitOfWork, order_id: UUID) -> int:
    """Try again to set aside the units an order is short of; returns how many it still lacks."""
    order = await _order(unit, order_id)
    if not order.holds_stock or order.state not in ("received", "reserved"):
        return 0
    lines = list(await repository.lines_of(unit.session, order_id))
    items = await repository.stock_items_of_lines(unit.session, lines)
    missing = 0
    for line in stock.by_item(lines, items):
        if line.short and line.listing_id in items:
            line.short -= await stock.reserve(unit, line, items[line.listing_id], line.short, sold_on=None)
        missing += line.short
    order.state = "received" if missing else "reserved"
    return missing


async def mark_ready(unit: UnitOfWork, order_id: UUID) -> None:
    """Everything is reserved: the order can be packed. Raises Conflict while units are short."""
    made = await repository.make_ready(unit.session, order_id)
    if made is not None:
        unit.emit(OrderReady(order_id=order_id, account_id=made[0], vendor=cast(Vendor, made[1])))
        return
    order = await _order(unit, order_id)
    if order.state not in ("ready", "shipped"):
        raise Conflict(f"order {order.number} is {order.state}: only a fully reserved order can be made ready")


async def hand_over(unit: UnitOfWork, account: AccountRef, order_id: UUID, carrier: str, tracking_number: str) -> None:
    """A parcel left with this tracking number. A second, different number for the same order is a Conflict, and so is
    any while books that were put back do not know what has left already."""
    order = await _order(unit, order_id)
    if await reconciling.awaits_reconciling(unit.session, order.account_id):
        raise Conflict(
            f"order {order.number} may have left the house already: the books were put back from a backup",
            hint="in a moment its channel has been read; then it is plain",
        )
    if order.state not in ("ready", "shipped"):
        raise Conflict(f"order {order.number} is {order.state}: it is not ready to ship")
    shipment = await repository.ensure_shipment(unit, order_id, carrier, tracking_number)
    if not shipment.carrier and not shipment.tracking_number:
        raise Conflict(f"order {order.number} was marked as shipped on its channel already")
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
    if order.state == "shipped" and order.status != "refunded":  # a refund may have closed it before
        return
    lines = list(await repository.lines_of(unit.session, order_id))
    items = await repository.stock_items_of_lines(unit.session, lines)
    for line in stock.by_item(lines, items):
        if line.listing_id in items:
            if line.short:  # sent all the same: nobody waits for them any more
                await stock.forgo(unit, line, items[line.listing_id], line.short)
            await stock.ship(unit, line, items[line.listing_id])
    shipment = await repository.ensure_shipment(unit, order_id, "", "")
    order.state, order.closed_at = "shipped", order.closed_at or unit.now
    if shipment.confirmed_at is None:
        shipment.confirmed_at = unit.now
        unit.emit(ShipmentConfirmed(order_id=order_id, account_id=account.id, vendor=account.vendor))


async def book_shipped(unit: UnitOfWork, account: AccountRef) -> int:
    """Orders that left the house as their channel says, while the books know nothing of it (they were put back from a
    backup): nothing may leave a second time. Returns how many."""
    found = await reconciling.shipped_unbooked(unit.session, account.id)
    for order_id in found:
        await confirm_shipped(unit, account, order_id)
    return len(found)


def _named(told: ChannelOrder) -> tuple[list[str], list[str]]:
    """The listings an order names: their ids on the channel, and SKUs."""
    external_ids = [line.listing_external_id for line in told.lines if line.listing_external_id]
    return external_ids, [line.sku for line in told.lines if line.sku]


def _finder(listings: Sequence[L]) -> Callable[[ChannelOrderLine], L | None]:
    """Finds a line's listing: by the channel's own id, else by SKU."""
    by_external = {listing.external_id: listing for listing in listings if listing.external_id}
    by_sku = {listing.sku: listing for listing in listings}
    return lambda line: by_external.get(line.listing_external_id or "") or by_sku.get(line.sku)


async def _listings(
    unit: UnitOfWork, account: AccountRef, told: ChannelOrder
) -> Callable[[ChannelOrderLine], SoldListing | None]:
    return _finder(await repository.listings_for_lines(unit.session, account.id, *_named(told)))


def _line(told: ChannelOrderLine, listing: SoldListing | Goods | None) -> NewLine:
    return NewLine(
        id=new_id(),
        external_id=told.external_id,
        listing_id=listing.listing_id if listing else None,
        sku=told.sku,
        title=told.title,
        quantity=told.quantity,
        total_minor=told.total.amount_minor,
        tax_minor=told.tax.amount_minor,
        cost_minor=listing.cost_minor if listing else None,
    )


def _is_longer(told: ChannelOrder, lines: list[OrderLine]) -> bool:
    known = {line.external_id: line.quantity for line in lines}
    return any(each.quantity > known.get(each.external_id, 0) for each in told.lines)


async def _may_grow(unit: UnitOfWork, order: Order) -> bool:
    """Whether what is added to an order can still go into its parcel."""
    waits = order.pool == warehouses.OWN and order.state in ("received", "reserved", "ready")
    return waits and not await repository.is_handed_over(unit.session, order.id)


async def _grown(
    unit: UnitOfWork, account: AccountRef, order: Order, told: ChannelOrder, lines: list[OrderLine]
) -> tuple[list[OrderLine], dict[UUID, int]]:
    """An order that was edited after it was placed: its lines with those that are new, and by line the units that came
    on top. What was taken out of it comes as a refund."""
    known = {line.external_id: line for line in lines}
    new = [each for each in told.lines if each.external_id not in known]
    if new:
        found = await _listings(unit, account, told)
        await new_orders.insert_lines(unit, order.id, [_line(each, found(each)) for each in new])
        lines = list(await repository.lines_of(unit.session, order.id))
    added = {line.id: line.quantity for line in lines if line.external_id not in known}
    for each in told.lines:
        line = known.get(each.external_id)
        if line is not None and each.quantity > line.quantity:
            added[line.id] = each.quantity - line.quantity
            line.quantity = each.quantity
            line.total_minor, line.tax_minor = each.total.amount_minor, each.tax.amount_minor
    return lines, added


async def _reserve_added(
    unit: UnitOfWork, lines: list[OrderLine], items: dict[UUID, UUID], added: dict[UUID, int]
) -> None:
    for line in stock.by_item([line for line in lines if line.id in added], items):
        if line.listing_id in items:
            got = await stock.reserve(unit, line, items[line.listing_id], added[line.id], sold_on=line.listing_id)
            line.short += added[line.id] - got


async def _reserve_all(unit: UnitOfWork, lines: list[OrderLine], items: dict[UUID, UUID]) -> None:
    for line in stock.by_item(lines, items):
        if line.listing_id not in items:
            continue  # not our listing: somebody sells it beside us on the same account
        wanted = line.quantity - line.reserved - line.shipped
        got = await stock.reserve(unit, line, items[line.listing_id], wanted, sold_on=line.listing_id)
        line.short = wanted - got


async def _give_back_all(unit: UnitOfWork, lines: list[OrderLine], items: dict[UUID, UUID]) -> dict[UUID, int]:
    """Units that were set aside and are not any more, by line."""
    released = {}
    for line in stock.by_item(lines, items):
        if line.short and line.listing_id in items:  # of all lines first: what is given back is then nobody's
            await stock.forgo(unit, line, items[line.listing_id], line.short)
        line.short = 0
    for line in stock.by_item(lines, items):
        if line.listing_id in items:
            released[line.id] = await stock.release(
                unit, line, items[line.listing_id], line.reserved, given_back_to=line.listing_id
            )
    return released


async def _restock(
    unit: UnitOfWork, lines: list[OrderLine], items: dict[UUID, UUID], restocked: dict[str, int]
) -> dict[UUID, int]:
    """Units that were set aside and are not any more, by line."""
    released = {}
    for line in stock.by_item(lines, items):
        units = restocked.get(line.external_id, 0)
        if not units or line.listing_id not in items:
            continue
        item = items[line.listing_id]
        never_had = min(line.short, units)  # the buyer gives up what we could not deliver before what lies ready
        if never_had:
            await stock.forgo(unit, line, item, never_had)
        units -= never_had
        returned = await stock.take_back(unit, line, item, units, given_back_to=line.listing_id)
        released[line.id] = await stock.release(unit, line, item, units - returned, given_back_to=line.listing_id)
    return released


async def _order(unit: UnitOfWork, order_id: UUID) -> Order:
    order = await repository.lock_order_by_id(unit.session, order_id)
    if order is None:
        raise NotFound(f"order {order_id} does not exist")
    return order
