"""Payments: what channels paid out to the bank, line by line, and where that differs from the books."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services import payouts
from flipsync.services.reading_page import Page, SortedRequest
from serve.deps import BackendDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/payments", tags=["payments"])

User = Annotated[Claims, may("analytics:read")]


class PayoutQuery(SortedRequest, payouts.PayoutFilter):
    model_config = ConfigDict(extra="forbid")

    sort: payouts.PayoutSort = None


class LineQuery(SortedRequest):
    model_config = ConfigDict(extra="forbid")

    sort: payouts.LineSort = None


class DifferenceQuery(SortedRequest, payouts.DifferenceFilter):
    model_config = ConfigDict(extra="forbid")

    sort: payouts.DifferenceSort = None


@router.get("/payouts", summary="List payouts", responses=problems(401, 403))
async def list_payouts(
    query: Annotated[PayoutQuery, Query()], user: User, backend: BackendDep
) -> Page[payouts.PayoutView]:
    """Last sent first; of channels that tell what they pay out. `difference` is zero where the lines add up."""
    async with backend.store.reader(user.tenant_id) as session:
        return await payouts.list_payouts(session, query, query)


@router.get("/payouts/{payout_id}", summary="One payout", responses=problems(401, 403, 404))
async def get_payout(payout_id: UUID, user: User, backend: BackendDep) -> payouts.PayoutDetail:
    """With what its lines come to, by kind."""
    async with backend.store.reader(user.tenant_id) as session:
        return await payouts.get_payout(session, payout_id)


@router.get("/payouts/{payout_id}/lines", summary="What a payout is made of", responses=problems(401, 403, 404))
async def list_payout_lines(
    payout_id: UUID, query: Annotated[LineQuery, Query()], user: User, backend: BackendDep
) -> Page[payouts.PayoutLineView]:
    """Sales, refunds, fees and other movements of the balance, each with its order."""
    async with backend.store.reader(user.tenant_id) as session:
        return await payouts.list_lines(session, payout_id, query)


@router.get("/differences", summary="Where payouts and books differ", responses=problems(401, 403))
async def list_differences(
    query: Annotated[DifferenceQuery, Query()], user: User, backend: BackendDep
) -> Page[payouts.DifferenceView]:
    """Of the last 90 days: payouts that are not the sum of their lines or never arrived, orders that were paid
    otherwise than the books expect, and orders shipped more than 14 days ago that nobody paid for. Nothing is
    converted, and fees are compared where the channel told them with the order."""
    async with backend.store.reader(user.tenant_id) as session:
        return await payouts.list_differences(session, query, query, backend.store.clock.now())


@router.get("/orders/{order_id}", summary="What was paid for one order", responses=problems(401, 403, 404))
async def get_order_payment(order_id: UUID, user: User, backend: BackendDep) -> payouts.OrderPayment:
    """What the books expect of it, what payouts have of it, and the lines that name it."""
    async with backend.store.reader(user.tenant_id) as session:
        return await payouts.order_payment(session, order_id, backend.store.clock.now())
