"""Shopify's webhooks come to their account's address signed with the app's client secret, not with one of ours."""

from __future__ import annotations

import base64
import hashlib
import hmac
from uuid import UUID

import httpx2
import orjson
import pytest
from api_world import API, Business
from sqlalchemy import text

from flipsync.connectors.base import AccountConfig
from flipsync.domain.ids import new_id
from flipsync.services import accounts
from serve.backend import Backend

SECRET = "shpss_of_the_app"


@pytest.fixture
async def account(backend: Backend, alpha: Business) -> tuple[UUID, str]:
    """A Shopify account and the address its webhooks come to."""
    async with backend.store.unit(alpha.tenant_id) as unit:
        account_id = await accounts.connect_account(
            unit,
            backend.box,
            vendor="shopify",
            name=f"Shopify {new_id()}",
            config=AccountConfig(vendor="shopify", base_url="https://shop.example.com", currency="USD"),
            credentials={"client_id": "id", "client_secret": SECRET},
        )
        opened = await accounts.load_account(unit.session, backend.box, account_id)
    assert opened.webhook_secret.get_secret_value() != SECRET
    return account_id, f"{API}/webhooks/{opened.webhook_token}"


def headers(body: bytes, secret: str = SECRET) -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "X-Shopify-Topic": "orders/create",
        "X-Shopify-Hmac-Sha256": base64.b64encode(digest).decode(),
        "X-Shopify-Webhook-Id": new_id().hex,
    }


async def test_an_order_makes_the_channels_agent_look_once(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, account: tuple[UUID, str]
) -> None:
    account_id, address = account
    body = orjson.dumps(
        {"id": 77, "admin_graphql_api_id": "gid://shopify/Order/77", "updated_at": "2026-03-02T14:00:00Z"}
    )
    outcomes = [(await client.post(address, content=body, headers=headers(body))).json()["outcome"] for _ in range(2)]
    assert outcomes == ["accepted", "duplicate"]
    async with backend.store.reader(alpha.tenant_id) as session:
        found = await session.execute(
            text(
                "SELECT t.agent FROM event e JOIN agent_task t ON t.event_id = e.id"
                " WHERE e.type = 'ChannelCheckDue' AND e.subject_id = :account"
            ),
            {"account": account_id},
        )
        assert set(found.scalars()) == {"shopify"}


async def test_another_secret_is_refused_be_it_the_accounts_own(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, account: tuple[UUID, str]
) -> None:
    account_id, address = account
    async with backend.store.reader(alpha.tenant_id) as session:
        own = (await accounts.load_account(session, backend.box, account_id)).webhook_secret.get_secret_value()
    for secret in (own, "a guess"):
        answer = await client.post(address, content=b'{"id": 77}', headers=headers(b'{"id": 77}', secret))
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:flipsync:error:unauthenticated")
