"""What a thing is, whether to buy it, and for how much at most: asked by barcode, ASIN or title, or a list at once."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.money import Currency, Money
from flipsync.security.tokens import Claims
from flipsync.services.reading_page import Page, SortedRequest
from flipsync.services.sourcing import reading, scans
from flipsync.services.sourcing.supplier_list import MOST_BYTES, read_supplier_list
from flipsync.services.tenant_settings import profile
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, OnlyOnceDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/asin-finder", tags=["asin-finder"])

#: advice tells what goods cost and earn
User = Annotated[Claims, may("pricing:read")]

#: asking has channels asked, whose answers are counted by the day
Buyer = Annotated[Claims, may("pricing:write")]

#: how often is looked whether an answer is there, for at most so long
_LOOK, _LONGEST = 0.05, 5.0


class GoodsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    q: str = Field(min_length=1, max_length=300, description="barcode, ISBN, ASIN or title", examples=["4006381333931"])
    title: str = Field(default="", max_length=300, description="what it says, beside a code")
    cost: Money | None = Field(
        default=None, description="what a unit costs, with all that comes on top to have it here"
    )
    units: int = Field(default=1, ge=1, le=scans.MOST_UNITS, description="how many would be bought")


class SupplierListForm(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200, examples=["Northside, week 23"])
    csv: str = Field(
        min_length=1,
        max_length=MOST_BYTES // 4,
        description="columns: a cost, and barcode, ASIN or title; units where told",
        examples=["barcode,title,cost,units\n4006381333931,Highlighter,1.20,50\n"],
    )
    currency: Currency | None = Field(default=None, description="default: that of the books")


class AdviceQuery(SortedRequest, reading.AdviceFilter):
    model_config = ConfigDict(extra="forbid")

    sort: reading.AdviceSort = None


async def _currency(unit: UnitOfWork) -> str:
    return (await profile(unit.session, unit.tenant_id)).currency


@router.post(
    "",
    summary="Ask about goods",
    response_model=reading.AdviceView,
    status_code=201,
    responses=problems(401, 403),
)
async def ask(form: GoodsQuery, user: Buyer, once: OnlyOnceDep) -> Response:
    """The advice follows within moments: `GET /asin-finder/{line_id}?wait=2`."""

    async def work(unit: UnitOfWork) -> reading.AdviceView:
        currency = form.cost.currency if form.cost is not None else await _currency(unit)
        question = scans.read_question(form.q, title=form.title, cost=form.cost, units=form.units, currency=currency)
        scan = await scans.ask(unit, [question], by=user.user_id)
        return await reading.first_advice(unit.session, scan)

    return await once.run(user, work, status=201)


@router.post(
    "/lists",
    summary="Send a supplier's list",
    response_model=reading.ListView,
    status_code=201,
    responses=problems(401, 403, 413),
    max_body_size=MOST_BYTES,
)
async def send_list(form: SupplierListForm, user: Buyer, once: OnlyOnceDep) -> Response:
    """Every row is judged, a hundred at a time; `GET /asin-finder/lists/{list_id}` tells how far it is."""

    async def work(unit: UnitOfWork) -> reading.ListView:
        currency = form.currency or await _currency(unit)
        found = await asyncio.to_thread(read_supplier_list, form.csv.encode(), currency=currency)
        scan = await scans.ask(
            unit, found.questions, name=form.name, by=user.user_id, problems=found.problems, is_list=True
        )
        return await reading.get_list(unit.session, scan.id)

    return await once.run(user, work, status=201)


@router.get("", summary="List advice on goods", responses=problems(401, 403))
async def list_advice(
    query: Annotated[AdviceQuery, Query()], user: User, backend: BackendDep
) -> Page[reading.AdviceView]:
    """What was asked about, newest first."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.list_advice(session, query, query)


@router.get("/reliability", summary="Advice beside what came of it", responses=problems(401, 403))
async def get_reliability(user: User, backend: BackendDep) -> reading.ReliabilityView:
    """How often a unit of goods that were bought and sold earned what the interval told."""
    return await reading.reliability(backend.store, user.tenant_id)


@router.get("/lists/{list_id}", summary="How far a list is", responses=problems(401, 403, 404))
async def get_list(list_id: UUID, user: User, backend: BackendDep) -> reading.ListView:
    """Lines judged so far, by verdict. Its lines: `GET /asin-finder?list_id=`."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.get_list(session, list_id)


@router.get("/{line_id}", summary="Advice on one article", responses=problems(401, 403, 404))
async def get_advice(
    line_id: UUID,
    user: User,
    backend: BackendDep,
    wait: Annotated[float, Query(ge=0, le=_LONGEST, description="seconds to wait for the verdict at most")] = 0.0,
) -> reading.AdviceView:
    """The newest verdict; it may change while channels' catalogues are asked (`waiting`)."""
    until = time.monotonic() + wait
    while True:
        async with backend.store.reader(user.tenant_id) as session:
            advice = await reading.get_advice(session, line_id)
        if advice.verdict is not None or time.monotonic() >= until:
            return advice
        await asyncio.sleep(_LOOK)
