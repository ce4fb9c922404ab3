"""InventoryAgent: shares units out so that none is promised twice, and tells channels what changed."""

from __future__ import annotations

from uuid import UUID

from shop import Goods, Shop

from agents.market.inventory import InventoryAgent
from flipsync.domain.commands import AllocateStock, SetChannelQuantity
from flipsync.domain.events import ListingPublished, QuantityDrifted, StockMoved
from flipsync.domain.ids import new_id
from flipsync.services import accounts, stock
from flipsync.services.orders import AccountRef, ingest_order


async def two_channels(shop: Shop, units: int, *shown: int) -> tuple[Goods, list[AccountRef], list[UUID]]:
    goods = await shop.variant(units=units)
    places = [await shop.account() for _ in shown]
    return goods, places, [await shop.listing(place, goods, units=n) for place, n in zip(places, shown, strict=True)]


def moved(goods: Goods) -> StockMoved:
    return StockMoved(
        stock_item_id=goods.stock_item_id,
        variant_id=goods.variant_id,
        kind="receive",
        quantity=1,
        on_hand=1,
        reserved=0,
    )


async def test_new_units_are_split_and_channels_told(shop: Shop) -> None:
    goods, _, listings = await two_channels(shop, 10, 0, 0)
    decision = await shop.decide(InventoryAgent(), moved(goods))
    allocate, *tell = decision.proposals
    assert isinstance(allocate, AllocateStock)
    assert allocate.shares == dict.fromkeys(listings, 5)
    assert {(command.listing_id, command.quantity) for command in tell} == {(listing, 5) for listing in listings}
    assert "none promised twice" in decision.rationale


async def test_shares_never_exceed_what_buyers_left(shop: Shop) -> None:
    goods, places, _ = await two_channels(shop, 7, 0, 0)
    async with shop.unit() as unit:
        await ingest_order(unit, places[0], shop.order({goods.sku: 4}))
    decision = await shop.decide(InventoryAgent(), moved(goods))
    allocate = decision.proposals[0]
    assert isinstance(allocate, AllocateStock)
    assert sum(allocate.shares.values()) == 3


async def test_nothing_to_do_when_every_channel_shows_its_share(shop: Shop) -> None:
    goods, _, _ = await two_channels(shop, 10, 5, 5)
    assert (await shop.decide(InventoryAgent(), moved(goods))).is_hold


async def test_an_empty_channel_gets_a_unit_of_one_that_has_plenty(shop: Shop) -> None:
    goods, _, listings = await two_channels(shop, 6, 6, 0)
    decision = await shop.decide(InventoryAgent(), moved(goods))
    shares = decision.proposals[0].shares
    assert shares[listings[1]] >= 1 and sum(shares.values()) == 6
    downs = [command for command in decision.proposals if isinstance(command, SetChannelQuantity)]
    assert [command.quantity for command in downs] == sorted(command.quantity for command in downs), "down goes first"


async def test_the_last_unit_is_marked_as_urgent(shop: Shop) -> None:
    goods, _, _ = await two_channels(shop, 1, 0, 0)
    decision = await shop.decide(InventoryAgent(), moved(goods))
    writes = [command for command in decision.proposals if isinstance(command, SetChannelQuantity)]
    assert writes and all(command.last_unit and command.priority() == 0 for command in writes)


async def test_a_channel_that_drifted_is_told_again(shop: Shop) -> None:
    goods, places, listings = await two_channels(shop, 10, 5, 5)
    drift = QuantityDrifted(listing_id=listings[0], account_id=places[0].id, vendor="custom", expected=5, seen=9)
    decision = await shop.decide(InventoryAgent(), drift)
    assert [(command.listing_id, command.quantity) for command in decision.proposals] == [(listings[0], 5)]
    assert goods.stock_item_id == decision.evidence[0].id


async def test_a_quantity_that_was_written_over_is_not_written_again(shop: Shop) -> None:
    _, places, listings = await two_channels(shop, 10, 5, 5)
    drift = QuantityDrifted(
        listing_id=listings[0], account_id=places[0].id, vendor="custom", expected=5, seen=9, overwritten=True
    )
    decision = await shop.decide(InventoryAgent(), drift)
    assert not decision.proposals and "9 units" in decision.rationale


async def test_units_on_a_channel_that_cannot_be_written_to_stay_its_own(shop: Shop) -> None:
    goods, places, listings = await two_channels(shop, 10, 4, 2)
    async with shop.unit() as unit:
        await accounts.pause_account(unit, places[0].id, "credentials refused")
    decision = await shop.decide(InventoryAgent(), moved(goods))
    shares = decision.proposals[0].shares
    assert (shares[listings[0]], shares[listings[1]]) == (4, 6)


async def test_a_shelf_counted_short_offers_only_what_was_counted(shop: Shop) -> None:
    goods, _, _ = await two_channels(shop, 10, 5, 5)
    async with shop.unit() as unit:
        await stock.count(unit, goods.stock_item_id, 4, key="counted")
    decision = await shop.decide(InventoryAgent(), moved(goods))
    assert sum(decision.proposals[0].shares.values()) == 4


async def test_pooled_units_are_shown_everywhere_less_the_reserve(shop: Shop) -> None:
    careful = await Shop(shop.store).found(stock={"pooled_reserve": 1})
    goods = await careful.variant(units=5, mode="pooled")
    listings = [await careful.listing(await careful.account(stock_mode="pooled"), goods) for _ in range(2)]
    decision = await careful.decide(InventoryAgent(), moved(goods))
    assert decision.proposals[0].shares == dict.fromkeys(listings, 4)


async def test_a_listing_without_stock_makes_it_hold(shop: Shop) -> None:
    event = ListingPublished(listing_id=new_id(), account_id=(await shop.account()).id, vendor="custom")
    assert (await shop.decide(InventoryAgent(), event)).rationale == "the listing has no stock item"
