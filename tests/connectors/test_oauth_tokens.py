"""Access tokens: renewed in time, once for all, never lost; and what the HTTP core does when one is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.http import HttpCore
from flipsync.connectors.oauth import AccessTokens, Grant, access_ends
from flipsync.connectors.request import Form, VendorError
from flipsync.connectors.vault import MemoryVault
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable

NOW = datetime(2026, 3, 2, 14, tzinfo=UTC)


class Endpoint:
    """A token endpoint that rotates its refresh token and honours only the newest."""

    def __init__(self, lifetime: float | None = 3600.0) -> None:
        self.lifetime = lifetime
        self.asked = 0
        self.newest = "r0"

    async def ask(self, credentials: Mapping[str, SecretStr]) -> Grant:
        await asyncio.sleep(0)
        if credentials["refresh_token"].get_secret_value() != self.newest:
            raise Rejected("invalid_grant", auth=True)
        self.asked += 1
        self.newest = f"r{self.asked}"
        return Grant(SecretStr(f"a{self.asked}"), self.lifetime, SecretStr(self.newest), 90 * 86400.0)


class World:
    def __init__(self, **stored: str) -> None:
        self.now = NOW
        self.endpoint = Endpoint()
        self.vault = MemoryVault({name: SecretStr(value) for name, value in {"refresh_token": "r0", **stored}.items()})

    def tokens(self) -> AccessTokens:
        """As another process would have them."""
        return AccessTokens(self.vault, dict(self.vault.credentials), self.endpoint.ask, now=lambda: self.now)


async def test_a_token_is_asked_for_once_and_stored_with_its_successor() -> None:
    world = World()
    tokens = world.tokens()
    assert [(await tokens.current()).get_secret_value() for _ in range(3)] == ["a1"] * 3
    kept = {name: value.get_secret_value() for name, value in world.vault.credentials.items()}
    assert kept["access_token"] == "a1" and kept["refresh_token"] == "r1"
    assert datetime.fromisoformat(kept["access_expires_at"]) == NOW + timedelta(hours=1)
    assert access_ends(world.vault.credentials) == NOW + timedelta(days=90)


async def test_many_processes_renew_once_and_no_refresh_token_is_lost() -> None:
    world = World()
    processes = [world.tokens() for _ in range(8)]
    for hour in range(5):
        world.now = NOW + timedelta(hours=hour)
        seen = await asyncio.gather(*(tokens.current() for tokens in processes for _ in range(3)))
        assert {token.get_secret_value() for token in seen} == {f"a{hour + 1}"}
    assert world.endpoint.asked == 5


async def test_a_token_is_renewed_before_it_ends() -> None:
    world = World()
    tokens = world.tokens()
    await tokens.current()
    world.now = NOW + timedelta(minutes=57)
    assert (await tokens.current()).get_secret_value() == "a1"
    world.now = NOW + timedelta(minutes=58, seconds=1)
    assert (await tokens.current()).get_secret_value() == "a2"


async def test_a_refused_token_is_replaced_once_and_not_for_ever() -> None:
    world = World()
    tokens = world.tokens()
    first = await tokens.current()
    world.now += timedelta(minutes=5)
    assert await tokens.refused(first)
    second = await tokens.current()
    assert second.get_secret_value() == "a2"
    assert await tokens.refused(first), "somebody replaced it meanwhile: try the new one"
    assert not await tokens.refused(second), "a new token that is refused is no matter of age"
    assert world.endpoint.asked == 2


async def test_a_token_without_an_end_is_used_until_refused() -> None:
    world = World(access_token="given")
    tokens = world.tokens()
    world.now += timedelta(days=400)
    assert (await tokens.current()).get_secret_value() == "given"
    assert world.endpoint.asked == 0


def core(world: World, answer: Any) -> HttpCore:
    return HttpCore(
        AccountConfig(vendor="custom", base_url="http://shop.test", currency="USD"),
        Unlimited(),
        "acc",
        read_error=lambda status, body: VendorError(expired=body == {"error": "token expired"}),
        tokens=world.tokens(),
        transport=httpx2.MockTransport(answer),
    )


@pytest.mark.parametrize("status", [401, 403, 400])
async def test_an_expired_token_is_renewed_and_the_write_sent_once_more(status: int) -> None:
    world = World(access_token="old")
    sent: list[tuple[str, bytes]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append((request.headers["Authorization"], request.content))
        if request.headers["Authorization"] == "Bearer old":
            return httpx2.Response(status, json={"error": "token expired"})
        return httpx2.Response(200, json={"fine": True})

    http = core(world, answer)
    got = await http.request("POST", "http://shop.test/x", decode=lambda data: data, body=Form({"a": "b c"}))
    await http.aclose()
    assert got.value == {"fine": True}
    assert sent == [("Bearer old", b"a=b+c"), ("Bearer a1", b"a=b+c")]


async def test_an_account_that_is_refused_stays_refused() -> None:
    world = World()
    calls = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        calls.append(request.headers["Authorization"])
        return httpx2.Response(401, json={"error": "revoked"})

    http = core(world, answer)
    for _ in range(3):
        with pytest.raises(Rejected) as refused:
            await http.request("PUT", "http://shop.test/x", decode=lambda data: data)
        assert refused.value.auth
    await http.aclose()
    assert calls == ["Bearer a1", *["Bearer a2"] * 3], "of brand-new tokens that are refused one is replaced"


async def test_a_token_that_worked_is_replaced_however_soon_it_ends() -> None:
    world = World()
    calls = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        calls.append(request.headers["Authorization"])
        return httpx2.Response(401 if len(calls) % 2 == 0 else 200, json={})

    http = core(world, answer)
    for _ in range(4):
        await http.request("PUT", "http://shop.test/x", decode=lambda data: data)
    await http.aclose()
    assert calls == [f"Bearer a{n}" for n in (1, 1, 2, 2, 3, 3, 4)]


async def test_a_lost_answer_of_the_token_endpoint_leaves_no_doubt_about_the_write() -> None:
    world = World()

    async def lost(_: Mapping[str, SecretStr]) -> Grant:
        raise OutcomeUnknown("no answer in time")

    world.endpoint.ask = lost  # type: ignore[method-assign]
    http = core(world, lambda request: httpx2.Response(200, json={}))
    with pytest.raises(Retryable, match="no access token"):
        await http.request("PUT", "http://shop.test/x", decode=lambda data: data)
    await http.aclose()


@pytest.mark.parametrize("lifetime", [float("nan"), float("inf"), 1e15])
async def test_a_lifetime_that_is_no_time_lasts_until_it_is_refused(lifetime: float) -> None:
    world = World()
    world.endpoint.lifetime = lifetime
    tokens = world.tokens()
    assert [(await tokens.current()).get_secret_value() for _ in range(2)] == ["a1"] * 2
    assert "access_expires_at" not in {name for name, value in world.vault.credentials.items() if value}
