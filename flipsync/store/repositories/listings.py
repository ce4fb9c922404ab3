"""Statements about products as they are offered: what could be listed, what is, where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.channel import ListingState
from flipsync.domain.clock import utc_now
from flipsync.domain.commands import EndListing
from flipsync.domain.ids import new_id
from flipsync.store.models import (
    Effect,
    Listing,
    MarketplaceAccount,
    PriceChange,
    Product,
    RivalOfferSeen,
    Variant,
)
from flipsync.store.repositories import rivals as rival_rows
from flipsync.store.unit_of_work import UnitOfWork


@dataclass(frozen=True)
class AccountRow:
    id: UUID
    vendor: str
    name: str
    status: str
    stock_mode: str
    currency: str
    consecutive_failures: int
    surveyed: bool
    #: the vendor's notices are fetched from a queue of the account's
    queued: bool
    #: how the channel rates us, "" where that is not known, and by what
    rated: str = ""
    rated_because: str = ""


async def accounts(session: AsyncSession) -> Sequence[AccountRow]:
    account = MarketplaceAccount
    rows = await session.execute(
        select(
            account.id,
            account.vendor,
            account.name,
            account.status,
            account.stock_mode,
            func.coalesce(account.config["currency"].astext, ""),
            account.consecutive_failures,
            account.surveyed_at.is_not(None),
            account.config["notification_url"].astext.is_not(None),
            account.rated,
            account.rated_because,
        ).order_by(account.id)
    )
    return [AccountRow(*row) for row in rows]


async def paced_accounts(session: AsyncSession) -> list[tuple[AccountRow, float]]:
    """Accounts with the calls a second each takes: what its connector is told, or a connector's usual."""
    pace = func.coalesce(MarketplaceAccount.config["requests_per_second"].astext, "25")
    found = {row[0]: float(row[1]) for row in await session.execute(select(MarketplaceAccount.id, pace))}
    return [(row, found[row.id]) for row in await accounts(session)]


def _left_with_its_product() -> ColumnElement[bool]:
    """A listing we ended because its product was not published: it comes back with it. Others ended for good."""
    return and_(Listing.status == "ended", Listing.status_reason == EndListing.UNPUBLISHED)


def _listed_on(account_id: UUID) -> ColumnElement[bool]:
    return exists().where(
        and_(Listing.variant_id == Variant.id, Listing.account_id == account_id, ~_left_with_its_product())
    )


async def variants_to_list(
    session: AsyncSession, product_id: UUID, account_id: UUID
) -> Sequence[tuple[Variant, Product]]:
    """Variants of a published product that are not listed on the account."""
    listed = _listed_on(account_id)
    rows = await session.execute(
        select(Variant, Product)
        .join(Product, Product.id == Variant.product_id)
        .where(Variant.product_id == product_id, Product.published, ~listed)
        .order_by(Variant.sku)
    )
    return [(variant, product) for variant, product in rows]


async def products_not_on(session: AsyncSession, account_id: UUID, limit: int = 500) -> Sequence[UUID]:
    """Published products with a variant that the account does not list."""
    listed = _listed_on(account_id)
    rows = await session.scalars(
        select(Variant.product_id)
        .join(Product, Product.id == Variant.product_id)
        .where(Product.published, ~listed)
        .group_by(Variant.product_id)
        .order_by(Variant.product_id)
        .limit(limit)
    )
    return rows.all()


async def create_listing(
    unit: UnitOfWork, *, account_id: UUID, variant: Variant, title: str, currency: str
) -> UUID | None:
    """A listing that is requested, new or once more; None when the variant has one on the account."""
    now = utc_now()
    inserted = await unit.session.execute(
        insert(Listing)
        .values(
            id=new_id(),
            tenant_id=unit.tenant_id,
            account_id=account_id,
            variant_id=variant.id,
            sku=variant.sku,
            title=title,
            currency=currency,
            created_at=now,
            updated_at=now,
        )
        .on_conflict_do_update(
            index_elements=["account_id", "variant_id"],
            index_where=text("pool = 'own'"),
            set_={"status": "requested", "status_reason": "", "version": Listing.version + 1, "updated_at": now},
            where=_left_with_its_product(),
        )
        .returning(Listing.id)
    )
    return inserted.scalar()


async def requested(
    session: AsyncSession, product_id: UUID, account_id: UUID
) -> Sequence[tuple[Listing, Variant, Product]]:
    """Listings of a product that wait to be published on an account."""
    rows = await session.execute(
        select(Listing, Variant, Product)
        .join(Variant, Variant.id == Listing.variant_id)
        .join(Product, Product.id == Variant.product_id)
        .where(Product.id == product_id, Listing.account_id == account_id, Listing.status == "requested")
        .order_by(Listing.sku)
    )
    return [(listing, variant, product) for listing, variant, product in rows]


async def choices_of(session: AsyncSession, product_id: UUID) -> Sequence[dict[str, Any]]:
    """The options of each variant of a product, in the order they came into the catalogue."""
    rows = await session.scalars(select(Variant.options).where(Variant.product_id == product_id).order_by(Variant.id))
    return rows.all()


async def get(session: AsyncSession, listing_id: UUID) -> Listing | None:
    return (
        await session.scalars(select(Listing).where(Listing.id == listing_id).execution_options(populate_existing=True))
    ).one_or_none()


async def count_active(session: AsyncSession, account_id: UUID) -> int:
    where = Listing.account_id == account_id, Listing.status == "active"
    return await session.scalar(select(func.count()).select_from(Listing).where(*where)) or 0


async def active_of_account(session: AsyncSession, account_id: UUID) -> Sequence[Listing]:
    return (
        await session.scalars(
            select(Listing).where(Listing.account_id == account_id, Listing.status == "active").order_by(Listing.sku)
        )
    ).all()


async def with_goods(session: AsyncSession, listing_id: UUID) -> tuple[Listing, Variant, Product] | None:
    row = (
        await session.execute(
            select(Listing, Variant, Product)
            .join(Variant, Variant.id == Listing.variant_id)
            .join(Product, Product.id == Variant.product_id)
            .where(Listing.id == listing_id)
        )
    ).one_or_none()
    return (row[0], row[1], row[2]) if row else None


async def set_title(unit: UnitOfWork, listing_id: UUID, title: str) -> None:
    """The title the channel was given and took."""
    await unit.session.execute(
        update(Listing)
        .where(Listing.id == listing_id)
        .values(title=title, version=Listing.version + 1, updated_at=utc_now())
    )


async def activate(
    unit: UnitOfWork, listing_id: UUID, *, external_id: str, price_minor: int, quantity: int | None
) -> None:
    await unit.session.execute(
        update(Listing)
        .where(Listing.id == listing_id)
        .values(
            external_id=external_id,
            status="active",
            status_reason="",
            price_minor=price_minor,
            price_changed_at=unit.now,
            quantity_shown=quantity,
            published_at=unit.now,
            version=Listing.version + 1,
            updated_at=utc_now(),
        )
    )


async def goods_to_recognise(
    session: AsyncSession, account_id: UUID, *, own: bool
) -> Sequence[tuple[Variant, Product]]:
    """Variants that somebody may have listed on the account, published or not: of our own stock those without a listing
    there, of the channel's warehouses all, since an article may lie there under several SKUs."""
    statement = select(Variant, Product).join(Product, Product.id == Variant.product_id).order_by(Variant.id)
    if own:
        here = and_(Listing.variant_id == Variant.id, Listing.account_id == account_id, Listing.pool == "own")
        statement = statement.where(~exists().where(here))
    return [(variant, product) for variant, product in await session.execute(statement)]


async def variants_by_external_id(session: AsyncSession, account_id: UUID) -> dict[str, UUID]:
    """What of the account's listings is in our books, in whatever state, with its variant."""
    rows = await session.execute(
        select(Listing.external_id, Listing.variant_id).where(
            Listing.account_id == account_id, Listing.external_id.is_not(None)
        )
    )
    return {external_id: variant_id for external_id, variant_id in rows if external_id is not None}


async def insert_found(
    unit: UnitOfWork,
    *,
    account_id: UUID,
    variant_id: UUID,
    currency: str,
    seen: ListingState,
    status: str,
    pool: str = "own",
) -> UUID | None:
    """A listing that was on the channel before us; None when variant or listing are in the books already."""
    now = utc_now()
    priced = seen.price is not None and seen.price.currency == currency and seen.price.amount_minor > 0
    inserted = await unit.session.execute(
        insert(Listing)
        .values(
            id=new_id(),
            tenant_id=unit.tenant_id,
            account_id=account_id,
            variant_id=variant_id,
            pool=pool,
            sku=seen.sku,
            external_id=seen.external_id,
            status=status,
            title=seen.title,
            currency=currency,
            price_minor=seen.price.amount_minor if priced and seen.price else None,
            quantity_shown=seen.quantity,
            created_at=now,
            updated_at=now,
        )
        .on_conflict_do_nothing()
        .returning(Listing.id)
    )
    return inserted.scalar()


async def forget_channels(unit: UnitOfWork, listing_id: UUID, *, sku: str, title: str) -> None:
    """The listing on the channel is none of ours: this row waits to be published as a listing of its own."""
    await unit.session.execute(
        update(Listing)
        .where(Listing.id == listing_id)
        .values(
            external_id=None,
            status="requested",
            sku=sku,
            title=title,
            price_minor=None,
            quantity_shown=None,
            version=Listing.version + 1,
            updated_at=utc_now(),
        )
    )


async def set_status(unit: UnitOfWork, listing_id: UUID, status: str, reason: str = "") -> None:
    await unit.session.execute(
        update(Listing)
        .where(Listing.id == listing_id)
        .values(status=status, status_reason=reason, version=Listing.version + 1, updated_at=utc_now())
    )


async def set_quantity_shown(unit: UnitOfWork, listing_id: UUID, quantity: int | None) -> None:
    await unit.session.execute(
        update(Listing).where(Listing.id == listing_id).values(quantity_shown=quantity, updated_at=utc_now())
    )


async def record_price(
    unit: UnitOfWork,
    listing: Listing,
    *,
    price_minor: int,
    floor_minor: int,
    effect_id: UUID,
    reason: str,
) -> bool:
    """A price the channel confirmed; False when this effect is on record already."""
    known = await unit.session.scalar(
        select(func.count()).select_from(PriceChange).where(PriceChange.effect_id == effect_id)
    )
    if known:
        return False
    unit.session.add(
        PriceChange(
            tenant_id=unit.tenant_id,
            listing_id=listing.id,
            old_minor=listing.price_minor,
            new_minor=price_minor,
            currency=listing.currency,
            floor_minor=floor_minor,
            effect_id=effect_id,
            reason=reason,
            at=unit.now,
        )
    )
    await unit.session.execute(
        update(Listing)
        .where(Listing.id == listing.id)
        .values(price_minor=price_minor, price_changed_at=unit.now, version=Listing.version + 1, updated_at=utc_now())
    )
    return True


async def skus_of_account(session: AsyncSession, account_id: UUID) -> dict[str, UUID]:
    rows = await session.execute(
        select(Listing.sku, Listing.id).where(Listing.account_id == account_id, Listing.status == "active")
    )
    return {sku: listing_id for sku, listing_id in rows}  # noqa: C416 - Row is not a tuple for mypy


async def record_rivals(
    unit: UnitOfWork, rows: Sequence[dict[str, Any]], seen_listings: Sequence[UUID], seen_at: datetime
) -> set[UUID]:
    """Keep the latest offer of each rival; returns the listings for which something changed."""
    before = {
        (row.listing_id, row.seller): (row.price_minor, row.in_stock, row.currency)
        for row in (
            await unit.session.scalars(select(RivalOfferSeen).where(RivalOfferSeen.listing_id.in_(seen_listings)))
        ).all()
    }
    changed, moves = set(), []
    for row in rows:
        key = (row["listing_id"], row["seller"])
        if before.get(key) != (row["price_minor"], row["in_stock"], row["currency"]):
            changed.add(row["listing_id"])
            kept = {name: value for name, value in row.items() if name not in ("seen_at", "featured")}
            moves.append(kept | {"at": row["seen_at"]})
    if rows:
        statement = insert(RivalOfferSeen)
        await unit.session.execute(
            statement.on_conflict_do_update(
                index_elements=["listing_id", "seller"],
                set_={
                    "price_minor": statement.excluded.price_minor,
                    "currency": statement.excluded.currency,
                    "in_stock": statement.excluded.in_stock,
                    "seen_at": statement.excluded.seen_at,
                    "featured": statement.excluded.featured,
                },
            ),
            [{"id": new_id(), "tenant_id": unit.tenant_id, **row} for row in rows],
        )
    gone = [key for key in before if key not in {(row["listing_id"], row["seller"]) for row in rows}]
    for listing_id, seller in gone:
        if before[(listing_id, seller)][1]:
            changed.add(listing_id)
            await unit.session.execute(
                update(RivalOfferSeen)
                .where(RivalOfferSeen.listing_id == listing_id, RivalOfferSeen.seller == seller)
                .values(in_stock=False, featured=False, seen_at=seen_at)
            )
            price_minor, _, currency = before[(listing_id, seller)]
            moves.append(
                {
                    "listing_id": listing_id,
                    "seller": seller,
                    "price_minor": price_minor,
                    "currency": currency,
                    "in_stock": False,
                    "at": seen_at,
                }
            )
    await rival_rows.add_moves(unit, moves)
    return changed


async def set_price_seen(unit: UnitOfWork, listing_id: UUID, price_minor: int) -> None:
    """The channel shows a price we did not set (a person did, or a write was reverted)."""
    await unit.session.execute(
        update(Listing)
        .where(Listing.id == listing_id)
        .values(price_minor=price_minor, price_changed_at=unit.now, version=Listing.version + 1, updated_at=utc_now())
    )


async def with_open_effects(session: AsyncSession) -> set[UUID]:
    """Listings for which something is on its way to a channel."""
    rows = await session.scalars(
        select(Effect.subject_id).where(Effect.subject_kind == "listing", Effect.finished_at.is_(None)).distinct()
    )
    return set(rows)


async def has_open_effects(session: AsyncSession, listing_id: UUID) -> bool:
    """Whether something is on its way to the channel for this listing."""
    found = await session.scalar(
        select(Effect.id)
        .where(Effect.subject_kind == "listing", Effect.subject_id == listing_id, Effect.finished_at.is_(None))
        .limit(1)
    )
    return found is not None
