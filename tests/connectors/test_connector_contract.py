"""One suite over all connectors: whatever the vendor, the interface behaves the same."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from flipsync.connectors.base import AccountConfig, Capabilities, MarketplaceConnector, QuantityChange, Unlimited
from flipsync.connectors.marketplaces import CONNECTORS, connect, connector_class
from flipsync.domain.channel import ListingState, Offer
from flipsync.domain.errors import (
    EditedElsewhere,
    InvalidInput,
    OutcomeUnknown,
    Rejected,
    Retryable,
    Unauthenticated,
    Unreadable,
)
from flipsync.domain.money import usd
from flipsync.domain.payouts import PAYERS
from flipsync.domain.sourcing import CATALOGUES, CatalogueQuestion

START = datetime(2026, 3, 2, 14, tzinfo=UTC)
#: vendors whose listings do not say when they were changed
UNDATED = {"ebay"}
#: what each vendor calls a new and a changed order
ORDER_TOPICS = {
    "custom": {"order.created", "order.updated"},
    "ebay": {"ORDER_CONFIRMATION"},
    "shopify": {"orders/create", "orders/updated"},
    "woocommerce": {"order.created", "order.updated"},
}
#: What each vendor has, named here as well: a flag that got lost would otherwise take its tests along.
CONDITIONAL = ["custom", "shopify"]
TELLS_REPLACED = ["custom", "shopify"]
CALLS_US = ["custom", "ebay", "shopify", "woocommerce"]
#: vendors that are asked what changed, and so need not tell of each of our own writes
ASKED = ["shopify", "woocommerce"]
GROUPS = ["amazon", "ebay", "shopify", "woocommerce"]
#: vendors that delete a subscription that fails, and so give the next one another id
FORGETS_SUBSCRIPTIONS = {"shopify"}


@pytest.fixture(params=sorted(CONNECTORS))
def channel(request: pytest.FixtureRequest, open_channel: Any) -> Iterator[Any]:
    yield open_channel(request.param)


def offer(sku: str = "LAMP-1", **changes: Any) -> Offer:
    fields: dict[str, Any] = {
        "sku": sku,
        "title": "Lamp & shade, 40 cm",
        "description_html": "<p>Brass.</p>",
        "price": usd("19.90"),
        "quantity": 5,
        "barcode": "4006381333931",
        "brand": "Lumen",
        "category": "Lighting",
        "images": ("https://img.example/lamp.jpg",),
        "weight_grams": 1250,
        "attributes": {"Color": "Brass"},
    }
    return Offer(**{**fields, **changes})


async def everything(connector: MarketplaceConnector) -> list[ListingState]:
    return [state async for state in connector.listings()]


def test_every_vendor_names_a_connector_class() -> None:
    for vendor in CONNECTORS:
        found = connector_class(vendor)
        assert found.vendor == vendor
        assert isinstance(found.capabilities, Capabilities)
        has = found.capabilities
        told = (has.conditional_stock, has.webhooks, has.groups, has.payouts)
        assert told == (vendor in CONDITIONAL, vendor in CALLS_US, vendor in GROUPS, vendor in PAYERS)


def test_naming_the_connectors_loads_none_of_them() -> None:
    code = "import sys, flipsync.connectors.marketplaces; print('httpx2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_missing_credentials_are_named() -> None:
    for vendor in CONNECTORS:
        config = AccountConfig(vendor=vendor, base_url="http://shop.test", currency="USD")
        with pytest.raises(InvalidInput, match="missing"):
            connect(config, {}, Unlimited(), "a")


async def test_probe_tells_currency_and_permissions(channel: Any) -> None:
    info = await channel.connector.probe()
    assert (info.currency, info.can_read, info.can_write, info.notes) == ("USD", True, True, ())
    assert info.name and info.version


async def test_probe_with_a_read_only_key(channel: Any, open_channel: Any) -> None:
    reader = open_channel(channel.vendor, read_only=True)
    info = await reader.connector.probe()
    assert info.can_read and not info.can_write and info.notes


async def test_a_wrong_key_is_an_auth_refusal_without_the_secret(channel: Any) -> None:
    wrong = {name: SecretStr("ck_wrong_and_secret") for name in channel.connector.credentials}
    connector = type(channel.connector)(channel.connector.config, wrong, Unlimited(), "a", transport=channel.tap)
    with pytest.raises(Rejected) as refused:
        await connector.probe()
    assert refused.value.auth and not refused.value.missing
    assert refused.value.vendor_status == 401
    assert "ck_wrong" not in f"{refused.value} {refused.value.hint}"


async def test_payouts_are_told_or_it_is_said_that_they_are_not(channel: Any) -> None:
    if channel.connector.capabilities.payouts:
        assert [each async for each in channel.connector.payouts(START)] == []
        return
    for ask in (lambda: channel.connector.payouts(START), lambda: channel.connector.payout_lines("1")):
        with pytest.raises(Rejected, match=channel.vendor) as refused:
            ask()
        assert refused.value.vendor_code == "unsupported"


async def test_publish_read_find_list(channel: Any) -> None:
    connector = channel.connector
    made = await connector.publish(offer(), "k1")
    assert made.sku == "LAMP-1"
    assert made.title == "Lamp & shade, 40 cm"
    assert (made.status, made.price, made.quantity) == ("active", usd("19.90"), 5)
    assert made.modified_at == (None if channel.vendor in UNDATED else START)
    assert await connector.read_listing(made.external_id) == made
    assert await connector.find_listing("LAMP-1") == made
    assert await everything(connector) == [made]
    assert (made.version is not None) == connector.capabilities.conditional_stock


async def test_publishing_twice_makes_one_listing(channel: Any) -> None:
    connector = channel.connector
    first = await connector.publish(offer(), "k1")
    assert (await connector.publish(offer(), "k1")).external_id == first.external_id
    assert (await connector.publish(offer(quantity=9), "k2")).external_id == first.external_id
    assert [(state.external_id, state.quantity) for state in await everything(connector)] == [(first.external_id, 5)]


async def test_an_unknown_publish_is_found_again(channel: Any) -> None:
    name = channel.name
    channel.sandbox.faults.configure(name, {"error_after": 1.0})
    with pytest.raises(OutcomeUnknown):
        await channel.connector.publish(offer(), "k1")
    channel.sandbox.faults.configure(name, {}, replace=True)
    again = await channel.connector.publish(offer(), "k1")
    assert [state.external_id for state in await everything(channel.connector)] == [again.external_id]


async def test_what_is_not_there_is_none(channel: Any) -> None:
    connector = channel.connector
    for unknown in ("424242", "424242/1", "no such thing"):
        assert await connector.read_listing(unknown) is None
    assert await connector.find_listing("NOBODY") is None
    for unknown in ("424242", "o424242", "what"):
        assert await connector.read_order(unknown) is None


@pytest.mark.parametrize("sku", ["A/B", "50% off?", "ü-1", "a b", "x&y", "#1", "A,B"])
async def test_skus_with_awkward_characters(channel: Any, sku: str) -> None:
    made = await channel.connector.publish(offer(sku), f"k-{len(sku)}")
    await channel.connector.publish(offer("OTHER", barcode=None), "k-other")
    found = await channel.connector.find_listing(sku)
    assert found == made and made.sku == sku
    assert (await channel.connector.publish(offer(sku), "k-again")).external_id == made.external_id


async def test_price_and_quantity_are_set_and_read_back(channel: Any) -> None:
    connector = channel.connector
    made = await connector.publish(offer(), "k1")
    priced = await connector.set_price(made.external_id, usd("24.50"), "k2")
    assert priced.price == usd("24.50")
    stocked = await connector.set_quantity(made.external_id, 0, "k3")
    assert stocked.quantity == 0
    state = await connector.read_listing(made.external_id)
    assert state is not None and (state.price, state.quantity) == (usd("24.50"), 0)


async def test_a_price_that_is_not_the_one_we_know_is_not_written_over(channel: Any) -> None:
    connector = channel.connector
    made = await connector.publish(offer(), "k1")
    await connector.set_price(made.external_id, usd("24.50"), "k2", made.price)
    with pytest.raises(EditedElsewhere) as refused:
        await connector.set_price(made.external_id, usd("26.00"), "k3", made.price)
    assert (refused.value.shown, refused.value.known) == (usd("24.50"), made.price)
    assert (await connector.read_listing(made.external_id)).price == usd("24.50")
    again = await connector.set_price(made.external_id, usd("24.50"), "k4", made.price)
    assert again.price == usd("24.50"), "what is wanted is there already"


@pytest.mark.parametrize("channel", CONDITIONAL, indirect=True)
async def test_a_moved_stock_version_refuses_the_write(channel: Any) -> None:
    connector = channel.connector
    made = await connector.publish(offer(), "k1")
    channel.sell("LAMP-1")
    with pytest.raises(Rejected) as refused:
        await connector.set_quantity(made.external_id, 9, "k2", made.version)
    assert refused.value.vendor_code == "version"
    now = await connector.read_listing(made.external_id)
    assert now.quantity == 4
    assert (await connector.set_quantity(made.external_id, 9, "k3", now.version)).quantity == 9


async def test_writes_to_what_is_not_there_are_missing(channel: Any) -> None:
    connector = channel.connector
    writes = [
        connector.set_price("424242", usd("1.00"), "k1"),
        connector.set_quantity("424242", 1, "k2"),
        connector.revise("424242", offer("424242"), "k3"),
        connector.confirm_shipment("424242", "UPS", "1Z", "k4"),
    ]
    for write in writes:
        with pytest.raises(Rejected) as refused:
            await write
        assert refused.value.missing and not refused.value.auth
    assert await everything(connector) == []


async def test_revise_leaves_price_and_quantity_alone(channel: Any) -> None:
    connector = channel.connector
    made = await connector.publish(offer(), "k1")
    changed = offer(title="Lamp, new", price=usd("1.00"), quantity=99, images=("https://img.example/2.jpg",))
    revised = await connector.revise(made.external_id, changed, "k2")
    assert (revised.title, revised.price, revised.quantity) == ("Lamp, new", usd("19.90"), 5)


async def test_ending_twice_and_selling_again(channel: Any) -> None:
    connector = channel.connector
    made = await connector.publish(offer(), "k1")
    await connector.end(made.external_id, "k2")
    await connector.end(made.external_id, "k3")
    await connector.end("424242", "k4")
    ended = await connector.read_listing(made.external_id)
    # Where ending is deleting, the channel does not know it any more.
    assert ended is None if channel.vendor == "amazon" else ended.status == "ended"
    again = await connector.publish(offer(price=usd("21.00"), quantity=2), "k5")
    assert (again.external_id, again.status, again.price, again.quantity) == (
        made.external_id,
        "active",
        usd("21.00"),
        2,
    )


async def test_orders_are_read_with_money_lines_and_address(channel: Any) -> None:
    connector = channel.connector
    made = await connector.publish(offer(), "k1")
    order_id = channel.sell("LAMP-1", 2)
    order = await connector.read_order(order_id)
    assert (order.status, order.holds_stock, order.currency) == ("paid", True, "USD")
    (line,) = order.lines
    assert (line.sku, line.quantity, line.total, line.listing_external_id) == (
        "LAMP-1",
        2,
        usd("39.80"),
        made.external_id,
    )
    assert line.title == "Lamp & shade, 40 cm"
    assert order.total == line.total + order.shipping
    assert order.placed_at == order.modified_at == START
    assert (order.ship_to.name, order.ship_to.country, order.ship_to.line1) == ("Avery Lane", "US", "411 Elm Street")
    assert (await connector.read_listing(made.external_id)).quantity == 3


async def test_orders_since_are_complete_and_in_order_of_change(channel: Any) -> None:
    connector = channel.connector
    await connector.publish(offer(quantity=50), "k1")
    ids = []
    for _ in range(4):
        ids.append(channel.sell("LAMP-1"))
        await channel.sandbox.market.advance(60)
    await connector.confirm_shipment(ids[0], "UPS", "1Z999", "k2")
    seen = [order async for order in connector.orders(START)]
    assert [order.external_id for order in seen if order.external_id in ids] == [*ids[1:], ids[0]]
    assert [order.modified_at for order in seen] == sorted(order.modified_at for order in seen)
    # "At or after", to the moment of the last one seen.
    last = [order async for order in connector.orders(seen[-1].modified_at)]
    assert seen[-1].external_id in [order.external_id for order in last]
    assert [order async for order in connector.orders(START + timedelta(days=1))] == []


async def test_a_write_of_units_tells_what_it_replaced_where_that_costs_nothing(channel: Any) -> None:
    connector = channel.connector
    made = await connector.publish(offer(quantity=9), "k1")
    await connector.set_quantity(made.external_id, 7, "k2")
    channel.sell("LAMP-1", 2)
    answered = await connector.set_quantity(made.external_id, 3, "k3")
    told = connector.capabilities.tells_replaced
    assert told == (channel.vendor in TELLS_REPLACED)
    assert answered.shown_before == (5 if told else None)
    (outcome,) = await connector.set_quantities([QuantityChange(made.external_id, 6, "k4")])
    assert outcome.state is not None and outcome.state.shown_before == (3 if told else None)


async def test_shipping_twice_tells_the_channel_once(channel: Any) -> None:
    connector = channel.connector
    await connector.publish(offer(), "k1")
    order_id = channel.sell("LAMP-1")
    shipped = await connector.confirm_shipment(order_id, "UPS", "1Z999", "k2")
    assert (shipped.status, shipped.holds_stock) == ("shipped", True)
    assert await connector.confirm_shipment(order_id, "UPS", "1Z999", "k2") == shipped
    rows = channel.sandbox.books.db.execute("SELECT tracking_number FROM shipment").fetchall()
    assert rows == [("1Z999",)]


async def test_rate_limits_and_outages_are_told_apart(channel: Any) -> None:
    name = channel.name
    made = await channel.connector.publish(offer(), "k0")
    channel.sandbox.faults.configure(name, {"rate_limited": 1.0, "retry_after_seconds": 7})
    with pytest.raises(Retryable) as limited:
        await channel.connector.find_listing("X")
    assert limited.value.after == 7.0
    channel.sandbox.faults.configure(name, {"error_before": 1.0}, replace=True)
    with pytest.raises(Retryable):
        await channel.connector.find_listing("X")
    channel.sandbox.faults.configure(name, {}, replace=True)
    made = await channel.connector.publish(offer(), "k1")
    channel.tap.refuses_writes = True
    with pytest.raises(OutcomeUnknown):
        await channel.connector.set_quantity(made.external_id, 1, "k2")


async def test_rivals(channel: Any) -> None:
    connector = channel.connector
    await connector.publish(offer(), "k1")
    found = await connector.rivals(["LAMP-1", "NOBODY", *[f"S{n}" for n in range(120)]])
    assert bool(found) == connector.capabilities.rival_offers
    for rival in found:
        assert rival.sku == "LAMP-1" and rival.seller and rival.price.amount_minor > 0
    assert not any(rival.featured for rival in found) or channel.vendor == "amazon"


@pytest.mark.parametrize("channel", ["amazon"], indirect=True)
async def test_amazon_says_whose_offer_is_put_first(channel: Any) -> None:
    made = await channel.connector.publish(offer(), "k1")
    await channel.connector.set_price(made.external_id, usd("99.00"), "k2")
    found = await channel.connector.rivals(["LAMP-1"])
    assert [rival.price for rival in found if rival.featured] == [min(rival.price for rival in found)]


class Spoiling(httpx2.AsyncBaseTransport):
    """Passes requests on, and puts something else into the answers."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, what: bytes, into: bytes) -> None:
        self.inner, self.what, self.into = inner, what, into

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self.inner.handle_async_request(request)
        body = re.sub(self.what, self.into, await answer.aread())
        headers = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
        return httpx2.Response(answer.status_code, headers=headers, content=body)


@pytest.mark.parametrize("channel", ["custom", "shopify"], indirect=True)
async def test_a_listing_that_cannot_be_read_hinders_no_other(channel: Any) -> None:
    """eBay's and Amazon's have tests of their own; WooCommerce's is left out with a warning."""
    connector = channel.connector
    prices = ("5.00", "7.77", "9.00")
    made = [await connector.publish(offer(f"S{n}", price=usd(price)), f"k{n}") for n, price in enumerate(prices)]
    spoilt = {"custom": rb'"amount_minor":\s*777\b', "shopify": rb'"price":\s*"7\.77"'}[channel.vendor]
    into = {"custom": b'"amount_minor":"a lot"', "shopify": b'"price":"a lot"'}[channel.vendor]
    channel.tap.inner = Spoiling(channel.tap.inner, spoilt, into)
    told = []
    with pytest.raises(Unreadable, match=r"1 listings cannot be read: .+: "):
        async for state in connector.listings():
            told.append(state.external_id)
    assert told == [made[0].external_id, made[2].external_id]
    ids = [state.external_id for state in made]
    if channel.vendor == "shopify":
        assert set(await connector.read_listings(ids)) == set(told)
        fresh = type(connector)(connector.config, connector.credentials, Unlimited(), "b", transport=channel.tap)
        outcomes = await fresh.set_quantities([QuantityChange(one, 3, f"q{one}") for one in ids])
        assert [type(outcome.error) for outcome in outcomes] == [type(None), Unreadable, type(None)]
    with pytest.raises(Unreadable):
        await connector.read_listings(ids[1:2])


async def test_what_changed_is_asked_for_and_nothing_else_is_told(channel: Any) -> None:
    connector, clock = channel.connector, channel.sandbox.books.clock
    made = [await connector.publish(offer(f"S{n}"), f"k{n}") for n in range(4)]
    assert (connector.changed_listings(START) is not None) == (channel.vendor in ASKED)
    if channel.vendor not in ASKED:
        return

    async def changed(since: datetime) -> list[ListingState]:
        return [state async for state in connector.changed_listings(since)]

    assert {state.external_id for state in await changed(START)} == {state.external_id for state in made}
    clock.move_to(clock.now_ms() + 3_600_000)
    later = clock.now()
    assert await changed(later) == []
    priced = await connector.set_price(made[2].external_id, usd("9.00"), "k9")
    assert await changed(later) == [priced]
    clock.move_to(clock.now_ms() + 3_600_000)
    calls = len(channel.tap.requests)
    counted = await connector.set_quantity(made[0].external_id, 1, "k10", priced.version and made[0].version)
    assert [state.external_id for state in await changed(clock.now())] == [counted.external_id]
    assert {state.external_id for state in await changed(later)} == {counted.external_id, priced.external_id}
    assert len(channel.tap.requests) <= calls + 6


@pytest.mark.parametrize("channel", CALLS_US, indirect=True)
async def test_webhooks_are_ensured_once_and_switched_on_again(channel: Any) -> None:
    connector = channel.connector
    secret = SecretStr("s3cret")
    first = await connector.ensure_webhooks("https://listener.test/hook", secret)
    assert {hook.topic for hook in first} >= ORDER_TOPICS[channel.vendor]
    assert all(hook.active and hook.url == "https://listener.test/hook" for hook in first)
    assert await connector.ensure_webhooks("https://listener.test/hook", secret) == first
    channel.sandbox.books.db.execute("UPDATE webhook SET status = 'disabled'")
    again = await connector.ensure_webhooks("https://listener.test/hook", secret)
    if channel.vendor in FORGETS_SUBSCRIPTIONS:
        assert {hook.topic for hook in again} == {hook.topic for hook in first} and all(hook.active for hook in again)
        assert channel.sandbox.webhooks.subscriptions.find("status = 'disabled'", ()) == []
    else:
        assert again == first


async def test_unsigned_webhooks_are_refused(channel: Any) -> None:
    for headers in ({}, {"X-WC-Webhook-Signature": "AAAA", "X-Channel-Signature": "sha256=00"}):
        with pytest.raises(Unauthenticated):
            type(channel.connector).parse_webhook(headers, b"{}", SecretStr("s"), channel.connector.config)
        with pytest.raises(Unauthenticated):
            await channel.connector.verify_webhook(headers, b"{}", SecretStr("s"))


async def test_a_catalogue_tells_of_goods_by_barcode_and_words_and_of_nothing_it_has_not(channel: Any) -> None:
    connector = channel.connector
    await connector.publish(offer(), "k1")
    asked = [
        CatalogueQuestion(key="a", gtin="04006381333931"),
        CatalogueQuestion(key="b", gtin="00036000291452"),
        CatalogueQuestion(key="c", title="lamp shade cm"),
    ]
    found = await connector.look_up(asked)
    assert bool(found) == (channel.vendor in CATALOGUES)
    assert {entry.key for entry in found} <= {"a", "c"}
    for entry in found:
        assert entry.external_id and "Lamp" in entry.title
        assert entry.key != "a" or "04006381333931" in entry.codes
        assert list(entry.offers) == sorted(entry.offers, key=lambda money: money.amount_minor)
    told = {offered.amount_minor for entry in found if entry.key == "a" for offered in entry.offers}
    rivals = {rival.price.amount_minor for rival in await connector.rivals(["LAMP-1"]) if rival.in_stock}
    assert told <= rivals, "what others ask, and never our own price"
