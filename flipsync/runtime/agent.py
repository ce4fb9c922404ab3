"""What an agent is. The base is thick so that an agent is thin: a spec, and `decide`.

    class PricingAgent(Agent[OfferChanged]):
        spec = AgentSpec(name="pricing", ecosystem="market", reports_to="market")

        async def decide(self, event: OfferChanged, ctx: Context) -> Decision[ChangePrice]:
            ...

`decide` is pure: it reads through `ctx.services` (a read-only transaction: PostgreSQL itself refuses writes), returns a
Decision and touches nothing. The runtime does the rest.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime
from types import UnionType
from typing import Any, ClassVar, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from flipsync.domain.channel import Vendor
from flipsync.domain.commands import Command
from flipsync.domain.decisions import Decision, Verdict
from flipsync.domain.events import Event
from flipsync.domain.money import Money, usd
from flipsync.services.desk import Services

E = TypeVar("E", bound=Event)
Ecosystem = Literal["executive", "market", "content", "logistics", "conversational", "governance"]


@dataclass(frozen=True)
class Authority:
    """How far an agent decides on its own: at least this sure, at most this much at stake (in any currency's units)."""

    auto_above: float = 0.6
    max_stake: Money = field(default_factory=lambda: usd("250.00"))


@dataclass(frozen=True)
class Budget:
    """How much an agent may set in motion for one business. Proposals above it are denied with that reason."""

    effects_per_hour: int = 100_000


@dataclass(frozen=True)
class AgentSpec:
    """The declaration of an agent. `reports_to` is the agent that decides what is above its authority."""

    name: str
    ecosystem: Ecosystem
    reports_to: str | None
    authority: Authority = field(default_factory=Authority)
    budget: Budget = field(default_factory=Budget)
    #: only events of accounts of these vendors (None: all)
    vendors: frozenset[Vendor] | None = None
    #: events per read transaction
    batch: int = 64
    #: seconds from the beginning of one batch to the next, at least: facts that come thick are decided on together,
    #: one that comes alone is decided on at once
    pace: float = 0.0
    version: str = "1"
    #: the agent whose work this one does instead of it, for facts that it `takes`; that agent is its superior
    wraps: str | None = None
    #: puts questions to a language model: its process gets one, where the installation has one
    asks_model: bool = False


@dataclass(frozen=True)
class Context:
    """What `decide` may see. `now` is business time."""

    tenant_id: UUID
    now: datetime
    services: Services
    event_id: UUID
    correlation_id: UUID


class Agent(ABC, Generic[E]):
    """One job. A plain class: it runs in a test without Ray, and inside one Ray actor in the system."""

    spec: ClassVar[AgentSpec]
    handles: ClassVar[frozenset[type[Event]]]
    proposes: ClassVar[frozenset[type[Command]]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "spec" in cls.__dict__:
            cls.handles, cls.proposes = _declared_types(cls)

    @classmethod
    def takes(cls, event: Event) -> bool:
        """A wrapper's word: whether a fact that its wrapped agent handles too is handled by it instead. Pure."""
        return cls.spec.wraps is not None

    @abstractmethod
    async def decide(self, event: E, ctx: Context) -> Decision[Any]:
        """What to do about `event`. Pure."""

    async def review(self, command: Command, ctx: Context) -> Verdict | None:
        """Judge a proposal on its way out; None means no opinion. Only governance agents have one."""
        return None


def _declared_types(cls: type[Agent[Any]]) -> tuple[frozenset[type[Event]], frozenset[type[Command]]]:
    """Read what an agent handles and proposes from the annotations of its `decide`."""
    hints = get_type_hints(cls.decide)
    parameters = list(inspect.signature(cls.decide).parameters)
    events = frozenset(_members(hints[parameters[1]], Event))
    decision = hints["return"]
    metadata = getattr(decision, "__pydantic_generic_metadata__", {})
    arguments = metadata.get("args") or get_args(decision)
    commands = frozenset(command for argument in arguments for command in _members(argument, Command))
    if not events:
        raise TypeError(f"{cls.__name__}.decide must say which events it takes")
    return events, commands


def _members(annotation: Any, base: type) -> list[Any]:
    if get_origin(annotation) in (Union, UnionType):
        return [member for argument in get_args(annotation) for member in _members(argument, base)]
    return [annotation] if inspect.isclass(annotation) and issubclass(annotation, base) else []
