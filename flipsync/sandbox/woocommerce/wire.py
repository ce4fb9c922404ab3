"""How WordPress writes things: errors, JSON, dates, texts, decimals, lists; and how it reads parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flipsync.domain.money import minor_digits
from flipsync.sandbox.clock import instant
from flipsync.sandbox.exchange import Answer, Call, Refusal

MAX_PER_PAGE = 100
_ENTITY = re.compile(r"&(?!#\d+;|#x[0-9a-fA-F]+;|[a-zA-Z][a-zA-Z0-9]*;)")
_FORBIDDEN_TAG = re.compile(r"</?(?:script|style|iframe|object|embed|form|input|link|meta)\b[^>]*>", re.IGNORECASE)
_LONE_LESS = re.compile(r"<(?![a-zA-Z/!])")
_BLOCK = re.compile(r"^\s*<(?:p|div|ul|ol|li|table|h[1-6]|blockquote|pre|section|figure|hr|form)\b", re.IGNORECASE)


def php_json(value: Any) -> bytes:
    """JSON as PHP writes it: slashes escaped, non-ASCII as \\u."""
    return json.dumps(value, separators=(",", ":")).replace("/", "\\/").encode()


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, php_json(value), headers or {}, "application/json; charset=UTF-8")


def error_body(status: int, code: str, message: str, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"code": code, "message": message, "data": {"status": status, **(extra or {})}}


def refusal(status: int, code: str, message: str, extra: Mapping[str, Any] | None = None) -> Refusal:
    return Refusal(json_answer(error_body(status, code, message, extra), status))


def bare_refusal(code: str, message: str, meant: int = 500) -> Refusal:
    """The odd 500 whose `data` is a number: WordPress looks for the status in an object, and finds none."""
    return Refusal(json_answer({"code": code, "message": message, "data": meant}, 500))


def invalid_parameter(name: str, problem: str) -> Refusal:
    extra = {
        "params": {name: problem},
        "details": {name: {"code": "rest_invalid_type", "message": problem, "data": {"param": name}}},
    }
    return refusal(400, "rest_invalid_param", f"Invalid parameter(s): {name}", extra)


# Texts


def filtered(text: str) -> str:
    """Text as stored after the content filter: a bare & becomes &amp;, dangerous tags go."""
    return _LONE_LESS.sub("&lt;", _ENTITY.sub("&amp;", _FORBIDDEN_TAG.sub("", text)))


def paragraphs(text: str) -> str:
    """Text as shown in the `view` context: paragraphs get their tags."""
    parts = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    return "".join(
        f"{part}\n" if _BLOCK.match(part) else "<p>" + part.replace("\n", "<br />\n") + "</p>\n" for part in parts
    )


def slug_of(text: str) -> str:
    plain = re.sub(r"&[a-zA-Z#0-9]+;|<[^>]*>", "", text).lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "product"


# Numbers


def format_decimal(text: str) -> str:
    """WooCommerce's wc_format_decimal with a decimal point: "12,5" is "125", "abc" is "", "-5" stays."""
    return re.sub(r"\.(?![^.]+$)|[^0-9.\-]", "", text.strip())


def to_minor(text: str, currency: str) -> int | None:
    """Minor units of a stored decimal, half up; None when it is no number."""
    try:
        scaled = Decimal(text).scaleb(minor_digits(currency))
        return int(scaled.to_integral_value(rounding=ROUND_HALF_UP))
    except InvalidOperation:
        return None


def from_minor(minor: int, currency: str) -> str:
    digits = minor_digits(currency)
    return f"{Decimal(minor).scaleb(-digits):.{digits}f}"


def php_number(value: float) -> int | float:
    """A float as PHP encodes it: whole numbers without a fraction."""
    return int(value) if value == int(value) else value


# Dates


def local_date(moment_ms: int | None, zone: ZoneInfo) -> str | None:
    """Store-local time without a zone."""
    if moment_ms is None:
        return None
    return instant(moment_ms).astimezone(zone).replace(tzinfo=None).isoformat(timespec="seconds")


def gmt_date(moment_ms: int | None) -> str | None:
    """UTC without a Z."""
    return None if moment_ms is None else instant(moment_ms).replace(tzinfo=None).isoformat(timespec="seconds")


def dates(prefix: str, moment_ms: int | None, zone: ZoneInfo) -> dict[str, str | None]:
    return {prefix: local_date(moment_ms, zone), f"{prefix}_gmt": gmt_date(moment_ms)}


def date_parameter(call: Call, name: str, zone: ZoneInfo) -> int | None:
    """A date filter in ms: store-local digits unless dates_are_gmt is set; a zone it names is not heeded."""
    text = call.first(name)
    if text is None:
        return None
    try:
        digits = datetime.fromisoformat(text.strip().replace(" ", "+")).replace(tzinfo=None, microsecond=0)
    except ValueError as error:
        raise invalid_parameter(name, "Invalid date.") from error
    gmt = (call.first("dates_are_gmt") or "").lower() in ("1", "true")
    return round(digits.replace(tzinfo=UTC if gmt else zone).timestamp() * 1000)


# Lists


@dataclass(frozen=True)
class Page:
    number: int
    size: int
    offset: int


def page_of(call: Call) -> Page:
    """page, per_page and offset of a list call. Raises the 400 of WordPress."""
    number = _integer_parameter(call, "page", 1)
    size = _integer_parameter(call, "per_page", 10)
    if number < 1:
        raise invalid_parameter("page", "page must be greater than or equal to 1")
    if not 1 <= size <= MAX_PER_PAGE:
        raise invalid_parameter("per_page", "per_page must be between 1 (inclusive) and 100 (inclusive)")
    return Page(number, size, _integer_parameter(call, "offset", (number - 1) * size))


def _integer_parameter(call: Call, name: str, default: int) -> int:
    text = call.first(name)
    if text is None:
        return default
    if not re.fullmatch(r"-?\d{1,9}", text):
        raise invalid_parameter(name, f"{name} is not of type integer.")
    return int(text)


def id_list(call: Call, name: str) -> list[int]:
    """Ids given as `name=1,2` or as `name[]=1&name[]=2`."""
    texts = [value for key, value in call.query if re.fullmatch(rf"{name}(\[\d*\])?", key)]
    parts = [part for text in texts for part in text.split(",") if part]
    if not all(re.fullmatch(r"\d{1,15}", part) for part in parts):
        raise invalid_parameter(name, f"{name}[0] is not of type integer.")
    return [int(part) for part in parts]


def word_list(call: Call, name: str) -> list[str]:
    texts = [value for key, value in call.query if re.fullmatch(rf"{name}(\[\d*\])?", key)]
    return [part for text in texts for part in text.split(",") if part]


def list_answer(call: Call, items: list[dict[str, Any]], total: int, page: Page) -> Answer:
    """A page of a list with X-WP-Total, X-WP-TotalPages and Link."""
    pages = -(-total // page.size)
    links = []
    for rel, number in (("prev", page.number - 1), ("next", page.number + 1)):
        if (rel == "prev" and page.number > 1) or (rel == "next" and page.number < pages):
            target = min(number, pages) if rel == "prev" else number
            others = [(k, v) for k, v in call.query if k != "page" and not k.startswith("oauth_")]
            query = urlencode([*others, ("page", str(target))])
            links.append(f'<{call.origin}{call.full_path}?{query}>; rel="{rel}"')
    headers = {"X-WP-Total": str(total), "X-WP-TotalPages": str(pages)}
    if links:
        headers["Link"] = ", ".join(links)
    return json_answer(chosen_fields(call, items), 200, headers)


def chosen_fields(call: Call, value: Any) -> Any:
    """Only the top-level fields that `_fields` names, where it is given."""
    wanted = {name.strip().split(".")[0] for name in word_list(call, "_fields")}
    if not wanted:
        return value
    if isinstance(value, list):
        return [{key: row[key] for key in row if key in wanted} for row in value]
    return {key: value[key] for key in value if key in wanted}


def date_filters(call: Call, zone: ZoneInfo, created_column: str) -> tuple[list[str], list[Any]]:
    """SQL conditions of after, before, modified_after and modified_before; all exclusive, to the second."""
    conditions: list[str] = []
    params: list[Any] = []
    for name, column in (("", created_column), ("modified_", "modified_ms")):
        after = date_parameter(call, f"{name}after", zone)
        if after is not None:
            conditions.append(f"{column} >= ?")
            params.append(after + 1000)
        before = date_parameter(call, f"{name}before", zone)
        if before is not None:
            conditions.append(f"{column} < ?")
            params.append(before)
    for name, negation in (("include", ""), ("exclude", "NOT ")):
        ids = id_list(call, name)
        if ids:
            conditions.append(f"id {negation}IN ({','.join('?' * len(ids))})")
            params.extend(ids)
    return conditions, params


def ordering(call: Call, columns: Mapping[str, str]) -> str:
    """ORDER BY of a list; newest first unless asked otherwise."""
    by = call.first("orderby") or "date"
    direction = call.first("order") or "desc"
    if by not in columns:
        raise invalid_parameter("orderby", f"orderby is not one of {', '.join(columns)}.")
    if direction not in ("asc", "desc"):
        raise invalid_parameter("order", "order is not one of asc and desc.")
    return f"{columns[by]} {direction}, id {direction}"


# Request bodies


def typed(body: Mapping[str, Any], name: str, kind: str) -> Any:
    """A field of a body after WordPress's type check: numbers are no strings, but "5" is an integer."""
    value = body[name]
    checks: dict[str, Callable[[Any], bool]] = {
        "string": lambda v: isinstance(v, str),
        "integer": lambda v: (isinstance(v, int) and not isinstance(v, bool)) or _whole(v),
        "boolean": lambda v: isinstance(v, bool) or v in ("true", "false", "1", "0", 0, 1),
        "array": lambda v: isinstance(v, list) and all(isinstance(row, dict) for row in v),
        "object": lambda v: isinstance(v, dict),
    }
    if not checks[kind](value):
        raise invalid_parameter(name, f"{name} is not of type {kind}.")
    if kind == "integer":
        return int(value)
    return value in (True, "true", "1", 1) if kind == "boolean" else value


def _whole(value: Any) -> bool:
    if isinstance(value, float):
        return value == int(value)
    return isinstance(value, str) and re.fullmatch(r"-?\d+", value) is not None


def merged_meta(
    existing: list[dict[str, Any]], rows: list[dict[str, Any]], new_id: Callable[[], int]
) -> list[dict[str, Any]]:
    """Meta data after a write: by id or key replaced, otherwise added; a null value removes."""
    result = [dict(row) for row in existing]
    for row in rows:
        known = next(
            (m for m in result if m["id"] == row.get("id") or ("id" not in row and m["key"] == row.get("key"))), None
        )
        if known is not None:
            known["value"] = row.get("value")
        elif row.get("key"):
            result.append({"id": new_id(), "key": str(row["key"]), "value": row.get("value")})
    return [row for row in result if row["value"] is not None]
