"""What is fetched from channels: orders, rivals' offers, and whether listings still are what we think they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from flipsync.connectors.base import MarketplaceConnector
from flipsync.connectors.unread import unread as unread_order
from flipsync.domain.channel import ChannelOrder, ListingState, RivalOffer, TakenIn, UnreadOrder
from flipsync.domain.clock import ScaledClock
from flipsync.domain.errors import Rejected, Unreadable
from flipsync.domain.events import ListingPublished, ListingVanished, QuantityDrifted, RivalsMoved
from flipsync.runtime import held_orders
from flipsync.services import adopting, hand_edits, orders, stock, warehouses, webhooks
from flipsync.services.accounts import ConnectedAccount
from flipsync.services.held_orders import hold
from flipsync.services.orders import AccountRef
from flipsync.store.models import Listing
from flipsync.store.repositories import accounts as account_rows
from flipsync.store.repositories import held_orders as held_rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import orders as order_rows
from flipsync.store.repositories import stock as stock_rows
from flipsync.store.unit_of_work import Cause, Store

log = structlog.get_logger()

#: how far back the first pull looks
FIRST_PULL = timedelta(days=30)
_RIVALS_A_CALL = 50
_LEFT_OUT_TOLD = 5
#: the cursor stays this far behind the newest order, in real seconds, or three times the channel's own delay
_OVERLAP = 5.0
#: how far before the last look listings' changes are asked for, in real seconds: clocks differ
_CHANGES_BACK = 120.0
#: how often they are asked for, in real seconds, however often orders are
_CHANGES_EVERY = 30.0
#: how often a vendor with a queue is asked for its list of orders all the same; real seconds, as its limits are
_LIST_BESIDE_QUEUE = 900.0


async def pull_orders(
    store: Store, tenant_id: UUID, account: AccountRef, connector: MarketplaceConnector, cause: Cause
) -> int:
    """Book every order changed since the cursor; returns how many were new or changed. Those that cannot be read hinder
    no other: Raises UnreadOrders in the end, as long as there are any (services.held_orders).

    The cursor stays behind what was seen, so that an order the channel's list shows late, after a newer one that a
    webhook or another pull has brought already, is still met.
    """
    async with store.reader(tenant_id) as session:
        row = await account_rows.get_account(session, account.id)
        held = await held_rows.open_of(session, account.id)
    since = (row.orders_cursor if row else None) or store.clock.now() - FIRST_PULL
    told, unread = await held_orders.readable(connector, since)
    async with store.reader(tenant_id) as session:
        known = await order_rows.known_states(session, account.id, [order.external_id for order in told])
    booked = await _ingest(store, tenant_id, account, told, known, cause)
    unread += booked.refused
    stays = await held_orders.cursor_waits(store, tenant_id, account, held, unread)
    seen_before = [order.modified_at for order in told if order.external_id in known]
    async with store.unit(tenant_id, cause) as unit:
        values: dict[str, object] = {"last_ok_at": unit.now, "consecutive_failures": 0}
        if seen_before and not stays:
            speed = store.clock.speed if isinstance(store.clock, ScaledClock) else 1.0
            overlap = timedelta(seconds=max(_OVERLAP, 3 * connector.config.settle_seconds) * speed)
            # an order that says it was changed in 2100 must not hide those of tomorrow
            values["orders_cursor"] = max(since, min(max(seen_before), unit.now) - overlap)
        elif row is not None and row.orders_cursor is None:
            values["orders_cursor"] = since
        await account_rows.update_account(unit.session, account.id, values)
        # with the cursor or not at all: behind it nobody would meet them again
        await hold(unit, account, unread)
    if not held and not unread:
        return booked.changed
    read = {order.external_id for order in told}
    return booked.changed + await held_orders.settle(
        store, tenant_id, account, connector, held, cause, read=read, unread=unread, listed=True
    )


async def book_orders(
    store: Store, tenant_id: UUID, account: AccountRef, told: Sequence[ChannelOrder], cause: Cause
) -> int:
    """Book orders that were listed; returns how many were new or changed. The cursor stays where it is."""
    async with store.reader(tenant_id) as session:
        known = await order_rows.known_states(session, account.id, [order.external_id for order in told])
    booked = await _ingest(store, tenant_id, account, told, known, cause)
    await held_orders.set_aside(store, tenant_id, account, booked.refused, cause)
    return booked.changed


async def _ingest(
    store: Store,
    tenant_id: UUID,
    account: AccountRef,
    told: Sequence[ChannelOrder],
    known: Mapping[str, tuple[datetime, str, int]],
    cause: Cause,
) -> held_orders.Booked:
    news = []
    for order in told:
        at, status, refunds = known.get(order.external_id, (None, "", 0))
        if (at, status) != (order.modified_at, order.vendor_status) or refunds < len(order.refunds):
            news.append(order)
    return await held_orders.book(store, tenant_id, account, news, cause)


async def pull_refunds(
    store: Store, tenant_id: UUID, account: AccountRef, connector: MarketplaceConnector, cause: Cause
) -> int:
    """Book what was given back lately, as orders that say so; returns for how many that was news."""
    changed = 0
    async for order in connector.refunded(store.clock.now() - FIRST_PULL):
        async with store.unit(tenant_id, cause) as unit:
            result = await orders.ingest_order(unit, account, order)
        changed += result.outcome in ("created", "changed")
    return changed


async def take_notices(store: Store, account: ConnectedAccount, connector: MarketplaceConnector, cause: Cause) -> int:
    """Work through what waits in the vendor's queue; returns how many facts were new. An order that cannot be read
    hinders nothing behind it: Raises UnreadOrders in the end, as long as there are any.

    A notice that says less than the whole order has it read: the vendor's list may be asked for too rarely to wait.
    """
    fresh, ref = 0, AccountRef(account.id, account.vendor)
    async for notice in connector.notices():
        aside: UnreadOrder | None = None
        if notice.kind == "order" and notice.order is None and not notice.deleted:
            try:
                notice = notice.model_copy(update={"order": await connector.read_order(notice.resource_id)})
            except Unreadable as error:
                aside = unread_order({"id": notice.resource_id}, error)
        if aside is None:
            try:
                taken = await webhooks.book(store, account, notice, cause)
            except orders.CANNOT_BOOK as error:
                if notice.order is None:
                    raise
                aside = held_orders.refused(notice.order, error)
            else:
                fresh += taken.outcome == "accepted"
        if aside is not None:  # before the notice is taken off the queue
            await held_orders.set_aside(store, account.tenant_id, ref, [aside], cause)
    async with store.reader(account.tenant_id) as session:
        held = await held_rows.open_of(session, account.id)
    if held:
        fresh += await held_orders.settle(store, account.tenant_id, ref, connector, held, cause)
    return fresh


class SharedPull:
    """Many wait, one pulls: whoever asks is served by a pull that began after it asked."""

    def __init__(self, pull: Callable[[Cause], Awaitable[int]]) -> None:
        self._pull = pull
        self._running: asyncio.Task[int] | None = None
        self._next: asyncio.Task[int] | None = None
        self._listed_at = float("-inf")
        self._changes_at: datetime | None = None

    def list_is_due(self) -> bool:
        """Whether the whole list, which a queue spares us, was not asked for lately; counts as asked for then."""
        now = time.monotonic()
        if now - self._listed_at < _LIST_BESIDE_QUEUE:
            return False
        self._listed_at = now
        return True

    def changes_since(self, now: datetime, speed: float) -> datetime | None:
        """From when on changes on the channel are to be looked at, which counts as done; None where that was lately."""
        last = self._changes_at
        if last is not None and (now - last).total_seconds() < _CHANGES_EVERY * speed:
            return None
        self._changes_at = now
        return (last or now) - timedelta(seconds=_CHANGES_BACK * speed)

    async def fresh(self, cause: Cause) -> int:
        """Raises what the pull raises. What it books names the first asker as its cause."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running, cause))
        return await asyncio.shield(self._next)

    async def _after(self, earlier: asyncio.Task[int] | None, cause: Cause) -> int:
        if earlier is not None:
            await asyncio.wait([earlier])
        self._running, self._next = self._next, None  # from here on, askers need another one
        return await self._pull(cause)


async def pull_rivals(
    store: Store, tenant_id: UUID, account: AccountRef, connector: MarketplaceConnector, cause: Cause
) -> int:
    """Note rivals' offers for everything listed on the account; tells where something changed.

    Of a seller with several offers on one article (from the channel's warehouse and from their own) the one that buyers
    meet: that which is put first, else one in stock, else the cheapest.
    """
    async with store.reader(tenant_id) as session:
        listed = await listing_rows.skus_of_account(session, account.id)
    skus = sorted(listed)
    offers: list[RivalOffer] = []
    for start in range(0, len(skus), _RIVALS_A_CALL):
        offers += await connector.rivals(skus[start : start + _RIVALS_A_CALL])
    newest: dict[tuple[UUID, str], dict[str, object]] = {}
    for offer in sorted(offers, key=lambda each: (each.featured, each.in_stock, -each.price.amount_minor)):
        if offer.sku in listed and offer.price.amount_minor > 0:
            newest[(listed[offer.sku], offer.seller)] = {
                "listing_id": listed[offer.sku],
                "seller": offer.seller,
                "price_minor": offer.price.amount_minor,
                "currency": offer.price.currency,
                "in_stock": offer.in_stock,
                "seen_at": offer.seen_at,
                "featured": offer.featured,
            }
    async with store.unit(tenant_id, cause) as unit:
        changed = await listing_rows.record_rivals(unit, list(newest.values()), list(listed.values()), unit.now)
        for listing_id in sorted(changed):
            unit.emit(RivalsMoved(listing_id=listing_id, account_id=account.id, vendor=account.vendor))
    return len(changed)


async def verify_listings(
    store: Store,
    tenant_id: UUID,
    account: AccountRef,
    connector: MarketplaceConnector,
    cause: Cause,
    settle_seconds: float,
) -> tuple[int, str]:
    """Compare what the channel shows with our books; returns how many listings drifted, and why some could not be
    compared ("": all were). Where some cannot be read none is taken for gone.

    A difference counts only when it is still there after outstanding orders were booked and the listing was read again:
    a sale that nobody told us yet looks just like drift. Words that were edited on the channel count too.
    """
    async with store.reader(tenant_id) as session:
        ours = {row.external_id: row for row in await listing_rows.active_of_account(session, account.id)}
    told, unread = await _told(connector)
    seen = {state.external_id: state for state in told if state.external_id in ours}
    if unread:
        ours = {external_id: row for external_id, row in ours.items() if external_id in seen}
    return await _compare(store, tenant_id, account, connector, cause, settle_seconds, ours, seen), unread


async def _told(connector: MarketplaceConnector) -> tuple[list[ListingState], str]:
    """What can be read of all listings, and what is wrong with the rest."""
    seen: list[ListingState] = []
    try:
        async for state in connector.listings():
            seen.append(state)
    except Unreadable as error:
        return seen, error.message
    return seen, ""


async def verify_some(
    store: Store,
    tenant_id: UUID,
    account: AccountRef,
    connector: MarketplaceConnector,
    cause: Cause,
    settle_seconds: float,
    seen: Mapping[str, ListingState],
) -> int:
    """`verify_listings` of those only that were seen lately, by their ids."""
    if not seen:
        return 0
    async with store.reader(tenant_id) as session:
        found = await listing_rows.active_of_account(session, account.id)
    ours: dict[str | None, Listing] = {row.external_id: row for row in found if row.external_id in seen}
    return await _compare(store, tenant_id, account, connector, cause, settle_seconds, ours, seen)


async def _compare(
    store: Store,
    tenant_id: UUID,
    account: AccountRef,
    connector: MarketplaceConnector,
    cause: Cause,
    settle_seconds: float,
    ours: Mapping[str | None, Listing],
    seen: Mapping[str, ListingState],
) -> int:
    suspects, unmarked = await _suspects(store, tenant_id, account.id, ours, seen)
    if unmarked:
        async with store.unit(tenant_id, cause) as unit:
            await hand_edits.remember(unit, unmarked)
    if not suspects:
        return 0
    await asyncio.sleep(settle_seconds)
    await pull_orders(store, tenant_id, account, connector, cause)
    drifted = 0
    looks: list[tuple[Listing, ListingState]] = []
    for suspect in suspects:
        assert suspect.external_id is not None
        try:
            again = await connector.read_whole(suspect.external_id)
        except Unreadable as error:
            log.warning("a listing cannot be read", listing=str(suspect.id), error=error.message)
            continue
        async with store.reader(tenant_id) as session:
            row = await listing_rows.get(session, suspect.id)
        if row is None or row.status != "active" or row.version != suspect.version:
            continue  # what was written while we looked is looked at next time
        if again is not None and _supply_moved(row, again):
            drifted += await _follow_supply(store, tenant_id, account, row, again, cause)
            continue
        if again is not None:
            looks.append((suspect, again))
        if not (what := await _differs(store, tenant_id, row, again)):
            continue
        drifted += 1
        who = {"listing_id": row.id, "account_id": account.id, "vendor": account.vendor}
        async with store.unit(tenant_id, cause) as unit:
            if what == "vanished":
                await listing_rows.set_status(unit, row.id, "vanished", "the channel does not know it")
                if row.pool == "own":
                    await stock.let_go(unit, row.id, 0)
                unit.emit(ListingVanished(**who))
            elif what == "price":
                assert again is not None and again.price is not None
                await hand_edits.price_edited(unit, account, row, again.price)
            else:
                assert again is not None
                state = await stock.entitlement(unit, row.id)
                await listing_rows.set_quantity_shown(unit, row.id, again.quantity)
                unit.emit(QuantityDrifted(**who, expected=state.entitled if state else 0, seen=again.quantity))
    async with store.unit(tenant_id, cause) as unit:
        return drifted + await hand_edits.notice(unit, account, looks)


def _supply_moved(row: Listing, seen: ListingState) -> bool:
    """Whether the seller moved it between our shelf and the channel's warehouse."""
    return seen.status != "ended" and (row.pool == warehouses.OWN) != (seen.fulfilled_by == "seller")


async def _follow_supply(
    store: Store, tenant_id: UUID, account: AccountRef, row: Listing, seen: ListingState, cause: Cause
) -> bool:
    async with store.unit(tenant_id, cause) as unit:
        known = await account_rows.get_account(unit.session, account.id)
        mode = known.stock_mode if known is not None else "escrow"
        moved = await warehouses.follow_supply(unit, row, seen.fulfilled_by, stock_mode=mode)
        if moved:
            unit.emit(ListingPublished(listing_id=row.id, account_id=account.id, vendor=account.vendor))
    return moved


async def survey_listings(
    store: Store, tenant_id: UUID, account: AccountRef, connector: MarketplaceConnector, cause: Cause
) -> str:
    """Read all the account offers, and take over what is ours (services.adopting); says what was found."""
    seen, unread = await _told(connector)
    try:
        taken = await connector.take_in({state.sku for state in seen})
    except Rejected as refused:  # what can be seen is looked at all the same
        taken = TakenIn(left_out={"listings made elsewhere": refused.message})
    seen += taken.states
    async with store.unit(tenant_id, cause) as unit:
        found = await adopting.take_over(unit, account, seen)
    told = (
        f"{len(seen)} listings: {len(found.sure)} ours, {len(found.doubtful)} perhaps ours, "
        f"{len(found.unknown)} of other goods"
    ) + (f"; {unread}" if unread else "")
    if not taken.left_out:
        return told
    first = "; ".join(f"{listing}: {why}" for listing, why in list(taken.left_out.items())[:_LEFT_OUT_TOLD])
    return f"{told}; {len(taken.left_out)} out of reach ({first})"


async def _suspects(
    store: Store,
    tenant_id: UUID,
    account_id: UUID,
    ours: Mapping[str | None, Listing],
    seen: Mapping[str, ListingState],
) -> tuple[list[Listing], list[tuple[Listing, ListingState]]]:
    """Listings that look different at first sight, and those whose words were never marked: three reads for the whole
    account, and no lock on any stock item."""
    async with store.reader(tenant_id) as session:
        busy = await listing_rows.with_open_effects(session)
        shares = await stock_rows.shares_of_account(session, account_id)
    suspects, unmarked = [], []
    for key, row in ours.items():
        state = seen.get(key or "")
        words = hand_edits.glance(row.shown, state) if state is not None and row.id not in busy else ""
        moved = state is not None and row.id not in busy and _supply_moved(row, state)
        if moved or words == "look" or _difference(row, state, shares.get(row.id), busy=row.id in busy):
            suspects.append(row)
        elif words and state is not None:
            unmarked.append((row, state))
    return suspects, unmarked


async def _differs(store: Store, tenant_id: UUID, row: Listing, seen: ListingState | None) -> str:
    """What differs, seen while nobody can change the stock item."""
    async with store.unit(tenant_id) as unit:
        state = await stock.entitlement(unit, row.id)
        busy = await listing_rows.has_open_effects(unit.session, row.id)
    return _difference(row, seen, (state.entitled, state.pending) if state else None, busy=busy)


def _difference(row: Listing, seen: ListingState | None, share: tuple[int, int] | None, *, busy: bool) -> str:
    """What differs: "vanished", "price", "quantity", or "" for nothing. Writes under way are no difference.

    `share` is what the ledger entitles the listing to, and how much of that is granted but not confirmed, in units.
    """
    if seen is None or seen.status == "ended":
        return "vanished"
    if busy:
        return ""
    if seen.price is not None and row.price_minor is not None and seen.price.amount_minor != row.price_minor:
        return "price"
    if share is not None and seen.quantity is not None:
        entitled, pending = share
        if seen.quantity not in {entitled, entitled - pending}:
            return "quantity"
    return ""
