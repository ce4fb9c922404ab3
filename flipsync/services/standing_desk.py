"""Standings in the books: what outcomes say should change, the change itself, and what people see of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.commands import MoveAuthority
from flipsync.domain.errors import Conflict
from flipsync.learning.evaluation.recalibration import IDENTITY
from flipsync.services import recalibrating
from flipsync.services.grounds import MovesGround
from flipsync.services.reading_page import Moment, View
from flipsync.services.recalibrating import Recalibrated
from flipsync.services.settings_changes import set_settings
from flipsync.services.standing import Level, Standing, StandingMove, judge, movable
from flipsync.services.tenant_settings import TenantProfile, profile
from flipsync.store.repositories import grades as rows
from flipsync.store.repositories.grades import StandingRow
from flipsync.store.unit_of_work import UnitOfWork

#: outcomes of one agent and kind a look rests on: the newest since the last change
_MOST = 3_000


class GradeDesk:
    def __init__(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        now: datetime,
        profile: Callable[[], Awaitable[TenantProfile]],
        note: Callable[[MovesGround], None] = lambda _: None,
    ) -> None:
        self._session, self._tenant_id, self._now, self._profile = session, tenant_id, now, profile
        self._note = note

    async def moves(self) -> list[StandingMove]:
        """Agents whose outcomes say that they should decide less, or may decide more again, alone; none while the owner
        has it switched off."""
        on = (await self._profile()).settings.grades.move_authority
        found = await self._found()
        self._note(MovesGround(on, found))
        return found if on else []

    async def _found(self) -> list[StandingMove]:
        standings = {(each.agent, each.kind): each for each in await of_tenant(self._session)}
        found: defaultdict[tuple[str, str], list[rows.GradedRow]] = defaultdict(list)
        for row in await rows.known(self._session, self._tenant_id, None, _MOST):
            standing = standings.get((row.agent, row.kind))
            if movable(row.kind) and (standing is None or row.decided_at > standing.since):
                found[row.agent, row.kind].append(row)
        pairs = sorted({*found, *standings})
        judged = (judge(*pair, standings.get(pair), found.get(pair, []), self._now) for pair in pairs)
        return [move for move in judged if move is not None]


async def of_tenant(session: AsyncSession) -> list[Standing]:
    """Standings that were ever changed, by agent and kind."""
    return [_standing(row) for row in await rows.standings(session)]


async def in_force(session: AsyncSession, tenant_id: UUID) -> dict[tuple[str, str], Standing]:
    """Those that take something away; none while the owner has it switched off."""
    if not (await profile(session, tenant_id)).settings.grades.move_authority:
        return {}
    return {(each.agent, each.kind): each for each in await of_tenant(session) if each.level != "full"}


async def maps_in_force(session: AsyncSession, tenant_id: UUID) -> dict[tuple[str, str], Recalibrated]:
    """Maps of confidence that bear on authority, of kinds that may wait; none while the owner has it switched off."""
    maps = [each for each in await recalibrating.of_tenant(session, tenant_id) if movable(each.kind)]
    if not maps or not (await profile(session, tenant_id)).settings.grades.move_authority:
        return {}
    return {(each.agent, each.kind): each for each in maps if each.map != IDENTITY}


async def move(unit: UnitOfWork, command: MoveAuthority) -> None:
    """Raises Conflict for a kind that must not wait, a standing that moved meanwhile, or when it is switched off."""
    if not movable(command.kind):
        raise Conflict(f"authority over {command.kind} stays: waiting would do harm")
    if not (await profile(unit.session, unit.tenant_id)).settings.grades.move_authority:
        raise Conflict("the owner has switched it off")
    values = {"level": command.to, "trusted": command.trusted, "reason": command.reason, "since": unit.now}
    if not await rows.move_standing(unit.session, unit.tenant_id, command.agent, command.kind, command.was, values):
        raise Conflict("the standing was changed meanwhile")


def _standing(row: StandingRow) -> Standing:
    level: Level = "none" if row.level == "none" else "reduced" if row.level == "reduced" else "full"
    return Standing(row.agent, row.kind, level, row.trusted, row.since, row.reason)


class StandingView(View):
    """What an agent may decide alone of one kind. `level`: full, reduced (a quarter of its stake limit), none."""

    agent: str
    kind: str
    level: Level
    trusted: float = Field(description="the share of its confidence that counts")
    since: Moment
    reason: str


class AuthorityView(View):
    """Standings that outcomes have changed; every other agent has what its declaration says."""

    move_authority: bool = Field(description="whether outcomes may take authority away; standings rest while not")
    standings: list[StandingView]


async def look(session: AsyncSession, tenant_id: UUID) -> AuthorityView:
    choices = (await profile(session, tenant_id)).settings.grades
    found = [
        StandingView(
            agent=each.agent,
            kind=each.kind,
            level=each.level,
            trusted=each.trusted,
            since=each.since,
            reason=each.reason,
        )
        for each in await of_tenant(session)
    ]
    return AuthorityView(move_authority=choices.move_authority, standings=found)


async def switch(unit: UnitOfWork, *, on: bool) -> AuthorityView:
    """Let outcomes move authority, or not; from within a minute on."""
    if await set_settings(unit, {"grades.move_authority": on}):
        unit.audit("grades.switched", "tenant", unit.tenant_id, move_authority=on)
    return await look(unit.session, unit.tenant_id)
