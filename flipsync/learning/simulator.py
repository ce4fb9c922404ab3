"""What every simulator is: many independent runs of one problem side by side, and a Gymnasium face for one of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, cast

import gymnasium
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Simulator(ABC):
    """`runs` copies of one problem, moved together. Subclasses say sizes and write `_begin` and `_move`.

    Observations are (runs, observation_size), actions (runs, action_size), rewards (runs,): money or negative cost.
    Randomness comes from one generator, drawn in the same order whatever is done, so that two policies under the same
    seed meet the same customers (common random numbers).
    """

    observation_size: int
    action_size: int = 1
    horizon: int

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.seed = 0
        self.runs = 0
        self.period = 0

    @abstractmethod
    def _begin(self) -> Array:
        """Set the state of all runs to the start and return their observations."""

    @abstractmethod
    def _move(self, actions: Array) -> tuple[Array, Array]:
        """One period: observations and rewards."""

    def action_bounds(self) -> tuple[Array, Array]:
        """Least and greatest action, each (action_size,)."""
        return np.zeros(self.action_size), np.full(self.action_size, np.inf)

    def _seeds(self) -> list[int]:
        """A seed for each run, where every run has an instance of its own to draw."""
        return [int(seed) for seed in self.rng.integers(2**31, size=self.runs)]

    def reset(self, runs: int, seed: int) -> Array:
        self.rng, self.seed = np.random.default_rng(seed), seed
        self.runs, self.period = runs, 0
        return self._begin()

    def step(self, actions: npt.ArrayLike) -> tuple[Array, Array, bool]:
        """Act in every run. Raises ValueError before `reset`, after the end, and for actions of the wrong shape."""
        if self.runs == 0 or self.period >= self.horizon:
            raise ValueError("the episode is over or has not begun: call reset")
        chosen = np.asarray(actions, dtype=np.float64)
        if chosen.shape != (self.runs, self.action_size):
            raise ValueError(f"actions have shape {chosen.shape}, expected {(self.runs, self.action_size)}")
        observations, rewards = self._move(chosen)
        self.period += 1
        return observations, rewards, self.period >= self.horizon


class GymFace(gymnasium.Env[Array, Array]):
    """One run of a simulator as a Gymnasium environment, for learners made for that interface."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        low, high = simulator.action_bounds()
        self.action_space = cast(Any, gymnasium.spaces.Box(low, high, dtype=np.float64))
        size = (simulator.observation_size,)
        self.observation_space = cast(Any, gymnasium.spaces.Box(-np.inf, np.inf, size, dtype=np.float64))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(2**31)) if seed is None else seed
        return self.simulator.reset(1, drawn)[0], {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        observations, rewards, over = self.simulator.step(np.reshape(action, (1, -1)))
        return observations[0], float(rewards[0]), over, False, {}
