"""Listings: what is on sale where, as the channels confirmed it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services import hand_edits
from flipsync.services import reading_listings as reading
from flipsync.services.reading_page import Page, PageRequest
from serve.deps import BackendDep, CauseDep, ReaderDep, etag, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/listings", tags=["listings"])

User = Annotated[Claims, may("listings:read")]


class ListingQuery(PageRequest, reading.ListingFilter):
    model_config = ConfigDict(extra="forbid")


class RivalList(BaseModel):
    items: list[reading.RivalView]


@router.get("", summary="List listings", responses=problems(401, 403))
async def list_listings(
    query: Annotated[ListingQuery, Query()], user: User, reader: ReaderDep
) -> Page[reading.ListingView]:
    """Newest first; `q` is a part of the title."""
    return await reading.list_listings(reader, query, query)


@router.get("/{listing_id}", summary="One listing", responses=problems(401, 403, 404))
async def get_listing(listing_id: UUID, user: User, reader: ReaderDep, response: Response) -> reading.ListingView:
    listing = await reading.get_listing(reader, listing_id)
    response.headers["ETag"] = etag(listing.version)
    return listing


@router.delete(
    "/{listing_id}/overrides",
    summary="Follow the product again",
    status_code=204,
    response_class=Response,
    responses=problems(401, 403, 404, 409),
)
async def drop_overrides(
    listing_id: UUID, user: Annotated[Claims, may("catalogue:write")], backend: BackendDep, cause: CauseDep
) -> None:
    """What was written on the channel by hand and let stand gives way to our own words. 409 when there is nothing."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await hand_edits.drop_overrides(unit, listing_id)


@router.get("/{listing_id}/rivals", summary="Other sellers' offers", responses=problems(401, 403, 404))
async def list_rivals(listing_id: UUID, user: User, reader: ReaderDep) -> RivalList:
    """The latest offer of each, cheapest first."""
    return RivalList(items=await reading.list_rivals(reader, listing_id))
