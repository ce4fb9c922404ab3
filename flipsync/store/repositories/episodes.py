"""Statements about what was tried and what came of it: written once, found by what it is about or by its words."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import utc_now
from flipsync.domain.commands import EndorseDecision
from flipsync.domain.ids import new_id
from flipsync.store.models import AgentDecision, Episode, EventRecord, Proposal

_WORD = re.compile(r"[^\W_]+")
#: words of a question that are looked for
_MOST_WORDS = 32
#: attempts of a kind among which those in the same place are looked for
_MOST_ALIKE = 2_000


@dataclass(frozen=True)
class Place:
    """What a subject belongs to, as far as that is known."""

    product_id: UUID | None
    title: str | None
    category: str | None
    account_id: UUID | None
    vendor: str | None


@dataclass(frozen=True)
class EpisodeRow:
    id: UUID
    decision_id: UUID
    proposal_id: UUID
    agent: str
    kind: str
    command: str
    subject_kind: str
    subject_id: UUID
    product_id: UUID | None
    account_id: UUID | None
    category: str | None
    situation: str
    figures: dict[str, Any]
    tried: str
    confidence: float
    verdict: str | None
    rule: str
    outcome: int | None
    came: str
    money_minor: int | None
    currency: str | None
    evidence_kind: str | None
    evidence_id: UUID | None
    decided_at: datetime
    known_at: datetime


_COLUMNS = [getattr(Episode, name) for name in EpisodeRow.__dataclass_fields__]

# An endorsement is about what the decision it lets go ahead is about, by its first proposal.
_PLACES = text(
    """
    SELECT s.id, p.id, p.title, p.category, a.id, a.vendor
      FROM unnest(CAST(:ids AS uuid[]), CAST(:kinds AS text[]), CAST(:accounts AS uuid[])) AS s(id, kind, account_id)
      LEFT JOIN LATERAL (SELECT q.subject_kind, q.subject_id FROM proposal q
                          WHERE s.kind = 'decision' AND q.decision_id = s.id ORDER BY q.ordinal LIMIT 1) below ON true
     CROSS JOIN LATERAL (SELECT COALESCE(below.subject_kind, s.kind) AS kind,
                                COALESCE(below.subject_id, s.id) AS id) t
      LEFT JOIN listing l ON t.kind = 'listing' AND l.id = t.id
      LEFT JOIN stock_item i ON t.kind = 'stock_item' AND i.id = t.id
      LEFT JOIN customer_order o ON t.kind = 'order' AND o.id = t.id
      LEFT JOIN variant v ON v.id = COALESCE(l.variant_id, i.variant_id, CASE WHEN t.kind = 'variant' THEN t.id END)
      LEFT JOIN product p ON p.id = COALESCE(v.product_id, CASE WHEN t.kind = 'product' THEN t.id END)
      LEFT JOIN marketplace_account a
        ON a.id = COALESCE(l.account_id, o.account_id, CASE WHEN t.kind = 'account' THEN t.id END, s.account_id)
     WHERE p.id IS NOT NULL OR a.id IS NOT NULL
    """
)


async def places(
    session: AsyncSession, subjects: Collection[tuple[str, UUID]], accounts: Collection[UUID | None] = ()
) -> dict[UUID, Place]:
    """By the subject's id; `accounts`, as many as subjects, are those that a command names."""
    if not subjects:
        return {}
    values = {
        "ids": [row_id for _, row_id in subjects],
        "kinds": [kind for kind, _ in subjects],
        "accounts": list(accounts) or [None] * len(subjects),
    }
    return {row[0]: Place(*row[1:]) for row in await session.execute(_PLACES, values)}


async def add(session: AsyncSession, tenant_id: UUID, rows: Sequence[dict[str, Any]]) -> int:
    """Remember them; what is remembered already stays as it is. How many are new."""
    if not rows:
        return 0
    full = [{"id": new_id(), "tenant_id": tenant_id, "written_at": utc_now(), **row} for row in rows]
    insert = pg_insert(Episode).values(full).on_conflict_do_nothing(index_elements=["proposal_id"])
    return len((await session.execute(insert.returning(Episode.id))).all())


async def about(
    session: AsyncSession,
    subject_ids: Collection[UUID],
    product_ids: Collection[UUID],
    *,
    limit: int,
    but: Collection[UUID] = (),
) -> list[tuple[EpisodeRow, bool]]:
    """Of these very things first, then of the same goods; newest first. The flag says which; `but` are decisions."""
    same = Episode.subject_id.in_(list(subject_ids))
    query = (
        select(*_COLUMNS, same.label("same"))
        .where(same | Episode.product_id.in_(list(product_ids)), Episode.decision_id.not_in(list(but)))
        .order_by(same.desc(), Episode.known_at.desc(), Episode.id.desc())
        .limit(limit)
    )
    return [(EpisodeRow(*row[:-1]), row[-1]) for row in await session.execute(query)]


async def alike(
    session: AsyncSession,
    kinds: Collection[str],
    *,
    limit: int,
    account_id: UUID | None = None,
    category: str | None = None,
    but: Collection[UUID] = (),
) -> list[EpisodeRow]:
    """Of the newest of the same kind: in the same category first, then on the same account; newest first."""
    newest = (
        select(Episode.id)
        .where(Episode.kind.in_(list(kinds)), Episode.decision_id.not_in(list(but)))
        .order_by(Episode.known_at.desc())
        .limit(_MOST_ALIKE)
    )
    near: Any = literal(0)
    if category is not None:
        near += case((Episode.category == category, 2), else_=0)
    if account_id is not None:
        near += case((Episode.account_id == account_id, 1), else_=0)
    query = (
        select(*_COLUMNS)
        .where(Episode.id.in_(newest))
        .order_by(near.desc(), Episode.known_at.desc(), Episode.id.desc())
        .limit(limit)
    )
    return [EpisodeRow(*row) for row in await session.execute(query)]


async def saying(
    session: AsyncSession, words: str, *, limit: int, among: Collection[UUID] | None = None
) -> list[tuple[EpisodeRow, float]]:
    """That say any of these words (English stems), best first, with a rank from 0 to 1; with `among`, of these."""
    spelt = list(dict.fromkeys(_WORD.findall(words.casefold())))[:_MOST_WORDS]
    if not spelt:
        return []
    asked = func.to_tsquery(text("'english'::regconfig"), " | ".join(spelt))
    rank = func.ts_rank_cd(Episode.search, asked, 1 | 32)
    query = (
        select(*_COLUMNS, rank)
        .where(Episode.search.op("@@")(asked))
        .order_by(rank.desc(), Episode.known_at.desc(), Episode.id.desc())
        .limit(limit)
    )
    if among is not None:
        query = query.where(Episode.id.in_(list(among)))
    return [(EpisodeRow(*row[:-1]), float(row[-1])) for row in await session.execute(query)]


async def by_ids(session: AsyncSession, episode_ids: Collection[UUID]) -> dict[UUID, EpisodeRow]:
    """Those that are there, and this business's."""
    query = select(*_COLUMNS).where(Episode.id.in_(list(episode_ids)))
    return {row[0]: EpisodeRow(*row) for row in await session.execute(query)}


async def newest(
    session: AsyncSession, *, limit: int, agent: str | None = None, kind: str | None = None
) -> list[EpisodeRow]:
    query = select(*_COLUMNS).order_by(Episode.known_at.desc(), Episode.id.desc()).limit(limit)
    if agent is not None:
        query = query.where(Episode.agent == agent)
    if kind is not None:
        query = query.where(Episode.kind == kind)
    return [EpisodeRow(*row) for row in await session.execute(query)]


@dataclass(frozen=True)
class ProposedRow:
    """A proposal, and the type of the fact that led to it."""

    decision_id: UUID
    command: str
    fact: str
    subject_kind: str
    subject_id: UUID


async def proposed_below(session: AsyncSession, decision_id: UUID, limit: int = 200) -> list[ProposedRow]:
    """What a decision proposes, through the decisions it lets go ahead; endorsements themselves only where they end."""
    endorses = Proposal.command == EndorseDecision.type_name()
    below = select(literal(decision_id, Proposal.decision_id.type).label("decision_id")).cte("below", recursive=True)
    below = below.union(select(Proposal.subject_id).where(Proposal.decision_id == below.c.decision_id, endorses))
    query = (
        select(Proposal.decision_id, Proposal.command, EventRecord.type, Proposal.subject_kind, Proposal.subject_id)
        .join(below, below.c.decision_id == Proposal.decision_id)
        .join(AgentDecision, AgentDecision.id == Proposal.decision_id)
        .join(EventRecord, EventRecord.id == AgentDecision.event_id)
        .where(~endorses)
        .order_by(Proposal.decision_id, Proposal.ordinal)
        .limit(limit)
    )
    return [ProposedRow(*row) for row in await session.execute(query)]


@dataclass(frozen=True)
class Record:
    """How often a kind of attempt came out right and wrong, and was stopped."""

    right: int
    wrong: int
    stopped: int


async def record(
    session: AsyncSession, kinds: Collection[str], *, account_id: UUID | None = None, but: Collection[UUID] = ()
) -> Record:
    """Of all that is remembered of these kinds, on an account or anywhere."""
    counts = [func.count().filter(Episode.outcome == 1), func.count().filter(Episode.outcome == 0)]
    query = select(*counts, func.count().filter(Episode.outcome.is_(None))).where(
        Episode.kind.in_(list(kinds)), Episode.decision_id.not_in(list(but))
    )
    if account_id is not None:
        query = query.where(Episode.account_id == account_id)
    row = (await session.execute(query)).one()
    return Record(row[0], row[1], row[2])


_FORGET = text(
    "DELETE FROM episode WHERE id IN (SELECT id FROM episode"
    " WHERE tenant_id = :tenant_id AND written_at < :before ORDER BY id LIMIT :most)"
)


async def forget_before(session: AsyncSession, tenant_id: UUID, before: datetime, most: int) -> None:
    await session.execute(_FORGET, {"tenant_id": tenant_id, "before": before, "most": most})


async def unindexed(session: AsyncSession, limit: int) -> list[tuple[UUID, str]]:
    """Episodes the index of meanings does not have yet, with their words."""
    became = case((Episode.outcome == 1, "right"), (Episode.outcome == 0, "wrong"), else_="to nothing: it was stopped")
    words = Episode.situation + ". " + Episode.tried + ". It came out " + became + ": " + Episode.came
    query = select(Episode.id, words).where(Episode.indexed_at.is_(None)).order_by(Episode.id).limit(limit)
    return [(row[0], row[1]) for row in await session.execute(query)]


async def waiting(session: AsyncSession) -> int:
    """How many the index does not have yet."""
    query = select(func.count()).select_from(Episode).where(Episode.indexed_at.is_(None))
    return (await session.execute(query)).scalar_one()


async def set_indexed(session: AsyncSession, episode_ids: Collection[UUID], at: datetime | None) -> None:
    """The index has them (`at`), or is to have them again (None)."""
    change = update(Episode).where(Episode.id.in_(list(episode_ids))).values(indexed_at=at)
    await session.execute(change.execution_options(synchronize_session=False))


async def index_anew(session: AsyncSession) -> None:
    """The index is to have all of them again."""
    change = update(Episode).where(Episode.indexed_at.is_not(None)).values(indexed_at=None)
    await session.execute(change.execution_options(synchronize_session=False))


async def counts(session: AsyncSession) -> tuple[int, int]:
    """How many there are, and how many of them the index has."""
    query = select(func.count(), func.count(Episode.indexed_at)).select_from(Episode)
    row = (await session.execute(query)).one()
    return row[0], row[1]


async def still_there(session: AsyncSession, episode_ids: Collection[UUID]) -> set[UUID]:
    """Which of these are episodes of this business."""
    return set(await session.scalars(select(Episode.id).where(Episode.id.in_(list(episode_ids)))))
