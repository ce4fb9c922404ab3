"""What an explanation is made of, and how it reads as plain text."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from flipsync.domain.clock import require_utc
from flipsync.services.reading_page import Moment, View

StepKind = Literal["fact", "stock", "decision", "approval", "proposal", "effect", "receipt"]

_MARKS: dict[StepKind, str] = {
    "fact": "●",
    "stock": "▪",
    "decision": "◆",
    "approval": "?",
    "proposal": "→",
    "effect": "⇒",
    "receipt": "✓",
}
#: business and wall clock may differ this much before both are told
_SAME_TIME = timedelta(seconds=5)
_MIN_WIDTH = 40


class Named(View):
    """A thing with what a person calls it."""

    kind: str
    id: UUID
    label: str


class Line(View):
    name: str
    text: str


class Step(View):
    """One step from fact to receipt. `depth` says whose consequence it is; `data` holds the same for machines.

    `at` is when it was recorded; `business_at` is given where the business clock told another time.
    """

    kind: StepKind
    id: UUID
    depth: int
    at: Moment
    business_at: Moment | None = None
    text: str
    details: list[str] = Field(default_factory=list)
    subject: Named | None = None
    data: dict[str, Any] = Field(default_factory=dict)


class Chain(View):
    """Steps that hang together, oldest first."""

    title: str
    steps: list[Step]


class Explanation(View):
    """Why something is as it is: in words, as it is now, and step by step. Chains come newest first."""

    subject: Named
    title: str
    summary: str
    now: list[Line] = Field(default_factory=list)
    prices: list[str] = Field(default_factory=list, description="price history in words, newest first")
    chains: list[Chain] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list, description="what was left out")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; times ISO 8601 in UTC, money as amount_minor and currency."""
        return self.model_dump(mode="json")

    def to_text(self, width: int = 100) -> str:
        """Plain text, no line longer than `width` columns (40 at least)."""
        width = max(width, _MIN_WIDTH)
        blocks = ["\n".join([*_wrap(self.title, width), *_wrap(self.summary, width)])]
        if self.now:
            lines = [line for each in self.now for line in _wrap(f"{each.name}: {each.text}", width, "  ", "    ")]
            blocks.append("\n".join(["Now", *lines]))
        if self.prices:
            lines = [line for each in self.prices for line in _wrap(each, width, "  ", "    ")]
            blocks.append("\n".join(["Prices, newest first", *lines]))
        blocks += ["\n".join(_chain_lines(chain, width)) for chain in self.chains]
        if self.notes:
            blocks.append("\n".join(line for note in self.notes for line in _wrap(note, width)))
        return "\n\n".join(blocks) + "\n"


def clock(at: datetime) -> str:
    """A time for people: to the second, in UTC."""
    return require_utc(at).strftime("%Y-%m-%d %H:%M:%S UTC")


def made_at(row_id: UUID) -> datetime:
    """When a UUIDv7 was made, by the wall clock (RFC 9562: its first 48 bits are Unix milliseconds)."""
    return datetime.fromtimestamp((row_id.int >> 80) / 1000, UTC)


def business_time(recorded: datetime, occurred: datetime) -> datetime | None:
    """The business clock's time where it is worth telling."""
    return occurred if abs(occurred - recorded) > _SAME_TIME else None


def _chain_lines(chain: Chain, width: int) -> list[str]:
    lines = _wrap(chain.title, width)
    for step in chain.steps:
        indent = "  " * min(step.depth + 1, (width - 30) // 2)
        mark = "✗" if step.kind == "receipt" and step.data.get("outcome") != "confirmed" else _MARKS[step.kind]
        when = clock(step.at)
        if step.business_at is not None:
            when += f", business time {clock(step.business_at)}"
        lines += _wrap(f"{mark} {step.text} ({when})", width, indent, indent + "  ")
        for detail in step.details:
            lines += _wrap(detail, width, indent + "    ", indent + "      ")
    return lines


def _wrap(words: str, width: int, first: str = "", rest: str = "") -> list[str]:
    plain = " ".join(words.split())
    wrapper = textwrap.TextWrapper(width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return wrapper.wrap(plain) or [first.rstrip()]
