"""Transfers to channels' warehouses as people see them. All figures are units."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import NotFound
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, cut, sorted_by
from flipsync.store.models import StockTransfer
from flipsync.store.repositories import transfers as rows

TransferSort = Annotated[str | None, sorted_by(rows.SORTS)]

TransferState = Literal["planned", "sent", "received", "cancelled"]
_NUMBERED = re.compile(r"(?:TR-)?([0-9]{1,9})", re.IGNORECASE)


class TransferView(View):
    """`version` is what sending it or calling it off may be based on (If-Match)."""

    id: UUID
    number: int
    variant_id: UUID
    sku: str
    account_id: UUID
    from_pool: str
    to_pool: str
    state: TransferState
    planned: int
    sent: int = Field(description="off the shelf")
    received: int = Field(description="on sale in the channel's warehouse")
    came_back: int = Field(description="on the shelf again")
    under_way: int = Field(description="sent, and in no pool yet")
    missing: int = Field(description="sent, and given up")
    note: str
    reason: str
    planned_at: Moment
    sent_at: Moment | None
    due_at: Moment | None = Field(description="what is not there by then is told as missing")
    received_at: Moment | None
    cancelled_at: Moment | None
    decision_id: UUID | None = Field(description="the agent's; without one a person wrote it")
    version: int


class TransferFilter(View):
    variant_id: UUID | None = None
    state: TransferState | None = None
    open: bool | None = Field(default=None, description="planned or sent; false: over")


async def list_transfers(session: AsyncSession, page: SortedRequest, where: TransferFilter) -> Page[TransferView]:
    """Newest first by default. Raises InvalidInput for a foreign cursor."""
    which = where.model_dump(include=set(TransferFilter.model_fields))
    place = page.place(rows.SORTS)
    found = await rows.page(session, place, **which)
    return cut(found, page.limit, _view, place.cursor_of)


async def get_transfer(session: AsyncSession, transfer_id: UUID) -> TransferView:
    """Raises NotFound."""
    row = await rows.one(session, transfer_id)
    if row is None:
        raise NotFound(f"no transfer {transfer_id}")
    return _view(row)


async def named(session: AsyncSession, name: str) -> UUID:
    """The one with this number (TR-3, 3) or id. Raises NotFound."""
    if number := _NUMBERED.fullmatch(name.strip()):
        found = await rows.numbered(session, int(number[1]))
        if found is not None:
            return found
    try:
        return UUID(name)
    except ValueError:
        raise NotFound(f"no transfer {name!r}", hint="`flipsync transfers list` tells their numbers") from None


def _view(row: Any) -> TransferView:
    transfer: StockTransfer = row[0]
    same = TransferView.model_fields.keys() & set(StockTransfer.__table__.columns.keys())
    out = transfer.sent - transfer.received - transfer.came_back
    return TransferView.model_validate(
        {name: getattr(transfer, name) for name in same}
        | {
            "variant_id": row[1],
            "sku": row[2],
            "from_pool": "own",
            "to_pool": row[3],
            "under_way": out if transfer.state == "sent" else 0,
            "missing": out if transfer.state != "sent" else 0,
            "planned_at": transfer.created_at,
        }
    )
