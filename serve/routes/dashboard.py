"""The dashboard: the business at a glance."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from flipsync.security.tokens import Claims
from flipsync.services import dashboard
from serve.deps import BackendDep, KnownDep, ReaderDep, may
from serve.errors import UNCHANGED, problems

router = APIRouter(prefix="/api/v1/dashboard", tags=["dashboard"])


@router.get("", summary="The business at a glance", responses=problems(401, 403) | UNCHANGED)
async def get_dashboard(
    user: Annotated[Claims, may("analytics:read")], backend: BackendDep, reader: ReaderDep, known: KnownDep
) -> dashboard.Dashboard:
    """Key figures with what they mean, against the days before; stock, questions, faults, and what the agents did."""
    view = await dashboard.dashboard(
        reader,
        backend.store.clock.now(),
        questions=user.may("approvals:read"),
        faults=user.may("accounts:read"),
        agents=user.may("decisions:read"),
    )
    known.unless_same(view)
    return view
