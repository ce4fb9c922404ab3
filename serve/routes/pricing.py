"""Pricing: what a listing should cost and why, what it cost, and the bounds the owner sets."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.errors import Conflict
from flipsync.security.tokens import Claims
from flipsync.services import reading_catalogue as catalogue
from flipsync.services import reading_listings as reading
from flipsync.services.desk import Services
from flipsync.services.pricing.quote import Quote
from flipsync.services.product_edits import PriceTerms, set_price_terms, version_of
from flipsync.services.reading_page import Page, PageRequest
from flipsync.store.database import SessionReader
from serve.deps import BackendDep, CauseDep, ExpectedVersion, ReaderDep, etag, may, may_after_proof
from serve.errors import problems

router = APIRouter(prefix="/api/v1/pricing", tags=["pricing"])

Reader = Annotated[Claims, may("pricing:read")]


class ListingQuote(BaseModel):
    """What the pricing policy would do with this listing now. Asking changes nothing."""

    listing_id: UUID
    account_id: UUID
    vendor: str
    sku: str
    units_on_offer: int
    policy_version: str = Field(description="of the policy that chose it, as in models", examples=["as shipped"])
    quote: Quote


class HistoryQuery(PageRequest):
    model_config = ConfigDict(extra="forbid")


@router.get("/listings/{listing_id}/quote", summary="The next price and why", responses=problems(401, 403, 404, 409))
async def quote(listing_id: UUID, user: Reader, backend: BackendDep) -> ListingQuote:
    """409 while the listing is not on sale with a price its channel has confirmed."""
    async with backend.store.reader(user.tenant_id) as session:
        await reading.get_listing(SessionReader(session), listing_id)
        found = await Services(session, user.tenant_id, backend.store.clock.now()).pricing.quote(listing_id)
    if found is None:
        raise Conflict("the listing is not on sale with a confirmed price", hint="wait until its channel shows it")
    return ListingQuote.model_validate(found, from_attributes=True)


@router.get("/listings/{listing_id}/history", summary="Prices it had", responses=problems(401, 403, 404))
async def price_history(
    listing_id: UUID, query: Annotated[HistoryQuery, Query()], user: Reader, reader: ReaderDep
) -> Page[reading.PriceChangeView]:
    """Newest first; each with the floor it was held against and the effect that set it."""
    return await reading.price_history(reader, listing_id, query)


@router.get("/variants/{variant_id}", summary="Cost and bounds of a variant", responses=problems(401, 403, 404))
async def get_terms(variant_id: UUID, user: Reader, reader: ReaderDep, response: Response) -> catalogue.VariantView:
    variant = await catalogue.get_variant(reader, variant_id)
    response.headers["ETag"] = etag(version_of(variant))
    return variant


@router.patch(
    "/variants/{variant_id}", summary="Set cost, floor and ceiling", responses=problems(401, 403, 404, 412, 428)
)
async def patch_terms(
    variant_id: UUID,
    terms: PriceTerms,
    expected: ExpectedVersion,
    user: Annotated[Claims, may_after_proof("pricing:write")],
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> catalogue.VariantView:
    """What is given is changed, null clears it. Its listings are priced again; none is ever sold below the floor."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        variant = await set_price_terms(unit, variant_id, terms, expected)
    response.headers["ETag"] = etag(version_of(variant))
    return variant
