"""A benchmark at its smallest size, as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from whole_system import WholeSystem

ROOT = Path(__file__).resolve().parents[2]


def run(name: str, system: WholeSystem | None = None) -> dict[str, Any]:
    """`python -m benchmarks.NAME --quick --json`, as a person would, or on a system that runs; what it printed."""
    words = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--json"]
    environment = os.environ | ({"FLIPSYNC_BENCHMARK_HOME": str(system.home)} if system else {})
    try:
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, timeout=600)
    except subprocess.TimeoutExpired as late:
        told = (late.stderr or b"")[-3000:].decode()
        raise AssertionError(f"still at it after {late.timeout:.0f} s: {told}") from None
    assert done.returncode == 0, done.stderr[-3000:].decode()
    printed: dict[str, Any] = json.loads(done.stdout[done.stdout.index(b"{") :])
    kept = json.loads((ROOT / "benchmarks" / "out" / f"{name}.json").read_text(encoding="utf-8"))
    assert kept == printed
    assert printed["machine"]["cores"] >= 1
    return printed
