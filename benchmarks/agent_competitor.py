"""Alarms about rivals against a fixed threshold, on simulated rivals of the sandbox with labelled wars and hijacks.

Each seed plays six markets of two weeks, looked at every hour: a calm one, a single deep cut, a clearance of a seller
long known, a newcomer at an ordinary price, a war, a hijack. An alarm of the kind that is labelled, after it began, is
a hit; an alarm of that kind before, or in any other market, is a false one. The bounds of the rule were chosen on seeds
0 to 39; it is judged on others.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from benchmarks.intervals import wilson
from benchmarks.measuring import Report
from flipsync.sandbox.rivals import open_rivals, reprice, reprice_delay_ms
from flipsync.services.competitors import Ours, Seen, alarms, reaction

_SCENES = ("calm", "cut", "clearance", "newcomer", "war", "hijack")
_KINDS = {"war": "price-war", "hijack": "hijack"}
_HOURS, _BEGINS = 14 * 24, 8 * 24
_REFERENCE, _COST = 4000, 3100
_START = datetime(2026, 1, 5, tzinfo=UTC)
_FIRST_SEED = 100
#: the baseline: a war is the cheapest rival falling this far in two days, a hijack one this far under our price
_BASE_WAR, _BASE_HIJACK = 0.94, 0.75


def play(seed: int, scene: str) -> dict[str, Any]:
    """What each rule called in one market, and the rivals' kinds as read and as they are."""
    rng = Random(f"{scene} {seed}")
    rivals = open_rivals(rng, _REFERENCE)
    strategies = {rival.seller: rival.strategy for rival in rivals}
    due = [reprice_delay_ms(rng, rival) / 3_600_000 for rival in rivals]
    price, next_ours = _REFERENCE, rng.uniform(6, 24)
    ours = [Ours(price, _START)]
    seen = [Seen(rival.seller, rival.price_minor, True, _START) for rival in rivals]
    lows: list[int] = []
    called: dict[str, set[str]] = {"ours": set(), "baseline": set()}
    for rival in rivals:
        rival.in_stock = True
    for hour in range(1, _HOURS):
        at = _START + timedelta(hours=hour)
        for index, rival in enumerate(rivals):
            if hour < due[index]:
                continue
            due[index] = hour + max(0.5, reprice_delay_ms(rng, rival) / 3_600_000)
            others = [each.price_minor for each in rivals if each is not rival]
            if scene in ("cut", "clearance") and index == len(rivals) - 1 and hour >= _BEGINS:
                continue  # it has its own plan
            new = reprice(rng, rival, _REFERENCE, price, others)
            if new != rival.price_minor:
                rival.price_minor = new
                seen.append(Seen(rival.seller, new, True, at))
        if hour == _BEGINS and scene in ("cut", "clearance"):
            rivals[-1].price_minor = round(_REFERENCE * (0.86 if scene == "cut" else rng.uniform(0.6, 0.72)))
            seen.append(Seen(rivals[-1].seller, rivals[-1].price_minor, True, at))
        if hour == _BEGINS and scene in ("newcomer", "hijack"):
            asks = rng.uniform(0.85, 1.05) if scene == "newcomer" else rng.uniform(0.45, 0.74)
            seen.append(Seen("newly-here", round(_REFERENCE * asks), True, at))
        if scene == "war" and hour >= _BEGINS:
            cheapest = min(rival.price_minor for rival in rivals)
            if hour % 3 == 0 and cheapest <= price and price > _REFERENCE * 0.7:
                price = round(cheapest * rng.uniform(0.975, 0.99))
                ours.append(Ours(price, at))
        elif hour >= next_ours:
            price, next_ours = round(_REFERENCE * rng.uniform(0.95, 1.05)), hour + rng.uniform(12, 36)
            ours.append(Ours(price, at))
        lows.append(min({each.seller: each.price_minor for each in seen}.values()))
        if hour > 72:
            early = "early " if hour < _BEGINS else ""  # nothing labelled has begun
            called["ours"] |= {early + each.alarm for each in alarms(seen, ours, at, _COST, "USD")}
            low = lows[-1]
            called["baseline"] |= {early + "price-war"} if low <= lows[-49] * _BASE_WAR else set()
            called["baseline"] |= {early + "hijack"} if low < price * _BASE_HIJACK else set()
    names = {"follow": "matcher", "undercut": "undercutter", "steady": "random"}
    kinds = Counter(
        (names[strategy], reaction(seller, [e for e in seen if e.at < _START + timedelta(hours=_BEGINS)], ours).kind)
        for seller, strategy in strategies.items()
    )
    return {"scene": scene, "called": called, "kinds": kinds}


def run(report: Report, *, quick: bool) -> None:
    """Add this agent's lines to the report."""
    seeds = 4 if quick else 40
    played = [play(seed, scene) for seed in range(_FIRST_SEED, _FIRST_SEED + seeds) for scene in _SCENES]
    result: dict[str, Any] = {"seeds": seeds, "markets": len(played)}
    for scene, kind in _KINDS.items():
        for rule in ("ours", "baseline"):
            raised = [each["scene"] == scene for each in played if kind in each["called"][rule]]
            raised += [False for each in played if f"early {kind}" in each["called"][rule]]
            recall = wilson(sum(raised), seeds)
            precision = wilson(sum(raised), len(raised)) if raised else None
            result[f"{kind} {rule}"] = {"recall": recall, "precision": precision}
            told = "none raised" if precision is None else _told("precision", precision)
            report.row(f"competitor: {kind}, {rule}", _told("recall", recall), told)
    kinds: Counter[tuple[str, str]] = sum((each["kinds"] for each in played), Counter())
    result["reactions"] = {f"{true} read as {read}": n for (true, read), n in sorted(kinds.items())}
    said = sum(n for (_, read), n in kinds.items() if read != "unknown")
    right = wilson(sum(n for (true, read), n in kinds.items() if true == read), said)
    result["reaction_right"] = right
    report.row("competitor: reaction read right", _told("", right), f"{kinds.total() - said} of them unknown")
    report.result["competitor"] = result


def _told(name: str, share: dict[str, float]) -> str:
    return f"{name} {share['share']:.3f} [{share['low']:.3f}, {share['high']:.3f}] of {share['of']}".strip()
