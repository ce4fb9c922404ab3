"""Everything at once: buyers, cancellations, news out of order, failing calls and dying workers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from uuid import UUID

import pytest
from scripted_channel import Channels, Sale, ScriptedChannel, Step
from shop import Goods, Shop
from stall import drain

from flipsync.domain import commands as c
from flipsync.domain.channel import ListingState
from flipsync.domain.errors import OutcomeUnknown, Retryable
from flipsync.runtime import effects
from flipsync.runtime.channel_reads import pull_orders
from flipsync.runtime.effects import EffectWorker
from flipsync.services import orders, stock
from flipsync.services.desk import Services
from flipsync.services.orders import AccountRef
from flipsync.store.unit_of_work import Cause

Hire = Callable[..., EffectWorker]
SETTLE = 0.03


class SlowChannel(ScriptedChannel):
    """A request takes its time on the way, and arrives even when its sender has died meanwhile."""

    dice: random.Random
    under_way: set[asyncio.Task[ListingState]]

    async def set_quantity(
        self, external_id: str, quantity: int, key: str, expected_version: str | None = None
    ) -> ListingState:
        async def arrive() -> ListingState:
            await asyncio.sleep(self.dice.random() * SETTLE * 0.5)
            return await ScriptedChannel.set_quantity(self, external_id, quantity, key, expected_version)

        request = asyncio.create_task(arrive())
        self.under_way.add(request)
        request.add_done_callback(self._arrived)
        return await asyncio.shield(request)

    def _arrived(self, request: asyncio.Task[ListingState]) -> None:
        self.under_way.discard(request)
        request.exception()  # nobody may be there to hear it


class Market:
    """One item on two channels, buyers on both, a shopkeeper who moves shares, and a worker that dies."""

    def __init__(self, shop: Shop, channels: Channels, seed: int) -> None:
        self.shop, self.channels, self.random = shop, channels, random.Random(seed)
        self.units = self.random.randint(1, 8)
        self.open_for_business = True
        self.stands: list[tuple[AccountRef, ScriptedChannel, UUID, str]] = []

    @property
    def sold(self) -> int:
        return sum(channel.sold for _, channel, _, _ in self.stands)

    async def build(self, kinds: tuple[bool, bool]) -> Market:
        self.goods: Goods = await self.shop.variant(units=self.units)
        for conditional in kinds:
            account = await self.shop.account(settle_seconds=SETTLE)
            channel = SlowChannel(conditional=conditional, settle_seconds=SETTLE)
            channel.dice, channel.under_way = self.random, set()
            channel.order_delay = lambda: self.random.random() * SETTLE * 0.4
            self.channels.by_account[str(account.id)] = channel
            listing = await self.shop.listing(account, self.goods)
            self.stands.append((account, channel, listing, channel.put(self.goods.sku, 0)))
        return self

    async def buy(self) -> None:
        waiting: set[asyncio.Task[None]] = set()
        while self.open_for_business:
            await asyncio.sleep(self.random.random() * 0.02)
            _, channel, _, external_id = self.random.choice(self.stands)
            sale = channel.sell(external_id, self.random.choice((1, 1, 2)))
            assert self.sold <= self.units, "sold a unit twice"
            if sale is not None and self.random.random() < 0.5:
                waiting.add(asyncio.create_task(self.regret(channel, sale)))
        await asyncio.gather(*waiting)

    async def regret(self, channel: ScriptedChannel, sale: Sale) -> None:
        await asyncio.sleep(self.random.random() * 0.08)
        channel.cancel(sale)

    async def tell(self) -> None:
        """Webhooks: some orders, in any order."""
        while self.open_for_business:
            await asyncio.sleep(self.random.random() * 0.05)
            account, channel, _, _ = self.random.choice(self.stands)
            if channel.sales:
                told = await channel.read_order(self.random.choice(channel.sales[-3:]).external_id)
                assert told is not None
                async with self.shop.unit() as unit:
                    await orders.ingest_order(unit, account, told)

    def spoil(self) -> None:
        failures = [Step(Retryable("busy")), Step(ignored=True)]
        failures += [Step(OutcomeUnknown("timeout"), applied=applied) for applied in (True, False)]
        for _, channel, _, _ in self.stands:
            if self.random.random() < 0.3:
                channel.script("set_quantity", self.random.choice(failures))
            if self.random.random() < 0.3:
                channel.script("read_listing", Step(Retryable("busy")))

    async def keep_shop(self, rounds: int) -> None:
        for _ in range(rounds):
            self.spoil()
            item = await self.shop.item(self.goods)
            free = item.on_hand - item.reserved
            first = self.random.randint(0, free)
            await self.aim([first, self.random.randint(0, free - first)])
            await asyncio.sleep(self.random.random() * 0.12)

    async def aim(self, targets: list[int]) -> None:
        async with self.shop.unit() as unit:
            item = await stock.entitlement(unit, self.stands[0][2])
            assert item is not None
            row = await self.shop.item(self.goods)
            if sum(targets) > row.on_hand - row.reserved:
                return  # somebody bought meanwhile: the next round looks again
            shares = {stand[2]: target for stand, target in zip(self.stands, targets, strict=True)}
            await stock.set_targets(unit, self.goods.stock_item_id, shares)
        await self.show(targets)

    async def show(self, targets: list[int]) -> None:
        for (account, _, listing, _), target in zip(self.stands, targets, strict=True):
            command = c.SetChannelQuantity(
                account_id=account.id, listing_id=listing, quantity=target, last_unit=self.random.random() < 0.3
            )
            await self.shop.enqueue(command, account)

    async def pull(self) -> None:
        for account, channel, _, _ in self.stands:
            await pull_orders(self.shop.store, self.shop.tenant_id, account, channel, Cause())

    async def serve(self, worker: EffectWorker) -> None:
        """What agents do when all is quiet: take units back from shelves for the buyers who wait, and hand them out."""
        for _ in range(3):
            async with self.shop.store.reader(self.shop.tenant_id) as session:
                desk = Services(session, self.shop.tenant_id, self.shop.store.clock.now()).stock
                picture = await desk.picture(self.goods.stock_item_id)
                waiting = await desk.short_orders(self.goods.stock_item_id)
            assert picture is not None
            await self.aim([picture.shares[stand[2]] for stand in self.stands])
            await drain(worker, self.shop, seconds=20)
            for order_id in waiting:
                async with self.shop.unit() as unit:
                    await orders.reserve_missing(unit, order_id)


@pytest.mark.parametrize("seed", range(6))
async def test_no_unit_is_sold_twice_whatever_happens_at_the_same_time(
    shop: Shop, channels: Channels, hire: Hire, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(effects, "_BACKOFF", (0.03, 0.06))  # time enough to sell out before the next attempt
    kinds = [(True, False), (False, False), (True, True)][seed % 3]
    market = await Market(shop, channels, seed).build(kinds)
    worker = hire()
    await worker.begin()

    async def work() -> None:
        nonlocal worker
        while market.open_for_business:
            if market.random.random() < 0.03:
                await worker.aclose()  # dies as it stands, whatever it was about
                worker = hire()
                await worker.begin()
            if not await worker._start_some():
                await asyncio.sleep(0.005)

    tasks = [asyncio.create_task(each) for each in (market.buy(), market.tell(), work())]
    await market.keep_shop(10)
    market.open_for_business = False
    await asyncio.wait_for(asyncio.gather(*tasks), 20)
    await asyncio.sleep(SETTLE)
    await drain(worker, shop, seconds=20)
    await asyncio.sleep(SETTLE)
    await market.pull()
    await market.serve(worker)
    short = (await shop.rows("SELECT coalesce(sum(short), 0) AS units FROM order_line"))[0].units
    item = await shop.item(market.goods)
    assert short == 0, "an order was taken for a unit that does not exist"
    assert item.reserved == market.sold <= market.units
    on_offer = sum(channel.shelves[external_id].quantity or 0 for _, channel, _, external_id in market.stands)
    assert market.sold + on_offer <= market.units
