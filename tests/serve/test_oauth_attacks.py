"""Answers that nobody should believe: forged, repeated, late, stolen, mixed up, or weakened on their way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
from api_world import API, Business
from consent_browser import Seller, form_of, listening, query_of, with_query
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text

from flipsync.connectors.base import AccountConfig
from flipsync.connectors.marketplaces import consent_of
from flipsync.domain.errors import InvalidInput
from flipsync.domain.ids import new_id
from flipsync.services.accounts import load_account
from flipsync.services.consent_wish import check_return, with_application
from flipsync.services.identity import disable_user
from flipsync.store import models as m
from serve.backend import Backend


@pytest.fixture
async def seller(app: FastAPI, alpha: Business) -> AsyncIterator[Seller]:
    async with listening(app) as url, httpx2.AsyncClient(trust_env=False, timeout=30) as http:
        yield Seller(url, http, alpha)


@pytest.fixture
async def market(start_sandbox: Callable[..., Any], seller: Seller) -> Any:
    sandbox = await start_sandbox()
    await seller.http.post(
        f"{sandbox.base_url}/_sandbox/redirects",
        headers={"X-Sandbox-Token": sandbox.control_token},
        json={"vendor": "ebay", "url": f"{seller.api_url}{API}/oauth/callback/ebay"},
    )
    return sandbox


async def _back(seller: Seller, market: Any, vendor: str, **changes: Any) -> tuple[dict[str, Any], str]:
    """A consent, and the address the vendor sends the seller to."""
    started = await seller.start(form_of(market.channels[vendor], vendor, **changes))
    return started, await seller.decide(started["url"], "grant")


@pytest.mark.parametrize("vendor", ["amazon", "ebay", "shopify", "woocommerce"])
@pytest.mark.parametrize("state", [None, "", "x" * 43, "x" * 300])
async def test_a_state_that_nobody_made_leads_nowhere(vendor: str, state: str | None, seller: Seller) -> None:
    query = {"code": "stolen", "spapi_oauth_code": "stolen", "success": "1"} | (
        {} if state is None else {"state": state}
    )
    url = f"{seller.api_url}{API}/oauth/callback/{vendor}"
    page = await seller.http.get(url, params=query, headers={"Accept": "text/html"})
    assert page.status_code in (404, 422) and "stolen" not in page.text
    keys = await seller.http.post(f"{seller.api_url}{API}/oauth/keys/{vendor}", params=query, json={"user_id": "1"})
    assert keys.status_code in (404, 422)


async def test_an_answer_serves_once(seller: Seller, market: Any) -> None:
    _, back = await _back(seller, market, "ebay")
    assert (await seller.land(back)).status_code == 200
    again = await seller.http.get(back)
    assert (again.status_code, again.json()["type"]) == (409, "urn:flipsync:error:conflict")
    assert "serves once" in (await seller.land(back)).text


@pytest.mark.parametrize("vendor", ["amazon", "ebay", "shopify"])
async def test_of_two_answers_at_once_one_is_taken(vendor: str, seller: Seller, market: Any) -> None:
    started, back = await _back(seller, market, vendor)
    answers = await asyncio.gather(*(seller.land(back) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    listed = await seller.http.get(f"{seller.api_url}{API}/marketplace/accounts", headers=seller.business.headers())
    assert len([row for row in listed.json()["items"] if row["name"] == started["name"]]) == 1


async def test_an_answer_comes_too_late(seller: Seller, market: Any, backend: Backend) -> None:
    started, back = await _back(seller, market, "ebay")
    async with backend.store.unit(seller.business.tenant_id) as unit:
        late = text("UPDATE consent_request SET expires_at = now() - interval '1 second' WHERE id = :id")
        await unit.session.execute(late, {"id": started["id"]})
    page = await seller.land(back)
    assert page.status_code == 409 and "too late" in page.text
    assert (await seller.status(started["id"]))["status"] == "expired"


async def test_the_account_belongs_to_whoever_started_and_to_nobody_who_lands(
    seller: Seller, market: Any, beta: Business
) -> None:
    started, back = await _back(seller, market, "ebay")
    assert (await seller.land(back, **beta.headers())).status_code == 200
    done = await seller.status(started["id"])
    theirs = await seller.http.get(
        f"{seller.api_url}{API}/marketplace/accounts/{done['account_id']}", headers=beta.headers()
    )
    assert theirs.status_code == 404
    assert (await seller.account(done["account_id"]))["name"] == started["name"]


async def test_nobody_authorizes_the_account_of_another_business(seller: Seller, beta: Business) -> None:
    answer = await seller.ask({"account_id": str(beta.ids["account_id"])})
    assert answer.status_code == 404


async def test_an_answer_of_one_vendor_is_not_taken_for_anothers(seller: Seller, market: Any) -> None:
    started, back = await _back(seller, market, "ebay")
    mixed = await seller.http.get(back.replace("/callback/ebay", "/callback/amazon"))
    assert (mixed.status_code, mixed.json()["type"]) == (400, "urn:flipsync:error:consent-forged")
    issuer = await seller.http.get(with_query(back, iss="https://evil.example"))
    assert (issuer.status_code, issuer.json()["type"]) == (400, "urn:flipsync:error:consent-forged")
    assert (await seller.status(started["id"]))["status"] == "waiting"
    assert (await seller.land(back)).status_code == 200, "the genuine answer is still taken"


async def test_a_parameter_that_comes_twice_is_refused(seller: Seller, market: Any) -> None:
    _, back = await _back(seller, market, "ebay")
    for more in ("&code=other", "&state=other"):
        assert (await seller.http.get(back + more)).status_code in (400, 404)
    assert (await seller.land(back)).status_code == 200


async def test_a_code_of_somebody_elses_consent_is_not_redeemed(seller: Seller, market: Any) -> None:
    """The attacker's code with the victim's state: with PKCE the code is worth nothing there."""
    options = form_of(market.channels["amazon"], "amazon")["options"] | {"pkce": "S256"}
    _, theirs = await _back(seller, market, "amazon", options=options)
    started, ours = await _back(seller, market, "amazon", options=options)
    assert "code_challenge=" in started["url"] and "code_challenge_method=S256" in started["url"]
    injected = with_query(ours, spapi_oauth_code=query_of(theirs)["spapi_oauth_code"])
    page = await seller.land(injected)
    assert page.status_code == 502 and "Not connected" in page.text
    done = await seller.status(started["id"])
    assert done["status"] == "failed" and done["account_id"] is None and "start again" in done["hint"]


async def test_pkce_cannot_be_taken_away_on_the_way(seller: Seller, market: Any) -> None:
    options = form_of(market.channels["amazon"], "amazon")["options"] | {"pkce": "S256"}
    started = await seller.start(form_of(market.channels["amazon"], "amazon", options=options))
    weakened = with_query(started["url"], code_challenge=None, code_challenge_method=None)
    page = await seller.land(await seller.decide(weakened, "grant"))
    assert page.status_code == 502
    assert (await seller.status(started["id"]))["status"] == "failed"


async def test_with_pkce_everything_else_is_as_usual(seller: Seller, market: Any) -> None:
    options = form_of(market.channels["amazon"], "amazon")["options"] | {"pkce": "S256"}
    _, back = await _back(seller, market, "amazon", options=options)
    assert (await seller.land(back)).status_code == 200


async def test_a_seller_id_that_was_changed_on_the_way_is_found_out(seller: Seller, market: Any) -> None:
    started, back = await _back(seller, market, "amazon")
    page = await seller.land(with_query(back, selling_partner_id="A3SOMEBODYELSE"))
    assert page.status_code == 502, page.text
    assert (await seller.status(started["id"]))["status"] == "failed"


@pytest.mark.parametrize(
    "change",
    [
        {"shop": "other.myshopify.com"},
        {"code": "other"},
        {"hmac": "0" * 64},
        {"hmac": None},
        {"host": None},
        {"x": "1"},
    ],
)
async def test_what_shopify_did_not_sign_is_not_believed(
    change: dict[str, str | None], seller: Seller, market: Any
) -> None:
    started, back = await _back(seller, market, "shopify")
    forged = await seller.http.get(with_query(back, **change))
    assert (forged.status_code, forged.json()["type"]) == (400, "urn:flipsync:error:consent-forged")
    assert (await seller.status(started["id"]))["status"] == "waiting"
    assert (await seller.land(back)).status_code == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [({"user_id": "somebody"}, 400), ({"key_permissions": "read"}, 403), ({"consumer_key": ""}, 422)],
)
async def test_keys_that_are_not_what_was_asked_for_are_refused(
    change: dict[str, str], status: int, seller: Seller, market: Any
) -> None:
    told = market.channels["woocommerce"]
    started = await seller.start(form_of(told, "woocommerce"))
    address = query_of(started["url"])["callback_url"]
    body = {
        "key_id": 1,
        "user_id": started["id"],
        "consumer_key": told["consumer_key"],
        "consumer_secret": told["consumer_secret"],
        "key_permissions": "read_write",
    }
    assert (await seller.http.post(address, json=body | change)).status_code == status
    assert (await seller.status(started["id"]))["account_id"] is None
    wrong = await seller.start(form_of(told, "woocommerce"))
    address = query_of(wrong["url"])["callback_url"]
    forged = body | {"user_id": wrong["id"], "consumer_secret": "cs_of_another_shop"}
    assert (await seller.http.post(address, json=forged)).status_code == 502, "the shop itself does not know them"
    assert (await seller.status(wrong["id"]))["status"] == "failed"


async def test_a_browser_that_comes_before_the_keys_connects_nothing(seller: Seller, market: Any) -> None:
    started = await seller.start(form_of(market.channels["woocommerce"], "woocommerce"))
    back = with_query(query_of(started["url"])["return_url"], success="1", user_id=started["id"])
    assert (await seller.http.get(back)).status_code == 400
    assert (await seller.status(started["id"]))["status"] == "waiting"


async def test_what_a_vendor_says_is_shown_as_text(seller: Seller, market: Any) -> None:
    started, back = await _back(seller, market, "ebay")
    said = "<script>alert(1)</script> " + "x" * 1000
    page = await seller.land(with_query(back, code=None, error="access_denied", error_description=said))
    assert "<script>" not in page.text and "&lt;script&gt;" in page.text and len(page.text) < 1000
    assert (await seller.status(started["id"]))["status"] == "denied"


async def test_who_started_it_must_still_be_allowed_to(seller: Seller, market: Any, backend: Backend) -> None:
    form = form_of(market.channels["ebay"], "ebay")
    tenant_id = seller.business.tenant_id
    async with backend.store.unit(tenant_id) as unit:
        second = m.User(tenant_id=tenant_id, email=f"{new_id().hex}@x.example", password_hash="x", role="owner")
        unit.session.add(second)
        await unit.session.flush()
        await seller.business.session(unit, second.id, second.id)
    token = backend.tokens.issue(user_id=second.id, tenant_id=tenant_id, role="owner", session_id=second.id)
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": new_id().hex}
    started = (await seller.http.post(f"{seller.api_url}{API}/oauth/consents", headers=headers, json=form)).json()
    back = await seller.decide(started["url"], "grant")
    async with backend.store.unit(tenant_id) as unit:
        await disable_user(unit, second.id)
    page = await seller.land(back)
    assert page.status_code == 403 and "may not connect accounts" in page.text
    done = await seller.status(started["id"])
    assert (done["status"], done["account_id"]) == ("denied", None)


async def test_a_token_endpoint_that_does_not_answer_leaves_nobody_in_doubt_about_the_doubt(
    seller: Seller, market: Any
) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    nowhere = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
    started, back = await _back(seller, market, "ebay", token_url=nowhere)
    page = await seller.land(back)
    server.close()
    assert "Nobody can tell" in page.text and "nobody has them" in page.text
    done = await seller.status(started["id"])
    assert done["status"] == "unknown" and "start again" in done["hint"]


async def test_a_process_that_dies_between_the_vendor_and_the_books_leaves_an_unknown(
    seller: Seller, market: Any, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await seller.consent(form_of(market.channels["shopify"], "shopify"))
    account_id = (await seller.status(account[0]["id"]))["account_id"]
    started = await seller.start({"account_id": account_id})
    back = await seller.decide(started["url"], "grant")

    async def killed(*_: Any, **__: Any) -> None:
        raise asyncio.CancelledError  # what is left when nothing after the vendor's answer was done

    monkeypatch.setattr("flipsync.services.accounts.replace_credentials", killed)
    with pytest.raises(asyncio.CancelledError):
        await backend.consents.land("shopify", list(query_of(back).items()))
    monkeypatch.undo()
    assert (await seller.status(started["id"]))["status"] == "redeeming"
    assert (await seller.land(back)).status_code == 409, "the code is used up, and the state with it"
    async with backend.store.unit(seller.business.tenant_id) as unit:
        later = text("UPDATE consent_request SET answered_at = now() - interval '6 minutes' WHERE id = :id")
        await unit.session.execute(later, {"id": started["id"]})
    told = await seller.status(started["id"])
    assert told["status"] == "unknown" and "nobody has them" in told["detail"] and "start again" in told["hint"]
    started = await seller.start({"account_id": account_id})
    assert (await seller.land(await seller.decide(started["url"], "grant"))).status_code == 200
    async with backend.store.reader(seller.business.tenant_id) as session:
        kept = await load_account(session, backend.box, UUID(account_id))
    async with backend.connector(kept) as connector:
        assert (await connector.probe()).can_write


def _ebay(**changes: Any) -> AccountConfig:
    return AccountConfig(**{"vendor": "ebay", "base_url": "https://api.ebay.com", "currency": "USD"} | changes)


INSTALLED = {name: SecretStr(f"our {name}") for name in ("client_id", "client_secret", "redirect_name")}


def test_the_installations_application_is_shown_to_the_vendor() -> None:
    consent = consent_of("ebay")
    assert consent is not None
    keys, config = with_application(consent, {}, {}, _ebay(), INSTALLED)
    assert keys["client_secret"] == "our client_secret" and config == _ebay()
    own = dict.fromkeys(INSTALLED, "own")
    assert with_application(consent, {}, own, _ebay(base_url="https://else.example"), INSTALLED)[0] == own


def test_an_application_that_got_another_secret_is_used_with_it() -> None:
    consent = consent_of("ebay")
    assert consent is not None
    before = {"client_id": "our client_id", "client_secret": "the old one", "redirect_name": "x", "more": "kept"}
    keys, _ = with_application(consent, before | {"client_secret_expires_at": "2026-01-01"}, {}, _ebay(), INSTALLED)
    assert keys == before | {"client_secret": "our client_secret", "redirect_name": "our redirect_name"}
    theirs = before | {"client_id": "another application"}
    assert with_application(consent, theirs, {}, _ebay(), INSTALLED)[0] == theirs


@pytest.mark.parametrize(
    "changes",
    [
        {"token_url": "https://evil.example/token"},
        {"base_url": "https://evil.example"},
        {"base_url": "https://api.ebay.com.evil.example"},
        {"options": {"authorize_url": "https://evil.example/"}},
    ],
)
def test_the_installations_secret_is_not_sent_where_a_request_says(changes: dict[str, Any]) -> None:
    consent = consent_of("ebay")
    assert consent is not None
    with pytest.raises(InvalidInput, match="own servers"):
        with_application(consent, {}, {}, _ebay(**changes), INSTALLED)


def test_shops_are_shopifys_by_their_name_and_over_https_only() -> None:
    consent = consent_of("shopify")
    assert consent is not None
    for url, is_theirs in {
        "https://teapots.myshopify.com": True,
        "http://teapots.myshopify.com": False,
        "https://teapots.myshopify.com.evil.example": False,
        "https://evil.example/teapots.myshopify.com": False,
        "https://myshopify.com": False,
    }.items():
        config = AccountConfig.model_validate({"vendor": "shopify", "base_url": url, "currency": "USD"})
        assert consent.is_vendors(config) is is_theirs, url


@pytest.mark.parametrize(
    ("wanted", "allowed"),
    [
        ("", True),
        ("/channels", True),
        ("https://app.example.com/x?y=1", True),
        ("https://app.example.com:443/x", True),
        ("http://app.example.com/x", False),
        ("https://app.example.com.evil.example/", False),
        ("https://app.example.com@evil.example/", False),
        ("https://app.example.com:8443/", False),
        ("///evil.example", False),
        ("https:/\\evil.example", False),
        ("data:text/html,x", False),
    ],
)
def test_people_are_sent_back_to_places_of_ours(wanted: str, allowed: bool) -> None:
    if allowed:
        check_return(wanted, ["https://app.example.com"])
    else:
        with pytest.raises(InvalidInput):
            check_return(wanted, ["https://app.example.com"])
