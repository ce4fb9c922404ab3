"""The stock ledger: what lies on the shelf, what belongs to buyers, what each channel may sell.

Escrow partitions the free units over listings, so that no two channels can ever sell the same unit. Units taken from a
channel become free only after the channel has let go of them (`let_go`), units given count at once (`grant`), so
every crash in between leaves too little on offer, never too much. Pooled mode shows the same units everywhere: nothing
is held back for anybody, and what may be shown is granted in one statement (`grant_pooled` of the repository).

Where a buyer waits for units that were not there, whatever gets free is his: no channel is granted it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from flipsync.domain.advertising import AdvertisedStockTurned
from flipsync.domain.errors import Conflict, InvalidInput, NotFound
from flipsync.domain.events import StockFreed, StockMoved
from flipsync.domain.ids import new_id
from flipsync.services.partition import taken_by_sale
from flipsync.store.models import OrderLine, StockItem
from flipsync.store.repositories import stock as ledger
from flipsync.store.repositories.new_orders import Goods
from flipsync.store.unit_of_work import UnitOfWork

MAX_UNITS = 10_000_000
_NOWHERE = UUID(int=0)
#: movements that change how many units nobody has bought
_MOVING = frozenset({"receive", "count", "reserve", "release", "return", "send"})
_FREEING = frozenset({"receive", "count", "release", "return", "reallocate"})


@dataclass(frozen=True)
class Entitlement:
    """What a listing may sell now, and what it should become. Units."""

    stock_item_id: UUID
    mode: str
    entitled: int
    pending: int
    target: int
    #: units that nobody has and no buyer waits for
    free: int
    #: units that the channel ever put back on its shelf
    given_back: int


def _free(item: StockItem) -> int:
    return item.on_hand - item.reserved - item.allocated


def _tell_moved(unit: UnitOfWork, item_id: UUID, item: StockItem | Goods, kind: str, quantity: int) -> None:
    unit.emit(
        StockMoved(
            stock_item_id=item_id,
            variant_id=item.variant_id,
            kind=kind,
            quantity=quantity,
            on_hand=item.on_hand,
            reserved=item.reserved,
        )
    )
    if item.advertised:
        _tell_turned(unit, item_id, item.on_hand - item.reserved, -quantity if kind == "reserve" else quantity, kind)


def _tell_turned(unit: UnitOfWork, item_id: UUID, available: int, change: int, kind: str) -> None:
    """Whether the last unit nobody had bought went, or the first one came."""
    if kind in _MOVING and (available > 0) != (available - change > 0):
        unit.emit(AdvertisedStockTurned(stock_item_id=item_id, available=available))


def _tell(unit: UnitOfWork, item: StockItem, kind: str, quantity: int) -> None:
    _tell_moved(unit, item.id, item, kind, quantity)
    if kind in _FREEING and quantity > 0:
        unit.emit(StockFreed(stock_item_id=item.id))


async def receive(
    unit: UnitOfWork,
    variant_id: UUID,
    quantity: int,
    *,
    key: str,
    mode: str,
    note: str = "",
    happened_at: datetime | None = None,
    happened_from: datetime | None = None,
) -> UUID:
    """Goods arrive: `quantity` more units on the shelf. Returns the stock item's id. A repeated `key` is a no-op."""
    if not 0 <= quantity <= MAX_UNITS:
        raise InvalidInput(f"{quantity} units cannot be received", hint=f"give 0 to {MAX_UNITS:,}")
    item = await ledger.ensure_item(unit, variant_id, mode=mode)
    if quantity and await ledger.move(
        unit,
        item,
        "receive",
        on_hand=quantity,
        key=key,
        note=note,
        happened_at=happened_at,
        happened_from=happened_from,
    ):
        await _book_pending_count(unit, item)
        _tell(unit, item, "receive", quantity)
    return item.id


async def count(
    unit: UnitOfWork,
    stock_item_id: UUID,
    counted: int,
    *,
    key: str,
    note: str = "",
    seen_at: datetime | None = None,
) -> int:
    """Somebody counted the shelf: book the difference and return what is booked now.

    When fewer were counted than channels were promised, the rest is booked as soon as the channels have let go. Raises
    Conflict when fewer were counted than buyers have paid for: that is for a person to settle. `seen_at` is when the
    shelf was looked at; None where the figure comes from a file or a report.
    """
    if not 0 <= counted <= MAX_UNITS:
        raise InvalidInput(f"a shelf cannot hold {counted} units", hint=f"give 0 to {MAX_UNITS:,}")
    item = await _locked(unit, stock_item_id)
    if counted < item.reserved:
        raise Conflict(
            f"{counted} units counted, but {item.reserved} belong to buyers", hint="cancel an order or count again"
        )
    booked = max(counted, item.reserved + item.allocated) - item.on_hand
    # a count that moves nothing is in the ledger too: told again later, it is still the old one
    if not await ledger.move(unit, item, "count", on_hand=booked, key=key, note=note, happened_at=seen_at):
        return 0
    await ledger.note_count(unit.session, item, pending=counted if item.on_hand > counted else None, seen_at=seen_at)
    if booked or item.on_hand > counted:
        _tell(unit, item, "count", booked)
    return booked


async def hold(unit: UnitOfWork, stock_item_id: UUID) -> None:
    """Nobody else moves its units before this transaction ends. Raises NotFound."""
    await _locked(unit, stock_item_id)


def reserve_new(unit: UnitOfWork, item: Goods, listing: Goods, quantity: int) -> int:
    """Set units aside for a line of an order that is just being made; returns how many exist for it.

    `item` has the stock item's figures, `listing` the seller's; both are locked, and the caller writes them.
    """
    free = item.on_hand - item.reserved - item.allocated
    from_channel, taken = taken_by_sale(quantity, entitled=listing.entitled, mode=item.mode, free=free)
    listing.entitled -= from_channel
    listing.pending = min(listing.pending, listing.entitled)
    listing.target = max(0, listing.target - from_channel)
    if item.mode == "escrow":
        item.allocated -= from_channel
    if taken:
        item.reserved += taken
        _tell_moved(unit, item.stock_item_id, item, "reserve", taken)
    if taken < quantity:
        _tell_moved(unit, item.stock_item_id, item, "short", quantity - taken)
    return taken


async def reserve(
    unit: UnitOfWork, line: OrderLine, stock_item_id: UUID, quantity: int, *, sold_on: UUID | None
) -> int:
    """Set units aside for a buyer and return how many exist for them. `sold_on` is the listing that sold them."""
    item = await _locked(unit, stock_item_id)
    allocation = await ledger.allocation_of(unit.session, sold_on) if sold_on is not None else None
    if allocation is not None and allocation.stock_item_id != stock_item_id:
        allocation = None  # sold there, but out of another pool
    entitled = allocation.entitled if allocation is not None else 0
    from_channel, can = taken_by_sale(quantity, entitled=entitled, mode=item.mode, free=_free(item))
    if allocation is not None:
        allocation.sold += quantity
        allocation.entitled -= from_channel
        allocation.pending = min(allocation.pending, allocation.entitled)
        allocation.target = max(0, allocation.target - from_channel)
        await unit.session.flush()
    if can < quantity and sold_on is not None:
        _tell(unit, item, "short", quantity - can)
    if can <= 0:
        return 0
    moved = await ledger.move(
        unit,
        item,
        "reserve",
        reserved=can,
        key=f"reserve:{line.id}:{line.reserved + line.shipped + line.returned}",
        order_line_id=line.id,
    )
    if not moved:
        return 0
    line.reserved += can
    _tell(unit, item, "reserve", can)
    return can


def by_item(lines: Sequence[OrderLine], items: Mapping[UUID, UUID]) -> list[OrderLine]:
    """Lines in the order of their stock items' ids, so that two orders never lock two items crosswise."""
    return sorted(lines, key=lambda line: items.get(line.listing_id, _NOWHERE) if line.listing_id else _NOWHERE)


async def forgo(unit: UnitOfWork, line: OrderLine, stock_item_id: UUID, quantity: int) -> None:
    """The buyer no longer waits for units that were not there: whatever gets free can be offered again."""
    item = await _locked(unit, stock_item_id)
    line.short -= quantity
    _tell(unit, item, "forgo", quantity)


async def release(
    unit: UnitOfWork, line: OrderLine, stock_item_id: UUID, quantity: int, *, given_back_to: UUID | None
) -> int:
    """Undo a reservation. `given_back_to` is the listing whose channel has put the units back on its own shelf."""
    quantity = min(quantity, line.reserved)
    if quantity <= 0:
        return 0
    item = await _locked(unit, stock_item_id)
    key = f"release:{line.id}:{line.returned}:{quantity}"
    if not await ledger.move(unit, item, "release", reserved=-quantity, key=key, order_line_id=line.id):
        return 0
    line.reserved -= quantity
    line.returned += quantity
    await _entitle_back(unit, item, given_back_to, quantity)
    await _book_pending_count(unit, item)
    _tell(unit, item, "release", quantity)
    return quantity


async def reassign(unit: UnitOfWork, giving: OrderLine, getting: OrderLine, stock_item_id: UUID, quantity: int) -> int:
    """Units set aside for one buyer are set aside for another, who lacks them; the first lacks them then."""
    if quantity <= 0:
        return 0
    item = await _locked(unit, stock_item_id)
    turn = f"{giving.id}:{getting.id}:{new_id()}"
    await ledger.move(unit, item, "release", reserved=-quantity, key=f"taken:{turn}", order_line_id=giving.id)
    await ledger.move(unit, item, "reserve", reserved=quantity, key=f"given:{turn}", order_line_id=getting.id)
    giving.reserved, giving.short = giving.reserved - quantity, giving.short + quantity
    getting.reserved, getting.short = getting.reserved + quantity, getting.short - quantity
    await unit.session.flush()
    return quantity


async def ship(unit: UnitOfWork, line: OrderLine, stock_item_id: UUID) -> int:
    """Reserved units leave the house."""
    quantity = line.reserved
    if quantity <= 0:
        return 0
    item = await _locked(unit, stock_item_id)
    key = f"ship:{line.id}:{line.shipped + line.returned}"
    if not await ledger.move(unit, item, "ship", on_hand=-quantity, reserved=-quantity, key=key, order_line_id=line.id):
        return 0
    line.reserved -= quantity
    line.shipped += quantity
    return quantity


async def take_back(
    unit: UnitOfWork, line: OrderLine, stock_item_id: UUID, quantity: int, *, given_back_to: UUID | None
) -> int:
    """Shipped units come back to the shelf (a refund with restock)."""
    quantity = min(quantity, line.shipped)
    if quantity <= 0:
        return 0
    item = await _locked(unit, stock_item_id)
    key = f"return:{line.id}:{line.returned}:{quantity}"
    if not await ledger.move(unit, item, "return", on_hand=quantity, key=key, order_line_id=line.id):
        return 0
    line.shipped -= quantity
    line.returned += quantity
    await _entitle_back(unit, item, given_back_to, quantity)
    await _book_pending_count(unit, item)
    _tell(unit, item, "return", quantity)
    return quantity


async def spare(unit: UnitOfWork, stock_item_id: UUID) -> int:
    """Units that no buyer has or waits for and that are not to go elsewhere, on offer or not; the item is locked."""
    item = await _locked(unit, stock_item_id)
    on_shelf = item.on_hand if item.pending_count is None else min(item.on_hand, item.pending_count)
    return on_shelf - item.reserved - await ledger.owed(unit.session, item.id)


async def tell_meant(unit: UnitOfWork, stock_item_id: UUID, kind: Literal["transfer", "keep"], quantity: int) -> None:
    """Units are meant for another pool, or not any more: channels are to be given fewer, or more."""
    await unit.session.flush()
    _tell(unit, await _locked(unit, stock_item_id), kind, quantity)


async def send(unit: UnitOfWork, stock_item_id: UUID, quantity: int, *, key: str, note: str) -> None:
    """Units leave the shelf for another pool. Raises Conflict where they are not there, or a channel still offers them.

    What buyers wait for stays. The caller has taken `quantity` out of what is owed (see `ledger.OWED`) before.
    """
    item = await _locked(unit, stock_item_id)
    left = item.on_hand if item.pending_count is None else min(item.on_hand, item.pending_count)
    left -= item.reserved + await ledger.waited_for(unit.session, item.id)
    if left < quantity:
        raise Conflict(f"only {max(0, left)} units are there to send", hint="send fewer, or call it off")
    if left - item.allocated < quantity:
        raise Conflict(
            f"channels still offer {quantity - max(0, left - item.allocated)} of these units",
            hint="they are being taken off sale: try again in a minute",
        )
    if await ledger.move(unit, item, "send", on_hand=-quantity, key=key, note=note):
        _tell(unit, item, "send", -quantity)


async def come_home(unit: UnitOfWork, stock_item_id: UUID, quantity: int, *, key: str, note: str) -> int:
    """Units that had left the shelf without a buyer are on it again; returns how many, 0 for a repeated `key`."""
    item = await _locked(unit, stock_item_id)
    if not await ledger.move(unit, item, "return", on_hand=quantity, key=key, note=note):
        return 0
    await _book_pending_count(unit, item)
    _tell(unit, item, "return", quantity)
    return quantity


async def lose(unit: UnitOfWork, stock_item_id: UUID, quantity: int, *, key: str, note: str) -> None:
    """Units the books have on the shelf are not there: as if somebody had counted that many fewer."""
    item = await _locked(unit, stock_item_id)
    there = item.on_hand if item.pending_count is None else min(item.on_hand, item.pending_count)
    await count(unit, stock_item_id, max(item.reserved, there - quantity), key=key, note=note)


async def set_targets(unit: UnitOfWork, stock_item_id: UUID, shares: Mapping[UUID, int]) -> None:
    """What each listing should end up with. Raises Conflict when the shares exceed what is not reserved (escrow)."""
    await unit.session.flush()
    current = await ledger.lock_shares(unit.session, stock_item_id)
    unknown = set(shares) - {row.listing_id for row in current}
    if unknown:
        await _locked(unit, stock_item_id)  # which of the two is not there?
        raise NotFound(f"listing {min(map(str, unknown))} has no share of this stock item")
    wanted = {row.listing_id: shares.get(row.listing_id, row.target) for row in current}
    if current and current[0].mode == "escrow" and sum(wanted.values()) > current[0].available:
        raise Conflict(f"{sum(wanted.values())} units promised to channels, {current[0].available} are there")
    moved = {row.listing_id: wanted[row.listing_id] for row in current if wanted[row.listing_id] != row.target}
    if moved:
        await ledger.set_targets(unit.session, moved)


async def entitlement(unit: UnitOfWork, listing_id: UUID) -> Entitlement | None:
    """What the listing may sell at this moment; the item stays locked until the transaction ends."""
    stock_item_id = await ledger.item_of_listing(unit.session, listing_id)
    if stock_item_id is None:
        return None
    item = await _locked(unit, stock_item_id)
    allocation = await ledger.allocation_of(unit.session, listing_id)
    assert allocation is not None, "item_of_listing found it"
    return Entitlement(
        stock_item_id=item.id,
        mode=item.mode,
        entitled=allocation.entitled,
        pending=allocation.pending,
        target=allocation.target,
        free=max(0, _free(item) - await ledger.owed(unit.session, item.id)),
        given_back=allocation.given_back,
    )


def is_edit(shown: int, before: Entitlement, after: Entitlement, *, lists_orders: bool) -> bool:
    """Whether somebody changed the units a channel shows: neither sales nor cancellations explain them.

    `before` is what the ledger knew when the channel was read, `after` what it knew once outstanding orders were
    booked. Fewer units may have been sold where orders cannot be listed at will.
    """
    if before.pending or shown in (before.entitled, after.entitled) or after.given_back != before.given_back:
        return False
    return shown > before.entitled or (lists_orders and after.entitled == before.entitled)


async def grant(unit: UnitOfWork, listing_id: UUID) -> int:
    """Give the listing what it lacks and is free (escrow); returns what it may now show. New units are pending."""
    state = await entitlement(unit, listing_id)
    if state is None:
        raise NotFound(f"listing {listing_id} has no stock")
    allocation = await ledger.allocation_of(unit.session, listing_id)
    assert allocation is not None
    more = max(0, min(state.target - state.entitled, state.free))
    allocation.entitled += more
    allocation.pending += more
    await unit.session.flush()
    return allocation.entitled


async def let_go(unit: UnitOfWork, listing_id: UUID, down_to: int) -> int:
    """The channel shows at most `down_to` units now and every earlier sale is booked: the rest of its units is free.

    Returns how many units became free and tells the inventory agent.
    """
    state = await entitlement(unit, listing_id)
    if state is None:
        raise NotFound(f"listing {listing_id} has no stock")
    released = max(0, state.entitled - down_to)
    if released:
        allocation = await ledger.allocation_of(unit.session, listing_id)
        assert allocation is not None
        allocation.entitled = down_to
        allocation.pending = min(allocation.pending, down_to)
        item = await _locked(unit, state.stock_item_id)
        await _book_pending_count(unit, item)
        _tell(unit, item, "reallocate", released)
    return released


async def entitle_to_shown(unit: UnitOfWork, listing_id: UUID, quantity: int) -> bool:
    """After a restore: the channel shows `quantity` and every sale before that is booked.

    False when there are fewer units than it shows: then it has to be lowered before anybody is granted more.
    """
    state = await entitlement(unit, listing_id)
    if state is None:
        return True
    allocation = await ledger.allocation_of(unit.session, listing_id)
    assert allocation is not None
    covered = quantity if state.mode == "pooled" else min(quantity, state.entitled + state.free)
    allocation.entitled, allocation.pending = covered, 0
    await unit.session.flush()
    return covered == quantity


async def shown(unit: UnitOfWork, listing_id: UUID) -> None:
    """The channel confirmed showing everything that was granted.

    When that is less than intended because another listing still holds units that nobody is taking back, the
    inventory agent is told to look again.
    """
    allocation = await ledger.allocation_of(unit.session, listing_id)
    if allocation is None:
        return
    allocation.pending = 0
    await unit.session.flush()
    if allocation.entitled < allocation.target and await ledger.idle_overhang(unit.session, allocation.stock_item_id):
        _tell(unit, await _locked(unit, allocation.stock_item_id), "reallocate", 0)


async def _book_pending_count(unit: UnitOfWork, item: StockItem) -> None:
    """Units that were counted as missing are booked away as far as they are no channel's: let go of, or come anew."""
    if item.pending_count is None:
        return
    gone = min(_free(item), item.on_hand - item.pending_count)
    if gone > 0:
        key, note = f"count:{item.id}:{new_id()}", "counted earlier"
        await ledger.move(unit, item, "count", on_hand=-gone, key=key, note=note, happened_at=item.counted_at)
    if item.on_hand <= item.pending_count:
        await ledger.note_count(unit.session, item, pending=None)


async def _locked(unit: UnitOfWork, stock_item_id: UUID) -> StockItem:
    await unit.session.flush()
    item = await ledger.lock_item(unit.session, stock_item_id)
    if item is None:
        raise NotFound(f"stock item {stock_item_id} does not exist")
    return item


async def _entitle_back(unit: UnitOfWork, item: StockItem, listing_id: UUID | None, quantity: int) -> None:
    if listing_id is None:
        return
    allocation = await ledger.allocation_of(unit.session, listing_id)
    if allocation is not None and allocation.stock_item_id != item.id:
        return  # its share of another pool is none of this one's business
    if allocation is not None and await ledger.is_live(unit.session, listing_id):  # else nobody sells them there: free
        # a sale told before the cancellation that made room for it: these are no longer on the channel's shelf
        still_there = quantity - min(quantity, await ledger.owed_by(unit.session, listing_id))
        allocation.entitled += still_there
        allocation.target += still_there
        allocation.given_back += quantity
        await ledger.refresh(unit.session, item)
