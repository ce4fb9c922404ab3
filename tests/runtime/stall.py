"""A shop with one account on a scripted channel and one listing there, and a way to work its outbox empty."""

from __future__ import annotations

import asyncio
from uuid import UUID

from scripted_channel import Channels, ScriptedChannel
from shop import Goods, Shop

from flipsync.domain import commands as c
from flipsync.domain.ids import new_id
from flipsync.runtime.effects import EffectWorker
from flipsync.services import stock
from flipsync.services.orders import AccountRef
from flipsync.store.models import Listing
from flipsync.store.unit_of_work import UnitOfWork


class Stall:
    """A shop with one account on a scripted channel and one listing there."""

    def __init__(self, shop: Shop, channels: Channels) -> None:
        self.shop, self._channels = shop, channels

    async def open(self, *, conditional: bool = False, units: int = 5, settle: float = 0.0) -> Stall:
        self.channel = ScriptedChannel(conditional=conditional, settle_seconds=settle)
        self.account: AccountRef = await self.shop.account(settle_seconds=settle)
        self._channels.by_account[str(self.account.id)] = self.channel
        self.goods: Goods = await self.shop.variant(units=units)
        self.listing: UUID = await self.shop.listing(self.account, self.goods, units=units)
        self.external_id = self.channel.put(self.goods.sku, units)
        return self

    async def price(self, minor: int = 3100) -> UUID:
        command = await self.shop.signed_price(self.account, self.listing, minor)
        return await self.shop.enqueue(command, self.account)

    async def quantity(self, units: int, *, last_unit: bool = False) -> UUID:
        """Aim the listing at `units` and ask the worker to show it."""
        async with self.shop.unit() as unit:
            await stock.set_targets(unit, self.goods.stock_item_id, {self.listing: units})
        command = c.SetChannelQuantity(
            account_id=self.account.id, listing_id=self.listing, quantity=units, last_unit=last_unit
        )
        return await self.shop.enqueue(command, self.account)

    def instead(self, unit: UnitOfWork, units: int) -> UUID:
        """Ask, in `unit`, for another quantity in the place of what waits."""
        command = c.SetChannelQuantity(account_id=self.account.id, listing_id=self.listing, quantity=units)
        return unit.enqueue(command, account_id=self.account.id, key=f"test:{new_id()}", supersede=True)

    async def outcomes(self, effect_id: UUID) -> list[str]:
        rows = await self.shop.rows(
            "SELECT outcome FROM receipt WHERE effect_id = :effect ORDER BY attempt", effect=effect_id
        )
        return [row.outcome for row in rows]

    async def row(self) -> Listing:
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            return await session.get_one(Listing, self.listing)


async def drain(worker: EffectWorker, shop: Shop, *, seconds: float = 8.0) -> None:
    """Work until nothing of the tenant is left in the outbox."""
    await worker.begin()
    async with asyncio.timeout(seconds):
        while (await shop.rows("SELECT count(*) FROM effect WHERE finished_at IS NULL AND tenant_id = :tenant"))[0][0]:
            if not await worker.step():
                await asyncio.sleep(0.005)
