"""Parcels handed over with a label of one's own: once, never beside a label of the channel's."""

from __future__ import annotations

from uuid import UUID

import pytest
from pydantic import ValidationError
from shop import Shop

from flipsync.domain.channel import Address, Parcel
from flipsync.domain.errors import Conflict, NotFound
from flipsync.domain.events import ParcelHandedOver
from flipsync.domain.ids import new_id
from flipsync.services import labels, orders, parcels
from flipsync.services.orders import AccountRef, ingest_order
from flipsync.services.parcels import HandedOver
from flipsync.services.reading_orders import ShipmentView

USPS = HandedOver(carrier=" USPS ", tracking_number="9400 1118-99")
BOX = Parcel(weight_grams=400, length_mm=200, width_mm=150, height_mm=100)
HOME = Address(name="Jo", line1="1 Elm Street", city="Columbus", region="OH", postal_code="43004", country="US")


async def packed(shop: Shop, account: AccountRef) -> UUID:
    goods = await shop.variant(units=5)
    await shop.listing(account, goods, units=5)
    async with shop.unit() as unit:
        found = await ingest_order(unit, account, shop.order({goods.sku: 1}))
        assert found.order_id is not None
        await orders.mark_ready(unit, found.order_id)
    return found.order_id


async def handed(shop: Shop, order_id: UUID, parcel: HandedOver = USPS) -> ShipmentView:
    async with shop.unit() as unit:
        return await parcels.hand_over(unit, order_id, parcel)


async def test_a_parcel_is_handed_over_and_said_again_it_is_the_same(shop: Shop) -> None:
    order_id = await packed(shop, await shop.account())
    for _ in range(2):
        told = await handed(shop, order_id)
        assert (told.carrier, told.tracking_number, told.confirmed_at) == ("USPS", "9400 1118-99", None)
    assert len(await shop.events(ParcelHandedOver)) == 1
    with pytest.raises(Conflict, match="handed over already: USPS 9400 1118-99"):
        await handed(shop, order_id, HandedOver(carrier="UPS", tracking_number="1Z999"))


async def test_what_is_not_packed_or_not_there_does_not_leave(shop: Shop) -> None:
    account, goods = await shop.account(), await shop.variant(units=5)
    await shop.listing(account, goods, units=5)
    async with shop.unit() as unit:
        order_id = (await ingest_order(unit, account, shop.order({goods.sku: 1}))).order_id
    assert order_id is not None
    with pytest.raises(Conflict, match="not ready to ship"):
        await handed(shop, order_id)
    with pytest.raises(NotFound):
        await handed(shop, new_id())
    assert not await shop.events(ParcelHandedOver)


async def test_a_label_of_the_channel_and_one_of_ones_own_are_never_both(shop: Shop) -> None:
    account = await shop.account("amazon")
    bought, by_hand = await packed(shop, account), await packed(shop, account)
    async with shop.unit() as unit:
        await labels.request(unit, bought, BOX, ship_from=HOME)
    with pytest.raises(Conflict, match="has a label of its channel, which is asked"):
        await handed(shop, bought)
    await handed(shop, by_hand)
    async with shop.unit() as unit:
        with pytest.raises(Conflict, match="handed over already: USPS"):
            await labels.request(unit, by_hand, BOX, ship_from=HOME)


@pytest.mark.parametrize(
    "parcel",
    [{"carrier": "  ", "tracking_number": "12345"}, {"carrier": "USPS", "tracking_number": "123"}]
    + [{"carrier": "USPS", "tracking_number": f"12{mark}345"} for mark in ("\n", "<", "\x00")],
)
def test_what_nobody_could_follow_is_refused(parcel: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        HandedOver(**parcel)
