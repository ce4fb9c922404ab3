"""Stable-Baselines3 (Raffin et al., JMLR 2021) on P7: PPO and A2C learn the order from simulation.

The peer is helped where it can be: a period is charged its expected cost, as for our own search; stock and orders come
in units of a period's demand, rewards lie about zero; an order is one of `order_cap` + 1 choices; many runs go side by
side, and the future is discounted at 0.95, a horizon five times the longest lead time.
"""

from __future__ import annotations

import importlib
from typing import Any, Literal

import numpy as np

from flipsync.learning.inventory.lost_sales import LostSales
from flipsync.learning.protocol import Cpu
from flipsync.learning.simulator import Array, Ints

Algorithm = Literal["PPO", "A2C"]
ALGORITHMS: tuple[Algorithm, ...] = ("PPO", "A2C")

#: settings of each, beside the package's own
_SETTINGS: dict[str, dict[str, Any]] = {
    "PPO": {"n_steps": 64, "batch_size": 512, "n_epochs": 6, "learning_rate": 1e-3, "gamma": 0.95, "gae_lambda": 0.95},
    "A2C": {"n_steps": 16, "learning_rate": 1e-3, "gamma": 0.95, "gae_lambda": 0.95},
}


def learn_orders(
    problem: LostSales, algorithm: Algorithm, *, seed: int, cpu_seconds: list[float], runs: int = 64
) -> list[Ints]:
    """Orders by state, in the shape of `problem.shape`, after each of `cpu_seconds`, in one run of learning.

    Looking at what was learned is not counted.
    """
    torch: Any = importlib.import_module("torch")
    stable: Any = importlib.import_module("stable_baselines3")
    torch.set_num_threads(1)
    world = _world(problem, runs, seed)
    found: list[Ints] = []
    callbacks: Any = importlib.import_module("stable_baselines3.common.callbacks")

    class Stop(callbacks.BaseCallback):  # type: ignore[misc]
        looked = 0.0

        def _on_step(self) -> bool:
            while len(found) < len(cpu_seconds) and clock.so_far() - self.looked > cpu_seconds[len(found)]:
                with Cpu() as look:
                    found.append(_orders(self.model, problem))
                self.looked += look.seconds
            return len(found) < len(cpu_seconds)

    with Cpu() as clock:
        model = getattr(stable, algorithm)("MlpPolicy", world, seed=seed, device="cpu", **_SETTINGS[algorithm])
        model.learn(10**9, callback=Stop())
    return found


def _orders(model: Any, problem: LostSales) -> Ints:
    states = problem.states().reshape(problem.lead, -1).T / problem.mean
    actions = [model.predict(part.astype(np.float32), deterministic=True)[0] for part in np.array_split(states, 16)]
    return np.concatenate(actions).astype(np.int64).reshape(problem.shape)


def _world(problem: LostSales, runs: int, seed: int) -> Any:
    """`runs` copies of P7 as the package's vector environment. They never end, as the problem does not."""
    vectors: Any = importlib.import_module("stable_baselines3.common.vec_env")
    spaces: Any = importlib.import_module("gymnasium.spaces")
    base = 1.5 * float(
        problem.period_cost.min()
    )  # near what a good policy costs: rewards about zero are learned sooner

    class World(vectors.VecEnv):  # type: ignore[misc]
        def __init__(self) -> None:
            seen = spaces.Box(0.0, np.inf, (problem.lead,), np.float32)
            super().__init__(runs, seen, spaces.Discrete(problem.order_cap + 1))
            self.rng, self.chosen = np.random.default_rng(seed), np.zeros(runs)

        def _see(self) -> Array:
            return (self.state.T / problem.mean).astype(np.float32)

        def reset(self) -> Array:
            self.state = np.full((problem.lead, runs), problem.mean)
            return self._see()

        def step_async(self, actions: Array) -> None:
            self.chosen = actions.astype(np.float64)

        def step_wait(self) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
            held = np.minimum(self.state[0], problem.stock_cap)
            cost = problem.period_cost[held.astype(np.int64)]
            left = np.maximum(held - self.rng.poisson(problem.mean, runs), 0)
            coming = np.concatenate([self.state[1:], self.chosen[None]])
            self.state = np.concatenate([(left + coming[0])[None], coming[1:]])
            reward = ((base - cost) / problem.mean).astype(np.float32)
            return self._see(), reward, np.zeros(runs, dtype=bool), [{} for _ in range(runs)]

        def close(self) -> None:
            """Nothing to close."""

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            return [getattr(self, attr_name)] * runs

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            setattr(self, attr_name, value)

        def env_method(self, method_name: str, *args: Any, indices: Any = None, **settings: Any) -> list[Any]:
            return [getattr(self, method_name)(*args, **settings)]

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            return [False] * runs

    return World()
