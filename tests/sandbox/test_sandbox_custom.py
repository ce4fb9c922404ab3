"""The marketplace keeps the custom-channel protocol."""

from __future__ import annotations

from typing import Any

from flipsync.sandbox.audit import double_side_effects
from flipsync.sandbox.buyers import Buyer
from flipsync.sandbox.orderbook import Refused
from flipsync.sandbox.records import Order

BUYER = Buyer(willing_minor=0, price_sensitivity=0.0, quantity=1)


def place(rig: Any, sku: str, quantity: int = 1) -> Order:
    placed = rig.sandbox.market.place("custom", sku, quantity, BUYER)
    assert isinstance(placed, Order), placed
    return placed


async def test_a_listing_is_created_changed_and_ended(rig: Any) -> None:
    listing = await rig.list_custom("A/1 ü", 1999, 3)
    assert (listing["status"], listing["quantity"], listing["price"]["amount_minor"]) == ("active", 3, 1999)
    path = "/listings/A%2F1%20%C3%BC"
    changed = await rig.custom("PUT", path, {"title": "Better", "brand": "Acme"})
    assert changed.status_code == 200
    assert (changed.json()["title"], changed.json()["brand"], changed.json()["quantity"]) == ("Better", "Acme", 3)
    assert (await rig.custom("PUT", path, {"title": "B", "quantity": 5})).status_code == 422
    assert (await rig.custom("DELETE", path)).status_code == 204
    assert (await rig.custom("DELETE", path)).status_code == 204
    assert (await rig.custom("GET", path)).json()["status"] == "ended"
    missing = await rig.custom("GET", "/listings/none")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert missing.headers["content-type"] == "application/problem+json"


async def test_the_same_key_answers_the_first_answer_and_another_body_is_a_conflict(rig: Any) -> None:
    await rig.list_custom("A")
    first = await rig.custom("PUT", "/listings/A/quantity", {"quantity": 4}, key="k1")
    place(rig, "A")
    again = await rig.custom("PUT", "/listings/A/quantity", {"quantity": 4}, key="k1")
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replay"] == "true"
    assert (await rig.custom("GET", "/listings/A")).json()["quantity"] == 3, "the replay must not write again"
    other = await rig.custom("PUT", "/listings/A/quantity", {"quantity": 9}, key="k1")
    assert (other.status_code, other.json()["code"]) == (409, "key_reused")


async def test_if_match_fails_when_a_sale_came_between(rig: Any) -> None:
    version = (await rig.list_custom("A"))["stock_version"]
    place(rig, "A", 2)
    refused = await rig.custom("PUT", "/listings/A/quantity", {"quantity": 10}, headers={"If-Match": f'"{version}"'})
    assert (refused.status_code, refused.json()["code"]) == (412, "version")
    now = (await rig.custom("GET", "/listings/A")).json()
    assert now["quantity"] == 8
    headers = {"If-Match": f'"{now["stock_version"]}"'}
    assert (await rig.custom("PUT", "/listings/A/quantity", {"quantity": 7}, headers=headers)).json()["quantity"] == 7


async def test_who_may_not_is_told_so(rig: Any) -> None:
    nobody = {"Authorization": "Bearer wrong"}
    assert (await rig.custom("GET", "/channel", headers=nobody)).json()["code"] == "unauthorized"
    reader = {"Authorization": f"Bearer {rig.sandbox.custom_reader}"}
    assert (await rig.custom("GET", "/channel", headers=reader)).json()["can_write"] is False
    refused = await rig.custom("DELETE", "/listings/A", headers=reader)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_unknown_fields_and_wrong_money_are_refused(rig: Any) -> None:
    await rig.list_custom("A")
    for body in ({"price": {"amount_minor": 19.5, "currency": "USD"}}, {"price": {"amount_minor": 1}}, {}, {"x": 1}):
        assert (await rig.custom("PUT", "/listings/A/price", body)).status_code == 422
    euro = await rig.custom("PUT", "/listings/A/price", {"price": {"amount_minor": 100, "currency": "EUR"}})
    assert (euro.status_code, euro.json()["code"]) == (422, "currency")


async def test_orders_are_listed_oldest_change_first_and_every_page_is_reached(rig: Any) -> None:
    await rig.list_custom("A", quantity=50)
    placed = []
    for _ in range(7):
        rig.sandbox.clock.move_to(rig.sandbox.clock.now_ms() + 1000)
        placed.append(f"o{place(rig, 'A').id}")
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await rig.custom("GET", f"/orders?limit=3&cursor={cursor}")).json()
        seen += [order["id"] for order in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == placed
    third = (await rig.custom("GET", f"/orders/{placed[2]}")).json()
    later = (await rig.custom("GET", f"/orders?modified_after={third['modified_at']}")).json()
    assert [order["id"] for order in later["items"]] == placed[2:]


async def test_a_shipment_confirmed_twice_answers_the_same_and_the_books_notice_another_tracking(rig: Any) -> None:
    await rig.list_custom("A")
    order = f"/orders/o{place(rig, 'A').id}/shipment"
    first = await rig.custom("POST", order, {"carrier": "usps", "tracking_number": "T1"})
    again = await rig.custom("POST", order, {"carrier": "usps", "tracking_number": "T1"})
    assert first.json()["status"] == "shipped"
    assert first.json() == again.json()
    assert double_side_effects(rig.sandbox.books)["shipments"] == []
    await rig.custom("POST", order, {"carrier": "usps", "tracking_number": "T2"})
    (double,) = double_side_effects(rig.sandbox.books)["shipments"]
    assert sorted(double["tracking_numbers"]) == ["T1", "T2"]


async def test_an_order_without_units_is_refused(rig: Any) -> None:
    await rig.list_custom("A", quantity=2)
    refused = rig.sandbox.market.place("custom", "A", 3, BUYER)
    assert isinstance(refused, Refused)
    assert (await rig.custom("GET", "/listings/A")).json()["quantity"] == 2


async def test_offers_name_two_to_four_rivals_for_each_sku(rig: Any) -> None:
    await rig.list_custom("A")
    await rig.list_custom("B")
    items = (await rig.custom("GET", "/offers?sku=A&sku=B&sku=none")).json()["items"]
    for sku in ("A", "B"):
        rivals = [item for item in items if item["sku"] == sku]
        assert 2 <= len(rivals) <= 4
        assert len({rival["seller"] for rival in rivals}) == len(rivals)
    many = "&".join(f"sku={n}" for n in range(51))
    assert (await rig.custom("GET", f"/offers?{many}")).status_code == 422
