"""Users: the people of a business and what they may."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from flipsync.security.roles import OwnRole, Permission, RoleKind, kind_of
from flipsync.security.tokens import Claims
from flipsync.services import users
from flipsync.services.own_roles import RoleWish
from flipsync.services.reading_page import Moment, Page, SortedRequest
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, CauseDep, ExpectedVersion, OnlyOnceDep, ReaderDep, etag, may, may_after_proof
from serve.errors import problems

router = APIRouter(prefix="/api/v1/users", tags=["users"])

Reader = Annotated[Claims, may("users:read")]
Writer = Annotated[Claims, may_after_proof("users:write")]


class UserQuery(SortedRequest, users.UserFilter):
    model_config = ConfigDict(extra="forbid")

    sort: users.UserSort = None


class InviteRequest(RoleWish):
    email: str = Field(max_length=254, examples=["ben@example.com"])


class InvitedView(users.UserView):
    """Give `invitation` to whom it is for: POST /api/v1/auth/invitations/accept takes it, once, within seven days."""

    invitation: str = Field(default="", description="empty once it was accepted or withdrawn")


class Invitation(BaseModel):
    invitation: str


class WhoView(BaseModel):
    """Whom a token or key speaks for. `permissions` of a key are those it was made for."""

    user_id: UUID
    tenant_id: UUID
    role: RoleKind = Field(examples=["clerk"])
    role_id: UUID | None = Field(description="which of the business's own roles, where `role` is custom")
    role_name: str = Field(examples=["clerk"])
    permissions: list[Permission] = Field(examples=[["orders:read", "self:read"]])
    is_key: bool = Field(description="an API key, not a person's sign-in")
    email: str | None = Field(description="null for a key: whoever holds it need not know its maker")
    expires_at: Moment = Field(description="when this token or key ends")


@router.get("", summary="List users", responses=problems(401, 403))
async def list_users(query: Annotated[UserQuery, Query()], user: Reader, reader: ReaderDep) -> Page[users.UserView]:
    """Newest first."""
    return await users.list_users(reader, query, query)


@router.post(
    "", summary="Invite a user", status_code=201, response_model=InvitedView, responses=problems(401, 403, 404, 409)
)
async def invite(form: InviteRequest, user: Writer, backend: BackendDep, once: OnlyOnceDep) -> Response:
    """With `role`, or `role_id` of one of your own; nobody gives a role that may more than they may themselves. They
    choose their own password. 409 when the address has an account here already."""

    async def work(unit: UnitOfWork) -> users.UserView:
        return await users.invite(unit, user.granted, email=form.email, wish=form)

    async def reveal(body: dict[str, Any]) -> dict[str, Any]:
        return {"invitation": users.invitation(backend.tokens, user.tenant_id, UUID(body["id"]))}

    return await once.run(user, work, status=201, reveal=reveal)


@router.get("/me", summary="Who you are and what you may", responses=problems(401, 403))
async def get_me(user: Annotated[Claims, may("self:read")], reader: ReaderDep) -> WhoView:
    """For an app to show what there is to do, and for a program to learn what its key is good for."""
    return WhoView(
        user_id=user.user_id,
        tenant_id=user.tenant_id,
        role=kind_of(user.role),
        role_id=user.role.id if isinstance(user.role, OwnRole) else None,
        role_name=str(user.role),
        permissions=user.granted,
        is_key=user.is_key,
        email=None if user.is_key else (await users.get_user(reader, user.user_id)).email,
        expires_at=user.expires_at,
    )


@router.get("/{user_id}", summary="One user", responses=problems(401, 403, 404))
async def get_user(user_id: UUID, user: Reader, reader: ReaderDep, response: Response) -> users.UserView:
    found = await users.get_user(reader, user_id)
    response.headers["ETag"] = etag(found.version)
    return found


@router.patch("/{user_id}", summary="Change role, disable, enable", responses=problems(401, 403, 404, 409, 412, 428))
async def patch_user(
    user_id: UUID,
    edit: users.UserEdit,
    user: Writer,
    expected: ExpectedVersion,
    backend: BackendDep,
    cause: CauseDep,
    response: Response,
) -> users.UserView:
    """With `role`, or `role_id` of one of your own. Holds at once: tokens that say otherwise are refused. 409 when no
    owner would be left."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        found = await users.edit_user(unit, user.granted, user_id, edit, expected)
    response.headers["ETag"] = etag(found.version)
    return found


@router.post(
    "/{user_id}/invitation",
    summary="Invite again, or after a forgotten password",
    responses=problems(401, 403, 404, 409),
)
async def invite_again(user_id: UUID, user: Writer, backend: BackendDep, cause: CauseDep) -> Invitation:
    """For somebody who has not accepted yet, or has forgotten their password: they choose another within a day; until
    then the old one serves, and a second factor stays. Nobody gives one to who may more than they may themselves.
    """
    async with backend.store.unit(user.tenant_id, cause) as unit:
        offered = await users.invite_again(unit, user.granted, backend.tokens, user.tenant_id, user_id)
    return Invitation(invitation=offered)
