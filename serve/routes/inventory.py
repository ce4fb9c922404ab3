"""Inventory: the stock ledger, goods that arrive, shelves that were counted. All figures are units."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.errors import VersionMismatch
from flipsync.domain.money import Money
from flipsync.security.tokens import Claims
from flipsync.services import landed, stock
from flipsync.services import reading_stock as reading
from flipsync.services.reading_catalogue import get_variant
from flipsync.services.reading_page import Page, PageRequest, SortedRequest
from flipsync.store.database import SessionReader
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import OnlyOnceDep, ReaderDep, VersionIfTold, etag, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/inventory", tags=["inventory"])

Reader = Annotated[Claims, may("inventory:read")]
Writer = Annotated[Claims, may("inventory:write")]


class StockQuery(SortedRequest, reading.StockFilter):
    model_config = ConfigDict(extra="forbid")

    sort: reading.StockSort = None


class MovementQuery(PageRequest):
    model_config = ConfigDict(extra="forbid")

    kind: reading.MovementKind | None = None


class CountRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    counted: int = Field(ge=0, le=stock.MAX_UNITS, description="units that lie on the shelf", examples=[12])
    note: str = Field(default="", max_length=500, examples=["stocktaking, aisle 4"])


class ReceiptRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    variant_id: UUID
    quantity: int = Field(ge=1, le=stock.MAX_UNITS, examples=[24])
    mode: Literal["escrow", "pooled"] = Field(
        default="escrow", description="for goods that are new here: each channel its own units, or all the same ones"
    )
    landed_cost: Money | None = Field(
        default=None, description="what all of them cost together, freight and duty included; the unit cost follows"
    )
    note: str = Field(default="", max_length=500)


class Booked(BaseModel):
    """`booked` is the change of the units on hand that was made; the item is as it is after it."""

    booked: int
    item: reading.StockItemDetail


@router.get("/items", summary="List stock items", responses=problems(401, 403))
async def list_stock_items(
    query: Annotated[StockQuery, Query()], user: Reader, reader: ReaderDep
) -> Page[reading.StockItemView]:
    return await reading.list_stock_items(reader, query, query)


@router.get("/items/{stock_item_id}", summary="One stock item with its shares", responses=problems(401, 403, 404))
async def get_stock_item(
    stock_item_id: UUID, user: Reader, reader: ReaderDep, response: Response
) -> reading.StockItemDetail:
    item = await reading.get_stock_item(reader, stock_item_id)
    response.headers["ETag"] = etag(item.version)
    return item


@router.get("/items/{stock_item_id}/movements", summary="What moved", responses=problems(401, 403, 404))
async def list_movements(
    stock_item_id: UUID, query: Annotated[MovementQuery, Query()], user: Reader, reader: ReaderDep
) -> Page[reading.MovementView]:
    """Newest first. Movements are never changed or removed."""
    return await reading.list_movements(reader, stock_item_id, query, query.kind)


@router.post(
    "/items/{stock_item_id}/counts",
    summary="Book a count",
    response_model=Booked,
    responses=problems(401, 403, 404, 409, 412),
)
async def count(
    stock_item_id: UUID, form: CountRequest, user: Writer, expected: VersionIfTold, once: OnlyOnceDep
) -> Response:
    """The difference is booked. Units promised to channels follow as soon as the channels have let go of them.

    With If-Match, 412 when units came or left since the item was read, or somebody else counted.
    """

    async def work(unit: UnitOfWork) -> Booked:
        if expected is not None:
            await stock.hold(unit, stock_item_id)
            item = await reading.get_stock_item(SessionReader(unit.session), stock_item_id)
            VersionMismatch.check("the shelf", item.version, expected)
        key = f"count:{once.key}"
        booked = await stock.count(unit, stock_item_id, form.counted, key=key, note=form.note, seen_at=unit.now)
        return Booked(booked=booked, item=await reading.get_stock_item(SessionReader(unit.session), stock_item_id))

    return await once.run(user, work)


@router.post(
    "/receipts",
    summary="Book goods that arrived",
    response_model=Booked,
    status_code=201,
    responses=problems(401, 403, 404, 409),
)
async def receive(form: ReceiptRequest, user: Writer, once: OnlyOnceDep) -> Response:
    async def work(unit: UnitOfWork) -> Booked:
        await get_variant(SessionReader(unit.session), form.variant_id)
        key = f"receive:{once.key}"
        what, mode, note = (form.variant_id, form.quantity), form.mode, form.note
        if form.landed_cost is None:
            item_id = await stock.receive(unit, *what, key=key, mode=mode, note=note)
        else:
            item_id = await landed.receive(unit, *what, form.landed_cost, key=key, mode=mode, note=note)
        return Booked(booked=form.quantity, item=await reading.get_stock_item(SessionReader(unit.session), item_id))

    return await once.run(user, work, status=201)
