"""Labels: bought from channels that sell them, once an order."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.channel import Address, Parcel
from flipsync.domain.money import Money
from flipsync.security.tokens import Claims
from flipsync.services import labels
from flipsync.services.labels import LabelView
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import OnlyOnceDep, ReaderDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/orders", tags=["orders"])

Reader = Annotated[Claims, may("orders:read")]
Shipper = Annotated[Claims, may("orders:ship")]


class LabelForm(BaseModel):
    model_config = ConfigDict(extra="forbid")

    parcel: Parcel
    service: str = Field(default="", max_length=200, description="the channel's name of it; default: the cheapest")
    most: Money | None = Field(default=None, description="the most it may cost; default: the owner's usual most")
    ship_from: Address | None = Field(default=None, description="default: from where the last one went out")


class LabelSettlement(BaseModel):
    model_config = ConfigDict(extra="forbid")

    external_id: str | None = Field(max_length=200, description="the shipment's id on the channel; null: not bought")


class Labels(BaseModel):
    items: list[LabelView]


@router.post(
    "/{order_id}/labels",
    summary="Buy a label",
    response_model=LabelView,
    status_code=201,
    responses=problems(401, 403, 404, 409),
)
async def buy_label(order_id: UUID, form: LabelForm, user: Shipper, once: OnlyOnceDep) -> Response:
    """One label an order. Once it is bought, the channel is told its tracking number."""

    async def work(unit: UnitOfWork) -> LabelView:
        return await labels.request(
            unit,
            order_id,
            form.parcel,
            most=form.most,
            service=form.service,
            ship_from=form.ship_from,
            by=user.user_id,
        )

    return await once.run(user, work, status=201)


@router.get("/{order_id}/labels", summary="Labels of an order", responses=problems(401, 403, 404))
async def list_labels(order_id: UUID, user: Reader, reader: ReaderDep) -> Labels:
    """Oldest first, and what each cost. The file to print is had with `flipsync label`."""
    return Labels(items=await labels.labels_of(reader, order_id))


@router.post(
    "/labels/{label_id}/return",
    summary="Give a label back",
    response_model=LabelView,
    responses=problems(401, 403, 404, 409),
)
async def return_label(label_id: UUID, user: Shipper, once: OnlyOnceDep) -> Response:
    """The channel says whether it takes it; until then it is `cancelling`."""

    async def work(unit: UnitOfWork) -> LabelView:
        return await labels.give_back(unit, label_id)

    return await once.run(user, work)


@router.post(
    "/labels/{label_id}/settlement",
    summary="Say whether a label in doubt was bought",
    response_model=LabelView,
    responses=problems(401, 403, 404, 409),
)
async def settle_label(label_id: UUID, form: LabelSettlement, user: Shipper, once: OnlyOnceDep) -> Response:
    """For a purchase of which nobody can tell: somebody has looked at the channel's own page."""

    async def work(unit: UnitOfWork) -> LabelView:
        return await labels.settle(unit, label_id, external_id=form.external_id)

    return await once.run(user, work)
