"""A user's address planted in every place it can get to, then forgotten: it is nowhere, and they come in no more."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from erased_buyer import MARK, holding
from shop import Shop, open_store

from flipsync.domain.clock import utc_now
from flipsync.domain.events import OfferChanged
from flipsync.domain.ids import new_id
from flipsync.security.roles import GRANTS
from flipsync.services import audit, privacy_export, recorded_desk, user_erasure
from flipsync.services.identity import insert_user
from flipsync.store import models as m
from flipsync.store.audit import Actor
from flipsync.store.unit_of_work import Cause, Store

EMAIL = f"Ben.{MARK}@shop.example"
OWNER = GRANTS["owner"]


@pytest.fixture
async def shop(database_urls: dict[str, str]) -> AsyncIterator[Shop]:
    store = open_store(database_urls["app"])
    yield await Shop(store).found()
    await store.aclose()


@pytest.fixture
async def worker(database_urls: dict[str, str]) -> AsyncIterator[Store]:
    """As a restore has the books."""
    store = open_store(database_urls["worker"])
    yield store
    await store.aclose()


async def _employ(shop: Shop, email: str) -> UUID:
    """A user with everything that one can have, who is named wherever people write."""
    tenant, later = {"tenant_id": shop.tenant_id}, utc_now() + timedelta(days=1)
    async with shop.unit() as unit:
        user_id = await insert_user(unit, email, "hash", "manager")
    theirs: dict[str, Any] = {**tenant, "user_id": user_id}
    account = await shop.account()
    whole = f"ask {email.upper()}, or <{email}>; not bob.{email.replace(MARK, 'other')}"
    inside = {"note": whole, "list": [email, {"deep": email}], email: 1, "count": 7}
    clock = dict.fromkeys(("before_clock_at", "before_server_at", "clock_at", "server_at"), utc_now())
    session_id = new_id()
    async with shop.store.unit(shop.tenant_id, Cause(actor=Actor("user", user_id, f"host-{MARK}"))) as unit:
        event_id = unit.emit(OfferChanged(listing_id=new_id(), account_id=account.id, vendor="custom", cause="sale"))
        await unit.flush()
        decision = m.AgentDecision(
            **tenant,
            correlation_id=event_id,
            event_id=event_id,
            agent="market",
            agent_version="1",
            state="awaiting",
            source="rules",
            rationale=whole,
            confidence=1.0,
            alternatives=[inside],
            evidence=[whole],
        )
        way = m.NotificationDestination(**theirs, channel="email", service="smtp", shown=email, sealed=email.encode())
        unit.session.add_all([decision, way])
        await unit.session.flush()
        packed = zlib.compress(orjson.dumps({"now": utc_now().isoformat(), "reads": [["orders.one", [], inside]]}))
        key = {"name": f"{MARK}'s", "prefix": "fs_", "permissions": [], "per_minute": 1, "expires_at": later}
        unit.session.add_all(
            [
                m.DecisionNotes(**tenant, id=decision.id, packed=packed, size=len(packed)),
                m.Approval(**tenant, decision_id=decision.id, question=whole, note=whole, expires_at=later),
                m.IdempotencyRecord(**tenant, key=f"invite {user_id}", fingerprint="f", status=201, body=inside),
                m.UserSession(**theirs, id=session_id, device=f"{MARK}'s phone", address=MARK, expires_at=later),
                m.RefreshToken(
                    **theirs, family_id=session_id, token_hash=f"hash {user_id}", device=MARK, expires_at=later
                ),
                m.SecondFactor(**theirs, sealed=b""),
                m.RecoveryCode(**theirs, code_hash=f"code {user_id}"),
                m.Passkey(**theirs, name=f"{MARK}'s", credential_id=user_id.bytes, public_key=b"k"),
                m.ProviderIdentity(
                    **theirs, provider="x", issuer="https://id.example", subject=f"{MARK} {user_id}", email=email
                ),
                m.ApiKey(**theirs, **key, key_hash=f"key {user_id}"),
                m.Notification(
                    **theirs,
                    key="k",
                    kind="oversold",
                    source="oversold",
                    severity="urgent",
                    subject_kind="order",
                    facts={"to": email},
                ),
                m.NotificationPreference(**theirs, choices={"to": email}),
                m.NotificationDelivery(**theirs, destination_id=way.id, purpose="one", about=[], detail=email),
                m.ReportSchedule(**theirs, kind="sales", format="csv", rhythm="daily", at="07:00", next_at=later),
                m.SyncDevice(**theirs, id=new_id(), name=f"{MARK}'s phone", **clock),
                m.SyncNotice(**theirs, product_id=new_id(), field="title", lost={"by": email}, stands={}),
            ]
        )
        unit.audit("signed-in", "session", session_id, device=f"{MARK}'s phone")
        unit.audit("session.resent-token", "session", new_id(), actor=Actor("nobody", None, MARK), user=str(user_id))
        unit.audit("sign-in.refused", "user", user_id, actor=Actor("nobody", None, MARK), why="wrong password")
        unit.audit("key.made", "key", new_id(), name=f"{MARK}'s", prefix="fs_")
        unit.audit("passkey.renamed", "passkey", new_id(), before=f"{MARK}'s", after=f"{MARK}'s other")
        unit.audit("notifications.destination-added", "user", user_id, service="smtp", shown=f"b…@{MARK}")
    return user_id


async def test_after_forgetting_a_user_they_are_nowhere_and_the_log_verifies(
    shop: Shop, database_urls: dict[str, str]
) -> None:
    user_id = await _employ(shop, EMAIL)
    before = holding(database_urls["owner"], shop)
    assert before >= {"app_user", "audit_entry", "agent_decision", "decision_notes", "approval", "idempotency_record"}
    assert before >= {"passkey", "api_key", "user_session", "provider_identity", "notification", "sync_device"}
    async with shop.unit() as unit:
        changed = await user_erasure.erase(unit, OWNER, user_id, email=EMAIL.lower())
    assert (changed["audit_entry"], changed["decision_notes"], changed["api_key"]) == (7, 1, 1)
    assert holding(database_urls["owner"], shop) == set()
    async with shop.store.reader(shop.tenant_id) as session:
        assert (await audit.verify(session)).intact
        export = await privacy_export.user(session, user_id)
    left = {kind for kind, rows in export.records.items() if rows}
    assert left == {"user", "audit"}, "nothing that lets them in or tells them things"
    [approval] = await shop.rows("SELECT question FROM approval WHERE tenant_id = :tenant")
    assert approval.question == "ask erased, or <erased>; not bob.Ben.other@shop.example", "others are left alone"
    [packed] = await shop.rows("SELECT packed FROM decision_notes WHERE tenant_id = :tenant")
    assert recorded_desk.unpacked(packed.packed)["reads"][0][2]["count"] == 7


async def test_who_came_back_with_a_backup_is_forgotten_by_the_tombstone(
    shop: Shop, worker: Store, database_urls: dict[str, str]
) -> None:
    user_id = await _employ(shop, f"Eve.{MARK}@shop.example")
    tombstones = [{"user_id": each, "erased_at": utc_now()} for each in (user_id, new_id())]
    for again in (1, 0):
        async with worker.unit(shop.tenant_id) as unit:
            assert await user_erasure.lay_again(unit, tombstones) == again
    assert holding(database_urls["owner"], shop) == set()
    async with shop.store.reader(shop.tenant_id) as session:
        assert (await audit.verify(session)).intact
        assert {each["user_id"] for each in await user_erasure.tombstones(session)} >= {user_id}


async def test_no_table_of_theirs_was_forgotten(shop: Shop) -> None:
    [function] = await shop.rows("SELECT prosrc FROM pg_proc WHERE proname = 'erase_user'")
    theirs = {name for name, table in m.Base.metadata.tables.items() if "user_id" in table.columns} - {"user_erasure"}
    assert len(theirs) > 10
    assert {name for name in theirs if f"'{name}'" not in function.prosrc} == set()
