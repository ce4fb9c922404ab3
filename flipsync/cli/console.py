"""What every command shares: where it writes, and the options that are the same everywhere."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.status import Status

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Home = Annotated[Path | None, typer.Option("--home", help="data folder (default: FLIPSYNC_HOME, else the XDG folder)")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object")]


def print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, default=str) + "\n")


def agent_graph() -> Any:
    """The agents of the installation. Made where a command needs it: it imports all of them."""
    graph = importlib.import_module("flipsync.runtime.graph")
    return graph.Graph(importlib.import_module("flipsync.runtime.assembly").load_roster("agents:ROSTER"))


def roster_routing() -> Any:
    """Who wants which fact, so that what a command changes wakes the agents it concerns."""
    return agent_graph().routing()


#: seconds a command may take before it says how far it is
_PATIENCE = 1.0


class Counting(Protocol):
    decisions: int


@contextmanager
def counting(words: str, *, as_json: bool) -> Iterator[Any]:
    """Something to tell how many decisions were looked at: shown on a terminal once it takes over a second."""
    began = time.monotonic()
    status = Status(words, console=err)
    shown = False

    def told(so_far: Counting) -> None:
        nonlocal shown
        if as_json or not err.is_terminal or time.monotonic() - began < _PATIENCE:
            return
        status.update(f"{words}: {so_far.decisions:,} decisions")
        if not shown:
            status.start()
            shown = True

    try:
        yield told
    finally:
        status.stop()
