"""Units written to shops that are set up otherwise than most."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, QuantityChange, Unlimited
from flipsync.connectors.marketplaces.woocommerce.client import WooCommerceConnector
from flipsync.domain.errors import Rejected

_API = "/wp-json/wc/v3"


class Counting:
    """A shop with stock management on or off, which takes so many rows in a batch."""

    def __init__(self, *, counts: bool = True, rows: int = 100) -> None:
        self.counts, self.rows = counts, rows
        self.batches: list[int] = []

    def product(self, product_id: int, quantity: int) -> dict[str, Any]:
        counted = {"manage_stock": True, "stock_quantity": quantity}
        return {"id": product_id, "sku": "S", **(counted if self.counts else {"manage_stock": False})}

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path.partition(_API)[2]
        if path == "/settings/products/woocommerce_manage_stock":
            return httpx2.Response(
                200, json={"id": "woocommerce_manage_stock", "value": "yes" if self.counts else "no"}
            )
        body = json.loads(request.content)
        if path != "/products/batch":
            return httpx2.Response(200, json=self.product(7, body["stock_quantity"]))
        self.batches.append(len(body["update"]))
        if len(body["update"]) > self.rows:
            error = {"code": "woocommerce_rest_request_entity_too_large", "message": "x", "data": {"status": 413}}
            return httpx2.Response(413, json=error)
        rows = [self.product(row["id"], row["stock_quantity"]) for row in body["update"]]
        return httpx2.Response(200, json={"update": rows})

    def connector(self) -> WooCommerceConnector:
        config = AccountConfig(vendor="woocommerce", base_url="https://shop.test/", currency="USD")
        keys = {"consumer_key": SecretStr("ck"), "consumer_secret": SecretStr("cs")}
        return WooCommerceConnector(config, keys, Unlimited(), "a", transport=httpx2.MockTransport(self.answer))


async def test_a_shop_that_takes_fewer_rows_in_a_batch_gets_fewer() -> None:
    shop = Counting(rows=30)
    changes = [QuantityChange(str(n), n, f"k{n}") for n in range(1, 101)]
    outcomes = await shop.connector().set_quantities(changes)
    assert [each.state.quantity for each in outcomes if each.state] == list(range(1, 101))
    assert shop.batches == [100, 50, 25, 25, 50, 25, 25]
    outcomes = await Counting(rows=0).connector().set_quantities(changes[:2])
    assert [each.error.vendor_status for each in outcomes if each.error] == [413, 413]


async def test_a_shop_that_counts_no_stock_says_so_once() -> None:
    """It drops quantities with a 200: nobody may wait for them to be shown."""
    connector = Counting(counts=False).connector()
    with pytest.raises(Rejected, match="counts no stock"):
        await connector.set_quantity("7", 3, "k1")
    (outcome,) = await connector.set_quantities([QuantityChange("7", 3, "k2")])
    assert isinstance(outcome.error, Rejected) and "stock management" in outcome.error.hint
    assert (await Counting().connector().set_quantity("7", 3, "k3")).quantity == 3


@pytest.mark.parametrize(
    ("told", "currency", "notes"),
    [("USD", "USD", 1), ("usd ", "USD", 1), ("Dollar", "USD", 1), ("", "USD", 1), ("EUR", "EUR", 2)],
)
async def test_a_probe_tells_of_settings_that_quantities_and_prices_depend_on(
    told: str, currency: str, notes: int
) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        path = request.url.path.partition(_API)[2]
        if path == "/settings/general":
            return httpx2.Response(200, json=[{"id": "woocommerce_currency", "value": told}])
        if path.startswith("/settings/products/"):
            return httpx2.Response(200, json={"id": "woocommerce_manage_stock", "value": "no"})
        return httpx2.Response(200, json={} if path in ("", "/system_status") else [])

    config = AccountConfig(vendor="woocommerce", base_url="https://shop.test/", currency="USD")
    keys = {"consumer_key": SecretStr("ck"), "consumer_secret": SecretStr("cs")}
    connector = WooCommerceConnector(config, keys, Unlimited(), "a", transport=httpx2.MockTransport(answer))
    info = await connector.probe()
    assert (info.currency, len(info.notes)) == (currency, notes)
    assert "counts no stock" in info.notes[-1]
