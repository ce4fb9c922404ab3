"""Bulk operations: a query over all variants, worked through page after page beside everything else, then a file.

https://shopify.dev/docs/api/usage/bulk-operations/queries
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    execute_sync,
    parse,
    validate,
)

from flipsync.sandbox.exchange import Answer, Refusal
from flipsync.sandbox.shopify.schema import served_schema
from flipsync.sandbox.shopify.shop import InputRefused, Row, Shop, gid, number, stamp

PATH = "/bulk/"
#: Real seconds until the first page, and variants of a page.
STARTING_SECONDS, _PAGE = 0.2, 250
_ROOT = "productVariants"


@dataclass
class _Operation:
    id: int
    query: str
    document: DocumentNode
    context: Row
    created_ms: int
    home: str
    signature: str = field(default_factory=lambda: secrets.token_hex(16))
    status: str = "CREATED"
    error: str | None = None
    completed_ms: int | None = None
    after: int = 0
    lines: list[bytes] = field(default_factory=list)


class Bulk:
    """One query at a time, as Shopify allows it at least. Lost with the process."""

    def __init__(self, shop: Shop, resolver: Callable[..., Any]) -> None:
        """`resolver` is the field resolver of ordinary queries."""
        self.shop = shop
        self.queries: Row = {}
        self._resolver = resolver
        self._operations: dict[int, _Operation] = {}

    def run(self, info: Any, query: str, groupObjects: bool = False) -> Row:  # noqa: N803 - the argument's own name
        if any(each.status in ("CREATED", "RUNNING") for each in self._operations.values()):
            told = "A bulk query operation for this app and shop is already in progress."
            raise InputRefused("OPERATION_IN_PROGRESS", (), told)
        operation = _Operation(
            id=self.shop.books.next_id(),
            query=query,
            document=_document(query),
            context={"scopes": info.context["scopes"], "dry": False, "books": self.shop.books},
            created_ms=self.shop.books.clock.now_ms(),
            home=info.context["home"],
        )
        self._operations[operation.id] = operation
        asyncio.get_running_loop().call_later(STARTING_SECONDS, self._work, operation)
        return {"bulkOperation": self._view(operation), "userErrors": []}

    def find(self, info: Any, id: str) -> Row | None:
        operation = self._operations.get(number(id, "BulkOperation"))
        return None if operation is None else self._view(operation)

    def download(self, path: str, signature: str | None) -> Answer:
        """Raises Refusal."""
        name = path.removeprefix(PATH)
        operation = self._operations.get(int(name)) if name.isdecimal() and len(name) < 16 else None
        if operation is None or operation.status != "COMPLETED" or signature != operation.signature:
            raise Refusal(Answer(403, b"<Error><Code>AccessDenied</Code></Error>", media_type="application/xml"))
        return Answer(200, b"\n".join(operation.lines), media_type="application/jsonl")

    def _work(self, operation: _Operation) -> None:
        """A page, and the next one once others had their turn; the loop calls it, between two requests."""
        operation.status = "RUNNING"
        left: list[int] = []
        result = execute_sync(
            served_schema(),
            operation.document,
            root_value=self.queries,
            context_value={**operation.context, "bulk": (operation.after, _PAGE), "more": left.append},
            field_resolver=self._resolver,
        )
        assert isinstance(result, ExecutionResult)
        if result.errors or result.data is None:
            denied = any((each.extensions or {}).get("code") == "ACCESS_DENIED" for each in result.errors or ())
            operation.status, operation.error = "FAILED", "ACCESS_DENIED" if denied else "INTERNAL_SERVER_ERROR"
            return
        edges = result.data[_ROOT]["edges"]
        operation.lines += [json.dumps(edge["node"], separators=(",", ":")).encode() for edge in edges]
        if not left:
            operation.status, operation.completed_ms = "COMPLETED", self.shop.books.clock.now_ms()
            return
        operation.after = left[0]
        asyncio.get_running_loop().call_later(0.0, self._work, operation)

    def _view(self, operation: _Operation) -> Row:
        done = operation.status == "COMPLETED"
        return {
            "__typename": "BulkOperation",
            "id": gid("BulkOperation", operation.id),
            "status": operation.status,
            "type": "QUERY",
            "query": operation.query,
            "url": f"{operation.home}{PATH}{operation.id}?signature={operation.signature}"
            if done and operation.lines
            else None,
            "errorCode": operation.error,
            "objectCount": str(len(operation.lines)),
            "rootObjectCount": str(len(operation.lines)),
            "fileSize": str(sum(map(len, operation.lines))) if done else None,
            "createdAt": stamp(operation.created_ms),
            "completedAt": None if operation.completed_ms is None else stamp(operation.completed_ms),
        }


def _document(query: str) -> DocumentNode:
    """Raises InputRefused for what cannot be asked in bulk here: it has to be one query of all variants."""
    try:
        document = parse(query)
        problems = validate(served_schema(), document, max_errors=1)
    except GraphQLError as error:
        problems = [error]
    if problems:
        raise InputRefused("INVALID", ("query",), f"Invalid bulk query: {problems[0].message}")
    (operation, *others) = document.definitions
    if not isinstance(operation, OperationDefinitionNode) or operation.operation is not OperationType.QUERY or others:
        raise InputRefused("INVALID", ("query",), "The query must be one operation without fragments.")
    (root, *more) = operation.selection_set.selections
    if not isinstance(root, FieldNode) or root.name.value != _ROOT or more or not root.selection_set:
        raise InputRefused("INVALID", ("query",), f"The only connection that is served in bulk is {_ROOT}.")
    asked = [each.name.value for each in root.selection_set.selections if isinstance(each, FieldNode)]
    if asked != ["edges"] or root.arguments:
        raise InputRefused("INVALID", ("query",), "Of the connection all edges are asked for, and nothing else.")
    return document
