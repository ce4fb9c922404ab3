"""Pricing: what a listing should cost and why, what it cost, and the bounds the owner sets."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.errors import Conflict
from flipsync.domain.money import Money
from flipsync.security.tokens import Claims
from flipsync.services import reading_catalogue as catalogue
from flipsync.services import reading_listings as reading
from flipsync.services.desk import Services
from flipsync.services.pricing.bundles import MOST_PARTS, BundleQuote
from flipsync.services.pricing.explanation import Explanation, explain
from flipsync.services.pricing.fees import MAX_AMOUNT
from flipsync.services.pricing.haggling import OfferAnswer, answer_offer
from flipsync.services.pricing.quote import Quote
from flipsync.services.product_edits import PriceTerms, set_price_terms, version_of
from flipsync.services.quotes import Asked
from flipsync.services.reading_page import Page, PageRequest
from flipsync.store.database import SessionReader
from serve.backend import Backend
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
    explanation: Explanation


class ListingOffer(BaseModel):
    """What a buyer who bids for this listing should be answered. Asking changes nothing."""

    listing_id: UUID
    vendor: str
    sku: str
    offer: OfferAnswer


class OfferQuery(BaseModel):
    """A buyer's bid for each of `quantity` units, in minor units of the listing's currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount_minor: int = Field(gt=0, le=MAX_AMOUNT, examples=[4100])
    quantity: int = Field(default=1, ge=1, le=10_000)


class BundlePartForm(BaseModel):
    model_config = ConfigDict(extra="forbid")

    listing_id: UUID
    quantity: int = Field(default=1, ge=1, le=1_000)


class BundleForm(BaseModel):
    """Listings of one account to sell together, and what their one parcel costs where it is known."""

    model_config = ConfigDict(extra="forbid")

    parts: list[BundlePartForm] = Field(min_length=1, max_length=MOST_PARTS)
    shipping_cost_minor: int | None = Field(default=None, ge=0, le=MAX_AMOUNT)


class HistoryQuery(PageRequest):
    model_config = ConfigDict(extra="forbid")


@router.get("/listings/{listing_id}/quote", summary="The next price and why", responses=problems(401, 403, 404, 409))
async def quote(listing_id: UUID, user: Reader, backend: BackendDep) -> ListingQuote:
    """With the demand it believes in, rivals, fees, bounds, and why not 5 % more or less. 409 while the listing is not
    on sale with a price its channel has confirmed, and for one that is priced by hand."""
    asked = await _asked(listing_id, user, backend)
    told = {name: getattr(asked.listing, name) for name in ListingQuote.model_fields if name != "explanation"}
    return ListingQuote(**told, explanation=explain(asked.request, asked.listing.quote, asked.rule))


@router.get("/listings/{listing_id}/offer", summary="What to answer a bid", responses=problems(401, 403, 404, 409, 422))
async def offer(
    listing_id: UUID, query: Annotated[OfferQuery, Query()], user: Reader, backend: BackendDep
) -> ListingOffer:
    """Accept, counter or decline a buyer's bid below the price, with what it is compared with. Nothing is sent: answer
    it on the channel, or set the channel's own limits to `accept_from`. 409 as for the quote; 422 where it cannot be
    judged."""
    asked = await _asked(listing_id, user, backend)
    bid = Money(amount_minor=query.amount_minor, currency=asked.request.current.currency)
    answer = answer_offer(asked.request, asked.rule, bid, query.quantity)
    return ListingOffer(listing_id=listing_id, vendor=asked.listing.vendor, sku=asked.listing.sku, offer=answer)


@router.post("/bundles", summary="What goods should cost together", responses=problems(401, 403, 404, 422))
async def bundle(form: BundleForm, user: Reader, backend: BackendDep) -> BundleQuote:
    """The price, by which discount more are expected to take all, and whether that pays. Changes nothing: a bundle that
    is to be sold becomes an article of its own, with its parts' cost."""
    quantities: dict[UUID, int] = {}
    for part in form.parts:
        quantities[part.listing_id] = quantities.get(part.listing_id, 0) + part.quantity
    async with backend.store.reader(user.tenant_id) as session:
        desk = Services(session, user.tenant_id, backend.store.clock.now()).pricing
        return await desk.bundle(quantities, form.shipping_cost_minor)


async def _asked(listing_id: UUID, user: Claims, backend: Backend) -> Asked:
    async with backend.store.reader(user.tenant_id) as session:
        await reading.get_listing(SessionReader(session), listing_id)
        found = await Services(session, user.tenant_id, backend.store.clock.now()).pricing.asked(listing_id)
    if found is None:
        raise Conflict("the listing is not on sale with a confirmed price", hint="wait until its channel shows it")
    return found


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
    user: Annotated[Claims, may_after_proof("pricing:write")],
    expected: ExpectedVersion,
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> catalogue.VariantView:
    """What is given is changed, null clears it. Its listings are priced again; none is ever sold below the floor."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        variant = await set_price_terms(unit, variant_id, terms, expected)
    response.headers["ETag"] = etag(version_of(variant))
    return variant
