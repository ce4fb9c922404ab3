"""The market: visits, orders, payments, cancellations, refunds and rivals, event by event in market time."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from flipsync.sandbox.books import Books
from flipsync.sandbox.buyers import HOUR_PROFILE, Buyer, choose, draw_buyer, stream, visits_per_day
from flipsync.sandbox.clock import instant
from flipsync.sandbox.orderbook import OrderBook, Refused
from flipsync.sandbox.promotion import Promotion
from flipsync.sandbox.records import MARKETPLACES, RETURNS_TO_SELLER, Channel, Listing, Order, order_external_id
from flipsync.sandbox.rivals import Rival, open_rivals, reprice, reprice_delay_ms, stock_delay_ms

_DAY_MS = 86_400_000
_EVENTS_PER_TURN = 10
#: what one given order may be called off by
CallOff = Literal["cancellation", "refund"]
EventKind = Literal["visit", "payment", "expiry", "cancellation", "refund", "rival-price", "rival-stock"]


class MarketSettings(BaseModel):
    """How the market behaves; shares are fractions of orders, times are market time."""

    model_config = ConfigDict(extra="forbid")

    open: bool = Field(default=True, description="closed: visitors come but nobody buys")
    traffic: float = Field(default=1.0, gt=0, le=10_000, description="multiplies the visits of every listing")
    cancel_share: float = Field(default=0.04, ge=0, le=1)
    refund_share: float = Field(default=0.05, ge=0, le=1)
    restock_share: float = Field(default=0.5, ge=0, le=1, description="refunds that put the units back on sale")
    late_payment_share: float = Field(default=0.1, ge=0, le=1, description="shop orders that wait for payment first")
    unpaid_share: float = Field(default=0.2, ge=0, le=1, description="of those, the ones that are never paid")
    rivals: bool = True


class Market:
    """Runs events up to a moment of market time. Deterministic by seed and by what sellers do."""

    def __init__(self, books: Books, orders: OrderBook, seed: int, zone: ZoneInfo) -> None:
        self.books = books
        self.orders = orders
        self.seed = seed
        self.zone = zone
        stored = books.meta("market_settings")
        self.settings = MarketSettings.model_validate_json(stored) if stored else MarketSettings()
        self.on_visit: Callable[[Channel], None] = lambda channel: None
        self.on_offers: Callable[[str], None] = lambda sku: None
        self.on_time: Callable[[], None] = lambda: None
        self.promotion = Promotion(books, seed)
        self.tally: Counter[str] = Counter()
        self.woken = asyncio.Event()
        self._advancing = asyncio.Lock()
        books.on_priced = self.listing_changed

    # Settings

    def configure(self, changes: dict[str, Any]) -> MarketSettings:
        """Apply and keep new settings; waiting visits move nearer or further with the traffic multiplier."""
        before = self.settings.traffic
        self.settings = MarketSettings.model_validate({**self.settings.model_dump(), **changes})
        now = self.books.clock.now_ms()
        with self.books.transaction():
            self.books.set_meta("market_settings", self.settings.model_dump_json())
            if self.settings.traffic != before:
                self.books.db.execute(
                    "UPDATE event SET due_ms = ? + CAST((due_ms - ?) * ? AS INTEGER)"
                    " WHERE kind = 'visit' AND due_ms > ?",
                    (now, now, before / self.settings.traffic, now),
                )
        self.woken.set()
        return self.settings

    def set_reference_price(self, sku: str, price_minor: int) -> None:
        """Say what buyers think the goods are worth; without it the first price they were listed at counts."""
        self.books.db.execute(
            "INSERT INTO reference_price VALUES (?, ?)"
            " ON CONFLICT (sku) DO UPDATE SET price_minor = excluded.price_minor",
            (sku, price_minor),
        )

    # Listings come on sale

    def listing_changed(self, listing: Listing) -> None:
        """Called when a listing is new or has a new price: the first time, its buyers and rivals begin to come."""
        if not listing.sku or not listing.price_minor or listing.price_minor <= 0:
            return
        inserted = self.books.db.execute(
            "INSERT OR IGNORE INTO demand VALUES (?, ?, ?)",
            (listing.channel, listing.sku, visits_per_day(self.seed, listing.channel, listing.sku)),
        ).rowcount
        if not inserted:
            return
        self.books.db.execute("INSERT OR IGNORE INTO reference_price VALUES (?, ?)", (listing.sku, listing.price_minor))
        self._schedule_visit(listing.channel, listing.sku, 0)
        if listing.channel in MARKETPLACES and not self._has_rivals(listing.sku):
            self._open_rivals(listing.sku)
        self.woken.set()

    def _reference(self, sku: str) -> int:
        row = self.books.db.execute("SELECT price_minor FROM reference_price WHERE sku = ?", (sku,)).fetchone()
        return int(row[0])

    def _has_rivals(self, sku: str) -> bool:
        return self.books.db.execute("SELECT 1 FROM rival WHERE sku = ? LIMIT 1", (sku,)).fetchone() is not None

    def _open_rivals(self, sku: str) -> None:
        rng = stream(self.seed, "rivals", sku)
        for rival in open_rivals(rng, self._reference(sku)):
            rival_id = self.books.db.execute(
                "INSERT INTO rival (sku, seller, strategy, price_minor, floor_minor, in_stock) VALUES (?,?,?,?,?,?)",
                (sku, rival.seller, rival.strategy, rival.price_minor, rival.floor_minor, int(rival.in_stock)),
            ).lastrowid
            self._schedule("rival-price", str(rival_id), 0, reprice_delay_ms(rng, rival))
            self._schedule("rival-stock", str(rival_id), 0, stock_delay_ms(rng, in_stock=rival.in_stock))

    def rival_offers(self, sku: str) -> list[Rival]:
        rows = self.books.db.execute(
            "SELECT seller, strategy, price_minor, floor_minor, in_stock FROM rival WHERE sku = ? ORDER BY id", (sku,)
        )
        return [Rival(r[0], r[1], r[2], r[3], bool(r[4])) for r in rows] if self.settings.rivals else []

    # Events

    def _schedule(
        self, kind: EventKind, subject: str, n: int, delay_ms: int, doc: dict[str, Any] | None = None
    ) -> None:
        self.books.db.execute(
            "INSERT INTO event (due_ms, kind, subject, n, doc) VALUES (?,?,?,?,?)",
            (self.books.clock.now_ms() + max(1, delay_ms), kind, subject, n, json.dumps(doc or {})),
        )

    def _schedule_visit(self, channel: Channel, sku: str, n: int) -> None:
        row = self.books.db.execute(
            "SELECT visits_per_day FROM demand WHERE channel = ? AND sku = ?", (channel, sku)
        ).fetchone()
        peak_per_ms = row[0] * self.settings.traffic * (24 / sum(HOUR_PROFILE)) / _DAY_MS
        delay = stream(self.seed, "gap", channel, sku, n).expovariate(peak_per_ms)
        self._schedule("visit", f"{channel}|{sku}", n, round(delay))

    def next_due_ms(self) -> int | None:
        row = self.books.db.execute("SELECT min(due_ms) FROM event").fetchone()
        return None if row[0] is None else int(row[0])

    async def advance(self, seconds: float) -> dict[str, int]:
        """Run that much market time; gives way to other work between events. Returns what happened, counted."""
        async with self._advancing:
            before = Counter(self.tally)
            target = self.books.clock.now_ms() + round(seconds * 1000)
            await self._run_all_due(target)
            self.books.clock.move_to(target)
            self.remember_time()
            return dict(self.tally - before)

    def pass_time(self, seconds: float) -> dict[str, int]:
        """The same for whoever has the market to themselves: at once, giving way to nobody."""
        before = Counter(self.tally)
        target = self.books.clock.now_ms() + round(seconds * 1000)
        while self.run_due(target, _EVENTS_PER_TURN):
            pass
        self.books.clock.move_to(target)
        self.remember_time()
        return dict(self.tally - before)

    async def run_with_clock(self) -> None:
        """Follow a running clock until cancelled; sleeps until something is due or a listing appears."""
        while True:
            self.woken.clear()
            await self._run_all_due(self.books.clock.now_ms())
            self.remember_time()
            due = self.next_due_ms()
            pause = 5.0 if due is None else min(5.0, self.books.clock.real_seconds_until(due))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause + 0.001):
                    await self.woken.wait()

    async def _run_all_due(self, target_ms: int) -> None:
        more = True
        while more:
            more = self.run_due(target_ms, _EVENTS_PER_TURN)
            await asyncio.sleep(0)  # lets waiting requests be answered

    def remember_time(self) -> None:
        self.books.set_meta("market_ms", str(self.books.clock.now_ms()))
        self.on_time()

    def run_due(self, target_ms: int, limit: int) -> bool:
        """Run up to `limit` events due by `target_ms`; False when none is left."""
        for _ in range(limit):
            row = self.books.db.execute(
                "SELECT id, due_ms, kind, subject, n, doc FROM event WHERE due_ms <= ? ORDER BY due_ms, id LIMIT 1",
                (target_ms,),
            ).fetchone()
            if row is None:
                return False
            event_id, due_ms, kind, subject, n, doc = row
            self.books.clock.move_to(due_ms)
            with self.books.transaction():
                self.books.db.execute("DELETE FROM event WHERE id = ?", (event_id,))
                self._run(kind, subject, n, json.loads(doc))
        return True

    def _run(self, kind: EventKind, subject: str, n: int, doc: dict[str, Any]) -> None:
        if kind == "visit":
            channel, _, sku = subject.partition("|")
            self._visit(cast(Channel, channel), sku, n)
        elif kind in ("rival-price", "rival-stock"):
            self._rival_acts(kind, int(subject), n)
        else:
            self._order_event(kind, int(subject), doc)

    def _visit(self, channel: Channel, sku: str, n: int) -> None:
        self._schedule_visit(channel, sku, n + 1)
        rng = stream(self.seed, "visit", channel, sku, n)
        hour = instant(self.books.clock.now_ms()).astimezone(self.zone).hour
        if rng.random() >= HOUR_PROFILE[hour] / max(HOUR_PROFILE):
            return
        rate = self.promotion.rate(sku) if channel == "ebay" else 0.0
        self._shop(rng, channel, sku, ad_rate=rate if rate and self.promotion.clicked(sku, n, rate) else 0.0)
        for each in range(self.promotion.brought(sku, n, rate) if rate else 0):
            self._shop(stream(self.seed, "ad-buyer", sku, n, each), channel, sku, ad_rate=rate)

    def _shop(self, rng: Random, channel: Channel, sku: str, *, ad_rate: float = 0.0) -> None:
        """One visitor looks around; `ad_rate` is that of the ad they came by."""
        self.tally["visits"] += 1
        self.on_visit(channel)
        listing = self.books.listing_by_sku(channel, sku)
        reference = self._reference(sku)
        buyer = draw_buyer(rng, reference)
        rivals = [r.price_minor for r in self.rival_offers(sku) if r.in_stock] if channel in MARKETPLACES else []
        ours = listing is not None and listing.sellable(buyer.quantity) and self.settings.open
        prices = [listing.price_minor, *rivals] if ours and listing and listing.price_minor else rivals
        chosen = choose(rng, buyer, reference, prices)
        if chosen == 0 and ours:
            self._buy(rng, channel, sku, buyer, ad_rate)
        elif chosen is not None:
            self.tally["sold_by_rivals"] += 1

    def _buy(self, rng: Random, channel: Channel, sku: str, buyer: Buyer, ad_rate: float = 0.0) -> None:
        late = channel == "woo" and rng.random() < self.settings.late_payment_share
        order = self.orders.place(channel, sku, buyer.quantity, buyer, paid=not late, ad_rate=ad_rate)
        if isinstance(order, Refused):
            self.tally["orders_refused"] += 1
            return
        self.tally["orders_placed"] += 1
        minute = 60_000
        if late:
            if rng.random() < self.settings.unpaid_share:
                self._schedule("expiry", str(order.id), 0, 60 * minute)
                return
            self._schedule("payment", str(order.id), 0, round(rng.uniform(1, 20) * minute))
        fate = rng.random()
        if fate < self.settings.cancel_share:
            self._schedule("cancellation", str(order.id), 0, round(rng.uniform(25, 300) * minute))
        elif fate < self.settings.cancel_share + self.settings.refund_share:
            partial = buyer.quantity > 1 and rng.random() < 0.5
            doc = {"restock": rng.random() < self.settings.restock_share, "units": 1 if partial else buyer.quantity}
            self._schedule("refund", str(order.id), 0, round(rng.uniform(6, 40) * 60 * minute), doc)

    def place(self, channel: Channel, sku: str, quantity: int, buyer: Buyer) -> Order | Refused:
        """Place one given order now, as a buyer would; it is paid at once and nothing happens to it later."""
        self.on_visit(channel)
        with self.books.transaction():
            placed = self.orders.place(channel, sku, quantity, buyer)
        self.tally["orders_refused" if isinstance(placed, Refused) else "orders_placed"] += 1
        return placed

    def call_off(self, channel: Channel, external_id: str, how: CallOff) -> bool:
        """Cancel one given order, or give all its money back and nothing to the shelf; whether it could be done."""
        for order in self.books.orders("channel = ?", (channel,)):
            if order_external_id(channel, order.id) == external_id:
                before = order.status
                with self.books.transaction():
                    self._order_event(how, order.id, {"restock": False, "units": sum(x.quantity for x in order.lines)})
                after = self.books.order(order.id)
                return after is not None and after.status != before
        return False

    # What buyers do later

    def _order_event(self, kind: EventKind, order_id: int, doc: dict[str, Any]) -> None:
        order = self.books.order(order_id)
        if order is None:
            return
        if kind == "refund" and order.channel in RETURNS_TO_SELLER and order.status == "paid":
            kind = "cancellation"
        if kind == "payment" and order.status == "pending":
            self._pay(order)
        elif kind == "expiry" and order.status == "pending":
            order.status = "cancelled"
            self.tally["orders_unpaid"] += 1
        elif kind == "cancellation" and order.status in ("pending", "processing", "on-hold", "paid"):
            self.orders.give_back(order, "cancellation")
            order.status = "cancelled"
            self.tally["orders_cancelled"] += 1
        elif kind == "refund" and order.status in ("processing", "completed", "paid", "shipped") and not order.refunds:
            restock = bool(doc["restock"]) and order.channel not in RETURNS_TO_SELLER
            self._refund(order, int(doc["units"]), restock=restock)
        else:
            return
        self.books.save_order(order)

    def _pay(self, order: Order) -> None:
        if not self.orders.shelf_covers(order):
            order.status = "failed"
            self.tally["orders_failed"] += 1
            return
        self.orders.take_stock(order)
        order.status = "processing"
        order.doc["paid_ms"] = self.books.clock.now_ms()

    def _refund(self, order: Order, units: int, *, restock: bool) -> None:
        line = order.lines[0]
        minor = line.total_minor * units // line.quantity
        full = units == line.quantity
        amount = order.total_minor if full else minor
        self.orders.refund(order, {line.id: (units, minor)}, amount, "Returned by the buyer", restock=restock)
        if full:
            order.status = "refunded"
        self.tally["orders_refunded"] += 1

    # Rivals

    def _rival_acts(self, kind: EventKind, rival_id: int, n: int) -> None:
        row = self.books.db.execute(
            "SELECT seller, strategy, price_minor, floor_minor, in_stock, sku FROM rival WHERE id = ?", (rival_id,)
        ).fetchone()
        rival, sku = Rival(row[0], row[1], row[2], row[3], bool(row[4])), str(row[5])
        rng = stream(self.seed, kind, sku, rival.seller, n)
        if kind == "rival-stock":
            rival.in_stock = not rival.in_stock
            delay = stock_delay_ms(rng, in_stock=rival.in_stock)
        else:
            others = [r.price_minor for r in self.rival_offers(sku) if r.in_stock and r.seller != rival.seller]
            shown = [self.books.listing_by_sku(channel, sku) for channel in sorted(MARKETPLACES)]
            ours = [ours.price_minor for ours in shown if ours is not None and ours.price_minor and ours.sellable(1)]
            ours_minor = min(ours) if ours else None
            rival.price_minor = reprice(rng, rival, self._reference(sku), ours_minor, others)
            delay = reprice_delay_ms(rng, rival)
            self.tally["rival_price_changes"] += 1
        self.books.db.execute(
            "UPDATE rival SET price_minor = ?, in_stock = ? WHERE id = ?",
            (rival.price_minor, int(rival.in_stock), rival_id),
        )
        self._schedule(kind, str(rival_id), n + 1, delay)
        self.on_offers(sku)

    def status(self) -> dict[str, Any]:
        return {"tally": dict(self.tally), "settings": self.settings.model_dump()}
