"""Phones of one shop for tests of sync: each with its clock and its number."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from shop import Goods, Shop
from sqlalchemy import TextClause, text

from flipsync.domain.clock import ManualClock, utc_now
from flipsync.domain.ids import new_id
from flipsync.domain.money import Money
from flipsync.security.roles import Role
from flipsync.security.tokens import Claims
from flipsync.services.product_edits import ProductEdit
from flipsync.services.sync import devices, pulling, pushing
from flipsync.services.sync.mutations import Answer, Count, Edit, Receive, WishPrice
from flipsync.services.sync.records import Changes
from flipsync.store.models import User


@dataclass
class Phone:
    id: UUID
    user: Claims
    clock_off: timedelta
    seq: int = 0


@dataclass
class Phones:
    shop: Shop
    phones: list[Phone] = field(default_factory=list)

    async def another(self, *, clock_off: timedelta = timedelta(), role: Role = "owner") -> int:
        """One more phone, of a user of its own; its number."""
        async with self.shop.unit() as unit:
            user = User(
                tenant_id=self.shop.tenant_id, email=f"{new_id().hex}@example.com", password_hash="x", role=role
            )
            unit.session.add(user)
            await unit.session.flush()
            claims = Claims(user.id, self.shop.tenant_id, role, new_id(), utc_now() + timedelta(days=1))
            device = await devices.register(unit, claims, "phone", unit.now + clock_off)
        self.phones.append(Phone(device.id, claims, clock_off))
        return len(self.phones) - 1

    async def goods(self, *, units: int = 0) -> Goods:
        """Goods that lie there for five days."""
        goods = await self.shop.variant(units=units)
        clock = self.shop.store.clock
        assert isinstance(clock, ManualClock)
        clock.advance(timedelta(days=5))
        return goods

    def set_clock(self, index: int, clock_off: timedelta) -> None:
        """Somebody sets the phone's clock."""
        self.phones[index].clock_off = clock_off

    def _done(self, index: int, at: float) -> dict[str, Any]:
        phone = self.phones[index]
        phone.seq += 1
        moment = self.shop.store.clock.now() + timedelta(hours=at) + phone.clock_off
        return {"id": new_id(), "seq": phone.seq, "at": moment}

    def receive(self, index: int, goods: Goods, quantity: int, *, at: float = 0.0) -> Receive:
        """`at`: hours from now, by a clock that is right."""
        told = self._done(index, at)
        return Receive(kind="stock.receive", variant_id=goods.variant_id, quantity=quantity, **told)

    def count(self, index: int, goods: Goods, counted: int, *, at: float = 0.0) -> Count:
        return Count(kind="stock.count", variant_id=goods.variant_id, counted=counted, **self._done(index, at))

    def edit(self, index: int, goods: Goods, base: int, *, at: float = 0.0, **words: Any) -> Edit:
        told = {"product_id": goods.product_id, "base_version": base, "set": ProductEdit(**words)}
        return Edit(kind="product.edit", **told, **self._done(index, at))

    def wish(self, index: int, listing_id: UUID, price: Money, seen: Money) -> WishPrice:
        told = {"listing_id": listing_id, "price": price, "seen": seen}
        return WishPrice(kind="listing.price", **told, **self._done(index, 0))

    async def push(self, index: int, *told: Any) -> list[Answer]:
        phone = self.phones[index]
        sent_at = self.shop.store.clock.now() + phone.clock_off
        return (await pushing.push(self.shop.store, phone.user, phone.id, told, sent_at=sent_at)).answers

    async def pull(self, index: int, cursor: str | None = None, *, limit: int = 500) -> Changes:
        phone = self.phones[index]
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            return await pulling.pull(
                session, phone.user, phone.id, cursor=cursor, limit=limit, at=self.shop.store.clock.now()
            )

    async def pull_all(self, index: int, cursor: str | None = None, *, limit: int = 500) -> tuple[list[Any], str]:
        """All pages: what changed, and the cursor for the next time."""
        told, page = [], await self.pull(index, cursor, limit=limit)
        told += page.changes
        while page.more:
            page = await self.pull(index, page.cursor, limit=limit)
            told += page.changes
        return told, page.cursor

    @staticmethod
    def forget_statement() -> TextClause:
        """As when answers are older than a device may be away."""
        return text("DELETE FROM sync_mutation")


async def phones_of(shop: Shop, count: int) -> Phones:
    phones = Phones(shop)
    for _ in range(count):
        await phones.another()
    return phones
