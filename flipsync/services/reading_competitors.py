"""Rivals and alarms about them, as people see them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import NotFound
from flipsync.services.competitor_desk import CompetitorDesk
from flipsync.services.competitors import Alarm, Kind
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, cut, sorted_by
from flipsync.store.models import RivalAlarm
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import rivals as rows

AlarmSort = Annotated[str | None, sorted_by(rows.ALARM_SORTS)]


class AlarmView(View):
    """An alarm about a listing's rivals, with the ids of the moves it rests on."""

    id: UUID
    listing_id: UUID
    alarm: Literal["price-war", "hijack"]
    why: str
    evidence: list[UUID]
    raised_at: Moment


class ReactionView(View):
    """How one rival answers: `slope` per cent for each per cent of ours. Null while nothing can be said."""

    seller: str
    kind: Kind
    moves: int = Field(description="its moves that this rests on")
    slope: float | None
    error: float | None = Field(description="the standard error of the slope")
    lag_hours: int | None
    gap: float | None = Field(description="how far from ours on average, as a logarithm; below zero is cheaper")


class RivalryView(View):
    """Who competes with a listing now, cheapest first."""

    listing_id: UUID
    title: str
    on_sale: bool
    rivals: list[ReactionView]


class AlarmFilter(View):
    listing_id: UUID | None = None
    alarm: Alarm | None = None


async def list_alarms(session: AsyncSession, page: SortedRequest, where: AlarmFilter) -> Page[AlarmView]:
    """Newest first. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.ALARM_SORTS)
    found = await rows.alarms(session, place, listing_id=where.listing_id, alarm=where.alarm)
    return cut(found, page.limit, lambda row: _alarm(row[0]), place.cursor_of)


async def rivalry(session: AsyncSession, listing_id: UUID, now: datetime) -> RivalryView:
    """Nobody for a listing that is not on sale. Raises NotFound."""
    listing = await listing_rows.get(session, listing_id)
    if listing is None:
        raise NotFound(f"no listing {listing_id}")
    found = await CompetitorDesk(session, now).rivalry(listing_id)
    answers = ("matcher", "undercutter", "random")
    return RivalryView(
        listing_id=listing_id,
        title=listing.title,
        on_sale=listing.status == "active",
        rivals=[
            ReactionView(
                seller=each.seller,
                kind=each.kind,
                moves=each.moves,
                slope=each.slope if each.kind in answers else None,
                error=each.error if each.kind in answers else None,
                lag_hours=each.lag_hours if each.kind in answers else None,
                gap=each.gap if each.kind in answers else None,
            )
            for each in (found.reactions if found is not None else ())
        ],
    )


def _alarm(row: RivalAlarm) -> AlarmView:
    return AlarmView.model_validate(
        {
            "id": row.id,
            "listing_id": row.listing_id,
            "alarm": row.alarm,
            "why": row.why,
            "evidence": row.evidence,
            "raised_at": row.raised_at,
        }
    )
