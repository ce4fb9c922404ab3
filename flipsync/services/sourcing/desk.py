"""What an agent asks about goods that somebody may buy: which they are, and what they would earn on which channel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.channel import Vendor
from flipsync.domain.goals import Risk
from flipsync.domain.sourcing import CATALOGUES, ChannelScore
from flipsync.services.grounds import JudgeGround
from flipsync.services.tenant_settings import TenantProfile, TenantSettings
from flipsync.store.models import CatalogueFind, SourcingLine
from flipsync.store.repositories import listings as listing_rows
from flipsync.store.repositories import sourcing as rows
from flipsync.store.repositories import sourcing_facts as facts

if TYPE_CHECKING:
    from flipsync.services.sourcing.identity import Identity
    from flipsync.services.sourcing.judging import Books

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

    `chance`, `turn_days` and `turn_share` are what the owner asks of purchases, by which the lines are judged.
    """

    name: str
    is_list: bool
    lines: tuple[Assessed, ...]
    ask: tuple[Asked, ...]
    waiting: tuple[str, ...]
    chance: float = 0.0
    turn_days: int = 0
    turn_share: float = 0.0


def part_of(told: ScanPart, ground: JudgeGround, settings: TenantSettings, now: datetime) -> ScanPart:
    """The part from what is kept of it, under these settings."""
    from flipsync.services.sourcing.judging import judged  # numpy: not in every process

    choices = settings.sourcing
    return replace(
        told,
        lines=judged(told.lines, ground, settings, now),
        chance=CHANCES[settings.goals.risk],
        turn_days=choices.turn_days,
        turn_share=choices.turn_share,
    )


class SourcingDesk:
    """Questions about goods to buy, from one read-only transaction."""

    def __init__(
        self,
        session: AsyncSession,
        now: datetime,
        profile: Callable[[], Awaitable[TenantProfile]],
        note: Callable[[JudgeGround], None] = lambda _: None,
    ) -> None:
        """`note` is told what a part is worked out from."""
        self._session, self._now, self._profile, self._note = session, now, profile, note

    async def part(self, scan_id: UUID, part: int) -> ScanPart | None:
        """None for a scan that is not there, or a part beyond its end."""
        scan = await rows.scan(self._session, scan_id)
        lines = await rows.lines(self._session, scan_id, part * PART, PART) if scan is not None else []
        if scan is None or not lines:
            return None
        from flipsync.services.sourcing import judging  # numpy: not in every process

        settings = (await self._profile()).settings
        accounts = [row for row in await listing_rows.accounts(self._session) if row.status == "connected"]
        found = await rows.finds(self._session, [line.id for line in lines])
        answered = await rows.answered(self._session, scan_id, part)
        identities = await self._identify(lines, found)
        theirs = [judging.Line(line, each, found) for line, each in zip(lines, identities, strict=True)]
        books = await self._books(lines, identities)
        ground = await asyncio.to_thread(judging.ground_of, theirs, accounts, books, settings)
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
        unjudged = ScanPart(
            name=scan.name,
            is_list=scan.kind == "list",
            lines=tuple(each.unjudged() for each in theirs),
            ask=tuple(ask),
            waiting=tuple(waiting),
        )
        told = await asyncio.to_thread(part_of, unjudged, ground, settings, self._now)
        self._note(ground)
        return told

    async def _books(self, lines: Sequence[SourcingLine], identities: Sequence[Identity]) -> dict[str, Books]:
        """What is known in each currency of the lines."""
        from flipsync.services.sourcing.judging import Books

        variants = [UUID(each.article.key) for each in identities if each.article and not each.article.source]
        past = await facts.outcomes(self._session, self._now)
        return {
            currency: Books(
                sold=await facts.sold(self._session, currency, self._now),
                of_goods=await facts.sold(self._session, currency, self._now, variants) if variants else [],
                parcels=await facts.parcels(self._session, currency),
                outcomes=[row for row in past if row.currency == currency],
            )
            for currency in sorted({line.currency for line in lines})
        }

    async def _identify(self, lines: Sequence[SourcingLine], found: Sequence[CatalogueFind]) -> list[Identity]:
        from flipsync.services.sourcing import identity as known

        codes = {line.gtin for line in lines if line.gtin} | {code for row in found for code in row.codes}
        ours = await facts.goods(self._session, codes) if codes else []
        if any(not (line.gtin or line.asin) or (line.title and line.gtin) for line in lines):
            # by title there has to be something to be unlike: all of our goods
            coded = {row.variant_id for row in ours}
            ours += [row for row in await facts.goods(self._session, None) if row.variant_id not in coded]
        return await asyncio.to_thread(known.identify_all, lines, ours, found)
