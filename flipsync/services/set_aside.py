"""Work that failed every time an agent tried it, or ended the agent's process: set aside, looked at, tried again."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.errors import NotFound
from flipsync.services.reading_page import Moment, Page, PageRequest, View, cut
from flipsync.store.models import AgentTask, EventRecord
from flipsync.store.repositories import tasks as rows
from flipsync.store.unit_of_work import UnitOfWork


class SetAsideView(View):
    """A fact that one agent could not deal with. The agent goes on with the others."""

    id: UUID
    agent: str
    event_id: UUID
    event: str = Field(examples=["OfferChanged"])
    subject_kind: str
    subject_id: UUID
    attempts: int
    error: str
    set_aside_at: Moment | None


class Released(View):
    id: UUID
    agent: str


class SetAsideFilter(View):
    agent: str | None = Field(default=None, max_length=100, examples=["pricing"])


async def list_set_aside(session: AsyncSession, page: PageRequest, where: SetAsideFilter) -> Page[SetAsideView]:
    """Newest first. Raises InvalidInput for a foreign cursor."""
    found = await rows.set_aside(session, limit=page.limit + 1, after=page.after_id(), agent=where.agent)
    return cut(found, page.limit, lambda row: _view(*row), lambda row: [str(row[0].id)])


async def release(unit: UnitOfWork, task_id: UUID) -> Released:
    """Let the agent try again, as if for the first time. Raises NotFound where nothing of that id is set aside."""
    agent = await rows.release(unit.session, task_id)
    if agent is None:
        raise NotFound(f"no work {task_id} is set aside", hint="it may have been released already")
    unit.audit("task.released", "agent_task", task_id, agent=agent)
    unit.wake.add(agent)
    return Released(id=task_id, agent=agent)


def _view(task: AgentTask, event: EventRecord) -> SetAsideView:
    return SetAsideView(
        id=task.id,
        agent=task.agent,
        event_id=event.id,
        event=event.type,
        subject_kind=event.subject_kind,
        subject_id=event.subject_id,
        attempts=task.attempts,
        error=task.error,
        set_aside_at=task.finished_at,
    )
