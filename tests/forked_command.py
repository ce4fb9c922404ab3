"""The `flipsync` command as a fork of a process that has imported it already."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
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


def in_a_fork(work: Callable[[], str]) -> str:
    """What `work` returns in a process of its own, which has imported whatever this one has; fails where it fails."""
    with tempfile.TemporaryFile("w+") as told:
        if (child := os.fork()) == 0:
            code = 1
            try:
                signal.alarm(300)
                told.write(work())
                code = 0
            except BaseException:
                traceback.print_exc(file=told)
            finally:
                told.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        told.seek(0)
        text = told.read()
    assert code == 0, text
    return text
