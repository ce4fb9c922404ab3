"""The search syntax of `query` arguments, as far as it is used here: `field:value`, quoted values, comparisons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_TERM = re.compile(
    r"""\s*(?P<field>\w+):(?P<op>>=|<=|>|<|)(?:"(?P<double>(?:\\.|[^"\\])*)"|'(?P<single>(?:\\.|[^'\\])*)'|(?P<bare>\S+))"""
)
_CONNECTIVE = re.compile(r"\s*AND\b")


@dataclass(frozen=True)
class Term:
    field: str
    op: str
    value: str

    def holds(self, number: int) -> bool:
        """Whether a number fulfils the term's comparison; an unreadable bound matches nothing."""
        try:
            bound = int(self.value)
        except ValueError:
            return False
        return compare(number, self.op, bound)

    def moment_ms(self) -> int | None:
        """The time in the value, as Unix milliseconds; without a zone it is UTC."""
        try:
            moment = datetime.fromisoformat(self.value)
        except ValueError:
            return None
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def compare(number: int, op: str, bound: int) -> bool:
    return {
        ">=": number >= bound,
        "<=": number <= bound,
        ">": number > bound,
        "<": number < bound,
        "": number == bound,
    }[op]


def terms(query: str | None) -> Iterator[Term]:
    """The terms of a query, all of which have to hold. What is no `field:value` is passed over, as Shopify does."""
    text, place = query or "", 0
    while place < len(text):
        joined = _CONNECTIVE.match(text, place)
        if joined is not None:
            place = joined.end()
            continue
        found = _TERM.match(text, place)
        if found is None:
            place += 1
            continue
        place = found.end()
        quoted = found["double"] if found["double"] is not None else found["single"]
        value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else found["bare"]
        yield Term(found["field"], found["op"], value)
