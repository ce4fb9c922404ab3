"""Puts the pieces of one process together from its settings: store, gate, runner, worker."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from flipsync.runtime.decision_path import DecisionPath
from flipsync.runtime.gate import Gate
from flipsync.runtime.graph import AgentClass, Graph
from flipsync.runtime.mailbox import Limits, Mailbox, RedisWaker
from flipsync.runtime.runner import AgentRunner
from flipsync.services.pricing.firewall import Firewall
from flipsync.services.pricing.rules import FirewallLimits
from flipsync.settings import RuntimeSettings
from flipsync.store.database import Database
from flipsync.store.repositories.lives import WHOLE, Shard
from flipsync.store.unit_of_work import EFFECTS, Store

if TYPE_CHECKING:
    from flipsync.intelligence.memory.port import Index
    from flipsync.runtime.asking import Asker
    from flipsync.runtime.effects import EffectWorker


def load_roster(reference: str) -> Sequence[AgentClass]:
    """The agents' classes named by "module:attribute". The library does not know who they are."""
    module, _, attribute = reference.partition(":")
    roster: Sequence[AgentClass] = getattr(importlib.import_module(module), attribute)
    return roster


class Assembly:
    """The shared parts of one process of the runtime.

    What writes to channels (connectors, cryptography) is imported where there is an effect worker: an agent has none.
    """

    def __init__(self, settings: RuntimeSettings, *, name: str, pool_size: int = 1) -> None:
        self.settings = settings
        self.graph = Graph(load_roster(settings.roster))
        clock = settings.business_clock()
        validity = FirewallLimits().certificate_validity
        limits = FirewallLimits(certificate_validity=max(validity, timedelta(seconds=60 * settings.speed())))
        self.firewall = Firewall(settings.firewall_key_bytes(), limits=limits, clock=clock)
        self.store = Store(
            Database(settings.worker_database_url.get_secret_value(), pool_size=pool_size, max_overflow=1, name=name),
            self.graph.routing(),
            RedisWaker(self.redis_url),
            clock,
        )

    @property
    def redis_url(self) -> str:
        return self.settings.redis_url.get_secret_value()

    def check(self) -> None:
        """Raises InvalidInput when an agent proposes what no effect worker carries out."""
        from flipsync.runtime.carrying_out import CARRIED_OUT

        Graph(list(self.graph.agents.values()), CARRIED_OUT)

    def decision_path(self) -> DecisionPath:
        governance = [agent() for agent in self.graph.agents.values() if agent.spec.ecosystem == "governance"]
        return DecisionPath(self.graph, Gate(self.firewall, governance))

    def runner(self, agent: str, shard: Shard = WHOLE) -> AgentRunner:
        hired = self.graph.agents[agent]
        model: Asker | str = ""
        index: Index | None = None
        if hired.spec.asks_model:
            from flipsync.runtime.asking import asker
            from flipsync.runtime.remembering import RedisIndex

            model, index = asker(self.store), RedisIndex(self.redis_url)
        mailbox = Mailbox(self.redis_url, [agent], shard.serves)
        return AgentRunner(hired(), self.store, self.decision_path(), mailbox, model, index, shard)

    def effect_worker(self, slot: str) -> EffectWorker:
        from flipsync.runtime.effects import EffectWorker
        from flipsync.security.secrets import SecretBox

        return EffectWorker(
            self.store,
            SecretBox(self.settings.secret_keys()),
            Limits(self.redis_url),
            self.firewall,
            Mailbox(self.redis_url, [EFFECTS]),
            slot=slot,
            width=self.settings.effect_width,
        )
