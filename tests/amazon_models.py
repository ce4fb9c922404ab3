"""Amazon's own models as judges of requests and answers, and their static sandbox examples."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx2
from jsonschema import Draft4Validator

#: The models of the operations that are used.
FILES = (
    "sellers",
    "tokens_2021-03-01",
    "listingsItems_2021-08-01",
    "catalogItems_2022-04-01",
    "definitionsProductTypes_2020-09-01",
    "orders_2026-01-01",
    "ordersV0",
    "productPricingV0",
    "productPricing_2022-05-01",
    "productFeesV0",
    "fbaInventory",
    "feeds_2021-06-30",
    "notifications",
    "reports_2021-06-30",
    "finances_2024-06-19",
    "messaging",
    "merchantFulfillmentV0",
    "fulfillmentOutbound_2020-07-01",
)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class Example:
    """One static sandbox example: the parameters that call for it, and the answer."""

    model: str
    operation: str
    status: int
    parameters: dict[str, Any]
    response: Any


@dataclass(frozen=True)
class Operation:
    model: str
    name: str
    method: str
    template: str
    spec: dict[str, Any]
    shared: tuple[dict[str, Any], ...]

    @property
    def parameters(self) -> list[dict[str, Any]]:
        return [*self.spec.get("parameters", []), *self.shared]

    def matches(self, method: str, path: str) -> bool:
        parts = re.split(r"\{[^}]+\}", self.template)
        return method == self.method and re.fullmatch("([^/]+)".join(map(re.escape, parts)), path) is not None


def _strict(schema: Any, *, inside_all_of: bool = False) -> Any:
    """The same schema, refusing properties it does not name; parts of an allOf cannot refuse each other's."""
    if isinstance(schema, list):
        return [_strict(part, inside_all_of=inside_all_of) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out = {
        key: _strict(value, inside_all_of=inside_all_of or key == "allOf")
        for key, value in schema.items()
        if key not in ("example", "examples", "x-amzn-api-sandbox")
    }
    if "properties" in out and "additionalProperties" not in out and not inside_all_of and out.get("type") == "object":
        out["additionalProperties"] = False
    return out


class Models:
    """The models of a contracts folder."""

    def __init__(self, contracts: Path) -> None:
        self.folder = contracts / "amazon"
        self.documents = {name: self.load(f"models/{name}.json") for name in FILES}
        self.definitions = {name: self._definitions(document) for name, document in self.documents.items()}
        self.operations = [operation for name in FILES for operation in self._operations(name)]

    def load(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    @staticmethod
    def _definitions(document: dict[str, Any]) -> dict[str, Any]:
        definitions = copy.deepcopy(document["definitions"])
        # What an allOf puts together cannot be closed one by one.
        joined = set(re.findall(r'"allOf": \[(?:[^\]]*?"#/definitions/(\w+)")+', json.dumps(definitions)))
        joined |= {
            part["$ref"].rpartition("/")[2]
            for schema in definitions.values()
            for part in schema.get("allOf", [])
            if "$ref" in part
        }
        return {name: _strict(schema, inside_all_of=name in joined) for name, schema in definitions.items()}

    def _operations(self, model: str) -> Iterator[Operation]:
        for template, item in self.documents[model]["paths"].items():
            for method, spec in item.items():
                if isinstance(spec, dict) and "operationId" in spec:
                    shared = tuple(item.get("parameters", []))
                    yield Operation(model, spec["operationId"], method.upper(), template, spec, shared)

    def operation(self, name: str, model: str | None = None) -> Operation:
        found = [o for o in self.operations if o.name == name and (model is None or o.model == model)]
        assert len(found) == 1, (name, [o.model for o in found])
        return found[0]

    def examples(self, operation: Operation) -> Iterator[Example]:
        for status, response in operation.spec["responses"].items():
            for row in response.get("x-amzn-api-sandbox", {}).get("static", []):
                told = row.get("request", {}).get("parameters", {})
                parameters = {name: value["value"] for name, value in told.items() if "value" in value}
                yield Example(operation.model, operation.name, int(status), parameters, row.get("response"))

    # Judging

    def errors(self, model: str, schema: dict[str, Any], value: Any) -> list[str]:
        whole = {**_strict(schema), "definitions": self.definitions[model]}
        return [f"{error.json_path}: {error.message[:160]}" for error in Draft4Validator(whole).iter_errors(value)]

    def judge(self, request: httpx2.Request, response: httpx2.Response, prefix: str = "") -> tuple[str, list[str]]:
        """The operation a request is, and where it or its answer departs from the model."""
        split = urlsplit(str(request.url))
        path = split.path.removeprefix(prefix)
        found = [o for o in self.operations if o.matches(request.method, path)]
        # The orders of v0 and 2026-01-01 differ in their paths, so one is left.
        assert len(found) == 1, f"{request.method} {path}: {[o.name for o in found]}"
        operation = found[0]
        query = parse_qsl(split.query, keep_blank_values=True)
        problems = [f"request: {text}" for text in self.request_errors(operation, query, request.content)]
        problems += [f"answer {response.status_code}: {text}" for text in self.answer_errors(operation, response)]
        return operation.name, [f"{operation.name}: {text}" for text in problems]

    def request_errors(self, operation: Operation, query: list[tuple[str, str]], content: bytes) -> Iterator[str]:
        declared = {p["name"]: p for p in operation.parameters if p["in"] == "query"}
        given = dict(query)
        if len(given) != len(query):
            yield "a parameter is given twice"
        yield from (f"{name} is not declared" for name in given if name not in declared)
        for name, parameter in declared.items():
            if name in given:
                yield from (f"{name}: {text}" for text in _value_errors(parameter, given[name]))
            elif parameter.get("required"):
                yield f"{name} is missing"
        body = next((p for p in operation.parameters if p["in"] == "body"), None)
        if body is None:
            if content:
                yield "a body was sent where none is declared"
        elif content or body.get("required"):
            yield from self.errors(operation.model, body["schema"], json.loads(content or b"null"))

    def answer_errors(self, operation: Operation, response: httpx2.Response) -> list[str]:
        declared = operation.spec["responses"].get(str(response.status_code))
        if declared is None:
            return [f"status {response.status_code} is not declared"]
        if "schema" not in declared:
            return [] if not response.content else ["a body where none is declared"]
        return self.errors(operation.model, declared["schema"], response.json())


def _value_errors(parameter: dict[str, Any], text: str) -> Iterator[str]:
    kind = parameter["type"]
    if kind == "array":
        assert parameter.get("collectionFormat", "csv") == "csv"
        parts = text.split(",")
        if len(parts) > parameter.get("maxItems", len(parts)):
            yield f"more than {parameter['maxItems']} values"
        for part in parts:
            yield from _value_errors(parameter["items"], part)
        return
    value: Any = text
    if kind == "integer":
        if not re.fullmatch(r"-?\d+", text):
            yield f"{text!r} is not an integer"
            return
        value = int(text)
    elif kind == "boolean":
        value = {"true": True, "false": False}.get(text)
    elif parameter.get("format") == "date-time" and not _DATE_TIME.fullmatch(text):
        yield f"{text!r} is not a date-time"
    rules = {key: parameter[key] for key in ("type", "enum", "pattern", "minimum", "maximum") if key in parameter}
    yield from (error.message for error in Draft4Validator(rules).iter_errors(value))


@cache
def models_at(contracts: Path) -> Models:
    return Models(contracts)


def path_parts(operation: Operation, path: str) -> dict[str, str]:
    """The values of a path's parameters."""
    names = re.findall(r"\{([^}]+)\}", operation.template)
    pattern = "([^/]+)".join(map(re.escape, re.split(r"\{[^}]+\}", operation.template)))
    match = re.fullmatch(pattern, path)
    assert match is not None
    return dict(zip(names, map(unquote, match.groups()), strict=True))
