"""Rows of policies, their stages, and what they chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import OrderChoice, PolicyChoice, PolicyStage, PolicyVersion
from flipsync.store.sorting import Place, Sorts

ACTIVE = ("live", "canary", "shadow")
SORTS = Sorts(PolicyVersion.id, name=PolicyVersion.name, staged_at=PolicyVersion.staged_at)


async def put(session: AsyncSession, values: dict[str, Any]) -> UUID:
    """Keep a policy; the id of the one with this name and digest, kept before or now."""
    insert = pg_insert(PolicyVersion).values(id=new_id(), **values)
    await session.execute(insert.on_conflict_do_nothing(index_elements=["tenant_id", "name", "digest"]))
    same = PolicyVersion.name == values["name"], PolicyVersion.digest == values["digest"]
    return (await session.execute(select(PolicyVersion.id).where(*same))).scalar_one()


async def get(session: AsyncSession, policy_id: UUID) -> PolicyVersion | None:
    return (await session.execute(select(PolicyVersion).where(PolicyVersion.id == policy_id))).scalar_one_or_none()


async def find(session: AsyncSession, wanted: str) -> Sequence[PolicyVersion]:
    """By version, or by id; newest first."""
    query = select(PolicyVersion).order_by(PolicyVersion.id.desc())
    try:
        query = query.where(PolicyVersion.id == UUID(wanted))
    except ValueError:
        query = query.where(PolicyVersion.version == wanted)
    return (await session.execute(query)).scalars().all()


async def page(
    session: AsyncSession, place: Place, *, name: str | None = None, stage: str | None = None
) -> Sequence[Any]:
    """(policy,) and what a cursor is made of."""
    query = select(PolicyVersion)
    if name is not None:
        query = query.where(PolicyVersion.name == name)
    if stage is not None:
        query = query.where(PolicyVersion.stage == stage)
    return (await session.execute(place.put(query))).all()


async def active(session: AsyncSession, name: str, *, lock: bool = False) -> dict[str, PolicyVersion]:
    """The versions of a name that act or look on, by stage."""
    query = select(PolicyVersion).where(PolicyVersion.name == name, PolicyVersion.stage.in_(ACTIVE))
    rows = (await session.execute(query.with_for_update() if lock else query)).scalars()
    return {row.stage: row for row in rows}


async def stage_now(session: AsyncSession, policy_id: UUID) -> str:
    """The stage as it is committed, locked until the transaction ends."""
    query = select(PolicyVersion.stage).where(PolicyVersion.id == policy_id).with_for_update()
    return (await session.execute(query)).scalar_one()


async def newest_learned(session: AsyncSession, name: str) -> PolicyVersion | None:
    """The newest policy of a name, when it is a candidate that beat its baseline; older ones had their time."""
    query = select(PolicyVersion).where(PolicyVersion.name == name).order_by(PolicyVersion.id.desc()).limit(1)
    row = (await session.execute(query)).scalar_one_or_none()
    return row if row is not None and row.stage == "candidate" and row.scores.get("learned") else None


async def set_stage(
    session: AsyncSession,
    tenant_id: UUID,
    row: PolicyVersion,
    stage: str,
    *,
    reason: str,
    checks: list[Any],
    at: datetime,
) -> None:
    """Move a policy and write down that it was moved."""
    session.add(
        PolicyStage(
            tenant_id=tenant_id, policy_id=row.id, was=row.stage, becomes=stage, reason=reason, checks=checks, at=at
        )
    )
    await session.execute(update(PolicyVersion).where(PolicyVersion.id == row.id).values(stage=stage, staged_at=at))
    row.stage, row.staged_at = stage, at
    await session.flush()


async def stages(session: AsyncSession, policy_id: UUID) -> Sequence[PolicyStage]:
    query = select(PolicyStage).where(PolicyStage.policy_id == policy_id).order_by(PolicyStage.id)
    return (await session.execute(query)).scalars().all()


async def lived_before(session: AsyncSession, name: str, than: UUID) -> PolicyVersion | None:
    """The version that was live before this one first was, if any was."""
    went_live = PolicyStage.policy_id == than, PolicyStage.becomes == "live"
    first = select(PolicyStage.id).where(*went_live).order_by(PolicyStage.id).limit(1).scalar_subquery()
    query = (
        select(PolicyVersion)
        .join(PolicyStage, PolicyStage.policy_id == PolicyVersion.id)
        .where(PolicyVersion.name == name, PolicyStage.becomes == "live", PolicyStage.id < first)
        .order_by(PolicyStage.id.desc())
        .limit(1)
    )
    return (await session.execute(query)).scalar_one_or_none()


async def add_choices(
    session: AsyncSession, prices: Sequence[dict[str, Any]], orders: Sequence[dict[str, Any]] = ()
) -> None:
    """What policies chose: prices of listings, units of goods."""
    for table, rows in ((PolicyChoice, prices), (OrderChoice, orders)):
        if rows:
            await session.execute(pg_insert(table), [{"id": new_id(), **row} for row in rows])


@dataclass(frozen=True)
class ChoiceRow:
    """A choice with what its listing earned from it to the next one, at most a day: revenue less cost, minor units.

    Fees are known to the services: they take `units` at their mean price, and what one cost.
    """

    listing_id: UUID
    role: str
    policy_id: UUID | None
    rung: int
    chance: float
    at: datetime
    hours: float
    profit_minor: float
    #: what the shadow would have done then; None where none looked on
    shadow_rung: int | None
    shadow_id: UUID | None
    vendor: str = ""
    currency: str = ""
    units: int = 0
    revenue_minor: int = 0
    unit_cost_minor: int = 0
    #: the chance the canary had to be here; None where there was none, or it was not kept
    canary_share: float | None = None


_OUTCOMES = text(
    """
    WITH acted AS (
        SELECT c.*, COALESCE(LEAD(c.at) OVER (PARTITION BY c.listing_id ORDER BY c.at, c.id), :now) AS until
          FROM policy_choice c
         WHERE c.role <> 'shadow' AND c.at >= :since
    ), held AS (
        SELECT acted.*, LEAST(until, at + interval '1 day') AS ends FROM acted
    )
    SELECT h.listing_id, h.role, h.policy_id, h.rung, h.chance, h.at,
           (EXTRACT(EPOCH FROM h.ends - h.at) / 3600.0)::float8 AS hours,
           COALESCE(sold.revenue - sold.units * COALESCE(v.cost_minor, 0), 0)::float8 AS profit_minor,
           s.rung AS shadow_rung, s.policy_id AS shadow_id, a.vendor, l.currency,
           COALESCE(sold.units, 0)::bigint AS units, COALESCE(sold.revenue, 0)::bigint AS revenue_minor,
           COALESCE(v.cost_minor, 0) AS unit_cost_minor, h.canary_share
      FROM held h
      JOIN listing l ON l.id = h.listing_id
      JOIN variant v ON v.id = l.variant_id
      JOIN marketplace_account a ON a.id = l.account_id
      LEFT JOIN policy_choice s
        ON s.decision_id = h.decision_id AND s.listing_id = h.listing_id AND s.role = 'shadow'
      LEFT JOIN LATERAL (
           SELECT SUM(line.total_minor) AS revenue, SUM(line.quantity) AS units
             FROM order_line line
             JOIN customer_order o ON o.id = line.order_id
            WHERE line.listing_id = h.listing_id AND o.holds_stock AND line.quantity > 0
              AND o.placed_at >= h.at AND o.placed_at < h.ends
      ) sold ON true
     WHERE h.ends > h.at
     ORDER BY h.at, h.id
    """
)


async def outcomes(session: AsyncSession, *, since: datetime, now: datetime) -> list[ChoiceRow]:
    """Choices that acted since then, with what came of them; oldest first."""
    return [ChoiceRow(*row) for row in await session.execute(_OUTCOMES, {"since": since, "now": now})]


async def choices_since(session: AsyncSession, since: datetime) -> int:
    query = select(func.count()).select_from(PolicyChoice).where(PolicyChoice.at >= since)
    return int((await session.execute(query)).scalar_one())


@dataclass(frozen=True)
class LookedOn:
    """What a shadow said of goods that were bought or that it would have bought."""

    lines: int
    units: int
    shipped_units: int


async def looked_on(session: AsyncSession, policy_id: UUID) -> LookedOn:
    query = select(
        func.count(),
        func.coalesce(func.sum(OrderChoice.units), 0),
        func.coalesce(func.sum(OrderChoice.shipped_units), 0),
    ).where(OrderChoice.policy_id == policy_id, OrderChoice.role == "shadow")
    lines, units, shipped = (await session.execute(query)).one()
    return LookedOn(int(lines), int(units), int(shipped))


@dataclass(frozen=True)
class GoodsDays:
    """A good with the supplier it is cheapest at: what it earned by day (margin after fees), and what lay on the shelf.

    `began` is on the shelf at the beginning, `moved` what changed by day. Days count from the beginning.
    """

    stock_item_id: UUID
    supplier_id: UUID
    unit_cost_minor: int
    first_moved: datetime
    began: int
    moved: dict[int, int]
    earned: dict[int, float]


_EARNED_GOODS = text(
    """
    WITH picked AS (
        SELECT DISTINCT ON (o.variant_id) o.variant_id, o.supplier_id
          FROM supplier_offer o JOIN supplier s ON s.id = o.supplier_id
         WHERE o.tenant_id = current_tenant() AND s.active
         ORDER BY o.variant_id, o.pack_cost_minor::float8 / o.pack_units, s.lead_mean_days, o.id)
    SELECT i.id, p.supplier_id, coalesce(v.cost_minor, 0), min(m.at),
           coalesce(sum(m.on_hand_delta) FILTER (WHERE m.at < :since), 0)::bigint
      FROM picked p
      JOIN variant v ON v.id = p.variant_id
      JOIN stock_item i ON i.variant_id = v.id AND i.pool = 'own'
      JOIN stock_movement m ON m.stock_item_id = i.id
     WHERE i.tenant_id = current_tenant() AND m.at < :until
     GROUP BY i.id, p.supplier_id, v.cost_minor
    """
)
_MOVED = text(
    """
    SELECT stock_item_id, floor(extract(epoch FROM at - :since) / 86400)::int, sum(on_hand_delta)::bigint
      FROM stock_movement
     WHERE tenant_id = current_tenant() AND at >= :since AND at < :until AND on_hand_delta <> 0 GROUP BY 1, 2
    """
)
_EARNED = text(
    """
    SELECT i.id, d.day - CAST(:day AS date), sum(d.goods + d.shipping - d.refunds_before_tax - d.fees - d.cost)::float8
      FROM sku_day d
      JOIN variant v ON v.tenant_id = d.tenant_id AND v.sku = d.sku AND v.currency = d.currency
      JOIN stock_item i ON i.variant_id = v.id AND i.pool = 'own'
     WHERE d.tenant_id = current_tenant() AND d.day >= CAST(:day AS date) AND d.day < CAST(:last AS date) GROUP BY 1, 2
    """
)


async def goods_days(session: AsyncSession, since: datetime, until: datetime) -> list[GoodsDays]:
    """All goods that suppliers offer, by id."""
    moments = {"since": since, "until": until}
    goods = {}
    for item, supplier, cost, first, began in await session.execute(_EARNED_GOODS, moments):
        goods[item] = GoodsDays(item, supplier, cost, first, began, {}, {})
    for item, day, units in await session.execute(_MOVED, moments):
        if item in goods:
            goods[item].moved[day] = units
    for item, day, minor in await session.execute(_EARNED, {"day": since.date(), "last": until.date()}):
        if item in goods:
            goods[item].earned[day] = minor
    return [goods[each] for each in sorted(goods)]
