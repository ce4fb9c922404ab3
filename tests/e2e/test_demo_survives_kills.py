"""The main job on the whole system while parts of it are killed: it must finish with the same clean report."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flipsync.demo.run import CADENCE, Demo, DemoPlan, DemoResult
from flipsync.domain.clock import ScaledClock, utc_now
from flipsync.runtime.assembly import load_roster
from flipsync.runtime.graph import Graph
from flipsync.security.secrets import SecretBox, parse_keys
from flipsync.services.report import BusinessReport, business_report
from flipsync.system import System

pytestmark = [pytest.mark.slow, pytest.mark.starts_ray]
SPEED = 1440.0
CATALOGUE = Path(__file__).parents[2] / "flipsync" / "catalogues" / "default.csv"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    clock = ScaledClock(utc_now(), utc_now(), SPEED)
    before = dict(os.environ)
    with System(tmp_path_factory.mktemp("system"), port=0, clock=clock, extra_environment=CADENCE) as running:
        running.start_books()
        running.start_sandbox(
            "--mode", "real", "--speed", str(SPEED), "--seed", "11", "--start", clock.now().isoformat()
        )
        running.start_runtime()
        yield running
    left = {name for name in running.environment if os.environ.get(name) != before.get(name)}
    assert left == set(), "whatever starts in this process later would find the addresses of this one"


def kill(words: str, home: Path) -> int:
    """kill -9 one process of this system whose command line holds `words`; returns its pid."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            ours = str(home).encode() in (entry / "environ").read_bytes()
        except OSError:
            continue
        if ours and words in line:
            os.kill(int(entry.name), signal.SIGKILL)
            return int(entry.name)
    raise AssertionError(f"no process looks like {words!r}")


async def run_demo(system: System, kills: list[str], days: float) -> tuple[DemoResult, BusinessReport, list[str]]:
    """The demo, with one part killed every few seconds once goods are listed."""
    assert system.sandbox is not None and system.keys is not None
    store = system.store(Graph(load_roster("agents:ROSTER")).routing())
    trading = asyncio.Event()
    killed: list[str] = []

    def tell(phase: str, share: float, detail: str) -> None:
        if phase == "trade":
            trading.set()

    async def strike() -> None:
        await trading.wait()
        for what in kills:
            await asyncio.sleep(days * 86400 / SPEED / (len(kills) + 1))
            if what == "postgres":
                assert system.instance.postgres is not None
                os.kill(system.instance.postgres.pid or 0, signal.SIGKILL)
            elif what == "redis":
                assert system.instance.redis is not None
                os.kill(system.instance.redis.pid or 0, signal.SIGKILL)
            else:
                kill(what, system.home)
            killed.append(what)

    demo = Demo(store, SecretBox(parse_keys(system.keys.secret)), system.sandbox, system.api_url, system.clock, tell)
    striking = asyncio.create_task(strike())
    try:
        result = await demo.run(DemoPlan(CATALOGUE, days=days, seed=11, speed=SPEED, traffic=3.0))
        async with store.reader(result.tenant_id) as session:
            return result, await business_report(session), killed
    finally:
        striking.cancel()
        await store.aclose()


@pytest.mark.timeout(900)
async def test_the_demo_survives_the_death_of_every_part(system: System) -> None:
    kills = ["ray::Supervisor", "ray::AgentActor", "ray::EffectActor", "postgres", "redis"]
    result, report, killed = await run_demo(system, kills, days=0.75)
    assert killed == kills
    checked = result.reconciliation
    assert checked.problems == []
    assert checked.clean
    assert checked.orders_placed > 20
    assert report.failed_tasks == []
    assert report.effects.totals.get("unknown", 0) == 0
