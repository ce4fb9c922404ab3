"""The price firewall: hostile proposals by the million, famous failures replayed, legitimate moves, and its speed.

python -m benchmarks.firewall [--quick] [--json] [--proposals N] [--seed S]

Fuzz: every row that leaves is audited against every promise, over arrays; a sample is judged a second time by an oracle
written differently. Plausible moves are judged by the scalar and the vectorised firewall, and compared. Exit code 1
when anything escaped or disagreed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from typing import Any

import numpy as np

from benchmarks.intervals import wilson
from benchmarks.measuring import Report, quantiles, saying
from benchmarks.price_failures import FAILURES, MOVES, legitimate, replay
from benchmarks.price_fuzz import LIMITS, MARKETPLACE, NOW, Audit, disagreements, hostile
from flipsync.services.pricing import Allow
from flipsync.services.pricing.batch_firewall import ProposalArrays, check_batch
from flipsync.services.pricing.firewall import judge
from flipsync.services.pricing.rules import RULE_VERSIONS, Rule

_BATCH = 500_000


def fuzz(proposals: int, samples: int, seed: int) -> dict[str, Any]:
    """Judge and audit `proposals` hostile rows; the oracle answers `samples` of them."""
    audit, wrong, asked, seen = Audit(), 0, 0, 0
    seconds, processor = 0.0, 0.0
    rng = np.random.default_rng(seed)
    batches = max(1, proposals // _BATCH)
    for batch in range(batches):
        size = proposals // batches + (proposals % batches if batch == 0 else 0)
        rows = hostile(size, seed * 1_000 + batch)
        began, spent = time.perf_counter(), time.process_time()
        verdicts = check_batch(rows, MARKETPLACE, LIMITS, NOW)
        seconds += time.perf_counter() - began
        processor += time.process_time() - spent
        audit.look_at(rows, verdicts)
        chosen = rng.choice(size, min(size, -(-samples // batches)), replace=False)
        wrong += len(disagreements(rows, verdicts, chosen))
        asked += chosen.size
        seen |= int(np.bitwise_or.reduce(verdicts.crossed))
    return {
        "proposals": audit.rows,
        "left": audit.left,
        "left_changed": audit.changed,
        "escapes": audit.escaped,
        "escapes_by_promise": audit.escapes,
        # nothing seen in n tries: at most 3 in n with 95 % confidence
        "escapes_per_million_at_most": 3e6 / audit.rows,
        "oracle_samples": asked,
        "oracle_disagreements": wrong,
        "rules_exercised": sum(1 for rule in Rule if seen & rule.mask),
        "rules": len(Rule),
        "per_second": audit.rows / seconds,
        "per_processor_second": audit.rows / processor,
    }


def failures(runs: int, seed: int) -> dict[str, Any]:
    """Proposals and escapes of `runs` replays of each famous failure."""
    replayed = {name: replay(name, runs, seed) for name in FAILURES}
    return {
        name: {"runs": runs, "proposals": told.proposals, "escapes": told.escapes, "worst": told.worst}
        for name, told in replayed.items()
    }


def legitimate_moves(each: int, seed: int) -> dict[str, Any]:
    """How many of a labelled set pass as proposed, in all and by label; and why the others did not."""
    passed: Counter[str] = Counter()
    why: Counter[str] = Counter()
    for kind in MOVES:
        rng = random.Random(f"{kind} {seed}")
        for _ in range(each):
            seller, wanted, hour = legitimate(kind, rng)
            verdict = seller.guard.check(seller.proposal(wanted, **hour))
            if isinstance(verdict, Allow):
                passed[kind] += 1
            else:
                why.update(reason.rule for reason in verdict.reasons)
    return {
        "pass": wilson(sum(passed.values()), each * len(MOVES)),
        "by_kind": {kind: wilson(passed[kind], each) for kind in MOVES},
        "held_by": dict(why),
    }


def speed(count: int, seed: int) -> dict[str, Any]:
    """Microseconds of one scalar judgement, and of one with reasons, words and signature."""
    rng = random.Random(seed)
    asked = [legitimate(rng.choice(MOVES), rng) for _ in range(300)]
    proposals = [(seller, seller.proposal(wanted, **hour)) for seller, wanted, hour in asked]
    told: dict[str, list[float]] = {"judge": [], "check_and_sign": []}
    for index in range(count):
        seller, proposal = proposals[index % len(proposals)]
        now = seller.clock.now()
        began = time.perf_counter_ns()
        judge(proposal, seller.guard.limits, now)
        middle = time.perf_counter_ns()
        seller.guard.check(proposal)
        told["check_and_sign"].append((time.perf_counter_ns() - middle) / 1_000)
        told["judge"].append((middle - began) / 1_000)
    return {name: quantiles(values) for name, values in told.items()}


def differing(count: int, seed: int) -> int:
    """How many of `count` plausible moves the two firewalls judge differently: price or rules."""
    rng = random.Random(seed)
    differ = 0
    for _ in range(count):
        seller, wanted, hour = legitimate(rng.choice(MOVES), rng)
        proposal = seller.proposal(wanted * rng.choice([1, 1, 1, 2]), **hour)
        now = seller.clock.now()
        price, crossed = judge(proposal, seller.guard.limits, now)
        batch = check_batch(ProposalArrays.of([proposal]), proposal.fees, seller.guard.limits, now)
        given = None if batch.denied[0] else int(batch.price[0])
        differ += (given, batch.rules(0)) != (price, crossed)
    return differ


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--proposals", type=int, help="hostile proposals (10,000,000; quick 200,000)")
    parser.add_argument("--seed", type=int, default=20260501)
    arguments = parser.parse_args(argv)
    quick, seed = arguments.quick, arguments.seed
    proposals = arguments.proposals or (200_000 if quick else 10_000_000)
    report = Report("firewall")
    with saying(f"{proposals:,} hostile proposals"):
        fuzzed = fuzz(proposals, 2_000 if quick else 50_000, seed)
    with saying("famous failures"):
        replayed = failures(3 if quick else 40, seed)
    with saying("legitimate moves"):
        legit = legitimate_moves(100 if quick else 2_500, seed)
    with saying("speed"):
        timed = speed(1_000 if quick else 20_000, seed)
    differ = differing(200 if quick else 2_000, seed)
    report.result = {
        "seed": seed,
        "rules": RULE_VERSIONS,
        "fuzz": fuzzed,
        "failures": replayed,
        "legitimate": legit,
        "microseconds": timed,
        "scalar_and_vectorised_differ": differ,
    }
    at_most = f"{fuzzed['escapes_per_million_at_most']:.2g} a million at most (95 %)"
    report.row("hostile proposals", f"{fuzzed['proposals']:,}", f"{fuzzed['left']:,} left")
    report.row("  escapes", str(fuzzed["escapes"]), at_most)
    report.row("  oracle disagrees", str(fuzzed["oracle_disagreements"]), f"of {fuzzed['oracle_samples']:,}")
    for name, told in replayed.items():
        report.row(f"{name}: escapes", str(told["escapes"]), f"of {told['proposals']:,} proposals")
    share = legit["pass"]
    report.row("legitimate moves pass", f"{share['share']:.2%}", f"{share['low']:.2%} to {share['high']:.2%}; aim 99 %")
    report.row("one judgement, p50 / p99", _micros(timed["judge"]), "aim < 1,000 µs")
    report.row("  with words and signature", _micros(timed["check_and_sign"]), "aim < 1,000 µs")
    report.row("vectorised, by the clock", f"{fuzzed['per_second']:,.0f}/s", "aim 1,000,000/s")
    report.row("  by processor time", f"{fuzzed['per_processor_second']:,.0f}/s")
    report.finish(as_json=arguments.json)
    escaped = fuzzed["escapes"] + sum(told["escapes"] for told in replayed.values())
    return 1 if escaped or fuzzed["oracle_disagreements"] or differ else 0


def _micros(told: dict[str, float]) -> str:
    return f"{told['p50']:,.0f} / {told['p99']:,.0f} µs"


if __name__ == "__main__":
    sys.exit(main())
