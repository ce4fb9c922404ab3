"""Webhooks taken in: whose they are, whether they are genuine, whether they are new; then into the books.

A repeat is known by its fact, not by its delivery id, which vendors reuse.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from flipsync.connectors.base import MarketplaceConnector
from flipsync.domain.channel import WebhookNotice
from flipsync.domain.errors import Conflict, NotFound
from flipsync.domain.events import ChannelCheckDue, ListingCheckDue
from flipsync.security.secrets import SecretBox
from flipsync.services.accounts import ConnectedAccount, load_account
from flipsync.services.orders import AccountRef, ingest_order
from flipsync.store.repositories import accounts as rows
from flipsync.store.unit_of_work import Cause, Store

Outcome = Literal["accepted", "duplicate", "ping", "ignored"]

_KEPT_SECONDS = 10.0
_KEPT_ACCOUNTS = 1024
_LOOK_SECONDS = 30.0
#: account → the period in which this process last asked for a look; bounded by the number of accounts
_looked: dict[UUID, int] = {}


@dataclass(frozen=True)
class Taken:
    """What became of a delivery."""

    outcome: Outcome
    vendor: str


class WebhookAddresses:
    """Callback token → account, remembered for a few seconds, so that a burst does not open the secrets each time."""

    def __init__(self, store: Store, box: SecretBox) -> None:
        self._store = store
        self._box = box
        self._known: OrderedDict[str, tuple[float, ConnectedAccount]] = OrderedDict()

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


async def take(
    store: Store,
    account: ConnectedAccount,
    connector: type[MarketplaceConnector],
    headers: Mapping[str, str],
    body: bytes,
    cause: Cause | None = None,
) -> Taken:
    """Verify and book one delivery, all or nothing. Raises Unauthenticated, InvalidInput."""
    secret = account.credentials.get(connector.signs_with, account.webhook_secret)
    notice = connector.parse_webhook(headers, body, secret, account.config)
    if notice.kind == "ping":
        return Taken("ping", account.vendor)
    # our own writes come back as notices about listings: one look a while serves for all of them
    period = int(time.time() // _LOOK_SECONDS)
    if notice.kind == "listing" and _looked.get(account.id) == period:
        return Taken("ignored", account.vendor)
    async with store.unit(account.tenant_id, cause) as unit:
        fresh = await rows.insert_delivery(unit.session, account.tenant_id, account.id, notice.dedup_key, notice.topic)
        if not fresh:
            return Taken("duplicate", account.vendor)
        if notice.kind == "order" and notice.order is not None and not notice.deleted:
            await ingest_order(unit, AccountRef(account.id, account.vendor), notice.order)
            return Taken("accepted", account.vendor)
        check = _check(account, notice)
        if check is None:
            return Taken("ignored", account.vendor)
        told_lately = f"told:{account.id}:{period}"
        unit.emit(check, dedup_key=told_lately if isinstance(check, ListingCheckDue) else None)
    if notice.kind == "listing":
        _looked[account.id] = period
    return Taken("accepted", account.vendor)


def _check(account: ConnectedAccount, notice: WebhookNotice) -> ChannelCheckDue | ListingCheckDue | None:
    """What to look at when the notice does not bring the whole fact with it."""
    if notice.kind == "order":
        return ChannelCheckDue(account_id=account.id, vendor=account.vendor)
    if notice.kind == "listing":
        return ListingCheckDue(account_id=account.id, vendor=account.vendor)
    return None
