"""Webhooks: where channels tell us what happened. The address is secret, and every delivery is signed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel

from flipsync.services import webhooks
from serve.deps import BackendDep, CauseDep
from serve.errors import problems
from serve.pacing import OPEN_TO_CHANNELS

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"])


Token = Annotated[str, Path(min_length=16, max_length=100)]


class Received(BaseModel):
    """accepted: booked; duplicate: was booked before; ping: the channel only tries the address; ignored: no concern."""

    outcome: webhooks.Outcome


@router.get("/{token}", summary="Answer a vendor's challenge", responses=problems(404), dependencies=OPEN_TO_CHANNELS)
async def answer_challenge(token: Token, request: Request, backend: BackendDep) -> dict[str, str]:
    """Vendors that try an address before they use it (eBay: `challenge_code`) read here that it is ours."""
    return await backend.webhook_addresses.challenge(token, dict(request.query_params))


@router.post(
    "/{token}",
    summary="Deliver a webhook",
    responses=problems(401, 404),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}},
    dependencies=OPEN_TO_CHANNELS,
)
async def deliver(token: Token, request: Request, backend: BackendDep, cause: CauseDep) -> Received:
    """Answered when it is in the books. A delivery without a valid signature is refused with 401."""
    taken = await backend.webhook_addresses.take(token, dict(request.headers), await request.body(), cause)
    backend.metrics.webhooks.labels(taken.vendor, taken.outcome).inc()
    return Received(outcome=taken.outcome)
