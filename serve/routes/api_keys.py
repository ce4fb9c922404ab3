"""API keys: for programs, each for some permissions and a time."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from flipsync.security.roles import Permission
from flipsync.security.tokens import Claims
from flipsync.services import api_keys
from flipsync.services.reading_page import Page, SortedRequest
from flipsync.store.unit_of_work import UnitOfWork
from serve.deps import BackendDep, CauseDep, OnlyOnceDep, ReaderDep, may, may_after_proof
from serve.errors import problems

router = APIRouter(prefix="/api/v1/api-keys", tags=["api-keys"])

Reader = Annotated[Claims, may("keys:read")]


class KeyQuery(SortedRequest):
    model_config = ConfigDict(extra="forbid")

    sort: api_keys.KeySort = None


class MakeKeyRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100, examples=["warehouse printer"])
    permissions: list[Permission] = Field(min_length=1, max_length=50, examples=[["orders:read"]])
    expires_at: AwareDatetime = Field(description="within 366 days")
    per_minute: int = Field(
        default=api_keys.DEFAULT_PER_MINUTE, ge=1, le=60_000, description="requests a minute; a sixth of them at once"
    )


class NewKeyView(api_keys.ApiKeyView):
    key: str | None = Field(
        description="the key, this once; null when the request is repeated: revoke it then, and make another",
        examples=["fs_k3x9q2aa_…"],
    )


@router.get("", summary="List API keys", responses=problems(401, 403))
async def list_keys(query: Annotated[KeyQuery, Query()], user: Reader, reader: ReaderDep) -> Page[api_keys.ApiKeyView]:
    """Newest first. Owners see all, others those they made."""
    return await api_keys.list_keys(reader, query, _whose(user))


@router.post("", summary="Make an API key", status_code=201, response_model=NewKeyView, responses=problems(401, 403))
async def make_key(
    form: MakeKeyRequest, user: Annotated[Claims, may_after_proof("keys:write")], once: OnlyOnceDep
) -> Response:
    """It may no more than you, and no more than is named. Send it as `Authorization: Bearer fs_…`."""
    shown: list[str] = []

    async def work(unit: UnitOfWork) -> api_keys.ApiKeyView:
        view, key = await api_keys.make(
            unit,
            user,
            name=form.name,
            permissions=form.permissions,
            expires_at=form.expires_at,
            per_minute=form.per_minute,
        )
        shown.append(key.text)
        return view

    async def reveal(_: dict[str, Any]) -> dict[str, Any]:
        return {"key": shown[0] if shown else None}

    return await once.run(user, work, status=201, reveal=reveal)


@router.get("/{key_id}", summary="One API key", responses=problems(401, 403, 404))
async def get_key(key_id: UUID, user: Reader, reader: ReaderDep) -> api_keys.ApiKeyView:
    return await api_keys.get_key(reader, key_id, _whose(user))


@router.delete("/{key_id}", summary="Revoke an API key", status_code=204, responses=problems(401, 403, 404))
async def revoke_key(
    key_id: UUID, user: Annotated[Claims, may("keys:write")], backend: BackendDep, cause: CauseDep
) -> Response:
    """For good, at once. Owners may revoke any, others those they made."""
    async with backend.store.unit(user.tenant_id, cause) as unit:
        await api_keys.revoke(unit, key_id, _whose(user))
    return Response(status_code=204)


def _whose(user: Claims) -> UUID | None:
    return None if user.role == "owner" else user.user_id
