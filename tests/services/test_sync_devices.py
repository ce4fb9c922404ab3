"""The reference client: a week apart over a bad network, killed, restored servers, forgotten devices."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from benchmarks.sync import WRONG, apart, api
from benchmarks.sync_week import WEEK
from flipsync.domain.clock import ManualClock, utc_now
from flipsync.domain.ids import new_id
from flipsync.sync_client import DeviceFile, DeviceForgotten, Offline, Refused, SyncClient


async def test_devices_a_week_apart_come_out_alike(
    database_urls: dict[str, str], redis_url: str, tmp_path: Path
) -> None:
    clock = ManualClock(utc_now() - WEEK)
    async with api(database_urls["app"], redis_url, clock) as (app, backend):
        result = await apart(tmp_path, app, backend, clock, devices=5, operations=16, shelves=4, seed=4, batch=3)
    assert {name: result[name] for name in WRONG} == dict.fromkeys(WRONG, 0)
    assert result["operations"] == sum(result["outcomes"].values()) == 80
    assert {"requests lost", "answers lost", "twice at once"} <= set(result["network"])
    assert result["outcomes"]["merged"] and result["outcomes"]["conflict"] and result["notices"]


_DOER = """
import sys
from pathlib import Path
from flipsync.sync_client import DeviceFile
device = DeviceFile(Path(sys.argv[1]))
while True:
    print(device.do("stock.receive", variant_id="v", quantity=1).id, flush=True)
"""


def test_what_was_done_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    doer = subprocess.Popen([sys.executable, "-c", _DOER, str(path)], stdout=subprocess.PIPE, text=True)
    assert doer.stdout is not None
    told = [doer.stdout.readline().strip() for _ in range(30)]
    time.sleep(0.05)
    doer.send_signal(signal.SIGKILL)
    told += [line.strip() for line in doer.stdout if line.endswith("\n")]
    doer.wait()
    with DeviceFile(path) as device:
        kept = device.unanswered()
    assert [each.seq for each in kept] == list(range(1, len(kept) + 1))
    assert [each.id for each in kept][: len(told)] == told
    assert sorted(told) == told, "ids sort by time"


class Server(httpx2.AsyncBaseTransport):
    """As much of a server as keeps mutations: what it knows, how often it was asked, what it says to a pull."""

    def __init__(self) -> None:
        self.known: list[int] = []
        self.pages: list[tuple[int, dict[str, Any]]] = []
        self.cursors: list[str | None] = []
        self.registered: set[str] = set()
        self.status = 200

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.status != 200:
            return httpx2.Response(self.status, json={"type": "urn:flipsync:error:device-forgotten", "detail": "gone"})
        if request.url.path.endswith("/mutations"):
            told = orjson.loads(await request.aread())["mutations"]
            answers = [self._answer(each) for each in sorted(told, key=lambda each: int(each["seq"]))]
            return httpx2.Response(200, json={"answers": answers, "last_seq": len(self.known)})
        if request.url.path.endswith("/changes"):
            self.cursors.append(request.url.params.get("cursor"))
            status, page = self.pages.pop(0)
            return httpx2.Response(status, json=page)
        self.registered.add(request.headers["Idempotency-Key"])
        return httpx2.Response(201, json={"id": "d"})

    def _answer(self, told: dict[str, Any]) -> dict[str, Any]:
        final = told["seq"] <= len(self.known) + 1
        if told["seq"] == len(self.known) + 1:
            self.known.append(told["seq"])
        return {"id": told["id"], "seq": told["seq"], "outcome": "accepted" if final else "deferred"}


@pytest.fixture
def server() -> Server:
    return Server()


def opened(server: Server, device: DeviceFile) -> SyncClient:
    return SyncClient(device, httpx2.AsyncClient(base_url="http://api.test", transport=server))


async def test_a_server_restored_from_a_backup_is_told_again(server: Server, tmp_path: Path) -> None:
    with DeviceFile(tmp_path / "d") as device:
        client = opened(server, device)
        device.do_all([("stock.receive", {"variant_id": "v", "quantity": 1})] * 5)
        assert await client.push() == 5
        del server.known[2:]
        device.do("stock.receive", variant_id="v", quantity=1)
        await client.push()
        assert server.known == [1, 2, 3, 4, 5, 6] and not device.unanswered()
        server.known = [1] * 9
        assert await client.push() == 0


async def test_what_a_restored_server_misses_and_nobody_has_is_said(server: Server, tmp_path: Path) -> None:
    started = utc_now()
    moment = [started]
    with DeviceFile(tmp_path / "d", clock=lambda: moment[0]) as device:
        client = opened(server, device)
        device.do("stock.receive", variant_id="v", quantity=1)
        await client.push()
        moment[0] += timedelta(days=91)
        device.do("stock.receive", variant_id="v", quantity=1)
        await client.push()  # the first one's time is over: it is dropped, its number never comes again
        assert device.do("stock.receive", variant_id="v", quantity=1).seq == 3
        server.known.clear()
        with pytest.raises(Refused, match="number 1"):
            await client.push()
        assert len(device.unanswered()) == 2


def record(number: int) -> dict[str, Any]:
    told = {"id": str(number), "kind": "stock_item", "variant_id": f"v{number}", "on_hand": number}
    return {"kind": "stock_item", "id": str(number), "gone": False, "record": told}


def page(cursor: str, *numbers: int, more: bool = False, full: bool = False) -> tuple[int, dict[str, Any]]:
    return 200, {"changes": [record(each) for each in numbers], "cursor": cursor, "more": more, "full": full}


async def test_who_was_away_too_long_begins_anew_and_keeps_what_was_not_told(server: Server, tmp_path: Path) -> None:
    too_old = (410, {"type": "urn:flipsync:error:resync-required"})
    server.pages = [page("a", 1, 2, full=True), too_old, page("b", 2, more=True, full=True), page("c", 3, full=True)]
    with DeviceFile(tmp_path / "d") as device:
        client = opened(server, device)
        assert await client.pull() == (2, True)
        device.do("stock.receive", variant_id="v2", quantity=5)
        assert await client.pull() == (2, True)
        assert set(device.records("stock_item")) == {"2", "3"}, "what is not told again is gone"
        assert server.cursors == [None, "a", None, "b"]
        assert device.on_shelf("v2") == 7 and len(device.unanswered()) == 1
    assert len(server.registered) == 1


async def test_a_forgotten_device_is_told_so_and_no_server_is_no_loss(server: Server, tmp_path: Path) -> None:
    with DeviceFile(tmp_path / "d") as device:
        client = opened(server, device)
        await client.register()
        device.do("product.edit", product_id=str(new_id()), base_version=1, set={"title": "شاي 🫖"})
        for status, error in ((410, DeviceForgotten), (503, Offline), (401, Refused)):
            server.status = status
            with pytest.raises(error):
                await client.push()
        assert len(device.unanswered()) == 1
