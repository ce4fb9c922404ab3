"""Tokens of one account renewed by many at once, in the real vault; and what is left when a renewal is cut off."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.consent import Asked
from flipsync.connectors.marketplaces import connect, consent_of
from flipsync.connectors.oauth import AccessTokens, Grant
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import OutcomeUnknown, Rejected, Retryable
from flipsync.domain.ids import new_id
from flipsync.security.passwords import Passwords
from flipsync.security.secrets import SecretBox
from flipsync.services import accounts, identity
from flipsync.services.account_vault import AccountVault
from flipsync.store.database import Database
from flipsync.store.unit_of_work import Store

KEY = os.urandom(32)
BOX = SecretBox(KEY)
CONFIG = AccountConfig(vendor="custom", base_url="http://127.0.0.1:9/", currency="USD")


@pytest.fixture(scope="module")
async def stores(database_urls: dict[str, str]) -> AsyncIterator[list[Store]]:
    """As many processes would have them: nothing in common but the database, two connections each."""
    found = [
        Store(Database(database_urls[role], pool_size=1, max_overflow=1), {}) for role in ("app", "worker", "worker")
    ]
    yield found
    for store in found:
        await store.aclose()


@pytest.fixture
async def tenant_id(stores: list[Store], passwords: Passwords) -> UUID:
    email = f"{new_id().hex}@shop.example"
    found, _ = await identity.create_tenant_with_owner(
        stores[0], passwords, tenant_name="Shop", email=email, password="correct horse battery staple"
    )
    return found


class Strict:
    """A token endpoint that honours the newest refresh token and no other."""

    def __init__(self) -> None:
        self.newest = "r0"
        self.asked = 0
        self.fails: Exception | None = None

    async def ask(self, credentials: Mapping[str, SecretStr]) -> Grant:
        await asyncio.sleep(0.01)
        if self.fails is not None:
            raise self.fails
        if credentials["refresh_token"].get_secret_value() != self.newest:
            raise Rejected("HTTP 400: invalid_grant", vendor_code="invalid_grant", auth=True)
        self.asked += 1
        self.newest = f"r{self.asked}"
        return Grant(SecretStr(f"a{self.asked}"), 3600, SecretStr(self.newest), 90 * 86400.0)


class Account:
    def __init__(self, stores: list[Store], tenant_id: UUID, account_id: UUID) -> None:
        self.stores, self.tenant_id, self.id = stores, tenant_id, account_id
        self.endpoint = Strict()
        self.later = timedelta(0)

    def vault(self, process: int = 0) -> AccountVault:
        return AccountVault(self.stores[process % len(self.stores)], BOX, self.tenant_id, self.id)

    async def tokens(self, process: int = 0) -> AccessTokens:
        return AccessTokens(
            self.vault(process), await self.stored(), self.endpoint.ask, now=lambda: utc_now() + self.later
        )

    async def stored(self) -> dict[str, SecretStr]:
        async with self.stores[0].reader(self.tenant_id) as session:
            return (await accounts.load_account(session, BOX, self.id)).credentials


@pytest.fixture
async def account(stores: list[Store], tenant_id: UUID) -> Account:
    async with stores[0].unit(tenant_id) as unit:
        account_id = await accounts.connect_account(
            unit, BOX, vendor="custom", name="rotating", config=CONFIG, credentials={"refresh_token": "r0"}
        )
    return Account(stores, tenant_id, account_id)


async def test_many_processes_renew_once_and_lose_no_refresh_token(account: Account) -> None:
    processes = [await account.tokens(number) for number in range(6)]
    for hour in range(4):
        account.later = timedelta(hours=hour)
        seen = await asyncio.gather(*(tokens.current() for tokens in processes))
        assert {token.get_secret_value() for token in seen} == {f"a{hour + 1}"}
    assert account.endpoint.asked == 4
    assert (await account.stored())["refresh_token"].get_secret_value() == account.endpoint.newest


async def _cut_off(account: Account) -> None:
    """The vendor has answered and replaced the refresh token; the process is gone before anything was saved."""
    ask = account.endpoint.ask

    async def answered_to_nobody(credentials: Mapping[str, SecretStr]) -> Grant:
        await ask(credentials)
        raise asyncio.CancelledError

    account.endpoint.ask = answered_to_nobody  # type: ignore[method-assign]
    cut_off = await account.tokens()
    with pytest.raises(asyncio.CancelledError):
        await cut_off.current()
    account.endpoint.ask = ask  # type: ignore[method-assign]


async def test_a_renewal_that_was_cut_off_is_told_when_it_did_harm(account: Account) -> None:
    await _cut_off(account)
    for _ in range(2):  # however often it is tried
        with pytest.raises(Rejected, match="was cut off before its answer was saved") as refused:
            await (await account.tokens(1)).current()
        assert refused.value.auth and "connect the account again" in refused.value.hint
    async with account.stores[0].unit(account.tenant_id) as unit:
        await accounts.replace_credentials(unit, BOX, account.id, {"refresh_token": account.endpoint.newest})
    assert (await (await account.tokens()).current()).get_secret_value() == "a2"
    account.endpoint.newest = "revoked by the seller"
    account.later = timedelta(hours=2)
    with pytest.raises(Rejected) as refused:
        await (await account.tokens()).current()
    assert "cut off" not in refused.value.message, "that was another matter, and is over"


async def test_a_renewal_that_was_cut_off_is_forgotten_when_it_did_none(account: Account) -> None:
    """Shopify honours a refresh token until its successor is used."""
    await _cut_off(account)
    account.endpoint.newest = "r0"
    token = await (await account.tokens(1)).current()
    assert token.get_secret_value() == "a2"
    account.endpoint.newest, account.later = "revoked", timedelta(hours=2)
    with pytest.raises(Rejected) as refused:
        await (await account.tokens(2)).current()
    assert "cut off" not in refused.value.message


@pytest.mark.parametrize("nothing_happened", [Retryable("no connection"), Rejected("HTTP 400: later", auth=False)])
async def test_an_answer_that_gave_nothing_out_leaves_no_note(account: Account, nothing_happened: Exception) -> None:
    account.endpoint.fails = nothing_happened
    with pytest.raises(type(nothing_happened)):
        await (await account.tokens()).current()
    account.endpoint.fails = Rejected("HTTP 400: invalid_grant", auth=True)
    with pytest.raises(Rejected) as refused:
        await (await account.tokens()).current()
    assert "cut off" not in refused.value.message


async def test_an_answer_that_never_came_leaves_one(account: Account) -> None:
    account.endpoint.fails = OutcomeUnknown("no answer in time")
    with pytest.raises(OutcomeUnknown):
        await (await account.tokens()).current()
    account.endpoint.fails = Rejected("HTTP 400: invalid_grant", auth=True)
    with pytest.raises(Rejected, match="was cut off"):
        await (await account.tokens()).current()


async def test_new_keys_wait_for_a_renewal_and_are_not_overwritten_by_it(account: Account) -> None:
    """The seller authorizes again while a worker is asking with the old refresh token."""
    asking, answer = asyncio.Event(), asyncio.Event()
    ask = account.endpoint.ask

    async def slowly(credentials: Mapping[str, SecretStr]) -> Grant:
        asking.set()
        await answer.wait()
        return await ask(credentials)

    account.endpoint.ask = slowly  # type: ignore[method-assign]
    renewal = asyncio.create_task((await account.tokens()).current())
    await asking.wait()

    async def authorize() -> None:
        async with account.stores[1].unit(account.tenant_id) as unit:
            await accounts.replace_credentials(unit, BOX, account.id, {"refresh_token": "from the seller"})

    again = asyncio.create_task(authorize())
    await asyncio.sleep(0.05)
    assert not again.done()
    answer.set()
    await asyncio.gather(renewal, again)
    assert (await account.stored())["refresh_token"].get_secret_value() == "from the seller"


_KILLED = """
import asyncio, base64, os, signal, sys
from uuid import UUID
from pydantic import SecretStr
from flipsync.connectors.oauth import AccessTokens, Grant
from flipsync.security.secrets import SecretBox
from flipsync.services.account_vault import AccountVault
from flipsync.store.database import Database
from flipsync.store.unit_of_work import Store

async def ask(credentials):
    assert credentials["refresh_token"].get_secret_value() == "r0"  # the vendor gives r1 for it, and forgets r0
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    store = Store(Database(os.environ["BOOKS"], pool_size=1), {})
    box = SecretBox(base64.b64decode(os.environ["KEY"]))
    await AccessTokens(AccountVault(store, box, UUID(sys.argv[1]), UUID(sys.argv[2])), {}, ask).current()

asyncio.run(main())
"""


async def test_a_process_that_is_killed_in_between_leaves_the_same_note(
    account: Account, database_urls: dict[str, str]
) -> None:
    environment = os.environ | {"BOOKS": database_urls["worker"], "KEY": base64.b64encode(KEY).decode()}
    command = [sys.executable, "-c", _KILLED, str(account.tenant_id), str(account.id)]
    done = await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    account.endpoint.newest = "r1"
    with pytest.raises(Rejected, match="was cut off before its answer was saved"):
        await asyncio.wait_for((await account.tokens()).current(), 20)


_WORKER = """
import asyncio, base64, os, sys
from uuid import UUID
from flipsync.connectors.base import Unlimited
from flipsync.connectors.marketplaces import connect
from flipsync.security.secrets import SecretBox
from flipsync.services import accounts
from flipsync.services.account_vault import AccountVault
from flipsync.store.database import Database
from flipsync.store.unit_of_work import Store

async def main():
    store = Store(Database(os.environ["BOOKS"], pool_size=1), {})
    box = SecretBox(base64.b64decode(os.environ["KEY"]))
    tenant_id, account_id = UUID(sys.argv[1]), UUID(sys.argv[2])
    for _ in range(int(sys.argv[3])):
        async with store.reader(tenant_id) as session:
            account = await accounts.load_account(session, box, account_id)
        vault = AccountVault(store, box, tenant_id, account_id)
        async with connect(account.config, account.credentials, Unlimited(), "w", vault) as connector:
            async with vault.open() as opened:  # as if an hour had gone
                await opened.save({"access_token": None, "access_expires_at": None})
            await connector.probe()
    await store.aclose()

asyncio.run(main())
"""


async def test_processes_that_renew_at_shopify_at_once_all_go_on(
    stores: list[Store], tenant_id: UUID, database_urls: dict[str, str], start_sandbox: Callable[..., Any]
) -> None:
    """Real processes, a real rotating endpoint over HTTP, and every renewal a fresh one."""
    market = await start_sandbox()
    told = market.channels["shopify"]
    key = os.urandom(32)
    box = SecretBox(key)
    config = AccountConfig.model_validate({"vendor": "shopify", "currency": "USD", "base_url": told["base_url"]})
    keys = {name: told[name] for name in ("client_id", "client_secret")}
    consent = consent_of("shopify")
    assert consent is not None
    asked = Asked(
        config,
        {name: SecretStr(value) for name, value in keys.items()},
        "s",
        "http://127.0.0.1:8000/api/v1/oauth/callback/shopify",
        "",
    )
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as browser:
        sent = await browser.get(f"{consent.url(asked)}&decision=grant")
    code = dict(httpx2.URL(sent.headers["Location"]).params)["code"]
    grant = await consent.redeem(asked, code, Unlimited(), "test")
    assert grant.refresh_token is not None
    async with stores[0].unit(tenant_id) as unit:
        account_id = await accounts.connect_account(
            unit,
            box,
            vendor="shopify",
            name="shopify",
            config=config,
            credentials={**keys, "refresh_token": grant.refresh_token.get_secret_value()},
        )
    environment = os.environ | {"BOOKS": database_urls["worker"], "KEY": base64.b64encode(key).decode()}
    command = [sys.executable, "-c", _WORKER, str(tenant_id), str(account_id), "6"]
    workers = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = await asyncio.gather(*(asyncio.to_thread(worker.communicate, None, 90) for worker in workers))
    assert [worker.returncode for worker in workers] == [0, 0], ends
    async with stores[0].reader(tenant_id) as session:
        account = await accounts.load_account(session, box, account_id)
    vault = AccountVault(stores[0], box, tenant_id, account_id)
    async with connect(config, account.credentials, Unlimited(), "t", vault) as connector:
        assert (await connector.probe()).can_write
