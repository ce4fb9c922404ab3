"""What an agent asks about goods that somebody may buy: which they are, and what they would earn on which channel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.channel import Vendor
from flipsync.domain.goals import Risk
from flipsync.domain.sourcing import CATALOGUES, ChannelScore
from flipsync.services.tenant_settings import TenantProfile
from flipsync.store.models import CatalogueFind, SourcingLine
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import sourcing as rows
from flipsync.store.repositories import sourcing_facts as facts
from flipsync.store.repositories.listings import AccountRow

if TYPE_CHECKING:
    from flipsync.services.sourcing.identity import Identity

#: lines that are judged in one decision
PART = 100
#: the chance of earning what is asked that a purchase needs, by the owner's word for risk
CHANCES: dict[Risk, float] = {"careful": 0.8, "balanced": 0.65, "bold": 0.5}


@dataclass(frozen=True)
class Assessed:
    """One line: the article it seems to be, and every channel of ours with what it would earn there, the best first.

    `identity` is how sure that is; `missing` what has to be known before money is spent.
    """

    line_id: UUID
    text: str
    currency: str
    cost_minor: int | None
    units: int
    product: str
    variant_id: UUID | None
    by: str
    identity: float
    identity_why: str
    scores: tuple[ChannelScore, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """A channel whose catalogue is worth asking."""

    account_id: UUID
    channel: str


@dataclass(frozen=True)
class ScanPart:
    """A part of what was asked. `ask`: channels to ask now; `waiting`: those that were asked and have not answered.

    `chance`, `turn_days` and `turn_share` are what the owner asks of purchases.
    """

    name: str
    is_list: bool
    lines: tuple[Assessed, ...]
    ask: tuple[Asked, ...]
    waiting: tuple[str, ...]
    chance: float
    turn_days: int
    turn_share: float


class SourcingDesk:
    """Questions about goods to buy, from one read-only transaction."""

    def __init__(self, session: AsyncSession, now: datetime, profile: Callable[[], Awaitable[TenantProfile]]) -> None:
        self._session = session
        self._now = now
        self._profile = profile

    async def part(self, scan_id: UUID, part: int) -> ScanPart | None:
        """None for a scan that is not there, or a part beyond its end."""
        scan = await rows.scan(self._session, scan_id)
        lines = await rows.lines(self._session, scan_id, part * PART, PART) if scan is not None else []
        if scan is None or not lines:
            return None
        profile = await self._profile()
        accounts = [row for row in await listing_rows.accounts(self._session) if row.status == "connected"]
        found = await rows.finds(self._session, [line.id for line in lines])
        answered = await rows.answered(self._session, scan_id, part)
        assessed = await self._assess(lines, accounts, found, profile)
        asked = (
            set() if all(line.verdict is None for line in lines) else {each for line in lines for each in line.waiting}
        )
        ask, waiting = [], []
        for account in accounts:
            batch = CATALOGUES.get(cast(Vendor, account.vendor), 0)
            if account.id in answered or not batch or (scan.kind == "list" and batch < 2):
                continue  # a list is not asked about line by line: it would use up the channel's day
            if account.name in asked:
                waiting.append(account.name)
            else:
                ask.append(Asked(account.id, account.name))
        choices, goals = profile.settings.sourcing, profile.settings.goals
        return ScanPart(
            name=scan.name,
            is_list=scan.kind == "list",
            lines=tuple(assessed),
            ask=tuple(ask),
            waiting=tuple(waiting),
            chance=CHANCES[goals.risk],
            turn_days=choices.turn_days,
            turn_share=choices.turn_share,
        )

    async def _assess(
        self,
        lines: Sequence[SourcingLine],
        accounts: Sequence[AccountRow],
        found: Sequence[CatalogueFind],
        profile: TenantProfile,
    ) -> list[Assessed]:
        from flipsync.services.sourcing import judging  # numpy: not in every process
        from flipsync.services.sourcing.profit import Wishes

        identities = await self._identify(lines, found)
        variants = [UUID(each.article.key) for each in identities if each.article and not each.article.source]
        choices = profile.settings.sourcing
        wishes = Wishes(
            profit_minor=choices.min_profit_minor,
            roi=choices.min_roi_bps / 10_000,
            chance=CHANCES[profile.settings.goals.risk],
            turn_days=float(choices.turn_days),
            turn_share=choices.turn_share,
        )
        past = await facts.outcomes(self._session, self._now)
        assessed: dict[UUID, Assessed] = {}
        for currency in sorted({line.currency for line in lines}):
            places = [place for place, line in enumerate(lines) if line.currency == currency]
            here = [account for account in accounts if account.currency == currency]
            books = judging.Books(
                sold=await facts.sold(self._session, currency, self._now),
                of_goods=await facts.sold(self._session, currency, self._now, variants) if variants else [],
                parcels=await facts.parcels(self._session, currency),
                outcomes=[row for row in past if row.currency == currency],
            )
            asked = [judging.Line(lines[place], identities[place], found) for place in places]
            judged = await asyncio.to_thread(
                judging.judge, asked, here, books, wishes, profile.settings.pricing, self._now
            )
            assessed |= {each.line_id: each for each in judged}
        return [assessed[line.id] for line in lines]

    async def _identify(self, lines: Sequence[SourcingLine], found: Sequence[CatalogueFind]) -> list[Identity]:
        from flipsync.services.sourcing import identity as known

        codes = {line.gtin for line in lines if line.gtin} | {code for row in found for code in row.codes}
        ours = await facts.goods(self._session, codes) if codes else []
        if any(not (line.gtin or line.asin) or (line.title and line.gtin) for line in lines):
            # by title there has to be something to be unlike: all of our goods
            coded = {row.variant_id for row in ours}
            ours += [row for row in await facts.goods(self._session, None) if row.variant_id not in coded]
        return await asyncio.to_thread(known.identify_all, lines, ours, found)
