"""A process's log as a file that cannot fill the disk: one write a line, the last few files kept."""

from __future__ import annotations

import os
from pathlib import Path

_MAX_BYTES = 50_000_000
#: full files of this process, and files of earlier processes
_KEPT = 4


class LogFile:
    """Something to write whole lines to: NAME-PID.log in `folder`, which is made, readable by its owner only.

    A full file becomes NAME-PID.log.1; whole lines of several threads do not mix. Raises OSError when the folder cannot
    be written to, and as little as any log when the disk is full later: the line is lost.
    """

    def __init__(self, folder: Path, name: str, *, max_bytes: int = _MAX_BYTES, kept: int = _KEPT) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / f"{name}-{os.getpid()}.log"
        self._max = max_bytes
        self._kept = kept
        earlier = sorted(folder.glob(f"{name}-*.log*"), key=lambda path: path.stat().st_mtime)
        for path in earlier[: -kept or None]:
            path.unlink(missing_ok=True)
        self._open()

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size

    def write(self, text: str) -> int:
        """One or more whole lines."""
        try:
            self._size += os.write(self._file, text.encode())
            if self._size >= self._max:
                self._turn()
        except OSError:
            pass
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def _turn(self) -> None:
        full = [self._path.with_name(f"{self._path.name}.{number}") for number in range(1, self._kept)]
        for older, newer in zip(reversed(full), reversed([self._path, *full[:-1]]), strict=True):
            if newer.exists():
                newer.replace(older)
        before = self._file
        self._open()
        os.close(before)
