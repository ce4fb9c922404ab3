"""Signing in with a provider, against one over HTTP; and the ways in that are closed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
import oidc_provider as op
import pytest
from api_world import API, Business
from oidc_provider import BACK, CLIENT, SECRET, OidcProvider
from pydantic import SecretStr
from sqlalchemy import text
from test_api_passkeys import party as party
from test_api_passkeys import somebody
from test_api_sessions import bearer, newcomer, sign_in

from flipsync.connectors import providers as providers_module
from flipsync.connectors.notices.reach import Reach
from flipsync.connectors.providers import Providers, SignInProvider
from flipsync.services import provider_sign_in
from serve.backend import Backend


@pytest.fixture
async def provider() -> AsyncIterator[OidcProvider]:
    async with op.serving() as served:
        yield served


def named(provider: OidcProvider, **more: Any) -> SignInProvider:
    return SignInProvider(
        issuer=provider.url, client_id=CLIENT, client_secret=SecretStr(SECRET), redirect_uris=(BACK,), **more
    )


@dataclass
class Visitor:
    """Somebody's app and browser."""

    client: httpx2.AsyncClient
    backend: Backend
    business: Business
    provider: OidcProvider
    email: str
    user_id: UUID
    headers: dict[str, str]

    async def begin(self, what: str = "sign-in", name: str = "corp") -> dict[str, Any]:
        answer = await self.client.post(f"{API}/auth/providers/{name}/{what}", json={}, headers=self.headers)
        assert answer.status_code == 200, answer.text
        attempt: dict[str, Any] = answer.json()
        return attempt

    async def bring(
        self, attempt: dict[str, Any], back: dict[str, Any], path: str = "login/provider"
    ) -> httpx2.Response:
        form = {"flow": attempt["flow"], **back}
        return await self.client.post(f"{API}/auth/{path}", json=form, headers=self.headers)

    async def link(self) -> httpx2.Response:
        attempt = await self.begin("link")
        return await self.bring(attempt, self.provider.visit(attempt["authorization_url"]), "identities")

    async def sign_in(self) -> httpx2.Response:
        attempt = await self.begin()
        return await self.bring(attempt, self.provider.visit(attempt["authorization_url"]))


@pytest.fixture
async def ana(
    client: httpx2.AsyncClient,
    backend: Backend,
    alpha: Business,
    provider: OidcProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> Visitor:
    monkeypatch.setattr(backend, "providers", Providers({"corp": named(provider)}, Reach(["127.0.0.1"])))
    await backend.redis.flushdb()  # tries of tests before
    email, user_id = await newcomer(backend, alpha)
    provider.person = {"sub": f"ana of {email}", "email": email, "email_verified": True}
    return Visitor(client, backend, alpha, provider, email, user_id, bearer(await sign_in(client, email)))


async def test_a_linked_provider_signs_in_and_an_unlinked_one_does_not(ana: Visitor) -> None:
    before = await ana.sign_in()
    assert (before.status_code, before.json()["detail"]) == (401, "this opens no account here"), "no sign-up"
    linked = await ana.link()
    assert linked.status_code == 201, linked.text
    opened = await ana.sign_in()
    assert opened.status_code == 200, opened.text
    assert opened.json()["user_id"] == str(ana.user_id)
    assert (await ana.client.get(f"{API}/orders", headers=bearer(opened.json()))).status_code == 200
    listed = (await ana.client.get(f"{API}/auth/identities", headers=ana.headers)).json()["items"]
    assert [(each["provider"], each["email"]) for each in listed] == [("corp", ana.email)]
    assert listed[0]["last_used_at"] is not None
    again = await ana.link()
    assert again.status_code == 409
    gone = await ana.client.delete(f"{API}/auth/identities/{linked.json()['id']}", headers=ana.headers)
    assert gone.status_code == 204
    assert (await ana.sign_in()).status_code == 401
    shown = (await ana.client.get(f"{API}/auth/providers")).json()
    assert shown == {"items": [{"name": "corp", "label": "corp", "redirect_uris": [BACK]}]}
    async with ana.backend.store.reader(ana.business.tenant_id) as session:
        query = "SELECT action, details::text FROM audit_entry WHERE subject_id = :id OR actor_id = :user ORDER BY seq"
        lines = list(await session.execute(text(query), {"id": str(ana.user_id), "user": ana.user_id}))
    assert [each.action for each in lines][-3:] == ["provider.linked", "signed-in", "provider.unlinked"]
    assert SECRET not in str(lines)


async def test_who_has_a_second_factor_is_asked_for_it(ana: Visitor, backend: Backend, alpha: Business) -> None:
    ben = await somebody(ana.client, backend, alpha)
    ana.headers, ana.user_id = ben.headers, ben.user_id
    assert (await ana.link()).status_code == 201
    asked = await ana.sign_in()
    assert (asked.status_code, set(asked.json())) == (202, {"challenge", "expires_in"})
    assert (await ben.second(asked.json()["challenge"])).status_code == 200


async def test_keys_and_discovery_are_kept_and_changed_keys_are_learnt(
    ana: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await ana.link()).status_code == 201
    for _ in range(3):
        assert (await ana.sign_in()).status_code == 200
    assert (ana.provider.asked["discovery"], ana.provider.asked["keys"]) == (1, 1)
    ana.provider.rotate()
    assert (await ana.sign_in()).status_code == 401, "asked for a moment ago: a stranger's kid causes no flood"
    assert ana.provider.asked["keys"] == 1
    monkeypatch.setattr(providers_module, "_KEYS_AGAIN_SECONDS", 0.0)
    assert (await ana.sign_in()).status_code == 200
    assert ana.provider.asked["keys"] == 2


NOW = int(time.time())
LIES: dict[str, Any] = {
    "for another client": {"aud": "another"},
    "for us among others, by another": {"aud": [CLIENT, "another"], "azp": "another"},
    "for several, by nobody": {"aud": [CLIENT, "another"]},
    "of another issuer": {"iss": "https://another.example"},
    "of an issuer that begins as ours": {"iss": "http://127.0.0.1"},
    "another attempt's nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "expired": {"exp": NOW - 3600},
    "no end": {"exp": None},
    "made long ago": {"iat": NOW - 7200},
    "not yet good": {"nbf": NOW + 7200},
    "of nobody": {"sub": None},
    "of an empty name": {"sub": ""},
    "unsigned": op.unsigned,
    "HS256 with the public key": op.signed_with_the_public_key,
    "HS256 with a key in the JWKS": op.signed_with_a_shared_key,
    "by a stranger, under the provider's kid": op.signed_by_a_stranger,
    "by the key it brings itself": op.with_its_own_key,
    "not a token": lambda *_: "rubbish",
}


async def test_no_lie_of_a_token_opens_anything(ana: Visitor) -> None:
    assert (await ana.link()).status_code == 201
    for lie, what in LIES.items():
        await ana.backend.redis.flushdb()
        ana.provider.spoil, ana.provider.forge = (what, None) if isinstance(what, dict) else ({}, what)
        answer = await ana.sign_in()
        assert (answer.status_code, answer.json().get("detail")) == (
            401,
            "the provider's answer was not accepted",
        ), lie
    ana.provider.spoil, ana.provider.forge = {}, None
    assert (await ana.sign_in()).status_code == 200


async def test_an_answer_fits_its_own_attempt_only(ana: Visitor) -> None:
    assert (await ana.link()).status_code == 201
    mine, theirs = await ana.begin(), await ana.begin()
    stolen = ana.provider.visit(theirs["authorization_url"])
    assert (await ana.bring(mine, stolen)).status_code == 401, "somebody else's code (CSRF of the callback)"
    mixed = stolen | {"state": ana.provider.visit(mine["authorization_url"])["state"]}
    assert (await ana.bring(mine, mixed)).status_code == 401, "with my state: PKCE knows it was not for me"
    assert (await ana.bring({"flow": "made up"}, stolen)).status_code == 401
    link = await ana.begin("link")
    visited = ana.provider.visit(link["authorization_url"])
    assert (await ana.bring(link, visited)).status_code == 401, "begun to link, not to sign in"
    attempt = await ana.begin()
    back = ana.provider.visit(attempt["authorization_url"])
    assert (await ana.bring(attempt, back)).status_code == 200
    assert (await ana.bring(attempt, back)).status_code == 401, "a code serves once"
    ana.provider.codes[back["code"]] = {
        "code_challenge": providers_module.code_challenge(
            ana.backend.tokens.read_note("provider", attempt["flow"])["verifier"]
        ),
        "redirect_uri": BACK,
        "nonce": ana.backend.tokens.read_note("provider", attempt["flow"])["nonce"],
    }
    assert (await ana.bring(attempt, back)).status_code == 401, "and so does an attempt, whatever the provider says"


async def test_a_link_is_made_in_the_session_that_began_it(ana: Visitor, backend: Backend, alpha: Business) -> None:
    attempt = await ana.begin("link")
    back = ana.provider.visit(attempt["authorization_url"])
    email, _ = await newcomer(backend, alpha)
    attacker = bearer(await sign_in(ana.client, email))
    ana_headers, ana.headers = ana.headers, attacker
    assert (await ana.bring(attempt, back, "identities")).status_code == 422, "the attacker does not get Ana's identity"
    ana.headers = ana_headers | {}
    assert (await ana.link()).status_code == 201
    ana.headers = attacker
    assert (await ana.link()).status_code == 409, "hers is hers"
    listed = await ana.client.get(f"{API}/auth/identities", headers=attacker)
    assert listed.json()["items"] == []


async def test_providers_are_not_mixed_up(ana: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9207: the browser comes back from an honest provider, and we are made to think it was the attacker's."""
    assert (await ana.link()).status_code == 201
    async with op.serving() as evil:
        both = {"corp": named(ana.provider), "evil": named(evil)}
        monkeypatch.setattr(ana.backend, "providers", Providers(both, Reach(["127.0.0.1"])))
        attempt = await ana.begin(name="evil")
        honest = ana.provider.visit(attempt["authorization_url"])
        assert (await ana.bring(attempt, honest)).status_code == 401
        assert evil.asked["token"] == 0, "the honest provider's code never reached the other"
        evil.told = {"authorization_response_iss_parameter_supported": True}
        monkeypatch.setattr(ana.backend, "providers", Providers(both, Reach(["127.0.0.1"])))
        attempt = await ana.begin(name="evil")
        assert (await ana.bring(attempt, evil.visit(attempt["authorization_url"]) | {"iss": None})).status_code == 401
        evil.person = ana.provider.person
        evil.spoil = {"iss": ana.provider.url}
        attempt = await ana.begin(name="evil")
        posing = await ana.bring(attempt, evil.visit(attempt["authorization_url"]))
        assert posing.status_code == 401, "the other provider says it speaks for the honest one"
        evil.spoil = {}
        attempt = await ana.begin(name="evil")
        same = await ana.bring(attempt, evil.visit(attempt["authorization_url"]))
        assert same.status_code == 401, "the same subject of another issuer is somebody else"


# -- by a verified e-mail address -------------------------------------------------------------------------------------


def vouching(ana: Visitor, business: Business, monkeypatch: pytest.MonkeyPatch, domain: str = "") -> None:
    domains = (domain or ana.email.partition("@")[2],)
    made = named(ana.provider, email_domains=domains, business=business.tenant_id)
    monkeypatch.setattr(ana.backend, "providers", Providers({"corp": made}, Reach(["127.0.0.1"])))


async def test_a_provider_that_hands_out_the_addresses_of_a_business_opens_its_accounts(
    ana: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    vouching(ana, ana.business, monkeypatch)
    ana.provider.person["email"] = ana.email.upper()
    opened = await ana.sign_in()
    assert (opened.status_code, opened.json()["user_id"]) == (200, str(ana.user_id))
    ana.provider.person["email"] = "somebody.else@nowhere.example"
    assert (await ana.sign_in()).status_code == 200, "linked from now on, by subject"
    ana.provider.person = {"sub": "another person", "email": ana.email, "email_verified": True}
    assert (await ana.sign_in()).status_code == 401, "an address that was handed to somebody else opens nothing"


async def test_no_address_takes_an_account_over(
    ana: Visitor, backend: Backend, alpha: Business, beta: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    for verified in (False, "true", None, 1):
        vouching(ana, alpha, monkeypatch)
        ana.provider.person["email_verified"] = verified
        assert (await ana.sign_in()).status_code == 401, f"verified: {verified!r}"
    ana.provider.person["email_verified"] = True
    for who, domain in ((beta, ""), (alpha, "other.example"), (alpha, "example")):
        vouching(ana, who, monkeypatch, domain)
        assert (await ana.sign_in()).status_code == 401, "another business, or another domain"
    vouching(ana, alpha, monkeypatch)
    for email in (ana.email.replace("k", "K"), f"x@evil.example@{ana.email}", ana.email.replace("a", "а")):
        if email != ana.email:
            ana.provider.person["email"] = email
            assert (await ana.sign_in()).status_code == 401, email
    async with backend.store.unit(alpha.tenant_id) as unit:
        await unit.session.execute(text("UPDATE app_user SET password_hash = '' WHERE id = :id"), {"id": ana.user_id})
    ana.provider.person["email"] = ana.email
    await backend.redis.flushdb()
    assert (await ana.sign_in()).status_code == 401, "who was invited has to accept first"
    async with backend.store.unit(alpha.tenant_id) as unit:
        query = "UPDATE app_user SET password_hash = 'x', disabled_at = now() WHERE id = :id"
        await unit.session.execute(text(query), {"id": ana.user_id})
    assert (await ana.sign_in()).status_code == 401, "disabled"


# -- what a provider says of itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "told",
    [
        {"issuer": "https://another.example"},
        {"token_endpoint": "http://169.254.169.254/latest"},
        {"jwks_uri": "gopher://localhost/keys"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
        {"jwks_uri": "http://localhost/keys"},
    ],
)
async def test_where_a_provider_points_is_judged(ana: Visitor, told: dict[str, Any]) -> None:
    ana.provider.told = told
    answer = await ana.client.post(f"{API}/auth/providers/corp/sign-in", json={})
    assert answer.status_code == 503
    assert str(next(iter(told.values()))) not in answer.text


async def test_no_request_goes_into_our_own_network(
    ana: Visitor, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ana.backend, "providers", Providers({"corp": named(provider)}, Reach()))
    for _ in range(3):
        answer = await ana.client.post(f"{API}/auth/providers/corp/sign-in", json={})
        assert answer.status_code == 503
    assert provider.asked["discovery"] == 0
    inside = Providers({"corp": named(provider)}, Reach(["127.0.0.1"]))
    monkeypatch.setattr(ana.backend, "providers", inside)
    provider.told = {"token_endpoint": "https://127.0.0.2/token"}
    attempt = await ana.begin()
    assert (await ana.bring(attempt, provider.visit(attempt["authorization_url"]))).status_code == 503
    provider.told, provider.redirect_jwks = {}, f"{provider.url}/elsewhere"
    monkeypatch.setattr(ana.backend, "providers", Providers({"corp": named(provider)}, Reach(["127.0.0.1"])))
    assert (await ana.sign_in()).status_code == 503, "redirects are followed nowhere"


async def test_answers_without_an_end_and_unknown_providers(ana: Visitor) -> None:
    ana.provider.told = {"padding": "x" * 300_000}
    assert (await ana.client.post(f"{API}/auth/providers/corp/sign-in", json={})).status_code == 503
    assert (await ana.client.post(f"{API}/auth/providers/nobody/sign-in", json={})).status_code == 404
    ana.backend.providers = Providers({"corp": named(ana.provider)}, Reach(["127.0.0.1"]))
    wrong = await ana.client.post(
        f"{API}/auth/providers/corp/sign-in", json={"redirect_uri": "https://evil.example/back"}
    )
    assert wrong.status_code == 422


async def test_two_that_finish_one_attempt_at_once_get_one_session(ana: Visitor) -> None:
    assert (await ana.link()).status_code == 201
    attempt = await ana.begin()
    note = ana.backend.tokens.read_note("provider", attempt["flow"])
    told = providers_module.Told(ana.provider.url, ana.provider.person["sub"], "")

    class Said(Providers):
        async def identity(self, name: str, **_: Any) -> providers_module.Told:
            return told

    said = Said({"corp": named(ana.provider)}, Reach(["127.0.0.1"]))
    returned = provider_sign_in.Returned(attempt["flow"], "code", note["state"], None)
    many = [provider_sign_in.sign_in(ana.backend.store, ana.backend.tokens, said, returned) for _ in range(4)]
    opened = await asyncio.gather(*many, return_exceptions=True)
    assert sum(not isinstance(each, Exception) for each in opened) == 1


def test_secrets_of_providers_are_not_shown(provider: OidcProvider) -> None:
    assert SECRET not in repr(named(provider)) and SECRET not in named(provider).model_dump_json()
