"""A study: from a problem and a seed to a policy in the registry, with everything on the way in the books.

What was computed is written step by step, so that a driver killed at any moment is followed by one that goes on: the
same call finds the unfinished experiment, tells the scheduler what was scored already, and computes the rest. A step is
written once; a trial is a row, so nothing can be counted twice.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from uuid import UUID

import orjson

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import FlipSyncError, Unavailable
from flipsync.learning.policy import Origin, Policy
from flipsync.learning.protocol import JUDGE_SEED, Interval, bootstrap
from flipsync.services import model_registry
from flipsync.services.model_registry import Comparison
from flipsync.store.repositories import experiments as rows
from flipsync.store.unit_of_work import Store
from flipsync.training.catalogue import code_version
from flipsync.training.problem import Memory, Problem

T = TypeVar("T")


@dataclass
class Trial:
    """What is known of one trial. `ended` is "" while it may go on."""

    number: int
    params: dict[str, float]
    scores: list[float] = field(default_factory=list)
    memory: Memory = field(default_factory=dict)
    ended: str = ""

    @property
    def score(self) -> float:
        return self.scores[-1] if self.scores else float("-inf")


@dataclass(frozen=True)
class Progress:
    """How far a study is: trials ended of all, and the best score so far with its trial; at last, in how many runs that
    one is compared with the baseline (`judging`)."""

    ended: int
    trials: int
    best: float
    number: int
    steps: int
    judging: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a study found. `learned` tells whether the policy beats the baseline; the baseline is kept when not."""

    experiment_id: UUID
    policy_id: UUID
    policy: Policy
    learned: bool
    trial: int
    trials: int
    steps_now: int
    steps_before: int
    comparison: Comparison

    def as_dict(self) -> dict[str, Any]:
        return {
            "experiment_id": str(self.experiment_id),
            "policy_id": str(self.policy_id),
            "policy": orjson.loads(self.policy.to_json()),
            "learned": self.learned,
            "trial": self.trial,
            "trials": self.trials,
            "steps_computed": self.steps_now,
            "steps_found": self.steps_before,
            **self.comparison.as_dict(),
        }


class Books:
    """The store from a thread that waits: its work runs in an event loop of its own."""

    def __init__(self, store: Store, tenant_id: UUID) -> None:
        self.store, self.tenant_id = store, tenant_id
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="books", daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self.do(self.store.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Study:
    """One experiment in the books, whoever computes its trials."""

    def __init__(self, books: Books, problem: Problem, *, seed: int, samples: int, cause: str = "") -> None:
        self.books, self.problem, self.seed, self.samples, self.cause = books, problem, seed, samples, cause
        self.trials: list[Trial] = []
        self.steps_before = 0
        self.steps_now = 0
        self.experiment_id = books.do(self._open())

    def wanted(self) -> list[Trial]:
        """All trials, those of an earlier driver with what they had."""
        return self.trials

    def add_step(self, number: int, params: dict[str, float], score: float, memory: Memory) -> None:
        """The next step of a trial was computed."""
        trial = self.trials[number]
        step = len(trial.scores)
        trial.params, trial.memory = params, memory
        trial.scores.append(score)
        self.steps_now += 1
        self.books.do(self._write(trial, step))

    def end_trial(self, number: int, state: str) -> None:
        trial = self.trials[number]
        if not trial.ended:
            trial.ended = state
            self.books.do(self._end(number, state))

    def progress(self) -> Progress:
        best = max(self.trials, key=lambda trial: (trial.score, -trial.number))
        ended = sum(bool(trial.ended) for trial in self.trials)
        return Progress(ended, len(self.trials), best.score, best.number, self.steps_before + self.steps_now)

    def conclude(self, *, judged: int, report: Report | None = None) -> Outcome:
        """Judge the best trial against the baseline on runs no trial saw, and keep what is better.

        A trial that was stopped early has proved less: those that went all the way come first. Raises Unavailable when
        no trial has a score.
        """
        scored = [trial for trial in self.trials if trial.scores and trial.ended != "failed"]
        if not scored:
            raise Unavailable("no trial of the study ended with a score", hint="see the experiment's error")
        best = max(scored, key=lambda trial: (len(trial.scores), trial.score, -trial.number))
        origin = Origin(self.problem.name, f"tune/{self.problem.scheduler}", self.seed, best.score, self.problem.unit)
        policy = self.problem.policy(best.params, best.memory, origin)
        shipped = self.problem.default(Origin(self.problem.name, "baseline", self.seed, None, self.problem.unit))
        if report is not None:
            report(replace(self.progress(), number=best.number, judging=judged))
        ours, theirs = self.problem.judge(policy, judged), self.problem.judge(shipped, judged)
        gain = bootstrap(ours - theirs)
        worth, base = bootstrap(ours), bootstrap(theirs)
        learned = gain.low > 0
        kept = policy if learned else shipped
        comparison = Comparison(self.problem.unit, _three(worth), _three(base), _three(gain), judged, JUDGE_SEED)
        policy_id = self.books.do(self._conclude(kept, learned, best, comparison))
        return Outcome(
            self.experiment_id,
            policy_id,
            kept,
            learned,
            best.number,
            len(self.trials),
            self.steps_now,
            self.steps_before,
            comparison,
        )

    def fail(self, error: Exception) -> None:
        """The study cannot go on; a new call begins a new one."""
        words = error.message if isinstance(error, FlipSyncError) else f"{type(error).__name__}: {error}"
        self.books.do(self._finish("failed", {}, words[:500]))

    # -- the books ----------------------------------------------------------------------------------------------------

    async def _open(self) -> UUID:
        reference = self.problem.reference()
        self.trials = [Trial(number, self.problem.draw(self.seed, number)) for number in range(self.samples)]
        async with self.books.store.unit(self.books.tenant_id) as unit:
            code = code_version()
            found = await rows.open_like(
                unit.session, self.problem.name, self.seed, self.samples, code, reference["digest"]
            )
            if found is None:
                return await rows.insert(
                    unit.session,
                    {
                        "tenant_id": unit.tenant_id,
                        "problem": self.problem.name,
                        "seed": self.seed,
                        "samples": self.samples,
                        "code_version": code,
                        "data": reference,
                        "cause": self.cause,
                    },
                )
            for row in await rows.trials(unit.session, found.id):
                ended = "" if row.state == "running" else row.state
                self.trials[row.number] = Trial(row.number, dict(row.params), list(row.scores), row.memory, ended)
            self.steps_before = sum(len(trial.scores) for trial in self.trials)
            return found.id

    async def _write(self, trial: Trial, step: int) -> None:
        async with self.books.store.unit(self.books.tenant_id) as unit:
            await rows.add_step(
                unit.session,
                {
                    "tenant": self.books.tenant_id,
                    "experiment": self.experiment_id,
                    "number": trial.number,
                    "state": "running",
                    "params": orjson.dumps(trial.params).decode(),
                    "memory": orjson.dumps(trial.memory).decode(),
                    "score": trial.scores[-1],
                    "step": step,
                    "at": utc_now(),
                },
            )

    async def _end(self, number: int, state: str) -> None:
        async with self.books.store.unit(self.books.tenant_id) as unit:
            await rows.end_trial(unit.session, self.experiment_id, number, state)

    async def _finish(self, state: str, result: dict[str, Any], error: str = "") -> None:
        async with self.books.store.unit(self.books.tenant_id) as unit:
            await rows.finish(unit.session, self.experiment_id, state=state, result=result, error=error, at=utc_now())

    async def _conclude(self, kept: Policy, learned: bool, best: Trial, comparison: Comparison) -> UUID:
        async with self.books.store.unit(self.books.tenant_id) as unit:
            policy_id = await model_registry.keep(
                unit,
                self.problem.name,
                kept,
                experiment_id=self.experiment_id,
                code_version=code_version(),
                data=self.problem.reference(),
                seeds={"search": self.seed, "trial": best.number, "judge": JUDGE_SEED},
                scores={**comparison.as_dict(), "learned": learned},
            )
            result = {
                **comparison.as_dict(),
                "learned": learned,
                "trial": best.number,
                "params": best.params,
                "score": best.score,
                "policy_id": str(policy_id),
            }
            await rows.finish(unit.session, self.experiment_id, state="finished", result=result, error="", at=utc_now())
        return policy_id


Report = Callable[[Progress], None]


def _three(told: Interval) -> tuple[float, float, float]:
    return (told.mean, told.low, told.high)
