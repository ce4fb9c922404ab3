import signal
import subprocess
from pathlib import Path

import pytest
from embedded_waiting import wait_until

from flipsync.embedded.keeper import LONGEST_WAIT, KeptProcess, PartEvent, wait_before_restart
from flipsync.embedded.process import Account, ProcessIdentity, end_processes, spawn_bound

STOP = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


class Server:
    """A program that does nothing but live, or fails in ways the test sets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command = ["sleep", "60"]
        self.refuse = False
        self.launches = 0
        self.events: list[PartEvent] = []
        self.keeper = KeptProcess(
            "part",
            prepare=self.prepare,
            launch=self.launch,
            await_ready=lambda process: None,
            stop_steps=STOP,
            report=self.events.append,
        )

    def prepare(self) -> None:
        if self.refuse:
            raise RuntimeError("the port is taken")

    def launch(self) -> subprocess.Popen[bytes]:
        self.launches += 1
        return spawn_bound(
            ["/usr/bin/env", *self.command],
            account=Account.current(),
            death_signal=signal.SIGKILL,
            cwd=self.folder,
            output=self.folder / "log",
            env={"PATH": "/usr/bin:/bin"},
        )

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


@pytest.fixture
def server(tmp_path: Path):
    server = Server(tmp_path)
    yield server
    server.keeper.stop()


def test_the_wait_grows_and_is_bounded():
    assert [wait_before_restart(deaths) for deaths in (1, 2, 3, 4)] == [0.0, 0.25, 0.5, 1.0]
    assert wait_before_restart(100) == LONGEST_WAIT


def test_a_killed_child_is_back_at_once(server: Server):
    server.keeper.start()
    first = server.keeper.pid
    end_processes([first], [(signal.SIGKILL, 5.0)])
    assert server.keeper.await_serving(5.0)
    assert server.keeper.pid not in (None, first)
    assert wait_until(lambda: server.kinds == ["started", "died", "restarted"])
    assert "SIGKILL" in server.events[1].detail


def test_a_crash_loop_slows_down(server: Server):
    server.keeper.start()
    server.command = ["false"]
    end_processes([server.keeper.pid], [(signal.SIGKILL, 5.0)])
    assert wait_until(lambda: server.launches >= 3)
    assert not wait_until(lambda: server.launches > 6, 1.0), "restarted without waiting"
    server.command = ["sleep", "60"]
    assert wait_until(lambda: server.keeper.is_running() and server.kinds[-1] == "restarted")


def test_a_restart_that_fails_is_reported_and_tried_again(server: Server):
    server.keeper.start()
    server.refuse = True
    end_processes([server.keeper.pid], [(signal.SIGKILL, 5.0)])
    assert wait_until(lambda: "restart-failed" in server.kinds)
    assert not server.keeper.is_running() and server.keeper.pid is None
    server.refuse = False
    assert server.keeper.await_serving(10.0)


def test_a_first_start_that_fails_is_the_callers_error(server: Server):
    server.refuse = True
    with pytest.raises(RuntimeError, match="port is taken"):
        server.keeper.start()
    assert server.launches == 0


def test_stop_ends_the_child_and_stays_stopped(server: Server):
    server.keeper.start()
    identity = ProcessIdentity.of(server.keeper.pid)
    server.keeper.stop()
    assert not identity.is_alive()
    assert server.launches == 1 and server.kinds == ["started", "stopped"]
