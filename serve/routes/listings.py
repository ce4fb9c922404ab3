"""Listings: what is on sale where, as the channels confirmed it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from flipsync.security.tokens import Claims
from flipsync.services import hand_edits, listings, reading_quality
from flipsync.services import reading_listings as reading
from flipsync.services.reading_page import Page, SortedRequest
from flipsync.store.database import SessionReader
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, CauseDep, ExpectedVersion, OnlyOnceDep, ReaderDep, VersionIfTold, etag, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/listings", tags=["listings"])

User = Annotated[Claims, may("listings:read")]
Writer = Annotated[Claims, may("catalogue:write")]


class ListingQuery(SortedRequest, reading.ListingFilter):
    model_config = ConfigDict(extra="forbid")

    sort: reading.ListingSort = None


class EndRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=300, examples=["the season is over"])


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


@router.post(
    "/{listing_id}/end",
    summary="Take off sale",
    response_model=reading.ListingView,
    responses=problems(401, 403, 404, 409, 412),
)
async def end(listing_id: UUID, form: EndRequest, user: Writer, expected: VersionIfTold, once: OnlyOnceDep) -> Response:
    """The channel is told; the answer is the listing as it is before that. It stays off sale until it is relisted."""

    async def work(unit: UnitOfWork) -> reading.ListingView:
        await listings.take_off(unit, listing_id, form.reason, expected)
        return await reading.get_listing(SessionReader(unit.session), listing_id)

    return await once.run(user, work)


@router.post(
    "/{listing_id}/relist",
    summary="Put on sale again",
    response_model=reading.ListingView,
    responses=problems(401, 403, 404, 409, 412),
)
async def relist(listing_id: UUID, user: Writer, expected: VersionIfTold, once: OnlyOnceDep) -> Response:
    """What was ended, vanished or was refused waits to be published: as it was where the channel still knows it."""

    async def work(unit: UnitOfWork) -> reading.ListingView:
        await listings.relist(unit, listing_id, expected)
        await unit.flush()
        return await reading.get_listing(SessionReader(unit.session), listing_id)

    return await once.run(user, work)


@router.delete(
    "/{listing_id}/overrides",
    summary="Follow the product again",
    status_code=204,
    response_class=Response,
    responses=problems(401, 403, 404, 409, 412, 428),
)
async def drop_overrides(
    listing_id: UUID, user: Writer, expected: ExpectedVersion, backend: BackendDep, cause: CauseDep
) -> None:
    """What was written on the channel by hand and let stand gives way to our own words. 409 when there is nothing."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await hand_edits.drop_overrides(unit, listing_id, expected)


@router.get("/{listing_id}/quality", summary="How good it is", responses=problems(401, 403, 404))
async def get_quality(listing_id: UUID, user: User, backend: BackendDep) -> reading_quality.QualityView:
    """Named checks by what its channel documents, what costs it most first, and what is done about it by whom."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading_quality.quality(session, listing_id, backend.store.clock.now())


@router.get("/{listing_id}/rivals", summary="Other sellers' offers", responses=problems(401, 403, 404))
async def list_rivals(listing_id: UUID, user: User, reader: ReaderDep) -> RivalList:
    """The latest offer of each, cheapest first."""
    return RivalList(items=await reading.list_rivals(reader, listing_id))
