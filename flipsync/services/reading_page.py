"""Lists in pages: keyset cursors, which neither skip nor repeat a row while others are added. And money for readers."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from flipsync.domain.clock import require_utc
from flipsync.domain.errors import InvalidInput
from flipsync.domain.money import MAX_MINOR, Money
from flipsync.store.sorting import Place, Sorts

V = TypeVar("V")
R = TypeVar("R")

MAX_LIMIT = 200

#: a time shown in UTC, whatever zone the database session has
Moment = Annotated[datetime, AfterValidator(require_utc)]


class View(BaseModel):
    """What a reader is shown. Times are UTC, amounts are Money."""

    model_config = ConfigDict(frozen=True)


class Page(View, Generic[V]):
    """Some of a list. Ask again with `next_cursor` for more; null means that was all."""

    items: list[V]
    next_cursor: str | None = Field(default=None, examples=["WyIwMTkwM2Y0Yy03YzAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDAiXQ"])


class PageRequest(View):
    """How many rows, and after which."""

    limit: int = Field(default=50, ge=1, le=MAX_LIMIT)
    cursor: str | None = None

    def after_id(self) -> UUID | None:
        """The id of the last row seen. Raises InvalidInput for a cursor that is not ours."""
        key = self._key(1)
        return None if key is None else _uuid(key[0])

    def after_time_and_id(self) -> tuple[datetime, UUID] | None:
        """Time and id of the last row seen. Raises InvalidInput for a cursor that is not ours."""
        key = self._key(2)
        if key is None:
            return None
        try:
            return require_utc(datetime.fromisoformat(key[0])), _uuid(key[1])
        except ValueError:
            raise _bad_cursor() from None

    def after_number(self) -> int | None:
        """The number of the last row seen. Raises InvalidInput for a cursor that is not ours."""
        key = self._key(1)
        if key is None:
            return None
        if not key[0].isascii() or not key[0].isdigit() or len(key[0]) > 18:
            raise _bad_cursor()
        return int(key[0])

    def after_key(self, *kinds: Literal["date", "id", "number", "text"]) -> tuple[Any, ...] | None:
        """The key of the last row seen, by its parts' kinds. Raises InvalidInput for a cursor that is not ours."""
        key = self._key(len(kinds))
        return None if key is None else _parts(kinds, key)

    def _key(self, length: int) -> list[str] | None:
        key = self._told()
        if key is not None and len(key) != length:
            raise _bad_cursor()
        return key

    def _told(self) -> list[str] | None:
        if self.cursor is None:
            return None
        try:
            key = orjson.loads(base64.urlsafe_b64decode(self.cursor + "=" * (-len(self.cursor) % 4)))
        except (binascii.Error, ValueError):
            raise _bad_cursor() from None
        if not isinstance(key, list) or not all(isinstance(part, str) for part in key):
            raise _bad_cursor()
        return key


class SortedRequest(PageRequest):
    """A page of a list that can be sorted; None: as the list is by default. What is asked from outside is narrowed to
    what the list has (`sorted_by`)."""

    sort: str | None = None

    def place(self, sorts: Sorts) -> Place:
        """With one row more than is shown. Raises InvalidInput for a cursor that is not ours, or of another order."""
        name = self.sort or sorts.default
        order = sorts.orders.get(name)
        if order is None:
            raise InvalidInput(f"the list cannot be sorted by {name[:60]!r}", hint=f"by {', '.join(sorts.orders)}")
        told = self._told()
        if told is None:
            return Place(order, self.limit + 1)
        made_under, *key = told or [""]
        if made_under in sorts.orders and made_under != name:
            raise InvalidInput(
                f"the cursor is of this list sorted by {made_under}, not by {name}",
                hint=f"go on with sort={made_under}, or start again without a cursor",
            )
        if made_under != name or len(key) != len(order.kinds):
            raise _bad_cursor()
        return Place(order, self.limit + 1, _parts(order.kinds, key))


class sorted_by:  # noqa: N801 - read where it stands: Annotated[str, sorted_by(SORTS)]
    """The `sort` of a list's query: one of the names its `Sorts` has."""

    def __init__(self, sorts: Sorts) -> None:
        self._sorts = sorts

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        one_of: Any = Literal
        return handler(one_of[tuple(self._sorts.orders)])

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {
            "type": "string",
            "enum": list(self._sorts.orders),
            "default": self._sorts.default,
            "description": "the field, after `-` the greatest first; amounts by their minor units, whatever the "
            "currency; what is not known counts as less than anything",
            "examples": [self._sorts.default],
        }


def cut(rows: Sequence[R], limit: int, view: Callable[[R], V], key: Callable[[R], Sequence[str]]) -> Page[V]:
    """A page of the first `limit` of `rows`, which were read with one row more than that."""
    shown = rows[:limit]
    more = len(rows) > limit
    return Page(items=[view(row) for row in shown], next_cursor=encode_cursor(key(shown[-1])) if more else None)


def encode_cursor(key: Sequence[str]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(list(key))).decode().rstrip("=")


def money(amount_minor: int | None, currency: str | None) -> Money | None:
    """None stays None: an amount that is not known is not zero."""
    if amount_minor is None or currency is None:
        return None
    return Money(amount_minor=amount_minor, currency=currency)


def amount(amount_minor: int | None, currency: str | None) -> dict[str, Any] | None:
    """The fields of `money`, for a view that is validated as a whole: that costs half of validating it in parts."""
    if amount_minor is None or currency is None:
        return None
    return {"amount_minor": amount_minor, "currency": currency}


def _number(text: str) -> int:
    number = int(text) if len(text) <= 20 else MAX_MINOR + 1
    if not -MAX_MINOR <= number <= MAX_MINOR:
        raise ValueError("no column holds that")
    return number


def _words(text: str) -> str:
    if "\0" in text or len(text) > 3_000:
        raise ValueError("no column holds that")
    return text


def _real(text: str) -> float:
    if math.isnan(number := float(text)):
        raise ValueError("not a number is neither before nor after one")
    return number


_PARTS: dict[str, Callable[[str], Any]] = {
    "date": date.fromisoformat,
    "id": UUID,
    "number": _number,
    "real": _real,
    "text": _words,
    "time": lambda text: require_utc(datetime.fromisoformat(text)),
}


def _parts(kinds: Sequence[str], key: Sequence[str]) -> tuple[Any, ...]:
    try:
        return tuple(_PARTS[kind](part) for kind, part in zip(kinds, key, strict=True))
    except (ValueError, OverflowError):
        raise _bad_cursor() from None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise _bad_cursor() from None


def _bad_cursor() -> InvalidInput:
    return InvalidInput("the cursor is not one of this list", hint="start again without a cursor")
