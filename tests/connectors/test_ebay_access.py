"""Who may talk to eBay and how often: tokens, consent, quotas."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from ebay_channel import KEYS, Limits, Server, connector, failure, lamp
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.ebay import limits
from flipsync.connectors.marketplaces.ebay.client import EbayConnector
from flipsync.connectors.vault import MemoryVault
from flipsync.domain.errors import InvalidInput, Rejected, Retryable


async def test_the_token_is_asked_for_as_ebay_wants_it() -> None:
    server = Server({("GET", "/inventory_item"): {"inventoryItems": []}})
    async with connector(server) as ebay:
        assert [state async for state in ebay.listings()] == []
    asked, listed = server.seen
    assert str(asked.url) == "https://api.example/identity/v1/oauth2/token"
    assert asked.headers["Authorization"] == "Basic aWQ6aHVzaA=="
    assert asked.content == b"grant_type=refresh_token&refresh_token=lasting"
    assert listed.headers["Authorization"] == "Bearer t1"
    other = Server({("GET", "/inventory_item"): {}})
    config = AccountConfig(
        vendor="ebay",
        base_url="https://api.example",
        token_url="https://tokens.example/t/oauth2/token",
        currency="USD",
        options={"scopes": "a b"},
    )
    async with EbayConnector(config, KEYS, Unlimited(), "a", transport=other) as ebay:
        await anext(ebay.listings(), None)
    assert str(other.seen[0].url) == "https://tokens.example/t/oauth2/token"
    assert other.seen[0].content.endswith(b"&scope=a+b")


@pytest.mark.parametrize(("status", "id"), [(401, 1001), (401, 1002), (403, 1001), (400, 1001)])
async def test_an_expired_token_is_renewed_whatever_the_status(status: int, id: int) -> None:
    def listed(request: httpx2.Request) -> Any:
        fresh = request.headers["Authorization"] == "Bearer t1"
        return {"inventoryItems": []} if fresh else failure(status, id, "Invalid access token")

    server = Server({("GET", "/inventory_item"): listed})
    config = AccountConfig(vendor="ebay", base_url="https://api.example", currency="USD")
    vault = MemoryVault({**KEYS, "access_token": SecretStr("stale")})
    async with EbayConnector(config, dict(vault.credentials), Unlimited(), "a", vault=vault, transport=server) as ebay:
        assert await anext(ebay.listings(), None) is None
    assert [request.url.path.rsplit("/", 1)[1] for request in server.seen] == [
        "inventory_item",
        "token",
        "inventory_item",
    ]
    assert vault.credentials["access_token"].get_secret_value() == "t1"


async def test_missing_permission_is_no_expired_token() -> None:
    server = Server({("GET", "/inventory_item"): failure(403, 1100, "Access denied")})
    async with connector(server) as ebay:
        with pytest.raises(Rejected, match="Access denied") as refused:
            await anext(ebay.listings(), None)
    assert refused.value.auth and "scope" in refused.value.hint
    assert len(server.seen) == 2, "no second token, no second try"


async def test_a_withdrawn_consent_asks_for_a_new_connection(open_channel: Any) -> None:
    channel = open_channel("ebay")
    await channel.connector.probe()
    channel.ebay.tokens.expire()
    channel.ebay.tokens.revoked = True
    with pytest.raises(Rejected) as refused:
        await channel.connector.find_listing("X")
    # a token of the last half minute is not asked for again
    assert refused.value.auth
    fresh = open_channel("ebay").connector
    with pytest.raises(Rejected, match="refresh token is invalid") as refused:
        await fresh.find_listing("X")
    assert refused.value.auth and "connect the eBay account again" in refused.value.hint


async def test_public_data_is_asked_with_the_applications_token(open_channel: Any) -> None:
    channel = open_channel("ebay")
    await channel.connector.publish(lamp(), "k1")
    users = {r.headers["Authorization"] for r in channel.tap.requests if r.url.path.startswith("/ebay/sell/")}
    public = {r.headers["Authorization"] for r in channel.tap.requests if "/taxonomy/" in r.url.path}
    assert len(users) == len(public) == 1 and users != public
    kept = channel.connector.vault.credentials
    assert {"access_token", "application_token"} <= set(kept)
    assert kept["refresh_token"] == channel.connector.credentials["refresh_token"]


async def test_when_access_ends_is_told(open_channel: Any) -> None:
    channel = open_channel("ebay")
    ends = datetime(2027, 9, 1, tzinfo=UTC)
    channel.connector.vault.credentials["refresh_expires_at"] = SecretStr(ends.isoformat())
    assert (await channel.connector.probe()).access_ends_at == ends


async def test_each_api_has_its_bucket_and_learns_what_is_left(open_channel: Any) -> None:
    channel = open_channel("ebay")
    limiter = Limits()
    channel.connector._api._limiter = limiter
    await channel.connector.probe()
    assert limiter.learned["a:sell.inventory"][:2] == (2_000_000 / 86_400, 2_000_000)
    assert limiter.learned["a:buy.browse"] == (5_000 / 86_400, 5_000, 5_000.0)
    assert limits.BROWSE.burst == 5_000 and limits.FULFILLMENT.bucket == "sell.fulfillment"


async def test_a_quota_that_is_gone_says_when_it_is_there_again(open_channel: Any) -> None:
    channel = open_channel("ebay")
    channel.ebay.quotas.limits["/sell/inventory/"] = 1
    await channel.connector.find_listing("X")
    with pytest.raises(Retryable) as limited:
        await channel.connector.find_listing("X")
    assert limited.value.vendor_status == 429
    assert limited.value.after is not None and 0 < limited.value.after <= 86_400
    asked = sum("/rate_limit/" in request.url.path for request in channel.tap.requests)
    with pytest.raises(Retryable):
        await channel.connector.find_listing("X")
    assert sum("/rate_limit/" in r.url.path for r in channel.tap.requests) == asked, "not asked at every refusal"
    assert any("used up" in note for note in await quota_notes(channel))


async def quota_notes(channel: Any) -> tuple[str, ...]:
    channel.ebay.quotas.limits["/sell/inventory/"] = 100
    channel.ebay.quotas.counts["/buy/browse/"] = 5_000
    notes: tuple[str, ...] = (await channel.connector.probe()).notes
    return notes


async def test_a_retry_after_is_heeded() -> None:
    server = Server({("GET", "/inventory_item"): failure(429, 2001, "Too many requests", **{"Retry-After": "7"})})
    async with connector(server) as ebay:
        with pytest.raises(Retryable) as limited:
            await anext(ebay.listings(), None)
    assert limited.value.after == 7.0
    assert not any("rate_limit" in request.url.path for request in server.seen)


def test_an_unknown_marketplace_is_refused_when_the_account_is_opened() -> None:
    with pytest.raises(InvalidInput, match="EBAY_MOON"):
        connector(Server({}), marketplace_id="EBAY_MOON")
