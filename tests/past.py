"""A shop with a past: decisions that are over, and what came of them, for tests of memory."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from shop import Shop, open_store

from flipsync.domain.clock import ManualClock
from flipsync.domain.commands import ChangePrice, Command
from flipsync.domain.events import Event, OfferChanged
from flipsync.domain.money import Money
from flipsync.services import episodes, grading
from flipsync.services.graders import Grade
from flipsync.store import models as m
from flipsync.store.repositories import grades
from flipsync.store.unit_of_work import Store


def store_of_the_past(url: str) -> Store:
    return open_store(url, clock=ManualClock(datetime.fromisoformat("2026-03-02T12:00:00+00:00")))


class Past:
    """A shop with a listing, and decisions about it that are long over."""

    def __init__(self, shop: Shop) -> None:
        assert isinstance(shop.store.clock, ManualClock)
        self.shop, self.clock = shop, shop.store.clock

    async def build(self) -> Past:
        self.account = await self.shop.account()
        self.goods = await self.shop.variant(units=50)
        self.listing = await self.shop.listing(self.account, self.goods, units=40)
        return self

    async def tried(
        self, command: Command, fact: Event | None = None, *, agent: str = "pricing", verdict: str = "proceed"
    ) -> UUID:
        """A decision with one proposal, enrolled for grading; its id."""
        tenant = {"tenant_id": self.shop.tenant_id}
        kind, subject = command.subject()
        async with self.shop.unit() as unit:
            event_id = unit.emit(
                fact
                or OfferChanged(listing_id=self.listing, account_id=self.account.id, vendor="custom", cause="rivals")
            )
            await unit.flush()
            columns = {"state": "applied", "source": "rules", "rationale": "r", "correlation_id": event_id}
            decision = m.AgentDecision(
                **tenant, agent=agent, agent_version="1", event_id=event_id, confidence=0.8, **columns
            )
            unit.session.add(decision)
            await unit.session.flush()
            proposal = m.Proposal(
                **tenant,
                decision_id=decision.id,
                ordinal=0,
                command=command.type_name(),
                payload=command.model_dump(mode="json"),
                subject_kind=kind,
                subject_id=subject,
                verdict=verdict,
                rule="price-firewall",
            )
            unit.session.add(proposal)
            await unit.session.flush()
            known = grading.prediction(command.type_name(), type(fact).__name__ if fact else "OfferChanged")
            due = self.clock.now()
            enrolled = {"decision_id": decision.id, "proposal_id": proposal.id, "agent": agent, "kind": known.kind}
            times = {"decided_at": due, "due_at": due, "look_at": due}
            await grades.enrol(
                unit.session, self.shop.tenant_id, [enrolled | times | {"confidence": 0.8, "drawn": True}]
            )
        return decision.id

    async def learn(self, **came: Grade | None) -> int:
        """Grade all that is due as told, by the decision's id in hex."""
        async with self.shop.unit() as unit:
            due = await grades.due(unit.session, self.shop.tenant_id, self.clock.now(), 100)
            graded = [(row, grade) for row in due if (grade := came.get(row.decision_id.hex)) is not None]
            return await episodes.remember(unit, graded)

    async def price(self, minor: int, was: int, verdict: str = "proceed") -> UUID:
        command = ChangePrice(
            account_id=self.account.id,
            listing_id=self.listing,
            price=Money(amount_minor=minor, currency="USD"),
            previous=Money(amount_minor=was, currency="USD"),
        )
        return await self.tried(command, verdict=verdict)
