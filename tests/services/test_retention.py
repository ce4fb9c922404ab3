"""What has had its time is dropped: by vendor, a bounded amount a run, once, whatever is killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from erased_buyer import holding, sell, told
from pydantic import ValidationError
from shop import Shop, open_store

from flipsync.domain.clock import utc_now
from flipsync.domain.events import CycleStarted
from flipsync.domain.ids import new_id
from flipsync.services import erasure, orders, policy_outcomes, retention
from flipsync.services.tenant_settings import PrivacyChoices
from flipsync.store import models as m
from flipsync.store.unit_of_work import Store


@pytest.fixture
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Shop]:
    store = open_store(database_urls["app"])
    yield await Shop(store).found()
    await store.aclose()


@pytest.fixture
async def worker(shop: Shop, database_urls: dict[str, str]) -> AsyncIterator[Store]:
    """As the scheduler has the books."""
    store = open_store(database_urls["worker"])
    yield store
    await store.aclose()


async def test_retention_is_bounded_counts_by_vendor_and_leaves_no_order_twice(
    shop: Shop, worker: Store, database_urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "BATCHES", 2)
    accounts = {vendor: await shop.account(vendor) for vendor in ("amazon", "shopify")}
    days = {"new": 27, "due": 29, "old": 400, "in the year 2100": -27_000}
    for vendor, account in accounts.items():
        for age, since in days.items():
            for number in range(2):
                over = utc_now() - timedelta(days=since, minutes=number)
                order = told(shop, f"{vendor} {age}", f"{vendor} {age} {number}", status="shipped", modified_at=over)
                await sell(shop, account, order)

    async def left() -> set[str]:
        rows = await shop.rows("SELECT external_id FROM customer_order WHERE tenant_id = :tenant AND erased_at IS NULL")
        return {row.external_id.rpartition(" ")[0] for row in rows}

    fresh = ("new", "in the year 2100")
    rows = await shop.rows("SELECT max(closed_at) AS last FROM customer_order WHERE tenant_id = :tenant")
    assert rows[0].last <= utc_now(), "what a channel says of the future keeps nobody's name until then"
    first = await retention.run(worker, shop.tenant_id)
    assert (first.orders, first.more) == (4, True)
    assert await left() == {f"amazon {each}" for each in fresh} | {f"shopify {each}" for each in days}
    assert (await retention.run(worker, shop.tenant_id)).orders == 0
    async with shop.unit() as unit:
        tenant = await unit.session.get_one(m.Tenant, shop.tenant_id)
        tenant.settings = {"privacy": {"buyer_days": 365}}
    assert (await retention.run(worker, shop.tenant_id)).orders == 2
    assert await left() == {f"{each} {age}" for each in accounts for age in fresh} | {"shopify due"}
    lines = await shop.rows("SELECT details FROM audit_entry WHERE action = 'retention.buyers-erased' ORDER BY seq")
    assert [line.details["orders"] for line in lines] == [2, 2, 2]


async def test_no_setting_keeps_amazons_buyers_longer_than_amazon_allows(shop: Shop) -> None:
    with pytest.raises(ValidationError):
        PrivacyChoices(amazon_days=30)


async def test_a_batch_that_is_cut_off_is_done_by_the_next_run(
    shop: Shop, worker: Store, database_urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await shop.account("amazon")
    for number in range(3):
        over = utc_now() - timedelta(days=40)
        await sell(shop, account, told(shop, "x", f"cut {number}", status="shipped", modified_at=over))
    monkeypatch.setattr(retention, "BATCH", 1)
    real, calls = erasure.forget_old, 0

    async def killed(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        done = await real(*given)
        if calls == 2:
            raise ConnectionError("the process is gone before it could commit")
        return done

    monkeypatch.setattr(erasure, "forget_old", killed)
    with pytest.raises(ConnectionError):
        await retention.run(worker, shop.tenant_id)
    assert (await retention.run(worker, shop.tenant_id)).orders == 2
    assert holding(database_urls["owner"], shop) == set()
    lines = await shop.rows("SELECT details FROM audit_entry WHERE action = 'retention.buyers-erased'")
    assert sum(line.details["orders"] for line in lines) == 3


_RUN = """
import asyncio, sys
from uuid import UUID
from flipsync.services import retention
from flipsync.store.database import Database
from flipsync.store.unit_of_work import Store
retention.BATCH, retention.BATCHES = 1, 1000
asyncio.run(retention.run(Store(Database(sys.argv[1]), {}), UUID(sys.argv[2])))
"""


async def test_a_run_that_is_killed_leaves_nothing_half_done(
    shop: Shop, worker: Store, database_urls: dict[str, str]
) -> None:
    account, count = await shop.account("amazon"), 150
    over = utc_now() - timedelta(days=40)
    async with shop.unit() as unit:
        for number in range(count):
            order = told(shop, "x", f"kill {number}", status="shipped", modified_at=over)
            await orders.ingest_order(unit, account, order)

    async def left() -> int:
        query = "SELECT id FROM customer_order WHERE tenant_id = :tenant AND erased_at IS NULL"
        return len(await shop.rows(query))

    words = [sys.executable, "-c", _RUN, database_urls["worker"], str(shop.tenant_id)]
    process = subprocess.Popen(words)
    while process.poll() is None and await left() > count - 5:
        await asyncio.sleep(0.02)
    process.kill()
    process.wait()
    assert 0 < await left() < count, "it was killed in the middle"
    while (await retention.run(worker, shop.tenant_id)).more or await left():
        pass
    assert holding(database_urls["owner"], shop) == set()
    lines = await shop.rows("SELECT details FROM audit_entry WHERE action = 'retention.buyers-erased'")
    assert sum(line.details["orders"] for line in lines) == count, "each is told of once"


async def test_what_has_had_its_time_is_pruned_and_what_has_not_stays(shop: Shop, worker: Store) -> None:
    old, fresh = utc_now() - timedelta(days=31), utc_now() - timedelta(hours=1)
    tenant = {"tenant_id": shop.tenant_id}
    async with shop.unit() as unit:
        users = [m.User(**tenant, email=f"{new_id()}@example.com", password_hash="x") for _ in range(2)]
        unit.session.add_all(users)
        await unit.session.flush()
        for user, moment in zip(users, (old, fresh), strict=True):
            name = str(moment)
            unit.session.add_all(
                [
                    m.UserSession(**tenant, user_id=user.id, expires_at=moment),
                    m.RefreshToken(
                        **tenant, user_id=user.id, family_id=new_id(), token_hash=f"{new_id()}", expires_at=moment
                    ),
                    m.RecoveryCode(**tenant, user_id=user.id, code_hash=f"{new_id()}", used_at=moment),
                    m.Passkey(
                        **tenant,
                        user_id=user.id,
                        name=name,
                        credential_id=name.encode(),
                        public_key=b"",
                        revoked_at=moment,
                    ),
                    m.SpentNote(**tenant, mark=name, expires_at=moment),
                    m.SecondFactor(**tenant, user_id=user.id, sealed=b"", created_at=moment),
                    m.IdempotencyRecord(**tenant, key=name, fingerprint="f", created_at=moment),
                ]
            )
    done = await retention.run(worker, shop.tenant_id)
    tables = ("idempotency_record", "refresh_token", "user_session", "recovery_code", "second_factor")
    tables += ("passkey", "spent_note")
    assert done.pruned == dict.fromkeys(tables, 1)
    for table in tables:
        assert len(await shop.rows(f"SELECT id FROM {table} WHERE tenant_id = :tenant")) == 1
    assert (await retention.run(worker, shop.tenant_id)).pruned == {}


async def test_what_policies_chose_is_dropped_once_no_policy_is_judged_by_it(shop: Shop, worker: Store) -> None:
    assert retention.CHOICES_KEPT > policy_outcomes.WINDOW
    tenant = {"tenant_id": shop.tenant_id}
    account, goods = await shop.account(), await shop.variant(units=1)
    listing = await shop.listing(account, goods, units=1)
    elsewhere = await Shop(shop.store).found()
    async with shop.unit() as unit:
        event_id = unit.emit(CycleStarted(tenant_id=shop.tenant_id, cycle="daily"))
        await unit.flush()
        for age in (91, 89, 0):
            made = m.AgentDecision(
                **tenant, agent="pricing", agent_version="1", event_id=event_id, state="held", source="policy",
                rationale="r", confidence=1.0, correlation_id=new_id(),
            )  # fmt: skip
            unit.session.add(made)
            await unit.session.flush()
            each = {**tenant, "decision_id": made.id, "role": "acting", "at": unit.now - timedelta(days=age)}
            price = {"rung": 2, "chance": 1.0, "price_minor": 1, "current_minor": 1, "currency": "USD"}
            order = {"units": 3, "shipped_units": 2, "level": 3.0, "up_to": 3.0}
            unit.session.add_all(
                [
                    m.PolicyChoice(**each, **price, listing_id=listing),
                    m.OrderChoice(**each, **order, stock_item_id=goods.stock_item_id),
                ]
            )
    tables = ("policy_choice", "order_choice")

    async def ages(table: str) -> list[int]:
        found = await shop.rows(f"SELECT now() - at AS age FROM {table} WHERE tenant_id = :tenant")
        return sorted(row.age.days for row in found)

    assert (await retention.run(worker, elsewhere.tenant_id)).pruned == {}
    assert [await ages(table) for table in tables] == [[0, 89, 91]] * 2, "another business's run touches nothing here"
    assert (await retention.run(worker, shop.tenant_id)).pruned == dict.fromkeys(tables, 1)
    assert [await ages(table) for table in tables] == [[0, 89]] * 2
    assert (await retention.run(worker, shop.tenant_id)).pruned == {}
