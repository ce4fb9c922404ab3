"""Somebody who calls the sandbox's Amazon by its models, and attributes to send."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx2
from amazon_models import Models

from flipsync.sandbox.amazon.world import MARKETPLACE, SELLER
from flipsync.sandbox.buyers import Buyer

BUYER = Buyer(willing_minor=0, price_sensitivity=0.0, quantity=1)


ITEMS = f"/listings/2021-08-01/items/{SELLER}"


HERE = {"marketplaceIds": MARKETPLACE}


ALL_DATA = "summaries,attributes,issues,offers,fulfillmentAvailability,relationships,productTypes"


class Amazon:
    """Calls to the sandbox's Amazon, each judged by the models."""

    def __init__(self, rig: Any, models: Models) -> None:
        self.rig = rig
        self.models = models
        self.server = rig.sandbox.server("/amazon")
        self.world = self.server.world
        self.world.settle_seconds = 0.0
        self.keys = rig.sandbox.credentials()["amazon"]
        self.token = ""

    async def login(self, name: str = "amazon", **form: str) -> httpx2.Response:
        keys = self.rig.sandbox.credentials()[name]
        given = {key: keys[key] for key in ("client_id", "client_secret", "refresh_token")}
        response = await self.rig.http.post(
            "/amazon/auth/o2/token", data={"grant_type": "refresh_token", **given, **form}
        )
        if response.status_code == 200:
            self.token = response.json()["access_token"]
        return response  # type: ignore[no-any-return]

    async def call(
        self,
        method: str,
        path: str,
        status: int,
        params: dict[str, str] | None = None,
        body: Any = None,
        **headers: str,
    ) -> Any:
        sent = {"x-amz-access-token": self.token, **headers}
        response = await self.rig.http.request(method, f"/amazon{path}", params=params, json=body, headers=sent)
        assert response.status_code == status, response.text
        operation = next(o for o in self.models.operations if o.matches(method, path))
        assert self.models.answer_errors(operation, response) == []
        return response.json() if response.content else None

    async def put(self, sku: str, status: int = 200, params: dict[str, str] | None = None, **changes: Any) -> Any:
        body = {"productType": "LAMP", "requirements": "LISTING", "attributes": {**ATTRIBUTES, **changes}}
        path = f"{ITEMS}/{quote(sku, safe='')}"
        return await self.call("PUT", path, status, {**HERE, "includedData": "issues", **(params or {})}, body)

    async def get(self, sku: str, status: int = 200) -> Any:
        return await self.call("GET", f"{ITEMS}/{sku}", status, {**HERE, "includedData": ALL_DATA})


def value(text: Any) -> list[dict[str, Any]]:
    return [{"value": text, "marketplace_id": MARKETPLACE}]


def priced(amount: Any, currency: str = "USD") -> list[dict[str, Any]]:
    offer = {
        "marketplace_id": MARKETPLACE,
        "currency": currency,
        "our_price": [{"schedule": [{"value_with_tax": amount}]}],
    }
    return [offer]


def units(quantity: Any, code: str = "DEFAULT") -> list[dict[str, Any]]:
    return [{"fulfillment_channel_code": code, "quantity": quantity}]


ATTRIBUTES: dict[str, Any] = {
    "item_name": value("Lamp"),
    "brand": value("Lumen"),
    "condition_type": value("new_new"),
    "purchasable_offer": priced(19.9),
    "fulfillment_availability": units(5),
    "supplier_declared_has_product_identifier_exemption": value(True),
}
