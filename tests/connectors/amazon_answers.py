"""An Amazon that answers each operation with what a test gives, the last answer again and again."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.amazon.client import AmazonConnector
from flipsync.connectors.marketplaces.amazon.operations import OPERATIONS

HERE = "ATVPDKIKX0DER"
MOMENT = "2026-03-02T14:00:00Z"
ORDER = "111-0000000-0000001"


class Answers:
    """Status and body of each operation, by its name; of a document, by its address."""

    def __init__(self) -> None:
        self.given: dict[str, list[tuple[int, Any]]] = {}
        self.documents: dict[str, httpx2.Response] = {}
        self.requests: list[tuple[str, httpx2.Request]] = []
        #: how an upload is answered
        self.uploads = 200
        self.login: dict[str, Any] = {"access_token": "Atza|x", "expires_in": 3600}

    def give(self, name: str, *bodies: Any, status: int = 200) -> None:
        self.given[name] = [(status, body) for body in bodies]

    def then(self, name: str, body: Any, status: int = 200) -> None:
        self.given[name].append((status, body))

    def sent(self, name: str) -> list[httpx2.Request]:
        return [request for operation, request in self.requests if operation == name]

    def bodies(self, name: str) -> list[Any]:
        return [json.loads(request.content) for request in self.sent(name)]

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.raw_path.decode().partition("?")[0]
        if path == "/auth/o2/token":
            return httpx2.Response(200, json=self.login)
        if request.url.host == "documents.test":
            return httpx2.Response(self.uploads) if request.method == "PUT" else self.documents[path]
        name = next(
            each.name
            for each in OPERATIONS.values()
            if each.method == request.method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each.path), path)
        )
        self.requests.append((name, request))
        given = self.given[name]
        status, body = given.pop(0) if len(given) > 1 else given[0]
        return httpx2.Response(status) if body is None else httpx2.Response(status, json=body)


def connected(answers: Answers, marketplace: str = HERE) -> AmazonConnector:
    config = AccountConfig(
        vendor="amazon",
        base_url="http://amazon.test",
        token_url="http://amazon.test/auth/o2/token",
        currency="USD",
        options={"marketplace_id": marketplace, "seller_id": "SELLER"},
    )
    keys = {name: SecretStr("x") for name in ("client_id", "client_secret", "refresh_token")}
    return AmazonConnector(config, keys, Unlimited(), "a", transport=httpx2.MockTransport(answers))


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for Amazon."""
    sleep = asyncio.sleep

    async def no_time(_seconds: float) -> None:
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", no_time)


def listing(sku: str, price: str = "19.90", units: int = 4, **more: Any) -> dict[str, Any]:
    summary = {
        "marketplaceId": HERE,
        "productType": "LAMP",
        "status": ["BUYABLE"],
        "itemName": "Lamp",
        "createdDate": MOMENT,
        "lastUpdatedDate": MOMENT,
    }
    offer = {"marketplaceId": HERE, "offerType": "B2C", "price": {"currencyCode": "USD", "amount": price}}
    availability = [{"fulfillmentChannelCode": "DEFAULT", "quantity": units}]
    return {"sku": sku, "summaries": [summary], "offers": [offer], "fulfillmentAvailability": availability, **more}


def page(*items: Any, token: str | None = None) -> dict[str, Any]:
    return {"numberOfResults": len(items), "items": list(items), "pagination": {"nextToken": token} if token else {}}


def order(status: str | None = "UNSHIPPED", **changes: Any) -> dict[str, Any]:
    item = {"orderItemId": "1", "quantityOrdered": 2, "product": {"sellerSku": "A", "title": "Lamp"}}
    return {
        "orderId": ORDER,
        "createdTime": MOMENT,
        "lastUpdatedTime": MOMENT,
        "salesChannel": {"channelName": "AMAZON"},
        "orderItems": [item],
        **({"fulfillment": {"fulfillmentStatus": status}} if status is not None else {}),
        **changes,
    }
