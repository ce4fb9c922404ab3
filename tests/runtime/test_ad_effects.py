"""Ads through the outbox on eBay's sandbox: set, stopped, read back, and what they sold in the books."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from pydantic import SecretStr
from scripted_channel import Channels
from shop import Goods, Shop
from sqlalchemy import text
from stall import drain

from agents import ROSTER
from agents.market.advertising import AdvertisingAgent
from flipsync.connectors.base import AccountConfig, Limiter, Unlimited
from flipsync.connectors.marketplaces.ebay.client import EbayConnector
from flipsync.connectors.vault import Vault
from flipsync.domain.advertising import AdSale, AdShown, AdsRead, AdvertisedStockTurned, PullAds, SetAdRate
from flipsync.domain.channel import Offer
from flipsync.domain.events import Event
from flipsync.domain.money import Money
from flipsync.runtime import ad_work, effects
from flipsync.runtime.agent import Context
from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.effects import EffectWorker
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import Graph
from flipsync.sandbox.app import Sandbox, SandboxConfig, build_app
from flipsync.sandbox.buyers import Buyer
from flipsync.services import orders, stock
from flipsync.services.advertising import books
from flipsync.services.desk import Services
from flipsync.services.orders import AccountRef
from flipsync.services.settings_changes import set_settings

_ADDRESSES = ("base_url", "token_url", "notification_url", "options")


class EbayTrade:
    """Goods on eBay, and what is asked of the worker about their ad."""

    def __init__(self, shop: Shop, account: AccountRef, sandbox: Sandbox, work: Callable[[], Any]) -> None:
        self.shop, self.account, self.sandbox, self.work = shop, account, sandbox, work
        self.goods: Goods
        self.listing: UUID

    async def set(self, rate: int, **more: Any) -> Any:
        command = SetAdRate(account_id=self.account.id, listing_id=self.listing, rate_bps=rate, was_bps=0, **more)
        effect = await self.shop.enqueue(command, self.account)
        await self.work()
        return await self.shop.effect(effect)

    async def pull(self) -> None:
        effect = await self.shop.enqueue(PullAds(account_id=self.account.id), self.account)
        await self.work()
        assert (await self.shop.effect(effect)).state == "confirmed"

    @property
    def shown(self) -> float:
        return self.sandbox.market.promotion.rate(f"x-{self.goods.sku}")

    async def row(self) -> Any:
        (row,) = await self.shop.rows("SELECT * FROM ad_listing")
        return row

    async def turned(self) -> list[int]:
        found = await self.shop.rows("SELECT payload FROM event WHERE type = 'AdvertisedStockTurned' ORDER BY id")
        return [row.payload["available"] for row in found]

    async def sell(self, units: int) -> None:
        async with self.shop.unit() as unit:
            # just now: what was sold before midnight is of no day that the ad was shown on
            order = self.shop.order({self.goods.sku: units}).model_copy(update={"placed_at": unit.now})
            await orders.ingest_order(unit, self.account, order)


@pytest.fixture
async def trade(
    shop: Shop, channels: Channels, hire: Callable[..., EffectWorker], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[EbayTrade]:
    start = int(datetime.now(UTC).timestamp() * 1000)
    sandbox = Sandbox(SandboxConfig(seed=7, start_ms=start), "http://market.test")
    row = sandbox.credentials()["ebay"]
    keys = {name: SecretStr(value) for name, value in row.items() if name not in _ADDRESSES}
    where = {name: row[name] for name in _ADDRESSES if name in row}
    transport = httpx2.ASGITransport(app=build_app(sandbox))
    told = AccountConfig.model_validate({"vendor": "ebay", "currency": "USD", "settle_seconds": 0.0, **where})

    def connect(
        config: AccountConfig, credentials: object, limiter: Limiter, key: str, vault: Vault | None = None
    ) -> EbayConnector:
        return EbayConnector(told, keys, limiter, key, transport=transport)

    monkeypatch.setattr(effects, "connect", connect)
    worker = hire()
    async with shop.unit() as unit:
        await set_settings(unit, {"advertising.mode": "auto"})
    made = EbayTrade(shop, await shop.account("ebay"), sandbox, lambda: drain(worker, shop))
    made.goods = await shop.variant(units=5)
    made.listing = await shop.listing(made.account, made.goods, units=5)
    async with sandbox.running():
        async with connect(told, keys, Unlimited(), "a") as ebay:
            money = Money(amount_minor=2999, currency="USD")
            lamp = Offer(
                sku=f"x-{made.goods.sku}",
                title="Lamp",
                description_html="<p>Brass.</p>",
                price=money,
                quantity=5,
                brand="Lumen",
                category="88433",
                images=("https://img.example/lamp.jpg",),
                attributes={"Color": "Brass"},
            )
            await ebay.publish(lamp, "k")
        yield made
    sandbox.books.close()


async def act(trade: EbayTrade, kind: type[Event]) -> Any:
    """Have the agent decide on the newest fact of the kind, and what it decides carried out."""
    path = DecisionPath(Graph(ROSTER), Gate(trade.shop.firewall))
    (row,) = await trade.shop.rows(
        "SELECT id, payload FROM event WHERE type = :kind ORDER BY id DESC LIMIT 1", kind=kind.type_name()
    )
    decision = await trade.shop.decide(AdvertisingAgent(), Event.from_journal(kind.type_name(), row.payload))
    async with trade.shop.unit() as unit:
        services = Services(unit.session, trade.shop.tenant_id, unit.now)
        ctx = Context(trade.shop.tenant_id, unit.now, services, row.id, row.id)
        await path.record(unit, ctx, AdvertisingAgent.spec, decision, fact=kind.type_name())
    await trade.work()
    return decision


async def test_from_a_days_look_to_the_channel_and_back_with_the_units(trade: EbayTrade) -> None:
    async with trade.shop.unit() as unit:
        await unit.session.execute(
            text("UPDATE listing SET published_at = :at"), {"at": unit.now - timedelta(days=200)}
        )
    await trade.sell(1)
    await trade.pull()
    (wanted,) = (await act(trade, AdsRead)).proposals
    assert wanted.rate_bps >= 200 and trade.shown == wanted.rate_bps / 100
    await trade.sell(4)
    await act(trade, AdvertisedStockTurned)
    assert trade.shown == 0
    row = await trade.row()
    assert (row.rate_bps, row.resume_bps) == (0, wanted.rate_bps)
    async with trade.shop.unit() as unit:
        await stock.receive(unit, trade.goods.variant_id, 3, key="more", mode="escrow")
    await act(trade, AdvertisedStockTurned)
    assert trade.shown == wanted.rate_bps / 100
    verdicts = await trade.shop.rows("SELECT verdict FROM proposal WHERE command = 'SetAdRate'")
    assert [each.verdict for each in verdicts] == ["proceed"] * 3


async def test_a_rate_is_shown_booked_and_ended(trade: EbayTrade) -> None:
    effect = await trade.set(450)
    assert (effect.state, effect.result["detail"]) == ("confirmed", "advertised at 4.5 %")
    assert trade.shown == 4.5
    row = await trade.row()
    assert (row.rate_bps, row.resume_bps, row.effect_id) == (450, 0, effect.id)
    assert (await trade.set(450)).state == "confirmed"
    assert (await trade.row()).rate_since == row.rate_since
    assert (await trade.set(150)).state == "rejected", "below eBay's least"
    assert trade.shown == 4.5
    assert (await trade.set(0, resume_bps=450)).state == "confirmed"
    assert (trade.shown, (await trade.row()).resume_bps) == (0, 450)


async def test_what_cannot_be_shipped_is_not_advertised_whatever_was_decided(trade: EbayTrade) -> None:
    await trade.sell(5)
    effect = await trade.set(450)
    assert (effect.state, trade.shown) == ("rejected", 0)
    assert "nothing of it can be sold" in effect.result["detail"]
    assert await trade.shop.rows("SELECT 1 FROM ad_listing") == []


async def test_units_that_the_channel_is_yet_to_be_told_of_are_waited_for(
    trade: EbayTrade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ad_work, "_LOOK_AGAIN", 0.01)
    listing = trade.sandbox.books.listing_by_sku("ebay", f"x-{trade.goods.sku}")
    assert listing is not None
    with trade.sandbox.books.transaction():
        trade.sandbox.books.set_stock(listing, 0, "set by seller", "test")
    effect = await trade.set(450)
    assert (effect.state, effect.attempts, trade.shown) == ("rejected", 3, 0)
    assert effect.result["detail"] == "the channel shows no units of it: it is not advertised"


async def test_limits_that_came_after_the_decision_hold_too(trade: EbayTrade) -> None:
    for change, why in (({"max_rate_bps": 400}, "above the owner's limit"), ({"mode": "off"}, "wants no ads")):
        async with trade.shop.unit() as unit:
            await set_settings(unit, {f"advertising.{name}": value for name, value in change.items()})
        effect = await trade.set(450)
        assert (effect.state, trade.shown) == ("rejected", 0) and why in effect.result["detail"]
    assert (await trade.set(0)).state == "confirmed"


async def test_the_last_unit_and_the_first_one_are_told_of_only_where_goods_are_advertised(trade: EbayTrade) -> None:
    await trade.sell(1)
    assert await trade.turned() == []
    await trade.set(450)
    await trade.sell(3)
    assert await trade.turned() == []
    await trade.sell(1)
    assert await trade.turned() == [0]
    async with trade.shop.unit() as unit:
        await stock.receive(unit, trade.goods.variant_id, 2, key="more", mode="escrow")
        await stock.receive(unit, trade.goods.variant_id, 2, key="more still", mode="escrow")
    assert await trade.turned() == [0, 2]
    await trade.set(0)
    await trade.sell(9)
    assert await trade.turned() == [0, 2]


async def test_units_that_went_while_the_rate_was_set_are_told_of_again(
    trade: EbayTrade, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = EbayConnector.set_ad_rate

    async def slow(self: EbayConnector, external_id: str, rate_bps: int) -> int:
        await trade.sell(5)
        return await write(self, external_id, rate_bps)

    monkeypatch.setattr(EbayConnector, "set_ad_rate", slow)
    assert (await trade.set(450)).state == "confirmed"
    assert await trade.turned() == [0, 0], "at the sale, and when the rate was booked"


async def test_what_ads_sold_is_in_the_books_once_and_by_day(trade: EbayTrade) -> None:
    await trade.set(500)
    sku = f"x-{trade.goods.sku}"
    with trade.sandbox.books.transaction():
        trade.sandbox.market.orders.place("ebay", sku, 2, Buyer(9_900, 6.0, 2), ad_rate=5.0)
    await trade.sell(1)
    for _ in range(2):
        await trade.pull()
    (day,) = await trade.shop.rows("SELECT * FROM ad_day")
    assert (day.ad_units, day.ad_sales_minor, day.ad_fees_minor, day.currency) == (2, 5998, 300, "USD")
    assert (day.units, day.offered, day.rate_bps, day.impressions) == (1, True, None, None)
    assert len(await trade.shop.rows("SELECT 1 FROM event WHERE type = 'AdsRead'")) == 2


async def test_rates_set_by_hand_are_seen_and_older_looks_undo_nothing(trade: EbayTrade) -> None:
    await trade.set(500)
    with trade.sandbox.books.transaction():
        trade.sandbox.books.set_meta("ebay.ads", f'{{"x-{trade.goods.sku}": "7.0"}}')
    await trade.pull()
    assert (await trade.row()).rate_bps == 700
    async with trade.shop.unit() as unit:
        earlier = unit.now - timedelta(minutes=5)
        await books.record(unit, trade.account, [], [], earlier)
    assert (await trade.row()).rate_bps == 700, "a look that began before our own change"
    with trade.sandbox.books.transaction():
        trade.sandbox.books.set_meta("ebay.ads", "{}")
    await trade.pull()
    row = await trade.row()
    assert (row.rate_bps, row.resume_bps) == (0, 0)
    (item,) = await trade.shop.rows("SELECT advertised FROM stock_item")
    assert not item.advertised


async def test_days_have_the_rate_that_held_all_day(trade: EbayTrade) -> None:
    shown = [AdShown(external_id=f"x-{trade.goods.sku}", campaign_id="1", rate_bps=300)]
    fee = Money(amount_minor=90, currency="USD")
    goods = Money(amount_minor=2999, currency="USD")
    async with trade.shop.unit() as unit:
        now = unit.now
        await books.record(unit, trade.account, shown, [], now)
    long_ago = now - timedelta(days=4)
    async with trade.shop.unit() as unit:
        await unit.session.execute(text("UPDATE ad_listing SET first_at = :at, rate_since = :at"), {"at": long_ago})
    sale = AdSale(
        order_external_id="o", listing_external_id=f"x-{trade.goods.sku}", units=1, sales=goods, fee=fee,
        sold_at=now - timedelta(days=2),
    )  # fmt: skip
    lost = sale.model_copy(update={"listing_external_id": None})
    async with trade.shop.unit() as unit:
        told = await books.record(unit, trade.account, shown, [sale, lost], now)
    assert told == "1 listings advertised, 1 sales by ads in 30 days, 1 charges of no listing of ours"
    days = await trade.shop.rows("SELECT rate_bps, ad_units, ad_fees_minor FROM ad_day ORDER BY day")
    assert [row.rate_bps for row in days] == [None, 300, 300, 300, None], "the first is not whole, the last is not over"
    assert [row.ad_units for row in days] == [0, 0, 1, 0, 0]
    assert [row.ad_fees_minor for row in days] == [0, 0, 90, 0, 0]
