"""Orders of a page read one by one: the ones that cannot be read are kept apart, and hinder no other.

A vendor's `orders` is `each_order(changed, translate)`: every order that can be read is yielded, then `UnreadOrders` is
raised with the rest. Who does not know of it has a failed read, as before; who does has booked all others by then.
What is kept of an unread order is a short copy: ids, states, times, quantities and amounts, by the names of their
fields. Everything else may be about a buyer, and is left out.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, ValidationInfo, ValidatorFunctionWrapHandler

from flipsync.domain.channel import ChannelOrder, UnreadOrder, WebhookNotice
from flipsync.domain.errors import Unreadable, UnreadOrders

T = TypeVar("T")
RowT = TypeVar("RowT")
#: what reading an order raises that is not what it should be
CANNOT_READ = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, Unreadable)

#: unread orders of one walk that are set aside one by one
MOST = 200
_COPY = 3_900
_WORD = 60
_DEEPEST = 6
_LONGEST_LIST = 20
_IDS = ("orderId", "order_id", "id")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
#: names of fields whose values are kept, unless they are a person's
_KEPT = re.compile(
    r"^id$|(_id|Id|_ids|Ids|ID)$|number$|sku|asin|variant|status|state$|currency|amount|total|subtotal|price|tax|fee|"
    r"discount|quantity|units|restock|date|time|_at$|At$|^type$|kind|value$|marketplace|channel|fulfil",
    re.IGNORECASE,
)
_PERSONS = re.compile(
    r"buyer|customer|user|person|recipient|receiver|name|mail|phone|address|street|city|region|province|postal|zip|"
    r"county|country|company|note|message|comment|instruction|birth|gender|ip$|meta|token|card|iban|account|payer|"
    r"ship_?to|tax_?(id|num)|vat",
    re.IGNORECASE,
)
#: an id, a state, a time, a currency or an amount; words with spaces are none of these
_PLAIN = re.compile(r"[\w.:+/#-]{1,60}")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_CONTEXT = "flipsync-aside"


class Aside:
    """Where orders go that cannot be read, in one walk of a list."""

    def __init__(self) -> None:
        self._unread: dict[str, UnreadOrder] = {}

    @property
    def context(self) -> dict[str, Any]:
        """For `model_validate` of a page whose list of orders is `OneByOne`."""
        return {_CONTEXT: self}

    def keep(self, raw: Any, error: BaseException) -> UnreadOrder:
        found = unread(raw, error)
        if len(self._unread) <= MOST:
            self._unread[found.key] = found
        return found

    @property
    def unread(self) -> tuple[UnreadOrder, ...]:
        return tuple(self._unread.values())

    def tell(self) -> None:
        """Raises UnreadOrders where there are any, and Unreadable where there are so many that the channel must have
        changed its form: then nothing of the walk is true."""
        orders = self.unread
        if len(orders) > MOST:
            raise Unreadable(f"more than {MOST} orders cannot be read: {orders[0].reason}")
        if orders:
            raise UnreadOrders(f"{len(orders)} orders cannot be read: {orders[0].reason}", orders)


class Rows(Aside):
    """Where rows of a list of other things go that cannot be read: `what` they are, for people, and the field each is
    known by."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__()
        self._what, self._name = what, name
        #: names of such rows, as far as they have one, to what is wrong with them
        self.reasons: dict[str, str] = {}
        self.count = 0

    def keep(self, raw: Any, error: BaseException) -> UnreadOrder:
        data = raw.model_dump(by_alias=True) if isinstance(raw, BaseModel) else raw
        name = data.get(self._name) if isinstance(data, dict) else None
        self.count += 1
        self.reasons.setdefault(name if isinstance(name, str) else "", reason_of(error))
        return super().keep(raw, error)

    def read(self, translate: Callable[[RowT], T], row: RowT) -> T | None:
        """The row translated, or None and kept."""
        try:
            return translate(row)
        except CANNOT_READ as error:
            self.keep(row, error)
            return None

    def why(self, name: str) -> Unreadable | None:
        """Why the row of that name was not told; where one had no name it may have been that one."""
        reason = self.reasons.get(name) or self.reasons.get("")
        return Unreadable(f"it cannot be read: {reason}") if reason else None

    def tell(self) -> None:
        """Once the others are told: Raises Unreadable where there are any."""
        if self.count:
            name, reason = next(iter(self.reasons.items()))
            which = f"{name}: {reason}" if name else reason
            raise Unreadable(f"{self.count} {self._what} cannot be read: {which}")


def one_by_one(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """A wrap validator of a list: with an `Aside` in the context, what is no valid row of it goes there."""
    aside = (info.context or {}).get(_CONTEXT)
    try:
        return handler(value)
    except ValidationError:
        if not isinstance(aside, Aside) or not isinstance(value, list):
            raise
    read: list[Any] = []
    for row in value:
        try:
            read.extend(handler([row]))
        except ValidationError as error:
            aside.keep(row, error)
    return handler(read)


async def each_order(
    changed: Callable[[Aside], AsyncIterator[RowT]], translate: Callable[[RowT], ChannelOrder | Awaitable[ChannelOrder]]
) -> AsyncIterator[ChannelOrder]:
    """The orders of a walk that can be read, in their order. Raises UnreadOrders at its end for the others."""
    aside = Aside()
    async for row in changed(aside):
        try:
            order = translate(row)
            if inspect.isawaitable(order):
                order = await order
        except CANNOT_READ as error:
            aside.keep(row, error)
            continue
        yield order
    aside.tell()


def notice_of_unread(topic: str, external_id: str, body: bytes) -> WebhookNotice:
    """A genuine notice about an order that cannot be read in it: the order is looked for, and held if it has to be.

    To refuse it would have the vendor deliver it again and again, and some switch the webhook off.
    """
    digest = hashlib.sha256(body).hexdigest()[:16]
    key = f"{topic}:{external_id}:unread:{digest}"
    return WebhookNotice(kind="order", topic=topic, resource_id=external_id, dedup_key=key)


def usable(translate: Callable[[RowT], T], row: RowT) -> T:
    """One thing that was asked for, translated. Raises Unreadable."""
    try:
        return translate(row)
    except CANNOT_READ as error:
        raise Unreadable(f"the answer cannot be used: {reason_of(error)}") from error


def unread(raw: Any, error: BaseException) -> UnreadOrder:
    """What is remembered of an order that came and could not be read."""
    data = raw.model_dump(mode="json", by_alias=True) if isinstance(raw, BaseModel) else raw
    try:
        whole = json.dumps(data, sort_keys=True, default=str, ensure_ascii=False)
    except (RecursionError, TypeError, ValueError):  # too deep, or names that are no words
        whole = copy_of(data)
    names = data if isinstance(data, dict) else {}
    told = next((names[name] for name in _IDS if isinstance(names.get(name), str | int)), "")
    external_id = str(told) if not isinstance(told, bool) and 0 < len(str(told)) <= 200 else ""
    return UnreadOrder(
        external_id=external_id,
        mark=hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()[:32],
        reason=reason_of(error)[:500],
        told=copy_of(data),
    )


def reason_of(error: BaseException) -> str:
    """What is wrong and where; never what stands there, which may be a buyer's."""
    if isinstance(error, ValidationError):
        places = [
            f"{'.'.join(_word(str(part)) for part in each['loc']) or 'it'}: {each['msg'].splitlines()[0][:100]}"
            for each in error.errors(include_url=False, include_input=False, include_context=False)[:4]
        ]
        return "; ".join(places)
    if isinstance(error, KeyError) and error.args:
        return f"{_word(str(error.args[0]))} is missing"
    first = _QUOTED.sub("…", (str(error).splitlines() or [""])[0][:200])
    return first if isinstance(error, Unreadable | ValueError) and first else f"{type(error).__name__}: {first}"


def _word(text: str) -> str:
    return text if _NAME.fullmatch(text) else "…"


def copy_of(data: Any) -> str:
    """At most 4,000 characters of JSON."""
    left = _COPY

    def cut(value: Any, name: str, depth: int) -> Any:
        nonlocal left
        if left <= 0 or depth > _DEEPEST:
            return "…"
        if isinstance(value, dict):
            if name and _PERSONS.search(name):
                return "…"
            found = {}
            for key, each in list(value.items())[:100]:
                if left <= 0:
                    break
                shown = _word(str(key))
                left -= len(shown) + 6
                found[shown] = cut(each, str(key), depth + 1)
            return found
        if isinstance(value, list):
            return [cut(each, name, depth + 1) for each in value[:_LONGEST_LIST]]
        if value is None or isinstance(value, bool):
            shown_value: Any = value
        elif _KEPT.search(name) and not _PERSONS.search(name) and _PLAIN.fullmatch(str(value)[:_WORD]):
            shown_value = value if isinstance(value, int) and abs(value) < 10**15 else str(value)[:_WORD]
        else:
            shown_value = "…"
        left -= len(str(shown_value)) + 4
        return shown_value

    text = json.dumps(cut(data, "", 0), ensure_ascii=False, separators=(",", ":"), default=str)
    return text if len(text) <= 4_000 else text[:3_999] + "…"
