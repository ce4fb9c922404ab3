"""Shopify listings: groups kept whole, ending and relisting, publishing that breaks off, locations, publications."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.shopify import documents
from flipsync.connectors.marketplaces.shopify.client import ShopifyConnector
from flipsync.domain.channel import Offer, OfferGroup
from flipsync.domain.errors import InvalidInput, OutcomeUnknown, Rejected
from flipsync.domain.money import Money, usd

SHIRT = OfferGroup(
    key="shirt",
    title="Linen shirt",
    description_html="<p>Airy.</p>",
    options=("Size", "Color"),
    images=("https://img.example/shirt.jpg",),
    values={"Size": ("S", "M", "L"), "Color": ("Blue", "White")},
)


def shirt(size: str, color: str, **changes: Any) -> Offer:
    fields: dict[str, Any] = {
        "sku": f"SHIRT-{size}-{color}",
        "title": f"Linen shirt – {size} / {color}",
        "price": usd("39.00"),
        "quantity": 3,
        "barcode": f"40063813339{len(size)}{len(color)}",
        "brand": "Lumen",
        "group": SHIRT,
        "choices": (size, color),
        "weight_grams": 240,
    }
    return Offer(**{**fields, **changes})


def lamp(**changes: Any) -> Offer:
    fields: dict[str, Any] = {
        "sku": "LAMP-1",
        "title": "Lamp",
        "price": usd("19.90"),
        "quantity": 5,
        "images": ("https://img.example/lamp.jpg",),
        "attributes": {"Material": "Brass"},
    }
    return Offer(**{**fields, **changes})


@pytest.fixture
def channel(open_channel: Any) -> Any:
    return open_channel("shopify")


def sent(channel: Any) -> list[str]:
    """The names of the documents sent so far."""
    bodies = [json.loads(r.content) for r in channel.tap.requests if r.url.path.endswith("graphql.json")]
    return [body["operationName"] for body in bodies]


def products(channel: Any) -> list[dict[str, Any]]:
    rows = channel.sandbox.books.db.execute("SELECT doc FROM shopify_product ORDER BY id")
    return [json.loads(row[0]) for row in rows]


async def test_variations_become_one_product_with_options(channel: Any) -> None:
    connector = channel.connector
    made = [await connector.publish(shirt(*pair), f"k{n}") for n, pair in enumerate((("S", "Blue"), ("M", "White")))]
    (product,) = products(channel)
    assert product["title"] == "Linen shirt" and product["files"] == ["https://img.example/shirt.jpg"]
    assert product["options"] == [
        {"name": "Size", "values": ["S", "M", "L"]},
        {"name": "Color", "values": ["Blue", "White"]},
    ]
    assert len({state.group_external_id for state in made}) == 1 and made[0].group_external_id is not None
    assert [state.title for state in made] == ["Linen shirt - S / Blue", "Linen shirt - M / White"]
    assert all(state.status == "active" and state.quantity == 3 for state in made)
    again = await connector.publish(shirt("S", "Blue"), "k9")
    assert again.external_id == made[0].external_id
    assert [state.sku for state in [s async for s in connector.listings()]] == ["SHIRT-S-Blue", "SHIRT-M-White"]


async def test_a_choice_the_group_did_not_name_is_added(channel: Any) -> None:
    await channel.connector.publish(shirt("S", "Blue"), "k1")
    state = await channel.connector.publish(shirt("XL", "Blue"), "k2")
    assert state.status == "active"
    assert products(channel)[0]["options"][0]["values"] == ["S", "M", "L", "XL"]


async def test_two_skus_cannot_have_the_same_choices(channel: Any) -> None:
    await channel.connector.publish(shirt("S", "Blue"), "k1")
    with pytest.raises(Rejected) as refused:
        await channel.connector.publish(shirt("S", "Blue", sku="OTHER"), "k2")
    assert refused.value.vendor_code == "VARIANT_ALREADY_EXISTS" and "same choices" in refused.value.hint


async def test_an_offer_whose_choices_do_not_fit_its_group_is_refused_here(channel: Any) -> None:
    with pytest.raises(Rejected, match="1 choices for 2 options"):
        await channel.connector.publish(shirt("S", "Blue", choices=("S",)), "k1")
    assert products(channel) == []


async def test_one_variation_ends_and_comes_back_while_the_other_stays(channel: Any) -> None:
    connector = channel.connector
    blue = await connector.publish(shirt("S", "Blue"), "k1")
    white = await connector.publish(shirt("S", "White"), "k2")
    await connector.end(blue.external_id, "k3")
    await connector.end(blue.external_id, "k4")
    assert (await connector.read_listing(blue.external_id)).status == "ended"
    assert (await connector.read_listing(white.external_id)).status == "active"
    # A late repeat of what was ended does not bring it back; a new publishing does, as offered now.
    assert (await connector.publish(shirt("S", "Blue"), "k1")).status == "ended"
    back = await connector.publish(shirt("S", "Blue", price=usd("35.00"), quantity=8), "k5")
    assert (back.external_id, back.status, back.price, back.quantity) == (
        blue.external_id,
        "active",
        usd("35.00"),
        8,
    )


async def test_a_product_is_archived_with_its_last_variation(channel: Any) -> None:
    connector = channel.connector
    blue = await connector.publish(shirt("S", "Blue"), "k1")
    white = await connector.publish(shirt("S", "White"), "k2")
    await connector.end(blue.external_id, "k3")
    await connector.end(white.external_id, "k4")
    assert products(channel)[0]["status"] == "ARCHIVED"
    await connector.publish(shirt("S", "White"), "k5")
    assert (await connector.read_listing(white.external_id)).status == "active"
    assert (await connector.read_listing(blue.external_id)).status == "ended", "only what was published again is back"


async def test_revising_a_variation_tells_the_groups_text(channel: Any) -> None:
    connector = channel.connector
    made = await connector.publish(shirt("S", "Blue"), "k1")
    group = SHIRT.model_copy(update={"title": "Linen shirt, washed"})
    revised = await connector.revise(made.external_id, shirt("S", "Blue", group=group, barcode="4006381333931"), "k2")
    assert revised.title == "Linen shirt, washed - S / Blue" and revised.barcode == "4006381333931"
    assert products(channel)[0]["files"] == ["https://img.example/shirt.jpg"]


async def test_an_offer_that_speaks_for_one_variant_leaves_the_product_of_several_as_it_is(channel: Any) -> None:
    """A merchant's own product with choices, of which our books know one variant as goods by themselves."""
    connector = channel.connector
    blue = await connector.publish(shirt("S", "Blue"), "k1")
    white = await connector.publish(shirt("S", "White"), "k2")
    before = products(channel)
    alone = shirt("S", "Blue", group=None, choices=(), title="Shirt S blue", brand="Other", category="Shirts")
    alone = alone.model_copy(update={"images": ("https://img.example/own.jpg",), "barcode": "4006381333931"})
    revised = await connector.revise(blue.external_id, alone, "k3")
    assert (revised.title, revised.barcode) == ("Linen shirt - S / Blue", "4006381333931")
    await connector.end(blue.external_id, "k4")
    back = await connector.publish(alone, "k5")
    assert (back.external_id, back.status) == (blue.external_id, "active")
    assert products(channel) == before
    assert (await connector.read_listing(white.external_id)).title == "Linen shirt - S / White"


async def test_goods_that_stand_alone_say_their_choices_though_they_belong_to_a_group(channel: Any) -> None:
    connector = channel.connector
    made = await connector.publish(shirt("S", "Blue", group=None, choices=()), "k1")
    revised = await connector.revise(made.external_id, shirt("S", "Blue", attributes={"Size": "S"}), "k2")
    assert revised.title == "Linen shirt – S / Blue" and revised.group_external_id is None
    assert (await connector.read_whole(made.external_id)).text.specifics == {"Size": "S"}


async def test_goods_that_stood_alone_are_listed_again_as_a_choice(channel: Any) -> None:
    """What `flipsync listings quality` advises: off sale, and listed again."""
    connector = channel.connector
    alone = await connector.publish(shirt("S", "Blue", group=None, choices=()), "k1")
    await connector.end(alone.external_id, "k2")
    white = await connector.publish(shirt("S", "White"), "k3")
    blue = await connector.publish(shirt("S", "Blue"), "k4")
    assert blue.status == "active" and blue.group_external_id == white.group_external_id is not None
    assert (await connector.read_listing(alone.external_id)).status == "ended"
    assert (await connector.find_listing("SHIRT-S-Blue")).external_id == blue.external_id
    assert (await connector.publish(shirt("S", "Blue"), "k4")).external_id == blue.external_id
    await connector.end(blue.external_id, "k5")
    assert (await connector.publish(shirt("S", "Blue"), "k4")).status == "ended", "a late repeat"
    back = await connector.publish(shirt("S", "Blue"), "k6")
    assert (back.external_id, back.status) == (blue.external_id, "active")


async def test_a_choice_that_was_renamed_is_renamed_there_and_no_other(channel: Any) -> None:
    connector = channel.connector
    blue = await connector.publish(shirt("S", "Blue"), "k1")
    white = await connector.publish(shirt("S", "White"), "k2")
    await connector.revise(blue.external_id, shirt("S", "Navy"), "k3")
    assert (await connector.read_listing(blue.external_id)).title == "Linen shirt - S / Navy"
    assert (await connector.read_listing(white.external_id)).title == "Linen shirt - S / White"
    with pytest.raises(Rejected) as refused:
        await connector.revise(blue.external_id, shirt("S", "White", group=SHIRT, barcode="4006381333931"), "k4")
    assert refused.value.vendor_code == "VARIANT_ALREADY_EXISTS"
    other = SHIRT.model_copy(update={"options": ("Size", "Colour"), "values": {"Size": ("S",), "Colour": ("Red",)}})
    await connector.revise(blue.external_id, shirt("S", "Red", group=other), "k5")
    assert (await connector.read_listing(blue.external_id)).title == "Linen shirt - S / Navy", "options of other names"


async def test_a_choice_that_the_shop_names_itself_keeps_nothing_else_from_being_written(channel: Any) -> None:
    """Colours are often values of a category's metafield, which have names of their own."""
    connector = channel.connector
    blue = await connector.publish(shirt("S", "Blue"), "k1")
    passed = channel.tap.inner.handle_async_request

    async def linked(request: httpx2.Request) -> httpx2.Response:
        if b"optionValues" not in request.content or b"mutation UpdateVariants" not in request.content:
            answer: httpx2.Response = await passed(request)
            return answer
        error = {"field": ["variants", "0"], "message": "no", "code": "CANNOT_SET_NAME_FOR_LINKED_OPTION_VALUE"}
        payload = {"productVariants": None, "userErrors": [error]}
        return httpx2.Response(200, json={"data": {"productVariantsBulkUpdate": payload}}, request=request)

    channel.tap.inner.handle_async_request = linked
    revised = await connector.revise(blue.external_id, shirt("S", "Navy", barcode="4006381333931"), "k2")
    assert (revised.title, revised.barcode) == ("Linen shirt - S / Blue", "4006381333931")


async def test_new_pictures_of_a_group_leave_those_of_single_variants(channel: Any) -> None:
    connector = channel.connector
    blue = await connector.publish(shirt("S", "Blue"), "k1")
    white = await connector.publish(shirt("S", "White"), "k2")
    shop = channel.sandbox.server("/shopify").shop
    own = "https://img.example/white.jpg"
    with channel.sandbox.books.transaction():
        (product,) = shop.products()
        product.doc["files"].append(own)
        shop.save_product(product)
        variant = shop.variant(int(white.external_id.rpartition("/")[2]))
        variant.doc["picture"] = own
        shop.save_variant(variant, product)
    mine = ("https://img.example/blue.jpg",)
    group = SHIRT.model_copy(update={"images": ()})
    await connector.revise(blue.external_id, shirt("S", "Blue", group=group, images=mine), "k3")
    assert products(channel)[0]["files"] == ["https://img.example/shirt.jpg", own], "its own are no group's"
    group = SHIRT.model_copy(update={"images": ("https://img.example/new.jpg",)})
    await connector.revise(blue.external_id, shirt("S", "Blue", group=group, images=mine), "k4")
    assert products(channel)[0]["files"] == ["https://img.example/new.jpg", own]


async def test_images_are_sent_again_only_when_they_changed(channel: Any) -> None:
    connector = channel.connector
    made = await connector.publish(lamp(), "k1")
    start = len(channel.tap.requests)
    await connector.revise(made.external_id, lamp(title="Lamp, new"), "k2")
    assert "SetProduct" not in sent(channel)[start - 1 :]
    await connector.revise(made.external_id, lamp(images=("https://img.example/2.jpg",)), "k3")
    assert sent(channel).count("SetProduct") == 2
    (product,) = products(channel)
    assert product["files"] == ["https://img.example/2.jpg"] and product["title"] == "Lamp"
    assert json.loads(product["metafields"]["flipsync.images"]["value"]) == ["https://img.example/2.jpg"]
    assert product["metafields"]["specifics.material"]["value"] == "Brass"


async def test_a_publishing_that_broke_off_is_finished_by_its_repeat(channel: Any) -> None:
    """The product was made, and the connection was lost before it was shown in the online store."""
    connector, faults = channel.connector, channel.sandbox.faults
    faults.configure("shopify", {"error_after": 1.0})
    with pytest.raises(OutcomeUnknown):
        await connector.publish(lamp(), "k1")
    faults.configure("shopify", {}, replace=True)
    found = await connector.find_listing("LAMP-1")
    assert found.status == "draft"
    assert (await connector.publish(lamp(), "k1")).status == "active"
    assert len(products(channel)) == 1


async def test_what_the_search_does_not_know_yet_is_not_made_twice(
    channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shopify's search index lags: the handle, made of the SKU, is what collides."""
    connector = channel.connector
    made = await connector.publish(lamp(), "k1")

    async def nothing(sku: str) -> None:
        return None

    monkeypatch.setattr(connector._shelf, "find", nothing)
    assert (await connector.publish(lamp(), "k1")).external_id == made.external_id
    assert len(products(channel)) == 1


async def test_a_merchants_draft_and_a_merchants_own_listing_are_left_as_they_are(channel: Any) -> None:
    connector = channel.connector
    made = await connector.publish(lamp(), "k1")
    await connector._api.send(
        documents.PRODUCT_UPDATE, {"product": {"id": await product_id(channel, made.external_id), "status": "DRAFT"}}
    )
    assert (await connector.publish(lamp(title="Other"), "k2")).status == "draft"
    assert products(channel)[0]["title"] == "Lamp"


async def product_id(channel: Any, variant: str) -> str:
    row = await channel.connector._shelf.known(variant)
    identity: str = row.product.id
    return identity


async def test_prices_in_another_currency_are_refused(channel: Any) -> None:
    made = await channel.connector.publish(lamp(), "k1")
    euros = Money.parse("10.00", "EUR")
    for write in (
        channel.connector.set_price(made.external_id, euros, "k2"),
        channel.connector.publish(lamp(sku="X", price=euros), "k3"),
    ):
        with pytest.raises(Rejected) as refused:
            await write
        assert refused.value.vendor_code == "currency"


async def test_several_locations_need_a_choice_and_are_named(channel: Any, open_channel: Any) -> None:
    shop = _server(channel).shop
    shop.locations.append({"id": 502, "name": "Shop floor", "isActive": True})
    with pytest.raises(InvalidInput, match=r"Main warehouse \(501\), Shop floor \(502\)"):
        await channel.connector.probe()
    with pytest.raises(Rejected) as refused:
        await channel.connector.publish(lamp(), "k1")
    assert refused.value.vendor_code == "location" and "location_id" in refused.value.hint
    chosen = _with_options(channel, location_id="501")
    assert (await chosen.probe()).notes == ()
    assert (await chosen.publish(lamp(), "k1")).quantity == 5
    with pytest.raises(InvalidInput, match="option location_id"):
        await _with_options(channel, location_id="the barn").probe()


async def test_without_the_scope_for_publications_the_products_own_status_counts(channel: Any) -> None:
    scopes = ("write_products", "write_inventory", "read_orders", "write_merchant_managed_fulfillment_orders")
    _server(channel).tokens.keep("shpat_narrow", scopes)
    config = channel.connector.config
    narrow = ShopifyConnector(
        config, {"access_token": SecretStr("shpat_narrow")}, Unlimited(), "a", transport=channel.tap
    )
    info = await narrow.probe()
    assert (info.can_read, info.can_write) == (True, True)
    assert info.notes == (
        "the app may not publish everything: the scopes read_publications, write_publications are missing",
    )
    made = await narrow.publish(shirt("S", "Blue"), "k1")
    other = await narrow.publish(shirt("S", "White"), "k2")
    assert made.status == other.status == "active"
    with pytest.raises(Rejected, match="cannot be taken off sale without its product") as refused:
        await narrow.end(made.external_id, "k3")
    assert "write_publications" in refused.value.hint


def _server(channel: Any) -> Any:
    return next(each.app for each in channel.sandbox.served if each.prefix == "/shopify")


def _with_options(channel: Any, **options: str) -> ShopifyConnector:
    config: AccountConfig = channel.connector.config.model_copy(update={"options": options})
    return ShopifyConnector(config, channel.connector.credentials, Unlimited(), "a", transport=channel.tap)
