"""Rules about what the channel shows against what our books say: writes, reads, and what became of the goods."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from flipsync.domain.channel import ListingState
from flipsync.services.watch.memory import Edit, Expected, Looked, Memory, Written
from flipsync.services.watch.rules_calls import Found

#: real seconds: how far back writes count, how long what was written may take to show, how long a difference must last
_WINDOW, _SETTLES, _LASTS = 150.0, 13.0, 8.0
#: how many prices of one scale, and titles rewritten, make a rule of it
_SEVERAL = 2
#: so many listings that are gone at once, and none that is there, are no listings that are gone
_MANY = 3


@dataclass(frozen=True)
class Row:
    """A listing as it was last seen, beside what was expected.

    `lasted`: real seconds from the first look that showed this, and should not have, to the last; `priced` and `over`
    the same of the price alone and of units above what was expected, which sales do not end. `fresh`: whether it was
    looked at since our books changed.
    """

    listing: str
    expected: Expected
    state: ListingState | None
    at: float
    lasted: float
    priced: float
    over: float
    fresh: bool


def of_books(memory: Memory) -> Iterator[Found]:
    """What is shown, and should not be."""
    rows = _rows(memory)
    yield from _identity(memory, rows)
    yield from _lists(memory, rows)
    yield from _orders(memory)
    yield from _stale(memory)
    yield from _answers(memory)
    live = [
        row
        for row in rows
        if row.state is not None and row.state.status == "active" and row.fresh and not row.expected.busy
    ]
    yield from _edits(memory)
    yield from _prices(memory, live)
    yield from _quantities(memory, live)


def _rows(memory: Memory) -> list[Row]:
    rows = []
    for listing, expected in memory.expected.items():
        looks = memory.looks.get(listing)
        if not looks:
            continue
        last = looks[-1]
        since = last.at
        for look in reversed(looks):
            if _key(look.state) != _key(last.state):
                break
            since = look.at
        changed = memory.expected_since.get(listing, 0.0)
        lasted = (last.at - max(since, changed)) / memory.speed
        priced, over = _priced(memory, listing, looks), _over(memory, listing, looks)
        rows.append(Row(listing, expected, last.state, last.at, lasted, priced, over, last.at >= changed))
    return rows


def _priced(memory: Memory, listing: str, looks: Sequence[Looked]) -> float:
    """Real seconds for which the listing has shown its price, while ours stayed what it is."""
    shown = [None if look.state is None else look.state.price for look in looks]
    since = _first(looks, [price == shown[-1] for price in shown])
    return (looks[-1].at - max(since, memory.priced_since.get(listing, 0.0))) / memory.speed


def _over(memory: Memory, listing: str, looks: Sequence[Looked]) -> float:
    """Real seconds for which the listing has shown too many units at every look, since our last write of them."""
    write = memory.last_write(listing, "quantity")
    since = _first(looks, [(look.over or 0) > 0 for look in looks])
    return (looks[-1].at - max(since, 0.0 if write is None else write.at)) / memory.speed


def _first(looks: Sequence[Looked], alike: Sequence[bool]) -> float:
    """When the first of the newest looks was made that are alike without a break."""
    first = looks[-1].at
    for look, same in zip(reversed(looks), reversed(alike), strict=True):
        if not same:
            break
        first = look.at
    return first


def _key(state: ListingState | None) -> object:
    return None if state is None else (state.quantity, state.price, state.status, state.sku)


def _identity(memory: Memory, rows: list[Row]) -> Iterator[Found]:
    """Whether each listing still is the one it was. Where all seem to be gone, it is the answers that have changed."""
    lost = [row for row in rows if _is_lost(memory, row)]
    there = [row for row in rows if row not in lost and row.at >= min((each.at for each in lost), default=0.0)]
    if lost and not there and len(rows) >= _MANY:
        if len(lost) >= _MANY:
            words = f"{len(lost)} listings seem to be gone, all that were looked at"
            yield "schema-changed", min(row.at for row in lost), [words]
        return
    skus = {row.expected.sku: row.listing for row in rows}
    for row in rows:
        state, first = row.state, memory.first_state.get(row.listing)
        name = f"{row.expected.sku} ({row.listing})"
        if row.expected.busy:
            continue  # what we are changing ourselves is not judged
        if state is None:
            yield "listing-gone", row.at, [f"{name} is not known there"]
        elif state.sku != row.expected.sku:
            merged = state.sku in skus
            cause = "listing-merged" if merged else "sku-changed"
            yield cause, row.at, [f"{name} is shown as {state.sku}"]  # type: ignore[misc]
        elif first is None:
            continue  # it never was on sale as far as we saw
        elif state.status == "ended":
            yield "listing-ended", row.at, [f"{name} has ended"]
        elif state.status == "draft" and first.status == "active":
            yield "listing-suppressed", row.at, [f"{name} is not shown to buyers"]
        elif first.group_external_id is not None and state.group_external_id != first.group_external_id:
            yield (
                "variation-split",
                row.at,
                [f"{name} was of {first.group_external_id}, is of {state.group_external_id}"],
            )
        elif first.title != state.title and row.lasted >= 0:
            yield "title-rewritten", row.at, [f"{name}: “{state.title[:60]}” instead of “{first.title[:60]}”"]
        elif first.quantity is not None and state.quantity is None:
            yield "stock-uncounted", row.at, [f"{name} has no count of units any more"]


def _is_lost(memory: Memory, row: Row) -> bool:
    """Whether a listing that was on sale is not known any more, or has ended."""
    if row.expected.busy or row.listing not in memory.first_state:
        return False
    return row.state is None or row.state.status == "ended"


def _lists(memory: Memory, rows: list[Row]) -> Iterator[Found]:
    """Whether the list of all listings agrees with itself and with looks at each."""
    if memory.walked is None:
        return
    at, states = memory.walked
    # what was listed while the list was walked may be missing from it
    before = at - memory.as_business(_SETTLES)
    known = {row.listing for row in rows if row.state is not None and memory.looks[row.listing][0].at < before}
    listed = [state.external_id for state in states]
    missing = sorted(known - set(listed))
    ours = {row.expected.sku for row in rows}
    twice = sorted(sku for sku in ours if sum(1 for state in states if state.sku == sku) > 1)
    if missing and twice:
        yield "list-page-repeated", at, [f"{len(twice)} listings come twice and {len(missing)} not at all"]
    elif twice:
        yield "listing-doubled", at, [f"{', '.join(twice[:3])} is listed twice"]
    elif missing and any(look.at >= at for name in missing for look in memory.looks[name] if look.state is not None):
        yield "list-truncated", at, [f"{len(missing)} of {len(known)} listings are not in the list, and are there"]


def _orders(memory: Memory) -> Iterator[Found]:
    recent = memory.within(_WINDOW)
    wrong = [at for at in memory.wrong_currency.values() if at >= recent]
    strangers = [key for key, at in memory.strangers.items() if at >= recent]
    if wrong:
        yield "currency-wrong", min(wrong), [f"{len(wrong)} orders in another currency"]
    if strangers:
        yield "foreign-orders", memory.strangers[strangers[0]], [f"order {strangers[0]} has none of our goods"]
    if memory.list_empty_at is not None:
        yield "order-list-empty", memory.list_empty_at, ["the list has none of the orders we know of"]
    elif memory.orders_left_out:
        at = min(memory.orders_left_out.values())
        yield "orders-missing", at, [f"{', '.join(list(memory.orders_left_out)[:3])}: not in the list, and there"]


def _stale(memory: Memory) -> Iterator[Found]:
    """Orders that we were told of are not known there, asked for one by one, and no quantity has moved since."""
    grown = memory.within(_LASTS)
    unknown = {key: at for key, at in memory.orders_unknown.items() if at <= grown}
    if unknown and memory.moved_at <= min(unknown.values()):
        told = ", ".join(list(unknown)[:3])
        yield "reads-stale", min(unknown.values()), [f"order {told}: told of, and not known there", "nothing moves"]


def _answers(memory: Memory) -> Iterator[Found]:
    """Writes without an answer: done at once, or later."""
    since = memory.within(_WINDOW)
    silent = [write for write in memory.writes if write.at >= since and not write.answered]
    late = [write for write in silent if write.seen_undone is not None and write.seen_done is not None]
    done = [write for write in silent if write.seen_undone is None and write.seen_done is not None]
    if late:
        yield "write-after-timeout", late[0].at, [_words(late[0], "got no answer, was not done, and was done later")]
    elif len(done) >= _SEVERAL:
        yield "answers-lost", done[0].at, [f"{len(done)} writes got no answer, and were done"]


def _edits(memory: Memory) -> Iterator[Found]:
    """What writes of ours found before they wrote, and nobody would have seen after them. What is shown because an
    earlier write of ours was not done, or not yet, is nobody else's doing; a price a hundred times ours is misread."""
    since = memory.within(_WINDOW)
    for edit in memory.edits:
        write = edit.write
        if (
            edit.at < since
            or not edit.moved
            or (edit.what == "price" and edit.shown in (100 * edit.known, edit.known // 100))
        ):
            continue
        undone = (
            write is not None and write.before is not None and edit.shown - edit.known == write.before - write.value
        )
        expected = memory.expected.get(edit.listing)
        name = edit.listing if expected is None else expected.sku
        words = f"{name} showed {edit.shown} instead of {edit.known} when we were about to write its {edit.what}"
        if undone and write is not None:
            if write.seen_done is not None:
                yield "write-reverted", edit.at, [words, "it was done, and is not any more"]
        elif write is not None and write.seen_done is None:
            if edit.what == "price":
                yield "price-rewritten", write.at, [words]
        elif edit.what == "price":
            yield "price-changed-elsewhere", edit.at, [words]
        elif stray := _stray(memory, edit):
            yield "write-misplaced", stray.at, [_words(stray, f"it shows on {name}")]
        else:
            yield "stock-changed-elsewhere", edit.at, [words]


def _stray(memory: Memory, edit: Edit) -> Written | None:
    """A write to another listing that was answered, is not seen there, and shows here."""
    since = memory.within(_WINDOW)
    rows = [w for w in memory.writes if w.what == "quantity" and since <= w.at <= edit.at and w.listing != edit.listing]
    return next((w for w in rows if w.value == edit.shown and w.answered and w.seen_done is None), None)


def _prices(memory: Memory, rows: list[Row]) -> Iterator[Found]:
    apart = [
        row
        for row in rows
        if row.expected.price is not None
        and row.state is not None
        and row.state.price not in (None, row.expected.price)
    ]
    if not apart:
        return
    told = [(row, row.state.price, row.expected.price) for row in apart if row.state is not None]
    foreign = [row for row, shown, wanted in told if shown and wanted and shown.currency != wanted.currency]
    if foreign:
        yield "currency-wrong", foreign[0].at, [f"{foreign[0].expected.sku} in another currency"]
        return
    scaled = [
        row
        for row, shown, wanted in told
        if shown and wanted and shown.amount_minor in (100 * wanted.amount_minor, wanted.amount_minor // 100)
    ]
    if len(scaled) >= min(_SEVERAL, len(rows)):
        yield "price-scale-wrong", scaled[0].at, [f"{len(scaled)} prices are a hundred times ours, or a hundredth"]
        return
    for row, shown, wanted in told:
        assert shown is not None and wanted is not None
        write = memory.last_write(row.listing, "price")
        words = f"{row.expected.sku} shows {shown} instead of {wanted}"
        if write is None:
            if row.priced >= _LASTS:
                yield "price-changed-elsewhere", row.at, [words]
            continue
        yield from _of_write(memory, row, write, shown.amount_minor - write.value, words)


def _quantities(memory: Memory, rows: list[Row]) -> Iterator[Found]:
    apart = [
        row
        for row in rows
        if row.expected.quantity is not None and row.state is not None and row.state.quantity is not None
        if row.state.quantity != row.expected.quantity
    ]
    yield from _delayed(memory)
    if not apart:
        return
    if any(_by_sale(memory, row) for row in apart):
        yield from _frozen(memory, apart)
        return  # what sales do not move cannot tell what became of writes
    strays: set[str] = set()
    for row in apart:
        write = memory.last_write(row.listing, "quantity")
        if write is None or not write.answered or not _undone(row, write):
            continue
        landed = [other for other in apart if other is not row and _landed(memory, other, write)]
        if landed and write.before is not None and write.value != write.before:
            strays |= {row.listing, landed[0].listing}
            yield "write-misplaced", write.at, [_words(write, f"it shows on {landed[0].expected.sku}")]
    for row in apart:
        if row.listing in strays:
            continue
        write = memory.last_write(row.listing, "quantity")
        more = _shown(row) - (row.expected.quantity or 0)
        words = f"{row.expected.sku} shows {_shown(row)} instead of {row.expected.quantity}"
        if write is not None:
            yield from _of_write(memory, row, write, more, words)
        elif more > 0 and row.over >= _LASTS and not _stuck(memory, row):
            yield "stock-changed-elsewhere", row.at, [words]


def _of_write(memory: Memory, row: Row, write: Written, more: int, words: str) -> Iterator[Found]:
    """What a difference says of the last write: `more` is how much more is shown than should be.

    A write is ignored sooner where other things have moved since: where nothing moves, what is read may be old.
    """
    if row.at <= write.at:
        return
    undone = 0 if write.before is None else write.before - write.value
    age = (memory.now() - write.at) / memory.speed
    if write.what == "quantity" and more < 0 and not _no_sale(memory, row):
        return
    looked = (row.at - write.at) / memory.speed
    if undone and more == undone:
        if write.seen_done is not None:
            yield "write-reverted", write.undone_again or row.at, [words, "it was done, and is not any more"]
        elif write.answered and looked >= (_SETTLES if memory.moved_at > write.at else 2 * _SETTLES):
            yield "write-ignored", write.at, [words, f"{age:.0f} s after it was answered"]
    elif write.what == "price":
        if write.seen_done is None:
            yield "price-rewritten", write.at, [words]
        elif write.seen_done is not None and row.priced >= _LASTS:
            yield "price-changed-elsewhere", row.at, [words]
    elif undone and more == -undone:
        yield "write-applied-twice", write.at, [words, f"it was {write.before} before"]
    elif undone and 0 < more / undone < 1 and write.seen_done is None and _shown(row) != write.before:
        yield "write-half-applied", write.at, [words, f"it was {write.before} before"]
    elif (
        more > 0 and row.over >= _LASTS and not _stuck(memory, row) and (write.seen_done is not None or age >= _SETTLES)
    ):
        yield "stock-changed-elsewhere", row.at, [words]


def _no_sale(memory: Memory, row: Row) -> bool:
    """Whether fewer units than expected are no sale that we have not been told of yet: orders were listed since.

    Where they may not be listed often, nobody can tell.
    """
    return memory.lists_orders and row.lasted >= _LASTS and memory.listed_at > row.at - row.lasted * memory.speed


def _delayed(memory: Memory) -> Iterator[Found]:
    since = memory.within(_WINDOW)
    late = [
        write
        for write in memory.writes
        if write.at >= since and write.answered and write.seen_undone is not None and write.seen_done is not None
        if write.seen_done > write.seen_undone
    ]
    if late:
        yield "write-delayed", late[0].at, [_words(late[0], "was answered, not done at first, and done later")]


def _frozen(memory: Memory, apart: list[Row]) -> Iterator[Found]:
    """Several quantities stay what they were, and none has moved since the first of them should have."""
    stuck = [row for row in apart if _stuck(memory, row)]
    if len(stuck) < _SEVERAL or not any(_by_sale(memory, row) for row in stuck):
        return
    first = min(memory.expected_since.get(row.listing, row.at) for row in stuck)
    if memory.moved_at > first:
        return
    if memory.now() - first > memory.as_business(6) and not memory.orders_unknown:
        yield "stock-frozen", first, [f"{len(stuck)} listings show what they showed before sales and writes"]


def _stuck(memory: Memory, row: Row) -> bool:
    """Whether the listing shows what was expected once, and has shown it ever since."""
    return _stuck_since(memory, row) is not None


def _stuck_since(memory: Memory, row: Row) -> float | None:
    """When what is shown was last expected, if nothing else has been shown since."""
    shown = _shown(row)
    for at, quantity in reversed(list(memory.expected_before.get(row.listing, ()))[:-1]):
        if quantity == shown:
            seen = [look for look in memory.looks[row.listing] if look.at >= at and look.state is not None]
            return at if all(look.state is not None and look.state.quantity == shown for look in seen) else None
    return None


def _by_sale(memory: Memory, row: Row) -> bool:
    """Whether our count has fallen since without a write."""
    since = _stuck_since(memory, row)
    if since is None:
        return False
    near = memory.as_business(3.0)
    writes = [w.at for w in memory.writes if w.listing == row.listing and w.what == "quantity"]
    steps = list(memory.expected_before[row.listing])
    return any(
        at > since and (new or 0) < (old or 0) and not any(abs(at - written) <= near for written in writes)
        for (_, old), (at, new) in pairwise(steps)
    )


def _landed(memory: Memory, other: Row, write: Written) -> bool:
    """Whether the value of a write shows on another listing, and did not before it."""
    before = [look.state for look in memory.looks[other.listing] if look.at <= write.at and look.state is not None]
    return _shown(other) == write.value and not (before and before[-1].quantity == write.value)


def _undone(row: Row, write: Written) -> bool:
    undone = 0 if write.before is None else write.before - write.value
    return undone != 0 and _shown(row) - (row.expected.quantity or 0) == undone and write.seen_done is None


def _shown(row: Row) -> int:
    return 0 if row.state is None or row.state.quantity is None else row.state.quantity


def _words(write: Written, what: str) -> str:
    return f"{write.what} {write.value} of {write.listing}: {what}"
