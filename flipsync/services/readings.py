"""What a language model read about goods: only what stands in the text, each with the words it stands in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.goods_reading import NoteReading, ReadAttribute, ReadRisk, RiskKind
from flipsync.domain.text import storable
from flipsync.intelligence.language import Claim, Fact, verified
from flipsync.intelligence.language.claims import holds_link
from flipsync.intelligence.language.fence import readable
from flipsync.store.repositories import readings as rows
from flipsync.store.repositories.readings import GoodsText, KeptReading
from flipsync.store.unit_of_work import UnitOfWork

_NAME = re.compile(r"[A-Za-z][A-Za-z /-]{1,39}")
_TAG = re.compile(r"<[^<>]{0,400}>")
Source = Literal["title", "description"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FoundAttribute(_Strict):
    name: str = Field(min_length=2, max_length=40)
    value: str = Field(min_length=1, max_length=80)
    quote: str = Field(min_length=1, max_length=200)


class FoundRisk(_Strict):
    kind: RiskKind
    quote: str = Field(min_length=3, max_length=200)


class Reading(_Strict):
    """What a model is asked for."""

    attributes: list[FoundAttribute] = Field(default_factory=list, max_length=12)
    risks: list[FoundRisk] = Field(default_factory=list, max_length=6)
    positioning: list[Claim] = Field(default_factory=list, max_length=3)


@dataclass(frozen=True)
class Held:
    """What holds of a reading, and how much did not."""

    attributes: tuple[ReadAttribute, ...]
    risks: tuple[ReadRisk, ...]
    positioning: tuple[Claim, ...]
    struck: int

    @property
    def empty(self) -> bool:
        return not (self.attributes or self.risks or self.positioning)


def held(reading: Reading, texts: Sequence[str], facts: Sequence[Fact]) -> Held:
    """Attributes and risks whose words stand in one of the texts, sentences whose figures are those of the facts."""
    sources = [_plain(text) for text in texts]
    attributes = {
        each.name.casefold(): ReadAttribute(name=each.name, value=readable(each.value), quote=readable(each.quote))
        for each in reading.attributes
        if _NAME.fullmatch(each.name)
        and _plain(each.value) in _plain(each.quote)
        and any(_plain(each.quote) in source for source in sources)
        and not holds_link(each.quote)
    }
    risks = {
        each.kind: ReadRisk(kind=each.kind, quote=readable(each.quote))
        for each in reading.risks
        if any(_plain(each.quote) in source for source in sources) and not holds_link(each.quote)
    }
    said, _ = verified(reading.positioning, facts)
    told = len(reading.attributes) + len(reading.risks) + len(reading.positioning)
    struck = told - len(attributes) - len(risks) - len(said)
    return Held(tuple(attributes.values()), tuple(risks.values()), tuple(said), struck)


def text_of(html: str) -> str:
    """The words of a description."""
    return readable(_TAG.sub(" ", html))


def _plain(text: str) -> str:
    return readable(text).casefold()


class ReadingDesk:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def goods(self, product_id: UUID) -> GoodsText | None:
        """What is written about a product. None: it is not there."""
        return await rows.goods(self._session, product_id)


async def note(unit: UnitOfWork, command: NoteReading) -> None:
    """Keep a reading; a newer one takes the place of an older. Raises NotFound for goods that are not there."""
    value = storable(command.model_dump(mode="json", exclude={"product_id", "call_id"}))
    await rows.put(unit, command.product_id, command.call_id, value)


async def newest(session: AsyncSession, limit: int) -> list[KeptReading]:
    return await rows.newest(session, limit)
