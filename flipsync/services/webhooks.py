"""Webhooks taken in: whose they are, whether they are genuine, whether they are new; then into the books.

A repeat is known by its fact, not by its delivery id, which vendors reuse.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from flipsync.connectors.base import MarketplaceConnector
from flipsync.connectors.marketplaces import connector_class
from flipsync.domain.channel import WebhookNotice
from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict, InvalidInput, NotFound, Unauthenticated, Unavailable
from flipsync.domain.events import ChannelCheckDue, ListingCheckDue
from flipsync.security.secrets import SecretBox
from flipsync.services import erasure
from flipsync.services.accounts import ConnectedAccount, load_account
from flipsync.services.orders import CANNOT_BOOK, AccountRef, ingest_order
from flipsync.services.tenant_settings import profile
from flipsync.services.watch.memory import REPLAY
from flipsync.store.repositories import accounts as rows
from flipsync.store.repositories import channel_faults as fault_rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.unit_of_work import Cause, Store, UnitOfWork

#: opens a connector for an account; the caller closes it
Connect = Callable[[ConnectedAccount], MarketplaceConnector]
Outcome = Literal["accepted", "duplicate", "ping", "ignored"]

_KEPT_SECONDS = 300.0
_KEPT_ACCOUNTS = 1024
_LOOK_SECONDS = 30.0
#: about what vendors' limits let one read
_LISTINGS_A_SECOND = 20.0
#: account → until when (Unix seconds) a look that was asked for serves; bounded by the number of accounts
_looked: dict[UUID, float] = {}
TroubleKind = Literal["forged", "garbled", "duplicate", "replay"]
#: account and kind → when it was written down last (monotonic), and how many came since; written this often at most
_troubles: dict[tuple[UUID, TroubleKind], tuple[float, int]] = {}
_TROUBLE_SECONDS = 1.0


@dataclass(frozen=True)
class Taken:
    """What became of a delivery."""

    outcome: Outcome
    vendor: str


class AccountChanged(Conflict):
    """The account's secrets were replaced, or it was disconnected, since it was looked up."""


class WebhookAddresses:
    """Callback token → account, remembered for some minutes: a delivery need not look it up and open its secrets.

    What is remembered may be out of date: `take` compares it with the books in the statement it needs anyway.
    """

    def __init__(self, store: Store, box: SecretBox, connect: Connect) -> None:
        self._store = store
        self._box = box
        self._connect = connect
        self._known: OrderedDict[str, tuple[float, ConnectedAccount]] = OrderedDict()

    async def take(self, token: str, headers: Mapping[str, str], body: bytes, cause: Cause | None = None) -> Taken:
        """Verify and book one delivery, all or nothing. Raises NotFound, Unauthenticated, InvalidInput."""
        account = await self.find(token)
        if account.unreconciled:
            self._known.pop(token, None)
            raise Unavailable(
                "the books were put back from a backup and are catching up", hint="deliver again in some minutes"
            )
        try:
            return await self._take(account, headers, body, cause)
        except AccountChanged:
            self._known.pop(token, None)
        except (Unauthenticated, InvalidInput) as error:
            await note(self._store, account, "forged" if isinstance(error, Unauthenticated) else "garbled")
            raise
        return await self._take(await self.find(token), headers, body, cause)

    async def _take(
        self, account: ConnectedAccount, headers: Mapping[str, str], body: bytes, cause: Cause | None
    ) -> Taken:
        vendor = connector_class(account.vendor)
        if not vendor.capabilities.webhook_keys:
            secret = account.credentials.get(vendor.signs_with, account.webhook_secret)
            notice = vendor.parse_webhook(headers, body, secret, account.config)
        else:
            async with self._connect(account) as connector:
                notice = await connector.verify_webhook(headers, body, account.webhook_secret)
        try:
            return await book(self._store, account, notice, cause, sealed=account.sealed)
        except AccountChanged:
            raise
        except CANNOT_BOOK:
            if notice.order is None:
                raise
        # the books refuse it: it is looked for as one that was not told, and held by whoever looks
        alone = notice.model_copy(update={"order": None})
        return await book(self._store, account, alone, cause, sealed=account.sealed)

    async def challenge(self, token: str, query: Mapping[str, str]) -> dict[str, str]:
        """What a vendor wants to read when it tries the address. Raises NotFound where none asks."""
        account = await self.find(token)
        async with self._store.reader(account.tenant_id) as session:
            base = (await profile(session, account.tenant_id)).settings.webhook_base_url
        url = callback_url(base or "", token)
        answer = connector_class(account.vendor).answer_challenge(query, account.webhook_secret, url)
        if answer is None:
            raise NotFound("there is nothing to read here")
        return answer

    async def find(self, token: str) -> ConnectedAccount:
        """Raises NotFound for a token nobody has, or whose account is disconnected."""
        now = time.monotonic()
        known = self._known.get(token)
        if known is not None and known[0] > now:
            return known[1]
        async with self._store.database.unbound() as session:
            owner = await rows.account_of_webhook(session, token)
        if owner is None:
            raise NotFound("there is no such address")
        async with self._store.reader(owner[1]) as session:
            try:
                account = await load_account(session, self._box, owner[0])
            except Conflict:  # disconnected: the address is gone, as far as the channel may know
                raise NotFound("there is no such address") from None
        self._known[token] = (now + _KEPT_SECONDS, account)
        while len(self._known) > _KEPT_ACCOUNTS:
            self._known.popitem(last=False)
        return account


def callback_url(base_url: str, token: str) -> str:
    """The address of an account's webhooks, as it is given to the vendor."""
    return f"{base_url.rstrip('/')}/api/v1/webhooks/{token}"


async def note(store: Store, account: ConnectedAccount, kind: TroubleKind) -> None:
    """Count a delivery that was not taken in, for the channel watch. Whoever floods us does not flood the books."""
    if _is_time(account, kind):
        async with store.unit(account.tenant_id) as unit:
            await _write_down(unit, account, kind)


async def _count(unit: UnitOfWork, account: ConnectedAccount, kind: TroubleKind) -> None:
    if _is_time(account, kind):
        await _write_down(unit, account, kind)


def _is_time(account: ConnectedAccount, kind: TroubleKind) -> bool:
    """Counts one more; true when it is time to write down what was counted."""
    written, count = _troubles.get((account.id, kind), (float("-inf"), 0))
    _troubles[account.id, kind] = (written, count + 1)
    return time.monotonic() - written >= _TROUBLE_SECONDS


async def _write_down(unit: UnitOfWork, account: ConnectedAccount, kind: TroubleKind) -> None:
    _, count = _troubles[account.id, kind]
    _troubles[account.id, kind] = (time.monotonic(), 0)
    await fault_rows.note_trouble(unit.session, unit.tenant_id, account.id, kind, utc_now(), count)


async def book(
    store: Store,
    account: ConnectedAccount,
    notice: WebhookNotice,
    cause: Cause | None = None,
    *,
    sealed: bytes | None = None,
) -> Taken:
    """Put what a verified notice says in the books, once. Raises AccountChanged when the secrets are not `sealed`."""
    if notice.kind == "ping":
        return Taken("ping", account.vendor)
    if notice.kind == "buyer-deleted":  # before it is marked as taken: cut off in between, it comes again
        await erasure.forget_deleted_account(store, AccountRef(account.id, account.vendor), notice.buyer_ids, cause)
    # our own writes come back as notices about listings: one look a while serves for all of them
    if notice.kind == "listing" and time.time() < _looked.get(account.id, 0.0):
        return Taken("ignored", account.vendor)
    async with store.unit(account.tenant_id, cause) as unit:
        fresh = await rows.insert_delivery(
            unit.session,
            account.tenant_id,
            account.id,
            notice.dedup_key,
            notice.topic,
            sealed=sealed,
            order_id=notice.resource_id if notice.kind == "order" else "",
            changed_at=notice.modified_at,
        )
        if not fresh:
            if sealed is not None and not await rows.holds_secrets(unit.session, account.id, sealed):
                raise AccountChanged("the account has changed meanwhile")
            if notice.kind == "order":
                first = await fault_rows.delivered_at(unit.session, account.id, notice.dedup_key)
                old = first is not None and utc_now() - first > timedelta(seconds=REPLAY)
                await _count(unit, account, "replay" if old else "duplicate")
            return Taken("duplicate", account.vendor)
        if notice.kind == "order" and notice.order is not None and not notice.deleted:
            await ingest_order(unit, AccountRef(account.id, account.vendor), notice.order)
            return Taken("accepted", account.vendor)
        if notice.kind == "buyer-deleted":
            return Taken("accepted", account.vendor)
        check = _check(account, notice)
        if check is None:
            return Taken("ignored", account.vendor)
        if isinstance(check, ListingCheckDue):
            apart = seconds_apart(await listing_rows.count_active(unit.session, account.id))
            period = int(time.time() // apart)
            unit.emit(check, dedup_key=f"told:{account.id}:{apart:g}:{period}")
        else:
            unit.emit(check)
    if isinstance(check, ListingCheckDue):
        _looked[account.id] = (period + 1) * apart
    return Taken("accepted", account.vendor)


def seconds_apart(listings: int) -> float:
    """How long apart looks at so many listings are that notices ask for: at least what a look may take, in powers of
    two of half a minute, so that one listing more does not begin another period."""
    wanted = max(1.0, listings / _LISTINGS_A_SECOND / _LOOK_SECONDS)
    return float(_LOOK_SECONDS * 2 ** math.ceil(math.log2(wanted)))


def _check(account: ConnectedAccount, notice: WebhookNotice) -> ChannelCheckDue | ListingCheckDue | None:
    """What to look at when the notice does not bring the whole fact with it."""
    if notice.kind == "order":
        return ChannelCheckDue(account_id=account.id, vendor=account.vendor)
    if notice.kind == "listing":
        return ListingCheckDue(account_id=account.id, vendor=account.vendor)
    return None
