"""eBay's documents as judges: whether a call is one they describe, and an answer one they promise.

Patched with `fixes.derived.json` first. Objects are closed: a field that no document names is a mistake.
"""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from openapi_schema_validator import OAS30Validator, OAS31Validator

#: path of an API → its document
APIS = {
    "/sell/inventory/v1": "portal-2026-06/sell_inventory_v1_oas3.json",
    "/sell/fulfillment/v1": "portal-2026-06/sell_fulfillment_v1_oas3.json",
    "/sell/account/v1": "portal-2026-06/sell_account_v1_oas3.json",
    "/sell/negotiation/v1": "portal-2026-06/sell_negotiation_v1_oas3.json",
    "/sell/compliance/v1": "api-docs-2025-12/sell_compliance_v1_oas3.json",
    "/sell/finances/v1": "portal-2026-06/sell_finances_v1_oas3.json",
    "/sell/analytics/v1": "portal-2026-06/sell_analytics_v1_oas3.json",
    "/sell/marketing/v1": "portal-2026-06/sell_marketing_v1_oas3.json",
    "/sell/feed/v1": "portal-2026-06/sell_feed_v1_oas3.json",
    "/buy/browse/v1": "portal-2026-06/buy_browse_v1_oas3.json",
    "/commerce/taxonomy/v1": "portal-2026-06/commerce_taxonomy_v1_oas3.json",
    "/commerce/catalog/v1_beta": "portal-2026-06/commerce_catalog_v1_beta_oas3.json",
    "/commerce/notification/v1": "portal-2026-06/commerce_notification_v1_oas3.json",
    "/commerce/identity/v1": "portal-2026-06/commerce_identity_v1_oas3.json",
    "/developer/analytics/v1_beta": "portal-2026-06/developer_analytics_v1_beta_oas3.json",
}
_GATEWAY = frozenset({1001, 1002, 1100, 2001, 2002, 2004})


class Document:
    """One API's document, patched and closed."""

    def __init__(self, root: Path, name: str) -> None:
        self.document: dict[str, Any] = json.loads((root / name).read_text(encoding="utf-8"))
        fixes = json.loads((root / "fixes.derived.json").read_text(encoding="utf-8"))["patches"]
        for fix in fixes.get(name, []):
            _patch(self.document, fix)
        self.error_ids = {int(id) for id in re.findall(r'"(\d{4,6})": \{"domain"', json.dumps(self.document))}
        self.components = copy.deepcopy(self.document["components"])
        schemas = self.components["schemas"]
        # Defect: a row of bulkGetInventoryItem that was not found has no item, though the item is "required".
        if "GetInventoryItemResponse" in schemas:
            schemas["GetInventoryItemResponse"]["required"].remove("inventoryItem")
        # Defect: the list of errors is described as if it were one error.
        for schema in schemas.values():
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)
        self.version = OAS30Validator if self.document["openapi"].startswith("3.0") else OAS31Validator

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        """The operation whose template the path fits; the one with the fewest gaps first."""
        for template in sorted(self.document["paths"], key=lambda each: each.count("{")):
            pattern = re.sub(r"\\\{[^/]+?\\\}", "[^/]+", re.escape(template))
            found = self.document["paths"][template].get(method.lower())
            if found is not None and re.fullmatch(pattern, path):
                return template, found
        return None

    def problems(self, schema: dict[str, Any], value: Any) -> list[str]:
        validator = self.version({**schema, "components": self.components})
        return [f"{error.json_path}: {error.message[:160]}" for error in validator.iter_errors(value)]


@cache
def document(root: Path, name: str) -> Document:
    return Document(root, name)


class Documents:
    """Judges what goes over the wire below `base_path`; `calls` are the operations seen."""

    def __init__(self, contracts: Path, base_path: str = "/ebay") -> None:
        self.root = contracts / "ebay"
        self.base_path = base_path
        self.calls: set[str] = set()

    def _of(self, method: str, raw_path: str) -> tuple[Document, str, dict[str, Any]] | None:
        path = raw_path.removeprefix(self.base_path)
        base = next((each for each in APIS if path.startswith(f"{each}/")), None)
        if base is None:
            return None
        found = document(self.root, APIS[base])
        operation = found.operation(method, path.removeprefix(base))
        return None if operation is None else (found, *operation)

    def request(self, request: Any) -> list[str]:
        """Where a request departs from its document; the token endpoint has none."""
        path = request.url.raw_path.decode().partition("?")[0]
        what = f"{request.method} {path}"
        if path.endswith("/identity/v1/oauth2/token"):
            return []
        found = self._of(request.method, path)
        if found is None:
            return [f"{what}: no such operation"]
        judge, _, operation = found
        self.calls.add(operation["operationId"])
        problems = []
        query = dict(parse_qsl(request.url.query.decode(), keep_blank_values=True))
        declared = {row["name"]: row for row in operation.get("parameters", []) if row["in"] == "query"}
        problems += [f"{what}: no parameter {name}" for name in query if name not in declared]
        for row in operation.get("parameters", []):
            # Defect: Content-Type is listed as required where there is no body.
            if not row.get("required") or row["in"] == "path":
                continue
            there = query if row["in"] == "query" else request.headers
            if row["name"] not in there:
                problems.append(f"{what}: {row['name']} is missing")
        body = operation.get("requestBody")
        if body is not None and "$ref" in body:
            body = judge.document["components"]["requestBodies"][body["$ref"].rsplit("/", 1)[1]]
        if body is None and request.content:
            problems.append(f"{what}: no body is described")
        if body is not None:
            schema = body["content"]["application/json"]["schema"]
            value = json.loads(request.content) if request.content else None
            problems += [f"{what}: {each}" for each in judge.problems(schema, value)]
        return problems

    def answer(self, method: str, path: str, response: Any) -> list[str]:
        """Where an answer departs from its document."""
        what = f"{method} {path} {response.status_code}"
        found = self._of(method, path.partition("?")[0])
        if found is None:
            return [f"{what}: no such operation"]
        judge, _, operation = found
        if response.status_code >= 400:
            return self._errors(judge, what, response)
        declared = operation["responses"].get(str(response.status_code))
        if declared is None:
            return [f"{what}: no such answer"]
        if (
            response.status_code == 204
            or not response.content
            or "application/octet-stream" in declared.get("content", {})
        ):
            return []
        schema = declared.get("content", {}).get("application/json", {}).get("schema", {})
        # Defect: some schemas of lists say nothing, and 201s promise an object they do not describe.
        return [f"{what}: {each}" for each in judge.problems(schema, response.json())]

    def _errors(self, judge: Document, what: str, response: Any) -> list[str]:
        body = response.json()
        if list(body) != ["errors"] or not body["errors"]:
            return [f"{what}: no list of errors"]
        problems = []
        for row in body["errors"]:
            if row["errorId"] not in judge.error_ids and row["errorId"] not in _GATEWAY:
                problems.append(f"{what}: no document knows the error {row['errorId']}")
            schema = next(
                (name for name in ("Error", "ErrorDetailV3") if name in judge.components["schemas"]), "ErrorDetailV3"
            )
            rule = {"$ref": f"#/components/schemas/{schema}"}
            problems += [f"{what}: {each}" for each in judge.problems(rule, row)]
        return problems


def _patch(target: Any, fix: dict[str, Any]) -> None:
    """One step of RFC 6902, as far as the fixes use it."""
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in fix["path"].split("/")[1:]]
    for part in way:
        target = target[int(part)] if isinstance(target, list) else target[part]
    if fix["op"] == "remove":
        del target[last]
    elif fix["op"] in ("replace", "add"):
        target[last] = fix["value"]
    else:
        raise ValueError(f"unknown step {fix['op']!r}")
