"""Around every request: an id, the trace it belongs to, headers that keep browsers careful, figures and a log line."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable
from typing import Any

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import QUOTA, too_large, unexpected
from serve.telemetry import ApiMetrics

_log = structlog.get_logger("flipsync.api.access")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,100}")
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_CAREFUL = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")


class RequestFrame:
    """Plain ASGI, no task per request. Logs the route, never the path: webhook paths carry a secret.

    `https`: browsers are told never to come without TLS, which ends in a proxy: here everything is plain HTTP.
    """

    def __init__(self, app: ASGIApp, metrics: ApiMetrics, *, https: bool = False) -> None:
        self._app = app
        self._metrics = metrics
        self._careful = (*_CAREFUL, _HTTPS_ONLY) if https else _CAREFUL

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, trace = _named(scope["headers"])
        state = scope.setdefault("state", {})
        state["request_id"], state["traceparent"] = request_id, trace
        started = time.perf_counter()
        status, refused = 0, False

        async def framed(message: Message) -> None:
            nonlocal status, refused
            if message["type"] == "http.response.start":
                if not refused and message["status"] == 413 and _is_plain_refusal(message):
                    refused = True
                    await too_large(Request(scope))(scope, receive, answered)
                    return
                status = message["status"]
                message["headers"] = self._framed(message["headers"], request_id, trace, scope)
            if not refused:
                await send(message)

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._framed(message["headers"], request_id, trace, scope)
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id, trace_id=trace[3:35])
        try:
            try:
                await self._app(scope, receive, framed)
            except Exception as error:
                if status:  # too late for another answer
                    raise
                await unexpected(Request(scope), error)(scope, receive, answered)
        finally:
            self._record(scope, status, time.perf_counter() - started)
            structlog.contextvars.unbind_contextvars("request_id", "trace_id")

    def _framed(
        self, sent: Iterable[tuple[bytes, bytes]], request_id: str, trace: str, scope: Scope
    ) -> list[tuple[bytes, bytes]]:
        headers = [each for each in sent if each[0] not in (b"x-request-id", b"traceparent")]
        headers += ((b"x-request-id", request_id.encode()), (b"traceparent", trace.encode()))
        names = {name for name, _ in headers}
        headers += [each for each in self._careful if each[0] not in names]
        if (quota := scope["state"].get(QUOTA)) is not None:
            headers += quota.headers()
        return headers

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = route_name(scope)
        method = scope["method"] if status != 405 else "other"
        self._metrics.answered(method, route, status, seconds)
        _log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 1))


def route_name(scope: Scope) -> str:
    """The path as declared ("/api/v1/orders/{order_id}"), or "unmatched"."""
    route: Any = scope.get("route")
    return getattr(route, "path", None) or "unmatched"


def _is_plain_refusal(message: Message) -> bool:
    """The framework refuses bodies that are too large in plain text, before our error handlers can speak."""
    return message["status"] == 413 and (b"content-type", b"text/plain; charset=utf-8") in message["headers"]


def _named(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str]:
    """The request's id and traceparent: what the caller says, when it is sane, else new ones."""
    request_id = trace = None
    for name, value in headers:
        if name == b"x-request-id" and request_id is None and _REQUEST_ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"traceparent" and trace is None and _TRACEPARENT.fullmatch(value):
            trace = value.decode()
    return request_id or secrets.token_hex(16), trace or f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
