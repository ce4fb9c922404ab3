"""Sync: a phone works without a network, then tells what it did and is told what changed."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from flipsync.security.tokens import Claims
from flipsync.services.reading_page import Page, PageRequest
from flipsync.services.sync import devices, pulling, pushing, records
from flipsync.services.sync.mutations import MAX_PUSHED, Answers, MutationView, Told
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, CauseDep, OnlyOnceDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/sync", tags=["sync"])

User = Annotated[Claims, may("sync:use")]


class DeviceRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200, examples=["Ana's phone"])
    clock: AwareDatetime = Field(description="what the device's clock says now")


class DeviceQuery(PageRequest):
    model_config = ConfigDict(extra="forbid")


class PullQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    cursor: str | None = Field(default=None, max_length=4000, description="of the last answer; none: everything")
    limit: int = Field(default=200, ge=1, le=pulling.MAX_PAGE)


class PushRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sent_at: AwareDatetime = Field(description="what the device's clock says now")
    mutations: list[Told] = Field(min_length=1, max_length=MAX_PUSHED)


@router.post(
    "/devices",
    summary="Make a device known",
    response_model=devices.DeviceView,
    status_code=201,
    responses=problems(401, 403, 409),
)
async def register(form: DeviceRequest, user: User, once: OnlyOnceDep) -> Response:
    """Once on each phone. Its id is what it pulls and pushes with, and what it is forgotten by when it is lost."""

    async def work(unit: UnitOfWork) -> devices.DeviceView:
        return await devices.register(unit, user, form.name, form.clock)

    return await once.run(user, work, status=201)


@router.get("/devices", summary="List your devices", responses=problems(401, 403))
async def list_devices(
    query: Annotated[DeviceQuery, Query()], user: User, backend: BackendDep
) -> Page[devices.DeviceView]:
    async with backend.store.reader(user.tenant_id) as session:
        return await devices.list_devices(session, user, query)


@router.delete(
    "/devices/{device_id}", summary="Forget a lost device", status_code=204, responses=problems(401, 403, 404)
)
async def forget(device_id: UUID, user: User, backend: BackendDep, cause: CauseDep) -> None:
    """It can neither pull nor push from then on. Sign its session out as well (`DELETE /auth/sessions/{id}`)."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await devices.forget_device(unit, user, device_id)


@router.get("/devices/{device_id}/changes", summary="Pull what changed", responses=problems(401, 403, 404, 410))
async def pull(
    device_id: UUID, query: Annotated[PullQuery, Query()], user: User, backend: BackendDep
) -> records.Changes:
    """410 `resync-required`: the cursor is too old; begin anew without one. What was not pushed yet stays good."""
    now = backend.store.clock.now()
    async with backend.store.reader(user.tenant_id) as session:
        return await pulling.pull(session, user, device_id, cursor=query.cursor, limit=query.limit, at=now)


@router.post(
    "/devices/{device_id}/mutations", summary="Push what was done", responses=problems(401, 403, 404, 409, 410)
)
async def push(device_id: UUID, form: PushRequest, user: User, backend: BackendDep, cause: CauseDep) -> Answers:
    """Each is answered for itself; one that cannot be done stops no other. To push again what got no answer is
    harmless: an id gets the answer it got before, so no Idempotency-Key is needed."""
    return await pushing.push(backend.store, user, device_id, form.mutations, sent_at=form.sent_at, cause=cause)


@router.get(
    "/devices/{device_id}/mutations/{mutation_id}",
    summary="What became of a mutation",
    responses=problems(401, 403, 404),
)
async def get_mutation(device_id: UUID, mutation_id: UUID, user: User, backend: BackendDep) -> MutationView:
    """The answer again; of a wish for a price also what agent, gate and channel made of it."""
    return await pushing.what_became(backend.store, user, device_id, mutation_id)
