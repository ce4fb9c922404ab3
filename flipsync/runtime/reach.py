"""How far an agent decides by itself: what it declares, or the owner says instead, and what outcomes left of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flipsync.domain.decisions import Decision
from flipsync.runtime.agent import AgentSpec, Authority
from flipsync.services.arbitration import PERSONS
from flipsync.services.standing import Bearing
from flipsync.services.tenant_settings import AgentLimits, TenantSettings


def owners_limits(spec: AgentSpec, settings: TenantSettings, fact: str) -> AgentLimits:
    """The owner's, for a decision on a fact of that type: about what a person has wished no person is asked."""
    found = settings.limits_of(spec.name, spec.wraps)
    return found.model_copy(update={"max_stake_minor": None}) if fact in PERSONS else found


def authority_of(spec: AgentSpec, limits: AgentLimits) -> Authority:
    """What the agent declares, the owner's limits in its place where there are any."""
    declared, most = spec.authority, limits.max_stake_minor
    if most is not None:
        declared = replace(declared, max_stake=declared.max_stake.model_copy(update={"amount_minor": most}))
    return declared if limits.auto_above is None else replace(declared, auto_above=limits.auto_above)


def beyond(agent: str, limits: AgentLimits, stake_minor: int | None) -> str:
    """Why nobody but the owner may let that much at stake go ahead; "" where the owner has not said so."""
    most = limits.max_stake_minor
    if most is None or stake_minor is None or stake_minor <= most:
        return ""
    return f"{stake_minor} minor units at stake are above {most}, the owner's limit for {agent}"


def above_authority(authority: Authority, decision: Decision[Any]) -> str:
    """Why a decision is for the agent's superior; "" when it is not."""
    if reads_only(decision):
        return ""
    if decision.confidence < authority.auto_above:
        return f"confidence {decision.confidence:.2f} is below {authority.auto_above:.2f}"
    if decision.stake is not None and decision.stake.amount_minor > authority.max_stake.amount_minor:
        return f"{decision.stake} at stake is above {authority.max_stake.plain()}"
    return ""


def lost(authority: Authority, decision: Decision[Any], bearing: Bearing) -> str:
    """Why a decision within its agent's authority still goes up, by how right it was; "" when it does not."""
    stake = None if decision.stake is None else decision.stake.amount_minor
    return bearing.above(decision.confidence, authority.auto_above, stake, authority.max_stake.amount_minor)


def reads_only(decision: Decision[Any]) -> bool:
    """Whether it changes nothing; so does a hold."""
    return all(command.scope == "read" for command in decision.proposals)
