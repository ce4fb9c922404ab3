"""How named faults change what is read, written and delivered: one small function each, for acts.Act's variants."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from time import time
from typing import Any

from flipsync.sandbox.acts import Deliver, Show, Write, price
from flipsync.sandbox.exchange import Answer, Call
from flipsync.sandbox.records import Line, Listing, Order

Lens = Callable[[Show, str, list[Any]], list[Any]]
Pairs = list[tuple[Listing, Listing]]
Delivery = Callable[[Deliver, Callable[[], None]], bool]

# -- what reads show --------------------------------------------------------------------------------------------------


def stale(seconds: float) -> Lens:
    """A cache in front of the channel: what was read is shown for that long, and what came since is not there."""

    def lens(act: Show, kind: str, rows: list[Any]) -> list[Any]:
        now = act.at.now_ms()
        since = act.kept.setdefault("since", now)
        if now - since > seconds * 1000:
            act.kept = {"since": now}
        if not act.kept.get("filled"):
            act.kept["filled"] = True
            for row in act.at.listings():
                act.kept["listing", row.id] = copy.deepcopy(row)
            with act.at.books.seen_through(None):
                for order in act.at.books.orders("channel = ?", (act.at.channel,)):
                    act.kept["order", order.id] = copy.deepcopy(order)
        shown = [act.kept.get((kind, row.id)) for row in rows]
        return [copy.deepcopy(row) for row in shown if row is not None]

    return lens


def frozen_stock(act: Show, kind: str, rows: list[Any]) -> list[Any]:
    """Quantities stay what they were when it began."""
    if kind != "listing":
        return rows
    if not act.kept:
        act.kept = {row.id: row.quantity for row in act.at.listings()}
    return [replace(row, quantity=act.kept.get(row.id, row.quantity)) for row in rows]


def uncounted(act: Show, kind: str, rows: list[Any]) -> list[Any]:
    """The newest listing's stock is not counted any more."""
    if kind != "listing" or not rows:
        return rows
    last = newest(act)
    return [replace(r, quantity=None, doc={**r.doc, "tracked": False}) if r.id == last else r for r in rows]


def truncated(act: Show, kind: str, rows: list[Any]) -> list[Any]:
    """Lists of listings end early, as if that was all; a listing asked for alone is there."""
    return rows if kind != "listing" or len(rows) < 3 else rows[: len(rows) // 2]


def repeated(act: Show, kind: str, rows: list[Any]) -> list[Any]:
    """The first half of a list of listings is shown again in place of the second."""
    half = len(rows) // 2
    return rows if kind != "listing" or half < 2 else [*rows[:half], *rows[:half]]


def every_second_order(act: Show, kind: str, rows: list[Any]) -> list[Any]:
    """Orders placed since it began are left out of lists, each second one; asked for alone they are there."""
    if kind != "order" or act.kept.get("asked") is None:
        act.kept.setdefault("asked", act.at.now_ms())
    if kind != "order" or len(rows) < 2:
        return rows
    return [row for row in rows if row.placed_ms < act.kept["asked"] or row.id % 4 < 2]


def no_orders(act: Show, kind: str, rows: list[Any]) -> list[Any]:
    """Lists of orders are empty; asked for alone, they are there."""
    return [] if kind == "order" and len(rows) > 1 else rows


def strangers_orders(act: Show, kind: str, rows: list[Any]) -> list[Any]:
    """Orders of another seller's goods are among ours."""
    if kind != "order" or len(rows) < 2:
        return rows
    last: Order = copy.deepcopy(rows[-1])
    last.id += 900_000
    line = last.lines[0]
    last.lines = [Line(line.id + 900_000, None, "NOT-OURS-1", "Another seller's", line.quantity, line.total_minor)]
    return [*rows, last]


def merged(act: Show, kind: str, rows: list[Any]) -> list[Any]:
    """The two oldest listings are one: asked for either, or in a list, the second is shown."""
    pair = act.at.listings()[:2]
    if kind != "listing" or len(pair) < 2:
        return rows
    return [copy.deepcopy(pair[1]) if row.id == pair[0].id else row for row in rows]


def scaled(act: Show, kind: str, rows: list[Any]) -> list[Any]:
    """Prices are shown a hundred times too high: cents taken for dollars."""
    if kind != "listing":
        return rows
    shown = [copy.copy(row) for row in rows]
    for row in shown:
        if row.price_minor is not None:
            price(act.at.channel, row, row.price_minor * 100)
    return shown


def newest(act: Show) -> int:
    return act.at.listings()[-1].id


def in_euros(answer: Answer) -> Answer:
    """Every currency of the answer is the euro."""
    return replace(answer, body=answer.body.replace(b'"USD"', b'"EUR"'))


def a_day_ahead(answer: Answer) -> Answer:
    """The server's clock is ten minutes ahead."""
    return replace(answer, headers={**answer.headers, "Date": formatdate(time() + 600, usegmt=True)})


def fewer_fields(answer: Answer) -> Answer:
    """The fields that carry listings and orders have other names: a new version of the API, not announced."""
    try:
        told = json.loads(answer.body)
    except ValueError:
        return answer

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {f"{name}V2" if name != "data" else name: renamed(held) for name, held in value.items()}
        return [renamed(held) for held in value] if isinstance(value, list) else value

    return replace(answer, body=json.dumps(renamed(told)).encode())


def a_web_page(answer: Answer) -> Answer:
    """A page for people: "checking your browser"."""
    page = b"<!doctype html><title>Just a moment...</title><p>Checking your browser before you proceed."
    return replace(answer, body=page, media_type="text/html; charset=UTF-8")


# -- what writes do ---------------------------------------------------------------------------------------------------


def ignored(act: Write, call: Call, answer: Answer, pairs: Pairs) -> Answer | None:
    """Answered, and not done."""
    act.strike()
    return answer


def half(act: Write, call: Call, answer: Answer, pairs: Pairs) -> Answer | None:
    """Quantities go half the way."""
    for old, new in pairs:
        if old.quantity is not None and new.quantity is not None and abs(new.quantity - old.quantity) > 1:
            act.put(new.id, (old.quantity + new.quantity) // 2, None)
            act.strike()
    return None


def twice(act: Write, call: Call, answer: Answer, pairs: Pairs) -> Answer | None:
    """The difference is applied twice."""
    for old, new in pairs:
        if old.quantity is not None and new.quantity is not None and new.quantity != old.quantity:
            act.put(new.id, max(0, 2 * new.quantity - old.quantity), None)
            act.strike()
    return None


def misplaced(act: Write, call: Call, answer: Answer, pairs: Pairs) -> Answer | None:
    """The quantity lands on another listing."""
    for old, new in pairs:
        others = [row for row in act.at.listings() if row.id != new.id and row.quantity is not None]
        if old.quantity is not None and new.quantity != old.quantity and others:
            other = others[(new.id + act.turns) % len(others)]
            act.turns += 1
            act.put(other.id, new.quantity, None)
            act.put(new.id, old.quantity, None)
            act.strike()
    return None


def rounded_prices(act: Write, call: Call, answer: Answer, pairs: Pairs) -> Answer | None:
    """A plug-in makes every price end in 99 cents."""
    for old, new in pairs:
        if new.price_minor is not None and new.price_minor != old.price_minor:
            act.put(new.id, None, new.price_minor // 100 * 100 + 99)
            act.strike()
    return None


def reverted(seconds: float) -> Callable[[Write, Call, Answer, Pairs], Answer | None]:
    """What was written is as it was before, that much later (another tool wrote it back)."""

    def does(act: Write, call: Call, answer: Answer, pairs: Pairs) -> Answer | None:
        for old, new in pairs:
            quantity = old.quantity if old.quantity != new.quantity else None
            price = old.price_minor if old.price_minor != new.price_minor else None
            act.strike()
            act.at.later(seconds, lambda old=old, q=quantity, p=price: act.put(old.id, q, p))  # type: ignore[misc]
        return None

    return does


def late(seconds: float) -> Callable[[Write, Call, Answer, Pairs], Answer | None]:
    """The write is carried out that much later; whether it is answered is for the act to say."""

    def does(act: Write, call: Call, answer: Answer, pairs: Pairs) -> Answer | None:
        act.strike()
        for old, new in pairs:
            quantity = new.quantity if old.quantity != new.quantity else None
            price = new.price_minor if old.price_minor != new.price_minor else None
            act.at.later(seconds, lambda new=new, q=quantity, p=price: act.put(new.id, q, p))  # type: ignore[misc]
        return answer

    return does


# -- what is delivered ------------------------------------------------------------------------------------------------


def held(seconds: float, every: int = 1) -> Delivery:
    """Deliveries come that much later, or those of each n-th order."""

    def how(act: Deliver, deliver: Callable[[], None]) -> bool:
        holds = act.orders % every == 1 % every
        if holds:
            act.at.later(seconds, deliver)
        else:
            deliver()
        return holds

    return how


def lost(every: int = 1) -> Delivery:
    """Deliveries never come, or those of each n-th order."""

    def how(act: Deliver, deliver: Callable[[], None]) -> bool:
        loses = act.orders % every == 1 % every
        if not loses:
            deliver()
        return loses

    return how


def copies(count: int, apart: float) -> Delivery:
    """Each delivery comes several times, so many seconds apart."""

    def how(act: Deliver, deliver: Callable[[], None]) -> bool:
        deliver()
        for copy_of in range(1, count):
            act.at.later(apart * copy_of, deliver)
        return True

    return how


def cut_short(body: bytes) -> bytes:
    """Half of the body."""
    return body[: len(body) // 2]


def forged(headers: dict[str, str], body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Beside the genuine delivery, one that somebody else made up."""
    made_up = {
        name: "forged" if "signature" in name.lower() or "hmac" in name.lower() else value
        for name, value in headers.items()
    }
    return [(headers, body), (made_up, body)]


def resigned(headers: dict[str, str], body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Signed with another secret than the one that was agreed."""
    return forged(headers, body)[1:]
