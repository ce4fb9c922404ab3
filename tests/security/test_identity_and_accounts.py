"""The services behind sign-in and accounts, on a real database."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from argon2 import PasswordHasher
from pydantic import SecretStr
from sqlalchemy import func, select, text

from flipsync.connectors.base import AccountConfig
from flipsync.domain.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from flipsync.domain.ids import new_id
from flipsync.security.passwords import Passwords
from flipsync.security.secrets import SecretBox, SecretUnreadable
from flipsync.security.tokens import AccessTokens
from flipsync.services import accounts, idempotency, identity
from flipsync.services.account_vault import AccountVault, same_access
from flipsync.store import models as m
from flipsync.store import restored
from flipsync.store.database import Database
from flipsync.store.unit_of_work import Store

CONFIG = AccountConfig(vendor="custom", base_url="http://127.0.0.1:9/", currency="USD")
PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Store]:
    store = Store(Database(database_urls["app"]), {})
    yield store
    await store.aclose()


@pytest.fixture
async def owner(shop: Store, passwords: Passwords) -> tuple[UUID, str]:
    email = f"{new_id().hex}@shop.example"
    tenant_id, _ = await identity.create_tenant_with_owner(
        shop, passwords, tenant_name="Shop", email=email, password=PASSWORD
    )
    return tenant_id, email


async def test_an_address_belongs_to_one_business_in_any_case(
    shop: Store, owner: tuple[UUID, str], passwords: Passwords
) -> None:
    with pytest.raises(Conflict):
        await identity.create_tenant_with_owner(
            shop, passwords, tenant_name="Other", email=owner[1].upper(), password=PASSWORD
        )
    async with shop.unit(owner[0]) as unit:
        with pytest.raises(Conflict):
            await identity.add_user(unit, passwords, email=owner[1], password=PASSWORD, role="clerk")


async def test_a_refused_business_leaves_nothing_behind(
    shop: Store, owner: tuple[UUID, str], database_urls: dict[str, str], passwords: Passwords
) -> None:
    worker = Database(database_urls["worker"], pool_size=1)
    count = select(func.count()).select_from(m.Tenant)
    async with worker.unbound() as session:
        before = (await session.execute(count)).scalar_one()
    with pytest.raises(Conflict):
        await identity.create_tenant_with_owner(shop, passwords, tenant_name="Other", email=owner[1], password=PASSWORD)
    async with worker.unbound() as session:
        assert (await session.execute(count)).scalar_one() == before
    await worker.aclose()


@pytest.mark.parametrize("email", ["", "nobody", "a@b@c", "a b@c.example", f"{'x' * 250}@y.example", "a@.example"])
async def test_addresses_that_are_none_are_refused(email: str, shop: Store) -> None:
    with pytest.raises(InvalidInput):
        await identity.create_tenant_with_owner(shop, Passwords(), tenant_name="Shop", email=email, password=PASSWORD)


async def test_signing_in_renews_a_weak_hash(shop: Store, owner: tuple[UUID, str]) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=1024).hash(PASSWORD)
    async with shop.unit(owner[0]) as unit:
        await unit.session.execute(text("UPDATE app_user SET password_hash = :weak"), {"weak": weak})
    passwords = Passwords()
    signed_in = await identity.sign_in(
        shop, passwords, AccessTokens(os.urandom(32)), email=owner[1], password=PASSWORD, device="phone"
    )
    assert PASSWORD not in repr(signed_in) and signed_in.refresh_token not in repr(signed_in)
    async with shop.reader(owner[0]) as session:
        encoded = (await session.execute(select(m.User.password_hash))).scalar_one()
        token = (await session.execute(select(m.RefreshToken))).scalar_one()
    assert not passwords.outdated(encoded)
    assert token.token_hash != signed_in.refresh_token and token.device == "phone"


async def test_an_expired_refresh_token_is_refused(shop: Store, owner: tuple[UUID, str], passwords: Passwords) -> None:
    tokens = AccessTokens(os.urandom(32))
    signed_in = await identity.sign_in(shop, passwords, tokens, email=owner[1], password=PASSWORD)
    async with shop.unit(owner[0]) as unit:
        await unit.session.execute(text("UPDATE refresh_token SET expires_at = now() - interval '1 second'"))
    with pytest.raises(Unauthenticated):
        await identity.refresh(shop, tokens, signed_in.refresh_token)


async def test_an_account_keeps_its_secrets_and_says_when_it_can_be_used(shop: Store, owner: tuple[UUID, str]) -> None:
    box = SecretBox(os.urandom(32))
    async with shop.unit(owner[0]) as unit:
        account_id = await accounts.connect_account(
            unit, box, vendor="custom", name=" shop ", config=CONFIG, credentials={"token": "hunter2"}
        )
    async with shop.reader(owner[0]) as session:
        row = (await session.execute(select(m.MarketplaceAccount))).scalar_one()
        account = await accounts.load_account(session, box, account_id)
        event = (await session.execute(select(m.EventRecord))).scalar_one()
        with pytest.raises(SecretUnreadable):
            await accounts.load_account(session, SecretBox(os.urandom(32)), account_id)
        with pytest.raises(NotFound):
            await accounts.load_account(session, box, new_id())
    assert (event.type, event.subject_id, row.name) == ("AccountConnected", account_id, "shop")
    assert b"hunter2" not in row.credentials_encrypted
    assert account.credentials["token"].get_secret_value() == "hunter2"
    assert len(account.webhook_secret.get_secret_value()) >= 32
    for secret in ("hunter2", account.webhook_secret.get_secret_value(), account.webhook_token):
        assert secret not in repr(account)


async def test_pausing_and_disconnecting_are_told_once(shop: Store, owner: tuple[UUID, str]) -> None:
    box = SecretBox(os.urandom(32))
    async with shop.unit(owner[0]) as unit:
        account_id = await accounts.connect_account(
            unit, box, vendor="custom", name="shop", config=CONFIG, credentials={"token": "x"}
        )
        token = (await accounts.load_account(unit.session, box, account_id)).webhook_token
    steps = [accounts.pause_account, accounts.disconnect_account]
    for step in steps:
        async with shop.unit(owner[0]) as unit:
            assert await step(unit, account_id, "because") is True
        async with shop.unit(owner[0]) as unit:
            assert await step(unit, account_id, "because") is False
            if step is accounts.pause_account:
                assert await accounts.resume_account(unit, account_id) is True
                assert await accounts.resume_account(unit, account_id) is False
    async with shop.reader(owner[0]) as session:
        told = (await session.execute(select(m.EventRecord.payload).order_by(m.EventRecord.id))).scalars().all()
        assert [payload.get("healthy") for payload in told] == [None, False, True, False]
        row = (await session.execute(select(m.MarketplaceAccount))).scalar_one()
        assert row.credentials_encrypted == b"" and row.webhook_token != token
    for change in (
        lambda unit: accounts.resume_account(unit, account_id),
        lambda unit: accounts.replace_credentials(unit, box, account_id, {"token": "y"}),
    ):
        with pytest.raises(Conflict):
            async with shop.unit(owner[0]) as unit:
                await change(unit)


async def test_a_vault_keeps_what_is_renewed_and_has_one_writer_at_a_time(shop: Store, owner: tuple[UUID, str]) -> None:
    box = SecretBox(os.urandom(32))
    async with shop.unit(owner[0]) as unit:
        account_id = await accounts.connect_account(
            unit, box, vendor="custom", name="vault", config=CONFIG, credentials={"refresh_token": "0"}
        )
    async with shop.reader(owner[0]) as session:
        before = await accounts.load_account(session, box, account_id)

    async def renew() -> None:
        async with AccountVault(shop, box, owner[0], account_id).open() as opened:
            token = int(opened.credentials["refresh_token"].get_secret_value())
            await asyncio.sleep(0.01)  # the vendor is asked
            await opened.save({"refresh_token": SecretStr(str(token + 1)), "access_expires_at": None})

    await asyncio.gather(*(renew() for _ in range(5)))
    async with shop.reader(owner[0]) as session:
        after = await accounts.load_account(session, box, account_id)
    assert after.credentials["refresh_token"].get_secret_value() == "5"
    assert after.webhook_secret == before.webhook_secret
    assert same_access(before, after), "a renewed token is no reason to connect anew"
    with pytest.raises(RuntimeError):
        async with AccountVault(shop, box, owner[0], account_id).open() as opened:
            await opened.save({"refresh_token": SecretStr("lost")})
            raise RuntimeError
    async with AccountVault(shop, box, owner[0], account_id).open() as opened:
        assert opened.credentials["refresh_token"].get_secret_value() == "5"


def test_a_fingerprint_tells_parts_apart() -> None:
    assert idempotency.fingerprint("ab", "c") != idempotency.fingerprint("a", "bc")
    assert idempotency.fingerprint("a", b"b") == idempotency.fingerprint("a", "b")


async def test_books_that_were_put_back_end_all_sessions_and_take_nobody_for_a_thief(
    shop: Store, owner: tuple[UUID, str], passwords: Passwords, database_urls: dict[str, str]
) -> None:
    tokens = AccessTokens(os.urandom(32))
    signed_in = await identity.sign_in(shop, passwords, tokens, email=owner[1], password=PASSWORD)
    restored.settle(database_urls["owner"])
    with pytest.raises(Unauthenticated):
        await identity.refresh(shop, tokens, signed_in.refresh_token)
    async with shop.reader(owner[0]) as session:
        assert (await session.execute(select(m.UserSession.revoked_at))).scalar_one() is not None
        told = (await session.execute(select(m.AuditEntry.action))).scalars().all()
    assert "signed-in" in told and "session.copied-token" not in told
