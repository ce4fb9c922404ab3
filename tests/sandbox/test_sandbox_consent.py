"""The consent pages of the sandbox: whom they send where, and codes that serve once, for a while, for one client."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from flipsync.connectors.consent import challenge
from flipsync.sandbox.consent import Codes, Redirects

BACK = "http://127.0.0.1:8000/api/v1/oauth/callback"


def test_a_code_serves_once_and_for_its_time() -> None:
    now = [1000.0]
    codes = Codes(299.0, clock=lambda: now[0])
    code = codes.give("app", BACK, seller="me")
    redeemed = codes.redeem(code, "app", BACK)
    assert redeemed is not None and redeemed.seller == "me"
    assert codes.redeem(code, "app", BACK) is None
    late = codes.give("app", BACK)
    now[0] += 299.0
    assert codes.redeem(late, "app", BACK) is None


@pytest.mark.parametrize(
    ("client", "redirect", "verifier", "good"),
    [
        ("app", BACK, "v" * 43, True),
        ("app", None, "v" * 43, True),
        ("other", BACK, "v" * 43, False),
        ("app", "http://127.0.0.1:8000/else", "v" * 43, False),
        ("app", BACK, "w" * 43, False),
        ("app", BACK, "", False),
    ],
)
def test_a_code_is_for_whoever_asked(client: str, redirect: str | None, verifier: str, good: bool) -> None:
    codes = Codes(299.0)
    code = codes.give("app", BACK, challenge=challenge("v" * 43))
    assert (codes.redeem(code, client, redirect, verifier) is not None) is good


def test_a_verifier_without_a_challenge_is_a_downgrade() -> None:
    codes = Codes(299.0)
    assert codes.redeem(codes.give("app", BACK), "app", BACK, "v" * 43) is None


def test_people_are_sent_to_registered_addresses(rig: Any) -> None:
    redirects: Redirects = rig.sandbox.redirects("shopify")
    assert redirects.allow(f"{BACK}/shopify") and redirects.allow(f"{BACK}/shopify".replace("8000", "43210"))
    assert not redirects.allow(f"{BACK}/ebay")
    assert not redirects.allow("https://evil.example/api/v1/oauth/callback/shopify")
    redirects.register("https://us.example/back")
    assert redirects.allow("https://us.example/back") and not redirects.allow(f"{BACK}/shopify")
    assert not redirects.allow("https://us.example:444/back")


async def page(rig: Any, path: str, **query: str) -> httpx2.Response:
    answer: httpx2.Response = await rig.http.get(path, params=query)
    return answer


async def test_whoever_is_not_known_is_sent_nowhere(rig: Any) -> None:
    told = rig.sandbox.credentials()
    evil = "https://evil.example/"
    for path, query in [
        ("/amazon/apps/authorize/consent", {"application_id": "x", "redirect_uri": f"{BACK}/amazon", "state": "s"}),
        (
            "/amazon/apps/authorize/consent",
            {"application_id": told["amazon"]["application_id"], "redirect_uri": evil, "state": "s"},
        ),
        ("/amazon/apps/authorize/consent", {"application_id": told["amazon"]["application_id"], "state": ""}),
        ("/ebay/oauth2/authorize", {"client_id": "x", "redirect_uri": told["ebay"]["redirect_name"]}),
        ("/ebay/oauth2/authorize", {"client_id": told["ebay"]["client_id"], "redirect_uri": evil}),
        ("/shopify/admin/oauth/authorize", {"client_id": "x", "redirect_uri": f"{BACK}/shopify"}),
        ("/shopify/admin/oauth/authorize", {"client_id": told["shopify"]["client_id"], "redirect_uri": evil}),
        (
            "/shopify/admin/oauth/authorize",
            {"client_id": told["shopify"]["client_id"], "redirect_uri": f"{BACK}/shopify", "scope": "read_minds"},
        ),
        ("/woo/wc-auth/v1/authorize", {"app_name": "x"}),
        (
            "/woo/wc-auth/v1/authorize",
            {"app_name": "x", "user_id": "1", "scope": "read_write", "return_url": BACK, "callback_url": "http://a.b/"},
        ),
    ]:
        for decision in ({}, {"decision": "grant"}):
            answer = await page(rig, path, **query, **decision)
            assert answer.status_code in (400, 401) and "location" not in answer.headers, (path, query)


async def test_ebay_says_what_is_wrong_at_the_registered_address(rig: Any) -> None:
    keys = rig.sandbox.credentials()["ebay"]
    query = {"client_id": keys["client_id"], "redirect_uri": keys["redirect_name"], "state": "s"}
    for more, error in (
        ({"response_type": "token", "scope": "x"}, "unsupported_response_type"),
        ({"response_type": "code", "scope": "https://api.ebay.com/oauth/api_scope/everything"}, "invalid_scope"),
    ):
        answer = await page(rig, "/ebay/oauth2/authorize", **query, **more)
        where = urlsplit(answer.headers["location"])
        assert where.path.endswith("/callback/ebay")
        assert dict(parse_qsl(where.query)) == {"error": error, "state": "s"}


async def test_shopifys_tokens_expire_where_that_is_asked_for(rig: Any) -> None:
    keys = rig.sandbox.credentials()["shopify"]
    app = {name: keys[name] for name in ("client_id", "client_secret")}
    for asked, expires in (({"expiring": "1"}, True), ({}, False)):
        query = {"client_id": app["client_id"], "redirect_uri": f"{BACK}/shopify", "scope": "read_products"}
        sent = await page(rig, "/shopify/admin/oauth/authorize", **query, state="s", decision="grant")
        code = dict(parse_qsl(urlsplit(sent.headers["location"]).query))["code"]
        got = await rig.http.post("/shopify/admin/oauth/access_token", data={**app, "code": code, **asked})
        assert got.status_code == 200 and got.json()["scope"] == "read_products"
        assert ("refresh_token" in got.json()) is ("expires_in" in got.json()) is expires
        again = await rig.http.post("/shopify/admin/oauth/access_token", data={**app, "code": code, **asked})
        assert again.status_code == 400


@pytest.mark.parametrize("listens", [True, False])
async def test_of_keys_that_nobody_took_the_shop_keeps_nothing(rig: Any, listener: Any, listens: bool) -> None:
    listener.answer = lambda count: 200 if listens else 409
    query = {
        "app_name": "x",
        "user_id": "1",
        "scope": "read_write",
        "return_url": "http://us.example/back?state=s",
        "callback_url": listener.url,
    }
    answer = await page(rig, "/woo/wc-auth/v1/authorize", **query, decision="grant")
    keys = json.loads(listener.seen[0][1])
    assert set(keys) == {"key_id", "user_id", "consumer_key", "consumer_secret", "key_permissions"}
    tried = await rig.http.get(
        "https://shop.test/woo/wp-json/wc/v3/products", auth=(keys["consumer_key"], keys["consumer_secret"])
    )
    if listens:
        assert answer.headers["location"] == "http://us.example/back?state=s&success=1&user_id=1"
        assert tried.status_code == 200
    else:
        assert answer.status_code == 401 and tried.status_code == 401
