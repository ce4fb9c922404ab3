"""statsforecast (Nixtla) on P11: its IMAPA, TSB and Croston-SBA, series by series."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from flipsync.learning.simulator import Array

#: its model and settings, by the name of ours
MODELS: dict[str, tuple[str, dict[str, float]]] = {
    "Croston-SBA": ("CrostonSBA", {}),
    "TSB": ("TSB", {"alpha_d": 0.2, "alpha_p": 0.2}),
    "IMAPA": ("IMAPA", {}),
}


def forecast(method: str, history: Array) -> Array:
    """Weekly demand to come by statsforecast's `method`, (series,). Raises KeyError for a method not in `MODELS`."""
    name, settings = MODELS[method]
    models: Any = importlib.import_module("statsforecast.models")
    model = getattr(models, name)(**settings)
    return np.array([float(model.forecast(y=row, h=1)["mean"][0]) for row in np.ascontiguousarray(history)])
