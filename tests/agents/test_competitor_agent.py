"""CompetitorAgent on real rows: what rivals were seen to ask is kept, alarms are raised once, with their moves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from shop import Shop

from agents.market.competitor import CompetitorAgent
from flipsync.domain.commands import RaiseRivalAlarm
from flipsync.domain.events import RivalsMoved
from flipsync.services import competitor_desk
from flipsync.services.orders import AccountRef
from flipsync.store.repositories import listings as listing_rows


async def saw(shop: Shop, listing: UUID, hours_ago: float, **offers: int) -> set[UUID]:
    """A look at the channel that long ago: every seller's price, in cents; who is left out is gone."""
    async with shop.unit() as unit:
        at = unit.now - timedelta(hours=hours_ago)
        rows: list[dict[str, Any]] = [
            {
                "listing_id": listing,
                "seller": seller,
                "price_minor": price,
                "currency": "USD",
                "in_stock": True,
                "seen_at": at,
            }
            for seller, price in offers.items()
        ]
        return await listing_rows.record_rivals(unit, rows, [listing], at)


def woken(account: AccountRef, listing: UUID) -> RivalsMoved:
    return RivalsMoved(listing_id=listing, account_id=account.id, vendor="custom")


async def on_sale(shop: Shop) -> tuple[AccountRef, UUID]:
    account, goods = await shop.account(), await shop.variant(units=5, cost=1500)
    return account, await shop.listing(account, goods, units=5)


async def test_moves_are_kept_and_what_did_not_change_is_none(shop: Shop) -> None:
    _, listing = await on_sale(shop)
    assert await saw(shop, listing, 9, ann=2900, ben=2800) == {listing}
    assert await saw(shop, listing, 8, ann=2900, ben=2800) == set()
    await saw(shop, listing, 7, ann=2700)
    found = await shop.rows("SELECT seller, price_minor, in_stock FROM rival_move ORDER BY at, seller")
    assert [tuple(row) for row in found] == [
        ("ann", 2900, True),
        ("ben", 2800, True),
        ("ann", 2700, True),
        ("ben", 2800, False),
    ]


async def test_a_hijack_is_raised_once_with_the_move_it_rests_on(shop: Shop) -> None:
    account, listing = await on_sale(shop)
    await saw(shop, listing, 100, ann=2900)
    calm = await shop.decide(CompetitorAgent(), woken(account, listing))
    assert calm.is_hold and "ann" in calm.rationale
    await saw(shop, listing, 1, ann=2900, nobody_knew=1200)
    decision = await shop.decide(CompetitorAgent(), woken(account, listing))
    (alarm,) = decision.proposals
    assert isinstance(alarm, RaiseRivalAlarm) and alarm.alarm == "hijack"
    (move,) = await shop.rows("SELECT id FROM rival_move WHERE seller = 'nobody_knew'")
    assert alarm.evidence == (move.id,)
    assert ("rival_move", move.id) in [(each.kind, each.id) for each in decision.evidence]
    async with shop.unit() as unit:
        await competitor_desk.raise_alarm(unit, alarm)
    again = await shop.decide(CompetitorAgent(), woken(account, listing))
    assert again.is_hold and "raised already: hijack" in again.rationale


async def test_old_moves_go_and_the_last_of_each_rival_stays(shop: Shop) -> None:
    _, listing = await on_sale(shop)
    await saw(shop, listing, 24 * 90, ann=2900, ben=2800)
    await saw(shop, listing, 24 * 80, ann=2850, ben=2800)
    await saw(shop, listing, 1, ann=2800, ben=2800)
    async with shop.unit() as unit:
        await competitor_desk.forget_old(unit)
    found = await shop.rows("SELECT seller, price_minor FROM rival_move ORDER BY seller, at")
    assert [tuple(row) for row in found] == [("ann", 2800), ("ben", 2800)]
