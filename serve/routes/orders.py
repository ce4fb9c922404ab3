"""Orders: what was sold, where, how far it is, and that its parcel left."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services import parcels
from flipsync.services import reading_orders as reading
from flipsync.services.order_profit import OrderProfit, order_profit
from flipsync.services.parcels import HandedOver
from flipsync.services.reading_page import Page, SortedRequest
from serve.deps import OnlyOnceDep, ReaderDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/orders", tags=["orders"])

User = Annotated[Claims, may("orders:read")]


Profits = Annotated[Claims, may("pricing:read")]


class OrderQuery(SortedRequest, reading.OrderFilter):
    model_config = ConfigDict(extra="forbid")

    sort: reading.OrderSort = None


@router.get("", summary="List orders", responses=problems(401, 403))
async def list_orders(
    query: Annotated[OrderQuery, Query()], user: User, reader: ReaderDep
) -> Page[reading.OrderSummary]:
    """Last placed first. `state` is how far we are, `status` the channel's word."""
    return await reading.list_orders(reader, query, query)


@router.get("/{order_id}", summary="One order with its lines", responses=problems(401, 403, 404))
async def get_order(order_id: UUID, user: User, reader: ReaderDep) -> reading.OrderView:
    """The buyer's address is null for roles that may not see customers."""
    return await reading.get_order(reader, order_id, with_customer=user.may("customers:read"))


@router.post(
    "/{order_id}/shipment",
    summary="Say that the parcel left",
    response_model=reading.ShipmentView,
    status_code=201,
    responses=problems(401, 403, 404, 409),
)
async def hand_over(
    order_id: UUID,
    form: HandedOver,
    user: Annotated[Claims, may("orders:ship")],
    once: OnlyOnceDep,
) -> Response:
    """For a packed order that goes out with a label of your own; its channel is told the number. A label bought through
    the channel needs none of this. `confirmed_at` is set once the channel knows."""
    return await once.run(user, lambda unit: parcels.hand_over(unit, order_id, form), status=201)


@router.get("/{order_id}/profit", summary="What one order earns", responses=problems(401, 403, 404))
async def get_order_profit(order_id: UUID, user: Profits, reader: ReaderDep) -> OrderProfit:
    """Every fee by the tables with its source, the net, and the difference to what the channel says, by name."""
    return await order_profit(reader, order_id)
