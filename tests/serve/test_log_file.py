"""Logs on disk: whole lines, private, bounded."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from serve.log_file import LogFile


def test_lines_are_there_at_once_and_only_for_the_owner(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "logs", "api")
    log.write("one\n")
    path = tmp_path / "logs" / f"api-{os.getpid()}.log"
    assert path.read_text() == "one\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    LogFile(tmp_path / "logs", "api").write("two\n")
    assert path.read_text() == "one\ntwo\n"


def test_full_files_are_put_aside_and_the_oldest_go(tmp_path: Path) -> None:
    log = LogFile(tmp_path, "api", max_bytes=100, kept=3)
    for number in range(100):
        log.write(f"line {number:04}\n")
    files = sorted(tmp_path.iterdir())
    assert [path.name.rpartition(".")[2] for path in files] == ["log", "1", "2"]
    lines = [line for path in reversed(files) for line in path.read_text().splitlines()]
    assert lines == [f"line {number:04}" for number in range(100 - len(lines), 100)]
    assert all(path.stat().st_size <= 110 for path in files)


def test_files_of_earlier_processes_are_removed_but_for_the_last(tmp_path: Path) -> None:
    for number in range(10):
        path = tmp_path / f"api-{100_000_000 + number}.log"
        path.write_text("x")
        os.utime(path, (number, number))
    (tmp_path / "other.log").write_text("not ours")
    LogFile(tmp_path, "api", kept=2)
    assert {path.name for path in tmp_path.iterdir()} == {
        "api-100000008.log",
        "api-100000009.log",
        "other.log",
        f"api-{os.getpid()}.log",
    }
