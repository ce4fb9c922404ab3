"""Rules about what the channel tells by itself: subscriptions as they are, and deliveries against what happened."""

from __future__ import annotations

from collections.abc import Iterator

from flipsync.services.watch.memory import Heard, Memory, Sale
from flipsync.services.watch.rules_calls import Found

#: real seconds: how far back; after which a delivery is missed; and from which one that came is late
_WINDOW, _MISSED, _LATE = 120.0, 36.0, 20.0
#: real seconds by which a later fact has overtaken an earlier one: twice this little, or once by far
_OVERTAKEN, _BY_FAR = 1.5, 8.0
#: how many later sales that were told of make one that was not a lost one
_OTHERS = 3


def of_deliveries(memory: Memory) -> Iterator[Found]:
    """What is wrong with subscriptions and deliveries."""
    subscribed = list(_subscriptions(memory))
    yield from subscribed
    since = memory.within(_WINDOW)
    heard = [row for row in memory.heard if row.at >= since]
    yield from _bad(heard)
    if subscribed or not memory.expects_webhooks:
        return
    yield from _late(memory, [row for row in heard if row.is_order and not row.trouble])
    if not any(row.trouble in ("forged", "garbled") for row in heard):
        yield from _unheard(memory, since)


def _subscriptions(memory: Memory) -> Iterator[Found]:
    if memory.subscriptions is None or not memory.callback_url or not memory.expects_webhooks:
        return
    ours = [each for each in memory.subscriptions if each.url == memory.callback_url]
    active = {each.topic for each in ours if each.active}
    at = memory.subscribed_at
    if not ours:
        others = sorted({each.url for each in memory.subscriptions})
        yield "webhooks-missing", at, ["none goes to us", *(f"there is one to {url}" for url in others[:2])]
    elif not active:
        yield "webhooks-paused", at, [f"{len(ours)} subscriptions, all switched off"]
    elif not any("order" in topic.lower() for topic in active):
        yield "webhook-topic-missing", at, ["none about orders"]
    elif missing := sorted(memory.topics - active):
        kept = {each.topic for each in ours}
        off = [topic for topic in missing if topic in kept]
        cause = "webhooks-paused" if off == missing else "webhook-topic-missing"
        yield cause, at, [", ".join(missing)]  # type: ignore[misc]


def _bad(heard: list[Heard]) -> Iterator[Found]:
    garbled = [row for row in heard if row.trouble == "garbled"]
    if garbled:
        yield "webhooks-garbled", garbled[0].at, [f"{len(garbled)} genuine deliveries cannot be read"]
    forged = [index for index, row in enumerate(heard) if row.trouble == "forged"]
    if len(forged) >= 2:
        at = heard[forged[0]].at
        genuine = [row for row in heard if row.trouble in ("", "duplicate") and row.at >= at - 0.5]
        words = [f"{len(forged)} signatures do not match"]
        if genuine:
            yield "webhooks-forged", at, [*words, f"{len(genuine)} others do"]
        else:
            yield "webhook-secret-changed", at, [*words, "and none has matched since"]
    replays = [row for row in heard if row.trouble == "replay" and row.is_order]
    copies = [row for row in heard if row.trouble == "duplicate" and row.is_order]
    if len(replays) >= 2:
        yield "webhooks-replayed", replays[0].at, [f"{len(replays)} deliveries had come long before"]
    elif len(copies) >= 3:
        yield "webhooks-duplicated", copies[0].at, [f"{len(copies)} deliveries were repeats"]


def _late(memory: Memory, heard: list[Heard]) -> Iterator[Found]:
    """Late: long after what they tell of. Reordered: not that late, but overtaken by what happened later."""
    first: dict[str, Heard] = {}
    newest = float("-inf")
    far = False
    late: list[Heard] = []
    overtaken: list[Heard] = []
    for row in heard:
        if row.changed is None:
            continue
        if row.at - row.changed > (_LATE + memory.fetches_every) * memory.speed:
            late.append(row)
        elif row.changed < newest - _OVERTAKEN * memory.speed and first.get(row.resource) is not row:
            overtaken.append(row)
            far = far or row.changed < newest - memory.as_business(_BY_FAR)
        first.setdefault(row.resource, row)
        newest = max(newest, row.changed)
    if late:
        delay = max((row.at - (row.changed or row.at)) / memory.speed for row in late)
        yield "webhooks-late", late[0].at, [f"{len(late)} came up to {delay:.0f} s after the fact"]
    elif len(overtaken) >= 2 or far:
        yield "webhooks-reordered", overtaken[0].at, [f"{len(overtaken)} were overtaken by later facts"]


def _unheard(memory: Memory, since: float) -> Iterator[Found]:
    """Sales that another way told us of, and no delivery."""
    overdue = memory.within(_MISSED + memory.fetches_every)
    start = max(since, memory.began)
    known = [sale for key, sale in memory.sales.items() if sale.placed >= start and key not in memory.strangers]
    missed = [sale for sale in known if sale.heard is None and sale.placed < overdue]
    if not missed:
        yield from _untold(memory)
        return
    first = min(sale.placed for sale in missed)
    told = [sale for sale in known if sale.heard is not None and sale.placed > first]
    if told and (len(missed) >= 2 or len(told) >= _OTHERS):
        yield "webhooks-lossy", first, [f"{len(missed)} of {len(missed) + len(told)} sales were not told of"]
    elif not told and (len(missed) >= 2 or _waiting(known, first) >= 3):
        yield "webhooks-silent", first, [f"none of {len(missed)} sales was told of"]


def _waiting(known: list[Sale], first: float) -> int:
    return sum(1 for sale in known if sale.heard is None and sale.placed >= first)


def _untold(memory: Memory) -> Iterator[Found]:
    """Where lists of orders may not be asked for: shelves that fell below what our books explain."""
    if memory.lists_orders:
        return
    since = memory.within(25)
    fallen = []
    for listing, row in memory.expected.items():
        looks = memory.looks.get(listing, ())
        last = memory.last_write(listing, "quantity")
        if last is not None and (last.seen_done is None or last.undone_again is not None):
            continue
        late = [look for look in looks if look.state is not None and look.state.quantity is not None]
        if row.quantity is None or row.busy or not late or memory.expected_since.get(listing, 0.0) > since:
            continue
        if last is not None:
            late = [look for look in late if look.at >= (last.seen_done or 0.0)]
        under = [look for look in late if (look.state.quantity or 0) < row.quantity]  # type: ignore[union-attr]
        if under and late[-1] in under and under[0].at <= since:
            fallen.append((listing, under[0].at))
    if not fallen:
        return
    first = min(at for _, at in fallen)
    told = [row for row in memory.heard if row.is_order and row.trouble == "" and (row.changed or row.at) > first]
    if told and len(fallen) >= 1:
        yield "webhooks-lossy", first, [f"{len(fallen)} listings have fewer units than sales were told of"]
    elif not told:
        yield "webhooks-silent", first, [f"{len(fallen)} listings have fewer units, and no sale was told of"]
