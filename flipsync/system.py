"""A whole FlipSync on this machine: data folder, PostgreSQL, Redis, Ray, agents, API, and a sandbox when asked.

    with System(home, port=8000, say=print) as system:
        system.start()
        ...                      # system.api_url answers

Used by `flipsync up`, the demo, the tests and the benchmarks, so that all of them start the same thing.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from flipsync.connectors.base import AccountConfig
from flipsync.domain.channel import Vendor
from flipsync.domain.clock import Clock, ScaledClock, SystemClock
from flipsync.domain.errors import NotFound, Unavailable
from flipsync.embedded.instance import Instance, Parts, PartState, live_state, read_state
from flipsync.embedded.keeper import PartEvent
from flipsync.embedded.ports import check_port_free, choose_port
from flipsync.embedded.process import LAUNCHER
from flipsync.embedded.ray_head import HOST, RayHead, serve_options
from flipsync.embedded.secret_file import remembered_secret, write_private
from flipsync.security.secrets import load_or_create_key
from flipsync.store import bootstrap
from flipsync.store.database import Database
from flipsync.store.repositories import lives
from flipsync.store.unit_of_work import Routing, Store, Waker

DATABASE = "flipsync"
#: what a vendor or a model may take to answer; what is not finished by then is taken up by the next start
DRAIN_SECONDS = 15.0
#: imported once for all processes of the runtime and the API
SHARED_MODULES = ("flipsync.runtime.shared", "agents", "serve.api")
Say = Callable[[str, str], None]


def silent(part: str, detail: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Keys:
    """The installation's own secrets, each in a file only its owner reads."""

    secret: str
    firewall: str
    jwt: str
    app_password: str
    worker_password: str


def keys_of(home: Path) -> Keys:
    """Read the keys, made on first use."""
    folder = home / "keys"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    boxes = load_or_create_key(folder / "secret_key")
    return Keys(
        secret=",".join(base64.urlsafe_b64encode(key).decode() for key in boxes),
        firewall=_key(folder / "firewall_key"),
        jwt=_key(folder / "jwt_key"),
        app_password=remembered_secret(folder / "app_password"),
        worker_password=remembered_secret(folder / "worker_password"),
    )


def _key(path: Path) -> str:
    if not path.exists():
        write_private(path, base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    return path.read_text(encoding="utf-8").strip()


def install_database(parts: Parts, keys: Keys) -> str:
    """Database, roles and newest schema; returns the owner's URL."""
    owner = parts.database_admin_url
    if "postgres" in parts.embedded:
        owner = bootstrap.create_database(owner, DATABASE).render_as_string(hide_password=False)
    bootstrap.install(owner, app_password=keys.app_password, worker_password=keys.worker_password)
    return owner


def environment(parts_redis_url: str, owner_url: str, keys: Keys, clock: ScaledClock | None) -> dict[str, str]:
    """What agents, workers and API replicas read from their environment."""

    def url(role: str, password: str) -> str:
        return bootstrap.role_url(owner_url, role, password).render_as_string(hide_password=False)

    return {
        "FLIPSYNC_APP_DATABASE_URL": url(bootstrap.APP_ROLE, keys.app_password),
        "FLIPSYNC_WORKER_DATABASE_URL": url(bootstrap.WORKER_ROLE, keys.worker_password),
        "FLIPSYNC_REDIS_URL": parts_redis_url,
        "FLIPSYNC_SECRET_KEY": keys.secret,
        "FLIPSYNC_FIREWALL_KEY": keys.firewall,
        "FLIPSYNC_JWT_KEY": keys.jwt,
        "FLIPSYNC_ROSTER": "agents:ROSTER",
        "FLIPSYNC_CLOCK": str(clock) if clock else "",
    }


@contextmanager
def open_books(home: Path, routing: Routing, waker: Waker | None = None) -> Iterator[Store]:
    """The books for a command: of the running system, else with the embedded parts started for the time being."""
    keys = keys_of(home)
    state = read_state(home)
    if state is not None and state.is_live():
        owner = state.url("books")
        redis_url = state.url("redis")
        yield _store(owner, redis_url, keys, routing, waker)
        return
    with Instance(home) as instance:
        parts = instance.start_parts()
        owner = install_database(parts, keys)
        instance.record("books", PartState(url=owner, embedded="postgres" in parts.embedded))
        yield _store(owner, parts.redis_url, keys, routing, waker)


@contextmanager
def open_worker_books(home: Path) -> Iterator[Database]:
    """The database as the worker role, which may see which businesses there are. Only inside `open_books`."""
    keys = keys_of(home)
    state = live_state(home)
    yield Database(bootstrap.role_url(state.url("books"), bootstrap.WORKER_ROLE, keys.worker_password), pool_size=1)


def _store(owner_url: str, redis_url: str, keys: Keys, routing: Routing, waker: Waker | None) -> Store:
    mailbox = importlib.import_module("flipsync.runtime.mailbox")
    url = bootstrap.role_url(owner_url, bootstrap.APP_ROLE, keys.app_password)
    return Store(Database(url, pool_size=2, name="flipsync-cli"), routing, waker or mailbox.RedisWaker(redis_url))


@dataclass
class SandboxProcess:
    """A market to sell in, in its own process; ends with us."""

    process: subprocess.Popen[bytes]
    base_url: str
    control_token: str
    #: addresses and keys of every channel, by vendor
    channels: dict[str, dict[str, Any]]

    @classmethod
    def start(cls, arguments: Sequence[str]) -> SandboxProcess:
        """Raises Unavailable when it does not come up."""
        bound = [str(os.geteuid()), str(os.getegid()), str(int(signal.SIGTERM)), str(os.getpid())]
        process = subprocess.Popen(  # noqa: S603
            [
                *(sys.executable, "-IS", str(LAUNCHER), *bound),
                *(sys.executable, "-m", "flipsync.sandbox", "--json", *arguments),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise Unavailable("the sandbox did not start", hint="run `python -m flipsync.sandbox` to see why")
        told = json.loads(line)
        parts = ("base_url", "control_token", "channels")
        return cls(process, *(told[part] for part in parts))

    def account(self, vendor: Vendor, **settings: Any) -> tuple[AccountConfig, dict[str, str]]:
        """How a seller reaches one of its channels: the account's configuration and credentials.

        Raises NotFound when the market does not speak that vendor's protocol.
        """
        if vendor not in self.channels:
            raise NotFound(f"the sandbox has no {vendor} channel", hint=f"one of: {', '.join(self.vendors())}")
        told = self.channels[vendor]
        where = {name: value for name, value in told.items() if name in AccountConfig.model_fields}
        secrets = {name: value for name, value in told.items() if name not in where}
        return AccountConfig.model_validate({"vendor": vendor, **where, **settings}), secrets

    def vendors(self) -> list[str]:
        """Whose protocols the market speaks."""
        return sorted(name for name in self.channels if not name.endswith("_read_only"))

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=5)


class System:
    """Starts everything in order, tells what is up and where, and stops it again in the reverse order."""

    def __init__(
        self,
        home: Path,
        *,
        port: int = 8000,
        host: str = HOST,
        clock: ScaledClock | None = None,
        say: Say = silent,
        effect_workers: int = 1,
        extra_environment: dict[str, str] | None = None,
    ) -> None:
        self.home = home.absolute()
        self.port = port or choose_port()
        self.host = host
        self.clock: Clock = clock or SystemClock()
        self._scaled = clock
        self._say = say
        self._effect_workers = effect_workers
        self._extra = extra_environment or {}
        self._before: dict[str, str | None] = {}
        self.instance = Instance(self.home, report=self._part_event)
        self.head = RayHead(self.home, shared_modules=SHARED_MODULES)
        self.sandbox: SandboxProcess | None = None
        self.environment: dict[str, str] = {}
        self.keys: Keys | None = None
        self._keeper: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def store(self, routing: Routing) -> Store:
        """The books as the app role, for whoever drives this system from outside Ray."""
        mailbox = importlib.import_module("flipsync.runtime.mailbox")
        database = Database(self.environment["FLIPSYNC_APP_DATABASE_URL"], pool_size=4, name="flipsync-local")
        return Store(database, routing, mailbox.RedisWaker(self.environment["FLIPSYNC_REDIS_URL"]), self.clock)

    @property
    def api_url(self) -> str:
        return f"http://{self.host if self.host != '0.0.0.0' else HOST}:{self.port}"  # noqa: S104 - compared, not bound

    def start(self) -> None:
        """Everything up to an API that answers. Raises Conflict (folder or port taken) or Unavailable."""
        self.start_books()
        self.start_runtime()

    def start_books(self) -> None:
        """The data folder, PostgreSQL, Redis and the schema."""
        self.instance.acquire()
        check_port_free(self.port, self.host, purpose="the API")
        self.keys = keys_of(self.home)
        parts = self.instance.start_parts()
        owner = install_database(parts, self.keys)
        self.instance.record("books", PartState(url=owner, embedded="postgres" in parts.embedded))
        self.environment = environment(parts.redis_url, owner, self.keys, self._scaled) | {
            "FLIPSYNC_EFFECT_WORKERS": str(self._effect_workers),
            "FLIPSYNC_LOG_FOLDER": str(self.home / "logs"),
            "FLIPSYNC_MEMORY_FOLDER": str(self.home / "memory"),
            "FLIPSYNC_PUBLIC_URL": os.environ.get("FLIPSYNC_PUBLIC_URL") or self.api_url,
            **self._extra,
        }
        self._say("books", f"schema {bootstrap.newest_revision()}")

    def start_sandbox(self, *arguments: str) -> SandboxProcess:
        """A market beside the system."""
        self.sandbox = SandboxProcess.start(arguments)
        self.instance.record("sandbox", PartState(url=self.sandbox.base_url, embedded=True))
        self._say("sandbox", self.sandbox.base_url)
        return self.sandbox

    def start_runtime(self) -> None:
        """Ray, the supervisor with agents and effect workers, and the API behind HAProxy."""
        self._before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        self.head.start()
        self.instance.record("ray", PartState(url=self.head.address, embedded=True))
        self._say("ray", f"head at {self.head.address}, token required")
        ray_serve = importlib.import_module("ray.serve")
        logging = importlib.import_module("logging")
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        ray_serve.start(**serve_options(self.port, self.host))
        ray_serve.run(importlib.import_module("serve.app").bind(), name="api", route_prefix="/", blocking=False)
        self._await_api(60.0)
        self.instance.record("api", PartState(url=self.api_url, embedded=True))
        self._say("api", self.api_url)
        # after the API, so that people can sign in while 39 actors start
        self._keeper = importlib.import_module("flipsync.runtime.actors").SupervisorKeeper()
        self._keeper.start()

    def _await_api(self, seconds: float) -> None:
        url = f"{self.api_url}/api/v1/monitoring/health"
        deadline = time.monotonic() + seconds
        while True:
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own loopback address
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            if time.monotonic() > deadline:
                raise Unavailable(f"the API does not answer at {self.api_url}", hint="see `flipsync doctor`")
            time.sleep(0.05)

    def agents_ready(self) -> int:
        """How many agents, each replica counted, say that they are."""

        async def ask() -> int:
            database = Database(self.environment["FLIPSYNC_WORKER_DATABASE_URL"], pool_size=1)
            try:
                async with database.unbound() as session:
                    return sum(row.state in ("ready", "drained") for row in await lives.statuses(session))
            finally:
                await database.aclose()

        return asyncio.run(ask())

    def stop(self) -> None:
        """Stop all of it, whatever is up. What agents and effect workers have begun they may finish: DRAIN_SECONDS."""
        if self._keeper is not None:
            finished = self._keeper.stop(DRAIN_SECONDS)
            self._say(
                "agents", "finished what they held" if finished else "stopped amid work: the next start takes it up"
            )
            self._keeper = None
        self.head.stop()
        if self.sandbox is not None:
            self.sandbox.stop()
            self.sandbox = None
        self.instance.close()
        for name, value in self._before.items():  # another system in this process has addresses of its own
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before = {}

    def _part_event(self, event: PartEvent) -> None:
        if event.kind == "started":
            self._say(event.part, event.detail or "up")
        elif event.kind in ("died", "restarted", "restart-failed"):
            self._say(event.part, f"{event.kind}: {event.detail}")
        elif event.kind == "preparing":
            self._say(event.part, event.detail or "preparing")


__all__ = ["Keys", "SandboxProcess", "System", "environment", "install_database", "keys_of", "live_state", "open_books"]
