"""A person is forgotten: their words leave the audit log, its chain holds, and what was not left so is still found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from shop import open_store
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from flipsync.domain.errors import Conflict, Forbidden, NotFound
from flipsync.domain.ids import new_id
from flipsync.security.roles import GRANTS
from flipsync.services import audit, user_erasure, users
from flipsync.services.audit import REDACTED, Verdict
from flipsync.services.identity import insert_user
from flipsync.services.users import UserEdit
from flipsync.store.audit import Actor
from flipsync.store.database import Database, SessionReader
from flipsync.store.repositories import identity as rows
from flipsync.store.unit_of_work import Cause, Store

OWNER = GRANTS["owner"]
MIGRATIONS = Path(audit.__file__).parents[1] / "store" / "migrations"
CHANGED = "it was changed after it was written"
UNTOLD = "it says that it was redacted, and no later line says so"
CHANGED_AFTER = "it was changed after it was redacted"
FOLLOWS = "it does not follow the line before it"


@pytest.fixture
async def store(database_urls: dict[str, str]) -> AsyncIterator[Store]:
    opened = open_store(database_urls["app"], pool_size=4)
    yield opened
    await opened.aclose()


@pytest.fixture
async def owner(database_urls: dict[str, str]) -> AsyncIterator[Database]:
    database = Database(database_urls["owner"], pool_size=1)
    yield database
    await database.aclose()


@dataclass
class Office:
    """A business with an owner, and with Ben, who has done things."""

    store: Store
    tenant_id: UUID
    ada: UUID
    ben: UUID
    email: str

    async def act(self, who: UUID, address: str, *line: Any, **details: Any) -> None:
        async with self.store.unit(self.tenant_id, Cause(actor=Actor("user", who, address))) as unit:
            unit.audit(*line, **details)

    async def forget(self, whom: UUID | None = None) -> dict[str, int]:
        async with self.store.unit(self.tenant_id) as unit:
            return await user_erasure.erase(unit, OWNER, whom or self.ben, email=self.email)

    async def verdict(self, anchor: tuple[int, str] | None = None) -> Verdict:
        async with self.store.reader(self.tenant_id) as session:
            return await audit.verify(session, anchor)

    async def lines(self) -> list[Any]:
        async with self.store.reader(self.tenant_id) as session:
            return list((await session.execute(text("SELECT * FROM audit_entry ORDER BY seq"))).all())


async def founded(store: Store) -> Office:
    tenant_id = new_id()
    email = f"Ben.{tenant_id.hex}@shop.example"
    async with store.unit(tenant_id) as unit:
        await rows.insert_tenant(unit.session, tenant_id, "Office", "USD")
        ada = await insert_user(unit, f"ada@{tenant_id.hex}.example", "hash", "owner")
        ben = await insert_user(unit, email, "hash", "clerk")
    return Office(store, tenant_id, ada, ben, email)


async def worked(office: Office) -> Office:
    """Lines 3 to 7: by Ben, about Ben, and by and about others."""
    longer = f"jo.{office.email}.au"
    await office.act(office.ben, "203.0.113.9", "signed-in", "session", new_id(), device="Ben's phone")
    await office.act(office.ada, "198.51.100.1", "user.invited-again", "user", office.ben, email=office.email.upper())
    await office.act(office.ada, "198.51.100.1", "suppliers.made", "supplier", new_id(), email=longer, name="Jo")
    await office.act(office.ben, "203.0.113.9", "passkey.added", "passkey", new_id(), name="Ben's key", user="x")
    await office.act(office.ben, "203.0.113.9", "order.packed", "order", new_id(), units=3)
    return office


@pytest.fixture
async def office(store: Store) -> Office:
    return await worked(await founded(store))


async def test_the_words_are_gone_and_the_chain_holds(office: Office) -> None:
    before = await office.verdict()
    anchor = (before.head_seq, before.head)
    changed = await office.forget()
    after = await office.verdict(anchor)
    assert after.intact, after.faults
    assert (changed["audit_entry"], changed["app_user"], after.entries) == (5, 1, 9)
    lines = await office.lines()
    said = [str(row) for row in lines]
    assert not [row for row in said if "ben's" in row.lower() or "203.0.113.9" in row]
    assert [row.seq for row in lines if office.email.lower() in str(row).lower()] == [5], "another one, which is longer"
    assert [row.seq for row in lines if row.redacted_at] == [2, 3, 4, 6, 7]
    assert all(row.salt is None for row in lines if row.redacted_at), "names cannot be tried against the digest"
    assert lines[3].details == {"email": "erased"} and lines[3].address == "198.51.100.1", "Ada is not forgotten"
    assert lines[6].details == {"units": 3} and lines[6].actor_id == office.ben, "what was done stays"
    assert [row.action for row in lines[7:]] == [REDACTED, "user.erased"]


async def test_two_who_stand_in_one_line_are_forgotten_one_after_the_other(office: Office, store: Store) -> None:
    async with store.unit(office.tenant_id) as unit:
        await insert_user(unit, f"eve@{office.tenant_id.hex}.example", "hash", "owner")
    await office.forget()
    async with store.unit(office.tenant_id, Cause(actor=Actor("user", office.ada, "198.51.100.1"))) as unit:
        ada = f"ada@{office.tenant_id.hex}.example"
        await user_erasure.erase(unit, OWNER, office.ada, email=ada)
    after = await office.verdict()
    assert after.intact, after.faults
    assert "198.51.100.1" not in str(await office.lines()), "not with the line that says so either"


@pytest.mark.parametrize(
    ("statement", "faults"),
    [
        # never redacted
        ("UPDATE audit_entry SET details = '{}' WHERE seq = 5", [(5, CHANGED)]),
        ("UPDATE audit_entry SET address = '' WHERE seq = 5", [(5, CHANGED)]),
        ("UPDATE audit_entry SET digest = sha256('x') WHERE seq = 5", [(5, CHANGED)]),
        ("UPDATE audit_entry SET digest = NULL, salt = NULL WHERE seq = 5", [(5, CHANGED)]),
        ("UPDATE audit_entry SET salt = sha256('x') WHERE seq = 5", [(5, CHANGED)]),
        ("UPDATE audit_entry SET salt = NULL WHERE seq = 5", [(5, CHANGED)]),
        (
            "UPDATE audit_entry SET salt = 'x', digest = fields_hash('x', ARRAY['{}', '']), details = '{}',"
            " address = '' WHERE seq = 5",
            [(5, CHANGED)],
        ),
        # as if it had been redacted
        ("UPDATE audit_entry SET details = '{}', salt = NULL, redacted_at = now() WHERE seq = 5", [(5, UNTOLD)]),
        # redacted before, and changed since
        ("UPDATE audit_entry SET details = details || '{\"units\": 4}' WHERE seq = 7", [(7, CHANGED_AFTER)]),
        ("UPDATE audit_entry SET address = '192.0.2.1' WHERE seq = 7", [(7, CHANGED_AFTER)]),
        ("UPDATE audit_entry SET digest = sha256('x') WHERE seq = 7", [(7, CHANGED)]),
        ("UPDATE audit_entry SET actor_id = NULL WHERE seq = 7", [(7, CHANGED), (7, CHANGED_AFTER)]),
        ("UPDATE audit_entry SET redacted_at = NULL WHERE seq = 7", [(7, CHANGED)]),
        # the line that says what was redacted
        (
            "UPDATE audit_entry SET details = details #- '{lines,7}' WHERE action = 'audit.redacted'",
            [(2, UNTOLD), (3, UNTOLD), (4, UNTOLD), (6, UNTOLD), (7, UNTOLD), (8, CHANGED)],
        ),
        (
            "UPDATE audit_entry SET details = '{}', salt = NULL, redacted_at = now() WHERE action = 'audit.redacted'",
            [(2, UNTOLD), (3, UNTOLD), (4, UNTOLD), (6, UNTOLD), (7, UNTOLD), (8, CHANGED), (8, UNTOLD)],
        ),
    ],
)
async def test_what_was_not_left_so_is_found(
    statement: str, faults: list[tuple[int, str]], office: Office, owner: Database
) -> None:
    await office.forget()
    async with owner.unbound() as session:
        changed = await session.execute(text(f"{statement} AND tenant_id = :tenant"), {"tenant": office.tenant_id})
        assert changed.rowcount == 1
    found = await office.verdict()
    assert [(fault.seq, fault.what) for fault in found.faults] == faults


async def test_an_earlier_line_cannot_speak_for_a_later_redaction(office: Office, owner: Database) -> None:
    """Who may write lines, but not before they were numbered, cannot lay by what is to be redacted one day."""
    async with office.store.unit(office.tenant_id) as unit:
        unit.audit(REDACTED, "user", office.ben, lines={"9": "00" * 32, "nine": 1})
    await office.act(office.ada, "198.51.100.1", "thing.done", "thing", "x", text="kept")
    async with owner.unbound() as session:
        await session.execute(
            text(
                "UPDATE audit_entry e SET details = '{}', salt = NULL, redacted_at = now()"
                " WHERE seq = 9 AND tenant_id = :tenant"
            ),
            {"tenant": office.tenant_id},
        )
    found = await office.verdict()
    assert [(fault.seq, fault.what) for fault in found.faults] == [(9, UNTOLD)]


async def _chain_by(owner: Database, guards: str) -> None:
    """Lines are chained as this file of migrations says, from now on."""
    sql = (MIGRATIONS / guards).read_text(encoding="utf-8")
    body = sql[sql.index("FUNCTION chain_audit_entry()") :]
    function = body[: body.index("END $$;") + len("END $$;")]
    async with owner.unbound() as session:
        await (await session.connection()).exec_driver_sql(f"CREATE OR REPLACE {function}")


@pytest.mark.parametrize(
    ("statement", "faults"),
    [
        ("SELECT 1", []),
        ("UPDATE audit_entry SET action = 'x' WHERE seq = 7", [(7, CHANGED_AFTER)]),
        ("UPDATE audit_entry SET details = '{}' WHERE seq = 7", [(7, CHANGED_AFTER)]),
        ("UPDATE audit_entry SET hash = sha256('x') WHERE seq = 6", [(7, FOLLOWS)]),
        ("UPDATE audit_entry SET prev_hash = sha256('x') WHERE seq = 7", [(7, FOLLOWS), (7, CHANGED_AFTER)]),
        ("UPDATE audit_entry SET redacted_at = NULL WHERE seq = 7", [(7, CHANGED)]),
        ("UPDATE audit_entry SET redacted_at = now(), details = '{}' WHERE seq = 5", [(5, UNTOLD)]),
        ("UPDATE audit_entry SET details = '{}' WHERE seq = 5", [(5, CHANGED)]),
        ("UPDATE audit_entry SET digest = fields_hash('x', ARRAY['{}']), salt = 'x' WHERE seq = 5", [(5, CHANGED)]),
    ],
)
async def test_lines_from_before_verify_and_are_redacted_too(
    statement: str, faults: list[tuple[int, str]], store: Store, owner: Database
) -> None:
    await _chain_by(owner, "guards_0016.sql")
    try:
        office = await worked(await founded(store))
    finally:
        await _chain_by(owner, "guards_0062.sql")
    before = await office.verdict()
    assert before.intact and all(row.digest is None for row in await office.lines())
    assert (await office.forget())["audit_entry"] == 5
    assert (await office.verdict((before.head_seq, before.head))).intact
    said = str([row for row in await office.lines() if row.seq != 5]).lower()
    assert office.email.lower() not in said and "203.0.113.9" not in said
    async with owner.unbound() as session:
        if faults:
            await session.execute(text(f"{statement} AND tenant_id = :tenant"), {"tenant": office.tenant_id})
    found = await office.verdict()
    assert [(fault.seq, fault.what) for fault in found.faults] == faults


async def test_who_is_forgotten_and_who_is_not(office: Office, store: Store) -> None:
    with pytest.raises(Conflict, match="another e-mail"):
        async with store.unit(office.tenant_id) as unit:
            await user_erasure.erase(unit, OWNER, office.ada, email=office.email)
    for whom, holds, refused in (
        (new_id(), OWNER, NotFound),
        (office.ben, GRANTS["read-only"], Forbidden),
    ):
        with pytest.raises(refused):
            async with store.unit(office.tenant_id) as unit:
                await user_erasure.erase(unit, holds, whom, email=office.email)
    with pytest.raises(Conflict, match="last owner"):
        async with store.unit(office.tenant_id) as unit:
            await user_erasure.erase(unit, OWNER, office.ada, email=f"ada@{office.tenant_id.hex}.example")
    await office.forget()
    with pytest.raises(Conflict, match="was forgotten"):
        await office.forget()
    async with store.unit(office.tenant_id) as unit:
        seen = await users.get_user(SessionReader(unit.session), office.ben)
        assert (seen.status, seen.email) == ("erased", f"erased-{office.ben}@erased.invalid")
        with pytest.raises(Conflict, match="was forgotten"):
            await users.edit_user(unit, OWNER, office.ben, UserEdit(disabled=False), seen.version)
    async with store.unit(office.tenant_id) as unit:
        back = await insert_user(unit, office.email, "hash", "clerk")
    assert back != office.ben, "should they come back, they are somebody new"


@pytest.mark.parametrize("role", ["app", "worker"])
async def test_nobody_forgets_people_of_another_business(
    role: str, office: Office, store: Store, database_urls: dict[str, str]
) -> None:
    other = await founded(store)
    database = Database(database_urls[role], pool_size=1)
    async with database.session(other.tenant_id) as session:
        done = (await session.execute(text("SELECT erase_user(:id)"), {"id": office.ben})).scalar_one()
    with pytest.raises(DBAPIError, match="permission denied"):
        async with database.session(office.tenant_id) as session:
            await session.execute(text("SELECT redact_audit_of_user(:id, '{x}')"), {"id": office.ben})
    await database.aclose()
    assert done == {}
    assert all(row.redacted_at is None for row in await office.lines())
