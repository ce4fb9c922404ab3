"""Forecasts: demand to come of goods on channels, and how far the forecasts came true."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services import reading_forecasts as reading
from flipsync.services.reading_page import Page, PageRequest
from serve.deps import BackendDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/forecasts", tags=["forecasts"])

User = Annotated[Claims, may("inventory:read")]


class ForecastQuery(PageRequest, reading.ForecastFilter):
    model_config = ConfigDict(extra="forbid")


class TrendQuery(PageRequest, reading.TrendFilter):
    model_config = ConfigDict(extra="forbid")


@router.get("", summary="List the newest forecasts", responses=problems(401, 403))
async def list_forecasts(
    query: Annotated[ForecastQuery, Query()], user: User, backend: BackendDep
) -> reading.ForecastPage:
    """Units a week that goods will be wanted on each channel, with an interval, as they were forecast last."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.list_forecasts(session, query, query)


@router.get("/accuracy", summary="Forecasts beside what sold", responses=problems(401, 403))
async def get_accuracy(user: User, backend: BackendDep) -> reading.Accuracies:
    """What forecasts came to: error, share of weeks inside the interval, loss of its edges; by method."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.accuracy(session, backend.store.clock.now())


@router.get("/trends", summary="List what sells otherwise than before", responses=problems(401, 403))
async def list_trends(
    query: Annotated[TrendQuery, Query()], user: User, backend: BackendDep
) -> Page[reading.TrendView]:
    """Goods and categories that rise or fall, seasons and weeks out of line, newest first, with the sales behind it."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.list_trends(session, query, query)


@router.get("/{stock_item_id}", summary="Forecasts of one stock item", responses=problems(401, 403, 404))
async def get_goods(stock_item_id: UUID, user: User, backend: BackendDep) -> reading.GoodsView:
    """All that was forecast of it on each channel, newest first, beside what sold since."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.of_goods(session, stock_item_id, backend.store.clock.now())
