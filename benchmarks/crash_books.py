"""The channels' own books against ours, as far as refunds go; and the runs of an automation against what began them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text
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
        # what a channel gave back in full by itself was not asked for by us
        if not (order["status"] == "refunded" and order["external_id"] not in wanted)
        and order["refunded_minor"] != wanted.get(order["external_id"], 0)
    ]
    return RefundsTold(len(wanted), wrong)


_SHELVES = text(
    """
    SELECT v.sku, i.on_hand, i.reserved, i.allocated, i.pending_count,
           coalesce(sum(m.on_hand_delta) FILTER (WHERE m.kind = 'receive'), 0)::bigint AS received,
           string_agg(m.kind || ' ' || m.on_hand_delta || '/' || m.reserved_delta || ' ' || left(m.key, 24), ', '
                      ORDER BY m.id) AS moves
      FROM stock_item i JOIN variant v ON v.id = i.variant_id JOIN stock_movement m ON m.stock_item_id = i.id
     GROUP BY v.sku, i.id
    """
)


async def units_astray(session: AsyncSession, truth: dict[str, Any]) -> list[str]:
    """Shelves that do not hold what was received and not sold, with all that moved there."""
    return [
        f"{row.sku}: {row.received} received, {held} sold, {row.on_hand} on the shelf with {row.reserved} of buyers"
        f" and {row.allocated} of channels, counted {row.pending_count}: {row.moves}"
        for row in await session.execute(_SHELVES)
        if row.received - (held := truth["skus"].get(row.sku, {}).get("units_held", 0)) != row.on_hand - row.reserved
    ]


#: what the business has done each time a listing is published: a step that goes out to the channel, and one after it
AUTOMATION: dict[str, Any] = {
    "name": "look-when-published",
    "trigger": {
        "event": "ListingPublished",
        "where": {"all": [{"field": "vendor", "op": "eq", "value": "custom"}]},
    },
    "steps": [{"do": "check-channel"}, {"do": "tell", "message": "it was looked at"}],
    "per_hour": 5_000,
}
_RUNS = text(
    """
    SELECT (SELECT count(*) FROM event WHERE type = 'ListingPublished' AND payload->>'vendor' = 'custom')
               AS facts,
           (SELECT count(*) FROM event WHERE type = 'WorkflowEnded') AS told,
           (SELECT count(*) FROM workflow_run) AS runs,
           (SELECT count(*) FROM workflow_run WHERE state = 'done') AS done,
           (SELECT count(*) FROM workflow_step WHERE state = 'done' AND NOT undo
               AND jsonb_array_length(facts) = CASE kind WHEN 'tell' THEN 0 ELSE 2 END) AS steps
    """
)


async def automations_wrong(session: AsyncSession) -> list[str]:
    """One run for each fact that triggers it, each step of each done once; what is not so, in words."""
    row = (await session.execute(_RUNS)).one()
    wanted = {"runs": row.facts, "done": row.facts, "told": row.facts, "steps": 2 * row.facts}
    return [
        f"automations: {getattr(row, name)} {name} for {row.facts} facts"
        for name, count in wanted.items()
        if getattr(row, name) != count
    ]
