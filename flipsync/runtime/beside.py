"""What runs in the supervisor beside its watch: the clock of the house, the trainer, the workflow engine, who
tells people, and who starts the memory when it is asked.

A module of its own, imported where it runs: an agent's process hosts none of it and does not pay for its imports.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

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


def parts(assembly: Assembly, settings: RuntimeSettings) -> dict[str, Callable[[], Awaitable[None]]]:
    """Each by its name, as a life of it: one that ended begins anew, with nothing of the last."""
    store, redis = assembly.store, assembly.redis_url
    asked, automations = Mailbox(redis, [TRAINER]), Mailbox(redis, [WORKFLOWS])  # listens on from life to life

    def notifier() -> Notifier:
        box, app = SecretBox(settings.secret_keys()), settings.app_url or settings.public_url
        return Notifier(store, box, Cadence().notices, base=app, inside=settings.notify_inside)

    return {
        "scheduler": lambda: Scheduler(store, Cadence(), settings.speed()).run(),
        "trainer": lambda: Trainer(store, asked).run(),
        "notifier": lambda: notifier().run(),
        "workflows": lambda: WorkflowEngine(store, automations).run(),
        "memory": lambda: MemoryKeeper(redis).run(),
    }
