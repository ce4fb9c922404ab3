"""A real Ray head with Serve behind HAProxy, in a process of its own (Ray can be started once and killed there)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from embedded_waiting import wait_until

from flipsync.domain.errors import Unavailable
from flipsync.embedded.ports import Listener, choose_port, listeners
from flipsync.embedded.process import descendants_of, process_name
from flipsync.embedded.ray_head import (
    LONGEST_RAY_FOLDER,
    RayFolders,
    RayHead,
    connection_environment,
    end_leftovers,
    folders_of,
    head_environment,
    leftovers,
    serve_options,
)

pytestmark = pytest.mark.starts_ray

DRIVER = """
import json, os, signal, sys, threading
from pathlib import Path
from flipsync.embedded.ray_head import RayHead, serve_options

def hear(*_):
    raise SystemExit(0)

def main():
    home, port = Path(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGTERM, hear)
    head = RayHead(home, shared_modules=["flipsync.domain.ids"])
    head.start()
    from fastapi import FastAPI
    from ray import serve as ray_serve
    ray_serve.start(**serve_options(port))

    def build():
        app = FastAPI()

        @app.get("/where")
        def where():
            import agents, flipsync, serve
            return [agents.__file__, flipsync.__file__, serve.__file__]

        return app

    @ray_serve.deployment(ray_actor_options={"num_cpus": 0})
    @ray_serve.ingress(build)
    class Api:
        pass

    ray_serve.run(Api.bind(), route_prefix="/")
    said = {"address": head.address, "keeps_sigterm": signal.getsignal(signal.SIGTERM) is hear}
    print("READY", json.dumps(said), flush=True)
    sys.stdin.readline()
    head.stop()
    print("STOPPED", flush=True)

if __name__ == "__main__":
    main()
"""


def answer_of(child, word: str) -> str:
    for line in child.stdout:
        if line.startswith(word):
            return line.removeprefix(word).strip()
    raise AssertionError(f"the driver ended (exit code {child.wait()}) before it said {word}")


def ours(driver: int) -> list[Listener]:
    family = descendants_of(driver)
    return [one for one in listeners() if one.pid in family]


@dataclass
class Head:
    """A head that serves, the process that drives it, and what that one said."""

    home: Path
    port: int
    driver: subprocess.Popen[str]
    said: dict[str, Any]

    @property
    def folders(self) -> RayFolders:
        return folders_of(self.home)


@pytest.fixture(scope="module")
def head(module_home: Path, start_python: Callable[..., subprocess.Popen[str]]) -> Iterator[Head]:
    """One for the tests up to the one that kills its driver."""
    port = choose_port()
    driver = start_python(DRIVER, str(module_home), str(port))
    head = Head(module_home, port, driver, json.loads(answer_of(driver, "READY")))
    yield head
    end_leftovers(head.folders)
    shutil.rmtree(head.folders.short, ignore_errors=True)


@pytest.mark.slow
def test_a_head_serves_on_loopback_only(head: Head):
    driver, folders = head.driver, head.folders
    assert head.said["address"].startswith("127.0.0.1:")
    assert head.said["keeps_sigterm"]
    with urllib.request.urlopen(f"http://127.0.0.1:{head.port}/where", timeout=10) as answer:
        files = json.loads(answer.read())
    assert len(files) == 3 and all(Path(file).exists() for file in files)

    # HAProxy is replaced by a fresh process whenever Serve tells it of a replica, so look until it has settled.
    assert wait_until(lambda: {"haproxy", "raylet", "gcs_server"} <= {one.process for one in ours(driver.pid)})
    assert wait_until(lambda: any(one.process == "haproxy" and one.port == head.port for one in ours(driver.pid)))
    assert [str(one) for one in ours(driver.pid) if not one.loopback] == []

    assert wait_until(lambda: set(leftovers(folders)) <= descendants_of(driver.pid)), "somebody else's are counted"
    (raylet,) = [pid for pid in leftovers(folders) if process_name(pid) == "raylet"]
    environment = Path(f"/proc/{raylet}/environ").read_bytes()
    assert b"RAY_AUTH_MODE=token" in environment
    assert (head.home / "ray_token").read_bytes() not in environment
    assert (head.home / "ray_token").stat().st_mode & 0o777 == 0o600
    assert folders.short.stat().st_mode & 0o777 == 0o700
    assert folders.sessions.parent.stat().st_mode & 0o777 == 0o700, "Ray's own folder is open to everybody"


@pytest.mark.slow
def test_a_stranger_without_the_token_is_refused(head: Head, python):
    address = head.said["address"]
    ask = (
        "import os, sys, pathlib\n"
        "home, address = pathlib.Path(sys.argv[1]), sys.argv[2]\n"
        "from flipsync.embedded.ray_head import join\n"
        "try:\n"
        "    join(home, address)\n"
        "except Exception as error:\n"
        "    print('REFUSED', type(error).__name__, str(error).replace(chr(10), ' '), flush=True)\n"
        "else:\n"
        "    import ray\n"
        "    print('JOINED', int(ray.cluster_resources()['CPU']), flush=True)\n"
    )
    friend = python(ask, str(head.home), address)
    assert int(answer_of(friend, "JOINED")) == max(os.cpu_count() or 1, 2)
    (head.home / "elsewhere").mkdir()
    (head.home / "elsewhere" / "ray_token").write_text("0" * 64)
    with (head.home / "said").open("w") as said:
        stranger = python(ask, str(head.home / "elsewhere"), address, stderr=said)
        assert answer_of(stranger, "REFUSED").startswith("Unavailable")
    assert "InvalidAuthToken" in (head.home / "said").read_text()
    assert stranger.wait(60) == 0


@pytest.mark.slow
def test_kill_9_of_the_driver_the_next_start_and_nothing_left_behind(head: Head, python):
    before = set(leftovers(head.folders))
    head.driver.kill()
    head.driver.wait()
    again = python(DRIVER, str(head.home), str(head.port))
    answer_of(again, "READY")
    now = set(leftovers(head.folders))
    assert now and not now & before, "processes of the killed one are still there"

    family = descendants_of(again.pid) - {again.pid}
    assert len(family) >= 6
    again.stdin.write("stop\n")
    again.stdin.flush()
    answer_of(again, "STOPPED")
    assert again.wait(30) == 0
    assert leftovers(head.folders) == []
    assert not [pid for pid in family if process_name(pid)]


WITHOUT_ZYGOTE = """
import os, signal, sys
from pathlib import Path
from flipsync.embedded.process import descendants_of
from flipsync.embedded.ray_head import RayHead

def main():
    head = RayHead(Path(sys.argv[1]), shared_modules=["flipsync.domain.ids"])
    head.start()
    import ray

    class Actor:
        def who(self):
            return os.getpid()

    def start(name):
        return ray.remote(Actor).options(name=name, num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()

    first = start("first")
    pid = ray.get(first.who.remote(), timeout=60)
    zygote = head._zygote.pid
    forked = pid in descendants_of(zygote)
    os.kill(zygote, signal.SIGKILL)
    kept = ray.get(first.who.remote(), timeout=60) == pid
    second = ray.get(start("second").who.remote(), timeout=60)
    os.kill(pid, signal.SIGKILL)
    again = ray.get(first.who.remote(), timeout=60)
    print("TOLD", forked, kept, len({pid, second, again}), flush=True)
    head.stop()

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_without_its_zygote_ray_starts_workers_in_its_own_way(home: Path, python):
    assert answer_of(python(WITHOUT_ZYGOTE, str(home)), "TOLD") == "True True 3"
    shutil.rmtree(folders_of(home).short, ignore_errors=True)


@pytest.mark.slow
def test_it_runs_for_an_ordinary_user(ordinary_user):
    code = DRIVER.replace("sys.argv[1]", "'up'").replace("sys.argv[2]", str(choose_port()))
    code = code.replace("sys.stdin.readline()", "pass")
    (ordinary_user.folder / "up").mkdir()
    os.chown(ordinary_user.folder / "up", ordinary_user.uid, ordinary_user.gid)
    answer = ordinary_user.run(code)
    assert "READY" in answer.stdout and "STOPPED" in answer.stdout, answer.stderr[-2000:]


def test_the_environment_holds_what_serve_reads(home: Path):
    folders = folders_of(home)
    environment = head_environment(folders, None)
    assert environment["RAY_SERVE_ENABLE_HA_PROXY"] == environment["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
    assert environment["RAY_AUTH_MODE"] == "token" and environment["RAY_USAGE_STATS_ENABLED"] == "0"
    assert connection_environment(home).items() <= environment.items()
    for name, value in environment.items():
        if name.endswith(("_SOCKET_PATH", "_FILE_LOC", "_STATE_FILE")):
            directory, file = os.path.split(value)
            # Serve puts the node's id between them, HAProxy a pid and ".tmp" behind (unix socket paths end at 107).
            assert len(f"{directory}/{'0' * 56}/{file}") + len(".4194304.tmp") <= 107, name
    folders.short.rmdir()


def test_a_deep_data_folder_gets_short_paths(home: Path):
    deep = home / ("d" * 60)
    deep.mkdir()
    folders = folders_of(deep)
    assert len(str(folders.sessions)) <= LONGEST_RAY_FOLDER
    assert (deep / "ray").resolve() == folders.sessions.parent
    assert folders_of(deep) == folders
    folders.sessions.parent.rmdir()
    folders.short.rmdir()


def test_a_short_folder_of_somebody_else_is_refused(home: Path):
    short = folders_of(home).short
    short.chmod(0o755)
    try:
        with pytest.raises(Unavailable, match="not a private folder"):
            folders_of(home)
    finally:
        short.rmdir()


def test_what_ray_warns_of_stays_out_of_stdout(python):
    code = (
        "import sys\n"
        "from flipsync.embedded import ray_head\n"
        "for _ in range(2):\n"
        "    ray_head._import_ray()\n"
        "warning = {'lines': ['slow'], 'pid': 'raylet', 'ip': None, 'job': None, 'is_err': False}\n"
        "sys.modules['ray._private.worker'].print_to_stdstream(warning, ignore_prefix=False)\n"
    )
    child = python(code, stderr=subprocess.PIPE)
    said, warned = child.communicate(timeout=60)
    assert child.returncode == 0 and said == "" and "slow" in warned


def test_serve_listens_on_loopback_unless_asked():
    assert serve_options(8000)["http_options"] == {"host": "127.0.0.1", "port": 8000}
    assert serve_options(80, "0.0.0.0")["http_options"]["host"] == "0.0.0.0"


def test_a_head_that_was_not_started_says_so(home: Path):
    head = RayHead(home)
    with pytest.raises(Unavailable, match="not started"):
        _ = head.address
    head.stop()
