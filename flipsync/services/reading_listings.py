"""Listings, their price history and their rivals, as people see them."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import NotFound
from flipsync.domain.money import Money
from flipsync.services.reading_page import Moment, Page, PageRequest, View, cut, money
from flipsync.store.models import PriceChange
from flipsync.store.repositories import reading_selling as rows

Status = Literal["requested", "active", "refused", "ended", "vanished"]


class ListingView(View):
    """One variant on one account. Price and quantity are what the channel confirmed, null when it never did."""

    id: UUID
    account_id: UUID
    account_name: str
    vendor: str
    variant_id: UUID
    sku: str
    external_id: str | None
    title: str
    status: str
    status_reason: str
    price: Money | None
    price_changed_at: Moment | None
    quantity_shown: int | None
    entitled: int | None = Field(description="units the ledger lets it sell")
    published_at: Moment | None
    version: int
    created_at: Moment
    updated_at: Moment


class PriceChangeView(View):
    """A price the channel confirmed, with the floor it was held against."""

    id: UUID
    at: Moment
    old: Money | None
    new: Money
    floor: Money
    reason: str
    effect_id: UUID


class RivalView(View):
    seller: str
    price: Money
    in_stock: bool
    seen_at: Moment


class ListingFilter(View):
    """`q` is a part of the title; the others are exact."""

    q: str | None = None
    account_id: UUID | None = None
    variant_id: UUID | None = None
    product_id: UUID | None = None
    status: Status | None = None
    sku: str | None = None


async def list_listings(session: AsyncSession, page: PageRequest, where: ListingFilter) -> Page[ListingView]:
    """Newest first. Raises InvalidInput for a foreign cursor."""
    found = await rows.listings(
        session,
        limit=page.limit + 1,
        after=page.after_id(),
        account_id=where.account_id,
        variant_id=where.variant_id,
        product_id=where.product_id,
        status=where.status,
        sku=where.sku,
        text=where.q,
    )
    return cut(found, page.limit, _view, lambda row: [str(row[0].id)])


async def get_listing(session: AsyncSession, listing_id: UUID) -> ListingView:
    """Raises NotFound."""
    found = await rows.listings(session, limit=1, listing_id=listing_id)
    if not found:
        raise NotFound(f"no listing {listing_id}")
    return _view(found[0])


async def price_history(session: AsyncSession, listing_id: UUID, page: PageRequest) -> Page[PriceChangeView]:
    """Newest first. Raises NotFound, InvalidInput."""
    await get_listing(session, listing_id)
    found = await rows.price_changes(session, listing_id, limit=page.limit + 1, after=page.after_id())
    return cut(found, page.limit, _change, lambda row: [str(row.id)])


async def list_rivals(session: AsyncSession, listing_id: UUID) -> list[RivalView]:
    """The latest offer of each rival, cheapest first. Raises NotFound."""
    await get_listing(session, listing_id)
    return [
        RivalView(
            seller=row.seller,
            price=Money(amount_minor=row.price_minor, currency=row.currency),
            in_stock=row.in_stock,
            seen_at=row.seen_at,
        )
        for row in await rows.rivals(session, listing_id)
    ]


def _view(row: rows.ListingRow) -> ListingView:
    listing, vendor, account_name, entitled = row
    return ListingView(
        id=listing.id,
        account_id=listing.account_id,
        account_name=account_name,
        vendor=vendor,
        variant_id=listing.variant_id,
        sku=listing.sku,
        external_id=listing.external_id,
        title=listing.title,
        status=listing.status,
        status_reason=listing.status_reason,
        price=money(listing.price_minor, listing.currency),
        price_changed_at=listing.price_changed_at,
        quantity_shown=listing.quantity_shown,
        entitled=entitled,
        published_at=listing.published_at,
        version=listing.version,
        created_at=listing.created_at,
        updated_at=listing.updated_at,
    )


def _change(row: PriceChange) -> PriceChangeView:
    return PriceChangeView(
        id=row.id,
        at=row.at,
        old=money(row.old_minor, row.currency),
        new=Money(amount_minor=row.new_minor, currency=row.currency),
        floor=Money(amount_minor=row.floor_minor, currency=row.currency),
        reason=row.reason,
        effect_id=row.effect_id,
    )
