"""What a memory of meanings answers: which episodes of a business are nearest to some words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True)
class Near:
    """An episode, and how alike it is: the cosine of its words and those of the question."""

    id: UUID
    similarity: float


class Index(Protocol):
    """Answers for one business at a time; what it answers are ids, to be read in the books under the business's own
    row-level security."""

    async def nearest(self, tenant_id: UUID, words: str, k: int) -> list[Near]:
        """Nearest first. Raises Unavailable where there is no index, or it takes too long."""
        ...
