"""Queries that show listings, their prices and rivals, and orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Row, Select, bindparam, cast, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import (
    Allocation,
    LabelPurchase,
    Listing,
    MarketplaceAccount,
    Order,
    OrderLine,
    PriceChange,
    Refund,
    RefundRequest,
    RivalOfferSeen,
    Shipment,
    Tenant,
    Variant,
)
from flipsync.store.reading import Question, where
from flipsync.store.sorting import Exact, SortedQuestion, Sorts

_ACCOUNT = (MarketplaceAccount.vendor, MarketplaceAccount.name.label("account_name"))
_LISTING = (
    select(*Listing.__table__.c, *_ACCOUNT, Allocation.entitled)
    .join(MarketplaceAccount, MarketplaceAccount.id == Listing.account_id)
    .outerjoin(Allocation, Allocation.listing_id == Listing.id)
)
_SHORT = select(func.coalesce(func.sum(OrderLine.short), 0)).where(OrderLine.order_id == Order.id).scalar_subquery()
_ORDER = select(*Order.__table__.c, *_ACCOUNT, cast(_SHORT, BigInteger).label("short_units")).join(
    MarketplaceAccount, MarketplaceAccount.id == Order.account_id
)


def _listings(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    of_product = exists().where(Variant.id == Listing.variant_id, Variant.product_id == bindparam("product_id"))
    return where(
        _LISTING,
        given,
        account_id=Listing.account_id == bindparam("account_id"),
        variant_id=Listing.variant_id == bindparam("variant_id"),
        product_id=of_product,
        status=Listing.status == bindparam("status"),
        sku=Listing.sku == bindparam("sku"),
        part=func.lower(Listing.title).like(func.lower(bindparam("part")), escape="/"),
    )


def _orders(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    has_sku = exists().where(OrderLine.order_id == Order.id, OrderLine.sku == bindparam("sku"))
    return where(
        _ORDER,
        given,
        account_id=Order.account_id == bindparam("account_id"),
        state=Order.state == bindparam("state"),
        status=Order.status == bindparam("status"),
        number=Order.number == bindparam("number"),
        sku=has_sku,
        placed_from=Order.placed_at >= bindparam("placed_from"),
        placed_before=Order.placed_at < bindparam("placed_before"),
    )


def _price_changes(given: frozenset[str]) -> Select[*tuple[Any, ...]]:
    query = select(*PriceChange.__table__.c).where(PriceChange.listing_id == bindparam("listing_id"))
    return where(
        query.order_by(PriceChange.id.desc()).limit(bindparam("limit")),
        given,
        after=PriceChange.id < bindparam("after"),
    )


LISTING_SORTS = Sorts(Listing.id, price=Listing.price_minor)
#: any of account_id, variant_id, product_id, status, sku, part (see `contains`); with vendor, account_name, and the
#: units it is entitled to
LISTINGS = SortedQuestion(LISTING_SORTS, _listings)
#: listing_id
LISTING = Question(lambda _: _LISTING.where(Listing.id == bindparam("listing_id")))
#: listing_id, limit, and perhaps after; newest first
PRICE_CHANGES = Question(_price_changes)
#: listing_id; cheapest first
RIVALS = Question(
    lambda _: (
        select(*RivalOfferSeen.__table__.c)
        .where(RivalOfferSeen.listing_id == bindparam("listing_id"))
        .order_by(RivalOfferSeen.price_minor)
    )
)
ORDER_SORTS = Sorts(
    Order.id, default="-placed_at", placed_at=Order.placed_at, total=Order.total_minor, number=Exact(Order.number)
)
#: any of account_id, state, status, number, sku, placed_from, placed_before; with vendor, account_name and short_units
ORDERS = SortedQuestion(ORDER_SORTS, _orders)
#: order_id
ORDER = Question(lambda _: _ORDER.where(Order.id == bindparam("order_id")))
LINES = Question(
    lambda _: select(*OrderLine.__table__.c).where(OrderLine.order_id == bindparam("order_id")).order_by(OrderLine.id)
)
REFUNDS = Question(
    lambda _: select(*Refund.__table__.c).where(Refund.order_id == bindparam("order_id")).order_by(Refund.id)
)
REFUND_REQUESTS = Question(
    lambda _: (
        select(*RefundRequest.__table__.c)
        .where(RefundRequest.order_id == bindparam("order_id"))
        .order_by(RefundRequest.id)
    )
)
#: order_id; without the sealed files
LABELS = Question(
    lambda _: (
        select(*(column for column in LabelPurchase.__table__.c if column.name != "document"))
        .where(LabelPurchase.order_id == bindparam("order_id"))
        .order_by(LabelPurchase.id)
    )
)
#: order_id; of the tenant whose order it is
SETTINGS = Question(
    lambda _: select(Tenant.settings).join(Order, Order.tenant_id == Tenant.id).where(Order.id == bindparam("order_id"))
)
SHIPMENT = Question(lambda _: select(*Shipment.__table__.c).where(Shipment.order_id == bindparam("order_id")))


async def live_listings_of_variant(session: AsyncSession, variant_id: UUID) -> Sequence[Row[UUID, UUID, str]]:
    """(listing id, account id, vendor) of what is on sale."""
    query = (
        select(Listing.id, Listing.account_id, MarketplaceAccount.vendor)
        .join(MarketplaceAccount, MarketplaceAccount.id == Listing.account_id)
        .where(Listing.variant_id == variant_id, Listing.status == "active")
    )
    return (await session.execute(query)).all()
