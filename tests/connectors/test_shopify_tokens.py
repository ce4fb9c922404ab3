"""Access to a Shopify shop: client credentials, expiring offline tokens that rotate, static tokens, scopes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.marketplaces.shopify.client import ShopifyConnector
from flipsync.connectors.marketplaces.shopify.probe import missing_scopes
from flipsync.connectors.vault import MemoryVault
from flipsync.domain.channel import Offer
from flipsync.domain.errors import InvalidInput, Rejected
from flipsync.domain.money import usd


@pytest.fixture
def channel(open_channel: Any) -> Any:
    return open_channel("shopify")


def server(channel: Any) -> Any:
    return next(each.app for each in channel.sandbox.served if each.prefix == "/shopify")


def grants(channel: Any) -> list[dict[str, str]]:
    """What the token endpoint was asked with."""
    asked = [r for r in channel.tap.requests if r.url.path.endswith("/admin/oauth/access_token")]
    return [{name: values[0] for name, values in parse_qs(r.content.decode()).items()} for r in asked]


def expire(channel: Any, kind: str = "access") -> None:
    channel.sandbox.books.db.execute("UPDATE shopify_token SET until_s = 1 WHERE kind = ? AND until_s > 0", (kind,))


def offline(channel: Any, **changes: Any) -> tuple[ShopifyConnector, MemoryVault]:
    """A connector with an expiring offline token, as after installing the app."""
    given = server(channel).tokens.install()
    app = server(channel).tokens.app
    row = {"client_id": app.client_id, "client_secret": app.client_secret, "refresh_token": given["refresh_token"]}
    vault = MemoryVault({name: SecretStr(value) for name, value in (row | changes).items()})
    config = channel.connector.config
    return ShopifyConnector(config, vault.credentials, Unlimited(), "b", vault=vault, transport=channel.tap), vault


async def test_client_credentials_get_one_token_for_many_calls(channel: Any) -> None:
    await channel.connector.probe()
    await channel.connector.find_listing("X")
    (asked,) = grants(channel)
    assert asked["grant_type"] == "client_credentials" and asked["client_id"]
    headers = {r.headers.get("X-Shopify-Access-Token") for r in channel.tap.requests if b"query" in r.content}
    assert len(headers) == 1 and next(iter(headers)).startswith("shpat_")


async def test_a_token_that_ends_early_is_renewed_in_the_middle_of_a_write(channel: Any) -> None:
    made = await channel.connector.publish(Offer(sku="A", title="A", price=usd("1"), quantity=1), "k")
    expire(channel)
    channel.connector._api._http._tokens._renewed_at = None  # as if it had been got long ago
    assert (await channel.connector.set_price(made.external_id, usd("2"), "k2")).price == usd("2")
    assert len(grants(channel)) == 2


async def test_refresh_tokens_rotate_and_the_next_one_is_kept(channel: Any) -> None:
    connector, vault = offline(channel)
    first = vault.credentials["refresh_token"]
    info = await connector.probe()
    second = vault.credentials["refresh_token"]
    assert second.get_secret_value() != first.get_secret_value()
    assert info.access_ends_at is not None
    left = info.access_ends_at - datetime.now(UTC)
    assert timedelta(days=89) < left < timedelta(days=90, minutes=1)
    until = datetime.fromisoformat(vault.credentials["access_expires_at"].get_secret_value())
    assert timedelta(minutes=59) < until - datetime.now(UTC) <= timedelta(minutes=60)
    again, _ = offline(channel, **{name: value.get_secret_value() for name, value in vault.credentials.items()})
    expire(channel)
    await again.find_listing("X")
    assert [each["refresh_token"] for each in grants(channel)] == [first.get_secret_value(), second.get_secret_value()]


async def test_a_refresh_whose_answer_was_lost_works_again(channel: Any) -> None:
    """Shopify keeps the old refresh token until the new one, or its access token, is used."""
    connector, vault = offline(channel)
    lost = server(channel).tokens.grant(
        {name: vault.credentials[name].get_secret_value() for name in ("client_id", "client_secret", "refresh_token")}
        | {"grant_type": "refresh_token"}
    )
    assert lost[0] == 200
    assert (await connector.probe()).can_write


async def test_a_used_up_refresh_token_needs_a_person(channel: Any) -> None:
    connector, vault = offline(channel)
    old = vault.credentials["refresh_token"].get_secret_value()
    await connector.probe()
    stale, _ = offline(channel, refresh_token=old)
    with pytest.raises(Rejected) as refused:
        await stale.find_listing("X")
    assert refused.value.auth and refused.value.vendor_code == "invalid_grant"
    assert "connect the shop again" in refused.value.hint and old not in str(refused.value)


async def test_a_static_token_works_and_the_reader_may_only_read(open_channel: Any) -> None:
    reader = open_channel("shopify", read_only=True)
    info = await reader.connector.probe()
    assert (info.can_read, info.can_write, info.access_ends_at) == (True, False, None)
    assert "write_products, write_inventory, write_merchant_managed_fulfillment_orders" in info.notes[0]
    with pytest.raises(Rejected) as refused:
        await reader.connector.publish(Offer(sku="A", title="A", price=usd("1"), quantity=1), "k")
    assert refused.value.auth and refused.value.vendor_code == "ACCESS_DENIED"
    assert "`write_products` access scope" in refused.value.hint
    assert grants(reader) == []


async def test_the_token_endpoint_can_be_anywhere(channel: Any) -> None:
    config = channel.connector.config
    elsewhere = AccountConfig(
        **config.model_dump(exclude={"token_url", "base_url"}),
        base_url=f"{str(config.base_url).rstrip('/')}/admin/api/2026-10/graphql.json",
        token_url=f"{str(config.base_url).rstrip('/')}/admin/oauth/access_token",
    )
    connector = ShopifyConnector(elsewhere, channel.connector.credentials, Unlimited(), "b", transport=channel.tap)
    assert (await connector.probe()).can_write, "and the whole address of the API is taken too"


def test_half_of_the_credentials_are_named_as_missing() -> None:
    config = AccountConfig(vendor="shopify", base_url="http://shop.test", currency="USD")
    with pytest.raises(InvalidInput, match="client_id and client_secret"):
        ShopifyConnector(config, {"client_id": SecretStr("x")}, Unlimited(), "a")


def test_the_right_to_write_includes_the_right_to_read() -> None:
    assert missing_scopes({"write_products"}, ("read_products", "write_products", "read_orders")) == ["read_orders"]
