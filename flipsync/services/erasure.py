"""Forgetting buyers: every place their names stand in, while sums, taxes and lines stay right.

The database does the blanking (store/migrations/guards_0021.sql): history is written once, and the application has no
right to change it. What decisions read is packed, and blanked here. A tombstone for each order keeps it so when the
channel tells the order again or an older backup is put back.
"""

from __future__ import annotations

import re
import secrets
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import FlipSyncError, NotFound
from flipsync.services import customers, recorded_desk
from flipsync.services.orders import AccountRef
from flipsync.store.repositories import privacy as rows
from flipsync.store.repositories.privacy import BuyersOrder
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

log = structlog.get_logger()
#: notes of decisions that are opened at a time
_NOTES = 500
_NOBODY = UUID(int=0)
_BLANK = "erased"
#: what stands under such a name means something to programs, as do ids and moments (`erased_document` of the database)
_STRUCTURE = re.compile(
    r"(^|_)(ids?|skus?|keys?|hash|kind|type|state|status|currency|at|commands?|agent|vendor|rule|verdict|version|cause|mode"
    r"|source|now|traceparent)$"
)
_BUYERS = re.compile(r"buyer_ids?")
_SET_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\d([T ]\d\d:.*)?", re.DOTALL)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TOMBSTONE = ("account_id", "order_external_id", "reason", "asked_at", "erased_at")


@dataclass(frozen=True)
class Buyer:
    """Whom it is about: an order of theirs, their mail address, or the channel's name for them."""

    order_id: UUID | None = None
    email: str | None = None
    buyer_id: str | None = None
    vendor: str | None = None


@dataclass(frozen=True)
class Erased:
    """`waiting` orders are not over yet: their buyers are forgotten when they are. `rows` changed, by table."""

    orders: int
    waiting: int
    rows: dict[str, int]


async def find(session: AsyncSession, buyer: Buyer) -> list[BuyersOrder]:
    """Their orders. Raises NotFound where no order says that name (any more)."""
    found = await rows.orders_of_buyer(
        session,
        order_id=buyer.order_id,
        email=buyer.email,
        buyer_ids=(buyer.buyer_id,) if buyer.buyer_id else (),
        vendor=buyer.vendor,
    )
    if not found:
        raise NotFound("no order names this buyer", hint="perhaps they were forgotten already")
    return found


async def forget(unit: UnitOfWork, orders: Sequence[BuyersOrder], *, reason: str, told: str = "") -> Erased:
    """Forget the buyers of these orders, for good: now where an order is over, else as soon as it is.

    `reason` is the tombstone's. Doing it again changes nothing.
    """
    over = [order for order in orders if order.closed]
    changed = await _blank(unit, [order.id for order in over], everywhere=True) if over else {}
    await rows.lay_tombstones(
        unit.session,
        [
            {
                "tenant_id": unit.tenant_id,
                "account_id": order.account_id,
                "order_external_id": order.external_id,
                "reason": reason,
                "asked_at": unit.now,
                "erased_at": unit.now if order.closed else None,
            }
            for order in orders
        ],
    )
    # a parcel needs a name, but no pseudonym
    await customers.forget(unit, [order.id for order in orders if not order.closed], erased=False)
    for order in orders:
        unit.audit("buyer.erased" if order.closed else "buyer.to-be-erased", "order", order.id, why=told or reason)
    return Erased(len(over), len(orders) - len(over), changed)


async def forget_waiting(unit: UnitOfWork, most: int) -> int:
    """Orders of tombstones that are over by now, or that came back with a backup; how many."""
    orders = await rows.orders_waiting(unit.session, most)
    if orders:
        await _blank(unit, [order.id for order in orders], everywhere=True)
        await rows.tombstones_done(unit.session, [order.external_id for order in orders], unit.now)
    for order in orders:
        unit.audit("buyer.erased", "order", order.id, why="a tombstone")
    return len(orders)


async def forget_old(unit: UnitOfWork, orders: Sequence[BuyersOrder]) -> dict[str, int]:
    """What retention does with a batch: the orders' own chains, not the whole books; rows changed by table."""
    return await _blank(unit, [order.id for order in orders], everywhere=False)


async def forget_deleted_account(
    store: Store, telling: AccountRef, buyer_ids: Sequence[str], cause: Cause | None
) -> int:
    """A channel says that a buyer's account is gone: forgotten by every business on the same server that has them;
    orders concerned.

    The word of a server that one business connected counts for nobody on another. One that is cut off in between is
    told again by the channel, and does the rest then.
    """
    vendor = telling.vendor
    async with store.database.unbound() as session:
        holders = await rows.buyer_holders(session, telling.id, buyer_ids)
    count = 0
    for tenant_id, accounts in holders.items():
        async with store.unit(tenant_id, cause) as unit:
            named = await rows.orders_of_buyer(unit.session, buyer_ids=buyer_ids, vendor=vendor, whole_person=False)
            orders = [order for order in named if order.account_id in accounts]
            if orders:
                await forget(unit, orders, reason="account-deleted", told=f"{vendor} says the account was deleted")
            count += len(orders)
    return count


async def lay_again(unit: UnitOfWork, tombstones: Sequence[Mapping[str, Any]]) -> None:
    """Tombstones that books put back do not know; `forget_waiting` does the rest."""
    await rows.lay_tombstones(
        unit.session, [{"tenant_id": unit.tenant_id} | {name: each[name] for name in _TOMBSTONE} for each in tombstones]
    )
    await customers.doubt_forgotten(unit)


async def tombstones(session: AsyncSession) -> list[dict[str, Any]]:
    """All there are, as `lay_again` takes them."""
    return [{name: getattr(row, name) for name in _TOMBSTONE} for row in await rows.tombstones(session)]


async def _blank(unit: UnitOfWork, order_ids: Sequence[UUID], *, everywhere: bool) -> dict[str, int]:
    words = await rows.words_of(unit.session, order_ids)
    notes = await blank_notes(unit, order_ids, *_patterns(words), everywhere=everywhere) if words else 0
    changed = await rows.erase(unit.session, order_ids, f"erased buyer {secrets.token_hex(4)}", everywhere=everywhere)
    await customers.forget(unit, order_ids, erased=True)
    return changed | ({"decision_notes": notes} if notes else {})


async def blank_notes(
    unit: UnitOfWork, order_ids: Sequence[UUID], near: re.Pattern[str], far: re.Pattern[str], *, everywhere: bool
) -> int:
    """What decisions read: those about the orders, or with `everywhere` all that are kept; how many were changed.

    A decision is made again from the blanked notes as from the others: the names were no reason for it.
    """
    changed = 0
    async for decision_id, packed in _notes(unit.session, order_ids, everywhere=everywhere):
        blanked = blank_packed(packed, near, far)
        if blanked is not None:
            await rows.put_notes(unit.session, unit.tenant_id, decision_id, blanked)
            changed += 1
    return changed


async def _notes(
    session: AsyncSession, order_ids: Sequence[UUID], *, everywhere: bool
) -> AsyncIterator[tuple[UUID, bytes]]:
    after = _NOBODY
    while True:
        found = await rows.notes_of(session, order_ids, after, _NOTES, everywhere=everywhere)
        for decision_id, packed in found:
            yield decision_id, packed
        if len(found) < _NOTES:
            return
        after = found[-1][0]


async def notes_naming(
    session: AsyncSession, order_ids: Sequence[UUID], words: Mapping[str, bool]
) -> list[dict[str, Any]]:
    """What decisions read that names these words: the decision, and the texts that do."""
    found: list[dict[str, Any]] = []
    if not words:
        return found
    near, far = _patterns(words)
    async for decision_id, packed in _notes(session, order_ids, everywhere=True):
        notes = _opened(packed)
        naming = sorted(set(_changed(notes, _without(notes, near, far)))) if notes is not None else []
        if naming:
            found.append({"id": str(decision_id), "texts": naming})
    return found


def blank_packed(packed: bytes, near: re.Pattern[str], far: re.Pattern[str]) -> bytes | None:
    """Packed notes without these words; None where none is in them, or nobody can open them."""
    notes = _opened(packed)
    if notes is None:
        return None
    blanked = _without(notes, near, far)
    return None if blanked == notes else zlib.compress(orjson.dumps(blanked), 1)


def _opened(packed: bytes) -> dict[str, Any] | None:
    try:
        return recorded_desk.unpacked(packed)
    except FlipSyncError:
        log.warning("notes of a decision cannot be opened, and are left as they are")
        return None


def _changed(before: Any, after: Any) -> Iterator[str]:
    """Texts that are not the same in both."""
    if isinstance(before, dict):
        for one, other in zip(before.values(), after.values(), strict=False):
            yield from _changed(one, other)
    elif isinstance(before, list):
        for one, other in zip(before, after, strict=True):
            yield from _changed(one, other)
    elif before != after:
        yield str(before)


def _patterns(words: Mapping[str, bool]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """As `words_pattern` of the database: what is looked for as a whole word, and what is looked for anywhere."""
    spelt: tuple[list[str], list[str]] = ([], [])
    for word in sorted(words, key=len, reverse=True):
        spelt[words[word]].append(r"\s+".join(re.escape(part) for part in word.split()))
    near = f"(?<![^\\W_])(?:{'|'.join(spelt[0])})(?![^\\W_])" if spelt[0] else r"(?!)"
    far = f"(?<![0-9A-Za-z])(?:{'|'.join(spelt[1])})(?![0-9A-Za-z])" if spelt[1] else r"(?!)"
    return re.compile(near, re.IGNORECASE), re.compile(far, re.IGNORECASE)


def _without(value: Any, near: re.Pattern[str], far: re.Pattern[str], under: str = "") -> Any:
    """As `erased_document` of the database."""
    if isinstance(value, str):
        if not _BUYERS.fullmatch(under) and (_STRUCTURE.search(under) or _SET_FORM.fullmatch(value)):
            return value
        blanked = far.sub(_BLANK, value)
        if re.search(r"\s", value) or (len(value) < 40 and re.search(r"[^a-z0-9_-]", value)):
            blanked = near.sub(_BLANK, blanked)
        return blanked
    if isinstance(value, list):
        return [_without(each, near, far, under) for each in value]
    if isinstance(value, dict):
        return {
            key if _NAME.fullmatch(key) else far.sub(_BLANK, key): _without(each, near, far, key)
            for key, each in value.items()
        }
    return value
