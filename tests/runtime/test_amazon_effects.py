"""The effect worker on Amazon: what leaves the outbox is on sale there, through writes that show late and get lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
from pydantic import SecretStr
from scripted_channel import Channels
from shop import Goods, Shop
from sqlalchemy import select
from stall import drain

from flipsync.connectors.base import AccountConfig, Limiter
from flipsync.connectors.marketplaces.amazon.client import AmazonConnector
from flipsync.connectors.vault import Vault
from flipsync.domain import commands as c
from flipsync.domain.channel import Offer
from flipsync.runtime import effects
from flipsync.runtime.effects import EffectWorker
from flipsync.sandbox.app import Sandbox, SandboxConfig, build_app
from flipsync.sandbox.buyers import Buyer
from flipsync.sandbox.records import Order as Sale
from flipsync.sandbox.records import order_external_id
from flipsync.services import stock
from flipsync.services.orders import AccountRef
from flipsync.store.models import Listing, Order

_ADDRESSES = ("base_url", "token_url", "notification_url", "options")


@pytest.fixture
async def market(channels: Channels, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    """A sandbox in this process. In place of the scripted channels, whoever connects an account reaches its Amazon."""
    sandbox = Sandbox(SandboxConfig(seed=7), "http://market.test")
    sandbox.books.set_meta("amazon.usage_factor", "1000")
    row = sandbox.credentials()["amazon"]
    keys = {name: SecretStr(value) for name, value in row.items() if name not in _ADDRESSES}
    where = {name: row[name] for name in _ADDRESSES}
    transport = httpx2.ASGITransport(app=build_app(sandbox))

    def connect(
        config: AccountConfig, credentials: object, limiter: Limiter, key: str, vault: Vault | None = None
    ) -> AmazonConnector:
        told = AccountConfig.model_validate({"vendor": "amazon", "currency": "USD", "settle_seconds": 0.0, **where})
        return AmazonConnector(told, keys, limiter, key, transport=transport)

    monkeypatch.setattr(effects, "connect", connect)
    async with sandbox.running():
        yield sandbox
    sandbox.books.close()


@pytest.fixture
async def account(shop: Shop) -> AccountRef:
    return await shop.account("amazon")


class Trade:
    """One article on Amazon, and what is asked of the worker about it."""

    def __init__(self, shop: Shop, account: AccountRef, goods: Goods, listing: UUID, work: Callable[[], Any]) -> None:
        self.shop, self.account, self.goods, self.listing, self.work = shop, account, goods, listing, work

    async def do(self, command: c.Command) -> str:
        effect = await self.shop.enqueue(command, self.account)
        await self.work()
        return (await self.shop.effect(effect)).state

    async def show(self, units: int) -> str:
        async with self.shop.unit() as unit:
            await stock.set_targets(unit, self.goods.stock_item_id, {self.listing: units})
        command = c.SetChannelQuantity(account_id=self.account.id, listing_id=self.listing, quantity=units)
        return await self.do(command)

    async def row(self) -> Listing:
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            return await session.get_one(Listing, self.listing)


@pytest.fixture
async def trade(shop: Shop, market: Sandbox, account: AccountRef, hire: Callable[..., EffectWorker]) -> Trade:
    goods = await shop.variant(units=6)
    listing = await shop.listing(account, goods, price=None, status="requested")
    worker = hire()
    return Trade(shop, account, goods, listing, lambda: drain(worker, shop, seconds=30))


async def published(trade: Trade) -> None:
    signed = await trade.shop.signed_price(trade.account, trade.listing, 3100)
    offer = Offer(sku=trade.goods.sku, title="A teapot", price=signed.price, quantity=0, barcode="4006381333931")
    command = c.PublishListing(
        account_id=trade.account.id, listing_id=trade.listing, offer=offer, certificate=signed.certificate
    )
    assert await trade.do(command) == "confirmed"


async def test_a_day_on_amazon(trade: Trade, market: Sandbox) -> None:
    await published(trade)
    row = await trade.row()
    assert (row.status, row.external_id, row.quantity_shown, row.price_minor) == ("active", trade.goods.sku, 0, 3100)
    assert await trade.show(4) == "confirmed"
    assert await trade.do(await trade.shop.signed_price(trade.account, trade.listing, 3200)) == "confirmed"
    there = market.books.listing_by_sku("amazon", trade.goods.sku)
    assert there is not None and (there.quantity, there.price_minor) == (4, 3200)
    sale = market.market.place("amazon", trade.goods.sku, 2, Buyer(0, 0.0, 2))
    assert isinstance(sale, Sale)
    assert await trade.do(c.PullOrders(account_id=trade.account.id)) == "confirmed"
    (order,) = await orders_of(trade)
    assert order.external_id == order_external_id("amazon", sale.id)
    ship = c.ConfirmShipment(account_id=trade.account.id, order_id=order.id, carrier="UPS", tracking_number="1Z999")
    assert await trade.do(ship) == "confirmed"
    assert market.books.order(sale.id).status == "shipped"  # type: ignore[union-attr]
    end = c.EndListing(account_id=trade.account.id, listing_id=trade.listing, reason="sold elsewhere")
    assert await trade.do(end) == "confirmed"
    assert (await trade.row()).status == "ended"
    assert market.books.listing_by_sku("amazon", trade.goods.sku).status == "ended"  # type: ignore[union-attr]


async def orders_of(trade: Trade) -> list[Order]:
    async with trade.shop.store.reader(trade.shop.tenant_id) as session:
        return list(await session.scalars(select(Order)))


@pytest.mark.slow
async def test_lost_answers_and_ignored_writes_end_as_they_should(trade: Trade, market: Sandbox) -> None:
    market.faults.configure(
        "amazon", {"error_after": 0.1, "drop_after": 0.05, "ignored_write": 0.1, "error_before": 0.05}
    )
    await published(trade)
    for units in (1, 5, 2):
        assert await trade.show(units) == "confirmed"
        there = market.books.listing_by_sku("amazon", trade.goods.sku)
        assert there is not None and there.quantity == units
    made = market.books.db.execute("SELECT count(*) FROM listing_created WHERE channel = 'amazon'").fetchone()
    assert made == (1,)
    assert sum(market.faults.counts["amazon"].values()) > 0


async def test_what_lies_with_amazon_is_fetched_into_its_own_pool_and_sold_from_it(
    trade: Trade, market: Sandbox
) -> None:
    await published(trade)
    hear = c.EnsureWebhooks(account_id=trade.account.id, callback_url="queue:")
    assert await trade.do(hear) == "confirmed"
    amazon: Any = market.server("/amazon")
    amazon.world.store_with_amazon(trade.goods.sku, 7)
    for command in (c.PullWarehouse(account_id=trade.account.id), c.PullWarehouse(account_id=trade.account.id)):
        assert await trade.do(command) == "confirmed"
    assert await pools(trade) == {"own": (6, 0), "fba": (7, 0)}
    assert isinstance(market.market.place("amazon", trade.goods.sku, 2, Buyer(0, 0.0, 2)), Sale)
    assert await trade.do(c.PullWarehouse(account_id=trade.account.id)) == "confirmed"
    assert await pools(trade) == {"own": (6, 0), "fba": (7, 2)}, "the sale was fetched first: no unit is missing"


async def test_money_given_back_on_amazon_reaches_the_books_once(trade: Trade, market: Sandbox) -> None:
    await published(trade)
    assert await trade.show(4) == "confirmed"
    sale = market.market.place("amazon", trade.goods.sku, 2, Buyer(0, 0.0, 2))
    assert isinstance(sale, Sale)
    with market.books.transaction():
        (order,) = market.books.orders("id = ?", (sale.id,))
        market.market.orders.refund(order, {order.lines[0].id: (1, 3100)}, 3100, "Chipped", restock=False)
        market.books.save_order(order)
    for _ in range(2):
        assert await trade.do(c.PullRefunds(account_id=trade.account.id)) == "confirmed"
        assert await trade.do(c.PullOrders(account_id=trade.account.id)) == "confirmed"
    rows = await trade.shop.rows("SELECT amount_minor FROM refund WHERE tenant_id = :tenant")
    assert [row.amount_minor for row in rows] == [3100]
    item = await trade.shop.item(trade.goods)
    assert (item.on_hand, item.reserved) == (6, 2), "what comes back is booked when it is here"


async def pools(trade: Trade) -> dict[str, tuple[int, int]]:
    rows = await trade.shop.rows(
        "SELECT pool, on_hand, reserved FROM stock_item WHERE variant_id = :variant", variant=trade.goods.variant_id
    )
    return {row.pool: (row.on_hand, row.reserved) for row in rows}
