"""Cold start, memory and idle processor share of the whole system, against bare Ray with as many actors.

    python -m benchmarks.cold_start [--quick] [--json] [--repeats 3] [--idle-seconds 30] [--agents 39]

Ours: data folder, PostgreSQL, Redis, schema, Ray, API behind HAProxy, supervisor, agents, effect worker. The peer: a
Ray head with as many actors that import and do nothing, and a no-op route on Serve behind the same HAProxy. Each is a
process of its own, started from nothing, seconds counted from its exec. With `--agents` above how many agents there
are, some of them are two that share the businesses out (FLIPSYNC_REPLICAS), until there are so many processes. Memory
is the sum of proportional set sizes over the whole process tree; the idle share is processor time over wall time, 1.0
is one core.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.installation import graph, temporary_home
from benchmarks.measuring import Report, saying, spread
from benchmarks.processes import idle_shares, proportional_memory, tree

AIM_IDLE, AIM_MEMORY, AIM_START = 1.5, 1.5, 1.3
#: beside the agents: the supervisor and one effect worker
_OTHER_ACTORS = 2


def padded(agents: int) -> str:
    """FLIPSYNC_REPLICAS for so many agents' processes in all; as many as there are agents at least, at most twice."""
    names = sorted(graph().agents)
    return ",".join(f"{name}=2" for name in names[: max(0, agents - len(names))])


def run_once(
    module: str, home: Path, arguments: list[str], *, settle: float, idle: float, replicas: str = ""
) -> dict[str, Any]:
    """Start it, wait for its stages, let it rest, look at it, stop it. `idle` 0 looks at nothing."""
    with tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", module, "--home", str(home), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | {"FLIPSYNC_REPLICAS": replicas},
        )
        try:
            return _look(process, began, settle=settle, idle=idle)
        except _NotUpError as error:
            errors.seek(0)
            raise RuntimeError(f"{module}: {error}\n{errors.read()[-2000:].decode(errors='replace')}") from error
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=60)


class _NotUpError(Exception):
    """The process ended before it was up."""


def _look(process: subprocess.Popen[bytes], began: float, *, settle: float, idle: float) -> dict[str, Any]:
    assert process.stdout is not None
    stages: dict[str, Any] = {}
    for line in process.stdout:
        stages[json.loads(line)["stage"]] = time.monotonic() - began
        if "agents" in stages:
            break
    if "agents" not in stages:
        raise _NotUpError(f"ended with {process.wait()} before it was up")
    if idle:
        time.sleep(settle)
        stages["idle"] = idle_shares(process.pid, idle)
        memory = proportional_memory(tree(process.pid))
        stages["memory_mb"] = {name: sum(each) for name, each in memory.items()}
        stages["largest_mb"] = {name: max(each) for name, each in memory.items()}
        stages["processes"] = {name: len(each) for name, each in memory.items()}
    return stages


def measure(*, repeats: int, settle: float, idle: float, agents: int = 0, quick: bool = False) -> dict[str, Any]:
    """The result object. Ours and the peer take turns, so that a busy neighbour meets both.

    Ours starts on an empty folder and once more; the last start is looked at. `quick`: once, and three bare actors.
    """
    ours_actors, replicas = max(agents, len(graph().agents)) + _OTHER_ACTORS, padded(agents)
    actors = 3 if quick else ours_actors
    runs: dict[str, list[dict[str, Any]]] = {"first": [], "again": [], "bare": []}
    for turn in range(repeats):
        look = idle if turn == 0 else 0.0
        with temporary_home() as home:
            with saying("ours, on an empty folder"):
                first_look = look if quick else 0.0
                runs["first"].append(
                    run_once("benchmarks.whole_system", home, [], settle=settle, idle=first_look, replicas=replicas)
                )
            if not quick:
                with saying("ours, again"):
                    runs["again"].append(
                        run_once("benchmarks.whole_system", home, [], settle=settle, idle=look, replicas=replicas)
                    )
        with temporary_home() as home, saying("bare Ray"):
            arguments = ["--actors", str(actors)]
            runs["bare"].append(run_once("benchmarks.bare_ray", home, arguments, settle=settle, idle=look))
    ours, bare = runs["first" if quick else "again"][0], runs["bare"][0]
    return {
        "actors": {"ours": ours_actors, "bare": actors},
        "start_seconds": {
            name: {stage: spread([run[stage] for run in several]) for stage in ("api", "agents")}
            for name, several in runs.items()
            if several
        },
        "memory_mb": {"ours": ours["memory_mb"], "bare": bare["memory_mb"]},
        "largest_process_mb": {"ours": ours["largest_mb"], "bare": bare["largest_mb"]},
        "processes": {"ours": ours["processes"], "bare": bare["processes"]},
        "idle_share_of_a_core": {"ours": ours["idle"], "bare": bare["idle"]},
        "idle_ratio": sum(ours["idle"].values()) / max(1e-9, sum(bare["idle"].values())),
        "aim_idle_ratio": AIM_IDLE,
        "agent_mb": _each(ours, "ray::AgentActor"),
        "bare_actor_mb": _each(bare, "ray::Bare"),
    }


def _each(run: dict[str, Any], name: str) -> float:
    """MB (PSS) of one process of that name, at the mean."""
    memory, processes = run["memory_mb"].get(name, 0.0), run["processes"].get(name, 0)
    return float(memory) / max(1, int(processes))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--settle-seconds", type=float, default=15.0, help="rest before the idle share is measured")
    parser.add_argument("--idle-seconds", type=float, default=30.0)
    parser.add_argument("--agents", type=int, default=39, help="processes of agents, at least as many as there are")
    options = parser.parse_args(argv)
    if options.quick:
        options.agents = 0
        options.repeats, options.settle_seconds, options.idle_seconds = 1, 1.0, 3.0
    report = Report("cold_start")
    report.result = result = measure(
        repeats=options.repeats,
        settle=options.settle_seconds,
        idle=options.idle_seconds,
        agents=options.agents,
        quick=options.quick,
    )
    starts, bare = result["start_seconds"], result["start_seconds"]["bare"]
    for name, words in (("first", "ours, empty folder"), ("again", "ours, again"), ("bare", "bare Ray")):
        if name not in starts:
            continue
        for stage, what in (
            ("api", "API answers"),
            ("agents", f"all {result['actors']['bare' if name == 'bare' else 'ours']} actors ready"),
        ):
            each = starts[name][stage]
            ratio = each["median"] / bare[stage]["median"]
            against = f"{each['min']:.1f}–{each['max']:.1f}" + (f", {ratio:.2f}× bare" if name != "bare" else "")
            against += f", aim ≤{AIM_START}×" if stage == "agents" and name != "bare" else ""
            report.row(f"{words}: {what}", f"{each['median']:.1f} s", against)
    for name in ("ours", "bare"):
        memory, idle = result["memory_mb"][name], result["idle_share_of_a_core"][name]
        most = ", ".join(f"{what} {mb:.0f}" for what, mb in list(memory.items())[:7])
        report.row(f"{name}: memory (PSS)", f"{sum(memory.values()):,.0f} MB", most)
        burns = ", ".join(f"{what} {share:.1%}" for what, share in list(idle.items())[:8])
        report.row(f"{name}: idle, share of one core", f"{sum(idle.values()):.1%}", burns)
    mine, empty = result["agent_mb"], result["bare_actor_mb"]
    ratio = f"an empty actor {empty:.0f}: {mine / max(1e-9, empty):.2f}×, aim ≤{AIM_MEMORY}×"
    report.row("ours: memory of one agent (PSS)", f"{mine:.0f} MB", ratio)
    report.row("idle: ours / bare", f"{result['idle_ratio']:.2f}×", f"aim ≤{AIM_IDLE}×")
    report.finish(as_json=options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
