"""What is read about goods from the text about them, with the words it stands in; and the command that keeps it."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from flipsync.domain.commands import InternalCommand

#: what a text may say that gets a listing removed, a buyer hurt or a buyer cross
RiskKind = Literal["battery", "hazardous", "age-restricted", "safety", "counterfeit", "damaged", "incomplete", "expiry"]


class ReadAttribute(BaseModel):
    """What goods are: `value` stands in `quote`, and that in the text."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(max_length=40)
    value: str = Field(max_length=80)
    quote: str = Field(max_length=200)


class ReadRisk(BaseModel):
    model_config = ConfigDict(frozen=True)

    kind: RiskKind
    quote: str = Field(max_length=200)


class NoteReading(InternalCommand):
    """Keep what was read about goods from the text about them. It is for people: nothing is offered by it."""

    product_id: UUID
    call_id: UUID
    attributes: tuple[ReadAttribute, ...] = Field(max_length=12)
    risks: tuple[ReadRisk, ...] = Field(max_length=6)
    positioning: tuple[str, ...] = Field(max_length=3)

    def subject(self) -> tuple[str, UUID]:
        return ("product", self.product_id)
