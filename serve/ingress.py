"""In front of Ray Serve's own handling of a request, on the replica itself: plain reads take the short way.

Serve asks for such middlewares by the name in RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH, in every process that listens
for HTTP; HAProxy sends requests straight to the replica's port. Serve's handling (two tasks, a request context, its
metrics and its limit of requests under way) costs more than a read takes. Reads have their own figures and are short,
so they go past it. So do WebSockets: each would count as a request under way for as long as it lasts. Everything else
goes through it: what changes the books, and what the lane leaves to FastAPI.

Where HAProxy knows no replica that is well it sends to Serve's own proxy, which waits for one. When a replica dies over
a request of the proxy's, that one answers nothing, and its server says 500, as of a fault of ours. It is none: here
the caller is told to send it again.
"""

from __future__ import annotations

from typing import Protocol

from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HasShortWay(Protocol):
    """An application that can tell which requests are plain reads, and answer them."""

    def short_way(self, scope: Scope) -> ASGIApp | None: ...


#: the application this process built; a proxy builds none
_here: HasShortWay | None = None

#: as `serve.errors.Problem`, which a proxy need not load all of FastAPI for
REPLICA_GONE = {
    "type": "urn:flipsync:error:unavailable",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "what worked on this ended before it had answered: it may or may not be done",
    "hint": "send it again, with the same Idempotency-Key",
    "request_id": "",
    "errors": [],
    "vendor_code": "",
}


def serve_here(application: HasShortWay) -> None:
    """Let plain reads that reach this process be answered by `application`."""
    global _here
    _here = application


class ShortWay:
    """Outermost middleware of whatever listens."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _here is not None:
            await (_here.short_way(scope) or self._app)(scope, receive, send)
        elif scope["type"] == "http":
            await self._ask_replica(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _ask_replica(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def told(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, told)
        except Exception:  # of Ray's, which names its errors in each release otherwise
            if begun:
                raise
        if not begun:
            await JSONResponse(
                REPLICA_GONE, 503, {"Retry-After": "1", "Cache-Control": "no-store"}, "application/problem+json"
            )(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What Serve asks for."""
    return [Middleware(ShortWay)]
