"""A shop with a person of each role, a clock that is turned by hand, and things that are worth telling."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from erased_buyer import BUYER
from shop import Shop, open_store
from sqlalchemy import text

from flipsync.connectors.notices.sending import Sender
from flipsync.domain.clock import utc_now
from flipsync.domain.events import OfferChanged
from flipsync.domain.ids import new_id
from flipsync.runtime.notifier import Notifier
from flipsync.security.roles import ROLES, Role
from flipsync.security.secrets import SecretBox
from flipsync.services import orders
from flipsync.services.notices import inbox
from flipsync.services.notices.inbox import NotificationFilter, NotificationView
from flipsync.services.notices.kinds import heard_by
from flipsync.services.reading_page import SortedRequest
from flipsync.store import models as m
from flipsync.store.database import SessionReader


@dataclass
class Clock:
    at: datetime = field(default_factory=utc_now)

    def now(self) -> datetime:
        return self.at


@dataclass
class House:
    """A shop with a person of each role, and a clock that is turned by hand."""

    shop: Shop
    clock: Clock
    people: dict[Role, UUID] = field(default_factory=dict)
    box: SecretBox = field(default_factory=lambda: SecretBox(secrets.token_bytes(32)))

    async def hire(self, *roles: Role) -> None:
        async with self.shop.unit() as unit:
            for role in roles:
                user = m.User(tenant_id=unit.tenant_id, email=f"{new_id()}@x.example", password_hash="x", role=role)
                unit.session.add(user)
                await unit.session.flush()
                self.people[role] = user.id

    async def tell(self) -> int:
        return await self.notifier().look(self.shop.tenant_id)

    def notifier(self, sender: Sender | None = None, base: str = "https://app.example") -> Notifier:
        return Notifier(self.shop.store, self.box, 1.0, base=base, sender=sender)

    async def told(self, role: Role, **where: Any) -> list[NotificationView]:
        where.setdefault("settled", False)
        async with self.shop.store.reader(self.shop.tenant_id) as session:
            reader, kinds = SessionReader(session), heard_by(role)
            page = await inbox.list_for(
                reader, self.people[role], kinds, SortedRequest(limit=200), NotificationFilter(**where)
            )
        return page.items

    async def ask(self, hours: float = 48) -> UUID:
        account, goods = await self.shop.account(), await self.shop.variant()
        listing = await self.shop.listing(account, goods)
        async with self.shop.unit() as unit:
            changed = OfferChanged(listing_id=listing, account_id=account.id, vendor="custom", cause="sale")
            event_id = unit.emit(changed)
            await unit.flush()
            decision = m.AgentDecision(
                tenant_id=unit.tenant_id,
                agent="pricing",
                agent_version="1",
                event_id=event_id,
                state="awaiting",
                source="rules",
                rationale="",
                confidence=0.5,
                correlation_id=event_id,
            )
            unit.session.add(decision)
            await unit.session.flush()
            proposal = m.Proposal(
                tenant_id=unit.tenant_id,
                decision_id=decision.id,
                ordinal=0,
                command="EndListing",
                payload={"listing_id": str(listing), "reason": "Ada Lovelace wrote that it is broken"},
                subject_kind="listing",
                subject_id=listing,
            )
            approval = m.Approval(
                tenant_id=unit.tenant_id,
                decision_id=decision.id,
                question="Ada Lovelace wrote: may I?",
                asked_at=unit.now,
                expires_at=unit.now + timedelta(hours=hours),
            )
            unit.session.add_all([proposal, approval])
            await unit.session.flush()
            return approval.id

    async def oversell(self, *, number: str = "1001") -> UUID:
        """An order that wants more than there is, a while ago."""
        account, goods = await self.shop.account(name=f"Ada's <b>shop</b> {new_id()}"), await self.shop.variant(units=1)
        await self.shop.listing(account, goods, units=1)
        async with self.shop.unit() as unit:
            order = self.shop.order({goods.sku: 3}).model_copy(update={"number": number, "ship_to": BUYER})
            ingested = await orders.ingest_order(unit, account, order)
            earlier = text("UPDATE customer_order SET created_at = created_at - interval '5 minutes' WHERE id = :id")
            await unit.session.execute(earlier, {"id": ingested.order_id})
        return ingested.order_id


@asynccontextmanager
async def open_house(url: str) -> AsyncIterator[House]:
    clock = Clock()
    store = open_store(url, clock=clock)
    async with store.database.unbound() as session:  # of the installation, and left by whoever had the database before
        await session.execute(text("DELETE FROM agent_status"))
    found = House(await Shop(store).found(), clock)
    await found.hire(*ROLES)
    yield found
    await store.aclose()
