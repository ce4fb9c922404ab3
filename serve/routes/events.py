"""Live events as a stream over plain HTTP, where no WebSocket gets through: /api/v1/ws is the better way."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from flipsync.security.tokens import Claims
from serve.deps import BackendDep, may
from serve.errors import problems
from serve.live_stream import stream

router = APIRouter(prefix="/api/v1/events", tags=["events"])

#: each event of the stream
_EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "for `Last-Event-ID`"},
        "event": {"type": "string", "examples": ["ready"]},
        "data": {"type": "string", "description": "JSON"},
    },
}


@router.get(
    "/stream",
    summary="Live events as server-sent events",
    response_class=StreamingResponse,
    responses={
        **problems(401, 403),
        200: {"description": "Server-sent events", "content": {"text/event-stream": {"schema": _EVENT}}},
    },
)
async def events_stream(
    seconds: Annotated[int, Query(ge=0, le=3600, description="how long; 0: what was missed, and no more")],
    user: Annotated[Claims, may("events:read")],
    backend: BackendDep,
    last_event_id: Annotated[UUID | None, Header(description="the last event seen: all since come first")] = None,
) -> Response:
    """`ready` first, with `resumed` when an event was named: false means read the lists again. Events may come twice:
    their id tells. Ends with the access token; come back with a fresh one and the last id."""
    return StreamingResponse(
        stream(backend, user, last_event_id, seconds),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )
