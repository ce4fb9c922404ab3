"""Other people's packages on the same problems and the same customers: adapters to what the `peers` extra installs.

Each adapter imports its package when called. `missing` names what is not installed, so that a benchmark leaves the row
out and says so.
"""

from __future__ import annotations

import importlib.util

#: name of the package to install, by the module it brings
PACKAGES = {
    "mabwiser": "mabwiser",
    "ortools": "ortools",
    "pyvrp": "pyvrp",
    "stable_baselines3": "stable-baselines3",
    "statsforecast": "statsforecast",
    "stockpyl": "stockpyl",
    "vowpalwabbit": "vowpalwabbit",
}


def installed(module: str) -> bool:
    """Whether a module of `PACKAGES` is there. Raises KeyError for another."""
    return bool(PACKAGES[module]) and importlib.util.find_spec(module) is not None


def missing(*modules: str) -> list[str]:
    """Of the modules named, the packages that are not installed."""
    return [PACKAGES[module] for module in modules if not installed(module)]
