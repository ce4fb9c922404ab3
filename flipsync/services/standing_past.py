"""What an agent might decide alone in the past: by decisions that moved authority, and the owner's limits."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.clock import utc_now
from flipsync.domain.commands import MoveAuthority
from flipsync.services.standing import Standing, lowest
from flipsync.services.tenant_settings import TenantSettings, changed
from flipsync.store.repositories import grades as rows


class PastStandings:
    """`moves` in the order they were decided, each with its decision's id; `switched` from when on outcomes might move
    authority (True) or not, each with the id of the fact that says so; `limits` from when on the owner's were so."""

    def __init__(
        self,
        moves: Iterable[tuple[UUID, MoveAuthority]],
        switched: Sequence[tuple[UUID, bool]] = (),
        limits: Sequence[tuple[UUID, TenantSettings]] = ((UUID(int=0), TenantSettings()),),
    ) -> None:
        self._switched = switched
        self._limits = limits
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

    def limits(self, decision_id: UUID) -> TenantSettings:
        """The owner's limits of agents when that was decided, and no other setting."""
        return self._limits[max(0, bisect_left(self._limits, decision_id, key=lambda each: each[0]) - 1)][1]

    def were_off(self, decision_id: UUID) -> bool:
        """Whether the owner had it switched off when that was decided."""
        place = bisect_left(self._switched, decision_id, key=lambda each: each[0])
        return bool(place) and not self._switched[place - 1][1]


async def past(session: AsyncSession, settings: TenantSettings) -> PastStandings:
    """`settings` are those of now."""
    on = settings.grades.move_authority
    limits = await _limits(session, TenantSettings(agents=settings.agents))
    changes = await rows.switched(session)
    switched = [(changed_at, after) for changed_at, _, after in changes]
    switched.insert(0, (UUID(int=0), changes[0][1] if changes else on))
    if not await rows.standings(session):
        return PastStandings((), switched, limits)  # nothing was ever moved
    moves = [(row.decision_id, MoveAuthority.model_validate(row.payload)) for row in await rows.moves(session)]
    return PastStandings(moves, switched, limits)


async def _limits(session: AsyncSession, present: TenantSettings) -> list[tuple[UUID, TenantSettings]]:
    """From when on which limits were in force, oldest first: what is in force now, taken back change by change."""
    found = []
    for changed_at, before in reversed(await rows.limited(session)):
        found.append((changed_at, present))
        present = changed(present, before)
    return [(UUID(int=0), present), *reversed(found)]
