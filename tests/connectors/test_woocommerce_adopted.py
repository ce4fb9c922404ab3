"""Products that the merchant has made by hand: what is written to them leaves the merchant's own work alone."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.woocommerce import grouping, mapping, wire
from flipsync.connectors.marketplaces.woocommerce.client import WooCommerceConnector
from flipsync.domain.channel import Offer, OfferGroup
from flipsync.domain.money import usd

_API = "/wp-json/wc/v3"
GLOBAL = {"id": 3, "name": "Color", "position": 0, "visible": True, "variation": False, "options": ["Red", "Blue"]}
LAMP: dict[str, Any] = {
    "id": 7,
    "name": "Lamp",
    "type": "subscription",
    "status": "publish",
    "sku": "LAMP",
    "price": "5.00",
    "images": [{"id": 70, "src": "https://shop.test/a.jpg"}, {"id": 71, "src": "https://shop.test/b.jpg"}],
    "categories": [{"id": 15, "name": "Uncategorized", "slug": "uncategorized"}, {"id": 20, "slug": "sale"}],
    "attributes": [GLOBAL, {"id": 0, "name": "Material", "visible": False, "variation": False, "options": ["Oak"]}],
    "meta_data": [],
}


class Shop:
    """A shop with some products, and categories whose names are kept with entities."""

    def __init__(self, *products: dict[str, Any]) -> None:
        self.products = {row["id"]: json.loads(json.dumps(row)) for row in products}
        self.written: list[dict[str, Any]] = []
        self.searched: list[str] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        path, query = request.url.path.partition(_API)[2], request.url.params
        if path == "/products/categories":
            self.searched.append(query["search"])
            kept = [{"id": 30, "name": "Lamps &amp; Shades"}, {"id": 20, "name": "Sale"}]
            return httpx2.Response(200, json=[row for row in kept if query["search"] in str(row["name"])])
        if path == "/products":
            rows = [row for row in self.products.values() if row["sku"] == query["sku"]]
            return httpx2.Response(200, json=rows)
        row = self.products[int(path.rpartition("/")[2])]
        if request.method == "PUT":
            self.written.append(json.loads(request.content))
            row = {**row, **{name: value for name, value in self.written[-1].items() if name != "meta_data"}}
        return httpx2.Response(200, json=row)

    def connector(self) -> WooCommerceConnector:
        config = AccountConfig(vendor="woocommerce", base_url="https://shop.test/", currency="USD")
        keys = {"consumer_key": SecretStr("ck"), "consumer_secret": SecretStr("cs")}
        return WooCommerceConnector(config, keys, Unlimited(), "a", transport=httpx2.MockTransport(self.answer))


def offer(**changes: Any) -> Offer:
    fields: dict[str, Any] = {"sku": "LAMP", "title": "Lamp", "price": usd("5.00"), "quantity": 2}
    return Offer(**{**fields, **changes})


async def test_attributes_that_are_filters_stay_filters() -> None:
    shop = Shop(LAMP)
    words = {"color": "Red, Blue", "Material": "Steel", "Height": "40 cm"}
    await shop.connector().revise("7", offer(attributes=words), "k1")
    rows = {row["name"]: (row.get("id"), row["options"]) for row in shop.written[0]["attributes"]}
    assert rows == {"Color": (3, ["Red", "Blue"]), "Material": (0, ["Steel"]), "Height": (None, ["40 cm"])}
    ours = {**LAMP, "meta_data": [{"key": mapping.KEY_META, "value": "k0"}]}
    shop = Shop(ours)
    await shop.connector().revise("7", offer(attributes={"Height": "40 cm"}), "k1")
    assert [row["name"] for row in shop.written[0]["attributes"]] == ["Height"]


@pytest.mark.parametrize(
    ("category", "sent"), [("Lamps & Shades", [{"id": 20}, {"id": 30}]), ("Sale", None), ("Chairs", None)]
)
async def test_a_product_stays_where_the_merchant_has_filed_it(category: str, sent: Any) -> None:
    shop = Shop(LAMP)
    await shop.connector().revise("7", offer(category=category), "k1")
    assert shop.written[0].get("categories") == sent
    assert shop.searched == (["Lamps &amp; Shades"] if "&" in category else [category])


async def test_a_shops_own_pictures_are_not_sent_back_to_it() -> None:
    """WooCommerce copies each one anew."""
    shop = Shop(LAMP)
    images = ("https://shop.test/a.jpg", "https://shop.test/b.jpg")
    await shop.connector().revise("7", offer(images=images), "k1")
    await shop.connector().revise("7", offer(images=images[::-1]), "k2")
    assert ["images" in body for body in shop.written] == [False, True]


async def test_a_variations_own_picture_is_not_sent_back_either() -> None:
    parent = {**LAMP, "id": 1, "type": "variable"}
    shop = Shop(parent, {"id": 2, "sku": "LAMP-S", "image": {"id": 72, "src": "https://shop.test/s.jpg"}})
    await shop.connector().revise("1/2", offer(images=("https://shop.test/s.jpg",)), "k1")
    await shop.connector().revise("1/2", offer(images=("https://shop.test/t.jpg",)), "k2")
    assert ["image" in body for body in shop.written] == [False, True]


async def test_what_goes_back_on_sale_stays_of_its_kind() -> None:
    ended = {**LAMP, "status": "draft", "meta_data": [{"key": mapping.ENDED_META, "value": "yes"}]}
    shop = Shop(ended)
    state = await shop.connector().publish(offer(attributes={"Height": "40 cm"}), "k1")
    assert state.status == "active" and "type" not in shop.written[0]
    assert [row["name"] for row in shop.written[0]["attributes"]] == ["Color", "Material", "Height"]


async def test_of_the_copies_of_one_product_in_several_languages_one_is_always_meant() -> None:
    german, french = {**LAMP, "id": 9, "name": "Lampe"}, {**LAMP, "id": 8, "status": "draft"}
    found = await Shop(french, {**LAMP, "id": 11}, german).connector().find_listing("LAMP")
    assert found is not None and found.external_id == "9"


def test_a_variation_without_a_barcode_has_none() -> None:
    """It shows its parent's, as it shows its parent's SKU."""
    parent = wire.Product.model_validate({"id": 1, "type": "variable", "global_unique_id": "4006381333931"})
    shown = [
        mapping.variation_listing(wire.Variation.model_validate({"id": 2, "global_unique_id": code}), parent, "USD")
        for code in ("4006381333931", "", None, "4006381333948")
    ]
    assert [state.barcode for state in shown] == [None, None, None, "4006381333948"]


def test_a_groups_new_title_is_written_as_text() -> None:
    group = OfferGroup(key="T", title="Tee <script>x</script> & more", options=("Size",), values={"Size": ("S",)})
    parent = wire.Product.model_validate({"id": 1, "name": "Tee", "type": "variable"})
    assert grouping.parent_changes(parent, group, ("S",))["name"] == "Tee &lt;script&gt;x&lt;/script&gt; &amp; more"


def test_a_groups_pictures_are_not_sent_back_to_their_shop() -> None:
    group = OfferGroup(
        key="T", title="Tee", options=("Size",), values={"Size": ("S",)}, images=("https://shop.test/t",)
    )
    row = {"id": 1, "name": "Tee", "type": "variable", "images": [{"src": "https://shop.test/t"}]}
    assert "images" not in grouping.parent_changes(wire.Product.model_validate(row), group, ("S",))
    assert "images" in grouping.parent_changes(wire.Product.model_validate({**row, "images": []}), group, ("S",))


@pytest.mark.parametrize("code", ["product_invalid_global_unique_id", "product_invalid_global_unique_id_format"])
async def test_a_barcode_that_the_shop_does_not_take_is_left_out(code: str) -> None:
    written: list[dict[str, Any]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(200, json=[])
        written.append(json.loads(request.content))
        if "global_unique_id" in written[-1]:
            error = {"code": code, "message": "Invalid or duplicated GTIN.", "data": {"status": 400}}
            return httpx2.Response(400, json=error)
        return httpx2.Response(201, json={"id": 7, "sku": "LAMP"})

    config = AccountConfig(vendor="woocommerce", base_url="https://shop.test/", currency="USD")
    keys = {"consumer_key": SecretStr("ck"), "consumer_secret": SecretStr("cs")}
    connector = WooCommerceConnector(config, keys, Unlimited(), "a", transport=httpx2.MockTransport(answer))
    assert (await connector.publish(offer(barcode="4006381333931"), "k1")).external_id == "7"
    assert ["global_unique_id" in body for body in written] == [True, False]
