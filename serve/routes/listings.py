"""Listings: what is on sale where, as the channels confirmed it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services import reading_listings as reading
from flipsync.services.reading_page import Page, PageRequest
from serve.deps import ReaderDep, etag, may
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


@router.get("/{listing_id}/rivals", summary="Other sellers' offers", responses=problems(401, 403, 404))
async def list_rivals(listing_id: UUID, user: User, reader: ReaderDep) -> RivalList:
    """The latest offer of each, cheapest first."""
    return RivalList(items=await reading.list_rivals(reader, listing_id))
