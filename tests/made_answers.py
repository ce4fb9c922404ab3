"""Answers made from a vendor's own schema, as servers may give them: the least, all there is, and more than is known.

Built without looking at the connectors: whatever the schema allows may come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

#: least: required fields only. whole: every field. nulls: what is not required is null. empty: lists have nothing in
#: them. beyond: every field, fields nobody knows, and words of enumerations that were added since.
How = Literal["least", "whole", "nulls", "beyond", "empty"]
KINDS: tuple[How, ...] = ("least", "whole", "nulls", "beyond", "empty")
_DEEP = 12
_TEXTS: dict[str, str] = {
    "date-time": "2026-03-02T14:00:00.000Z",
    "date": "2026-03-02",
    "uri": "https://example.com/x",
    "email": "buyer@example.com",
}


def made(
    schema: Mapping[str, Any], how: How, resolve: Callable[[str], Mapping[str, Any]], *, depth: int = 0, name: str = ""
) -> Any:
    """One value of the schema; `name` is the field's, where the schema calls a moment a text."""
    if "$ref" in schema:
        return made(resolve(schema["$ref"]), how, resolve, depth=depth, name=name)
    if "allOf" in schema:
        return made(_joined(schema, resolve), how, resolve, depth=depth, name=name)
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return made(schema[choice][0], how, resolve, depth=depth, name=name)
    if schema.get("enum"):
        return "A_WORD_ADDED_SINCE" if how == "beyond" and schema.get("type") == "string" else schema["enum"][0]
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next(each for each in kind if each != "null")
    if kind == "object":
        return _object(schema, how, resolve, depth)
    if kind == "array":
        many = max(0 if how == "empty" or depth > _DEEP else 1, schema.get("minItems", 0))
        return [made(schema.get("items", {}), how, resolve, depth=depth + 1, name=name) for _ in range(many)]
    if kind == "integer":
        return int(schema.get("minimum", 1))
    if kind == "number":
        return 19.9
    if kind == "boolean":
        return True
    if "currency" in name.lower():
        return "USD"
    if name.lower().endswith(("date", "reset")):
        return _TEXTS["date-time"]
    example = schema.get("example")
    return example if isinstance(example, str) else _TEXTS.get(schema.get("format", ""), "12")


def _object(schema: Mapping[str, Any], how: How, resolve: Callable[[str], Mapping[str, Any]], depth: int) -> Any:
    properties = schema.get("properties", {})
    required = set(schema.get("required", ()))
    found: dict[str, Any] = {}
    for name, each in properties.items():
        if name not in required:
            if how == "least" or depth > _DEEP:
                continue
            if how == "nulls":
                found[name] = None
                continue
        found[name] = made(each, how, resolve, depth=depth + 1, name=name)
    more = schema.get("additionalProperties")
    if isinstance(more, dict) and how in ("whole", "beyond") and depth <= _DEEP:
        found["some"] = made(more, how, resolve, depth=depth + 1)
    if how == "beyond" and not isinstance(more, dict):
        found["aFieldAddedSince"] = {"with": ["anything"]}
    return found


def _joined(schema: Mapping[str, Any], resolve: Callable[[str], Mapping[str, Any]]) -> Mapping[str, Any]:
    whole: dict[str, Any] = {"properties": {}, "required": []}
    for part in (*schema["allOf"], {name: each for name, each in schema.items() if name != "allOf"}):
        while "$ref" in part:
            part = resolve(part["$ref"])
        if "allOf" in part:
            part = _joined(part, resolve)
        whole["properties"] |= part.get("properties", {})
        whole["required"] += part.get("required", ())
        whole |= {name: each for name, each in part.items() if name not in ("properties", "required", "description")}
    if not whole["properties"]:
        del whole["properties"]
    return whole
