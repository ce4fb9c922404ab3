"""When credentials end: known where it can be, told once at 30, 7 and 1 days and at the end, closed by new ones."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, text

from flipsync.connectors.base import AccountConfig, Unlimited
from flipsync.connectors.oauth import lasting_ends
from flipsync.domain.clock import ManualClock, utc_now
from flipsync.domain.errors import InvalidInput
from flipsync.domain.ids import new_id
from flipsync.runtime.scheduler import Scheduler
from flipsync.security.passwords import Passwords
from flipsync.security.secrets import SecretBox
from flipsync.services import accounts, credential_ends, identity
from flipsync.services.consent_wish import Wish
from flipsync.services.consents import Consents
from flipsync.settings import Cadence
from flipsync.store import models as m
from flipsync.store.database import Database
from flipsync.store.unit_of_work import Store

BOX = SecretBox(os.urandom(32))


@pytest.fixture(scope="module")
def books(make_database: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Without the businesses of other tests: the clock of the house sees to all there are."""
    return make_database()


@pytest.fixture(scope="module")
async def store(books: dict[str, str]) -> AsyncIterator[Store]:
    found = Store(Database(books["app"]), {})
    yield found
    await found.aclose()


@pytest.fixture
async def tenant(store: Store, passwords: Passwords) -> tuple[UUID, UUID]:
    """(tenant, owner)"""
    return await identity.create_tenant_with_owner(
        store, passwords, tenant_name="Shop", email=f"{new_id().hex}@shop.example", password="correct horse battery"
    )


async def connected(store: Store, tenant_id: UUID, days: float) -> UUID:
    """An eBay account whose consent ends in so many days."""
    config = AccountConfig(vendor="ebay", base_url="https://api.ebay.com", currency="USD")
    keys = {"client_id": "c", "client_secret": "s", "refresh_token": "r", "access_token": "a"}
    now = utc_now()
    ends = {"refresh_expires_at": (now + timedelta(days=days)).isoformat(), "access_expires_at": now.isoformat()}
    async with store.unit(tenant_id) as unit:
        return await accounts.connect_account(
            unit, BOX, vendor="ebay", name=new_id().hex, config=config, credentials=keys | ends
        )


async def told(store: Store, tenant_id: UUID) -> list[tuple[str, int | None]]:
    async with store.reader(tenant_id) as session:
        query = select(m.EventRecord).where(m.EventRecord.type.like("Credentials%")).order_by(m.EventRecord.id)
        return [(row.type, row.payload.get("days")) for row in (await session.execute(query)).scalars()]


async def bring_nearer(store: Store, tenant_id: UUID, days: float) -> None:
    async with store.unit(tenant_id) as unit:
        change = text("UPDATE credential_end SET ends_at = now() + make_interval(secs => :seconds)")
        await unit.session.execute(change, {"seconds": days * 86400})


async def test_each_threshold_is_told_once(store: Store, tenant: tuple[UUID, UUID]) -> None:
    await connected(store, tenant[0], 400)
    for days, expected in [(400, []), (29, [30]), (8, [30]), (6, [30, 7]), (0.9, [30, 7, 1]), (-1, [30, 7, 1, 0])]:
        await bring_nearer(store, tenant[0], days)
        for _ in range(2):
            async with store.unit(tenant[0]) as unit:
                await credential_ends.warn(unit)
        assert [days for _, days in await told(store, tenant[0])] == expected


async def test_one_that_is_near_when_it_is_first_seen_is_told_once(store: Store, tenant: tuple[UUID, UUID]) -> None:
    await connected(store, tenant[0], 0.5)
    async with store.unit(tenant[0]) as unit:
        assert await credential_ends.warn(unit) == 1
        assert await credential_ends.warn(unit) == 0
    assert await told(store, tenant[0]) == [("CredentialsExpiring", 1)]


async def test_new_keys_close_the_warning_and_a_disconnected_account_has_none(
    store: Store, tenant: tuple[UUID, UUID]
) -> None:
    account_id = await connected(store, tenant[0], 5)
    async with store.unit(tenant[0]) as unit:
        await credential_ends.warn(unit)
        fresh = {"client_id": "c", "client_secret": "s", "refresh_token": "r2"}
        ends = (utc_now() + timedelta(days=500)).isoformat()
        await accounts.replace_credentials(unit, BOX, account_id, fresh | {"refresh_expires_at": ends})
        (term,) = (await accounts.get_account(unit.session, account_id)).ends
        assert term.warned_days is None and term.ends_at.isoformat() == ends
        assert await credential_ends.warn(unit) == 0
    assert await told(store, tenant[0]) == [("CredentialsExpiring", 7), ("CredentialsRenewed", None)]
    await bring_nearer(store, tenant[0], 5)
    async with store.unit(tenant[0]) as unit:
        await accounts.disconnect_account(unit, account_id, "gone")
        assert (await accounts.get_account(unit.session, account_id)).ends == ()
        assert await credential_ends.warn(unit) == 0


async def test_a_new_secret_of_the_application_leaves_the_consent_alone(
    store: Store, tenant: tuple[UUID, UUID]
) -> None:
    config = AccountConfig(vendor="amazon", base_url="https://sellingpartnerapi-na.amazon.com", currency="USD")
    day = "2027-01-01T00:00:00+00:00"
    keys = {"client_id": "c", "client_secret": "s", "refresh_token": "r", "client_secret_expires_at": day}
    async with store.unit(tenant[0]) as unit:
        account_id = await accounts.connect_account(
            unit, BOX, vendor="amazon", name="amazon", config=config, credentials=keys | {"refresh_expires_at": day}
        )
        for changes in ({"client_secret": "s"}, {"client_secret": "new"}):
            await accounts.replace_credentials(unit, BOX, account_id, changes, keep_others=True)
            ends = {end.what: end.ends_at for end in (await accounts.get_account(unit.session, account_id)).ends}
            assert ends["consent"].isoformat() == day
            assert (ends["client secret"].isoformat() == day) is (changes["client_secret"] == "s")
        stored = (await accounts.load_account(unit.session, BOX, account_id)).credentials
    assert stored["refresh_token"].get_secret_value() == "r" and stored["client_secret"].get_secret_value() == "new"


async def test_the_daily_look_warns_and_clears_up(
    store: Store, books: dict[str, str], tenant: tuple[UUID, UUID]
) -> None:
    tenant_id, owner_id = tenant
    await connected(store, tenant_id, 20)
    wish = Wish("woocommerce", "shop", {"base_url": "https://shop.example.com", "currency": "USD"})
    async with store.unit(tenant_id) as unit:
        consents = Consents(store, BOX, Unlimited(), applications={})
        old, late, broken, young = [
            await consents.start(unit, wish, user_id=owner_id, public_url="https://us.example") for _ in range(4)
        ]
        for consent, age in ((old, "8 days"), (late, "1 hour"), (broken, "1 hour")):
            change = f"UPDATE consent_request SET created_at = created_at - interval '{age}',"
            change += f" expires_at = expires_at - interval '{age}' WHERE id = :id"
            await unit.session.execute(text(change), {"id": consent.id})
        cut_off = "UPDATE consent_request SET status = 'redeeming', answered_at = expires_at WHERE id = :id"
        await unit.session.execute(text(cut_off), {"id": broken.id})
    clock = ManualClock(datetime(2026, 3, 2, 12, tzinfo=UTC))
    worker = Store(Database(books["worker"]), {}, clock=clock)
    scheduler = Scheduler(worker, Cadence())
    await scheduler.beat()
    await scheduler.beat()
    assert scheduler.beside is not None
    await scheduler.beside
    scheduler.stop()
    await worker.aclose()
    assert await told(store, tenant_id) == [("CredentialsExpiring", 30)]
    async with store.reader(tenant_id) as session:
        rows = {row.id: row.sealed for row in (await session.execute(select(m.ConsentRequest))).scalars()}
    assert set(rows) == {late.id, broken.id, young.id}
    assert rows[late.id] == rows[broken.id] == b"" and rows[young.id] != b""


NOW = "2026-03-02T00:00:00+00:00"


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        ({"refresh_token": "r", "refresh_expires_at": NOW}, {"refresh"}),
        ({"access_token": "a", "access_expires_at": NOW}, {"access"}),
        ({"access_token": "a", "access_expires_at": NOW, "refresh_token": "r"}, set()),
        ({"access_token": "a", "access_expires_at": NOW, "client_secret": "s"}, set()),
        ({"client_secret": "s", "client_secret_expires_at": NOW}, {"client_secret"}),
        ({"application_token": "a", "application_expires_at": NOW, "client_secret": "s"}, set()),
        ({"refresh_expires_at": "never"}, set()),
        ({"token": "x"}, set()),
    ],
)
def test_what_we_renew_ourselves_does_not_end(credentials: dict[str, str], expected: set[str]) -> None:
    assert set(lasting_ends(credentials)) == expected


def test_amazons_secrets_last_180_days_at_the_longest() -> None:
    keys = {"client_id": "c", "client_secret": "s"}
    first = credential_ends.with_known_ends("amazon", keys)
    ends = datetime.fromisoformat(first["client_secret_expires_at"])
    assert timedelta(days=179) < ends - utc_now() <= timedelta(days=180)
    same = credential_ends.with_known_ends("amazon", keys, first | {"client_secret_expires_at": NOW})
    assert same["client_secret_expires_at"] == NOW, "a secret does not grow younger by being entered again"
    other = credential_ends.with_known_ends("amazon", keys | {"client_secret": "new"}, same)
    assert other["client_secret_expires_at"] > NOW
    given = credential_ends.with_known_ends("amazon", keys | {"client_secret_expires_at": "2027-05-31"})
    assert given["client_secret_expires_at"] == "2027-05-31T00:00:00+00:00"
    assert credential_ends.with_known_ends("ebay", keys) == keys
    with pytest.raises(InvalidInput, match="is not a date"):
        credential_ends.with_known_ends("ebay", keys | {"client_secret_expires_at": "soon"})
