"""Statements that go out together: one transaction, one tenant, and a connection as good as before afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, ProgrammingError

from flipsync.domain.errors import InvalidInput
from flipsync.domain.events import ProductImported
from flipsync.domain.ids import new_id
from flipsync.store import round_trip
from flipsync.store.database import Database, ask
from flipsync.store.models import Tenant
from flipsync.store.reading import Asked, Rows, Sentence
from flipsync.store.unit_of_work import Store, Subscription

NAMES = Sentence("SELECT id, name FROM tenant", "id", "name")
RENAME = Sentence("UPDATE tenant SET name = :name RETURNING name", "name")
FOUND = Sentence(
    "INSERT INTO tenant (id, name, currency, settings) VALUES (:id, :name, 'USD', '{}') RETURNING id", "id"
)
DIVIDE = Sentence("SELECT 10 / :by AS n", "n")
SLEEP = Sentence("SELECT pg_sleep(:seconds)", "slept")
WHO = Sentence("SELECT pg_backend_pid(), current_setting('app.tenant_id', true)", "pid", "tenant")
PREPARED = Sentence("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'fs%'", "n")


@pytest.fixture
async def database(database_urls: dict[str, str]) -> AsyncIterator[Database]:
    """With one connection: what is left behind on it is met by the next one."""
    opened = Database(database_urls["app"], pool_size=1, max_overflow=0, name="round trips")
    yield opened
    await opened.aclose()


@pytest.fixture
async def two(database: Database) -> tuple[UUID, UUID]:
    made = new_id(), new_id()
    for tenant_id in made:
        async with database.session(tenant_id) as session:
            session.add(Tenant(id=tenant_id, name="T", currency="USD"))
    return made


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was sent, together with what."""
    sent: list[list[str]] = []
    exchange = round_trip.exchange

    async def counted(connection: Connection, steps: Sequence[Asked]) -> list[Rows]:
        sent.append([step.statement.wire.text.decode().split()[0] for step in steps])
        return await exchange(connection, steps)

    monkeypatch.setattr(round_trip, "exchange", counted)
    return sent


async def test_a_transaction_begins_bound_with_its_first_question(
    database: Database, two: tuple[UUID, UUID], trips: list[list[str]]
) -> None:
    async with database.session(two[0]) as session:
        assert trips == [], "nothing was asked yet"
        renamed, names = await ask(session, [RENAME(name="mine"), NAMES()])
        assert [tuple(row) for row in names] == [(two[0], "mine")], "and of the other tenant nothing"
        assert [row.name for row in renamed] == ["mine"]
        assert await session.scalar(text("SELECT name FROM tenant")) == "mine"
    assert trips == [["BEGIN", "SELECT", "UPDATE", "SELECT"]]
    assert (await database.at_once(two[1], [NAMES()]))[0][0].name == "T"


async def test_nothing_is_bound_once_a_transaction_is_over(database: Database, two: tuple[UUID, UUID]) -> None:
    await database.at_once(two[0], [RENAME(name="a")])
    async with database.session(two[0]) as session:
        await ask(session, [NAMES()])
    async with database.queue() as connection:
        (who,), names = await ask(connection, [WHO(), NAMES()])
    assert not who.tenant and names == []


async def test_of_steps_one_of_which_fails_none_is_done(database: Database, two: tuple[UUID, UUID]) -> None:
    with pytest.raises(DataError) as refused:
        await database.at_once(two[0], [RENAME(name="lost"), DIVIDE(by=0), RENAME(name="after")])
    assert isinstance(refused.value.orig, psycopg.errors.DivisionByZero)
    with pytest.raises(IntegrityError):
        await database.at_once(two[0], [RENAME(name="lost"), FOUND(id=two[0], name="again")])
    with pytest.raises(ProgrammingError, match="row-level security"):
        await database.at_once(two[0], [FOUND(id=new_id(), name="another's")])
    assert (await database.at_once(two[0], [NAMES()]))[0][0].name == "T"
    assert (await database.at_once(two[0], [DIVIDE(by=5)]))[0][0].n == 2


async def test_reading_ends_in_the_round_trip_that_writes(
    database: Database, two: tuple[UUID, UUID], trips: list[list[str]]
) -> None:
    async with database.reader(two[0]) as session:
        await ask(session, [NAMES()])
        await database.at_once(two[0], [RENAME(name="seen and done")], after=session)
    assert trips == [["BEGIN", "SELECT", "SELECT"], ["COMMIT", "SELECT", "UPDATE"]]
    async with database.reader(two[0]) as session:
        assert (await ask(session, [NAMES()]))[0][0].name == "seen and done"
        with pytest.raises(DBAPIError, match="read-only"):
            await ask(session, [RENAME(name="no")])


@pytest.mark.parametrize("savepoint", [False, True])
async def test_what_was_taken_back_leaves_the_connection_as_good_as_before(
    database: Database, two: tuple[UUID, UUID], savepoint: bool
) -> None:
    """psycopg drops every prepared statement then; ours are made again, and none piles up."""
    for turn in range(8):
        if savepoint:
            async with database.session(two[0]) as session:
                await ask(session, [RENAME(name=f"outside {turn}")])
                with pytest.raises(DataError):
                    async with session.begin_nested():
                        await ask(session, [RENAME(name="inside"), DIVIDE(by=0)])
        else:
            with pytest.raises(DataError):
                async with database.session(two[0]) as session:
                    for _ in range(7):  # psycopg prepares what it meets often
                        await session.execute(text("SELECT count(*) FROM tenant"))
                    await ask(session, [RENAME(name="lost"), DIVIDE(by=0)])
        left, names = await database.at_once(two[0], [PREPARED(), NAMES()])
        assert left[0].n < 12
        assert names[0].name == (f"outside {turn}" if savepoint else "T")


async def test_a_part_that_is_asked_first_is_taken_back_alone(database: Database, two: tuple[UUID, UUID]) -> None:
    async with database.session(two[0]) as session:
        with pytest.raises(DataError):
            async with session.begin_nested():
                await ask(session, [RENAME(name="inside")])
                await ask(session, [DIVIDE(by=0)])
        assert (await ask(session, [NAMES()]))[0][0].name == "T"


async def test_a_connection_that_was_cut_is_replaced(
    database: Database, database_urls: dict[str, str], two: tuple[UUID, UUID]
) -> None:
    async def cut() -> None:
        ((who,),) = await database.at_once(two[0], [WHO()])
        url = database_urls["owner"].replace("postgresql+psycopg", "postgresql")
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as owner:
            await owner.execute("SELECT pg_terminate_backend(%s)", (who.pid,))
        await asyncio.sleep(0.1)

    await cut()
    with pytest.raises(OperationalError):
        await database.at_once(two[0], [NAMES()])
    assert (await database.at_once(two[0], [NAMES()]))[0][0].name == "T"
    await cut()
    with pytest.raises(OperationalError):
        async with database.session(two[0]) as session:
            await session.execute(text("SELECT 1"))
    async with database.session(two[0]) as session:
        assert await session.scalar(text("SELECT name FROM tenant")) == "T"


async def test_a_question_given_up_disturbs_nobody(database: Database, two: tuple[UUID, UUID]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await database.at_once(two[0], [RENAME(name="given up"), SLEEP(seconds=30.0)])
    async with asyncio.timeout(10):
        assert (await database.at_once(two[0], [NAMES()]))[0][0].name == "T"


async def test_values_come_back_as_they_were_sent(database: Database, two: tuple[UUID, UUID]) -> None:
    at = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)
    values: dict[str, Any] = {"a": two[0], "b": True, "c": 2**40, "d": 0.1, "e": at, "f": list(two), "g": "é '\\ {}"}
    asked = Sentence("SELECT :a, :b, :c, :d, :e, CAST(:f AS uuid[]), CAST(:g AS text), CAST(:h AS bigint)", *"abcdefgh")
    ((row,),) = await database.at_once(two[0], [asked(**values, h=None)])
    assert row._asdict() == values | {"h": None}
    with pytest.raises(InvalidInput):
        await database.at_once(two[0], [RENAME(name="nul\0")])
    assert (await database.at_once(two[0], [NAMES()]))[0][0].name == "T"


async def test_a_unit_that_only_tells_is_one_round_trip(
    database: Database, two: tuple[UUID, UUID], trips: list[list[str]]
) -> None:
    store = Store(database, {"ProductImported": [Subscription("market")]})
    async with store.unit(two[0]) as unit:
        unit.emit(ProductImported(product_id=new_id(), created=True))
    assert trips == [["SELECT", "WITH"]]
    trips.clear()
    async with store.unit(two[0]) as unit:
        await unit.session.execute(text("SELECT 1"))
        unit.emit(ProductImported(product_id=new_id(), created=True))
    assert trips == [["BEGIN", "SELECT"], ["WITH", "COMMIT"]]
    facts = Sentence("SELECT count(*) FROM event", "n")
    assert (await database.at_once(two[0], [facts()]))[0][0].n == 2
    with pytest.raises(ZeroDivisionError):
        async with store.unit(two[0]) as unit:
            unit.emit(ProductImported(product_id=new_id(), created=True))
            raise ZeroDivisionError
    assert (await database.at_once(two[0], [facts()]))[0][0].n == 2
