"""What agents that buy and advertise read of a business in the sandbox's market, by the desks' own functions.

`buying_desk.worked_out` and `advertising.desk.reviewed` get the rows they would get from PostgreSQL: units on the shelf
and on their way, sales by week and how much of it goods were on the shelf, days of ads by rate.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np

from benchmarks.business import Business, drawn
from flipsync.domain.advertising import SetAdRate
from flipsync.domain.purchase_commands import PlacePurchaseOrder
from flipsync.services.advertising.desk import AdReview, reviewed
from flipsync.services.advertising.judging import BETWEEN, beyond_limits
from flipsync.services.buying_desk import PurchaseReview, SupplierPlan, Worked, settings_of, worked_out
from flipsync.services.forecasts import History, foresee, level
from flipsync.services.grounds import BuyGround, Seller
from flipsync.services.lead_times import lead_time
from flipsync.services.order_choice import Staged
from flipsync.services.transfer_desk import SendReview
from flipsync.store.repositories.advertising import AdRow, AdStand
from flipsync.store.repositories.purchasing_reading import BuyRow, Lately
from flipsync.store.repositories.suppliers import Shown

SUPPLIER = UUID(int=4 << 32)
#: what the owner expects of the supplier, days
LEAD, SPREAD = 7.0, 2.0


@dataclass
class Ad:
    """A listing's ad: its rate, and units sold and those by ads on whole days at each rate."""

    rate_bps: int = 0
    resume_bps: int = 0
    changed_at: datetime | None = None
    first_at: datetime | None = None
    seen: dict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))


@dataclass
class Delivery:
    """Units on their way from the supplier, by SKU."""

    placed: datetime
    due: datetime
    units: dict[str, int]


class Books:
    """The shelf, what is on its way, and the days that were. One supplier sells all goods, singly."""

    def __init__(self, business: Business) -> None:
        self.business = business
        self.coming: list[Delivery] = []
        self.took: list[float] = []
        self.placed_at: datetime | None = None
        self.lines = self.orders = 0
        #: by SKU, units sold and hours with something on the shelf of each day
        self.days: list[dict[str, tuple[int, int]]] = []
        self.ads = {each.id: Ad() for each in business.offerings.values()}
        self._of_sku = {each.goods.sku: each.id for each in business.offerings.values()}
        self._open = dict.fromkeys(business.goods, 0)
        self._worked: tuple[datetime, BuyGround, Worked] | None = None
        self._forecast: dict[str, tuple[float, float, float]] = {}
        self.show()

    @property
    def stock(self) -> dict[str, int]:
        assert self.business.on_hand is not None
        return self.business.on_hand

    def show(self) -> None:
        """The channel offers what is on the shelf: of one channel there is nothing to share out."""
        for sku, listing_id in self._of_sku.items():
            self.business.show(listing_id, max(0, self.stock[sku]))

    def hour(self) -> list[str]:
        """After an hour of the market: what came is on the shelf. SKUs that ran out, or can be shipped again."""
        now, turned = self.business.now, []
        for each in [each for each in self.coming if each.due <= now]:
            self.coming.remove(each)
            self.took.append((each.due - each.placed) / timedelta(days=1))
            for sku, units in each.units.items():
                self.stock[sku] += units
        for sku, listing_id in self._of_sku.items():
            there, ad = self.stock[sku] > 0, self.ads[listing_id]
            self._open[sku] += there
            if (ad.rate_bps and not there) or (ad.resume_bps and there):
                turned.append(sku)
        self.show()
        return turned

    def close_day(self) -> None:
        """A day is over: what it sold, by ads too, is written down."""
        since = self.business.now - timedelta(days=1)
        sold, by_ads = dict.fromkeys(self.stock, 0), dict.fromkeys(self.stock, 0)
        for order in self.business.sales.values():
            if order.holds_stock and order.placed_ms >= since.timestamp() * 1000:
                for line in order.lines:
                    sold[line.sku] += line.quantity
                    by_ads[line.sku] += line.quantity if "ad_fee_minor" in order.doc else 0
        self.days.append({sku: (sold[sku], self._open[sku]) for sku in sold})
        for sku, listing_id in self._of_sku.items():
            ad = self.ads[listing_id]
            whole = ad.changed_at is not None and ad.changed_at <= since
            if whole and self._open[sku]:
                figures = ad.seen[ad.rate_bps]
                for at, figure in enumerate((1, sold[sku], by_ads[sku])):
                    figures[at] += figure
        self._open = dict.fromkeys(self._open, 0)
        self._foresee()

    def _foresee(self) -> None:
        """The forecast that DemandAgent has made every day."""
        weeks = len(self.days) // 7
        if not weeks:
            return
        table = np.array([[each[sku] for sku in self.stock] for each in self.days[-weeks * 7 :]], dtype=np.float64)
        by_week = table.reshape(weeks, 7, len(self.stock), 2).sum(axis=1)
        open_ = np.clip(by_week[:, :, 1] / 168, 0.0, 1.0)
        history = History(by_week[:, :, 0].T, np.where(by_week[:, :, 0] > 0, np.maximum(open_, 1 / 7), open_).T)
        told = foresee(history)
        weekly, low, high = level(told.weekly), level(told.low), level(told.high)
        on_shelf = history.open.sum(axis=1)
        self._forecast = {
            sku: (float(weekly[at]), float(((high[at] - low[at]) / 2.5631) ** 2), float(on_shelf[at]))
            for at, sku in enumerate(self.stock)
        }

    # Buying

    def on_order(self, sku: str) -> int:
        return sum(each.units.get(sku, 0) for each in self.coming)

    def order(self, units: dict[str, int]) -> None:
        """An order with the supplier; how long it takes is drawn by its number."""
        days = max(1.0, drawn(self.business.seed, "lead", self.orders).gammavariate(12.0, LEAD / 12.0))
        now = self.business.now
        self.coming.append(Delivery(now, now + timedelta(days=days), units))
        self.orders += 1
        self.lines += len(units)
        self.placed_at = now
        self._worked = None

    def place(self, command: PlacePurchaseOrder) -> None:
        skus = {each.item_id: each.sku for each in self.business.goods.values()}
        self.order({skus[line.variant_id]: line.units for line in command.lines})

    async def review(self, urgent: bool) -> PurchaseReview:
        ground, worked = self._work()
        return worked.review(ground, ground.purchasing.review_days, self.business.now, urgent=urgent)

    async def plan(self, supplier_id: UUID) -> SupplierPlan | None:
        return self._work()[1].of(supplier_id)

    def _work(self) -> tuple[BuyGround, Worked]:
        now, settings = self.business.now, self.business.profile.settings
        if self._worked is None or self._worked[0] != now:
            took = np.array(self.took)
            shown = Shown(SUPPLIER, len(took), float(took.mean()), float(took.var())) if len(took) else None
            ground = BuyGround(
                settings.purchasing,
                settings.pricing,
                goods=[self._row(sku) for sku in self._forecast],
                sellers=[Seller(SUPPLIER, "the wholesaler", "USD", True, 0)],
                leads={SUPPLIER: lead_time(LEAD, SPREAD, shown)},
                lately={} if self.placed_at is None else {SUPPLIER: Lately(SUPPLIER, self.placed_at, None)},
            )
            self._worked = now, ground, worked_out(ground, settings_of(ground), Staged(), now)
        return self._worked[1:]

    def _row(self, sku: str) -> BuyRow:
        goods = self.business.goods[sku]
        weekly, variance, on_shelf = self._forecast[sku]
        return BuyRow(
            supplier_id=SUPPLIER,
            variant_id=goods.item_id,
            stock_item_id=goods.item_id,
            sku=sku,
            pack_units=1,
            pack_cost_minor=goods.cost,
            least_units=0,
            free=max(0, self.stock[sku]),
            on_order=self.on_order(sku),
            weekly=weekly,
            variance=variance,
            weeks_on_shelf=on_shelf,
            paths=None,
            net_minor=None,
            net_units=0,
            asked_minor=float(self.business.listing(self._of_sku[sku]).price_minor or 0),
        )

    # Ads

    async def look_at_ads(self, account_id: UUID) -> AdReview:
        """`AdvertisingDesk.review` of these books."""
        settings = self.business.profile.settings
        found = [self._ad_row(sku) for sku in self._of_sku]
        seen = {
            listing_id: [(rate, days, units, by_ads) for rate, (days, units, by_ads) in ad.seen.items()]
            for listing_id, ad in self.ads.items()
        }
        return reviewed(account_id, found, seen, settings.pricing, settings.advertising, "USD", 0, self.business.now)

    def _ad_row(self, sku: str) -> AdRow:
        listing_id, goods = self._of_sku[sku], self.business.goods[sku]
        ad, shown = self.ads[listing_id], self.business.listing(listing_id)
        before = len(self.days) if ad.first_at is None else (ad.first_at - self._begun()).days
        return AdRow(
            listing_id=listing_id,
            sku=sku,
            status="active",
            currency="USD",
            price_minor=shown.price_minor,
            cost_minor=goods.cost,
            shown=shown.quantity or 0,
            available=max(0, self.stock[sku]),
            rate_bps=ad.rate_bps,
            resume_bps=ad.resume_bps,
            changed_at=ad.changed_at,
            days=sum(each[sku][1] for each in self.days[:before]) / 24,
            sold=sum(each[sku][0] for each in self.days[:before]),
            busy=False,
        )

    def _begun(self) -> datetime:
        return next(iter(self.business.offerings.values())).published

    async def goods_of_ads(self, stock_item_id: UUID) -> list[AdStand]:
        """`AdvertisingDesk.goods` of these books."""
        found = []
        for each in self.business.offerings.values():
            ad, there = self.ads[each.id], max(0, self.stock[each.goods.sku])
            if each.goods.item_id == stock_item_id and (ad.rate_bps or ad.resume_bps):
                sku = each.goods.sku
                found.append(AdStand(each.id, each.account_id, sku, "active", ad.rate_bps, ad.resume_bps, there))
        return found

    def advertise(self, command: SetAdRate) -> None:
        """What `advertising.judging` lets out is what the channel advertises from now on."""
        ad, now = self.ads[command.listing_id], self.business.now
        back = command.rate_bps == ad.resume_bps
        if command.rate_bps:
            soon = ad.changed_at is not None and not back and now - ad.changed_at < BETWEEN
            sku = self.business.offerings[command.listing_id].goods.sku
            if beyond_limits(command, self.business.profile.settings.advertising) or soon or self.stock[sku] <= 0:
                return
        ad.rate_bps, ad.resume_bps, ad.changed_at = command.rate_bps, command.resume_bps, now
        ad.first_at = ad.first_at or now
        self.business.advertise({sku: self.ads[each].rate_bps for sku, each in self._of_sku.items()})


async def nothing_sent(urgent: bool) -> SendReview:
    """There is one shelf and no channel's own warehouse."""
    return SendReview(0, (), (), ())
