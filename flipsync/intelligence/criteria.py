"""The multi-criteria decision engine: safety first, then a weighted sum, TOPSIS as a second opinion; all is kept.

Options that break a safety constraint are compared by that alone (lexicographic order: Fishburn, "Lexicographic orders,
utilities and decision rules", Management Science 20(11), 1974); what is equally safe by the weighted sum (Fishburn,
"Additive utilities with incomplete product sets", Operations Research 15(3), 1967). The second opinion is the closeness
to the ideal option (Hwang & Yoon, "Multiple Attribute Decision Making", Springer 1981).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flipsync.domain.decisions import Alternative

#: totals nearer than this are equal
_SAME = 1e-12


@dataclass(frozen=True)
class Option:
    """Something that can be done. Scores in [-1, 1], higher is better, a missing one is 0.

    `forbidden` says why it may not be done at all. `breaks` says how far it goes beyond each safety constraint.
    """

    name: str
    scores: Mapping[str, float]
    why: str = ""
    forbidden: str = ""
    breaks: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Flip:
    """The nearest change of one weight, the others keeping their proportions, from which `winner` would be chosen."""

    criterion: str
    weight: float
    threshold: float
    winner: str

    def __str__(self) -> str:
        now, then = _share(self.weight), _share(self.threshold)
        if now == then:
            return f"a draw with “{self.winner}” at {self.criterion} {now}"
        direction = "more" if self.threshold > self.weight else "less"
        return f"would be “{self.winner}” if {self.criterion} counted {direction} than {then} (now {now})"


@dataclass(frozen=True)
class Ranked:
    """An option with its weighted sum and its closeness to the ideal (0 to 1; None: it is not permitted)."""

    option: Option
    total: float
    closeness: float | None


@dataclass(frozen=True)
class Choice:
    """The best permitted option, its lead over the runner-up, all options best first, and what would change it."""

    best: Option
    lead: float
    ranking: tuple[Ranked, ...]
    flips: tuple[Flip, ...]
    second_opinion: str
    safety_spoke: bool

    @property
    def agreed(self) -> bool:
        """Whether both methods choose the same."""
        return self.second_opinion == self.best.name

    def sensitivity(self) -> str:
        """What would change the choice, in words; the nearest change first."""
        if self.safety_spoke:
            return "safety decides: no weight changes it"
        parts = [str(self.flips[0])] if self.flips else ["no weight of one criterion changes it"]
        if not self.agreed:
            parts.append(f"by distance to the ideal it would be “{self.second_opinion}”")
        return "; ".join(parts)

    def alternatives(self) -> tuple[Alternative, ...]:
        """Every option with its scores, as a decision keeps them."""
        return tuple(
            Alternative(
                name=each.option.name,
                scores={
                    **each.option.scores,
                    **{f"beyond_{name}": amount for name, amount in each.option.breaks.items() if amount > 0},
                    "total": round(each.total, 4),
                    **({} if each.closeness is None else {"closeness": round(each.closeness, 4)}),
                },
                why="; ".join(part for part in self._words(each) if part),
                chosen=each.option is self.best,
            )
            for each in self.ranking
        )

    def _words(self, ranked: Ranked) -> list[str]:
        words = [ranked.option.forbidden or ranked.option.why]
        return [*words, self.sensitivity()] if ranked.option is self.best else words


def choose(options: Sequence[Option], weights: Mapping[str, float], safety: Sequence[str] = ()) -> Choice:
    """Rank the options; `safety` names constraints, the gravest first. Ties go to the first option.

    Raises ValueError when none is permitted, a number is not finite, a score has no weight or a breach no constraint.
    """
    _check(options, weights, safety)
    whole = math.fsum(weights.values())
    shares = {name: weight / whole for name, weight in weights.items()}
    totals = {id(each): _total(each, shares) for each in options}
    ranking = sorted(options, key=lambda each: (bool(each.forbidden), _breach(each, safety), -totals[id(each)]))
    permitted = [each for each in ranking if not each.forbidden]
    if not permitted:
        raise ValueError("no option is permitted")
    best = permitted[0]
    equally_safe = [each for each in permitted if _breach(each, safety) == _breach(best, safety)]
    by_safety = len(permitted) > 1 and len(equally_safe) == 1
    lead = totals[id(best)] - totals[id(equally_safe[1])] if len(equally_safe) > 1 else 1.0
    near = topsis(equally_safe, shares)
    closeness = {id(option): value for option, value in zip(equally_safe, near, strict=True)}
    second = max(equally_safe, key=lambda each: closeness[id(each)])
    return Choice(
        best=best,
        lead=lead,
        ranking=tuple(Ranked(each, totals[id(each)], closeness.get(id(each))) for each in ranking),
        flips=_flips(best, equally_safe[1:], shares),
        # of options equally near the ideal the engine keeps its own
        second_opinion=best.name if closeness[id(best)] >= closeness[id(second)] - _SAME else second.name,
        safety_spoke=by_safety,
    )


def topsis(options: Sequence[Option], weights: Mapping[str, float]) -> list[float]:
    """Closeness of each option to the ideal among them, from 0 (worst in everything) to 1 (best in everything)."""
    columns = []
    for name, weight in weights.items():
        values = [each.scores.get(name, 0.0) for each in options]
        length = math.hypot(*values)
        columns.append([weight * value / length if length else 0.0 for value in values])
    rows = list(zip(*columns, strict=True))
    ideal, worst = [max(column) for column in columns], [min(column) for column in columns]
    found = []
    for row in rows:
        to_ideal, to_worst = math.dist(row, ideal), math.dist(row, worst)
        found.append(to_worst / (to_ideal + to_worst) if to_ideal + to_worst else 1.0)
    return found


def _check(options: Sequence[Option], weights: Mapping[str, float], safety: Sequence[str]) -> None:
    if unknown := {name for option in options for name in option.scores} - set(weights):
        raise ValueError(f"no weight for {', '.join(sorted(unknown))}")
    if unknown := {name for option in options for name in option.breaks} - set(safety):
        raise ValueError(f"no constraint {', '.join(sorted(unknown))}")
    numbers = [value for each in options for value in (*each.scores.values(), *each.breaks.values())]
    if not all(math.isfinite(value) for value in (*numbers, *weights.values())):
        raise ValueError("a score, breach or weight is not finite")
    if any(weight < 0 for weight in weights.values()) or not any(weights.values()):
        raise ValueError("weights are at least 0 and not all 0")


def _total(option: Option, shares: Mapping[str, float]) -> float:
    return math.fsum(shares[name] * value for name, value in option.scores.items())


def _breach(option: Option, safety: Sequence[str]) -> tuple[float, ...]:
    return tuple(max(0.0, option.breaks.get(name, 0.0)) for name in safety)


def _flips(best: Option, rivals: Sequence[Option], shares: Mapping[str, float]) -> tuple[Flip, ...]:
    """One for each criterion that can change the choice, the smallest change first.

    With weight t on one criterion and the rest scaled to 1 - t the lead is t·d + (1 - t)·r: zero at r / (r - d).
    """
    found = []
    for name, share in shares.items():
        if share >= 1:
            continue
        nearest: Flip | None = None
        for rival in rivals:
            d = best.scores.get(name, 0.0) - rival.scores.get(name, 0.0)
            lead = _total(best, shares) - _total(rival, shares)
            r = (lead - share * d) / (1 - share)
            if abs(r - d) <= _SAME:
                continue
            threshold = r / (r - d)
            # a draw on the edge is no change: beyond 0 and 1 there are no weights
            if not (0 < threshold < 1):
                continue
            if nearest is None or abs(threshold - share) < abs(nearest.threshold - share):
                nearest = Flip(name, share, threshold, rival.name)
        if nearest is not None:
            found.append(nearest)
    return tuple(sorted(found, key=lambda flip: abs(flip.threshold - flip.weight)))


def _share(weight: float) -> str:
    return f"{weight:.0%}"
