"""The README's console blocks, by the comment above each: `<!-- test: KIND -->`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("make", "shell", "up", "system", "demo")
_BLOCK = re.compile(
    r"(?:<!-- test: (?P<kind>[^\n]*?) -->\n)?^```(?:console|bash|sh)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """`kind` is one of KINDS, or "no" with the reason why it is not run, or None when nothing is said."""

    kind: str | None
    reason: str
    text: str
    line: int


def blocks(markdown: str) -> list[Block]:
    """Every console block, in order."""
    found = []
    for match in _BLOCK.finditer(markdown):
        said = match["kind"]
        kind, _, reason = (said or "").partition(", ")
        line = markdown.count("\n", 0, match.start("text")) + 1
        found.append(Block(kind if said else None, reason, match["text"], line))
    return found


def script(kind: str) -> str:
    """The README's blocks of one kind, in order, as one shell script that stops at the first failure."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    chosen = [each for each in blocks(readme) if each.kind == kind]
    assert chosen, f"the README has no block to test as {kind!r}"
    steps = (f"echo '--- README, line {each.line}' >&2\n{each.text}" for each in chosen)
    return "set -euo pipefail\n" + "\n".join(steps)
