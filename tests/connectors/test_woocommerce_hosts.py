"""Shops behind hosts that keep headers, methods or addresses from WordPress: found out once, then kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.woocommerce import oauth
from flipsync.connectors.marketplaces.woocommerce.client import WooCommerceConnector
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable
from flipsync.domain.money import usd

PRODUCT = {"id": 7, "sku": "LAMP", "name": "Lamp", "regular_price": "5.00", "price": "5.00"}
PAGE = httpx2.Response(404, text="<html>no such page</html>")
NOBODY = {
    "code": "woocommerce_rest_cannot_view",
    "message": "Sorry, you cannot list resources.",
    "data": {"status": 401},
}
UNSIGNED = {
    "code": "woocommerce_rest_authentication_error",
    "message": "Invalid signature - provided signature does not match.",
    "data": {"status": 401},
}


class Host:
    """WooCommerce behind something; `rule` answers what does not get through."""

    def __init__(self, rule: Callable[[httpx2.Request], httpx2.Response | None], scheme: str, signed_as: str) -> None:
        self.rule = rule
        self.scheme = scheme
        self.signed_as = signed_as
        self.seen: list[httpx2.Request] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        blocked = self.rule(request)
        if blocked is not None:
            return blocked
        query = parse_qsl(request.url.query.decode())
        given = dict(query)
        if "oauth_signature" in given:
            url = f"{self.signed_as}://shop.test{request.url.path}"
            signed = [pair for pair in query if pair[0] != "oauth_signature"]
            base = oauth.base_string(request.method, url, signed)
            if oauth.signature(base, "cs_1") != given["oauth_signature"]:
                return httpx2.Response(401, json=UNSIGNED)
        elif not request.headers.get("authorization", "").startswith("Basic "):
            return httpx2.Response(401, json=NOBODY)
        if request.url.path.endswith("/8"):
            return httpx2.Response(404, json={"code": "woocommerce_rest_product_invalid_id", "message": "Invalid ID."})
        return httpx2.Response(200, json=PRODUCT)

    def connector(self) -> WooCommerceConnector:
        config = AccountConfig(vendor="woocommerce", base_url=f"{self.scheme}://shop.test/", currency="USD")
        keys = {"consumer_key": SecretStr("ck_1"), "consumer_secret": SecretStr("cs_1")}
        return WooCommerceConnector(config, keys, Unlimited(), "a", transport=httpx2.MockTransport(self.answer))


def headers_kept(request: httpx2.Request) -> httpx2.Response | None:
    return httpx2.Response(401, json=NOBODY) if "authorization" in request.headers else None


def plain_permalinks(request: httpx2.Request) -> httpx2.Response | None:
    route = request.url.params.get("rest_route", "")
    # Before 11.1 WooCommerce looks for these letters in the address, and takes no key without them.
    return None if route.startswith("/wc/v3/") and "wp-json/wc/" in request.url.path else PAGE


def plain_with_the_front_page(request: httpx2.Request) -> httpx2.Response | None:
    blocked = plain_permalinks(request)
    return None if blocked is None else httpx2.Response(200, text="<!doctype html><title>Shop</title>")


def methods_blocked(status: int) -> Callable[[httpx2.Request], httpx2.Response | None]:
    def rule(request: httpx2.Request) -> httpx2.Response | None:
        blocked = request.method in ("PUT", "DELETE")
        return httpx2.Response(status, text="<html>no</html>") if blocked else None

    return rule


@pytest.mark.parametrize(
    ("rule", "scheme", "signed_as"),
    [
        (headers_kept, "https", "https"),
        (headers_kept, "https", "http"),
        (lambda request: None, "http", "https"),
        (plain_permalinks, "https", "https"),
        (plain_permalinks, "http", "http"),
        (plain_with_the_front_page, "http", "http"),
        (methods_blocked(405), "https", "https"),
        (methods_blocked(403), "http", "http"),
        (methods_blocked(501), "http", "http"),
    ],
)
async def test_a_way_is_found_and_kept(rule: Any, scheme: str, signed_as: str) -> None:
    host = Host(rule, scheme, signed_as)
    connector = host.connector()
    assert (await connector.read_listing("7")).sku == "LAMP"  # type: ignore[union-attr]
    assert (await connector.set_price("7", usd("5.00"), "k1")).price == usd("5.00")
    found = len(host.seen)
    assert found > 2
    await connector.set_price("7", usd("5.00"), "k2")
    assert await connector.read_listing("8") is None
    assert len(host.seen) == found + 2
    tunnelled = host.seen[found]
    assert (tunnelled.method, tunnelled.url.params.get("_method")) in (("PUT", None), ("POST", "PUT"))
    assert not any("cs_1" in str(request.url) for request in host.seen)


async def test_a_wrong_key_stays_a_wrong_key() -> None:
    host = Host(lambda request: httpx2.Response(401, json=NOBODY), "https", "https")
    with pytest.raises(Rejected) as refused:
        await host.connector().read_listing("7")
    assert refused.value.auth and "refused" in refused.value.hint
    assert len(host.seen) == 2


async def test_a_site_that_is_no_shop_is_not_asked_for_ever() -> None:
    host = Host(lambda request: PAGE, "https", "https")
    connector = host.connector()
    assert await connector.read_listing("7") is None
    assert len(host.seen) == 2
    with pytest.raises(Rejected):
        await connector.set_price("7", usd("1.00"), "k1")


async def test_what_may_have_happened_is_not_sent_another_way() -> None:
    page = httpx2.Response(200, text="<html>thank you</html>")
    host = Host(lambda request: page, "https", "https")
    with pytest.raises(OutcomeUnknown):
        await host.connector().set_price("7", usd("1.00"), "k1")
    assert len(host.seen) == 1
    with pytest.raises(Retryable):
        await host.connector().read_listing("7")
