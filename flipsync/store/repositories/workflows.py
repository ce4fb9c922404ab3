"""Automations and their runs: statements of the engine and of those who write and read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.journal import WORKFLOWS
from flipsync.store.models import Workflow, WorkflowRun, WorkflowStep, WorkflowWatch
from flipsync.store.sorting import Place, Sorts
from flipsync.store.unit_of_work import UnitOfWork

CURRENT = ("active", "paused", "stopped")
SORTS = Sorts(Workflow.id, name=Workflow.name, changed_at=Workflow.changed_at)
RUN_SORTS = Sorts(WorkflowRun.id)

# -- what they are ----------------------------------------------------------------------------------------------------


async def current(session: AsyncSession, place: Place) -> Sequence[Any]:
    """(the version in force,) of each, and what a cursor is made of."""
    query = select(Workflow).where(Workflow.state.in_(CURRENT))
    return (await session.execute(place.put(query))).all()


async def current_named(session: AsyncSession, name: str) -> Workflow | None:
    return (
        await session.scalars(
            select(Workflow).where(Workflow.name == name, Workflow.state.in_(CURRENT)).with_for_update()
        )
    ).one_or_none()


_HOLD = text("SELECT pg_advisory_xact_lock(hashtextextended('workflows ' || CAST(:tenant_id AS text), 0))")


async def hold(unit: UnitOfWork) -> None:
    """One writer of a business's automations at a time, until the transaction ends."""
    await unit.session.execute(_HOLD, {"tenant_id": str(unit.tenant_id)})


async def get(session: AsyncSession, workflow_id: UUID, *, lock: bool = False) -> Workflow | None:
    return await session.get(Workflow, workflow_id, with_for_update=lock or None)


async def count_current(session: AsyncSession) -> int:
    return await session.scalar(select(func.count()).select_from(Workflow).where(Workflow.state.in_(CURRENT))) or 0


async def last_version(session: AsyncSession, name: str) -> int:
    return await session.scalar(select(func.max(Workflow.version)).where(Workflow.name == name)) or 0


async def add(unit: UnitOfWork, **columns: Any) -> Workflow:
    row = Workflow(id=new_id(), tenant_id=unit.tenant_id, created_at=unit.now, changed_at=unit.now, **columns)
    unit.session.add(row)
    await unit.session.flush()
    return row


async def set_state(session: AsyncSession, workflow_id: UUID, state: str, now: datetime, note: str = "") -> None:
    await session.execute(
        update(Workflow).where(Workflow.id == workflow_id).values(state=state, note=note, changed_at=now)
    )


async def watch(
    unit: UnitOfWork,
    event_type: str,
    *,
    of_workflow: UUID | None = None,
    of_run: UUID | None = None,
    about: UUID | None,
) -> None:
    """Have the engine told of facts of this kind (about one thing, where it is said)."""
    unit.session.add(
        WorkflowWatch(
            tenant_id=unit.tenant_id, event_type=event_type, workflow_id=of_workflow, run_id=of_run, subject_id=about
        )
    )
    await unit.session.flush()


async def unwatch_workflow(session: AsyncSession, workflow_id: UUID) -> None:
    await session.execute(delete(WorkflowWatch).where(WorkflowWatch.workflow_id == workflow_id))


async def unwatch_run(session: AsyncSession, run_id: UUID) -> None:
    await session.execute(delete(WorkflowWatch).where(WorkflowWatch.run_id == run_id))


async def triggered(session: AsyncSession, event_type: str) -> Sequence[Workflow]:
    """Active ones that this kind of fact triggers, oldest first."""
    query = (
        select(Workflow)
        .join(WorkflowWatch, WorkflowWatch.workflow_id == Workflow.id)
        .where(WorkflowWatch.event_type == event_type, Workflow.state == "active")
        .order_by(Workflow.id)
    )
    return (await session.scalars(query)).all()


# -- their runs -------------------------------------------------------------------------------------------------------


async def begin_run(unit: UnitOfWork, **columns: Any) -> UUID | None:
    """A run of a workflow for a fact; None when that fact has had its run."""
    inserted = await unit.session.execute(
        insert(WorkflowRun)
        .values(tenant_id=unit.tenant_id, started_at=unit.now, state="running", step=0, why="", **columns)
        .on_conflict_do_nothing(index_elements=["workflow_id", "event_id"])
        .returning(WorkflowRun.id)
    )
    return inserted.scalar()


_LINE = text(
    """
    WITH RECURSIVE line (id, parent_id, name, depth) AS (
        SELECT r.id, r.parent_id, w.name, 1 FROM workflow_run r JOIN workflow w ON w.id = r.workflow_id WHERE r.id = :id
        UNION ALL
        SELECT r.id, r.parent_id, w.name, l.depth + 1
          FROM line l JOIN workflow_run r ON r.id = l.parent_id JOIN workflow w ON w.id = r.workflow_id
         WHERE l.depth < 20)
    SELECT name FROM line ORDER BY depth
    """
)


async def line_of(session: AsyncSession, run_id: UUID) -> list[str]:
    """The names of the automations that led to this run, its own first; empty when it is no run."""
    return list((await session.execute(_LINE, {"id": run_id})).scalars())


async def runs_since(session: AsyncSession, name: str, since: datetime, subject_id: UUID | None = None) -> int:
    """Runs of all versions of an automation since then, about one thing where it is said."""
    query = (
        select(func.count())
        .select_from(WorkflowRun)
        .join(Workflow, Workflow.id == WorkflowRun.workflow_id)
        .where(Workflow.name == name, WorkflowRun.started_at > since)
    )
    return await session.scalar(query if subject_id is None else query.where(WorkflowRun.subject_id == subject_id)) or 0


async def lock_run(session: AsyncSession, run_id: UUID) -> tuple[WorkflowRun, Workflow] | None:
    row = (
        await session.execute(
            select(WorkflowRun, Workflow)
            .join(Workflow, Workflow.id == WorkflowRun.workflow_id)
            .where(WorkflowRun.id == run_id)
            .with_for_update(of=WorkflowRun)
        )
    ).one_or_none()
    return None if row is None else (row[0], row[1])


async def run_state(session: AsyncSession, run_id: UUID) -> str | None:
    return await session.scalar(select(WorkflowRun.state).where(WorkflowRun.id == run_id))


async def steps_of(session: AsyncSession, run_id: UUID) -> Sequence[WorkflowStep]:
    query = select(WorkflowStep).where(WorkflowStep.run_id == run_id)
    return (await session.scalars(query.order_by(WorkflowStep.undo, WorkflowStep.id))).all()


async def add_step(unit: UnitOfWork, **columns: Any) -> WorkflowStep:
    row = WorkflowStep(
        id=new_id(), tenant_id=unit.tenant_id, began_at=unit.now, facts=[], detail=[], looks=0, why="", **columns
    )
    unit.session.add(row)
    await unit.session.flush()
    return row


async def runs_of(session: AsyncSession, name: str, place: Place, *, state: str | None = None) -> Sequence[Any]:
    """(run, version) of all versions of an automation, and what a cursor is made of."""
    query = (
        select(WorkflowRun, Workflow.version)
        .join(Workflow, Workflow.id == WorkflowRun.workflow_id)
        .where(Workflow.name == name)
    )
    if state is not None:
        query = query.where(WorkflowRun.state == state)
    return (await session.execute(place.put(query))).all()


async def get_run(session: AsyncSession, run_id: UUID) -> Row[WorkflowRun, Workflow] | None:
    return (
        await session.execute(
            select(WorkflowRun, Workflow)
            .join(Workflow, Workflow.id == WorkflowRun.workflow_id)
            .where(WorkflowRun.id == run_id)
        )
    ).one_or_none()


async def count_runs(session: AsyncSession, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """By name and state."""
    rows = await session.execute(
        select(Workflow.name, WorkflowRun.state, func.count())
        .join(Workflow, Workflow.id == WorkflowRun.workflow_id)
        .where(Workflow.name.in_(names))
        .group_by(Workflow.name, WorkflowRun.state)
    )
    found: dict[str, dict[str, int]] = {}
    for name, state, count in rows:
        found.setdefault(name, {})[state] = count
    return found


# -- the alarm clock --------------------------------------------------------------------------------------------------


_ALARM = text(
    f"""
    UPDATE agent_task SET state = 'pending', attempts = 0, finished_at = NULL,
           not_before = now() + make_interval(secs => :seconds)
     WHERE event_id = :event_id AND agent = '{WORKFLOWS}' AND state = 'done' AND epoch = :epoch
    """  # noqa: S608
)


async def set_alarm(session: AsyncSession, event_id: UUID, seconds: float, epoch: int) -> None:
    """The run whose task this is gets a turn after so many real seconds. This life of the engine has taken the task."""
    await session.execute(_ALARM, {"event_id": event_id, "seconds": seconds, "epoch": epoch})


_RING = text(
    f"""
    UPDATE agent_task t SET not_before = now()
      FROM workflow_run r
     WHERE r.id = ANY(:ids) AND r.tenant_id = :tenant_id AND t.event_id = r.began_id AND t.agent = '{WORKFLOWS}'
       AND t.state = 'pending' AND t.not_before > now()
    """  # noqa: S608
)


async def ring(unit: UnitOfWork, run_ids: Sequence[UUID]) -> None:
    """These runs get their turn at once."""
    if run_ids:
        await unit.session.execute(_RING, {"ids": list(run_ids), "tenant_id": unit.tenant_id})
        unit.wake.add(WORKFLOWS)


_TAKE_UP = text(
    f"""
    UPDATE agent_task SET state = 'pending', attempts = 0, not_before = now(), finished_at = NULL
     WHERE event_id = :event_id AND agent = '{WORKFLOWS}' AND state = 'failed'
    """  # noqa: S608
)


async def take_up_again(session: AsyncSession, event_id: UUID) -> None:
    """A run that was set aside gets a turn."""
    await session.execute(_TAKE_UP, {"event_id": event_id})


async def waiting_for(session: AsyncSession, event_type: str, subject_id: UUID) -> Sequence[UUID]:
    """Runs that wait for this kind of fact about this."""
    query = select(WorkflowWatch.run_id).where(
        WorkflowWatch.event_type == event_type,
        WorkflowWatch.subject_id == subject_id,
        WorkflowWatch.run_id.is_not(None),
    )
    return [run_id for run_id in await session.scalars(query) if run_id is not None]


# -- what came of what a step set going -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trace:
    """A fact and one thing that came of it: an agent's decision, its proposal, the effect with its last receipt."""

    fact_id: UUID
    open_tasks: int
    task_error: str | None
    decision_id: UUID | None
    decision_state: str | None
    rationale: str | None
    verdict: str | None
    reason: str | None
    effect_state: str | None
    detail: str | None


_TRACES = text(
    f"""
    SELECT f.id AS fact_id,
           (SELECT count(*) FROM agent_task t WHERE t.event_id = f.id AND t.agent <> '{WORKFLOWS}'
                AND t.state IN ('pending', 'leased'))::int AS open_tasks,
           (SELECT max(t.agent || ': ' || t.error) FROM agent_task t WHERE t.event_id = f.id AND t.state = 'failed')
               AS task_error,
           d.id AS decision_id, d.state AS decision_state, d.rationale, p.verdict, p.reason,
           e.state AS effect_state, r.detail
      FROM unnest(CAST(:ids AS uuid[])) AS f(id)
      JOIN event ev ON ev.id = f.id
      LEFT JOIN agent_decision d ON d.event_id = f.id
      LEFT JOIN proposal p ON p.decision_id = d.id
      LEFT JOIN effect e ON e.proposal_id = p.id
      LEFT JOIN LATERAL (SELECT detail FROM receipt WHERE effect_id = e.id ORDER BY attempt DESC LIMIT 1) r ON true
     ORDER BY f.id, d.id, p.ordinal
    """  # noqa: S608
)


async def traces(session: AsyncSession, fact_ids: Sequence[UUID]) -> list[Trace]:
    return [Trace(*row) for row in await session.execute(_TRACES, {"ids": list(fact_ids)})]


_HEARD = text(
    """
    SELECT id, payload FROM event
     WHERE tenant_id = :tenant_id AND subject_kind = :kind AND subject_id = :subject_id AND id > :after AND type = :type
     ORDER BY id LIMIT 100
    """
)


async def heard(
    unit: UnitOfWork, event_type: str, kind: str, subject_id: UUID, after: UUID
) -> list[tuple[UUID, dict[str, Any]]]:
    """Facts of a kind about one thing since then, oldest first (100 at most)."""
    values = {"tenant_id": unit.tenant_id, "kind": kind, "subject_id": subject_id, "after": after, "type": event_type}
    return [(row.id, row.payload) for row in await unit.session.execute(_HEARD, values)]


# -- what conditions ask about ----------------------------------------------------------------------------------------

_LISTED = """
    SELECT l.id, l.account_id, l.status, l.price_minor, l.currency, l.quantity_shown, l.sku, l.published_at, a.vendor,
           p.category, p.brand, v.cost_minor, v.price_minor AS variant_price_minor
      FROM listing l JOIN variant v ON v.id = l.variant_id JOIN product p ON p.id = v.product_id
      JOIN marketplace_account a ON a.id = l.account_id
"""
_LISTINGS = {
    "listing": text(f"{_LISTED} WHERE l.id = :id ORDER BY l.id LIMIT :most"),
    "stock_item": text(
        f"{_LISTED} JOIN stock_item s ON s.variant_id = v.id WHERE s.id = :id ORDER BY l.id LIMIT :most"
    ),
    "product": text(f"{_LISTED} WHERE p.id = :id ORDER BY l.id LIMIT :most"),
}
_GOODS = {
    "stock_item": text(
        "SELECT p.category, p.brand, v.cost_minor, v.price_minor FROM stock_item s JOIN variant v ON v.id ="
        " s.variant_id JOIN product p ON p.id = v.product_id WHERE s.id = :id"
    ),
    "product": text(
        "SELECT category, brand, NULL::bigint AS cost_minor, NULL::bigint AS price_minor FROM product WHERE id = :id"
    ),
}
_ORDER = text(
    "SELECT o.total_minor, o.currency, o.state,"
    " (SELECT coalesce(sum(l.quantity), 0) FROM order_line l WHERE l.order_id = o.id)::int AS units"
    " FROM customer_order o WHERE o.id = :id"
)


async def listings_of(session: AsyncSession, kind: str, subject_id: UUID, most: int) -> Sequence[Row[Any]]:
    """Listings of a listing, stock item or product, as far as a condition or a step needs them."""
    if kind not in _LISTINGS:
        return []
    return (await session.execute(_LISTINGS[kind], {"id": subject_id, "most": most})).all()


async def about(session: AsyncSession, kind: str, subject_id: UUID) -> dict[str, Any]:
    """What can be asked of a thing (domain.workflow_fields.ABOUT), as it is now."""
    if kind == "order":
        row = (await session.execute(_ORDER, {"id": subject_id})).one_or_none()
        return {} if row is None else {f"order.{name}": value for name, value in row._mapping.items()}
    found: dict[str, Any] = {}
    if kind in _GOODS:
        goods = (await session.execute(_GOODS[kind], {"id": subject_id})).one_or_none()
        if goods is None:
            return {}
        found = {"product.category": goods.category, "product.brand": goods.brand}
        found |= {"variant.cost_minor": goods.cost_minor, "variant.price_minor": goods.price_minor}
        rows = await listings_of(session, kind, subject_id, 200)
        return found | {"listings.active": sum(row.status == "active" for row in rows)}
    for row in await listings_of(session, kind, subject_id, 1):
        found = {f"listing.{name}": getattr(row, name) for name in ("status", "price_minor", "quantity_shown", "sku")}
        found |= {"product.category": row.category, "product.brand": row.brand}
        found |= {"variant.cost_minor": row.cost_minor, "variant.price_minor": row.variant_price_minor}
    return found


_HISTORY = text(
    """
    SELECT id, subject_kind, subject_id, payload, occurred_at FROM event
     WHERE tenant_id = :tenant_id AND id > :after AND type = :type ORDER BY id LIMIT :most
    """
)


async def history(
    session: AsyncSession, tenant_id: UUID, event_type: str, after: UUID, most: int
) -> Sequence[Row[Any]]:
    """Facts of a kind after an id, oldest first."""
    values = {"tenant_id": tenant_id, "after": after, "type": event_type, "most": most}
    return (await session.execute(_HISTORY, values)).all()


async def end_questions(session: AsyncSession, fact_ids: Sequence[UUID]) -> None:
    """Questions to a person that what these facts set going still waits for are closed: nobody needs the answer."""
    await session.execute(_END_QUESTIONS, {"ids": list(fact_ids)})


_END_QUESTIONS = text(
    """
    WITH asked AS (SELECT id FROM agent_decision
                    WHERE event_id = ANY(CAST(:ids AS uuid[])) AND state IN ('awaiting', 'escalated')),
         closed AS (UPDATE approval SET state = 'superseded'
                     WHERE decision_id IN (SELECT id FROM asked) AND state = 'open'),
         denied AS (UPDATE proposal SET verdict = 'deny', rule = 'cancelled', reason = 'the automation was cancelled'
                     WHERE decision_id IN (SELECT id FROM asked) AND (verdict IS NULL OR verdict = 'ask'))
    UPDATE agent_decision SET state = 'overruled' WHERE id IN (SELECT id FROM asked)
    """
)
