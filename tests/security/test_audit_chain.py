"""The audit log: written with what it tells of, by nobody else, and never again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from shop import open_store
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from flipsync.domain.ids import new_id
from flipsync.services import audit
from flipsync.services.audit import Verdict
from flipsync.store.audit import Actor
from flipsync.store.database import Database
from flipsync.store.repositories import identity as rows
from flipsync.store.unit_of_work import Cause, Store

CHANGED = "it was changed after it was written"
GONE = "the log ends before the line that was the last one then"


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


@pytest.fixture
async def tenant(store: Store) -> UUID:
    """A business with five lines in its log."""
    made = new_id()
    async with store.unit(made) as unit:
        await rows.insert_tenant(unit.session, made, "Audited", "USD")
    cause = Cause(actor=Actor("user", new_id(), "203.0.113.9"), traceparent="00-x")
    for number in range(5):
        async with store.unit(made, cause) as unit:
            unit.audit("thing.done", "thing", f"ünï {number}", text='a "quoted"\nline', number=number, none=None)
    return made


async def verdict(store: Store, tenant: UUID, anchor: tuple[int, str] | None = None) -> Verdict:
    async with store.reader(tenant) as session:
        return await audit.verify(session, anchor)


async def test_every_line_holds_the_hash_of_the_one_before(store: Store, tenant: UUID) -> None:
    found = await verdict(store, tenant)
    assert (found.intact, found.entries, found.head_seq) == (True, 5, 5)
    assert (await verdict(store, tenant, (5, found.head))).intact
    assert (await verdict(store, new_id())).entries == 0


async def test_what_is_taken_back_leaves_no_line(store: Store, tenant: UUID) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.unit(tenant) as unit:
            unit.audit("thing.done", "thing", "never")
            raise ZeroDivisionError
    assert (await verdict(store, tenant)).entries == 5


async def test_many_writers_make_one_chain(store: Store, tenant: UUID) -> None:
    async def write() -> None:
        async with store.unit(tenant) as unit:
            unit.audit("thing.done", "thing", "a")
            unit.audit("thing.done", "thing", "b")

    await asyncio.gather(*(write() for _ in range(12)))
    found = await verdict(store, tenant)
    assert (found.intact, found.entries) == (True, 29)


@pytest.mark.parametrize("role", ["app", "worker"])
@pytest.mark.parametrize("statement", ["UPDATE audit_entry SET details = '{}'", "DELETE FROM audit_entry"])
async def test_the_application_cannot_change_its_own_lines(
    role: str, statement: str, tenant: UUID, database_urls: dict[str, str]
) -> None:
    database = Database(database_urls[role], pool_size=1)
    with pytest.raises(DBAPIError, match="permission denied"):
        async with database.session(tenant) as session:
            await session.execute(text(statement))
    await database.aclose()


async def test_the_application_cannot_number_date_or_hash_a_line(store: Store, tenant: UUID) -> None:
    async with store.unit(tenant) as unit:
        await unit.session.execute(
            text(
                "INSERT INTO audit_entry (id, tenant_id, seq, at, actor_kind, action, subject_kind, subject_id,"
                " details, address, traceparent, prev_hash, hash) VALUES (:id, :tenant, 2, '2020-01-01', 'system',"
                " 'forged', 'x', 'x', '{}', '', '', 'x', 'x')"
            ),
            {"id": new_id(), "tenant": tenant},
        )
    async with store.reader(tenant) as session:
        last = (
            await session.execute(
                text("SELECT seq, at > now() - interval '1 minute' AS fresh FROM audit_entry WHERE action = 'forged'")
            )
        ).one()
    assert (last.seq, last.fresh) == (6, True)
    assert (await verdict(store, tenant)).intact


@pytest.mark.parametrize(
    ("statement", "faults"),
    [
        ("UPDATE audit_entry SET actor_kind = 'nobody' WHERE seq = 3", [(3, CHANGED)]),
        ("UPDATE audit_entry SET actor_id = NULL WHERE seq = 3", [(3, CHANGED)]),
        ("UPDATE audit_entry SET action = 'thing', subject_kind = 'done' WHERE seq = 3", [(3, CHANGED)]),
        ("UPDATE audit_entry SET at = at - interval '1 microsecond' WHERE seq = 1", [(1, CHANGED)]),
        ("UPDATE audit_entry SET details = details - 'none' WHERE seq = 5", [(5, CHANGED)]),
        (
            "UPDATE audit_entry SET details = '{}', hash = sha256('made up') WHERE seq = 3",
            [(3, CHANGED), (4, "it does not follow the line before it")],
        ),
        ("DELETE FROM audit_entry WHERE seq IN (2, 3)", [(2, "lines 2 to 3 are missing")]),
        ("DELETE FROM audit_entry WHERE seq = 5", [(5, GONE)]),
        ("DELETE FROM audit_entry", [(5, GONE)]),
    ],
)
async def test_what_the_owner_of_the_database_changed_is_named(
    statement: str, faults: list[tuple[int, str]], store: Store, owner: Database, tenant: UUID
) -> None:
    head = (await verdict(store, tenant)).head
    joint = "AND" if "WHERE" in statement else "WHERE"
    async with owner.unbound() as session:
        await session.execute(text(f"{statement} {joint} tenant_id = :tenant"), {"tenant": tenant})
    found = await verdict(store, tenant, (5, head))
    assert [(fault.seq, fault.what) for fault in found.faults] == faults
