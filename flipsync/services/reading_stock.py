"""The stock ledger as people see it. All figures are units."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from flipsync.domain.errors import NotFound
from flipsync.services.reading_page import Moment, Page, PageRequest, SortedRequest, View, cut, sorted_by
from flipsync.store.reading import Reader, Rows
from flipsync.store.repositories import reading_stock as rows

StockSort = Annotated[str | None, sorted_by(rows.ITEM_SORTS)]

MovementKind = Literal["receive", "count", "reserve", "release", "ship", "return", "send"]


class StockItemView(View):
    """Units of one variant in one pool."""

    id: UUID
    variant_id: UUID
    sku: str
    title: str
    pool: str
    mode: str
    on_hand: int = Field(description="on the shelf")
    reserved: int = Field(description="of those, a buyer's")
    allocated: int = Field(description="of the rest, promised to single channels")
    free: int = Field(description="nobody's yet")
    pending_count: int | None = Field(description="a lower count, booked as soon as the channels have let go")
    updated_at: Moment


class ShareView(View):
    """What one listing may sell of a stock item."""

    listing_id: UUID
    account_id: UUID
    entitled: int
    pending: int
    target: int


class StockItemDetail(StockItemView):
    """`version` is the ETag: it changes when units come onto the shelf or leave it, or somebody counts."""

    shares: list[ShareView]
    version: int


class MovementView(View):
    id: UUID
    at: Moment
    kind: str
    on_hand_delta: int
    reserved_delta: int
    order_line_id: UUID | None
    note: str


class StockFilter(View):
    """`available_at_most` finds what runs low: units on the shelf that are not a buyer's."""

    sku: str | None = None
    variant_id: UUID | None = None
    pool: str | None = None
    available_at_most: int | None = Field(default=None, ge=0)


async def list_stock_items(reader: Reader, page: SortedRequest, where: StockFilter) -> Page[StockItemView]:
    """Newest first by default. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.ITEM_SORTS)
    asked = rows.ITEMS(
        place,
        variant_id=where.variant_id,
        sku=where.sku,
        pool=where.pool,
        available_at_most=where.available_at_most,
    )
    (found,) = await reader.ask(asked)
    return cut(found, page.limit, lambda row: StockItemView(**_fields(row)), place.cursor_of)


async def get_stock_item(reader: Reader, stock_item_id: UUID) -> StockItemDetail:
    """With what each listing may sell of it. Raises NotFound."""
    found, shares, moves = await reader.ask(
        rows.ITEM(stock_item_id=stock_item_id),
        rows.SHARES(stock_item_id=stock_item_id),
        rows.SHELF_MOVES(stock_item_id=stock_item_id),
    )
    return StockItemDetail(
        **_fields(_one(found, stock_item_id)),
        version=moves[0].moves,
        shares=[
            ShareView(
                listing_id=share.listing_id,
                account_id=share.account_id,
                entitled=share.entitled,
                pending=share.pending,
                target=share.target,
            )
            for share in shares
        ],
    )


async def list_movements(
    reader: Reader, stock_item_id: UUID, page: PageRequest, kind: MovementKind | None = None
) -> Page[MovementView]:
    """Newest first. Raises NotFound, InvalidInput."""
    asked = rows.MOVEMENTS(stock_item_id=stock_item_id, limit=page.limit + 1, after=page.after_id(), kind=kind)
    item, found = await reader.ask(rows.ITEM(stock_item_id=stock_item_id), asked)
    _one(item, stock_item_id)
    return cut(found, page.limit, _movement, lambda row: [str(row.id)])


def _one(found: Rows, stock_item_id: UUID) -> Any:
    if not found:
        raise NotFound(f"no stock item {stock_item_id}")
    return found[0]


def _fields(row: Any) -> dict[str, Any]:
    """The fields of a StockItemView."""
    return {
        "id": row.id,
        "variant_id": row.variant_id,
        "sku": row.sku,
        "title": row.title,
        "pool": row.pool,
        "mode": row.mode,
        "on_hand": row.on_hand,
        "reserved": row.reserved,
        "allocated": row.allocated,
        "free": row.on_hand - row.reserved - row.allocated,
        "pending_count": row.pending_count,
        "updated_at": row.updated_at,
    }


def _movement(row: Any) -> MovementView:
    return MovementView(
        id=row.id,
        at=row.at,
        kind=row.kind,
        on_hand_delta=row.on_hand_delta,
        reserved_delta=row.reserved_delta,
        order_line_id=row.order_line_id,
        note=row.note,
    )
