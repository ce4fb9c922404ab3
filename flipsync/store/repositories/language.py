"""Statements about calls of language models: leased before, settled after, found again. Times are the database's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id

#: a day of a budget: what was asked for longer ago counts no more
_DAY = "clock_timestamp() - interval '24 hours'"
_HOLD = text("SELECT pg_advisory_xact_lock(hashtextextended('language:' || :tenant_id, 0))")
_LEASE = text(
    f"""
    INSERT INTO language_call (id, tenant_id, prompt, version, prompt_sha256, question, model, state, why, tokens,
                               cost_micros, at)
    SELECT :id, :tenant_id, :prompt, :version, :prompt_sha256, :question, :model, 'asked', '', :tokens, :cost_micros,
           clock_timestamp()
      FROM (SELECT COALESCE(SUM(tokens), 0) AS tokens, COALESCE(SUM(cost_micros), 0) AS cost_micros
              FROM language_call WHERE tenant_id = :tenant_id AND at > {_DAY}) spent
     WHERE spent.tokens + :tokens <= :most_tokens AND spent.cost_micros + :cost_micros <= :most_micros
    RETURNING id
    """  # noqa: S608
)
#: another process may have had the same question answered meanwhile: then the first answer stays the one
_SETTLE = text(
    """
    UPDATE language_call
       SET state = CASE WHEN known.here THEN 'rejected' ELSE :state END,
           why = CASE WHEN known.here THEN 'the same question was answered meanwhile' ELSE :why END,
           value = CASE WHEN known.here THEN NULL ELSE :value END,
           tokens = COALESCE(:tokens, tokens), cost_micros = COALESCE(:cost_micros, cost_micros)
      FROM (SELECT CAST(:state AS text) = 'answered' AND EXISTS (
                SELECT 1 FROM language_call WHERE question = :question AND state = 'answered') AS here) known
     WHERE id = :id AND language_call.state = 'asked'
    """
).bindparams(bindparam("value", type_=JSONB(none_as_null=True)))
_ANSWER = text("SELECT id, model, value FROM language_call WHERE question = :question AND state = 'answered'")
_SPENT = text(
    f"""
    SELECT prompt, model, state, COUNT(*) AS calls, SUM(tokens)::bigint AS tokens,
           SUM(cost_micros)::bigint AS cost_micros, MAX(at) AS latest
      FROM language_call WHERE at > {_DAY} GROUP BY prompt, model, state ORDER BY prompt, model, state
    """  # noqa: S608
)
_BY_DAY = text(
    """
    SELECT (at AT TIME ZONE 'UTC')::date AS day, prompt, model, COUNT(*) AS calls,
           COUNT(*) FILTER (WHERE state = 'answered') AS answered,
           COUNT(*) FILTER (WHERE state IN ('rejected','retryable','unknown')) AS failed,
           SUM(tokens)::bigint AS used, SUM(cost_micros)::bigint AS cost_micros
      FROM language_call WHERE at > clock_timestamp() - make_interval(days => :days)
     GROUP BY day, prompt, model ORDER BY day DESC, prompt, model
    """
)
_FORGET = text("DELETE FROM language_call WHERE at < clock_timestamp() - make_interval(days => :days)")


@dataclass(frozen=True)
class KnownAnswer:
    id: UUID
    model: str
    value: dict[str, Any]


@dataclass(frozen=True)
class Spent:
    """Calls of one prompt that ended alike, within a day."""

    prompt: str
    model: str
    state: str
    calls: int
    tokens: int
    cost_micros: int
    latest: datetime


async def lease(
    session: AsyncSession,
    tenant_id: UUID,
    call: dict[str, str],
    *,
    tokens: int,
    cost_micros: int,
    most_tokens: int,
    most_micros: int,
) -> UUID | None:
    """The id of a call that may take so much at most; None when the business's day has not that much left.

    `call`: prompt, version, prompt_sha256, question and model. Leases of one business wait for each other; commit soon.
    """
    await session.execute(_HOLD, {"tenant_id": str(tenant_id)})
    limits = {"most_tokens": most_tokens, "most_micros": most_micros}
    values = {**call, **limits, "id": new_id(), "tenant_id": tenant_id, "tokens": tokens, "cost_micros": cost_micros}
    return (await session.execute(_LEASE, values)).scalar()


async def settle(
    session: AsyncSession,
    tenant_id: UUID,
    call_id: UUID,
    question: str,
    *,
    state: str,
    why: str = "",
    value: dict[str, Any] | None = None,
    tokens: int | None = None,
    cost_micros: int | None = None,
) -> None:
    """Write down what came of a call. Without figures it took the most it could."""
    await session.execute(_HOLD, {"tenant_id": str(tenant_id)})
    values = {"id": call_id, "question": question, "state": state, "why": why, "value": value}
    await session.execute(_SETTLE, {**values, "tokens": tokens, "cost_micros": cost_micros})


async def answer(session: AsyncSession, question: str) -> KnownAnswer | None:
    row = (await session.execute(_ANSWER, {"question": question})).one_or_none()
    return None if row is None else KnownAnswer(row.id, row.model, row.value)


async def spent(session: AsyncSession) -> list[Spent]:
    """What was asked within a day, by prompt, model and end."""
    return [Spent(**row) for row in (await session.execute(_SPENT)).mappings()]


async def by_day(session: AsyncSession, days: int) -> Sequence[Any]:
    """Of so many days, newest first: day (UTC), prompt, model, calls, answered, failed, used tokens and cost_micros."""
    return (await session.execute(_BY_DAY, {"days": days})).all()


async def forget_before(session: AsyncSession, days: int) -> None:
    """Drop calls of longer ago; decisions keep what they read of them."""
    await session.execute(_FORGET, {"days": days})
