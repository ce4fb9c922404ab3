"""The port: what a language model is to the house, whichever it is.

A call ends in one of the three ways of every outside call (domain.errors), or with a value of the asked type:
Rejected (the provider said no, or its answer is not what was asked for), Retryable (nothing happened), OutcomeUnknown
(no answer came: it may have been worked on, and paid for).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from pydantic import BaseModel, ValidationError

from flipsync.domain.errors import Rejected
from flipsync.intelligence.language.fence import messages
from flipsync.intelligence.language.question import Question

#: what one answer may be at most, in tokens
MOST_TOKENS_OUT = 1_200


@dataclass(frozen=True)
class Usage:
    tokens_in: int
    tokens_out: int

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


@dataclass(frozen=True)
class Price:
    """What a million tokens cost in US dollars, as providers publish it: so many millionths of a dollar a token."""

    usd_in: Decimal
    usd_out: Decimal

    def micros(self, usage: Usage) -> int:
        """Millionths of a US dollar, rounded up."""
        cost = usage.tokens_in * self.usd_in + usage.tokens_out * self.usd_out
        return int(cost.to_integral_value(rounding=ROUND_CEILING))


@dataclass(frozen=True)
class Reply:
    value: BaseModel
    usage: Usage


class Unusable(Rejected):
    """An answer came, and it is not what was asked for; it was paid for all the same."""

    code = "model-answer-unusable"

    def __init__(self, message: str, usage: Usage | None) -> None:
        super().__init__(message)
        self.usage = usage


class LanguageModel(ABC):
    """A model that can be asked. `name` is what it is called where it is priced."""

    name: str

    @abstractmethod
    async def ask(self, question: Question) -> Reply:
        """The answer, valid by the question's shape. Raises Rejected, Retryable or OutcomeUnknown."""

    async def aclose(self) -> None:
        return None


def most(question: Question) -> Usage:
    """What a question can use at most: a token is at least a byte of it, and the schema goes along."""
    told = sum(len(message["content"].encode()) for message in messages(question))
    schema = len(str(question.shape.model_json_schema()))
    return Usage(told + schema + 200, MOST_TOKENS_OUT)


def as_asked(question: Question, answer: str | bytes, usage: Usage | None) -> BaseModel:
    """Read an answer by the question's shape. Raises Unusable, which does not repeat it."""
    try:
        return question.shape.model_validate_json(answer)
    except ValidationError as error:
        kind = error.errors(include_input=False, include_url=False)[0]["type"]  # where it is may be the model's words
        raise Unusable(f"the answer is not what was asked for ({kind})", usage) from None
