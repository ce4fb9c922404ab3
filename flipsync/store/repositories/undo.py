"""Statements about what was carried out, so that it can be taken back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import first_id_at


@dataclass(frozen=True)
class Deed:
    """A command of a decision, with the effect that carried it out (None: it changed books, or never got that far)."""

    decision_id: UUID
    decision_state: str
    proposal_id: UUID
    command: str
    payload: dict[str, Any]
    subject_kind: str
    subject_id: UUID
    verdict: str | None
    reason: str
    effect_id: UUID | None
    effect_state: str | None
    #: the command as it went out, and the one that takes it back
    sent: dict[str, Any] | None
    undo: dict[str, Any] | None
    #: whether a person took it back, and how often that was asked for
    undone: bool
    #: a person was asked and said no
    refused: bool = False
    attempts: int = 0
    #: by this fact, where it had to be judged anew; and what came of it, as far as it has come
    wish: UUID | None = None
    answer: str | None = None
    answer_state: str | None = None
    answer_verdict: str | None = None
    answer_reason: str | None = None
    answer_effect: str | None = None
    answer_sent: dict[str, Any] | None = None

    @property
    def key(self) -> str:
        """Of the fact that it is asked for once more: there is one at most of each attempt."""
        first = f"undo:{self.effect_id or self.proposal_id}"
        return f"{first}:{self.attempts + 1}" if self.attempts else first


#: how often taking back one thing is asked for
MOST_ATTEMPTS = 9
_DEEDS = """
    SELECT p.decision_id, d.state AS decision_state, p.id AS proposal_id, p.command, p.payload, p.subject_kind,
           p.subject_id, p.verdict, p.reason, e.id AS effect_id, e.state AS effect_state, e.payload AS sent, e.undo,
           f.id IS NOT NULL AS undone,
           EXISTS (SELECT FROM approval x WHERE x.decision_id = d.id AND x.state = 'refused') AS refused,
           coalesce(f.attempts, 0) AS attempts, CAST(f.payload ->> 'wish' AS uuid) AS wish,
           a.rationale AS answer, a.state AS answer_state, q.verdict AS answer_verdict, q.reason AS answer_reason,
           b.state AS answer_effect, b.payload AS answer_sent
      FROM agent_decision d
      JOIN proposal p ON p.decision_id = d.id
      LEFT JOIN effect e ON e.proposal_id = p.id
      LEFT JOIN LATERAL (
           SELECT id, payload, count(*) OVER () AS attempts FROM event
            WHERE tenant_id = p.tenant_id AND dedup_key = ANY(
                  SELECT 'undo:' || coalesce(e.id, p.id) || CASE n WHEN 1 THEN '' ELSE ':' || n END
                    FROM generate_series(1, {most}) n)
            ORDER BY id DESC LIMIT 1) f ON true
      LEFT JOIN agent_decision a ON a.event_id = CAST(f.payload ->> 'wish' AS uuid)
      LEFT JOIN proposal q ON q.decision_id = a.id AND q.ordinal = 0
      LEFT JOIN effect b ON b.proposal_id = q.id
     WHERE {which}
     ORDER BY d.id DESC, p.ordinal DESC
"""
_OF_DECISION = text(_DEEDS.format(most=MOST_ATTEMPTS, which="d.id = :id"))
_OF_EFFECT = text(_DEEDS.format(most=MOST_ATTEMPTS, which="e.id = :id"))
_SINCE = text(_DEEDS.format(most=MOST_ATTEMPTS, which="d.id > :since AND NOT (p.command = ANY(:without))"))
_NEWEST = text(
    """
    SELECT id, state FROM effect
     WHERE subject_kind = 'listing' AND subject_id = :listing AND command = ANY(:commands)
       AND state NOT IN ('rejected', 'superseded') AND NOT (id = ANY(CAST(:without AS uuid[])))
     ORDER BY id DESC LIMIT 1
    """
)
_LOCK_KIND = 0x756E646F
_HOLD = text("SELECT pg_advisory_xact_lock(:kind, :key)")
_STOP = text(
    "UPDATE effect SET state = 'superseded', finished_at = now() WHERE id = :id AND state = 'pending' RETURNING id"
)


async def hold(session: AsyncSession, tenant_id: UUID) -> None:
    """One at a time of a tenant, until the transaction ends: whoever is next sees what was taken back."""
    await session.execute(_HOLD, {"kind": _LOCK_KIND, "key": tenant_id.int % 2**31})


async def of_decision(session: AsyncSession, decision_id: UUID) -> Sequence[Deed]:
    return await _read(session, _OF_DECISION, {"id": decision_id})


async def of_effect(session: AsyncSession, effect_id: UUID) -> Sequence[Deed]:
    return await _read(session, _OF_EFFECT, {"id": effect_id})


async def since(session: AsyncSession, moment: datetime, without: Collection[str]) -> Sequence[Deed]:
    """Everything decided since then (wall clock) but these commands, newest first."""
    return await _read(session, _SINCE, {"since": first_id_at(moment), "without": list(without)})


async def _read(session: AsyncSession, statement: Any, values: dict[str, Any]) -> Sequence[Deed]:
    return [Deed(**row) for row in (await session.execute(statement, values)).mappings()]


async def newest_effect(
    session: AsyncSession, listing_id: UUID, commands: Collection[str], without: Collection[UUID] = ()
) -> UUID | None:
    """The newest effect of these kinds on the listing that was done, or may yet be; `without` those named."""
    values = {"listing": listing_id, "commands": list(commands), "without": list(without)}
    found = (await session.execute(_NEWEST, values)).first()
    return None if found is None else found.id


async def stop(session: AsyncSession, effect_id: UUID) -> bool:
    """Drop an effect that was not sent; False when somebody has taken it up meanwhile."""
    return (await session.execute(_STOP, {"id": effect_id})).scalar() is not None
