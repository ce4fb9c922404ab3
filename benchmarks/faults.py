"""Named faults against the channel watch: injected, found, named, and what was done; and false alarms without any.

python -m benchmarks.faults [--quick] [--json] [--seeds N] [--calm-days D] [--only FAULT[@CHANNEL]] [--processes P]
                            [--resume]

Each case is a seller on a fresh sandbox, over real HTTP in simulated time: trading goes on for a while without faults,
then one is injected at a random moment. Found: any finding within 60 simulated seconds, counted from the injection, and
for faults of deliveries and writes from the first sale or write that was struck: before it there is nothing to see.
Named: the first finding has
the catalogue's cause. The watch knows nothing of the injection. Exit code 1 below 99 % found or 95 % named, or above
one false alarm a simulated week.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import traceback
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fault_rig import BUSY, CALM, Seller, Switchboard
from benchmarks.intervals import wilson
from benchmarks.measuring import OUT, Report, percentile, saying
from flipsync.sandbox.named_faults import FAULTS, NamedFault
from flipsync.sandbox.records import CHANNELS, Channel

WITHIN = 60.0
_WARM_UP = 44.0
#: simulated seconds after which a fault that has struck nothing is given up
_PATIENCE = 240.0
_WEEK = 7 * 86_400.0
#: a fault of each family, for a look
_QUICK = (
    "token-expired-403@amazon", "key-deleted@custom", "webhooks-deleted@shopify", "webhooks-forged@woo",
    "write-ignored@ebay", "write-reverted-later@custom", "stock-frozen@woo", "daily-quota-gone@custom",
    "listing-deleted@shopify", "clock-skewed@amazon",
)  # fmt: skip


@dataclass
class Case:
    """One fault on one channel with one seed, and what became of it. Seconds are simulated."""

    fault: str
    family: str
    channel: Channel
    seed: int
    expected: str
    cause: str = ""
    seconds: float | None = None
    after_injection: float | None = None
    also: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    done: str = ""
    early: str = ""

    @property
    def found(self) -> bool:
        return self.seconds is not None and self.seconds <= WITHIN

    @property
    def named(self) -> bool:
        return self.found and self.cause == self.expected


async def run_case(board: Switchboard, fault: NamedFault, channel: Channel, seed: int) -> Case:
    """Trade, inject, and see what the watch says."""
    case = Case(fault.name, fault.family, channel, seed, fault.cause)
    async with Seller(board, channel, seed, BUSY).open() as seller:
        warm = _WARM_UP + Random(f"{fault.name}{channel}{seed}").uniform(0, BUSY.look)
        start = seller.now()
        while seller.now() - start < warm:
            for finding in await seller.step():
                case.early = finding.cause
        await seller.restart()
        begun = seller.now()
        act = seller.sandbox.inject(channel, fault.name, seed)
        counted = begun
        while seller.now() - counted < WITHIN + BUSY.step and seller.now() - begun < _PATIENCE:
            findings = await seller.step()
            if fault.family in ("delivery", "writes"):
                counted = seller.now() if act.struck_ms is None else max(begun, act.struck_ms / 1000)
            if findings:
                first = findings[0]
                case.after_injection = seller.now() - begun
                case.seconds, case.cause, case.evidence = seller.now() - counted, first.cause, first.evidence
                case.also = tuple(each.cause for each in findings[1:])
                case.done = await seller.remedy(first)
                break
    return case


async def run_calm(board: Switchboard, channel: Channel, days: float, seed: int) -> list[str]:
    """Trade without faults; every cause that is found newly is a false alarm."""
    alarms: list[str] = []
    async with Seller(board, channel, seed, CALM).open() as seller:
        start, open_now = seller.now(), set[str]()
        while seller.now() - start < days * 86_400:
            findings = await seller.step()
            now: set[str] = {each.cause for each in findings}
            alarms += [
                f"{each.cause} after {seller.now() - start:.0f} s: {'; '.join(each.evidence)}"
                for each in findings
                if each.cause not in open_now
            ]
            open_now = now
            seller.refill()
    return alarms


def chosen(only: list[str], quick: bool) -> list[tuple[NamedFault, Channel]]:
    """The faults to run, each with its channels."""
    wanted = only or (list(_QUICK) if quick else list(FAULTS))
    pairs = []
    for name in wanted:
        fault, _, channel = name.partition("@")
        channels = FAULTS[fault].channels
        pairs += [(FAULTS[fault], each) for each in channels if not channel or each == channel]
    return pairs


async def _work(name: str, channel: Channel, days: float, seed: int) -> Case | list[str]:
    async with Switchboard().serving() as board:
        return await (run_case(board, FAULTS[name], channel, seed) if name else run_calm(board, channel, days, seed))


def _work_here(name: str, channel: Channel, days: float, seed: int) -> dict[str, Any] | list[str] | str:
    """A case, or days without faults (no name), in a process of its own; a text says how it broke."""
    try:
        told = asyncio.run(_work(name, channel, days, seed))
        return asdict(told) if isinstance(told, Case) else told
    except Exception:
        return f"{name or 'calm'}@{channel} seed {seed}: {traceback.format_exc(limit=-3)}"


def run(
    pairs: list[tuple[NamedFault, Channel]],
    seeds: int,
    calm_days: float,
    processes: int,
    done_file: Path,
    *,
    resume: bool = False,
) -> dict[str, Any]:
    """Every case has a sandbox and a clock of its own, so they may run beside each other; the longest begin first.

    What is done is written down at once: a run that was broken off goes on where it was, with `resume`.
    """
    cases: list[Case] = []
    broken: list[str] = []
    alarms: dict[str, list[str]] = {}
    share = calm_days / len(CHANNELS)
    work = [("", channel, share, seeds) for channel in reversed(CHANNELS) if calm_days]
    work += [(fault.name, channel, 0.0, seed) for fault, channel in pairs for seed in range(1, seeds + 1)]
    done_file.parent.mkdir(exist_ok=True)
    lines = done_file.read_text(encoding="utf-8").splitlines() if resume and done_file.exists() else []
    kept = {tuple(one): told for one, told in map(json.loads, lines)}
    with (
        ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool,
        done_file.open("a" if resume else "w", encoding="utf-8") as file,
    ):
        asked = {pool.submit(_work_here, *one): one for one in work if one not in kept}
        for done in as_completed(asked):
            kept[asked[done]] = told = done.result()
            file.write(json.dumps((asked[done], told)) + "\n")
            file.flush()
    for one in work:
        told = kept[one]
        if isinstance(told, str):
            broken.append(told)
        elif isinstance(told, dict):
            cases.append(Case(**told | {name: tuple(told[name]) for name in ("also", "evidence")}))
            if not cases[-1].named:
                print(f"  {cases[-1]}", file=sys.stderr, flush=True)
        else:
            alarms[one[1]] = told
    return _result(cases, alarms, calm_days, broken)


def _result(cases: list[Case], alarms: dict[str, list[str]], calm_days: float, broken: list[str]) -> dict[str, Any]:
    found, named = [case for case in cases if case.found], [case for case in cases if case.named]
    by_fault: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in cases:
        by_fault[case.fault, case.channel].append(case)
    total = sum(len(each) for each in alarms.values())
    return {
        "faults": len({case.fault for case in cases}),
        "found": wilson(len(found), len(cases)) if cases else {},
        "named": wilson(len(named), len(cases)) if cases else {},
        "named_of_found": wilson(len(named), len(found)) if found else {},
        "seconds": {
            share: percentile([case.seconds or 0.0 for case in found], part) if found else None
            for share, part in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))
        },
        "false_alarms": {
            "simulated_days": calm_days,
            "alarms": total,
            "a_week": total * 7 / calm_days if calm_days else None,
            "before_injection": sum(1 for case in cases if case.early),
            "which": alarms,
            "causes_before_injection": sorted({f"{case.early} ({case.channel})" for case in cases if case.early}),
        },
        "broken": broken,
        "table": [
            {
                "fault": name,
                "family": rows[0].family,
                "channel": channel,
                "runs": len(rows),
                "found": sum(row.found for row in rows),
                "seconds": max((row.seconds or 0.0 for row in rows if row.found), default=None),
                "after_injection": max((row.after_injection or 0.0 for row in rows if row.found), default=None),
                "cause": sorted({row.cause or "nothing" for row in rows}),
                "expected": rows[0].expected,
                "named": sum(row.named for row in rows),
                "done": sorted({row.done for row in rows if row.done}),
                "evidence": next((row.evidence for row in rows if row.evidence), ()),
            }
            for (name, channel), rows in by_fault.items()
        ],
        "not_named": [asdict(case) for case in cases if not case.named],
    }


def main(arguments: list[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__.split("\n")[0])
    options.add_argument("--quick", action="store_true", help="ten faults, one seed, half a simulated hour of calm")
    options.add_argument("--json", action="store_true")
    options.add_argument("--seeds", type=int, default=0, help="runs of each fault on each channel (default 3)")
    options.add_argument("--calm-days", type=float, default=None, help="simulated days without faults (default 7)")
    options.add_argument("--only", action="append", default=[], help="FAULT or FAULT@CHANNEL; repeat it")
    options.add_argument("--resume", action="store_true", help="go on with the last run, which was broken off")
    options.add_argument("--processes", type=int, default=0, help="cases under way at once (default: twice the cores)")
    given = options.parse_args(arguments)
    seeds = given.seeds or (1 if given.quick else 3)
    calm = given.calm_days if given.calm_days is not None else (0.1 if given.quick else 7.0)
    pairs = chosen(given.only, given.quick)
    report = Report("faults")
    with saying(f"{len(pairs)} faults on their channels, {seeds} times each"):
        processes = given.processes or 2 * len(os.sched_getaffinity(0))
        done_file = OUT / f"faults-{'quick-' * given.quick}done.jsonl"
        report.result = run(pairs, seeds, calm, min(processes, len(pairs) * seeds), done_file, resume=given.resume)
    result = report.result
    for row in result["table"]:
        seconds = "-" if row["seconds"] is None else f"{row['seconds']:.0f} s"
        mark = "" if row["named"] == row["runs"] else f"  NOT {row['expected']}"
        what = f"{', '.join(row['cause'])}{mark}; {', '.join(row['done'])}"
        report.row(f"{row['fault']} on {row['channel']}", f"{row['found']}/{row['runs']} in {seconds}", what)
    for what in ("found", "named"):
        share = result[what]
        report.row(what, f"{share['share']:.1%}", f"95 %: {share['low']:.1%} to {share['high']:.1%} of {share['of']}")
    alarms = result["false_alarms"]
    report.row("false alarms", f"{alarms['alarms']} in {calm:g} simulated days", f"{alarms['a_week'] or 0:g} a week")
    report.notes += [f"broken: {line}" for line in result["broken"]]
    report.finish(as_json=given.json)
    good = result["found"]["share"] >= 0.99 and result["named"]["share"] >= 0.95 and not result["broken"]
    return 0 if good and (alarms["a_week"] or 0) <= 1 else 1


if __name__ == "__main__":
    raise SystemExit(main())
