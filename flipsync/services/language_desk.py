"""A language model at the desk: agents put questions, and get an answer, or why there is none.

`decide` never waits for a model. A question nobody has answered yet ends it (`Unasked`); its runner then puts the
question outside of any transaction (runtime.asking) and has the decision made once more, with the answer at the desk.
Answers are kept by what was asked, and with the decision, as all that is read: a replay asks no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.decisions import Evidence
from flipsync.intelligence.language.question import Prompt, Question
from flipsync.services.tenant_settings import profile
from flipsync.store.repositories import language as rows
from flipsync.store.unit_of_work import UnitOfWork

T = TypeVar("T", bound=BaseModel)
NO_MODEL = "no language model is configured"


@dataclass(frozen=True)
class Answer:
    """What came of a question: `value` by the shape that was asked for, or None and `why`."""

    value: dict[str, Any] | None = None
    why: str = ""
    model: str = ""
    call_id: UUID | None = None

    def read(self, prompt: Prompt, shape: type[T]) -> T | None:
        """The value as the type that was asked for; None where there is none (or one of an older shape)."""
        assert prompt.shape is shape, "it is read as what it was asked for"
        if self.value is None:
            return None
        try:
            return shape.model_validate(self.value)
        except ValidationError:
            return None

    def evidence(self, prompt: Prompt) -> list[Evidence]:
        """Which prompt and which model it was."""
        if self.call_id is None:
            return []
        note = f"{prompt.name} prompt {prompt.version}, sha256 {prompt.sha256[:16]}, by {self.model}"
        return [Evidence(kind="language_call", id=self.call_id, note=note[:200])]


class Unasked(Exception):
    """A decision needs this question answered first."""

    def __init__(self, question: Question) -> None:
        super().__init__(f"{question.prompt} has a question")
        self.question = question


@dataclass(frozen=True)
class Asked:
    """What the runner knows of a model: answers of this moment by digest, or why there is none (`off`).

    `last`: no further question is put now.
    """

    answers: Mapping[str, Answer] = field(default_factory=dict)
    last: bool = False
    off: str = ""


class LanguageDesk:
    def __init__(self, session: AsyncSession, tenant_id: UUID, asked: Asked | None) -> None:
        self._session = session
        self._tenant_id = tenant_id
        self._asked = asked

    async def why_not(self) -> str:
        """Why there is nobody to ask; "" where there is. What a question is made of need not be gathered for nobody."""
        if self._asked is None or self._asked.off:
            return (self._asked and self._asked.off) or NO_MODEL
        if not (await profile(self._session, self._tenant_id)).settings.language.enabled:
            return "the owner lets no language model read along (language.enabled)"
        return ""

    async def ask(self, question: Question) -> Answer:
        """The answer to a question. Raises Unasked where it has to be put to the model first."""
        if why_not := await self.why_not():
            return Answer(why=why_not)
        assert self._asked is not None, "there is a model"
        digest = question.digest()
        if (now := self._asked.answers.get(digest)) is not None and now.value is None:
            return now
        if (known := await rows.answer(self._session, digest)) is not None:
            return Answer(value=known.value, model=known.model, call_id=known.id)
        if self._asked.last:
            return Answer(why="the books moved on while the model was asked")
        raise Unasked(question)


@dataclass(frozen=True)
class Spending:
    """What a business had a model do within 24 hours, and what it may. A call under way counts as the most it can."""

    enabled: bool
    tokens: int
    tokens_per_day: int
    cost_micros: int
    usd_cents_per_day: int
    calls: list[rows.Spent]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


async def spending(session: AsyncSession, tenant_id: UUID) -> Spending:
    choices = (await profile(session, tenant_id)).settings.language
    calls = await rows.spent(session)
    return Spending(
        enabled=choices.enabled,
        tokens=sum(each.tokens for each in calls),
        tokens_per_day=choices.tokens_per_day,
        cost_micros=sum(each.cost_micros for each in calls),
        usd_cents_per_day=choices.usd_cents_per_day,
        calls=calls,
    )


async def forget_old(unit: UnitOfWork) -> None:
    """Drop calls of longer ago than what decisions read is kept."""
    kept = (await profile(unit.session, unit.tenant_id)).settings.journal.reads_kept_days
    await rows.forget_before(unit.session, kept)
