"""eBay's errors: `{"errors": [{errorId, domain, category, message, …}]}`."""

from __future__ import annotations

import json
from typing import Any

from flipsync.sandbox.exchange import Answer, Refusal


def encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def error(
    error_id: int, message: str, domain: str = "API_INVENTORY", category: str = "REQUEST", **parameters: str
) -> dict[str, Any]:
    """One row of an `errors` list."""
    row: dict[str, Any] = {"errorId": error_id, "domain": domain, "category": category, "message": message}
    if parameters:
        row["parameters"] = [{"name": name, "value": value} for name, value in parameters.items()]
    return row


def answer(status: int, *rows: dict[str, Any]) -> Answer:
    return Answer(status, encode({"errors": list(rows)}))


def refuse(status: int, error_id: int, message: str, domain: str = "API_INVENTORY", **parameters: str) -> Refusal:
    """The exception that ends the exchange with this one error."""
    return Refusal(answer(status, error(error_id, message, domain, **parameters)))


def access(status: int, error_id: int, message: str, long_message: str) -> Refusal:
    """A refusal by eBay's gateway, before any API is reached."""
    row = {**error(error_id, message, "ACCESS"), "longMessage": long_message}
    return Refusal(answer(status, row))


def system(status: int, message: str) -> Answer:
    return answer(status, error(25001, message, category="APPLICATION"))
