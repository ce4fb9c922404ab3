"""Books that were put back are behind the world: they catch up before anything is granted, and nothing doubles."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any

import pytest
from scripted_channel import Channels, ScriptedChannel, Step
from shop import Goods, Shop
from stall import Stall, drain

from flipsync.domain import commands as c
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, Rejected, Retryable
from flipsync.domain.events import QuantityDrifted
from flipsync.runtime import effects
from flipsync.runtime.effects import EffectWorker
from flipsync.services import orders, stock
from flipsync.services.accounts import load_account
from flipsync.services.orders import AccountRef
from flipsync.store import restored
from flipsync.store.repositories import reconciling

Hire = Callable[..., EffectWorker]


class Two:
    """One article of ten units on two channels, five each, as the books have it at the backup."""

    def __init__(self, shop: Shop, channels: Channels, owner_url: str) -> None:
        self.shop, self._channels, self._owner = shop, channels, owner_url

    async def open(self, *, conditional: bool = False, units: int = 10) -> Two:
        self.goods: Goods = await self.shop.variant(units=units)
        self.accounts: list[AccountRef] = []
        self.shelves: list[ScriptedChannel] = []
        self.listings = []
        for _ in range(2):
            channel = ScriptedChannel(conditional=conditional, settle_seconds=0.01)
            account = await self.shop.account(settle_seconds=0.01)
            self._channels.by_account[str(account.id)] = channel
            self.listings.append(await self.shop.listing(account, self.goods, units=units // 2))
            channel.put(self.goods.sku, units // 2)
            self.accounts.append(account)
            self.shelves.append(channel)
        return self

    @property
    def name(self) -> str:
        return f"x-{self.goods.sku}"

    def put_back(self) -> int:
        """What `flipsync restore` does to the books."""
        return restored.settle(self._owner)

    async def quantity(self, which: int, units: int) -> None:
        command = c.SetChannelQuantity(
            account_id=self.accounts[which].id, listing_id=self.listings[which], quantity=units
        )
        await self.shop.enqueue(command, self.accounts[which])

    async def entitled(self) -> list[int]:
        return [(await self.shop.share(listing)).entitled for listing in self.listings]

    def shown(self) -> list[int]:
        return [channel.shelves[self.name].quantity or 0 for channel in self.shelves]


@pytest.fixture(autouse=True)
def nobody_else(as_owner: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The books are put back as a whole: other tests' accounts are out of it."""
    as_owner("UPDATE marketplace_account SET status = 'disconnected'")
    monkeypatch.setattr(effects, "_RECONCILING_LOOK", 0.02)


@pytest.fixture
async def two(shop: Shop, channels: Channels, queue_urls: dict[str, str]) -> Two:
    return await Two(shop, channels, queue_urls["owner"]).open()


async def test_what_was_sold_and_moved_since_is_known_before_anything_is_granted(two: Two, hire: Hire) -> None:
    """After the backup three units moved from the second channel to the first, which sold six of its eight."""
    first, second = two.shelves
    first.shelves[two.name].quantity, second.shelves[two.name].quantity = 8, 2
    assert first.sell(two.name, 6)
    await two.quantity(1, 5)  # was on its way at the backup: the books think the second is entitled to five
    two.put_back()
    assert await two.entitled() == [0, 0]
    await drain(hire(), two.shop)
    assert two.shown() == await two.entitled()
    assert sum(two.shown()) + 6 == 10
    item = await two.shop.item(two.goods)
    assert (item.reserved, item.allocated) == (6, sum(two.shown()))
    assert all(call.argument in (0, 2) for call in second.made("set_quantity")), "five would have been sold twice"


@pytest.mark.parametrize("conditional", [False, True])
async def test_more_on_show_than_there_is_comes_off_the_shelf_first(
    shop: Shop, channels: Channels, queue_urls: dict[str, str], hire: Hire, conditional: bool
) -> None:
    """Units that came in after the backup are lost with it: the channels show eleven, the books have ten."""
    two = await Two(shop, channels, queue_urls["owner"]).open(conditional=conditional)
    two.shelves[0].shelves[two.name].quantity = 6
    two.put_back()
    await drain(hire(), two.shop)
    assert sum(two.shown()) <= 10
    assert two.shown() == await two.entitled()


async def test_no_quantity_is_written_until_every_account_was_read(two: Two, hire: Hire) -> None:
    """The first may have seven, as the books have it; the second still shows five, which nobody has read yet."""
    two.shelves[1].script("listings", *[Step(Retryable("away"))] * 1000)
    async with two.shop.unit() as unit:
        await stock.set_targets(unit, two.goods.stock_item_id, {two.listings[0]: 7, two.listings[1]: 3})
    await two.quantity(0, 7)
    two.put_back()
    worker = hire()
    for _ in range(25):
        await worker.step()
        await asyncio.sleep(0.02)
    assert two.shelves[0].made("set_quantity") == []
    assert two.shown() == [5, 5]
    async with two.shop.store.reader(two.shop.tenant_id) as session:
        account = await load_account(session, two.shop.box, two.accounts[0].id)
    assert account.books_wait
    assert not account.unreconciled
    two.shelves[1]._script["listings"].clear()
    await drain(worker, two.shop)
    assert sum(two.shown()) <= 10
    assert two.shown() == await two.entitled()


async def test_an_account_that_refuses_us_is_tried_again_for_ever(two: Two, hire: Hire) -> None:
    two.shelves[0].script("listings", Step(Rejected("token expired", auth=True)))
    two.put_back()
    await hire().step()
    rows = await two.shop.rows(
        "SELECT state FROM effect WHERE command = 'ReconcileRestored' AND tenant_id = :tenant ORDER BY id"
    )
    assert [row.state for row in rows] == ["pending", "confirmed"]


async def test_a_listing_made_since_is_found_and_not_made_twice(two: Two, hire: Hire) -> None:
    """It was asked for, published and sold from after the backup; the books have only the wish."""
    other = await two.shop.variant(units=4)
    listing = await two.shop.listing(two.accounts[0], other, status="requested")
    channel = two.shelves[0]
    external_id = channel.put(other.sku, 4)
    assert channel.sell(external_id)
    two.put_back()
    await drain(hire(), two.shop)
    assert channel.made("publish") == []
    async with two.shop.store.reader(two.shop.tenant_id) as session:
        account = await load_account(session, two.shop.box, two.accounts[0].id)
    assert account.restored
    share, item = await two.shop.share(listing), await two.shop.item(other)
    assert (item.reserved, share.entitled) == (1, 3)


async def test_what_left_the_house_since_does_not_leave_again(two: Two, hire: Hire) -> None:
    channel = two.shelves[0]
    sale = channel.sell(two.name, 2)
    assert sale is not None
    sale.status = "shipped"
    two.put_back()
    await drain(hire(), two.shop)
    rows = await two.shop.rows("SELECT state FROM customer_order WHERE tenant_id = :tenant")
    assert [row.state for row in rows] == ["shipped"]
    item = await two.shop.item(two.goods)
    assert (item.on_hand, item.reserved) == (8, 0)


async def test_nothing_is_handed_over_before_its_channel_was_read(two: Two, hire: Hire) -> None:
    """The parcel may have left after the backup: a second one would go to the same buyer."""
    sale = two.shelves[0].sell(two.name)
    assert sale is not None
    await two.shop.enqueue(c.PullOrders(account_id=two.accounts[0].id), two.accounts[0])
    await drain(hire(), two.shop)
    order_id = (await two.shop.rows("SELECT id FROM customer_order WHERE tenant_id = :tenant"))[0].id
    async with two.shop.unit() as unit:
        await orders.mark_ready(unit, order_id)
    sale.status, sale.modified_at = "shipped", utc_now()
    two.put_back()
    with pytest.raises(Conflict, match="may have left"):
        async with two.shop.unit() as unit:
            await orders.hand_over(unit, two.accounts[0], order_id, "USPS", "2")
    await drain(hire("effects-1"), two.shop)
    rows = await two.shop.rows("SELECT state FROM customer_order WHERE tenant_id = :tenant")
    assert [row.state for row in rows] == ["shipped"]


async def test_a_worker_from_before_writes_no_receipt(
    shop: Shop, channels: Channels, stall: Stall, hire: Hire, queue_urls: dict[str, str]
) -> None:
    """It holds a lease when the books are put back under it; what it did is asked for again."""
    effect = await stall.quantity(3)
    stall.channel.script("set_quantity", Step(before=lambda: restored.settle(queue_urls["owner"])))
    await hire().step()
    assert await stall.outcomes(effect) == []
    assert (await shop.effect(effect)).state == "unknown"
    await drain(hire("effects-1"), shop)
    assert stall.channel.shelves[stall.external_id].quantity == (await shop.share(stall.listing)).entitled


async def test_agents_are_told_what_does_not_show_what_it_should(
    two: Two, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, also when both accounts catch up in the same moment."""
    both, mark = asyncio.Barrier(2), reconciling.mark_reconciled

    async def mark_together(*args: Any) -> bool:
        marked = await mark(*args)
        with contextlib.suppress(TimeoutError, asyncio.BrokenBarrierError):
            await asyncio.wait_for(both.wait(), 0.3)
        return marked

    monkeypatch.setattr(reconciling, "mark_reconciled", mark_together)
    two.shelves[0].shelves[two.name].quantity = 3
    async with two.shop.unit() as unit:
        await stock.set_targets(unit, two.goods.stock_item_id, dict.fromkeys(two.listings, 5))
    two.put_back()
    await drain(hire(), two.shop)
    told = await two.shop.events(QuantityDrifted)
    assert [(each["expected"], each["seen"]) for each in told if each["listing_id"] == str(two.listings[0])] == [(5, 3)]


@pytest.mark.parametrize("seed", range(8))
async def test_sales_go_on_while_the_books_catch_up(
    shop: Shop, channels: Channels, queue_urls: dict[str, str], hire: Hire, seed: int
) -> None:
    """Whatever was moved and sold after the backup, and while it is read: no unit is sold twice."""
    dice = random.Random(seed)
    two = await Two(shop, channels, queue_urls["owner"]).open(conditional=bool(seed % 2))
    first, second = (channel.shelves[two.name] for channel in two.shelves)
    first.quantity = dice.randint(0, 10)
    second.quantity = 10 - first.quantity
    for channel in two.shelves:
        channel.order_delay = lambda: dice.random() * 0.008
        for _ in range(dice.randint(0, 3)):
            channel.sell(two.name)
    for which in range(2):
        await two.quantity(which, 5)
    two.put_back()

    async def buyers() -> None:
        for _ in range(60):
            dice.choice(two.shelves).sell(two.name)
            await asyncio.sleep(dice.random() * 0.01)

    buying = asyncio.create_task(buyers())
    await drain(hire(), two.shop)
    await buying
    for account in two.accounts:
        await shop.enqueue(c.PullOrders(account_id=account.id), account)
    await drain(hire(), two.shop)
    sold = sum(channel.sold for channel in two.shelves)
    item = await shop.item(two.goods)
    assert sold <= 10
    assert item.reserved == sold
    assert two.shown() == await two.entitled()
    assert sold + sum(two.shown()) <= 10
