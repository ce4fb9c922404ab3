"""Escrow under every fault: buyers, channels, late and repeated notices, lost writes, killed writers, cancellations.

Who acts next is drawn, so every order of events comes up. Our own functions share the units out and take them for
buyers (`escrow_shares`, `taken_by_sale`); the books and the two ways of writing (conditional, and off the shelf first)
are the steps of `services.stock` and `runtime.channel_writes`, without database and network: `flipsync bench chaos` has
those.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from flipsync.services.partition import Claim, escrow_shares, taken_by_sale

_ORDERS_AN_ITEM = 400


@dataclass
class Channel:
    """The channel's own side: what it shows, and what it has sold or taken back and not told yet."""

    conditional: bool
    shelf: int = 0
    version: int = 0
    untold: deque[tuple[str, int]] = field(default_factory=deque)
    next_order: int = 0
    #: of our writer: where it is, and whether an earlier try may have arrived
    writer: Iterator[None] | None = None
    uncertain: bool = False


@dataclass
class Share:
    entitled: int = 0
    pending: int = 0
    target: int = 0
    given_back: int = 0
    sold: int = 0
    short: int = 0


class Item:
    """One stock item and its channels. `fenced` False: writers neither wait for sales nor look at versions."""

    def __init__(self, rng: random.Random, faults: Counter[str], *, fenced: bool) -> None:
        self.rng, self.faults, self.fenced = rng, faults, fenced
        self.channels = [Channel(conditional=rng.random() < 0.5) for _ in range(rng.randint(2, 4))]
        self.shares = [Share() for _ in self.channels]
        self.ids = [UUID(int=number + 1) for number in range(len(self.channels))]
        self.on_hand = self.reserved = 0
        self.known: set[tuple[int, str, int]] = set()
        self.waiting = [0] * len(self.channels)
        self.orders = self.sold = self.oversold = 0
        self.receive(rng.randint(1, 6))

    # -- our books ----------------------------------------------------------------------------------------------------

    @property
    def free(self) -> int:
        return self.on_hand - self.reserved - sum(share.entitled for share in self.shares)

    @property
    def short(self) -> int:
        return sum(share.short for share in self.shares)

    def receive(self, units: int) -> None:
        self.on_hand += units
        self.decide()

    def decide(self) -> None:
        for share in self.shares:  # who waits comes first
            there = max(0, min(share.short, self.free))
            share.short -= there
            self.reserved += there
        claims = [Claim(key, 1.0 + s.sold, s.target) for key, s in zip(self.ids, self.shares, strict=True)]
        shares = escrow_shares(self.on_hand - self.reserved - self.short, claims)
        for key, share in zip(self.ids, self.shares, strict=True):
            share.target = shares[key]

    def told(self, place: int, kind: str, order: int) -> None:
        """A notice or a line of a list: counts once."""
        if (place, kind, order) in self.known:
            return
        self.known.add((place, kind, order))
        share = self.shares[place]
        if kind == "sale":
            from_share, can = taken_by_sale(1, entitled=share.entitled, mode="escrow", free=self.free)
            share.entitled -= from_share
            share.pending = min(share.pending, share.entitled)
            share.target = max(0, share.target - from_share)
            share.sold += 1
            self.reserved += can
            share.short += 1 - can
        else:
            self.reserved -= 1
            still_there = 1 - min(1, share.short)  # else a buyer we know of has had it
            share.entitled += still_there
            share.target += still_there
            share.given_back += 1
        self.decide()

    def pull(self, place: int) -> None:
        """The channel's list holds everything, whatever became of its notices."""
        channel = self.channels[place]
        while channel.untold:
            self.told(place, *channel.untold.popleft())

    def grant(self, share: Share) -> int:
        more = max(0, min(share.target - share.entitled, self.free - self.short))
        share.entitled += more
        share.pending += more
        return share.entitled

    def let_go(self, share: Share, down_to: int) -> None:
        if share.entitled > down_to:
            share.entitled = down_to
            share.pending = min(share.pending, down_to)
            self.decide()

    # -- the outside --------------------------------------------------------------------------------------------------

    def buy(self, place: int) -> None:
        channel = self.channels[place]
        if channel.shelf <= 0:
            return
        channel.shelf -= 1
        channel.version += 1
        self.orders += 1
        self.sold += 1
        self.oversold += self.sold > self.on_hand
        channel.untold.append(("sale", channel.next_order))
        self.waiting[place] += 1
        channel.next_order += 1

    def cancel(self, place: int) -> None:
        """The channel puts the unit of an order we know of back on its shelf."""
        channel = self.channels[place]
        order = self.rng.randrange(channel.next_order) if channel.next_order else -1
        if (place, "sale", order) not in self.known or (place, "cancel", order) in self.known:
            return
        if any(each == ("cancel", order) for each in channel.untold) or self.shares[place].short:
            return
        self.faults["cancelled"] += 1
        channel.shelf += 1
        channel.version += 1
        self.sold -= 1
        channel.untold.append(("cancel", order))

    def notice(self, place: int) -> None:
        """One notice comes, late: in turn or out of it, perhaps twice, perhaps never (then the list has it)."""
        channel = self.channels[place]
        if not channel.untold:
            return
        luck = self.rng.random()
        if luck < 0.1:
            self.faults["notice lost"] += 1
            return
        at = 0
        if luck < 0.3 and channel.untold[-1][0] == "sale":
            self.faults["out of turn"] += 1
            at = len(channel.untold) - 1
        kind, order = channel.untold[at]
        del channel.untold[at]
        self.told(place, kind, order)
        if luck > 0.9:
            self.faults["told twice"] += 1
            self.told(place, kind, order)

    def put(self, channel: Channel, units: int, version: int | None = None) -> str:
        """A write as the channel takes it: done, refused for its version, or nobody knows."""
        luck = self.rng.random()
        if luck < 0.04:
            self.faults["write lost"] += 1
            return "unknown"
        if version is not None and version != channel.version:
            self.faults["overtaken by a sale"] += 1
            return "version"
        channel.shelf = units
        channel.version += 1
        if luck < 0.08:
            self.faults["answer lost"] += 1
            return "unknown"
        return "done"

    # -- our writers, one step at a time ------------------------------------------------------------------------------

    def write(self, place: int) -> None:
        channel = self.channels[place]
        if channel.writer is None:
            share = self.shares[place]
            settled = share.entitled == share.target and not share.pending and not channel.uncertain
            if settled and (channel.shelf == share.entitled or self.rng.random() < 0.9):
                return
            way = self._plain if not self.fenced else self._conditional if channel.conditional else self._off_first
            channel.writer = way(place)
        if self.rng.random() < 0.02:
            self.faults["writer killed"] += 1
            channel.writer, channel.uncertain = None, True
            return
        try:
            next(channel.writer)
        except StopIteration:
            channel.writer = None

    def _conditional(self, place: int) -> Iterator[None]:
        channel, share = self.channels[place], self.shares[place]
        seen, version = channel.shelf, channel.version
        yield
        unsettled = share.pending > 0 or channel.uncertain or seen != share.entitled
        if unsettled:
            self.pull(place)
        yield
        if not unsettled and share.entitled != seen:
            return  # a cancellation was told meanwhile: what was sold from it since may not be
        entitled = share.entitled
        wanted = share.target if share.target < entitled else self.grant(share)
        entitled = share.entitled
        yield
        if seen != wanted:
            answer = self.put(channel, wanted, version)
            channel.uncertain = answer == "unknown"
            if answer != "done":
                return
            yield
        elif unsettled and channel.version != version:
            return  # a sale came between: look again
        channel.uncertain = False
        if entitled > wanted:
            self.let_go(share, max(0, share.entitled - (entitled - wanted)))
        share.pending = 0

    def _off_first(self, place: int) -> Iterator[None]:
        channel, share = self.channels[place], self.shares[place]
        seen = channel.shelf
        yield
        if share.target == share.entitled == seen and not share.pending and not channel.uncertain:
            return
        given_back = share.given_back
        if seen == 0 and share.entitled == 0 and not channel.uncertain:
            wanted = self.grant(share)
        else:
            if self.put(channel, 0) != "done":
                channel.uncertain = True
                return
            yield
            if channel.shelf:
                return
            self.pull(place)
            if share.given_back != given_back:
                channel.uncertain = True
                return
            if share.target < share.entitled:
                wanted = share.target
                self.let_go(share, wanted)
            else:
                wanted = self.grant(share)
        yield
        channel.uncertain = self.put(channel, wanted) != "done"
        if not channel.uncertain:
            share.pending = 0

    def _plain(self, place: int) -> Iterator[None]:
        """What many tools do: write what the books say, and count what was taken away as free."""
        share = self.shares[place]
        wanted = share.target if share.target < share.entitled else self.grant(share)
        self.let_go(share, wanted)
        yield
        self.put(self.channels[place], wanted)
        share.pending = 0


def play(orders: int, seed: int, *, fenced: bool) -> dict[str, Any]:
    """Items one after another until so many orders were taken."""
    rng, faults = random.Random(seed), Counter[str]()
    taken = oversold = short = items = 0
    while taken < orders:
        item = Item(rng, faults, fenced=fenced)
        down = 0
        many = len(item.channels)
        while item.orders < _ORDERS_AN_ITEM:
            luck, place = rng.random(), rng.randrange(many)
            if luck < 0.30:
                item.buy(place)
            elif luck < 0.50:
                item.notice(place)
            elif luck < 0.52:
                item.cancel(place)
            elif luck < 0.58:
                if item.on_hand - item.sold <= 2 * many:
                    item.receive(rng.randint(1, 3))
            elif luck < 0.5802:
                faults["breakdown"] += 1
                down = 60
            elif down:
                down -= 1  # nothing can be written, buyers go on
            else:
                item.write(place)
        items += 1
        for place in range(many):
            item.pull(place)
        taken, oversold, short = taken + item.orders, oversold + item.oversold, short + item.short
    return {"orders": taken, "items": items, "oversold": oversold, "short": short, "faults": dict(faults)}


def run(orders: int, seed: int) -> dict[str, Any]:
    """As we do it, and as a control without fence and versions, which must oversell or the faults were none."""
    return play(orders, seed, fenced=True) | {"unfenced": play(max(10_000, orders // 20), seed, fenced=False)}
