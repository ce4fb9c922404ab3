"""Errors as RFC 9457 problem documents: the one place that turns what was raised into what is answered.

`type` is stable (urn:flipsync:error:<code>); programs decide by it, people read `detail` and `hint`.
"""

from __future__ import annotations

import http
import traceback
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from redis.exceptions import RedisError
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from flipsync.domain.errors import ChannelError, FlipSyncError, Retryable, Unavailable
from flipsync.security.attempts import TooManyAttempts
from flipsync.security.paces import TooManyRequests
from flipsync.services.sessions import PROOF_LASTS, StepUpRequired
from flipsync.store.pipeline import ReadFailed

MEDIA_TYPE = "application/problem+json"
#: where a request's state has what is left of its pace, to be told with the answer
QUOTA = "quota"
_URN = "urn:flipsync:error:"
_RETRY_SECONDS = 2
_log = structlog.get_logger("flipsync.api")
#: SQLSTATEs of values nobody can store: too long, out of range, no date, no zone, no character of the database's; a
#: NUL, which never gets there, has none
_NO_VALUE = frozenset({"22001", "22003", "22007", "22008", "22009", "22021", "22P02", "22P05"})
#: classes of SQLSTATE: connection, rollback, resources, operator intervention
_PASSING = frozenset({"08", "40", "53", "57"})

#: RFC 9470: the token is good, the proof behind it is too old
_STEP_UP = f'Bearer error="insufficient_user_authentication", max_age={round(PROOF_LASTS.total_seconds())}'
_CODES = {
    400: "bad-request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    409: "conflict",
    410: "resync-required",
    412: "version-mismatch",
    413: "body-too-large",
    415: "unsupported-media-type",
    422: "invalid-input",
    428: "precondition-required",
    429: "too-many-attempts",
    500: "internal",
    502: "channel-rejected",
    503: "unavailable",
}

#: what is raised when books or Redis cannot be asked
PART_GONE = (OperationalError, InterfaceError, DBAPIError, PoolTimeout, ReadFailed, RedisError)


class FieldProblem(BaseModel):
    """One thing that is wrong with the request; `where` is a path such as body.items.0.sku."""

    where: str
    message: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(examples=["urn:flipsync:error:not-found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no order 01903f4c-7c00-7000-8000-000000000000"])
    hint: str = Field(default="", description="what the reader can do about it")
    request_id: str = Field(default="", description="names this request in the logs")
    errors: list[FieldProblem] = Field(default_factory=list)
    vendor_code: str = Field(default="", description="the channel's own word, where a channel refused")


class PreconditionRequired(FlipSyncError):
    """A change was asked for without saying of which version."""

    code = "precondition-required"
    status = 428


class NotModified(Exception):
    """What the caller has is what they would get."""

    def __init__(self, tag: str) -> None:
        self.tag = tag


#: of reads that tell a caller who has the answer already no more than that
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Not Modified: what the ETag named is still so"}}


#: of writes that are no PATCH and tell the new version
TAGGED: dict[int | str, dict[str, Any]] = {200: {"description": "Successful Response", "headers": {"ETag": {}}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these statuses; any may be invalid, or asked too often."""
    return {status: problem(status) for status in sorted({*statuses, 422, 429, 500, 503})}


def problem(status: int) -> dict[str, Any]:
    """One of them."""
    return {
        "description": http.HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def code_of(status: int) -> str:
    """The `type` of a problem that is nothing but this status."""
    return _URN + _CODES.get(status, f"http-{status}")


def answer(request: Request, status: int, code: str, detail: str, **more: Any) -> Response:
    """A problem document. `headers` among `more` are sent with it."""
    headers: Mapping[str, str] | None = more.pop("headers", None)
    document = Problem(
        type=_URN + code,
        title=http.HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        request_id=getattr(request.state, "request_id", ""),
        **more,
    )
    return JSONResponse(document.model_dump(), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def unexpected(request: Request, error: Exception) -> Response:
    """For what nobody foresaw: the trace goes to the log (code only, no values), a number to the caller."""
    _log.error(
        "unexpected error",
        error=type(error).__qualname__,
        frames=[line.strip() for line in traceback.format_tb(error.__traceback__)[-12:]],
    )
    return answer(request, 500, "internal", "something went wrong on our side", hint="try again, or quote request_id")


def too_large(request: Request) -> Response:
    return answer(request, 413, "body-too-large", "the request is larger than this accepts", hint="send less at once")


def install_error_handlers(app: FastAPI) -> None:
    """Map the error tree, invalid requests and failing parts. Everything else: see the middleware."""
    app.add_exception_handler(NotModified, _not_modified)
    app.add_exception_handler(FlipSyncError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(UnicodeEncodeError, _unstorable)
    for unwritable in (TypeError, StatementError):
        app.add_exception_handler(unwritable, _unwritable)
    for gone in PART_GONE:
        app.add_exception_handler(gone, _part_missing)


async def _not_modified(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotModified)
    return Response(status_code=304, headers={"ETag": error.tag})


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, FlipSyncError)
    headers = {}
    if isinstance(error, TooManyRequests):
        request.scope["state"][QUOTA] = error.quota
    if isinstance(error, TooManyAttempts | TooManyRequests) or (
        isinstance(error, Retryable) and error.after is not None
    ):
        headers["Retry-After"] = str(max(1, round(error.after or 1)))
    elif isinstance(error, Unavailable):
        headers["Retry-After"] = str(_RETRY_SECONDS)
    if error.status == 401:
        headers["WWW-Authenticate"] = _STEP_UP if isinstance(error, StepUpRequired) else "Bearer"
    if error.status >= 500 and not isinstance(error, ChannelError):
        _log.error("request failed", error=type(error).__qualname__, detail=error.message)
    vendor_code = error.vendor_code if isinstance(error, ChannelError) else ""
    return answer(
        request, error.status, error.code, error.message, hint=error.hint, vendor_code=vendor_code, headers=headers
    )


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # what was sent is not repeated: it may be a password
    errors = [
        FieldProblem(where=".".join(str(part) for part in fault["loc"]), message=fault["msg"])
        for fault in error.errors()
    ]
    return answer(request, 422, "invalid-input", "the request does not fit: see errors", errors=errors)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 413:
        return too_large(request)
    code = code_of(error.status_code).removeprefix(_URN)
    headers = _allowed(request) if error.status_code == 405 else error.headers
    return answer(request, error.status_code, code, str(error.detail), headers=headers)


def _allowed(request: Request) -> dict[str, str]:
    """All methods of the path (RFC 9110, 15.5.6): the router names those of the first route that fits, and no
    others."""
    fitting = [each.methods for each in request.app.state.declared if each.path_regex.match(request.scope["path"])]
    return {"Allow": ", ".join(sorted(set().union(*fitting)) or ["GET"])}


async def _part_missing(request: Request, error: Exception) -> Response:
    if _sqlstate(error) in _NO_VALUE or (isinstance(error, DataError) and not _sqlstate(error)):
        return await _unstorable(request, error)
    if isinstance(error, DBAPIError | ReadFailed) and not _passing(error):
        return unexpected(request, error)
    _log.warning("a part is not available", error=type(error).__qualname__)
    return answer(
        request,
        503,
        "unavailable",
        "a part this needs is not available now",
        hint="try again in a moment",
        headers={"Retry-After": str(_RETRY_SECONDS)},
    )


async def _unstorable(request: Request, error: Exception) -> Response:
    """What passed every check of ours and the database still cannot take: a character or a number nobody can store."""
    _log.warning("unstorable input", error=type(error).__qualname__, sqlstate=_sqlstate(error))
    return answer(
        request,
        422,
        "invalid-input",
        "a value holds what cannot be stored: a NUL, half a character, or a number or date out of all bounds",
        hint="leave that out and send it again; nothing was changed",
    )


async def _unwritable(request: Request, error: Exception) -> Response:
    """JSON of any shape with an integer beyond 64 bits or half a character: orjson's refusals have no type of their
    own, and come through SQLAlchemy wrapped."""
    if str(getattr(error, "orig", error)).startswith(("Integer exceeds", "str is not valid UTF-8")):
        return await _unstorable(request, error)
    return unexpected(request, error)


def _sqlstate(error: Exception) -> str:
    if isinstance(error, ReadFailed):
        return error.sqlstate
    return str(getattr(getattr(error, "orig", None), "sqlstate", None) or "")


def _passing(error: DBAPIError | ReadFailed) -> bool:
    """Whether the database failure goes away by itself: connection lost, shutdown, deadlock, serialization."""
    if isinstance(error, ReadFailed):
        return error.sqlstate[:2] in _PASSING
    state = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or state is None or state[:2] in _PASSING
