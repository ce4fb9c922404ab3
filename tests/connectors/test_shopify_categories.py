"""Which of Shopify's own categories a product gets: the one that is named, and none that is guessed."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from test_connector_contract import offer

from flipsync.connectors.marketplaces.shopify.documents import CATEGORIES
from flipsync.domain.errors import Rejected

HERE = "gid://shopify/TaxonomyCategory/"


@pytest.fixture
def channel(open_channel: Any) -> Any:
    return open_channel("shopify")


def shown(channel: Any, sku: str) -> str | None:
    """The category of the product with this SKU, in the shop's own books."""
    shop = channel.sandbox.server("/shopify").shop
    (row,) = channel.sandbox.books.listings("channel = 'shopify' AND sku = ?", (sku,))
    product = shop.product(row.doc["product_id"])
    found = product.doc.get("category")
    return None if found is None else str(found).removeprefix(HERE)


def asked(channel: Any) -> list[str]:
    bodies = [json.loads(each.content) for each in channel.tap.requests if b"graphql" in each.url.raw_path]
    return [each["variables"]["search"] for each in bodies if each["operationName"] == CATEGORIES.name]


@pytest.mark.parametrize(
    ("named", "category"),
    [
        ("hg-13-5", "hg-13-5"),
        (f"{HERE}hg", "hg"),
        ("Lamps", "hg-13-5"),
        ("home & garden >  lighting>Lamps", "hg-13-5"),
        ("Electronics > Lighting", "el-2"),
        ("Lighting", None),  # two are called so
        ("hg", None),  # a word as well as an id: a whole one is meant by its path or its number
        ("Cassettes", None),  # given up by Shopify
        ("Teapots", None),
        ("Lighting > Lamps", None),  # no whole path
        (None, None),
        ("", None),
    ],
)
async def test_only_what_is_named_for_sure(channel: Any, named: str | None, category: str | None) -> None:
    await channel.connector.publish(offer(category=named), "k1")
    assert shown(channel, "LAMP-1") == category


async def test_a_revised_product_follows_and_a_word_is_asked_for_once(channel: Any) -> None:
    made = await channel.connector.publish(offer(category="Lamps"), "k1")
    for _ in range(2):
        await channel.connector.revise(made.external_id, offer(category="Clothing"), "k2")
    assert shown(channel, "LAMP-1") == "aa-1"
    await channel.connector.revise(made.external_id, offer(category="Something else"), "k3")
    assert shown(channel, "LAMP-1") == "aa-1", "what nobody can name stays as the shop has it"
    assert asked(channel) == ["Lamps", "Clothing", "Something else"]


async def test_a_category_that_shopify_does_not_know_is_refused_in_its_words(channel: Any) -> None:
    with pytest.raises(Rejected, match="Category is invalid"):
        await channel.connector.publish(offer(category="zz-99"), "k1")
    assert await channel.connector.find_listing("LAMP-1") is None


@pytest.mark.parametrize("refused", [True, False])
async def test_a_word_that_cannot_be_searched_for_keeps_no_other_from_it(channel: Any, refused: bool) -> None:
    passed = channel.tap.inner.handle_async_request

    async def one_word(request: httpx2.Request) -> httpx2.Response:
        if b'"Lamps"' not in request.content or CATEGORIES.name.encode() not in request.content:
            answer: httpx2.Response = await passed(request)
            return answer
        error = {"message": "Invalid search", "extensions": {"code": "BAD_REQUEST"}}
        told = {"data": {"taxonomy": None}, **({"errors": [error]} if refused else {})}
        return httpx2.Response(200, json=told, request=request)

    channel.tap.inner.handle_async_request = one_word
    await channel.connector.publish(offer(category="Lamps"), "k1")
    await channel.connector.publish(offer("LAMP-2", category="Clothing"), "k2")
    assert (shown(channel, "LAMP-1"), shown(channel, "LAMP-2")) == (None, "aa-1")


async def test_an_app_that_may_not_see_categories_sells_all_the_same(channel: Any) -> None:
    passed = channel.tap.inner.handle_async_request

    async def hidden(request: httpx2.Request) -> httpx2.Response:
        if CATEGORIES.name.encode() in request.content:
            error = {"message": "Access denied for taxonomy field.", "extensions": {"code": "ACCESS_DENIED"}}
            return httpx2.Response(200, json={"data": {"taxonomy": None}, "errors": [error]}, request=request)
        return await passed(request)

    channel.tap.inner.handle_async_request = hidden
    await channel.connector.publish(offer(category="Lamps"), "k1")
    await channel.connector.publish(offer("LAMP-2", category="Clothing"), "k2")
    assert shown(channel, "LAMP-1") is None and asked(channel) == ["Lamps"]
