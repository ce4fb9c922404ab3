"""Facts about steering: directives, arbitration, budgets, plans. `flipsync.domain` registers them with the others."""

from __future__ import annotations

from uuid import UUID

from flipsync.domain.events import DecisionEvent, Event, TenantEvent


class DecisionOutranked(DecisionEvent):
    """Another agent's proposal about the same part of a listing took the place of this decision's."""

    listing_id: UUID
    part: str
    agent: str
    by_agent: str
    by_decision_id: UUID
    reason: str


class DirectiveEvent(Event):
    """A fact about one directive."""

    directive_id: UUID

    def subject(self) -> tuple[str, UUID]:
        return ("directive", self.directive_id)


class DirectiveIssued(DirectiveEvent):
    """Agents are bound from now on. `by` is the user, None where the executive did."""

    words: str
    days: int
    by: UUID | None = None


class DirectiveEnded(DirectiveEvent):
    """Agents are bound no longer: its time was over, or somebody ended it."""

    reason: str
    by: UUID | None = None


class BudgetRunningLow(TenantEvent):
    """Most of what the fleet may do within an hour is done or promised. `budget` names it, `share` is how much."""

    budget: str
    share: float


class PlanDue(TenantEvent):
    """It is time to plan the weeks to come."""
