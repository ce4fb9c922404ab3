"""Central brain: what an agent should know before it speaks, as much of it as its budget holds.

    brief = await ctx.services.brain.brief("ai_executive", [("decision", event.decision_id)], rows=12, tokens=400)

Constraints in force, what came of it the last times, goals, forecasts: each a figure of ours with the row that it is
of, in a fixed order of usefulness. What does not fit is cut and counted. The same books give the same brief.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.decisions import Evidence
from flipsync.domain.money import Money
from flipsync.intelligence.memory.port import Index
from flipsync.services import memory, standing_desk
from flipsync.services.memory import Memory, Subject
from flipsync.services.reading_page import View
from flipsync.services.tenant_settings import TenantProfile
from flipsync.store.repositories import budgets as budget_rows
from flipsync.store.repositories import episodes as episode_rows
from flipsync.store.repositories import forecast_runs

Kind = Literal["constraint", "memory", "goal", "forecast"]
#: a token is about so many letters of English
_LETTERS_A_TOKEN: Final = 4
#: memories and forecasts that are looked up before the budget cuts
_MEMORIES, _FORECASTS = 12, 4
#: what is left of a budget is told in steps: it moves with every decision of the fleet
_STEPS: Final = 4
_SAYS: Final = 200


class Item(View):
    """One figure in our own words. A float is a share of 1."""

    kind: Kind
    says: str = Field(max_length=_SAYS)
    figure: Money | int | float
    row: Evidence

    @property
    def tokens(self) -> int:
        return -(-(len(self.says) + len(str(self.figure))) // _LETTERS_A_TOKEN)


class Brief(View):
    """`cut` says how many of each kind did not fit; `tokens` is an estimate from letters. `recalled_by` and `why_not`
    say how memories were looked for."""

    items: tuple[Item, ...]
    cut: dict[str, int]
    tokens: int
    recalled_by: str
    why_not: str

    @property
    def what_was_cut(self) -> str:
        """In words; empty where all fits."""
        told = ", ".join(f"{count} of {kind}" for kind, count in sorted(self.cut.items()))
        return f"left out for want of room: {told}" if told else ""


class BrainDesk:
    def __init__(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        now: datetime,
        profile: Callable[[], Awaitable[TenantProfile]],
        index: Index | None,
    ) -> None:
        self._session, self._tenant_id, self._now, self._profile, self._index = session, tenant_id, now, profile, index

    async def brief(
        self, agent: str, about: Sequence[Subject], *, words: str = "", rows: int = 24, tokens: int = 800
    ) -> Brief:
        """What `agent` should know about these things, in a situation like `words`; a decision stands for what it is
        about. At most so many rows and (estimated) tokens."""
        subjects, decisions, kinds = await self._expanded(about)
        places = await episode_rows.places(self._session, subjects)
        goods = {place.product_id for place in places.values() if place.product_id is not None}
        accounts = {place.account_id for place in places.values() if place.account_id is not None}
        choices = await self._profile()
        near, far, recalled_by, why_not = await self._memories(subjects, words, decisions)
        items = [
            *self._directives(choices, accounts),
            *map(_remembered, near),
            *await self._standings(agent, kinds),
            *await self._budgets(choices),
            *self._goals(choices),
            *await self._forecasts(goods),
            *map(_remembered, far),
            self._item("constraint", "least share of a price that a sale must earn", self._share(choices)),
        ]
        return _within(items, rows, tokens, recalled_by, why_not)

    async def _expanded(self, about: Sequence[Subject]) -> tuple[list[Subject], set[UUID], set[str]]:
        """With decisions replaced by what they are about; those decisions; and the commands' kinds."""
        subjects: dict[Subject, None] = {}
        decisions: set[UUID] = set()
        kinds: set[str] = set()
        for kind, row_id in about:
            if kind != "decision":
                subjects[kind, row_id] = None
                continue
            decisions.add(row_id)
            for each in await episode_rows.proposed_below(self._session, row_id):
                subjects[each.subject_kind, each.subject_id] = None
                decisions.add(each.decision_id)
                kinds |= memory.kind_of(each.command, each.fact)
        return list(subjects), decisions, kinds

    async def _memories(
        self, subjects: Sequence[Subject], words: str, but: set[UUID]
    ) -> tuple[list[Memory], list[Memory], str, str]:
        """Of these very things and goods, and others that are alike; and how they were looked for."""
        if not subjects and not words.strip():
            return [], await memory.newest(self._session, _MEMORIES), "none", ""
        found = await memory.recall(
            self._session, self._tenant_id, subjects, words, _MEMORIES, index=self._index, but=but
        )
        near = [each for each in found.items if each.found_by in ("subject", "goods")]
        far = [each for each in found.items if each.found_by not in ("subject", "goods")]
        return near, far, found.by, found.why_not

    def _directives(self, choices: TenantProfile, accounts: Iterable[UUID]) -> Iterable[Item]:
        here = set(accounts)
        for each in choices.directives:
            if each.starts_at <= self._now < each.ends_at and (not here or each.account_id in (None, *here)):
                days = (each.ends_at - each.starts_at).days
                says = f"days for which a directive binds agents to {each.kind.replace('-', ' ')}"
                yield Item(kind="constraint", says=says, figure=days, row=Evidence(kind="directive", id=each.id))

    async def _standings(self, agent: str, kinds: set[str]) -> list[Item]:
        """Authority that outcomes took away, of the agent and over what it is about."""
        found = await standing_desk.in_force(self._session, self._tenant_id)
        return [
            self._item("constraint", f"counts of {each.agent}'s confidence in {each.kind}", each.trusted)
            for each in found.values()
            if each.agent == agent or each.kind in kinds
        ]

    async def _budgets(self, choices: TenantProfile) -> list[Item]:
        spent = await budget_rows.spent(self._session)
        fleet = choices.settings.fleet
        left = {
            "listings that agents may change an hour": 1
            - spent.get(f"{budget_rows.FLEET}listings", 0) / fleet.listings_per_hour,
            "margin that agents may stake an hour": 1
            - spent.get(f"{budget_rows.FLEET}margin", 0) / fleet.margin_at_risk_minor,
        }
        return [
            self._item("constraint", f"at least so much is left of the {name}", int(max(share, 0) * _STEPS) / _STEPS)
            for name, share in left.items()
        ]

    def _goals(self, choices: TenantProfile) -> list[Item]:
        weights = choices.settings.goals.weights()
        return [
            self._item("goal", f"what {name} weighs when options are compared", round(share, 4))
            for name, share in sorted(weights.items(), key=lambda each: (-each[1], each[0]))
        ]

    @staticmethod
    def _share(choices: TenantProfile) -> float:
        return choices.settings.pricing.min_margin_bps / 10_000

    async def _forecasts(self, goods: set[UUID]) -> list[Item]:
        if not goods:
            return []
        found = await forecast_runs.newest_of_products(self._session, goods, _FORECASTS)
        return [
            Item(
                kind="forecast",
                says=f"units that are expected to sell in four weeks on channel number {at}",
                figure=round(4 * weekly),
                row=Evidence(kind="forecast", id=row_id),
            )
            for at, (row_id, weekly, _, _) in enumerate(found, 1)
        ]

    def _item(self, kind: Kind, says: str, figure: Money | int | float) -> Item:
        return Item(kind=kind, says=says, figure=figure, row=Evidence(kind="tenant", id=self._tenant_id))


def _remembered(each: Memory) -> Item:
    """What it brought, where that is known; else how sure its agent was."""
    nearness = {"subject": "the same thing", "goods": "the same goods"}.get(each.found_by, "something alike")
    became = {True: "came out right", False: "came out wrong", None: "was stopped"}[each.right]
    tried = f"{each.kind.replace('-', ' ')} of {each.agent} on {each.decided_at:%Y-%m-%d}, of {nearness}"
    what = f"brought, {each.money_is}" if each.money is not None else "how sure it was"
    says = f"{tried}, {became} ({each.came}); {what}"
    figure = each.money if each.money is not None else round(each.confidence, 4)
    return Item(kind="memory", says=says[:_SAYS], figure=figure, row=Evidence(kind="episode", id=each.id))


def _within(items: Sequence[Item], rows: int, tokens: int, recalled_by: str, why_not: str) -> Brief:
    """Greedy in their order: what does not fit any more is cut, something shorter after it may still fit."""
    kept: list[Item] = []
    cut: Counter[str] = Counter()
    used = 0
    for each in items:
        if len(kept) < rows and used + each.tokens <= tokens:
            kept.append(each)
            used += each.tokens
        else:
            cut[each.kind] += 1
    return Brief(items=tuple(kept), cut=dict(cut), tokens=used, recalled_by=recalled_by, why_not=why_not)
