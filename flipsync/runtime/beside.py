"""What runs in the supervisor beside its watch: the clock of the house, the trainer, the workflow engine, who
tells people, and who starts the memory when it is asked.

A module of its own, imported where it runs: an agent's process hosts none of it and does not pay for its imports.
"""

from __future__ import annotations

import asyncio

from flipsync.runtime.assembly import Assembly
from flipsync.runtime.mailbox import Mailbox
from flipsync.runtime.notifier import Notifier
from flipsync.runtime.remembering import MemoryKeeper
from flipsync.runtime.scheduler import Scheduler
from flipsync.runtime.trainer import TRAINER, Trainer
from flipsync.runtime.workflow import WorkflowEngine
from flipsync.security.secrets import SecretBox
from flipsync.settings import Cadence, RuntimeSettings
from flipsync.store.journal import WORKFLOWS


async def run(assembly: Assembly, settings: RuntimeSettings) -> None:
    """Until one of them fails for good."""
    notifier = Notifier(
        assembly.store,
        SecretBox(settings.secret_keys()),
        Cadence().notices,
        base=settings.app_url or settings.public_url,
        inside=settings.notify_inside,
    )
    scheduler = Scheduler(assembly.store, Cadence(), settings.speed())
    trainer = Trainer(assembly.store, Mailbox(assembly.redis_url, [TRAINER]))
    engine = WorkflowEngine(assembly.store, Mailbox(assembly.redis_url, [WORKFLOWS]))
    memory = MemoryKeeper(assembly.redis_url)
    await asyncio.gather(scheduler.run(), trainer.run(), notifier.run(), engine.run(), memory.run())
