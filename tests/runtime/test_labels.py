"""Labels from a person's wish to the file that is printed: bought once, or a person is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from pydantic import SecretStr
from scripted_channel import Channels
from shop import Shop, dollars
from stall import drain

from agents.logistics.fulfillment import FulfillmentAgent
from flipsync.connectors.base import AccountConfig, Limiter, Unlimited
from flipsync.connectors.marketplaces.amazon.client import AmazonConnector
from flipsync.connectors.vault import Vault
from flipsync.domain import commands as c
from flipsync.domain.channel import Address, Parcel
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict
from flipsync.domain.events import EffectFailed, LabelBought, LabelRequested, LabelUnwanted, ParcelHandedOver
from flipsync.runtime import effects
from flipsync.runtime.effects import EffectWorker
from flipsync.sandbox.app import Sandbox, SandboxConfig, build_app
from flipsync.sandbox.audit import report
from flipsync.sandbox.buyers import Buyer
from flipsync.sandbox.records import Listing
from flipsync.sandbox.records import Order as Sale
from flipsync.services import labels, orders
from flipsync.services.labels import LabelView
from flipsync.services.orders import AccountRef, ingest_order
from flipsync.store.models import LabelPurchase

_ADDRESSES = ("base_url", "token_url", "notification_url", "options")
PARCEL = Parcel(weight_grams=1400, length_mm=305, width_mm=200, height_mm=101)
SENDER = Address(
    name="A Seller",
    line1="1 Dock St",
    city="Seattle",
    region="WA",
    postal_code="98101",
    country="US",
    phone="5550100",
    email="seller@example.com",
)


@dataclass
class Losing(httpx2.AsyncBaseTransport):
    """Loses the answers of purchases (the label is paid for), or the requests."""

    inner: httpx2.AsyncBaseTransport
    lose: list[str] = field(default_factory=list)
    bought: int = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST" and request.url.path.endswith("/mfn/v0/shipments"):
            self.bought += 1
            what = self.lose.pop(0) if self.lose else ""
            if what == "answer":
                await self.inner.handle_async_request(request)
            if what:
                raise httpx2.ReadTimeout("no answer", request=request)
        return await self.inner.handle_async_request(request)


@dataclass
class Desk:
    """One order on Amazon that is packed, and what is asked about it."""

    shop: Shop
    sandbox: Sandbox
    wire: Losing
    account: AccountRef
    sale: Sale
    order_id: UUID
    work: Callable[[], Any]

    async def ask(self, **more: Any) -> LabelView:
        async with self.shop.unit() as unit:
            return await labels.request(unit, self.order_id, PARCEL, ship_from=SENDER, **more)

    async def buy(self, wish: LabelView) -> str:
        return await self._do(c.BuyLabel(account_id=self.account.id, order_id=self.order_id, label_id=wish.id))

    async def cancel(self, wish: LabelView) -> str:
        return await self._do(c.CancelLabel(account_id=self.account.id, order_id=self.order_id, label_id=wish.id))

    async def _do(self, command: c.Command) -> str:
        effect = await self.shop.enqueue(command, self.account)
        await self.work()
        return (await self.shop.effect(effect)).state

    async def row(self, wish: LabelView) -> LabelPurchase:
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            return await session.get_one(LabelPurchase, wish.id)

    def books(self) -> dict[str, Any]:
        return report(self.sandbox.books)

    def shipment_id(self) -> str:
        return str(self.sandbox.books.db.execute("SELECT id FROM amazon_doc WHERE kind = 'shipment'").fetchone()[0])


@pytest.fixture
async def desk(
    shop: Shop, channels: Channels, hire: Callable[..., EffectWorker], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    sandbox = Sandbox(SandboxConfig(seed=7), "http://market.test")
    sandbox.books.set_meta("amazon.usage_factor", "1000")
    row = sandbox.credentials()["amazon"]
    keys = {name: SecretStr(value) for name, value in row.items() if name not in _ADDRESSES}
    where = {name: row[name] for name in _ADDRESSES}
    wire = Losing(httpx2.ASGITransport(app=build_app(sandbox)))

    def connect(
        config: AccountConfig | None, credentials: object, limiter: Limiter, key: str, vault: Vault | None = None
    ) -> AmazonConnector:
        told = AccountConfig.model_validate({"vendor": "amazon", "currency": "USD", "settle_seconds": 0.0, **where})
        return AmazonConnector(told, keys, limiter, key, transport=wire)

    monkeypatch.setattr(effects, "connect", connect)
    async with sandbox.running():
        account = await shop.account("amazon")
        goods = await shop.variant(units=5)
        await shop.listing(account, goods, units=5)
        _on_sale(sandbox, goods.sku)
        sale = sandbox.market.place("amazon", goods.sku, 1, Buyer(0, 0.0, 1))
        assert isinstance(sale, Sale)
        async with connect(None, None, Unlimited(), "t") as connector:
            told = [order async for order in connector.orders(utc_now() - timedelta(days=2000))]
        async with shop.unit() as unit:
            result = await ingest_order(unit, account, told[-1])
            await orders.mark_ready(unit, result.order_id)
        worker = hire()
        yield Desk(shop, sandbox, wire, account, sale, result.order_id, lambda: drain(worker, shop, seconds=20))
    sandbox.books.close()


def _on_sale(sandbox: Sandbox, sku: str) -> None:
    now = sandbox.books.clock.now_ms()
    with sandbox.books.transaction():
        listing = Listing(
            id=sandbox.books.next_id(),
            channel="amazon",
            sku=sku,
            title="A teapot",
            status="active",
            price_minor=2999,
            quantity=5,
            stock_version=0,
            created_ms=now,
            modified_ms=now,
            doc={"asin": "B000000001", "attributes": {}},
        )
        sandbox.books.add_listing(listing, "first")


async def test_the_cheapest_label_is_bought_once_and_leaves_with_the_order(desk: Desk) -> None:
    wish = await desk.ask()
    assert len(await desk.shop.events(LabelRequested)) == 1
    assert await desk.buy(wish) == "confirmed"
    row = await desk.row(wish)
    assert (row.state, row.carrier, row.cost_minor) == ("bought", "USPS", 795 + 310)
    assert desk.books()["labels_bought"] == {"amazon.Purchased": 1}
    assert desk.books()["labels_cost_minor"] == {"amazon": row.cost_minor}
    (handed,) = await desk.shop.events(ParcelHandedOver)
    assert (handed["carrier"], handed["tracking_number"]) == ("USPS", row.tracking_number)
    (told,) = await desk.shop.events(LabelBought)
    assert told["cost"]["amount_minor"] == row.cost_minor
    async with desk.shop.store.reader(desk.shop.tenant_id) as session:
        media_type, file = await labels.document(session, desk.shop.box, desk.shop.tenant_id, wish.id)
    assert media_type == "application/pdf"
    assert file.startswith(b"%PDF")
    assert row.document is not None
    assert b"PDF" not in row.document, "it shows where the buyer lives"
    with pytest.raises(Conflict, match="has a label already"):
        await desk.ask()


async def test_a_named_service_and_the_most_it_may_cost(desk: Desk) -> None:
    dear = await desk.ask(service="UPS_PTP_NEXT_DAY_AIR")
    assert await desk.buy(dear) == "rejected"
    assert "more than" in (await desk.row(dear)).detail
    assert desk.wire.bought == 0
    assert await desk.buy(await desk.ask(service="UPS Ground", most=dollars(1260))) == "confirmed"
    assert desk.books()["labels_cost_minor"] == {"amazon": 1260}


@pytest.mark.parametrize("lost", ["answer", "request"])
async def test_without_an_answer_nothing_is_bought_again_and_a_person_is_asked(desk: Desk, lost: str) -> None:
    desk.wire.lose = [lost]
    wish = await desk.ask()
    assert await desk.buy(wish) == "unknown"
    assert desk.wire.bought == 1
    assert (await desk.row(wish)).state == "unknown"
    assert [failed["outcome"] for failed in await desk.shop.events(EffectFailed)] == ["unknown"]
    with pytest.raises(Conflict, match="has a label already"):
        await desk.ask()
    found = desk.shipment_id() if lost == "answer" else None
    async with desk.shop.unit() as unit:
        await labels.settle(unit, wish.id, external_id=found)
    if found is None:
        assert await desk.buy(await desk.ask()) == "confirmed"
    else:
        assert await desk.buy(wish) == "confirmed", "it is read, not bought"
        assert desk.wire.bought == 1
    assert desk.books()["labels_bought"] == {"amazon.Purchased": 1}


async def test_a_worker_that_died_before_it_asked_is_followed_by_one_that_buys(
    desk: Desk, as_owner: Callable[..., None]
) -> None:
    wish = await desk.ask()
    command = c.BuyLabel(account_id=desk.account.id, order_id=desk.order_id, label_id=wish.id)
    effect = await desk.shop.enqueue(command, desk.account)
    as_owner("UPDATE effect SET state = 'unknown', attempts = 1 WHERE id = :id", id=effect)
    await desk.work()
    assert (await desk.shop.effect(effect)).state == "confirmed"
    assert desk.wire.bought == 1


async def test_somebody_elses_shipment_is_not_taken_for_the_label(desk: Desk) -> None:
    wish = await desk.ask()
    async with desk.shop.unit() as unit:
        await labels.doubt(unit, wish.id, "no answer")
        await labels.settle(unit, wish.id, external_id="11111111-2222-3333-4444-555555555555")
    assert await desk.buy(wish) == "rejected"
    assert (await desk.row(wish)).state == "refused"


async def test_a_label_is_given_back_once(desk: Desk) -> None:
    wish = await desk.ask()
    assert await desk.buy(wish) == "confirmed"
    async with desk.shop.unit() as unit:
        await labels.give_back(unit, wish.id)
    assert await desk.cancel(wish) == "confirmed"
    row = await desk.row(wish)
    assert (row.state, row.document) == ("cancelled", None)
    assert desk.books()["labels_bought"] == {"amazon.RefundPending": 1}
    assert await desk.cancel(wish) == "rejected"


async def test_a_label_of_an_order_called_off_meanwhile_is_given_back(
    desk: Desk, as_owner: Callable[..., None]
) -> None:
    """The channel cancels while the label is being bought: it is paid for, so it is in the books, and not wanted."""
    wish = await desk.ask()
    as_owner("UPDATE customer_order SET state = 'cancelled' WHERE id = :id", id=desk.order_id)
    assert await desk.buy(wish) == "confirmed"
    assert ((await desk.row(wish)).state, len(await desk.shop.events(ParcelHandedOver))) == ("cancelling", 0)
    (unwanted,) = await desk.shop.events(LabelUnwanted)
    decision = await desk.shop.decide(FulfillmentAgent(), LabelUnwanted.model_validate(unwanted))
    assert decision.rationale == "the order was called off while its label was bought"
    assert await desk.cancel(wish) == "confirmed"
    assert desk.books()["labels_bought"] == {"amazon.RefundPending": 1}


async def test_two_people_at_once_one_label(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.ask() for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(each, LabelView) for each in answers) == 1
    assert all(isinstance(each, LabelView | Conflict) for each in answers)
