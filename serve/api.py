"""The API as a FastAPI application. Works under any ASGI server; serve.app runs it on Ray Serve."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import SecretStr
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

import flipsync
from serve import routes
from serve.backend import Backend
from serve.errors import install_error_handlers
from serve.lane import Lane
from serve.middleware import RequestFrame
from serve.openapi import openapi
from serve.settings import ServeSettings
from serve.telemetry import ApiMetrics

_DESCRIPTION = """\
The back office of a reseller: goods, channels, stock, prices, orders, and what the agents decide about them.

* Amounts are `{"amount_minor": integer, "currency": "USD"}`; times are UTC, ISO 8601.
* Lists come in pages: repeat the request with `cursor` set to the `next_cursor` of the last answer.
* Most lists can be sorted: `sort=total` by a field, `sort=-total` the greatest first. A cursor is good for the `sort`
  it was made under.
* A POST that creates or changes takes an `Idempotency-Key`; repeating it repeats the answer, not the deed.
* What can be edited has an ETag; a PATCH names it in `If-Match`.
* Programs send an API key where people send an access token. Giving money back, bounds of prices, goals, models,
  accounts, users and keys ask people for a fresh proof: step-up. Labels and approvals do not: the owner's limits bound
  them.
* Requests have a pace: `RateLimit` says how many may still come at once (`r`), and when all may again (`t`, seconds).
  429 comes with `Retry-After`.
* Errors are problem documents (RFC 9457) with a stable `type`.
"""

_STREAM = "/api/v1/events/stream"


class Api(FastAPI):
    """FastAPI with a short way for plain reads."""

    lane: Lane
    metrics: ApiMetrics
    cors_origins: tuple[str, ...] = ()
    https: bool = False

    def short_way(self, scope: Scope) -> ASGIApp | None:
        """The request's answer as an ASGI application, when it is a plain read, or a live connection: those last, and
        would use up the number of requests that Serve lets be under way."""
        if scope["type"] == "websocket" or scope.get("path") == _STREAM:
            return super().__call__
        return self._in_lane(scope) if scope["type"] == "http" and scope["method"] == "GET" else None

    def _in_lane(self, scope: Scope) -> ASGIApp | None:
        call = self.lane.find(scope)
        if call is None:
            return None
        browsers = _for_browsers(call, self.cors_origins) if self.cors_origins else call
        return RequestFrame(browsers, self.metrics, https=self.https)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = self._in_lane(scope)
        if call is None:
            await super().__call__(scope, receive, send)
        else:
            await call(scope, receive, send)


def build_app(settings: ServeSettings) -> Api:
    """The application. Opens its connections lazily and closes them in its lifespan."""
    metrics = ApiMetrics()
    backend = Backend(settings, metrics=metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await backend.aclose()

    app = Api(
        title="FlipSync",
        version=flipsync.__version__,
        description=_DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
    )
    app.state.backend = backend
    install_error_handlers(app)
    if settings.cors_origins:
        app.add_middleware(_for_browsers, origins=settings.cors_origins)
    https = settings.public_url.startswith("https:")
    app.add_middleware(RequestFrame, metrics=metrics, https=https)
    for router in routes.ROUTERS:
        app.include_router(router, max_body_size=settings.max_body_bytes)
    _describe(app)
    declared = [route for router in routes.ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    app.state.declared = declared
    app.lane = Lane(app, backend, declared)
    app.metrics = metrics
    app.cors_origins, app.https = settings.cors_origins, https
    return app


def document() -> dict[str, Any]:
    """The OpenAPI document, without a system: nothing is opened, and no key signs anything."""
    key = base64.urlsafe_b64encode(bytes(32)).decode()
    settings = ServeSettings(
        app_database_url=SecretStr("postgresql://nobody@127.0.0.1:1/none"),
        redis_url=SecretStr("redis://127.0.0.1:1/0"),
        jwt_key=SecretStr(key),
        secret_key=SecretStr(key),
    )
    return build_app(settings).openapi()


def _for_browsers(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """Lets pages of these origins call. No cookies: who asks is in a header that a page has to know."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=(
            *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID"),
            *("Traceparent", "X-Request-ID"),
        ),
        expose_headers=(
            *("ETag", "Idempotent-Replayed", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate"),
            "X-Request-ID",
        ),
        max_age=600,
    )


def _operation_id(route: APIRoute) -> str:
    return f"{route.tags[0]}_{route.name}".replace(" ", "_") if route.tags else route.name


def _describe(app: FastAPI) -> None:
    """Puts our document in place of FastAPI's, made when first asked for."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend it
