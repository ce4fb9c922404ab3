"""Item specifics on Shopify: product metafields with a definition each, read back; what is the merchant's stays."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from flipsync.connectors.marketplaces.shopify.specifics import fields, key_of
from flipsync.domain.channel import Offer, OfferGroup
from flipsync.domain.errors import OutcomeUnknown
from flipsync.domain.money import usd


def lamp(**more: Any) -> Offer:
    given = {"sku": "LAMP-1", "title": "Lamp", "price": usd("19.90"), "quantity": 5}
    attributes = {"Material": "Brass", "Bulb base": "E27", "Größe": "klein"}
    return Offer.model_validate({**given, "attributes": attributes, "images": ("https://i.example/1",), **more})


def sent(channel: Any, name: str) -> list[dict[str, Any]]:
    bodies = [json.loads(r.content) for r in channel.tap.requests if r.url.path.endswith("/graphql.json")]
    return [body["variables"] for body in bodies if body["operationName"] == name]


def doc(channel: Any) -> dict[str, Any]:
    (product,) = channel.sandbox.server("/shopify").shop.products()
    return dict(product.doc)


def edit(channel: Any, name: str, value: str | None) -> None:
    """What a merchant does in the admin."""
    shop = channel.sandbox.server("/shopify").shop
    (product,) = shop.products()
    with channel.sandbox.books.transaction():
        if value is None:
            del product.doc["metafields"][name]
        else:
            product.doc["metafields"][name] = {"type": "single_line_text_field", "value": value}
        shop.save_product(product)


async def specifics(channel: Any, external_id: str) -> dict[str, str] | None:
    seen = await channel.connector.read_whole(external_id)
    return dict(seen.text.specifics) if seen.text.specifics is not None else None


async def test_they_are_written_defined_once_and_read_back_by_their_names(open_channel: Any) -> None:
    channel = open_channel("shopify")
    made = await channel.connector.publish(lamp(), "k1")
    assert await specifics(channel, made.external_id) == {"Material": "Brass", "Bulb base": "E27", "Größe": "klein"}
    assert {name for name in doc(channel)["metafields"] if name.startswith("specifics.")} >= {
        "specifics.material",
        "specifics.bulb_base",
    }
    assert [row["definition"]["name"] for row in sent(channel, "Define")] == ["Material", "Bulb base", "Größe"]
    again = open_channel("shopify")
    revised = await again.connector.revise(made.external_id, lamp(attributes={"Material": "Steel"}), "k2")
    assert revised.text.specifics is None, "a quick read leaves them out"
    assert sent(again, "Define") == [] and len(sent(again, "Definitions")) == 1
    shown = await specifics(again, made.external_id)
    assert shown == {"Material": "Steel", "Bulb base": "E27", "Größe": "klein"}, "what the offer leaves open stays"


async def test_what_the_merchant_changes_there_is_seen(open_channel: Any) -> None:
    channel = open_channel("shopify")
    made = await channel.connector.publish(lamp(), "k1")
    edit(channel, "specifics.material", "Gold")
    edit(channel, "specifics.wattage", "5 W")
    edit(channel, "specifics.bulb_base", None)
    assert await specifics(channel, made.external_id) == {"Material": "Gold", "Größe": "klein", "wattage": "5 W"}


async def test_the_merchants_own_metafields_outlive_a_change_of_pictures(open_channel: Any) -> None:
    channel = open_channel("shopify")
    made = await channel.connector.publish(lamp(), "k1")
    edit(channel, "custom.care", "dust it")
    await channel.connector.revise(made.external_id, lamp(images=("https://i.example/2",)), "k2")
    assert doc(channel)["metafields"]["custom.care"]["value"] == "dust it"
    assert doc(channel)["files"] == ["https://i.example/2"]
    assert json.loads(doc(channel)["metafields"]["flipsync.images"]["value"]) == ["https://i.example/2"]


async def test_pictures_sent_and_words_lost_is_not_known(open_channel: Any) -> None:
    channel = open_channel("shopify")
    made = await channel.connector.publish(lamp(), "k1")
    passed = channel.tap.inner.handle_async_request

    async def refuse(request: httpx2.Request) -> httpx2.Response:
        if b"mutation UpdateProduct" in request.content:
            errors = [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]
            return httpx2.Response(200, json={"errors": errors})
        return await passed(request)

    channel.tap.inner.handle_async_request = refuse
    with pytest.raises(OutcomeUnknown, match="the pictures"):
        await channel.connector.revise(made.external_id, lamp(images=("https://i.example/2",)), "k2")
    channel.tap.inner.handle_async_request = passed
    await channel.connector.revise(made.external_id, lamp(images=("https://i.example/2",), title="Lamp 2"), "k2")
    assert (doc(channel)["title"], doc(channel)["files"]) == ("Lamp 2", ["https://i.example/2"])


@pytest.mark.parametrize("why", ["denied", "full", "unknown", "this one"])
async def test_what_cannot_be_defined_is_written_all_the_same(open_channel: Any, why: str) -> None:
    channel = open_channel("shopify")
    passed = channel.tap.inner.handle_async_request

    async def refuse(request: httpx2.Request) -> httpx2.Response:
        if b"mutation Define" not in request.content:
            return await passed(request)
        if why == "unknown":
            return httpx2.Response(502, content=b"bad gateway")
        if why == "denied":
            denied = {"message": "Access denied", "extensions": {"code": "ACCESS_DENIED"}, "path": ["x"]}
            return httpx2.Response(200, json={"data": {"metafieldDefinitionCreate": None}, "errors": [denied]})
        code = "RESOURCE_TYPE_LIMIT_EXCEEDED" if why == "full" else "UNSTRUCTURED_ALREADY_EXISTS"
        full = {"field": None, "message": "no", "code": code}
        return httpx2.Response(
            200, json={"data": {"metafieldDefinitionCreate": {"createdDefinition": None, "userErrors": [full]}}}
        )

    channel.tap.inner.handle_async_request = refuse
    made = await channel.connector.publish(lamp(attributes={"Material": "Brass", "Bulb base": "E27"}), "k1")
    assert made.status == "active"
    assert await specifics(channel, made.external_id) == {"material": "Brass", "bulb_base": "E27"}
    assert len(sent(channel, "Define")) == (1 if why in ("denied", "full") else 2), "told once, not with each"


async def test_a_variation_has_its_own_without_its_choices_and_the_others_keep_theirs(open_channel: Any) -> None:
    channel = open_channel("shopify")
    group = OfferGroup(key="g", title="Shirt", options=("Size",), values={"Size": ("S", "M")})
    made = {}
    for size, fabric in (("S", "Linen"), ("M", "Cotton")):
        offer = lamp(sku=f"S-{size}", group=group, choices=(size,), attributes={"Size": size, "Fabric": fabric})
        made[size] = (await channel.connector.publish(offer, f"k{size}")).external_id
    assert await specifics(channel, made["S"]) == {"Fabric": "Linen"}
    assert [name for name in doc(channel)["metafields"] if name.startswith("specifics.")] == []
    assert [row["definition"]["ownerType"] for row in sent(channel, "Define")] == ["PRODUCTVARIANT"]
    revised = lamp(sku="S-S", group=group, choices=("S",), attributes={"Size": "S", "Fabric": "Hemp", "Care": "30°"})
    await channel.connector.revise(made["S"], revised, "k3")
    assert await specifics(channel, made["S"]) == {"Fabric": "Hemp", "Care": "30°"}
    assert await specifics(channel, made["M"]) == {"Fabric": "Cotton"}
    await channel.connector.end(made["S"], "k4")
    await channel.connector.publish(revised.model_copy(update={"attributes": {"Fabric": "Jute"}}), "k5")
    assert await specifics(channel, made["S"]) == {"Fabric": "Jute", "Care": "30°"}


@pytest.mark.parametrize(
    ("name", "key"), [("Material", "material"), ("Bulb base", "bulb_base"), ("bulb-base", "bulb_base")]
)
def test_a_key_is_the_names_own_words(name: str, key: str) -> None:
    assert key_of(name) == key


@pytest.mark.parametrize("name", ["Größe", "色", "mm", "x" * 90, 'a") { id }', "..", "Wi-Fi®"])
def test_what_is_no_key_gets_one_of_its_own(name: str) -> None:
    key = key_of(name)
    assert 3 <= len(key) <= 64 and all(each.isascii() and (each.isalnum() or each in "_-") for each in key)
    others = ["Größe", "色", "mm", "x" * 90, 'a") { id }', "..", "Wi-Fi®", "Material"]
    assert len({key_of(each) for each in others}) == len(others)


def test_a_value_is_one_line_and_an_empty_one_is_none() -> None:
    rows = fields(lamp(attributes={"Care": "dust\nit\t ", "Colour": "  ", " ": "x", "Long": "y" * 5000}))
    assert [(row["key"], len(row["value"])) for row in rows] == [("care", 7), ("long", 1000)]
    assert rows[0]["value"] == "dust it"
