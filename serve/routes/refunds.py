"""Refunds: money given back to buyers, asked for by people, once."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.money import Money
from flipsync.security.tokens import Claims
from flipsync.services import refunds
from flipsync.services.refunds import RefundRequestView
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import OnlyOnceDep, ReaderDep, may, may_after_proof
from serve.errors import problems

router = APIRouter(prefix="/api/v1/orders", tags=["orders"])

Reader = Annotated[Claims, may("orders:read")]
Refunder = Annotated[Claims, may_after_proof("orders:refund")]


class RefundForm(BaseModel):
    model_config = ConfigDict(extra="forbid")

    amount: Money | None = Field(default=None, description="default: what the lines cost, else all that is left")
    lines: dict[UUID, int] = Field(default_factory=dict, description="units by order line id", max_length=1000)
    reason: str = Field(default="", max_length=refunds.MAX_REASON, examples=["arrived broken"])
    restock: bool = Field(default=False, description="the channel puts the units back on sale")


class SettlementForm(BaseModel):
    model_config = ConfigDict(extra="forbid")

    given: bool = Field(description="what the channel's own page shows")


class RefundRequests(BaseModel):
    items: list[RefundRequestView]


@router.post(
    "/{order_id}/refunds",
    summary="Give money back",
    response_model=RefundRequestView,
    status_code=201,
    responses=problems(401, 403, 404, 409),
)
async def ask_refund(order_id: UUID, form: RefundForm, user: Refunder, once: OnlyOnceDep) -> Response:
    """Never more than was paid, one refund of an order at a time. Above the owner's limit a second person is asked."""

    async def work(unit: UnitOfWork) -> RefundRequestView:
        return await refunds.request(
            unit,
            order_id,
            amount=form.amount,
            reason=form.reason,
            units=form.lines,
            restock=form.restock,
            by=user.user_id,
        )

    return await once.run(user, work, status=201)


@router.get("/{order_id}/refunds", summary="Refunds that were asked for", responses=problems(401, 403, 404))
async def list_refunds(order_id: UUID, user: Reader, reader: ReaderDep) -> RefundRequests:
    """Oldest first, and what became of each."""
    return RefundRequests(items=await refunds.requests_of(reader, order_id))


@router.post(
    "/refunds/{refund_id}/settlement",
    summary="Say whether a refund in doubt was given",
    response_model=RefundRequestView,
    responses=problems(401, 403, 404, 409),
)
async def settle_refund(refund_id: UUID, form: SettlementForm, user: Refunder, once: OnlyOnceDep) -> Response:
    """For a refund of which nobody can tell: somebody has looked at the channel's own page."""

    async def work(unit: UnitOfWork) -> RefundRequestView:
        return await refunds.settle(unit, refund_id, given=form.given)

    return await once.run(user, work)
