"""Trainings that agents ask for: put in the books with the decision, computed later by whoever has a Ray."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from flipsync.domain.errors import Conflict
from flipsync.store.repositories import experiments as rows
from flipsync.store.unit_of_work import Store, UnitOfWork
from flipsync.training.catalogue import code_version, problem
from flipsync.training.study import Books, Outcome, Study

TRAINER = "trainer"
#: runs in which policy and baseline are compared
_JUDGED = 200


@dataclass(frozen=True)
class Requested:
    """An experiment an agent asked for and nobody has finished."""

    tenant_id: UUID
    name: str
    seed: int
    samples: int


async def request(unit: UnitOfWork, name: str, *, seed: int, samples: int, cause: str) -> UUID:
    """Ask for a training. Raises NotFound for an unknown problem, Conflict while one is under way."""
    wanted = problem(name)
    if await rows.running(unit.session, name):
        raise Conflict(f"a training of {name} is under way")
    unit.wake.add(TRAINER)
    return await rows.insert(
        unit.session,
        {
            "tenant_id": unit.tenant_id,
            "problem": name,
            "seed": seed,
            "samples": samples,
            "code_version": code_version(),
            "data": wanted.reference(),
            "cause": cause,
        },
    )


async def open_requests(store: Store, tenant_id: UUID) -> list[Requested]:
    """Those of a business, oldest first. What was asked of other code is given up: it would be another experiment."""
    async with store.unit(tenant_id) as unit:
        found = []
        for row in await rows.asked_for(unit.session):
            if row.code_version == code_version():
                found.append(Requested(tenant_id, row.problem, row.seed, row.samples))
            else:
                words = "the code changed before it was computed"
                await rows.finish(unit.session, row.id, state="failed", result={}, error=words, at=unit.now)
        return found


def compute(store: Store, wanted: Requested) -> Outcome:
    """Compute it on the Ray this process is in, one trial at a time beside the running system."""
    from flipsync.training.tuner import search

    books = Books(store, wanted.tenant_id)
    try:
        study = Study(books, problem(wanted.name), seed=wanted.seed, samples=wanted.samples)
        with tempfile.TemporaryDirectory(prefix="flipsync-training-") as folder:
            try:
                search(study, lambda progress: None, folder=Path(folder), at_once=1)
                return study.conclude(judged=_JUDGED)
            except Exception as error:
                study.fail(error)
                raise
    finally:
        books.close()
