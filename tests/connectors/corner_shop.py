"""A small shop with an API of its own, as PYTHON.md describes it; spoken to by the class in that file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

START = datetime(2026, 3, 2, 14, tzinfo=UTC)


class CornerShop:
    """Items, orders and a clock. `before` and `after` may answer in the shop's place, before or after its work."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.now = START
        self.token = "t-1"
        self.requests: list[httpx2.Request] = []
        self.before: Callable[[httpx2.Request], httpx2.Response | None] = lambda request: None
        self.after: Callable[[httpx2.Request], httpx2.Response | None] = lambda request: None

    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self.answer)

    def tick(self) -> str:
        self.now += timedelta(seconds=1)
        return self.now.isoformat()

    def sell(self, sku: str, quantity: int) -> str:
        item = next(row for row in self.items.values() if row["sku"] == sku)
        item["stock"] -= quantity
        number = str(len(self.orders) + 1)
        line = {"id": "1", "item": item["id"], "sku": sku, "name": item["name"], "count": quantity}
        self.orders[number] = {
            "id": number,
            "state": "paid",
            "created": self.tick(),
            "changed": self.now.isoformat(),
            "lines": [{**line, "total": f"{float(item['price']) * quantity:.2f}"}],
            "total": f"{float(item['price']) * quantity + 4:.2f}",
            "postage": "4.00",
            "parcels": [],
            "to": {"name": "Avery Lane", "street": "411 Elm Street", "city": "Springfield", "country": "US"},
        }
        return number

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return httpx2.Response(401, json={"message": "who are you?"})
        early = self.before(request)
        if early is not None:
            return early
        told = self._do(request.method, request.url.path, request)
        return self.after(request) or told

    def _do(self, method: str, path: str, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content) if request.content else {}
        params = request.url.params
        found = re.fullmatch(r"/api/(items|orders)(?:/([^/]+))?(/parcels)?", path)
        if path == "/api":
            return httpx2.Response(200, json={"name": "Corner shop", "currency": "USD"})
        if found is None:
            return httpx2.Response(404, json={"message": "no such page"})
        kind, key, parcels = found.groups()
        table = self.items if kind == "items" else self.orders
        if method == "GET" and key is None:
            rows = [row for row in table.values() if params.get("sku") in (None, row.get("sku"))]
            rows = [row for row in rows if row["changed"] >= params.get("changed_since", "")]
            start, size = int(params.get("offset", 0)), int(params.get("limit", 20))
            return httpx2.Response(200, json=rows[start : start + size])
        if method == "POST" and key is None:
            number = str(len(self.items) + 1)
            self.items[number] = {**body, "id": number, "changed": self.tick()}
            return httpx2.Response(201, json=self.items[number])
        row = table.get(str(key))
        if row is None:
            return httpx2.Response(404, json={"message": f"no {kind} {key}"})
        if parcels:
            row["parcels"].append(body)
            row["state"] = "sent"
            row["changed"] = self.tick()
        elif method == "PATCH":
            row.update(body, changed=self.tick())
        return httpx2.Response(200, json=row)
