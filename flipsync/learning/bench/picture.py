"""Curves as SVG, written by hand: regret over time, and how good a policy is for its processor time (the frontier)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

from flipsync.learning.protocol import Curve

_COLOURS = ("#0b6e4f", "#c1440e", "#3f51b5", "#8e6c00", "#7b1fa2", "#546e7a")
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 640, 360, 64, 34, 40


@dataclass(frozen=True)
class _Axis:
    """Values from `least` to `most` as shares of the way, along powers for `log`."""

    least: float
    most: float
    log: bool = False

    def share(self, value: float) -> float:
        if self.log:
            value = max(value, self.least)
            return math.log(value / self.least) / (math.log(self.most / self.least) or 1.0)
        return (value - self.least) / ((self.most - self.least) or 1.0)

    def value(self, share: float) -> float:
        if self.log:
            return self.least * math.pow(self.most / self.least, share)
        return self.least + share * (self.most - self.least)


def _axes(curves: list[Curve]) -> tuple[_Axis, _Axis]:
    across, down = max(max(c.x) for c in curves), max(max(c.high or c.y) for c in curves) or 1.0
    if curves[0].log:
        least = min(min(c.low or c.y) for c in curves)
        return _Axis(min(min(c.x) for c in curves), across, True), _Axis(least, down, True)
    # one that goes through the roof does not press the others flat
    down = min(down, 3.0 * sorted(max(c.y) for c in curves)[len(curves) // 2] or down)
    return _Axis(0.0, across), _Axis(0.0, down)


def draw(curves: list[Curve]) -> str:
    """One picture of curves that share a title: lines, and their bands."""
    right, (along, up) = _WIDTH - 150, _axes(curves)

    def at(x: float, y: float) -> str:
        level = max(0.0, min(up.share(y), 1.0))
        down = _HEIGHT - _BOTTOM - level * (_HEIGHT - _TOP - _BOTTOM)
        return f"{_LEFT + along.share(x) * (right - _LEFT):.1f},{down:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"',
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">{escape(curves[0].title)}</text>',
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = at(along.value(share), up.value(share)).split(",")
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y}" text-anchor="end">{up.value(share):.3g}</text>')
        parts.append(f'<text x="{x}" y="{_HEIGHT - 20}" text-anchor="middle">{_told(along, share)}</text>')
    for index, curve in enumerate(curves):
        colour = _COLOURS[index % len(_COLOURS)]
        if curve.low and curve.high:
            band = [at(x, y) for x, y in zip(curve.x, curve.low, strict=True)]
            band += [at(x, y) for x, y in reversed(list(zip(curve.x, curve.high, strict=True)))]
            parts.append(f'<polygon points="{" ".join(band)}" fill="{colour}" opacity="0.12"/>')
        points = " ".join(at(x, y) for x, y in zip(curve.x, curve.y, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        parts.append(
            f'<text x="{right + 8}" y="{_TOP + 16 * (index + 1)}" fill="{colour}">{escape(curve.label)}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _told(axis: _Axis, share: float) -> str:
    return f"{axis.value(share):.3g}" if axis.log else f"{axis.value(share):,.0f}"


def write(curves: list[Curve], folder: Path) -> list[Path]:
    """One file a title into `folder`, which is made; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for title in dict.fromkeys(curve.title for curve in curves):
        name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        path = folder / f"{name}.svg"
        path.write_text(draw([curve for curve in curves if curve.title == title]), encoding="utf-8")
        written.append(path)
    return written
