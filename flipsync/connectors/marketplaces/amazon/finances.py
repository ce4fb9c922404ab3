"""What was paid and given back (Finances API 2024-06-19): Amazon's orders themselves do not tell of refunds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from flipsync.connectors.marketplaces.amazon import wire_money
from flipsync.connectors.marketplaces.amazon.api import SellerApi
from flipsync.connectors.marketplaces.amazon.rows import pages
from flipsync.connectors.unread import Rows
from flipsync.domain.channel import ChannelRefund
from flipsync.domain.clock import require_utc
from flipsync.domain.errors import Rejected
from flipsync.domain.money import Money

_REFUND = "refund"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One movement of money. `total` is what it adds to the seller's balance: negative for a refund.

    A `deferred` one moves no money yet, or stands for one that has: it is told again, under another id, once it does.
    """

    id: str
    kind: str
    order_id: str | None
    total: Money
    posted_at: datetime
    deferred: bool = False

    @property
    def is_refund(self) -> bool:
        return self.kind.casefold() == _REFUND and self.total.amount_minor < 0 and not self.deferred


async def transactions(
    api: SellerApi, *, since: datetime | None = None, order_id: str | None = None
) -> AsyncIterator[Transaction]:
    """Movements posted at or after `since`, or those of one order; one of the two is needed. Raises Unreadable for
    those that cannot be read, once all others were told."""
    aside = rows_of_money()
    async for row in _rows(api, aside, since=since, order_id=order_id):
        if (movement := aside.read(transaction, row)) is not None:
            yield movement
    aside.tell()


def rows_of_money() -> Rows:
    """Where movements go that cannot be read."""
    return Rows("movements of money", "transactionId")


async def _rows(
    api: SellerApi, aside: Rows, *, since: datetime | None = None, order_id: str | None = None
) -> AsyncIterator[wire_money.Transaction]:
    if (since is None) == (order_id is None):
        raise Rejected("ask for a time or for an order", vendor_code="request")
    query = [("marketplaceId", api.marketplace_id)]
    if since is not None:
        query.append(("postedAfter", require_utc(since).isoformat().replace("+00:00", "Z")))
    if order_id is not None:
        query += [("relatedIdentifierName", "ORDER_ID"), ("relatedIdentifierValue", order_id)]
    decode = partial(wire_money.TransactionPage.model_validate, context=aside.context)

    async def ask(token: str | None) -> wire_money.TransactionPage:
        params = [*query, *([("nextToken", token)] if token else [])]
        return await api.call("listTransactions", decode, params=params)

    async for page in pages(ask, lambda page: page.payload.next_token):
        for row in page.payload.transactions:
            yield row


async def _refunds(api: SellerApi, aside: Rows, **wanted: Any) -> AsyncIterator[Transaction]:
    """What else moves money is not read: it hinders no refund."""
    async for row in _rows(api, aside, **wanted):
        if row.transaction_type.casefold() == _REFUND:
            movement = aside.read(transaction, row)
            if movement is not None and movement.is_refund:
                yield movement


async def refunds_of(api: SellerApi, order_id: str) -> list[ChannelRefund]:
    """What was given back for an order: what left our balance, so less the fees that Amazon gave back with it.

    Returned units are the seller's to put on sale again, or come back with the warehouse's report: none is restocked.
    """
    aside = rows_of_money()
    found = [_refund(row) async for row in _refunds(api, aside, order_id=order_id)]
    aside.tell()
    return found


async def refunds(api: SellerApi, since: datetime, aside: Rows) -> dict[str, list[ChannelRefund]]:
    """Order id to what was given back for it at or after `since`; what cannot be read goes `aside`."""
    found: dict[str, list[ChannelRefund]] = {}
    async for row in _refunds(api, aside, since=since):
        if row.order_id is not None:
            found.setdefault(row.order_id, []).append(_refund(row))
    return found


def _refund(row: Transaction) -> ChannelRefund:
    return ChannelRefund(external_id=row.id, amount=-row.total, created_at=row.posted_at)


def transaction(row: wire_money.Transaction) -> Transaction:
    """Raises ValueError for an amount its currency cannot have, and without amount or date."""
    if row.posted_date is None or row.total_amount is None:
        raise ValueError("it has no date or no amount")
    orders = [each.related_identifier_value for each in row.related_identifiers if each.is_order]
    posted = row.posted_date.astimezone(UTC)
    identity = row.transaction_id or "|".join((*orders, row.transaction_type, posted.isoformat()))
    return Transaction(
        identity,
        row.transaction_type,
        orders[0] if orders else None,
        row.total_amount.money(),
        posted,
        deferred=row.transaction_status.upper().startswith("DEFERRED"),
    )
