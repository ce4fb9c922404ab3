"""Orders that cannot be read: held, asked for again, and let go when they can be, or when a person says what became of
them.

While one is held, whoever wants to know that all sales of the account are booked is told that they are not.
What is read again is bounded: each held order is asked for by its id, `MOST_LOOKS` in a pull and at growing intervals,
and the cursor of the list goes on. Only where not even the id can be read does the cursor wait, `LONGEST_WAIT` at most.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.channel import UnreadOrder, Vendor
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import NotFound, UnreadOrders
from flipsync.domain.events import ChannelCheckDue
from flipsync.services.orders import AccountRef
from flipsync.services.reading_page import Moment, Page, PageRequest, View, cut
from flipsync.store.models import HeldOrder, MarketplaceAccount
from flipsync.store.repositories import held_orders as rows
from flipsync.store.unit_of_work import UnitOfWork

MOST_LOOKS = 10
LONGEST_WAIT = timedelta(hours=24)
_FIRST_LOOK, _LONGEST_PAUSE = 5.0, 900.0


class HeldOrderView(View):
    """An order that a channel told and that cannot be read. All others of its account are booked."""

    id: UUID
    account_id: UUID
    account: str
    vendor: Vendor
    external_id: str = Field(description="the channel's id of it; empty where not even that can be read")
    reason: str
    told: str = Field(description="a short copy of what came, as JSON, without what may be about a person")
    looks: int = Field(description="how often it was asked for by itself")
    first_seen_at: Moment
    last_seen_at: Moment


class HeldOrderFilter(View):
    account_id: UUID | None = Field(default=None)


class HeldOrderAnswer(View):
    """What a person says of it: try again, or that it was dealt with by hand and its units are counted."""

    booked_by_hand: bool


class HeldOrderAnswered(View):
    id: UUID
    outcome: Literal["tried-again", "by-hand"]


def next_look(looks: int, now: datetime) -> datetime:
    return now + timedelta(seconds=min(_LONGEST_PAUSE, _FIRST_LOOK * 2 ** min(looks, 10)))


async def hold(unit: UnitOfWork, account: AccountRef, found: Sequence[UnreadOrder]) -> None:
    """Set them aside, or keep them there; people are told of each once (services.notices)."""
    if not found:
        return
    now = utc_now()
    await rows.note(unit.session, unit.tenant_id, account.id, found, now=now, look_at=next_look(0, now))


async def let_go(
    unit: UnitOfWork, account: AccountRef, keys: Collection[str], outcome: Literal["read", "gone"]
) -> None:
    for held_id in await rows.settle(unit.session, account.id, keys, outcome, utc_now()):
        unit.audit("held_order.settled", "held_order", held_id, outcome=outcome)


async def demand_none(session: AsyncSession, account_id: UUID) -> None:
    """Raises UnreadOrders while orders of the account are held."""
    if count := await rows.count_open(session, account_id):
        raise UnreadOrders(f"{count} orders of the account cannot be read: what they have sold is not known")


def waits(held: HeldOrder, now: datetime) -> bool:
    """Whether the cursor of the list waits for it: it cannot be asked for by itself."""
    return not held.external_id and now - held.first_seen_at < LONGEST_WAIT


async def list_held(session: AsyncSession, page: PageRequest, where: HeldOrderFilter) -> Page[HeldOrderView]:
    """Newest first. Raises InvalidInput for a foreign cursor."""
    found = await rows.every(session, limit=page.limit + 1, after=page.after_id(), account_id=where.account_id)
    return cut(found, page.limit, lambda row: _view(*row), lambda row: [str(row[0].id)])


async def answer(unit: UnitOfWork, held_id: UUID, said: HeldOrderAnswer) -> HeldOrderAnswered:
    """Raises NotFound for one that is not held, or not any more."""
    held = await rows.lock_open(unit.session, held_id)
    if held is None:
        raise NotFound(f"no order {held_id} is set aside", hint="it may have been read meanwhile")
    now = utc_now()
    if said.booked_by_hand:
        held.settled_at, held.outcome = now, "by-hand"
        unit.audit("held_order.settled", "held_order", held_id, outcome="by-hand")
        return HeldOrderAnswered(id=held_id, outcome="by-hand")
    held.looks, held.look_at = 0, now
    account = await unit.session.get_one(MarketplaceAccount, held.account_id)
    unit.audit("held_order.tried_again", "held_order", held_id)
    unit.emit(ChannelCheckDue(account_id=account.id, vendor=account.vendor))
    return HeldOrderAnswered(id=held_id, outcome="tried-again")


def _view(held: HeldOrder, account: MarketplaceAccount) -> HeldOrderView:
    return HeldOrderView(
        id=held.id,
        account_id=account.id,
        account=account.name,
        vendor=account.vendor,
        external_id=held.external_id,
        reason=held.reason,
        told=held.told,
        looks=held.looks,
        first_seen_at=held.first_seen_at,
        last_seen_at=held.last_seen_at,
    )
