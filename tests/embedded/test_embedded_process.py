import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flipsync.domain.errors import Conflict
from flipsync.embedded.process import (
    Account,
    DirectoryLock,
    ProcessIdentity,
    end_processes,
    processes_in,
    spawn_bound,
)

SLEEP = "import time; print('up', flush=True); time.sleep(60)"


def test_identity_is_more_than_a_pid():
    child = subprocess.Popen(["sleep", "60"])
    identity = ProcessIdentity.of(child.pid)
    assert identity is not None and identity.is_alive()
    stranger = identity.model_copy(update={"start_ticks": identity.start_ticks - 1})
    assert not stranger.is_alive(), "same pid, another start: another process"
    other_boot = identity.model_copy(update={"boot_id": "before"})
    assert not other_boot.is_alive()
    child.kill()
    child.wait()
    assert not identity.is_alive()


def test_a_zombie_is_not_alive():
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert ProcessIdentity.of(child.pid) is None
    child.wait()


def test_processes_are_recognised_by_program_and_folder(tmp_path: Path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    mine = subprocess.Popen(["sleep", "60"], cwd=here)
    other = subprocess.Popen(["sleep", "60"], cwd=there)
    try:
        program = Path(f"/proc/{mine.pid}/exe").readlink().name
        assert processes_in(here, program) == [mine.pid]
        assert processes_in(here, "postgres") == []
    finally:
        for child in (mine, other):
            child.kill()
            child.wait()


def test_end_processes_goes_on_to_the_next_signal():
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "up\n"
    assert not end_processes([child.pid], [(signal.SIGTERM, 0.2)])
    assert end_processes([child.pid], [(signal.SIGTERM, 0.2), (signal.SIGKILL, 5.0)])
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()


def test_spawned_output_is_private_and_signals_are_unblocked(tmp_path: Path):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        child = spawn_bound(
            ["/bin/sh", "-c", "grep SigBlk /proc/self/status; umask"],
            account=Account.current(),
            death_signal=signal.SIGKILL,
            cwd=tmp_path,
            output=tmp_path / "log",
            env={"PATH": "/usr/bin:/bin"},
        )
        assert child.wait(10) == 0
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
    mask, umask = (tmp_path / "log").read_text().splitlines()
    assert int(mask.split()[1], 16) == 0
    assert umask == "0077"


def test_the_lock_names_its_holder_and_dies_with_it(tmp_path: Path, python):
    code = (
        "import sys, pathlib\n"
        "from flipsync.embedded.process import DirectoryLock\n"
        "DirectoryLock(pathlib.Path(sys.argv[1])).acquire()\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = python(code, str(tmp_path / "x.lock"))
    assert holder.stdout.readline() == "held\n"
    lock = DirectoryLock(tmp_path / "x.lock")
    with pytest.raises(Conflict, match=f"process {holder.pid} ") as refused:
        lock.acquire()
    assert str(tmp_path) in refused.value.message
    assert refused.value.hint
    holder.kill()
    holder.wait()
    lock.acquire()
    assert lock.holder().process.pid == os.getpid()
    lock.release()
    assert lock.holder() is None
