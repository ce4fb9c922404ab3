"""A sandbox in a process forked from one that has imported it already."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection

from flipsync.sandbox.__main__ import main


def serve(told: Connection, arguments: Sequence[str]) -> None:
    """Be `python -m flipsync.sandbox --json` with these arguments, whose output `told` takes."""
    os.dup2(told.fileno(), sys.stdout.fileno())
    sys.exit(main(["--json", *arguments]))
