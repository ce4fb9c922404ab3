"""Live events of a business over a WebSocket, at /api/v1/ws.

The client offers the subprotocols "flipsync.v1" and "bearer.<access token>", or sends
{"type": "authenticate", "token": "…"} first. It gets {"type": "ready"}, then {"type": "event", "event": {…}},
{"type": "heartbeat"}, and {"type": "dropped", "count": n} when it was too slow. A new access token may be sent at any
time; when the last one runs out the connection closes with 4401.

What ends it is in the close code: 4401 no valid token, or its session is over; 4403 the role may not listen; 4429 too
fast (connections that a user, a business or an address without a token opens, messages of this one: wait a minute);
1013 not now, try again later; 1008 and 1009 a message that is none, or too long.

Who comes back says which event was the last: "resume.<its id>" among the subprotocols, or {"resume": "<its id>"} with
the token. {"type": "ready", "resumed": true} is followed by all events since, a minute before them again (an event may
come twice; its id tells). "resumed": false: away for more than a day, or too much has happened; read the lists again.
Notifications of a person are not among what comes again: they are in their list.
"""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from serve.deps import BackendDep
from serve.live_session import LiveSession

router = APIRouter(prefix="/api/v1", tags=["websocket"])


@router.websocket("/ws")
async def live(socket: WebSocket, backend: BackendDep) -> None:
    await LiveSession(socket, backend).run()
