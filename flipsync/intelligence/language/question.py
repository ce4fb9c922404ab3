"""What is asked of a model: a versioned prompt, facts of ours by reference, and words from outside as data.

A prompt is a file beside its agent (`<name>.prompt.md`): a line `version: N`, an empty line, the instructions. Its hash
is part of every question, so that an answer always says what exactly it answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from flipsync.domain.money import Money, minor_digits
from flipsync.domain.text import storable

MOST_FACTS, MOST_TEXTS, MOST_TEXT = 40, 8, 1_500


class Fact(BaseModel):
    """One figure of ours. `value` is written as a model may repeat it ("123.45"), `unit` goes with it ("USD", "%").

    `says` is in our own words, never in those of others. `kind` and `id` name the row it comes from.
    """

    model_config = ConfigDict(frozen=True)

    ref: str = Field(pattern=r"^f[0-9]{1,3}$")
    says: str = Field(max_length=200)
    value: str = Field(max_length=40, pattern=r"^-?[0-9]+(\.[0-9]+)?$")
    unit: str = Field(default="", max_length=20)
    kind: str
    id: UUID

    @classmethod
    def money(cls, ref: str, says: str, amount: Money, kind: str, row_id: UUID) -> Fact:
        value = Decimal(amount.amount_minor).scaleb(-minor_digits(amount.currency))
        return cls(ref=ref, says=says, value=f"{value:f}", unit=amount.currency, kind=kind, id=row_id)

    @classmethod
    def share(cls, ref: str, says: str, value: float, kind: str, row_id: UUID) -> Fact:
        """A share of 1, told in whole per cent."""
        return cls(ref=ref, says=says, value=str(round(value * 100)), unit="%", kind=kind, id=row_id)


class Outside(BaseModel):
    """Words somebody else wrote. `source` says in ours what they are (a title, a rival's name)."""

    model_config = ConfigDict(frozen=True)

    ref: str = Field(pattern=r"^t[0-9]{1,3}$")
    source: str = Field(max_length=60)
    text: str = Field(max_length=MOST_TEXT)


class Question(BaseModel):
    """One question. Equal questions have equal digests, whatever process asks."""

    model_config = ConfigDict(frozen=True)

    prompt: str
    version: str
    sha256: str
    facts: tuple[Fact, ...] = Field(max_length=MOST_FACTS)
    texts: tuple[Outside, ...] = Field(max_length=MOST_TEXTS)
    _instructions: str = PrivateAttr("")
    _shape: type[BaseModel] | None = PrivateAttr(None)

    @property
    def instructions(self) -> str:
        return self._instructions

    @property
    def shape(self) -> type[BaseModel]:
        """What the answer has to be. It is not kept with the question: whoever reads one back has asked it."""
        assert self._shape is not None, "a question that is asked comes from a Prompt"
        return self._shape

    def digest(self) -> str:
        return hashlib.sha256(orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True)
class Prompt:
    """A prompt file. `sha256` is of the whole file and of the shape it asks for."""

    name: str
    version: str
    sha256: str
    instructions: str
    shape: type[BaseModel]

    @classmethod
    def beside(cls, module_file: str, shape: type[BaseModel]) -> Prompt:
        """The prompt of the agent in this module. Raises ValueError for a file without a version."""
        path = Path(module_file).with_suffix(".prompt.md")
        text = path.read_text(encoding="utf-8")
        head, _, instructions = text.partition("\n\n")
        key, _, version = head.partition(":")
        if key != "version" or not version.strip():
            raise ValueError(f"{path.name} begins with its version: `version: 1`, then an empty line")
        schema = orjson.dumps(shape.model_json_schema(), option=orjson.OPT_SORT_KEYS)
        sha256 = hashlib.sha256(text.encode() + b"\0" + schema).hexdigest()
        return cls(path.name.partition(".")[0], version.strip(), sha256, instructions.strip(), shape)

    @cached_property
    def mark(self) -> str:
        """Version and hash in short, for an agent's own version: another prompt makes another agent."""
        return f"{self.version}.{self.sha256[:8]}"

    def ask(self, facts: Sequence[Fact], texts: Sequence[tuple[str, str]] = ()) -> Question:
        """A question about these facts and (source, words from outside); too many or too long ones are cut off."""
        told = [
            Outside(ref=f"t{at}", source=source, text=storable(text[:MOST_TEXT]))
            for at, (source, text) in enumerate(texts[:MOST_TEXTS], 1)
        ]
        question = Question(
            prompt=self.name,
            version=self.version,
            sha256=self.sha256,
            facts=tuple(facts[:MOST_FACTS]),
            texts=tuple(told),
        )
        question._instructions, question._shape = self.instructions, self.shape
        return question


def read_back(value: dict[str, Any], shape: type[BaseModel]) -> BaseModel:
    """A kept answer as the type it was asked for. Raises pydantic's ValidationError."""
    return shape.model_validate(value)
