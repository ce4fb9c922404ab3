"""What each vendor's page is asked, as the vendor documents it; and what is done with the answer."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.consent import Asked, Consent, ConsentDenied, ConsentForged, challenge
from flipsync.connectors.marketplaces import CONSENTS, consent_of, vendors
from flipsync.connectors.marketplaces.shopify.consent import signature
from flipsync.domain.channel import Vendor
from flipsync.domain.errors import InvalidInput, OutcomeUnknown, Rejected, Retryable

APP = {name: SecretStr(f"our {name}") for name in ("application_id", "client_id", "client_secret", "redirect_name")}
BASES = {"shopify": "https://teapots.myshopify.com", "woocommerce": "https://shop.example.com/wp"}
BACK = "https://us.example/api/v1/oauth/callback"


def known(vendor: Vendor) -> Consent:
    consent = consent_of(vendor)
    assert consent is not None
    return consent


def asked(vendor: Vendor, **changes: Any) -> Asked:
    options = {"marketplace_id": "A1F83G8C2ARO7P"} if vendor == "amazon" else {}
    options |= changes.pop("options", {})
    base = BASES.get(vendor) or known(vendor).base_url(options)
    config = AccountConfig.model_validate({"vendor": vendor, "base_url": base, "currency": "USD", "options": options})
    values: dict[str, Any] = {
        "config": config,
        "app": APP,
        "state": "the-state",
        "redirect_uri": f"{BACK}/{vendor}",
        "verifier": "v" * 43,
        "delivery_uri": f"https://us.example/api/v1/oauth/keys/{vendor}",
        "reference": "the-reference",
    }
    return Asked(**values | changes)


def page(vendor: Vendor, **changes: Any) -> tuple[str, dict[str, str]]:
    url = urlsplit(known(vendor).url(asked(vendor, **changes)))
    return f"{url.scheme}://{url.netloc}{url.path}", dict(parse_qsl(url.query))


def test_amazon() -> None:
    where, query = page("amazon")
    assert where == "https://sellercentral-europe.amazon.com/apps/authorize/consent"
    assert query == {"application_id": "our application_id", "state": "the-state", "redirect_uri": f"{BACK}/amazon"}
    assert page("amazon", options={"version": "beta"})[1]["version"] == "beta"
    with pytest.raises(InvalidInput, match="not an Amazon marketplace"):
        known("amazon").base_url({"marketplace_id": "MARS"})


def test_ebay() -> None:
    where, query = page("ebay")
    assert where == "https://auth.ebay.com/oauth2/authorize"
    assert query.pop("scope").split()[0] == "https://api.ebay.com/oauth/api_scope"
    assert query == {
        "client_id": "our client_id",
        "response_type": "code",
        "redirect_uri": "our redirect_name",
        "state": "the-state",
    }


def test_shopify() -> None:
    where, query = page("shopify")
    assert where == "https://teapots.myshopify.com/admin/oauth/authorize"
    assert {"read_products", "write_inventory", "read_orders"} <= set(query.pop("scope").split(","))
    assert query == {"client_id": "our client_id", "redirect_uri": f"{BACK}/shopify", "state": "the-state"}


def test_woocommerce() -> None:
    where, query = page("woocommerce")
    assert where == "https://shop.example.com/wp/wc-auth/v1/authorize"
    assert query == {
        "app_name": "FlipSync",
        "scope": "read_write",
        "user_id": "the-reference",
        "return_url": f"{BACK}/woocommerce?state=the-state",
        "callback_url": "https://us.example/api/v1/oauth/keys/woocommerce?state=the-state",
    }


@pytest.mark.parametrize("address", ["/wp-json/wc/v3/", "/?rest_route=/wc/v3", "/index.php/wp-json", "/"])
def test_woocommerce_by_the_address_of_its_api(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BASES, "woocommerce", f"https://shop.example.com/wp{address}")
    assert page("woocommerce")[0] == "https://shop.example.com/wp/wc-auth/v1/authorize"
    plain = "https://shop.example.com/wp/?wc-auth-version=1&wc-auth-route=authorize"
    where, query = page("woocommerce", options={"authorize_url": plain})
    assert (where, query["wc-auth-route"]) == ("https://shop.example.com/wp/", "authorize")


def test_woocommerce_posts_keys_over_https_only() -> None:
    with pytest.raises(InvalidInput, match="only over https") as refused:
        page("woocommerce", delivery_uri="http://us.example/api/v1/oauth/keys/woocommerce")
    assert "FLIPSYNC_PUBLIC_URL" in refused.value.hint


@pytest.mark.parametrize("vendor", CONSENTS)
def test_every_page_says_nothing_secret_and_can_be_another_servers(vendor: Vendor) -> None:
    url = known(vendor).url(asked(vendor, options={"authorize_url": "http://127.0.0.1:9/page?x=1"}))
    assert url.startswith("http://127.0.0.1:9/page?x=1&")
    assert "client_secret" not in url and "vvvv" not in url


def test_vendors_without_a_page_have_none() -> None:
    assert [vendor for vendor in vendors() if consent_of(vendor) is None] == ["custom", "medusa", "python", "vendure"]  # type: ignore[arg-type]


def test_pkce_is_asked_for_where_it_is_wanted() -> None:
    query = page("amazon", options={"pkce": "S256"})[1]
    assert query["code_challenge_method"] == "S256" and query["code_challenge"] == challenge("v" * 43)
    # RFC 7636, appendix B
    assert challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


class Endpoint:
    """A token endpoint that keeps what it was sent."""

    def __init__(self, status: int = 200, body: Any = None) -> None:
        self.status, self.body = status, body or {"access_token": "a", "expires_in": 3600, "refresh_token": "r"}
        self.sent: list[tuple[str, dict[str, str], str]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        fields = dict(parse_qsl(request.content.decode()))
        self.sent.append((str(request.url), fields, request.headers.get("Authorization", "")))
        return httpx2.Response(self.status, json=self.body)


async def redeem(vendor: Vendor, endpoint: Any, **changes: Any) -> Any:
    transport = httpx2.MockTransport(endpoint)
    return await known(vendor).redeem(asked(vendor, **changes), "the-code", Unlimited(), "a", transport)


async def test_codes_are_redeemed_as_each_vendor_documents() -> None:
    secret = {"client_id": "our client_id", "client_secret": "our client_secret"}
    amazon, ebay, shopify = Endpoint(), Endpoint(), Endpoint()
    grant = await redeem("amazon", amazon)
    assert amazon.sent == [
        (
            "https://api.amazon.com/auth/o2/token",
            {"grant_type": "authorization_code", "code": "the-code", "redirect_uri": f"{BACK}/amazon", **secret},
            "",
        )
    ]
    assert grant.refresh_expires_in == 365 * 86400
    await redeem("ebay", ebay)
    pair = base64.b64encode(b"our client_id:our client_secret").decode()
    assert ebay.sent == [
        (
            "https://api.ebay.com/identity/v1/oauth2/token",
            {"grant_type": "authorization_code", "code": "the-code", "redirect_uri": "our redirect_name"},
            f"Basic {pair}",
        )
    ]
    await redeem("shopify", shopify)
    assert shopify.sent == [
        ("https://teapots.myshopify.com/admin/oauth/access_token", {"code": "the-code", "expiring": "1", **secret}, "")
    ]
    with_pkce = Endpoint()
    await redeem("amazon", with_pkce, options={"pkce": "S256"})
    assert with_pkce.sent[0][1]["code_verifier"] == "v" * 43


async def test_the_three_ways_to_fail_are_kept_apart() -> None:
    with pytest.raises(Rejected, match="used up") as refused:
        await redeem("ebay", Endpoint(400, {"error": "invalid_grant", "error_description": "used up"}))
    assert "start again" in refused.value.hint
    for status, body in ((500, {}), (200, {"no": "token"})):
        with pytest.raises(OutcomeUnknown):
            await redeem("ebay", Endpoint(status, body))

    def nobody(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    with pytest.raises(Retryable):
        await redeem("ebay", nobody)


def read(vendor: Vendor, **answer: str) -> Any:
    it = asked(vendor)
    return known(vendor).read(list(answer.items()), it.app, it.config)


def test_answers() -> None:
    amazon = read("amazon", state="s", spapi_oauth_code="c", selling_partner_id="A3")
    assert (amazon.code, amazon.seller_id) == ("c", "A3")
    assert read("ebay", state="s", code="v^1.1#i", expires_in="299").code == "v^1.1#i"
    with pytest.raises(ConsentForged, match="has no code"):
        read("ebay", state="s")
    with pytest.raises(ConsentDenied, match="not granted"):
        read("ebay", state="s", error="access_denied")
    with pytest.raises(ConsentDenied, match=r"too busy.*later, please"):
        read("ebay", state="s", error="temporarily_unavailable", error_description="later, please")
    with pytest.raises(ConsentForged, match="issuer"):
        read("ebay", state="s", code="c", iss="https://[broken")
    assert read("ebay", state="s", code="c", iss="https://auth.ebay.com").code == "c"


def test_shopify_signs_what_it_says() -> None:
    # Shopify's own example, in its libraries' tests: the secret is "hush"
    said = {"code": "0907a61c0c8d55e99db179b68161bc00", "shop": "some-shop.myshopify.com", "timestamp": "1337178173"}
    assert signature(said, b"hush") == "4712bf92ffc2917d15a2f5a273e39f0116667419aa4b6ac0b3baaf26fa3c4d20"
    said = {"code": "c", "shop": "TEAPOTS.myshopify.com", "state": "s"}
    signed = said | {"hmac": signature(said, b"our client_secret")}
    assert read("shopify", **signed).code == "c"
    with pytest.raises(ConsentForged, match="another shop"):
        other = said | {"shop": "x.myshopify.com"}
        read("shopify", **other, hmac=signature(other, b"our client_secret"))
    with pytest.raises(ConsentForged, match="not signed"):
        read("shopify", **said)
