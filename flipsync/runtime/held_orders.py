"""Orders that cannot be read, between a channel and the books: set aside, asked for again, and told to who waits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from flipsync.connectors.base import MarketplaceConnector
from flipsync.connectors.unread import reason_of
from flipsync.connectors.unread import unread as unread_order
from flipsync.domain.channel import ChannelOrder, UnreadOrder
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import ChannelError, UnreadOrders
from flipsync.services import held_orders, orders
from flipsync.services.orders import AccountRef
from flipsync.store.database import UNFIT
from flipsync.store.models import HeldOrder
from flipsync.store.repositories import held_orders as rows
from flipsync.store.unit_of_work import Cause, Store


@dataclass
class Booked:
    """What became of orders that were told: how many were news, and which could not be booked."""

    changed: int = 0
    refused: list[UnreadOrder] = field(default_factory=list)


async def book(
    store: Store, tenant_id: UUID, account: AccountRef, told: Sequence[ChannelOrder], cause: Cause
) -> Booked:
    """Each in a transaction of its own: one that cannot be booked hinders no other."""
    booked = Booked()
    for order in told:
        try:
            async with store.unit(tenant_id, cause) as unit:
                result = await orders.ingest_order(unit, account, order)
        except orders.CANNOT_BOOK as error:
            booked.refused.append(refused(order, error))
        else:
            booked.changed += result.outcome in ("created", "changed")
    return booked


def refused(order: ChannelOrder, error: BaseException) -> UnreadOrder:
    """What is remembered of an order that was read and cannot be booked."""
    plain = unread_order(order, error)
    if isinstance(error, UNFIT):
        words = str(error.orig).splitlines()[0] if error.orig is not None else ""
        plain = plain.model_copy(update={"reason": f"the books refuse it: {words.partition('DETAIL')[0]}"[:500]})
    return plain.model_copy(update={"external_id": order.external_id[:200]})


async def cursor_waits(
    store: Store, tenant_id: UUID, account: AccountRef, held: Sequence[HeldOrder], unread: Sequence[UnreadOrder]
) -> bool:
    """Whether the list has to be read from the same place again: for one that cannot be asked for by itself."""
    now = utc_now()
    if any(held_orders.waits(each, now) for each in held):
        return True
    nameless = {each.key for each in unread if not each.external_id} - {each.key for each in held}
    if not nameless:
        return False
    async with store.reader(tenant_id) as session:
        return bool(nameless - await rows.by_hand(session, account.id, nameless))


async def set_aside(
    store: Store, tenant_id: UUID, account: AccountRef, found: Sequence[UnreadOrder], cause: Cause
) -> None:
    if found:
        async with store.unit(tenant_id, cause) as unit:
            await held_orders.hold(unit, account, found)


async def settle(
    store: Store,
    tenant_id: UUID,
    account: AccountRef,
    connector: MarketplaceConnector,
    held: Sequence[HeldOrder],
    cause: Cause,
    *,
    read: Collection[str] = (),
    unread: Sequence[UnreadOrder] = (),
    listed: bool = False,
) -> int:
    """Bring the holds of an account in line with what was just met: `read` are ids of orders that could be booked,
    `unread` those that could not, which are held already. What is due is asked for by itself. `listed`: the whole
    list since the cursor was read. Returns how many orders were booked; raises UnreadOrders while any is held.
    """
    now = utc_now()
    again = {each.key for each in unread}
    settled = {each.key for each in held if each.key in read and each.key not in again}
    # a row without an id, of a list that the cursor has waited with: it has got one, or is gone
    gone = {each.key for each in held if listed and held_orders.waits(each, now) and each.key not in again}
    changed = 0
    due = [each for each in held if each.external_id and each.key not in again | settled and each.look_at <= now]
    for each in due[: held_orders.MOST_LOOKS]:
        try:
            order = await connector.read_order(each.external_id)
        except ChannelError as error:
            await _asked(store, tenant_id, each, reason_of(error))
            continue
        if order is None:
            await _asked(store, tenant_id, each, "")
            continue
        booked = await book(store, tenant_id, account, [order], cause)
        if booked.refused:
            await _asked(store, tenant_id, each, booked.refused[0].reason)
            continue
        changed += booked.changed
        settled.add(each.key)
    if settled or gone:
        async with store.unit(tenant_id, cause) as unit:
            await held_orders.let_go(unit, account, settled, "read")
            await held_orders.let_go(unit, account, gone - settled, "gone")
    async with store.reader(tenant_id) as session:
        await held_orders.demand_none(session, account.id)
    return changed


async def _asked(store: Store, tenant_id: UUID, held: HeldOrder, reason: str) -> None:
    async with store.unit(tenant_id) as unit:
        await rows.asked(unit.session, held.id, held_orders.next_look(held.looks + 1, utc_now()), reason)


async def demand_none(store: Store, tenant_id: UUID, account_id: UUID) -> None:
    """Raises UnreadOrders while orders of the account are held."""
    async with store.reader(tenant_id) as session:
        await held_orders.demand_none(session, account_id)


async def readable(connector: MarketplaceConnector, since: datetime) -> tuple[list[ChannelOrder], list[UnreadOrder]]:
    """All orders changed since then that can be read, and the others."""
    told: list[ChannelOrder] = []
    try:
        async for order in connector.orders(since):
            told.append(order)
    except UnreadOrders as found:
        return told, list(found.orders)
    return told, []
