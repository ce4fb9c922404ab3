"""What a policy would have earned, from the log of another (Horvitz and Thompson 1952; Swaminathan and Joachims 2015;
Dudík, Langford and Li 2011). Rows of the log: the action taken, the chance it had, and the reward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from flipsync.learning.protocol import Interval
from flipsync.learning.simulator import Array, Ints


@dataclass(frozen=True)
class Log:
    """`action` (n,) index, `chance` (n,) it had under the policy that logged, `reward` (n,).

    Raises ValueError for lengths that differ, no rows, or a chance outside (0, 1].
    """

    action: Ints
    chance: Array
    reward: Array

    def __post_init__(self) -> None:
        if not len(self.action) == len(self.chance) == len(self.reward) or not len(self.action):
            raise ValueError("action, chance and reward must have the same length, at least one")
        if (self.chance <= 0).any() or (self.chance > 1).any():
            raise ValueError("every logged chance must lie in (0, 1]: what could not happen cannot have been logged")

    def weights(self, policy: Array) -> Array:
        """policy(action) / logged chance; `policy` (n, actions) are the new policy's chances in each row."""
        return np.asarray(policy[np.arange(len(self.action)), self.action] / self.chance)


@dataclass(frozen=True)
class Estimate:
    """A policy's mean reward with its interval, and how many rows' worth of evidence carries it (Kish 1965)."""

    value: Interval
    effective_rows: float


def _interval(mean: float, error: float, level: float) -> Interval:
    half = float(norm.ppf((1 + level) / 2)) * error
    return Interval(mean, mean - half, mean + half)


def _rows(weights: Array) -> float:
    return float(weights.sum() ** 2 / max((weights**2).sum(), 1e-300))


def ips(log: Log, policy: Array, *, level: float = 0.95) -> Estimate:
    """Inverse propensity score: unbiased where the log's chances are right; wide where the policies differ."""
    weights = log.weights(policy)
    terms = weights * log.reward
    return Estimate(_interval(float(terms.mean()), float(terms.std() / len(terms) ** 0.5), level), _rows(weights))


def snips(log: Log, policy: Array, *, level: float = 0.95) -> Estimate:
    """Self-normalised: a little bias for much less spread; its error by the delta method."""
    weights = log.weights(policy)
    if not weights.any():
        raise ValueError("the log never shows what this policy does: nothing can be said of it")
    mean = float((weights * log.reward).sum() / weights.sum())
    error = float(np.sqrt((weights**2 * (log.reward - mean) ** 2).sum()) / weights.sum())
    return Estimate(_interval(mean, error, level), _rows(weights))


def doubly_robust(log: Log, policy: Array, model: Array, *, level: float = 0.95) -> Estimate:
    """A reward model, (n, actions), put right by what was seen: unbiased if either the model or the chances are."""
    weights = log.weights(policy)
    told = model[np.arange(len(log.action)), log.action]
    terms = (policy * model).sum(axis=1) + weights * (log.reward - told)
    return Estimate(_interval(float(terms.mean()), float(terms.std() / len(terms) ** 0.5), level), _rows(weights))
