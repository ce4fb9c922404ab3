"""Privacy over the API: people's data handed over and forgotten, one's own business only; eBay's deletion notices."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from api_world import API, PASSWORD, Business, told_order
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import text
from test_api_sessions import bearer, newcomer, sign_in

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces.ebay import notifications
from flipsync.connectors.marketplaces.ebay.client import EbayConnector
from flipsync.connectors.marketplaces.ebay.wire_notices import PublicKey
from flipsync.domain.channel import Address, Vendor
from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.services import accounts, audit, erasure
from flipsync.services.orders import AccountRef, ingest_order
from serve.backend import Backend

PRIVACY = f"{API}/privacy"


async def _sell(backend: Backend, business: Business, account: AccountRef, **buyer: Any) -> UUID:
    order = told_order(business.marker, new_id().hex)
    order = order.model_copy(update={"status": "shipped", "holds_stock": False, **buyer})
    async with backend.store.unit(business.tenant_id) as unit:
        return (await ingest_order(unit, account, order)).order_id


async def _order(backend: Backend, business: Business, order_id: UUID) -> Any:
    async with backend.store.reader(business.tenant_id) as session:
        query = text("SELECT ship_to, buyer_id, erased_at FROM customer_order WHERE id = :id")
        return (await session.execute(query, {"id": order_id})).one()


def _once() -> dict[str, str]:
    return {"Idempotency-Key": new_id().hex}


async def test_a_buyer_is_handed_over_and_forgotten(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, beta: Business
) -> None:
    email = f"{new_id().hex}@mail.example"
    shop = AccountRef(alpha.ids["account_id"], "custom")
    sold = await _sell(backend, alpha, shop, ship_to=Address(name="Zoë Buyer", line1="1 Low Road", email=email))
    form = {"email": email.upper()}
    nobody = await client.post(f"{PRIVACY}/buyers/export", json=form, headers=beta.headers())
    assert nobody.status_code == 404, "another business knows nothing of it"
    export = await client.post(f"{PRIVACY}/buyers/export", json=form, headers=alpha.headers())
    assert export.status_code == 200
    assert export.json()["orders"] == [str(sold)]
    assert export.json()["records"]["order"][0]["ship_to"]["name"] == "Zoë Buyer"

    for thief in ("manager", "clerk"):
        refused = await client.post(f"{PRIVACY}/buyers/erase", json=form, headers=alpha.headers(thief) | _once())
        assert refused.status_code == 403
    once = _once()
    erased = await client.post(f"{PRIVACY}/buyers/erase", json=form, headers=alpha.headers() | once)
    assert erased.status_code == 200
    assert (erased.json()["orders_erased"], erased.json()["orders_waiting"]) == (1, 0)
    again = await client.post(f"{PRIVACY}/buyers/erase", json=form, headers=alpha.headers() | once)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (erased.json(), "true")
    anew = await client.post(f"{PRIVACY}/buyers/erase", json=form, headers=alpha.headers() | _once())
    assert anew.status_code == 404
    seen = await client.get(f"{API}/orders/{sold}", headers=alpha.headers())
    assert seen.json()["ship_to"]["name"].startswith("erased buyer")
    log = await client.get(f"{API}/audit", params={"subject_id": str(sold)}, headers=alpha.headers())
    assert [line["action"] for line in log.json()["items"]] == ["buyer.erased", "buyer.exported"]
    assert email not in log.text


async def test_a_user_is_forgotten_and_comes_in_no_more(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, beta: Business
) -> None:
    email, user_id = await newcomer(backend, alpha)
    session = await sign_in(client, email, "Ben's phone")
    until = (utc_now() + timedelta(days=1)).isoformat()
    made = {"name": "Ben's key", "permissions": ["orders:read"], "expires_at": until}
    key = (await client.post(f"{API}/api-keys", json=made, headers=bearer(session) | _once())).json()["key"]
    ways_in = [bearer(session), {"Authorization": f"Bearer {key}"}]
    assert [(await client.get(f"{API}/orders", headers=way)).status_code for way in ways_in] == [200, 200]
    path, form = f"{PRIVACY}/users/{user_id}/erase", {"email": email.upper()}
    for thief, status in ((beta.headers(), 404), (alpha.headers("manager"), 403), (alpha.headers("clerk"), 403)):
        assert (await client.post(path, json=form, headers=thief | _once())).status_code == status
    other = await client.post(path, json={"email": alpha.email("clerk")}, headers=alpha.headers() | _once())
    assert (other.status_code, other.json()["type"]) == (409, "urn:flipsync:error:conflict")

    once = _once()
    erased = await client.post(path, json=form, headers=alpha.headers() | once)
    assert erased.status_code == 200, erased.text
    assert erased.json()["rows"]["app_user"] == 1 and erased.json()["rows"]["api_key"] == 1
    again = await client.post(path, json=form, headers=alpha.headers() | once)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (erased.json(), "true")
    assert [(await client.get(f"{API}/orders", headers=way)).status_code for way in ways_in] == [401, 401]
    renewed = await client.post(f"{API}/auth/refresh", json={"refresh_token": session["refresh_token"]})
    login = await client.post(f"{API}/auth/login", json={"email": email, "password": PASSWORD})
    assert (renewed.status_code, login.status_code) == (401, 401)
    seen = await client.get(f"{API}/users/{user_id}", headers=alpha.headers())
    assert (seen.json()["status"], seen.json()["role"]) == ("erased", "read-only")
    enabled = await client.patch(
        f"{API}/users/{user_id}", json={"disabled": False}, headers=alpha.headers() | {"If-Match": seen.headers["etag"]}
    )
    assert enabled.status_code == 409
    log = await client.get(f"{API}/audit", params={"subject_id": str(user_id)}, headers=alpha.headers())
    assert [line["action"] for line in log.json()["items"]] == ["user.erased", "audit.redacted", "user.added"]
    assert log.json()["items"][2]["redacted_at"] and log.json()["items"][2]["details"]["email"] == "erased"
    assert email.lower() not in log.text.lower()
    async with backend.store.reader(alpha.tenant_id) as reading:
        assert (await audit.verify(reading)).intact


async def test_forgetting_asks_for_a_fresh_proof(client: httpx2.AsyncClient, backend: Backend, alpha: Business) -> None:
    email, user_id = await newcomer(backend, alpha)
    session = await sign_in(client, email)
    async with backend.store.unit(alpha.tenant_id) as unit:
        await unit.session.execute(
            text("UPDATE user_session SET proven_at = now() - interval '1 hour' WHERE user_id = :id"), {"id": user_id}
        )
    form = {"order_id": str(alpha.ids["order_id"])}
    answer = await client.post(f"{PRIVACY}/buyers/erase", json=form, headers=bearer(session) | _once())
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:flipsync:error:step-up-required")


async def test_everybody_gets_their_own_data_and_no_secret(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, beta: Business
) -> None:
    mine = await client.post(f"{PRIVACY}/me/export", headers=alpha.headers("clerk"))
    assert mine.status_code == 200
    records = mine.json()["records"]
    assert [row["email"] for row in records["user"]] == [alpha.email("clerk")]
    assert records["sessions"]
    owner = await client.post(f"{PRIVACY}/users/{alpha.users['owner']}/export", headers=alpha.headers())
    assert owner.json()["records"]["api_keys"] and owner.json()["records"]["audit"]
    for secret in ("password_hash", "key_hash", "token_hash", "code_hash", "sealed", "state_hash", "argon2"):
        assert secret not in owner.text + mine.text
    foreign = await client.post(f"{PRIVACY}/users/{alpha.users['owner']}/export", headers=beta.headers())
    assert foreign.status_code == 404


async def test_the_limits_of_retention_are_shown(client: httpx2.AsyncClient, alpha: Business) -> None:
    answer = await client.get(f"{PRIVACY}/retention", headers=alpha.headers())
    assert answer.json()["choices"] == {"amazon_days": 28, "buyer_days": 0}
    assert (await client.post(f"{PRIVACY}/buyers/export", json={}, headers=alpha.headers())).status_code == 422


# -- eBay: "marketplace account deletion" -----------------------------------------------------------------------------

SERVER = "http://127.0.0.1:9"


@pytest.fixture
def sign(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], dict[str, str]]:
    """Signs as eBay does, with a key that this process has fetched."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    keys = notifications.Keys()
    keys.keep(SERVER, "the-key", PublicKey(key=pem.decode().replace("\n", "")))
    monkeypatch.setattr(EbayConnector, "keys", keys)

    def signed(body: bytes) -> dict[str, str]:
        made = private.sign(body, ec.ECDSA(hashes.SHA1()))
        told = {"alg": "ecdsa", "kid": "the-key", "signature": base64.b64encode(made).decode(), "digest": "SHA1"}
        return {"X-EBAY-SIGNATURE": base64.b64encode(json.dumps(told).encode()).decode()}

    return signed


async def _ebay_account(backend: Backend, business: Business, server: str = SERVER) -> tuple[AccountRef, str]:
    vendor: Vendor = "ebay"
    async with backend.store.unit(business.tenant_id) as unit:
        account_id = await accounts.connect_account(
            unit,
            backend.box,
            vendor=vendor,
            name=f"ebay {new_id().hex}",
            config=AccountConfig(vendor=vendor, base_url=f"{server}/", currency="USD"),
            credentials={"client_id": "c", "client_secret": "s", "refresh_token": "r"},
        )
        query = text("SELECT webhook_token FROM marketplace_account WHERE id = :id")
        token = (await unit.session.execute(query, {"id": account_id})).scalar_one()
    return AccountRef(account_id, vendor), f"{API}/webhooks/{token}"


def _deletion(**data: str) -> bytes:
    notice = {
        "metadata": {"topic": "MARKETPLACE_ACCOUNT_DELETION", "schemaVersion": "1.0", "deprecated": False},
        "notification": {
            "notificationId": new_id().hex,
            "eventDate": "2026-11-26T10:00:00.000Z",
            "publishDate": "2026-11-26T10:00:00.000Z",
            "publishAttemptCount": 1,
            "data": data,
        },
    }
    return json.dumps(notice, separators=(",", ":")).encode()


async def test_ebays_notice_of_a_deleted_account_forgets_the_buyer_in_every_business(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business, beta: Business, sign: Any, database_urls: Any
) -> None:
    """The application is told once, at one seller's address; the buyer may be anybody's here."""
    (ours, address), (theirs, _) = await _ebay_account(backend, alpha), await _ebay_account(backend, beta)
    name = f"Gone_{new_id().hex[:10]}"
    person = {"buyer_id": name, "ship_to": Address(name="Gone Buyer", line1="9 Elm Street", country="DE")}
    first = await _sell(backend, alpha, ours, **person)
    second = await _sell(backend, beta, theirs, **person)
    web_shop = AccountRef(alpha.ids["account_id"], "custom")
    own_server, _ = await _ebay_account(backend, beta, "https://api.ebay.example.com")
    apart = await _sell(backend, beta, own_server, **person)
    elsewhere = await _sell(backend, alpha, web_shop, buyer_id=name, ship_to=person["ship_to"])

    body = _deletion(username=name.lower(), userId="ma8vp1jySJC", eiasToken="nY+sHZ2PrBmdj6wVnY")
    forged = await client.post(address, content=body, headers=sign(b"something else"))
    assert forged.status_code == 401
    assert (await _order(backend, alpha, first)).erased_at is None

    headers = sign(body)
    taken = await client.post(address, content=body, headers=headers)
    assert (taken.status_code, taken.json()) == (200, {"outcome": "accepted"})
    for business, order_id in ((alpha, first), (beta, second)):
        row = await _order(backend, business, order_id)
        assert row.erased_at is not None and row.buyer_id == ""
        assert (row.ship_to["name"][:12], row.ship_to["country"]) == ("erased buyer", "DE")
    assert (await _order(backend, alpha, elsewhere)).erased_at is None, "eBay speaks of its own buyers"
    assert (await _order(backend, beta, apart)).erased_at is None, "anybody may connect a server of their own"
    repeated = await client.post(address, content=body, headers=headers)
    assert (repeated.status_code, repeated.json()) == (200, {"outcome": "duplicate"})

    of_somebody = _deletion(username="nobody-we-know")
    assert (await client.post(address, content=of_somebody, headers=sign(of_somebody))).json()["outcome"] == "accepted"
    of_nobody = _deletion()
    assert (await client.post(address, content=of_nobody, headers=sign(of_nobody))).status_code == 422
    async with backend.store.reader(alpha.tenant_id) as session:
        rows = (await session.execute(text("SELECT t::text FROM webhook_delivery t"))).scalars().all()
    assert name.lower() not in "".join(rows).lower(), "who it was is not kept with the delivery"


async def test_ebays_challenge_is_answered_for_the_very_address(
    client: httpx2.AsyncClient, backend: Backend, alpha: Business
) -> None:
    account, address = await _ebay_account(backend, alpha)
    async with backend.store.reader(alpha.tenant_id) as session:
        opened = await accounts.load_account(session, backend.box, account.id)
    answer = await client.get(address, params={"challenge_code": "a8628072-3d33"})
    token = notifications.verification_token(opened.webhook_secret.get_secret_value())
    assert 32 <= len(token) <= 80
    asked = f"a8628072-3d33{token}{address}"
    assert answer.json() == {"challengeResponse": hashlib.sha256(asked.encode()).hexdigest()}


async def test_a_notice_that_was_cut_off_is_finished_when_it_comes_again(
    client: httpx2.AsyncClient,
    backend: Backend,
    alpha: Business,
    beta: Business,
    sign: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (ours, address), (theirs, _) = await _ebay_account(backend, alpha), await _ebay_account(backend, beta)
    name = f"Cut_{new_id().hex[:10]}"
    sold = [
        (alpha, await _sell(backend, alpha, ours, buyer_id=name)),
        (beta, await _sell(backend, beta, theirs, buyer_id=name)),
    ]
    real, calls = erasure.forget, 0

    async def dies(*given: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ConnectionError("the database is gone")
        return await real(*given, **more)

    body = _deletion(username=name)
    with monkeypatch.context() as patched:
        patched.setattr(erasure, "forget", dies)
        assert (await client.post(address, content=body, headers=sign(body))).is_server_error, "eBay comes again"
    done = [(await _order(backend, business, order_id)).erased_at is not None for business, order_id in sold]
    assert sorted(done) == [False, True]
    assert (await client.post(address, content=body, headers=sign(body))).json()["outcome"] == "accepted"
    for business, order_id in sold:
        assert (await _order(backend, business, order_id)).erased_at is not None
