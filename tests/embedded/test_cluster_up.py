"""A real `ray up cluster.yaml`, over ssh, to this machine: in namespaces where nobody else's processes can be seen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.starts_ray

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("unshare", "ip", "ssh", "ssh-keygen", "rsync", "/usr/sbin/sshd")


def in_namespaces(*command: str, seconds: float) -> subprocess.CompletedProcess[str]:
    isolated = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--net", "--mount"]
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "FLIPSYNC_"))}
    return subprocess.run([*isolated, *command], env=ours, capture_output=True, text=True, timeout=seconds)


@pytest.fixture
def namespaces() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make the namespaces that keep this away from others' Ray processes")
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (Debian: openssh-server, openssh-client, rsync, iproute2)")
    tried = in_namespaces("true", seconds=20)
    if tried.returncode != 0:
        pytest.skip(f"namespaces cannot be made here: {tried.stderr.strip()}")


@pytest.mark.slow
@pytest.mark.usefixtures("namespaces")
def test_ray_up_makes_a_head_that_runs_our_code_and_ray_down_ends_it(home: Path) -> None:
    """All of cluster.yaml but its `pip install`, for which there is no network: what it would make is put there."""
    script = Path(__file__).with_name("cluster_namespace.sh")
    done = in_namespaces("bash", str(script), str(home), sys.executable, str(ROOT), seconds=240)
    logs = "".join(path.read_text(errors="replace")[-1500:] for path in sorted(home.glob("*.log")))
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}\n{logs}"
    lines = done.stdout.splitlines()
    said = json.loads(next(line for line in lines if line.startswith("SAID ")).removeprefix("SAID "))
    assert said["nodes"] == ["127.0.0.1"]
    copied = home / "home" / "flipsync"
    assert said["task"] == [str(copied / name / "__init__.py") for name in ("agents", "flipsync")]
    assert said["open"] == [], "something listens beyond loopback"
    assert said["token_mode"] == "0o600"
    code, words = said["stranger"]
    assert code != 0 and "InvalidAuthToken" in words
    assert "LEFT nothing" in lines, f"{lines[-1]}\n{logs}"
