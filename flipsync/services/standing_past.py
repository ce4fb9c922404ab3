"""What an agent might decide alone at some time in the past, by the decisions that took authority or gave it back."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import utc_now
from flipsync.domain.commands import MoveAuthority
from flipsync.services.standing import Standing, lowest
from flipsync.store.repositories import grades as rows


class PastStandings:
    """`moves` in the order they were decided, each with its decision's id."""

    def __init__(self, moves: Iterable[tuple[UUID, MoveAuthority]]) -> None:
        self._moves: defaultdict[tuple[str, str], list[tuple[UUID, Standing]]] = defaultdict(list)
        for decision_id, each in moves:
            standing = Standing(each.agent, each.kind, each.to, each.trusted, utc_now(), each.reason)
            self._moves[each.agent, each.kind].append((decision_id, standing))

    def of(self, agent: str, kinds: Collection[str], decision_id: UUID) -> Standing | None:
        """The lowest that bore on a decision of that id on these kinds; None when nothing was taken away."""
        found = []
        for kind in kinds:
            moves = self._moves.get((agent, kind), [])
            place = bisect_left(moves, decision_id, key=lambda move: move[0])
            if place and moves[place - 1][1].level != "full":
                found.append(moves[place - 1][1])
        return lowest(found)


async def past(session: AsyncSession) -> PastStandings:
    if not await rows.standings(session):
        return PastStandings(())  # nothing was ever moved
    moves = [(row.decision_id, MoveAuthority.model_validate(row.payload)) for row in await rows.moves(session)]
    return PastStandings(moves)
