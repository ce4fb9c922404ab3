"""The stream of an embedded server's changes into a continuous backup: every commit is there within moments.

A replication slot keeps what was not yet written, over restarts of either side. Which folder it goes to stands in a
file of the data folder, so that `flipsync backup --continuous` can begin and end it while the system runs.
"""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from flipsync.domain.errors import FlipSyncError
from flipsync.embedded.keeper import KeptProcess, PartEvent, Report, ignore
from flipsync.embedded.postgres import DatabaseAddress
from flipsync.embedded.postgres_tools import connection_environment, program
from flipsync.embedded.process import Account, spawn_bound
from flipsync.embedded.secret_file import write_private

SETTING = "continuous_backup.json"
_LOOK_SECONDS = 1.0
_STOP = ((signal.SIGINT, 5.0), (signal.SIGKILL, 5.0))


class Continuous(BaseModel):
    """Where the stream goes, and the slot that keeps it whole."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    slot: str
    since: AwareDatetime


def read_setting(home: Path) -> Continuous | None:
    """The continuous backup of a data folder; None when there is none."""
    try:
        return Continuous.model_validate_json((home / SETTING).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None


def write_setting(home: Path, setting: Continuous | None) -> None:
    if setting is None:
        (home / SETTING).unlink(missing_ok=True)
    else:
        write_private(home / SETTING, setting.model_dump_json(indent=2))


class WalStream:
    """Receives while the server runs, and follows the setting when it changes."""

    name = "backup"

    def __init__(self, home: Path, address: DatabaseAddress, report: Report = ignore) -> None:
        self._home, self._address, self._report = home, address, report
        self._stopping = threading.Event()
        self._kept: KeptProcess | None = None
        self._setting: Continuous | None = None
        self._thread = threading.Thread(target=self._follow, name="wal-stream", daemon=True)

    def start(self) -> None:
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """Before the server stops: it waits for receivers."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._end()

    def _follow(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        wanted = read_setting(self._home)
        if wanted == self._setting:
            return
        self._end()
        self._setting = wanted
        if wanted is None:
            return
        kept = KeptProcess(
            self.name,
            prepare=lambda: None,
            launch=lambda: self._launch(wanted),
            await_ready=lambda _process: None,
            stop_steps=_STOP,
            report=self._report,
        )
        try:
            kept.start()
        except (FlipSyncError, OSError) as error:  # the folder is away: the slot keeps what it misses
            self._report(PartEvent.now(self.name, "restart-failed", str(error)))
            self._setting = None
            return
        self._kept = kept

    def _end(self) -> None:
        if self._kept is not None:
            self._kept.stop()
            self._kept = None

    def _launch(self, setting: Continuous) -> subprocess.Popen[bytes]:
        wal = setting.folder / "wal"
        return spawn_bound(
            [str(program("pg_receivewal")), "-D", str(wal), "--slot", setting.slot, "--no-loop", "-s", "5"],
            account=Account.current(),
            death_signal=signal.SIGINT,
            cwd=wal,
            output=self._home / "continuous_backup.log",
            env=connection_environment(self._address.url()),
        )
