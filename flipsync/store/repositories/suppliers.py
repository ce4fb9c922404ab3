"""Rows of suppliers, of what they ask, and of how long their orders took."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.store.models import Supplier, SupplierOffer, Variant
from flipsync.store.sorting import Place, Sorts
from flipsync.store.unit_of_work import UnitOfWork

SORTS = Sorts(Supplier.id, name=Supplier.name)
#: of one supplier
OFFER_SORTS = Sorts(
    SupplierOffer.id,
    default="id",
    sku=Variant.sku,
    supplier_sku=SupplierOffer.supplier_sku,
    pack_cost=SupplierOffer.pack_cost_minor,
)


@dataclass(frozen=True)
class Shown:
    """How long goods took from a supplier, or to an account's warehouse, in days: those that came, and those that are
    overdue at their age."""

    whose: UUID
    orders: int
    mean: float
    variance: float


# What is still out and overdue took at least as long as that: left out, only the quick ones would be seen.
_LEAD = text(
    """
    SELECT supplier_id, count(*)::int AS orders, avg(days)::float8 AS mean, var_pop(days)::float8 AS variance FROM (
        SELECT o.supplier_id,
               extract(epoch FROM CASE WHEN o.state = 'received' THEN last.at ELSE CAST(:now AS timestamptz) END
                                  - o.ordered_at) / 86400 AS days
          FROM purchase_order o
         CROSS JOIN LATERAL (SELECT max(r.at) AS at FROM purchase_order_line l
                               JOIN purchase_receipt r ON r.line_id = l.id WHERE l.order_id = o.id) last
         WHERE o.tenant_id = current_tenant() AND o.ordered_at > CAST(:now AS timestamptz) - interval '2 years'
           AND ((o.state = 'received' AND last.at > o.ordered_at)
                OR (o.state IN ('ordered', 'partly_received') AND o.latest_at < :now))
           AND (CAST(:supplier_ids AS uuid[]) IS NULL OR o.supplier_id = ANY(CAST(:supplier_ids AS uuid[])))) taken
     GROUP BY supplier_id
    """
)


async def add(unit: UnitOfWork, **columns: Any) -> Supplier:
    row = Supplier(tenant_id=unit.tenant_id, version=1, **columns)
    unit.session.add(row)
    await unit.session.flush()
    return row


async def get(session: AsyncSession, supplier_id: UUID) -> Supplier | None:
    return (await session.scalars(select(Supplier).where(Supplier.id == supplier_id))).one_or_none()


async def lock(session: AsyncSession, supplier_id: UUID) -> Supplier | None:
    """Nobody else changes it, or orders there, before this transaction ends."""
    query = select(Supplier).where(Supplier.id == supplier_id).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).one_or_none()


async def of_ids(session: AsyncSession, supplier_ids: Collection[UUID]) -> Sequence[Supplier]:
    return (await session.scalars(select(Supplier).where(Supplier.id.in_(supplier_ids)))).all()


async def named(session: AsyncSession, supplier_name: str) -> Supplier | None:
    return (await session.scalars(select(Supplier).where(Supplier.name == supplier_name))).one_or_none()


async def page(session: AsyncSession, place: Place, *, active: bool | None = None) -> Sequence[Any]:
    """(supplier,) and what a cursor is made of."""
    query = select(Supplier)
    if active is not None:
        query = query.where(Supplier.active == active)
    return (await session.execute(place.put(query))).all()


async def lead_days(
    session: AsyncSession, now: datetime, supplier_ids: Sequence[UUID] | None = None
) -> dict[UUID, Shown]:
    """What is known of lead times, by supplier (None: of all); nothing of those with no order to go by."""
    values = {"now": now, "supplier_ids": None if supplier_ids is None else list(supplier_ids)}
    return {row[0]: Shown(*row) for row in await session.execute(_LEAD, values)}


async def put_offers(unit: UnitOfWork, supplier_id: UUID, offers: Sequence[dict[str, Any]]) -> None:
    """By variant: what is asked from now on, in the place of what was asked before."""
    if not offers:
        return
    now = utc_now()
    rows = [
        {"id": new_id(), "tenant_id": unit.tenant_id, "supplier_id": supplier_id, "created_at": now, **each}
        for each in offers
    ]
    made = insert(SupplierOffer).values([row | {"updated_at": now} for row in rows])
    kept = ("id", "tenant_id", "supplier_id", "variant_id", "created_at")
    new = {column.name: column for column in made.excluded if column.name not in kept}
    await unit.session.execute(made.on_conflict_do_update(index_elements=["supplier_id", "variant_id"], set_=new))


async def offers(session: AsyncSession, place: Place, supplier_id: UUID) -> Sequence[Any]:
    """With SKU and currency of the goods."""
    query = (
        select(SupplierOffer, Variant.sku, Variant.currency)
        .join(Variant, Variant.id == SupplierOffer.variant_id)
        .where(SupplierOffer.supplier_id == supplier_id)
    )
    return (await session.execute(place.put(query))).all()


async def offers_of(
    session: AsyncSession, supplier_id: UUID, variant_ids: Collection[UUID]
) -> dict[UUID, SupplierOffer]:
    """By variant."""
    query = select(SupplierOffer).where(
        SupplierOffer.supplier_id == supplier_id, SupplierOffer.variant_id.in_(variant_ids)
    )
    return {row.variant_id: row for row in await session.scalars(query)}


async def remove_offer(session: AsyncSession, supplier_id: UUID, variant_id: UUID) -> bool:
    gone = await session.execute(
        delete(SupplierOffer)
        .where(SupplierOffer.supplier_id == supplier_id, SupplierOffer.variant_id == variant_id)
        .execution_options(synchronize_session=False)
    )
    return bool(gone.rowcount)  # type: ignore[attr-defined]


async def goods(session: AsyncSession, variant_ids: Collection[UUID]) -> dict[UUID, tuple[str, str]]:
    """SKU and currency of variants."""
    rows = await session.execute(select(Variant.id, Variant.sku, Variant.currency).where(Variant.id.in_(variant_ids)))
    return {row[0]: (row[1], row[2]) for row in rows}


async def by_sku(session: AsyncSession, skus: Collection[str]) -> dict[str, tuple[UUID, str]]:
    """Variant and its currency, by SKU."""
    rows = await session.execute(select(Variant.sku, Variant.id, Variant.currency).where(Variant.sku.in_(skus)))
    return {row[0]: (row[1], row[2]) for row in rows}
