"""Advertising: the ad rates of listings, what ads brought and cost, and the owner's limits."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services.advertising import reading
from flipsync.services.reading_page import Page, SortedRequest
from serve.deps import BackendDep, CauseDep, ExpectedVersion, etag, may, may_after_proof
from serve.errors import problems

router = APIRouter(prefix="/api/v1/advertising", tags=["advertising"])

#: what is shown tells what goods leave
User = Annotated[Claims, may("pricing:read")]


class AdQuery(SortedRequest, reading.AdFilter):
    model_config = ConfigDict(extra="forbid")

    sort: reading.AdSort = None


@router.get("", summary="List advertised listings", responses=problems(401, 403))
async def list_ads(query: Annotated[AdQuery, Query()], user: User, backend: BackendDep) -> Page[reading.AdView]:
    """Listings that are advertised or were, with their rate and what the last 30 days came to."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.list_ads(session, query, query, backend.store.clock.now())


@router.get("/limits", summary="The limits of advertising", responses=problems(401, 403))
async def get_limits(
    user: Annotated[Claims, may("strategy:read")], backend: BackendDep, response: Response
) -> reading.LimitsView:
    """Whether FlipSync may advertise, up to which rate and budget, and what ads have cost this month."""
    async with backend.store.reader(user.tenant_id) as session:
        view = await reading.limits(session, user.tenant_id, backend.store.clock.now())
    response.headers["ETag"] = etag(view.version)
    return view


@router.put("/limits", summary="Set the limits of advertising", responses=problems(401, 403, 412, 428))
async def put_limits(
    form: reading.LimitsForm,
    user: Annotated[Claims, may_after_proof("strategy:write")],
    expected: ExpectedVersion,
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> reading.LimitsView:
    """They hold from now on, also for what was decided and is not sent yet. Asks for a fresh proof of who you are."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        view = await reading.set_limits(unit, form, expected)
    response.headers["ETag"] = etag(view.version)
    return view


@router.get("/{listing_id}", summary="The ad of one listing", responses=problems(401, 403, 404))
async def get_ad(listing_id: UUID, user: User, backend: BackendDep) -> reading.AdDetail:
    """Campaign, rate and days, what a sale leaves before and after the ad, and why there can be none."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.ad_of(session, user.tenant_id, listing_id, backend.store.clock.now())
