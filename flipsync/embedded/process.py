"""Processes of ours: surely recognised, started bound to our life, ended politely, and locked to one owner."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import Conflict

LAUNCHER = Path(__file__).with_name("exec_bound.py")


@dataclass(frozen=True)
class Account:
    """A numeric user and group that a server runs as."""

    uid: int
    gid: int

    @classmethod
    def current(cls) -> Self:
        return cls(os.geteuid(), os.getegid())


class ProcessIdentity(BaseModel):
    """A process that cannot be mistaken for another: its pid, its start in clock ticks since boot, and the boot."""

    model_config = ConfigDict(frozen=True)

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process with that pid now, or None when there is none (or it is a zombie)."""
        status = _status(pid)
        return None if status is None else cls(pid=pid, start_ticks=status.start_ticks, boot_id=_boot_id())

    def is_alive(self) -> bool:
        return ProcessIdentity.of(self.pid) == self


@dataclass(frozen=True)
class _Status:
    parent: int
    start_ticks: int


def _status(pid: int) -> _Status | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the name, is in brackets and may itself hold spaces and brackets (proc(5)).
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else _Status(parent=int(fields[1]), start_ticks=int(fields[19]))


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def process_name(pid: int) -> str:
    """Short name for people; empty when the process is gone or hidden from us."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def processes_in(directory: Path, program: str) -> list[int]:
    """Pids running a file named `program` whose working folder is `directory`: surely a server of that folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            executable = (entry / "exe").readlink().name.removesuffix(" (deleted)")
            if executable == program and (entry / "cwd").samefile(directory):
                found.append(int(entry.name))
        except OSError:  # gone meanwhile, or another user's
            continue
    return found


def descendants_of(root: int) -> set[int]:
    """`root` and every process below it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (status := _status(int(entry.name))) is not None:
            parents[int(entry.name)] = status.parent
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def spawn_bound(
    command: Sequence[str],
    *,
    account: Account,
    death_signal: signal.Signals,
    cwd: Path,
    output: Path,
    env: Mapping[str, str],
) -> subprocess.Popen[bytes]:
    """Start a program as `account`; the kernel sends it `death_signal` when the calling *thread* ends.

    So call it from a thread that lives as long as the program may. Output is appended to a private file.
    """
    arguments = [str(account.uid), str(account.gid), str(int(death_signal)), str(os.getpid())]
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-IS", str(LAUNCHER), *arguments, *command],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,  # Ctrl-C in the terminal is for us to pass on, in the right order
        )
    finally:
        os.close(descriptor)


def end_processes(pids: Iterable[int], steps: Sequence[tuple[signal.Signals, float]]) -> bool:
    """Send each signal to what is left and wait its seconds. True when all are gone. Waits on pidfds: no polling."""
    watched: dict[int, int] = {}
    try:
        for pid in pids:
            try:
                watched[pid] = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
        for signum, seconds in steps:
            for descriptor in watched.values():
                try:
                    signal.pidfd_send_signal(descriptor, signum)
                except ProcessLookupError:
                    continue
            if _all_exited(watched, seconds):
                return True
        return not watched
    finally:
        for descriptor in watched.values():
            os.close(descriptor)


def _all_exited(watched: dict[int, int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while watched:
        poll = select.poll()
        for descriptor in watched.values():
            poll.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(max(0.0, deadline - time.monotonic()) * 1000)}
        for pid in [pid for pid, descriptor in watched.items() if descriptor in ready]:
            os.close(watched.pop(pid))
        if time.monotonic() >= deadline:
            break
    return not watched


def end_server(pids: Sequence[int], steps: Sequence[tuple[signal.Signals, float]]) -> bool:
    """End a server and its children: the first signal goes only to the heads, so they can end their own."""
    parents = {pid: status.parent for pid in pids if (status := _status(pid)) is not None}
    heads = [pid for pid, parent in parents.items() if parent not in parents]
    first, *rest = steps
    end_processes(heads, [first])
    left = [pid for pid in parents if _status(pid) is not None]
    return end_processes(left, rest or [first])


class LockHolder(BaseModel):
    """Who holds a folder, as written into its lock file."""

    model_config = ConfigDict(frozen=True)

    process: ProcessIdentity
    name: str
    host: str
    since: AwareDatetime

    def __str__(self) -> str:
        return f"process {self.process.pid} ({self.name}) on {self.host}, since {self.since:%Y-%m-%d %H:%M:%S} UTC"


class DirectoryLock:
    """At most one process owns a folder; the kernel frees it when the process dies in whatever way (flock(2))."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock. Raises Conflict, naming the holder, when another has it."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            holder = self.holder()
            raise Conflict(
                f"{self.path.parent} is in use by {holder or 'another process'}",
                hint="stop that one first, or choose another data folder with FLIPSYNC_HOME",
            ) from None
        process = ProcessIdentity.of(os.getpid())
        assert process is not None
        holder = LockHolder(process=process, name=process_name(os.getpid()), host=socket.gethostname(), since=utc_now())
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.model_dump_json().encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> LockHolder | None:
        """Who wrote the lock file last; None when it was released in order."""
        try:
            text = self.path.read_text()
            return LockHolder.model_validate(json.loads(text)) if text else None
        except (FileNotFoundError, ValueError):
            return None
