"""eBay's catalogue: goods by barcode and by words, and what is on sale where it says nothing."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from ebay_channel import Server, connector, failure

from flipsync.domain.errors import Retryable
from flipsync.domain.sourcing import CatalogueEntry, CatalogueQuestion

GTIN, EAN = "04006381333931", "4006381333931"
CATALOG, BROWSE = "/commerce/catalog/v1_beta/product_summary/search", "/buy/browse/v1/item_summary/search"


def product(epid: str = "240001", **more: Any) -> dict[str, Any]:
    return {"epid": epid, "title": "Lumen brass lamp", "brand": "Lumen", "ean": [EAN], "gtin": [EAN], **more}


def sale(price: str, title: str = "LAMP!! brass", currency: str = "USD") -> dict[str, Any]:
    seller = {"username": f"shop-{price}"}
    return {"title": title, "legacyItemId": price, "price": {"value": price, "currency": currency}, "seller": seller}


def ebay(products: Any, sales: Any) -> Server:
    return Server({("GET", CATALOG): products, ("GET", BROWSE): sales, ("GET", "/commerce/identity/v1/user/"): {}})


def asked(server: Server, path: str) -> list[dict[str, str]]:
    return [dict(request.url.params) for request in server.seen if request.url.path.endswith(path)]


async def look_up(server: Server, *questions: CatalogueQuestion, **options: str) -> list[CatalogueEntry]:
    async with connector(server, **{"seller": "us", **options}) as ours:
        return await ours.look_up(questions)


BY_CODE, BY_WORDS = CatalogueQuestion(key="a", gtin=GTIN), CatalogueQuestion(key="b", title="Brass lamp, brass")


async def test_a_barcode_finds_the_article_and_what_others_ask_for_it() -> None:
    server = ebay({"productSummaries": [product()]}, {"itemSummaries": [sale("21.00"), sale("19.00")]})
    (found,) = await look_up(server, BY_CODE)
    assert (found.external_id, found.title, found.brand, found.codes) == (
        "240001",
        "Lumen brass lamp",
        "Lumen",
        (GTIN,),
    )
    assert [each.amount_minor for each in found.offers] == [1900, 2100]
    (request,) = [each for each in server.seen if each.url.path.endswith(CATALOG)]
    assert request.url.params["gtin"] == EAN and request.headers["X-EBAY-C-MARKETPLACE-ID"] == "EBAY_US"


async def test_an_article_nobody_names_the_barcode_of_is_looked_for_by_its_number() -> None:
    def sales(request: httpx2.Request) -> Any:
        return {"itemSummaries": [sale("19.00")] if "epid" in request.url.params else []}

    server = ebay({"productSummaries": [product()]}, sales)
    (found,) = await look_up(server, BY_CODE)
    assert [each.amount_minor for each in found.offers] == [1900]
    assert asked(server, BROWSE)[-1]["epid"] == "240001"


async def test_an_article_nobody_sells_is_one_all_the_same() -> None:
    (found,) = await look_up(ebay({"productSummaries": [product()]}, {"total": 0}), BY_CODE)
    assert (found.external_id, found.offers) == ("240001", ())


@pytest.mark.parametrize(
    "products",
    [
        httpx2.Response(204),
        {"productSummaries": []},
        {"limit": 10},
        {"productSummaries": [product(), product("240002")]},
        {"productSummaries": [product(ean=["4006381333948"], gtin=None)]},
        {"productSummaries": [{"epid": "240001", "title": None, "gtin": [EAN]}]},
        failure(400, 75017, "The specified GTIN value is invalid."),
    ],
    ids=["no content", "none", "no list", "two articles", "another article", "no title", "refused"],
)
async def test_where_the_catalogue_has_not_one_article_offers_tell(products: Any) -> None:
    server = ebay(products, {"itemSummaries": [sale("21.00", "Lamp"), sale("19.00", "Lamp"), sale("9.00", "Bulb")]})
    (found,) = await look_up(server, BY_CODE)
    assert (found.external_id, found.title, found.codes) == (GTIN, "Lamp", (GTIN,)) and len(found.offers) == 3


@pytest.mark.parametrize(
    "refusal",
    [
        failure(403, 1100, "Access denied", "REQUEST"),
        failure(400, 75007, "Currently, the EBAY_US marketplace is not supported."),
        failure(400, 75015, "Insufficient permissions to fulfill the request."),
        httpx2.Response(403, json={}),
    ],
    ids=["scope", "marketplace", "permissions", "bare"],
)
async def test_a_catalogue_that_is_not_for_us_is_asked_once(refusal: httpx2.Response) -> None:
    server = ebay(refusal, {"itemSummaries": [sale("19.00", "Brass lamp")]})
    found = await look_up(server, BY_CODE, BY_WORDS)
    assert [(each.key, each.title) for each in found] == [("a", "Brass lamp"), ("b", "Brass lamp")]
    assert len(asked(server, CATALOG)) == 1


async def test_a_marketplace_without_a_catalogue_is_not_asked() -> None:
    server = ebay({"productSummaries": [product()]}, {"itemSummaries": [sale("19.00")]})
    (found,) = await look_up(server, BY_CODE, marketplace_id="EBAY_MOTORS")
    (request,) = [each for each in server.seen if each.url.path.endswith(CATALOG)]
    assert found.external_id == "240001" and request.headers["X-EBAY-C-MARKETPLACE-ID"] == "EBAY_MOTORS_US"
    server = ebay({"productSummaries": [product()]}, {"itemSummaries": [sale("19.00", currency="EUR")]})
    config = {"marketplace_id": "EBAY_AT"}
    async with connector(server, seller="us", **config) as ours:
        await ours.look_up([BY_CODE])
    assert asked(server, CATALOG) == []


async def test_words_must_all_be_the_articles() -> None:
    articles = [
        product(title="Lamp of brass"),
        product("240002", title="Lamp of glass"),
        product("240003", title="BRASS LAMP"),
    ]
    server = ebay({"productSummaries": articles}, {"itemSummaries": [sale("19.00")]})
    found = await look_up(server, BY_WORDS)
    assert [each.external_id for each in found] == ["240001", "240003"]
    assert asked(server, CATALOG)[0]["q"] == "Brass,lamp,brass"
    assert [each["epid"] for each in asked(server, BROWSE)] == ["240001", "240003"]


async def test_a_catalogue_that_is_busy_is_asked_again_later() -> None:
    with pytest.raises(Retryable):
        await look_up(ebay(failure(500, 75000, "There was a problem.", "APPLICATION"), {}), BY_CODE)
