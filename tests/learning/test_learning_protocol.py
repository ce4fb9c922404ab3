"""The protocol: intervals cover, targets are read the right way round, pictures draw, the search finds minima."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from flipsync.learning.bench import picture
from flipsync.learning.protocol import Curve, Report, Row, bootstrap, regret_curve
from flipsync.learning.search import minimise


def test_bootstrap_intervals_cover_the_mean_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    told = [bootstrap(rng.exponential(size=60), resamples=400, seed=i) for i in range(300)]
    covered = np.mean([each.low <= 1.0 <= each.high for each in told])
    assert 0.88 <= covered <= 0.98
    with pytest.raises(ValueError, match="no values"):
        bootstrap([])


def test_targets_are_read_the_right_way_round() -> None:
    good = Row("P", "c", "ours", 99.0, "%", target=98.0)
    bad = Row("P", "c", "ours", 12.0, "regret", target=11.0, sense="at most")
    free = Row("P", "c", "peer", 12.0, "regret")
    report = Report("x", True, [good, bad, free])
    assert (good.met, bad.met, free.met) == (True, False, None)
    assert report.missed() == [bad]
    assert report.as_dict()["targets"] == 2


def test_minimise_finds_the_bottom_of_a_bowl_whatever_the_scale() -> None:
    def bowl(points: np.ndarray) -> np.ndarray:
        return ((points - [3.0, -200.0]) ** 2 / [1.0, 1e4]).sum(axis=1)

    for seed in (1, 2, 3):
        found = minimise(bowl, [0.0, 0.0], 0.5, seed=seed, cpu_seconds=2.0, scale=[1.0, 100.0])
        assert found == pytest.approx([3.0, -200.0], abs=0.05)


def test_curves_become_one_picture_a_title(tmp_path: Path) -> None:
    regret = np.cumsum(np.random.default_rng(0).random((20, 300)), axis=1)
    curves = [regret_curve("P3 regret", "ours", regret), regret_curve("P3 regret", "theirs <&>", 2 * regret)]
    written = picture.write([*curves, regret_curve("Other", "ours", regret)], tmp_path / "made")
    assert [path.name for path in written] == ["p3-regret.svg", "other.svg"]
    drawn = ElementTree.parse(written[0]).getroot()
    assert sum(node.tag.endswith("polyline") for node in drawn.iter()) == 2


def test_axes_in_powers_put_each_factor_as_far_apart() -> None:
    ours = Curve("P7 gap", "ours", (1.0, 10.0, 100.0), (0.1, 1.0, 10.0), (0.1, 1.0, 10.0), (0.1, 1.0, 10.0), log=True)
    drawn = ElementTree.fromstring(picture.draw([ours]))
    (line,) = (node for node in drawn.iter() if node.tag.endswith("polyline"))
    points = [[float(part) for part in point.split(",")] for point in line.get("points", "").split()]
    for axis in (0, 1):
        first, middle, last = (point[axis] for point in points)
        assert middle == pytest.approx((first + last) / 2, abs=0.2)
    told = {node.text for node in drawn.iter() if node.tag.endswith("text")}
    assert {"1", "10", "100", "0.1", "ours"} <= told
