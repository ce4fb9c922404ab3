"""One mutation carried out: by the services that do it for everybody else, under the rules of `merging`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from flipsync.domain.channel import Vendor
from flipsync.domain.errors import Conflict, InvalidInput, NotFound
from flipsync.domain.events import PriceWished
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.security.tokens import Claims
from flipsync.services import stock
from flipsync.services.product_edits import EditMark, ProductEdit, edit_product, microseconds
from flipsync.services.reading_catalogue import get_variant
from flipsync.services.sync.merging import Span, judge_words, stamp_words
from flipsync.services.sync.mutations import Answer, Count, Edit, Lost, Receive, Unreadable, WishPrice, why_unreadable
from flipsync.store.database import SessionReader
from flipsync.store.models import Product, StockItem
from flipsync.store.repositories import stock as ledger
from flipsync.store.repositories import sync as rows
from flipsync.store.unit_of_work import UnitOfWork

_CLOCK_SET = "a device's clock was set while it was away, so nobody can tell whether {}: look again and tell it anew"


@dataclass(frozen=True)
class Doer:
    """Whose mutation it is, and when it happened on the server's time."""

    user: Claims
    device_id: UUID
    when: Span


async def apply(unit: UnitOfWork, told: Receive | Count | Edit | WishPrice | Unreadable, by: Doer) -> Answer:
    """Do it. Raises what the services raise (NotFound, Conflict, InvalidInput); then nothing was done."""
    if isinstance(told, Receive):
        return await _receive(unit, told, by)
    if isinstance(told, Count):
        return await _count(unit, told, by)
    if isinstance(told, Edit):
        return await _edit(unit, told, by)
    if isinstance(told, WishPrice):
        return await _wish(unit, told)
    raise InvalidInput(why_unreadable(told))


# Stock


async def _receive(unit: UnitOfWork, told: Receive, by: Doer) -> Answer:
    item = await _item(unit, told.variant_id)
    seen = item.counted_at
    if seen is not None and not by.when.sure and by.when.first < seen <= by.when.last:
        raise Conflict(_CLOCK_SET.format("the last count saw these units"))
    before = intended(item)
    key, happened_at = _key(told, by), by.when.last
    await stock.receive(
        unit,
        told.variant_id,
        told.quantity,
        key=key,
        mode=item.mode,
        note=told.note,
        happened_at=happened_at,
        happened_from=None if by.when.sure else by.when.first,
    )
    if seen is None or happened_at >= seen:
        return Answer(id=told.id, seq=told.seq, outcome="accepted")
    note = f"{told.quantity} units told late were there when the shelf was counted"
    await stock.count(unit, item.id, before, key=f"{key}:counted", note=note, seen_at=happened_at)
    return Answer(id=told.id, seq=told.seq, outcome="merged", reason="counted-already", message=note)


async def _count(unit: UnitOfWork, told: Count, by: Doer) -> Answer:
    item = await _item(unit, told.variant_id)
    seen = item.counted_at
    since, perhaps = await ledger.moved_since(unit.session, item.id, by.when.first, by.when.last)
    if since != perhaps:
        raise Conflict(_CLOCK_SET.format("what moved since was there"))
    if seen is not None and by.when.first < seen <= by.when.last:
        raise Conflict(_CLOCK_SET.format("the last count was before it"))
    later = seen is not None and seen > by.when.last
    key = _key(told, by)
    if later:
        note = f"{told.counted} units were counted before the shelf was counted last"
        await ledger.move(unit, item, "count", key=key, note=note, happened_at=by.when.last)
        return Answer(id=told.id, seq=told.seq, outcome="merged", reason="counted-later", message=note)
    there = told.counted + since
    if there < 0:
        raise Conflict(f"{told.counted} units counted, but {-since} have left since", hint="count again")
    await stock.count(unit, item.id, there, key=key, note=told.note, seen_at=by.when.last)
    if not since:
        return Answer(id=told.id, seq=told.seq, outcome="accepted")
    message = f"{since:+} units since they were counted: {there} are booked"
    return Answer(id=told.id, seq=told.seq, outcome="merged", reason="moved-since", message=message)


def intended(item: StockItem) -> int:
    """Units that the books say lie there, once channels have let go of those that were counted away."""
    return item.on_hand if item.pending_count is None else item.pending_count


async def _item(unit: UnitOfWork, variant_id: UUID) -> StockItem:
    await get_variant(SessionReader(unit.session), variant_id)
    return await ledger.ensure_item(unit, variant_id, mode="escrow")


def _key(told: Receive | Count, by: Doer) -> str:
    return f"sync:{by.device_id}:{told.id}"


# Words


async def _edit(unit: UnitOfWork, told: Edit, by: Doer) -> Answer:
    found = await rows.lock_words(unit.session, told.product_id)
    if found is None:
        raise NotFound(f"no product {told.product_id}")
    version, edits, product = found
    given = sorted(told.set.model_fields_set)
    if not given:
        raise InvalidInput("nothing is edited", hint="say which fields")
    at = microseconds(by.when.first)  # where nobody can tell, a clock that was set gains nothing
    marks = {name: EditMark.model_validate(edits[name]) if name in edits else None for name in given}
    judged = {
        name: judge_words(mark, at=at, device_id=by.device_id, base_version=told.base_version)
        for name, mark in marks.items()
    }
    replaced = [(name, marks[name], getattr(product, name)) for name in given if judged[name] == "wins"]
    lost = [Lost(field=name, stands=getattr(product, name)) for name in given if judged[name] == "loses"]
    stamps = {
        name: stamp_words(marks[name], at=at, device_id=by.device_id, judged=judged[name])
        for name in given
        if judged[name] != "loses"
    }
    for stamp in sorted(set(stamps.values())):
        names = {name for name, its in stamps.items() if its == stamp}
        edit = ProductEdit.model_validate(told.set.model_dump(include=names))
        mark = EditMark(version=0, at=stamp, user_id=by.user.user_id, device_id=by.device_id)
        version = (await edit_product(unit, told.product_id, edit, version, mark=mark)).version
    for name, was, words in replaced:
        _tell(unit, product, name, was, words, by)
    if len(lost) == len(given):
        message = "somebody else wrote this later: " + ", ".join(given)
        return Answer(id=told.id, seq=told.seq, outcome="conflict", reason="newer-words", message=message, lost=lost)
    if lost or replaced:
        reason, message = ("newer-words", "some of it was written later by somebody else") if lost else ("replaced", "")
        message = message or "somebody else wrote this earlier, and is told: " + ", ".join(n for n, _, _ in replaced)
        return Answer(id=told.id, seq=told.seq, outcome="merged", reason=reason, message=message, lost=lost)
    return Answer(id=told.id, seq=told.seq, outcome="accepted")


def _tell(unit: UnitOfWork, product: Product, field: str, was: EditMark | None, words: Any, by: Doer) -> None:
    """Whoever wrote what was replaced is told, with both. What a file brought is nobody's; same words are no loss."""
    stands = getattr(product, field)
    if was is None or was.user_id is None or stands == words:
        return
    values = {
        "id": new_id(),
        "tenant_id": unit.tenant_id,
        "user_id": was.user_id,
        "device_id": was.device_id,
        "product_id": product.id,
        "field": field,
        "lost": {"is": words},
        "stands": {"is": stands},
        "by_user": by.user.user_id,
        "at": unit.now,
    }
    rows.add_notice(unit.session, values)


# Prices


async def _wish(unit: UnitOfWork, told: WishPrice) -> Answer:
    found = await rows.priced_listing(unit.session, told.listing_id)
    if found is None:
        raise NotFound(f"no listing {told.listing_id}")
    if found.status != "active" or found.price_minor is None:
        raise Conflict(f"the listing is {found.status} and shows no price", hint="wait until its channel shows it")
    shown = Money(amount_minor=found.price_minor, currency=found.currency)
    if told.price.currency != shown.currency or told.price.amount_minor <= 0:
        raise InvalidInput(f"{told.price} is no price for a listing in {shown.currency}")
    if told.seen != shown:
        raise Conflict(f"it costs {shown} by now, not {told.seen}", hint="look again, then wish")
    wish = PriceWished(
        listing_id=told.listing_id,
        account_id=found.account_id,
        vendor=cast(Vendor, found.vendor),
        price=told.price,
        seen=told.seen,
    )
    unit.audit("pricing.wished", "listing", told.listing_id, price=str(told.price), seen=str(told.seen))
    message = "an agent proposes it; gate and price firewall decide"
    return Answer(
        id=told.id, seq=told.seq, outcome="accepted", reason="proposed", message=message, event_id=unit.emit(wish)
    )
