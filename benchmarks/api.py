"""What the API promises, measured: each benchmark of it in a process of its own, one after another, in one table.

    python -m benchmarks.api [--quick] [--json] [--soak]

Server and load share the machine's cores. Exit code 1 where something required is missed: answers within 200 ms (p95),
no error, a read at a quarter of a no-op's speed, a dashboard over a million orders within 200 ms, 5,000 live
connections that miss nothing, no request that fails for good while replicas are killed. `--soak` adds half an hour of
the same people, for memory that may not grow.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any, NamedTuple

from benchmarks.api_load import AIM_MS, REQUIRED_MS
from benchmarks.api_read import AIM_SHARE
from benchmarks.measuring import OUT, Report, saying

Found = dict[str, Any]


class Line(NamedTuple):
    """A row of the table; `met` is None where nothing is required."""

    what: str
    figure: str
    wanted: str
    met: bool | None


def _run(name: str, *options: str) -> Found:
    """The result of `benchmarks.NAME`. Its exit code says what we judge ourselves; without a result it failed.

    Raises RuntimeError with what it said.
    """
    path = OUT / f"{name}.json"
    path.unlink(missing_ok=True)
    with saying(" ".join([name, *options])):
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", "--json", *options], capture_output=True, text=True
        )
    if not path.exists():
        raise RuntimeError(f"benchmarks.{name} ended without a result: {done.stderr.strip()[-500:]}")
    found: Found = json.loads(path.read_text(encoding="utf-8"))
    return found


def _load(found: Found) -> list[Line]:
    every, sign_in = found["all"], found["by_request"]["sign in"]
    p95 = 1e3 * every["p95"]
    failed = {name: count for name, count in found["answers"].items() if name != "success"}
    who = f"{found['devices']:,} devices, {found['per_second']:.0f} answers/s"
    return [
        Line(f"{who}: p95", f"{p95:.0f} ms", f"<{REQUIRED_MS:.0f} ms, aim <{AIM_MS:.0f}", p95 < REQUIRED_MS),
        Line("  p50, p99", f"{1e3 * every['p50']:.0f}, {1e3 * every['p99']:.0f} ms", "", None),
        Line("  errors", str(sum(failed.values())), "0", not failed),
        Line("  sign-in with a password: p95", f"{1e3 * sign_in['p95']:.0f} ms", "", None),
    ]


def _read(found: Found) -> list[Line]:
    share = found["share_of_noop"]["order_serve"]["median"]
    rate = found["per_second"]["order_serve"]["median"]
    return [Line(f"a read, {rate:,.0f}/s, of a no-op's speed", f"{share:.2f}×", f"≥{AIM_SHARE}×", share >= AIM_SHARE)]


def _dashboard(found: Found) -> list[Line]:
    p95 = found["milliseconds"]["dashboard"]["p95"]
    wanted = f"<{found['aim_ms']:.0f} ms"
    return [Line(f"dashboard over {found['orders']:,} orders: p95", f"{p95:.1f} ms", wanted, bool(found["met"]))]


def _live(found: Found) -> list[Line]:
    opened, fan_out = found["connections"]["open"], found["fan_out"]
    missed = fan_out["missing"] + found["killed"]["missing"]
    return [
        Line("live connections", f"{opened:,}", "all asked for", opened == found["connections"]["wanted"]),
        Line("  from the transaction to the frame: p99", f"{fan_out['milliseconds']['p99']:.0f} ms", "", None),
        Line("  frames missed, a replica killed", str(missed), "0", not missed),
    ]


def _killed(found: Found) -> list[Line]:
    failed = sum(found["failed_for_good"].values())
    what = f"{found['kills']} of {found['replicas']} replicas killed, {found['sent_again']} sent again: failed for good"
    return [
        Line(what, str(failed), "0", not failed and found["kills"] > 0),
        Line("  p95", f"{1e3 * found['all']['p95']:.0f} ms", "", None),
    ]


def _soak(found: Found) -> list[Line]:
    memory = [sum(each.values()) for each in found["memory_mb"]]
    middle, last = memory[len(memory) // 2], memory[-1]
    failed = sum(found["failed_for_good"].values())
    return [
        Line("soak: memory at half-time, at the end", f"{middle:,.0f}, {last:,.0f} MB", "flat", last < 1.05 * middle),
        Line("  failed for good", str(failed), "0", not failed),
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--soak", action="store_true", help="half an hour more")
    options = parser.parse_args(argv)
    quick = ["--quick"] * options.quick
    report = Report("api")
    kills = ["--replicas", "2", "--kill-every", "2" if options.quick else "60"]
    parts: list[tuple[str, list[str], Any]] = [
        ("api_load", quick, _load),
        ("api_read", quick, _read),
        ("dashboard", quick, _dashboard),
        ("live_sockets", quick, _live),
        ("api_load", [*quick, *kills], _killed),
    ]
    if options.soak:
        parts.append(("api_load", [*quick, "--minutes", "30"], _soak))
    missed = []
    for name, asked, tell in parts:
        found = _run(name, *asked)
        report.result[" ".join([name, *asked])] = found
        for line in tell(found):
            judged = "" if line.met is None else "met" if line.met else "MISSED"
            report.row(line.what, line.figure, ", ".join(filter(None, (line.wanted, judged))))
            missed += [line.what] * (line.met is False)
    report.result["missed"] = missed
    report.finish(as_json=options.json)
    return 1 if missed and not options.quick else 0


if __name__ == "__main__":
    sys.exit(main())
