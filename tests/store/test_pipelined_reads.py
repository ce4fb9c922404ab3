"""Reads share connections: each sees its own tenant, whatever happens to the reads beside it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from uuid import UUID

import pytest
from sqlalchemy import ARRAY, Text, bindparam, func, literal_column, select, text

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import InvalidInput, Unauthenticated, Unavailable
from flipsync.domain.ids import new_id
from flipsync.store.database import Database, SessionReader
from flipsync.store.models import Product, Tenant, User, UserSession
from flipsync.store.pipeline import Presence, ReadFailed, ReadPipeline
from flipsync.store.reading import Question, Sentence, contains

TENANT = new_id()
PRODUCTS = Question(
    lambda given: (
        query.where(Product.handle == bindparam("handle"))
        if "handle" in given
        else query.where(func.lower(Product.title).like(func.lower(bindparam("part")), escape="/"))
        if "part" in given
        else query
    )
)
query = select(Product.tenant_id, Product.handle, Product.tags, Product.created_at).order_by(Product.id)
BOUND = Question(lambda _: select(func.current_setting("app.tenant_id", True).label("tenant")))
WRONG = Question(lambda _: select((1 / func.length(bindparam("text"))).label("n")))
SLOW = Question(lambda _: select(func.pg_sleep(bindparam("seconds")).label("slept")))


@pytest.fixture
async def database(database_urls: dict[str, str]) -> AsyncIterator[Database]:
    opened = Database(database_urls["app"], pool_size=2, name="pipelined")
    yield opened
    await opened.aclose()


@pytest.fixture
async def tenants(database: Database) -> list[UUID]:
    """Each with one product named after it and one user with the tenant's own id."""
    made = [new_id() for _ in range(5)]
    for tenant_id in made:
        async with database.session(tenant_id) as session:
            session.add(Tenant(id=tenant_id, name="T", currency="USD"))
            await session.flush()
            session.add(Product(tenant_id=tenant_id, handle=str(tenant_id), title=f"100% {tenant_id}", tags=["a", "b"]))
            session.add(
                User(id=tenant_id, tenant_id=tenant_id, email=f"{tenant_id}@x.example", password_hash="", role="owner")
            )
    return made


async def test_many_reads_on_few_connections_each_see_their_own_tenant(database: Database, tenants: list[UUID]) -> None:
    async def one(tenant_id: UUID) -> None:
        found, bound = await database.questions(tenant_id).ask(PRODUCTS(), BOUND())
        assert [row.tenant_id for row in found] == [tenant_id]
        assert found[0].tags == ["a", "b"]
        assert found[0].created_at <= utc_now()
        assert bound[0].tenant == str(tenant_id)

    await asyncio.gather(*(one(random.choice(tenants)) for _ in range(500)))


async def test_no_tenant_stays_behind_on_a_connection(database_urls: dict[str, str], tenants: list[UUID]) -> None:
    pipeline = ReadPipeline(database_urls["app"], connections=1)
    await pipeline.read(tenants[0], None, [PRODUCTS()])
    (line,) = pipeline._lines
    left = await line.send(
        [(b"SELECT current_setting('app.tenant_id', true)", []), (b"SELECT count(*) FROM product", [])]
    )
    line.transformer.set_pgresult(left[0])
    assert line.transformer.load_rows(0, 1, tuple) == [("",)]
    line.transformer.set_pgresult(left[1])
    assert line.transformer.load_rows(0, 1, tuple) == [(0,)]
    await pipeline.aclose()


async def test_values_choose_the_conditions(database: Database, tenants: list[UUID]) -> None:
    mine = database.questions(tenants[0])
    (found,), (none,), (part,), (literal,) = [
        await mine.ask(asked)
        for asked in (
            PRODUCTS(handle=str(tenants[0])),
            PRODUCTS(handle=str(tenants[1])),
            PRODUCTS(part=contains("100% ")),
            PRODUCTS(part=contains("1%0")),
        )
    ]
    assert [len(rows) for rows in (found, none, part, literal)] == [1, 0, 1, 0]
    async with database.reader(tenants[0]) as session:
        (same,) = await SessionReader(session).ask(PRODUCTS(handle=str(tenants[0])))
    assert [tuple(row) for row in same] == [tuple(row) for row in found]


async def test_a_read_that_fails_or_is_given_up_disturbs_no_other(database: Database, tenants: list[UUID]) -> None:
    mine, other = database.questions(tenants[0]), database.questions(tenants[1])
    given_up = asyncio.create_task(mine.ask(SLOW(seconds=0.3)))
    await asyncio.sleep(0.1)
    given_up.cancel()
    answers = await asyncio.gather(
        *(each for _ in range(20) for each in (mine.ask(WRONG(text="")), other.ask(PRODUCTS()))), return_exceptions=True
    )
    for failed, fine in zip(answers[::2], answers[1::2], strict=True):
        assert isinstance(failed, ReadFailed)
        assert failed.sqlstate == "22012"
        assert [row.tenant_id for row in fine[0]] == [tenants[1]]


async def test_words_are_asked_like_queries_and_lists_are_arrays(database: Database, tenants: list[UUID]) -> None:
    words = Sentence(
        "SELECT handle AS called, cardinality(CAST(:names AS text[])) AS many FROM product"
        " WHERE id IS NOT NULL AND handle = ANY (CAST(:handles AS text[]))"
    )
    names = [
        "",
        "NULL",
        "a,b",
        '"quoted"',
        "back\\slash",
        "{braces}",
        "\u0645\u0631\u062d\u0628\u0627 \U0001f600",
        " ",
        "'; DROP TABLE product",
    ]
    asked = words(names=names, handles=[str(each) for each in tenants])
    (mine,) = await database.questions(tenants[0]).ask(asked)
    async with database.session(tenants[0]) as session:
        (same,) = await SessionReader(session).ask(asked)
    assert [(row.called, row.many) for row in mine] == [(str(tenants[0]), len(names))]
    assert [(row.called, row.many) for row in same] == [(str(tenants[0]), len(names))]
    unnested = Question(lambda _: select(func.unnest(bindparam("names", type_=ARRAY(Text))).label("name")))
    (back,) = await database.questions(tenants[0]).ask(unnested(names=[*names, None]))
    assert [row.name for row in back] == [*names, None]
    with pytest.raises(InvalidInput, match="NUL"):
        await database.questions(tenants[0]).ask(unnested(names=["a\0b"]))
    assert await database.questions(tenants[0]).ask(words(names=[], handles=[])) == [[]]


async def test_a_text_does_not_end_early(database: Database, tenants: list[UUID]) -> None:
    with pytest.raises(InvalidInput):
        await database.questions(tenants[0]).ask(PRODUCTS(handle=f"{tenants[0]}\0and more"))


async def test_a_table_that_has_changed_is_read_as_it_is_now(make_database: Callable[[], dict[str, str]]) -> None:
    urls = make_database()
    database, owner = Database(urls["app"], pool_size=1), Database(urls["owner"], pool_size=1)
    everything = Question(lambda _: select(literal_column("*")).select_from(text("product")))
    mine = database.questions(new_id())
    assert await mine.ask(everything()) == [[]]
    async with owner.unbound() as session:
        await session.execute(text("ALTER TABLE product ADD COLUMN later text"))
    assert await mine.ask(everything()) == [[]]
    await database.aclose()
    await owner.aclose()


async def test_nothing_can_be_written(database: Database, tenants: list[UUID]) -> None:
    write = Question(lambda _: select(func.nextval(func.pg_get_serial_sequence("x", "y")).label("n")))
    with pytest.raises(ReadFailed):
        await database.questions(tenants[0]).ask(write())
    line = database._pipeline._lines[0]
    with pytest.raises(ReadFailed, match="25006"):
        await line.send([(b"DELETE FROM product", [])])


async def test_a_disabled_user_is_refused_at_once(database: Database, tenants: list[UUID]) -> None:
    who = Presence("session", (str(tenants[0]).encode(), str(tenants[0]).encode(), b"owner"))
    async with database.session(tenants[0]) as session:
        session.add(UserSession(id=tenants[0], tenant_id=tenants[0], user_id=tenants[0], expires_at=utc_now()))
    mine = database.questions(tenants[0], who)
    assert len((await mine.ask(PRODUCTS()))[0]) == 1
    with pytest.raises(Unauthenticated):
        await database.questions(tenants[1], who).ask(PRODUCTS())  # a user of another tenant
    with pytest.raises(Unauthenticated):
        await database.questions(tenants[0], who._replace(who=(*who.who[:2], b"clerk"))).ask(
            PRODUCTS()
        )  # what they were before
    with pytest.raises(Unauthenticated):
        await database.questions(tenants[0], who._replace(kind="key")).ask(PRODUCTS())
    async with database.session(tenants[0]) as session:
        await session.execute(text("UPDATE app_user SET disabled_at = now() WHERE id = :id"), {"id": tenants[0]})
    with pytest.raises(Unauthenticated):
        await mine.ask(PRODUCTS())


async def test_a_lost_connection_is_opened_again(
    database: Database, database_urls: dict[str, str], tenants: list[UUID]
) -> None:
    mine = database.questions(tenants[0])
    await mine.ask(PRODUCTS())
    owner = Database(database_urls["owner"], pool_size=1)
    end = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pipelined reads'")
    async with owner.unbound() as session:
        assert (await session.execute(end)).scalars().all() == [True]
    assert len((await mine.ask(PRODUCTS()))[0]) == 1
    await owner.aclose()


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    nowhere = Database("postgresql://app@127.0.0.1:1/nothing", name="nowhere")
    with pytest.raises(Unavailable):
        await nowhere.questions(new_id()).ask(BOUND())
    await nowhere.aclose()


def test_another_event_loop_opens_its_own_connections(database_urls: dict[str, str]) -> None:
    database = Database(database_urls["app"], name="two loops")

    async def bound() -> str:
        (rows,) = await database.questions(TENANT).ask(BOUND())
        return str(rows[0].tenant)

    assert [asyncio.run(bound()) for _ in range(2)] == [str(TENANT)] * 2
    asyncio.run(database.aclose())
