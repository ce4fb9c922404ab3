"""What `flipsync listings quality` finds at a Shopify variation; the worker mends it alone, and reads it back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest
from pydantic import SecretStr
from scripted_channel import Channels
from shop import Goods, Shop
from sqlalchemy import text
from stall import drain

from agents.market.listing import ListingAgent
from flipsync.connectors.base import AccountConfig, Limiter
from flipsync.connectors.marketplaces.shopify.client import ShopifyConnector
from flipsync.connectors.vault import Vault
from flipsync.domain import commands as c
from flipsync.domain.channel import ListingText, Offer
from flipsync.domain.listing_care import ListingLacking, OfferListingFix
from flipsync.runtime import effects
from flipsync.runtime.effects import EffectWorker
from flipsync.sandbox.app import Sandbox, SandboxConfig, build_app
from flipsync.services import listing_care, reading_quality, stock
from flipsync.services.desk import Services
from flipsync.services.orders import AccountRef
from flipsync.services.reading_quality import QualityView
from flipsync.store.models import Listing, Product, Variant

_ADDRESSES = ("base_url", "token_url", "notification_url", "options")
LAMPS = "gid://shopify/TaxonomyCategory/hg-13-5"


class Trade:
    """One product in two sizes on Shopify, and what is asked of the worker about it."""

    def __init__(self, shop: Shop, account: AccountRef, sandbox: Sandbox, connector: ShopifyConnector) -> None:
        self.shop, self.account, self.sandbox, self.connector = shop, account, sandbox, connector
        self.work: Callable[[], Any]
        self.goods: dict[str, Goods] = {}
        self.listings: dict[str, UUID] = {}

    async def make(self) -> None:
        async with self.shop.unit() as unit:
            pictures = [f"https://img.test/{n}.jpg" for n in range(3)]
            product = Product(
                tenant_id=self.shop.tenant_id,
                handle="lamp",
                title="Lumen brass desk lamp",
                description_html="<p>A lamp.</p>",
                images=pictures,
                option_names=["Size", "Color"],
            )
            unit.session.add(product)
            await unit.session.flush()
            for size in ("S", "L"):
                variant = Variant(
                    tenant_id=self.shop.tenant_id,
                    product_id=product.id,
                    sku=f"LAMP-{size}",
                    currency="USD",
                    price_minor=2999,
                    cost_minor=1000,
                    cost_as_of=unit.now,
                    options={"Size": size, "Color": "Brass"},
                    barcode="4006381333931",
                )
                unit.session.add(variant)
                await unit.session.flush()
                item = await stock.receive(unit, variant.id, 3, key=f"first:{size}", mode="escrow")
                self.goods[size] = Goods(product.id, variant.id, item, variant.sku)
        for size, goods in self.goods.items():
            self.listings[size] = await self.shop.listing(self.account, goods, price=None, status="requested")

    async def offer(self, size: str) -> Offer:
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            services = Services(session, self.shop.tenant_id, self.shop.store.clock.now())
            found = await services.listings.outdated(self.listings[size])
        assert found is not None and found.offer is not None
        return found.offer

    async def do(self, command: c.Command) -> str:
        effect = await self.shop.enqueue(command, self.account)
        await self.work()
        (receipt,) = await self.shop.rows("SELECT detail, outcome FROM receipt WHERE effect_id = :id", id=effect)
        return f"{receipt.outcome}: {receipt.detail}"

    async def publish(self, size: str, offer: Offer | None = None) -> None:
        signed = await self.shop.signed_price(self.account, self.listings[size], 2999)
        told = (offer or await self.offer(size)).model_copy(update={"price": signed.price})
        command = c.PublishListing(
            account_id=self.account.id, listing_id=self.listings[size], offer=told, certificate=signed.certificate
        )
        assert (await self.do(command)).startswith("confirmed")

    async def mend(self, size: str) -> tuple[str, list[str]]:
        """What the agent decides is carried out: why, and what became of it."""
        event = ListingLacking(listing_id=self.listings[size], account_id=self.account.id, vendor="shopify")
        decision = await self.shop.decide(ListingAgent(), event)
        told = [each for each in decision.proposals if isinstance(each, c.ReviseListing)]
        return decision.rationale, [await self.do(each) for each in told]

    async def quality(self, size: str) -> QualityView:
        """As `flipsync listings quality SKU` asks."""
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            now = self.shop.store.clock.now()
            (found,) = await reading_quality.worst(session, now, 30, self.goods[size].sku)
            return await reading_quality.quality(session, found.listing_id, now)

    async def row(self, size: str) -> Listing:
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            return await session.get_one(Listing, self.listings[size])

    async def shown(self, size: str) -> ListingText:
        seen = await self.connector.read_whole((await self.row(size)).external_id or "")
        assert seen is not None and seen.text is not None
        return seen.text

    async def there(self, size: str) -> dict[str, Any]:
        """The variant in the shop's own books, but for when it was changed."""
        found = self.sandbox.books.listing_by_sku("shopify", self.goods[size].sku)
        assert found is not None
        return {"price": found.price_minor, "quantity": found.quantity, "status": found.status, **found.doc}

    def product(self) -> dict[str, Any]:
        shop: Any = self.sandbox.server("/shopify")
        (found,) = [each for each in shop.shop.products() if each.doc["status"] == "ACTIVE"]
        return dict(found.doc)


@pytest.fixture
async def trade(
    shop: Shop, channels: Channels, hire: Callable[..., EffectWorker], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Trade]:
    """A sandbox in this process. In place of the scripted channels, whoever connects an account reaches its Shopify."""
    sandbox = Sandbox(SandboxConfig(seed=7), "http://market.test")
    row = sandbox.credentials()["shopify"]
    keys = {name: SecretStr(value) for name, value in row.items() if name not in _ADDRESSES}
    where = {name: row[name] for name in _ADDRESSES if name in row}
    transport = httpx2.ASGITransport(app=build_app(sandbox))

    def connect(
        config: AccountConfig, credentials: object, limiter: Limiter, key: str, vault: Vault | None = None
    ) -> ShopifyConnector:
        told = AccountConfig.model_validate({"vendor": "shopify", "currency": "USD", "settle_seconds": 0.0, **where})
        return ShopifyConnector(told, keys, limiter, key, transport=transport)

    monkeypatch.setattr(effects, "connect", connect)
    limiter: Any = hire()._limiter
    async with sandbox.running():
        config: Any = None
        made = Trade(shop, await shop.account("shopify"), sandbox, connect(config, {}, limiter, "reader"))
        worker = hire("effects-1")
        made.work = lambda: drain(worker, shop, seconds=30)
        await made.make()
        yield made
        await made.connector.aclose()
    sandbox.books.close()


def wrong(told: QualityView) -> dict[str, str]:
    return {each.check: each.says for each in told.checks if each.value < 1}


async def change(trade: Trade, **product: Any) -> None:
    async with trade.shop.unit() as unit:
        row = await unit.session.get_one(Product, trade.goods["S"].product_id)
        for name, value in product.items():
            setattr(row, name, value)


async def settled(trade: Trade) -> None:
    """No agent of these tests takes up what is told."""
    async with trade.shop.unit() as unit:
        await unit.session.execute(text("UPDATE agent_task SET finished_at = now() WHERE tenant_id = current_tenant()"))


async def test_what_a_variation_lacks_is_told_mended_there_and_read_back(trade: Trade) -> None:
    for size in ("S", "L"):
        await trade.publish(size)
    before, sibling = trade.product(), await trade.there("L")
    assert before["options"] == [{"name": "Size", "values": ["S", "L"]}, {"name": "Color", "values": ["Brass"]}]
    assert wrong(await trade.quality("S")) == {"brand": "it has no brand", "category": "it has no category"}
    # facts of the product, which all of its variations share
    await change(trade, brand="Lumen", category="Home & Garden > Lighting > Lamps")
    assert wrong(await trade.quality("S")) == {"told": "it was not told our brand, category"}
    why, (outcome,) = await trade.mend("S")
    assert "was not told our brand, category" in why and outcome.startswith("confirmed: shown as")
    now = trade.product()
    assert (now["vendor"], now["category"]) == ("Lumen", LAMPS)
    same = ("title", "descriptionHtml", "status", "options", "files", "published")
    assert [now[name] for name in same] == [before[name] for name in same]
    # what the owner said of this one variation
    about = {"listing_id": trade.listings["S"], "account_id": trade.account.id, "vendor": "shopify"}
    said = {"check": "specifics", "mark": "m", "specifics": {"Voltage": "230 V"}, "score": 0.9, "expected": 1.0}
    async with trade.shop.unit() as unit:
        await listing_care.fit(unit, OfferListingFix.model_validate(about | said))
    await settled(trade)
    assert wrong(await trade.quality("S")) == {"told": "it was not told our attributes"}
    _, (outcome,) = await trade.mend("S")
    assert outcome.startswith("confirmed") and "does not show" not in outcome
    assert (await trade.shown("S")).specifics == {"Voltage": "230 V"}, "its choices are its options"
    assert wrong(await trade.quality("S")) == {}
    # the other one was not written at all
    assert await trade.there("L") == sibling and (await trade.shown("L")).specifics == {}


async def test_specifics_that_a_shop_swallows_are_said_in_the_receipt(trade: Trade) -> None:
    await trade.publish("S")
    trade.sandbox.faults.configure("shopify", {"ignored_write": 1.0})
    offer = (await trade.offer("S")).model_copy(update={"attributes": {"Size": "S", "Voltage": "230 V"}})
    command = c.ReviseListing(account_id=trade.account.id, listing_id=trade.listings["S"], offer=offer)
    assert (await trade.do(command)).endswith("it does not show Voltage")


async def test_a_variation_that_stands_alone_becomes_a_choice_when_it_is_listed_again(trade: Trade) -> None:
    alone = (await trade.offer("S")).model_copy(update={"group": None, "choices": ()})
    await trade.publish("S", alone)
    await trade.publish("L")
    was = (await trade.row("S")).external_id
    assert wrong(await trade.quality("S"))["variations"].startswith("1 of 2 variations stand alone")
    end = c.EndListing(account_id=trade.account.id, listing_id=trade.listings["S"], reason="listed again as a choice")
    assert (await trade.do(end)).startswith("confirmed")
    async with trade.shop.unit() as unit:
        row = await unit.session.get_one(Listing, trade.listings["S"])
        row.status = "requested"
    await trade.publish("S")
    assert (await trade.row("S")).external_id != was
    assert {"variations", "told"}.isdisjoint(wrong(await trade.quality("S")))
    assert trade.product()["options"][0]["values"] == ["S", "L"]
