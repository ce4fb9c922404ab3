"""Fitted Q iteration (Ernst, Geurts and Wehenkel, JMLR 2005) on any simulator with one action: a challenger.

Q(state, action) is a polynomial in both, fitted by ridge regression to  reward + discount * max of Q next  over all
transitions seen. What was learned plays a share of its choices at random and brings new transitions, in turns (the
growing batch of Ernst et al.). It is told nothing but what the simulator tells: structure has to win by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

from flipsync.learning.protocol import Cpu
from flipsync.learning.simulator import Array, Ints, Simulator

#: transitions kept, newest first to stay; a round plays `RUNS` runs for `PERIODS` periods and sweeps `SWEEPS` times
KEPT, RUNS, PERIODS, SWEEPS = 24_000, 128, 40, 25
#: against features that are sums of others; more of it flattens what is learned
RIDGE = 1e-7
#: share of choices at random: all in the first round, then less, never less than this
LEAST_RANDOM = 0.15


@dataclass(frozen=True)
class FittedQ:
    """What was learned. `scale` divides state and action before powers are taken; `powers` names each feature."""

    weights: Array
    scale: Array
    actions: Array
    powers: tuple[tuple[int, ...], ...]

    def worth(self, states: npt.ArrayLike) -> Array:
        """Discounted worth of each action, (states, actions), for states of shape (states, observation_size)."""
        return np.asarray(_over_actions(np.asarray(states, dtype=np.float64), self) @ self.weights)

    def best(self, states: npt.ArrayLike) -> Ints:
        """Index of the best action in each state, (states,)."""
        return np.asarray(self.worth(states).argmax(axis=1), dtype=np.int64)


def learn(
    simulator: Simulator,
    *,
    actions: npt.ArrayLike,
    scale: npt.ArrayLike,
    seed: int,
    cpu_seconds: Sequence[float],
    discount: float = 0.95,
    degree: int = 3,
) -> list[FittedQ]:
    """What is known after each of `cpu_seconds`, in one run of learning. At least one round is played.

    `actions` are the choices, (actions,); `scale` is the usual size of each figure of the observation and of the
    action, (observation_size + 1,). Raises ValueError for a simulator with more than one action.
    """
    if simulator.action_size != 1:
        raise ValueError(f"one action is learned, this simulator takes {simulator.action_size}")
    choices, sizes = np.asarray(actions, dtype=np.float64), np.asarray(scale, dtype=np.float64)
    powers = _powers(len(sizes), degree)
    known = FittedQ(np.zeros(len(powers)), sizes, choices, powers)
    rng = np.random.default_rng(seed)
    seen: list[tuple[Array, Array, Array]] = []
    found: list[FittedQ] = []
    rounds = 0
    with Cpu() as clock:
        while len(found) < len(cpu_seconds):
            seen.append(_play(simulator, known, rng, max(LEAST_RANDOM, 1.0 - 0.2 * rounds)))
            del seen[: -max(1, KEPT // (RUNS * PERIODS))]
            known = _fit(known, seen, discount)
            rounds += 1
            while len(found) < len(cpu_seconds) and clock.so_far() > cpu_seconds[len(found)]:
                found.append(known)
    return found


def _play(simulator: Simulator, known: FittedQ, rng: np.random.Generator, random: float) -> tuple[Array, Array, Array]:
    """(features of what was done, rewards, features of every action afterwards) of one round."""
    done, rewards, after = [], [], []
    states = simulator.reset(RUNS, int(rng.integers(2**31)))
    for _ in range(min(PERIODS, simulator.horizon)):
        chosen = known.best(states)
        strays = rng.random(RUNS) < random
        chosen[strays] = rng.integers(len(known.actions), size=int(strays.sum()))
        taken = known.actions[chosen]
        came, reward, _ = simulator.step(taken[:, None])
        done.append(_features(np.column_stack([states, taken]) / known.scale, known.powers))
        rewards.append(reward)
        after.append(_over_actions(came, known))
        states = came
    return np.concatenate(done), np.concatenate(rewards), np.concatenate(after)


def _fit(known: FittedQ, seen: Sequence[tuple[Array, Array, Array]], discount: float) -> FittedQ:
    done, rewards, after = (np.concatenate(parts) for parts in zip(*seen, strict=True))
    # worth is told apart from a constant, which chooses nothing: a mean reward far from zero would be hard to fit
    rewards = rewards - rewards.mean()
    inverse = np.linalg.inv(done.T @ done + RIDGE * len(done) * np.eye(done.shape[1])) @ done.T
    weights = known.weights
    for _ in range(SWEEPS):
        weights = inverse @ (rewards + discount * (after @ weights).max(axis=1))
    return FittedQ(weights, known.scale, known.actions, known.powers)


def _powers(figures: int, degree: int) -> tuple[tuple[int, ...], ...]:
    """Each feature as the figures it multiplies: (), (0,), (0, 0), (0, 1), …"""
    return tuple(each for size in range(degree + 1) for each in combinations_with_replacement(range(figures), size))


def _features(points: Array, powers: tuple[tuple[int, ...], ...]) -> Array:
    """(points, features) of points (…, figures)."""
    columns: dict[tuple[int, ...], Array] = {(): np.ones(points.shape[:-1])}
    for each in powers[1:]:
        columns[each] = columns[each[:-1]] * points[..., each[-1]]
    return np.stack([columns[each] for each in powers], axis=-1)


def _over_actions(states: Array, known: FittedQ) -> Array:
    """Features of every action in every state, (states, actions, features)."""
    shape = (len(states), len(known.actions))
    points = np.empty((*shape, states.shape[1] + 1))
    points[..., :-1] = states[:, None]
    points[..., -1] = known.actions
    return _features(points / known.scale, known.powers)
