"""Refunds from a person's wish to the channel's books: once, never more than was paid, whatever gets lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import httpx2
import pytest
from pydantic import SecretStr
from scripted_channel import Channels
from shop import Shop, dollars
from sqlalchemy.exc import IntegrityError
from stall import drain

from flipsync.connectors.base import AccountConfig, Limiter, MarketplaceConnector, Unlimited
from flipsync.connectors.marketplaces import connector_class
from flipsync.connectors.vault import Vault
from flipsync.domain import commands as c
from flipsync.domain.channel import Offer, Vendor
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, InvalidInput
from flipsync.domain.events import EffectFailed, RefundIssued
from flipsync.domain.money import Money
from flipsync.runtime import effects
from flipsync.runtime.effects import EffectWorker
from flipsync.sandbox.app import Sandbox, SandboxConfig, build_app
from flipsync.sandbox.buyers import Buyer
from flipsync.sandbox.records import Order as Sale
from flipsync.sandbox.records import sandbox_channel
from flipsync.services import refunds
from flipsync.services.orders import AccountRef, ingest_order
from flipsync.services.refunds import RefundRequestView
from flipsync.store.models import RefundRequest

_ADDRESSES = ("base_url", "token_url", "notification_url", "options")
VENDORS: tuple[Vendor, ...] = ("custom", "woocommerce", "shopify", "ebay")


@dataclass
class Losing(httpx2.AsyncBaseTransport):
    """Loses answers of refunds (the channel did it), or the requests (it never heard)."""

    inner: httpx2.AsyncBaseTransport
    lose: list[str] = field(default_factory=list)
    refunds_sent: int = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST" and ("refund" in request.url.path or b"refundCreate" in request.content):
            self.refunds_sent += 1
            what = self.lose.pop(0) if self.lose else ""
            if what == "request":
                raise httpx2.ReadTimeout("no answer", request=request)
            if what == "answer":
                await self.inner.handle_async_request(request)
                raise httpx2.ReadTimeout("no answer", request=request)
        return await self.inner.handle_async_request(request)


@dataclass
class Counter:
    """One sold article on a sandbox's channel, in our books too, and what is asked about it."""

    shop: Shop
    sandbox: Sandbox
    wire: Losing
    account: AccountRef
    connector: MarketplaceConnector
    sale: Sale
    order_id: UUID
    work: Callable[[], Any]

    def there(self) -> Sale:
        found = self.sandbox.books.order(self.sale.id)
        assert found is not None
        return found

    async def ask(self, amount: int | None = None, **more: Any) -> RefundRequestView:
        async with self.shop.unit() as unit:
            money = None if amount is None else dollars(amount)
            return await refunds.request(unit, self.order_id, amount=money, reason="arrived broken", **more)

    async def carry_out(self, wish: RefundRequestView) -> str:
        command = c.IssueRefund(
            account_id=self.account.id,
            order_id=self.order_id,
            refund_id=wish.id,
            amount=wish.amount,
            reason=wish.reason,
        )
        effect = await self.shop.enqueue(command, self.account)
        await self.work()
        return (await self.shop.effect(effect)).state

    async def state(self, wish: RefundRequestView) -> RefundRequest:
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            return await session.get_one(RefundRequest, wish.id)

    async def given(self) -> int:
        rows = await self.shop.rows(
            "SELECT coalesce(sum(amount_minor), 0) FROM refund WHERE order_id = :o", o=self.order_id
        )
        return int(rows[0][0])


@pytest.fixture(params=VENDORS)
async def counter(
    request: pytest.FixtureRequest,
    shop: Shop,
    channels: Channels,
    hire: Callable[..., EffectWorker],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Counter]:
    vendor = cast(Vendor, request.param)
    sandbox = Sandbox(SandboxConfig(seed=7), "http://market.test")
    row = sandbox.credentials()[vendor]
    keys = {name: SecretStr(value) for name, value in row.items() if name not in _ADDRESSES}
    where = {name: row[name] for name in _ADDRESSES if name in row}
    wire = Losing(httpx2.ASGITransport(app=build_app(sandbox)))

    def connect(
        config: AccountConfig, credentials: object, limiter: Limiter, key: str, vault: Vault | None = None
    ) -> MarketplaceConnector:
        told = {"vendor": vendor, "currency": "USD", "settle_seconds": 0.0, "landing_seconds": 0.2, **where}
        return connector_class(vendor)(AccountConfig.model_validate(told), keys, limiter, key, transport=wire)

    monkeypatch.setattr(effects, "connect", connect)
    async with sandbox.running():
        account = await shop.account(vendor)
        goods = await shop.variant(units=5)
        await shop.listing(account, goods, units=5)
        connector = connect(
            AccountConfig(vendor=vendor, base_url="http://x.test", currency="USD"), None, Unlimited(), "t"
        )  # type: ignore[arg-type]
        await _list(connector, goods.sku)
        sale = sandbox.market.place(sandbox_channel(vendor), goods.sku, 2, Buyer(0, 0.0, 2))
        assert isinstance(sale, Sale)
        told = [order async for order in connector.orders(utc_now() - timedelta(days=2000))]
        async with shop.unit() as unit:
            result = await ingest_order(unit, account, told[-1])
        worker = hire()
        yield Counter(
            shop, sandbox, wire, account, connector, sale, result.order_id, lambda: drain(worker, shop, seconds=20)
        )
        await connector.aclose()
    sandbox.books.close()


async def _list(connector: MarketplaceConnector, sku: str) -> None:
    connector.price_guard = None
    offer = Offer(sku=sku, title="A teapot", price=dollars(2999), quantity=0, images=("https://img.example/1.jpg",))
    state = await connector.publish(offer, "first")
    await connector.set_quantity(state.external_id, 5, "units")


async def test_what_is_asked_for_is_given_once_and_booked(counter: Counter) -> None:
    wish = await counter.ask(1250)
    assert await counter.carry_out(wish) == "confirmed"
    refund = counter.there().refunds[0]
    assert (refund.amount_minor, len(counter.there().refunds)) == (1250, 1)
    row = await counter.state(wish)
    assert row.state == "issued"
    assert (row.external_id or "").rpartition("/")[2] == str(refund.id)
    assert await counter.given() == 1250
    assert len(await counter.shop.events(RefundIssued)) == 1
    assert refund.restocked == {}, "stock goes back only when somebody says so"


async def test_an_order_given_back_whole_may_put_its_units_back_on_sale(counter: Counter) -> None:
    if counter.account.vendor == "ebay":
        with pytest.raises(Conflict, match="nothing back on its shelf"):
            await counter.ask(restock=True)
        return
    wish = await counter.ask(restock=True)
    assert await counter.carry_out(wish) == "confirmed"
    there = counter.there()
    assert there.refunded_minor == there.total_minor
    assert there.lines[0].restocked == 2
    with pytest.raises(Conflict, match="all that was paid"):
        await counter.ask()


@pytest.mark.parametrize("lost", [["answer"], ["request", "answer"]])
async def test_a_lost_call_is_looked_for_before_anything_is_given_again(counter: Counter, lost: list[str]) -> None:
    counter.wire.lose = list(lost)
    wish = await counter.ask(700)
    if counter.account.vendor == "ebay" and lost[0] == "request":
        assert await counter.carry_out(wish) == "unknown", "no key, no reference: a person looks"
        assert (counter.wire.refunds_sent, counter.there().refunds) == (1, [])
        return
    assert await counter.carry_out(wish) == "confirmed"
    assert [refund.amount_minor for refund in counter.there().refunds] == [700]
    if lost[0] == "answer":
        assert counter.wire.refunds_sent == 1, "it was found and not sent again"
    assert await counter.given() == 700


async def test_a_worker_that_died_after_sending_is_followed_by_one_that_looks(
    counter: Counter, as_owner: Callable[..., None]
) -> None:
    wish = await counter.ask(700)
    assert await counter.carry_out(wish) == "confirmed"
    as_owner(
        "UPDATE refund_request SET state = 'asked', external_id = NULL WHERE id = :id", id=wish.id
    )  # the receipt was never written
    assert await counter.carry_out(wish) == "confirmed"
    assert len(counter.there().refunds) == 1


async def test_what_can_be_seen_nowhere_is_left_to_a_person(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effects, "MAX_ATTEMPTS", 3)
    counter.wire.lose = ["request"] * 9
    wish = await counter.ask(700)
    assert await counter.carry_out(wish) == "unknown"
    row = await counter.state(wish)
    assert (row.state, row.external_id) == ("unknown", None)
    assert [failed["outcome"] for failed in await counter.shop.events(EffectFailed)] == ["unknown"]
    with pytest.raises(Conflict, match="nobody can tell"):
        await counter.ask(100)
    async with counter.shop.unit() as unit:
        settled = await refunds.settle(unit, wish.id, given=False)
    assert settled.state == "refused"
    counter.wire.lose = []
    assert await counter.carry_out(await counter.ask(700)) == "confirmed"


async def test_one_in_doubt_is_settled_when_the_channel_tells_of_it(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects, "MAX_ATTEMPTS", 1)
    counter.wire.lose = ["answer"]
    wish = await counter.ask(700)
    assert await counter.carry_out(wish) == "unknown"
    told = await counter.connector.read_order(await _external(counter))
    assert told is not None
    async with counter.shop.unit() as unit:
        await ingest_order(unit, counter.account, told)
    assert (await counter.state(wish)).state == "issued"


async def _external(counter: Counter) -> str:
    rows = await counter.shop.rows("SELECT external_id FROM customer_order WHERE id = :o", o=counter.order_id)
    return str(rows[0][0])


async def test_money_given_by_hand_on_the_channel_is_not_given_again(counter: Counter) -> None:
    left = counter.there().total_minor
    wish = await counter.ask(left)
    there = counter.there()
    counter.sandbox.market.orders.refund(there, {}, left - 100, "by hand", restock=False)
    counter.sandbox.books.save_order(there)
    assert await counter.carry_out(wish) == "rejected"
    assert (await counter.state(wish)).state == "refused"
    assert "1.00" in (await counter.state(wish)).detail
    assert counter.there().refunded_minor == left - 100


@pytest.mark.parametrize("counter", ["custom"], indirect=True)
async def test_two_people_at_once_one_wins(counter: Counter) -> None:
    total = counter.there().total_minor
    answers = await asyncio.gather(*(counter.ask(total) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(each, RefundRequestView) for each in answers) == 1
    assert all(isinstance(each, RefundRequestView | Conflict) for each in answers)


@pytest.mark.parametrize("counter", ["custom"], indirect=True)
async def test_the_database_itself_refuses_more_than_was_paid(counter: Counter) -> None:
    total = counter.there().total_minor
    with pytest.raises(Conflict, match="only"):
        await counter.ask(total + 1)
    with pytest.raises(InvalidInput):
        async with counter.shop.unit() as unit:
            await refunds.request(unit, counter.order_id, amount=Money(amount_minor=1, currency="EUR"))
    with pytest.raises(IntegrityError, match="more than was paid"):
        async with counter.shop.unit() as unit:
            unit.session.add(
                RefundRequest(
                    tenant_id=unit.tenant_id,
                    order_id=counter.order_id,
                    amount_minor=total + 1,
                    currency="USD",
                    reason="",
                    units={},
                    restock=False,
                )
            )
    first = await counter.ask(total - 10)
    assert await counter.carry_out(first) == "confirmed"
    with pytest.raises(Conflict, match="only"):
        await counter.ask(11)
    assert await counter.carry_out(await counter.ask(10)) == "confirmed"
    assert counter.there().refunded_minor == total
