"""Agents against stated baselines, one module an agent.

python -m benchmarks.agents [--quick] [--json]
"""

from __future__ import annotations

import argparse
import sys
from types import ModuleType

from benchmarks import (
    agent_ad_money,
    agent_advertising,
    agent_auto_inventory,
    agent_auto_listing,
    agent_cash,
    agent_competitor,
    agent_demand,
    agent_fleet,
    agent_listing,
    agent_matching,
    agent_pricing,
    agent_recalibration,
    agent_resource,
    agent_sourcing,
    agent_strategy,
    agent_transfers,
    agent_trend,
)
from benchmarks.measuring import Report, saying

#: each has a `run(report, *, quick)` that adds its lines
AGENTS: tuple[ModuleType, ...] = (
    agent_advertising,
    agent_auto_inventory,
    agent_transfers,
    agent_auto_listing,
    agent_competitor,
    agent_demand,
    agent_trend,
    agent_sourcing,
    agent_listing,
    agent_matching,
    agent_resource,
    agent_cash,
    agent_ad_money,
    agent_strategy,
    agent_recalibration,
    agent_pricing,
    agent_fleet,
)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    report = Report("agents")
    for agent in AGENTS:
        with saying(agent.__name__.rpartition(".")[2]):
            agent.run(report, quick=arguments.quick)
    report.finish(as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
