"""What a memory of meanings is asked, and what keeps its vectors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from uuid import UUID, uuid5

#: what a vector carries beside its figures: whose it is, and of which episode. No word of it.
TENANT, EPISODE = "tenant", "episode"
#: vectors of one kind lie in a place of their own: another model, or another shape, begins anew
COLLECTION: Final = "episodes-1"


@dataclass(frozen=True)
class Near:
    """An episode, and how alike it is: the cosine of its words and those of the question."""

    id: UUID
    similarity: float


class Index(Protocol):
    """Answers for one business at a time; what it answers are ids, to be read in the books under the business's own
    row-level security."""

    async def nearest(self, tenant_id: UUID, words: str, k: int, among: Collection[UUID] | None = None) -> list[Near]:
        """Nearest first; with `among`, of these episodes only. Raises Unavailable where there is no index, or it takes
        too long."""
        ...


Vector = Sequence[float]


class Vectors(Protocol):
    """Keeps vectors of episodes, each of one business. Every call is about one: nothing of another is read, written
    over or forgotten by it, whatever ids it names. Raises Unavailable.

    A vector's own id is made of business and episode (`point_id`), so that the same episode of another business is
    another vector.
    """

    def put(self, tenant_id: UUID, vectors: Sequence[tuple[UUID, Vector]]) -> None:
        """Keep them, on disk when it returns; one that is there already is written over."""
        ...

    def nearest(self, tenant_id: UUID, vector: Vector, k: int, among: Collection[UUID] | None = None) -> list[Near]: ...

    def count(self, tenant_id: UUID) -> int: ...

    def episodes(self, tenant_id: UUID) -> Iterator[list[UUID]]:
        """All of them, in pages."""
        ...

    def forget(self, tenant_id: UUID, episode_ids: Collection[UUID]) -> None: ...

    def forget_all(self, tenant_id: UUID) -> None: ...

    def tenants(self) -> set[UUID]:
        """Whose vectors there are; for whoever tidies up."""
        ...

    def clear(self) -> None:
        """Forget everything of everybody, to begin anew."""
        ...

    def close(self) -> None: ...


class Embedder(Protocol):
    """Turns words into vectors of one length; equal words into equal ones."""

    name: str
    size: int

    def embed(self, texts: Sequence[str]) -> list[list[float]]: ...


def point_id(tenant_id: UUID, episode_id: UUID) -> UUID:
    return uuid5(tenant_id, str(episode_id))
