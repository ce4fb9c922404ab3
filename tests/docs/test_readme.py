"""The README's commands do what it says. Blocks run as they stand; only the API's port is another."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from readme_blocks import KINDS, ROOT, blocks, script
from whole_system import BASH, WholeSystem, new_users_environment

from flipsync.domain.events import CycleStarted
from flipsync.store import models
from flipsync.system import open_books

pytestmark = pytest.mark.starts_ray

README = (ROOT / "README.md").read_text(encoding="utf-8")


def without_network() -> list[str]:
    """What to put before a command so that it has a loopback interface and nothing else; empty where that cannot be."""
    prefix = ["unshare", "--net", BASH, "-c", 'ip link set lo up && exec "$@"', "offline"]
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        return []
    tried = subprocess.run([*prefix, "true"], capture_output=True, timeout=20)
    return prefix if tried.returncode == 0 else []


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bash that spares each `flipsync` of a script its imports; what a new user's first ones import is tested once."""
    program, address = ROOT / "tests" / "warm_command.py", tmp_path_factory.mktemp("warm") / "socket"
    with subprocess.Popen([sys.executable, str(program), str(address)], cwd=ROOT) as server:
        while not address.exists():
            assert server.poll() is None
            time.sleep(0.1)
        yield f'flipsync() {{ {sys.executable} -SE {program} {address} "$@"; }}\n'
        server.kill()


def run(text: str, home: Path, seconds: float, *, within: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*(within or []), BASH, "-c", text],
        cwd=ROOT,
        env=new_users_environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def test_every_block_says_whether_it_is_tested() -> None:
    found = blocks(README)
    silent = [each.line for each in found if each.kind not in (*KINDS, "no")]
    assert not silent, f"say <!-- test: … --> above the blocks in lines {silent}"
    assert all(each.reason for each in found if each.kind == "no")
    assert {each.kind for each in found} >= set(KINDS)


def test_a_block_without_a_word_about_testing_is_found() -> None:
    text = "<!-- test: shell -->\n```console\nls\n```\n\n```bash\nrm x\n```\n"
    text += "<!-- test: no, needs a shop -->\n```sh\nbuy\n```\n"
    told = [(each.kind, each.reason, each.text.strip()) for each in blocks(text)]
    assert told == [("shell", "", "ls"), (None, "", "rm x"), ("no", "needs a shop", "buy")]


def test_links_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
        assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_benchmarks_it_names_exist() -> None:
    named = set(re.findall(r"python -m (benchmarks\.\w+)", README))
    assert len(named) >= 5
    assert [each for each in named if not (ROOT / each.replace(".", "/")).with_suffix(".py").is_file()] == []


def test_the_commands_for_make_are_targets(tmp_path: Path) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    for line in script("make").splitlines():
        if line.startswith("make"):
            planned = run(f"{line} --dry-run VENV={tmp_path / 'venv'}", tmp_path, 30)
            assert "pip install" in planned.stdout


@pytest.mark.slow
def test_commands_that_need_no_system(tmp_path: Path) -> None:
    commands = [
        line for line in script("shell").splitlines() if not line.startswith("source .venv")
    ]  # this very environment is active already
    done = run("\n".join(commands), tmp_path, 600)
    assert "flowchart TD" in done.stdout and "PricingAgent" in done.stdout
    assert '"variants"' in done.stdout


@pytest.mark.slow
def test_the_demo_comes_out_even(tmp_path: Path) -> None:
    """Once installed, it needs no network: where this machine can take it away, the demo has none."""
    within = without_network()
    if within:
        alone = run("ip -oneline address", tmp_path, 20, within=within).stdout
        assert {line.split()[1] for line in alone.splitlines()} == {"lo"}
    report = json.loads(run(script("demo"), tmp_path / "home", 800, within=within).stdout)
    assert report["orders_placed"] == report["orders_ingested"] and not report["oversold_units"]


async def ask_the_owner(home: Path) -> UUID:
    """A question as an agent leaves one behind, so that there is something to answer."""
    tenant_id = UUID((home / "owner-tenant").read_text().strip())
    with open_books(home, {}) as store:
        async with store.unit(tenant_id) as unit:
            event_id = unit.emit(CycleStarted(tenant_id=tenant_id, cycle="pulse"))
            await unit.flush()
            decision = models.AgentDecision(
                tenant_id=tenant_id,
                agent="executive",
                agent_version="1",
                event_id=event_id,
                state="awaiting",
                source="rules",
                rationale="a question for the README",
                confidence=0.5,
                stake_minor=100_000,
                stake_currency="USD",
                alternatives=[],
                evidence=[],
                correlation_id=event_id,
            )
            unit.session.add(decision)
            await unit.session.flush()
            approval = models.Approval(
                tenant_id=tenant_id,
                decision_id=decision.id,
                question="May I?",
                expires_at=unit.now + timedelta(hours=1),
            )
            unit.session.add(approval)
            await unit.session.flush()
            approval_id = approval.id
        await store.aclose()
    return approval_id


async def wait_until_agents_decided(home: Path, warm: str) -> None:
    """What the README asks about is there a little after the start: a decision that can be made again."""
    look = warm + "flipsync replay --since 1h --limit 1 --json || true"
    for _ in range(30):
        if json.loads((await asyncio.to_thread(run, look, home, 60)).stdout)["identical"]:
            return
        await asyncio.sleep(2)
    pytest.fail("no agent decided anything that can be made again")


@pytest.mark.slow
@pytest.mark.whole_system(1)  # while the only business in it is the owner's
async def test_commands_against_the_running_system(whole_system: WholeSystem, warm: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    await wait_until_agents_decided(whole_system.home, warm)
    approval_id = await ask_the_owner(whole_system.home)
    done = await asyncio.to_thread(run, warm + whole_system.address(script("system")), whole_system.home, 800)
    assert str(approval_id) in done.stdout
    assert '"state": "approved"' in done.stdout and '"note": "go ahead"' in done.stdout
    assert "Variant SEL-JEA-01" in done.stdout
    assert "packer@example.com may sign in as clerk" in done.stdout


@pytest.mark.slow
@pytest.mark.whole_system(3)  # nobody needs it any more
def test_ctrl_c_stops_all_of_it(whole_system: WholeSystem) -> None:
    whole_system.process.send_signal(signal.SIGINT)
    assert whole_system.process.wait(60) == 0
    assert "stopped" in whole_system.log.read_text()
