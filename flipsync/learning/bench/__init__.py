"""Benchmarks of the learning core: `BENCHES` names them, each module has `run(quick) -> Report`."""

from __future__ import annotations

BENCHES: dict[str, str] = {
    "pricing": "flipsync.learning.bench.pricing",
    "inventory": "flipsync.learning.bench.inventory",
    "forecast": "flipsync.learning.bench.forecast",
    "fulfilment": "flipsync.learning.bench.fulfilment",
}
