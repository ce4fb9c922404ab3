"""Statements that draw decisions to be graded, and write down what came of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.commands import EndorseDecision
from flipsync.domain.events import SettingsChanged
from flipsync.domain.ids import first_id_at, new_id
from flipsync.domain.steering_commands import SetTarget
from flipsync.store.models import AgentDecision, AgentStanding, DecisionOutcome, DecisionTally, GradedThrough, Proposal


async def begin(session: AsyncSession, tenant_id: UUID, start: datetime) -> UUID:
    """Up to which decision the journal was gone through; nobody else goes on until the transaction ends."""
    first = {"id": new_id(), "tenant_id": tenant_id, "decision_id": first_id_at(start)}
    await session.execute(pg_insert(GradedThrough).values(first).on_conflict_do_nothing(index_elements=["tenant_id"]))
    query = select(GradedThrough.decision_id).where(GradedThrough.tenant_id == tenant_id).with_for_update()
    return (await session.execute(query)).scalar_one()


async def went_through(session: AsyncSession, tenant_id: UUID, until: UUID, at: datetime) -> None:
    where = GradedThrough.tenant_id == tenant_id
    await session.execute(update(GradedThrough).where(where).values(decision_id=until, at=at))


async def page_end(
    session: AsyncSession, tenant_id: UUID, after: UUID, until: datetime, size: int
) -> tuple[UUID, bool]:
    """The last decision of the next page, and whether there is more after it. `until` is wall clock."""
    last = first_id_at(until)
    query = (
        select(AgentDecision.id)
        .where(AgentDecision.tenant_id == tenant_id, AgentDecision.id > after, AgentDecision.id < last)
        .order_by(AgentDecision.id)
        .offset(size - 1)
        .limit(1)
    )
    end = (await session.execute(query)).scalar_one_or_none()
    return (end, True) if end is not None else (max(last, after), False)


@dataclass(frozen=True)
class Drawn:
    """A proposal of a page, drawn by lot among its like; `made` is how many of these there were."""

    agent: str
    command: str | None
    fact: str
    made: int
    decision_id: UUID
    proposal_id: UUID | None
    confidence: float
    decided_at: datetime


#: a target has a probability of its own; everything else is as sure as its decision
_CONFIDENCE = (
    f"CASE WHEN {{p}}.command = '{SetTarget.type_name()}' THEN ({{p}}.payload->>'probability')::float8"
    " ELSE {d}.confidence END"
)
_DRAW = text(
    f"""
    SELECT agent, command, fact, made, decision_id, proposal_id, confidence, occurred_at FROM (
        SELECT d.agent, p.command, t.fact, d.id AS decision_id, p.id AS proposal_id,
               {_CONFIDENCE.format(p="p", d="d")} AS confidence, e.occurred_at,
               count(*) OVER alike AS made,
               row_number() OVER (alike ORDER BY uuid_hash(COALESCE(p.id, d.id)), p.id) AS lot
          FROM agent_decision d
          JOIN event e ON e.id = d.event_id
          LEFT JOIN proposal p ON p.decision_id = d.id
         CROSS JOIN LATERAL (SELECT CASE WHEN e.type = ANY(:telling) THEN e.type ELSE '' END AS fact) t
         WHERE d.tenant_id = :tenant_id AND d.id > :after AND d.id <= :until
        WINDOW alike AS (PARTITION BY d.agent, p.command, t.fact)) AS page
     WHERE lot <= :most
    """  # noqa: S608 - made of constants
)


async def draw(
    session: AsyncSession, tenant_id: UUID, after: UUID, until: UUID, telling: Collection[str], most: int
) -> list[Drawn]:
    """At most so many proposals of each agent, command and telling fact, decided after `after` and up to `until`."""
    values = {"tenant_id": tenant_id, "after": after, "until": until, "telling": list(telling), "most": most}
    return [Drawn(*row) for row in await session.execute(_DRAW, values)]


async def count(session: AsyncSession, tenant_id: UUID, made: Mapping[tuple[str, str], int]) -> None:
    """Add to what agents have made of each kind."""
    if not made:
        return
    insert = pg_insert(DecisionTally)
    rows = [
        {"id": new_id(), "tenant_id": tenant_id, "agent": agent, "kind": kind, "made": number}
        for (agent, kind), number in sorted(made.items())
    ]
    await session.execute(
        insert.values(rows).on_conflict_do_update(
            index_elements=["tenant_id", "agent", "kind"], set_={"made": DecisionTally.made + insert.excluded.made}
        )
    )


async def enrol(session: AsyncSession, tenant_id: UUID, rows: Sequence[dict[str, Any]]) -> None:
    """Have proposals graded when they are due; one that is enrolled already stays as it is."""
    if rows:
        full = [{"id": new_id(), "tenant_id": tenant_id, "state": "waiting", "why": "", **row} for row in rows]
        insert = pg_insert(DecisionOutcome).values(full)
        await session.execute(insert.on_conflict_do_nothing(index_elements=["proposal_id"]))


_ENDORSED = text(
    f"""
    SELECT t.agent, q.command, CASE WHEN e.type = ANY(:telling) THEN e.type ELSE '' END AS fact, 0 AS made,
           t.id AS decision_id, q.id AS proposal_id, {_CONFIDENCE.format(p="q", d="t")} AS confidence,
           e.occurred_at
      FROM proposal p
      JOIN agent_decision t ON t.id = (p.payload->>'decision_id')::uuid
      JOIN event e ON e.id = t.event_id
     CROSS JOIN LATERAL (SELECT q.id, q.command, q.payload FROM proposal q
                          WHERE q.decision_id = t.id ORDER BY q.ordinal LIMIT 20) q
     WHERE p.id = ANY(:proposals) AND p.command = :endorse
    """  # noqa: S608 - made of constants
)


async def endorsed(session: AsyncSession, proposals: Collection[UUID], telling: Collection[str]) -> list[Drawn]:
    """What was let go ahead by these proposals, each decision's first twenty parts."""
    values = {"proposals": list(proposals), "telling": list(telling), "endorse": EndorseDecision.type_name()}
    return [Drawn(*row) for row in await session.execute(_ENDORSED, values)]


@dataclass(frozen=True)
class DueRow:
    """A proposal whose time has come, with what became of it on its way to the channel. Times are business time."""

    id: UUID
    decision_id: UUID
    agent: str
    kind: str
    confidence: float
    decided_at: datetime
    due_at: datetime
    command: str
    payload: dict[str, Any]
    subject_id: UUID
    verdict: str | None
    rule: str
    decision_state: str
    event_payload: dict[str, Any]
    answer: str | None
    approval_id: UUID | None
    effect_id: UUID | None
    effect_state: str | None
    proposal_id: UUID
    subject_kind: str
    fact: str


_DUE = text(
    """
    SELECT o.id, o.decision_id, o.agent, o.kind, o.confidence, o.decided_at, o.due_at, p.command, p.payload,
           p.subject_id, p.verdict, p.rule, d.state AS decision_state, e.payload AS event_payload, a.state AS answer,
           a.id AS approval_id, f.id AS effect_id, f.state AS effect_state,
           p.id AS proposal_id, p.subject_kind, e.type AS fact
      FROM decision_outcome o
      JOIN proposal p ON p.id = o.proposal_id
      JOIN agent_decision d ON d.id = o.decision_id
      JOIN event e ON e.id = d.event_id
      LEFT JOIN approval a ON a.decision_id = o.decision_id
      LEFT JOIN LATERAL (SELECT f.id, f.state FROM effect f WHERE f.proposal_id = p.id ORDER BY f.id DESC LIMIT 1) f
        ON true
     WHERE o.tenant_id = :tenant_id AND o.state = 'waiting' AND o.look_at <= :now
     ORDER BY o.look_at, o.id
     LIMIT :most
       FOR UPDATE OF o SKIP LOCKED
    """
)


async def due(session: AsyncSession, tenant_id: UUID, now: datetime, most: int) -> list[DueRow]:
    values = {"tenant_id": tenant_id, "now": now, "most": most}
    return [DueRow(*row) for row in await session.execute(_DUE, values)]


async def settle(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> None:
    """Write down what came of predictions: by `id`, the columns that change."""
    if rows:
        await session.execute(update(DecisionOutcome), rows)


_FORGET = text(
    """
    DELETE FROM decision_outcome WHERE id IN (
        SELECT id FROM decision_outcome
         WHERE tenant_id = :tenant_id AND state <> 'waiting' AND graded_at < :before ORDER BY id LIMIT :most)
    """
)


async def forget_before(session: AsyncSession, tenant_id: UUID, before: datetime, most: int) -> None:
    await session.execute(_FORGET, {"tenant_id": tenant_id, "before": before, "most": most})


@dataclass(frozen=True)
class GradedRow:
    agent: str
    kind: str
    decision_id: UUID
    confidence: float
    outcome: int
    due_at: datetime
    decided_at: datetime


_KNOWN = text(
    """
    SELECT agent, kind, decision_id, confidence, outcome, due_at, decided_at FROM (
        SELECT o.*, row_number() OVER (PARTITION BY agent, kind ORDER BY due_at DESC, id DESC) AS n
          FROM decision_outcome o
         WHERE o.tenant_id = :tenant_id AND o.state = 'known' AND o.drawn
           AND (:agent = '' OR o.agent = :agent)) AS newest
     WHERE n <= :most
     ORDER BY agent, kind, due_at, decision_id
    """
)


async def known(session: AsyncSession, tenant_id: UUID, agent: str | None, most: int) -> list[GradedRow]:
    """What is known of each agent and kind, the newest so many, in the order it came due."""
    values = {"tenant_id": tenant_id, "agent": agent or "", "most": most}
    return [GradedRow(*row) for row in await session.execute(_KNOWN, values)]


async def known_since(session: AsyncSession, kind: str, since: datetime | None) -> int:
    """How many of the sample's predictions of that kind, due after `since`, are known to have come true or not."""
    known = DecisionOutcome.kind == kind, DecisionOutcome.state == "known", DecisionOutcome.drawn
    query = select(func.count()).select_from(DecisionOutcome).where(*known)
    if since is not None:
        query = query.where(DecisionOutcome.due_at > since)
    return await session.scalar(query) or 0


async def states(session: AsyncSession, agent: str | None) -> dict[tuple[str, str], dict[str, int]]:
    """How many drawn proposals of each agent and kind are waiting, known, or can never be known."""
    one = DecisionOutcome
    query = (
        select(one.agent, one.kind, one.state, func.count()).where(one.drawn).group_by(one.agent, one.kind, one.state)
    )
    found: dict[tuple[str, str], dict[str, int]] = {}
    for who, kind, state, number in await session.execute(query if agent is None else query.where(one.agent == agent)):
        found.setdefault((who, kind), {})[state] = number
    return found


async def tallies(session: AsyncSession, agent: str | None) -> dict[tuple[str, str], int]:
    query = select(DecisionTally.agent, DecisionTally.kind, DecisionTally.made)
    rows = await session.execute(query if agent is None else query.where(DecisionTally.agent == agent))
    return {(row.agent, row.kind): row.made for row in rows}


async def reasons(session: AsyncSession, agent: str | None, most: int) -> list[tuple[str, str, str, int]]:
    """Why outcomes can never be known: agent, kind, reason, how often; the most frequent of each."""
    one = DecisionOutcome
    query = (
        select(one.agent, one.kind, one.why, func.count().label("n"))
        .where(one.drawn, one.state == "never")
        .group_by(one.agent, one.kind, one.why)
        .order_by(text("n DESC"), one.why)
        .limit(most)
    )
    rows = await session.execute(query if agent is None else query.where(one.agent == agent))
    return [(row[0], row[1], row[2], row[3]) for row in rows]


async def of_decisions(session: AsyncSession, ids: Collection[UUID]) -> Mapping[UUID, Sequence[DecisionOutcome]]:
    """What is known of decisions, by their id."""
    found: dict[UUID, list[DecisionOutcome]] = {}
    query = select(DecisionOutcome).where(DecisionOutcome.decision_id.in_(list(ids))).order_by(DecisionOutcome.id)
    for row in await session.scalars(query):
        found.setdefault(row.decision_id, []).append(row)
    return found


@dataclass(frozen=True)
class StandingRow:
    agent: str
    kind: str
    level: str
    trusted: float
    since: datetime
    reason: str


async def standings(session: AsyncSession) -> list[StandingRow]:
    one = AgentStanding
    query = select(one.agent, one.kind, one.level, one.trusted, one.since, one.reason).order_by(one.agent, one.kind)
    return [StandingRow(*row) for row in await session.execute(query)]


async def moves(session: AsyncSession) -> Sequence[Row[UUID, dict[str, Any]]]:
    """Every change of a standing that was carried out, oldest first: its decision and its command's payload."""
    query = select(Proposal.decision_id, Proposal.payload).join(AgentDecision, AgentDecision.id == Proposal.decision_id)
    carried_out = Proposal.command == "MoveAuthority", Proposal.verdict == "proceed"
    whose = AgentDecision.agent == "executive"  # by its index; nobody else moves authority
    return (await session.execute(query.where(whose, *carried_out).order_by(Proposal.decision_id))).all()


_SWITCHED = text(
    """
    SELECT id, (payload->'before'->>'grades.move_authority')::boolean,
           (payload->'after'->>'grades.move_authority')::boolean
      FROM event
     WHERE tenant_id = current_tenant() AND subject_kind = 'tenant' AND subject_id = current_tenant()
       AND type = :changed AND payload->'after' ? 'grades.move_authority'
     ORDER BY id
    """
)


async def switched(session: AsyncSession) -> list[tuple[UUID, bool, bool]]:
    """Changes of whether outcomes may move authority, oldest first: the fact's id, what it was, what it became."""
    rows = await session.execute(_SWITCHED, {"changed": SettingsChanged.type_name()})
    return [(row[0], row[1], row[2]) for row in rows]


_LIMITED = text(
    """
    SELECT id, payload->'before'
      FROM event
     WHERE tenant_id = current_tenant() AND subject_kind = 'tenant' AND subject_id = current_tenant()
       AND type = :changed AND payload->'after' @? '$.keyvalue() ? (@.key starts with "agents")'
     ORDER BY id
    """
)


async def limited(session: AsyncSession) -> list[tuple[UUID, dict[str, Any]]]:
    """Changes of the owner's limits of agents, oldest first: the fact's id, and settings by name as they were."""
    rows = await session.execute(_LIMITED, {"changed": SettingsChanged.type_name()})
    return [(row[0], {name: was for name, was in row[1].items() if name.startswith("agents")}) for row in rows]


async def move_standing(
    session: AsyncSession, tenant_id: UUID, agent: str, kind: str, was: str, values: dict[str, Any]
) -> bool:
    """Change a standing that still is `was` (none on record is "full"); False when it is not."""
    insert = pg_insert(AgentStanding).values(id=new_id(), tenant_id=tenant_id, agent=agent, kind=kind, **values)
    changed = insert.on_conflict_do_update(
        index_elements=["tenant_id", "agent", "kind"], set_=values, where=AgentStanding.level == was
    )
    if was != "full":
        where = AgentStanding.agent == agent, AgentStanding.kind == kind, AgentStanding.level == was
        moved = await session.execute(update(AgentStanding).where(*where).values(values).returning(AgentStanding.id))
        return moved.scalar() is not None
    return (await session.execute(changed.returning(AgentStanding.id))).scalar() is not None
