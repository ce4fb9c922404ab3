"""Competitors: alarms about rivals, and how each rival of a listing answers our price."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services import reading_competitors as reading
from flipsync.services.reading_page import Page, SortedRequest
from serve.deps import BackendDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/competitors", tags=["competitors"])

#: what an alarm says may tell what goods cost
User = Annotated[Claims, may("pricing:read")]


class AlarmQuery(SortedRequest, reading.AlarmFilter):
    model_config = ConfigDict(extra="forbid")

    sort: reading.AlarmSort = None


@router.get("", summary="List alarms about rivals", responses=problems(401, 403))
async def list_alarms(
    query: Annotated[AlarmQuery, Query()], user: User, backend: BackendDep
) -> Page[reading.AlarmView]:
    """Price wars and hijacked listings, newest first, with the moves each rests on."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.list_alarms(session, query, query)


@router.get("/{listing_id}", summary="Rivals of one listing", responses=problems(401, 403, 404))
async def get_rivalry(listing_id: UUID, user: User, backend: BackendDep) -> reading.RivalryView:
    """Who sells the same now, cheapest first, and how each was seen to answer our price."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.rivalry(session, listing_id, backend.store.clock.now())
