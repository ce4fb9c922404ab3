"""What an agent asks before it divides the fleet's budgets: how much is used, and what more would bring where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import Conflict
from flipsync.domain.money import minor_digits
from flipsync.domain.steering_commands import ShareBudgets
from flipsync.intelligence.sharing import Step
from flipsync.services.settings_changes import set_settings
from flipsync.services.tenant_settings import FleetChoices, TenantProfile, profile
from flipsync.store.repositories import budgets as rows
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from flipsync.services.quotes import ListingQuote

#: a change of a listing takes a write and the look whether it arrived
CALLS = 2
LISTINGS, MARGIN, CALLS_AN_HOUR = "listings", "margin", "calls"


@dataclass(frozen=True)
class Used:
    """What of the fleet's budgets is spent or promised within the hour, as shares of the totals."""

    listings: float
    margin: float


@dataclass(frozen=True)
class ChannelMoves:
    """What the changes of prices that wait on a channel are worth, and the calls it can take an hour.

    Values are expected profit a day in minor units of `currency`; `waiting` is None where nothing waits.
    """

    account_id: UUID
    name: str
    currency: str
    calls_per_hour: float
    waiting: Step | None


@dataclass(frozen=True)
class ResourceReview:
    fleet: FleetChoices
    channels: list[ChannelMoves]


class ResourceDesk:
    """Questions about budgets, from one read-only transaction."""

    def __init__(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        profile: Callable[[], Awaitable[TenantProfile]],
        quotes: Callable[[], Awaitable[Sequence[ListingQuote]]],
    ) -> None:
        self._session, self._tenant_id, self._profile, self._quotes = session, tenant_id, profile, quotes

    async def used(self) -> Used:
        """One small read."""
        fleet = (await self._profile()).settings.fleet
        spent = await rows.spent(self._session)
        return Used(
            round(spent.get(f"{rows.FLEET}listings", 0) / fleet.listings_per_hour, 4),
            round(spent.get(f"{rows.FLEET}margin", 0) / fleet.margin_at_risk_minor, 4),
        )

    async def review(self) -> ResourceReview:
        """Every price of the catalogue is looked at."""
        fleet = (await self._profile()).settings.fleet
        moves: defaultdict[UUID, list[tuple[float, float]]] = defaultdict(list)
        for quote in await self._quotes():
            if (worth := gain(quote)) is not None:
                step = abs(quote.quote.best.amount_minor - quote.quote.current.amount_minor)
                moves[quote.account_id].append((worth, float(step * max(1, quote.units_on_offer))))
        channels = [
            ChannelMoves(
                account.id,
                account.name,
                account.currency,
                pace * 3600,
                as_step(moves[account.id]),
            )
            for account, pace in await listing_rows.paced_accounts(self._session)
            if account.status == "connected"
        ]
        return ResourceReview(fleet, channels)


def gain(quote: ListingQuote) -> float | None:
    """What a move is expected to earn a day more than staying, in minor units; None for no move, or one not known."""
    told = quote.quote
    if told.best == told.current or told.expected_profit_per_day is None:
        return None
    stay = next((each.expected_profit_per_day for each in told.alternatives if each.price == told.current), None)
    if stay is None:
        return None
    return max(0.0, float((told.expected_profit_per_day - stay).scaleb(minor_digits(told.best.currency))))


def as_step(moves: Sequence[tuple[float, float]]) -> Step | None:
    """Moves as (worth, stake), as a share of a budget brings them: they go ahead as they come, so it is their mean."""
    if not moves:
        return None
    worth, stake = (sum(each[at] for each in moves) / len(moves) for at in (0, 1))
    uses = {LISTINGS: 1.0, MARGIN: round(stake, 2), CALLS_AN_HOUR: float(CALLS)}
    return Step(float(len(moves)), round(worth, 4), uses)


async def share(unit: UnitOfWork, command: ShareBudgets) -> None:
    """Set the shares, as a change of settings that can be taken back. Raises Conflict where the owner keeps them."""
    fleet = (await profile(unit.session, unit.tenant_id)).settings.fleet
    if not fleet.share_out:
        raise Conflict("the owner keeps the shares (fleet.share_out is off)")
    wanted = {
        "fleet.listing_shares_bps": command.listing_shares_bps,
        "fleet.margin_shares_bps": command.margin_shares_bps,
        "purchasing.cash_shares_bps": command.cash_shares_bps,
        "advertising.budget_shares_bps": command.ad_shares_bps,
    }
    fact = await set_settings(unit, {name: shares for name, shares in wanted.items() if shares is not None})
    if fact is not None:
        unit.audit("settings.changed", "tenant", unit.tenant_id, before=fact.before, after=fact.after)
