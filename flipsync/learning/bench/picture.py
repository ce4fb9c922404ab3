"""Curves as SVG, written by hand: a picture of regret needs no plotting library."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

from flipsync.learning.protocol import Curve

_COLOURS = ("#0b6e4f", "#c1440e", "#3f51b5", "#8e6c00", "#7b1fa2", "#546e7a")
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 640, 360, 64, 34, 40


def draw(curves: list[Curve]) -> str:
    """One picture of curves that share a title: lines, and the bands that hold the middle 90 % of runs."""
    right, across, down = _WIDTH - 150, max(max(c.x) for c in curves), max(max(c.high or c.y) for c in curves) or 1.0
    down = min(down, 3.0 * sorted(max(c.y) for c in curves)[len(curves) // 2] or down)

    def at(x: float, y: float) -> str:
        level = max(0.0, min(y / down, 1.0))
        return (
            f"{_LEFT + x / across * (right - _LEFT):.1f},{_HEIGHT - _BOTTOM - level * (_HEIGHT - _TOP - _BOTTOM):.1f}"
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"',
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">{escape(curves[0].title)}</text>',
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = at(across * share, 0).split(",")[0], at(0, down * share).split(",")[1]
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y}" text-anchor="end">{down * share:.3g}</text>')
        parts.append(f'<text x="{x}" y="{_HEIGHT - 20}" text-anchor="middle">{across * share:,.0f}</text>')
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
