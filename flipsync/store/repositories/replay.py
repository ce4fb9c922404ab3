"""Statements about what decisions read: to make them again, and to forget what is old."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import first_id_at


@dataclass(frozen=True)
class KeptDecision:
    """A decision as the journal has it, with the fact it answers and what it read (None: not kept)."""

    id: UUID
    agent: str
    agent_version: str
    event_id: UUID
    event_type: str
    event_payload: dict[str, Any]
    correlation_id: UUID
    source: str
    rationale: str
    confidence: float
    #: what of the confidence counted; None while nothing was taken away
    trusted: float | None
    #: the map by which it was counted, with the share of a standing; None where none bore on it
    recalibration: dict[str, Any] | None
    stake_minor: int | None
    stake_currency: str | None
    alternatives: list[Any]
    evidence: list[Any]
    #: [command, payload] in their order
    proposals: list[Any]
    packed: bytes | None
    #: bytes of what was read, packed; None where nothing was noted or it was forgotten
    size: int | None


#: what a page is made of at most, packed: reviews of a big catalogue are big
_PAGE_BYTES = 16 * 1024 * 1024
_KEPT = text(
    """
    SELECT * FROM (SELECT page.*, sum(bytes) OVER (ORDER BY id) - bytes AS before FROM (
    SELECT d.id, d.agent, d.agent_version, d.event_id, e.type AS event_type, e.payload AS event_payload,
           d.correlation_id, d.source, d.rationale, d.confidence, d.trusted, d.recalibration, d.stake_minor,
           d.stake_currency, d.alternatives, d.evidence,
           (SELECT coalesce(jsonb_agg(jsonb_build_array(p.command, p.payload) ORDER BY p.ordinal), '[]')
              FROM proposal p WHERE p.decision_id = d.id) AS proposals,
           n.packed, n.size, coalesce(octet_length(n.packed), 0) AS bytes
      FROM agent_decision d
      JOIN event e ON e.id = d.event_id
      LEFT JOIN decision_notes n ON n.id = d.id
     WHERE d.id > :after AND (CAST(:agent AS text) IS NULL OR d.agent = :agent)
     ORDER BY d.id
     LIMIT :limit) page) counted
     WHERE before < :most_bytes
     ORDER BY id
    """
)
_FORGET = text("DELETE FROM decision_notes WHERE id < :before")


async def kept(session: AsyncSession, after: UUID, agent: str | None, limit: int) -> Sequence[KeptDecision]:
    """Decisions with an id above `after`, oldest first; fewer than `limit` where these are big, none at the end."""
    values = {"after": after, "agent": agent, "limit": limit, "most_bytes": _PAGE_BYTES}
    found = (await session.execute(_KEPT, values)).mappings()
    columns = [each.name for each in fields(KeptDecision)]
    return [KeptDecision(**{name: row[name] for name in columns}) for row in found]


async def forget_before(session: AsyncSession, moment: datetime) -> None:
    """Drop what decisions of before then read; the decisions stay."""
    await session.execute(_FORGET, {"before": first_id_at(moment)})
