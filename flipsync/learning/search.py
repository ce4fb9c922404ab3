"""Policy search: CMA-ES on a cost measured in common random numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from flipsync.learning.protocol import Cpu


def minimise(
    cost: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    start: npt.ArrayLike,
    sigma: float,
    *,
    seed: int,
    cpu_seconds: float,
    population: int | None = None,
    rounds: int = 10_000,
    scale: npt.ArrayLike | None = None,
) -> npt.NDArray[np.float64]:
    """CMA-ES (Hansen 2016) on a cost of (population, parameters) → (population,); returns the final mean's best guess.

    `cost` should use common random numbers: the same ones in every call. Stops after `cpu_seconds` or `rounds`, or when
    the search has converged. `scale` is the size of a sensible step in each parameter.
    """
    from cmaes import CMA

    first = np.asarray(start, dtype=np.float64)
    unit = np.ones_like(first) if scale is None else np.asarray(scale, dtype=np.float64)
    search = CMA(mean=np.zeros_like(first), sigma=sigma, seed=seed, population_size=population)
    best, lowest = first, float(cost(first[None])[0])
    with Cpu() as clock:
        for _ in range(rounds):
            asked = [search.ask() for _ in range(search.population_size)]
            points = first + np.array(asked) * unit
            costs = cost(points)
            search.tell(list(zip(asked, costs.tolist(), strict=True)))
            if costs.min() < lowest:
                best, lowest = points[costs.argmin()], float(costs.min())
            if clock.so_far() > cpu_seconds or search.should_stop():
                break
    centre = first + search.mean * unit
    return centre if cost(centre[None])[0] < lowest else best
