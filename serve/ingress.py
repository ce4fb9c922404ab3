"""In front of Ray Serve's own handling of a request, on the replica itself: plain reads take the short way.

Serve asks for such middlewares by the name in RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH, in every process that listens
for HTTP; HAProxy sends requests straight to the replica's port. Serve's handling (two tasks, a request context, its
metrics and its limit of requests under way) costs more than a read takes. Reads have their own figures and are short,
so they go past it. So do WebSockets: each would count as a request under way for as long as it lasts. Everything else
goes through it: what changes the books, and what the lane leaves to FastAPI.
"""

from __future__ import annotations

from typing import Protocol

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send


class HasShortWay(Protocol):
    """An application that can tell which requests are plain reads, and answer them."""

    def short_way(self, scope: Scope) -> ASGIApp | None: ...


#: the application this process built; a proxy builds none
_here: HasShortWay | None = None


def serve_here(application: HasShortWay) -> None:
    """Let plain reads that reach this process be answered by `application`."""
    global _here
    _here = application


class ShortWay:
    """Outermost middleware of whatever listens."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = _here.short_way(scope) if _here is not None else None
        await (call or self._app)(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What Serve asks for."""
    return [Middleware(ShortWay)]
