"""What past decisions would have read under a change that is not made.

`ChangedDesk` answers an agent's questions from a decision's notes, as they would have been answered with the change:
answers that it shapes are worked out again, by the functions that worked them out then, from what was kept beside them.
Everything else is answered as it was. It refuses (`CannotTell`) rather than guess.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from flipsync.domain.directives import Directive
from flipsync.domain.errors import FlipSyncError
from flipsync.domain.goals import Goals
from flipsync.services import order_choice
from flipsync.services.advertising.desk import review_of
from flipsync.services.buying_desk import settings_of, worked_out
from flipsync.services.channel_pace import Pace
from flipsync.services.desk import StockPicture, picture_from
from flipsync.services.dry_run_change import Change
from flipsync.services.grounds import (
    GROUNDS,
    AdGround,
    BuyGround,
    Enough,
    JudgeGround,
    MarginGround,
    MovesGround,
    PaceGround,
    PriceGround,
    TrainingGround,
)
from flipsync.services.learned_buying import ShopOrder
from flipsync.services.model_review import train_because
from flipsync.services.policy_choice import SHIPPED, Staged, Version
from flipsync.services.pricing.policy import PricingPolicy
from flipsync.services.quotes import margins_from, quotes_from
from flipsync.services.recorded_desk import Question, RecordedDesk, read_answer, read_ground
from flipsync.services.repricing import repricing_from
from flipsync.services.sourcing.desk import ScanPart, part_of
from flipsync.services.tenant_settings import PricingChoices, StockChoices, TenantSettings
from flipsync.store.repositories.inventory import ShareRow
from flipsync.store.repositories.pricing import PriceRow

#: how long the past is that a partitioned item's units are shared out by
_WINDOW: Final = "stock.demand_window_days"
#: questions whose answers rest on what was sold by day
_BY_DAY = frozenset(
    {
        *(f"purchasing.{name}" for name in ("review", "plan", "returns")),
        *(f"strategy.{name}" for name in ("outlook", "planned", "running", "overdue")),
        *("transfers.review", "transfers.plan", "sourcing.part", "care.review", "weeks.week", "models.review"),
    }
)
#: what money is divided under
_LIMITS = frozenset({"purchasing.cash_minor", "advertising.total_budget_minor", "advertising.mode"})
#: of purchasing, what transfers to channels' warehouses are planned by
_SENT = frozenset(f"purchasing.{name}" for name in ("review_days", "holding_bps", "line_cost_minor", "most_cover_days"))


_GONE = "the policy that decided is not in the registry any more"


class Books(Protocol):
    """What is asked of the books where a decision did not read it."""

    async def sold(self, listings: Sequence[UUID], since: datetime) -> Mapping[UUID, int]:
        """Units that listings sold since a moment, as far as was known when it was decided."""

    async def paces(self) -> Mapping[UUID, Pace]:
        """How fast accounts are, as measured last: how fast they were then is not kept."""


class CannotTell(FlipSyncError):
    """What the decision would have read with the change cannot be known from what it keeps."""

    code = "cannot-tell"


@dataclass(frozen=True)
class Priced:
    """A listing and the owner's choices, as they were and as they would have been, and the rule that priced it."""

    row: PriceRow
    would: PriceRow
    then: PricingChoices
    now: PricingChoices
    rule: PricingPolicy


class ChangedDesk(RecordedDesk):
    """Answers as it would have with the change."""

    def __init__(
        self,
        tenant_id: UUID,
        packed: bytes,
        change: Change,
        versions: Mapping[str, Version],
        buying: Mapping[str, order_choice.Version] | None = None,
        books: Books | None = None,
    ) -> None:
        """`versions` are the price policies of the registry, by id and by version; `buying` those that buy. Without
        `books` neither another window of demand nor another way to share the shelf can be tried."""
        super().__init__(tenant_id, packed)
        self._change = change
        self._versions = versions
        self._buying = buying or {}
        self._books = books
        #: what prices were decided from, by listing, where the change touches prices
        self.priced: dict[UUID, Priced] = {}
        #: whether the owner wants to be asked before money is spent on ads, as it was and as it would have been
        self.asks_for_ads = (False, False)
        #: what bound agents, as it was and as it would have been
        self.directives: tuple[tuple[Directive, ...], tuple[Directive, ...]] = ((), change.bound(()))
        #: pictures of stock as they were and as they would have been
        self.pictures: list[tuple[StockPicture, StockPicture]] = []

    def _question(self, name: str) -> Question:
        async def answer(*arguments: Any, **named: Any) -> Any:
            written, kept = self._noted(name, arguments, named)
            told = read_answer(name, written)
            if name == "profile":
                settings = self._change.applied(told.settings)
                self.asks_for_ads = (told.settings.advertising.mode == "ask", settings.advertising.mode == "ask")
                bound = self._change.bound(told.directives)
                self.directives = (told.directives, bound)
                return told.model_copy(update={"settings": settings, "directives": bound})
            if name == "orders.oversold" and self._change.touches_fees_or_costs and told is not None:
                raise CannotTell("what an oversold order was worked out from is not kept")
            if name == "models.review" and self._change.touches_earnings and (told.live or told.canary or told.shadow):
                raise CannotTell("the sales that price policies were judged by are not kept with the judgement")
            _refuse_beside(name, told, self._change)
            if name not in GROUNDS or not self._change.touches(name.partition(".")[0]):
                return told
            if name in ("stock.picture", "sourcing.part") and told is None:
                return told  # it is gone
            if name == "stock.picture" and not self._shapes(told):
                return told
            if kept is None:
                raise CannotTell("what its answers were worked out from is not kept: from before it was, or too much")
            ground = read_ground(name, kept)
            if isinstance(ground, PaceGround):
                then, now = await self._shared(told, ground)
            else:
                then, now = await asyncio.to_thread(self._worked_out, name, arguments, told, ground)
            if then != told:
                raise CannotTell("with the settings of then it does not come out as then: the code has changed since")
            return now

        return answer

    def _shapes(self, told: StockPicture) -> bool:
        """Of partitioned stock, whether the change bears on it."""
        other = self._change.stock_mode not in (None, told.item.mode)
        return other or told.item.mode == "pooled" or _WINDOW in self._change.settings

    async def _shared(self, told: StockPicture, ground: PaceGround) -> tuple[StockPicture, StockPicture]:
        """An item's shares as they were, and as they would have been: partitioned ones rest on what listings sold
        within the window, pooled ones on how fast the accounts are."""
        choices = self._change.applied(TenantSettings(stock=ground.choices)).stock
        modes = told.item.mode, self._change.stock_mode or told.item.mode
        then = picture_from(told.item, told.listings, ground.choices, ground.paces)
        rows, paces = told.listings, ground.paces
        if modes[1] == "escrow":
            if modes[0] == "escrow" and await self._sold(rows, ground.choices) != rows:
                raise CannotTell("what had been sold by then is not in the books any more as it was")
            rows = await self._sold(rows, choices)
        elif modes[0] == "escrow":
            rows = tuple(replace(row, sold=0) for row in rows)
            paces = dict(await self._asked().paces())
        now = picture_from(replace(told.item, mode=modes[1]), rows, choices, paces)
        self.pictures.append((then, now))
        return then, now

    async def _sold(self, rows: tuple[ShareRow, ...], choices: StockChoices) -> tuple[ShareRow, ...]:
        since = self.now - timedelta(days=choices.demand_window_days)
        sold = await self._asked().sold([row.listing_id for row in rows], since)
        return tuple(replace(row, sold=sold.get(row.listing_id, 0)) for row in rows)

    def _asked(self) -> Books:
        if self._books is None:
            raise CannotTell("it asks what was not read then")
        return self._books

    def _worked_out(self, name: str, arguments: tuple[Any, ...], told: Any, ground: Enough) -> tuple[Any, Any]:
        """The answer as it was, and as it would have been."""
        match ground:
            case BuyGround():
                return self._bought(name, arguments, ground)
            case AdGround():
                was = TenantSettings(pricing=ground.pricing, advertising=ground.limits)
                would = self._change.applied(was)
                other = replace(ground, listings=[self._change.advertised(row) for row in ground.listings])
                return (
                    review_of(arguments[0], ground, was.pricing, was.advertising, self.now),
                    review_of(arguments[0], other, would.pricing, would.advertising, self.now),
                )
            case JudgeGround():
                return self._judged(told, ground)
            case TrainingGround():
                key = "purchasing" if arguments[0] == ShopOrder.kind else "pricing"
                tried = self._change.settings
                would_be = replace(
                    ground,
                    days=tried.get(f"{key}.retrain_days", ground.days),
                    enough=tried.get(f"{key}.retrain_outcomes", ground.enough),
                )
                due, dues = (train_because(each, self.now) for each in (ground, would_be))
                return replace(told, train_because=due), replace(told, train_because=dues)
            case MovesGround():
                on = self._change.settings.get("grades.move_authority", ground.on)
                return ground.moves if ground.on else [], ground.moves if on else []
            case MarginGround():
                pricing = self._change.applied(TenantSettings(pricing=ground.choices)).pricing
                return (
                    margins_from(ground.variants, arguments[1], ground.choices, self.now),
                    margins_from(list(map(self._change.goods, ground.variants)), arguments[1], pricing, self.now),
                )
            case PriceGround():
                return self._quoted(name, ground)

    def _quoted(self, name: str, ground: PriceGround) -> tuple[Any, Any]:
        pricing = self._change.applied(TenantSettings(pricing=ground.choices)).pricing
        staged = self._staged(ground)
        after = staged if self._change.policy is None else Staged(live=self._versions[self._change.policy])
        rule = staged.live.rule
        rows = self._change.priced(ground.rows, self.now)
        self.priced |= {
            row.listing_id: Priced(row, would, ground.choices, pricing, rule)
            for row, would in zip(ground.rows, rows, strict=True)
        }
        bound, would_bind = ground.directives, self._change.bound(ground.directives)
        if name == "pricing.repricing":
            was = repricing_from(ground.rows, ground.choices, self.now, staged, bound)
            return was, repricing_from(rows, pricing, self.now, after, would_bind)
        before = quotes_from(ground.rows, ground.choices, self.now, staged, bound)
        quotes = quotes_from(rows, pricing, self.now, after, would_bind)
        if name == "pricing.quote":
            return next(iter(before), None), next(iter(quotes), None)
        return before, quotes

    def _judged(self, told: ScanPart, ground: JudgeGround) -> tuple[ScanPart, ScanPart]:
        was = TenantSettings(pricing=ground.pricing, sourcing=ground.sourcing, goals=Goals(risk=ground.risk))
        would = self._change.applied(was)
        parcels = {each.pricing.shipping_cost_minor for each in (was, would)}
        if ground.by_usual_parcel and len(parcels) > 1:
            raise CannotTell(
                "what came of earlier advice was worked out with the usual parcel of then: no label is known"
            )
        return part_of(told, ground, was, self.now), part_of(told, ground, would, self.now)

    def _bought(self, name: str, arguments: tuple[Any, ...], ground: BuyGround) -> tuple[Any, Any]:
        was, staged = settings_of(ground), self._staged_to_buy(ground)
        buying = self._change.buying
        after = staged if buying is None else order_choice.Staged(live=self._buying[buying])
        answers = []
        for settings, acting in ((was, staged), (self._change.applied(was), after)):
            worked, days = worked_out(ground, settings, acting, self.now), settings.purchasing.review_days
            answers.append(
                worked.of(arguments[0])
                if name == "purchasing.plan"
                else worked.review(ground, days, self.now, urgent=arguments[0])
            )
        return answers[0], answers[1]

    def _staged_to_buy(self, ground: BuyGround) -> order_choice.Staged:
        ids = (ground.live, ground.canary, ground.shadow)
        known = [None if each is None else self._buying.get(str(each)) for each in ids]
        if any(each is not None and version is None for each, version in zip(ids, known, strict=True)):
            raise CannotTell(_GONE)
        return order_choice.Staged(known[0] or order_choice.AS_SHIPPED, known[1], known[2], ground.since)

    def _staged(self, ground: PriceGround) -> Staged:
        live, canary, shadow = (self._version(each) for each in (ground.live, ground.canary, ground.shadow))
        return Staged(live or SHIPPED, canary, shadow, ground.spending)

    def _version(self, policy_id: UUID | None) -> Version | None:
        if policy_id is None:
            return None
        if (found := self._versions.get(str(policy_id))) is None:
            raise CannotTell(_GONE)
        return found


def _refuse_beside(name: str, told: Any, change: Change) -> None:
    """Raises CannotTell for an answer that the change shapes and that is not worked out again."""
    margins = change.touches_left_over
    if name in ("purchasing.returns", "advertising.returns"):
        begins = not _LIMITS.isdisjoint(change.settings)  # where there was no limit nothing was asked of its worth
        shaped = change.touches(name.partition(".")[0]) and (bool(told) or begins)
    elif name == "transfers.review":
        shaped = bool(told.goods) and (margins or not _SENT.isdisjoint(change.settings))
    elif name == "transfers.plan":
        shaped = told is not None and (margins or not _SENT.isdisjoint(change.settings))
    elif name in ("resources.used", "resources.review"):
        shaped = any(key.startswith("fleet.") and key != "fleet.share_out" for key in change.settings)
    elif name == "strategy.outlook":
        shaped = told is not None and change.touches_costs
    elif name == "new_stock.look":
        shaped = told is not None and bool(told.prices or told.unpriced) and margins
    else:
        staged = name == "models.review" and (told.live or told.canary or told.shadow)
        shaped = bool(staged) and (change.touches("purchasing") or change.touches_costs)
    if shaped or ("time_zone" in change.settings and name in _BY_DAY and told):
        raise CannotTell("it asked what is worked out by the choices of then, and not again by others")
