"""Kill -9 at every step between the database and the channels: nothing is done twice, nothing is lost.

    python -m benchmarks.chaos [--quick] [--runs 1000] [--seed 1] [--lanes 1] [--resume] [--json] [--system 300]

A run is one process killed. All agents and an effect worker do one piece of a reseller's day (offer, sell, reprice,
ship, buy labels, give money back, restock, sell what is called off with its parcel on the way, put it back on the
shelf, rename, end) in one process, which is killed at a step drawn from all steps
of that piece: before or after a write to the database, a commit, or a request to a channel, or while the request is
under way. The lives after it may be killed as well, recovery included. In the end the channels' own books are compared
with ours. Every business (so many runs) is kept in benchmarks/out as soon as it has been compared.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import math
import multiprocessing
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from benchmarks.crash_business import Business, Traces
from benchmarks.crash_lives import Runtime
from benchmarks.crash_tally import Tally
from benchmarks.installation import ROSTER, temporary_home
from benchmarks.measuring import OUT, Report, saying
from flipsync.embedded.ports import choose_port
from flipsync.runtime.assembly import load_roster
from flipsync.security.secrets import SecretBox, parse_keys
from flipsync.system import System

#: runs in one business before its books are compared
BATCH = 125


class Log:
    """What came of each business, by its number, a line each in a file that several processes add to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(exist_ok=True)

    def keep(self, tallies: Mapping[int, Tally]) -> None:
        """These and nothing else."""
        self._path.write_text("", encoding="utf-8")
        for number, tally in tallies.items():
            self.add(number, tally)

    def add(self, number: int, tally: Tally) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps({"business": number} | tally.as_json()) + "\n")

    def read(self) -> dict[int, Tally]:
        """A line that was cut off is left out: that business is done again."""
        found = {}
        for line in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else ():
            try:
                kept = json.loads(line)
            except json.JSONDecodeError:
                continue
            number = int(kept.pop("business"))
            found[number] = Tally.from_json(kept)
        return found


def measure(runtime: Runtime, app_url: str, shares: Sequence[tuple[int, int]], seed: int, log: Log) -> None:
    """Businesses one after the other: of each its number, which with `seed` decides its lots, and how many runs."""
    traces: Traces = {}
    for number, runs in shares:
        business = Business(runtime, app_url, Random(f"{seed}:{number}"), traces)
        try:
            if not traces:
                business.trace()
            business.torment(runs)
            business.compare()
            log.add(number, business.tally)
        finally:
            business.close()


def measure_alone(shares: Sequence[tuple[int, int]], seed: int, log: Log) -> None:
    """On books of its own."""
    with temporary_home() as home, System(home, port=choose_port()) as system:
        system.start_books()
        assert system.keys is not None
        runtime = Runtime(
            system.environment["FLIPSYNC_WORKER_DATABASE_URL"],
            tuple(load_roster(ROSTER)),
            SecretBox(parse_keys(system.keys.secret)),
            secrets.token_bytes(32),
        )
        measure(runtime, system.environment["FLIPSYNC_APP_DATABASE_URL"], shares, seed, log)


def in_lanes(runs: int, seed: int, lanes: int, log: Log) -> Tally:
    """All businesses that are not in the log yet, `lanes` at a time, and all of them together."""
    wanted = [(number, min(BATCH, runs - number * BATCH)) for number in range(math.ceil(runs / BATCH))]
    done = log.read()
    log.keep(done)  # without a line that was cut off
    left = [share for share in wanted if share[0] not in done or done[share[0]].runs != share[1]]
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=measure_alone, args=(left[lane::lanes], seed, log))
        for lane in range(min(lanes, len(left)))
    ]
    for process in processes:
        process.start()
    told = 0
    while any(process.is_alive() for process in processes):
        time.sleep(1)
        if (now := sum(tally.runs for tally in log.read().values())) != told:
            told = now
            print(f"  {time.strftime('%H:%M:%S')} {told} of {runs} runs", file=sys.stderr, flush=True)
    if failed := [process.exitcode for process in processes if process.exitcode]:
        raise RuntimeError(f"{len(failed)} lanes ended by an error of their own; --resume goes on")
    total = Tally()
    done = log.read()
    for number, _ in wanted:
        total.add(done[number])
    return total


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=1, help="so many at a time, each on books of its own")
    parser.add_argument("--resume", action="store_true", help="go on with what was broken off, or with more runs")
    parser.add_argument("--quick", action="store_true", help="40 runs: only show that it works")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--system", type=int, default=0, help="kill this many processes of a whole running system")
    parser.add_argument("--minutes", type=float, default=60.0, help="with --system: at most so long")
    options = parser.parse_args(arguments)
    report = Report("chaos")
    if options.system:
        return _whole_system(report, options)
    runs = 40 if options.quick else options.runs
    log = Log(OUT / f"chaos-{options.seed}.jsonl")
    if not options.resume:
        log.keep({})
    with saying(f"{runs} runs"):
        tally = in_lanes(runs, options.seed, options.lanes, log)
    report.result = {"seed": options.seed, "clean": tally.clean} | tally.as_json()
    _tell(report, tally)
    report.finish(as_json=options.json)
    if not options.json:
        print(tally.table())
    return 0 if tally.clean else 1


def _tell(report: Report, tally: Tally) -> None:
    report.row("runs, each a process killed at a step", str(tally.runs), f"{tally.again} of them in recovery")
    report.row("different steps", str(len(tally.by_step)), ", ".join(name for name, _ in tally.by_step.most_common(3)))
    report.row("done twice on a channel or in our books", str(tally.doubled), "0 allowed")
    report.row("orders lost, or never ready to be sent", str(tally.orders_lost + tally.stuck), f"of {tally.orders}")
    report.row("refunds given twice, or not at all", str(tally.refunds_wrong), f"of {tally.refunds}")
    report.row("labels bought twice, or not in our books", str(tally.labels_wrong), f"of {tally.labels}")
    report.row("labels a person was asked about", str(tally.asked_of_a_person), "Amazon cannot be asked")
    report.row("units oversold or unaccounted for", str(tally.oversold + tally.units_lost), "0 allowed")
    report.row("listings that differ from our books", str(tally.mismatched), "0 allowed")
    report.row("other effects unknown or refused", str(tally.failed_effects), "0 allowed")
    report.row("pieces that never became quiet", str(tally.never_quiet), "0 allowed")
    # three over n: what zero failures leave open at 95 % confidence (Hanley and Lippman-Hand, 1983)
    report.row("failure rate at most, 95 %", f"{3 / max(1, tally.runs):.4%}" if tally.clean else "not clean", "")
    report.notes += [f"{count} × {what}" for what, count in tally.failed.most_common(10)] + tally.problems[:20]


def _whole_system(report: Report, options: argparse.Namespace) -> int:
    from benchmarks import system_chaos  # brings Ray along

    with temporary_home() as home, saying(f"{options.system} kills of a whole system"):
        tally = system_chaos.measure_system(home, options.system, options.seed, options.minutes)
    report.result = {"seed": options.seed}
    system_chaos.report_system(report, tally)
    report.finish(as_json=options.json)
    return 0 if tally.clean else 1


if __name__ == "__main__":
    sys.exit(main())
