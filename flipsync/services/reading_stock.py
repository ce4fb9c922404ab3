"""The stock ledger as people see it. All figures are units."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import NotFound
from flipsync.services.reading_page import Moment, Page, PageRequest, View, cut
from flipsync.store.models import StockMovement
from flipsync.store.repositories import reading_stock as rows

MovementKind = Literal["receive", "count", "reserve", "release", "ship", "return"]


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
    shares: list[ShareView]


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


async def list_stock_items(session: AsyncSession, page: PageRequest, where: StockFilter) -> Page[StockItemView]:
    """Newest first. Raises InvalidInput for a foreign cursor."""
    found = await rows.items(
        session,
        limit=page.limit + 1,
        after=page.after_id(),
        variant_id=where.variant_id,
        sku=where.sku,
        pool=where.pool,
        available_at_most=where.available_at_most,
    )
    return cut(found, page.limit, _view, lambda row: [str(row[0].id)])


async def get_stock_item(session: AsyncSession, stock_item_id: UUID) -> StockItemDetail:
    """With what each listing may sell of it. Raises NotFound."""
    view = await _item(session, stock_item_id)
    shares = [
        ShareView(
            listing_id=share.listing_id,
            account_id=account_id,
            entitled=share.entitled,
            pending=share.pending,
            target=share.target,
        )
        for share, account_id in await rows.allocations(session, stock_item_id)
    ]
    return StockItemDetail(**view.model_dump(), shares=shares)


async def list_movements(
    session: AsyncSession, stock_item_id: UUID, page: PageRequest, kind: MovementKind | None = None
) -> Page[MovementView]:
    """Newest first. Raises NotFound, InvalidInput."""
    await _item(session, stock_item_id)
    found = await rows.movements(session, stock_item_id, limit=page.limit + 1, after=page.after_id(), kind=kind)
    return cut(found, page.limit, _movement, lambda row: [str(row.id)])


async def _item(session: AsyncSession, stock_item_id: UUID) -> StockItemView:
    found = await rows.items(session, limit=1, stock_item_id=stock_item_id)
    if not found:
        raise NotFound(f"no stock item {stock_item_id}")
    return _view(found[0])


def _view(row: rows.ItemRow) -> StockItemView:
    item, sku, title = row
    return StockItemView(
        id=item.id,
        variant_id=item.variant_id,
        sku=sku,
        title=title,
        pool=item.pool,
        mode=item.mode,
        on_hand=item.on_hand,
        reserved=item.reserved,
        allocated=item.allocated,
        free=item.on_hand - item.reserved - item.allocated,
        pending_count=item.pending_count,
        updated_at=item.updated_at,
    )


def _movement(row: StockMovement) -> MovementView:
    return MovementView(
        id=row.id,
        at=row.at,
        kind=row.kind,
        on_hand_delta=row.on_hand_delta,
        reserved_delta=row.reserved_delta,
        order_line_id=row.order_line_id,
        note=row.note,
    )
