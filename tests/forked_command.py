"""The `flipsync` command as a fork of a process that has imported it already."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import NoReturn


def become(words: Sequence[str], folder: str, environment: Mapping[str, str], streams: Sequence[int]) -> NoReturn:
    """Be the command `words` from here on, in a child just forked: with these files as its input, output and errors."""
    from flipsync import cli

    code = 99
    try:
        for standard, file in enumerate(streams):
            os.dup2(file, standard)
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        sys.argv = ["flipsync", *words]
        signal.alarm(300)
        cli.main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
