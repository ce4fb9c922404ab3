"""What every command shares: where it writes, and the options that are the same everywhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Home = Annotated[Path | None, typer.Option("--home", help="data folder (default: FLIPSYNC_HOME, else the XDG folder)")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object")]


def print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, default=str) + "\n")
