"""What can be trained: a space to search, a score that grows with effort, a baseline, and a judge nobody trained on."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from flipsync.learning.policy import Origin, Policy
from flipsync.learning.simulator import Array

Params = Mapping[str, float]
#: what a trial remembers between steps: plain JSON
Memory = dict[str, Any]


@dataclass(frozen=True)
class Range:
    """A parameter between two bounds, drawn evenly, or evenly in its logarithm; `whole` for counts."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def draw(self, rng: np.random.Generator) -> float:
        return self.at(float(rng.random()))

    def at(self, share: float) -> float:
        """The value a share of the way from low to high."""
        if self.log:
            value = float(np.exp(np.log(self.low) + share * (np.log(self.high) - np.log(self.low))))
        else:
            value = self.low + share * (self.high - self.low)
        return float(round(value)) if self.whole else round(value, 6)

    def hold(self, value: float) -> float:
        """The value itself, or the bound it crossed."""
        held = min(max(value, self.low), self.high)
        return float(round(held)) if self.whole else float(held)


@dataclass(frozen=True)
class Step:
    """A trial after one more step: its score so far (higher is better), and what it remembers."""

    score: float
    memory: Memory = field(default_factory=dict)


class Problem(ABC):
    """One problem. Every random number comes from the study's seed and the step, and from nothing a trial chooses: two
    trials meet the same customers (common random numbers), and a step done twice gives the same score."""

    name: ClassVar[str]
    #: policies are judged, and their worth told, in this
    unit: ClassVar[str]
    kind: ClassVar[Literal["pricing", "inventory", "forecast"]]
    #: asha stops trials that fall behind; pbt lets a population adapt to a world that moves
    scheduler: ClassVar[Literal["asha", "pbt"]] = "asha"
    #: steps of a whole trial
    steps: ClassVar[int]
    space: ClassVar[Mapping[str, Range]]
    baseline: ClassVar[Mapping[str, float]]

    @abstractmethod
    def advance(self, params: Params, seed: int, step: int, memory: Memory) -> Step:
        """One step, from 0, of the trial with these parameters."""

    @abstractmethod
    def policy(self, params: Params, memory: Memory, origin: Origin) -> Policy:
        """What the trial amounts to, as it is kept."""

    @abstractmethod
    def default(self, origin: Origin) -> Policy:
        """The policy that anything learned has to beat."""

    @abstractmethod
    def judge(self, policy: Policy, runs: int) -> Array:
        """What the policy earns in each of `runs` runs on the judge's seed, the same runs for every policy: (runs,)."""

    def describe(self) -> dict[str, Any]:
        """What its scores depend on beside code and seeds."""
        return {"scenarios": "drawn", "problem": self.name}

    def draw(self, seed: int, number: int) -> dict[str, float]:
        """Parameters of trial `number`: the same for the same seed, whatever ran before. Trial 0 is the baseline."""
        if number == 0:
            return dict(self.baseline)
        rng = np.random.default_rng([seed, number])
        return {name: each.draw(rng) for name, each in self.space.items()}

    def reference(self) -> dict[str, Any]:
        """`describe` with space and steps, and a digest over all of it."""
        told = {
            **self.describe(),
            "space": {name: asdict(each) for name, each in self.space.items()},
            "steps": self.steps,
            "scheduler": self.scheduler,
        }
        return {**told, "digest": hashlib.sha256(repr(sorted(told.items())).encode()).hexdigest()[:16]}


def running_mean(memory: Memory, value: float) -> Step:
    """The mean of `value` and those of earlier steps, remembered as a sum and a count."""
    total, count = float(memory.get("total", 0.0)) + value, int(memory.get("count", 0)) + 1
    return Step(total / count, {**memory, "total": total, "count": count})
