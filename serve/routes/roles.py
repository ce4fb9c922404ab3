"""Roles a business defines itself, beside those that every business has."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response

from flipsync.security.tokens import Claims
from flipsync.services import own_roles
from flipsync.services.own_roles import RoleEdit, RoleForm, RoleList, RoleView
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, CauseDep, ExpectedVersion, OnlyOnceDep, ReaderDep, etag, may, may_after_proof
from serve.errors import problems

router = APIRouter(prefix="/api/v1/users/roles", tags=["users"])

Reader = Annotated[Claims, may("users:read")]
Writer = Annotated[Claims, may_after_proof("users:write")]


@router.get("", summary="List roles", responses=problems(401, 403))
async def list_roles(user: Reader, reader: ReaderDep) -> RoleList:
    """Your own by name (at most 100), and those every business has. Give one with POST or PATCH /users."""
    return await own_roles.list_roles(reader)


@router.post("", summary="Define a role", status_code=201, response_model=RoleView, responses=problems(401, 403, 409))
async def create_role(form: RoleForm, user: Writer, once: OnlyOnceDep) -> Response:
    """It may no more than you, and nothing that is the owner's alone (422). 409 when the name is taken."""

    async def work(unit: UnitOfWork) -> RoleView:
        return await own_roles.create(unit, user.granted, form)

    return await once.run(user, work, status=201)


@router.get("/{role_id}", summary="One role of your own", responses=problems(401, 403, 404))
async def get_role(role_id: UUID, user: Reader, reader: ReaderDep, response: Response) -> RoleView:
    found = await own_roles.get_role(reader, role_id)
    response.headers["ETag"] = etag(found.version)
    return found


@router.patch("/{role_id}", summary="Change a role", responses=problems(401, 403, 404, 409, 412, 428))
async def change_role(
    role_id: UUID,
    edit: RoleEdit,
    user: Writer,
    expected: ExpectedVersion,
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> RoleView:
    """Holds at once for everybody who has it: their access tokens are refused, a refresh brings new ones. API keys they
    made may no more than they."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        found = await own_roles.change(unit, user.granted, role_id, edit, expected)
    response.headers["ETag"] = etag(found.version)
    return found


@router.delete("/{role_id}", summary="Delete a role", status_code=204, responses=problems(401, 403, 404, 409, 412, 428))
async def delete_role(
    role_id: UUID, user: Writer, expected: ExpectedVersion, backend: BackendDep, cause: CauseDep
) -> Response:
    """409 while anybody has it, with how many."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await own_roles.remove(unit, user.granted, role_id, expected)
    return Response(status_code=204)
