"""What was done to the runtime and what came of it, business by business, and the table of steps it was killed at."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

_WHEN = ("before", "during", "after")


@dataclass
class Tally:
    """Counts of one business, or of many together."""

    runs: int = 0
    again: int = 0
    by_piece: Counter[str] = field(default_factory=Counter)
    by_step: Counter[str] = field(default_factory=Counter)
    #: what was found doubled or lost in the businesses that were killed at a step, for each step
    doubled_at: Counter[str] = field(default_factory=Counter)
    lost_at: Counter[str] = field(default_factory=Counter)
    never_quiet: int = 0
    units_lost: int = 0
    orders: int = 0
    orders_lost: int = 0
    #: taken in, and never ready to be sent
    stuck: int = 0
    doubled: int = 0
    oversold: int = 0
    mismatched: int = 0
    refunds: int = 0
    refunds_wrong: int = 0
    labels: int = 0
    labels_wrong: int = 0
    asked_of_a_person: int = 0
    effects: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @property
    def failed_effects(self) -> int:
        return self.effects["unknown"] + self.effects["rejected"] - self.asked_of_a_person

    @property
    def lost(self) -> int:
        return self.orders_lost + self.stuck + self.units_lost + self.never_quiet + self.failed_effects

    @property
    def wrong(self) -> int:
        """What may have been done twice: the books say that they differ, not always in which direction."""
        return self.doubled + self.oversold + self.mismatched + self.refunds_wrong + self.labels_wrong

    @property
    def clean(self) -> bool:
        return not (self.wrong or self.lost or self.problems)

    def close(self) -> None:
        """Charge what was found to every step this business was killed at; called once, when its books are compared."""
        for step in self.by_step:
            self.doubled_at[step] += self.wrong
            self.lost_at[step] += self.lost

    def add(self, other: Tally) -> None:
        for each in fields(self):
            ours, theirs = getattr(self, each.name), getattr(other, each.name)
            if isinstance(ours, Counter):
                ours.update(theirs)
            else:
                setattr(self, each.name, ours + theirs)

    def as_json(self) -> dict[str, Any]:
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Tally:
        empty = cls()
        return cls(**{name: type(getattr(empty, name))(value) for name, value in kept.items()})

    def table(self) -> str:
        """Markdown: each failpoint, how often killed before, during and after it, and what was found there."""
        found: dict[str, list[int]] = {}
        for step, count in self.by_step.items():
            when, _, what = step.partition(" ")
            row = found.setdefault(what.removeprefix("a ").removesuffix(" is written"), [0, 0, 0, 0, 0])
            row[_WHEN.index(when)] += count
            row[3] += self.doubled_at[step]
            row[4] += self.lost_at[step]
        lines = ["| killed at | before | during | after | duplicates | losses |", "|---|--:|--:|--:|--:|--:|"]
        for what, row in sorted(found.items(), key=lambda each: -sum(each[1][:3])):
            lines.append(f"| {what} | " + " | ".join(map(str, row)) + " |")
        return "\n".join(lines)
