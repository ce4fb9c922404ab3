"""Reliability diagrams: well-formed SVG with a point a bin, and a PNG where matplotlib is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from flipsync.cli import reliability_picture
from flipsync.domain.errors import InvalidInput
from flipsync.domain.ids import new_id
from flipsync.services.calibration import KindView, score
from flipsync.store.repositories.grades import GradedRow


def kind(agent: str, *, graded: bool = True) -> KindView:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    moments = [now + timedelta(hours=step) for step in range(9)]
    rows = [
        GradedRow(agent, "price-move", new_id(), 0.5 + step / 20, int(step % 3 > 0), moment, moment)
        for step, moment in enumerate(moments)
    ]
    return KindView(
        agent=agent,
        kind="price-move",
        predicts="it earns more",
        checked_after_hours=168,
        made=9,
        known=9,
        waiting=0,
        never=0,
        never_because=[],
        score=score(rows) if graded else None,
    )


def test_each_kind_has_a_diagram_with_its_bins(tmp_path: Path) -> None:
    path = tmp_path / "all.svg"
    reliability_picture.write([kind("pricing"), kind("<market>"), kind("none", graded=False)], path)
    tree = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    space = "{http://www.w3.org/2000/svg}"
    assert len(tree.findall(f"{space}g")) == 2
    assert len(tree.findall(f".//{space}circle")) == 18
    assert any("<market>" in (each.text or "") for each in tree.findall(f".//{space}text"))


def test_a_png_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="draws the PNG; SVG needs nothing")
    path = tmp_path / "one.png"
    reliability_picture.write([kind("pricing")], path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_outcomes_there_is_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no outcomes"):
        reliability_picture.write([kind("pricing", graded=False)], tmp_path / "x.svg")
