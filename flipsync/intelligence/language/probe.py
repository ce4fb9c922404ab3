"""The smallest question that shows whether a model can be worked with: a typed answer that repeats a fact."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.ids import new_id
from flipsync.intelligence.language.question import Fact, Prompt, Question


class Seen(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid")

    number: int = Field(ge=0, le=1_000_000)


_WORDS = 'Answer with the value of fact f1, as JSON: {"number": value}.'
PROMPT = Prompt("probe", "1", hashlib.sha256(_WORDS.encode()).hexdigest(), _WORDS, Seen)


def question() -> Question:
    return PROMPT.ask([Fact(ref="f1", says="a number", value="417", kind="probe", id=new_id())])
