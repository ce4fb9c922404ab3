"""Memory and processor time of a process and everything it started, from /proc."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True)
class Used:
    """One process: what it is, and how much processor time it has had (seconds)."""

    label: str
    seconds: float


def tree(root: int | None = None) -> set[int]:
    """`root` (default: this process) and all its descendants that are alive."""
    parents: dict[int, int] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            parents[int(entry.name)] = int(fields[1])
    found = {root or os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the state on (state, ppid, …); the name before may hold anything."""
    try:
        return (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def label(pid: int) -> str:
    """What the process is, in a word: "postgres", "redis-server", "ray::AgentActor", "sandbox", …"""
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "gone"
    line = " ".join(words).strip()
    if line.startswith("ray::"):
        return line.partition(" ")[0].partition(".")[0].partition("(")[0]
    for mark, name in (
        ("postgres", "postgres"),
        ("redis-server", "redis-server"),
        ("haproxy", "haproxy"),
        ("gcs_server", "ray gcs_server"),
        ("raylet/raylet", "ray raylet"),
        ("log_monitor.py", "ray log_monitor"),
        ("embedded/zygote.py", "zygote"),
        ("autoscaler/_private/monitor.py", "ray autoscaler monitor"),
        ("dashboard/dashboard.py", "ray dashboard"),
        ("dashboard/agent.py", "ray dashboard agent"),
        ("runtime_env/agent", "ray runtime_env agent"),
        ("default_worker.py", "ray idle worker"),
        ("setup_worker.py", "ray idle worker"),
        ("flipsync.sandbox", "sandbox"),
        ("benchmarks.", "driver"),
    ):
        if mark in line:
            return name
    return Path(words[0]).name or "kernel"


def processor_time(pids: set[int], names: Mapping[int, str] | None = None) -> dict[int, Used]:
    """Processor time so far of each process, user and system. `names` are those known better than from outside."""
    found = {}
    for pid in pids:
        if (fields := _stat(pid)) is not None and fields[0] != "Z":
            found[pid] = Used((names or {}).get(pid) or label(pid), (int(fields[11]) + int(fields[12])) / _TICKS)
    return found


def spent(before: Mapping[int, Used], after: Mapping[int, Used]) -> dict[str, float]:
    """Seconds of processor time between two looks, by label, most first. Processes that ended between are left out."""
    sums: dict[str, float] = defaultdict(float)
    for pid, used in after.items():
        sums[used.label] += used.seconds - (before[pid].seconds if pid in before else 0.0)
    return dict(sorted(sums.items(), key=lambda pair: -pair[1]))


def idle_shares(root: int, seconds: float) -> dict[str, float]:
    """Share of one core each kind of process takes while nothing is asked of them, over `seconds`."""
    before, began = processor_time(tree(root)), time.monotonic()
    time.sleep(seconds)
    after, passed = processor_time(tree(root)), time.monotonic() - began
    return {name: used / passed for name, used in spent(before, after).items()}


def proportional_memory(pids: set[int]) -> dict[str, list[float]]:
    """Proportional set size in MB of each process by label: shared pages are counted once in the sum over all.

    Raises PermissionError when a process belongs to somebody else and we are not root.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for pid in pids:
        try:
            text = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in text.splitlines():
            if line.startswith("Pss:"):
                found[label(pid)].append(int(line.split()[1]) / 1024)
    return dict(sorted(found.items(), key=lambda pair: -sum(pair[1])))
