"""The ASVS table says something of every requirement, and names files and tests that are there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import flipsync

ROOT = Path(flipsync.__file__).parents[1]
TABLE = ROOT / "flipsync" / "security" / "ASVS.md"
ROWS = [
    [cell.strip() for cell in line.strip("|\n ").split(" | ")]
    for line in TABLE.read_text(encoding="utf-8").splitlines()
    if re.match(r"\| \d", line)
]
#: sections of 4.0.3 with how many requirements each has up to level 2; `without` are above it, or were deleted
SECTIONS = {
    "2.1": 12,
    "2.2": 3,
    "2.3": 3,
    "2.4": 6,
    "2.5": 7,
    "2.6": 3,
    "2.7": 6,
    "2.8": 7,
    "2.9": 3,
    "2.10": 4,
    "3.1": 1,
    "3.2": 4,
    "3.3": 4,
    "3.4": 5,
    "3.5": 3,
    "3.7": 1,
    "4.1": 5,
    "4.2": 2,
    "4.3": 3,
    "5.1": 5,
    "5.2": 8,
    "5.3": 10,
    "5.4": 3,
    "5.5": 4,
    "6.1": 3,
    "6.2": 6,
    "6.3": 2,
    "6.4": 2,
    "7.1": 4,
    "7.2": 2,
    "7.3": 4,
    "7.4": 3,
    "8.1": 4,
    "8.2": 3,
    "8.3": 8,
    "9.1": 3,
    "9.2": 4,
    "13.1": 5,
    "13.2": 6,
    "13.3": 2,
    "13.4": 2,
}
WITHOUT = {"4.1.4", "7.3.2", "13.1.2", "13.2.4"}


def test_every_requirement_up_to_level_2_has_a_row() -> None:
    wanted = {f"{section}.{n}" for section, count in SECTIONS.items() for n in range(1, count + 1)} - WITHOUT
    assert [number for number, times in Counter(row[0] for row in ROWS).items() if times > 1] == []
    assert {row[0] for row in ROWS} == wanted
    met, unmet, none = (sum(_kind(row) == kind for row in ROWS) for kind in ("met", "not met", "nothing of it here"))
    assert f"Of {len(ROWS)}, {met} are met, {unmet} are not, and {none} are" in TABLE.read_text(encoding="utf-8")


def _kind(row: list[str]) -> str:
    return row[2] if row[2] in ("not met", "nothing of it here") else "met"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_a_row_names_is_there(row: list[str]) -> None:
    _, what, where, shown = row
    assert what and shown
    if _kind(row) != "met":
        assert "`" not in shown, "why, and no test"
        return
    files, tests = re.findall(r"`([^`]+)`", where), re.findall(r"`([^`]+)`", shown)
    assert files and tests
    assert not re.sub(r"`[^`]+`", "", where + shown).strip(), "names, and nothing else"
    assert all((ROOT / name).is_file() and not name.startswith("tests/") for name in files)
    for name in tests:
        path, _, test = name.partition("::")
        assert path.startswith("tests/")
        assert re.search(rf"^(async )?def {test or 'test_'}", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
        assert not test or re.search(rf"def {test}\(", (ROOT / path).read_text(encoding="utf-8"))
