"""Lists in an order of the reader's choice, by the row that was seen last: no page skips or repeats a row, however many
are added meanwhile, and no page reads what came before it.

    SUPPLIERS = Sorts(Supplier.id, name=Supplier.name)        # default: the newest first
    await session.execute(place.put(select(Supplier)))        # a list asked in a session
    ORDERS = SortedQuestion(ORDER_SORTS, build)               # asked by a reader: see `reading.Question`

A key is never NULL: what is not known counts as less than anything, first when ascending and last when descending. Ties
are broken by id, in the same direction. Texts are compared by their first hundred characters, whatever their case: no
index holds that, so it is for lists that stay short. Lists that grow with the business have columns with an index only
(`Exact` for texts): a page costs the same wherever it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    Float,
    Integer,
    Select,
    String,
    bindparam,
    func,
    literal_column,
    tuple_,
)
from sqlalchemy.types import TypeEngine

from flipsync.store.reading import Asked, Query, Question

Kind = Literal["text", "time", "date", "number", "real", "id"]
Selected = Select[*tuple[Any, ...]]

#: by type: what it is called in a cursor, and in SQL's own words what is less than all that is known. Never a bound
#: value: an index on the same expression would not be recognised
_KINDS: tuple[tuple[type[TypeEngine[Any]], Kind, str], ...] = (
    (String, "text", "''"),
    (DateTime, "time", "'1900-01-01 00:00:00+00'::timestamptz"),
    (Date, "date", "'1900-01-01'::date"),
    (Integer, "number", "'-9223372036854775807'::bigint"),
    (Float, "real", "'-infinity'::float8"),
)
_FIRST = 100


@dataclass(frozen=True)
class Order:
    """One order a list can have. `name` is the key's, after "-" when it descends; without a `key` it is the id's."""

    name: str
    id: ColumnElement[UUID]
    key: ColumnElement[Any] | None
    kind: Kind

    @property
    def descending(self) -> bool:
        return self.name.startswith("-")

    def put(self, query: Selected, after: Sequence[Any] | None) -> Selected:
        """`query` in this order, with what a cursor is made of; from after those values of `columns` on (None: given
        when it is asked)."""
        columns = self.columns
        shown = query.add_columns(*(each.label(name) for each, name in zip(columns, _LABELS, strict=False)))
        if after is not None:
            told = zip(_VALUES, after, columns, strict=False)
            theirs = tuple_(*(bindparam(name, value, type_=column.type) for name, value, column in told))
            shown = shown.where(tuple_(*columns) < theirs if self.descending else tuple_(*columns) > theirs)
        return shown.order_by(*(each.desc() if self.descending else each.asc() for each in columns))

    @property
    def columns(self) -> tuple[ColumnElement[Any], ...]:
        return (self.id,) if self.key is None else (self.key, self.id)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return ("id",) if self.key is None else (self.kind, "id")


_LABELS = ("sort_key", "sort_id")
_VALUES = ("after_key", "after_id")


@dataclass(frozen=True)
class Exact:
    """A text that is compared as it stands, in the order of its index."""

    column: Any


class Sorts:
    """The orders a list can have, by name: by `id`, and by each of the columns, up and (with "-") down."""

    def __init__(self, id: Any, /, *, default: str = "-id", **columns: Any) -> None:
        keys: dict[str, tuple[ColumnElement[Any] | None, Kind]] = {"id": (None, "id")}
        keys |= {name: _key(column) for name, column in columns.items()}
        self.orders: Mapping[str, Order] = {
            sign + name: Order(sign + name, id, key, kind) for name, (key, kind) in keys.items() for sign in ("", "-")
        }
        self.default = default
        assert default in self.orders, default

    def first(self, limit: int) -> Place:
        """So many rows as the list begins by default."""
        return Place(self.orders[self.default], limit)


@dataclass(frozen=True)
class Place:
    """Where a page begins: after that row in that order, or (None) at its first; and how many rows to read."""

    order: Order
    limit: int
    after: tuple[Any, ...] | None = None

    def put(self, query: Selected) -> Selected:
        """That page of `query`. Its rows end with the columns of the cursor."""
        return self.order.put(query, self.after).limit(self.limit)

    def cursor_of(self, row: Any) -> list[str]:
        """What the next page is asked with, if this row is the last one seen."""
        key = [row.sort_key] if self.order.key is None else [row.sort_key, row.sort_id]
        return [self.order.name, *(_told(part) for part in key)]


class SortedQuestion:
    """A `Question` for each order of a list; order and limit are put on what `build` returns."""

    def __init__(self, sorts: Sorts, build: Callable[[frozenset[str]], Selected]) -> None:
        self.questions: Mapping[str, Question] = {
            name: Question(_built(order, build)) for name, order in sorts.orders.items()
        }

    def __call__(self, place: Place, **values: Any) -> Asked:
        after = dict(zip(_VALUES, place.after or (), strict=False))
        return self.questions[place.order.name](limit=place.limit, **after, **values)


def _built(order: Order, build: Callable[[frozenset[str]], Selected]) -> Callable[[frozenset[str]], Query]:
    def query(given: frozenset[str]) -> Query:
        after = (None, None) if _VALUES[0] in given else None
        return order.put(build(given), after).limit(bindparam("limit"))

    return query


def _key(column: Any) -> tuple[ColumnElement[Any], Kind]:
    """What is compared instead of a column that may be NULL, or be long."""
    column, exact = (column.column, True) if isinstance(column, Exact) else (column, False)
    kind, lowest = next((kind, lowest) for type_, kind, lowest in _KINDS if isinstance(column.type, type_))
    key: ColumnElement[Any] = column
    if getattr(column, "nullable", True):
        # GREATEST passes NULLs over. COALESCE would say the same, but is no index condition under row-level security:
        # what may leak a value waits until the policy has seen the row, so that each page would read all before it
        key = func.greatest(column, literal_column(lowest, column.type), type_=column.type)
    if kind == "text" and not exact:
        key = func.lower(func.left(key, literal_column(str(_FIRST))), type_=String())
    return key, kind


def _told(part: Any) -> str:
    return part.isoformat() if isinstance(part, date) else str(part)
