"""Listings, their price history and their rivals, as people see them."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from flipsync.domain.errors import NotFound
from flipsync.domain.money import Money
from flipsync.services.reading_page import Moment, Page, PageRequest, SortedRequest, View, cut, money, sorted_by
from flipsync.store.reading import Reader, Rows, contains
from flipsync.store.repositories import reading_selling as rows

ListingSort = Annotated[str | None, sorted_by(rows.LISTING_SORTS)]

Status = Literal["requested", "active", "refused", "ended", "vanished", "recognised"]


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
    overrides: dict[str, Any] = Field(description="what was written on the channel by hand and is to stand, by field")
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
    featured: bool


class ListingFilter(View):
    """`q` is a part of the title; the others are exact."""

    q: str | None = None
    account_id: UUID | None = None
    variant_id: UUID | None = None
    product_id: UUID | None = None
    status: Status | None = None
    sku: str | None = None


async def list_listings(reader: Reader, page: SortedRequest, where: ListingFilter) -> Page[ListingView]:
    """Newest first by default. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.LISTING_SORTS)
    asked = rows.LISTINGS(
        place,
        account_id=where.account_id,
        variant_id=where.variant_id,
        product_id=where.product_id,
        status=where.status,
        sku=where.sku,
        part=contains(where.q),
    )
    (found,) = await reader.ask(asked)
    return cut(found, page.limit, _view, place.cursor_of)


async def get_listing(reader: Reader, listing_id: UUID) -> ListingView:
    """Raises NotFound."""
    (found,) = await reader.ask(rows.LISTING(listing_id=listing_id))
    return _view(_one(found, listing_id))


async def price_history(reader: Reader, listing_id: UUID, page: PageRequest) -> Page[PriceChangeView]:
    """Newest first. Raises NotFound, InvalidInput."""
    changes = rows.PRICE_CHANGES(listing_id=listing_id, limit=page.limit + 1, after=page.after_id())
    listing, found = await reader.ask(rows.LISTING(listing_id=listing_id), changes)
    _one(listing, listing_id)
    return cut(found, page.limit, _change, lambda row: [str(row.id)])


async def list_rivals(reader: Reader, listing_id: UUID) -> list[RivalView]:
    """The latest offer of each rival, cheapest first. Raises NotFound."""
    listing, found = await reader.ask(rows.LISTING(listing_id=listing_id), rows.RIVALS(listing_id=listing_id))
    _one(listing, listing_id)
    return [
        RivalView(
            seller=row.seller,
            price=Money(amount_minor=row.price_minor, currency=row.currency),
            in_stock=row.in_stock,
            seen_at=row.seen_at,
            featured=row.featured,
        )
        for row in found
    ]


def _one(found: Rows, listing_id: UUID) -> Any:
    if not found:
        raise NotFound(f"no listing {listing_id}")
    return found[0]


def _view(row: Any) -> ListingView:
    return ListingView(
        id=row.id,
        account_id=row.account_id,
        account_name=row.account_name,
        vendor=row.vendor,
        variant_id=row.variant_id,
        sku=row.sku,
        external_id=row.external_id,
        title=row.title,
        status=row.status,
        status_reason=row.status_reason,
        price=money(row.price_minor, row.currency),
        price_changed_at=row.price_changed_at,
        quantity_shown=row.quantity_shown,
        entitled=row.entitled,
        published_at=row.published_at,
        overrides={name: value for name, value in row.overrides.items() if name != "of_group"},
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _change(row: Any) -> PriceChangeView:
    return PriceChangeView(
        id=row.id,
        at=row.at,
        old=money(row.old_minor, row.currency),
        new=Money(amount_minor=row.new_minor, currency=row.currency),
        floor=Money(amount_minor=row.floor_minor, currency=row.currency),
        reason=row.reason,
        effect_id=row.effect_id,
    )
