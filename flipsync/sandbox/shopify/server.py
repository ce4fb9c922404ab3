"""The shop as an ASGI application: token endpoint, GraphQL endpoint, cost limits, and errors as Shopify words them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLResolveInfo,
    OperationDefinitionNode,
    OperationType,
    default_field_resolver,
    execute_sync,
    parse,
    validate,
)
from starlette.types import Receive, Scope

from flipsync.sandbox.exchange import Answer, Call, ChannelServer, Refusal, parse_object
from flipsync.sandbox.records import Channel
from flipsync.sandbox.shopify import bulk
from flipsync.sandbox.shopify.access import Tokens, check_access
from flipsync.sandbox.shopify.bulk import Bulk
from flipsync.sandbox.shopify.install import INSTALL_PATH, Install
from flipsync.sandbox.shopify.schema import QueryCost, actual_cost, served_schema
from flipsync.sandbox.shopify.shop import InputRefused, Row, Shop

API_VERSION = "2026-10"
GRAPHQL_PATH = f"/admin/api/{API_VERSION}/graphql.json"
TOKEN_PATH = "/admin/oauth/access_token"  # noqa: S105 - a path
MOST_COST = 1000.0
#: Writes that the fault "ignored_write" may swallow: price, stock and text of what is there.
_CAN_BE_IGNORED = frozenset({"productUpdate", "productVariantsBulkUpdate", "inventorySetQuantities"})


@dataclass(frozen=True)
class GraphCall(Call):
    """A call whose body has been read: every call is a POST, but only mutations (and used-up tokens) are writes."""

    request: Row | None = None
    document: DocumentNode | None = None
    operation: OperationDefinitionNode | None = None
    error: Row | None = None
    changes: bool = False

    @property
    def writes(self) -> bool:
        return self.changes

    @property
    def roots(self) -> set[str]:
        """The names of the operation's own fields."""
        if self.operation is None:
            return set()
        found = self.operation.selection_set.selections
        return {node.name.value for node in found if isinstance(node, FieldNode)}


class Bucket:
    """Points that the app may spend in this shop: a leaky bucket."""

    def __init__(
        self, size: float = 2000.0, restore: float = 100.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.size = size
        self.restore = restore
        self.left = size
        self._clock = clock
        self._at = clock()

    def fill(self) -> None:
        now = self._clock()
        self.left = min(self.size, self.left + (now - self._at) * self.restore)
        self._at = now

    def status(self) -> Row:
        return {
            "maximumAvailable": self.size,
            "currentlyAvailable": int(max(0.0, self.left)),
            "restoreRate": self.restore,
        }


class ShopifyShop(ChannelServer):
    """The Admin API of one shop."""

    channel: ClassVar[Channel] = "shopify"

    def __init__(self, shop: Shop, tokens: Tokens, exports: Bulk, mutations: Row, install: Install) -> None:
        super().__init__(shop.books, shop.faults)
        self.shop = shop
        self.tokens = tokens
        self.install = install
        self.bucket = Bucket()
        self.bulk = exports
        self._mutations = mutations

    # What the exchange asks for

    def error(self, status: int, code: str, message: str) -> Answer:
        """Refused for its pace, a document is answered with HTTP 200."""
        if status == 429:
            seconds = self.faults.settings[self.channel].retry_after_seconds
            asked = max(10.0, seconds * self.bucket.restore)
            left = asked - seconds * self.bucket.restore
            return self._throttled(
                asked,
                {**self.bucket.status(), "maximumAvailable": max(self.bucket.size, asked), "currentlyAvailable": left},
            )
        return _json(status, {"errors": message})

    def _throttled(self, asked: float, status: Row) -> Answer:
        body = {
            "errors": [
                {
                    "message": "Throttled",
                    "extensions": {"code": "THROTTLED", "documentation": "https://shopify.dev/api/usage/rate-limits"},
                }
            ],
            "extensions": {"cost": {"requestedQueryCost": asked, "actualQueryCost": None, "throttleStatus": status}},
        }
        return _json(200, body)

    def can_be_ignored(self, call: Call) -> bool:
        return isinstance(call, GraphCall) and bool(call.roots) and call.roots <= _CAN_BE_IGNORED

    def current(self, call: Call) -> Answer:
        assert isinstance(call, GraphCall)
        with self.books.transaction():
            return self._execute(call, self._scopes(call), dry=True)

    async def exchange(self, call: Call) -> Answer:
        """The pace is that of documents: the token endpoint knows none."""
        if call.path == INSTALL_PATH:
            return self._transact(call)
        if call.path != TOKEN_PATH:
            return await super().exchange(call)
        return await self._fail_afterwards(call, self._transact(call))

    async def _read(self, scope: Scope, receive: Receive) -> Call | None:
        call = await super()._read(scope, receive)
        if call is None:
            return None
        plain = {row.name: getattr(call, row.name) for row in fields(Call)}
        if call.path == TOKEN_PATH:
            form = _form(call)
            return GraphCall(**plain, changes=form.get("grant_type") == "refresh_token" or "code" in form)
        return _understood(plain, call.body)

    # Requests

    def answer(self, call: Call) -> Answer:
        assert isinstance(call, GraphCall)
        if call.path == INSTALL_PATH:
            return self.install.answer(call)
        if call.method == "GET" and call.path.startswith(bulk.PATH):
            return self.bulk.download(call.path, call.first("signature"))
        if call.method != "POST" or call.path not in (TOKEN_PATH, GRAPHQL_PATH):
            raise Refusal(_json(404, {"errors": "Not Found"}))
        if call.path == TOKEN_PATH:
            status, body = self.tokens.grant(_form(call))
            return _json(status, body)
        scopes = self._scopes(call)
        if call.request is None:
            raise Refusal(_json(400, {"errors": {"query": "Required parameter missing or invalid"}}))
        if call.error is not None:
            return _json(200, {"errors": [call.error]})
        return self._execute(call, scopes, dry=False)

    def _scopes(self, call: Call) -> tuple[str, ...]:
        scopes = self.tokens.scopes_of(call.headers.get("x-shopify-access-token", ""))
        if scopes is None:
            message = "[API] Invalid API key or access token (unrecognized login or wrong password)"
            raise Refusal(_json(401, {"errors": message}))
        return scopes

    def _execute(self, call: GraphCall, scopes: tuple[str, ...], *, dry: bool) -> Answer:
        assert call.document is not None and call.operation is not None and call.request is not None
        variables = call.request.get("variables") or {}
        asked = QueryCost(call.document, variables).of(call.operation)
        if asked > MOST_COST:
            return _json(200, {"errors": [_too_costly(asked)]})
        self.bucket.fill()
        if asked > self.bucket.left:
            return self._throttled(asked, self.bucket.status())
        home = f"{call.origin}{call.full_path.removesuffix(call.path)}"
        result = execute_sync(
            served_schema(),
            call.document,
            root_value=self._mutations if call.changes else self.bulk.queries,
            context_value={"scopes": scopes, "dry": dry, "books": self.books, "home": home},
            variable_values=variables,
            operation_name=call.request.get("operationName"),
            field_resolver=resolve,
        )
        assert isinstance(result, ExecutionResult)
        spent = actual_cost(result.data, len(call.roots) if call.changes else 0)
        self.bucket.left -= min(asked, spent)
        cost = {"requestedQueryCost": asked, "actualQueryCost": spent, "throttleStatus": self.bucket.status()}
        return _json(200, _body(result) | {"extensions": {"cost": cost}})


class _PretendedError(Exception):
    """Undoes a mutation whose answer is wanted, but not its effect."""


def resolve(source: Any, info: GraphQLResolveInfo[Any], **given: Any) -> Any:
    """Scopes first; and a mutation that is refused, or only pretended, leaves nothing behind."""
    check_access(info, info.context["scopes"])
    if info.parent_type.name != "Mutation":
        return default_field_resolver(source, info, **given)
    payload: Row = {}
    try:
        with info.context["books"].savepoint():
            payload = default_field_resolver(source, info, **given)
            if info.context["dry"]:
                raise _PretendedError
    except InputRefused as refused:
        return {"userErrors": refused.errors}
    except _PretendedError:
        return payload
    return payload


def _json(status: int, body: Any) -> Answer:
    headers = {"X-Request-Id": str(uuid.uuid4()), "X-Shopify-API-Version": API_VERSION}
    return Answer(status, json.dumps(body).encode(), headers)


def _form(call: Call) -> dict[str, str]:
    """The token endpoint takes forms and JSON."""
    if call.headers.get("content-type", "").startswith("application/json"):
        return {name: str(value) for name, value in (parse_object(call.body) or {}).items()}
    return dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))


def _understood(plain: Row, body: bytes) -> GraphCall:
    """Parsed and validated, before anything is done."""
    request = parse_object(body)
    if request is None or not isinstance(request.get("query"), str):
        return GraphCall(**plain)
    document, error = _parsed(request["query"])
    if document is None:
        return GraphCall(**plain, request=request, error=error)
    named = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    wanted = request.get("operationName")
    chosen = [node for node in named if wanted is None or (node.name is not None and node.name.value == wanted)]
    if len(chosen) != 1:
        unclear = GraphQLError(f"No operation named {wanted!r}" if wanted else "An operation name is required")
        return GraphCall(**plain, request=request, error=_error(unclear, "BAD_REQUEST"))
    changes = chosen[0].operation is OperationType.MUTATION
    return GraphCall(**plain, request=request, document=document, operation=chosen[0], changes=changes)


@lru_cache(maxsize=256)
def _parsed(query: str) -> tuple[DocumentNode | None, Row | None]:
    """A document that can be carried out, or what is wrong with it."""
    try:
        document = parse(query)
    except GraphQLError as error:
        return None, _error(error, "parse_error")
    problems = validate(served_schema(), document, max_errors=1)
    return (None, _error(problems[0], _code(problems[0].message))) if problems else (document, None)


def _code(message: str) -> str:
    if message.startswith("Cannot query field"):
        return "undefinedField"
    if message.startswith("Unknown argument"):
        return "argumentNotAccepted"
    return "argumentLiteralsIncompatible"


def _error(error: GraphQLError, code: str) -> Row:
    row: Row = {"message": error.message}
    if error.locations:
        row["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error.path:
        row["path"] = list(error.path)
    return row | {"extensions": error.extensions or {"code": code}}


def _too_costly(asked: float) -> Row:
    message = f"Query cost is {asked:g}, which exceeds the single query max cost limit ({MOST_COST:g})."
    extensions = {"code": "MAX_COST_EXCEEDED", "cost": asked, "maxCost": MOST_COST}
    return {"message": message, "extensions": extensions}


def _body(result: ExecutionResult) -> Row:
    """Errors before the execution leave `data` out."""
    if not result.errors:
        return {"data": result.data}
    rows = [_error(error, "INVALID_VARIABLE" if not error.path else "INTERNAL_SERVER_ERROR") for error in result.errors]
    if result.data is None and not any(error.path for error in result.errors):
        return {"errors": rows}
    return {"data": result.data, "errors": rows}
