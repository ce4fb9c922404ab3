"""What eBay's sandbox pays out for what was sold there, through the outbox into the books, and held against them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from erased_buyer import MARK
from pydantic import SecretStr
from scripted_channel import Channels
from shop import Shop
from sqlalchemy import text
from stall import drain

from flipsync.connectors.base import AccountConfig, Limiter, Unlimited
from flipsync.connectors.marketplaces.ebay.auth import SCOPES
from flipsync.connectors.marketplaces.ebay.client import EbayConnector
from flipsync.connectors.vault import Vault
from flipsync.domain import commands as c
from flipsync.domain.channel import Offer, RefundOrder
from flipsync.domain.errors import Unreadable
from flipsync.domain.money import Money, usd
from flipsync.domain.payouts import ChannelPayout, ChannelPayoutLine, PullPayouts
from flipsync.runtime import effects
from flipsync.runtime.effects import EffectWorker
from flipsync.runtime.scheduler import Scheduler
from flipsync.sandbox.app import Sandbox, SandboxConfig, build_app
from flipsync.sandbox.buyers import Buyer
from flipsync.sandbox.clock import milliseconds
from flipsync.sandbox.market import Refused
from flipsync.sandbox.records import order_external_id
from flipsync.services import orders, payouts
from flipsync.services.orders import AccountRef
from flipsync.services.payouts import DifferenceFilter, DifferenceView, PayoutDetail, PayoutFilter
from flipsync.services.reading_page import SortedRequest
from flipsync.settings import Cadence

_ADDRESSES = ("base_url", "token_url", "notification_url", "options")
ALL = SortedRequest(limit=200)


class Market:
    """An eBay seller three weeks ago, and their books."""

    def __init__(self, shop: Shop, account: AccountRef, sandbox: Sandbox, ebay: EbayConnector, worker: Any) -> None:
        self.shop, self.account, self.sandbox, self.ebay, self._worker = shop, account, sandbox, ebay, worker
        self.began = sandbox.books.clock.now()
        #: of the account, for the worker
        self.options: dict[str, str] = {}

    def days_later(self, days: int) -> None:
        self.sandbox.books.clock.move_to(milliseconds(self.began + timedelta(days=days)))

    def sell(self, units: int) -> str:
        buyer = Buyer(name=f"Ann {MARK}", willing_minor=0, price_sensitivity=0.0, quantity=units)
        placed = self.sandbox.market.place("ebay", "LAMP-1", units, buyer)
        assert not isinstance(placed, Refused), placed
        return order_external_id(placed.channel, placed.id)

    async def do(self, command: c.Command) -> Any:
        effect = await self.shop.enqueue(command, self.account)
        await drain(self._worker, self.shop)
        return await self.shop.effect(effect)

    async def pull(self) -> str:
        effect = await self.do(PullPayouts(account_id=self.account.id))
        assert effect.state == "confirmed", effect.result
        return str(effect.result["detail"])

    async def payouts(self) -> list[PayoutDetail]:
        """Oldest first."""
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            asked = SortedRequest(limit=200, sort="sent_at")
            found = (await payouts.list_payouts(session, asked, PayoutFilter(account_id=self.account.id))).items
            return [await payouts.get_payout(session, each.id) for each in found]

    async def differences(self) -> dict[str, DifferenceView]:
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            where = DifferenceFilter(account_id=self.account.id)
            found = (await payouts.list_differences(session, ALL, where, self.shop.store.clock.now())).items
        assert len({each.named for each in found}) == len(found)
        return {each.named: each for each in found}

    async def change(self, statement: str, **values: Any) -> None:
        async with self.shop.unit() as unit:
            await unit.session.execute(text(statement), values)


@pytest.fixture
async def market(
    shop: Shop, channels: Channels, hire: Callable[..., EffectWorker], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Market]:
    start = int((datetime.now(UTC) - timedelta(days=21)).timestamp() * 1000)
    sandbox = Sandbox(SandboxConfig(seed=7, start_ms=start), "http://market.test")
    row = sandbox.credentials()["ebay"]
    keys = {name: SecretStr(value) for name, value in row.items() if name not in _ADDRESSES}
    where = {name: row[name] for name in _ADDRESSES if name in row}
    transport = httpx2.ASGITransport(app=build_app(sandbox))
    told = AccountConfig.model_validate({"vendor": "ebay", "currency": "USD", "settle_seconds": 0.0, **where})

    made: list[Market] = []

    def connect(
        config: AccountConfig, credentials: object, limiter: Limiter, key: str, vault: Vault | None = None
    ) -> EbayConnector:
        options = told.options | (made[0].options if made else {})
        return EbayConnector(told.model_copy(update={"options": options}), keys, limiter, key, transport=transport)

    monkeypatch.setattr(effects, "connect", connect)
    async with sandbox.running(), connect(told, keys, Unlimited(), "a") as ebay:
        lamp = Offer(
            sku="LAMP-1",
            title="Lamp",
            description_html="<p>Brass.</p>",
            price=usd("19.90"),
            quantity=50,
            brand="Lumen",
            category="88433",
            images=("https://img.example/lamp.jpg",),
            attributes={"Color": "Brass"},
        )
        await ebay.publish(lamp, "k")
        made.append(Market(shop, await shop.account("ebay"), sandbox, ebay, hire()))
        yield made[0]
    sandbox.books.close()


async def test_sold_paid_out_read_once_and_agreeing_to_the_cent(market: Market) -> None:
    first = market.sell(2)
    market.days_later(1)
    second = market.sell(3)
    back = RefundOrder(order_external_id=first, amount=usd("3.00"), reason="a scratch", reference="FS-1")
    await market.ebay.issue_refund(back, "k")
    market.days_later(2)
    assert (await market.do(c.PullOrders(account_id=market.account.id))).state == "confirmed"
    assert await market.pull() == "2 payouts new or changed"
    early, late = await market.payouts()
    assert (early.state, late.state, early.bank, early.lines, late.lines) == ("paid", "initiated", "BANK 6789", 1, 2)
    assert [each.difference for each in (early, late)] == [usd("0.00")] * 2
    sold = {each.external_id: each async for each in market.ebay.orders(market.began)}
    fees = {id: order.channel_fee or Money.zero("USD") for id, order in sold.items()}
    assert early.amount == sold[first].total - fees[first]
    assert late.amount == sold[second].total - fees[second] - usd("3.00")
    assert await market.differences() == {}
    (order,) = await market.shop.rows("SELECT id FROM customer_order WHERE external_id = :id", id=first)
    async with market.shop.store.reader(market.shop.tenant_id) as session:
        of_first = await payouts.order_payment(session, order.id, market.shop.store.clock.now())
    assert of_first.told is not None
    assert of_first.expected.model_dump() == of_first.told.model_dump(include={"sale", "fees", "refunds"})
    assert of_first.told.paid == sold[first].total - fees[first] - usd("3.00")
    assert [(each.kind, each.payout_state) for each in of_first.lines] == [("sale", "paid"), ("refund", "initiated")]
    rows = await market.shop.rows("SELECT t::text FROM payout_line t UNION ALL SELECT t::text FROM payout t")
    assert len(rows) == 5 and MARK not in repr(rows), "an order's id is all that is known of a buyer"

    assert await market.pull() == "0 payouts new or changed"
    market.days_later(3)
    assert await market.pull() == "1 payouts new or changed", "it has arrived"
    assert [each.state for each in await market.payouts()] == ["paid", "paid"]
    assert (await market.shop.rows("SELECT count(*) FROM payout_line"))[0][0] == 3


async def test_every_difference_has_its_name_and_its_amount(market: Market) -> None:
    sold = market.sell(2)
    market.days_later(2)
    await market.do(c.PullOrders(account_id=market.account.id))
    await market.pull()
    assert await market.differences() == {}
    (order,) = await market.shop.rows("SELECT id, fee_minor, total_minor FROM customer_order")
    (paid,) = await market.payouts()

    await market.change("UPDATE payout_line SET amount_minor = amount_minor - 1")
    found = await market.differences()
    assert {name: each.amount for name, each in found.items()} == {"sum": usd("-0.01"), "sale": usd("-0.01")}
    assert (found["sum"].payout_id, found["sum"].order_id) == (paid.id, None)
    assert (found["sale"].payout_id, found["sale"].order_id) == (paid.id, order.id)
    assert found["sale"].order_external_id == sold and found["sale"].expected == usd("39.80")

    await market.change("UPDATE payout_line SET fee_minor = fee_minor + 1")
    found = await market.differences()
    assert {name: each.amount for name, each in found.items()} == {"sum": usd("-0.01"), "fees": usd("0.01")}
    await market.change("UPDATE payout_line SET amount_minor = amount_minor + 1, fee_minor = fee_minor - 1")

    await market.change("UPDATE payout SET state = 'returned'")
    assert set(await market.differences()) == {"not_received"}
    await market.change("UPDATE payout SET state = 'paid'")
    await market.change("UPDATE payout_line SET currency = 'EUR'")
    (mixed,) = [each async for each in _named(market, "currency")]
    assert (mixed.amount, mixed.order_id) == (None, order.id), "several currencies are never added"
    await market.change("UPDATE payout_line SET currency = 'USD'")

    # a refund of today may be in the next payout, one of three weeks ago has to be in one
    given = "INSERT INTO refund (id, tenant_id, order_id, external_id, amount_minor, currency, created_at) VALUES"
    at = market.shop.store.clock.now()
    values = {"tenant": market.shop.tenant_id, "order": order.id, "at": at}
    await market.change(f"{given} (gen_random_uuid(), :tenant, :order, 'r', 500, 'USD', :at)", **values)
    assert await market.differences() == {}
    await market.change("UPDATE refund SET created_at = :at", at=at - timedelta(days=15))
    assert {name: each.amount for name, each in (await market.differences()).items()} == {"refunds": usd("-5.00")}


async def _named(market: Market, named: Any) -> AsyncIterator[DifferenceView]:
    """Those of an order."""
    async with market.shop.store.reader(market.shop.tenant_id) as session:
        where = DifferenceFilter(named=named)
        for each in (await payouts.list_differences(session, ALL, where, market.shop.store.clock.now())).items:
            if each.order_id is not None:
                yield each


async def test_orders_nobody_paid_for_and_payments_for_no_order(market: Market) -> None:
    await market.pull()
    now = market.shop.store.clock.now()
    for days, external_id in ((20, "long-ago"), (13, "lately")):
        at = {name: now - timedelta(days=days) for name in ("placed_at", "modified_at")}
        told = market.shop.order({"LAMP-1": 1}, external_id=external_id, status="shipped")
        async with market.shop.unit() as unit:
            order = told.model_copy(update={**at, "channel_fee": usd("2.00")})
            await orders.ingest_order(unit, market.account, order)
    found = await market.differences()
    assert {name: (each.order_external_id, each.expected) for name, each in found.items()} == {
        "not_paid_out": ("long-ago", usd("27.99"))
    }

    line = ChannelPayoutLine(
        external_id="1",
        kind="sale",
        vendor_kind="SALE",
        amount=usd("5.00"),
        fee=usd("1.00"),
        order_external_id="nobodys",
        booked_at=now + timedelta(seconds=1),
    )
    paid = ChannelPayout(
        external_id="p", state="paid", vendor_state="PAID", amount=usd("5.00"), fee=usd("0.00"), sent_at=now
    )
    async with market.shop.unit() as unit:
        assert await payouts.book(unit, market.account, paid, [line])
    async with market.shop.unit() as unit:
        assert not await payouts.book(unit, market.account, paid, [line]), "once"
    found = await market.differences()
    assert (found["unknown_order"].order_external_id, found["unknown_order"].told) == ("nobodys", usd("6.00"))


async def test_what_cannot_be_read_hinders_no_other_and_is_asked_again(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.sell(1)
    market.days_later(1)
    market.sell(1)
    market.days_later(2)
    honest = EbayConnector.payout_lines

    def broken(self: EbayConnector, external_id: str) -> Any:
        lines = honest(self, external_id)

        async def told() -> AsyncIterator[ChannelPayoutLine]:
            async for each in lines:
                if each.order_external_id == order_external_id("ebay", _last_order(market)):
                    raise Unreadable("a line of tomorrow's")
                yield each

        return told()

    monkeypatch.setattr(EbayConnector, "payout_lines", broken)
    assert "1 payouts new or changed; payout" in await market.pull()
    assert len(await market.payouts()) == 1
    (account,) = await market.shop.rows("SELECT payouts_read_at FROM marketplace_account")
    assert account.payouts_read_at is None
    monkeypatch.setattr(EbayConnector, "payout_lines", honest)
    assert await market.pull() == "1 payouts new or changed"


async def test_a_seller_who_may_not_read_them_goes_on_selling(market: Market) -> None:
    market.options["scopes"] = " ".join(scope for scope in SCOPES if not scope.endswith("finances"))
    market.sell(1)
    market.days_later(2)
    assert "ebay does not tell what it paid out" in await market.pull()
    assert (await market.do(c.CheckChannel(account_id=market.account.id))).state == "confirmed"
    (account,) = await market.shop.rows("SELECT status, payouts_read_at FROM marketplace_account")
    assert tuple(account) == ("connected", None)
    assert await market.shop.rows("SELECT cause FROM channel_fault") == []
    assert await market.shop.rows("SELECT type FROM event WHERE type = 'EffectFailed'") == []


def _last_order(market: Market) -> int:
    return max(order.id for order in market.sandbox.books.orders("channel = 'ebay'", ()))


async def test_the_clock_asks_each_day_where_payouts_are_told(shop: Shop) -> None:
    ebay = await shop.account("ebay")
    await shop.account("woocommerce")
    for _ in range(2):
        await Scheduler(shop.store, Cadence()).beat()
    asked = await shop.rows("SELECT account_id FROM effect WHERE command = 'PullPayouts' AND tenant_id = :tenant")
    assert [each.account_id for each in asked] == [ebay.id]


async def test_a_channel_without_payouts_says_so(shop: Shop, stall: Any, hire: Callable[..., EffectWorker]) -> None:
    effect = await shop.enqueue(PullPayouts(account_id=stall.account.id), stall.account)
    await drain(hire(), shop)
    found = await shop.effect(effect)
    assert found.state == "rejected" and "does not tell what it pays out" in str(found.result)
