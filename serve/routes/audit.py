"""The audit log: who did what, as the database wrote it down."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import ConfigDict

from flipsync.security.tokens import Claims
from flipsync.services import audit
from flipsync.services.reading_page import Page, PageRequest
from serve.deps import ReaderDep, may
from serve.errors import problems

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])


class AuditQuery(PageRequest, audit.AuditFilter):
    model_config = ConfigDict(extra="forbid")


@router.get("", summary="List audit entries", responses=problems(401, 403))
async def list_entries(
    query: Annotated[AuditQuery, Query()], user: Annotated[Claims, may("audit:read")], reader: ReaderDep
) -> Page[audit.AuditView]:
    """Newest first. Each line's hash covers the line before; `flipsync audit verify` checks them all."""
    return await audit.list_entries(reader, query, query)
