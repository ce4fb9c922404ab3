"""Back up while it sells, sell on, lose the data folder, restore: are the books even with the channels' own?

    flipsync bench restore --json

The whole system sells on two channels of the sandbox for a while, is backed up without stopping, sells on, and loses
its data folder. Restored and started again it catches up with the channels, sells on, and is compared with what the
sandbox says really happened: nothing lost, doubled, oversold or mismatched.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from flipsync.backup import restoring, taking
from flipsync.demo.run import Demo, DemoPlan
from flipsync.domain.clock import ScaledClock, utc_now
from flipsync.embedded.ports import choose_port
from flipsync.embedded.secret_file import write_private
from flipsync.runtime.assembly import load_roster
from flipsync.runtime.graph import Graph
from flipsync.security.secrets import SecretBox, parse_keys
from flipsync.store.models import Order
from flipsync.system import SandboxProcess, System

SPEED = 1440.0
CATALOGUE = Path(__file__).parents[1] / "flipsync" / "catalogues" / "default.csv"
PASSPHRASE = "four random words here"


class Installation:
    """A system on a folder that can be lost, beside a market that goes on."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.home, self.backup = folder / "home", folder / "backup"
        self.clock = ScaledClock(utc_now(), utc_now(), SPEED)
        start = ("--mode", "real", "--speed", str(SPEED), "--seed", str(seed), "--start", self.clock.now().isoformat())
        self.sandbox = SandboxProcess.start(start)
        self.port = choose_port()
        self.system: System | None = None

    def start(self) -> System:
        self.system = System(
            self.home, port=self.port, clock=self.clock, extra_environment={"FLIPSYNC_EVERY_ORDERS": "3600"}
        )
        self.system.start_books()
        self.system.start_runtime()
        return self.system

    def stop(self) -> None:
        if self.system is not None:
            self.system.stop()
            self.system = None

    def lose(self) -> None:
        """All of it. Ray reads its token once a process, and this one starts Ray again: it alone is kept."""
        self.stop()
        token = (self.home / "ray_token").read_text()
        data = self.home / "postgres" / "data"
        if data.is_symlink():
            shutil.rmtree(data.resolve().parent)
        shutil.rmtree(self.home)
        self.home.mkdir(mode=0o711)
        write_private(self.home / "ray_token", token)


class Unlucky(Demo):
    """A demo whose data folder is lost in the middle of trading."""

    def on(self, installation: Installation) -> Unlucky:
        self.installation = installation
        self.told: dict[str, Any] = {}
        return self

    async def _orders(self, tenant_id: UUID) -> int:
        async with self._store.reader(tenant_id) as session:
            return (await session.scalar(select(func.count()).select_from(Order))) or 0

    async def _trade(self, tenant_id: UUID, plan: DemoPlan) -> None:
        await super()._trade(tenant_id, plan)
        began = time.monotonic()
        taken = taking.take(
            self.installation.home,
            self.installation.backup,
            passphrase=PASSPHRASE,
            continuous=False,
            progress=lambda _done, _of: None,
        )
        self.told["backup_s"] = round(time.monotonic() - began, 2)
        self.told["orders_at_backup"] = await self._orders(tenant_id)
        self.told["backup_bytes"] = taken.manifest.size
        await super()._trade(tenant_id, plan)
        self.told["orders_when_lost"] = await self._orders(tenant_id)
        await self._store.aclose()
        self.installation.lose()
        began = time.monotonic()
        home, backup = self.installation.home, self.installation.backup
        # it runs an event loop of its own where buyers are to be forgotten again
        done = await asyncio.to_thread(restoring.restore, home, backup, passphrase=PASSPHRASE)
        self.told |= {"restore_s": round(time.monotonic() - began, 2), "channels_to_read": done.accounts}
        system = self.installation.start()
        self._store = system.store(Graph(load_roster("agents:ROSTER")).routing())
        await super()._trade(tenant_id, plan)


def measure(days: float, seed: int) -> dict[str, Any]:
    """`days` of market time before the backup, as many until the loss, as many after the restore."""
    folder = Path(tempfile.mkdtemp(prefix="fsr-"))
    folder.chmod(0o711)
    installation = Installation(folder, seed)
    try:
        system = installation.start()
        assert system.keys is not None
        store = system.store(Graph(load_roster("agents:ROSTER")).routing())
        box = SecretBox(parse_keys(system.keys.secret))
        demo = Unlucky(store, box, installation.sandbox, system.api_url, installation.clock, lambda *_: None)
        demo.on(installation)
        plan = DemoPlan(CATALOGUE, days=days, seed=seed, speed=SPEED, traffic=4.0, faults=False)
        result = asyncio.run(demo.run(plan))
    finally:
        installation.stop()
        installation.sandbox.stop()
        shutil.rmtree(folder, ignore_errors=True)
    checked = result.reconciliation
    return {
        "benchmark": "restore",
        "seed": seed,
        "days": days,
        **demo.told,
        "orders_placed": checked.orders_placed,
        "orders_ingested": checked.orders_ingested,
        "orders_duplicated": checked.orders_duplicated,
        "oversold_units": checked.oversold_units,
        "stock_mismatches": checked.stock_mismatches,
        "clean": checked.clean,
        "problems": checked.problems,
        "duration_s": result.duration_s,
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="flipsync bench restore", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seed", type=int, default=5)
    chosen = parser.parse_args(arguments)
    told = measure(0.1 if chosen.quick else 0.4, chosen.seed)
    if chosen.json:
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        for name, value in told.items():
            sys.stdout.write(f"{name.replace('_', ' ')}: {value}\n")
    return 0 if told["clean"] else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
