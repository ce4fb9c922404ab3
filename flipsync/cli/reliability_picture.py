"""Reliability diagrams: stated confidence across, the share that came true up, the diagonal is right. SVG by hand."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from flipsync.domain.errors import InvalidInput

_SIDE, _EDGE, _PER_ROW = 220, 42, 3


def write(graded: Sequence[Any], path: Path) -> None:
    """One diagram an agent and kind that has outcomes. Raises InvalidInput where there are none, or no PNG is drawn."""
    drawn = [each for each in graded if each.score is not None]
    if not drawn:
        raise InvalidInput("there are no outcomes to draw yet")
    if path.suffix == ".png":
        _as_png(drawn, path)
    else:
        path.write_text(svg(drawn), encoding="utf-8")


def svg(drawn: Sequence[Any]) -> str:
    cell = _SIDE + 2 * _EDGE
    rows = -(-len(drawn) // _PER_ROW)
    width = cell * min(len(drawn), _PER_ROW)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {cell * rows}"',
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{cell * rows}" fill="white"/>',
    ]
    for index, each in enumerate(drawn):
        left, top = index % _PER_ROW * cell + _EDGE, index // _PER_ROW * cell + _EDGE
        parts.append(f'<g transform="translate({left} {top})">{_diagram(each)}</g>')
    return "\n".join([*parts, "</svg>\n"])


def _diagram(each: Any) -> str:
    side, score = _SIDE, each.score
    title = escape(f"{each.agent}: {each.kind} ({each.known:,} known)")
    parts = [
        f'<text x="0" y="-12" font-size="13">{title}</text>',
        f'<rect width="{side}" height="{side}" fill="none" stroke="#bbb"/>',
        f'<line x1="0" y1="{side}" x2="{side}" y2="0" stroke="#999" stroke-dasharray="4 3"/>',
        f'<text x="{side / 2}" y="{side + 30}" text-anchor="middle">says</text>',
        f'<text x="-30" y="{side / 2}" transform="rotate(-90 -30 {side / 2})" text-anchor="middle">is right</text>',
    ]
    for share in (0.0, 0.5, 1.0):
        parts.append(f'<text x="{share * side}" y="{side + 15}" text-anchor="middle">{share:g}</text>')
        parts.append(f'<text x="-6" y="{(1 - share) * side + 4}" text-anchor="end">{share:g}</text>')
    most = max(step.count for step in score.bins)
    for step in score.bins:
        x, (y, low, high) = (
            step.stated * side,
            [(1 - value) * side for value in (step.came_true.value, step.came_true.low, step.came_true.high)],
        )
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="#0b6e4f"/>')
        radius = 2.5 + 4.5 * (step.count / most) ** 0.5
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="#0b6e4f" opacity="0.8"/>')
    return "".join(parts)


def _as_png(drawn: Sequence[Any], path: Path) -> None:
    try:
        figure_module = importlib.import_module("matplotlib.figure")
    except ImportError:
        raise InvalidInput("a PNG needs matplotlib", hint="name the file .svg, or pip install matplotlib") from None
    rows = -(-len(drawn) // _PER_ROW)
    columns = min(len(drawn), _PER_ROW)
    figure = figure_module.Figure(figsize=(3.6 * columns, 3.6 * rows), layout="constrained")
    for index, each in enumerate(drawn):
        axes = figure.add_subplot(rows, columns, index + 1)
        steps = each.score.bins
        shares = [step.came_true.value for step in steps]
        errors = [
            [step.came_true.value - step.came_true.low for step in steps],
            [step.came_true.high - step.came_true.value for step in steps],
        ]
        axes.plot([0, 1], [0, 1], "--", color="#999999")
        axes.errorbar([step.stated for step in steps], shares, yerr=errors, fmt="o", color="#0b6e4f")
        axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.02), xlabel="says", ylabel="is right")
        axes.set_title(f"{each.agent}: {each.kind} ({each.known:,} known)", fontsize=9)
    figure.savefig(path, dpi=144)
