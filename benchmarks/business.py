"""One business in the sandbox's market, in memory: what it sells, what is on its shelf, and what came of every order.

Buyers, rivals and ads are the sandbox's own, event by event in market time; whoever decides meets the same visitors,
rivals and buyers who think better of it (streams by seed, goods and number of the visit). What a sale leaves is worked
out by the vendors' published fees and the owner's costs, unit by unit. A cancelled order earns nothing; of goods that
come back the parcel and the goods are lost. Amounts are minor units of USD.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from flipsync.domain.clock import ManualClock
from flipsync.sandbox.books import Books
from flipsync.sandbox.buyers import stream
from flipsync.sandbox.clock import MarketClock
from flipsync.sandbox.market import Market
from flipsync.sandbox.orderbook import OrderBook
from flipsync.sandbox.promotion import RATES
from flipsync.sandbox.records import Channel, Listing, Order
from flipsync.services.pricing.economics import UnitEconomics
from flipsync.services.pricing.fees import FeeTerm
from flipsync.services.pricing.history import EVIDENCE
from flipsync.services.quotes import fee_schedule
from flipsync.services.tenant_settings import AdvertisingChoices, PricingChoices, TenantProfile, TenantSettings
from flipsync.store.repositories.pricing import PriceRow, RivalRow, SaleRow

#: 2026-03-02T14:00:00Z, a Monday morning on the market
BEGIN_MS = 1_772_460_000_000
#: units shown where the shelf is kept full
FULL = 25
#: buyers' postage is in the price; taxes as in the settings
CHOICES = PricingChoices()
TENANT = UUID(int=1)


@lru_cache(maxsize=8)
def _terms(vendor: str, at: datetime) -> tuple[FeeTerm, ...]:
    schedule = fee_schedule(vendor, "USD", CHOICES)
    assert schedule is not None
    return tuple(schedule.terms(at))


def economics(vendor: str, cost: int) -> UnitEconomics:
    """What one unit that costs `cost` leaves on a vendor's channel."""
    return UnitEconomics(
        terms=_terms(vendor, datetime.fromtimestamp(BEGIN_MS / 1000, UTC)),
        unit_cost=cost,
        shipping_cost=CHOICES.shipping_cost_minor,
        tax_bps=CHOICES.tax_bps,
        margin_bps=CHOICES.min_margin_bps,
    )


@dataclass(frozen=True)
class Goods:
    """`usual` is what buyers think they are worth, `listed` the owner's own guess of it, `cost` a landed unit's."""

    number: int
    usual: int
    listed: int
    cost: int

    @property
    def sku(self) -> str:
        return f"S{self.number}"

    @property
    def item_id(self) -> UUID:
        return UUID(int=(2 << 32) + self.number)


def draw_goods(seed: int, count: int, vendor: str, *, guess: float = 0.12) -> list[Goods]:
    """Goods that earn a margin at list price, as goods that somebody bought to sell do. `guess`: how far the owner's
    list prices are from what buyers think, as the spread of a log-normal."""
    rng = Random(f"business goods {seed}")
    goods: list[Goods] = []
    while len(goods) < count:
        usual = round(rng.lognormvariate(8.2, 0.5))
        cost = round(usual * rng.uniform(0.35, 0.62))
        listed = round(usual * rng.lognormvariate(0.0, guess))
        if economics(vendor, cost).surplus(listed) > 0:
            goods.append(Goods(len(goods), usual, listed, cost))
    return goods


@dataclass
class Offering:
    """One listing: where it stands in the market, and its own past as our books would hold it."""

    id: UUID
    account_id: UUID
    channel: Channel
    goods: Goods
    published: datetime
    changes: list[tuple[datetime, int | None, int]]
    priced_at: datetime | None = None


@dataclass(frozen=True)
class Happened:
    """Within an hour: listings that sold or lost a sale, and goods whose rivals came, went or asked otherwise."""

    sold: tuple[UUID, ...]
    moved: tuple[str, ...]


class Business:
    """See the module. `channels`: where it sells, which are vendors' names too; `units`: what is on the shelf first."""

    def __init__(
        self,
        seed: int,
        goods: list[Goods],
        channels: tuple[Channel, ...] = ("ebay",),
        *,
        units: dict[str, int] | None = None,
        rivals: bool = True,
        traffic: float = 1.0,
        ads: bool = False,
        restock_days: float | None = 7.0,
    ) -> None:
        self.restock_days = restock_days
        self.seed, self.goods = seed, {each.sku: each for each in goods}
        self.books = Books(":memory:", MarketClock("virtual", BEGIN_MS))
        self.market = Market(self.books, OrderBook(self.books, "USD"), seed, ZoneInfo("America/New_York"))
        self.market.configure({"rivals": rivals, "traffic": traffic})
        self.clock = ManualClock(self.now)
        self.accounts = {channel: UUID(int=(1 << 32) + at) for at, channel in enumerate(channels)}
        settings = TenantSettings(pricing=CHOICES, advertising=AdvertisingChoices(mode="auto" if ads else "off"))
        self.profile = TenantProfile(id=TENANT, name="a reseller", currency="USD", settings=settings)
        #: on the shelf, by SKU; None: it is kept full
        self.on_hand = dict(units) if units is not None else None
        self.offerings: dict[UUID, Offering] = {}
        self.sales: dict[int, Order] = {}
        self._seen_ms = BEGIN_MS - 1
        self._rivals: dict[str, tuple[tuple[str, int, bool], ...]] = {}
        for each in goods:
            self.market.set_reference_price(each.sku, each.usual)
            for at, channel in enumerate(channels):
                self._offer(each, channel, UUID(int=(3 << 32) + each.number * 16 + at))
        for sku in self.goods:
            self._rivals[sku] = self._shown(sku)

    @property
    def now(self) -> datetime:
        return self.books.clock.now()

    def _offer(self, goods: Goods, channel: Channel, listing_id: UUID) -> None:
        now = self.books.clock.now_ms()
        shown = FULL if self.on_hand is None else 0
        with self.books.transaction():
            self.books.add_listing(
                Listing(
                    self.books.next_id(), channel, goods.sku, goods.sku, "active", goods.listed, shown, 0, now, now
                ),
                "first",
            )
        account = self.accounts[channel]
        self.offerings[listing_id] = Offering(listing_id, account, channel, goods, self.now, [])

    def _shown(self, sku: str) -> tuple[tuple[str, int, bool], ...]:
        return tuple((each.seller, each.price_minor, each.in_stock) for each in self.market.rival_offers(sku))

    def cheapest(self, sku: str) -> int | None:
        """What the cheapest rival in stock asks."""
        return min((minor for _, minor, stocked in self._rivals[sku] if stocked), default=None)

    def listing(self, listing_id: UUID) -> Listing:
        """As the market shows it."""
        each = self.offerings[listing_id]
        found = self.books.listing_by_sku(each.channel, each.goods.sku)
        assert found is not None
        return found

    def hour(self) -> Happened:
        """An hour passes."""
        self.market.pass_time(3_600)
        self.clock.advance(self.now - self.clock.now())
        sold: set[UUID] = set()
        by_place = {(each.channel, each.goods.sku): each.id for each in self.offerings.values()}
        for order in self.books.orders("modified_ms > ? ORDER BY id", (self._seen_ms,)):
            before = self.sales.get(order.id)
            for sku, units in _difference(before, order).items():
                sold.add(by_place[order.channel, sku])
                if self.on_hand is not None:
                    self.on_hand[sku] -= units
            self.sales[order.id] = order
        self._seen_ms = self.books.clock.now_ms()
        for listing_id in sold if self.on_hand is None else ():
            self.show(listing_id, FULL)
        moved = []
        for sku, before_shown in self._rivals.items():
            if (shown := self._shown(sku)) != before_shown:
                self._rivals[sku] = shown
                moved.append(sku)
        return Happened(tuple(sorted(sold)), tuple(moved))

    def price(self, listing_id: UUID, minor: int) -> None:
        """The channel shows another price from now on."""
        each, shown = self.offerings[listing_id], self.listing(listing_id)
        if shown.price_minor == minor:
            return
        with self.books.transaction():
            self.books.save_listing(replace(shown, price_minor=minor))
        each.changes.append((self.now, shown.price_minor, minor))
        each.priced_at = self.now

    def show(self, listing_id: UUID, units: int) -> None:
        """The channel offers so many units from now on."""
        shown = self.listing(listing_id)
        if shown.quantity != units:
            with self.books.transaction():
                self.books.set_stock(shown, units, "ours", "")

    def advertise(self, rates: dict[str, int]) -> None:
        """Ad rates on eBay by SKU, basis points of a sale."""
        told = {sku: str(bps / 100) for sku, bps in rates.items() if bps}
        with self.books.transaction():
            self.books.set_meta(RATES, orjson.dumps(told).decode())

    def price_row(self, listing_id: UUID) -> PriceRow:
        """What our books would hold of the listing for a price."""
        each, shown, since = self.offerings[listing_id], self.listing(listing_id), self.now - EVIDENCE
        sku = each.goods.sku
        sales = [
            SaleRow(_at(order), line.total_minor // line.quantity, line.quantity)
            for order in self.sales.values()
            for line in order.lines
            if order.channel == each.channel and line.sku == sku and order.holds_stock and _at(order) >= since
        ]
        return PriceRow(
            listing_id=listing_id,
            account_id=each.account_id,
            vendor=each.channel,
            currency="USD",
            sku=sku,
            status="active",
            current_minor=shown.price_minor,
            list_minor=each.goods.listed,
            cost_minor=each.goods.cost,
            cost_as_of=self.now,
            floor_minor=None,
            ceiling_minor=None,
            entitled=shown.quantity or 0,
            published_at=each.published,
            price_changed_at=each.priced_at,
            variant_currency="USD",
            by_hand_minor=None,
            restock_days=self.restock_days,
            rivals=[RivalRow(seller, minor, stocked) for seller, minor, stocked in self._rivals[sku]],
            sales=sorted(sales, key=lambda sale: sale.at),
            changes=[change for change in each.changes if change[0] >= since],
            since=since,
        )

    def earned(self) -> int:
        """What all orders left after fees, goods, parcels and ads."""
        return sum(self.left_of(order) for order in self.sales.values())

    def left_of(self, order: Order) -> int:
        """What one order left; nothing of one that was called off before it left the house."""
        if order.status in ("cancelled", "failed", "pending"):
            return 0
        back = dict.fromkeys(self.goods, 0)
        for refund in order.refunds:
            for line in order.lines:
                back[line.sku] += refund.lines.get(line.id, (0, 0))[0]
        total = -int(order.doc.get("ad_fee_minor", 0))
        for line in order.lines:
            goods = self.goods[line.sku]
            returned = min(back[line.sku], line.quantity)
            one = economics(order.channel, goods.cost).net(line.total_minor // line.quantity)
            total += (line.quantity - returned) * one
            total -= returned * (goods.cost + CHOICES.shipping_cost_minor)
        return total

    def close(self) -> None:
        self.books.close()


def _at(order: Order) -> datetime:
    return datetime.fromtimestamp(order.placed_ms / 1000, UTC)


def _difference(before: Order | None, after: Order) -> dict[str, int]:
    """Units by SKU that left the shelf for the order since `before`; below zero where they came back."""
    was = {} if before is None else before.held_units()
    now = after.held_units()
    return {sku: now.get(sku, 0) - was.get(sku, 0) for sku in {*was, *now} if now.get(sku, 0) != was.get(sku, 0)}


def drawn(seed: int, *names: object) -> Random:
    """Dice of their own for one thing of a business."""
    return stream(seed, "business", *names)
