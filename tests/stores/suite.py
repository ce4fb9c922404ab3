"""What every real shop must do through its connector. A shop's test module subclasses `StoreSuite`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import uuid4

import pytest

from flipsync.connectors.base import MarketplaceConnector, QuantityChange
from flipsync.domain.channel import ChannelOrder, ListingState, Offer, OfferGroup
from flipsync.domain.errors import Rejected
from flipsync.domain.money import usd


class RealShop(Protocol):
    """A shop, the connector under test, and what its merchant and its buyers do by themselves."""

    connector: MarketplaceConnector

    def connect(self, **changes: Any) -> MarketplaceConnector:
        """Another connector to the same shop."""

    async def buy(self, listing: ListingState, quantity: int) -> str:
        """A buyer's order, paid, through the shop's own storefront API; returns its external id."""

    async def refund(self, order: ChannelOrder, minor: int) -> None: ...

    async def cancel(self, order: ChannelOrder) -> None: ...

    async def buyable(self, listing: ListingState) -> bool:
        """Whether a buyer can put it into a cart now."""

    async def group_of(self, listing: ListingState) -> tuple[str, dict[str, set[str]], int]:
        """The product a listing belongs to: its name, its options with their choices, and its number of variants."""


def offer(**changes: Any) -> Offer:
    fields: dict[str, Any] = {
        "sku": f"LAMP-{uuid4().hex[:8]}",
        "title": "Lamp & shade, 40 cm",
        "description_html": "<p>Brass.</p>",
        "price": usd("19.90"),
        "quantity": 5,
        "barcode": None,
        "brand": "Lumen",
        "weight_grams": 1250,
        "attributes": {"Color": "Brass"},
    }
    return Offer(**{**fields, **changes})


def tees() -> dict[str, Offer]:
    mark = uuid4().hex[:8]
    group = OfferGroup(
        key=f"TEE-{mark}",
        title=f"Tee {mark}",
        description_html="<p>Cotton.</p>",
        options=("Size", "Color"),
        values={"Size": ("S", "M"), "Color": ("Red",)},
    )
    return {
        size: offer(sku=f"TEE-{mark}-{size}", title=f"Tee {size} Red", group=group, choices=(size, "Red"))
        for size in ("S", "M", "L")
    }


class StoreSuite:
    """Each test leaves its own listings behind: the shop is shared by the module."""

    async def test_probe(self, shop: RealShop) -> None:
        info = await shop.connector.probe()
        assert (info.currency, info.can_read, info.can_write, info.notes) == ("USD", True, True, ())
        assert info.name

    async def test_publish_find_read_and_list(self, shop: RealShop) -> None:
        connector, wanted = shop.connector, offer()
        made = await connector.publish(wanted, "k1")
        assert (made.sku, made.title, made.status) == (wanted.sku, wanted.title, "active")
        assert (made.price, made.quantity, made.group_external_id) == (usd("19.90"), 5, None)
        assert await connector.read_listing(made.external_id) == made
        assert await connector.find_listing(wanted.sku) == made
        assert [state async for state in connector.listings() if state.sku == wanted.sku] == [made]
        assert await shop.buyable(made)

    async def test_publishing_again_finds_the_first(self, shop: RealShop) -> None:
        wanted = offer()
        first = await shop.connector.publish(wanted, "k1")
        assert await shop.connector.publish(wanted, "k1") == first
        changed = wanted.model_copy(update={"quantity": 9, "price": usd("1.00")})
        assert await shop.connector.publish(changed, "k2") == first

    async def test_two_processes_publishing_at_once_make_one_listing(self, shop: RealShop) -> None:
        wanted = offer()
        connectors = [shop.connector, shop.connect(), shop.connect()]
        made = await asyncio.gather(*(each.publish(wanted, "k1") for each in connectors), return_exceptions=True)
        found = [state async for state in shop.connector.listings() if state.sku == wanted.sku]
        assert len(found) == 1
        assert (found[0].status, found[0].quantity, found[0].price) == ("active", 5, usd("19.90"))
        assert {state.external_id for state in made if isinstance(state, ListingState)} == {found[0].external_id}

    @pytest.mark.parametrize("sku", ["A/B", "50% off?", "ü-1", "a b", "x&y", "#1", "A,B", 'say "hi"', "a'b", "a\\b"])
    async def test_skus_with_awkward_characters(self, shop: RealShop, sku: str) -> None:
        wanted = offer(sku=f"{sku} {uuid4().hex[:6]}")
        made = await shop.connector.publish(wanted, "k1")
        assert made.sku == wanted.sku
        assert await shop.connector.find_listing(wanted.sku) == made
        assert await shop.connector.find_listing(wanted.sku[:-1]) is None

    async def test_what_is_not_there(self, shop: RealShop) -> None:
        connector = shop.connector
        for unknown in ("424242", "424242/1", "no such thing", "..", "a?b=c"):
            assert await connector.read_listing(unknown) is None
            assert await connector.read_order(unknown) is None
            await connector.end(unknown, "k")
        assert await connector.find_listing("NOBODY") is None
        for write in (
            connector.set_price("424242", usd("1.00"), "k1"),
            connector.set_quantity("424242", 1, "k2"),
            connector.revise("424242", offer(), "k3"),
            connector.confirm_shipment("424242", "UPS", "1Z", "k4"),
        ):
            with pytest.raises(Rejected) as refused:
                await write
            assert refused.value.missing

    async def test_price_quantity_and_text(self, shop: RealShop) -> None:
        connector, wanted = shop.connector, offer()
        made = await connector.publish(wanted, "k1")
        assert (await connector.set_price(made.external_id, usd("24.05"), "k2")).price == usd("24.05")
        assert (await connector.set_quantity(made.external_id, 0, "k3")).quantity == 0
        assert not await shop.buyable(made)
        changes = [QuantityChange(made.external_id, 8, "k4"), QuantityChange("424242", 1, "k5")]
        done, missing = await connector.set_quantities(changes)
        assert done.state is not None and done.state.quantity == 8
        assert isinstance(missing.error, Rejected) and missing.error.missing
        new = wanted.model_copy(update={"title": "Lamp, new", "price": usd("1.00"), "quantity": 99})
        revised = await connector.revise(made.external_id, new, "k6")
        assert (revised.title, revised.price, revised.quantity) == ("Lamp, new", usd("24.05"), 8)
        assert await connector.read_listing(made.external_id) == revised
        euros = usd("1.00").model_copy(update={"currency": "EUR"})
        with pytest.raises(Rejected, match="sells in USD"):
            await connector.set_price(made.external_id, euros, "k7")

    async def test_many_quantities_at_once(self, shop: RealShop) -> None:
        made = [await shop.connector.publish(offer(), "k1") for _ in range(4)]
        await shop.buy(made[0], 2)
        changes = [QuantityChange(each.external_id, 10 + place, "k2") for place, each in enumerate(made)]
        changes.insert(2, QuantityChange("424242", 1, "k2"))
        outcomes = await shop.connector.set_quantities(changes)
        assert [outcome.change for outcome in outcomes] == changes
        missing = outcomes.pop(2).error
        assert isinstance(missing, Rejected) and missing.missing
        assert [outcome.state and outcome.state.quantity for outcome in outcomes] == [10, 11, 12, 13]
        for outcome in outcomes:
            assert outcome.state is not None
            now = outcome.state.model_copy(update={"shown_before": None})
            assert await shop.connector.read_listing(outcome.change.external_id) == now

    async def test_ended_and_listed_again(self, shop: RealShop) -> None:
        connector, wanted = shop.connector, offer()
        made = await connector.publish(wanted, "k1")
        await connector.end(made.external_id, "k2")
        await connector.end(made.external_id, "k3")
        ended = await connector.read_listing(made.external_id)
        assert ended is not None and ended.status == "ended"
        assert not await shop.buyable(made)
        again = await connector.publish(wanted.model_copy(update={"price": usd("21.00"), "quantity": 2}), "k4")
        assert (again.external_id, again.status, again.price, again.quantity) == (
            made.external_id,
            "active",
            usd("21.00"),
            2,
        )
        assert await shop.buyable(made)

    async def test_an_order_from_the_storefront(self, shop: RealShop) -> None:
        connector, wanted = shop.connector, offer()
        began = datetime.now(UTC) - timedelta(seconds=1)
        made = await connector.publish(wanted, "k1")
        order_id = await shop.buy(made, 2)
        order = await connector.read_order(order_id)
        assert order is not None
        assert (order.status, order.holds_stock, order.currency) == ("paid", True, "USD")
        (line,) = order.lines
        assert (line.sku, line.quantity, line.total) == (wanted.sku, 2, usd("39.80"))
        assert line.listing_external_id == made.external_id
        assert order.total == line.total + order.shipping
        assert order.shipping == usd("4.99")
        assert (order.ship_to.name, order.ship_to.country, order.ship_to.line1) == (
            "Avery Lane",
            "US",
            "411 Elm Street",
        )
        assert began <= order.placed_at <= order.modified_at + timedelta(seconds=2)
        now = await connector.read_listing(made.external_id)
        assert now is not None and now.quantity == 3
        # Set while two units are sold and not yet sent: the sale stays counted.
        assert (await connector.set_quantity(made.external_id, 4, "k2")).quantity == 4
        seen = [each async for each in connector.orders(began)]
        assert order in seen
        assert [each.modified_at for each in seen] == sorted(each.modified_at for each in seen)
        assert order in [each async for each in connector.orders(order.modified_at)]
        later = order.modified_at + timedelta(days=1)
        assert [each async for each in connector.orders(later)] == []

    async def test_shipping_is_told_once(self, shop: RealShop) -> None:
        connector = shop.connector
        made = await connector.publish(offer(), "k1")
        order_id = await shop.buy(made, 2)
        paid = await connector.read_order(order_id)
        assert paid is not None
        shipped = await connector.confirm_shipment(order_id, "UPS", "1Z999", "k2")
        assert (shipped.status, shipped.holds_stock) == ("shipped", True)
        assert await connector.confirm_shipment(order_id, "UPS", "1Z999", "k2") == shipped
        # The change is in the feed of whoever has seen the order before.
        feed = [each async for each in connector.orders(paid.modified_at)]
        assert shipped in feed
        after = await connector.read_listing(made.external_id)
        assert after is not None and after.quantity == 3
        with pytest.raises(Rejected):
            await connector.confirm_shipment(order_id, "UPS", "1Z000", "k3")

    async def test_a_cancelled_order_gives_its_units_back(self, shop: RealShop) -> None:
        connector = shop.connector
        made = await connector.publish(offer(), "k1")
        order = await connector.read_order(await shop.buy(made, 2))
        assert order is not None
        await shop.cancel(order)
        cancelled = await connector.read_order(order.external_id)
        assert cancelled is not None
        assert (cancelled.status, cancelled.holds_stock) == ("cancelled", False)
        assert cancelled.lines[0].quantity == 2
        assert cancelled in [each async for each in connector.orders(order.modified_at)]
        now = await connector.read_listing(made.external_id)
        assert now is not None and now.quantity == 5
        with pytest.raises(Rejected) as refused:
            await connector.confirm_shipment(order.external_id, "UPS", "1Z", "k2")
        assert refused.value.vendor_code == "status"

    async def test_a_refund_is_seen(self, shop: RealShop) -> None:
        connector = shop.connector
        made = await connector.publish(offer(), "k1")
        order = await connector.read_order(await shop.buy(made, 1))
        assert order is not None
        await shop.refund(order, 500)
        refunded = await connector.read_order(order.external_id)
        assert refunded is not None
        assert [(each.amount, each.restocked) for each in refunded.refunds] == [(usd("5.00"), {})]
        assert (refunded.status, refunded.total) == ("paid", order.total)
        assert refunded in [each async for each in connector.orders(order.modified_at)]

    async def test_a_group_is_one_product_with_variants(self, shop: RealShop) -> None:
        connector, sizes = shop.connector, tees()
        small = await connector.publish(sizes["S"], "kS")
        medium, large = await asyncio.gather(
            connector.publish(sizes["M"], "kM"), shop.connector.publish(sizes["L"], "kL")
        )
        group = sizes["S"].group
        assert group is not None
        name, options, count = await shop.group_of(small)
        assert (name, count) == (group.title, 3)
        assert options == {"Size": {"S", "M", "L"}, "Color": {"Red"}}
        assert small.group_external_id is not None
        assert {each.group_external_id for each in (small, medium, large)} == {small.group_external_id}
        assert {each.sku: each.quantity for each in (small, medium, large)} == {
            sizes[size].sku: 5 for size in ("S", "M", "L")
        }
        assert await connector.find_listing(sizes["M"].sku) == medium

    async def test_a_variant_is_revised_ended_and_listed_again(self, shop: RealShop) -> None:
        connector, sizes = shop.connector, tees()
        small = await connector.publish(sizes["S"], "kS")
        medium = await connector.publish(sizes["M"], "kM")
        group = sizes["S"].group
        assert group is not None
        renamed = group.model_copy(update={"title": f"{group.title}, organic"})
        changed = sizes["S"].model_copy(update={"title": "Tee, small", "group": renamed})
        assert (await connector.revise(small.external_id, changed, "k1")).sku == small.sku
        assert (await shop.group_of(small))[0] == f"{group.title}, organic"
        await connector.end(small.external_id, "k2")
        assert not await shop.buyable(small) and await shop.buyable(medium)
        await connector.end(medium.external_id, "k3")
        for each in (small, medium):
            state = await connector.read_listing(each.external_id)
            assert state is not None and state.status == "ended"
            assert not await shop.buyable(each)
        again = await connector.publish(sizes["M"].model_copy(update={"quantity": 1}), "k4")
        assert (again.external_id, again.status, again.quantity) == (medium.external_id, "active", 1)
        assert await shop.buyable(medium) and not await shop.buyable(small)
        order = await connector.read_order(await shop.buy(again, 1))
        assert order is not None and order.lines[0].listing_external_id == medium.external_id
