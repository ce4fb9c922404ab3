"""Recall: what was tried before about a thing, or in a situation like this, and what came of it.

Every memory is a row of ours and names it, with the decision it is of and the row that proves its outcome; there is no
free text without one. An index of meanings finds episodes in other words; without it words are looked for as they
stand (English stems), and the answer says so.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain import predictions as told
from flipsync.domain.decisions import Evidence
from flipsync.domain.errors import InvalidInput, Unavailable
from flipsync.domain.money import Money
from flipsync.domain.predictions import Prediction, prediction
from flipsync.intelligence.memory.port import Index
from flipsync.services.reading_page import Moment, View
from flipsync.store.repositories import episodes as rows
from flipsync.store.repositories.episodes import EpisodeRow

Subject = tuple[str, UUID]
FoundBy = Literal["subject", "goods", "meaning", "words", "kind"]
MOST = 50
#: what an episode's money counts, by its kind
MONEY: Final = {
    told.PRICE.kind: "a day, beside the price before",
    told.PLACEMENT.kind: "in all, after fees and shipping",
    told.ADVICE.kind: "a unit, after fees and shipping",
}
_MOST_WORDS = 1_000
#: attempts about the things that were named, the newest of which are compared with the words
_MOST_NEAR = 200
#: what being about the very thing, or about the same goods, adds to a likeness from 0 to 1
_NEARNESS: Final[dict[FoundBy, float]] = {"subject": 0.5, "goods": 0.3}


class Memory(View):
    """One attempt. `right` is null where it was stopped before it could be seen."""

    id: UUID = Field(description="of the episode")
    decision_id: UUID
    proposal_id: UUID
    found_by: FoundBy
    similarity: float | None = Field(description="how alike its words are, from 0 to 1; null where none were given")
    agent: str
    kind: str
    subject_kind: str
    subject_id: UUID
    situation: str
    figures: dict[str, Any]
    tried: str
    confidence: float
    gate: str = Field(description="the gate's verdict with its rule")
    right: bool | None
    came: str
    money: Money | None
    money_is: str = Field(description="what the money counts")
    proof: Evidence | None = Field(description="the row that shows what came of it")
    decided_at: Moment
    known_at: Moment

    @property
    def reference(self) -> Evidence:
        return Evidence(kind="episode", id=self.id, note=self.in_short()[:200])

    def in_short(self) -> str:
        """In our own words and figures, without those of goods."""
        became = {True: "right", False: "wrong", None: "stopped"}[self.right]
        brought = "" if self.money is None else f", {self.money} {self.money_is}"
        return f"{self.agent}, {self.decided_at:%Y-%m-%d}: {became} ({self.came}{brought})"


class Recalled(View):
    """`by` is what words were looked for with; `why_not` says why that was not the index of meanings, or not all of
    it."""

    items: list[Memory]
    by: Literal["meaning", "words", "none"]
    why_not: str = ""


class TrackRecord(View):
    """How attempts of this kind came out, of those remembered."""

    right: int
    wrong: int
    stopped: int


class Lessons(View):
    """What came of it the last times: memories nearest to a decision, and how often its kind came out right."""

    items: list[Memory]
    record: TrackRecord


async def recall(
    session: AsyncSession,
    tenant_id: UUID,
    about: Collection[Subject] = (),
    words: str = "",
    k: int = 5,
    *,
    index: Index | None = None,
    kinds: Collection[str] = (),
    but: Collection[UUID] = (),
) -> Recalled:
    """What is remembered `about` these things and in situations like `words`, best first.

    `kinds` limits it to kinds of attempts; `but` leaves out decisions. Raises InvalidInput for a `k` out of bounds.
    """
    if not 1 <= k <= MOST:
        raise InvalidInput(f"{k} memories cannot be recalled", hint=f"ask for 1 to {MOST}")
    found: dict[UUID, tuple[float, FoundBy, float | None, EpisodeRow]] = {}
    if about:
        where = await rows.places(session, list(about))
        goods = {place.product_id for place in where.values() if place.product_id is not None}
        subjects = [row_id for _, row_id in about]
        for row, same in await rows.about(session, subjects, goods, limit=_MOST_NEAR, but=but):
            by: FoundBy = "subject" if same else "goods"
            found[row.id] = (_NEARNESS[by], by, None, row)
    looked: Literal["meaning", "words", "none"] = "none"
    why_not = ""
    if words.strip():
        alike, looked, why_not = await _alike(session, tenant_id, words[:_MOST_WORDS], 4 * k, index, list(found))
        for row, likeness in alike:
            by = found[row.id][1] if row.id in found else looked
            found[row.id] = (_NEARNESS.get(by, 0.0) + likeness, by, round(likeness, 4), row)
    chosen = [
        each for each in found.values() if each[3].decision_id not in but and (not kinds or each[3].kind in kinds)
    ]
    chosen.sort(key=lambda each: (-each[0], -each[3].known_at.timestamp(), each[3].id.int))
    return Recalled(items=[_memory(row, by, like) for _, by, like, row in chosen[:k]], by=looked, why_not=why_not)


async def _alike(
    session: AsyncSession, tenant_id: UUID, words: str, most: int, index: Index | None, near: Collection[UUID]
) -> tuple[list[tuple[EpisodeRow, float]], Literal["meaning", "words"], str]:
    """The likeness of what is `near` already, and what else is alike."""
    why_not = "no index of meanings is at hand"
    if index is not None:
        try:
            found = await index.nearest(tenant_id, words, len(near), near) if near else []
            found += await index.nearest(tenant_id, words, most)
        except Unavailable as error:
            why_not = error.message
        else:
            # ids of an index are hints: what is read are this business's rows, whatever it answers
            there = await rows.by_ids(session, {each.id for each in found})
            to_come = await rows.waiting(session)
            why_not = f"not in the index yet: {to_come:,} of the newest" if to_come else ""
            return [(there[each.id], each.similarity) for each in found if each.id in there], "meaning", why_not
    said = await rows.saying(session, words, limit=len(near), among=near) if near else []
    return [*said, *await rows.saying(session, words, limit=most)], "words", why_not


async def lessons(session: AsyncSession, decision_id: UUID, k: int = 5) -> Lessons:
    """What came of it the last times: about the same things, else in the same category or on the same account.

    Asked of a decision that stands for others (an endorsement), it is about those.
    """
    proposed = await rows.proposed_below(session, decision_id)
    decisions = {decision_id, *(each.decision_id for each in proposed)}
    kinds = {kind for each in proposed for kind in kind_of(each.command, each.fact)}
    nothing = Lessons(items=[], record=TrackRecord(right=0, wrong=0, stopped=0))
    if not kinds:
        return nothing
    subjects = [(each.subject_kind, each.subject_id) for each in proposed]
    where = await rows.places(session, subjects)
    goods = {place.product_id for place in where.values() if place.product_id is not None}
    place = next(iter(where.values()), None)
    found: dict[UUID, Memory] = {}
    for row, same in await rows.about(session, [each for _, each in subjects], goods, limit=4 * k, but=decisions):
        if row.kind in kinds:
            found[row.id] = _memory(row, "subject" if same else "goods", None)
    if len(found) < k:
        account_id, category = (place.account_id, place.category) if place is not None else (None, None)
        for row in await rows.alike(
            session, kinds, limit=2 * k, account_id=account_id, category=category, but=decisions
        ):
            found.setdefault(row.id, _memory(row, "kind", None))
    count = await rows.record(session, kinds, but=decisions)
    record = TrackRecord(right=count.right, wrong=count.wrong, stopped=count.stopped)
    return Lessons(items=list(found.values())[:k], record=record)


async def newest(session: AsyncSession, limit: int, agent: str | None = None, kind: str | None = None) -> list[Memory]:
    """What was learned last."""
    return [_memory(row, "kind", None) for row in await rows.newest(session, limit=limit, agent=agent, kind=kind)]


def kind_of(command: str, fact: str) -> set[str]:
    """The kind of attempt a command about a fact is; none where nothing it predicts can be seen."""
    known = prediction(command, fact)
    return {known.kind} if isinstance(known, Prediction) else set()


def _memory(row: EpisodeRow, by: FoundBy, similarity: float | None) -> Memory:
    gate = row.verdict or "not judged"
    money = None
    if row.money_minor is not None and row.currency is not None:
        money = Money(amount_minor=row.money_minor, currency=row.currency)
    proof = None
    if row.evidence_kind is not None and row.evidence_id is not None:
        proof = Evidence(kind=row.evidence_kind, id=row.evidence_id)
    return Memory(
        id=row.id,
        decision_id=row.decision_id,
        proposal_id=row.proposal_id,
        found_by=by,
        similarity=similarity,
        agent=row.agent,
        kind=row.kind,
        subject_kind=row.subject_kind,
        subject_id=row.subject_id,
        situation=row.situation,
        figures=row.figures,
        tried=row.tried,
        confidence=row.confidence,
        gate=f"{gate}: {row.rule}" if row.rule else gate,
        right=None if row.outcome is None else bool(row.outcome),
        came=row.came,
        money=money,
        money_is=MONEY.get(row.kind, "") if money is not None else "",
        proof=proof,
        decided_at=row.decided_at,
        known_at=row.known_at,
    )
