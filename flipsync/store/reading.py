"""Questions to the books: queries compiled once, asked as one tenant, several of them in one round trip.

    ITEMS = Question(build)                        # build(which values are given) -> select(... bindparam("limit") ...)
    SHARES = Sentence("SELECT … WHERE stock_item_id = :stock_item_id")
    (items, shares) = await reader.ask(ITEMS(limit=51), SHARES(stock_item_id=item_id))

A `Reader` is a transaction of its own (`pipeline.TenantReader`) or an open one (`database.SessionReader`). Rows have an
attribute for each selected column.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from sqlalchemy import ColumnElement, Select, TextClause, Uuid, bindparam, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.types import TypeEngine

Rows = Sequence[Any]
Query = Select[*tuple[Any, ...]] | TextClause

_DIALECT = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


class Wire(NamedTuple):
    """A statement as it is sent: its text, the names of $1, $2, …, and values that belong to it."""

    text: bytes
    names: tuple[str, ...]
    constants: dict[str, Any]


class Statement:
    """One compiled query. Identity is what a connection remembers prepared statements by."""

    def __init__(self, query: Query, *columns: str) -> None:
        self.query = query
        self._columns = columns
        self._row: Callable[[Sequence[Any]], Any] | None = None

    @cached_property
    def wire(self) -> Wire:
        compiled = self.query.compile(dialect=_DIALECT)
        names: tuple[str, ...] = tuple(getattr(compiled, "positiontup", None) or ())
        given = {name for name, value in compiled.params.items() if value is None}
        constants = {name: value for name, value in compiled.params.items() if name not in given}
        return Wire(str(compiled).encode(), names, constants)

    def row(self, columns: Callable[[], Sequence[str]]) -> Callable[[Sequence[Any]], Any]:
        """What makes a row of values; `columns` are the answer's, which are looked at where none were named."""
        if self._row is None:
            named = () if isinstance(self.query, TextClause) else self.query.selected_columns.keys()
            kind: Any = namedtuple("Row", self._columns or named or columns(), rename=True)  # type: ignore[misc]
            self._row = kind._make
        return self._row


class Sentence(Statement):
    """A statement in SQL's own words, with `:name` for each value, all of which are given; its answer's columns are
    called as they are there, or as they are named here."""

    def __init__(self, words: str, *columns: str) -> None:
        super().__init__(text(words), *columns)

    def __call__(self, **values: Any) -> Asked:
        return Asked(self, values)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its values."""

    statement: Statement
    values: dict[str, Any]


class Question:
    """A query whose conditions depend on which values are given; each combination is compiled once.

    Values are the names of the query's `bindparam`s. None means not given, so a question never compares with NULL.
    """

    def __init__(self, build: Callable[[frozenset[str]], Query]) -> None:
        self._build = build
        self._statements: dict[frozenset[str], Statement] = {}

    def __call__(self, **values: Any) -> Asked:
        given = {name: value for name, value in values.items() if value is not None}
        key = frozenset(given)
        statement = self._statements.get(key)
        if statement is None:
            statement = self._statements[key] = Statement(self._build(key))
        return Asked(statement, given)


class Reader(Protocol):
    """Whoever can be asked. The answers come in the order of the questions."""

    async def ask(self, *asked: Asked) -> list[Rows]: ...


def where(
    query: Select[*tuple[Any, ...]], given: frozenset[str], **conditions: ColumnElement[bool]
) -> Select[*tuple[Any, ...]]:
    """`query` with those of the conditions whose value is given."""
    return query.where(*(condition for name, condition in conditions.items() if name in given))


def among(name: str, kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """`column == among("kinds", Text())`: the column is one of the values called so, however many there are."""
    return func.any(bindparam(name, type_=ARRAY(kind)))


def among_ids(name: str) -> ColumnElement[Any]:
    return among(name, Uuid())


def contains(text: str | None) -> str | None:
    """A LIKE pattern, with "/" as its escape character, of what has `text` in it; None when there is no text."""
    if not text:
        return None
    escaped = text.replace("/", "//").replace("%", "/%").replace("_", "/_")
    return f"%{escaped}%"
