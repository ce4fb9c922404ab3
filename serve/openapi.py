"""The OpenAPI document: what FastAPI derives from the routes, and what is said once for all of them.

Problem documents, the headers of answers, and an example of every body, composed of the examples, defaults and bounds
that the models' fields have.
"""

from __future__ import annotations

import http
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from flipsync.domain.money import MAX_MINOR
from serve.errors import MEDIA_TYPE, Problem, code_of, problem

JsonObject = dict[str, Any]

_MODELS = "#/components/schemas/"
_JSON = "application/json"
#: as deep as composed examples go; further down there is nothing, or what the fields' own examples say
_DEPTH = 6
#: what texts of a format look like, where the field itself has no example
_FORMATS = {
    "uuid": "01903f4c-7c00-7000-8000-000000000000",
    "date-time": "2026-03-01T12:00:00Z",
    "date": "2026-03-01",
    "time-local": "08:00:00",
    "email": "ada@shop.example",
    "uri": "https://shop.example/",
}
_HEADERS: JsonObject = {
    "X-Request-ID": "names this request in the logs; what the caller sent, where that is 8 to 100 letters or digits",
    "Traceparent": "the trace this belongs to (W3C Trace Context); the caller's, where it sent one",
    "ETag": 'the version of what is shown: a PATCH names it in If-Match, a repeated GET in If-None-Match; e.g. "3"',
    "RateLimit": "how many more requests there may be at once, and in how many seconds all may",
    "RateLimit-Policy": "how many there may be, in how many seconds",
    "Retry-After": "seconds to wait before the next try",
    "WWW-Authenticate": "Bearer; where a fresh proof is asked for, with the error and max_age of RFC 9470",
    "Idempotent-Replayed": "true: this is the answer to the first request with this Idempotency-Key, nothing was done",
}


def openapi(app: FastAPI) -> JsonObject:
    """The document of this application."""
    document: JsonObject = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    described = Problem.model_json_schema(ref_template=_MODELS + "{model}")
    schemas.update(described.pop("$defs", {}))
    schemas["Problem"] = described
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for schema in _objects(document):
        _mend(schema)
    document["components"]["examples"] = {}
    document["components"]["headers"] = {
        name: {"description": said, "schema": {"type": "integer" if name == "Retry-After" else "string"}}
        for name, said in _HEADERS.items()
    }
    compose = Examples(schemas)
    for path, operations in document["paths"].items():
        conditional = any("If-Match" in _parameters(each) for each in operations.values())
        for method, operation in operations.items():
            responses = operation["responses"]
            if "requestBody" in operation:  # refused before a route is asked: no such JSON or form, or too much of it
                for status in (400, 413):
                    responses.setdefault(str(status), problem(status))
            one = method == "get" and path.endswith("}")
            tagged = one or "304" in responses or (conditional and method in ("get", "put", "patch"))
            _say_headers(operation, tagged=tagged)
            _give_examples(operation, compose, document["components"]["examples"])
    return document


def _parameters(operation: JsonObject) -> set[str]:
    return {each["name"] for each in operation.get("parameters", ())}


def _say_headers(operation: JsonObject, *, tagged: bool) -> None:
    once = "Idempotency-Key" in _parameters(operation)
    for status, response in operation["responses"].items():
        names = ["X-Request-ID", "Traceparent", "RateLimit", "RateLimit-Policy"]
        if status == "304" or (status.startswith("2") and tagged) or "ETag" in response.get("headers", ()):
            names.append("ETag")
        if status.startswith("2") and once:
            names.append("Idempotent-Replayed")
        if status in ("429", "502", "503"):
            names.append("Retry-After")
        if status == "401":
            names.append("WWW-Authenticate")
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _mend(schema: JsonObject) -> None:
    """What FastAPI says otherwise than it is, or than others understand."""
    if schema.get("type") == "integer":  # its bounds were kept as floats: 2**63 - 1 comes out as 2**63
        for bound in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if isinstance(figure := schema.get(bound), float):
                schema[bound] = max(-MAX_MINOR, min(int(figure), MAX_MINOR))
    if schema.get("contentMediaType") == "application/octet-stream":
        schema["format"] = "binary"  # by which generators know a file; else their clients send its name


def _give_examples(operation: JsonObject, compose: Examples, shared: JsonObject) -> None:
    if (body := operation.get("requestBody", {}).get("content", {}).get(_JSON)) is not None:
        body.setdefault("example", compose.of(body["schema"]))
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        if (answer := content.get(_JSON)) is not None and answer.get("schema"):
            answer.setdefault("example", compose.of(answer["schema"]))
        if (refusal := content.get(MEDIA_TYPE)) is not None:
            shared.setdefault(status, {"value": _problem_example(int(status), compose)})
            refusal["examples"] = {status: {"$ref": f"#/components/examples/{status}"}}


def _problem_example(status: int, compose: Examples) -> JsonObject:
    said: JsonObject = compose.of({"$ref": f"{_MODELS}Problem"})
    phrase = http.HTTPStatus(status).phrase
    return said | {"type": code_of(status), "title": phrase, "status": status, "detail": phrase.lower()}


def _objects(part: Any) -> Iterator[JsonObject]:
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from _objects(each)


class Examples:
    """Composes values that fit schemas of `schemas`."""

    def __init__(self, schemas: JsonObject) -> None:
        self._schemas = schemas

    def of(self, schema: JsonObject, depth: int = 0) -> Any:
        """A value that fits, as long as texts that follow a pattern have an example of their own."""
        if "$ref" in schema:
            return self.of(self._schemas[schema["$ref"].removeprefix(_MODELS)], depth)
        for known in ("examples", "enum"):
            if schema.get(known):
                return schema[known][0]
        for known in ("example", "const", "default"):
            if schema.get(known) is not None:
                return schema[known]
        for choice in ("anyOf", "oneOf", "allOf"):
            if choice in schema:
                return self.of(schema[choice][0], depth)
        return self._made(schema, depth)

    def _made(self, schema: JsonObject, depth: int) -> Any:
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return [] if depth >= _DEPTH and not schema.get("minItems") else self._array(schema, depth)
        if kind in ("integer", "number"):
            return _number(schema)
        if kind == "boolean":
            return True
        if kind == "string":
            return _text(schema)
        return None

    def _object(self, schema: JsonObject, depth: int) -> JsonObject:
        required = schema.get("required", ())
        made = {}
        for name, each in schema.get("properties", {}).items():
            if name in required or depth < _DEPTH:
                made[name] = self.of(each, depth + 1)
        if not made and schema.get("minProperties"):
            key = self.of(schema.get("propertyNames", {"type": "string"}), depth + 1)
            made[key] = self.of(schema["additionalProperties"], depth + 1)
        return made

    def _array(self, schema: JsonObject, depth: int) -> list[Any]:
        return [self.of(schema.get("items", {}), depth + 1)] * max(1, schema.get("minItems", 1))


def _number(schema: JsonObject) -> Any:
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
    most = schema.get("maximum", schema.get("exclusiveMaximum"))
    return least if most is None else min(max(least, 1), most)


def _text(schema: JsonObject) -> str:
    if (said := _FORMATS.get(schema.get("format", ""))) is not None:
        return said
    return str(schema.get("title", "text")).lower()
