"""The benchmarks of the learning core as commands: a table or JSON, and regret curves as pictures."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from flipsync.cli.console import AsJson, err, out, print_json
from flipsync.domain.errors import InvalidInput
from flipsync.learning.bench import BENCHES

#: what is served, on the same table: above the learning core, which knows no services
SERVED = {"pricing": "flipsync.training.grocer"}
Quick = Annotated[bool, typer.Option("--quick", help="fewer runs: a look, not the figures")]
Pictures = Annotated[
    Path | None, typer.Option("--pictures", help="folder for curves of regret and of quality by processor time, as SVG")
]
Strict = Annotated[bool, typer.Option("--strict", help="exit code 1 when a target is missed")]


def run_bench(name: str, quick: bool, pictures: Path | None, strict: bool, as_json: bool) -> None:
    """Run one benchmark of `BENCHES` and print it. Raises InvalidInput for an unknown name."""
    if name not in BENCHES:
        raise InvalidInput(f"there is no benchmark {name!r}", hint=f"one of: {', '.join(BENCHES)}")

    def say(part: str) -> None:
        err.print(f"[dim]{part}[/]")

    report = importlib.import_module(BENCHES[name]).run(quick, say)
    if name in SERVED:
        importlib.import_module(SERVED[name]).extend(report, quick, say)
    if pictures is not None:
        for path in importlib.import_module("flipsync.learning.bench.picture").write(report.curves, pictures):
            err.print(f"[dim]wrote {path}[/]")
    if as_json:
        print_json(report.as_dict())
    else:
        out.print(_table(report), width=max(out.width, 170), crop=False)
        told = report.as_dict()
        out.print(
            f"{told['targets'] - told['missed']} of {told['targets']} targets met, {report.cpu_seconds:.0f} CPU-s"
        )
        if report.left_out:
            told_of = ", ".join(report.left_out)
            out.print(f"Rows left out, not installed: {told_of} (pip install 'flipsync\\[peers,data]')", soft_wrap=True)
    if strict and report.missed():
        sys.exit(1)


def _table(report: Any) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("", "case", "method", "value", "95 %", "unit", "target", "CPU-s", "source", "note"):
        table.add_column(title, overflow="fold", justify="right" if title in ("value", "CPU-s") else "left")
    for row in report.rows:
        target = "" if row.target is None else f"{'≥' if row.sense == 'at least' else '≤'} {row.target:g}"
        colour = {True: "green", False: "red", None: "default"}[row.met]
        table.add_row(
            row.problem,
            row.case,
            row.method,
            f"[{colour}]{row.value:,.5g}[/]",
            "" if row.low is None else f"{row.low:,.5g}–{row.high:,.5g}",
            row.unit,
            target,
            "" if row.cpu_seconds is None else f"{row.cpu_seconds:.2f}",
            row.source,
            row.note,
        )
    return table


def add_to(group: typer.Typer) -> None:
    """One command for each benchmark."""
    for name in BENCHES:
        group.command(name, help=f"The {name} problems of the learning core: ours, the limit, and peers.")(
            _command(name)
        )


def _command(name: str) -> Callable[..., None]:
    def command(
        quick: Quick = False, pictures: Pictures = None, strict: Strict = False, as_json: AsJson = False
    ) -> None:
        run_bench(name, quick, pictures, strict, as_json)

    return command
