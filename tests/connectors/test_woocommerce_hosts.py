"""Shops behind hosts that keep headers, methods or addresses from WordPress: found out once, then kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.woocommerce import oauth
from flipsync.connectors.marketplaces.woocommerce.api import _json
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
        self.unsigned: dict[str, Any] = UNSIGNED

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
                return httpx2.Response(401, json=self.unsigned)
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


def headers_kept_and_guests_too(request: httpx2.Request) -> httpx2.Response | None:
    """A plug-in that closes WordPress's API to whoever is not logged in."""
    closed = {"code": "rest_not_logged_in", "message": "You are not currently logged in.", "data": {"status": 401}}
    return httpx2.Response(401, json=closed) if "authorization" in request.headers else None


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
        (headers_kept_and_guests_too, "https", "https"),
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


async def test_a_signature_is_refused_in_any_language() -> None:
    """TLS ends before the shop, which then takes the address for http: it says so in the words of its site."""
    host = Host(headers_kept, "https", "http")
    host.unsigned = {**UNSIGNED, "message": "Ungültige Signatur - die Signatur stimmt nicht überein."}
    connector = host.connector()
    assert await connector.read_listing("7") is not None
    found = len(host.seen)
    assert await connector.read_listing("7") is not None
    assert (found, len(host.seen)) == (3, 4)


async def test_a_wrong_key_stays_a_wrong_key() -> None:
    host = Host(lambda request: httpx2.Response(401, json=NOBODY), "https", "https")
    with pytest.raises(Rejected) as refused:
        await host.connector().read_listing("7")
    assert refused.value.auth and "refused" in refused.value.hint
    assert len(host.seen) == 2


NO_ROUTE = httpx2.Response(404, json={"code": "rest_no_route", "message": "No route was found matching the URL."})


@pytest.mark.parametrize("answer", [PAGE, NO_ROUTE, httpx2.Response(404)])
async def test_where_no_shop_answers_nothing_is_said_of_the_listing(answer: httpx2.Response) -> None:
    """A plug-in switched off, or another site at the address: the goods are not gone from the shop."""
    host = Host(lambda request: answer, "https", "https")
    connector = host.connector()
    for call in (connector.read_listing("7"), connector.set_price("7", usd("1.00"), "k1")):
        with pytest.raises(Rejected) as refused:
            await call
        assert not refused.value.missing and "WooCommerce" in refused.value.hint
    assert len(host.seen) <= 4


def sent_on(location: str, status: int = 301) -> Callable[[httpx2.Request], httpx2.Response | None]:
    """A server that takes calls only at `location`."""

    def rule(request: httpx2.Request) -> httpx2.Response | None:
        wanted = location.format(call=request.url.path.rstrip("/").partition("/wp-json/")[2])
        if str(request.url).partition("?")[0] == wanted:
            return None
        return httpx2.Response(status, headers={"Location": wanted}, text="<html>moved</html>")

    return rule


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    ("scheme", "location"),
    [
        ("http", "https://shop.test/wp-json/{call}"),
        ("http", "https://www.shop.test/wp-json/{call}"),
        ("https", "https://www.shop.test/wp-json/{call}"),
        ("https", "https://shop.test/wp-json/{call}/"),
        ("https", "https://shop.test/store/wp-json/{call}"),
    ],
)
async def test_a_shop_that_sends_calls_on_is_followed(scheme: str, location: str, status: int) -> None:
    host = Host(sent_on(location, status), scheme, scheme)
    connector = host.connector()
    assert (await connector.set_price("7", usd("5.00"), "k1")).price == usd("5.00")
    assert [request.method for request in host.seen] == ["PUT", "PUT"]
    assert (await connector.read_listing("7")).sku == "LAMP"  # type: ignore[union-attr]
    assert len(host.seen) == 3


@pytest.mark.parametrize(
    ("scheme", "location"),
    [
        ("https", "http://shop.test/wp-json/{call}"),
        ("https", "https://evil.test/wp-json/{call}"),
        ("https", "https://shop.test:8443/wp-json/{call}"),
        ("https", "https://shop.test.evil.test/wp-json/{call}"),
        ("https", "https://shop.test@evil.test/wp-json/{call}"),
        ("https", "https://shop.test/wp-login.php"),
        ("https", "https://[shop/wp-json/{call}"),
        ("https", ""),
    ],
)
async def test_keys_go_nowhere_else(scheme: str, location: str) -> None:
    host = Host(sent_on(location), scheme, scheme)
    with pytest.raises(Rejected):
        await host.connector().read_listing("7")
    assert len(host.seen) == 1


@pytest.mark.parametrize(
    "base_url",
    [
        "https://shop.test",
        "https://shop.test//",
        "https://shop.test/wp-json/",
        "https://shop.test/wp-json/wc/v3/",
        "https://shop.test/wp-json/wc/v3/products?per_page=1",
        "https://shop.test/index.php",
        "https://shop.test/?rest_route=/wc/v3",
    ],
)
async def test_any_address_of_a_shop_is_one(base_url: str) -> None:
    host = Host(lambda request: None, "https", "https")
    config = AccountConfig(vendor="woocommerce", base_url=base_url, currency="USD")
    keys = {"consumer_key": SecretStr("ck_1"), "consumer_secret": SecretStr("cs_1")}
    connector = WooCommerceConnector(config, keys, Unlimited(), "a", transport=httpx2.MockTransport(host.answer))
    assert await connector.read_listing("7") is not None
    assert host.seen[0].url.path == "/wp-json/wc/v3/products/7"


async def test_a_server_on_this_machine_may_know_basic_alone() -> None:
    def basic_alone(request: httpx2.Request) -> httpx2.Response | None:
        return None if "authorization" in request.headers else httpx2.Response(401, json={"message": "who?"})

    for name, taken in (("127.0.0.1:8080", True), ("shop.test", False)):
        host = Host(basic_alone, "http", "http")
        config = AccountConfig(vendor="woocommerce", base_url=f"http://{name}", currency="USD")
        keys = {"consumer_key": SecretStr("ck_1"), "consumer_secret": SecretStr("cs_1")}
        connector = WooCommerceConnector(config, keys, Unlimited(), "a", transport=httpx2.MockTransport(host.answer))
        if taken:
            assert await connector.read_listing("7") is not None
        else:
            with pytest.raises(Rejected):
                await connector.read_listing("7")
            assert not any("authorization" in request.headers for request in host.seen)


async def test_warnings_of_php_before_an_answer_are_passed_over() -> None:
    noise = "<br />\n<b>Warning</b>: Undefined array key [0] in <b>/srv/x.php</b> on line <b>12</b><br />\n"
    body = noise.encode() + b'{"id": 7, "sku": "LAMP", "regular_price": "5.00", "price": "5.00"}'
    host = Host(lambda request: httpx2.Response(200, content=body), "https", "https")
    assert (await host.connector().set_price("7", usd("5.00"), "k1")).price == usd("5.00")
    host = Host(lambda request: httpx2.Response(200, content=b"\xef\xbb\xbf" + body[len(noise) :]), "https", "https")
    assert (await host.connector().set_price("7", usd("5.00"), "k1")).price == usd("5.00")


async def test_what_may_have_happened_is_not_sent_another_way() -> None:
    page = httpx2.Response(200, text="<html>thank you</html>")
    host = Host(lambda request: page, "https", "https")
    with pytest.raises(OutcomeUnknown):
        await host.connector().set_price("7", usd("1.00"), "k1")
    assert len(host.seen) == 1
    with pytest.raises(Retryable):
        await host.connector().read_listing("7")


async def test_a_way_that_leads_nowhere_is_not_kept() -> None:
    """Answers that cannot be used for a while are no reason to go on asking where nothing answers."""
    broken = True

    def rule(request: httpx2.Request) -> httpx2.Response | None:
        if "index.php" in request.url.path:
            return NO_ROUTE
        return httpx2.Response(200, json={"idV2": 7}) if broken else None

    host = Host(rule, "https", "https")
    connector = host.connector()
    with pytest.raises(Retryable, match="cannot be used"):
        await connector.read_listing("7")
    broken = False
    assert await connector.read_listing("7") is not None


@pytest.mark.parametrize(
    "before", [b"", b"\n<br />\n<b>Warning</b>: [x] {y} on line <b>3</b><br />\n", b"Notice: a {thing\n"]
)
def test_a_part_of_an_answer_that_was_cut_off_is_no_answer(before: bytes) -> None:
    whole = b'{"id":7,"name":"Cup","images":[{"id":5,"src":"x"}]}'
    assert _json(before + whole)["id"] == 7
    for end in range(1, len(whole)):
        with pytest.raises(ValueError, match=r"line \d"):
            _json(before + whole[:end])


WARNING = b"<br />\n<b>Deprecated</b>: Creation of dynamic property in <b>/srv/x.php</b> on line <b>9</b><br />\n"


def refusal(status: int, code: str, message: str, *, data: Any = ...) -> bytes:
    shown = {"status": status} if data is ... else data
    return json.dumps({"code": code, "message": message, "data": shown}).encode()


def answering(status: int, body: bytes, content_type: str = "application/json") -> WooCommerceConnector:
    answer = httpx2.Response(status, content=body, headers={"Content-Type": content_type})
    return Host(lambda request: answer, "https", "https").connector()


@pytest.mark.parametrize("before", [b"", WARNING, b"\xef\xbb\xbf"])
@pytest.mark.parametrize("status", [404, 200])
async def test_a_refusal_is_read_with_warnings_before_it_and_a_good_status_above_it(status: int, before: bytes) -> None:
    """PHP cannot change its status any more once a warning was printed."""
    missing = before + refusal(404, "woocommerce_rest_product_invalid_id", "Invalid ID.")
    assert await answering(status, missing, "text/html; charset=UTF-8").read_listing("7") is None
    taken = before + refusal(400, "product_invalid_sku", "Invalid or duplicated SKU.")
    with pytest.raises(Rejected) as refused:
        await answering(400 if status == 404 else 200, taken).set_price("7", usd("1.00"), "k1")
    assert (refused.value.vendor_code, refused.value.vendor_status) == ("product_invalid_sku", 400)


async def test_an_error_under_a_good_status_is_what_it_says() -> None:
    slow = answering(200, refusal(429, "too_many_requests", "Slow down"))
    for call in (slow.read_listing("7"), slow.set_price("7", usd("1.00"), "k1")):
        with pytest.raises(Retryable):
            await call
    for body in (refusal(500, "internal_server_error", "x"), refusal(0, "odd", "x", data=None)):
        broken = answering(200, body)
        with pytest.raises(OutcomeUnknown):
            await broken.set_price("7", usd("1.00"), "k1")
        with pytest.raises(Retryable):
            await broken.read_listing("7")


async def test_what_stands_before_the_shop_says_nothing_of_the_keys() -> None:
    """A firewall that dislikes one description must not look like keys that were taken back."""
    with pytest.raises(Rejected) as refused:
        await answering(403, b"<html><h1>Forbidden</h1></html>", "text/html").set_price("7", usd("1.00"), "k1")
    assert not refused.value.auth and "security plug-in" in refused.value.hint
    told = refusal(403, "woocommerce_rest_cannot_edit", "Sorry, you are not allowed to edit this resource.")
    with pytest.raises(Rejected) as refused:
        await answering(403, told).set_price("7", usd("1.00"), "k1")
    assert refused.value.auth


async def test_a_status_that_wordpress_did_not_find_is_the_one_that_counts() -> None:
    gone = answering(500, refusal(500, "woocommerce_rest_invalid_order_id", "Invalid order ID.", data=404))
    with pytest.raises(Rejected) as refused:
        await gone.set_price("7", usd("1.00"), "k1")
    assert refused.value.missing
    with pytest.raises(OutcomeUnknown):
        await answering(500, refusal(500, "x", "x", data=500)).set_price("7", usd("1.00"), "k1")


async def test_a_call_that_was_sent_twice_on_its_way_may_have_been_carried_out() -> None:
    used = refusal(401, "woocommerce_rest_authentication_error", "Invalid nonce - nonce has already been used.")
    with pytest.raises(OutcomeUnknown):
        await answering(401, used).set_price("7", usd("1.00"), "k1")
    with pytest.raises(Retryable):
        await answering(401, used).read_listing("7")


async def test_a_login_page_is_named_as_what_it_is() -> None:
    page = answering(200, b"<!doctype html><title>Log in</title>", "text/html; charset=UTF-8")
    with pytest.raises(Retryable, match="a page for people came"):
        await page.read_listing("7")
    with pytest.raises(OutcomeUnknown, match="a page for people came"):
        await page.set_price("7", usd("1.00"), "k1")
