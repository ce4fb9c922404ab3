"""Purchase orders: placed with suppliers, received once, called off."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from flipsync.security.tokens import Claims
from flipsync.services import goods_in, purchase_orders, stock
from flipsync.services import reading_purchasing as reading
from flipsync.services.purchase_orders import MOST_LINES, Wanted
from flipsync.services.reading_page import Page, SortedRequest
from flipsync.services.suppliers import MAX_COST_MINOR
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, CauseDep, ExpectedVersion, OnlyOnceDep, etag, may, may_after_proof
from serve.errors import problems

router = APIRouter(prefix="/api/v1/inventory/purchase-orders", tags=["purchasing"])

Reader = Annotated[Claims, may("inventory:read")]
Shelver = Annotated[Claims, may("inventory:write")]
Writer = Annotated[Claims, may("purchasing:write")]
Buyer = Annotated[Claims, may_after_proof("purchasing:write")]
Charge = Annotated[int, Field(ge=0, le=MAX_COST_MINOR)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OrderQuery(SortedRequest, reading.OrderFilter):
    model_config = ConfigDict(extra="forbid")

    sort: reading.OrderSort = None


class LineForm(_Form):
    variant_id: UUID
    units: int = Field(ge=1, le=stock.MAX_UNITS, examples=[24])
    cost_minor: int | None = Field(
        default=None, ge=1, le=MAX_COST_MINOR, description="of all of them; default: what the supplier's offer says"
    )


class OrderForm(_Form):
    supplier_id: UUID
    lines: list[LineForm] = Field(min_length=1, max_length=MOST_LINES)
    freight_minor: Charge = Field(default=0, description="of the whole, shared over the lines by what they cost")
    duty_minor: Charge = 0
    note: str = Field(default="", max_length=500, description="the supplier reads it")


class PlaceForm(_Form):
    by_hand: bool = Field(default=False, description="do not mail it: you place it")


class OrderedForm(_Form):
    expected_at: AwareDatetime | None = Field(default=None, description="when the supplier says it will be there")
    freight_minor: Charge | None = None
    duty_minor: Charge | None = None


class ChargesForm(_Form):
    freight_minor: Charge
    duty_minor: Charge


class CancelPurchaseForm(_Form):
    reason: str = Field(default="", max_length=500)


class ArrivedForm(_Form):
    """Units that arrived, by variant."""

    units: dict[UUID, int] = Field(min_length=1, max_length=MOST_LINES)
    more_than_ordered: bool = Field(default=False, description="book what is above the order too")
    note: str = Field(default="", max_length=500)


def _sees_costs(user: Claims) -> bool:
    return user.may("purchasing:read")


@router.get("", summary="List purchase orders", responses=problems(401, 403))
async def list_purchase_orders(
    query: Annotated[OrderQuery, Query()], user: Reader, backend: BackendDep
) -> Page[reading.PurchaseOrderView]:
    """Newest first. What they cost is shown to who may see it."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.list_orders(session, query, query, costs=_sees_costs(user))


@router.post(
    "",
    summary="Write a purchase order",
    response_model=reading.PurchaseOrderView,
    status_code=201,
    responses=problems(401, 403, 404, 409),
)
async def draft_order(form: OrderForm, user: Writer, once: OnlyOnceDep) -> Response:
    """A draft: nothing leaves before it is placed. Each variant is on one line."""

    async def work(unit: UnitOfWork) -> reading.PurchaseOrderView:
        order = await purchase_orders.draft(
            unit,
            form.supplier_id,
            purchase_orders.wanted((line.variant_id, Wanted(line.units, line.cost_minor)) for line in form.lines),
            freight_minor=form.freight_minor,
            duty_minor=form.duty_minor,
            note=form.note,
            by=user.user_id,
        )
        return await reading.get_order(unit.session, order.id, costs=True)

    return await once.run(user, work, status=201)


@router.get("/{purchase_order_id}", summary="One purchase order", responses=problems(401, 403, 404))
async def get_purchase_order(
    purchase_order_id: UUID, user: Reader, backend: BackendDep, response: Response
) -> reading.PurchaseOrderView:
    async with backend.store.reader(user.tenant_id) as session:
        found = await reading.get_order(session, purchase_order_id, costs=_sees_costs(user))
    response.headers["ETag"] = etag(found.version)
    return found


@router.post(
    "/{purchase_order_id}/place",
    summary="Send an order to its supplier",
    response_model=reading.PurchaseOrderView,
    responses=problems(401, 403, 404, 409),
)
async def place_order(purchase_order_id: UUID, form: PlaceForm, user: Buyer, once: OnlyOnceDep) -> Response:
    """By mail from an owner's mail account where that can be; else it waits for you to place it."""

    async def work(unit: UnitOfWork) -> reading.PurchaseOrderView:
        await purchase_orders.place(unit, purchase_order_id, by_hand=form.by_hand)
        return await reading.get_order(unit.session, purchase_order_id, costs=True)

    return await once.run(user, work)


@router.post(
    "/{purchase_order_id}/ordered",
    summary="Say that the supplier has the order",
    response_model=reading.PurchaseOrderView,
    responses=problems(401, 403, 404, 409),
)
async def mark_ordered(purchase_order_id: UUID, form: OrderedForm, user: Buyer, once: OnlyOnceDep) -> Response:
    """You placed it, or the supplier says that the mail arrived of which nobody could tell."""

    async def work(unit: UnitOfWork) -> reading.PurchaseOrderView:
        await purchase_orders.ordered(
            unit,
            purchase_order_id,
            expected_at=form.expected_at,
            freight_minor=form.freight_minor,
            duty_minor=form.duty_minor,
        )
        return await reading.get_order(unit.session, purchase_order_id, costs=True)

    return await once.run(user, work)


@router.put(
    "/{purchase_order_id}/charges",
    summary="Say what freight and duty are",
    responses=problems(401, 403, 404, 409, 412, 428),
)
async def put_charges(
    purchase_order_id: UUID,
    form: ChargesForm,
    user: Writer,
    expected: ExpectedVersion,
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> reading.PurchaseOrderView:
    """Of the whole order, until the first goods are booked: they are in the cost of what arrives."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await purchase_orders.charge(unit, purchase_order_id, expected_version=expected, **form.model_dump())
        found = await reading.get_order(unit.session, purchase_order_id, costs=True)
    response.headers["ETag"] = etag(found.version)
    return found


@router.post(
    "/{purchase_order_id}/receipts",
    summary="Book goods of an order that arrived",
    response_model=reading.PurchaseOrderView,
    status_code=201,
    responses=problems(401, 403, 404, 409),
)
async def receive_goods(purchase_order_id: UUID, form: ArrivedForm, user: Shelver, once: OnlyOnceDep) -> Response:
    """They are on the shelf with their share of freight and duty. All of it or nothing; the same key books once."""

    async def work(unit: UnitOfWork) -> reading.PurchaseOrderView:
        await goods_in.receive(
            unit,
            purchase_order_id,
            form.units,
            key=once.key,
            note=form.note,
            more_than_ordered=form.more_than_ordered,
        )
        return await reading.get_order(unit.session, purchase_order_id, costs=_sees_costs(user))

    return await once.run(user, work, status=201)


@router.post(
    "/{purchase_order_id}/cancel",
    summary="Call an order off",
    response_model=reading.PurchaseOrderView,
    responses=problems(401, 403, 404, 409),
)
async def cancel_order(purchase_order_id: UUID, form: CancelPurchaseForm, user: Writer, once: OnlyOnceDep) -> Response:
    """A supplier who was mailed is told; where that mail fails, tell them, and say so by doing this again.

    Of an order that arrived in part, what is still to come is given up.
    """

    async def work(unit: UnitOfWork) -> reading.PurchaseOrderView:
        await purchase_orders.cancel(unit, purchase_order_id, form.reason)
        return await reading.get_order(unit.session, purchase_order_id, costs=True)

    return await once.run(user, work)
