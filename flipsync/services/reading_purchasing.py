"""Suppliers, what they ask, and orders with them, as people see them. Who may not see costs is shown none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import NotFound
from flipsync.domain.money import Money
from flipsync.services import lead_times
from flipsync.services.lead_times import LeadTime
from flipsync.services.reading_page import Moment, Page, SortedRequest, View, cut, money, sorted_by
from flipsync.store.models import PurchaseOrder, PurchaseOrderLine, Supplier, SupplierOffer
from flipsync.store.repositories import purchase_orders as rows
from flipsync.store.repositories import suppliers as supplier_rows

OrderSort = Annotated[str | None, sorted_by(rows.SORTS)]
OfferSort = Annotated[str | None, sorted_by(supplier_rows.OFFER_SORTS)]
SupplierSort = Annotated[str | None, sorted_by(supplier_rows.SORTS)]

OrderState = Literal["draft", "placing", "ordered", "partly_received", "received", "cancelled"]
MailState = Literal["none", "waiting", "sending", "sent", "rejected", "unknown"]


class LeadTimeView(View):
    """Days from order to delivery; `orders` have shown it, with none it is what was stated."""

    mean_days: float
    spread_days: float
    nine_in_ten_days: float
    orders: int


class SupplierView(View):
    """`version` is what a change is based on (If-Match)."""

    id: UUID
    name: str
    currency: str
    email: str | None
    stated_mean_days: float
    stated_spread_days: float
    lead_time: LeadTimeView
    least_order: Money
    active: bool
    note: str
    version: int


class OfferView(View):
    id: UUID
    variant_id: UUID
    sku: str
    supplier_sku: str
    pack_units: int
    pack_cost: Money
    least_units: int
    valid_from: Moment | None
    valid_until: Moment | None


class PurchaseLineView(View):
    """`landed`: what all that arrived of it cost with its share of freight and duty."""

    variant_id: UUID
    sku: str
    supplier_sku: str
    units: int
    received: int
    cost: Money | None
    landed: Money | None


class PurchaseOrderView(View):
    """`mail` is how far the message is that tells the supplier; `unknown`: it may have arrived, so ask them, then say
    whether they have the order or cancel it. `placing` without mail waits for you to place it."""

    id: UUID
    number: int
    supplier_id: UUID
    supplier: str
    state: OrderState
    lines: list[PurchaseLineView]
    goods: Money | None
    freight: Money | None
    duty: Money | None
    note: str
    reason: str
    expected_at: Moment | None
    latest_at: Moment | None = Field(description="nine in ten of their orders are there by then")
    placed_at: Moment | None
    ordered_at: Moment | None
    received_at: Moment | None
    cancelled_at: Moment | None
    closed_at: Moment | None = Field(description="when what never came of it was given up")
    mail: MailState
    mail_about: Literal["order", "cancellation"]
    mail_detail: str
    decision_id: UUID | None
    version: int


class OrderFilter(View):
    supplier_id: UUID | None = None
    state: OrderState | None = None


class SupplierFilter(View):
    active: bool | None = None


async def list_suppliers(
    session: AsyncSession, page: SortedRequest, where: SupplierFilter, now: datetime
) -> Page[SupplierView]:
    """Newest first by default. Raises InvalidInput for a foreign cursor."""
    place = page.place(supplier_rows.SORTS)
    found = await supplier_rows.page(session, place, active=where.active)
    leads = await lead_times.of_suppliers(session, now, [row[0] for row in found])
    return cut(found, page.limit, lambda row: _supplier(row[0], leads[row[0].id]), place.cursor_of)


async def get_supplier(session: AsyncSession, supplier_id: UUID, now: datetime) -> SupplierView:
    """Raises NotFound."""
    row = await supplier_rows.get(session, supplier_id)
    if row is None:
        raise NotFound(f"no supplier {supplier_id}")
    return _supplier(row, (await lead_times.of_suppliers(session, now, [row]))[row.id])


async def list_offers(session: AsyncSession, supplier_id: UUID, page: SortedRequest) -> Page[OfferView]:
    """Oldest first by default. Raises NotFound, and InvalidInput for a foreign cursor."""
    supplier = await supplier_rows.get(session, supplier_id)
    if supplier is None:
        raise NotFound(f"no supplier {supplier_id}")
    place = page.place(supplier_rows.OFFER_SORTS)
    found = await supplier_rows.offers(session, place, supplier_id)
    return cut(found, page.limit, lambda row: _offer(row[0], row[1], row[2]), place.cursor_of)


async def list_orders(
    session: AsyncSession, page: SortedRequest, where: OrderFilter, *, costs: bool
) -> Page[PurchaseOrderView]:
    """Newest first by default. Raises InvalidInput for a foreign cursor."""
    place = page.place(rows.SORTS)
    found = await rows.page(session, place, supplier_id=where.supplier_id, state=where.state)
    views = {each.id: each for each in await _orders(session, [(row[0], row[1]) for row in found], costs=costs)}
    return cut(found, page.limit, lambda row: views[row[0].id], place.cursor_of)


async def get_order(session: AsyncSession, purchase_order_id: UUID, *, costs: bool) -> PurchaseOrderView:
    """Raises NotFound."""
    row = await rows.with_supplier(session, purchase_order_id)
    if row is None:
        raise NotFound(f"no purchase order {purchase_order_id}")
    return (await _orders(session, [(row[0], row[1])], costs=costs))[0]


async def _orders(
    session: AsyncSession, found: Sequence[tuple[PurchaseOrder, str]], *, costs: bool
) -> list[PurchaseOrderView]:
    lines = await rows.lines_of(session, [order.id for order, _ in found])
    landed = await rows.landed_of(session, [line.id for line, _ in lines]) if costs else {}
    of_order: dict[UUID, list[tuple[PurchaseOrderLine, str]]] = {}
    for line, sku in lines:
        of_order.setdefault(line.order_id, []).append((line, sku))
    return [_order(order, name, of_order.get(order.id, []), landed, costs=costs) for order, name in found]


def _order(
    order: PurchaseOrder,
    supplier: str,
    lines: Sequence[tuple[PurchaseOrderLine, str]],
    landed: dict[UUID, int],
    *,
    costs: bool,
) -> PurchaseOrderView:
    currency = order.currency if costs else None
    same = PurchaseOrderView.model_fields.keys() & set(PurchaseOrder.__table__.columns.keys())
    told = {name: getattr(order, name) for name in same}
    return PurchaseOrderView.model_validate(
        told
        | {
            "supplier": supplier,
            "lines": [
                PurchaseLineView(
                    variant_id=line.variant_id,
                    sku=sku,
                    supplier_sku=line.supplier_sku,
                    units=line.units,
                    received=line.received,
                    cost=money(line.cost_minor, currency),
                    landed=money(landed.get(line.id, 0), currency),
                )
                for line, sku in lines
            ],
            "goods": money(sum(line.cost_minor for line, _ in lines), currency),
            "freight": money(order.freight_minor, currency),
            "duty": money(order.duty_minor, currency),
        }
    )


def _supplier(row: Supplier, lead: LeadTime) -> SupplierView:
    return SupplierView(
        id=row.id,
        name=row.name,
        currency=row.currency,
        email=row.email,
        stated_mean_days=row.lead_mean_days,
        stated_spread_days=row.lead_spread_days,
        lead_time=LeadTimeView(
            mean_days=round(lead.mean, 2),
            spread_days=round(lead.spread, 2),
            nine_in_ten_days=round(lead.latest, 2),
            orders=lead.orders,
        ),
        least_order=Money(amount_minor=row.least_order_minor, currency=row.currency),
        active=row.active,
        note=row.note,
        version=row.version,
    )


def _offer(row: SupplierOffer, sku: str, currency: str) -> OfferView:
    return OfferView(
        id=row.id,
        variant_id=row.variant_id,
        sku=sku,
        supplier_sku=row.supplier_sku,
        pack_units=row.pack_units,
        pack_cost=Money(amount_minor=row.pack_cost_minor, currency=currency),
        least_units=row.least_units,
        valid_from=row.valid_from,
        valid_until=row.valid_until,
    )
