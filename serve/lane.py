"""The short way: the same route declarations, run without the framework's machinery around each request.

A framework that can do everything looks at everything: nested routers, body limits, exit stacks, a dependency graph. A
GET needs little of that, and it is most of what a client asks; nor does a webhook, whose body is read as it came.
`Lane` reads the declarations of the routes once (path, query model, who may, response model) and runs those made of
nothing else. Whatever is not plainly right (no token, a query that does not fit, a path it does not know) it leaves to
FastAPI, which answers with its usual problem document.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, get_args, get_origin
from urllib.parse import parse_qsl

from fastapi import FastAPI, Response, params
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from flipsync.domain.errors import Forbidden, Unauthenticated
from flipsync.security.tokens import Claims
from flipsync.store.unit_of_work import Cause
from serve.backend import Backend, Nobody
from serve.deps import Known, known, reader, require, signed_in, the_backend, the_cause
from serve.pacing import NOBODY, take_nobody

_REMEMBERED_QUERIES = 1024
_JSON = (b"content-type", b"application/json")

Parse = Callable[[bytes], BaseModel | None]


@dataclass(slots=True)
class _Operation:
    """One route: what its function is called with, and how its result is written."""

    route: APIRoute
    serialize: Callable[[Any], bytes] | None
    path: dict[str, TypeAdapter[Any]] = field(default_factory=dict)
    query: tuple[str, Parse] | None = None
    user: str | None = None
    permissions: tuple[str, ...] = ()
    backend: str | None = None
    reader: str | None = None
    response: str | None = None
    request: str | None = None
    cause: str | None = None
    known: str | None = None
    nobody: Nobody | None = None


class Lane:
    """`find(scope)` is an ASGI application for a request that can go this way, else None."""

    def __init__(self, app: FastAPI, backend: Backend, routes: Iterable[APIRoute]) -> None:
        self._app = app
        self._backend = backend
        known = list(routes)
        operations = [operation for route in known if (operation := _understood(route)) is not None]
        self.paths = frozenset(operation.route.path for operation in operations)
        # of those it leaves to FastAPI too: else `/goods/export` would be taken for a `/goods/{name}`
        self._words = frozenset(word for each in known for word in each.path.split("/") if not word.startswith("{"))
        self._by_shape: dict[tuple[str, ...], _Operation] = {}
        for each in operations:  # of two routes that look alike the first is asked, as elsewhere
            self._by_shape.setdefault((_method(each.route), *self._shape(each.route.path)), each)
        self._most = backend.settings.max_body_bytes

    def find(self, scope: Scope) -> ASGIApp | None:
        if scope["type"] != "http" or scope.get("root_path"):
            return None
        path: str = scope["path"]
        operation = self._by_shape.get((scope["method"], *self._shape(path)))
        if operation is None:
            return None
        authorization, length = b"", None
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"content-length":
                length = value
            elif name == b"transfer-encoding":
                return None
        if (length is None) is (operation.request is not None) or not _within(length, self._most):
            return None
        arguments: dict[str, Any] = {}
        if operation.user is not None:
            claims = self._claims(authorization, operation.permissions)
            if claims is None:
                return None
            arguments[operation.user] = claims
        if operation.path:
            match = operation.route.path_regex.match(path)
            if match is None:
                return None
            try:
                for name, adapter in operation.path.items():
                    arguments[name] = adapter.validate_python(match[name])
            except ValidationError:
                return None
        if operation.query is not None:
            name, parse = operation.query
            query = parse(scope["query_string"])
            if query is None:
                return None
            arguments[name] = query
        return _Call(self._app, self._backend, operation, arguments, authorization)

    def _shape(self, path: str) -> tuple[str, ...]:
        return tuple([word if word in self._words else "{}" for word in path.split("/")])

    def _claims(self, authorization: bytes, permissions: tuple[str, ...]) -> Claims | None:
        if authorization[:7] != b"Bearer ":
            return None
        try:
            claims = self._backend.known_claims(authorization[7:].decode("ascii"))
            if claims is not None:
                require(claims, permissions)
        except (Unauthenticated, Forbidden, UnicodeDecodeError):
            return None
        return claims


class _Call:
    """One request, as an ASGI application."""

    __slots__ = ("_app", "_arguments", "_authorization", "_backend", "_operation")

    def __init__(
        self, app: FastAPI, backend: Backend, operation: _Operation, arguments: dict[str, Any], authorization: bytes
    ) -> None:
        self._app = app
        self._backend = backend
        self._operation = operation
        self._arguments = arguments
        self._authorization = authorization

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self._operation.route
        try:
            try:
                status, headers, body = await self._answer(scope, receive)
            except Unauthenticated:
                if not await self._known_anew():
                    raise
                status, headers, body = await self._answer(scope, receive)
        except Exception as error:
            handler = self._handler(type(error))
            if handler is None:
                raise
            scope["app"] = self._app
            await (await handler(Request(scope), error))(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        operation, arguments, backend = self._operation, self._arguments, self._backend
        if operation.user is not None:
            claims = arguments[operation.user]
            backend.take(scope, claims)
            if operation.reader is None:
                await backend.require_present(claims)
            else:
                arguments[operation.reader] = backend.reader(claims)
        elif operation.nobody is not None:
            take_nobody(scope, backend, operation.nobody)
        if operation.backend is not None:
            arguments[operation.backend] = backend
        if operation.request is not None:
            arguments[operation.request] = Request(scope, receive)
        if operation.cause is not None:
            arguments[operation.cause] = Cause(traceparent=scope["state"]["traceparent"])
        sent: Response | None = None
        if operation.response is not None:
            sent = arguments[operation.response] = Response()
        if operation.known is not None:
            sent = sent or Response()
            told = next((value for name, value in scope["headers"] if name == b"if-none-match"), b"")
            arguments[operation.known] = Known(told.decode("latin-1"), sent)
        result = await operation.route.endpoint(**arguments)
        if operation.serialize is None:
            return result.status_code, result.raw_headers, result.body
        body = operation.serialize(result)
        headers = [(b"content-length", b"%d" % len(body)), _JSON]
        status = operation.route.status_code or 200
        if sent is not None:
            status = sent.status_code or status
            headers += [each for each in sent.raw_headers if each[0] != b"content-length"]
        return status, headers, body

    async def _known_anew(self) -> bool:
        """Whether it is an API key's, which is now taken for what it may since its person's rights changed. Raises
        Unauthenticated, Forbidden."""
        if self._operation.user is None:
            return False
        claims = await self._backend.claims_anew(self._authorization[7:].decode("ascii"))
        if claims is None:
            return False
        require(claims, self._operation.permissions)
        self._arguments[self._operation.user] = claims
        return True

    def _handler(self, error: type[Exception]) -> Callable[[Request, Exception], Awaitable[Response]] | None:
        """The application's own handler of such an error."""
        for kind in error.__mro__:
            if (handler := self._app.exception_handlers.get(kind)) is not None:
                return handler  # type: ignore[return-value]  # ours are asynchronous
        return None


def _understood(route: APIRoute) -> _Operation | None:
    """The route as an operation; None when it is made of more than the lane knows."""
    if _method(route) not in ("GET", "POST") or not inspect.iscoroutinefunction(route.endpoint):
        return None
    if (depends_on := tuple(route.dependencies)) not in NOBODY:
        return None
    signature = inspect.signature(route.endpoint, eval_str=True)
    serialize: Callable[[Any], bytes] | None = None
    if route.response_model is not None:
        serialize = TypeAdapter(route.response_model).dump_json
    elif signature.return_annotation is not Response:
        return None
    operation = _Operation(route, serialize, nobody=NOBODY[depends_on])
    for name, parameter in signature.parameters.items():
        if not _take(operation, name, parameter.annotation):
            return None
    if (operation.reader is not None and operation.user is None) or (_method(route) == "POST") is (
        operation.request is None
    ):
        return None
    return operation


def _method(route: APIRoute) -> str:
    methods = route.methods or set()
    return next(iter(methods)) if len(methods) == 1 else ""


def _within(length: bytes | None, most: int) -> bool:
    """Whether a body of this length is accepted. The server sees to it that no more than it says comes."""
    return length is None or (length.isdigit() and len(length) < 12 and int(length) <= most)


def _take(operation: _Operation, name: str, annotation: Any) -> bool:
    """Whether the parameter is one of those the lane can give."""
    if name in operation.route.param_convertors:
        operation.path[name] = TypeAdapter(annotation)
        return True
    if annotation is Response:
        operation.response = name
        return True
    if annotation is Request:
        operation.request = name
        return True
    if get_origin(annotation) is not Annotated:
        return False
    kind, how, *more = get_args(annotation)
    if more:
        return False
    if isinstance(how, params.Query):
        frozen = isinstance(kind, type) and issubclass(kind, BaseModel) and kind.model_config.get("frozen", False)
        if not frozen or operation.query is not None:
            return False
        operation.query = name, _parser(kind)
        return True
    dependency = how.dependency if isinstance(how, params.Depends) else None
    if dependency is signed_in and isinstance(how, params.Security):
        operation.user, operation.permissions = name, tuple(how.scopes or ())
    elif dependency is the_backend:
        operation.backend = name
    elif dependency is reader:
        operation.reader = name
    elif dependency is the_cause:
        operation.cause = name
    elif dependency is known:
        operation.known = name
    else:
        return False
    return True


def _parser(model: type[BaseModel]) -> Parse:
    """From a query string; None for one that does not fit. Clients ask the same again and again: it is remembered."""

    @lru_cache(maxsize=_REMEMBERED_QUERIES)
    def parse(query: bytes) -> BaseModel | None:
        try:
            pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query))
            values = dict(pairs)
            return model.model_validate(values) if len(values) == len(pairs) else None
        except ValueError:
            return None

    return parse
