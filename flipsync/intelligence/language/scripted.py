"""A model that answers from a script: for tests and notebooks.

    with ScriptedModel(Step("ai_executive", {"narrative": []}), Step("ai_market", Retryable("too many"))) as model:
        ...

Being asked anything the script does not have next is an error, and so is a step nobody asked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import orjson
from pydantic import BaseModel

from flipsync.domain.errors import ChannelError
from flipsync.intelligence.language.port import LanguageModel, Reply, Usage, as_asked
from flipsync.intelligence.language.question import Question


class OutOfScript(AssertionError):
    """What was asked is not what the script has next, or a step of it was never asked for."""


@dataclass(frozen=True)
class Step:
    """The answer to the next question, which is put by this prompt; an error is raised, a string is no valid answer.

    `meets` may look at the question and raise.
    """

    prompt: str
    answer: BaseModel | dict[str, Any] | str | ChannelError
    usage: Usage = field(default_factory=lambda: Usage(400, 120))
    meets: Callable[[Question], object] = lambda _: None


class ScriptedModel(LanguageModel):
    """Answers in the script's order, once each."""

    name = "scripted"

    def __init__(self, *steps: Step) -> None:
        self._left = deque(steps)
        self._strayed: list[str] = []
        self.asked: list[Question] = []

    async def ask(self, question: Question) -> Reply:
        self.asked.append(question)
        step = self._left.popleft() if self._left else None
        if step is None or step.prompt != question.prompt:
            wanted = f"{step.prompt} is next" if step else "the script is over"
            self._strayed.append(f"{question.prompt} was asked, {wanted}")
            raise OutOfScript(self._strayed[-1])
        step.meets(question)
        if isinstance(step.answer, ChannelError):
            raise step.answer
        answer = step.answer.model_dump(mode="json") if isinstance(step.answer, BaseModel) else step.answer
        text = answer if isinstance(answer, str) else orjson.dumps(answer)
        return Reply(as_asked(question, text, step.usage), step.usage)

    def done(self) -> None:
        """Raises OutOfScript unless everything was asked, and nothing else."""
        faults = self._strayed + [f"{step.prompt} was never asked" for step in self._left]
        if faults:
            raise OutOfScript("; ".join(faults))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self.done()
