"""Orders' statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, case, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.store.models import Allocation, Listing, Order, OrderLine, Refund, Shipment, StockItem, Variant
from flipsync.store.unit_of_work import UnitOfWork


@dataclass(frozen=True)
class SoldListing:
    """A listing as far as an order line needs it."""

    listing_id: UUID
    external_id: str | None
    sku: str
    stock_item_id: UUID | None
    cost_minor: int | None


async def lock_order(session: AsyncSession, account_id: UUID, external_id: str) -> Order | None:
    await session.flush()  # what this transaction changed and did not write yet would be read over
    return (
        await session.scalars(
            select(Order)
            .where(Order.account_id == account_id, Order.external_id == external_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    ).one_or_none()


async def lock_order_by_id(session: AsyncSession, order_id: UUID) -> Order | None:
    await session.flush()
    return (
        await session.scalars(
            select(Order).where(Order.id == order_id).with_for_update().execution_options(populate_existing=True)
        )
    ).one_or_none()


_MAKE_READY = text(
    """
    UPDATE customer_order o SET state = 'ready', updated_at = :now
      FROM marketplace_account m
     WHERE o.id = :id AND o.state = 'reserved' AND o.pool = 'own' AND m.id = o.account_id
    RETURNING o.account_id, m.vendor
    """
)


async def make_ready(session: AsyncSession, order_id: UUID) -> tuple[UUID, str] | None:
    """Mark a fully reserved order ready; its account and vendor. None when it is not in that state, or not there."""
    await session.flush()
    row = (await session.execute(_MAKE_READY, {"id": order_id, "now": utc_now()})).one_or_none()
    return (row[0], row[1]) if row else None


async def is_handed_over(session: AsyncSession, order_id: UUID) -> bool:
    """Whether a parcel has left, or is about to."""
    return (await session.scalars(select(Shipment.id).where(Shipment.order_id == order_id))).first() is not None


async def lines_of(session: AsyncSession, order_id: UUID) -> Sequence[OrderLine]:
    return (await session.scalars(select(OrderLine).where(OrderLine.order_id == order_id).order_by(OrderLine.id))).all()


async def listings_for_lines(
    session: AsyncSession, account_id: UUID, external_ids: Iterable[str], skus: Iterable[str]
) -> Sequence[SoldListing]:
    rows = await session.execute(
        select(Listing.id, Listing.external_id, Listing.sku, Allocation.stock_item_id, Variant.cost_minor)
        .join(Variant, Variant.id == Listing.variant_id)
        .outerjoin(Allocation, Allocation.listing_id == Listing.id)
        .where(
            Listing.account_id == account_id,
            or_(Listing.external_id.in_(list(external_ids)), Listing.sku.in_(list(skus))),
        )
    )
    return [SoldListing(*row) for row in rows]


async def stock_items_of_lines(session: AsyncSession, lines: Iterable[OrderLine]) -> dict[UUID, UUID]:
    """listing id → stock item id: the listing's own, or the one of the pool that the order takes its units from."""
    item = case((Order.pool == "own", Allocation.stock_item_id), else_=StockItem.id)
    rows = await session.execute(
        select(OrderLine.listing_id, item)
        .join(Order, Order.id == OrderLine.order_id)
        .join(Listing, Listing.id == OrderLine.listing_id)
        .outerjoin(Allocation, Allocation.listing_id == Listing.id)
        .outerjoin(StockItem, and_(StockItem.variant_id == Listing.variant_id, StockItem.pool == Order.pool))
        .where(OrderLine.id.in_([line.id for line in lines]), item.is_not(None))
    )
    return {row[0]: row[1] for row in rows}


async def record_refund(unit: UnitOfWork, order: Order, external_id: str, amount_minor: int) -> bool:
    """False when the refund is on record already."""
    inserted = await unit.session.execute(
        insert(Refund)
        .values(
            id=new_id(),
            tenant_id=unit.tenant_id,
            order_id=order.id,
            external_id=external_id,
            amount_minor=amount_minor,
            currency=order.currency,
            created_at=unit.now,
        )
        .on_conflict_do_nothing(index_elements=["order_id", "external_id"])
        .returning(Refund.id)
    )
    return inserted.scalar() is not None


async def ensure_shipment(unit: UnitOfWork, order_id: UUID, carrier: str, tracking_number: str) -> Shipment:
    """One shipment an order: the first carrier and number stay."""
    now = utc_now()
    await unit.session.execute(
        insert(Shipment)
        .values(
            id=new_id(),
            tenant_id=unit.tenant_id,
            order_id=order_id,
            carrier=carrier,
            tracking_number=tracking_number,
            created_at=now,
            updated_at=now,
        )
        .on_conflict_do_nothing(index_elements=["order_id"])
    )
    return (await unit.session.scalars(select(Shipment).where(Shipment.order_id == order_id))).one()


async def shipment_of(session: AsyncSession, order_id: UUID) -> Shipment | None:
    return (await session.scalars(select(Shipment).where(Shipment.order_id == order_id))).one_or_none()


async def note_refused(session: AsyncSession, order_id: UUID) -> None:
    """The channel will not be told of the order's parcel."""
    await session.execute(
        update(Shipment)
        .where(Shipment.order_id == order_id, Shipment.confirmed_at.is_(None))
        .values(refused_at=utc_now(), updated_at=utc_now())
    )


async def known_states(
    session: AsyncSession, account_id: UUID, external_ids: Sequence[str]
) -> dict[str, tuple[datetime, str, int]]:
    """external id → (modified_at, the channel's status, refunds on record): what need not be taken in again."""
    refunds = select(func.count()).where(Refund.order_id == Order.id).correlate(Order).scalar_subquery()
    rows = await session.execute(
        select(Order.external_id, Order.modified_at, Order.vendor_status, refunds).where(
            Order.account_id == account_id, Order.external_id.in_(external_ids)
        )
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}
