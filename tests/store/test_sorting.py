"""Lists in any order, page by page: every row once, whatever ties, NULLs and new rows there are; and by index."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Select, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import InvalidInput
from flipsync.domain.ids import new_id
from flipsync.services.reading_page import SortedRequest, cut
from flipsync.store.database import Database
from flipsync.store.models import Product, Tenant, Variant
from flipsync.store.reading import Statement
from flipsync.store.repositories import reading_catalogue, reading_decisions, reading_selling, reading_stock
from flipsync.store.sorting import Exact, Place, SortedQuestion, Sorts

TENANT = new_id()
_DAY = datetime(2026, 3, 1, tzinfo=UTC)
SORTS = Sorts(
    Variant.id,
    sku=Exact(Variant.sku),
    barcode=Variant.barcode,
    price=Variant.price_minor,
    cost_as_of=Variant.cost_as_of,
)
VARIANTS = SortedQuestion(
    SORTS,
    lambda _: select(Variant.id, Variant.sku, Variant.barcode, Variant.price_minor, Variant.cost_as_of).where(
        Variant.product_id == bindparam("product_id")
    ),
)
#: what a value is compared by, NULLs below everything
_BELOW = {
    "id": lambda row: row.id,
    "sku": lambda row: row.sku,
    "barcode": lambda row: (row.barcode or "")[:100].lower(),
    "price": lambda row: row.price_minor or 0,
    "cost_as_of": lambda row: row.cost_as_of or datetime(1900, 1, 1, tzinfo=UTC),
}
#: few values, so that many are alike; texts alike in another case, and longer than what is compared
_ROWS = st.lists(
    st.tuples(
        st.sampled_from([None, "a", "A", "b", "Ä", "x" * 300, "x" * 299 + "y"]),
        st.sampled_from([None, 1, 2, 2**63 - 1]),
        st.sampled_from([None, _DAY, _DAY + timedelta(microseconds=1)]),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
async def database(database_urls: dict[str, str]) -> AsyncIterator[Database]:
    opened = Database(database_urls["app"], pool_size=2, name="sorted")
    async with opened.session(TENANT) as session:
        session.add(Tenant(id=TENANT, name="T", currency="USD"))
    yield opened
    await opened.aclose()


async def _goods(session: AsyncSession, rows: Sequence[Any]) -> UUID:
    """A product with these variants."""
    product = Product(tenant_id=TENANT, handle=new_id().hex, title="T")
    session.add(product)
    await session.flush()
    await _add(session, product.id, rows)
    return product.id


async def _add(session: AsyncSession, product_id: UUID, rows: Sequence[Any]) -> None:
    for barcode, price, moment in rows:
        own = new_id()
        known = {"barcode": barcode, "price_minor": price, "cost_as_of": moment, "sku": own.hex[::-1]}
        session.add(Variant(id=own, tenant_id=TENANT, product_id=product_id, currency="USD", **known))
    await session.flush()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(rows=_ROWS, late=_ROWS, size=st.integers(1, 5), data=st.data())
async def test_pages_hold_every_row_once_in_order(
    rows: list[Any], late: list[Any], size: int, data: st.DataObject, database: Database
) -> None:
    sort = data.draw(st.sampled_from(sorted(SORTS.orders)))
    async with database.session(TENANT) as session:
        product_id = await _goods(session, rows)
    first = await _walk(database, product_id, sort, size)
    name, down = sort.removeprefix("-"), sort.startswith("-")
    assert first == sorted(first, key=lambda row: (_BELOW[name](row), row.id), reverse=down)
    assert len({row.id for row in first}) == len(rows) == len(first)
    known = {row.id for row in first}
    again = await _walk(database, product_id, sort, size, late)
    assert [row.id for row in again if row.id in known] == [row.id for row in first], "none skipped, none repeated"
    assert len({row.id for row in again}) == len(again)
    async with database.reader(TENANT) as session:
        place = SortedRequest(limit=200, sort=sort).place(SORTS)
        told = (await session.execute(place.put(select(Variant).where(Variant.product_id == product_id)))).all()
    whole = await _walk(database, product_id, sort, 200)
    assert [row[0].id for row in told] == [row.id for row in whole], "in a session as by a reader"


async def _walk(database: Database, product_id: UUID, sort: str, size: int, meanwhile: Sequence[Any] = ()) -> list[Any]:
    found: list[Any] = []
    cursor: str | None = None
    while True:
        place = SortedRequest(limit=size, sort=sort, cursor=cursor).place(SORTS)
        (rows,) = await database.questions(TENANT).ask(VARIANTS(place, product_id=product_id))
        page = cut(rows, size, lambda row: row.id, place.cursor_of)
        found += [row for row in rows if row.id in page.items]
        if meanwhile:
            async with database.session(TENANT) as session:
                await _add(session, product_id, meanwhile)
            meanwhile = ()
        if page.next_cursor is None:
            return found
        cursor = page.next_cursor


async def test_a_cursor_is_good_for_the_order_it_was_made_under(database: Database) -> None:
    async with database.session(TENANT) as session:
        product_id = await _goods(session, [(None, price, None) for price in (1, 2)])
    place = SortedRequest(limit=1, sort="price").place(SORTS)
    (rows,) = await database.questions(TENANT).ask(VARIANTS(place, product_id=product_id))
    cursor = cut(rows, 1, lambda row: row.id, place.cursor_of).next_cursor
    assert SortedRequest(sort="price", cursor=cursor).place(SORTS).after == (1, rows[0].id)
    for sort in ("-price", "sku", None):
        with pytest.raises(InvalidInput, match="sorted by price") as refused:
            SortedRequest(sort=sort, cursor=cursor).place(SORTS)
        assert "sort=price" in refused.value.hint
    with pytest.raises(InvalidInput) as refused:
        SortedRequest(sort="colour").place(SORTS)
    assert "-cost_as_of" in refused.value.hint
    for bad in ("", "!", "W10", "WzFd", "WyJwcmljZSIsICJ4IiwgIngiXQ"):
        with pytest.raises(InvalidInput):
            SortedRequest(sort="price", cursor=bad).place(SORTS)


_LARGE = {
    "products": (reading_catalogue.PRODUCTS, reading_catalogue.PRODUCT_SORTS),
    "listings": (reading_selling.LISTINGS, reading_selling.LISTING_SORTS),
    "orders": (reading_selling.ORDERS, reading_selling.ORDER_SORTS),
    "stock": (reading_stock.ITEMS, reading_stock.ITEM_SORTS),
    "decisions": (reading_decisions.DECISIONS, reading_decisions.DECISION_SORTS),
}
_SOMETHING = {"id": UUID(int=1), "number": 1, "text": "x", "time": _DAY}


@pytest.fixture(scope="module")
async def untouched(make_database: Callable[[], dict[str, str]]) -> AsyncIterator[Database]:
    """Nothing was written there, and nothing counted: how many rows others left is no reason for another plan."""
    opened = Database(make_database()["app"], pool_size=1, name="untouched")
    yield opened
    await opened.aclose()


@pytest.mark.parametrize("name", _LARGE)
async def test_a_page_of_what_grows_begins_where_the_index_says(name: str, untouched: Database) -> None:
    """With what would read everything forbidden: rows before the page are no more than an index condition."""
    question, sorts = _LARGE[name]
    async with untouched.reader(TENANT) as session:
        for way in ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin"):
            await session.execute(text(f"SET LOCAL enable_{way} = off"))
        for order in sorts.orders.values():
            after = tuple(_SOMETHING[kind] for kind in order.kinds)
            asked = question(Place(order, 6, after))
            plan = await _plan(session, asked.statement, asked.values)
            assert re.search(r"Index Cond: \(\(tenant_id = .*\) AND \(.*[<>]", plan), f"{order.name}: {plan}"
            assert not re.search(r"^ *(-> *)?Sort  \(", plan, re.M), f"{order.name}: {plan}"


async def _plan(session: AsyncSession, statement: Statement, values: dict[str, Any]) -> str:
    assert isinstance(statement.query, Select)
    compiled = statement.query.params(**values).compile(dialect=session.get_bind().dialect)
    explained = await (await session.connection()).exec_driver_sql(f"EXPLAIN {compiled}", compiled.params)
    return "\n".join(row[0] for row in explained)
