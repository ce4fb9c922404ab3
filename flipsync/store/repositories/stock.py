"""The stock ledger's statements. Whoever changes an item's figures holds its row lock, so changes come one by one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.store.database import ask
from flipsync.store.models import Allocation, Effect, Listing, OrderLine, StockItem, StockMovement
from flipsync.store.reading import Rows, Sentence
from flipsync.store.unit_of_work import UnitOfWork


async def lock_item(session: AsyncSession, stock_item_id: UUID) -> StockItem | None:
    """The item with fresh figures, locked until the transaction ends."""
    return await _lock(session, StockItem.id == stock_item_id)


async def _lock(session: AsyncSession, *which: ColumnElement[bool]) -> StockItem | None:
    query = select(StockItem).where(*which).with_for_update().execution_options(populate_existing=True)
    return (await session.scalars(query)).one_or_none()


async def ensure_item(unit: UnitOfWork, variant_id: UUID, *, mode: str, pool: str = "own") -> StockItem:
    """The variant's stock item, made when it is not there; locked."""
    await unit.session.flush()
    which = (StockItem.variant_id == variant_id, StockItem.pool == pool)
    item = await _lock(unit.session, *which)
    if item is None:  # rare, and perhaps somebody else makes it meanwhile
        about = {"variant_id": variant_id, "pool": pool, "mode": mode}
        await ask(unit.session, [_MAKE_ITEM(id=new_id(), tenant_id=unit.tenant_id, now=utc_now(), **about)])
        item = await _lock(unit.session, *which)
    assert item is not None, "just made or found"
    return item


_MAKE_ITEM = Sentence(
    """
    INSERT INTO stock_item (id, tenant_id, variant_id, pool, mode, on_hand, reserved, allocated, created_at, updated_at)
    VALUES (:id, :tenant_id, :variant_id, :pool, :mode, 0, 0, 0, :now, :now)
    ON CONFLICT (tenant_id, variant_id, pool) DO NOTHING
    """
)


async def item_of_variant(session: AsyncSession, variant_id: UUID, pool: str = "own") -> UUID | None:
    return (
        await session.scalars(select(StockItem.id).where(StockItem.variant_id == variant_id, StockItem.pool == pool))
    ).one_or_none()


async def item_of_listing(session: AsyncSession, listing_id: UUID) -> UUID | None:
    return (
        await session.scalars(select(Allocation.stock_item_id).where(Allocation.listing_id == listing_id))
    ).one_or_none()


async def refresh(session: AsyncSession, item: StockItem) -> None:
    """Read the figures again after triggers changed them."""
    await session.flush()
    _see(item, (await ask(session, [_FIGURES(id=item.id)]))[0])


_FIGURES = Sentence("SELECT on_hand, reserved, allocated, mode, pending_count FROM stock_item WHERE id = :id")


def _see(item: StockItem, figures: Rows) -> None:
    assert figures, "it is locked"
    for name, value in figures[0]._asdict().items():
        set_committed_value(item, name, value)


@dataclass(frozen=True)
class LockedShare:
    """One listing's share of a locked item. `available`: the item's units that belong to no buyer."""

    mode: str
    available: int
    listing_id: UUID
    target: int


_LOCK_SHARES = text(
    """
    SELECT i.mode, i.on_hand - i.reserved AS available, a.listing_id, a.target
      FROM stock_item i JOIN allocation a ON a.stock_item_id = i.id
     WHERE i.id = :id
     ORDER BY a.id
       FOR UPDATE OF i, a
    """
)
_SET_TARGETS = text(
    """
    UPDATE allocation SET target = t.value::bigint, updated_at = :now
      FROM json_each_text(CAST(:targets AS json)) AS t
     WHERE allocation.listing_id = t.key::uuid
    """
)


async def lock_shares(session: AsyncSession, stock_item_id: UUID) -> list[LockedShare]:
    """The item's shares with fresh figures, locked with it until the transaction ends; [] when it has none."""
    return [LockedShare(*row) for row in await session.execute(_LOCK_SHARES, {"id": stock_item_id})]


async def set_targets(session: AsyncSession, targets: Mapping[UUID, int]) -> None:
    """Listing id → units it should end up with."""
    told = orjson.dumps({str(listing_id): units for listing_id, units in targets.items()}).decode()
    await session.execute(_SET_TARGETS, {"targets": told, "now": utc_now()})


#: units of stock item `i` that buyers wait for and nothing is set aside for yet: whatever gets free is theirs first
_WAITING = """
    (SELECT coalesce(sum(w.short), 0)::bigint FROM allocation x JOIN order_line w ON w.listing_id = x.listing_id
      WHERE x.stock_item_id = i.id AND w.short > 0)"""
#: units of `i` that no channel is given: those, and what is to be sent to a channel's warehouse
OWED = f"""
    ({_WAITING} + (SELECT coalesce(sum(t.planned), 0)::bigint FROM stock_transfer t
                    WHERE t.from_item_id = i.id AND t.state = 'planned'))"""  # noqa: S608 - made of two constants
_OWED = text(f"SELECT {OWED} FROM stock_item i WHERE i.id = :id")  # noqa: S608 - made of two constants
_WAITED_FOR = text(f"SELECT {_WAITING} FROM stock_item i WHERE i.id = :id")  # noqa: S608 - made of two constants
# Items first, in the order of their ids, and with the figures they have once they are locked (what is owed is as it was
# when the statement began: an order that falls short meanwhile tells every channel again).
_GRANT_POOLED = text(
    f"""
    WITH items AS MATERIALIZED (
        SELECT i.id, i.on_hand - i.reserved - i.allocated - {OWED} AS free
          FROM stock_item i
         WHERE i.mode = 'pooled'
           AND i.id IN (SELECT stock_item_id FROM allocation WHERE listing_id = ANY(:listing_ids))
         ORDER BY i.id
           FOR UPDATE
    )
    UPDATE allocation a SET entitled = least(a.target, greatest(0, items.free)), pending = 0, updated_at = :now
      FROM items, listing l
     WHERE a.listing_id = ANY(:listing_ids) AND a.stock_item_id = items.id
       AND l.id = a.listing_id AND l.status = 'active' AND l.external_id IS NOT NULL
    RETURNING a.listing_id, l.external_id, a.entitled,
              CASE WHEN l.quantity_shown IS NOT NULL THEN greatest(l.quantity_shown,
                   (SELECT old.entitled FROM allocation old WHERE old.id = a.id)) END, a.given_back
    """  # noqa: S608 - made of two constants
)


class PooledGrant(NamedTuple):
    """What a listing of a pooled item may show. `explained`: the most units that our writes, what was sold since and
    what came back leave it with, or None; `given_back`: units that cancellations have put on its shelf so far."""

    external_id: str
    units: int
    explained: int | None
    given_back: int


async def grant_pooled(session: AsyncSession, listing_ids: Collection[UUID]) -> dict[UUID, PooledGrant]:
    """Entitle live listings of pooled items to their targets as far as units are free, by their ids. Listings of
    partitioned items, and those off sale, are left out."""
    rows = await session.execute(_GRANT_POOLED, {"listing_ids": list(listing_ids), "now": utc_now()})
    return {row[0]: PooledGrant(*row[1:]) for row in rows}


async def owed(session: AsyncSession, stock_item_id: UUID) -> int:
    """Units that buyers wait for, and those to be sent to a channel's warehouse (see `OWED`)."""
    return (await session.scalar(_OWED, {"id": stock_item_id})) or 0


async def waited_for(session: AsyncSession, stock_item_id: UUID) -> int:
    """Units that buyers wait for."""
    return (await session.scalar(_WAITED_FOR, {"id": stock_item_id})) or 0


async def owed_by(session: AsyncSession, listing_id: UUID) -> int:
    """Units the listing's channel sold beyond its share."""
    found = await session.scalar(
        select(func.coalesce(func.sum(OrderLine.short), 0)).where(
            OrderLine.listing_id == listing_id, OrderLine.short > 0
        )
    )
    return int(found or 0)


async def allocation_of(session: AsyncSession, listing_id: UUID) -> Allocation | None:
    return (
        await session.scalars(
            select(Allocation).where(Allocation.listing_id == listing_id).execution_options(populate_existing=True)
        )
    ).one_or_none()


async def shares_of_account(session: AsyncSession, account_id: UUID) -> dict[UUID, tuple[int, int]]:
    """listing id → (entitled, pending) of every listing of an account, unlocked."""
    rows = await session.execute(
        select(Allocation.listing_id, Allocation.entitled, Allocation.pending)
        .join(Listing, Listing.id == Allocation.listing_id)
        .where(Listing.account_id == account_id)
    )
    return {row[0]: (row[1], row[2]) for row in rows}


async def given_back(session: AsyncSession, listing_ids: Collection[UUID]) -> dict[UUID, int]:
    """Units that cancellations have put back on each listing's shelf so far."""
    query = select(Allocation.listing_id, Allocation.given_back).where(Allocation.listing_id.in_(list(listing_ids)))
    return {row.listing_id: row.given_back for row in await session.execute(query)}


async def is_live(session: AsyncSession, listing_id: UUID) -> bool:
    """Whether the channel can still sell what the listing is given."""
    status = await session.scalar(select(Listing.status).where(Listing.id == listing_id))
    return status not in ("ended", "vanished", "refused")


async def note_given_back(session: AsyncSession, listing_id: UUID, units: int) -> None:
    """The channel put units back on its shelf that were never taken out of the listing's share."""
    await session.execute(
        update(Allocation)
        .where(Allocation.listing_id == listing_id)
        .values(given_back=Allocation.given_back + units)
        .execution_options(synchronize_session=False)
    )


async def ensure_allocation(unit: UnitOfWork, listing_id: UUID, stock_item_id: UUID) -> None:
    await unit.session.execute(
        insert(Allocation)
        .values(id=new_id(), tenant_id=unit.tenant_id, listing_id=listing_id, stock_item_id=stock_item_id)
        .on_conflict_do_nothing(index_elements=["listing_id"])
    )


async def move(
    unit: UnitOfWork,
    item: StockItem,
    kind: str,
    *,
    on_hand: int = 0,
    reserved: int = 0,
    key: str,
    order_line_id: UUID | None = None,
    note: str = "",
    happened_at: datetime | None = None,
    happened_from: datetime | None = None,
) -> bool:
    """Append a movement; False when `key` is in the ledger already (nothing changes then)."""
    await unit.session.flush()
    movement = _MOVE(
        id=new_id(),
        tenant_id=unit.tenant_id,
        stock_item_id=item.id,
        kind=kind,
        on_hand=on_hand,
        reserved=reserved,
        order_line_id=order_line_id,
        key=key,
        note=note,
        at=unit.now,
        happened_at=happened_at,
        happened_from=happened_from,
    )
    moved, figures = await ask(unit.session, [movement, _FIGURES(id=item.id)])
    _see(item, figures)
    if moved and on_hand and kind != "count" and item.pending_count is not None:
        await note_count(unit.session, item, pending=max(0, item.pending_count + on_hand))  # the shelf moved since
    return bool(moved)


_MOVE = Sentence(
    """
    INSERT INTO stock_movement (id, tenant_id, stock_item_id, kind, on_hand_delta, reserved_delta, order_line_id, key,
                                note, at, happened_at, happened_from)
    VALUES (:id, :tenant_id, :stock_item_id, :kind, :on_hand, :reserved, :order_line_id, :key, :note, :at, :happened_at,
            :happened_from)
    ON CONFLICT (tenant_id, key) DO NOTHING
    RETURNING id
    """
)
_NOTE_COUNT = Sentence(
    """
    UPDATE stock_item SET pending_count = :pending, counted_at = greatest(counted_at, :seen_at), updated_at = :now
     WHERE id = :id
    """
)


async def note_count(
    session: AsyncSession, item: StockItem, *, pending: int | None, seen_at: datetime | None = None
) -> None:
    """`pending`: what was counted and cannot be booked yet. `seen_at`: the shelf was looked at then; an earlier look
    changes nothing."""
    await ask(session, [_NOTE_COUNT(id=item.id, pending=pending, seen_at=seen_at, now=utc_now())])
    set_committed_value(item, "pending_count", pending)
    if seen_at is not None and (item.counted_at is None or item.counted_at < seen_at):
        set_committed_value(item, "counted_at", seen_at)


async def moved_since(session: AsyncSession, stock_item_id: UUID, first: datetime, last: datetime) -> tuple[int, int]:
    """By how many units the shelf changed after a moment between `first` and `last`, as far as it is booked: for
    certain, and perhaps. What was counted is left out."""
    latest = func.coalesce(StockMovement.happened_at, StockMovement.at)
    earliest = func.coalesce(StockMovement.happened_from, latest)
    units = func.sum(StockMovement.on_hand_delta)
    a_count = (StockMovement.kind == "count") & StockMovement.happened_at.is_not(None)
    found = await session.execute(
        select(func.coalesce(units.filter(earliest > last), 0), func.coalesce(units.filter(latest > first), 0)).where(
            StockMovement.stock_item_id == stock_item_id,
            StockMovement.at > first,  # nothing is booked before it happens
            ~a_count,
        )
    )
    certain, perhaps = found.one()
    return int(certain), int(perhaps)


async def set_mode(session: AsyncSession, stock_item_id: UUID, mode: str) -> None:
    await session.execute(update(StockItem).where(StockItem.id == stock_item_id).values(mode=mode))


async def idle_overhang(session: AsyncSession, stock_item_id: UUID) -> bool:
    """Whether a listing holds more than it should and nothing is under way to take it back."""
    under_way = (
        exists()
        .where(Effect.subject_kind == "listing", Effect.subject_id == Allocation.listing_id)
        .where(Effect.finished_at.is_(None))
    )
    found = await session.scalar(
        select(Allocation.id)
        .where(Allocation.stock_item_id == stock_item_id, Allocation.entitled > Allocation.target, ~under_way)
        .limit(1)
    )
    return found is not None


async def listings_of_item(session: AsyncSession, stock_item_id: UUID) -> Sequence[tuple[Allocation, Listing]]:
    rows = await session.execute(
        select(Allocation, Listing)
        .join(Listing, Listing.id == Allocation.listing_id)
        .where(Allocation.stock_item_id == stock_item_id)
        .order_by(Allocation.id)
    )
    return [(allocation, listing) for allocation, listing in rows]
