"""An eBay that answers as told, goods for it, and a limiter that takes notes."""

from __future__ import annotations

from typing import Any

import httpx2
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.ebay.client import EbayConnector
from flipsync.domain.channel import Offer
from flipsync.domain.money import usd

KEYS = {
    "client_id": SecretStr("id"),
    "client_secret": SecretStr("hush"),
    "refresh_token": SecretStr("lasting"),
}


TOKEN = {"access_token": "t1", "expires_in": 7200, "token_type": "User Access Token"}


class Limits(Unlimited):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.learned: dict[str, tuple[float | None, int | None, float | None]] = {}
        self.acquired: list[tuple[str, float, int]] = []

    async def acquire(self, bucket: str, rate_per_second: float, burst: int, cost: float = 1.0) -> None:
        self.acquired.append((bucket, rate_per_second, burst))

    async def learn(
        self,
        bucket: str,
        *,
        rate_per_second: float | None = None,
        burst: int | None = None,
        left: float | None = None,
        unused: float = 0.0,
    ) -> None:
        self.learned[bucket] = (rate_per_second, burst, left)


class Server(httpx2.AsyncBaseTransport):
    """Answers from a table: (method, end of path) → answer, or a function of the request."""

    def __init__(self, answers: dict[tuple[str, str], Any]) -> None:
        self.answers = {("POST", "/oauth2/token"): TOKEN, **answers}
        self.seen: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        for (method, end), answer in self.answers.items():
            if request.method == method and request.url.path.endswith(end):
                told = answer(request) if callable(answer) else answer
                return told if isinstance(told, httpx2.Response) else httpx2.Response(200, json=told)
        return httpx2.Response(404, json={"errors": [{"errorId": 25710, "category": "REQUEST", "message": "none"}]})


def connector(server: Server, limiter: Any = None, **options: str) -> EbayConnector:
    config = AccountConfig(vendor="ebay", base_url="https://api.example", currency="USD", options=options)
    return EbayConnector(config, KEYS, limiter or Unlimited(), "a", transport=server)


def failure(status: int, id: int, text: str = "No.", category: str = "REQUEST", **headers: str) -> httpx2.Response:
    body = {"errors": [{"errorId": id, "category": category, "message": text}]}
    return httpx2.Response(status, json=body, headers=headers)


def lamp(sku: str = "LAMP-1", **changes: Any) -> Offer:
    fields: dict[str, Any] = {
        "sku": sku,
        "title": "Lamp & shade",
        "description_html": "<p>Brass.</p>",
        "price": usd("19.90"),
        "quantity": 5,
        "brand": "Lumen",
        "images": ("https://img.example/lamp.jpg",),
    }
    return Offer(**{**fields, **changes})


#: how eBay tells of one offer, one inventory item and one amount
OFFER = {"offerId": "1", "marketplaceId": "EBAY_US", "format": "FIXED_PRICE", "status": "PUBLISHED"}
ITEM: dict[str, Any] = {
    "sku": "A",
    "product": {"title": "Lamp", "description": "<p>Brass.</p>"},
    "availability": {"shipToLocationAvailability": {"quantity": 3}},
}
USD = {"value": "9.00", "currency": "USD"}


def order(id: str, **more: Any) -> dict[str, Any]:
    moment = "2026-03-02T14:00:00.000Z"
    fields = {
        "orderId": id,
        "creationDate": moment,
        "lastModifiedDate": moment,
        "orderPaymentStatus": "PAID",
        "orderFulfillmentStatus": "NOT_STARTED",
        "pricingSummary": {"total": USD},
        "lineItems": [{"lineItemId": f"L{id}", "sku": "A", "quantity": 1, "lineItemCost": USD}],
    }
    return {**fields, **more}


def bulk(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"responses": list(rows)}


def item_row(sku: str, quantity: int = 3) -> dict[str, Any]:
    there = {"availability": {"shipToLocationAvailability": {"quantity": quantity}}, "product": {"title": sku}}
    return {"statusCode": 200, "sku": sku, "inventoryItem": there}
