"""What every part of the web shop shares: its books, its settings, and batches."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from flipsync.sandbox.books import Books
from flipsync.sandbox.exchange import Answer, Refusal
from flipsync.sandbox.faults import Faults
from flipsync.sandbox.orderbook import OrderBook
from flipsync.sandbox.webhooks import Webhooks
from flipsync.sandbox.woocommerce.wire import json_answer, refusal

_BATCH_LIMIT = 100
Row = dict[str, Any]


@dataclass(frozen=True)
class Shop:
    """One web shop. `zone` is the store's time zone."""

    books: Books
    orders: OrderBook
    faults: Faults
    webhooks: Webhooks
    currency: str
    zone: ZoneInfo

    @property
    def url(self) -> str:
        return self.webhooks.shop_url

    def links(self, collection: str, record_id: int) -> dict[str, Any]:
        base = f"{self.url}/wp-json/wc/v3/{collection}"
        return {"self": [{"href": f"{base}/{record_id}"}], "collection": [{"href": base}]}


def run_batch(
    shop: Shop,
    body: Row,
    create: Callable[[Row], Row],
    update: Callable[[int, Row], Row],
    delete: Callable[[int], Row],
) -> Answer:
    """create, update and delete rows, each on its own: 200 even if every row failed, rows in the order sent."""
    groups = {name: body[name] for name in ("create", "update", "delete") if isinstance(body.get(name), list)}
    if sum(len(rows) for rows in groups.values()) > _BATCH_LIMIT:
        message = f"Unable to accept more than {_BATCH_LIMIT} items for this request."
        raise refusal(413, "woocommerce_rest_request_entity_too_large", message)
    answer: dict[str, list[Row]] = {}
    for name, rows in groups.items():
        if rows:
            answer[name] = [_batch_row(shop, name, row, create, update, delete) for row in rows]
    return json_answer(answer or [])


def _batch_row(
    shop: Shop,
    name: str,
    row: Any,
    create: Callable[[Row], Row],
    update: Callable[[int, Row], Row],
    delete: Callable[[int], Row],
) -> Row:
    value = row.get("id", 0) if isinstance(row, dict) else row
    record_id = int(value) if str(value).isdigit() else 0
    try:
        with shop.books.savepoint():
            if name == "delete":
                return delete(record_id)
            fields = row if isinstance(row, dict) else {}
            if name == "create":
                return create(fields)
            return update(record_id, {key: field for key, field in fields.items() if key != "id"})
    except Refusal as refused:
        return {"id": 0 if name == "create" else record_id, "error": json.loads(refused.answer.body)}
