"""How decisions, proposals, effects, facts and tasks are written down: together, in one statement and one round trip.

Rows travel as JSON arrays, one a table. A statement has only the parts there are rows for: the API's role may not
touch the queues, and what is not there need not be planned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import orjson

from flipsync.domain.clock import utc_now
from flipsync.domain.ids import new_id
from flipsync.store.reading import Asked, Sentence

#: whose mailbox is the workflow engine's, and the priority of what is told to it
WORKFLOWS, WORKFLOW_PRIORITY = "workflows", 60


@dataclass
class ProposedCommand:
    """One command of a decision on its way into the books; verdict, rule and reason come from the gate."""

    decision_id: UUID
    ordinal: int
    command: str
    payload: dict[str, Any]
    subject_kind: str
    subject_id: UUID
    verdict: str | None = None
    rule: str = ""
    reason: str = ""
    id: UUID = field(default_factory=new_id)


@dataclass
class Page:
    """What one transaction has to write down. `events` bring their `tasks` along."""

    decisions: list[dict[str, Any]] = field(default_factory=list)
    #: what decisions read: id, packed (base64) or None, size
    notes: list[dict[str, Any]] = field(default_factory=list)
    proposals: list[ProposedCommand] = field(default_factory=list)
    #: written before they were judged; their verdicts follow
    verdicts: list[ProposedCommand] = field(default_factory=list)
    #: units of budgets by their slice
    spent: list[dict[str, Any]] = field(default_factory=list)
    #: parts of listings by whoever has them from now on
    leases: list[dict[str, Any]] = field(default_factory=list)
    #: unsent effects that newer ones make pointless
    superseded: list[dict[str, Any]] = field(default_factory=list)
    effects: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(vars(self).values())


_PARTS = {
    "decisions": """decided AS (
        INSERT INTO agent_decision (id, tenant_id, agent, agent_version, event_id, state, source, rationale, confidence,
                                    trusted, recalibration, stake_minor, stake_currency, alternatives, evidence,
                                    correlation_id, decided_at)
        SELECT d.id, :tenant_id, d.agent, d.agent_version, d.event_id, d.state, d.source, d.rationale, d.confidence,
               d.trusted, d.recalibration, d.stake_minor, d.stake_currency, d.alternatives, d.evidence,
               d.correlation_id, :recorded_at
          FROM json_to_recordset(CAST(:decisions AS json)) AS d(
               id uuid, agent text, agent_version text, event_id uuid, state text, source text, rationale text,
               confidence float8, trusted float8, recalibration jsonb, stake_minor bigint, stake_currency text,
               alternatives jsonb, evidence jsonb, correlation_id uuid))""",
    "notes": """noted AS (
        INSERT INTO decision_notes (id, tenant_id, packed, size)
        SELECT n.id, :tenant_id, decode(n.packed, 'base64'), n.size
          FROM json_to_recordset(CAST(:notes AS json)) AS n(id uuid, packed text, size bigint))""",
    "proposals": """proposed AS (
        INSERT INTO proposal (id, tenant_id, decision_id, ordinal, command, payload, subject_kind, subject_id, verdict,
                              rule, reason)
        SELECT p.id, :tenant_id, p.decision_id, p.ordinal, p.command, p.payload, p.subject_kind, p.subject_id,
               p.verdict, p.rule, p.reason
          FROM json_to_recordset(CAST(:proposals AS json)) AS p(
               id uuid, decision_id uuid, ordinal bigint, command text, payload jsonb, subject_kind text,
               subject_id uuid, verdict text, rule text, reason text))""",
    "verdicts": """judged AS (
        UPDATE proposal SET verdict = v.verdict, rule = v.rule, reason = v.reason
          FROM json_to_recordset(CAST(:verdicts AS json)) AS v(id uuid, verdict text, rule text, reason text)
         WHERE proposal.id = v.id)""",
    "spent": """paid AS (
        UPDATE budget_slice SET spent = spent + s.units
          FROM json_to_recordset(CAST(:spent AS json)) AS s(id uuid, units bigint)
         WHERE budget_slice.id = s.id AND budget_slice.tenant_id = :tenant_id)""",
    "leases": """leased AS (
        INSERT INTO listing_lease (id, tenant_id, listing_id, part, agent, rank, score, decision_id, until)
        SELECT l.id, :tenant_id, l.listing_id, l.part, l.agent, l.rank, l.score, l.decision_id, l.until
          FROM json_to_recordset(CAST(:leases AS json)) AS l(
               id uuid, listing_id uuid, part text, agent text, rank bigint, score float8, decision_id uuid,
               until timestamptz)
        ON CONFLICT (tenant_id, listing_id, part) DO UPDATE
           SET agent = excluded.agent, rank = excluded.rank, score = excluded.score,
               decision_id = excluded.decision_id, until = excluded.until)""",
    "superseded": """outrun AS (
        UPDATE effect SET state = 'superseded', finished_at = now()
          FROM json_to_recordset(CAST(:superseded AS json)) AS s(command text, subject_kind text, subject_id uuid)
         WHERE effect.tenant_id = :tenant_id AND effect.command = s.command AND effect.subject_kind = s.subject_kind
           AND effect.subject_id = s.subject_id AND effect.state = 'pending')""",
    "effects": """wanted AS (
        INSERT INTO effect (id, tenant_id, account_id, proposal_id, command, payload, subject_kind, subject_id, key,
                            priority, state, attempts, not_before, lease_owner, epoch, correlation_id, traceparent,
                            result, undo, created_at, finished_at)
        SELECT e.id, :tenant_id, e.account_id, e.proposal_id, e.command, e.payload, e.subject_kind, e.subject_id, e.key,
               e.priority, e.state, 0, :recorded_at, '', 0, e.correlation_id, e.traceparent, '{}', e.undo, :recorded_at,
               CASE WHEN e.state = 'superseded' THEN :recorded_at END
          FROM json_to_recordset(CAST(:effects AS json)) AS e(
               id uuid, account_id uuid, proposal_id uuid, command text, payload jsonb, subject_kind text,
               subject_id uuid, key text, priority bigint, state text, correlation_id uuid, traceparent text,
               undo jsonb)
        ON CONFLICT (tenant_id, key) DO NOTHING)""",
    # A fact that is known already brings neither a row nor tasks.
    "events": """fresh AS (
        INSERT INTO event (id, tenant_id, type, subject_kind, subject_id, payload, occurred_at, recorded_at,
                           causation_id, correlation_id, traceparent, dedup_key)
        SELECT e.id, :tenant_id, e.type, e.subject_kind, e.subject_id, e.payload, :occurred_at, :recorded_at,
               e.causation_id, e.correlation_id, e.traceparent, e.dedup_key
          FROM json_to_recordset(CAST(:events AS json)) AS e(
               id uuid, type text, subject_kind text, subject_id uuid, payload jsonb, causation_id uuid,
               correlation_id uuid, traceparent text, dedup_key text)
        ON CONFLICT (tenant_id, dedup_key) DO NOTHING
        RETURNING id, type, subject_id)""",
    "tasks": """made AS (
        INSERT INTO agent_task (id, tenant_id, agent, event_id, priority, state, attempts, not_before, epoch, error)
        SELECT t.id, :tenant_id, t.agent, t.event_id, t.priority, 'pending', 0, :recorded_at, 0, ''
          FROM json_to_recordset(CAST(:tasks AS json)) AS t(id uuid, agent text, event_id uuid, priority bigint)
          JOIN fresh ON fresh.id = t.event_id)""",
}
#: what automations want to be told of: a task for the engine, in the same transaction, so that no fact passes unseen.
#: Nobody else makes one for it, and the fact's id serves as its own.
_WATCHED = f"""told AS (
        INSERT INTO agent_task (id, tenant_id, agent, event_id, priority, state, attempts, not_before, epoch, error)
        SELECT f.id, :tenant_id, '{WORKFLOWS}', f.id, {WORKFLOW_PRIORITY}, 'pending', 0, :recorded_at, 0, ''
          FROM fresh f
         WHERE EXISTS (SELECT FROM workflow_watch w
                        WHERE w.tenant_id = :tenant_id AND w.event_type = f.type
                          AND (w.subject_id IS NULL OR w.subject_id = f.subject_id))
        RETURNING id)"""  # noqa: S608


@cache
def _statement(parts: tuple[str, ...]) -> Sentence:
    """One statement of these parts. Its foreign keys are checked when all of it is done."""
    written = [_PARTS[part] for part in parts]
    asked = "NULL LIMIT 0"
    if "events" in parts:
        written.append(_WATCHED)
        asked = "id FROM fresh UNION ALL (SELECT NULL FROM told LIMIT 1)"
    return Sentence("WITH " + ",\n".join(written) + f"\nSELECT {asked}", "id")


def asked(tenant_id: UUID, occurred_at: datetime, page: Page) -> Asked:
    """What writes the page down, which is not empty. Its answer are the ids of those events that were not known
    already, and None beside them when an automation is told of some."""
    parts = tuple(name for name in _PARTS if getattr(page, name))
    values: dict[str, Any] = {name: _json(getattr(page, name)) for name in parts}
    values |= {"tenant_id": tenant_id, "recorded_at": utc_now(), "occurred_at": occurred_at}
    return Asked(_statement(parts), values)


def _json(rows: Sequence[Mapping[str, Any] | ProposedCommand]) -> str:
    return orjson.dumps(rows).decode()
