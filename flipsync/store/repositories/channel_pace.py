"""What is measured of accounts' pace: sale → in our books → shown elsewhere, and what listings sell in their time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import ChannelPace
from flipsync.store.unit_of_work import UnitOfWork

_MOST_SALES, _MOST_LISTINGS = 4_000, 20_000

# Orders that were there before the account was connected say nothing of how soon we hear. A clock that runs ahead of
# ours by less than a minute counts as no delay.
_TOLD = text(
    """
    SELECT greatest(0, extract(epoch FROM o.created_at - o.placed_at))::float8
      FROM customer_order o JOIN marketplace_account m ON m.id = o.account_id
     WHERE o.account_id = :account_id AND o.placed_at >= greatest(:since, m.created_at)
       AND o.placed_at <= o.created_at + interval '1 minute'
     ORDER BY o.placed_at DESC LIMIT :most
    """
)
# A sale elsewhere in our books → the first confirmed write to the listing that was decided on it or after it. What
# nobody could write yet counts as long as it has taken so far.
_SHOWN = text(
    """
    SELECT greatest(0, extract(epoch FROM coalesce(shown.at, now()) - told.recorded_at))::float8
      FROM (SELECT e.id, e.subject_id, e.proposal_id FROM effect e
             WHERE e.tenant_id = :tenant_id AND e.account_id = :account_id AND e.command = 'SetChannelQuantity'
               AND e.created_at >= :since
             ORDER BY e.id DESC LIMIT :most) w
      JOIN proposal p ON p.tenant_id = :tenant_id AND p.id = w.proposal_id
      JOIN agent_decision d ON d.tenant_id = :tenant_id AND d.id = p.decision_id
      JOIN event told ON told.tenant_id = :tenant_id AND told.id = d.event_id
      LEFT JOIN LATERAL (
        SELECT min(n.finished_at) AS at FROM effect n
         WHERE n.tenant_id = :tenant_id AND n.subject_kind = 'listing' AND n.subject_id = w.subject_id AND n.id >= w.id
           AND n.command = 'SetChannelQuantity' AND n.state = 'confirmed') shown ON true
     WHERE told.type = 'StockMoved' AND told.payload ->> 'kind' = 'reserve'
    """
)
_SELLING = text(
    """
    SELECT a.stock_item_id, l.account_id, a.sold,
           a.shown_seconds + coalesce(extract(epoch FROM now() - a.shown_since), 0)::float8
      FROM allocation a JOIN listing l ON l.id = a.listing_id
     WHERE a.shown_seconds > 0 OR a.shown_since IS NOT NULL
     ORDER BY a.updated_at DESC LIMIT :most
    """
)


async def delays(unit: UnitOfWork, account_id: UUID, since: datetime) -> tuple[list[float], list[float]]:
    """Seconds sale → in our books, and sale elsewhere in our books → shown, of an account's newest sales since then."""
    values = {"tenant_id": unit.tenant_id, "account_id": account_id, "since": since, "most": _MOST_SALES}
    told = await unit.session.scalars(_TOLD, values)
    shown = await unit.session.scalars(_SHOWN, values)
    return list(told), list(shown)


async def selling(session: AsyncSession) -> list[tuple[UUID, UUID, int, float]]:
    """Stock item, account, units sold and seconds on show of each listing; of many, those that moved last."""
    return [(*row,) for row in await session.execute(_SELLING, {"most": _MOST_LISTINGS})]


async def keep(
    unit: UnitOfWork,
    account_id: UUID,
    *,
    told: tuple[int, Sequence[float]],
    shown: tuple[int, Sequence[float]],
    weight: float,
    demand: Sequence[tuple[float, float, float]],
) -> None:
    """Write an account's pace over what was measured before.

    `told` and `shown`: how many sales, and their delays as points. `demand`: share, shape and seconds of each Gamma.
    """
    shares, shapes, seconds = (list(each) for each in zip(*demand, strict=True))
    row: dict[str, Any] = {
        "account_id": account_id,
        "told_sales": told[0],
        "told_seconds": list(told[1]),
        "shown_sales": shown[0],
        "shown_seconds": list(shown[1]),
        "demand_weight": weight,
        "demand_shares": shares,
        "demand_shapes": shapes,
        "demand_seconds": seconds,
        "measured_at": unit.now,
    }
    made = insert(ChannelPace).values(id=new_id(), tenant_id=unit.tenant_id, **row)
    await unit.session.execute(made.on_conflict_do_update(index_elements=["account_id"], set_=row))


async def all_of_tenant(session: AsyncSession) -> Sequence[ChannelPace]:
    return (await session.scalars(select(ChannelPace))).all()
