"""Metafields of products and variants, and their definitions, which give them names in the admin."""

from __future__ import annotations

import json
import re
from typing import Any

from flipsync.sandbox.shopify.shop import InputRefused, Row, Shop, gid, page

#: Definitions of one owner type that an app may make.
_MOST = 256
_KEY = re.compile(r"[A-Za-z0-9_-]*")
_META = "shopify.metafield_definitions"


def definitions(shop: Shop, info: Any, **given: Any) -> Row:
    rows = [
        row
        for row in _rows(shop)
        if row["ownerType"] == given["ownerType"] and given.get("namespace") in (None, row["namespace"])
    ]
    return page(rows, given.get("first"), given.get("after"), lambda row: row)


def define(shop: Shop, info: Any, definition: Row) -> Row:
    rows = _rows(shop)
    for name, shortest, longest in (("key", 3, 64), ("name", 1, 255), ("namespace", 3, 255)):
        told = definition.get(name) or ""
        if len(told) < shortest:
            raise _refused("TOO_SHORT" if told else "BLANK", name, f"{name} is too short")
        if len(told) > longest:
            raise _refused("TOO_LONG", name, f"{name} is too long")
        if name != "name" and not _KEY.fullmatch(told):
            raise _refused("INVALID_CHARACTER", name, f"{name} contains one or more invalid characters.")
    if _of(rows, definition["ownerType"], definition["namespace"], definition["key"]) is not None:
        raise _refused("TAKEN", "key", "Key is in use for Product metafields on the 'specifics' namespace.")
    if len(rows) >= _MOST:
        raise _refused("RESOURCE_TYPE_LIMIT_EXCEEDED", "", "You have reached the limit of definitions.")
    made = {**{name: definition[name] for name in ("key", "name", "namespace", "ownerType")}, "id": _id(len(rows))}
    shop.books.set_meta(_META, json.dumps([*rows, made]))
    return {"createdDefinition": made, "userErrors": []}


def metafield(shop: Shop, doc: Row, owner_type: str, owner_id: int, name: str) -> Row | None:
    """The metafield of that full name."""
    known = doc["metafields"].get(name)
    if known is None:
        return None
    namespace, _, key = name.partition(".")
    return {
        "id": gid("Metafield", owner_id * 100 + list(doc["metafields"]).index(name)),
        "key": key,
        "namespace": namespace,
        "definition": lambda info: _of(_rows(shop), owner_type, namespace, key),
        **known,
    }


def metafields(shop: Shop, doc: Row, owner_type: str, owner_id: int, **given: Any) -> Row:
    wanted = given.get("namespace")
    names = [name for name in doc["metafields"] if wanted is None or name.partition(".")[0] == wanted]
    first, after = given.get("first"), given.get("after")
    return page(names, first, after, lambda name: metafield(shop, doc, owner_type, owner_id, name) or {})


def _refused(code: str, name: str, message: str) -> InputRefused:
    return InputRefused(code, ("definition", name) if name else ("definition",), message)


def _rows(shop: Shop) -> list[Row]:
    return list(json.loads(shop.books.meta(_META) or "[]"))


def _of(rows: list[Row], owner_type: str, namespace: str, key: str) -> Row | None:
    wanted = (owner_type, namespace, key)
    return next((row for row in rows if (row["ownerType"], row["namespace"], row["key"]) == wanted), None)


def _id(place: int) -> str:
    return gid("MetafieldDefinition", place + 1)
