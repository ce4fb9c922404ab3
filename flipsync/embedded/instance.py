"""One running FlipSync: a data folder with one owner, its embedded parts, and what other commands may know of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from flipsync.domain.clock import utc_now
from flipsync.domain.errors import NotFound, Unavailable
from flipsync.embedded.keeper import PartEvent, Report, ignore
from flipsync.embedded.postgres import DatabaseAddress, EmbeddedPostgres
from flipsync.embedded.process import DirectoryLock, LockHolder, ProcessIdentity
from flipsync.embedded.redis import EmbeddedRedis
from flipsync.embedded.secret_file import write_private
from flipsync.embedded.wal_stream import WalStream

STATE_FILE = "instance.json"
LOCK_FILE = "instance.lock"
#: stands while a restore is putting things in their places (see flipsync.backup.restoring)
UNFINISHED_RESTORE = "restore-unfinished"


def home_folder(explicit: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The data folder: `explicit`, else FLIPSYNC_HOME, else flipsync below the XDG data folder (~/.local/share)."""
    environ = os.environ if environ is None else environ
    if explicit is not None:
        return explicit.expanduser().absolute()
    if chosen := environ.get("FLIPSYNC_HOME"):
        return Path(chosen).expanduser().absolute()
    data = environ.get("XDG_DATA_HOME")  # the XDG specification ignores relative values
    base = Path(data) if data and Path(data).is_absolute() else Path.home() / ".local" / "share"
    return base / "flipsync"


@dataclass(frozen=True)
class Parts:
    """The stores this instance works with. URLs hold passwords and are not printed.

    `database_admin_url` may create roles and databases; `database` has its pieces when the server is embedded.
    """

    database_admin_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    embedded: frozenset[str]
    database: DatabaseAddress | None = None
    qdrant_url: str | None = field(default=None, repr=False)
    model_url: str | None = field(default=None, repr=False)


class PartState(BaseModel):
    """One part that is up: where, and whether it is ours."""

    model_config = ConfigDict(frozen=True)

    url: str
    embedded: bool
    version: str = ""


class InstanceState(BaseModel):
    """What a running instance tells other commands. The file is private, since URLs hold passwords."""

    model_config = ConfigDict(frozen=True)

    process: ProcessIdentity
    started_at: AwareDatetime
    host: str
    parts: dict[str, PartState]

    def is_live(self) -> bool:
        """False when its process is gone: the machine or the process was killed, and this is history."""
        return self.process.is_alive()

    def url(self, part: str) -> str:
        """Raises NotFound when that part is not up."""
        try:
            return self.parts[part].url
        except KeyError:
            raise NotFound(f"{part} is not up", hint="see `flipsync doctor`") from None


def read_state(home: Path) -> InstanceState | None:
    """The last state written in `home`, live or stale; None when there is none that can be read."""
    try:
        return InstanceState.model_validate_json((home / STATE_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def live_state(home: Path) -> InstanceState:
    """The state of the instance running on `home`. Raises Unavailable when none runs."""
    state = read_state(home)
    if state is None or not state.is_live():
        raise Unavailable(f"no FlipSync runs on {home}", hint="start it with `flipsync up`")
    return state


class Instance:
    """The owner of a data folder.

        with Instance(home, report=show) as instance:
            parts = instance.start_parts()
            ...
            instance.record("api", PartState(url="http://127.0.0.1:8000", embedded=True))

    `DATABASE_URL` and `REDIS_URL` replace the embedded servers. Raises Conflict from `acquire` when another process
    owns the folder, saying which.
    """

    def __init__(self, home: Path, *, environ: Mapping[str, str] | None = None, report: Report = ignore) -> None:
        self.home = home.absolute()
        self._environ = os.environ if environ is None else environ
        self._report = report
        self._lock = DirectoryLock(self.home / LOCK_FILE)
        self._postgres: EmbeddedPostgres | None = None
        self._redis: EmbeddedRedis | None = None
        self._stream: WalStream | None = None
        self._state: InstanceState | None = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def acquire(self) -> None:
        """Become the owner; makes the folder. Raises Conflict, or Unavailable when the folder cannot be written."""
        try:
            # Passable, not listable, for root: its servers run as another account. Secrets inside are 0600 each.
            self.home.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
            self._lock.acquire()
        except OSError as error:
            raise Unavailable(
                f"the data folder {self.home} cannot be used: {error.strerror}",
                hint="choose another with FLIPSYNC_HOME",
            ) from error
        holder = self._lock.holder()
        assert holder is not None
        self._state = InstanceState(process=holder.process, started_at=utc_now(), host=holder.host, parts={})
        self._write()

    @property
    def holder(self) -> LockHolder | None:
        return self._lock.holder()

    @property
    def state(self) -> InstanceState:
        """Raises Unavailable before `acquire`."""
        if self._state is None:
            raise Unavailable(f"{self.home} is not ours yet")
        return self._state

    @property
    def postgres(self) -> EmbeddedPostgres | None:
        return self._postgres

    @property
    def redis(self) -> EmbeddedRedis | None:
        return self._redis

    def start_parts(self) -> Parts:
        """Start the embedded servers that no URL replaces, and record all. Raises Conflict or Unavailable."""
        _ = self.state
        if (self.home / UNFINISHED_RESTORE).exists():
            raise Unavailable(
                f"a restore into {self.home} did not end: what is there is neither the old nor the new",
                hint="run the same `flipsync restore` again",
            )
        embedded: set[str] = set()
        address: DatabaseAddress | None = None
        database_url = self._environ.get("DATABASE_URL") or ""
        if not database_url:
            self._postgres = EmbeddedPostgres(self.home / "postgres", self._report)
            address = self._postgres.start()
            database_url = address.url()
            embedded.add("postgres")
            self._stream = WalStream(self.home, address, self._report)
            self._stream.start()
        redis_url = self._environ.get("REDIS_URL") or ""
        if not redis_url:
            self._redis = EmbeddedRedis(self.home / "redis", self._report)
            redis_url = self._redis.start().url()
            embedded.add("redis")
        qdrant_url = self._environ.get("QDRANT_URL") or None
        model_url = self._environ.get("OPENAI_BASE_URL") or None
        self.record(
            "postgres",
            PartState(
                url=database_url,
                embedded=self._postgres is not None,
                version=self._postgres.version() if self._postgres else "",
            ),
        )
        self.record(
            "redis",
            PartState(
                url=redis_url, embedded=self._redis is not None, version=self._redis.version() if self._redis else ""
            ),
        )
        for name, url in (("qdrant", qdrant_url), ("model", model_url)):
            if url:
                self.record(name, PartState(url=url, embedded=False))
        return Parts(
            database_admin_url=database_url,
            redis_url=redis_url,
            embedded=frozenset(embedded),
            database=address,
            qdrant_url=qdrant_url,
            model_url=model_url,
        )

    def record(self, name: str, part: PartState) -> None:
        """Tell other commands that a part is up."""
        self._state = self.state.model_copy(update={"parts": {**self.state.parts, name: part}})
        self._write()

    def forget(self, name: str) -> None:
        """Tell other commands that a part is no longer up."""
        self._state = self.state.model_copy(
            update={"parts": {key: part for key, part in self.state.parts.items() if key != name}}
        )
        self._write()

    def close(self) -> None:
        """Stop the embedded servers and leave the folder; what fails to stop is reported and does not keep the rest."""
        for part in (self._stream, self._redis, self._postgres):
            try:
                if part is not None:
                    part.stop()
            except Exception as error:
                assert part is not None
                self._report(PartEvent.now(part.name, "died", f"while stopping: {error}"))
        self._stream = self._redis = self._postgres = None
        if self._lock.held:
            (self.home / STATE_FILE).unlink(missing_ok=True)
            self._lock.release()
        self._state = None

    def _write(self) -> None:
        write_private(self.home / STATE_FILE, self.state.model_dump_json(indent=2))
