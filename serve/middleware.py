"""Around every request: an id, the trace it belongs to, headers that keep browsers careful, figures and a log line."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import too_large, unexpected
from serve.telemetry import ApiMetrics

_log = structlog.get_logger("flipsync.api.access")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,100}")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_CAREFUL = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


class RequestFrame:
    """Plain ASGI, no task per request. Logs the route, never the path: webhook paths carry a secret."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _accepted(_REQUEST_ID, headers.get("x-request-id")) or secrets.token_hex(16)
        trace = _accepted(_TRACEPARENT, headers.get("traceparent")) or _new_traceparent()
        state = scope.setdefault("state", {})
        state["request_id"], state["traceparent"] = request_id, trace
        started = time.perf_counter()
        status, refused = 0, False

        async def framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _frame(MutableHeaders(scope=message), request_id, trace, scope["scheme"])
            await send(message)

        async def explained(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and _is_plain_refusal(message):
                refused = True
                await too_large(Request(scope))(scope, receive, framed)
            elif not refused:
                await framed(message)

        structlog.contextvars.bind_contextvars(request_id=request_id, trace_id=trace[3:35])
        try:
            try:
                await self._app(scope, receive, explained)
            except Exception as error:
                if status:  # too late for another answer
                    raise
                await unexpected(Request(scope), error)(scope, receive, framed)
        finally:
            self._record(scope, status, time.perf_counter() - started)
            structlog.contextvars.unbind_contextvars("request_id", "trace_id")

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = route_name(scope)
        method = scope["method"] if status != 405 else "other"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.duration.labels(method, route).observe(seconds)
        _log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


def route_name(scope: Scope) -> str:
    """The path as declared ("/api/v1/orders/{order_id}"), or "unmatched"."""
    route: Any = scope.get("route")
    return getattr(route, "path", None) or "unmatched"


def _is_plain_refusal(message: Message) -> bool:
    """The framework refuses bodies that are too large in plain text, before our error handlers can speak."""
    return message["status"] == 413 and (b"content-type", b"text/plain; charset=utf-8") in message["headers"]


def _frame(headers: MutableHeaders, request_id: str, trace: str, scheme: str) -> None:
    headers["x-request-id"] = request_id
    headers["traceparent"] = trace
    headers.setdefault("cache-control", "no-store")
    for name, value in _CAREFUL.items():
        headers.setdefault(name, value)
    if scheme == "https":
        headers.setdefault("strict-transport-security", "max-age=31536000")


def _accepted(pattern: re.Pattern[str], value: str | None) -> str | None:
    return value if value is not None and pattern.fullmatch(value) else None


def _new_traceparent() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
