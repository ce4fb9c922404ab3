"""Follows buyers without their names: orders under a pseudonym that is worth nothing outside this business's books.

A pseudonym is made with a key of the business (HMAC) from what one account's channel calls the buyer: the channel's own
name for them, else the mail address it tells. Amazon's buyers are not followed: their data may be kept for 30 days at
most. Who was forgotten, or is to be, is not followed either: their rows go in the transaction that forgets them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flipsync.store.repositories import customers as rows
from flipsync.store.unit_of_work import UnitOfWork

#: channels whose buyers may not be followed
NOT_FOLLOWED = ("amazon",)
_LONGEST_NAME = 320


@dataclass(frozen=True)
class Followed:
    """An order that earns money and whose buyer is known; `name` is what never leaves the count."""

    order_id: UUID
    account_id: UUID
    name: str
    day: str
    currency: str
    net: int


def name_of(vendor: str, order: Any) -> str | None:
    """What the channel always calls this buyer by, in one spelling; None where they are not to be followed."""
    if vendor in NOT_FOLLOWED or order.to_be_forgotten:
        return None
    name = (order.buyer_id or order.email).strip().lower()
    return name if name and len(name) <= _LONGEST_NAME else None


def pseudonym(key: bytes, account_id: UUID, name: str) -> UUID:
    made = hmac.new(key, account_id.bytes + name.encode(errors="surrogatepass"), hashlib.sha256)
    return UUID(bytes=made.digest()[:16])


async def follow(
    unit: UnitOfWork, order_ids: Sequence[UUID], followed: Sequence[Followed], *, counted: bool = True
) -> None:
    """Of these orders, just these are followed now; sums and cohorts of their buyers follow.

    `counted`: some may have been followed before. Whoever calls holds the business's count (sales_facts).
    """
    sales: list[dict[str, Any]] = []
    if followed:
        key = await rows.key(unit, secrets.token_bytes(32))
        sales = [
            {
                "order_id": each.order_id,
                "account_id": each.account_id,
                "buyer": pseudonym(key, each.account_id, each.name),
                "day": each.day,
                "currency": each.currency,
                "net": each.net,
            }
            for each in followed
        ]
    buyers = {sale["buyer"] for sale in sales}
    if counted:
        buyers |= await rows.buyers_of(unit.session, order_ids)
    if buyers:
        await rows.replace(unit, order_ids, sales, sorted(buyers))


async def doubt_forgotten(unit: UnitOfWork) -> None:
    """Tombstones were laid for books that did not know them: nobody they name is followed after the next count."""
    await rows.doubt_forgotten(unit.session)


async def forget(unit: UnitOfWork, order_ids: Sequence[UUID], *, erased: bool) -> None:
    """Nobody is followed by these orders any more, from this transaction on.

    A count that reads them meanwhile has to look again: the database sees to it where the orders are `erased`.
    """
    if not order_ids:
        return
    if await rows.hold(unit):
        await follow(unit, order_ids, ())
    if not erased:
        await rows.look_again(unit, order_ids)
