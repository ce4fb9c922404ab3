"""Rows of orders with suppliers, their lines, what arrived, and the mail by which they leave."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import (
    NotificationDestination,
    PurchaseOrder,
    PurchaseOrderLine,
    PurchaseReceipt,
    Supplier,
    User,
    Variant,
)
from flipsync.store.sorting import Place, Sorts
from flipsync.store.unit_of_work import UnitOfWork

SORTS = Sorts(
    PurchaseOrder.id,
    supplier=Supplier.name,
    expected_at=PurchaseOrder.expected_at,
    placed_at=PurchaseOrder.placed_at,
)
#: orders whose goods are still to come
OPEN = ("placing", "ordered", "partly_received")
_LOCK_KIND = 0x62757973
_HOLD = text("SELECT pg_advisory_xact_lock(:kind, :key)")


async def hold(session: AsyncSession, tenant_id: UUID) -> None:
    """One at a time of a tenant makes or places orders, until the transaction ends: numbers and limits count right."""
    await session.execute(_HOLD, {"kind": _LOCK_KIND, "key": tenant_id.int % 2**31})


async def add(
    unit: UnitOfWork, lines: Sequence[dict[str, Any]], **columns: Any
) -> tuple[PurchaseOrder, list[PurchaseOrderLine]]:
    """A new order with the next number; the caller holds the tenant's turn."""
    last = await unit.session.scalar(select(func.max(PurchaseOrder.number)))
    order = PurchaseOrder(tenant_id=unit.tenant_id, number=(last or 0) + 1, state="draft", mail="none", **columns)
    unit.session.add(order)
    await unit.session.flush()
    rows = [PurchaseOrderLine(tenant_id=unit.tenant_id, order_id=order.id, received=0, **line) for line in lines]
    unit.session.add_all(rows)
    await unit.session.flush()
    return order, rows


async def get(session: AsyncSession, purchase_order_id: UUID) -> PurchaseOrder | None:
    query = select(PurchaseOrder).where(PurchaseOrder.id == purchase_order_id)
    return (await session.scalars(query)).one_or_none()


async def lock(session: AsyncSession, purchase_order_id: UUID) -> PurchaseOrder | None:
    """Nobody else moves it, or books what arrives of it, before this transaction ends."""
    query = select(PurchaseOrder).where(PurchaseOrder.id == purchase_order_id).with_for_update()
    return (await session.scalars(query.execution_options(populate_existing=True))).one_or_none()


async def of_decision(session: AsyncSession, decision_id: UUID) -> UUID | None:
    return (
        await session.execute(select(PurchaseOrder.id).where(PurchaseOrder.decision_id == decision_id))
    ).scalar_one_or_none()


async def lines_of(
    session: AsyncSession, purchase_order_ids: Collection[UUID]
) -> Sequence[Row[PurchaseOrderLine, str]]:
    """With the SKU, in the order in which they were written."""
    query = (
        select(PurchaseOrderLine, Variant.sku)
        .join(Variant, Variant.id == PurchaseOrderLine.variant_id)
        .where(PurchaseOrderLine.order_id.in_(purchase_order_ids))
        .order_by(PurchaseOrderLine.id)
        .execution_options(populate_existing=True)
    )
    return (await session.execute(query)).all()


async def page(
    session: AsyncSession,
    place: Place,
    *,
    supplier_id: UUID | None = None,
    state: str | None = None,
) -> Sequence[Any]:
    """(order, its supplier's name) and what a cursor is made of."""
    query = _with_supplier()
    if supplier_id is not None:
        query = query.where(PurchaseOrder.supplier_id == supplier_id)
    if state is not None:
        query = query.where(PurchaseOrder.state == state)
    return (await session.execute(place.put(query))).all()


async def with_supplier(session: AsyncSession, purchase_order_id: UUID) -> Row[PurchaseOrder, str] | None:
    query = _with_supplier().where(PurchaseOrder.id == purchase_order_id)
    return (await session.execute(query.execution_options(populate_existing=True))).one_or_none()


def _with_supplier() -> Any:
    return select(PurchaseOrder, Supplier.name).join(Supplier, Supplier.id == PurchaseOrder.supplier_id)


async def placed_since(session: AsyncSession, supplier_id: UUID, since: datetime) -> int | None:
    """The number of an order that was placed there after that moment and was not called off."""
    query = select(func.max(PurchaseOrder.number)).where(
        PurchaseOrder.supplier_id == supplier_id,
        PurchaseOrder.placed_at > since,
        PurchaseOrder.state != "cancelled",
    )
    return await session.scalar(query)


# What has arrived is paid goods on the shelf; what is out is cash that is promised.
_COMMITTED = text(
    """
    SELECT o.currency, o.supplier_id, coalesce(sum(o.freight_minor + o.duty_minor + rest.minor), 0)::bigint AS minor
      FROM purchase_order o
     CROSS JOIN LATERAL (
           SELECT sum(ceil(l.cost_minor::numeric * greatest(l.units - l.received, 0) / l.units)) AS minor
             FROM purchase_order_line l WHERE l.order_id = o.id) rest
     WHERE o.tenant_id = current_tenant() AND o.state IN ('placing', 'ordered', 'partly_received')
     GROUP BY o.currency, o.supplier_id
    """
)


async def committed(session: AsyncSession) -> dict[str, dict[UUID, int]]:
    """What goods that are still to come cost, by currency and supplier, in minor units of the currency."""
    found: dict[str, dict[UUID, int]] = {}
    for row in await session.execute(_COMMITTED):
        found.setdefault(row.currency, {})[row.supplier_id] = row.minor
    return found


# -- what arrives -----------------------------------------------------------------------------------------------------


async def receipts_with_key(
    session: AsyncSession, line_ids: Collection[UUID], receipt_key: str
) -> dict[UUID, PurchaseReceipt]:
    """By line: what was booked under that key."""
    query = select(PurchaseReceipt).where(PurchaseReceipt.line_id.in_(line_ids), PurchaseReceipt.key == receipt_key)
    return {row.line_id: row for row in await session.scalars(query)}


async def landed_of(session: AsyncSession, line_ids: Collection[UUID]) -> dict[UUID, int]:
    """By line: what all that arrived of it cost landed."""
    query = (
        select(PurchaseReceipt.line_id, func.sum(PurchaseReceipt.landed_minor))
        .where(PurchaseReceipt.line_id.in_(line_ids))
        .group_by(PurchaseReceipt.line_id)
    )
    return {row[0]: int(row[1]) for row in await session.execute(query)}


async def add_receipt(unit: UnitOfWork, **columns: Any) -> None:
    unit.session.add(PurchaseReceipt(tenant_id=unit.tenant_id, at=unit.now, **columns))
    await unit.session.flush()


# -- the mail ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClaimedMail:
    """A message to a supplier whose turn it is. `cut_off`: an earlier try began and nobody knows how it ended."""

    id: UUID
    about: str
    attempts: int
    cut_off: bool


_CLAIM = text(
    """
    WITH due AS (
        SELECT id, mail FROM purchase_order
         WHERE (mail = 'waiting' AND mail_not_before <= :now) OR (mail = 'sending' AND mail_lease_until < :now)
         ORDER BY mail_not_before, id LIMIT :most FOR UPDATE SKIP LOCKED)
    UPDATE purchase_order o SET mail = 'sending', mail_attempts = o.mail_attempts + 1, mail_lease_until = :until
      FROM due WHERE due.id = o.id
    RETURNING o.id, o.mail_about, o.mail_attempts, due.mail = 'sending' AS cut_off
    """
)


async def claim_mail(session: AsyncSession, now: datetime, until: datetime, most: int) -> list[ClaimedMail]:
    """Messages whose turn it is, each for one process, until then. Real time."""
    found = await session.execute(_CLAIM, {"now": now, "until": until, "most": most})
    return [ClaimedMail(*row) for row in found]


async def write_mail(session: AsyncSession, purchase_order_id: UUID, attempt: int, **values: Any) -> bool:
    """What came of a try; False when another has begun in the meantime, which has the say then."""
    done = await session.execute(
        update(PurchaseOrder)
        .where(
            PurchaseOrder.id == purchase_order_id,
            PurchaseOrder.mail_attempts == attempt,
            PurchaseOrder.mail == "sending",
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]


async def owners_mail(session: AsyncSession) -> NotificationDestination | None:
    """By which mail account of an owner's messages leave: the oldest that works."""
    query = (
        select(NotificationDestination)
        .join(User, User.id == NotificationDestination.user_id)
        .where(
            NotificationDestination.channel == "email",
            NotificationDestination.state == "working",
            User.role == "owner",
            User.disabled_at.is_(None),
        )
        .order_by(NotificationDestination.id)
        .limit(1)
    )
    return (await session.scalars(query)).one_or_none()
