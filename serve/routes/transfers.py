"""Transfers: units sent from the shelf to a channel's own warehouse."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from flipsync.security.tokens import Claims
from flipsync.services import reading_transfers as reading
from flipsync.services import stock, transfers
from flipsync.services.reading_page import Page, SortedRequest
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, OnlyOnceDep, VersionIfTold, etag, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/inventory/transfers", tags=["inventory"])

Reader = Annotated[Claims, may("inventory:read")]
Writer = Annotated[Claims, may("inventory:write")]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TransferQuery(SortedRequest, reading.TransferFilter):
    model_config = ConfigDict(extra="forbid")

    sort: reading.TransferSort = None


class TransferForm(_Form):
    variant_id: UUID
    account_id: UUID = Field(description="whose warehouse they go to; it has a listing of the goods that it fulfils")
    units: int = Field(ge=1, le=stock.MAX_UNITS, examples=[24])
    note: str = Field(default="", max_length=500)


class SendForm(_Form):
    units: int | None = Field(default=None, ge=1, le=stock.MAX_UNITS, description="default: all that was planned")


class CallOffForm(_Form):
    reason: str = Field(default="", max_length=500)
    came_back: int = Field(default=0, ge=0, le=stock.MAX_UNITS, description="of what was sent, on the shelf again")


@router.get("", summary="List transfers", responses=problems(401, 403))
async def list_transfers(
    query: Annotated[TransferQuery, Query()], user: Reader, backend: BackendDep
) -> Page[reading.TransferView]:
    """Newest first."""
    async with backend.store.reader(user.tenant_id) as session:
        return await reading.list_transfers(session, query, query)


@router.post(
    "",
    summary="Plan a transfer",
    response_model=reading.TransferView,
    status_code=201,
    responses=problems(401, 403, 404, 409),
)
async def plan_transfer(form: TransferForm, user: Writer, once: OnlyOnceDep) -> Response:
    """The units are set aside: channels are given fewer. They stay on the shelf before they are sent."""

    async def work(unit: UnitOfWork) -> reading.TransferView:
        transfer = await transfers.plan(
            unit, form.variant_id, form.units, form.account_id, note=form.note, by=user.user_id
        )
        return await reading.get_transfer(unit.session, transfer.id)

    return await once.run(user, work, status=201)


@router.get("/{transfer_id}", summary="One transfer", responses=problems(401, 403, 404))
async def get_transfer(
    transfer_id: UUID, user: Reader, backend: BackendDep, response: Response
) -> reading.TransferView:
    async with backend.store.reader(user.tenant_id) as session:
        found = await reading.get_transfer(session, transfer_id)
    response.headers["ETag"] = etag(found.version)
    return found


@router.post(
    "/{transfer_id}/send",
    summary="Say that a transfer is on its way",
    response_model=reading.TransferView,
    responses=problems(401, 403, 404, 409, 412),
)
async def send_transfer(
    transfer_id: UUID, form: SendForm, user: Writer, expected: VersionIfTold, once: OnlyOnceDep
) -> Response:
    """The units are off the shelf, and received when the channel reports them for sale.

    409 while a channel still offers them: try again in a minute.
    """

    async def work(unit: UnitOfWork) -> reading.TransferView:
        await transfers.send(unit, transfer_id, units=form.units, expected_version=expected)
        return await reading.get_transfer(unit.session, transfer_id)

    return await once.run(user, work)


@router.post(
    "/{transfer_id}/cancel",
    summary="Call a transfer off",
    response_model=reading.TransferView,
    responses=problems(401, 403, 404, 409, 412),
)
async def cancel_transfer(
    transfer_id: UUID, form: CallOffForm, user: Writer, expected: VersionIfTold, once: OnlyOnceDep
) -> Response:
    """Of one that was sent, what has not arrived is given up: say how many units came back to the shelf."""

    async def work(unit: UnitOfWork) -> reading.TransferView:
        await transfers.cancel(unit, transfer_id, form.reason, came_back=form.came_back, expected_version=expected)
        return await reading.get_transfer(unit.session, transfer_id)

    return await once.run(user, work)
