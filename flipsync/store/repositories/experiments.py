"""Rows of experiments and their trials."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from flipsync.domain.ids import new_id
from flipsync.store.models import Experiment, ExperimentTrial
from flipsync.store.sorting import Place, Sorts

SORTS = Sorts(Experiment.id, started_at=Experiment.started_at, problem=Experiment.problem)

#: a step already written stays as it is; a later one is added only at its place
_STEP = text(
    """
    INSERT INTO experiment_trial
           (id, tenant_id, experiment_id, number, state, params, scores, memory, updated_at)
    VALUES (:id, :tenant, :experiment, :number, :state, CAST(:params AS jsonb),
            jsonb_build_array(CAST(:score AS float8)), CAST(:memory AS jsonb), :at)
    ON CONFLICT (experiment_id, number) DO UPDATE
       SET scores = experiment_trial.scores || excluded.scores, memory = excluded.memory, params = excluded.params,
           state = excluded.state, updated_at = excluded.updated_at
     WHERE jsonb_array_length(experiment_trial.scores) = :step
    RETURNING id
    """
)


async def open_like(
    session: AsyncSession, problem: str, seed: int, samples: int, code_version: str, digest: str
) -> Experiment | None:
    """The newest unfinished experiment that would do the same; locked."""
    same = (
        *(Experiment.problem == problem, Experiment.seed == seed, Experiment.samples == samples),
        *(Experiment.code_version == code_version, Experiment.state == "running"),
        Experiment.data["digest"].astext == digest,
    )
    query = select(Experiment).where(*same).order_by(Experiment.started_at.desc()).limit(1).with_for_update()
    return (await session.execute(query)).scalar_one_or_none()


async def insert(session: AsyncSession, values: dict[str, Any]) -> UUID:
    row = Experiment(id=new_id(), **values)
    session.add(row)
    await session.flush()
    return row.id


async def get(session: AsyncSession, experiment_id: UUID) -> Experiment | None:
    return (await session.execute(select(Experiment).where(Experiment.id == experiment_id))).scalar_one_or_none()


async def page(session: AsyncSession, place: Place, *, problem: str | None = None) -> Sequence[Any]:
    """(experiment,) and what a cursor is made of."""
    query = select(Experiment)
    if problem is not None:
        query = query.where(Experiment.problem == problem)
    return (await session.execute(place.put(query))).all()


async def trials(session: AsyncSession, experiment_id: UUID) -> Sequence[ExperimentTrial]:
    query = select(ExperimentTrial).where(ExperimentTrial.experiment_id == experiment_id)
    return (await session.execute(query.order_by(ExperimentTrial.number))).scalars().all()


async def add_step(session: AsyncSession, values: dict[str, Any]) -> bool:
    """Write a step of a trial; False when it was written before."""
    return (await session.execute(_STEP, {"id": new_id(), **values})).first() is not None


async def end_trial(session: AsyncSession, experiment_id: UUID, number: int, state: str) -> None:
    own = ExperimentTrial.experiment_id == experiment_id, ExperimentTrial.number == number
    await session.execute(update(ExperimentTrial).where(*own).values(state=state))


async def finish(
    session: AsyncSession, experiment_id: UUID, *, state: str, result: dict[str, Any], error: str, at: datetime
) -> None:
    await session.execute(
        update(Experiment)
        .where(Experiment.id == experiment_id)
        .values(state=state, result=result, error=error, finished_at=at)
    )


async def history(session: AsyncSession, problem: str) -> tuple[datetime | None, int]:
    """When the newest experiment on a problem ended, and how many did."""
    ended = Experiment.problem == problem, Experiment.state != "running"
    query = select(func.max(Experiment.finished_at), func.count()).where(*ended)
    last, count = (await session.execute(query)).one()
    return last, int(count)


async def asked_for(session: AsyncSession) -> Sequence[Experiment]:
    """Unfinished ones that an agent asked for, oldest first; a command's own have no cause."""
    query = select(Experiment).where(Experiment.state == "running", Experiment.cause != "").order_by(Experiment.id)
    return (await session.execute(query)).scalars().all()


async def running(session: AsyncSession, problem: str) -> bool:
    """Whether one that an agent asked for is. A command that was killed may come back or not: nobody waits for it."""
    asked = Experiment.problem == problem, Experiment.state == "running", Experiment.cause != ""
    query = select(Experiment.id).where(*asked).limit(1)
    return (await session.execute(query)).first() is not None
