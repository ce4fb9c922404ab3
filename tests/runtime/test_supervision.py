"""What keeps everybody at work goes on itself, whatever is away or fails while it begins."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy.exc import OperationalError

from flipsync.runtime import actors, beside, lasting
from flipsync.runtime.actors import Supervisor


async def until(true: Any) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


class Away:
    """A database that is still coming back."""

    def unbound(self) -> Any:
        raise OperationalError("SELECT 1", None, Exception("the database system is starting up"))


class Restarting(Exception):
    """As Ray says of an actor that it is starting again."""


class FakeRay:
    """What the keeper asks Ray: a piece of work that ends by an error at once, three times, and then goes on."""

    exceptions = SimpleNamespace(ActorUnavailableError=Restarting)

    def __init__(self) -> None:
        self.asked = 0
        self.killed: list[tuple[str, bool]] = []

    def kill(self, actor: Any, *, no_restart: bool) -> None:
        self.killed.append((actor.name, no_restart))

    def remote(self) -> int:
        self.asked += 1
        return self.asked

    def wait(self, work: list[int], *, timeout: float) -> tuple[list[int], list[int]]:
        assert timeout > 0
        return (work, []) if work[0] <= 3 else ([], work)

    def get(self, work: int) -> None:
        raise (Restarting if work == 1 else ValueError)("it ended")


class House:
    """What a supervisor starts, without Ray: who was asked to run, and how often the clock began."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began: list[str] = []
        self.clocks = 0
        assembly = SimpleNamespace(
            graph=SimpleNamespace(agents={"pricing": None, "listing": None}),
            store=SimpleNamespace(database=Away()),
            check=lambda: None,
        )
        monkeypatch.setattr(actors, "Assembly", lambda *_, **__: assembly)
        self.ray = FakeRay()
        modules = {"ray": self.ray, "flipsync.runtime.beside": beside}
        monkeypatch.setattr(actors, "importlib", SimpleNamespace(import_module=modules.__getitem__))
        monkeypatch.setattr(actors, "start_actor", self._start)
        monkeypatch.setattr(beside, "parts", lambda *_: {"clock": self._clock})
        monkeypatch.setattr(lasting, "_PAUSE", (0.01, 0.02))
        monkeypatch.setattr(actors, "_LOOK", 0.01)
        self.asked = 0
        self.drained: list[str] = []
        #: whose first life ends in good order
        self.asked_to_end: set[str] = set()

    async def _ping(self) -> None:
        self.asked += 1
        if self.asked % 3:
            raise Restarting

    def _start(self, _kind: Any, name: str, *_: Any) -> Any:
        async def run() -> None:
            self.began.append(name)
            if name == "listing" and self.began.count(name) < 3:
                raise RuntimeError("its process was killed")
            if name in self.asked_to_end and self.began.count(name) == 1:
                return
            await asyncio.Event().wait()

        async def drain() -> None:
            self.drained.append(name)

        methods = {"run": run, "ping": self._ping, "drain": drain}
        return SimpleNamespace(name=name, **{name: SimpleNamespace(remote=each) for name, each in methods.items()})

    async def _clock(self) -> None:
        self.clocks += 1
        if self.clocks < 3:
            raise ValueError("a row nobody thought of")
        await asyncio.Event().wait()


async def test_a_supervisor_that_begins_while_the_database_is_away_starts_everybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House(monkeypatch)
    supervisor = cast(Any, Supervisor.__new__(Supervisor))  # without stepping back: this process is the tests' own
    supervisor._settings = SimpleNamespace(effect_workers=2, replicas_of={"pricing": 1, "listing": 2}.get)
    supervisor._started = {}
    work = asyncio.create_task(supervisor._main())
    try:
        everybody = {"pricing", "listing", "listing.1", "effects-0", "effects-1"}
        await until(lambda: set(house.began) == everybody and house.began.count("listing") == 3 and house.clocks == 3)
        assert house.began.count("pricing") == 1, "who lives is not begun again"
        assert not work.done(), "nothing of it ends the supervisor's work"
        supervisor._work = work
        await supervisor.drain()
        assert sorted(house.drained) == sorted(everybody), "each is let finish"
        await until(work.cancelled)
        assert len(house.began) == len(everybody) + 2, "and nobody is started again"
    finally:
        work.cancel()


async def test_who_ends_in_good_order_begins_anew_in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(monkeypatch)
    house.asked_to_end = {"pricing"}
    supervisor = cast(Any, Supervisor.__new__(Supervisor))
    supervisor._settings = SimpleNamespace(effect_workers=0, replicas_of=lambda _: 1)
    supervisor._started = {}
    work = asyncio.create_task(supervisor._main())
    try:
        await until(lambda: house.began.count("pricing") == 2)
        assert house.ray.killed == [("pricing", False)], "which Ray starts"
    finally:
        work.cancel()


def test_the_supervisors_work_is_begun_again_however_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay()
    monkeypatch.setattr(actors, "_LOOK", 0.001)
    monkeypatch.setattr(actors, "importlib", SimpleNamespace(import_module=lambda _: ray))
    monkeypatch.setattr(actors, "start_actor", lambda *_: SimpleNamespace(run=ray))
    keeper = actors.SupervisorKeeper()
    keeper.start()
    deadline = time.monotonic() + 10
    while ray.asked < 4:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(0.05)
    assert ray.asked == 4 and keeper.is_alive(), "what goes on is not begun twice"
    keeper.stop()
    assert not keeper.is_alive()


async def test_a_crash_loop_is_slowed_down_and_a_long_life_forgives(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    told: list[str] = []
    lives = iter([0.0, 0.0, 0.0, 31.0, 0.0])
    now = 0.0
    loop = asyncio.get_running_loop()
    enough = asyncio.CancelledError()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 5:
            raise enough

    async def live() -> None:
        nonlocal now
        now += next(lives)
        raise RuntimeError("again\nwith a second line")

    async def died(error: str) -> None:
        told.append(error)

    monkeypatch.setattr(lasting.asyncio, "sleep", sleep)
    monkeypatch.setattr(loop, "time", lambda: now)
    with pytest.raises(asyncio.CancelledError):
        await lasting.lasting("one", live, died)
    assert slept == [0.2, 0.4, 0.8, 0.1, 0.2]
    assert told == ["RuntimeError: again"] * 5
