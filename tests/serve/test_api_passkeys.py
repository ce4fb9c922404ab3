"""Passkeys: registered, signed in by, proven by, revoked; and the attacks on each."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from api_world import API, PASSWORD, Business
from pydantic import ValidationError
from soft_authenticator import SoftAuthenticator, b64
from sqlalchemy import text
from test_api_second_factor import Ana as AnaWithApp
from test_api_second_factor import ana as with_app  # noqa: F401 - a fixture
from test_api_sessions import bearer, newcomer, sign_in

from flipsync.domain.clock import utc_now
from flipsync.security.passkeys import RelyingParty
from flipsync.services import sessions
from flipsync.services.notices import matters
from flipsync.store.unit_of_work import Store
from serve.backend import Backend
from serve.settings import ServeSettings

PAGE = "https://app.example.com"
REFUSED = "the passkey was not accepted"


@pytest.fixture(autouse=True)
def party(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "relying_party", RelyingParty("example.com", (PAGE, "https://example.com")))


@dataclass
class Person:
    """Somebody with a passkey, as a browser acts for them."""

    client: httpx2.AsyncClient
    store: Store
    business: Business
    email: str
    user_id: UUID
    headers: dict[str, str]
    device: SoftAuthenticator = field(default_factory=SoftAuthenticator)
    recovery_codes: list[str] = field(default_factory=list)
    passkey_id: str = ""

    async def post(self, path: str, form: Any = None, headers: dict[str, str] | None = None) -> httpx2.Response:
        return await self.client.post(f"{API}/auth/{path}", json=form, headers=headers or self.headers)

    async def register(self, device: SoftAuthenticator, name: str = "phone") -> httpx2.Response:
        begun = (await self.post("passkeys/registration")).json()
        made = device.create(begun["options"])
        return await self.post("passkeys", {"name": name, "challenge": begun["challenge"], "credential": made})

    async def question(self) -> dict[str, Any]:
        asked: dict[str, Any] = (await self.client.post(f"{API}/auth/login/passkey/challenge")).json()
        return asked

    async def sign_in(self, device: SoftAuthenticator | None = None) -> httpx2.Response:
        asked = await self.question()
        return await self.answer(asked, (device or self.device).get(asked["options"]))

    async def answer(self, asked: dict[str, Any], credential: dict[str, Any]) -> httpx2.Response:
        form = {"challenge": asked["challenge"], "credential": credential, "device": "phone"}
        return await self.client.post(f"{API}/auth/login/passkey", json=form)

    async def password(self) -> str:
        form = {"email": self.email, "password": PASSWORD}
        answer = await self.client.post(f"{API}/auth/login", json=form)
        assert answer.status_code == 202, "a password alone is not enough any more"
        return str(answer.json()["challenge"])

    async def second(self, challenge: str, device: SoftAuthenticator | None = None) -> httpx2.Response:
        asked = (await self.post("login/second-factor/passkey", {"challenge": challenge})).json()
        proof = {"challenge": asked["challenge"], "credential": (device or self.device).get(asked["options"])}
        return await self.post("login/second-factor", {"challenge": challenge, "passkey": proof})

    async def step_up(self, device: SoftAuthenticator | None = None, **headers: str) -> httpx2.Response:
        asked = (await self.post("passkeys/challenge")).json()
        proof = {"challenge": asked["challenge"], "credential": (device or self.device).get(asked["options"])}
        return await self.post("step-up", {"passkey": proof}, headers or None)

    async def listed(self) -> list[dict[str, Any]]:
        answer = await self.client.get(f"{API}/auth/passkeys", headers=self.headers)
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    async def audited(self) -> list[Any]:
        async with self.store.reader(self.business.tenant_id) as session:
            found = await session.execute(
                text(
                    "SELECT action, details FROM audit_entry WHERE actor_id = :id OR subject_id = :text"
                    " OR details ->> 'user' = :text ORDER BY seq"
                ),
                {"id": self.user_id, "text": str(self.user_id)},
            )
            return list(found)


async def somebody(client: httpx2.AsyncClient, backend: Backend, business: Business) -> Person:
    email, user_id = await newcomer(backend, business)
    person = Person(client, backend.store, business, email, user_id, bearer(await sign_in(client, email)))
    added = await person.register(person.device)
    assert added.status_code == 201, added.text
    person.passkey_id, person.recovery_codes = added.json()["id"], added.json()["recovery_codes"]
    return person


@pytest.fixture
async def ana(client: httpx2.AsyncClient, backend: Backend, alpha: Business) -> Person:
    return await somebody(client, backend, alpha)


async def test_a_passkey_alone_signs_in(ana: Person) -> None:
    answer = await ana.sign_in()
    assert answer.status_code == 200, answer.text
    assert answer.json()["user_id"] == str(ana.user_id) and answer.json()["role"] == "owner"
    assert (await ana.client.get(f"{API}/orders", headers=bearer(answer.json()))).status_code == 200
    (listed,) = await ana.listed()
    assert (listed["name"], listed["transports"], listed["copied_at"]) == ("phone", ["internal"], None)
    assert listed["last_used_at"] is not None
    for secret in ("public_key", "credential_id", b64(ana.device.credential_id)):
        assert secret not in str(listed)
    assert [each.action for each in await ana.audited()][-2:] == ["passkey.added", "signed-in"]


async def test_a_passkey_is_a_second_factor_and_so_are_its_recovery_codes(ana: Person) -> None:
    assert (await ana.second(await ana.password())).status_code == 200
    assert len(ana.recovery_codes) == 10
    code = {"challenge": await ana.password(), "code": ana.recovery_codes[0]}
    assert (await ana.post("login/second-factor", code)).status_code == 200
    again = await ana.post("login/second-factor", {"challenge": await ana.password(), "code": ana.recovery_codes[0]})
    assert again.status_code == 401, "each serves once"
    shown = (await ana.client.get(f"{API}/auth/second-factor", headers=ana.headers)).json()
    assert shown == {"enabled": False, "since": None, "passkeys": 1, "recovery_codes_left": 9}
    neither = await ana.post("login/second-factor", {"challenge": await ana.password()})
    assert neither.status_code == 401


async def test_a_key_without_a_pin_is_a_second_factor_but_no_first_one(ana: Person) -> None:
    key = SoftAuthenticator(verified=False)
    assert (await ana.register(key, "blue key")).json()["recovery_codes"] == [], "those there are stay good"
    assert (await ana.second(await ana.password(), key)).status_code == 200
    assert (await ana.sign_in(key)).status_code == 401
    assert (await ana.step_up(key)).status_code == 422
    refused = [each.details["why"] for each in await ana.audited() if each.action == "passkey.refused"]
    assert len(refused) == 2 and all("User verification" in each for each in refused)


async def test_money_is_moved_after_a_passkey_as_after_a_code(ana: Person, backend: Backend) -> None:
    async with backend.store.unit(ana.business.tenant_id) as unit:
        query = text("UPDATE user_session SET proven_at = :old WHERE user_id = :id")
        await unit.session.execute(query, {"old": utc_now() - timedelta(hours=1), "id": ana.user_id})
    wanted = {"email": f"x{ana.email}", "role": "clerk"}
    send = ana.headers | {"Idempotency-Key": "one"}
    refused = await ana.client.post(f"{API}/users", json=wanted, headers=send)
    assert refused.json()["type"] == "urn:flipsync:error:step-up-required"
    only_password = await ana.post("step-up", {"password": PASSWORD})
    assert only_password.status_code == 422, "who has a second factor proves it by that"
    proven = await ana.step_up()
    assert proven.status_code == 200, proven.text
    assert (await ana.client.post(f"{API}/users", json=wanted, headers=send)).status_code == 201
    assert timedelta(minutes=10) == sessions.PROOF_LASTS


async def test_several_are_named_renamed_and_revoked(ana: Person) -> None:
    laptop = SoftAuthenticator(counter=None)
    laptop_id = (await ana.register(laptop, "laptop")).json()["id"]
    url = f"{API}/auth/passkeys/{laptop_id}"
    assert (await ana.client.patch(url, json={"name": "old laptop"}, headers=ana.headers)).status_code == 204
    assert [each["name"] for each in await ana.listed()] == ["old laptop", "phone"]
    for _ in range(2):
        assert (await ana.sign_in(laptop)).status_code == 200, "what does not count is not judged by its count"
    for _ in range(2):
        assert (await ana.client.delete(url, headers=ana.headers)).status_code == 204
    assert (await ana.sign_in(laptop)).status_code == 401
    assert (await ana.second(await ana.password(), laptop)).status_code == 401
    assert (await ana.sign_in()).status_code == 200
    assert (await ana.client.patch(url, json={"name": "mine"}, headers=ana.headers)).status_code == 404
    last = f"{API}/auth/passkeys/{ana.passkey_id}"
    assert (await ana.client.delete(last, headers=ana.headers)).status_code == 204
    shown = (await ana.client.get(f"{API}/auth/second-factor", headers=ana.headers)).json()
    assert shown["recovery_codes_left"] == 0, "recovery codes go with the last second factor"
    assert (await sign_in(ana.client, ana.email))["role"] == "owner"
    twice = await ana.register(ana.device)
    assert twice.status_code == 409, "a revoked one does not come back"


async def test_an_app_and_a_passkey_stand_beside_each_other(
    client: httpx2.AsyncClient,
    backend: Backend,
    alpha: Business,
    with_app: AnaWithApp,  # noqa: F811
) -> None:
    both = Person(client, backend.store, alpha, with_app.email, with_app.user_id, with_app.headers)
    added = await both.register(both.device)
    assert added.json()["recovery_codes"] == [], "the app's stay good"
    assert (await both.second(await both.password())).status_code == 200
    assert (await with_app.answer(await with_app.challenge(), await with_app.next_code())).status_code == 200
    gone = await client.delete(f"{API}/auth/second-factor", headers=both.headers)
    assert gone.status_code == 204
    code = {"challenge": await both.password(), "code": with_app.recovery_codes[1]}
    assert (await both.post("login/second-factor", code)).status_code == 200, "codes stay for the passkey"


# -- attacks ----------------------------------------------------------------------------------------------------------

Spoil = Callable[[SoftAuthenticator], None]


def _with(**changes: Any) -> Spoil:
    def spoil(device: SoftAuthenticator) -> None:
        for name, value in changes.items():
            setattr(device, name, value)

    return spoil


LIES = {
    "a page of somebody else": _with(origin="https://app.example.com.evil.example"),
    "another page of this domain": _with(origin="https://shop.example.com"),
    "the same page without TLS": _with(origin="http://app.example.com"),
    "another domain": _with(rp_id="evil.example"),
    "a page inside another": _with(cross_origin=True),
    "nobody touched it": _with(present=False),
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_was_not_asked_by_a_page_of_ours_is_refused(ana: Person, lie: str) -> None:
    liar = dataclasses.replace(ana.device)
    LIES[lie](liar)
    assert (await ana.sign_in(liar)).json()["detail"] == REFUSED
    assert (await ana.second(await ana.password(), liar)).status_code == 401
    assert (await ana.step_up(liar)).status_code == 422
    fresh = SoftAuthenticator()
    LIES[lie](fresh)
    assert (await ana.register(fresh)).status_code == 422
    assert len(await ana.listed()) == 1
    ana.device.counter = 10
    assert (await ana.sign_in()).status_code == 200, "the person is not locked out by it"


async def test_a_challenge_serves_once_for_one_purpose_and_not_for_long(ana: Person, backend: Backend) -> None:
    asked = await ana.question()
    said = ana.device.get(asked["options"])
    assert (await ana.answer(asked, said)).status_code == 200
    assert (await ana.answer(asked, said)).status_code == 401, "replayed as it was"
    assert (await ana.answer(asked, ana.device.get(asked["options"]))).status_code == 401, "and answered anew"
    other = await ana.question()
    assert (await ana.answer(other, ana.device.get(asked["options"]))).status_code == 401, "an answer to another one"
    stepping = (await ana.post("passkeys/challenge")).json()
    assert (await ana.answer(stepping, ana.device.get(stepping["options"]))).status_code == 401, "another purpose"
    old = backend.tokens.issue_note("passkey", {"purpose": "sign-in", "challenge": "AAAA"}, timedelta(seconds=-1))
    assert (await ana.answer({"challenge": old}, ana.device.get(asked["options"]))).status_code == 401
    both = await asyncio.gather(*[ana.answer(other, ana.device.get(other["options"])) for _ in range(4)])
    assert sum(each.status_code == 200 for each in both) <= 1


async def test_a_challenge_is_of_one_session(ana: Person) -> None:
    elsewhere = bearer((await ana.sign_in()).json())
    asked = (await ana.post("passkeys/challenge")).json()
    proof = {"challenge": asked["challenge"], "credential": ana.device.get(asked["options"])}
    assert (await ana.post("step-up", {"passkey": proof}, elsewhere)).status_code == 422
    begun = (await ana.post("passkeys/registration")).json()
    made = SoftAuthenticator().create(begun["options"])
    form = {"name": "x", "challenge": begun["challenge"], "credential": made}
    assert (await ana.post("passkeys", form, elsewhere)).status_code == 422
    assert (await ana.post("passkeys", form)).status_code == 201
    assert (await ana.post("passkeys", form)).status_code == 422, "it serves once"
    first, second = await ana.password(), await ana.password()
    asked = (await ana.post("login/second-factor/passkey", {"challenge": first})).json()
    proof = {"challenge": asked["challenge"], "credential": ana.device.get(asked["options"])}
    mixed = await ana.post("login/second-factor", {"challenge": second, "passkey": proof})
    assert mixed.status_code == 401, "the question belongs to the password that was given with it"


async def test_another_persons_passkey_opens_nothing_of_mine(
    ana: Person, client: httpx2.AsyncClient, backend: Backend, alpha: Business, beta: Business
) -> None:
    for business in (alpha, beta):
        ben = await somebody(client, backend, business)
        assert (await ana.second(await ana.password(), ben.device)).status_code == 401
        assert (await ana.step_up(ben.device)).status_code == 422
        posing = dataclasses.replace(ben.device, user_handle=ana.user_id.bytes)
        assert (await ana.sign_in(posing)).status_code == 401, "it says it is Ana's"
        stolen = dataclasses.replace(ben.device, credential_id=ana.device.credential_id, user_handle=ana.user_id.bytes)
        assert (await ana.sign_in(stolen)).status_code == 401, "Ana's name, Ben's signature"
        taken = SoftAuthenticator(credential_id=ana.device.credential_id)
        assert (await ben.register(taken)).status_code == 409, "Ana's credential stays hers"
        url = f"{API}/auth/passkeys/{ana.passkey_id}"
        assert (await client.delete(url, headers=ben.headers)).status_code == 404
        assert (await client.patch(url, json={"name": "x"}, headers=ben.headers)).status_code == 404
        ben.device.counter = 50
        signed_in = await ben.sign_in()
        assert signed_in.json()["user_id"] == str(ben.user_id)


async def test_a_copied_passkey_opens_nothing_and_its_person_is_told(ana: Person, backend: Backend) -> None:
    clone = dataclasses.replace(ana.device)
    for _ in range(3):
        assert (await ana.sign_in()).status_code == 200
    forged = dataclasses.replace(clone, key=SoftAuthenticator().key)
    assert (await ana.sign_in(forged)).status_code == 401
    assert (await ana.sign_in()).status_code == 200, "who cannot sign cannot make a passkey look copied"
    assert (await ana.sign_in(clone)).status_code == 401
    assert (await ana.sign_in()).status_code == 401, "nobody knows which of the two is hers"
    (listed,) = await ana.listed()
    assert listed["copied_at"] is not None
    copied = [each.details for each in await ana.audited() if each.action == "passkey.copied"]
    assert [(each["told"], each["known"]) for each in copied] == [(1, 4)]
    async with backend.store.unit(ana.business.tenant_id) as unit:
        await matters.tell(unit)
    told = await ana.client.get(f"{API}/notifications?kind=passkey-copied", headers=ana.headers)
    assert [each["severity"] for each in told.json()["items"]] == ["urgent"]
    assert ana.email in told.json()["items"][0]["title"]
    clerk = await ana.client.get(f"{API}/notifications?kind=passkey-copied", headers=ana.business.headers("clerk"))
    assert clerk.json()["items"] == [], "it is hers and the owners'"
    assert await ana.password(), "and a password alone does not let in either"
    code = {"challenge": await ana.password(), "code": ana.recovery_codes[0]}
    assert (await ana.post("login/second-factor", code)).status_code == 200
    gone = await ana.client.delete(f"{API}/auth/passkeys/{ana.passkey_id}", headers=ana.headers)
    assert gone.status_code == 204


async def test_who_is_disabled_stays_out(ana: Person, backend: Backend) -> None:
    async with backend.store.unit(ana.business.tenant_id) as unit:
        query = text("UPDATE app_user SET disabled_at = now() WHERE id = :id")
        await unit.session.execute(query, {"id": ana.user_id})
    assert (await ana.sign_in()).status_code == 401


async def test_rubbish_is_refused_in_words(ana: Person) -> None:
    asked = await ana.question()
    said = ana.device.get(asked["options"])
    for path, value in (
        ("clientDataJSON", b64(b"[" * 3000)),
        ("clientDataJSON", b64(b"[1]")),
        ("clientDataJSON", b64(b'{"type": {}, "challenge": [], "origin": {}}')),
        ("clientDataJSON", b64(b"\xff\xfe")),
        ("authenticatorData", ""),
        ("authenticatorData", b64(b"\xff" * 3000)),
        ("signature", b64(b"\x30" * 70)),
        ("userHandle", b64(b"x" * 64)),
    ):
        spoilt = copy.deepcopy(said)
        spoilt["response"][path] = value
        assert (await ana.answer(await ana.question(), spoilt)).status_code in (401, 429), path
    for body in ({"attestationObject": b64(b"\xff" * 99)}, {"attestationObject": b64(b"\x9f" * 9_000)}):
        begun = (await ana.post("passkeys/registration")).json()
        made = SoftAuthenticator().create(begun["options"])
        made["response"] |= body
        form = {"name": "x", "challenge": begun["challenge"], "credential": made}
        assert (await ana.post("passkeys", form)).status_code == 422
    huge = said | {"rawId": "A" * 5000}
    assert (await ana.answer(asked, huge)).status_code == 422


async def test_where_nobody_said_for_whom_passkeys_are_there_are_none(
    ana: Person, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "relying_party", RelyingParty("", ()))
    for path in ("passkeys/registration", "login/passkey/challenge", "passkeys/challenge"):
        answer = await ana.post(path)
        assert (answer.status_code, "FLIPSYNC_PASSKEY_ORIGINS" in answer.json()["hint"]) == (422, True)


@pytest.mark.parametrize(
    ("given", "rp_id", "origins"),
    [
        ({}, "", ()),
        ({"public_url": "https://api.example.com:8443/x"}, "api.example.com", ("https://api.example.com:8443",)),
        ({"cors_origins": PAGE}, "app.example.com", (PAGE,)),
        ({"passkey_rp_id": "example.com", "passkey_origins": PAGE}, "example.com", (PAGE,)),
    ],
)
def test_whom_passkeys_are_for(settings: ServeSettings, given: Any, rp_id: str, origins: tuple[str, ...]) -> None:
    party = ServeSettings.model_validate(settings.model_dump() | given).relying_party()
    assert (party.rp_id, party.origins) == (rp_id, origins)


def test_passkeys_of_one_domain_are_not_for_another(settings: ServeSettings) -> None:
    for origin in ("https://evil.example", "https://notexample.com"):
        with pytest.raises(ValidationError, match="cannot be used by"):
            given = {"passkey_rp_id": "example.com", "passkey_origins": origin}
            ServeSettings.model_validate(settings.model_dump() | given)
