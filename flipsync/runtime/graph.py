"""The executive graph: who handles what, who reports to whom. Made from the agents' declarations, checked at boot."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from flipsync.domain.commands import Command
from flipsync.domain.errors import InvalidInput
from flipsync.domain.events import ApprovalAnswered, DecisionEscalated, Event
from flipsync.domain.workflow_messages import WorkflowBegan, WorkflowUnwanted
from flipsync.runtime.agent import Agent
from flipsync.store.journal import WORKFLOWS
from flipsync.store.unit_of_work import Routing, Subscription

AgentClass = type[Agent[Any]]

#: facts nobody needs to act on: they are the journal's, for people and for later
RECORDED_ONLY = frozenset(
    {
        "AdRateSet",
        "ApprovalEscalated",
        "DecisionOutranked",
        "DeedUndone",
        "DirectiveEnded",
        "DirectiveIssued",
        "LabelBought",
        "OrderReady",
        "PriceSet",
        "PurchaseEnded",
        "PurchaseMailFailed",
        "PurchaseOrdered",
        "PurchasePlaced",
        "PurchaseReceived",
        "RefundIssued",
        "ShipmentConfirmed",
        "WorkflowEnded",
        "WorkflowStopped",
    }
)
#: facts that the workflow engine deals with (runtime.workflow)
_ENGINES = frozenset({WorkflowBegan.type_name(), WorkflowUnwanted.type_name()})


class Graph:
    """The agents as one acyclic structure with typed edges."""

    def __init__(self, agents: Sequence[AgentClass], carried_out: Collection[type[Command]] | None = None) -> None:
        """Raises InvalidInput, naming every fault, when the declarations do not fit together.

        `carried_out`: the commands effect workers have handlers for; without it that part is not checked.
        """
        self.agents: Mapping[str, AgentClass] = {agent.spec.name: agent for agent in agents}
        #: agents that others report to
        self.coordinators = frozenset(agent.spec.reports_to for agent in agents if agent.spec.reports_to is not None)
        faults = self._faults(agents)
        if carried_out is not None:
            faults += self._uncarried(carried_out)
        if faults:
            raise InvalidInput("the agents do not fit together: " + "; ".join(faults))

    def _faults(self, agents: Sequence[AgentClass]) -> list[str]:
        faults = []
        names = [agent.spec.name for agent in agents]
        faults += [f"two agents are called {name!r}" for name in sorted(set(names)) if names.count(name) > 1]
        for name, agent in self.agents.items():
            boss = agent.spec.reports_to
            if boss is not None and boss not in self.agents:
                faults.append(f"{name} reports to {boss!r}, who is not here")
            elif boss is not None and DecisionEscalated not in self.agents[boss].handles:
                faults.append(f"{name} reports to {boss}, who does not handle DecisionEscalated")
            faults += self._stands_in(name, agent, agents)
            faults += [
                f"{name} proposes {command.type_name()} and does not report to the top: {command.executive_decides}"
                for command in sorted(agent.proposes, key=lambda each: each.type_name())
                if command.executive_decides and boss is not None and boss in self.agents
                if self.agents[boss].spec.reports_to is not None
            ]
        faults += self._cycles()
        roots = [name for name, agent in self.agents.items() if agent.spec.reports_to is None]
        if len(roots) != 1:
            faults.append(f"exactly one agent reports to nobody; here: {', '.join(sorted(roots)) or 'none'}")
        handled = {event.type_name() for agent in self.agents.values() for event in agent.handles}
        known = {name for name, event in Event._registry.items() if not _is_abstract(event)}
        faults += [f"nobody handles {name}" for name in sorted(known - handled - RECORDED_ONLY - _ENGINES)]
        faults += [f"{name} is handled and marked recorded-only" for name in sorted(handled & RECORDED_ONLY)]
        return faults

    def _stands_in(self, name: str, agent: AgentClass, agents: Sequence[AgentClass]) -> list[str]:
        """A wrapper answers to whom it wraps, nobody answers to it, and an agent has one wrapper."""
        wrapped = agent.spec.wraps
        if wrapped is None:
            return []
        faults = []
        if wrapped != agent.spec.reports_to:
            faults.append(f"{name} wraps {wrapped} and does not report to it")
        elif wrapped in self.agents and not self.agents[wrapped].proposes <= agent.proposes:
            faults.append(f"{name} wraps {wrapped} and may not propose all that it proposes")
        if below := [each.spec.name for each in agents if each.spec.reports_to == name]:
            faults.append(f"{below[0]} reports to {name}, which only stands in for {wrapped}")
        if rivals := [each.spec.name for each in agents if each.spec.wraps == wrapped and each is not agent]:
            faults.append(f"{name} and {rivals[0]} both wrap {wrapped}")
        return faults

    def _uncarried(self, carried_out: Collection[type[Command]]) -> list[str]:
        """Internal commands are the decision path's and need no effect worker."""
        return [
            f"{name} proposes {command.type_name()}, which no effect worker carries out"
            for name, agent in self.agents.items()
            for command in sorted(agent.proposes, key=lambda each: each.type_name())
            if command.scope != "internal" and command not in carried_out
        ]

    def _cycles(self) -> list[str]:
        faults = []
        for start in self.agents:
            seen: list[str] = [start]
            here = self.agents[start].spec.reports_to
            while here is not None and here in self.agents:
                if here in seen:
                    faults.append("reporting goes in a circle: " + " → ".join([*seen, here]))
                    break
                seen.append(here)
                here = self.agents[here].spec.reports_to
        return faults

    def routing(self) -> Routing:
        """Event type name → the agents that want it. An escalation goes to one agent only: see `addressed_to`."""
        table: dict[str, list[Subscription]] = {}
        wrappers = [agent for agent in self.agents.values() if agent.spec.wraps is not None]
        for name, agent in self.agents.items():
            vendors = frozenset(agent.spec.vendors) if agent.spec.vendors is not None else None
            wrapped = self.agents.get(agent.spec.wraps) if agent.spec.wraps is not None else None
            for event in agent.handles:
                shared = wrapped is not None and event in wrapped.handles
                left = tuple(each.takes for each in wrappers if each.spec.wraps == name and event in each.handles)
                table.setdefault(event.type_name(), []).append(
                    Subscription(
                        name,
                        vendors,
                        office=agent.spec.wraps or "" if shared else "",
                        takes=agent.takes if shared else None,
                        leaves=left,
                    )
                )
        for told in _ENGINES:
            table[told] = [Subscription(WORKFLOWS)]
        return table

    @property
    def top(self) -> str:
        """The agent that reports to nobody: over all others, whoever they report to."""
        return next(name for name, agent in self.agents.items() if agent.spec.reports_to is None)

    def superior(self, name: str) -> str | None:
        return self.agents[name].spec.reports_to

    def as_dict(self) -> dict[str, Any]:
        """For the API and the command line."""
        return {
            "agents": [
                {
                    "name": name,
                    "class": agent.__name__,
                    "ecosystem": agent.spec.ecosystem,
                    "reports_to": agent.spec.reports_to,
                    "wraps": agent.spec.wraps,
                    "declares": {
                        "auto_above": agent.spec.authority.auto_above,
                        "max_stake_minor": agent.spec.authority.max_stake.amount_minor,
                    },
                    "handles": sorted(event.type_name() for event in agent.handles),
                    "proposes": sorted(command.type_name() for command in agent.proposes),
                    "vendors": sorted(agent.spec.vendors) if agent.spec.vendors is not None else None,
                    "summary": (agent.__doc__ or "").strip().splitlines()[0],
                }
                for name, agent in sorted(self.agents.items())
            ]
        }

    def edges(self) -> list[dict[str, str]]:
        """Who hands decisions up to whom, and which fact wakes whom; for whoever draws it."""
        reports = [
            {"kind": "reports_to", "source": name, "target": agent.spec.reports_to}
            for name, agent in sorted(self.agents.items())
            if agent.spec.reports_to
        ]
        wakes = [
            {"kind": "wakes", "source": event, "target": name}
            for name, agent in sorted(self.agents.items())
            for event in sorted(each.type_name() for each in agent.handles)
        ]
        return reports + wakes

    def mermaid(self) -> str:
        """A picture of who reports to whom and what wakes whom, in Mermaid's flowchart language."""
        lines = ["flowchart TD"]
        for name, agent in sorted(self.agents.items()):
            lines.append(f'    {name}["{agent.__name__}"]')
            if agent.spec.reports_to:
                lines.append(f"    {name} -->|reports to| {agent.spec.reports_to}")
            if agent.spec.wraps:
                lines.append(f"    {name} -->|stands in for| {agent.spec.wraps}")
        for name, agent in sorted(self.agents.items()):
            events = sorted(event.type_name() for event in agent.handles - {DecisionEscalated, ApprovalAnswered})
            lines += [f"    {event}([{event}]) -.-> {name}" for event in events]
        return "\n".join(lines)


def _is_abstract(event: type[Event]) -> bool:
    return event.__name__ in {
        *("AccountEvent", "DecisionEvent", "DirectiveEvent", "ListingEvent", "OrderEvent", "PersonsChange"),
        *("PurchaseEvent", "TenantEvent", "WorkflowRunEvent"),
    }
