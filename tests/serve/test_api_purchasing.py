"""Suppliers and purchase orders over the API: from a price list to goods on the shelf; who sees what they cost."""

from __future__ import annotations

from typing import Any

import httpx2
from api_world import API, Business

from flipsync.domain.ids import new_id

ORDERS = f"{API}/inventory/purchase-orders"


def once(business: Business, role: Any = "owner", key: str = "") -> dict[str, str]:
    return business.headers(role, **{"Idempotency-Key": key or new_id().hex})


async def test_from_a_price_list_to_goods_on_the_shelf(client: httpx2.AsyncClient, alpha: Business) -> None:
    form = {"name": f"supplier {new_id()}", "lead_mean_days": 9, "email": None}
    made = await client.post(f"{API}/suppliers", json=form, headers=once(alpha))
    assert made.status_code == 201, made.text
    supplier = made.json()
    assert supplier["lead_time"] == {"mean_days": 9.0, "spread_days": 4.0, "nine_in_ten_days": 14.13, "orders": 0}
    url = f"{API}/suppliers/{supplier['id']}"
    sku, variant = f"{alpha.marker}-SKU", str(alpha.ids["variant_id"])
    prices = {"file": ("prices.csv", f"sku;cost;pack\n{sku};54,00;6\nNOBODYS;1,00;1\n".encode())}
    listed = await client.post(f"{url}/price-lists", files=prices, headers=once(alpha))
    assert (listed.status_code, listed.json()["offers"], listed.json()["report"]["rejected"]) == (200, 1, 1)
    (offer,) = (await client.get(f"{url}/offers", headers=alpha.headers())).json()["items"]
    assert (offer["sku"], offer["pack_units"], offer["pack_cost"]["amount_minor"]) == (sku, 6, 5400)

    wanted = {"supplier_id": supplier["id"], "lines": [{"variant_id": variant, "units": 12}], "freight_minor": 300}
    key = new_id().hex
    first, again = [await client.post(ORDERS, json=wanted, headers=once(alpha, key=key)) for _ in range(2)]
    assert first.status_code == 201 and again.json()["id"] == first.json()["id"], "asked twice, written once"
    order = f"{ORDERS}/{first.json()['id']}"
    odd = {**wanted, "lines": [{"variant_id": variant, "units": 13}]}
    assert (await client.post(ORDERS, json=odd, headers=once(alpha))).status_code == 422
    placed = await client.post(f"{order}/place", json={}, headers=once(alpha))
    assert (placed.json()["state"], placed.json()["mail"]) == ("placing", "none")
    ordered = await client.post(f"{order}/ordered", json={}, headers=once(alpha))
    assert ordered.json()["state"] == "ordered"

    shelf = f"{API}/inventory/items/{alpha.ids['stock_item_id']}"
    before = (await client.get(shelf, headers=alpha.headers())).json()["on_hand"]
    slip = {"units": {variant: 12}}
    clerk = [await client.post(f"{order}/receipts", json=slip, headers=once(alpha, "clerk", "slip")) for _ in range(2)]
    assert [each.status_code for each in clerk] == [201, 201]
    assert clerk[0].json()["state"] == "received" and clerk[0].json()["goods"] is None, (
        "a clerk counts, and sees no cost"
    )
    assert (await client.get(shelf, headers=alpha.headers())).json()["on_hand"] == before + 12
    told = (await client.get(order, headers=alpha.headers())).json()
    assert told["lines"][0]["landed"] == {"amount_minor": 11100, "currency": "USD"}
    more = await client.post(f"{order}/receipts", json=slip, headers=once(alpha))
    assert (more.status_code, more.json()["type"]) == (409, "urn:flipsync:error:conflict")
    assert (await client.post(f"{order}/cancel", json={}, headers=once(alpha))).status_code == 409


async def test_only_who_may_see_costs_is_shown_any(client: httpx2.AsyncClient, alpha: Business) -> None:
    url = f"{ORDERS}/{alpha.ids['purchase_order_id']}"
    for role, sees in (("owner", True), ("analyst", True), ("clerk", False), ("read-only", False)):
        told = (await client.get(url, headers=alpha.headers(role))).json()  # type: ignore[arg-type]
        assert (told["goods"] is not None) is sees and (told["lines"][0]["cost"] is not None) is sees, role
        assert told["lines"][0]["units"] == 6
        listed = await client.get(f"{API}/suppliers", headers=alpha.headers(role))  # type: ignore[arg-type]
        assert listed.status_code == (200 if sees else 403)


async def test_a_supplier_is_changed_on_the_version_that_was_read(client: httpx2.AsyncClient, alpha: Business) -> None:
    url = f"{API}/suppliers/{alpha.ids['supplier_id']}"
    read = await client.get(url, headers=alpha.headers())
    assert (await client.patch(url, json={"note": "x"}, headers=alpha.headers())).status_code == 428
    headers = alpha.headers(**{"If-Match": read.headers["etag"]})
    assert (await client.patch(url, json={"note": f"{alpha.marker} b"}, headers=headers)).json()["note"].endswith(" b")
    assert (await client.patch(url, json={"note": "c"}, headers=headers)).status_code == 412
    wrong = await client.patch(url, json={"email": "a@b.example\nBcc: c@d.example"}, headers=headers)
    assert wrong.status_code == 422
