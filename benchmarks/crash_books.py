"""The channels' own books against ours, as far as refunds go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.store.models import (
    Order,
    RefundRequest,
)


@dataclass(frozen=True)
class RefundsTold:
    """How many orders money was asked back for, and in words where the buyer has more or less than that."""

    refunds: int
    wrong: list[str]


async def compare_refunds(session: AsyncSession, truth: dict[str, Any]) -> RefundsTold:
    """What buyers have, by the channels' books, is what was asked for, once. What was refused was not given."""
    asked = await session.execute(
        select(Order.external_id, func.sum(RefundRequest.amount_minor))
        .join(RefundRequest, RefundRequest.order_id == Order.id)
        .where(RefundRequest.state != "refused")
        .group_by(Order.external_id)
    )
    wanted = {row[0]: int(row[1]) for row in asked}
    wrong = [
        f"order {order['external_id']}: {order['refunded_minor']} given back there,"
        f" {wanted.get(order['external_id'], 0)} asked for"
        for order in truth["orders"]
        if order["refunded_minor"] != wanted.get(order["external_id"], 0)
    ]
    return RefundsTold(len(wanted), wrong)
