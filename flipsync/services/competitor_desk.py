"""A listing's rivals as the books have them: who they are, how they answer, what is alarming. And alarms, kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.commands import RaiseRivalAlarm
from flipsync.services.competitors import Ours, Raised, Reaction, Seen, alarms, reaction, rival_set
from flipsync.store.repositories import rivals as rows
from flipsync.store.unit_of_work import UnitOfWork

#: how long what rivals asked is kept, and how long an alarm is not raised again
KEPT, QUIET = timedelta(days=60), timedelta(hours=48)
#: rivals of one listing that are read, the cheapest
_MOST_RIVALS = 20


@dataclass(frozen=True)
class Rivalry:
    """The rivals of one listing now. `raised` leaves out what was raised within QUIET."""

    currency: str
    reactions: tuple[Reaction, ...]
    raised: tuple[Raised, ...]
    known: frozenset[str]


class CompetitorDesk:
    """Questions about rivals, from one read-only transaction."""

    def __init__(self, session: AsyncSession, now: datetime) -> None:
        self._session = session
        self._now = now

    async def rivalry(self, listing_id: UUID) -> Rivalry | None:
        """None for a listing that is not on sale."""
        found = await rows.listing(self._session, listing_id)
        if found is None or found.price_minor is None:
            return None
        moves = await rows.moves(self._session, listing_id, found.currency)
        seen = [Seen(row.seller, row.price_minor, row.in_stock, row.at, row.id) for row in moves]
        begin = min((each.at for each in seen), default=self._now) - timedelta(days=1)
        changes = await rows.our_prices(self._session, listing_id, begin)
        first = changes[0].old_minor if changes else found.price_minor
        ours = [Ours(first, begin)] if first is not None else []
        ours += [Ours(change.new_minor, change.at) for change in changes]
        if ours and ours[-1].price_minor != found.price_minor:  # set by hand on the channel: no change of ours
            ours.append(Ours(found.price_minor, self._now))
        cost = found.cost_minor if found.cost_currency == found.currency else None
        known = await rows.alarms_since(self._session, listing_id, self._now - QUIET)
        raised = alarms(seen, ours, self._now, cost, found.currency)
        return Rivalry(
            currency=found.currency,
            reactions=tuple(reaction(seller, seen, ours) for seller in rival_set(seen)[:_MOST_RIVALS]),
            raised=tuple(each for each in raised if each.alarm not in known),
            known=frozenset(known),
        )


async def raise_alarm(unit: UnitOfWork, command: RaiseRivalAlarm) -> None:
    """Keep an alarm."""
    await rows.add_alarm(unit, command.listing_id, command.alarm, command.why, command.evidence)


async def forget_old(unit: UnitOfWork) -> None:
    """Drop what rivals asked longer ago than it is kept."""
    await rows.forget_before(unit.session, unit.now - KEPT)
