"""The way of a decision without books: agents as plain classes decide, their superiors decide what is above their
authority, arbitration and the price firewall judge what is left.

The very agents, and the very rules `runtime.reach` and `runtime.gate` apply (`above_authority`, `arbitration`,
`quotes.proposal_for`, `Firewall.check`), in their order; what those keep in tables is kept here in dictionaries. An
owner who is asked says yes at once. Not modelled: authority that moves with outcomes, and budgets by the hour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from benchmarks.business import TENANT, Business
from flipsync.domain.commands import AskOwner, ChangePrice, Command, EndorseDecision
from flipsync.domain.decisions import Decision
from flipsync.domain.events import DecisionEscalated, Event
from flipsync.domain.ids import new_id
from flipsync.runtime.agent import Agent, Context
from flipsync.runtime.reach import above_authority
from flipsync.services import arbitration
from flipsync.services.arbitration import Claim, Held, Rank
from flipsync.services.desk import Services
from flipsync.services.policy_choice import Staged
from flipsync.services.pricing.firewall import Firewall
from flipsync.services.pricing.proposal import Allow, Clamp
from flipsync.services.pricing_desk import PricingDesk
from flipsync.services.quotes import lowest_price, proposal_for
from flipsync.services.tenant_settings import TenantProfile
from flipsync.store.repositories.decisions import DecisionRow
from flipsync.store.repositories.price_brakes import HOUR, CatalogueSize, HourOfMoves
from flipsync.store.repositories.pricing import PriceRow

COORDINATORS = frozenset({"market", "executive"})


class Prices(PricingDesk):
    """The desk for prices, its rows from the business instead of PostgreSQL."""

    def __init__(self, business: Business, staged: Staged) -> None:
        async def profile() -> TenantProfile:
            return business.profile

        super().__init__(cast(AsyncSession, None), business.now, profile)
        self._business = business
        self._staged = staged

    async def _read(self, listing_ids: Sequence[UUID] | None) -> list[PriceRow]:
        wanted = self._business.offerings if listing_ids is None else listing_ids
        return [self._business.price_row(each) for each in wanted if each in self._business.offerings]


class House:
    """See the module. `desks`: what its agents may ask beside prices, decisions and the profile."""

    def __init__(self, business: Business, agents: Collection[Agent[Any]]) -> None:
        self.business = business
        self.agents = {each.spec.name: each for each in agents}
        self.firewall = Firewall(b"a key of benchmarks", clock=business.clock)
        self.tally: Counter[str] = Counter()
        self._open: dict[UUID, DecisionRow] = {}
        self._held: dict[UUID, Held] = {}
        self._signed: list[tuple[datetime, UUID, int]] = []
        self.desks: dict[str, Any] = {}
        self.staged = Staged()

    async def told(self, event: Event) -> list[Command]:
        """All agents that handle the fact decide; what goes out, prices as the firewall signed them."""
        out: list[Command] = []
        for name, agent in self.agents.items():
            if type(event) in agent.handles and not isinstance(event, DecisionEscalated):
                out += await self.asked(name, event)
        return out

    async def asked(self, name: str, event: Event) -> list[Command]:
        """One agent decides on a fact; what goes out of it."""
        fact = type(event).type_name()
        rank = arbitration.rank_of(fact, coordinates=name in COORDINATORS)
        decision = await self.agents[name].decide(event, self._context())
        ahead, raised = await self._ahead(name, decision)
        if not ahead:
            return []
        decision_id = new_id()
        claim = Claim(name, Rank.COORDINATOR if raised else rank, decision.confidence, decision_id)
        self.tally[f"{name}: went ahead"] += 1
        return [each for each in (self._gate(command, claim) for command in decision.proposals) if each is not None]

    async def _ahead(self, name: str, decision: Decision[Any]) -> tuple[bool, bool]:
        """Whether the decision goes ahead, and whether a superior said so."""
        agent = self.agents[name]
        if decision.is_hold:
            return False, False
        superior = agent.spec.reports_to
        why = above_authority(agent.spec.authority, decision)
        if superior and not why:
            why = next((each.executive_decides for each in decision.proposals if each.executive_decides), "")
        if not why:
            return True, False
        if superior is None:
            self.tally["owner asked"] += 1
            return True, True
        self.tally[f"{name}: went up"] += 1
        return await self._raised(name, superior, why, decision), True

    async def _raised(self, name: str, superior: str, why: str, decision: Decision[Any]) -> bool:
        row = DecisionRow(
            id=new_id(),
            agent=name,
            event_id=new_id(),
            state="escalated",
            rationale=decision.rationale,
            confidence=decision.confidence,
            stake_minor=decision.stake.amount_minor if decision.stake else None,
            stake_currency=decision.stake.currency if decision.stake else None,
            correlation_id=new_id(),
            proposals=(),
            answer=None,
        )
        self._open[row.id] = row
        event = DecisionEscalated(
            decision_id=row.id, from_agent=name, to_agent=superior, reason=why, stake_minor=row.stake_minor
        )
        said = await self.agents[superior].decide(event, self._context())
        ahead, _ = await self._ahead(superior, said)
        del self._open[row.id]
        for command in said.proposals if ahead else ():
            if isinstance(command, AskOwner):
                self.tally["owner asked"] += 1
            if isinstance(command, AskOwner | EndorseDecision):
                return True
        self.tally[f"{name}: stopped"] += 1
        return False

    def _context(self) -> Context:
        business = self.business

        async def profile() -> TenantProfile:
            return business.profile

        async def get(decision_id: UUID) -> DecisionRow | None:
            return self._open.get(decision_id)

        desk = SimpleNamespace(
            tenant_id=TENANT,
            now=business.now,
            profile=profile,
            pricing=Prices(business, self.staged),
            decisions=SimpleNamespace(get=get),
            **self.desks,
        )
        return Context(TENANT, business.now, cast(Services, desk), new_id(), new_id())

    def _gate(self, command: Command, claim: Claim) -> Command | None:
        """What may go out of a proposal, as `runtime.gate` would have it."""
        if not isinstance(command, ChangePrice):
            if command.owner_decides:
                self.tally["owner asked"] += 1
            return command
        held = self._held.get(command.listing_id)
        if arbitration.beaten(claim, held, self.business.now):
            self.tally["price denied: arbitration"] += 1
            return None
        row, now = self.business.price_row(command.listing_id), self.business.now
        choices = self.business.profile.settings.pricing
        verdict = self.firewall.check(proposal_for(row, command.price, choices, now, self._hour(row)))
        if not isinstance(verdict, Allow | Clamp):
            self.tally[f"price {verdict.verdict}: {verdict.reasons[0].rule}"] += 1
            return None
        allowed = verdict.to if isinstance(verdict, Clamp) else command.price
        assert row.current_minor is not None
        self.tally["price changed"] += 1
        risk = abs(allowed.amount_minor - row.current_minor) * max(1, row.entitled)
        self._signed.append((now, row.listing_id, risk))
        until = now + arbitration.LEASE
        self._held[row.listing_id] = Held(claim.agent, claim.rank, claim.score, claim.decision_id, until)
        return command.model_copy(update={"price": allowed})

    def _hour(self, row: PriceRow) -> HourOfMoves:
        since = self.business.now - HOUR
        self._signed = [each for each in self._signed if each[0] > since]
        others = len({listing for _, listing, _ in self._signed if listing != row.listing_id})
        value = 0
        for listing_id in self.business.offerings:
            shown = self.business.listing(listing_id)
            value += (shown.price_minor or 0) * max(1, shown.quantity or 0)
        size = CatalogueSize(len(self.business.offerings), value)
        return HourOfMoves(size, others, sum(risk for *_, risk in self._signed))


def floor_of(business: Business, row: PriceRow) -> int:
    """The lowest price the firewall would let through."""
    return lowest_price(row, business.profile.settings.pricing, business.now)
